"""Generic figures. Each one takes a results frame (or a table) and gives a `matplotlib.figure.Figure`."""

from losslab.report.figures.compare import bars, forest
from losslab.report.figures.curves import curve_pairs, curves, per_class
from losslab.report.figures.grids import heatmap
from losslab.report.figures.rates import rates, study

__all__ = ["bars", "curve_pairs", "curves", "forest", "heatmap", "per_class", "rates", "study"]
