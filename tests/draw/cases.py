"""The pictures that are kept as golden files, and how they are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rillet as tf

FOLDER = Path(__file__).parent / "golden"


class Article:
    """The article's g = ((a * b) + d) / f, lazily."""

    def __init__(self) -> None:
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.a, self.b, self.d, self.f = (tf.placeholder(tf.float32, (), name=name) for name in "abdf")
            self.product = tf.multiply(self.a, self.b, name="prod")
            self.total = tf.add(self.product, self.d, name="sum")
            self.g = tf.divide(self.total, self.f, name="g")
        self.inputs = [self.a, self.b, self.d, self.f]
        self.feeds = dict(zip(self.inputs, (2.0, 3.0, 4.0, 5.0), strict=True))


class Neuron:
    """The article's neuron: MSE = (y - σ(x w + b))², on one sample."""

    def __init__(self) -> None:
        with tf.Graph().as_default():
            self.x, self.w, self.b, self.y = (tf.placeholder(tf.float64, (), name=name) for name in "xwby")
            self.z = tf.add(self.x * self.w, self.b, name="z")
            self.y_hat = tf.sigmoid(self.z, name="y_hat")
            self.mse = tf.reduce_mean(tf.square(self.y - self.y_hat), name="MSE")
        self.feeds = {self.x: 1.5, self.w: 0.4, self.b: 0.1, self.y: 1.0}


def forward() -> Any:
    article = Article()
    return tf.draw(article.g, feed_dict=article.feeds, names={}, title="g = ((a·b) + d) / f")


def partials() -> Any:
    article = Article()
    title = "Partial derivatives of g"
    return tf.draw(article.g, wrt=article.inputs, feed_dict=article.feeds, names={}, title=title)


def letters() -> Any:
    article = Article()
    return tf.draw(article.g, wrt=article.inputs, names={})


def neuron() -> Any:
    made = Neuron()
    return tf.draw(made.mse, wrt=[made.w, made.b], feed_dict=made.feeds, names={}, title="One neuron and its loss")


def scopes() -> Any:
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, (None, 4), name="x")
        for layer in ("first", "second"):
            with tf.name_scope(layer):
                x = tf.tanh(tf.matmul(x, tf.constant(np.eye(4, dtype=np.float32), name="weights")))
        return tf.draw(x, names={})


def tensor(rank: int) -> Callable[[], Any]:
    sizes = (2, 3, 2, 3, 4)[5 - rank :]
    return lambda: tf.draw_tensor(tf.reshape(tf.range(float(np.prod(sizes, dtype=int))), sizes))


CASES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "forward": (forward, ("svg", "txt", "dot")),
    "partials": (partials, ("svg", "txt", "dot")),
    "letters": (letters, ("txt",)),
    "neuron": (neuron, ("svg", "txt")),
    "scopes": (scopes, ("svg", "dot")),
    **{f"rank{rank}": (tensor(rank), ("svg", "txt")) for rank in range(6)},
}


def render(picture: Any, form: str) -> str:
    """Without the lines of the program that made the nodes, which move."""
    for node in getattr(picture.drawing, "nodes", {}).values():
        node.location = ""
    text: str = {"svg": picture.svg, "txt": picture.text, "dot": picture.dot, "html": picture.html}[form]()
    return text
