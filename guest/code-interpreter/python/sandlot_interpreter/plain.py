"""Values as JSON has them."""

import datetime
import enum
import json
import math
import numbers


def plain(value):
    """A number, text, boolean or None; what JSON does not know (NaN, dates, objects) as None, ISO 8601 or text."""
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
    """The name that a value has as the key of a JSON object: `true`, `null`, `1`, a date in ISO 8601."""
    if isinstance(value, str):
        return str(value)
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value)


def _item(value):
    """Of numpy's dates and spans those that count nanoseconds are numbers as an item, those of microseconds are what Python has."""
    is_time = getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M")
    return value.astype(f"{value.dtype.kind}8[us]").item() if is_time else value.item()


def _is_missing(value):
    """pandas.NaT is a date that differs from itself, as NaN does; pandas.NA does not say whether it does; of arrays each element would."""
    if type(value).__name__ == "NAType":
        return True
    return isinstance(value, (datetime.date, numbers.Number)) and value != value
