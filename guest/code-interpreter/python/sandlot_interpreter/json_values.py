"""Converts dicts and lists to JSON, including values of numpy, dates, and keys that are not text."""

import datetime
import enum
import uuid

from .plain import key, plain

# Limit of characters of text, plus a fixed amount for each value; larger values only have a text representation.
SIZE_MAX = 4 * 1024 * 1024
VALUE_SIZE = 8
DEPTH_MAX = 100

_AS_THEY_ARE = frozenset((int, bool, type(None)))
_SCALARS = (str, int, float, type(None), datetime.date, datetime.time, enum.Enum, uuid.UUID)


def json_value(value):
    """Returns a dict or list as JSON values; None when it is too large or contains a value without a JSON form, such as a figure."""
    try:
        return _Reader().read(value, 0)
    except _NoJson:
        return None


class _NoJson(Exception):
    pass


class _Reader:
    def __init__(self):
        self._size_left = SIZE_MAX

    def read(self, value, depth):
        if type(value) in _AS_THEY_ARE:
            self._take(VALUE_SIZE)
            return value
        # also ends the recursion for a value that contains itself
        if depth > DEPTH_MAX:
            raise _NoJson
        if isinstance(value, dict):
            self._take(sum(len(name) for name in value if isinstance(name, str)))
            return {key(name): self.read(item, depth + 1) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.read(item, depth + 1) for item in value]
        if _is_of_numpy(value) and value.ndim > 0:
            self._take(VALUE_SIZE * value.size)
            return [self.read(item, depth + 1) for item in value]
        if not isinstance(value, _SCALARS) and not _is_of_numpy(value):
            raise _NoJson
        self._take(VALUE_SIZE + (len(value) if isinstance(value, str) else 0))
        return plain(value)

    def _take(self, size):
        self._size_left -= size
        if self._size_left < 0:
            raise _NoJson


def _is_of_numpy(value):
    """Tells whether a value is an array or scalar of numpy, without importing numpy."""
    return type(value).__module__ == "numpy" and hasattr(value, "ndim")
