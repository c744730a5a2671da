"""Whether the long numbers in the names of a data set count its files or file its patients."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from medimg_cli.privacy.forms.names import Identity, find_identities

Verdict = Literal["counter", "dense", "shared", "record"]
"""counter: a series from a round number on; dense: neighbouring numbers; shared: one number in nearly every name;
record: numbers far apart, as those are that a hospital gives to its patients."""

_COUNTER_DENSITY = 0.5
_DENSE = 0.1
_SHARED_NAMES = 10
_SHARED_PART = 0.9
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class LongNumber:
    """A number of six digits and more in one name.

    Args:
        slot: what stands before it in its folder or file name, digits as `#`: numbers of one slot are one series.
        value: the number.
    """

    slot: str
    value: int


def long_numbers(name: str, identities: Sequence[Identity] | None = None) -> list[LongNumber]:
    """Return the record-number candidates of a path, each with its slot.

    Args:
        identities: what `find_identities` found in it, where that is known already.

    >>> long_numbers("a/case12_471123.png")
    [LongNumber(slot='case#_', value=471123)]
    """
    found = find_identities(name) if identities is None else identities
    return [_long_number(name, identity) for identity in found if identity.kind == "record-number"]


def judge_series(names: Sequence[Sequence[LongNumber]]) -> dict[str, Verdict]:
    """Return slot → what its numbers are, from the long numbers of every name (N) of a data set.

    Random record numbers of six digits are at most one in a hundred of their range; a counter holds
    half of its range at least, and begins at a round number.

    >>> judge_series([long_numbers(f"scan_{100000 + number}.png") for number in range(50)])
    {'scan_': 'counter'}
    >>> judge_series([long_numbers(f"{number}.png") for number in (471123, 889214, 130977)])
    {'': 'record'}
    """
    values: defaultdict[str, list[int]] = defaultdict(list)
    for numbers in names:
        for slot, value in {(number.slot, number.value) for number in numbers}:
            values[slot].append(value)
    return {slot: _judge(found, len(names)) for slot, found in values.items()}


def _judge(values: Sequence[int], names: int) -> Verdict:
    distinct = sorted(set(values))
    if len(distinct) == 1:
        shared = len(values) >= max(_SHARED_NAMES, _SHARED_PART * names)
        return "shared" if shared else "record"
    density = len(distinct) / (distinct[-1] - distinct[0] + 1)
    first = distinct[0]
    is_round = first % 10 ** (len(str(first)) - 1) <= 1
    if density >= _COUNTER_DENSITY and is_round:
        return "counter"
    return "dense" if density >= _DENSE else "record"


def _long_number(name: str, identity: Identity) -> LongNumber:
    before = name[: identity.start].rpartition("/")[2]
    return LongNumber(_DIGITS.sub("#", before), int(name[identity.start : identity.end]))
