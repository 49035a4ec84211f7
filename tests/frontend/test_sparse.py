"""SparseTensors: made, passed around, fetched, fed, and where they fail."""

from __future__ import annotations

import numpy as np
import pytest

import rillet as tf

tf1 = tf.compat.v1
CELLS = [[0, 1], [1, 0], [1, 3]]


def matrix(values: object = (1.0, 2.0, 3.0)) -> tf.SparseTensor:
    return tf.SparseTensor(CELLS, values, [3, 4])


def dense() -> np.ndarray:
    result = np.zeros((3, 4), np.float32)
    result[0, 1], result[1, 0], result[1, 3] = 1.0, 2.0, 3.0
    return result


def test_parts_and_printing() -> None:
    x = matrix()
    assert x.shape == [3, 4] and x.get_shape() == [3, 4] and x.dtype is tf.float32
    assert x.indices.dtype is tf.int64 and x.dense_shape.dtype is tf.int64
    assert str(tf.SparseTensor([[0]], [1], [2])) == (
        "SparseTensor(indices=tf.Tensor([[0]], shape=(1, 1), dtype=int64), "
        "values=tf.Tensor([1], shape=(1,), dtype=int32), dense_shape=tf.Tensor([2], shape=(1,), dtype=int64))"
    )


@pytest.mark.parametrize(
    ("indices", "values", "shape", "message"),
    [
        ([0, 1], [1.0], [3, 4], r"must have rank 2"),
        ([[0, 1]], [1.0, 2.0], [3, 4], "Dimensions 1 and 2 are not compatible"),
        ([[0, 1]], [1.0], [3, 4, 5], "Dimensions 2 and 3 are not compatible"),
    ],
)
def test_parts_must_fit(indices: object, values: object, shape: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tf.SparseTensor(indices, values, shape)


def test_arithmetic_with_dense() -> None:
    x = matrix()
    np.testing.assert_array_equal((x * 2.0).values, [2, 4, 6])
    np.testing.assert_array_equal((tf.constant([1.0, 2.0, 3.0, 4.0]) * x).values, [2, 2, 12])
    np.testing.assert_array_equal((x / [[1.0], [2.0], [4.0]]).values, [1, 1, 1.5])
    with pytest.raises(TypeError):
        x + 1.0
    with pytest.raises(TypeError):
        iter(x)
    with pytest.raises(ValueError, match="unsupported type"):
        tf.convert_to_tensor(x)


def test_with_values() -> None:
    doubled = matrix().with_values([7, 8, 9])
    assert doubled.dtype is tf.int32 and doubled.shape == [3, 4]
    with pytest.raises(ValueError, match="Dimensions 3 and 1 are not compatible"):
        matrix().with_values([7])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[0, 9], [1, 1]], r"indices\[0\] = \[0,9\] is out of bounds: need 0 <= index < \[3,4\]"),
        ([[1, 1], [0, 1]], r"indices\[1\] = \[0,1\] is out of order"),
        ([[1, 1], [1, 1]], r"indices\[1\] = \[1,1\] is repeated"),
    ],
)
def test_to_dense_checks_the_indices(cells: object, message: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.sparse.to_dense(tf.SparseTensor(cells, [1.0, 2.0], [3, 4]))


def test_products_check_sizes_and_indices() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="inner dimension does not match: 4 vs"):
        tf.sparse.sparse_dense_matmul(matrix(), tf.ones([3, 2]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"k \(9\) from index\[0,1\] out of bounds"):
        tf.sparse.sparse_dense_matmul(tf.SparseTensor([[0, 9]], [1.0], [3, 4]), tf.ones([4, 2]))


def test_empty() -> None:
    empty = tf.SparseTensor(np.zeros((0, 2), np.int64), np.zeros(0, np.float32), [2, 3])
    np.testing.assert_array_equal(tf.sparse.to_dense(empty), np.zeros((2, 3)))
    np.testing.assert_array_equal(tf.sparse.reduce_sum(empty, 1), [0, 0])
    assert tf.sparse.reduce_sum(empty).numpy() == 0
    np.testing.assert_array_equal(tf.sparse.sparse_dense_matmul(empty, tf.ones([3, 2])), np.zeros((2, 2)))
    assert tf.sparse.softmax(empty).values.shape == [0]
    assert tf.sparse.add(empty, empty).values.shape == [0]
    assert tf.sparse.transpose(empty).shape == [3, 2]
    filled, is_empty = tf.sparse.fill_empty_rows(empty, 5.0)
    np.testing.assert_array_equal(tf.sparse.to_dense(filled), [[5, 0, 0], [5, 0, 0]])
    np.testing.assert_array_equal(is_empty, [True, True])


def test_shapes_too_large_to_count_their_elements() -> None:
    huge = [2**40, 2**40]
    x = tf.SparseTensor([[2, 5], [0, 2**40 - 1], [1, 3]], [1.0, 2.0, 3.0], huge)
    ordered = tf.sparse.reorder(x)
    np.testing.assert_array_equal(ordered.indices, [[0, 2**40 - 1], [1, 3], [2, 5]])
    np.testing.assert_array_equal(ordered.values, [2, 3, 1])
    np.testing.assert_array_equal(tf.sparse.add(ordered, x).values, [4, 6, 2])
    np.testing.assert_array_equal(tf.sparse.maximum(x, x).indices, ordered.indices)
    np.testing.assert_array_equal(tf.sparse.reduce_sum(x, 1, output_is_sparse=True).values, [2, 3, 1])
    np.testing.assert_array_equal(tf.sparse.softmax(x).values, [1, 1, 1])


def test_round_trips() -> None:
    rng = np.random.default_rng(0)
    for shape in ([7], [4, 5], [2, 3, 4]):
        values = rng.integers(-2, 3, shape)
        x = tf.sparse.from_dense(values)
        np.testing.assert_array_equal(tf.sparse.to_dense(x), values)
        np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.transpose(x)), values.T)
        np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.reshape(x, [-1])), values.ravel())
        np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.concat(0, [x, x])), np.concatenate([values, values]))
        parts = tf.sparse.split(x, 2, 0)
        np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.concat(0, parts)), values)
        np.testing.assert_array_equal(tf.sparse.reduce_sum(x, -1), values.sum(-1))


