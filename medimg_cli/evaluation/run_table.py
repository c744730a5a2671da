"""The runs of a workspace as a table, and what sets two of them apart: settings, what they rest on, and figures."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from medimg_cli.errors import MedimgError, RunError
from medimg_cli.evaluation.evaluation import Evaluation, evaluation_in_force
from medimg_cli.registry import did_you_mean
from medimg_cli.runs.run import Run, RunRecord
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.files import read_under_seal
from medimg_cli.workspace.lock import is_held
from medimg_cli.workspace.workspace import Workspace

LOWER_IS_BETTER = frozenset(["loss", "log_loss", "brier", "ece"])
VAL_FIGURES = ("auroc", "recall", "f1", "loss", "recall_at_threshold", "specificity_at_threshold")
_NAMED_AT_MOST = 4

Row = dict[str, Any]


def run_folders(workspace: Workspace) -> list[Run]:
    """Return every folder of `runs/` by name, also those that hold no run any more; hidden ones are not ours."""
    if not workspace.runs_dir.is_dir():
        return []
    folders = (path for path in workspace.runs_dir.iterdir() if not path.name.startswith("."))
    return [Run(folder) for folder in sorted(folders) if folder.is_dir()]


def folder_of(workspace: Workspace, name: str) -> Run:
    """Return the run called `name`, in whatever state; a path to its folder will do.

    Raises:
        RunError: `runs/` has no such folder; the hint proposes one.
    """
    path = Path(name)
    if path.name != name and path.absolute().parent.resolve() == workspace.runs_dir.resolve():
        name = path.name
    runs = {run.name: run for run in run_folders(workspace)}
    if name not in runs:
        hint = did_you_mean(name, runs) if runs else "`medimg train` makes one"
        raise RunError(f"no run '{name}' in {workspace.runs_dir}", hint)
    return runs[name]


def run_rows(workspace: Workspace) -> list[Row]:
    """Return one row per folder of `runs/`, the oldest run first, those that cannot be read last."""
    rows = [row_of(run) for run in run_folders(workspace)]
    return sorted(rows, key=lambda row: (row["started"] is None, row["started"], row["run"]))


def row_of(run: Run) -> Row:
    """Return what is known of one run; nothing that is wrong with its files raises.

    Keys: run; status: complete, interrupted, running, stopped (it was running, and nobody trains it now) or
    damaged; problem, None where all is well; arch, seed, started, epochs_run, best_epoch, seconds, parameters;
    dataset_hash of training, test_dataset_hash of the evaluation; val and test: name → figure; resumable;
    size_bytes; and, for reading at a glance, val_auroc, val_recall, test_recall, test_recall_interval (low,
    high), test_specificity, test_auroc: None where not measured, the mean over classes without a positive one.
    """
    record, problem = _record(run)
    evaluation, unreadable = _evaluation(run)
    row: Row = {"run": run.name, "status": "damaged", "problem": problem or unreadable}
    row |= _recorded(record)
    if record is not None:
        row["status"] = _status(run, record)
        row["problem"] = row["problem"] or _missing(run, record)
        if record.status == "running":
            row["epochs_run"] = _epochs_so_far(run)
    return row | {
        "resumable": record is not None and _resumable(run),
        "size_bytes": size_bytes(run.folder),
        **_measured(evaluation),
    }


def size_bytes(folder: Path) -> int:
    """Return the bytes of all files below `folder`; links count as links, what cannot be read as nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except OSError:
                continue  # gone since it was listed: its training goes on
    return total


def figure_of(row: Row, metric: str, split: str) -> float | None:
    """Return a row's figure on `val` or `test`; `recall` of a run without a positive class is `macro_recall`."""
    figures = row[split]
    value: float | None = figures.get(metric, figures.get(f"macro_{metric}"))
    return value


def ranked_rows(rows: Iterable[Row], metric: str, split: str) -> list[Row]:
    """Return the rows with the best figure first, and those without one last, each in the order given."""
    sign = 1 if metric.removeprefix("macro_") in LOWER_IS_BETTER else -1

    def place(row: Row) -> tuple[bool, float]:
        value = figure_of(row, metric, split)
        return value is None, sign * (value or 0.0)

    return sorted(rows, key=place)


def unlike_data(rows: Sequence[Row], split: str) -> str | None:
    """Return a warning where figures on `split` that are compared rest on different data, else None."""
    key = "test_dataset_hash" if split == "test" else "dataset_hash"
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row[split] and row[key]:
            groups.setdefault(row[key], []).append(row["run"])
    if len(groups) < 2:
        return None
    listed = " | ".join(_names(names) for names in groups.values())
    return f"these runs rest on {len(groups)} different {split} data ({listed}): their {split} figures do not compare"


def _names(names: Sequence[str]) -> str:
    more = f" … ({len(names) - _NAMED_AT_MOST} more)" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(names[:_NAMED_AT_MOST]) + more


def _record(run: Run) -> tuple[RunRecord | None, str | None]:
    try:
        return run.read_record(), None
    except MedimgError as error:
        return None, _short(run, error.what)
    except (OSError, RecursionError) as error:
        return None, f"run.json cannot be read: {type(error).__name__}"


def _evaluation(run: Run) -> tuple[Evaluation | None, str | None]:
    try:
        return evaluation_in_force(run, "test"), None
    except MedimgError as error:
        return None, _short(run, error.what)
    except (OSError, RecursionError) as error:
        return None, f"metrics-test.json cannot be read: {type(error).__name__}"


