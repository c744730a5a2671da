"""PyTorch Lightning: a LightningModule, its Trainer with a checkpoint of the best validation loss, two workers."""

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from tests.benchmarks.bench_train.peers.image_folders import (
    LEARNING_RATE,
    loaders,
    network,
    train_mode,
    write_predictions,
)
from tests.benchmarks.bench_train.peers.interface import Task, model_is_trained, task


class Classifier(lightning.LightningModule):  # type: ignore[misc]  # mypy cannot see its environment
    def __init__(self, given: Task) -> None:
        super().__init__()
        self.given, self.network, self.loss_of = given, network(given), nn.CrossEntropyLoss()

    def training_step(self, batch: list[torch.Tensor], _place: int) -> torch.Tensor:
        loss: torch.Tensor = self.loss_of(self.network(batch[0]), batch[1])
        return loss

    def validation_step(self, batch: list[torch.Tensor], _place: int) -> None:
        self.log("val_loss", self.loss_of(self.network(batch[0]), batch[1]))

    def on_train_epoch_start(self) -> None:
        train_mode(self.network, self.given)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(learning, lr=LEARNING_RATE)


def main() -> None:
    given = task()
    lightning.seed_everything(given.seed)
    keep_best = ModelCheckpoint(dirpath=given.out.parent, filename="model", monitor="val_loss")
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=given.epochs, callbacks=[keep_best], logger=False, log_every_n_steps=10
    )
    classifier = Classifier(given)
    trainer.fit(classifier, *loaders(given))
    state = torch.load(keep_best.best_model_path, weights_only=True)
    classifier.load_state_dict(state["state_dict"])
    model_is_trained(given)
    write_predictions(classifier.network, given)
