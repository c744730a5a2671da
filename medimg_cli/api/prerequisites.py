"""What a command needs before its own stage: built when lacking, left alone when up to date."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from medimg_cli.audit.findings import Embedder
    from medimg_cli.inference.load import Opened
    from medimg_cli.inference.predictor import Answering, Predictor
    from medimg_cli.preprocessing.automatic_choices import WantedImages
    from medimg_cli.preprocessing.cache import PixelCache
    from medimg_cli.preprocessing.probe_images import Shown
    from medimg_cli.runs.explanation import Explanation
    from medimg_cli.runs.run import Run
    from medimg_cli.stages.evaluate import EvaluateResult
    from medimg_cli.stages.preprocess import PreprocessResult
    from medimg_cli.training.candidates import Chosen
    from medimg_cli.workspace.progress import Progress
    from medimg_cli.workspace.settings import LabelAuditSettings, Settings, TrainSettings
    from medimg_cli.workspace.workspace import Workspace


def opened_model(place: "Path") -> "Opened":
    """Return the model at `place`; torch is imported only where a network has no ONNX copy."""
    from medimg_cli.inference.load import open_model

    opened = open_model(place)
    if opened is None:
        from medimg_cli.training.networks.torch_network import open_in_torch

        opened = open_in_torch(place)
    return opened


def serving_worker(*arguments: "Any") -> None:
    """Be a worker of `serve`; the process that watches over the workers loads none of what they need."""
    from medimg_cli.web.serving.worker import work

    work(*arguments)


def dicom_answerer(*arguments: "Any") -> None:
    """Be a process that answers what the DICOM node of `serve` has stored."""
    from medimg_cli.web.dicom.worker import work

    work(*arguments)


def embedder_for_curve(
    workspace: "Workspace", settings: "Settings", progress: "Progress"
) -> "Embedder | None":
    """Return the features of the learning curve of `sample-size`, None where there is no curve or no file of weights."""
    wanted = settings.sample_size
    if not wanted.curve or not workspace.manifest_path.is_file():
        return None
    weights = settings.label_audit.model_copy(update={"weights": wanted.weights})
    return embedder(weights, progress, workspace.cache_dir)


def pixels_for_training(
    workspace: "Workspace", settings: "Settings", progress: "Progress"
) -> "PreprocessResult":
    """Return the pixels of train and val at the size the network prefers; test stays undecoded."""
    from medimg_cli.dataset.manifest import read_dataset
    from medimg_cli.preprocessing.automatic_choices import plan_recipe
    from medimg_cli.runs.requirements_for_training import loss_for
    from medimg_cli.stages.preprocess import preprocess
    from medimg_cli.training.networks.networks import check_size

    dataset = read_dataset(workspace)
    loss_for(settings.train, dataset.labels)  # before hours of decoding, and so is the size
    chosen = network_of(workspace, settings)
    wants = images_wanted(chosen)
    recipe = plan_recipe(dataset, settings.preprocess, train=chosen, wanted=wants)
    check_size(chosen.arch, recipe.size_px, channels=recipe.channels, stem=chosen.stem)
    return preprocess(
        workspace, settings.preprocess, train=chosen, wants=wants, splits=("train", "val"), progress=progress
    )


def network_chosen(
    workspace: "Workspace", settings: "Settings", progress: "Progress"
) -> "tuple[Settings, Chosen | None]":
    """Return the settings with one network, chosen on folds where there are several; and how it was chosen.

    Several are named by `--arch a,b`, or found by `--arch auto` within a time limit.
    """
    from medimg_cli.training.candidates import auto_names, candidates_for, choose, names_of

    names = names_of(settings.train.arch) or auto_names(settings.train)
    if not names:
        return settings, None
    import time

    from medimg_cli.dataset.manifest import read_dataset
    from medimg_cli.stages.train import with_time_left
    from medimg_cli.training.device import choose_device
    from medimg_cli.training.fitting.automatic_plan import named

    began, dataset = time.perf_counter(), read_dataset(workspace)
    device = choose_device(settings.train.device)
    several = settings.train.model_copy(update={"arch": ",".join(names)})
    chosen = named(settings.model_copy(update={"train": several}), dataset, device).train

    def pixels(own: "TrainSettings") -> "PixelCache":
        one = settings.model_copy(update={"train": own})
        return pixels_for_training(workspace, one, progress).cache

    choice = choose(dataset, candidates_for(chosen), pixels, device, progress, chosen.time_limit)
    won = next(each for each in choice.tried if each.chosen)
    progress.note(f"chosen of {len(choice.tried)}: {won.name} (AUROC {won.auroc:.3f} out of fold)")
    return with_time_left(settings.model_copy(update={"train": choice.settings}), began), choice


def keep_choice(run: "Run", choice: "Chosen | None") -> None:
    """Write how the network was chosen of several into the run's folder."""
    from medimg_cli.workspace.files import write_json

    if choice is not None:
        write_json(run.candidates_path, choice.as_json())


