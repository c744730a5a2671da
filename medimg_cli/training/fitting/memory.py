"""Memory that a training step takes, and what to do when there is too little of it."""

import gc
from pathlib import Path

import torch
from torch import Tensor, nn

from medimg_cli.errors import MachineError
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.settings import Settings

# Of what lies behind the forward pass: its outputs kept, their gradients, and the kernels' own scratch space.
_COPIES = 3
# Weights, gradients, two moments of AdamW, and the running average.
_OF_A_WEIGHT = 5
# CPU, CUDA and its libraries, Apple's GPU, C++ each have words of their own.
_SAYINGS = ("out of memory", "can't allocate memory", "not enough memory", "_ALLOC_FAILED", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether this error says that memory ran out, on the processor or on a GPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in _SAYINGS)


def with_smaller_batch(settings: Settings) -> Settings:
    """Return the settings with half the images a step, and twice as many steps' gradients added up.

    Raises:
        MachineError: a step holds one image already.
    """
    chosen = settings.train
    half = chosen.images_a_step // 2
    if half == 0:
        size = settings.preprocess.size
        side = "this size" if size == "auto" else f"{size} px"
        raise MachineError(
            f"not even one image of {side} a step of {chosen.arch} fits into memory",
            "lower --size, or choose a smaller --arch or another --device",
        )
    update = {"batch_size": half, "accumulate": 2 * chosen.accumulate}
    return settings.model_copy(update={"train": chosen.model_copy(update=update)})


def after_lack_of_memory(
    error: BaseException, settings: Settings, progress: Progress, *, single_process: bool
) -> Settings:
    """Return the settings to begin anew with; any other error is raised again.

    Args:
        single_process: this process trains on its own; of several the others have gone on.

    Raises:
        MachineError: nothing smaller is left to try.
    """
    if not is_out_of_memory(error):
        raise error
    if not single_process:
        raise MachineError("memory ran out in one of several processes", "lower --batch-size") from error
    smaller = with_smaller_batch(settings)
    progress.warn(
        f"memory ran out with {settings.train.images_a_step} images a step: begun anew with "
        f"{smaller.train.batch_size} and the gradients of {smaller.train.accumulate} steps added up"
    )
    return smaller


def let_go(device: torch.device) -> None:
    """Return what nobody holds any more to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def bytes_an_image(network: nn.Module, *, channels: int, size_px: int) -> int:
    """Return about how many bytes of memory a training step needs for each image: float32, to a factor of two.

    Three times what all layers without parts of their own put out for one image; `network` stays as it is.
    """
    seen = 0

    def count(_module: nn.Module, _given: object, output: object) -> None:
        nonlocal seen
        if isinstance(output, Tensor):
            seen += output.numel() * output.element_size()

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    was_training = network.training
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, channels, size_px, size_px))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    return _COPIES * seen


def fixed_bytes(network: nn.Module) -> int:
    """Return how many bytes a training holds whatever the batch."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    return _OF_A_WEIGHT * weights


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory a training may take now; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [free for free in (_available(), _left_by_group()) if free is not None]
    return min(found, default=None)


def _available(path: Path = Path("/proc/meminfo")) -> int | None:
    """Return what Linux says programs can still take without swapping."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)


def _left_by_group(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return what the control groups (version 2) of a container or a cluster's job leave; None without a limit."""
    try:
        named = next(line for line in own.read_text(encoding="utf-8").splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    group = root / named.removeprefix("0::").strip("/")
    limits = []
    for folder in (group, *group.parents):
        try:
            limit = (folder / "memory.max").read_text(encoding="ascii").strip()
            if limit != "max":
                limits.append(int(limit) - int((folder / "memory.current").read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return max(0, min(limits)) if limits else None
