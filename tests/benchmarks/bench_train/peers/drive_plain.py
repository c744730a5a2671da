"""A plain torchvision script: ImageFolder, two DataLoader workers, Adam, the epoch of the lowest validation loss."""

import copy

import torch
from torch import nn

from tests.benchmarks.bench_train.peers.image_folders import (
    LEARNING_RATE,
    Loader,
    loaders,
    network,
    train_mode,
    write_predictions,
)
from tests.benchmarks.bench_train.peers.interface import Task, model_is_trained, task


def validation_loss(built: nn.Module, batches: Loader, loss_of: nn.Module) -> float:
    built.eval()
    total = 0.0
    with torch.inference_mode():
        for inputs, targets in batches:
            total += float(loss_of(built(inputs), targets)) * len(targets)
    return total


def train(built: nn.Module, given: Task) -> None:
    """Train, and leave the best epoch's weights in the network."""
    batches, val_batches = loaders(given)
    loss_of = nn.CrossEntropyLoss()
    learning = [parameter for parameter in built.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(learning, lr=LEARNING_RATE)
    best, best_loss = built.state_dict(), float("inf")
    for _ in range(given.epochs):
        train_mode(built, given)
        for inputs, targets in batches:
            optimiser.zero_grad()
            loss_of(built(inputs), targets).backward()
            optimiser.step()
        loss = validation_loss(built, val_batches, loss_of)
        if loss < best_loss:
            best, best_loss = copy.deepcopy(built.state_dict()), loss
    built.load_state_dict(best)


def main() -> None:
    given = task()
    torch.manual_seed(given.seed)
    built = network(given)
    train(built, given)
    torch.save(built.state_dict(), given.model.with_suffix(".pth"))
    model_is_trained(given)
    write_predictions(built, given)
