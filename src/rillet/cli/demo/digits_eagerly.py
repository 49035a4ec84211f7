"""Handwritten digits, eagerly: each line computes at once, and a GradientTape remembers what the loss came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rillet as tf
from rillet.cli.demo.problem import (
    EPOCHS,
    LEARNING_RATE,
    MOMENTUM,
    Array,
    Digits,
    Epoch,
    batches,
    digits,
    first_weights,
)


def train(data: Digits, report: Callable[[Epoch], object] = print) -> list[Array]:
    """Trains for EPOCHS epochs, calls `report` after each, and returns the weights."""
    weights = [tf.Variable(value) for value in first_weights()]
    hidden_kernel, hidden_bias, output_kernel, output_bias = weights
    optimizer = tf.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM)

    def model(images: Array) -> Any:
        hidden = tf.nn.relu(tf.matmul(images, hidden_kernel) + hidden_bias)
        return tf.matmul(hidden, output_kernel) + output_bias

    def loss(logits: Any, labels: Array) -> Any:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))

    def accuracy(logits: Any, labels: Array) -> Any:
        is_right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
        return tf.reduce_mean(tf.cast(is_right, tf.float32))

    for epoch in range(1, EPOCHS + 1):
        for batch_images, batch_labels in batches(data.train_images, data.train_labels, epoch):
            with tf.GradientTape() as tape:
                batch_loss = loss(model(batch_images), batch_labels)
            gradients = tape.gradient(batch_loss, weights)
            optimizer.apply_gradients(zip(gradients, weights))
        train_logits, test_logits = model(data.train_images), model(data.test_images)
        report(
            Epoch(
                epoch,
                float(loss(train_logits, data.train_labels)),
                float(accuracy(train_logits, data.train_labels)),
                float(accuracy(test_logits, data.test_labels)),
            )
        )
    return [variable.numpy() for variable in weights]


if __name__ == "__main__":
    train(digits())
