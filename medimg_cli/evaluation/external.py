"""Images from elsewhere, on which a model is tested: where they are kept, and what of them the model can answer."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from medimg_cli.dataset.class_names import key_of
from medimg_cli.dataset.ingest.previous import to_remember
from medimg_cli.dataset.ingest.sources import READING
from medimg_cli.dataset.labels import LABEL_SEP, parts_of
from medimg_cli.dataset.leakage import leak_of
from medimg_cli.dataset.manifest import GONE, UNKNOWN_COLUMN, Dataset, read_info, read_quarantine
from medimg_cli.errors import DataError, GateError, UsageError
from medimg_cli.evaluation.evaluation import Leakage
from medimg_cli.registry import did_you_mean
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace

PREFIX = "external-"
_OWN_HEADER = "DICOM header"


def name_of(folder: Path) -> str:
    """Return what the images of a folder are called in file names and in the report.

    >>> name_of(Path("/data/St. Mary's (2024)"))
    'St.-Mary-s-2024'
    """
    return re.sub(r"[^\w.]+", "-", folder.absolute().name).strip("-.") or "images"


def external_place(run: Run, folder: Path) -> Workspace:
    """Return where a folder's manifest and pixels are kept."""
    return Workspace(run.folder.absolute() / "external" / name_of(folder))


def reading_of(card: ModelCard, settings: IngestSettings) -> IngestSettings:
    """Return settings of `ingest` under which the model's classes can be met; no image is held back for training."""
    several = card.answers == "sigmoid"
    return settings.model_copy(update={"multi_label": several, "split": (1.0, 0.0, 0.0), "strict": False})


def is_fresh(place: Workspace, folder: Path, settings: IngestSettings) -> bool:
    """Return whether what stands there is of another folder, or was read in another way."""
    if not (place.manifest_path.is_file() and place.dataset_path.is_file()):  # of a killed one, half is there
        return False
    info = read_info(place)
    same = info.sources == (place.relative(folder),) and info.settings == to_remember(settings)
    reading = info.origins[0].reading if len(info.origins) == 1 else {}
    asked = settings.model_dump(mode="json", include=set(READING) - {"layout"})
    unsaid: tuple[object, ...] = ("auto", None, {})
    return not (
        same
        and all(
            reading.get(name, value if value in unsaid else None) == value for name, value in asked.items()
        )
    )


def as_the_model_has_it(dataset: Dataset, card: ModelCard, split: str) -> Dataset:
    """Return the usable images with the model's classes, all in one split.

    Of several labels an image, one that the model knows and these images do not counts as judged by nobody.

    Raises:
        DataError: the images have a class that the model has not, one label where it has several or the reverse, or
            there is none.
    """
    info, rows = dataset.info, dataset.usable
    several = card.answers == "sigmoid"
    if rows.empty:
        raise DataError(
            f"no usable image for {split}", "see its quarantine.csv, and `medimg label-audit --undo`"
        )
    if info.multi_label != several:
        theirs, ours = (
            ("several labels", "one label") if info.multi_label else ("one label", "several labels")
        )
        raise DataError(
            f"the images have {theirs} each, the model knows {ours} an image",
            "ingest them " + ("with" if several else "without") + " --multi-label",
        )
    ours_as = {key_of(name): name for name in card.classes}
    renamed = {name: ours_as.get(key_of(name), name) for name in info.classes}
    foreign = next((name for name in renamed.values() if name not in card.classes), None)
    if foreign is not None:
        raise DataError(
            f"the model does not know class '{foreign}', it knows {', '.join(card.classes)}",
            f"--map '{foreign}=CLASS' says which it is; {did_you_mean(foreign, card.classes)}",
        )
    if any(new != old for old, new in renamed.items()):
        labels = [LABEL_SEP.join(renamed[part] for part in parts_of(label)) for label in rows["label"]]
        rows = rows.assign(label=labels if several else [renamed[label] for label in rows["label"]])
        info = info.model_copy(update={"classes": tuple(renamed.values())})
    rows = rows.assign(split=split)
    if several:
        absent = [name for name in card.classes if name not in info.classes]
        rows = rows.assign(**{UNKNOWN_COLUMN: _unknown(rows, absent)})
    own = {"classes": card.classes, "positive": card.positive}
    return Dataset(rows.reset_index(drop=True), info.model_copy(update=own))


