"""Which further columns of a manifest are traits: of the acquisition, of the patient, or of nobody knows what."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.shortcuts.separability import Binned, bin_numbers, bin_texts
from medimg_cli.dataset.manifest import COLUMNS, Dataset, DatasetInfo

# picture: how the pixels are stored and shaped · edge: border and corners · content: brightness and the like, which
# may be the disease itself · origin: device, place, date · patient: age, sex · name: how files are called ·
# column: any other column of the manifest
TraitKind = Literal["picture", "edge", "content", "origin", "patient", "name", "column"]


@dataclass(frozen=True)
class Trait:
    """One trait of N images.

    Args:
        title: what a message calls it.
        kind: see `TraitKind`.
        values: (N,) numbers, NaN where not known, or texts, "" where not known.
        hidden: its values may name a person or a place and are never shown.
    """

    title: str
    kind: TraitKind
    values: NDArray[np.float64] | Sequence[str]
    hidden: bool = False

    @property
    def numbers(self) -> NDArray[np.float64] | None:
        """Return the values where all of them are known numbers, else None."""
        if isinstance(self.values, np.ndarray) and bool(np.isfinite(self.values).all()):
            return self.values
        return None

    def binned(self) -> Binned:
        """Return the bin of every image; of a hidden trait the bins have numbers for names."""
        found = bin_numbers(self.values) if isinstance(self.values, np.ndarray) else bin_texts(self.values)
        if not self.hidden:
            return found
        return Binned(found.codes, (*found.names[:2], *_numbered(len(found.names) - 2)))


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"value {number + 1}" for number in range(count))


# What other commands write for their own use, or what is a trait under another name already.
_OWN = frozenset({"fold", "frame", "note", "named", "unknown"})
# What readers found in the files and ingest wrote down.
_FACTS: dict[str, TraitKind] = {
    "inverted": "picture",
    "orientation": "picture",
    "alpha": "picture",
    "window": "origin",
    "frames": "origin",
}
_ORIGIN = re.compile(
    r"site|cent(?:er|re)|hospital|institut|ward|department|clinic|scanner|device|manufactur|vendor|maker|model"
    r"|camera|station|date|year|month|time|view|projection|position|protocol|kvp|kv\b|mas\b|exposure|sequence|coil"
    r"|source|origin|cohort|data_?set|batch|machine|magnification|portable|orientation|lateral|modality"
    r"|transfer_syntax|inverted|spacing|thickness|country|region",
    re.IGNORECASE,
)
_PATIENT = re.compile(
    r"(?:^|_)(?:age|sex|gender|ethnicity|race|weight|height|bmi|insurance|language)(?:$|_)", re.IGNORECASE
)
_NAMES = re.compile(
    r"name|physician|doctor|operator|reader|radiologist|annotator|address|phone|mail|hospital|institut|clinic"
    r"|station|ward|site|cent(?:er|re)|comment|note|report|history",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(
    r"(?:^|[_\s-])(?:uid|id|ids|mrn|accession|path|file|filename|hash|sha256)$", re.IGNORECASE
)
_DATE = re.compile(r"\s*((?:19|20)\d\d)[-/.]?(?:0[1-9]|1[0-2])(?:[-/.]?\d\d)?\b.*", re.DOTALL)
_MOST_VALUES, _MOST_SENTENCES, _WORDS = 200, 20, 4
_NUMERIC_SHARE = 0.9


def column_traits(rows: pd.DataFrame, info: DatasetInfo) -> Iterator[Trait]:
    """Yield the further columns that hold categories, numbers or dates; of a date the year.

    Left out: identifiers, free text, columns whose values are the classes (readers' own labels), and the columns
    the labels were read from.
    """
    aside = label_columns(info)
    yield from carried_traits(rows.drop(columns=[name for name in rows if name in aside]), info.classes)


def carried_traits(rows: pd.DataFrame, classes: Sequence[str]) -> Iterator[Trait]:
    """Yield the same of a table without the columns its labels were read from."""
    for column in rows.columns:
        name = str(column)
        is_label = name in classes or name.startswith(
            "label_"
        )  # as ingest calls the labels of single readers
        if name in COLUMNS or name in _OWN or is_label or _IDENTIFIER.search(name):
            continue
        trait = _trait(name, rows[column].astype(str).str.strip(), classes)
        if trait is not None:
            yield trait


def _trait(name: str, cells: pd.Series, classes: Sequence[str]) -> Trait | None:
    filled = cells[cells.ne("") & cells.str.lower().ne("nan")]
    title, kind = f"column '{name}'", _kind(name)
    is_label = kind == "column" and set(filled.str.lower()) <= {value.lower() for value in classes}
    if filled.empty or is_label:
        return None
    years = cells.str.extract(_DATE, expand=False)
    if years.notna().sum() >= _NUMERIC_SHARE * len(filled):
        return Trait(f"year in {title}", kind, years.to_numpy(dtype=np.float64))
    numbers = pd.to_numeric(cells, errors="coerce")
    if numbers.notna().sum() >= _NUMERIC_SHARE * len(filled):
        return Trait(title, kind, numbers.to_numpy(dtype=np.float64))
    sentences = filled.str.count(r"\S+").median() >= _WORDS  # free text, also in a small set
    if filled.nunique() > (_MOST_SENTENCES if sentences else _MOST_VALUES):
        return None
    return Trait(title, kind, cells.where(cells.isin(filled), "").tolist(), hidden=bool(_NAMES.search(name)))


def _kind(name: str) -> TraitKind:
    if name in _FACTS:
        return _FACTS[name]
    if _PATIENT.search(name):
        return "patient"
    return "origin" if _ORIGIN.search(name) else "column"


def training_rows(dataset: Dataset) -> pd.DataFrame:
    """Return the manifest rows of the training images, without columns that hold their labels in other words."""
    rows = dataset.of_split("train").reset_index(drop=True)
    return rows.drop(columns=[name for name in rows if name in label_columns(dataset.info) - {*COLUMNS}])


def label_columns(info: DatasetInfo) -> set[str]:
    """Return the columns labels were read from, as the sources' settings name them."""
    readings = [info.settings, *(origin.reading for origin in info.origins)]
    named = [str(reading.get("label_col") or "") for reading in readings]
    return {column.strip() for text in named for column in text.split(",") if column.strip()}


Values = NDArray[np.float64] | Sequence[str]
SIZES = {"width": "width (px)", "height": "height (px)"}
_STORED = {"channels": "channels", "bit_depth": "bit depth"}


@dataclass(frozen=True)
class OfTwoSets:
    """One property of both sets.

    Args:
        name: "width (px)", "age", "year in study_date".
        training, here: (M,) and (N,) numbers, NaN where not known, or texts, "" where not known.
        is_size: it is width or height.
        hidden: its values may name a person or a place and are never shown.
    """

    name: str
    training: Values
    here: Values
    is_size: bool = False
    hidden: bool = False

    @property
    def varies(self) -> bool:
        """Return whether the two sets together hold more than one value; not known is one."""
        both = [*self.training, *self.here]
        return len({"" if value != value else value for value in both}) > 1


def of_two_sets(training: pd.DataFrame, here: pd.DataFrame, classes: Sequence[str]) -> tuple[OfTwoSets, ...]:
    """Return size, storage and the carried columns that both tables have.

    Left out: identifiers, free text, and what holds labels (`audit.shortcuts.column_traits`).

    Args:
        training, here: manifest rows, or a table with other columns of its own.
        classes: names of the classes.
    """
    return (*_stored(training, here), *_carried(training, here, classes))


def same_images(training: pd.DataFrame, here: pd.DataFrame) -> bool:
    """Return whether most images of training are among the others too, known by the bytes of their files."""
    if "sha256" not in training or "sha256" not in here or training.empty:
        return False
    return bool(training["sha256"].isin(here["sha256"]).mean() > 0.5)


def _stored(training: pd.DataFrame, here: pd.DataFrame) -> Iterator[OfTwoSets]:
    for column, name in SIZES.items():
        if column in training and column in here:
            yield OfTwoSets(name, _sizes(training[column]), _sizes(here[column]), is_size=True)
    for column, name in _STORED.items():
        if column in training and column in here:
            yield OfTwoSets(name, training[column].astype(str).tolist(), here[column].astype(str).tolist())


def _sizes(cells: pd.Series) -> NDArray[np.float64]:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    return np.where(numbers > 0, numbers, np.nan)  # the manifest holds 0 where nobody knows


def _carried(training: pd.DataFrame, here: pd.DataFrame, classes: Sequence[str]) -> Iterator[OfTwoSets]:
    both = [column for column in training if column in here]
    joined = pd.concat([training[both], here[both]], ignore_index=True).fillna("")
    cut = len(training)
    for trait in carried_traits(joined, classes):
        name = trait.title.replace("column '", "").removesuffix("'")
        yield OfTwoSets(name, trait.values[:cut], trait.values[cut:], hidden=trait.hidden)
