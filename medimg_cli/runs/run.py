"""A run: one folder with the model, how it came to be, and what it answered."""

import unicodedata
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.ood_limits import Limits, Sets
from medimg_cli.runs.weights_origin import WeightsOrigin
from medimg_cli.statistics.probabilities import AnswerKind
from medimg_cli.workspace.files import check_seal, read_json, sealed, write_json
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.table_form import stored

Artefact = TypeVar("Artefact", bound=BaseModel)
Share = Annotated[float, Field(ge=0, le=1)]
_MOST_CARD_BYTES = 64 << 20
_ELSEWHERE = "train again, or point to a run folder that medimg wrote"
_ROUNDING = 1e-9  # a threshold on the sum of several probabilities may pass 1 by this much
HeadKind = Literal["own", "pooled"]
"""A network's own head, or average, dropout and one layer in its place: see `training.networks.backbone.pool_head`."""
StemKind = Literal["own", "small"]
"""A network's own first layers, or ones that keep small images whole: see `training.networks.stems`."""


LOCAL = "local"
"""What the labelled cases are called that a run was recalibrated on."""


def _no_word(value: object) -> object:
    if isinstance(value, bool | str):  # pydantic takes true for 1.0
        raise ValueError("Input should be a number")
    return value


_Number = Annotated[float, BeforeValidator(_no_word)]


class Threshold(BaseModel, frozen=True, allow_inf_nan=False):
    """The operating point: positive when the probability of the positive class is at least `value`.

    Args:
        rule: how it was chosen, in words.
        split: the split it was chosen on, never test; "out-of-fold" where each image of train and val was answered
            by members of an ensemble that had not learnt from it; "" where it was given and chosen on none.
        target_recall, target_specificity: what the rule aims at, None where it aims at something else.
        achieved_recall: recall on that split at `value`; None where there is no such split.
        achieved_specificity: specificity there.
        positives: images that it was chosen on, and their patients; as many where these are not known.
        expected_recall: 95 % interval of the recall to come, where images come as they did on that split.
        reaches_target: probability that the recall to come reaches `target_recall`.
    """

    value: _Number
    rule: str
    split: str
    target_recall: Share | None = None
    target_specificity: Share | None = None
    achieved_recall: Share | None
    achieved_specificity: Share | None
    positives: tuple[int, int] | None = None
    expected_recall: tuple[Share, Share] | None = None
    reaches_target: Share | None = None


class Normalisation(BaseModel, frozen=True, allow_inf_nan=False):
    """Per channel, in units of 0..1 pixels, measured on the training split."""

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]


class Fingerprint(BaseModel, frozen=True):
    """What a model was trained on."""

    dataset_hash: str
    train_images: int
    train_patients: int
    val_images: int
    class_counts: dict[str, int]


class Recalibration(BaseModel, frozen=True, allow_inf_nan=False):
    """What a model's probabilities are changed by for another place, after everything else.

    Args:
        scale: the log probabilities (of several labels the logits) are multiplied by it; 1 / temperature.
        shift: (C,), added to them then; 0 for all but where the classes are more or less frequent there.
    """

    scale: Annotated[float, Field(gt=0)] = 1.0
    shift: tuple[float, ...]


class Member(BaseModel, frozen=True):
    """One network of an ensemble.

    Args:
        folder: its run's folder, relative to the ensemble's own, which may be moved.
        weights_sha256: of its weights.
    """

    folder: str
    weights_sha256: str

    @field_validator("folder")
    @classmethod
    def _stay_inside(cls, value: str) -> str:
        place = PurePosixPath(value)
        if place.is_absolute() or not place.parts or ".." in place.parts or "\\" in value:
            raise ValueError(f"a member's folder lies inside its run's, unlike {value!r}")
        return value


class OverViews(BaseModel, frozen=True):
    """The operating point of answers that are means over several views of an image (`--tta`), chosen on such answers."""

    threshold: Threshold | None
    thresholds: dict[str, Threshold] = {}


Pooling = Literal["mean", "max", "top-3 mean", "noisy-or"]


class Exams(BaseModel, frozen=True, allow_inf_nan=False):
    """How a model decides on an exam of several images.

    Args:
        source: what an exam was in training: "column NAME", "StudyInstanceUID", "patient", "folder", "file" …
        pooling: of the images' probabilities, see `predictions.pooling`.
        why: it was chosen.
        auroc: pooling → of the exams that it was chosen on.
        threshold, thresholds: as the model's own, of pooled probabilities.
    """

    source: str
    pooling: Pooling
    why: str
    auroc: dict[str, Share] = {}
    threshold: Threshold | None
    thresholds: dict[str, Threshold] = {}


