"""`--arch a,b,…`, or auto within a time limit: several networks tried on folds of train and validation, and one of them chosen without fooling oneself.

Each network is tried as what its features tell a logistic regression, where there are weights, and trained for a third
of its epochs. Folds are dealt by patient; what a fold's answers are judged on nobody has learnt or stopped on. The test
split is never looked at. Heads of frozen networks come before networks that are trained, and small networks before large
ones, so that a short time limit leaves some that were tried to the end. What lies clearly behind the best on the first
fold goes no further (racing), and neither does what no longer fits into half of the time limit, or, of a head, into half
of what is left of that.

Chosen is the simplest candidate whose mean AUROC lies at most one standard error of the paired difference below the best
(Breiman et al. Classification and Regression Trees 1984, section 3.4.3): the best head of a frozen network before any
network that is trained. The two best heads together, the mean of their probabilities, are one more candidate. The figure of the best of several is too good;
by how much is estimated by choosing again on bootstraps of patients and judging on those left out (Tsamardinos,
Greasidou, Borboudakis. Mach Learn 2018;107:1895-1922).
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.dataset.splits import deal_folds
from medimg_cli.errors import RunError, UsageError
from medimg_cli.preprocessing.automatic_choices import SMALL_NETWORK
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.weights_origin import SUFFIXES, architecture_of, checkpoints_folder, weights_of
from medimg_cli.statistics.choosing import behind_best, bootstraps, optimism_of_choosing
from medimg_cli.statistics.probabilities import probabilities_from
from medimg_cli.training.architectures import ARCHITECTURES
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.device import Normaliser, on_device, prepare_processor
from medimg_cli.training.fitting.features import fit_logistic_head, kept_features
from medimg_cli.training.fitting.loop import fit
from medimg_cli.training.fitting.plan import plan_training
from medimg_cli.training.fitting.scoring import predict_logits, watched_figures
from medimg_cli.training.fitting.time_limit import Deadline, TimeIsUp
from medimg_cli.training.networks.initialise import starting_network
from medimg_cli.training.networks.networks import parameter_count, torchvision_names
from medimg_cli.training.networks.timm_networks import beside
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import TrainSettings

FOLDS = 3
_INNER_FOLDS = 5
_SHARE_OF_EPOCHS = 3
_CLEARLY_BEHIND = 2.0  # standard errors, on the first fold
_SHARE_OF_TIME = 0.5
_PERCENTS = (2.5, 97.5)


@dataclass(frozen=True)
class Candidate:
    """One network and how it is trained.

    Args:
        settings: of the training that it would be.
        way: "logistic" or "trained".
    """

    settings: TrainSettings
    way: str

    @property
    def name(self) -> str:
        return f"{' + '.join((self.settings.arch, *self.settings.also))}, {'frozen, logistic regression' if self.way == 'logistic' else 'all layers trained'}"

    @property
    def bytes(self) -> int:
        """Return how large the weights are that it starts from, 0 without any: a measure of what trying it costs."""
        place = Path(self.settings.weights)
        return sum(file.stat().st_size for file in (place, *place.glob("*")) if file.is_file())


@dataclass(frozen=True)
class Tried:
    """What became of a candidate.

    Args:
        auroc: mean over classes, out of fold; None where it was given up before all folds were answered.
        low, high: its 95 % interval, by bootstrap of patients.
        behind: the best one's AUROC less its own, and the standard error of that difference.
        parameters: trainable numbers that the training changes.
        ended: why it was given up, "" where it was not.
    """

    name: str
    arch: str
    way: str
    parameters: int
    seconds: float
    auroc: float | None = None
    low: float | None = None
    high: float | None = None
    behind: tuple[float, float] | None = None
    ended: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Chosen:
    """What was chosen of several candidates.

    Args:
        settings: of the chosen one's training.
        images: that were answered out of fold.
        optimism: by how much the AUROC of the best of them is too good, None with a single one.
    """

    settings: TrainSettings
    tried: tuple[Tried, ...]
    images: int
    folds: int
    optimism: float | None
    rule: str = "the best head of a frozen network, else the simplest, within one standard error of the best, by paired difference"

    def as_json(self) -> dict[str, object]:
        fields = asdict(replace(self, settings=TrainSettings()))
        return {name: value for name, value in fields.items() if name != "settings"}


def names_of(arch: str) -> list[str]:
    """Return the networks that `--arch a,b` names; a single one is none to choose from."""
    names = list(dict.fromkeys(name.strip() for name in arch.split(",") if name.strip()))
    return names if "," in arch else []


def auto_names(chosen: TrainSettings) -> list[str]:
    """Return what `--arch auto` tries within a time limit: our network, and torchvision's whose weights are at hand.

    Those are in the folder that `--weights` names, or, of "imagenet", where torch keeps what it fetched. Without limit
    or folder there is nothing to try: the rule of `preprocessing.automatic_choices` names the network.
    """
    folder = checkpoints_folder() if chosen.weights == "imagenet" else Path(chosen.weights)
    if chosen.arch != "auto" or chosen.time_limit is None or not folder.is_dir() or beside(folder):
        return []
    known = torchvision_names()
    found = {architecture_of(path.name, known) for path in folder.iterdir() if path.suffix in SUFFIXES}
    names = sorted(name for name in found if name is not None)
    return [SMALL_NETWORK, *names] if names else []


def candidates_for(chosen: TrainSettings) -> list[Candidate]:
    """Return the candidates, for each network from the cheap to the dear way.

    `--weights` may be a folder with one file of weights for each network, whose names begin with the network's; a
    network that has none there is trained from scratch.

    Raises:
        UsageError: fewer than two networks, or settings that leave no choice.
    """
    names = names_of(chosen.arch)
    if chosen.freeze != "none" or chosen.folds is not None or chosen.seeds > 1 or chosen.lr == "auto":
        raise UsageError(
            f"--arch {chosen.arch} chooses head and layers by itself",
            "leave out --freeze, --head, --folds, --seeds and --lr auto; train the chosen network so afterwards",
        )
    found = []
    for name in names:
        weights = chosen.weights
        place = Path(weights)
        if place.is_dir() and not (place / "config.json").is_file():
            file = weights_of(place, name.rpartition("/")[2])
            weights = "none" if file is None else str(file)
        elif name in ARCHITECTURES and weights == "imagenet":
            weights = "none"
        own = chosen.model_copy(update={"arch": name, "weights": weights})
        if weights != "none":
            found.append(
                Candidate(own.model_copy(update={"head": "logistic", "freeze": "backbone"}), "logistic")
            )
            own = own.model_copy(update={"head": "logistic", "freeze": 1})
        found.append(Candidate(own, "trained"))
    return found


def choose(
    dataset: Dataset,
    candidates: Sequence[Candidate],
    pixels: Callable[[TrainSettings], PixelCache],
    device: torch.device,
    progress: Progress,
    limit: float | None = None,
) -> Chosen:
    """Try the candidates on folds of train and val, and choose one.

    Args:
        pixels: settings → cache of train and val for their network.
        limit: seconds that choosing and training may take together; choosing takes half.

    Raises:
        UsageError: no candidate was answered on all folds within the limit.
        DataError: as of `pixels`.
    """
    prepare_processor()
    ends = math.inf if limit is None else time.perf_counter() + _SHARE_OF_TIME * limit
    rows = dataset.of_split("train", "val").reset_index(drop=True)
    seed = candidates[0].settings.seed
    folds = np.array(deal_folds(dataset, rows, FOLDS, seed=seed), dtype=np.int64)
    trials = [
        _Trial(each, dataset, rows, folds, pixels(each.settings), device, progress) for each in candidates
    ]
    for trial in sorted(trials, key=lambda each: (each.candidate.way != "logistic", each.candidate.bytes)):
        now = time.perf_counter()
        own = ends if trial.candidate.way != "logistic" else now + (ends - now) / 2
        for fold in range(FOLDS):
            trial.answer(fold, own)
            if fold == 0:
                _give_up(trials, folds == 0)
    whole = [trial for trial in trials if not trial.ended]
    if (pair := _best_two(whole)) is not None:
        trials, whole = [*trials, pair], [*whole, pair]
    if not whole:
        raise UsageError(
            "no candidate was tried to the end within half of --time-limit", "raise it, or name fewer"
        )
    return _chosen(trials, whole, rows)


@dataclass
class _Trial:
    """One candidate on the folds.

    Attributes:
        answers: (N, C) probabilities out of fold, NaN where not answered yet.
        ended: why it was given up, "" while it goes on.
    """

    candidate: Candidate
    dataset: Dataset
    rows: pd.DataFrame
    folds: NDArray[np.int64]
    cache: PixelCache
    device: torch.device
    progress: Progress
    seconds: float = 0.0
    ended: str = ""
    parameters: int = 0

    def __post_init__(self) -> None:
        self.answers = np.full((len(self.rows), len(self.dataset.info.classes)), np.nan)
        self.targets = self.dataset.targets(self.rows)

    def auroc(self, of: NDArray[np.int64] | NDArray[np.bool_]) -> float:
        labels = self.dataset.labels
        positive = [labels.classes.index(name) for name in labels.positives]
        return watched_figures(self.answers[of], self.targets[of], positive).auroc

    def answer(self, fold: int, ends: float) -> None:
        """Answer one fold by a network that has learnt from the others and was stopped on a part of them."""
        if self.ended:
            return
        began = time.perf_counter()
        if began > ends:
            self.ended = "the time was over"
            return
        self.progress.note(f"{self.candidate.name}: fold {fold + 1} of {FOLDS}")
        try:
            self._answer(fold, Deadline(self.progress, ends))
        except TimeIsUp:
            self.ended = "the time was over"
        except (RunError, UsageError) as error:
            self.ended = error.what
        self.seconds += time.perf_counter() - began

    def _answer(self, fold: int, progress: Progress) -> None:
        settings, logistic = self.candidate.settings, self.candidate.way == "logistic"
        held, stopping = self.folds == fold, np.zeros(len(self.rows), dtype=bool)
        # As the training to come has train and val: a fifth of the rest stops it, for every candidate alike.
        inner = deal_folds(self.dataset, self.rows[~held], _INNER_FOLDS, seed=settings.seed)
        stopping[~held] = np.array(inner) == "0"
        learnt = ~held & ~stopping
        train, val, judged = (self._batches(each) for each in (learnt, stopping, held))
        recipe, classes = self.cache.recipe, len(self.dataset.info.classes)
        torch.manual_seed(settings.seed)
        start = starting_network(settings, classes, recipe, train, SilentProgress())
        network = on_device(start.network, self.device)
        prepare = Normaliser(start.normalisation, self.device)
        plan = plan_training(settings, train, self.dataset.labels, self.device)
        self.parameters = parameter_count(start.backbone.head if logistic and start.backbone else network)
        if start.backbone is not None:
            kept = kept_features(
                start.backbone, settings.arch, start.normalisation, self.device, self.cache.folder.parent
            )
            dealt = deal_folds(self.dataset, self.rows[learnt], _INNER_FOLDS, seed=settings.seed)
            quiet = Deadline(SilentProgress(), progress.ends) if isinstance(progress, Deadline) else progress
            fit_logistic_head(
                start.backbone, train, val, prepare, plan, quiet, np.array(dealt, dtype=np.int64), kept=kept
            )
        if not logistic:
            epochs = max(1, plan.epochs // _SHARE_OF_EPOCHS)
            found = fit(network, train, val, prepare, replace(plan, epochs=epochs, patience=epochs), progress)
            if found.interrupted:
                raise KeyboardInterrupt
            if found.out_of_time:
                raise TimeIsUp
            network.load_state_dict(found.state)
        self.answers[held] = probabilities_from(predict_logits(network, judged, prepare), plan.answers)

    def _batches(self, chosen: NDArray[np.bool_]) -> PixelBatches:
        rows = self.rows[chosen]
        positions = self.cache.positions(rows["image_id"].tolist())
        return PixelBatches(
            self.cache.pixels,
            positions,
            targets=self.targets[chosen],
            batch_size=self.candidate.settings.images_a_step,
        )


def _give_up(trials: Sequence[_Trial], first: NDArray[np.bool_]) -> None:
    """Give up what lies clearly behind the best so far on the first fold and has others to answer yet."""
    going = [trial for trial in trials if not trial.ended and not np.isnan(trial.answers[first]).any()]
    if not going:
        return
    best = max(going, key=lambda trial: trial.auroc(first))
    draws = bootstraps(best.rows["patient_id"].tolist(), first, best.candidate.settings.seed)
    for trial in (each for each in going if np.isnan(each.answers).any()):
        apart = [best.auroc(draw) - trial.auroc(draw) for draw in draws]
        behind = best.auroc(first) - trial.auroc(first)
        if behind > _CLEARLY_BEHIND * float(np.nanstd(apart)) > 0:
            trial.ended = f"{behind:.3f} behind the best on the first fold"


def _best_two(whole: Sequence[_Trial]) -> _Trial | None:
    """Return the two best heads on the same pixels as one that answers by their mean; None where there are no two."""
    heads = [trial for trial in whole if trial.candidate.way == "logistic"]
    heads.sort(key=lambda trial: -trial.auroc(np.ones(len(trial.rows), dtype=bool)))
    others = [trial for trial in heads[1:] if trial.cache.folder == heads[0].cache.folder]
    if not others:
        return None
    best, second = heads[0], others[0]
    update = {"also": (second.candidate.settings.arch,), "time_limit": None}  # heads take seconds
    both = Candidate(best.candidate.settings.model_copy(update=update), "logistic")
    pair = replace(best, candidate=both, seconds=0.0, parameters=best.parameters + second.parameters)
    pair.answers = (best.answers + second.answers) / 2
    return pair


def _chosen(trials: Sequence[_Trial], whole: Sequence[_Trial], rows: pd.DataFrame) -> Chosen:
    """Choose by the one-standard-error rule, and say what is known of all."""
    everything = np.ones(len(rows), dtype=bool)
    draws = bootstraps(rows["patient_id"].tolist(), everything, whole[0].candidate.settings.seed)
    drawn = np.array([[trial.auroc(draw) for draw in draws] for trial in whole])
    reached = np.array([trial.auroc(everything) for trial in whole])
    behind = behind_best(reached, drawn)
    near = [place for place, (apart, error) in enumerate(behind) if apart <= error]
    # Simpler: a head alone before all layers. Of heads the best, as their number of weights follows from the backbone's
    # width and tells nothing; of networks that are trained the one with the fewest numbers that are fitted.
    heads = [place for place in near if whole[place].candidate.way == "logistic"]
    if heads:
        winner = max(heads, key=lambda place: reached[place])
    else:
        winner = min(near, key=lambda place: whole[place].parameters)
    tried = []
    for trial in trials:
        facts = Tried(
            trial.candidate.name,
            trial.candidate.settings.arch,
            trial.candidate.way,
            trial.parameters,
            round(trial.seconds, 2),
            ended=trial.ended,
        )
        if trial in whole:
            place = whole.index(trial)
            low, high = np.nanpercentile(drawn[place], _PERCENTS).tolist()
            facts = replace(
                facts,
                auroc=float(reached[place]),
                low=low,
                high=high,
                behind=behind[place],
                chosen=place == winner,
            )
        tried.append(facts)
    optimism = None
    if len(whole) > 1:
        optimism = optimism_of_choosing(drawn, draws, lambda model, of: whole[model].auroc(of), len(rows))
    return Chosen(whole[winner].candidate.settings, tuple(tried), len(rows), FOLDS, optimism)
