"""medimg report: an evaluated run as a document."""

from pathlib import Path
from typing import Annotated

import typer

from medimg_cli.cli.options import IN_WORKSPACE, RunName, Session, fields_of
from medimg_cli.cli.setting_options import takes

_InitFacts = Annotated[
    str | None,
    typer.Option(
        metavar="[FILE]",
        help="Write the questions that only people can answer, report.yaml by default, and no report.",
    ),
]
_Card = Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a model card (Markdown).")]
_Datasheet = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also write a datasheet of the data (Markdown), and FILE.json (Croissant) beside it.",
    ),
]


@takes("report", {"evaluate.split": "which evaluation"})
def report(
    session: Session,
    run: RunName = None,
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
    from medimg_cli.api.prerequisites import as_evaluated, evaluation_of_run
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.report import check_outputs, facts_of
    from medimg_cli.stages.report import report as run_stage

    settings = session.settings()
    found = find_run(session.workspace, run)
    outputs = out or ([] if card or datasheet else [found.folder / "report.html"])
    check_outputs(outputs, card, datasheet)
    facts_of(session.workspace, settings.report)  # an error in it is reported before anything is computed
    evaluation_of_run(session.workspace, found, as_evaluated(settings, found), session.progress)
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
    lines = "\n".join(f"wrote {path}" for path in result.outputs)
    if looks is not None:
        lines += f"\n{looks.sentence(settings.evaluate.split)}"
    session.show(fields_of(result), lambda console: console.print(lines, markup=False))


def _ask(session: Session, path: str) -> None:
    """Write the questions; a bare `--init-facts` means the workspace's own file."""
    from medimg_cli.stages.report import ask

    written = ask(session.workspace.facts_path if path == IN_WORKSPACE else Path(path))
    payload = {"outputs": [written.as_posix()], "not_reported": []}
    session.show(payload, lambda console: console.print(f"wrote {written}", markup=False))
