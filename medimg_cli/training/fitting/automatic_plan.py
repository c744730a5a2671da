"""The plan of a training: what the rules of `preprocessing.automatic_choices` choose, filled into the settings, with its reasons."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.preprocessing.automatic_choices import (
    DataFacts,
    Ruled,
    augment_for,
    batch_for,
    channels_for,
    data_facts,
    epochs_for,
    facts_of_training,
    network_for,
    patience_for,
    plan_recipe,
    side_for,
)
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.fitting.features import head_plan
from medimg_cli.training.fitting.memory import bytes_an_image, fixed_bytes, free_bytes
from medimg_cli.training.fitting.plan import plan_training, settings_in_force
from medimg_cli.training.networks.networks import architecture, architecture_of, build_network, images_wanted
from medimg_cli.workspace.config import Choice, plan_text, planned_for
from medimg_cli.workspace.files import write_text
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace

_SHOWN = (
    "preprocess.size",
    "preprocess.channels",
    "train.arch",
    "train.batch_size",
    "train.augment",
    "train.loss",
    "train.class_weights",
    "train.epochs",
    "train.lr",
    "train.patience",
)
_OPEN = (None, "auto")
_AS_SET, _DEFAULT = "as set", "the default"


def named(settings: Settings, dataset: Dataset, device: torch.device) -> Settings:
    """Return the settings with network and augmentation named where they were left to the rules.

    Raises:
        RunError: `--arch auto` with a file of weights that fits no network.
        DataError: there is no training image.
    """
    chosen = settings.train
    if chosen.arch != "auto" and chosen.augment != "auto":
        return settings
    facts = facts_of_training(dataset)
    update = {}
    if chosen.arch == "auto":
        update["arch"] = _network(chosen, facts, device).value
    if chosen.augment == "auto":
        update["augment"] = augment_for(facts).value
    return settings.model_copy(update={"train": chosen.model_copy(update=update)})


def in_figures(
    settings: Settings, dataset: Dataset, recipe: Recipe, device: torch.device, *, single_process: bool = True
) -> Settings:
    """Return the settings with network, augmentation and batch size decided, before anything is written.

    Args:
        single_process: this process trains on its own. Several have to agree, so there the free memory decides nothing.

    Raises:
        UsageError: there is no such network.
        RunError, DataError: as of `named`.
    """
    settings = named(settings, dataset, device)
    chosen = settings.train
    architecture(chosen.arch)
    if chosen.batch_size != "auto":
        return settings
    size = _batch(chosen, recipe, facts_of_training(dataset), device, single_process=single_process).value
    return settings.model_copy(update={"train": chosen.model_copy(update={"batch_size": size})})


def warn_of_old_plan(workspace: Workspace, dataset: Dataset, progress: Progress) -> None:
    """Say so where the workspace's `plan.yaml` was made for other data than these."""
    made_for = planned_for(workspace)
    if made_for is not None and made_for != dataset.content_hash():
        progress.warn(
            "plan.yaml was made for other data: make it anew with `medimg train --plan`, or delete it"
        )


def plan_ahead(dataset: Dataset, settings: Settings, device: torch.device) -> tuple[Settings, list[Choice]]:
    """Return what a training would do, without a pixel: the settings filled in, and why.

    Raises:
        UsageError, RunError, DataError: as the training would.
    """
    used = named(settings, dataset, device)
    recipe = plan_recipe(dataset, used.preprocess, train=used.train, wanted=images_wanted(used.train))
    train = dataset.of_split("train")
    used = in_figures(used, dataset, recipe, device)
    nothing = np.zeros((1, 1, 1, recipe.channels), dtype=np.uint8)
    rows = np.zeros(len(train), dtype=np.int64)
    batches = PixelBatches(nothing, rows, targets=dataset.targets(train), batch_size=used.train.images_a_step)
    plan = plan_training(used.train, batches, dataset.labels, device)
    if used.train.freeze == "backbone":
        plan = head_plan(plan, used.train, batches.batches)
    used = settings_in_force(used, recipe, plan)
    return used, choices_of(settings, used, dataset, device)


def choices_of(
    asked: Settings,
    used: Settings,
    dataset: Dataset,
    device: torch.device,
    *,
    because: dict[str, str] | None = None,
) -> list[Choice]:
    """Return the plan in words: what the rules chose, and what was set, each with its reason.

    Args:
        asked: settings as they were given.
        used: the same with everything filled in.
        because: setting → reason, for what was decided while training began.
    """
    reasons = _reasons(asked, used, dataset, device) | (because or {})
    choices = []
    for setting in [*_SHOWN, *_also_set(asked, used)]:
        given, value, usual = (_value(place, setting) for place in (asked, used, Settings()))
        reason = _AS_SET if given != usual else _DEFAULT
        if given in _OPEN or given != value:
            reason = reasons.get(setting, "by the data")
        choices.append(Choice(setting, value, reason))
    return choices


