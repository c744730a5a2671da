"""Which spellings are one class: equal numbers, equal letters, and what a user says belongs together."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from medimg_cli.dataset.ingest.previous import PreviousDataset
from medimg_cli.dataset.labels import LABEL_SEP, LabelSpace, guess_positive, natural_order, parts_of
from medimg_cli.dataset.listing import Listing, Missed, missed_text
from medimg_cli.dataset.manifest import UNKNOWN_COLUMN
from medimg_cli.errors import DataError, UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.progress import Remarks
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.settings import IngestSettings

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,2})?")
_NOT_STATED = frozenset(
    [
        "",
        "nan",
        "na",
        "n/a",
        "#n/a",
        "n.a.",
        "k.a.",
        "<na>",
        "null",
        "nat",
        "#value!",
        "#ref!",
        "?",
        ".",
        "--",
    ]
)
"""How tables leave a label out, in small letters; `None` may be a class of images without finding."""
_FAULT = re.compile(r"#[\w/]+[!?]|#nv")
"""What spreadsheets show of a formula without a value: #NAME?, #DIV/0!, #WERT!, #NV."""

_YES = tuple(
    "1 true wahr vrai verdadero vero yes y ja j oui o si sí t + pos positive positiv present".split()
)
_NO = tuple("0 false falsch faux falso no n nein non f - neg negative negativ absent".split())
_MARKS = dict.fromkeys((*_YES, "x", "✓", "✔", "☑", "☒", "✗", "✘", "++", "+++"), True) | dict.fromkeys(
    (*_NO, "☐"), False
)
# Letters alone are codes of classes too (T tumour, N normal), so that only with "y" they are a yes or a no.
_ANSWERS = {word for word in (*_YES, *_NO) if not (len(word) == 1 and word.isalpha())}


def clean(text: str) -> str:
    """Return a text as it looks: composed (NFC), full-width letters as plain ones, no invisible signs, single spaces."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    shown = (
        unicodedata.normalize("NFKC", sign)
        if unicodedata.decomposition(sign).startswith(("<wide>", "<narrow>"))
        else sign
        for sign in unicodedata.normalize("NFC", text)
        if unicodedata.category(sign) not in ("Cf", "Cc", "Cs") or sign.isspace()
    )
    return " ".join("".join(shown).split())


def is_stated(text: str) -> bool:
    """Return whether a cell says a label; one that is empty, "NaN" or "n/a" does not."""
    shown = clean(text).casefold()
    return shown not in _NOT_STATED and _FAULT.fullmatch(shown) is None


def mark_of(cell: str) -> bool | None:
    """Return what a cell of a column a class says: yes (1, X, [x], ja, +), no (0, nein, -), None for anything else."""
    kind, value = key_of(cell)
    word = str(int(value)) if kind == "number" and value in (0, 1) else clean(cell).casefold()
    return _MARKS.get(word.replace("−", "-").replace("–", "-").strip("()[] "))


def key_of(text: str) -> tuple[str, object]:
    """Return what two spellings of one class have in common."""
    shown = clean(text)
    if _NUMBER.fullmatch(shown):
        return "number", Decimal(shown.replace(",", "."))
    return "text", shown


class ClassNames:
    """The class of each text that says one.

    Args:
        counts: texts as they stand → how often.
        mapping: text or class → class it belongs to, as a user says.
        gaps: "NaN" and the like stand for no label, as in cells of a table.

    Raises:
        UsageError: nothing is called as the mapping says.
    """

    def __init__(self, counts: Mapping[str, int], mapping: Mapping[str, str], *, gaps: bool = True) -> None:
        wanted = {key_of(old): new for old, new in mapping.items()}
        there = {key_of(text) for text in counts}
        unknown = next((old for old in mapping if key_of(old) not in there), None)
        if unknown is not None:
            hint = did_you_mean(unknown, {clean(text) for text in counts})
            raise UsageError(f"--map {unknown}={mapping[unknown]}: no label is '{unknown}'", hint)
        self._names: dict[str, str] = {}
        groups: dict[tuple[str, object], Counter[str]] = {}
        for text, count in counts.items():
            name = wanted.get(key_of(text))
            if name is not None or (is_stated(text) if gaps else text):
                label = text if name is None else name
                groups.setdefault(key_of(label), Counter())[label] += count
                self._names[text] = label
        named = {key: _name_of(key, spelt) for key, spelt in groups.items()}
        sides = _answers_in(Counter({named[key]: spelt.total() for key, spelt in groups.items()}))
        final = {key: sides.get(name, name) for key, name in named.items()}
        self.notes = tuple(_notes(groups, final))
        self._names = {text: final[key_of(name)] for text, name in self._names.items()}
        left_out = Counter({text: n for text, n in counts.items() if text and text not in self._names})
        if left_out:
            listed = ", ".join(f"{_shown(text)} ({n:,})" for text, n in left_out.most_common(5))
            self.notes += (f"taken for no label: {listed}; --map OLD=NEW makes a class of one",)

    def of(self, text: str) -> str:
        """Return the class a text says, "" for none."""
        return self._names.get(text, "")

    def __call__(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the distinct classes of texts, in their order."""
        return tuple(name for name in dict.fromkeys(map(self.of, texts)) if name)


