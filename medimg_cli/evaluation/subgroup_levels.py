"""Columns of the metadata as groups of images: which columns, and which levels each of them has."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.labels import natural_order
from medimg_cli.dataset.manifest import COLUMNS, EXAM
from medimg_cli.errors import UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.plain_text import without_accents

NOT_KNOWN = "not known"
MOST_LEVELS = 12
_NOTHING = frozenset(
    ["", "nan", "na", "n/a", "null", "?", "-", "unknown", "missing", NOT_KNOWN, "not reported", "unspecified"]
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LOOKED_FOR = {
    name: frozenset(words.split())
    for name, words in {
        "sex": "sex gender geschlecht patientengeschlecht sexe genre sexo genero sesso",
        "age": "age alter patientenalter lebensalter edad eta idade",
        "site": "site hospital institution center centre clinic klinik krankenhaus standort zentrum praxis hopital centro ospedale clinica",
        "device": "device scanner manufacturer vendor model camera maker gerat geraet hersteller appareil fabricant fabricante equipo apparecchio",
        "view": "view projection projektion proyeccion projecao proiezione",
        "ethnicity": "ethnicity race ancestry ethnie etnia raza",
        "skin type": "skin fitzpatrick phototype hauttyp peau piel pelle",
    }.items()
}
"""Words of a column's name, without accents, in the languages hospitals keep tables in."""
# A site of the body is no hospital, and these columns hold answers, places or identifiers, not properties.
_OF_THE_BODY = frozenset(["anatom", "anatomic", "anatomical", "anatomy", "body", "lesion", "biopsy", "tumor"])
_NO_PROPERTY = frozenset(
    [
        *("uid", "serial", "path", "file", "hash", "date", "time", "x", "y", "z"),
        *("score", "confidence", "probability", "prob", "logit", "prediction", "pred", "output"),
    ]
)
_ANSWERS = ("prob_", "y_true", "y_pred", "label_")
_AGE = re.compile(r"[<>≥≤~]?\s*(\d+(?:\.\d+)?)\s*(y|m|w|d)?[a-z]*\.?\s*\+?", re.IGNORECASE)
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
_OLDEST = 120
_AGE_SHARE = 0.9
_OF_ADULTS = (0, 18, 40, 60, 80)
_OF_CHILDREN = (0, 2, 6, 12, 18)


@dataclass(frozen=True)
class Levels:
    """The level of every image.

    Args:
        column: its name; "sex × site" of two at once.
        names: of the levels; every one of them has an image. Ranges stand in their order, others the largest first.
        codes: (N,), places in `names`.
        rest: places in `names` of what is no level of its own: the rare ones together, and "not known".
    """

    column: str
    names: tuple[str, ...]
    codes: NDArray[np.int64]
    rest: frozenset[int] = frozenset()


def asked_columns(asked: Sequence[str], there: Iterable[str]) -> tuple[str, ...]:
    """Return the columns somebody asked for, as the data spell them.

    Raises:
        UsageError: there is no such column.
    """
    known = {str(name).casefold(): str(name) for name in there}
    found = []
    for name in asked:
        if name.casefold() not in known:
            further = [
                each
                for each in known.values()
                if each not in (*COLUMNS, EXAM) and not each.startswith(_ANSWERS)
            ]
            hint = did_you_mean(name, further) if further else "the data have no further columns"
            raise UsageError(f"--subgroups: no column '{name}'", hint)
        found.append(known[name.casefold()])
    return tuple(dict.fromkeys(found))


