"""Registers the structured representations of figures and tables with IPython, without importing their libraries."""

from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode

CHART = "application/vnd.sandlot.chart+json"
DATA = "application/vnd.sandlot.data+json"


class ChartFormatter(BaseFormatter):
    format_type = Unicode(CHART)
    print_method = ObjectName("_repr_sandlot_chart_")
    _return_type = dict

    def __call__(self, value):
        """Overrides the look-up instead of registering figures, because matplotlib_inline removes figures from every formatter when it registers its own."""
        is_figure = any((base.__module__, base.__name__) == ("matplotlib.figure", "Figure") for base in type(value).__mro__)
        return _chart(value) if self.enabled and is_figure else None


class DataFormatter(BaseFormatter):
    format_type = Unicode(DATA)
    print_method = ObjectName("_repr_sandlot_data_")
    _return_type = dict


def _chart(figure):
    from . import charts

    try:
        return charts.describe(figure)
    except Exception:
        # An error here only loses the chart: the picture of the figure is another representation.
        return None


def _data(frame):
    from . import tables

    return tables.columns(frame)


def _json(value):
    from .json_values import json_value

    return json_value(value)


def register(display_formatter):
    display_formatter.formatters["application/json"].for_type(dict, _json)
    display_formatter.formatters["application/json"].for_type(list, _json)
    data = DataFormatter(parent=display_formatter)
    # The module of the class is `pandas` in pandas 3, and the file in older versions.
    for module in ("pandas", "pandas.core.frame"):
        data.for_type_by_name(module, "DataFrame", _data)
    display_formatter.formatters[CHART] = ChartFormatter(parent=display_formatter)
    display_formatter.formatters[DATA] = data
    display_formatter.active_types = [*display_formatter.active_types, CHART, DATA]
