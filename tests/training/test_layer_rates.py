"""Discriminative learning rates: every parameter once, the head fastest, the first layers slowest."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from medimg_cli.training.fitting.optimiser import optimiser_of, rate_groups, schedule_of
from medimg_cli.training.networks.networks import build_network
from tests.training.test_features import PLAN

NAMES = ("small-cnn", "resnet18", "mobilenet_v2", "squeezenet1_1")


def network(name: str) -> nn.Module:
    return build_network(name, classes=2, channels=1, size_px=64)


def shares(built: nn.Module, decay: float) -> dict[str, float]:
    """Return the share of the highest rate by name of the parameter."""
    names = {parameter: name for name, parameter in built.named_parameters()}
    groups = rate_groups(built, decay)
    return {names[parameter]: group.share for group in groups for parameter in group.parameters}


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_stands_in_one_group_and_the_thirds_are_alike(name: str) -> None:
    built = network(name)
    groups = rate_groups(built, 0.5)
    assert [group.share for group in groups] == [1.0, 0.5, 0.25, 0.125]
    counted = [parameter for group in groups for parameter in group.parameters]
    assert len(counted) == len(set(counted)) == len(list(built.parameters()))
    layers = [sum(parameter.ndim > 1 for parameter in group.parameters) for group in groups[1:]]
    assert max(layers) - min(layers) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_layers_that_images_pass_later_learn_no_slower(name: str) -> None:
    built = network(name)
    by_name = shares(built, 0.5)
    passed: list[str] = []
    for path, module in built.named_modules():
        # Gates and shortcuts are registered beside the path that images take.
        if isinstance(module, nn.Conv2d | nn.Linear) and not {"excite", "shortcut", "downsample"} & {
            *path.split(".")
        }:
            module.register_forward_hook(lambda _m, _given, _left, path=path: passed.append(path))
    with torch.inference_mode():
        built.eval()(torch.zeros(1, 1, 64, 64))
    met = [by_name[f"{path}.weight"] for path in passed]
    assert met == sorted(met)
    assert (met[0], met[-1]) == (0.125, 1.0)


def test_a_bias_learns_as_fast_as_its_layer() -> None:
    by_name = shares(network("squeezenet1_1"), 0.3)
    assert all(by_name[name] == by_name[name.replace("bias", "weight")] for name in by_name)


def test_without_decay_there_is_one_group_in_the_networks_order() -> None:
    built = network("small-cnn")
    (group,) = rate_groups(built, 1.0)
    assert all(own is other for own, other in zip(group.parameters, built.parameters(), strict=True))


def test_the_schedule_takes_each_group_to_its_own_rate_and_back() -> None:
    plan = replace(PLAN, lr=0.1, layer_decay=0.5, weight_decay=0.01)
    optimiser = optimiser_of(network("small-cnn"), plan)
    schedule = schedule_of(optimiser, plan, steps=40)
    rates = []
    for _ in range(40):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        schedule.step()
    highest = torch.tensor(rates).amax(dim=0).tolist()
    assert highest == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125])
    assert all(last < 1e-3 * most for last, most in zip(rates[-1], highest, strict=True))
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.01, 0.0] * 4
