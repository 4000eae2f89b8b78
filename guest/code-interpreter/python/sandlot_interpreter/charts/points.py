from matplotlib.collections import PathCollection

from .axis import Axis


def lines(axes):
    x, y = Axis(axes.xaxis), Axis(axes.yaxis)
    drawn = [line for line in axes.lines if len(line.get_xdata(orig=False)) > 0]
    return [
        {
            "label": _name(line, f"Line {number + 1}"),
            "points": [[x.value(a), y.value(b)] for a, b in zip(line.get_xdata(orig=False), line.get_ydata(orig=False))],
        }
        for number, line in enumerate(drawn)
    ]


def scatters(axes):
    x, y = Axis(axes.xaxis), Axis(axes.yaxis)
    drawn = [group for group in axes.collections if isinstance(group, PathCollection) and len(group.get_offsets()) > 0]
    return [
        {
            "label": _name(group, f"Scatter {number + 1}"),
            "points": [[x.value(a), y.value(b)] for a, b in group.get_offsets().data],
        }
        for number, group in enumerate(drawn)
    ]


def _name(artist, otherwise):
    """Returns the label; matplotlib gives objects without a label names like `_child0`."""
    name = str(artist.get_label())
    return otherwise if name.startswith("_") else name
