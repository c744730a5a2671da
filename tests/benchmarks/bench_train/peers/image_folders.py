"""The torchvision part that the plain script, Lightning, skorch and Keras share: folders, loaders, network."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

from tests.benchmarks.bench_train.peers.interface import Task, write

Loader = DataLoader[Any]
WORKERS = 2
LEARNING_RATE = 1e-3
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def plain_transform(size: int) -> transforms.Compose:
    return transforms.Compose(
        [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(_MEAN, _STD)]
    )


def light_transform(size: int) -> transforms.Compose:
    """Small turns, shifts, zooms and changes of exposure; no flip, for a mirrored chest is another finding."""
    return transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomAffine(degrees=10, translate=(0.08, 0.08), scale=(0.87, 1.15)),
            transforms.ColorJitter(brightness=0.15, contrast=0.25),
            transforms.ToTensor(),
            transforms.Normalize(_MEAN, _STD),
        ]
    )


def folders(task: Task) -> tuple[ImageFolder, ImageFolder]:
    """Return training (varied) and validation images."""
    return (
        ImageFolder(str(task.train), light_transform(task.size)),
        ImageFolder(str(task.val), plain_transform(task.size)),
    )


def loaders(task: Task) -> tuple[Loader, Loader]:
    train, val = folders(task)
    return (
        DataLoader(train, batch_size=task.batch, shuffle=True, num_workers=WORKERS),
        DataLoader(val, batch_size=task.batch, num_workers=WORKERS),
    )


def test_folder(task: Task) -> tuple[list[Path], ImageFolder]:
    """Return the held-out files and, in the same order, their images."""
    folder = ImageFolder(str(task.test), plain_transform(task.size))
    return [Path(path) for path, _ in folder.samples], folder


def with_weights(task: Task) -> nn.Module:
    """Return the network as torchvision has it, with the weights of the task where it has some."""
    built: nn.Module = models.get_model(task.arch, weights=None)
    if task.pretrained is not None:
        built.load_state_dict(torch.load(task.pretrained, weights_only=True))
    return built


def network(task: Task) -> nn.Module:
    """Return the network with a fresh head; frozen, its backbone takes no gradients."""
    built = with_weights(task)
    if task.freeze:
        built.requires_grad_(False)
    name = {"resnet18": "fc", "mobilenet_v2": "classifier.1"}[task.arch]
    head = built.get_submodule(name)
    assert isinstance(head, nn.Linear)
    built.set_submodule(name, nn.Linear(head.in_features, len(task.classes)))
    return built


def train_mode(built: nn.Module, task: Task) -> None:
    """Go to training; what is frozen keeps the statistics of its batch normalisation."""
    built.train()
    if task.freeze:
        for module in built.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


@torch.inference_mode()
def write_predictions(built: nn.Module, task: Task) -> None:
    """Write what the network says of the held-out images."""
    built.eval()
    files, folder = test_folder(task)
    batches: Loader = DataLoader(folder, batch_size=task.batch, num_workers=WORKERS)
    rows = [row for inputs, _ in batches for row in built(inputs).softmax(dim=1).tolist()]
    write(task, files, task.classes, rows)
