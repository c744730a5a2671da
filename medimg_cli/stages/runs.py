"""runs: what was trained so far."""

from typing import Any

from medimg_cli.core.evaluation import read_evaluation
from medimg_cli.core.run import Run, list_runs
from medimg_cli.core.workspace import Workspace


def runs(workspace: Workspace) -> list[dict[str, Any]]:
    """Return one mapping per trained run, oldest first.

    Keys: run, arch, status, started, epochs_run, seconds, parameters, val_auroc, test_recall, test_auroc;
    a figure is None where it was not measured.
    """
    return [_row(run) for run in list_runs(workspace)]


def _row(run: Run) -> dict[str, Any]:
    record = run.read_record()
    evaluation = read_evaluation(run, "test")
    metrics = evaluation.metrics if evaluation else {}
    recall = metrics.get("recall") or metrics.get("macro_recall")
    auroc = metrics.get("auroc") or metrics.get("macro_auroc")
    return {
        "run": record.name,
        "arch": record.arch,
        "status": record.status,
        "started": record.started,
        "epochs_run": record.epochs_run,
        "seconds": record.seconds,
        "parameters": record.parameters,
        "val_auroc": record.val.get("auroc"),
        "test_recall": recall.value if recall else None,
        "test_auroc": auroc.value if auroc else None,
    }
