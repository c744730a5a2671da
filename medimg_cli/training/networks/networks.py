"""A network by name: ours from the shelf, any torchvision classifier, for grey or colour images."""

import functools
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import nn

from medimg_cli.errors import MachineError, RunError, UsageError
from medimg_cli.preprocessing.automatic_choices import WantedImages, preferred_size_px
from medimg_cli.registry import did_you_mean
from medimg_cli.runs.run import HeadKind, Normalisation, StemKind
from medimg_cli.training.architectures import ARCHITECTURES, Architecture
from medimg_cli.training.networks.backbone import pool_head
from medimg_cli.training.networks.stems import make_stem_small
from medimg_cli.training.networks.timm_networks import (
    config_of,
    file_in,
    fitted_to,
    interpolation_of,
    is_timm,
    named_beside,
    size_px_of,
    timm_network,
)
from medimg_cli.workspace.settings import TrainSettings

# What torchvision's classifiers were trained with; its images are 0..1 RGB.
IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_TORCHVISION_EPOCHS = 12
_TORCHVISION_LR = 5e-4
# Networks without batch normalisation lose everything they know at that rate: VGG16 answered every image alike after
# one epoch of 4,296 X-rays (AUROC 0.500). Those ending in _bn have it.
_GENTLE_LR = 1e-4
_VISION_TRANSFORMER, _MAXVIT = "vit_", "maxvit_"
_WITHOUT_NORMALISATION = ("alexnet", "squeezenet", "vgg")


def architecture(name: str) -> Architecture:
    """Return the architecture called `name`.

    Raises:
        UsageError: neither medimg nor torchvision, nor timm of a name that begins so, knows it; the hint proposes the closest name.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES.get(name)
    if is_timm(name):
        config = config_of(name)
        return Architecture(
            about="timm classifier",
            preferred_size_px=size_px_of(config),
            epochs=_TORCHVISION_EPOCHS,
            lr=_GENTLE_LR if config.get("fixed_input_size") else _TORCHVISION_LR,
            build=lambda classes, channels, size_px: timm_network(name, classes, channels, size_px),
        )
    known = torchvision_names()
    plain = name.startswith(_WITHOUT_NORMALISATION) and not name.endswith("_bn")
    if name not in known:
        raise UsageError(
            f"unknown architecture '{name}'", did_you_mean(name, [*ARCHITECTURES.names(), *known])
        )
    return Architecture(
        about="torchvision classifier",
        preferred_size_px=preferred_size_px(name),
        epochs=_TORCHVISION_EPOCHS,
        lr=_GENTLE_LR if plain else _TORCHVISION_LR,
        build=lambda classes, channels, size_px: _torchvision_network(name, classes, channels, size_px),
    )


def torchvision_names() -> list[str]:
    """Return the names of torchvision's image classifiers."""
    # Imported here and not above: it costs seconds that a network of our own need not pay.
    from medimg_cli.training.networks.torchvision_door import torchvision

    return [str(name) for name in torchvision.models.list_models(module=torchvision.models)]


def build_network(
    name: str, *, classes: int, channels: int, size_px: int, head: HeadKind = "own", stem: StemKind = "own"
) -> nn.Module:
    """Return a fresh network that maps (N, channels, size_px, size_px) to logits (N, classes).

    Args:
        head: own, or pooled: the small one of `pool_head`, for networks that `pools_its_head` names.
        stem: own, or small: see `stems.make_stem_small`.

    Raises:
        UsageError: there is no architecture of that name.
    """
    network = architecture(name).build(classes, channels, size_px)
    if head == "pooled":
        pool_head(network, classes)
    if stem == "small":
        make_stem_small(network, name)
    return network


