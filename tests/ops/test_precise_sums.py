"""Sums keep the digits of their dtype, whatever the axes, the order in memory, and the number of terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops import harness

tf: Any = harness.module_under_test()

AXES: list[Any] = [None, 0, 1, [0, 1], [0, 2], -1]


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("transposed", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("name", ["reduce_sum", "reduce_mean"])
def test_float32(name: str, transposed: bool, axis: Any) -> None:
    array = np.random.RandomState(0).rand(3000, 4, 50).astype(np.float32)
    values = np.asarray(array.T if transposed else array)
    found = getattr(tf, name)(tf.constant(values), axis).numpy()
    exact = getattr(np, name.removeprefix("reduce_"))(
        values.astype(np.float64), tuple(axis) if isinstance(axis, list) else axis
    )
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("axis", [0, 1])
def test_half_precision_is_summed_in_float32(dtype: str, axis: int) -> None:
    ones = tf.ones([4000, 2] if axis == 0 else [2, 4000], dtype)
    assert tf.reduce_sum(ones, axis).numpy().astype(np.float32).tolist() == [4000.0, 4000.0]
    assert tf.reduce_mean(ones, axis).numpy().astype(np.float32).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_multiplied_in_float32(dtype: str) -> None:
    product = tf.matmul(tf.ones([1, 4000], dtype), tf.ones([4000, 1], dtype))
    assert float(product.numpy().astype(np.float32)[0, 0]) == 4000.0


def test_integers_wrap_around() -> None:
    assert tf.reduce_sum(tf.constant([100, 100], tf.int8)).numpy() == -56
    assert tf.reduce_mean(tf.constant([100, 100], tf.int8)).numpy() == 100
    assert tf.reduce_mean(tf.constant([-1, -2, -4])).numpy() == -2
