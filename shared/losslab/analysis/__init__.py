"""What can be computed about losses, margins and label noise without training a network.

Import the module that you need: `from losslab.analysis import properties`. See docs/analysis.md.
"""