def _name_of(key: tuple[str, object], spelt: Counter[str]) -> str:
    kind, value = key
    most = max(spelt, key=lambda text: (spelt[text], -len(text), text))
    if kind == "number" and isinstance(value, Decimal) and value == value.to_integral_value():
        shown = clean(most)
        return str(int(value)) if len(spelt) > 1 or not shown.lstrip("+-").isdecimal() else shown
    return clean(most)


def _answers_in(counts: Counter[str]) -> dict[str, str]:
    """Return name → the one that stands for its side, where all names are a yes or a no, spelt in several ways."""
    words = {name: name.casefold() for name in counts}
    known = _ANSWERS | ({"y", "n"} if "y" in words.values() else set())
    sides = {name: _MARKS[word] for name, word in words.items() if word in known}
    if len(sides) < len(counts) or len(counts) <= len(set(sides.values())):
        return {}
    ranked = sorted(counts, key=lambda name: (-counts[name], words[name] not in ("0", "1"), name))
    first = {side: next(name for name in ranked if sides[name] == side) for side in set(sides.values())}
    return {name: first[side] for name, side in sides.items()}


def _notes(
    groups: Mapping[tuple[str, object], Counter[str]], final: Mapping[tuple[str, object], str]
) -> Iterable[str]:
    spellings: dict[str, Counter[str]] = {}
    for key, spelt in groups.items():
        spellings.setdefault(final[key], Counter()).update(spelt)
    for name, spelt in spellings.items():
        if len(spelt) > 1 or (key_of(next(iter(spelt)))[0] == "number" and name not in spelt):
            listed = ", ".join(f"{_shown(text)} ({count:,})" for text, count in spelt.most_common(5))
            yield f"one class, '{name}': {listed}"


def _shown(text: str) -> str:
    return repr(text) if text == clean(text) else ascii(text)


def respelt(listing: Listing, mapping: Mapping[str, str], *, several: bool) -> Listing:
    """Return a listing in which each class has one spelling; its notes record what is changed.

    Args:
        several: an image may carry several labels.

    Raises:
        UsageError: no class is called as the mapping says.
    """
    counts = Counter(dict.fromkeys(listing.classes, 0))
    for entry in listing.entries:
        counts.update(parts_of(entry.label) if several else (entry.label,))
    names = ClassNames(counts, mapping, gaps=False)
    if all(names.of(name) == name for name in listing.classes):
        return listing
    classes = names(listing.classes)
    ordered = (
        list(classes) if list(listing.classes) != natural_order(listing.classes) else natural_order(classes)
    )

    def of(label: str) -> str:
        if not several:
            return names.of(label)
        return LABEL_SEP.join(sorted(names(parts_of(label)), key=ordered.index))

    entries = tuple(
        replace(
            entry,
            label=of(entry.label),
            extra={
                name: of(cell) if name == UNKNOWN_COLUMN and several else cell
                for name, cell in entry.extra.items()
            },
        )
        for entry in listing.entries
        if of(entry.label) or several
    )
    return replace(listing, entries=entries, classes=tuple(ordered), notes=(*listing.notes, *names.notes))