def test_function_arguments_and_results() -> None:
    traces = []

    @tf.function
    def doubled(x: tf.SparseTensor) -> tf.SparseTensor:
        traces.append(x)
        return x * 2.0

    np.testing.assert_array_equal(tf.sparse.to_dense(doubled(matrix())), 2 * dense())
    np.testing.assert_array_equal(doubled(matrix([4.0, 5.0, 6.0])).values, [8, 10, 12])
    assert len(traces) == 1


def test_specification() -> None:
    spec = tf.SparseTensorSpec([None, 4], tf.float32)
    assert repr(spec) == "SparseTensorSpec(TensorShape([None, 4]), tf.float32)"
    assert spec.is_compatible_with(matrix()) and not spec.is_compatible_with(tf.ones([3, 4]))
    assert tf.SparseTensorSpec.from_value(matrix()) == tf.SparseTensorSpec([3, 4], tf.float32)
    function = tf.function(tf.sparse.to_dense, input_signature=[spec])
    np.testing.assert_array_equal(function(matrix()), dense())
    with pytest.raises(TypeError, match="incompatible with input_signature"):
        function(matrix([1, 2, 3]))


def test_control_flow() -> None:
    x = matrix()
    chosen = tf.function(lambda p: tf.cond(p, lambda: x, lambda: x * 3.0))
    np.testing.assert_array_equal(chosen(tf.constant(False)).values, [3, 6, 9])
    _, last = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), [0, x])
    np.testing.assert_array_equal(last.values, [8, 16, 24])