def left_unsaid(place: Workspace, rows: pd.DataFrame) -> list[str]:
    """Return what a figure of images from elsewhere (rows) does not tell: files that have no part in it, or several.

    A diseased image that cannot be read is neither found nor missed.
    """
    reasons = read_quarantine(place)["reason"]
    there = reasons[~reasons.isin(GONE)]
    found, lost = [], there.str.split(": ").str[0].value_counts()
    if len(lost):
        total = int(lost.sum())
        of = f"{total:,} of {total + len(rows):,} files have no part in any figure"
        named = ", ".join(f"{reason} ({count:,})" for reason, count in list(lost.items())[:3])
        found.append(f"{of}: {named}{', …' if len(lost) > 3 else ''} ({place.quarantine_path})")
    twice = rows[rows["sha256"].duplicated(keep=False)]
    if len(twice):
        other = int((twice.groupby("sha256")["label"].nunique() > 1).sum())
        words = (
            f"{len(twice):,} images are {twice['sha256'].nunique():,} files that stand there several times"
        )
        found.append(words + (f", {other:,} of them under different classes" if other else ""))
    return found


def _unknown(rows: pd.DataFrame, absent: list[str]) -> list[str]:
    there = rows[UNKNOWN_COLUMN].tolist() if UNKNOWN_COLUMN in rows else [""] * len(rows)
    return [LABEL_SEP.join([*([cell] if cell else []), *absent]) for cell in there]


def leakage_from(
    trained_on: Dataset | None,
    external: Dataset,
    *,
    allowed: bool,
    without_leaked: bool = False,
    hint: str = "--without-leaked measures on the rest, --allow-leak on all and says so in the report",
) -> tuple[Leakage, Dataset]:
    """Return what the images share with those the model learnt from (train and val), and those that are measured.

    Args:
        trained_on: the data set of the training; None where it is not at hand.
        allowed: evaluate all the same.
        without_leaked: leave out the images with a counterpart in training.
        hint: what else can be done.

    Raises:
        GateError: there are such files, or patients by the ids of DICOM headers, and that is neither allowed nor left out.
        UsageError: they are to be left out, and the data set of the training is not at hand.
        DataError: none is left.
    """
    info, rows = external.info, external.rows
    known, nameless = info.patients_known, external.nameless(rows)
    if trained_on is None:
        why = "the images the model learnt from are not at hand"
        if without_leaked:
            raise UsageError(
                f"--without-leaked: {why}", "run it in the workspace of the training, or leave it out"
            )
        shared = {"shared_patients": 0, "shared_files": 0}
        return Leakage(patients_known=known, nameless=nameless, not_compared=why, **shared), external
    learnt = trained_on.of_split("train", "val")
    comparable = {trained_on.info.patients_from, info.patients_from} == {_OWN_HEADER}
    both = pd.concat([rows.assign(split="tested"), learnt])[
        ["image_id", "patient_id", "sha256", "split"]
    ].reset_index(drop=True)
    leak = leak_of(both, ("tested",), patients_known=comparable)
    measured = rows[~rows["image_id"].isin(leak.ids if without_leaked else ())].reset_index(drop=True)
    if measured.empty:
        raise DataError(leak.line("tested"), "none is left to measure on: name other images")
    files = set(measured["sha256"]) & set(learnt["sha256"])
    patients = set(measured["patient_id"]) & set(learnt["patient_id"]) if comparable else set()
    if (files or patients) and not allowed:
        raise GateError(
            f"{plural(len(files), 'file')} and {plural(len(patients), 'patient')} were used in training already: {leak.line('tested')}",
            hint,
        )
    leakage = Leakage(
        patients_known=known,
        nameless=external.nameless(measured),
        shared_patients=len(patients),
        shared_files=len(files),
        allowed=allowed,
        leak=replace(leak, ids=()),
        left_out=len(rows) - len(measured),
        not_compared=""
        if comparable
        else "patients here and in training are not comparable: their ids are of different sources",
    )
    return leakage, Dataset(measured, info)