def label_space(listing: Listing, settings: IngestSettings, *, tested: bool = False) -> LabelSpace:
    """Return the classes and the disease among them; reported before hours are spent on decoding.

    Args:
        tested: a model that knows its classes is tested on the images: one class will do, and none is guessed ill.

    Raises:
        DataError: there is no image, one class only, or a class with the sign between labels in its name.
        UsageError: the named disease is no class.
    """
    if not listing.entries and listing.missed:
        left = (row.path for row in listing.rejected if row.reason == "not in the table of labels")
        there = next(left, None)
        raise DataError(
            f"no image was found: {missed_text(listing.missed)}",
            "write paths from the source on" + (f"; a file that is there: {there}" if there else ""),
        )
    if not listing.entries:
        reasons = Counter(row.reason for row in listing.rejected).most_common(1)
        reason = f": {reasons[0][0]} ({reasons[0][1]} of {len(listing.rejected)} files)" if reasons else ""
        raise DataError(
            f"no image was found{reason}",
            "put each class into a folder of its own, or name a table: --labels FILE; see --layout"
            if settings.labels is None
            else f"fill in {listing.label_source}, or name another: --label-col NAME",
        )
    if len(listing.classes) < 2 and not (settings.multi_label or tested):
        raise DataError(
            f"only one class: '{listing.classes[0]}'",
            "training and evaluation need two classes at least; for answers alone: medimg predict",
        )
    wrong = next((name for name in listing.classes if settings.multi_label and LABEL_SEP in name), None)
    if wrong is not None:
        raise DataError(
            f"class '{wrong}' has '{LABEL_SEP}' in its name, which stands between labels",
            f"rename it, or name what stands between labels: --label-sep '{LABEL_SEP}'",
        )
    guess = None if settings.multi_label or tested else guess_positive(listing.classes)
    return LabelSpace(listing.classes, settings.positive or guess)


def code_book_for(
    space: LabelSpace, code_book: Mapping[str, LabelCode] | None, previous: PreviousDataset
) -> dict[str, LabelCode]:
    """Return what the classes mean, as stated now, else as stated before.

    Raises:
        UsageError: the code book knows a class that the data set has not.
    """
    if code_book is None:
        return {} if previous.info is None else previous.info.code_book
    unknown = next((name for name in code_book if name not in space.classes), None)
    if unknown is not None:
        raise UsageError(
            f"labels: '{unknown}' is not one of the classes", did_you_mean(unknown, space.classes)
        )
    return dict(code_book)


def without_foreign_classes(
    space: LabelSpace,
    foreign: set[str],
    settings: IngestSettings,
    previous: PreviousDataset,
    remarks: Remarks,
    *,
    tested: bool = False,
) -> LabelSpace:
    """Return the classes but for folders that hold no image at all, which is noted; those that stand stay.

    Args:
        foreign: labels whose every file is something else than an image.
        tested: as `label_space` has it.

    Raises:
        DataError: fewer than two classes are left.
        UsageError: the disease named is one of those left out.
    """
    kept = () if previous.info is None else previous.info.classes
    left_out = [name for name in space.classes if name in foreign and name not in kept]
    if not left_out or len(left_out) == len(space.classes):
        return space
    remarks.warn(f"no class, as none of its files is an image: {', '.join(left_out)}")
    classes = tuple(name for name in space.classes if name not in left_out)
    if len(classes) < 2 and not (settings.multi_label or tested):
        raise DataError(
            f"only one class has images: '{classes[0]}'",
            "training and evaluation need two classes at least; for answers alone: medimg predict",
        )
    guess = None if settings.multi_label or tested else guess_positive(classes)
    return LabelSpace(classes, settings.positive or guess)


def refuse_empty_classes(
    space: LabelSpace,
    labels: Sequence[str],
    reasons: Sequence[str],
    missed: Sequence[Missed] = (),
    why_lost: Callable[[str], str] = lambda _name: "",
) -> None:
    """Refuse a class that none of the readable images has.

    Args:
        labels: of each readable image (N,).
        reasons: why the others cannot be read.
        missed: rows of tables without a file.
        why_lost: why images of a class cannot be read, "" where it has none.

    Raises:
        DataError: there is such a class, or no image at all.
    """
    if not labels:
        reason, count = Counter(reasons).most_common(1)[0]
        raise DataError(
            f"no image could be read: {reason} ({count} of {len(reasons)} files)", "check the source"
        )
    present = {part for label in set(labels) for part in (label, *parts_of(label))}
    empty = next((name for name in space.classes if name not in present), None)
    causes = [row for row in missed if row.label is not None and empty in (row.label, *parts_of(row.label))]
    if empty is not None and causes:
        raise DataError(
            f"class '{empty}' has no readable image: {missed_text(causes)}",
            "write paths from the source on, so that each names one file",
        )
    if empty is not None:
        why = why_lost(empty)
        raise DataError(
            f"class '{empty}' has no readable image" + (f": {why}" if why else ""),
            "add images, or take its folder or rows out of the source",
        )