def test_gradient_through_the_values() -> None:
    values = tf.Variable([1.0, 2.0, 3.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sparse.to_dense(tf.SparseTensor(CELLS, values, [3, 4])) ** 2)
    np.testing.assert_array_equal(tape.gradient(loss, values), [2, 4, 6])


def test_sessions_fetch_and_feed() -> None:
    with tf1.Graph().as_default() as graph, tf1.Session() as session:
        x = tf1.sparse_placeholder(tf.float32)
        y = tf1.sparse_placeholder(tf.float32, [None, 4], name="y")
        assert x.shape.rank is None and y.shape.as_list() == [None, 4]
        assert [part.name for part in (y.indices, y.values, y.dense_shape)] == [
            "y/indices:0",
            "y/values:0",
            "y/shape:0",
        ]
        assert x.graph is graph
        value = tf1.SparseTensorValue(CELLS, [1.0, 2.0, 3.0], [3, 4])
        np.testing.assert_array_equal(session.run(tf.sparse.to_dense(x), {x: value}), dense())
        z = tf1.sparse_placeholder(tf.float32, [3, 4])
        np.testing.assert_array_equal(session.run(tf.sparse.to_dense(z), {z: (CELLS, [1.0, 2.0, 3.0])}), dense())
        fetched = session.run({"twice": x * 2.0}, {x: tuple(value)})["twice"]
        assert isinstance(fetched, tf1.SparseTensorValue)
        np.testing.assert_array_equal(fetched.values, [2, 4, 6])
        np.testing.assert_array_equal(fetched.dense_shape, [3, 4])
        np.testing.assert_array_equal((y * 3.0).eval({y: fetched}).values, [6, 12, 18])
        assert {operation.type for operation in x.consumers()} == {"SparseToDense", "SparseDenseCwiseMul"}


def test_first_version_names() -> None:
    x = matrix()
    np.testing.assert_array_equal(tf1.sparse_tensor_to_dense(x), dense())
    np.testing.assert_array_equal(tf1.sparse_reduce_sum(x, reduction_axes=0, keep_dims=True), [[2, 1, 0, 3]])
    np.testing.assert_array_equal(tf1.sparse_add(x, x, thresh=5.0).values, [6])
    np.testing.assert_array_equal(tf1.sparse_concat(concat_dim=1, axis=None, sp_inputs=[x, x]).dense_shape, [3, 8])
    np.testing.assert_array_equal(tf1.sparse_split(sp_input=x, num_split=2, split_dim=1)[0].dense_shape, [3, 2])
    ids = tf.SparseTensor([[0, 0], [0, 1], [1, 0]], tf.constant([1, 2, 0], tf.int64), [2, 2])
    merged = tf1.sparse_merge(ids, ids.with_values([1.0, 2.0, 3.0]), 4)
    np.testing.assert_array_equal(tf.sparse.to_dense(merged), [[0, 1, 2, 0], [3, 0, 0, 0]])


def test_reset_shape() -> None:
    np.testing.assert_array_equal(tf.sparse.reset_shape(matrix()).dense_shape, [2, 4])
    np.testing.assert_array_equal(tf.sparse.reset_shape(matrix(), [5, 6]).dense_shape, [5, 6])
    with pytest.raises(ValueError, match="should have dimension sizes >="):
        tf.sparse.reset_shape(matrix(), [2, 2])
    with pytest.raises(ValueError, match="Dimensions 3 and 2 are not compatible"):
        tf.sparse.reset_shape(matrix(), [3, 4, 5])


def test_map_values() -> None:
    x = matrix()
    np.testing.assert_array_equal(tf.sparse.map_values(tf.add, x, x).values, [2, 4, 6])
    with pytest.raises(ValueError, match="No SparseTensor in argument list"):
        tf.sparse.map_values(tf.add, 1.0, 2.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Mismatched indices!"):
        tf.sparse.map_values(tf.add, x, tf.SparseTensor([[0, 0]], [1.0], [3, 4]))


def test_string_pieces() -> None:
    pieces = tf1.string_split(["a,b  c", "", "x"], ", ", skip_empty=False)
    np.testing.assert_array_equal(pieces.values, [b"a", b"b", b"", b"c", b"x"])
    np.testing.assert_array_equal(pieces.dense_shape, [3, 4])
    np.testing.assert_array_equal(tf1.strings.split([["a b"], ["c"]]).indices, [[0, 0, 0], [0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(tf.strings.split("a b  c"), [b"a", b"b", b"c"])
    with pytest.raises(NotImplementedError, match="ragged"):
        tf.strings.split(["a b"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="input must be a vector"):
        tf1.string_split("abc")