def tell_plan(
    path: Path, asked: Settings, used: Settings, dataset: Dataset, device: torch.device, progress: Progress
) -> None:
    """Write the plan into a run's folder, and say it in one line."""
    because = {}
    if used.train.accumulate != asked.train.accumulate:
        because = dict.fromkeys(
            ("train.batch_size", "train.accumulate"), "memory ran out with more images a step"
        )
    if asked.train.time_limit is not None:
        because["train.epochs"] = f"at most so many fit into {asked.train.time_limit:g} s"
    choices = choices_of(asked, used, dataset, device, because=because)
    about, data = data_facts(dataset).in_words(), dataset.content_hash()
    write_text(path, plan_text(choices, about=about, dataset_hash=data))
    progress.note(in_one_line(used))


def in_one_line(used: Settings) -> str:
    """Return the plan as one line.

    >>> in_one_line(Settings())
    'plan: small-cnn at auto px, 32 images a step, augmentation auto, None epochs, learning rate None'
    """
    chosen = used.train
    added = "" if chosen.accumulate == 1 else f" (gradients of {chosen.accumulate} steps added)"
    return (
        f"plan: {chosen.arch} at {used.preprocess.size} px, {chosen.batch_size} images a step{added}, "
        f"augmentation {chosen.augment}, {chosen.epochs} epochs, learning rate {chosen.lr}"
    )


def _reasons(asked: Settings, used: Settings, dataset: Dataset, device: torch.device) -> dict[str, str]:
    """Return why each setting that was left open has the value it has."""
    facts, chosen, given = facts_of_training(dataset), used.train, asked.train
    own = architecture(chosen.arch)
    steps = -(-facts.images // chosen.images_a_step)
    reasons = {
        "preprocess.size": side_for(
            images_wanted(chosen).size_px, facts, frozen=chosen.freeze != "none"
        ).reason,
        "preprocess.channels": channels_for(facts).reason,
        "train.augment": augment_for(facts).reason,
        "train.loss": "several labels an image" if dataset.labels.several else "one label an image",
        "train.lr": "what the network asks for",
        "train.epochs": epochs_for(own.epochs, steps).reason,
        "train.patience": patience_for(chosen.epochs or own.epochs).reason,
    }
    if given.arch == "auto":
        reasons["train.arch"] = _network(given, facts, device).reason
    if given.batch_size == "auto":
        recipe = plan_recipe(dataset, used.preprocess, train=chosen, wanted=images_wanted(chosen))
        reasons["train.batch_size"] = _batch(chosen, recipe, facts, device).reason
    if chosen.freeze == "backbone":
        reasons |= dict.fromkeys(("train.lr", "train.patience"), "for a head on features")
        if chosen.head == "logistic":
            reasons["train.epochs"] = "a logistic regression is fitted once"
    if given.lr == "auto":
        reasons["train.lr"] = (
            "to be found by a range test" if chosen.lr == "auto" else "found by a range test"
        )
    return reasons


def _also_set(asked: Settings, used: Settings) -> Sequence[str]:
    """Return what else of the section train is not at its default, because somebody set it."""
    usual = TrainSettings()
    others = [name for name in TrainSettings.model_fields if f"train.{name}" not in _SHOWN and name != "name"]
    return [
        f"train.{name}"
        for name in others
        if getattr(used.train, name) != getattr(usual, name)
        and (getattr(used.train, name) == getattr(asked.train, name) or name == "accumulate")
    ]


def _value(settings: Settings, setting: str) -> Any:
    section, _, name = setting.partition(".")
    return getattr(getattr(settings, section), name)


def _network(chosen: TrainSettings, facts: DataFacts, device: torch.device) -> Ruled[str]:
    file = chosen.weights not in ("none", "imagenet")
    fitting = architecture_of(Path(chosen.weights)) if file else None
    return network_for(chosen.weights, fitting, facts, device.type)


def _batch(
    chosen: TrainSettings,
    recipe: Recipe,
    facts: DataFacts,
    device: torch.device,
    *,
    single_process: bool = True,
) -> Ruled[int]:
    network = build_network(
        chosen.arch, classes=max(2, len(facts.counts)), channels=recipe.channels, size_px=recipe.size_px
    )
    image = bytes_an_image(network, channels=recipe.channels, size_px=recipe.size_px)
    return batch_for(
        facts.images, image, fixed_bytes(network), free_bytes(device) if single_process else None
    )
