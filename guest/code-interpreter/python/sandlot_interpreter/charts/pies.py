from matplotlib.patches import Wedge

from ..plain import plain


def wedges(axes):
    """Returns the wedges of a pie; angles are in degrees, in either direction."""
    found = [patch for patch in axes.patches if isinstance(patch, Wedge)]
    labels = [text.get_text() for text in axes.texts]
    return [
        {
            "label": _label(wedge, index, labels),
            "angle": plain(abs(wedge.theta2 - wedge.theta1)),
            "radius": plain(wedge.r),
        }
        for index, wedge in enumerate(found)
    ]


def _label(wedge, index, labels):
    name = wedge.get_label()
    if name and not name.startswith("_"):
        return name
    return labels[index] if index < len(labels) else ""
