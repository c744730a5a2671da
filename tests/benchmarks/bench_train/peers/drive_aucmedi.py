"""AUCMEDI: its DataGenerator and NeuralNetwork on TensorFlow, two workers.

It has no two-dimensional resnet18; its own default network, 2D.Vanilla (four convolutions), stands in. Of its
augmentations those that mirror or turn by 90 degrees are off. Its learning rate is its own, 1e-4, and so is its
choice not to keep resized images (`prepare_images`).
"""

from pathlib import Path

import keras
from aucmedi import DataGenerator, ImageAugmentation, NeuralNetwork, input_interface

from tests.benchmarks.bench_train.peers.interface import Task, model_is_trained, task, write


def images(folder: Path, given: Task, *, for_training: bool = False, labelled: bool = True) -> DataGenerator:
    samples, labels, _, _, suffix = input_interface("directory", str(folder))
    varied = (
        ImageAugmentation(flip=False, rotate=False, hue=False, saturation=False) if for_training else None
    )
    return DataGenerator(
        samples,
        str(folder),
        labels=labels if labelled else None,
        image_format=suffix,
        batch_size=given.batch,
        resize=(given.size, given.size),
        data_aug=varied,
        shuffle=for_training,
        workers=2,
        seed=given.seed if for_training else None,
    )


def main() -> None:
    given = task(scratch_only=True)
    keras.utils.set_random_seed(given.seed)
    network = NeuralNetwork(
        n_labels=len(given.classes),
        channels=3,
        architecture="2D.Vanilla",
        input_shape=(given.size, given.size),
        verbose=2,
    )
    best = str(given.model.with_suffix(".keras"))
    keep_best = keras.callbacks.ModelCheckpoint(best, monitor="val_loss", save_best_only=True)
    network.train(
        images(given.train, given, for_training=True),
        images(given.val, given),
        epochs=given.epochs,
        callbacks=[keep_best],
    )
    network.load(best)
    model_is_trained(given)
    test = images(given.test, given, labelled=False)
    files = [given.test / sample for sample in test.samples]
    write(given, files, given.classes, network.predict(test))
