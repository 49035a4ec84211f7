"""Small models that several tests train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import rillet as tf

v1 = tf.compat.v1


class Transformer:
    """A decoder: tokens and positions, layers of attention and two matrix products, and a loss. It has its own variables,
    made in the current graph."""

    def __init__(self, layers: int, width: int, heads: int, vocabulary: int, context: int) -> None:
        self.layers, self.width, self.heads, self.context = layers, width, heads, context
        self._random = np.random.RandomState(0)
        self.tokens, self.positions = self._matrix(vocabulary, width), self._matrix(context, width)
        self.head = self._matrix(width, vocabulary)
        self._weights: dict[str, Any] = {}

    def _matrix(self, rows: int, columns: int) -> Any:
        values = self._random.normal(0, 0.02, (rows, columns)).astype(np.float32)
        return v1.Variable(values, use_resource=True)

    def _weight(self, name: str, rows: int, columns: int) -> Any:
        if name not in self._weights:
            self._weights[name] = self._matrix(rows, columns), v1.Variable(tf.zeros([columns]), use_resource=True)
        return self._weights[name]

    def _dense(self, x: Any, name: str, columns: int) -> Any:
        matrix, bias = self._weight(name, x.shape[-1], columns)
        return tf.matmul(x, matrix) + bias

    def _normalized(self, x: Any) -> Any:
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + 1e-5)

    def _attention(self, x: Any, name: str) -> Any:
        size = self.width // self.heads

        def split(value: Any) -> Any:
            return tf.transpose(tf.reshape(value, [-1, self.context, self.heads, size]), [0, 2, 1, 3])

        query, key, value = map(split, tf.split(self._dense(x, name + "qkv", 3 * self.width), 3, 1))
        mask = np.triu(np.full((self.context, self.context), -1e9, np.float32), 1)
        scores = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) * size**-0.5 + mask)
        mixed = tf.transpose(tf.matmul(scores, value), [0, 2, 1, 3])
        return self._dense(tf.reshape(mixed, [-1, self.width]), name + "out", self.width)

    def loss(self, tokens: Any, targets: Any) -> Any:
        """tokens, targets: int32 [batch, context]."""
        x = tf.reshape(tf.gather(self.tokens, tokens) + self.positions, [-1, self.width])
        for layer in range(self.layers):
            x = x + self._attention(self._normalized(x), f"{layer}.")
            inner = tf.nn.gelu(self._dense(self._normalized(x), f"{layer}.up", 4 * self.width), approximate=True)
            x = x + self._dense(inner, f"{layer}.down", self.width)
        logits = tf.matmul(self._normalized(x), self.head)
        labels = tf.reshape(targets, [-1])
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def transformer_step(
    batch: int, context: int, layers: int, width: int, heads: int, vocabulary: int, optimizer: Callable[[], Any]
) -> tuple[list[Any], dict[Any, np.ndarray]]:
    """(fetches of a training step, what is fed), in the current graph."""
    feeds = [v1.placeholder(tf.int32, [batch, context]) for _ in range(2)]
    model = Transformer(layers, width, heads, vocabulary, context)
    loss = model.loss(*feeds)
    random = np.random.RandomState(1)
    arrays = [random.randint(0, vocabulary, (batch, context)).astype(np.int32) for _ in feeds]
    return [loss, optimizer().minimize(loss)], dict(zip(feeds, arrays, strict=True))