def load_pretrained(network: nn.Module, name: str, weights: str) -> list[str]:
    """Load pre-trained weights into `network` where names and shapes match.

    A three-channel first convolution is folded for a one-channel network: a grey image copied to three
    channels would give the same answer at three times the cost.

    Args:
        network: as `build_network` made it.
        name: its architecture.
        weights: "imagenet", or a file of weights (.safetensors; .pth, read without running its code) or its folder.

    Returns:
        The names of the network's parameters that stay as initialised, sorted.

    Raises:
        MachineError: the ImageNet weights are neither here nor reachable.
        RunError: the file is missing, unreadable, or matches nothing.
    """
    given = _imagenet_state(name) if weights == "imagenet" else file_state(Path(weights))
    if is_timm(name):
        given = fitted_to(network, given)
    own = network.state_dict()
    fitting = {}
    for key, value in own.items():
        candidate = given.get(key)
        if candidate is None:
            continue
        candidate = candidate.to(value.dtype)
        if candidate.ndim == 4 and candidate.shape[1] == 3 and value.shape[1] == 1:
            candidate = candidate.sum(dim=1, keepdim=True)
        if candidate.shape == value.shape:
            fitting[key] = candidate
    if not fitting:
        raise RunError(f"{weights} holds nothing that fits {name}", "give weights of the same architecture")
    network.load_state_dict(fitting, strict=False)
    return sorted(set(own) - set(fitting))


def images_wanted(chosen: TrainSettings) -> WantedImages:
    """Return what images a network wants: as its weights were trained, where timm knows."""
    if not is_timm(chosen.arch):
        return WantedImages(architecture(chosen.arch).preferred_size_px)
    config = config_of(chosen.arch, chosen.weights)
    return WantedImages(size_px_of(config), interpolation_of(config))


def pretrained_normalisation(channels: int, name: str = "", weights: str = "none") -> Normalisation:
    """Return the normalisation pre-trained weights expect; grey images get the mean over the channels."""
    whole = IMAGENET
    if is_timm(name):
        config = config_of(name, weights)
        whole = Normalisation(mean=config.get("mean", IMAGENET.mean), std=config.get("std", IMAGENET.std))
    if channels == 3:
        return whole
    return Normalisation(mean=(sum(whole.mean) / 3,), std=(sum(whole.std) / 3,))


def is_built_for_its_size(name: str) -> bool:
    """Return whether the layers of a network may depend on the size of its images."""
    if is_timm(name):
        return bool(config_of(name).get("fixed_input_size"))
    return name in ARCHITECTURES or name.startswith((_VISION_TRANSFORMER, _MAXVIT))


def parameter_count(network: nn.Module) -> int:
    """Return how many trainable numbers the network holds."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _torchvision_network(name: str, classes: int, channels: int, size_px: int) -> nn.Module:
    from medimg_cli.training.networks.torchvision_door import torchvision

    accepted = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    options: dict[str, object] = {"weights": None, "num_classes": classes}
    if name in ("inception_v3", "googlenet"):
        # Their auxiliary heads change what a training step returns.
        options |= {"aux_logits": False, "init_weights": True}
    if name.startswith(_VISION_TRANSFORMER):
        options["image_size"] = size_px
    elif name.startswith(_MAXVIT):
        options["input_size"] = (size_px, size_px)
    assert "weights" in accepted, f"torchvision's {name} takes no weights argument"
    network: nn.Module = torchvision.models.get_model(name, **options)
    if channels != 3:
        _replace_first_convolution(network, channels)
    return network


def _replace_first_convolution(network: nn.Module, channels: int) -> None:
    """Give the first convolution `channels` inputs; the one place where channels are handled."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            parent = network.get_submodule(path.rpartition(".")[0])
            replacement = nn.Conv2d(
                channels,
                module.out_channels,
                (module.kernel_size[0], module.kernel_size[1]),
                (module.stride[0], module.stride[1]),
                module.padding if isinstance(module.padding, str) else (module.padding[0], module.padding[1]),
                bias=module.bias is not None,
            )
            setattr(parent, path.rpartition(".")[2], replacement)
            return


def _imagenet_state(name: str) -> dict[str, torch.Tensor]:
    from medimg_cli.training.networks.torchvision_door import torchvision

    if name not in torchvision_names():
        raise UsageError(
            f"there are no ImageNet weights for '{name}'",
            "use --weights none, --weights FILE, or another --arch",
        )
    weights = torchvision.models.get_model_weights(name).DEFAULT
    try:
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        file_name = str(weights.url).rpartition("/")[2]
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise MachineError(
            f"cannot fetch the ImageNet weights of {name}",
            f"put {file_name} into {folder}, or use --weights FILE",
        ) from error
    return state


def no_weights(path: str | Path) -> RunError:
    return RunError(f"--weights {path} does not exist", "give none, imagenet, or a file of weights")


