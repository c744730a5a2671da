"""Lengths of time as people write them: "90s", "30m", "2h", "1h30m"."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_PARTS = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")


def seconds_of(text: str) -> float:
    """Return the seconds that `text` says; a number alone is seconds.

    Raises:
        ValueError: it is no length of time.

    >>> seconds_of("30m"), seconds_of("1h30m"), seconds_of("90")
    (1800.0, 5400.0, 90.0)
    """
    plain = text.replace(" ", "").lower()
    if re.fullmatch(r"\d+(\.\d+)?", plain):
        return float(plain)
    found = _PARTS.fullmatch(plain)
    if not plain or found is None:
        raise ValueError("a length of time such as 90s, 30m or 1h30m")
    return sum(_SECONDS[unit] * float(number) for unit, number in found.groupdict().items() if number)


def _read(value: Any) -> Any:
    return seconds_of(value) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_read), Field(gt=0)]
"""A setting that holds seconds and takes texts such as "30m"."""
