"""Memory: what says that it ran out, how much a step takes, and how much is left."""

from pathlib import Path

import pytest
import torch
from torch import nn

from medimg_cli.errors import MachineError
from medimg_cli.training.fitting import memory
from medimg_cli.training.fitting.memory import (
    after_lack_of_memory,
    bytes_an_image,
    fixed_bytes,
    free_bytes,
    is_out_of_memory,
)
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_each_library_says_it_in_its_own_words(error: Exception, is_it: bool) -> None:
    assert is_out_of_memory(error) is is_it


def test_what_the_processor_says_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55)
    assert is_out_of_memory(caught.value)


class Heard(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, message: str) -> None:
        self.said.append(message)


def asking_for(size: int, **more: object) -> Settings:
    return Settings(train=TrainSettings.model_validate({"batch_size": size} | more))


def test_half_the_images_and_twice_the_steps_are_tried_next() -> None:
    heard = Heard()
    smaller = after_lack_of_memory(
        MemoryError(), asking_for(25, accumulate=3), heard, single_process=True
    ).train
    assert (smaller.batch_size, smaller.accumulate) == (12, 6)
    assert heard.said == [
        "memory ran out with 25 images a step: begun anew with 12 and the gradients of 6 steps added up"
    ]


def test_one_image_that_does_not_fit_is_an_error_that_says_what_to_lower() -> None:
    with pytest.raises(MachineError, match="not even one image") as caught:
        after_lack_of_memory(MemoryError(), asking_for(1), SilentProgress(), single_process=True)
    assert "lower --size" in caught.value.hint


def test_several_processes_do_not_begin_anew() -> None:
    with pytest.raises(MachineError) as caught:
        after_lack_of_memory(MemoryError(), asking_for(32), SilentProgress(), single_process=False)
    assert caught.value.hint == "lower --batch-size"


def test_another_error_stays_what_it_was() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        after_lack_of_memory(RuntimeError("shapes"), asking_for(32), SilentProgress(), single_process=True)


def test_the_bytes_of_a_step_follow_from_the_outputs_of_its_layers() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
    network.train()
    outputs = 4 * 64 + 4 * 64 + 256 + 2
    assert bytes_an_image(network, channels=1, size_px=8) == 3 * 4 * outputs
    assert fixed_bytes(network) == 5 * 4 * (4 * 9 + 4 + 512 + 2)
    assert network.training
    assert not network[0]._forward_hooks


def test_free_memory_is_told_on_linux() -> None:
    free = free_bytes(torch.device("cpu"))
    if not Path("/proc/meminfo").is_file():
        pytest.skip("not Linux")
    assert free is not None
    assert free > 0


def test_a_jobs_own_limit_counts(tmp_path: Path) -> None:
    job = tmp_path / "cgroup" / "slurm" / "job"
    job.mkdir(parents=True)
    (job.parent / "memory.max").write_text("1000\n")
    (job.parent / "memory.current").write_text("400\n")
    (job / "memory.max").write_text("max\n")
    own = tmp_path / "own"
    own.write_text("0::/slurm/job\n")
    assert memory._left_by_group(tmp_path / "cgroup", own) == 600
    own.write_text("0::/\n")
    assert memory._left_by_group(tmp_path / "cgroup", own) is None
    assert memory._available(tmp_path / "nothing") is None