def images_wanted(chosen: "TrainSettings") -> "WantedImages | None":
    """Return what images a network wants, None of the usual one, which needs no torch to be asked."""
    from medimg_cli.preprocessing.automatic_choices import SMALL_NETWORK

    if chosen.arch == SMALL_NETWORK:
        return None
    from medimg_cli.training.networks.networks import images_wanted

    return images_wanted(chosen)


def network_of(workspace: "Workspace", settings: "Settings") -> "TrainSettings":
    """Return the settings of training with its network named, which is only looked for where none is."""
    if settings.train.arch != "auto":
        return settings.train
    from medimg_cli.dataset.manifest import read_dataset
    from medimg_cli.training.device import choose_device
    from medimg_cli.training.fitting.automatic_plan import named

    device = choose_device(settings.train.device)
    return named(settings, read_dataset(workspace), device).train


def answering(run: "Run", *, tta: bool) -> "Answering":
    """Return a run's model for an evaluation: by its ONNX copies on a machine without a graphics card, else through torch.

    Raises:
        RunError: the run was trained with nothing that tells which views (`tta`) it knows.
    """
    from medimg_cli.inference.predictor import Answering, has_graphics_card, quick_predictor

    if not tta and not has_graphics_card():
        predictor = quick_predictor(run)
        if predictor is not None:
            return Answering(lambda: predictor)
    from medimg_cli.training.augmentation.augment import views_of
    from medimg_cli.training.networks.torch_network import predictor_of

    views = len(views_of(run.read_card().augment)) if tta else 1
    return Answering(lambda: predictor_of(run, tta=tta), views)


def evaluation_of_run(
    workspace: "Workspace", run: "Run", settings: "Settings", progress: "Progress"
) -> "EvaluateResult":
    """Return the run's evaluation on the chosen split, with the model's own recipe."""
    from medimg_cli.stages.evaluate import evaluate
    from medimg_cli.stages.preprocess import preprocess_with

    prepared = preprocess_with(
        workspace,
        run.read_card().recipe,
        splits=(settings.evaluate.split, *(("val",) if settings.evaluate.tta else ())),
        workers=settings.preprocess.workers,
        progress=progress,
    )
    model = answering(run, tta=settings.evaluate.tta)
    return evaluate(workspace, run, model, prepared.cache, settings.evaluate, progress)


def images_from_elsewhere(
    run: "Run",
    folder: "Path",
    reading: "Mapping[str, Any]",
    load: "Callable[[Workspace], Settings]",
    progress: "Progress",
) -> "Workspace":
    """Return the workspace of images from elsewhere: the folder itself, or one in the run's folder, brought up to date.

    Args:
        folder: a workspace, or images with their labels.
        reading: settings of `ingest` that were given for these images.
        load: workspace → settings by which images are read there, `reading` among them.

    Raises:
        UsageError: options for reading are given for a folder that is ingested already.
    """
    from medimg_cli.errors import UsageError
    from medimg_cli.evaluation.external import external_place, is_fresh, reading_of
    from medimg_cli.stages.ingest import ingest
    from medimg_cli.workspace.workspace import Workspace

    own = Workspace(folder.absolute())
    if own.manifest_path.is_file():
        for name in reading:
            option = "--map" if name == "map_classes" else f"--{name.replace('_', '-')}"
            what = f"the evaluation of {folder}, which is ingested already"
            raise UsageError(f"{option} cannot be heeded in {what}", "leave it out")
        return own
    place = external_place(run, folder)
    # The workspace's own settings of `ingest` are about its own images, so they are not asked.
    settings = reading_of(run.read_card(), load(place).ingest)
    # The model knows its classes: these are compared by name, not by appearance.
    settings = settings.model_copy(update={"fresh": is_fresh(place, folder, settings), "assume_yes": True})
    ingest(place, [folder], settings, progress, tested=True)
    return place


def pixels_elsewhere(
    run: "Run", place: "Workspace", settings: "Settings", progress: "Progress"
) -> "PixelCache":
    """Return the pixels of images from elsewhere, made by the model's own recipe."""
    from medimg_cli.stages.preprocess import preprocess_with

    workers, recipe = settings.preprocess.workers, run.read_card().recipe
    return preprocess_with(place, recipe, workers=workers, progress=progress).cache


def evaluation_elsewhere(
    workspace: "Workspace",
    run: "Run",
    place: "Workspace",
    name: str,
    settings: "Settings",
    progress: "Progress",
) -> "EvaluateResult":
    """Return the evaluation of a run's model on the images of another workspace, called `name`."""
    from medimg_cli.stages.evaluate import evaluate_external

    cache = pixels_elsewhere(run, place, settings, progress)
    model = answering(run, tta=settings.evaluate.tta)
    return evaluate_external(workspace, run, model, place, cache, settings.evaluate, progress, name=name)


def heat_maps_of(place: "Path") -> "tuple[Predictor, Explanation]":
    """Return what draws a model's heat maps and what is known of them; torch only where it cannot be done without."""
    from medimg_cli.inference.explaining import ready_maps

    found = ready_maps(place)
    if found is None:
        from medimg_cli.training.explanation.sanity_check import maps_in_torch

        found = maps_in_torch(place)
    return found


