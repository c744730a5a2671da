"""medimg evaluate: a run's figures on one split."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medimg_cli.cli.options import RunName, Session
from medimg_cli.cli.setting_options import takes
from medimg_cli.errors import GateError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.evaluate import EvaluateResult
    from medimg_cli.stages.evaluate_table import TableResult

_OF_A_MODEL = ("tta", "robustness", "keep_threshold", "near_duplicates")
_OF_A_TABLE = ("positive", "threshold", "out")
_OF_IMAGES = ("layout", "labels", "map_classes", "patient_regex", "patient_col")
_NOT_EXTERNAL = ("split", "robustness", "keep_threshold", "near_duplicates")

_Predictions = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Answers of any software: y_true, prob_CLASS …, instead of a run."),
]
_Out = Annotated[
    Path | None, typer.Option(metavar="FILE.json", help="Their metrics.", show_default="FILE.metrics.json")
]
_Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Images from elsewhere: a folder, or a workspace (external testing)."),
]


@takes(
    "evaluate",
    {
        "ingest.layout": "arrangement of the images of --data, as in `ingest`",
        "ingest.labels": "table of labels of the images of --data, as in `ingest`",
        "ingest.sheet": "sheet of the workbook of --labels or --predictions, by name or number from 1",
        "ingest.map_classes": "the model's class that a label of the images of --data is",
        "ingest.patient_regex": "patient of an image of --data, as in `ingest`",
        "ingest.patient_col": "column of patients in --labels",
    },
)
def evaluate(
    session: Session,
    run: RunName = None,
    predictions: _Predictions = None,
    out: _Out = None,
    data: _Data = None,
) -> None:
    """Measure a run on the test split: recall first, an interval with every proportion, the missed cases.

    Writes `predictions-test.csv` and `metrics-test.json` into the run's folder. `--data` tests the run on images
    from elsewhere, `--predictions` measures the answers of any software.

    Example: `medimg evaluate --require 'recall>=0.9'`
    """
    result = _evaluated(session, run, predictions, out, data)
    payload = result.evaluation.model_dump(exclude={"roc", "precision_recall", "version"})
    reused, path = getattr(result, "reused", False), getattr(result, "path", None)
    payload |= {"unmet": result.unmet, "reused": reused, "metrics_file": path}
    payload["looks"] = looks = getattr(result, "looks", None)

    def draw(console: "Console") -> None:
        from medimg_cli.cli.views.evaluation import draw_evaluation

        draw_evaluation(console, result.evaluation, path)
        if looks is not None:
            console.print(looks.sentence(result.evaluation.split), markup=False)

    session.show(payload, draw)
    if result.unmet:
        raise GateError(
            f"not met on {result.evaluation.split}: {', '.join(result.unmet)}",
            "train a better model, or ask for less and say so",
        )


def _evaluated(
    session: Session, run: str | None, predictions: Path | None, out: Path | None, data: Path | None
) -> "EvaluateResult | TableResult":
    """Return the evaluation of what was named: a table, images from elsewhere, or a split of a run."""
    arguments = {"run": run, "predictions": predictions, "out": out, "data": data}
    reading = session.options["ingest"]
    _refuse_what_does_not_fit({**arguments, **session.options["evaluate"], **reading})
    settings = session.settings()
    if predictions is not None:
        from medimg_cli.stages.evaluate_table import evaluate_table

        return evaluate_table(predictions, settings.evaluate, out=out, sheet=reading.get("sheet"))
    from medimg_cli.api import prerequisites
    from medimg_cli.runs.run_folders import find_run

    workspace, progress, found = session.workspace, session.progress, find_run(session.workspace, run)
    if data is not None:
        from medimg_cli.evaluation.external import name_of

        place = prerequisites.images_from_elsewhere(
            found, data, reading, session.settings_elsewhere, progress
        )
        name = name_of(data)
        return prerequisites.evaluation_elsewhere(workspace, found, place, name, settings, progress)
    shared = {"split": settings.evaluate.split, "allow_leak": settings.evaluate.allow_leak}
    plain = replace(session, options={}).settings(evaluate=shared)
    prerequisites.compared_run(workspace, settings, plain, progress)
    return prerequisites.evaluation_of_run(workspace, found, settings, progress)


def _refuse_what_does_not_fit(given: Mapping[str, Any]) -> None:
    """Refuse options that say nothing of what is evaluated.

    Args:
        given: every argument and option by its name, None where it was not given.

    Raises:
        UsageError: there are some.
    """
    if given["predictions"] is not None:
        _refuse(given, ("run", "data", *_OF_A_MODEL, *_OF_IMAGES), "a table of predictions (--predictions)")
    elif given["data"] is not None:
        _refuse(given, (*_NOT_EXTERNAL, *_OF_A_TABLE), "images from elsewhere (--data)")
    else:
        hint = "which class counts as disease is said once, for model and data: medimg ingest … --positive A,B, then train"
        _refuse(given, ("positive",), "a run", hint=hint)
        _refuse(given, _OF_A_TABLE, "a run", hint="it goes with --predictions FILE")
        _refuse(given, (*_OF_IMAGES, "sheet"), "a run's own split", hint="it goes with --data DIR")


def _refuse(given: Mapping[str, Any], names: tuple[str, ...], what: str, hint: str = "leave it out") -> None:
    wrong = next((name for name in names if given.get(name) is not None), None)
    if wrong is not None:
        option = "--map" if wrong == "map_classes" else f"--{wrong.replace('_', '-')}"
        named = f"RUN '{given[wrong]}'" if wrong == "run" else option
        raise UsageError(f"{named} cannot be heeded in the evaluation of {what}", hint)
