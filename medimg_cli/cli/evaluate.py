"""medimg evaluate: a run's figures on one split."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session
from medimg_cli.cli.setting_options import takes
from medimg_cli.errors import GateError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.evaluate import EvaluateResult
    from medimg_cli.stages.evaluate_external import ExternalResult
    from medimg_cli.stages.evaluate_table import TableResult

_Run = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run; the newest by default.")]
_Predictions = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Answers of any software: y_true, prob_CLASS …, instead of a run."),
]
_Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE.json", help="Their metrics.", show_default="FILE.metrics.json"),
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
    },
)
def evaluate(
    session: Session,
    run: _Run = None,
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
    looks = getattr(result, "looks", None)
    payload["looks"] = None if looks is None else looks.model_dump()

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
) -> "EvaluateResult | ExternalResult | TableResult":
    """Return the evaluation of what was named: a table, images from elsewhere, or a split of a run."""
    from medimg_cli.cli import evaluate_external as elsewhere

    arguments = {"run": run, "predictions": predictions, "out": out, "data": data}
    elsewhere.refuse_what_does_not_fit(
        {**arguments, **session.options["evaluate"], **session.options["ingest"]}
    )
    if predictions is not None:
        return elsewhere.evaluated_table(session, predictions, out)
    from medimg_cli.api.prerequisites import compared_run, evaluation_of_run
    from medimg_cli.runs.run_folders import find_run

    found = find_run(session.workspace, run)
    if data is not None:
        return elsewhere.evaluated_images(session, found, data)
    settings = session.settings()
    shared = {"split": settings.evaluate.split, "allow_leak": settings.evaluate.allow_leak}
    plain = replace(session, options={}).settings(evaluate=shared)
    compared_run(session.workspace, settings, plain, session.progress)
    return evaluation_of_run(session.workspace, found, settings, session.progress)
