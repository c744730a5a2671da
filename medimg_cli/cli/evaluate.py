"""medimg evaluate: a run's figures on one split."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session
from medimg_cli.cli.setting_options import takes
from medimg_cli.cli.views.figures import interval_text, value_text
from medimg_cli.errors import GateError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.evaluation.evaluation import Evaluation, ExamFigures
    from medimg_cli.evaluation.results.decisions import Protocol
    from medimg_cli.stages.evaluate import EvaluateResult
    from medimg_cli.stages.evaluate_external import ExternalResult
    from medimg_cli.stages.evaluate_table import TableResult

_SHOWN_IDS = 10
_ACCURACY_AGAIN = ("micro_recall", "micro_precision", "micro_f1", "weighted_recall")


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
        _draw(console, result.evaluation, path)
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


def _draw(console: "Console", evaluation: "Evaluation", path: Path | None = None) -> None:
    from rich.markup import escape

    from medimg_cli.cli.views.certainty import draw_certainty
    from medimg_cli.cli.views.comparison import draw_comparison
    from medimg_cli.cli.views.operating import draw_operating
    from medimg_cli.cli.views.render import plain_table
    from medimg_cli.cli.views.surroundings import draw_surroundings
    from medimg_cli.cli.views.usefulness import draw_usefulness

    _draw_headline(console, evaluation)
    each: tuple[Evaluation | ExamFigures, ...] = tuple(filter(None, (evaluation.exams, evaluation)))
    for figures in each:
        title = None if evaluation.exams is None else "by exam" if figures is evaluation.exams else "by image"
        table = plain_table("metric", ">value", "95 % interval", ">n", title=title)
        for name, estimate in figures.metrics.items():
            # With one label an image these are accuracy by definition, and stand in the JSON.
            if not (name in _ACCURACY_AGAIN and not evaluation.several_labels):
                figure = value_text(estimate), interval_text(estimate)
                table.add_row(name.replace("_", " "), *figure, f"{estimate.n:,}")
        console.print()
        console.print(table)
        if len(evaluation.classes) > 2 and not evaluation.several_labels:
            console.print()
            _draw_classes(console, figures)
    console.print()
    if evaluation.protocol is not None:
        _draw_protocol(console, evaluation.protocol)
    draw_operating(console, evaluation)
    if evaluation.confusion is None:
        _draw_labels(console, evaluation)
    else:
        labels = evaluation.confusion.labels
        confusion = plain_table("reference standard", *(f">called {escape(label)}" for label in labels))
        for label, row in zip(labels, evaluation.confusion.matrix, strict=True):
            confusion.add_row(escape(label), *(f"{count:,}" for count in row))
        console.print(confusion)
    console.print()
    draw_comparison(console, evaluation)
    draw_certainty(console, evaluation)
    draw_surroundings(console, evaluation)
    draw_usefulness(console, evaluation)
    for warning in evaluation.warnings:
        console.print(f"[yellow]note:[/yellow] {escape(warning)}")
    if path is not None:
        console.print(f"metrics: {path}", markup=False)


def _draw_classes(console: "Console", figures: "Evaluation | ExamFigures") -> None:
    """Show each of several classes on its own: recall first."""
    from rich.markup import escape

    from medimg_cli.cli.views.render import plain_table

    table = plain_table("class", ">n", ">recall", "95 % interval", ">precision", ">auroc")
    for name, found in figures.per_class.items():
        recall, others = found["recall"], (value_text(found["precision"]), value_text(found["auroc"]))
        count = f"{figures.class_counts[name]:,}"
        table.add_row(escape(name), count, value_text(recall), interval_text(recall), *others)
    console.print(table)


def _draw_labels(console: "Console", evaluation: "Evaluation") -> None:
    """Show each label on its own, where an image may carry several."""
    from rich.markup import escape

    from medimg_cli.cli.views.render import plain_table

    table = plain_table("label", ">images", ">unknown", ">auroc", "95 % interval", ">recall", ">specificity")
    for name, figures in evaluation.per_class.items():
        table.add_row(
            escape(name),
            f"{evaluation.class_counts[name]:,}",
            f"{evaluation.unknown_labels[name]:,}",
            value_text(figures["auroc"]),
            interval_text(figures["auroc"]),
            value_text(figures["recall"]),
            value_text(figures["specificity"]),
        )
    console.print(table)


def _draw_protocol(console: "Console", protocol: "Protocol") -> None:
    auc, acc = ("not defined" if value is None else f"{value:.4f}" for value in (protocol.auc, protocol.acc))
    console.print(f"by the protocol of {protocol.name}: AUC {auc}, ACC {acc}")
    console.print()


def _draw_headline(console: "Console", evaluation: "Evaluation") -> None:
    from rich.markup import escape

    decided, exams = evaluation.decided, evaluation.exams
    missed = decided.missed
    if missed is None:
        recall = decided.metrics["macro_recall"]
        console.print(f"[bold]macro recall {value_text(recall)}[/bold] {interval_text(recall)}")
    else:
        recall, by = decided.metrics["recall"], " by exam" if exams else ""
        console.print(
            f"[bold]recall of {escape(str(evaluation.positive))}{by} {value_text(recall)}[/bold] "
            f"{interval_text(recall)}, [bold]missed {missed.count} of {missed.of}[/bold]"
        )
        if missed.count:
            more = f" … ({missed.count - _SHOWN_IDS} more)" if missed.count > _SHOWN_IDS else ""
            console.print(f"[dim]missed: {escape(', '.join(missed.ids[:_SHOWN_IDS]))}{more}[/dim]")
    if exams is None and evaluation.contract is not None and evaluation.contract.outcome:
        console.print(f"[bold]{escape(evaluation.contract.outcome)}[/bold]")
    if exams is not None:
        said = f"{exams.n:,} exams ({exams.source}), pooled by {exams.pooling}: {exams.why}"
        console.print(said, markup=False)
    if (threshold := decided.threshold) is not None:
        where = "" if threshold.rule == "given" else f" on {threshold.split}"
        console.print(f"threshold {threshold.value:.4f}: {escape(threshold.rule)}{where}")
    if exams is None and evaluation.contract is not None and evaluation.contract.promise:
        console.print(evaluation.contract.promise, markup=False)
    console.print(_tested_on(evaluation), markup=False)


def _tested_on(evaluation: "Evaluation") -> str:
    """Return run, split, images and patients; of images that name no patient how many these are."""
    line = f"{evaluation.run} on {evaluation.split}: {evaluation.n:,} images"
    if not evaluation.leakage.patients_known:
        return f"{line}, patients not known"
    nameless = evaluation.leakage.nameless
    unknown = f" ({nameless:,} images name no patient, each counts as one)" if nameless else ""
    return f"{line} of {evaluation.patients:,} patients{unknown}"
