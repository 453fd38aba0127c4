"""Durations as people write and read them."""

import re
from datetime import timedelta

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def duration(text: str) -> timedelta:
    """Return the duration that is written as ``90s``, ``30m``, ``12h``, ``7d`` or ``2w``.

    Raises:
        typer.BadParameter: it is not written so.

    Example:
        >>> duration("12h")
        datetime.timedelta(seconds=43200)
    """
    found = _WRITTEN.fullmatch(text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration; write 90s, 30m, 12h, 7d or 2w.")
    try:
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long.") from None


def shown(seconds: float) -> str:
    """Return a duration in the two largest units that say something.

    Example:
        >>> shown(0.4), shown(75), shown(7300), shown(200_000)
        ('0 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    whole = max(0, int(seconds))
    parts = [
        (whole // 86_400, "d"),
        (whole // 3600 % 24, "h"),
        (whole // 60 % 60, "min"),
        (whole % 60, "s"),
    ]
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    said = parts[first : first + 2]
    return " ".join(f"{count} {unit}" for count, unit in said if count or said[0] == (count, unit))