def usual_columns(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns that readers of an evaluation look for and that say something of at least one image."""
    return tuple(
        str(name)
        for name in rows.columns
        if looked_for(str(name)) is not None and any(not _is_nothing(cell) for cell in rows[name])
    )


def absent_from(columns: Iterable[str]) -> tuple[str, ...]:
    """Return what readers look for and none of the columns holds: "sex", "age", …"""
    held = {looked_for(name) for name in columns}
    return tuple(name for name in _LOOKED_FOR if name not in held)


def looked_for(column: str) -> str | None:
    """Return what a column holds by its name, None where it is nothing that readers look for.

    >>> looked_for("Patient Gender"), looked_for("ManufacturerModelName"), looked_for("anatom_site"), looked_for("page")
    ('sex', 'device', None, None)
    """
    if column in COLUMNS or column.startswith(_ANSWERS):
        return None
    words = {word.lower() for word in _WORDS.findall(without_accents(column, "NFD"))}
    if words & _NO_PROPERTY:
        return None
    for name, meant in _LOOKED_FOR.items():
        if words & meant and not (name == "site" and words & _OF_THE_BODY):
            return name
    return None


def levels_of(cells: pd.Series, column: str) -> Levels:
    """Return the levels of one column.

    Ages stand in ranges, other numbers in quartiles of these images unless there are few different ones; texts stand
    as they are, in whatever case. Sites, devices and the like are names even where they are numbers. Beyond 12 levels
    the rarest are taken together.

    Args:
        cells: (N,), texts; numbers are taken as well.
    """
    written = {cell: " ".join(str(cell).split()) for cell in cells.unique()}
    texts = [written[cell] for cell in cells.tolist()]
    family = looked_for(column)
    if family == "age":
        years_by_text = {text: years_of(text) for text in written.values()}
        years = np.array([years_by_text[text] for text in texts])
        filled = sum(not _is_nothing(text) for text in texts)
        if filled and np.isfinite(years).sum() >= _AGE_SHARE * filled:
            return _of_ages(column, years)
    elif family is None:
        numbers = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(dtype=np.float64)
        if all(np.isfinite(number) or _is_nothing(text) for number, text in zip(numbers, texts, strict=True)):
            return _of_numbers(column, numbers)
    return _of_texts(column, texts)


def crossed(first: Levels, second: Levels) -> Levels:
    """Return the levels of two columns at once, the largest first."""
    width = len(second.names)
    both = first.codes * width + second.codes
    used, counts = np.unique(both, return_counts=True)
    used = used[np.argsort(-counts, kind="stable")]
    place = {int(code): number for number, code in enumerate(used)}
    return Levels(
        f"{first.column} × {second.column}",
        tuple(f"{first.names[code // width]} · {second.names[code % width]}" for code in used),
        np.array([place[int(code)] for code in both], dtype=np.int64),
        frozenset(
            place[int(code)] for code in used if code // width in first.rest or code % width in second.rest
        ),
    )


def years_of(text: str) -> float:
    """Return an age in years, NaN where the text is none: numbers, DICOM's age strings (PS3.5, 6.2: AS), "90+".

    >>> years_of("045Y"), years_of("018M"), years_of("61"), years_of("90+"), years_of("old")
    (45.0, 1.5, 61.0, 90.0, nan)
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        return float("nan")
    years = float(found[1]) * _YEARS[(found[2] or "y").lower()]
    return years if years <= _OLDEST else float("nan")


def _of_ages(column: str, years: NDArray[np.float64]) -> Levels:
    """Return ranges of ages; where nobody is of age, those of children."""
    known = np.isfinite(years)
    edges = _OF_CHILDREN if (years[known] < 18).all() else _OF_ADULTS
    names = [f"{low}–{high - 1}" for low, high in pairwise(edges)] + [f"{edges[-1]}+"]
    codes = np.searchsorted(edges, np.where(known, years, 0), side="right") - 1
    return _used(column, names, codes, known)


def _of_numbers(column: str, numbers: NDArray[np.float64]) -> Levels:
    """Return different numbers where there are few of them, else quartiles named by the least and the highest in each."""
    known = np.isfinite(numbers)
    different = np.unique(numbers[known])
    if len(different) <= MOST_LEVELS:
        codes = np.searchsorted(different, np.where(known, numbers, 0))
        return _used(column, _spelled(different), codes, known)
    edges = np.unique(np.quantile(numbers[known], (0.25, 0.5, 0.75)))
    codes = np.searchsorted(edges, np.where(known, numbers, 0), side="left")
    parts = [numbers[known & (codes == code)] for code in range(len(edges) + 1)]
    ends = _spelled(np.array([end for part in parts if len(part) for end in (part.min(), part.max())]))
    pairs = iter(zip(ends[::2], ends[1::2], strict=True))
    names = ["" if not len(part) else "–".join(dict.fromkeys(next(pairs))) for part in parts]
    return _used(column, names, codes, known)


def _of_texts(column: str, texts: Sequence[str]) -> Levels:
    """Return the texts, the most frequent first and spelt as most often."""
    known = np.array([not _is_nothing(text) for text in texts])
    keys = [text.casefold() for text in texts]
    counts = Counter(key for key, there in zip(keys, known, strict=True) if there)
    spellings = Counter(texts)
    spelt: dict[str, str] = {}
    for text in sorted(spellings, key=lambda text: (-spellings[text], text)):
        spelt.setdefault(text.casefold(), text)
    order = {key: number for number, key in enumerate(natural_order(counts))}
    ranked = sorted(counts, key=lambda key: (-counts[key], order[key]))
    shown = ranked if len(ranked) <= MOST_LEVELS else ranked[: MOST_LEVELS - 1]
    place = {key: number for number, key in enumerate(shown)}
    codes = np.array([place.get(key, len(shown)) for key in keys], dtype=np.int64)
    names = [spelt[key] for key in shown]
    if len(shown) == len(ranked):
        return _used(column, names, codes, known)
    return _used(column, [*names, f"{len(ranked) - len(shown)} others"], codes, known, pooled=len(shown))


def _used(
    column: str,
    names: Sequence[str],
    codes: NDArray[np.int64],
    known: NDArray[np.bool_],
    *,
    pooled: int | None = None,
) -> Levels:
    """Return the levels that have an image, numbered anew; what is not known comes last."""
    there = np.where(known, codes, len(names))
    used = np.unique(there)
    every = (*names, NOT_KNOWN)
    rest = frozenset(place for place, code in enumerate(used) if code in (pooled, len(names)))
    return Levels(
        column,
        tuple(every[code] for code in used),
        np.searchsorted(used, there).astype(np.int64),
        rest,
    )


def _spelled(numbers: NDArray[np.float64]) -> list[str]:
    """Return numbers with as many decimals as it takes to tell them apart."""
    different = len(np.unique(numbers))
    whole = bool((numbers == np.round(numbers)).all())
    for digits in range(0 if whole else 1, 9):
        texts = [f"{number:.{digits}f}" for number in numbers]
        if len(set(texts)) == different:
            return texts
    return [repr(float(number)) for number in numbers]


@lru_cache(maxsize=4096)
def _is_nothing(cell: object) -> bool:
    return " ".join(str(cell).split()).lower() in _NOTHING
