"""Extracts the data of a matplotlib figure, in the shape of the SDKs' Chart types."""

from .axis import Axis
from .bars import bars
from .boxes import boxes
from .pies import wedges
from .points import lines, scatters

# Kinds of charts in the order in which an Axes is checked for them, e.g. boxes before lines, as whiskers of a box are lines.
_KINDS = (
    ("pie", wedges),
    ("box_and_whisker", boxes),
    ("bar", bars),
    ("scatter", scatters),
    ("line", lines),
)
_POINT_CHARTS = ("line", "scatter")


def describe(figure):
    """Returns the chart of a figure, or a superchart of several; None when the figure has no chart."""
    charts = [_describe_axes(axes) for axes in figure.axes if _is_chart(axes)]
    if not charts:
        return None
    title = figure.get_suptitle()
    if len(charts) > 1:
        return {"type": "superchart", "title": title, "elements": charts}
    return {**charts[0], "title": charts[0]["title"] or title}


def _is_chart(axes):
    return axes.get_label() != "<colorbar>" and axes.has_data()


def _describe_axes(axes):
    chart = {"type": "unknown", "title": axes.get_title(), "elements": []}
    for kind, find in _KINDS:
        elements = find(axes)
        if elements:
            chart = {**chart, "type": kind, "elements": elements}
            break
    if chart["type"] in ("pie", "unknown"):
        return chart
    x, y = Axis(axes.xaxis), Axis(axes.yaxis)
    chart.update(x_label=x.label, y_label=y.label, x_unit=x.unit, y_unit=y.unit)
    if chart["type"] in _POINT_CHARTS:
        chart.update(
            x_ticks=x.ticks(), x_tick_labels=x.tick_labels(), x_scale=x.scale,
            y_ticks=y.ticks(), y_tick_labels=y.tick_labels(), y_scale=y.scale,
        )
    return chart
