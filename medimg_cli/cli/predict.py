"""medimg predict: class, probabilities, decision and flags for files, folders and archives."""

import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli import __version__
from medimg_cli.cli.options import Session, unbroken_stdout
from medimg_cli.cli.setting_options import DIVIDED, takes
from medimg_cli.errors import ExitCode, MedimgError, UsageError
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.table_form import rows_of

if TYPE_CHECKING:
    from medimg_cli.cli.views.prediction import PredictionJson, PredictionTable
    from medimg_cli.inference.classifier import Classifier
    from medimg_cli.inference.dicom_folder import DicomFolder
    from medimg_cli.inference.exam_groups import ExamGroups
    from medimg_cli.inference.explaining import HeatMaps
    from medimg_cli.predictions.prediction import Prediction
    from medimg_cli.runs.tested import Tested
    from medimg_cli.workspace.settings import Settings

_LIST = "-"
_Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...", help="Images, folders, .zip and .tar archives; - = a list of them, one a line."
    ),
]
_Run = Annotated[
    str | None, typer.Option(help="Run that answers, or the zip of a bundle.", show_default="the newest")
]
_Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write the rows to FILE.csv or FILE.jsonl, each as it is known."),
]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the rows that FILE has; else it is begun anew.")
]
_Exam = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="What an exam is: study, series, patient, folder, file, or TABLE:COLUMN.",
        show_default="as in training",
    ),
]
_Explain = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Also write a heat map of every image that is answered into DIR."),
]

_DicomOut = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also write the answer to every DICOM image, or exam, into DIR as a Secondary Capture and a structured report.",
    ),
]


@takes("predict", DIVIDED)
def predict(
    session: Session,
    inputs: _Inputs,
    run: _Run = None,
    out: _Out = None,
    resume: _Resume = False,
    exam: _Exam = None,
    explain: _Explain = None,
    dicom_out: _DicomOut = None,
) -> None:
    """Predict images a run has never seen: one row per image, also for what cannot be read (exit code 4).

    Every frame of a DICOM file, page of a TIFF file and image of an array is a row. An image unlike all that the model
    learnt from is refused. A model of exams also answers each exam, and `--out FILE.csv` writes these to
    `FILE-exams.csv`. Decision support for research; not for diagnosis.

    Example: `medimg predict image.png a-folder/ --out predictions.csv`
    """
    from medimg_cli.predictions.resumable_table import check_suffix

    if out is not None:
        check_suffix(out)
    elif resume:
        raise UsageError(
            "--resume goes on with a file, and none is named", "name it: --out FILE.csv --resume"
        )
    settings = session.settings()
    place = _place(session, run)
    from medimg_cli.runs.run import Run

    classifier, tested = _opened(place, tta=settings.predict.tta)
    Run(place).note_seal(classifier.card, session.progress)
    if classifier.remark:
        session.progress.note(classifier.remark)
    groups = _exams(session, classifier, exam)
    maps = _heat_maps(session, place, explain) if explain is not None else None
    results = _dicom_folder(session, settings, dicom_out, (classifier, place, tested), maps, groups)
    learnt = _Learnt(session) if place.parent == session.workspace.runs_dir else None
    takers = [one.tell for one in (maps, results, learnt) if one is not None]
    from medimg_cli.stages.predict import predict as run_stage

    with unbroken_stdout(), _view(session, classifier, place, tested) as view:

        def tell(path: str, prediction: "Prediction") -> None:
            view.tell(path, prediction)
            for take in takers:
                take(path, prediction)

        result = run_stage(
            classifier,
            inputs if Path(_LIST) not in inputs else _listed(inputs),
            settings.predict,
            out=out,
            resume=resume,
            exams=groups,
            tell=tell,
            progress=session.progress,
        )
        if results is not None:
            results.end(result.exams)
        view.end(result, out, results)
    if learnt is not None and learnt.met:
        session.progress.warn(
            f"{learnt.met:,} of {plural(result.rows, 'image')} stand in train or val of this data set:"
            " the model learnt from them, so their answers say nothing of new images"
        )
    if maps is not None:
        session.progress.note(f"heat maps: {maps.written} in {explain}")
    if result.unreadable or (results is not None and results.lacking):
        raise typer.Exit(ExitCode.PARTIAL)


