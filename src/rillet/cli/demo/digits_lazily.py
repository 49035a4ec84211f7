"""Handwritten digits, lazily: first a graph with placeholders is drawn, then a Session runs it, batch after batch."""

from __future__ import annotations

from collections.abc import Callable

import rillet as tf
from rillet.cli.demo.problem import (
    EPOCHS,
    LEARNING_RATE,
    MOMENTUM,
    PIXELS,
    Array,
    Digits,
    Epoch,
    batches,
    digits,
    first_weights,
)


def train(data: Digits, report: Callable[[Epoch], object] = print) -> list[Array]:
    """Trains for EPOCHS epochs, calls `report` after each, and returns the weights."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.float32, [None, PIXELS], name="images")
        labels = tf.placeholder(tf.int32, [None], name="labels")

        weights = [tf.Variable(value) for value in first_weights()]
        hidden_kernel, hidden_bias, output_kernel, output_bias = weights
        hidden = tf.nn.relu(tf.matmul(images, hidden_kernel) + hidden_bias)
        logits = tf.matmul(hidden, output_kernel) + output_bias

        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        step = tf.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM).minimize(loss)

        is_right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
        accuracy = tf.reduce_mean(tf.cast(is_right, tf.float32))
        initializer = tf.global_variables_initializer()

    with tf.Session(graph=graph) as session:
        session.run(initializer)
        training = {images: data.train_images, labels: data.train_labels}
        test = {images: data.test_images, labels: data.test_labels}
        for epoch in range(1, EPOCHS + 1):
            for batch_images, batch_labels in batches(data.train_images, data.train_labels, epoch):
                session.run(step, feed_dict={images: batch_images, labels: batch_labels})
            train_loss, train_accuracy = session.run([loss, accuracy], feed_dict=training)
            report(Epoch(epoch, train_loss, train_accuracy, session.run(accuracy, feed_dict=test)))
        return list(session.run(weights))


if __name__ == "__main__":
    train(digits())
