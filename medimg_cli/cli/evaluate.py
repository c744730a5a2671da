"""medimg evaluate: a run's figures on one split."""

from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session, said
from medimg_cli.errors import GateError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.core.evaluation import Evaluation
    from medimg_cli.core.results.estimate import Estimate

_SHOWN_IDS = 10


_Run = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run; the newest by default.")]
_Split = Annotated[str | None, typer.Option(help="train, val or test.", show_default="test")]
_TargetRecall = Annotated[
    float | None, typer.Option(help="Choose another threshold, on val.", show_default="as trained")
]
_Ci = Annotated[
    str | None,
    typer.Option(help="wilson or exact, for proportions of independent images.", show_default="wilson"),
]
_Require = Annotated[
    list[str] | None, typer.Option(metavar="METRIC>=X", help="Exit with 1 unless met; may be repeated.")
]
_Tta = Annotated[
    bool | None,
    typer.Option("--tta", help="Answer with the mean over mirrored, turned or enlarged views of each image."),
]
_AllowLeak = Annotated[
    bool | None, typer.Option("--allow-leak", help="Evaluate a leaky split; the report says so.")
]


def evaluate(
    session: Session,
    run: _Run = None,
    split: _Split = None,
    target_recall: _TargetRecall = None,
    ci: _Ci = None,
    require: _Require = None,
    tta: _Tta = None,
    allow_leak: _AllowLeak = None,
) -> None:
    """Measure a run on the test split: recall first, an interval with every proportion, the missed cases.

    Writes `predictions-test.csv` and `metrics-test.json` into the run's folder.

    Example: `medimg evaluate --require 'recall>=0.9'`
    """
    options = said(locals(), "run")
    from medimg_cli.cli.prerequisites import evaluation_of_run
    from medimg_cli.core.run_folders import find_run

    settings = session.settings(evaluate=options)
    found = find_run(session.workspace, run)
    result = evaluation_of_run(session, found, settings)
    payload = result.evaluation.model_dump(exclude={"roc", "precision_recall", "version"})
    payload |= {"unmet": result.unmet, "reused": result.reused}
    session.show(payload, lambda console: _draw(console, result.evaluation))
    if result.unmet:
        raise GateError(
            f"not met on {result.evaluation.split}: {', '.join(result.unmet)}",
            "train a better model, or ask for less and say so",
        )


def _draw(console: "Console", evaluation: "Evaluation") -> None:
    from rich.markup import escape

    from medimg_cli.cli.render import plain_table

    _draw_headline(console, evaluation)
    table = plain_table("metric", ">value", "95 % interval", ">n")
    for name, estimate in evaluation.metrics.items():
        table.add_row(name.replace("_", " "), _value(estimate), _interval(estimate), f"{estimate.n:,}")
    console.print()
    console.print(table)
    console.print()
    if evaluation.confusion is None:
        _draw_labels(console, evaluation)
    else:
        labels = evaluation.confusion.labels
        confusion = plain_table("reference standard", *(f">called {escape(label)}" for label in labels))
        for label, row in zip(labels, evaluation.confusion.matrix, strict=True):
            confusion.add_row(escape(label), *(f"{count:,}" for count in row))
        console.print(confusion)
    console.print()
    for warning in evaluation.warnings:
        console.print(f"[yellow]note:[/yellow] {escape(warning)}")


def _draw_labels(console: "Console", evaluation: "Evaluation") -> None:
    """Show each label on its own, where an image may carry several."""
    from rich.markup import escape

    from medimg_cli.cli.render import plain_table

    table = plain_table("label", ">images", ">unknown", ">auroc", "95 % interval", ">recall", ">specificity")
    for name, figures in evaluation.per_class.items():
        table.add_row(
            escape(name),
            f"{evaluation.class_counts[name]:,}",
            f"{evaluation.unknown_labels[name]:,}",
            _value(figures["auroc"]),
            _interval(figures["auroc"]),
            _value(figures["recall"]),
            _value(figures["specificity"]),
        )
    console.print(table)


def _draw_headline(console: "Console", evaluation: "Evaluation") -> None:
    from rich.markup import escape

    missed = evaluation.missed
    if missed is None:
        recall = evaluation.metrics["macro_recall"]
        console.print(f"[bold]macro recall {_value(recall)}[/bold] {_interval(recall)}")
    else:
        recall = evaluation.metrics["recall"]
        console.print(
            f"[bold]recall of {escape(str(evaluation.positive))} {_value(recall)}[/bold] "
            f"{_interval(recall)}, [bold]missed {missed.count} of {missed.of}[/bold]"
        )
        if missed.count:
            more = f" … ({missed.count - _SHOWN_IDS} more)" if missed.count > _SHOWN_IDS else ""
            console.print(f"[dim]missed: {escape(', '.join(missed.ids[:_SHOWN_IDS]))}{more}[/dim]")
    if evaluation.threshold is not None:
        threshold = evaluation.threshold
        console.print(f"threshold {threshold.value:.4f}: {threshold.rule} on {threshold.split}")
    console.print(
        f"{evaluation.run} on {evaluation.split}: {evaluation.n:,} images of {evaluation.patients:,} patients"
    )


def _value(estimate: "Estimate") -> str:
    return "not defined" if estimate.value is None else f"{estimate.value:.4f}"


def _interval(estimate: "Estimate") -> str:
    if estimate.reason:
        return estimate.reason
    return (
        "" if estimate.low is None or estimate.high is None else f"{estimate.low:.4f} to {estimate.high:.4f}"
    )
