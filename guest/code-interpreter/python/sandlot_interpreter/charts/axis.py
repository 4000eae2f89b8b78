import re

from matplotlib import category, dates

from ..plain import plain

_UNIT = re.compile(r"[(\[]([^()\[\]]+)[)\]]\s*$")


class Axis:
    """One axis of a plot, which converts positions to plotted values."""

    def __init__(self, axis):
        self._axis = axis
        converter = axis.get_converter()
        if isinstance(converter, (dates.DateConverter, dates._SwitchableDateConverter)):
            self.scale = "datetime"
        elif isinstance(converter, category.StrCategoryConverter):
            self.scale = "categorical"
        else:
            self.scale = axis.get_scale()
        self._categories = (
            {index: name for name, index in axis.units._mapping.items()} if self.scale == "categorical" and axis.units else {}
        )

    @property
    def label(self):
        return self._axis.get_label_text() or None

    @property
    def unit(self):
        """The unit: the text in brackets at the end of the label, as in `Time (s)`."""
        found = _UNIT.search(self._axis.get_label_text())
        return found.group(1).strip() if found else None

    def value(self, position):
        """Converts a position to the plotted value: a number, a category, or a date in ISO 8601."""
        if self.scale == "categorical" and position in self._categories:
            return str(self._categories[position])
        if self.scale == "datetime" and isinstance(plain(position), (int, float)):
            return dates.num2date(position).replace(tzinfo=None).isoformat()
        return plain(position)

    def ticks(self):
        low, high = sorted(self._axis.get_view_interval())
        self._shown = [tick for tick in self._axis.get_ticklocs() if low <= tick <= high]
        return [self.value(tick) for tick in self._shown]

    def tick_labels(self):
        self.ticks()
        return [str(label) for label in self._axis.get_major_formatter().format_ticks(self._shown)]

    def name_at(self, position, reach):
        """Returns the label of the nearest tick within `reach` of a position, or else the position."""
        if self._categories:
            ticks, labels = list(self._categories), [str(name) for name in self._categories.values()]
        elif self.scale == "datetime":
            return self.value(position)
        else:
            ticks = list(self._axis.get_ticklocs())
            labels = self._axis.get_major_formatter().format_ticks(ticks)
        near = min(zip(ticks, labels), key=lambda tick: abs(tick[0] - position), default=None)
        is_named = near is not None and near[1] and abs(near[0] - position) <= reach
        return str(near[1]) if is_named and self._has_names() else str(plain(position))

    def _has_names(self):
        from matplotlib import ticker

        return bool(self._categories) or isinstance(self._axis.get_major_formatter(), (ticker.FixedFormatter, ticker.FuncFormatter))
