"""The problem that both programs of the demo solve: the same digits, the same first weights, the same batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from rillet.datasets import load_digits

Array = np.ndarray[Any, Any]

PIXELS, HIDDEN, CLASSES = 64, 128, 10
EPOCHS, BATCH = 20, 32
LEARNING_RATE, MOMENTUM = 0.05, 0.9


class Digits(NamedTuple):
    """Images float32 [examples, 64] with values 0 to 1, labels int32 [examples]."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


class Epoch(NamedTuple):
    """How far a training is: accuracies are shares between 0 and 1."""

    number: int
    loss: float
    train_accuracy: float
    test_accuracy: float

    def __str__(self) -> str:
        return (
            f"epoch {self.number:2}  loss {self.loss:.4f}  "
            f"accuracy {self.train_accuracy:.1%} of training, {self.test_accuracy:.1%} of test images"
        )


def digits() -> Digits:
    (train_images, train_labels), (test_images, test_labels) = load_digits()

    def scaled(images: Array) -> Array:
        return (images.reshape(-1, PIXELS) / 16).astype(np.float32)

    return Digits(
        scaled(train_images), train_labels.astype(np.int32), scaled(test_images), test_labels.astype(np.int32)
    )


def first_weights() -> list[Array]:
    """Kernel and bias of the hidden layer, kernel and bias of the output layer."""
    random = np.random.default_rng(2019)
    weights = []
    for inputs, outputs in ((PIXELS, HIDDEN), (HIDDEN, CLASSES)):
        limit = np.sqrt(6 / (inputs + outputs))
        weights.append(random.uniform(-limit, limit, [inputs, outputs]).astype(np.float32))
        weights.append(np.zeros([outputs], np.float32))
    return weights


def batches(images: Array, labels: Array, epoch: int) -> Iterator[tuple[Array, Array]]:
    """The training examples in the order of this epoch, 32 at a time."""
    order = np.random.default_rng(epoch).permutation(len(images))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        yield images[chosen], labels[chosen]
