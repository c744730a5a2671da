"""The ledger of looks at test: every evaluation of images that nothing may be chosen on, so that a reader can judge it.

`dataset/test-looks.csv` is only ever added to. An evaluation that is up to date and shown again is no new look.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from filelock import FileLock
from pydantic import BaseModel

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.dataset.patients import FROM_HEADER
from medimg_cli.errors import DataError, GateError
from medimg_cli.runs.run import ModelCard, Run, Threshold
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.tables import read_table, write_table
from medimg_cli.workspace.workspace import Workspace

COLUMNS = (
    "when",
    "run",
    "split",
    "rule",
    "threshold",
    "views",
    "dataset_hash",
    "images_hash",
    "configuration",
)

_PATIENCE_SECONDS = 60  # another evaluation adds one line


class EarlierEvaluations(BaseModel, frozen=True):
    """How often the same images were looked at before.

    Args:
        before: evaluations before this one.
        configurations: different models, thresholds and numbers of views among them.
        runs: different runs among them.
        elsewhere: looks at other images under the name of the same split, as before a new ingest.
    """

    before: int
    configurations: int
    runs: int
    elsewhere: int = 0

    def sentence(self, split: str) -> str:
        """Return it in words."""
        if not self.before:
            return f"these images of {split} were not looked at before"
        times = "once" if self.before == 1 else f"{self.before} times"
        of = "1 configuration" if self.configurations == 1 else f"{self.configurations} configurations"
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return f"these images of {split} were looked at {times} before, by {of} of {runs}"


def record_look(
    workspace: Workspace,
    run: str,
    card: ModelCard,
    dataset: Dataset,
    rows: pd.DataFrame,
    thresholds: Sequence[Threshold],
    views: int,
) -> None:
    """Add one look.

    Args:
        dataset: holds the images; of another place where they are from elsewhere.
        rows: of its manifest, the images that were answered, all of one split.
        thresholds: that decide, none where the most probable class does.

    Raises:
        MachineError: the ledger cannot be written.
        DataError: it is there and is no ledger.
    """
    path = workspace.looks_path
    values = [f"{each.value:.6g}" for each in thresholds]  # engines differ in the last digits
    own = [card.weights_sha256, card.temperature, card.recalibration, *values, views]
    row = (
        now(),
        run,
        rows["split"].iloc[0],
        " | ".join(dict.fromkeys(each.rule for each in thresholds)),
        "|".join(values),
        views,
        dataset.content_hash(),
        _hash_of(rows),
        sha256_of_text(repr(own))[:16],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(".test-looks.lock"), timeout=_PATIENCE_SECONDS):
        looks = _read(path)
        looks.loc[len(looks)] = [*map(str, row), ""]
        write_table(path, looks.assign(check=_checks(looks)))


def looks_before(workspace: Workspace, rows: pd.DataFrame) -> EarlierEvaluations | None:
    """Return the looks at some images before the newest one, None where they are of training or validation.

    Raises:
        DataError: the ledger is no ledger.
    """
    split = str(rows["split"].iloc[0]) if len(rows) else "val"
    if split in ("train", "val"):
        return None
    found = _read(workspace.looks_path)
    same = found["images_hash"] == _hash_of(rows)
    before = found[same].iloc[:-1]
    return EarlierEvaluations(
        before=len(before),
        configurations=before["configuration"].nunique(),
        runs=before["run"].nunique(),
        elsewhere=int(((found["split"] == split) & ~same).sum()),
    )


_SAMPLE = "recalibration-sample.csv"


def note_sample(run: Run, local: Dataset) -> None:
    """Write down on which images, and patients by DICOM headers, a run was recalibrated: they are no test of it."""
    write_table(run.folder / _SAMPLE, _comparable(local, local.rows))


def _comparable(dataset: Dataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Return images, patients ("" where their ids may mean others elsewhere) and hashes of some rows."""
    known = rows["patient_id"] if dataset.info.patients_from == FROM_HEADER else ""
    return rows[["image_id", "patient_id", "sha256"]].assign(patient_id=known)


def refuse_sample(run: Run, dataset: Dataset, rows: pd.DataFrame, *, allowed: bool) -> None:
    """Refuse to test a run on images that it was recalibrated on, or on others of these patients.

    Raises:
        GateError: some are, and that is not allowed.
    """
    path = run.folder / _SAMPLE
    if allowed or not path.is_file():
        return
    sample, here = read_table(path, required=("sha256", "patient_id")), _comparable(dataset, rows)
    for column, of in (("sha256", "of these images"), ("patient_id", "of these patients, by other images")):
        shared = (set(sample[column]) & set(here[column].astype(str))) - {""}
        if shared:
            raise GateError(
                f"run '{run.name}' was recalibrated on {len(shared)} {of}, so they are no test of it",
                "take them out; --allow-leak evaluates all the same",
            )


def _hash_of(rows: pd.DataFrame) -> str:
    return sha256_of_text("\n".join(sorted(rows["sha256"].astype(str))))


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=[*COLUMNS, "check"], dtype=str)
    looks = read_table(path, required=COLUMNS)
    if looks.get("check", _checks(looks)).tolist() != _checks(looks).tolist():  # earlier versions wrote none
        raise DataError(
            f"{path} is not as medimg wrote it: damaged, or edited by hand",
            "restore the file; without it, earlier looks at test are forgotten",
        )
    return looks[list(COLUMNS)].assign(check="")


def _checks(looks: pd.DataFrame) -> pd.Series:
    """Return 8 hex digits for each row, of it and of all before."""
    digest, found = hashlib.sha256(), []
    for row in looks[list(COLUMNS)].astype(str).itertuples(index=False):
        digest.update("\0".join([*row, ""]).encode("utf-8", "surrogatepass"))
        found.append(digest.hexdigest()[:8])
    return pd.Series(found, looks.index, dtype=str)
