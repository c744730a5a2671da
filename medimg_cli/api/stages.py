"""One function per stage, for notebooks and programs: like the command, each builds what it needs and lacks.

Every function takes the study's folder as `workspace` (a `Workspace` or a path; None finds it as the commands do), the
`settings` in force (None reads `medimg.yaml` and `plan.yaml`), and single settings of its own section by name, which go
over them. Errors are `medimg_cli.errors.MedimgError`s: `what` went wrong, and a `hint`. Notes and warnings go to the
logger "medimg" unless a `progress` listens.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medimg_cli.errors import UsageError
from medimg_cli.workspace.config import load_settings, settings_with
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from medimg_cli.audit.findings import AuditResult
    from medimg_cli.evaluation.evaluation import Evaluation, Missed
    from medimg_cli.runs.run import Run
    from medimg_cli.stages.bundle import BundleResult
    from medimg_cli.stages.deidentify import DeidentifyResult
    from medimg_cli.stages.demo import DemoResult
    from medimg_cli.stages.download import DownloadResult
    from medimg_cli.stages.export import ExportResult
    from medimg_cli.stages.info import InfoResult
    from medimg_cli.stages.ingest import IngestResult
    from medimg_cli.stages.preprocess import PreprocessResult
    from medimg_cli.stages.recalibrate import RecalibrateResult
    from medimg_cli.stages.report import ReportResult
    from medimg_cli.stages.sample_size import SampleSize
    from medimg_cli.stages.serve import Announced
    from medimg_cli.stages.train import TrainResult
    from medimg_cli.stages.tune import TuneResult
    from medimg_cli.statistics.estimate import Estimate

Where = Workspace | Path | str | None
Paths = Path | str | Iterable[Path | str]
_LOG = logging.getLogger("medimg")


class Logged(SilentProgress):
    """Sends notes and warnings to the logger "medimg", whose warnings Python shows where nobody configured it."""

    def note(self, message: str) -> None:
        _LOG.info(message)

    def warn(self, message: str) -> None:
        _LOG.warning(message)


_LISTENER = Logged()


def place_of(workspace: Where) -> Workspace:
    """Return the study's folder as a `Workspace`; None finds it as the commands do."""
    return (
        workspace
        if isinstance(workspace, Workspace)
        else find_workspace(Path(workspace) if workspace else None)
    )


def in_force(
    workspace: Workspace, settings: Settings | None, section: str, own: Mapping[str, Any]
) -> Settings:
    """Return the settings with single ones of one section over them.

    Raises:
        UsageError: a name is unknown, or a value is out of range.
    """
    if settings is None:
        return load_settings(workspace, options={section: own}, note=_LISTENER.note)
    return settings_with(settings, section, own) if own else settings


def listed(paths: Paths) -> list[Path]:
    """Return one path, or several, as a list."""
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def demo(
    folder: Path | str = "demo",
    *,
    patients: int = 160,
    seed: int = 0,
    flaws: bool = False,
    findings: bool = False,
    progress: Progress = _LISTENER,
) -> "DemoResult":
    """Write a synthetic cohort of X-ray-like phantoms into a new folder, see `medimg demo`."""
    from medimg_cli.stages.demo import demo as stage

    return stage(
        Path(folder), patients=patients, seed=seed, flaws=flaws, findings=findings, progress=progress
    )


def download(
    name: str,
    *,
    size_px: int | None = None,
    folder: Path | str | None = None,
    workspace: Where = None,
    progress: Progress = _LISTENER,
) -> "DownloadResult":
    """Fetch a public data set, checksum verified; without `size_px` at its smallest size."""
    from medimg_cli.stages.download import download as stage

    to = Path(folder) if folder is not None else None
    return stage(place_of(workspace), name, size_px=size_px, folder=to, progress=progress)


def deidentify(
    source: Path | str,
    destination: Path | str,
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "DeidentifyResult":
    """Write de-identified copies of DICOM files and pictures into a new folder."""
    from medimg_cli.stages.deidentify import deidentify as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "deidentify", options).deidentify
    return stage(place, Path(source), Path(destination), chosen, progress)


def ingest(
    sources: Paths,
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "IngestResult":
    """Read images and labels into `dataset/manifest.csv`, one row per image, split by patient."""
    from medimg_cli.stages.ingest import ingest as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "ingest", options)
    book = chosen.labels.codes or None
    return stage(place, listed(sources), chosen.ingest, progress, code_book=book, cleaning=chosen.deidentify)


def label_audit(
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "AuditResult":
    """Find leaks, duplicates, label errors, shortcuts, poor images and identities; `apply=True` excludes copies and blanks.

    Raises:
        UsageError: `review` or `undo` is asked for; they are for people at a browser or a terminal.
    """
    from medimg_cli.api.prerequisites import embedder
    from medimg_cli.stages.label_audit import apply_findings, wants
    from medimg_cli.stages.label_audit import label_audit as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "label_audit", options).label_audit
    if chosen.review or chosen.undo:
        raise UsageError("review and undo are options of the command", "run `medimg label-audit`")
    embed = embedder(chosen, progress, place.cache_dir) if wants(chosen, "label-errors") else None
    result = stage(place, chosen, progress, embed=embed)
    if chosen.apply and apply_findings(place, result)[0].marked:
        result = stage(place, chosen, progress, embed=embed)
    return result


