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
        """Not by registration: matplotlib_inline takes figures out of every formatter when it sets up its own."""
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
        # A figure that is understood wrongly is still shown: its picture is another representation.
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
    # pandas 3 calls the module of the class `pandas`, older ones its file.
    for module in ("pandas", "pandas.core.frame"):
        data.for_type_by_name(module, "DataFrame", _data)
    display_formatter.formatters[CHART] = ChartFormatter(parent=display_formatter)
    display_formatter.formatters[DATA] = data
    display_formatter.active_types = [*display_formatter.active_types, CHART, DATA]