class _Learnt:
    """Counts images that this workspace's data set has in train or val, by where they lie."""

    def __init__(self, session: Session) -> None:
        self.met = 0
        self._known: set[str] = set()
        workspace = session.workspace
        try:
            for row in rows_of(workspace.manifest_path, ("image_id", "path", "split", "status")):
                if None in row.values():
                    raise ValueError(f"the row of {row['image_id']} is cut")
                if row["split"] in ("train", "val") and row["status"] == "ok":
                    self._known.add(workspace.absolute(row["path"]))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, csv.Error, MedimgError) as error:
            session.progress.warn(
                f"{workspace.manifest_path} cannot be read ({type(error).__name__}: {error}): which of these images"
                " the model learnt from is not known"
            )

    def tell(self, path: str, prediction: "Prediction") -> None:  # noqa: ARG002 -- what every taker is told
        """Take a row."""
        if self._known and not self._known.isdisjoint({str(Path(path).absolute()), os.path.realpath(path)}):
            self.met += 1


def _place(session: Session, run: str | None) -> Path:
    """Return the folder of the run, or the file of the bundle, that answers."""
    from medimg_cli.runs.bundle import is_bundle
    from medimg_cli.runs.run_folders import find_run

    if run is not None and is_bundle(Path(run)):
        return Path(run)
    return find_run(session.workspace, run).folder


def _exams(session: Session, classifier: "Classifier", asked: str | None) -> "ExamGroups | None":
    """Return how images are put together into exams; what knows that is loaded only for a model that was taught so."""
    by = classifier.card.exams
    if by is None and asked is None:
        return None
    from medimg_cli.inference.exam_groups import exam_groups

    groups = exam_groups(classifier.card, asked)
    if groups is None and by is not None:
        session.progress.note(f"the model decides on exams ({by.source}): --exam says which images are one")
    return groups


def _opened(place: Path, *, tta: bool) -> "tuple[Classifier, Tested | None]":
    """Return the model, and what test said of it as it answers here.

    Torch is imported only where a network has no ONNX copy, or for several views of an image.
    """
    from medimg_cli.api.prerequisites import opened_model

    place = place.absolute()
    opened = opened_model(place)
    classifier = opened.classifier
    classifier.again = partial(_opened_elsewhere, place, tta=tta)
    if not tta:
        return classifier, opened.tested
    from medimg_cli.inference.classifier import Classifier
    from medimg_cli.training.networks.torch_network import in_views

    answering = in_views(classifier.predictor)
    return Classifier(answering, classifier.references, classifier.withheld, classifier.again), None


def _opened_elsewhere(place: Path, *, tta: bool) -> "Classifier":
    return _opened(place, tta=tta)[0]


def _heat_maps(session: Session, place: Path, folder: Path) -> "HeatMaps | None":
    """Return what writes heat maps, None where the model's are withheld; torch only where it cannot be done without."""
    from medimg_cli.api.prerequisites import heat_maps_of
    from medimg_cli.inference.explaining import HeatMaps

    predictor, explanation = heat_maps_of(place)
    if not explanation.passed:
        session.progress.warn(explanation.in_words())
        return None
    session.progress.note(f"heat maps: {explanation.in_words()}")
    return HeatMaps(folder, predictor, explanation)


def _dicom_folder(
    session: Session,
    settings: "Settings",
    folder: Path | None,
    opened: "tuple[Classifier, Path, Tested | None]",
    maps: "HeatMaps | None",
    groups: "ExamGroups | None",
) -> "DicomFolder | None":
    """Return what writes answers as DICOM objects; pydicom and highdicom are loaded for that alone."""
    if folder is None:
        return None
    from medimg_cli.inference.dicom_folder import DicomFolder
    from medimg_cli.inference.dicom_results import Model

    classifier, place, tested = opened
    name = place.stem if place.is_file() else place.name
    model = Model(classifier.card, name, tested, settings.labels.codes, views=settings.predict.tta)
    if unused := ", ".join(model.unused_codes):
        session.progress.warn(
            f"labels: the code of {unused} is not used: several have it, or its system is unknown"
        )
    return DicomFolder(folder, model, maps, groups)


def _listed(inputs: list[Path]) -> Iterator[str | Path]:
    """Yield the inputs, with the paths that stdin names in the place of `-`."""
    from medimg_cli.predictions.inputs import named_in

    for given in inputs:
        if given == Path(_LIST):
            yield from named_in(sys.stdin.buffer)
        else:
            yield given


@contextmanager
def _view(
    session: Session, classifier: "Classifier", place: Path, tested: "Tested | None"
) -> "Iterator[PredictionJson | PredictionTable]":
    """Yield what shows the rows on stdout."""
    from medimg_cli.cli.views.prediction import PredictionJson, PredictionTable

    if not session.json:
        yield PredictionTable(classifier.card, tested)
        return
    from medimg_cli.workspace.files import SCHEMA

    card, name = classifier.card, place.stem if place.is_file() else place.name
    model = {"run": name, "arch": card.arch, "weights_sha256": card.weights_sha256, "medimg": __version__}
    view = PredictionJson({"schema": SCHEMA, "command": session.command, "model": model})
    try:
        yield view
    finally:
        view.cut_short()
        sys.stdout.flush()
