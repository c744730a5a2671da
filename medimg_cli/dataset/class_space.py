"""The classes of a listing: enough of them, each with images, each with its meaning."""

from collections import Counter
from collections.abc import Mapping, Sequence

from medimg_cli.dataset.ingest.previous import Standing
from medimg_cli.dataset.labels import LABEL_SEP, LabelSpace, guess_positive, parts_of
from medimg_cli.dataset.listing import Listing, Missed, said_of
from medimg_cli.errors import DataError, UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.progress import Remarks
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.settings import IngestSettings


def label_space(listing: Listing, settings: IngestSettings) -> LabelSpace:
    """Return the classes and the disease among them; told before hours are spent on decoding.

    Raises:
        DataError: there is no image, one class only, or a class with the sign between labels in its name.
        UsageError: the named disease is no class.
    """
    if not listing.entries and listing.missed:
        left = (row.path for row in listing.rejected if row.reason == "not in the table of labels")
        there = next(left, None)
        raise DataError(
            f"no image was found: {said_of(listing.missed)}",
            "write paths from the source on" + (f"; a file that is there: {there}" if there else ""),
        )
    if not listing.entries:
        reasons = Counter(row.reason for row in listing.rejected).most_common(1)
        said = f": {reasons[0][0]} ({reasons[0][1]} of {len(listing.rejected)} files)" if reasons else ""
        raise DataError(
            f"no image was found{said}",
            "put each class into a folder of its own, or name a table: --labels FILE; see --layout",
        )
    if len(listing.classes) < 2 and not settings.multi_label:
        raise DataError(
            f"only one class: '{listing.classes[0]}'",
            "a classifier needs two class folders or labels at least",
        )
    wrong = next((name for name in listing.classes if settings.multi_label and LABEL_SEP in name), None)
    if wrong is not None:
        raise DataError(
            f"class '{wrong}' has '{LABEL_SEP}' in its name, which stands between labels",
            f"rename it, or name what stands between labels: --label-sep '{LABEL_SEP}'",
        )
    guess = None if settings.multi_label else guess_positive(listing.classes)
    return LabelSpace(listing.classes, settings.positive or guess)


def code_book_for(
    space: LabelSpace, code_book: Mapping[str, LabelCode] | None, standing: Standing
) -> dict[str, LabelCode]:
    """Return what the classes mean, as said now, else as said before.

    Raises:
        UsageError: the code book knows a class that the data set has not.
    """
    if code_book is None:
        return {} if standing.info is None else standing.info.code_book
    unknown = next((name for name in code_book if name not in space.classes), None)
    if unknown is not None:
        raise UsageError(
            f"labels: '{unknown}' is not one of the classes", did_you_mean(unknown, space.classes)
        )
    return dict(code_book)


def without_foreign_classes(
    space: LabelSpace, foreign: set[str], settings: IngestSettings, standing: Standing, remarks: Remarks
) -> LabelSpace:
    """Return the classes but for folders that hold no image at all, which is said; those that stand stay.

    Args:
        foreign: labels whose every file is something else than an image.

    Raises:
        DataError: fewer than two classes are left.
        UsageError: the disease named is one of those left out.
    """
    kept = () if standing.info is None else standing.info.classes
    left_out = [name for name in space.classes if name in foreign and name not in kept]
    if not left_out or len(left_out) == len(space.classes):
        return space
    remarks.warn(f"no class, as none of its files is an image: {', '.join(left_out)}")
    classes = tuple(name for name in space.classes if name not in left_out)
    if len(classes) < 2 and not settings.multi_label:
        raise DataError(
            f"only one class has images: '{classes[0]}'",
            "a classifier needs two class folders or labels at least",
        )
    guess = None if settings.multi_label else guess_positive(classes)
    return LabelSpace(classes, settings.positive or guess)


def refuse_empty_classes(
    space: LabelSpace, labels: Sequence[str], reasons: Sequence[str], missed: Sequence[Missed] = ()
) -> None:
    """Refuse a class that none of the readable images has.

    Args:
        labels: of each readable image (N,).
        reasons: why the others cannot be read.
        missed: rows of tables without a file.

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
            f"class '{empty}' has no readable image: {said_of(causes)}",
            "write paths from the source on, so that each names one file",
        )
    if empty is not None:
        raise DataError(
            f"class '{empty}' has no readable image",
            "add images, or take its folder or rows out of the source",
        )
