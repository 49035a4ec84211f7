"""TensorFlow 1's behaviour for single tests."""

from collections.abc import Iterator

import pytest

import rillet as tf


@pytest.fixture
def tensorflow_1() -> Iterator[None]:
    """Graphs by default, reference variables, control flow that is named and pruned as in TensorFlow 1."""
    tf.compat.v1.disable_v2_behavior()
    try:
        with tf.Graph().as_default():
            yield
    finally:
        tf.compat.v1.enable_v2_behavior()