def compared_run(
    workspace: "Workspace", settings: "Settings", plain: "Settings", progress: "Progress"
) -> None:
    """Let the run that another is compared with answer the split as it would alone, where it did not yet.

    Args:
        plain: the settings without those of this evaluation: a threshold given for one model is not given for the other.
    """
    from medimg_cli.evaluation.analyses.comparison import is_table
    from medimg_cli.runs.run_folders import find_run

    compared = settings.evaluate.compare
    if compared is None or is_table(compared):
        return
    off = {"compare": None, "require": (), "keep_threshold": False, "robustness": False}
    own = plain.model_copy(update={"evaluate": plain.evaluate.model_copy(update=off)})
    evaluation_of_run(workspace, find_run(workspace, compared), own, progress)


def copies_of_run(run: "Run", shown: "Shown", progress: "Progress") -> None:
    """Write the ONNX copies that a run of an earlier version, or one whose copies were deleted, lacks."""
    from medimg_cli.inference.predictor import without_copy

    if not without_copy(run, run.read_card()):
        return
    from medimg_cli.training.onnx.export import write_missing_copies

    write_missing_copies(run, shown.pixels, progress)


def facts_given(workspace: "Workspace", settings: "Settings") -> dict[str, str]:
    """Return fact → answer of `report.yaml`, those that somebody gave."""
    from medimg_cli.reporting.study_facts import read_facts

    path = settings.report.facts or workspace.facts_path
    if settings.report.facts is None and not path.is_file():
        return {}
    return {name: answer for name, answer in read_facts(path).answers.items() if answer is not None}


def model_card_of(
    workspace: "Workspace", run: "Run", settings: "Settings", progress: "Progress"
) -> str | None:
    """Return the model card of an evaluated run as Markdown; None of one that was not evaluated on test."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from medimg_cli.errors import MedimgError

    if not run.metrics_path("test").is_file():
        return None
    from medimg_cli.evaluation.evaluation import evaluation_in_force
    from medimg_cli.stages.report import report

    if evaluation_in_force(run, "test") is None:
        progress.note(
            f"no model card: '{run.name}' was not evaluated with the model's threshold (`medimg evaluate {run.name}`)"
        )
        return None

    with TemporaryDirectory(prefix="medimg-") as folder:
        path = Path(folder) / "card.md"
        try:
            report(workspace, run, [], settings.report, progress, card=path)
        except MedimgError as error:
            progress.note(f"no model card: {error.what}")
            return None
        return path.read_text(encoding="utf-8")


def embedder(
    settings: "LabelAuditSettings", progress: "Progress", cache_dir: "Path | None" = None
) -> "Embedder | None":
    """Return what turns images into a network's features, None where no weights are at hand or wanted.

    `--weights auto` takes a file from the folder where torch.hub keeps what it fetched; nothing is fetched.
    Without weights torch is not imported. Features are kept in `cache_dir`, the workspace's `cache/`.
    """
    from pathlib import Path

    from medimg_cli.runs.weights_origin import checkpoints_folder, weights_at_hand

    if settings.weights == "none":
        return None
    auto = settings.weights == "auto"
    weights = weights_at_hand(checkpoints_folder()) if auto else Path(settings.weights)
    if weights is None:
        return None
    return _LazyEmbedder(weights, progress, cache_dir)


class _LazyEmbedder:
    """Features of a network that is loaded, and torch with it, when they are first asked for.

    Args:
        weights: file of weights.
    """

    def __init__(self, weights: "Path", progress: "Progress", cache_dir: "Path | None" = None) -> None:
        self._weights, self._progress, self._cache_dir = weights, progress, cache_dir
        state = weights.stat() if weights.is_file() else None
        self.identity = f"{weights} {state.st_size} {state.st_mtime_ns}" if state else str(weights)
        """What tells these features from others'."""
        if state is None:
            self._network()  # says so at once, not after minutes of other checks

    def __call__(self, paths: "Sequence[str]") -> "NDArray[np.float32]":
        return self._network()(paths)

    def _network(self) -> "Embedder":
        from medimg_cli.images.image import ReadOptions
        from medimg_cli.images.readers import read_image
        from medimg_cli.training.networks.embedding import SIDE_PX, Embedding

        options = ReadOptions(enough_px=SIDE_PX)
        return Embedding(
            self._weights,
            lambda path: read_image(path, options),
            progress=self._progress,
            cache_dir=self._cache_dir,
        )


def as_evaluated(settings: "Settings", run: "Run") -> "Settings":
    """Return the settings with what was asked of the evaluation that is there, so that it is reported as it is.

    It is made again, and in the same way, only where data or model have changed since.
    """
    from pydantic import ValidationError

    from medimg_cli.errors import RunError
    from medimg_cli.evaluation.evaluation import read_evaluation
    from medimg_cli.workspace.operating_settings import EvaluateSettings

    try:
        before = read_evaluation(run, settings.evaluate.split)
    except RunError:  # evaluating says so, and makes it again
        return settings
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
