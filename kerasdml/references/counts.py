"""Counts that sources are given."""

import numbers


def check_count(name, value, least):
    """Returns an `int`, or raises a `ValueError` if it is below `least`."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(
            f"`{name}` must be an integer of at least {least}. "
            f"Received: {name}={value!r}."
        )
    return int(value)
