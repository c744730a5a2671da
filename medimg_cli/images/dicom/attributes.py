"""Header values as numbers, however they were written."""

import math
from typing import Any

from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset

_LONGEST_SHOWN = 30


class Unusable(Exception):  # noqa: N818 -- no failure: what depends on the value is skipped, and the text says why
    """Raised for an attribute or table that cannot be applied; its text is the reason, a part of a line."""


def value_of(holder: Dataset, keyword: str) -> Any:
    """Return an attribute's value, None where it is absent, empty or cannot be decoded at all."""
    try:
        return holder.get(keyword)
    except Exception:  # damaged bytes make pydicom raise anything
        return None


def numbers(holder: Dataset, keyword: str) -> tuple[float, ...]:
    """Return an attribute's numbers, () where it is absent or empty.

    Raises:
        Unusable: one of them is no finite number.
    """
    try:
        value = holder.get(keyword)
    except Exception as error:  # a value pydicom cannot convert
        raise Unusable(f"{dictionary_description(keyword)} is no number") from error
    several = value if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else [value]
    found = []
    for one in several:
        if one is None or one == "" or one == b"":
            continue
        try:
            number = float(one)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise Unusable(f"{dictionary_description(keyword)} {shown(one)} is no number")
        found.append(number)
    return tuple(found)


def one_number(holder: Dataset, keyword: str) -> float | None:
    """Return an attribute's one number, None where it is absent or empty.

    Raises:
        Unusable: it is no finite number, or there are several that differ.
    """
    found = numbers(holder, keyword)
    if len(set(found)) > 1:
        raise Unusable(f"{dictionary_description(keyword)} has {len(found)} values, where one belongs")
    return found[0] if found else None


def word(holder: Dataset, keyword: str) -> str:
    """Return a code string in capitals, without blanks around it (PS3.5 6.2), "" where there is none.

    Of several values it is the first.
    """
    value = value_of(holder, keyword)
    if value is not None and not isinstance(value, str) and hasattr(value, "__getitem__"):
        value = value[0] if len(value) else ""
    return str(value if value is not None else "").strip(" \0").upper()


def shown(value: Any) -> str:
    """Return a value as a short quoted text without control characters."""
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return f"'{text[:_LONGEST_SHOWN]}{'…' if len(text) > _LONGEST_SHOWN else ''}'"