class ModelCard(BaseModel, frozen=True, allow_inf_nan=False):
    """`model.json`: together with `model.safetensors` the whole model; no pickle, no code.

    An ensemble has no weights of its own: its answer is the mean of its members' probabilities.

    Args:
        normalisation: of an ensemble the mean over its members, each of which has its own.
        weights_sha256: of an ensemble a hash over its members'.
        temperature: logits are divided by it; fitted on validation. 1 for an ensemble: each member has its own.
        augment: the preset it was trained with, which says what views of an image it knows.
        members: the networks of an ensemble, none for a single network.
        folds: parts that train and val were dealt into, each held out by some members; None = split as it was.
        answers: how logits become probabilities, see `statistics.probabilities`.
        thresholds: of several labels an image, class → its operating point; a class without one has 0.5.
        onnx_sha256: of the ONNX copy of the network; None where there is none, as for an ensemble, which asks its members.
        reference_sha256: of what tells images unlike the training; None as for `onnx_sha256`, and `limits` too.
        sets: how probable a class must be to be named in a set; None of several labels an image.
        began_with: the weights that training began with, None from scratch.
        over_views: thresholds for `--tta`, once `evaluate --tta` chose them; None = those of the plain answers decide there.
        exams: how it decides on exams; None where it answers images alone.
        recalibration: for another place, by `medimg recalibrate`; None of a model as it was trained.
        tuning_sha256: of the answers its thresholds were chosen on, see `predictions.digest_of`; None before there was one.
    """

    version: Literal[1] = 1
    arch: str
    classes: tuple[str, ...]
    positive: str | None
    recipe: Recipe
    normalisation: Normalisation
    threshold: Threshold | None
    fingerprint: Fingerprint
    weights_sha256: str
    head: HeadKind = "own"
    stem: StemKind = "own"
    temperature: Annotated[float, Field(gt=0), BeforeValidator(_no_word)] = 1.0
    augment: str = "none"
    members: tuple[Member, ...] = ()
    folds: int | None = None
    answers: AnswerKind = "softmax"
    thresholds: dict[str, Threshold] = {}
    onnx_sha256: str | None = None
    reference_sha256: str | None = None
    limits: Limits | None = None
    sets: Sets | None = None
    recalibration: Recalibration | None = None
    over_views: OverViews | None = None
    exams: Exams | None = None
    began_with: WeightsOrigin | None = None
    tuning_sha256: str | None = None
    _unsealed: bool = PrivateAttr(False)  # read from a file without a seal, by which a changed digit is known

    @property
    def labels(self) -> LabelSpace:
        """Return the classes it answers for, and which of them are the disease."""
        return LabelSpace(self.classes, self.positive, self.answers == "sigmoid")

    @model_validator(mode="after")
    def _contradict_nothing(self) -> Self:
        """Refuse a card that no training writes: it would give an answer to a question nobody asked."""
        classes = set(self.classes)
        points = {f"thresholds.{name}": one for name, one in self.thresholds.items()}
        points |= {"threshold": self.threshold} if self.threshold is not None else {}
        named = set(self.thresholds)
        for where, own in (("over_views", self.over_views), ("exams", self.exams)):
            if own is not None:
                named |= set(own.thresholds)
                points |= {f"{where}.thresholds.{name}": one for name, one in own.thresholds.items()}
                points |= {f"{where}.threshold": own.threshold} if own.threshold is not None else {}
        beyond = [name for name, one in points.items() if not 0 <= one.value <= 1 + _ROUNDING]
        strangers = named - classes or set(self.sets.least if self.sets else ()) ^ (
            classes if self.sets else set()
        )
        faults = {
            "classes: none is named": not classes,
            "classes: one has no name, or control characters in it": any(
                not name.strip() or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name)
                for name in self.classes
            ),
            "classes: one is named twice": len(classes) < len(self.classes),
            f"{', '.join(beyond)}: a threshold lies between 0 and 1": bool(beyond),
            f"thresholds or sets: {sorted(strangers)[:1]} does not fit the classes": bool(strangers),
            "threshold: it needs a positive class (`positive`) and one class an image (`answers`)": (
                self.threshold is not None and (self.positive is None or self.answers == "sigmoid")
            ),
            "thresholds: they need several labels an image (`answers`)": bool(self.thresholds)
            and self.answers != "sigmoid",
            "normalisation: it has not as many figures as the recipe has channels": {
                len(self.normalisation.mean),
                len(self.normalisation.std),
            }
            != {self.recipe.channels},
            "recalibration: it has not as many figures as there are classes": self.recalibration is not None
            and len(self.recalibration.shift) != len(self.classes),
            "members: one is named twice": len({one.folder for one in self.members}) < len(self.members),
        }
        for fault, holds in faults.items():
            if holds:
                raise ValueError(fault)
        try:
            _ = self.labels
        except UsageError as error:
            raise ValueError(f"positive: {error.what}") from error
        return self