def file_state(path: Path) -> dict[str, torch.Tensor]:
    path = file_in(path)
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise no_weights(path) from error
    except Exception as error:  # every reader of foreign files has its own family of errors
        raise RunError(
            f"--weights {path} cannot be read as plain weights",
            "give a .safetensors or a .pth state dictionary",
        ) from error
    nested = state.get("state_dict", state)
    if not isinstance(nested, dict):
        raise RunError(
            f"--weights {path} holds no state dictionary", "give a .safetensors or a .pth of weights"
        )
    return {
        key.removeprefix("module."): value for key, value in nested.items() if isinstance(value, torch.Tensor)
    }


_FARTHEST_PX = 512
_PATCH_PX = 33  # a size below that fits, if there is one, is less than the largest patch away
_IMAGES = 2  # batch normalisation refuses one value a channel while it trains


def check_size(
    name: str, size_px: int, *, channels: int = 3, head: HeadKind = "own", stem: StemKind = "own"
) -> None:
    """Refuse an image size that the architecture cannot take, before anything is decoded for it.

    Raises:
        UsageError: it cannot; the hint names the nearest sizes that it takes. Or there is no such architecture.
    """
    if takes(name, size_px, channels, head, stem):
        return
    architecture(name)
    near = [
        size
        for sizes in (
            range(size_px - 1, max(size_px - _PATCH_PX, 0), -1),
            range(size_px + 1, size_px + _FARTHEST_PX + 1),
        )
        if (size := next((each for each in sizes if takes(name, each, channels, head, stem)), None))
        is not None
    ]
    hint = f"--set preprocess.size={' or '.join(map(str, near))}" if near else "choose another --arch"
    raise UsageError(f"{name} cannot take images of {size_px} px", hint)


@cache
def takes(name: str, size_px: int, channels: int = 3, head: HeadKind = "own", stem: StemKind = "own") -> bool:
    """Return whether the architecture can be trained on images of (size_px, size_px)."""
    with torch.no_grad():
        try:
            built_for = size_px if is_built_for_its_size(name) else 0
            images = torch.empty(_IMAGES, channels, size_px, size_px, device="meta")
            return bool(_shapes_of(name, built_for, channels, head, stem)(images).shape == (_IMAGES, 2))
        except (
            RuntimeError,
            ValueError,
            AssertionError,
            ZeroDivisionError,
        ):  # torchvision's own, of every kind
            return False


@cache
def _shapes_of(name: str, size_px: int, channels: int, head: HeadKind, stem: StemKind) -> nn.Module:
    """Return the network in training mode, without its numbers."""

    def built() -> nn.Module:
        return build_network(name, classes=2, channels=channels, size_px=size_px, head=head, stem=stem)

    try:
        with torch.device("meta"):
            return built().train()
    except NotImplementedError:  # RegNets compute their widths with tensors, which need numbers
        return built().to("meta").train()


# Files of a backbone alone lack the head, those of other tasks have another one; a network in between has little.
_LEAST_SHARE = 0.5
_CLASSES = 2


@functools.cache
def architecture_of(path: Path) -> str:
    """Return the architecture most of whose parameters the file holds, by name and shape.

    Networks are laid out without memory. torchvision's RegNets cannot be, so they have to be named.

    Raises:
        RunError: the file cannot be read, or fits no network.
    """
    if (named := named_beside(path)) is not None:
        return named
    given = {key: tuple(value.shape) for key, value in file_state(path).items()}
    best, most = "", 0.0
    for name, own in _layouts():
        share = sum(own.get(key) == shape for key, shape in given.items()) / max(1, len(given))
        # Of two that hold all of the file the first stands: torchvision lists the plain one first.
        if share > most:
            best, most = name, share
        if most == 1.0:
            break
    if most < _LEAST_SHARE:
        raise RunError(f"--arch auto: {path} fits no network that medimg knows", "name its --arch")
    return best


def _layouts() -> Iterator[tuple[str, Mapping[str, tuple[int, ...]]]]:
    """Yield each network's name and the shapes of its parameters by name."""
    for name in [*ARCHITECTURES.names(), *torchvision_names()]:
        named = architecture(name)
        try:
            with torch.device("meta"):
                state = named.build(_CLASSES, 3, named.preferred_size_px).state_dict()
        except NotImplementedError:  # it computes with its own parameters while it is built
            continue
        yield name, {key: tuple(value.shape) for key, value in state.items()}
