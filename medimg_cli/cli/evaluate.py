"""medimg evaluate: a run's figures on one split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medimg_cli.cli.options import Session, said
from medimg_cli.cli.views.figures import interval_text, value_text
from medimg_cli.errors import GateError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.evaluation.evaluation import Evaluation
    from medimg_cli.evaluation.results.decisions import Protocol
    from medimg_cli.stages.evaluate import EvaluateResult
    from medimg_cli.stages.evaluate_external import ExternalResult
    from medimg_cli.stages.evaluate_table import TableResult

_SHOWN_IDS = 10
_NO_SETTINGS = ("run", "predictions", "out", "data", "layout", "labels")


_Run = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run; the newest by default.")]
_Split = Annotated[str | None, typer.Option(help="train, val or test.", show_default="test")]
_TargetRecall = Annotated[
    float | None,
    typer.Option(help="Choose on val the highest threshold with this recall.", show_default="as trained"),
]
_LowerBound = Annotated[
    bool | None,
    typer.Option("--lower-bound", help="The lower end of the recall's 95 % interval has to reach it."),
]
_TargetSpecificity = Annotated[
    float | None, typer.Option(help="Choose on val the lowest threshold with this specificity.")
]
_Youden = Annotated[
    bool | None, typer.Option("--youden", help="Choose on val the threshold with most recall + specificity.")
]
_MissCost = Annotated[
    float | None,
    typer.Option(metavar="C", help="Choose on val at the least cost, where a miss counts as C false alarms."),
]
_KeepThreshold = Annotated[
    bool | None, typer.Option("--keep-threshold", help="Write the chosen threshold into the model.")
]
_Prevalence = Annotated[
    str | None,
    typer.Option(metavar="P,…", help="Give predictive values at these too.", show_default="as observed"),
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
_Alpha = Annotated[
    float | None,
    typer.Option(help="Chance that a conformal set may miss the right class.", show_default="0.1"),
]
_Subgroups = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN,…",
        help="Columns whose levels are measured.",
        show_default="sex, age, site and the like",
    ),
]
_Intersections = Annotated[
    bool | None, typer.Option("--intersections", help="Two of these columns at once as well.")
]
_Compare = Annotated[
    str | None,
    typer.Option(metavar="RUN|FILE.csv", help="Another model's answers to the same images, to compare with."),
]
_Robustness = Annotated[
    bool | None,
    typer.Option("--robustness", help="Answer again under blur, noise, brightness, contrast and JPEG."),
]
_DecisionRange = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="Probabilities at which one might act.", show_default="0.01,0.5"),
]
_NearDuplicates = Annotated[
    bool | None,
    typer.Option("--near-duplicates", help="Search other splits for near duplicates, if no audit did."),
]
_AllowLeak = Annotated[
    bool | None, typer.Option("--allow-leak", help="Evaluate a leaky split; the report says so.")
]
_Predictions = Annotated[
    Path | None,
    typer.Option(metavar="FILE.csv", help="Answers of any software: y_true, prob_CLASS …, instead of a run."),
]
_Positive = Annotated[
    str | None,
    typer.Option(metavar="CLASS", help="Their disease class.", show_default="the one not called healthy"),
]
_GivenThreshold = Annotated[float | None, typer.Option(help="Their threshold, fixed in advance.")]
_Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE.json", help="Their metrics.", show_default="FILE.metrics.json"),
]
_Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Images from elsewhere: a folder, or a workspace (external testing)."),
]
_Layout = Annotated[str | None, typer.Option(help="Of DIR, as in `ingest`.", show_default="auto")]
_Labels = Annotated[Path | None, typer.Option(metavar="FILE", help="Table of labels of DIR, as in `ingest`.")]
_Protocol = Annotated[str | None, typer.Option(help="medmnist: also AUC and ACC by its definitions.")]


def evaluate(
    session: Session,
    run: _Run = None,
    split: _Split = None,
    target_recall: _TargetRecall = None,
    lower_bound: _LowerBound = None,
    target_specificity: _TargetSpecificity = None,
    youden: _Youden = None,
    miss_cost: _MissCost = None,
    keep_threshold: _KeepThreshold = None,
    prevalence: _Prevalence = None,
    ci: _Ci = None,
    require: _Require = None,
    tta: _Tta = None,
    alpha: _Alpha = None,
    subgroups: _Subgroups = None,
    intersections: _Intersections = None,
    compare: _Compare = None,
    robustness: _Robustness = None,
    decision_range: _DecisionRange = None,
    near_duplicates: _NearDuplicates = None,
    allow_leak: _AllowLeak = None,
    predictions: _Predictions = None,
    positive: _Positive = None,
    threshold: _GivenThreshold = None,
    out: _Out = None,
    data: _Data = None,
    layout: _Layout = None,
    labels: _Labels = None,
    protocol: _Protocol = None,
) -> None:
    """Measure a run on the test split: recall first, an interval with every proportion, the missed cases.

    Writes `predictions-test.csv` and `metrics-test.json` into the run's folder. `--data` tests the run on images
    from elsewhere, `--predictions` measures the answers of any software.

    Example: `medimg evaluate --require 'recall>=0.9'`
    """
    options = said(locals(), *_NO_SETTINGS)
    result = _evaluated(session, said(locals(), "options"), options)
    payload = result.evaluation.model_dump(exclude={"roc", "precision_recall", "version"})
    reused, path = getattr(result, "reused", False), getattr(result, "path", None)
    payload |= {"unmet": result.unmet, "reused": reused, "metrics_file": path}
    session.show(payload, lambda console: _draw(console, result.evaluation, path))
    if result.unmet:
        raise GateError(
            f"not met on {result.evaluation.split}: {', '.join(result.unmet)}",
            "train a better model, or ask for less and say so",
        )


def _evaluated(
    session: Session, arguments: dict[str, Any], options: dict[str, Any]
) -> "EvaluateResult | ExternalResult | TableResult":
    """Return the evaluation of what was named: a table, images from elsewhere, or a split of a run.

    Args:
        arguments: all that was said, by name.
        options: what of it are settings of `evaluate`.
    """
    from medimg_cli.cli import evaluate_external as elsewhere

    elsewhere.refuse_what_does_not_fit(arguments)
    if arguments["predictions"] is not None:
        return elsewhere.evaluated_table(session, arguments["predictions"], options, arguments["out"])
    from medimg_cli.cli.prerequisites import compared_run, evaluation_of_run
    from medimg_cli.runs.run_folders import find_run

    found = find_run(session.workspace, arguments["run"])
    if arguments["data"] is not None:
        reading = {name: arguments[name] for name in ("layout", "labels")}
        return elsewhere.evaluated_images(session, found, arguments["data"], options, reading)
    settings = session.settings(evaluate=options)
    compared_run(session, settings)
    return evaluation_of_run(session, found, settings)


def _draw(console: "Console", evaluation: "Evaluation", path: Path | None = None) -> None:
    from rich.markup import escape

    from medimg_cli.cli.views.certainty import draw_certainty
    from medimg_cli.cli.views.comparison import draw_comparison
    from medimg_cli.cli.views.operating import draw_operating
    from medimg_cli.cli.views.render import plain_table
    from medimg_cli.cli.views.surroundings import draw_surroundings
    from medimg_cli.cli.views.usefulness import draw_usefulness

    _draw_headline(console, evaluation)
    table = plain_table("metric", ">value", "95 % interval", ">n")
    for name, estimate in evaluation.metrics.items():
        figure = value_text(estimate), interval_text(estimate)
        table.add_row(name.replace("_", " "), *figure, f"{estimate.n:,}")
    console.print()
    console.print(table)
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

    missed = evaluation.missed
    if missed is None:
        recall = evaluation.metrics["macro_recall"]
        console.print(f"[bold]macro recall {value_text(recall)}[/bold] {interval_text(recall)}")
    else:
        recall = evaluation.metrics["recall"]
        console.print(
            f"[bold]recall of {escape(str(evaluation.positive))} {value_text(recall)}[/bold] "
            f"{interval_text(recall)}, [bold]missed {missed.count} of {missed.of}[/bold]"
        )
        if missed.count:
            more = f" … ({missed.count - _SHOWN_IDS} more)" if missed.count > _SHOWN_IDS else ""
            console.print(f"[dim]missed: {escape(', '.join(missed.ids[:_SHOWN_IDS]))}{more}[/dim]")
    if evaluation.threshold is not None:
        threshold = evaluation.threshold
        where = "" if threshold.rule == "given" else f" on {threshold.split}"
        console.print(f"threshold {threshold.value:.4f}: {threshold.rule}{where}")
    console.print(
        f"{evaluation.run} on {evaluation.split}: {evaluation.n:,} images of {evaluation.patients:,} patients"
    )
