"""Imported once in the kernel that the template's checkpoint holds: modules and caches, no names of the user's."""

import io

import matplotlib.figure
import matplotlib.pyplot
import numpy
import pandas

# Finds the fonts and loads what draws.
_figure = matplotlib.figure.Figure()
_figure.add_subplot().plot([0, 1], label="warm")
_figure.savefig(io.BytesIO(), format="png")

from . import charts  # noqa: E402

charts.describe(_figure)
pandas.DataFrame({"a": numpy.arange(2)})._repr_html_()
del _figure
