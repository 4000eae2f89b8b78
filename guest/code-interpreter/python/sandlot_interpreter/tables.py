"""Converts DataFrames to columns."""

from .json_values import json_value
from .plain import key, plain

# Limit of cells; larger frames only have text and HTML, which pandas shortens.
CELLS_MAX = 1_000_000


def columns(frame):
    """`{column: [values]}`; None when the frame is too large for a message. The last of several columns with one name wins."""
    if frame.size > CELLS_MAX:
        return None
    return {_name(name): [_cell(value) for value in frame.iloc[:, index].tolist()] for index, name in enumerate(frame.columns)}


def _name(name):
    return str(name) if isinstance(name, (bool, tuple)) else key(name)


def _cell(value):
    is_container = isinstance(value, (dict, list)) or getattr(value, "ndim", 0) > 0
    held = json_value(value) if is_container else None
    return plain(value) if held is None else held
