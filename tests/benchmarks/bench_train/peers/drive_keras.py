"""Keras 3 on its torch backend: `fit` with torchvision's folders in torch loaders, two workers.

Keras ships no resnet18, so it is built of its layers here, layer for layer torchvision's; Keras counts batch
normalisation by momentum 0.9 and epsilon 1e-5 then, as torchvision does.
"""

import keras
import torch
from keras import layers
from torch.utils.data import DataLoader

from tests.benchmarks.bench_train.peers.image_folders import LEARNING_RATE, loaders, test_folder
from tests.benchmarks.bench_train.peers.interface import Task, model_is_trained, task, write


def _convolution(inputs: keras.KerasTensor, filters: int, kernel: int, stride: int) -> keras.KerasTensor:
    padded = layers.ZeroPadding2D(kernel // 2)(inputs) if kernel > 1 else inputs
    convolved = layers.Conv2D(
        filters, kernel, strides=stride, use_bias=False, kernel_initializer="he_normal"
    )(padded)
    return layers.BatchNormalization(axis=1, momentum=0.9, epsilon=1e-5)(convolved)


def _block(inputs: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    short = inputs
    if stride > 1 or inputs.shape[1] != filters:
        short = _convolution(inputs, filters, 1, stride)
    first = layers.ReLU()(_convolution(inputs, filters, 3, stride))
    return layers.ReLU()(layers.Add()([_convolution(first, filters, 3, 1), short]))


def resnet18(size: int, classes: int) -> keras.Model:
    inputs = keras.Input((3, size, size))
    flow = layers.ReLU()(_convolution(inputs, 64, 7, 2))
    flow = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(flow))  # after ReLU 0 pads as -inf would
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        flow = _block(_block(flow, filters, stride), filters, 1)
    return keras.Model(inputs, layers.Dense(classes)(layers.GlobalAveragePooling2D()(flow)))


def trained(given: Task) -> keras.Model:
    """Train and return the network of the best epoch."""
    keras.utils.set_random_seed(given.seed)
    keras.config.set_image_data_format("channels_first")  # torch's own order
    network = resnet18(given.size, len(given.classes))
    network.compile(
        keras.optimizers.Adam(LEARNING_RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    best = str(given.model.with_suffix(".keras"))
    keep_best = keras.callbacks.ModelCheckpoint(best, monitor="val_loss", save_best_only=True)
    train, val = loaders(given)
    network.fit(train, validation_data=val, epochs=given.epochs, callbacks=[keep_best], verbose=2)
    return keras.saving.load_model(best)


def main() -> None:
    given = task(scratch_only=True)
    network = trained(given)
    model_is_trained(given)
    files, folder = test_folder(given)
    logits = network.predict(DataLoader(folder, batch_size=given.batch), verbose=0)
    write(given, files, given.classes, torch.as_tensor(logits).softmax(dim=1).tolist())
