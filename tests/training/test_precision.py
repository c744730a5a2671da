"""The format of the arithmetic: chosen by what the device says of itself, and part of what a training goes on from."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medimg_cli.errors import MachineError
from medimg_cli.training.fitting import plan
from medimg_cli.training.fitting.plan import (
    Precision,
    precision_of,
    processor_flags,
    warn_of_slow_precision,
)
from medimg_cli.workspace.progress import SilentProgress
from tests.training.one_of_many import PLAN, trained

CPU = torch.device("cpu")


class Listening(SilentProgress):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, message: str) -> None:
        self.heard.append(message)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\n", {"fpu", "avx2", "avx512_bf16"}),
        ("Features\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}),
        ("model name\t: odd\n", set()),
    ],
)
def test_the_processor_says_what_it_can_do(
    text: str, flags: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    facts = tmp_path / "cpuinfo"
    facts.write_text(text)
    assert processor_flags(facts) == flags
    assert processor_flags(tmp_path / "none") == frozenset()


@pytest.mark.parametrize(
    ("flags", "chosen", "warned"),
    [
        ({"avx2"}, "fp32", 1),
        ({"avx512f", "avx512_bf16"}, "fp32", 0),
        ({"amx_bf16", "amx_tile", "avx512_bf16"}, "bf16", 0),
        ({"bf16"}, "fp32", 0),
    ],
)
def test_auto_is_short_only_where_the_processor_is_fast_in_it(
    flags: set[str], chosen: str, warned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "processor_flags", lambda: frozenset(flags))
    assert precision_of("auto", CPU) == chosen
    assert precision_of("bf16", CPU) == "bf16"
    listening = Listening()
    warn_of_slow_precision("bf16", CPU, listening)
    assert len(listening.heard) == warned


def test_on_apples_gpu_it_stays_long() -> None:
    mps = torch.device("mps")
    assert precision_of("auto", mps) == "fp32"
    with pytest.raises(MachineError, match="--precision bf16 is not there on mps"):
        precision_of("bf16", mps)


@pytest.mark.parametrize(("supported", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_says_whether_it_has_bfloat16(
    supported: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    assert precision_of("auto", torch.device("cuda")) == chosen


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_short_formats_learn_what_fp32_learns_but_not_to_the_bit(name: str) -> None:
    way = {"images": 12, "batch": 6}
    whole = trained(way, torch.float32)[0]["logits"]
    short = trained(way, torch.float32, replace(PLAN, precision=name))[0]["logits"]
    assert not torch.equal(short, whole)
    assert torch.allclose(short, whole, atol=0.1)


def test_gradients_that_overflow_move_nothing_and_lower_the_scale() -> None:
    network = torch.nn.Linear(2, 1)
    before = network.weight.detach().clone()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
    scaled = Precision("fp16", CPU)
    scaled.backward(network(torch.full((1, 2), 1e38)).sum())
    scale = scaled.state()["scale"]
    scaled.step(optimizer, network, clip=1.0)
    assert torch.equal(network.weight, before)
    assert scaled.state()["scale"] < scale
    again = Precision("fp16", CPU)
    again.restore(scaled.state())
    assert again.state() == scaled.state()


def test_fp32_has_no_scale_to_remember() -> None:
    assert Precision("fp32", CPU).state() == {}
