"""Tables, figures, claims and rankings from finished runs and published numbers. Modules are imported by name: `from losslab.report import table`."""
