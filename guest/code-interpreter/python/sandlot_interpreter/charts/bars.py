from matplotlib.container import BarContainer

from ..plain import plain
from .axis import Axis


def bars(axes):
    """Returns the bars. The label of a bar is the position on the axis, the group is the series of the bar."""
    series = [container for container in axes.containers if isinstance(container, BarContainer)]
    elements = []
    for number, container in enumerate(series):
        name = container.get_label()
        group = name if name and not name.startswith("_") else f"Group {number + 1}"
        is_lying = container.orientation == "horizontal"
        axis = Axis(axes.yaxis if is_lying else axes.xaxis)
        for bar in container.patches:
            start, extent = (bar.get_y(), bar.get_height()) if is_lying else (bar.get_x(), bar.get_width())
            # Bars of several series are placed side by side around their tick.
            reach = max(0.5, abs(extent) * len(series) / 2)
            label = axis.name_at(start + extent / 2, reach)
            elements.append({"label": label, "group": group, "value": plain(bar.get_width() if is_lying else bar.get_height())})
    return elements
