"""medimg report: an evaluated run as a document."""

from pathlib import Path
from typing import Annotated

import typer

from medimg_cli.cli.options import Session


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
    split: Annotated[str | None, typer.Option(help="Which evaluation.", show_default="test")] = None,
    title: Annotated[str | None, typer.Option(help="Title on the cover.")] = None,
    author: Annotated[str | None, typer.Option(help="Author on the cover.")] = None,
    templates: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of templates that replace medimg's.")
    ] = None,
) -> None:
    """Render the evaluation of a run as HTML or PDF; evaluates the run first where that was not done.

    Example: `medimg report --out eval.pdf --out eval.html`
    """
    from medimg_cli.cli.prerequisites import evaluation_of_run
    from medimg_cli.core.run_folders import find_run
    from medimg_cli.stages.report import check_outputs
    from medimg_cli.stages.report import report as run_stage

    settings = session.settings(
        report={"title": title, "author": author, "templates": templates}, evaluate={"split": split}
    )
    found = find_run(session.workspace, run)
    outputs = out or [found.folder / "report.html"]
    check_outputs(outputs)
    evaluation_of_run(session, found, settings)
    result = run_stage(
        session.workspace,
        found,
        outputs,
        settings.report,
        session.progress,
        split=settings.evaluate.split,
    )
    payload = {"outputs": [path.as_posix() for path in result.outputs], "not_reported": result.not_reported}
    lines = "\n".join(f"wrote {path}" for path in result.outputs)
    session.show(payload, lambda console: console.print(lines, markup=False))