def _short(run: Run, what: str) -> str:
    return what.replace(f"{run.folder}{os.sep}", "")


def _status(run: Run, record: RunRecord) -> str:
    if record.status == "running" and not is_held(run.lock_path):
        return "stopped"
    return record.status


def _missing(run: Run, record: RunRecord) -> str | None:
    """Return what a run that is over must have and lacks."""
    if record.status == "running":
        return None
    if not _is_file(run.card_path):
        return f"{run.card_path.name} does not exist"
    for path in _weights_of(run):
        if not _is_file(path):
            return f"{path.relative_to(run.folder)} does not exist"
    return None


def _weights_of(run: Run) -> list[Path]:
    """Return the files of weights that a run's model needs: its own, or those of an ensemble's members."""
    try:
        members = run.read_card().members
    except (MedimgError, OSError):
        members = ()  # errors in its card are reported where the model is used
    return [run.folder / member.folder / run.weights_path.name for member in members] or [run.weights_path]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _epochs_so_far(run: Run) -> int:
    """Return the whole epochs of a training that is not over: the rows of its history below the header."""
    try:
        return max(len(run.history_path.read_text(encoding="utf-8").splitlines()) - 1, 0)
    except (OSError, ValueError):
        return 0


def _resumable(run: Run) -> bool:
    try:
        return run.is_unfinished()
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _recorded(record: RunRecord | None) -> Row:
    """Return the columns that `run.json` fills, all None without one."""
    names = ("arch", "seed", "started", "epochs_run", "best_epoch", "seconds", "parameters", "dataset_hash")
    val = {} if record is None else {name: _finite(value) for name, value in record.val.items()}
    return {
        **{name: getattr(record, name, None) for name in names},
        "val": val,
        "val_auroc": val.get("auroc"),
        "val_recall": val.get("recall"),
    }


def _measured(evaluation: Evaluation | None) -> Row:
    """Return the columns that `metrics-test.json` fills."""
    metrics = evaluation.metrics if evaluation else {}
    row: Row = {
        "test_dataset_hash": evaluation.dataset_hash if evaluation else None,
        "test": {name: _finite(estimate.value) for name, estimate in metrics.items()},
    }
    for name in ("recall", "specificity", "auroc"):
        row[f"test_{name}"] = figure_of(row, name, "test")
    recall = metrics.get("recall") or metrics.get("macro_recall")
    known = recall is not None and recall.low is not None
    row["test_recall_interval"] = [recall.low, recall.high] if known and recall else None
    return row


_NAMES_THE_RUN = "train.name"

Pair = list[Any]


def difference(first: Run, second: Run) -> dict[str, Any]:
    """Return what differs between two runs.

    Keys: runs (both names); settings: SECTION.KEY → [first's, second's] of `config.yaml` where they differ;
    provenance: dataset_hash, test_dataset_hash, recipe_key, weights_sha256, device, git_commit and torch
    → [first's, second's], whether they differ or not; metrics: val and test → name → `values` (both),
    `difference` (second less first) and `intervals` ([low, high] or None for each).

    Raises:
        RunError: `run.json`, `config.yaml` or an evaluation that is there cannot be read.
    """
    runs = (first, second)
    settings = [_settings(run) for run in runs]
    return {
        "runs": [run.name for run in runs],
        "settings": {key: pair for key, pair in _pairs(*settings).items() if pair[0] != pair[1]},
        "provenance": _pairs(*(_provenance(run) for run in runs)),
        "metrics": {
            "val": _figures(
                *(
                    {name: Estimate(value=value, n=0) for name, value in run.read_record().val.items()}
                    for run in runs
                )
            ),
            "test": _figures(*(_test(run) for run in runs)),
        },
    }


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    names = [*first, *(name for name in second if name not in first)]
    return {name: [first.get(name), second.get(name)] for name in names}


def _settings(run: Run) -> dict[str, Any]:
    """Return a run's settings as SECTION.KEY → value, unchecked: another version may have written them."""
    try:
        content = yaml.safe_load(read_under_seal(run.config_path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(
            f"{run.config_path} cannot be read: {type(error).__name__}", "compare runs that medimg wrote"
        ) from error
    flat = _flat(content or {}, "")
    flat.pop(_NAMES_THE_RUN, None)
    return flat


def _flat(content: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: content}
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _provenance(run: Run) -> dict[str, Any]:
    record: RunRecord = run.read_record()
    evaluation = evaluation_in_force(run, "test")
    return {
        "dataset_hash": record.dataset_hash,
        "test_dataset_hash": evaluation.dataset_hash if evaluation else None,
        "recipe_key": record.recipe_key,
        "weights_sha256": run.read_card().weights_sha256 if run.card_path.is_file() else None,
        "device": record.device,
        "git_commit": record.git_commit,
        "torch": record.versions.get("torch"),
    }


def _test(run: Run) -> dict[str, Estimate]:
    evaluation = evaluation_in_force(run, "test")
    return evaluation.metrics if evaluation else {}


def _figures(first: Mapping[str, Estimate], second: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    return {name: _compared(*pair) for name, pair in _pairs(first, second).items()}


def _compared(first: Estimate | None, second: Estimate | None) -> dict[str, Any]:
    values = [None if estimate is None else estimate.value for estimate in (first, second)]
    before, after = values
    return {
        "values": values,
        "difference": None if before is None or after is None else after - before,
        "intervals": [_interval(estimate) for estimate in (first, second)],
    }


def _interval(estimate: Estimate | None) -> list[float] | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return [estimate.low, estimate.high]
