"""medimg report: an evaluated run as a document."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session
from medimg_cli.cli.prerequisites import IN_WORKSPACE
from medimg_cli.cli.setting_options import takes

if TYPE_CHECKING:
    from medimg_cli.runs.run import Run
    from medimg_cli.workspace.settings import Settings

_InitFacts = Annotated[
    str | None,
    typer.Option(
        metavar="[FILE]",
        help="Write the questions that only people can answer, report.yaml by default, and no report.",
    ),
]
_Card = Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a model card (Markdown).")]
_Datasheet = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also write a datasheet of the data (Markdown).")
]


@takes("report", {"evaluate.split": "which evaluation"})
def report(
    session: Session,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run; the newest by default.")] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="FILE.pdf or FILE.html; may be repeated.",
            show_default="report.html in the run",
        ),
    ] = None,
    init_facts: _InitFacts = None,
    card: _Card = None,
    datasheet: _Datasheet = None,
) -> None:
    """Render the evaluation of a run as HTML or PDF; evaluates the run first where that was not done.

    Example: `medimg report --out eval.pdf --out eval.html`

    With `--card` or `--datasheet` and no `--out`, these alone are written.
    """
    if init_facts is not None:
        _ask(session, init_facts)
        return
    from medimg_cli.cli.prerequisites import evaluation_of_run
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.report import check_outputs, facts_of
    from medimg_cli.stages.report import report as run_stage

    settings = session.settings()
    found = find_run(session.workspace, run)
    outputs = out or ([] if card or datasheet else [found.folder / "report.html"])
    check_outputs(outputs, card, datasheet)
    facts_of(session.workspace, settings.report)  # a slip in it is told before anything is computed
    evaluation_of_run(session, found, as_evaluated(settings, found))
    result = run_stage(
        session.workspace,
        found,
        outputs,
        settings.report,
        session.progress,
        split=settings.evaluate.split,
        card=card,
        datasheet=datasheet,
    )
    looks = result.looks
    payload = {
        "outputs": [path.as_posix() for path in result.outputs],
        "not_reported": result.not_reported,
        "looks": None if looks is None else looks.model_dump(),
    }
    lines = "\n".join(f"wrote {path}" for path in result.outputs)
    if looks is not None:
        lines += f"\n{looks.sentence(settings.evaluate.split)}"
    session.show(payload, lambda console: console.print(lines, markup=False))


def as_evaluated(settings: "Settings", run: "Run") -> "Settings":
    """Return the settings with what was asked of the evaluation that is there, so that it is reported as it is.

    It is made again, and in the same way, only where data or model have changed since.
    """
    from pydantic import ValidationError

    from medimg_cli.evaluation.evaluation import read_evaluation
    from medimg_cli.workspace.evaluate_settings import EvaluateSettings

    before = read_evaluation(run, settings.evaluate.split)
    if before is None:
        return settings
    leakage = before.leakage
    # The model's own threshold and answers, also where an earlier version wrote an exploration here.
    rules = {"target_recall", "lower_bound", "assurance", "target_specificity", "youden", "miss_cost"}
    own = dict.fromkeys(rules & before.asked.keys()) | {"lower_bound": False, "youden": False, "tta": False}
    known = {"allow_leak": leakage.allowed, "near_duplicates": leakage.near_duplicates is not None} | own
    try:
        asked = EvaluateSettings.model_validate(before.asked | known)
    except ValidationError:  # another version asked: what is set now is asked again
        return settings
    return settings.model_copy(update={"evaluate": asked})


def _ask(session: Session, path: str) -> None:
    """Write the questions; a bare `--init-facts` means the workspace's own file."""
    from medimg_cli.stages.report import ask

    written = ask(session.workspace.facts_path if path == IN_WORKSPACE else Path(path))
    payload = {"outputs": [written.as_posix()], "not_reported": []}
    session.show(payload, lambda console: console.print(f"wrote {written}", markup=False))
