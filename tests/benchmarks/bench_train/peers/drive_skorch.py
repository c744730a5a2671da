"""skorch: NeuralNetClassifier with a checkpoint of the best validation loss, two workers."""

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint
from skorch.helper import predefined_split
from torch import nn

from tests.benchmarks.bench_train.peers.image_folders import (
    LEARNING_RATE,
    WORKERS,
    folders,
    network,
    test_folder,
)
from tests.benchmarks.bench_train.peers.interface import model_is_trained, task, write


def main() -> None:
    given = task(scratch_only=True)
    torch.manual_seed(given.seed)
    train, val = folders(given)
    net = NeuralNetClassifier(
        network(given),
        classes=list(range(len(given.classes))),  # it cannot ask a folder for them
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        max_epochs=given.epochs,
        batch_size=given.batch,
        train_split=predefined_split(val),
        iterator_train__shuffle=True,
        iterator_train__num_workers=WORKERS,
        iterator_valid__num_workers=WORKERS,
        callbacks=[Checkpoint(monitor="valid_loss_best", dirname=str(given.out.parent), load_best=True)],
    )
    net.fit(train, y=None)
    model_is_trained(given)
    files, folder = test_folder(given)
    write(given, files, given.classes, net.predict_proba(folder))
