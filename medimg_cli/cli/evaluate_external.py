"""medimg evaluate of what is no split of a run: a table of predictions, or images from elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medimg_cli.errors import UsageError

if TYPE_CHECKING:
    from medimg_cli.cli.options import Session
    from medimg_cli.runs.run import Run
    from medimg_cli.stages.evaluate_external import ExternalResult
    from medimg_cli.stages.evaluate_table import TableResult
    from medimg_cli.workspace.workspace import Workspace

_OF_A_MODEL = ("tta", "robustness", "keep_threshold", "near_duplicates")
_OF_A_TABLE = ("positive", "threshold", "out")
_OF_IMAGES = ("layout", "labels", "map_classes")
_NOT_EXTERNAL = ("split", "robustness", "keep_threshold", "near_duplicates")


def refuse_what_does_not_fit(said: Mapping[str, Any]) -> None:
    """Refuse options that say nothing of what is evaluated.

    Args:
        said: every argument and option by its name, None where it was not said.

    Raises:
        UsageError: there are some.
    """
    if said["predictions"] is not None:
        _refuse(said, ("run", "data", *_OF_A_MODEL, *_OF_IMAGES), "a table of predictions (--predictions)")
    elif said["data"] is not None:
        _refuse(said, (*_NOT_EXTERNAL, *_OF_A_TABLE), "images from elsewhere (--data)")
    else:
        _refuse(said, _OF_A_TABLE, "a run", hint="it goes with --predictions FILE")
        _refuse(said, (*_OF_IMAGES, "sheet"), "a run's own split", hint="it goes with --data DIR")


def _refuse(said: Mapping[str, Any], names: tuple[str, ...], what: str, hint: str = "leave it out") -> None:
    wrong = next((name for name in names if said.get(name) is not None), None)
    if wrong is not None:
        option = "--map" if wrong == "map_classes" else f"--{wrong.replace('_', '-')}"
        named = f"RUN '{said[wrong]}'" if wrong == "run" else option
        raise UsageError(f"{named} cannot be heeded in the evaluation of {what}", hint)


def evaluated_table(session: "Session", path: Path, out: Path | None) -> "TableResult":
    """Return the evaluation of a table of predictions; no network library is loaded."""
    from medimg_cli.stages.evaluate_table import evaluate_table

    settings = session.settings()
    return evaluate_table(path, settings.evaluate, out=out, sheet=session.options["ingest"].get("sheet"))


def evaluated_images(session: "Session", run: "Run", folder: Path) -> "ExternalResult":
    """Return the evaluation of a run's model on images from elsewhere: a workspace, or a folder that is ingested."""
    from medimg_cli.api.prerequisites import answering
    from medimg_cli.evaluation.external import name_of
    from medimg_cli.stages.evaluate_external import evaluate_external
    from medimg_cli.stages.preprocess import preprocess_with

    settings = session.settings()
    place = place_of_images(session, run, folder)
    prepared = preprocess_with(
        place, run.read_card().recipe, workers=settings.preprocess.workers, progress=session.progress
    )
    return evaluate_external(
        session.workspace,
        run,
        answering(run, tta=settings.evaluate.tta),
        place,
        prepared.cache,
        settings.evaluate,
        session.progress,
        name=name_of(folder),
    )


def place_of_images(session: "Session", run: "Run", folder: Path) -> "Workspace":
    """Return the workspace that holds the images: the folder itself, or one in the run's folder, brought up to date."""
    from medimg_cli.evaluation.external import external_place, is_fresh, reading_of
    from medimg_cli.stages.ingest import ingest
    from medimg_cli.workspace.config import load_settings
    from medimg_cli.workspace.workspace import Workspace

    own, reading = Workspace(folder.absolute()), session.options["ingest"]
    if own.manifest_path.is_file():
        _refuse(reading, (*_OF_IMAGES, "sheet"), f"{folder}, which is ingested already")
        return own
    place = external_place(run, folder)
    # The workspace's own settings of `ingest` are about its own images, so they are not asked.
    given = load_settings(
        place, config=session.config, assignments=session.assignments, options={"ingest": reading}
    )
    settings = reading_of(run.read_card(), given.ingest)
    # The model knows its classes: whether these are the same is told by name, not by how they look.
    settings = settings.model_copy(update={"fresh": is_fresh(place, folder, settings), "assume_yes": True})
    ingest(place, [folder], settings, session.progress)
    return place
