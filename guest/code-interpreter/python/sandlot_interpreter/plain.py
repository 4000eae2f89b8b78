"""Values as JSON has them."""

import datetime
import math
import numbers


def plain(value):
    """A number, text, boolean or None; what JSON does not know (NaN, dates, objects) as None, ISO 8601 or text."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else None
    # pandas.NaT is a date that has no text
    if value != value:
        return None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)
