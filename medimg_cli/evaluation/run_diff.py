"""What sets two runs apart: their settings, what they rest on, and their figures."""

from collections.abc import Mapping
from typing import Any

import yaml

from medimg_cli.errors import RunError
from medimg_cli.evaluation.evaluation import evaluation_in_force
from medimg_cli.runs.run import Run, RunRecord
from medimg_cli.statistics.estimate import Estimate

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
        content = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
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
