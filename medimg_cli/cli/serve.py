"""medimg serve: the upload page and the API."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session, fields_of
from medimg_cli.cli.setting_options import takes
from medimg_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from medimg_cli.stages.serve import Announced


@takes("serve")
def serve(
    session: Session,
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Run that answers, or the zip of a bundle; else the newest."),
    ] = None,
) -> None:
    """Serve a model on this machine: a page that takes images, and an API for programs.

    Images are read in memory and not kept. Any --host but this machine's own needs a token. Decision support for
    research; not for diagnosis.

    With --dicom-port also a DICOM node: what is stored is answered, and the results (Secondary Capture and structured
    report) are sent to the peers of --send-to.

    Example: `medimg serve --port 8000`
    """
    settings = session.settings().serve
    if settings.dicom_port is None and {"ae", "send_to"} & session.options["serve"].keys():
        raise UsageError(
            "--ae and --send-to are those of a DICOM node, and there is no --dicom-port",
            "give one, such as --dicom-port 11112",
        )
    from medimg_cli.api.prerequisites import dicom_answerer, opened_model, serving_worker
    from medimg_cli.runs.run import Run
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.serve import serve as serve_stage

    is_bundle = run is not None and Path(run).is_file()
    place = Path(str(run)) if is_bundle else find_run(session.workspace, run).folder
    if not is_bundle:
        Run(place).note_seal(Run(place).read_card(), session.progress)
    finished = serve_stage(
        session.workspace,
        place.absolute(),
        settings,
        open_model=opened_model,
        work=serving_worker,
        answer_dicom=dicom_answerer,
        codes=session.settings().labels.codes,
        announce=lambda announced: _announce(session, announced, browse=settings.open),
        note=session.progress.warn,
    )
    if not finished:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _announce(session: Session, announced: "Announced", *, browse: bool) -> None:
    # Also with --quiet: without the address the page cannot be opened.
    if announced.address is not None:
        asked = "; it asks for the token" if announced.token else ""
        typer.echo(f"upload page: {announced.address}{asked}", err=True)
    if announced.dicom is not None:
        typer.echo(f"DICOM: {announced.dicom}", err=True)
    typer.echo("Ctrl-C ends it", err=True)
    if session.json:
        session.show(fields_of(announced), lambda _console: None)
    if browse and announced.address is not None:
        import webbrowser

        webbrowser.open(announced.address)
