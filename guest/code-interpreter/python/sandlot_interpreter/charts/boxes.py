"""Finds box plots. Matplotlib only keeps their parts, which are recognised by shape and position."""

import numpy
from matplotlib.patches import PathPatch

from ..plain import plain
from .axis import Axis


class _Part:
    """A line or outline, with its extent along (`values`) and across (`places`) the direction of the box."""

    def __init__(self, x, y, is_lying, has_marker=False):
        x, y = numpy.asarray(x, dtype=float), numpy.asarray(y, dtype=float)
        self.values, self.places = (x, y) if is_lying else (y, x)
        self.has_marker = has_marker

    @property
    def center(self):
        return (self.places.min() + self.places.max()) / 2

    @property
    def width(self):
        return self.places.max() - self.places.min()

    @property
    def is_whisker(self):
        return len(self.values) == 2 and self.places[0] == self.places[1] and not self.has_marker

    @property
    def is_across(self):
        return len(self.values) == 2 and self.values[0] == self.values[1] and self.places[0] != self.places[1]

    @property
    def is_closed(self):
        return len(self.values) >= 5 and self.values[0] == self.values[-1] and self.places[0] == self.places[-1]


def boxes(axes):
    return _standing(axes, is_lying=False) or _standing(axes, is_lying=True)


def _standing(axes, is_lying):
    parts = [
        _Part(line.get_xdata(orig=False), line.get_ydata(orig=False), is_lying, line.get_linestyle() == "None")
        for line in axes.lines
        if len(line.get_xdata(orig=False)) > 0
    ]
    outlines = [part for part in parts if part.is_closed and not part.has_marker]
    for patch in axes.patches:
        if isinstance(patch, PathPatch):
            corners = patch.get_path().vertices
            outlines.append(_Part(corners[:, 0], corners[:, 1], is_lying))
    axis = Axis(axes.yaxis if is_lying else axes.xaxis)
    elements = [_element(box, parts, axis) for box in outlines]
    return [element for element in elements if element]


def _element(box, parts, axis):
    mine = [part for part in parts if abs(part.center - box.center) < 1e-9 + box.width / 100]
    whiskers = [part for part in mine if part.is_whisker]
    first, third = box.values.min(), box.values.max()
    across = [part for part in mine if part.is_across and first <= part.values[0] <= third]
    if len(whiskers) != 2 or not across:
        return None
    # A cap on the edge of the box is half as wide as the median, and drawn before it.
    median = max(reversed(across), key=lambda part: part.width)
    ends = numpy.concatenate([part.values for part in whiskers])
    outliers = [value for part in mine if part.has_marker for value in part.values if not first <= value <= third]
    return {
        "label": axis.name_at(box.center, max(0.5, box.width / 2)),
        "min": plain(ends.min()),
        "first_quartile": plain(first),
        "median": plain(median.values[0]),
        "third_quartile": plain(third),
        "max": plain(ends.max()),
        "outliers": [plain(value) for value in outliers],
    }
