"""Imported once by the kernel in the template's checkpoint: fills modules and caches, without defining names for the user."""

import io

import matplotlib.figure
import matplotlib.pyplot
import numpy
import pandas

# Finds the fonts and loads the renderer.
_figure = matplotlib.figure.Figure()
_figure.add_subplot().plot([0, 1], label="warm")
_figure.savefig(io.BytesIO(), format="png")

from . import charts  # noqa: E402

charts.describe(_figure)
pandas.DataFrame({"a": numpy.arange(2)})._repr_html_()
del _figure
