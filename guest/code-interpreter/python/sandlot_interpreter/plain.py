"""Converts single values to JSON values."""

import datetime
import enum
import json
import math
import numbers


def plain(value):
    """Returns a number, text, boolean or None. NaN becomes None, dates become ISO 8601, other objects text."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = _item(value)
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else None
    if _is_missing(value):
        return None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def key(value):
    """Returns a value as key of a JSON object: `true`, `null`, `1`, or a date in ISO 8601."""
    if isinstance(value, str):
        return str(value)
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value)


def _item(value):
    """Returns the Python value. Dates and spans of numpy are converted to microseconds first, because `item` of those in nanoseconds is a number."""
    is_time = getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M")
    return value.astype(f"{value.dtype.kind}8[us]").item() if is_time else value.item()


def _is_missing(value):
    """Tells whether a value is missing. NaN and pandas.NaT differ from themselves; for pandas.NA the comparison fails, for arrays it is made for each element."""
    if type(value).__name__ == "NAType":
        return True
    return isinstance(value, (datetime.date, numbers.Number)) and value != value