class RunRecord(BaseModel):
    """`run.json`: provenance.

    Args:
        status: running, complete, or interrupted (the best epoch so far is kept).
        val: validation figures of the best epoch by name.
        resumed: how often training was taken up again.
        members: how many networks it holds that were trained to their end; epochs and parameters are their sum.
        folds: validation figures of each fold that was held out, none without `--folds`.
        parent: the run that this one was recalibrated from, "" of one that was trained.
        recalibrated: on what, and what that gave.
    """

    version: Literal[1] = 1
    name: str
    status: Literal["running", "complete", "interrupted"]
    arch: str
    seed: int
    started: str
    finished: str | None = None
    seconds: float | None = None
    epochs_run: int = 0
    best_epoch: int | None = None
    parameters: int = 0
    device: str = "cpu"
    images_per_second: float | None = None
    val: dict[str, float | None] = {}
    dataset_hash: str = ""
    recipe_key: str = ""
    resumed: int = 0
    command: str = ""
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}
    git_commit: str | None = None
    members: int = 1
    folds: tuple[dict[str, int | float | None], ...] = ()
    parent: str = ""
    recalibrated: dict[str, Any] = {}


class Run:
    """The folder `runs/<name>` and the paths inside it.

    Attributes:
        onnx_path: the network's copy for ONNX Runtime: it answers like the weights, without torch.
        reference_path: what the training images were like: it identifies images unlike them.
        explanation_path: what is known of the network's heat maps, see `runs.explanation`.
        state_path: where a training that is not over keeps what it goes on from.
        members_path: where an ensemble keeps the runs of its members; a single network has no such folder.
        candidates_path: what became of every network that `--arch a,b` tried, see `training.candidates`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self.config_path, self.plan_path = folder / "config.yaml", folder / "plan.yaml"
        self.card_path, self.record_path = folder / "model.json", folder / "run.json"
        self.weights_path, self.onnx_path = folder / "model.safetensors", folder / "model.onnx"
        self.reference_path, self.explanation_path = folder / "reference.safetensors", folder / "explain.json"
        self.state_path, self.members_path = folder / "last.ckpt", folder / "members"
        self.history_path, self.lr_range_path = folder / "history.csv", folder / "lr-range.csv"
        self.candidates_path = folder / "candidates.json"
        self.log_path, self.lock_path = folder / "log.txt", folder / ".lock"

    def predictions_path(self, split: str) -> Path:
        return stored(self.folder / f"predictions-{split}.csv")

    @property
    def tuning_path(self) -> Path:
        """Return the predictions that its threshold was chosen on: of the local cases of a recalibrated run, else of val."""
        local = self.predictions_path(LOCAL)
        return local if local.is_file() else self.predictions_path("val")

    def metrics_path(self, split: str) -> Path:
        return self.folder / f"metrics-{split}.json"

    def is_unfinished(self) -> bool:
        """Return whether its training can be gone on with; False where its record cannot be read."""
        ensemble = self.members_path.is_dir()
        if not ensemble and self.state_path.is_file():
            return True
        try:
            status = self.read_record().status
        except RunError:
            return False
        return status == "running" or (ensemble and status == "interrupted")

    def read_card(self) -> ModelCard:
        """Read `model.json`.

        Raises:
            RunError: it is missing or not one of medimg's.
        """
        return read_model(self.card_path, ModelCard, _ELSEWHERE)

    def note_seal(self, card: ModelCard, progress: Progress) -> None:
        """Say so where the model card is of a version that wrote no seal."""
        if card._unsealed:
            progress.note(
                f"{self.card_path} has no seal, as of an earlier version: a changed digit is not seen"
            )

    def read_record(self) -> RunRecord:
        """Read `run.json`; raises `RunError` as `read_card` does."""
        return read_model(self.record_path, RunRecord, _ELSEWHERE)

    def write_card(self, card: ModelCard) -> None:
        write_json(self.card_path, sealed(card.model_dump()))

    def write_record(self, record: RunRecord) -> None:
        write_json(self.record_path, sealed(record.model_dump()))


def read_model(path: Path, model: type[Artefact], hint: str = "restore it, or train again") -> Artefact:
    """Return a JSON file of a run as what it describes; raises `RunError` where it is not one of medimg's."""
    try:
        content = check_seal(path, read_json(path, most_bytes=_MOST_CARD_BYTES))
        found = model.model_validate(content)
        if isinstance(found, ModelCard):
            found._unsealed = "seal" not in content
        return found
    except DataError as error:
        raise RunError(error.what, hint) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = f"{place}: {first['msg']}".removeprefix(": ").replace("Value error, ", "")
        raise RunError(
            f"{path}: {problem}", f"was it written by another version of medimg? Else {hint}"
        ) from error