def preprocess(
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "PreprocessResult":
    """Decode and resize every image once, into one memory-mapped array."""
    from medimg_cli.api.prerequisites import images_wanted, network_of
    from medimg_cli.stages.preprocess import preprocess as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "preprocess", options)
    network = network_of(place, chosen)
    return stage(place, chosen.preprocess, train=network, wants=images_wanted(network), progress=progress)


def train(
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "TrainResult":
    """Train a network; choose its best epoch and its operating threshold on validation. Preprocesses where needed."""
    from medimg_cli.api.prerequisites import keep_choice, network_chosen, pixels_for_training
    from medimg_cli.stages.train import train as stage
    from medimg_cli.training.distributed.join import joined

    place = place_of(workspace)
    chosen = in_force(place, settings, "train", options)
    with joined(chosen.train.device) as world:
        chosen, choice = network_chosen(place, chosen, progress)
        prepared = world.in_turn(lambda: pixels_for_training(place, chosen, progress))
        result = stage(place, chosen, prepared.cache, progress)
        if world.leads:
            keep_choice(result.run, choice)
        return result


def tune(
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "TuneResult":
    """Search the settings of `train` that do best on validation; the test split is never looked at. Needs Optuna.

    `medimg.train(settings=...)` takes what the search wrote: `result.search.best_path` holds the best settings.
    """
    from medimg_cli.api.prerequisites import pixels_for_training
    from medimg_cli.stages.tune import tune as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "tune", options)
    return stage(place, chosen, lambda one: pixels_for_training(place, one, progress).cache, progress)


def sample_size(
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "SampleSize":
    """Return how many test cases a wanted precision needs, and in a workspace with data a learning curve and its forecast."""
    from medimg_cli.api.prerequisites import embedder_for_curve
    from medimg_cli.stages.sample_size import sample_size as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "sample_size", options)
    return stage(place, chosen.sample_size, embedder_for_curve(place, chosen, progress), progress)


@dataclass(frozen=True)
class Evaluated:
    """An evaluation as a notebook shows it: headline, confusion matrix and curve.

    Args:
        evaluation: all results, as `metrics-<split>.json` holds them.
        unmet: requirements (`require`) that are not met.
    """

    evaluation: "Evaluation"
    unmet: tuple[str, ...] = ()

    @property
    def metrics(self) -> "dict[str, Estimate]":
        """Return the figures with their intervals, by name."""
        return self.evaluation.metrics

    @property
    def missed(self) -> "Missed | None":
        """Return the images of the positive class that were called negative; None without such a class."""
        return self.evaluation.missed

    def _repr_html_(self) -> str:
        from medimg_cli.reporting.page import evaluation_html

        return evaluation_html(self.evaluation)


def evaluate(
    run: str | Path | None = None,
    workspace: Where = None,
    *,
    data: Path | str | None = None,
    reading: Mapping[str, Any] | None = None,
    predictions: Path | str | None = None,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> Evaluated:
    """Measure a run on the test split, recall first, an interval with every proportion.

    Args:
        run: name or folder; None for the newest.
        data: images from elsewhere, all of which are answered (external testing): a folder, or a workspace.
        reading: settings of `ingest` by which the images of `data` are read, such as `{"labels": "labels.csv"}`.
        predictions: a table of any software's answers (`y_true`, `prob_<class>` …) to measure instead of a run.
    """
    place = place_of(workspace)
    chosen = in_force(place, settings, "evaluate", options)
    if predictions is not None:
        if run is not None or data is not None:
            other = "a run" if data is None else "images"
            raise UsageError(f"both {other} and a table of predictions are given", "leave one out")
        from medimg_cli.stages.evaluate_table import evaluate_table

        of_table = evaluate_table(Path(predictions), chosen.evaluate)
        return Evaluated(of_table.evaluation, of_table.unmet)
    from medimg_cli.api.prerequisites import compared_run, evaluation_elsewhere, evaluation_of_run
    from medimg_cli.runs.run_folders import find_run

    found = find_run(place, None if run is None else str(run))
    if data is not None:
        from medimg_cli.evaluation.external import name_of

        folder, images = Path(data), _images_from(found, data, reading, progress)
        elsewhere = evaluation_elsewhere(place, found, images, name_of(folder), chosen, progress)
        return Evaluated(elsewhere.evaluation, elsewhere.unmet)
    shared = {"split": chosen.evaluate.split, "allow_leak": chosen.evaluate.allow_leak}
    compared_run(place, chosen, in_force(place, settings, "evaluate", shared), progress)
    result = evaluation_of_run(place, found, chosen, progress)
    return Evaluated(result.evaluation, result.unmet)


def _images_from(
    run: "Run", data: Path | str, reading: Mapping[str, Any] | None, progress: Progress
) -> Workspace:
    from medimg_cli.api.prerequisites import images_from_elsewhere

    own = {name: value for name, value in (reading or {}).items() if value is not None}
    return images_from_elsewhere(
        run, Path(data), own, lambda place: in_force(place, None, "ingest", own), progress
    )


def recalibrate(
    data: Path | str,
    run: str | Path | None = None,
    workspace: Where = None,
    *,
    reading: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "RecalibrateResult":
    """Adapt a run to another place by 30 to 200 labelled cases from there, as a run of its own; the network stays.

    Args:
        data: the cases: a folder, or a workspace.
        reading: as of `evaluate`.
    """
    from medimg_cli.api.prerequisites import pixels_elsewhere
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.recalibrate import recalibrate as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "recalibrate", options)
    parent = find_run(place, None if run is None else str(run))
    images = _images_from(parent, data, reading, progress)
    cache = pixels_elsewhere(parent, images, chosen, progress)
    return stage(place, parent, images, cache, chosen.recalibrate, progress)


def _print_address(announced: "Announced") -> None:
    print(f"upload page: {announced.address or announced.dicom}")  # noqa: T201 -- without the address nobody can open it


def serve(
    run: str | Path | None = None,
    workspace: Where = None,
    *,
    announce: "Callable[[Announced], None]" = _print_address,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> bool:
    """Serve a model (upload page and API) until the process is interrupted; call it from the main thread.

    Workers are processes of their own: in a script, call it under `if __name__ == "__main__":`.

    Args:
        run: name or folder, or the zip of `bundle`; None for the newest.
        announce: called with the address once all workers answer; without it, the address is printed.

    Returns:
        whether every request under way was finished at the end.
    """
    from medimg_cli.api.prerequisites import dicom_answerer, opened_model, serving_worker
    from medimg_cli.runs.bundle import is_bundle
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.serve import serve as stage

    place = place_of(workspace)
    whole = in_force(place, settings, "serve", options)
    is_file = run is not None and is_bundle(Path(run))
    model = Path(str(run)) if is_file else find_run(place, None if run is None else str(run)).folder
    return stage(
        place,
        model.absolute(),
        whole.serve,
        open_model=opened_model,
        work=serving_worker,
        answer_dicom=dicom_answerer,
        codes=whole.labels.codes,
        announce=announce,
        note=progress.warn,
    )


def report(
    out: Paths = (),
    run: str | Path | None = None,
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "ReportResult":
    """Render the evaluation of a run as HTML or PDF, by the suffix; evaluates the run first where that was not done.

    Args:
        out: files to write; none = `report.html` in the run's folder.
    """
    from medimg_cli.api.prerequisites import as_evaluated, evaluation_of_run
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.report import check_outputs
    from medimg_cli.stages.report import report as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "report", options)
    found = find_run(place, None if run is None else str(run))
    outputs = listed(out) or [found.folder / "report.html"]
    check_outputs(outputs)
    evaluation_of_run(place, found, as_evaluated(chosen, found), progress)
    return stage(place, found, outputs, chosen.report, progress, split=chosen.evaluate.split)


def export(
    out: Path | str,
    run: str | Path | None = None,
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
    **options: Any,
) -> "ExportResult":
    """Write a run as one ONNX file from pixels to calibrated probabilities, parity checked."""
    from medimg_cli.api.prerequisites import copies_of_run, facts_given
    from medimg_cli.preprocessing.probe_images import files_at_hand, pixels_at_hand
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.export import check_out
    from medimg_cli.stages.export import export as stage

    place = place_of(workspace)
    chosen = in_force(place, settings, "export", options)
    found = find_run(place, None if run is None else str(run))
    check_out(Path(out), found)
    facts, probes = facts_given(place, chosen), pixels_at_hand(place, found.read_card().recipe)
    copies_of_run(found, probes, progress)
    files = files_at_hand(place, None, chosen.export.images) if chosen.export.verify else None
    return stage(found, Path(out), probes, facts=facts, files=files, progress=progress)


def bundle(
    out: Path | str,
    run: str | Path | None = None,
    workspace: Where = None,
    *,
    settings: Settings | None = None,
    progress: Progress = _LISTENER,
) -> "BundleResult":
    """Write a run as one zip that `load_model` and `medimg serve` take where nothing else of the study is."""
    from medimg_cli.api.prerequisites import copies_of_run, facts_given, model_card_of
    from medimg_cli.preprocessing.probe_images import pixels_at_hand
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.bundle import bundle as stage
    from medimg_cli.stages.bundle import check_out

    place = place_of(workspace)
    chosen = in_force(place, settings, "report", {})
    found = find_run(place, None if run is None else str(run))
    check_out(Path(out))
    facts = facts_given(place, chosen)
    copies_of_run(found, pixels_at_hand(place, found.read_card().recipe), progress)
    return stage(found, Path(out), facts=facts, model_card=model_card_of(place, found, chosen, progress))


def runs(workspace: Where = None) -> list[dict[str, Any]]:
    """Return the runs of a workspace, oldest first, one row each, with validation and test figures."""
    from medimg_cli.stages.runs import runs as stage

    return stage(place_of(workspace))


def info(path: Path | str) -> "InfoResult":
    """Return how one file is read: format, size, window, histogram."""
    from medimg_cli.stages.info import info as stage

    return stage(str(path))
