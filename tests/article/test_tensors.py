"""What the article says of tensors and ranks (rows A01 to A10)."""

from __future__ import annotations

import array
import time

import numpy as np
import pytest

import rillet as tf


def test_a01_one_op_computes_every_element() -> None:
    matrix = tf.constant([[1, 2], [3, 4]])
    np.testing.assert_array_equal((matrix * 2).numpy(), [[2, 4], [6, 8]])
    with tf.Graph().as_default() as graph:
        tf.placeholder(tf.int32, [2, 2]) * 2
    assert [op.type for op in graph.get_operations()].count("Mul") == 1


@pytest.mark.parametrize("rank", range(0, 33))
def test_a02_a03_a04_every_rank(rank: int) -> None:
    """A scalar has rank 0, a vector 1, a matrix 2, a 3-D tensor 3, and there is no limit of 8."""
    tensor = tf.ones([1] * rank)
    assert tf.rank(tensor).numpy() == rank
    assert tensor.shape.rank == tensor.shape.ndims == rank
    with tf.Graph().as_default():
        symbolic = tf.placeholder(tf.float32, [None] * rank)
        assert symbolic.shape.rank == rank
        assert tf.get_static_value(tf.rank(symbolic)) == rank


def test_a02_ranks_of_plain_values() -> None:
    assert tf.rank(tf.constant(3.0)).numpy() == 0
    assert tf.rank([1, 2]).numpy() == 1
    assert tf.rank([[1, 2], [3, 4]]).numpy() == 2


@pytest.mark.parametrize("rank", [9, 20, 32])
def test_a04_high_ranks_compute(rank: int) -> None:
    shape = [2, 3] + [1] * (rank - 4) + [2, 2]
    value = np.arange(24, dtype=np.float32).reshape(shape)
    tensor = tf.constant(value)
    np.testing.assert_array_equal((tensor + tf.ones([2, 2])).numpy(), value + 1)
    np.testing.assert_array_equal(tensor[1, ..., 0, :].numpy(), value[1, ..., 0, :])
    order = list(reversed(range(rank)))
    np.testing.assert_array_equal(tf.transpose(tensor, order).numpy(), value.transpose(order))
    assert tf.reduce_sum(tensor).numpy() == value.sum()
    np.testing.assert_array_equal(tf.reduce_sum(tensor, axis=[0, rank - 1]).numpy(), value.sum(axis=(0, rank - 1)))


class HasArray:
    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.array([1.5, 2.5])


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (1, "int32", ()),
        (2**40, "int64", ()),
        (1.5, "float32", ()),
        (1 + 2j, "complex128", ()),
        (True, "bool", ()),
        ("text", "string", ()),
        (b"bytes", "string", ()),
        ([[1, 2, 3], [4, 5, 6]], "int32", (2, 3)),
        ([1, 2.5], "float32", (2,)),
        (["a", "bc"], "string", (2,)),
        (np.arange(3), "int64", (3,)),
        (np.float64(1), "float64", ()),
        (np.ones((2, 0), np.float16), "float16", (2, 0)),
        (array.array("d", [1.0, 2.0]), "float64", (2,)),
        (HasArray(), "float64", (2,)),
        (range(4), "int32", (4,)),
    ],
)
def test_a06_everything_becomes_a_tensor(value: object, dtype: str, shape: tuple[int, ...]) -> None:
    tensor = tf.convert_to_tensor(value)
    assert isinstance(tensor, tf.Tensor)
    assert tensor.dtype.name == dtype
    assert tuple(tensor.shape) == shape


def test_a06_variables_and_nested_tensors() -> None:
    assert isinstance(tf.convert_to_tensor(tf.Variable([1.0])), tf.Tensor)
    packed = tf.convert_to_tensor([tf.constant(1.0), 2.0, tf.Variable(3.0)])
    np.testing.assert_array_equal(packed.numpy(), [1, 2, 3])
    assert isinstance(tf.constant(1) + 1, tf.Tensor)
    assert isinstance(1 + tf.constant(1), tf.Tensor)


def test_a07_all_elements_at_once_beats_one_by_one() -> None:
    """At a million elements a vectorised op is at least 50 times faster than a Python loop."""
    values = np.random.RandomState(0).rand(1_000_000).astype(np.float32)
    tensor = tf.constant(values)
    tensor + tensor
    vectorised = min(_seconds(lambda: tensor + tensor) for _ in range(10))
    some = values[:20_000].tolist()
    loop = min(_seconds(lambda: [x + x for x in some]) for _ in range(3)) * len(values) / len(some)
    assert loop > 50 * vectorised or (
        loop > 30 * vectorised and vectorised > 1e-3
    )  # a machine short of memory bandwidth


def _seconds(function: object) -> float:
    start = time.perf_counter()
    function()  # type: ignore[operator]
    return time.perf_counter() - start


def test_a08_nodes_and_edges() -> None:
    with tf.Graph().as_default() as graph:
        a = tf.placeholder(tf.float32, name="a")
        b = tf.placeholder(tf.float32, name="b")
        product = tf.multiply(a, b, name="product")
        total = tf.add(product, a, name="total")
    assert [op.name for op in graph.get_operations()] == ["a", "b", "product", "total"]
    assert list(total.op.inputs) == [product, a]
    assert product.op.outputs == [product]
    assert product.consumers() == [total.op]
    assert a.consumers() == [product.op, total.op]


def test_a09_printed_forms_of_symbolic_tensors() -> None:
    with tf.Graph().as_default():
        shapeless = tf.placeholder(tf.float32, None, name="placeholder_1")
        assert str(shapeless) == 'Tensor("placeholder_1:0", dtype=float32)'
        assert repr(shapeless) == "<tf.Tensor 'placeholder_1:0' shape=<unknown> dtype=float32>"
        product = tf.matmul(tf.ones([2, 3]), tf.ones([3, 2]))
        assert str(product) == 'Tensor("MatMul:0", shape=(2, 2), dtype=float32)'
        partial = tf.placeholder(tf.int32, [None, 3], name="p")
        assert repr(partial) == "<tf.Tensor 'p:0' shape=(None, 3) dtype=int32>"


def test_a10_printed_forms_of_eager_tensors() -> None:
    assert str(tf.constant(4.0)) == "tf.Tensor(4.0, shape=(), dtype=float32)"
    assert repr(tf.constant(4.0)) == "<tf.Tensor: shape=(), dtype=float32, numpy=4.0>"
    assert str(tf.constant([1, 2])) == "tf.Tensor([1 2], shape=(2,), dtype=int32)"
    assert (
        repr(tf.constant([1.0, 2.0])) == "<tf.Tensor: shape=(2,), dtype=float32, numpy=array([1., 2.], dtype=float32)>"
    )
    assert str(tf.constant("a")) == "tf.Tensor(b'a', shape=(), dtype=string)"
    assert repr(tf.constant([True])) == "<tf.Tensor: shape=(1,), dtype=bool, numpy=array([ True])>"
