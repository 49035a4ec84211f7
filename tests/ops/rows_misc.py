"""Clipping, sparse tensors, derivatives taken inside a call, and other rows of no family."""

from __future__ import annotations

import sys
from typing import Any

from tests.ops.harness import Row, public
from tests.ops.inputs import SINGLE, anything, distinct, index, nonzero, positive, small, values

REAL = ("float32", "float64", "int32", "int64")

CLIPPING = [
    Row(
        "clip_by_norm",
        lambda tf, x: [tf.clip_by_norm(x, 1.5), tf.clip_by_norm(x, 100.0), tf.clip_by_norm(x, 0.5, axes=[1])],
        [nonzero(3, 4)],
        SINGLE,
        smoke=True,
    ),
    Row(
        "clip_by_global_norm",
        lambda tf, x, y: tf.clip_by_global_norm([x, y], 1.0),
        [nonzero(3, 2), nonzero(4)],
        SINGLE,
        {"below": [values([0.1, 0.2]), values([0.3])]},
    ),
    Row("clip_by_global_norm[none]", lambda tf, x: tf.clip_by_global_norm([x, None], 1.0), [nonzero(3)], SINGLE),
    Row(
        "clip_by_global_norm[use_norm]",
        lambda tf, x: tf.clip_by_global_norm([x], 1.0, use_norm=tf.constant(2.0, x.dtype))[0],
        [nonzero(3)],
        SINGLE,
    ),
    Row(
        "compat.v1.clip_by_average_norm",
        lambda tf, x: tf.compat.v1.clip_by_average_norm(x, 0.1),
        [nonzero(3, 4)],
        ("float32",),
        gradient_dtypes=("float32",),
    ),
    Row(
        "compat.v1.verify_tensor_all_finite",
        lambda tf, x: tf.compat.v1.verify_tensor_all_finite(x, "bad"),
        [anything(3)],
        SINGLE,
    ),
]

CELLS = [[0, 1], [1, 0], [1, 3], [2, 2]]


def sparse(tf: Any, x: Any) -> Any:
    """A sparse 3x4 matrix of the four values x."""
    return tf.sparse.SparseTensor(tf.constant(CELLS, tf.int64), x, [3, 4])


def other_sparse(tf: Any, x: Any) -> Any:
    """A sparse 3x4 matrix of three values, at one place of the other and two places that it lacks."""
    return tf.sparse.SparseTensor(tf.constant([[0, 0], [1, 0], [2, 3]], tf.int64), x, [3, 4])


SPARSE = [
    Row(
        "sparse.to_dense",
        lambda tf, x: tf.sparse.to_dense(sparse(tf, x)),
        [anything(4)],
        (*REAL, "bool", "string"),
        smoke=True,
    ),
    Row(
        "sparse.to_dense[default]",
        lambda tf, x: tf.sparse.to_dense(sparse(tf, x), default_value=7),
        [anything(4)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "compat.v1.sparse_to_dense",
        lambda tf, x: [tf.compat.v1.sparse_to_dense([1, 3], [5], x, 9), tf.compat.v1.sparse_to_dense(CELLS, [3, 4], 1)],
        [small(2)],
        ("int32",),
        wrt=(),
    ),
    Row(
        "sparse.from_dense",
        lambda tf, x: tf.sparse.from_dense(x),
        [small(3, 4)],
        ("float32", "int32", "string"),
        wrt=(),
    ),
    Row(
        "sparse.sparse_dense_matmul",
        lambda tf, x, y: tf.sparse.sparse_dense_matmul(sparse(tf, x), y),
        [anything(4), anything(4, 2)],
        SINGLE,
    ),
    Row(
        "sparse.sparse_dense_matmul[adjoint]",
        lambda tf, x, y: tf.sparse.sparse_dense_matmul(sparse(tf, x), y, adjoint_a=True, adjoint_b=True),
        [anything(4), anything(2, 3)],
        SINGLE,
    ),
    Row(
        "sparse.reduce_sum",
        lambda tf, x: [
            tf.sparse.reduce_sum(sparse(tf, x)),
            tf.sparse.reduce_sum(sparse(tf, x), axis=1),
            tf.sparse.reduce_sum(sparse(tf, x), axis=0, keepdims=True),
        ],
        [anything(4)],
        SINGLE,
    ),
    Row(
        "sparse.reduce_max",
        lambda tf, x: tf.sparse.reduce_max(sparse(tf, x), axis=1),
        [anything(4)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "sparse.add",
        lambda tf, x, y: tf.sparse.to_dense(tf.sparse.add(sparse(tf, x), sparse(tf, y))),
        [anything(4), anything(4)],
        SINGLE,
    ),
    Row("sparse.add[dense]", lambda tf, x, y: tf.sparse.add(sparse(tf, x), y), [anything(4), anything(3, 4)], SINGLE),
    Row(
        "sparse.multiply", lambda tf, x, y: (sparse(tf, x) * y).values, [anything(4), anything(3, 4)], SINGLE, orders=1
    ),
    Row("sparse.divide", lambda tf, x, y: (sparse(tf, x) / y).values, [anything(4), nonzero(3, 4)], SINGLE, orders=1),
    Row(
        "sparse.reorder",
        lambda tf, x: tf.sparse.reorder(tf.sparse.SparseTensor(tf.constant(CELLS[::-1], tf.int64), x, [3, 4])),
        [anything(4)],
        SINGLE,
    ),
    Row("sparse.reshape", lambda tf, x: tf.sparse.reshape(sparse(tf, x), [2, -1]), [anything(4)], SINGLE),
    Row("sparse.transpose", lambda tf, x: tf.sparse.transpose(sparse(tf, x)), [anything(4)], SINGLE),
    Row("sparse.slice", lambda tf, x: tf.sparse.slice(sparse(tf, x), [1, 0], [2, 3]), [anything(4)], SINGLE),
    Row(
        "sparse.concat",
        lambda tf, x, y: tf.sparse.concat(1, [sparse(tf, x), sparse(tf, y)]),
        [anything(4), anything(4)],
        SINGLE,
        wrt=(),
    ),
    Row("sparse.split", lambda tf, x: tf.sparse.split(sparse(tf, x), 2, 1), [anything(4)], SINGLE, wrt=()),
    Row("sparse.softmax", lambda tf, x: tf.sparse.softmax(sparse(tf, x)), [anything(4)], SINGLE),
    Row(
        "sparse.fill_empty_rows",
        lambda tf, x: tf.sparse.fill_empty_rows(
            tf.sparse.SparseTensor(tf.constant(CELLS, tf.int64), x, [5, 4]), tf.zeros([], x.dtype)
        ),
        [anything(4)],
        SINGLE,
    ),
    Row(
        "sparse.retain",
        lambda tf, x: tf.sparse.retain(sparse(tf, x), [True, False, True, False]),
        [anything(4)],
        SINGLE,
    ),
    Row(
        "sparse.mask",
        lambda tf, x: tf.sparse.mask(tf.IndexedSlices(x, tf.constant([1, 3])), [3]).values,
        [anything(2, 2)],
        SINGLE,
    ),
    Row("sparse.expand_dims", lambda tf, x: tf.sparse.expand_dims(sparse(tf, x), 1), [anything(4)], SINGLE),
    Row(
        "sparse.maximum",
        lambda tf, x, y: tf.sparse.maximum(sparse(tf, x), sparse(tf, y)),
        [distinct(4), anything(4)],
        SINGLE,
        wrt=(),
    ),
    Row(
        "sparse.minimum",
        lambda tf, x, y: tf.sparse.minimum(sparse(tf, x), other_sparse(tf, y)),
        [distinct(4), anything(3)],
        SINGLE,
        wrt=(),
    ),
    Row(
        "sparse.add[other places]",
        lambda tf, x, y: tf.sparse.add(sparse(tf, x), other_sparse(tf, y), threshold=0.0),
        [anything(4), anything(3)],
        SINGLE,
    ),
    Row(
        "sparse.reduce[sparse]",
        lambda tf, x: [
            tf.sparse.reduce_sum(sparse(tf, x), axis=1, output_is_sparse=True),
            tf.sparse.reduce_max(sparse(tf, x), axis=0, keepdims=True, output_is_sparse=True),
        ],
        [anything(4)],
        SINGLE,
        wrt=(),
    ),
    Row(
        "raw_ops.SparseDenseCwiseAdd",
        lambda tf, x, y: tf.raw_ops.SparseDenseCwiseAdd(
            sp_indices=tf.constant(CELLS, tf.int64), sp_values=x, sp_shape=tf.constant([3, 4], tf.int64), dense=y
        ),
        [anything(4), anything(4)],
        SINGLE,
        wrt=(),
    ),
    Row(
        "sparse.concat[expanded]",
        lambda tf, x, y: tf.sparse.concat(
            -1, [sparse(tf, x), tf.sparse.reset_shape(other_sparse(tf, y), [5, 4])], expand_nonconcat_dims=True
        ),
        [anything(4), anything(3)],
        SINGLE,
        wrt=(),
    ),
    Row("sparse.map_values", lambda tf, x: tf.sparse.map_values(tf.square, sparse(tf, x)), [anything(4)], SINGLE),
    Row(
        "sparse.eye",
        lambda tf, x: tf.sparse.sparse_dense_matmul(tf.sparse.eye(2, 3, dtype=x.dtype), x),
        [anything(3, 2)],
        SINGLE,
    ),
    Row(
        "sets",
        lambda tf, x, y: [
            tf.sets.intersection(x, y),
            tf.sets.union(x, y),
            tf.sets.difference(x, y),
            tf.sets.difference(x, y, aminusb=False),
            tf.sets.size(tf.sets.union(x, y)),
        ],
        [index(5, 2, 3, dtype="int64"), index(5, 2, 4, dtype="int64")],
        ("int64",),
        wrt=(),
    ),
    Row(
        "sets[sparse]",
        lambda tf, x, y: [
            tf.sets.intersection(tf.sparse.from_dense(x), tf.sparse.from_dense(y)),
            tf.sets.difference(x, tf.sparse.from_dense(y)),
            tf.sets.difference(tf.sparse.from_dense(x), y),
        ],
        [index(5, 2, 3, dtype="int64"), index(5, 2, 4, dtype="int64")],
        ("int64",),
        wrt=(),
        unknown_shapes=False,
    ),
    Row(
        "sparse.to_indicator",
        lambda tf, x: tf.sparse.to_indicator(tf.sparse.SparseTensor(tf.constant(CELLS, tf.int64), x, [3, 4]), 6),
        [index(6, 4, dtype="int64")],
        ("int64",),
        wrt=(),
    ),
    Row(
        "IndexedSlices",
        lambda tf, x: tf.convert_to_tensor(
            tf.IndexedSlices(x, tf.constant([1, 0, 1]), dense_shape=tf.constant([3, 2]))
        ),
        [anything(3, 2)],
        SINGLE,
    ),
]

SPARSE_OPS = [
    Row(
        "raw_ops.SparseDenseCwiseAdd[broadcast]",
        lambda tf, x, y: tf.raw_ops.SparseDenseCwiseAdd(sp_indices=CELLS, sp_values=x, sp_shape=[3, 4], dense=y),
        [anything(4), anything(3, 4)],
        REAL,
        {"row": [None, (4,)], "column": [None, (3, 1)], "scalar": [None, ()]},
        wrt=(),
    ),
    *(
        Row(
            f"raw_ops.{kind}",
            lambda tf, x, axes, kind=kind: [
                *getattr(tf.raw_ops, kind)(
                    input_indices=CELLS, input_values=x, input_shape=[3, 4], reduction_axes=axes
                ),
                *getattr(tf.raw_ops, kind)(
                    input_indices=CELLS, input_values=x, input_shape=[3, 4], reduction_axes=axes, keep_dims=True
                ),
            ],
            [distinct(4), values([1], "int32")],
            REAL,
            {"columns": [None, values([0], "int32")], "negative": [None, values([-1], "int32")]},
            wrt=(),
        )
        for kind in ("SparseReduceSumSparse", "SparseReduceMaxSparse")
    ),
    *(
        Row(
            f"raw_ops.{kind}",
            lambda tf, x, y, kind=kind: getattr(tf.raw_ops, kind)(
                a_indices=CELLS,
                a_values=x,
                a_shape=[3, 4],
                b_indices=[[0, 0], [0, 1], [2, 2]],
                b_values=y,
                b_shape=[3, 4],
            ),
            [distinct(4), anything(3)],
            REAL,
            wrt=(),
        )
        for kind in ("SparseSparseMinimum", "SparseSparseMaximum")
    ),
]


def derivative(tf: Any, function: Any, x: Any, method: str) -> Any:
    """A Jacobian of `function` at x, by the tape's `method`."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = function(x)
    return getattr(tape, method)(y, x)


def second_derivative(tf: Any, x: Any) -> Any:
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(tf.sin(x) * x)
        first = inner.gradient(y, x)
    return outer.gradient(first, x)


def forward_derivative(tf: Any, x: Any, tangent: Any) -> Any:
    with tf.autodiff.ForwardAccumulator(x, tangent) as accumulator:
        y = tf.sin(x) * tf.exp(x)
    return accumulator.jvp(y)


DERIVATIVES = [
    Row(
        "GradientTape.jacobian",
        lambda tf, x: derivative(tf, lambda v: tf.cumsum(v * v), x, "jacobian"),
        [anything(3)],
        SINGLE,
        unknown_shapes=False,
        wrt=(),
    ),
    Row(
        "GradientTape.batch_jacobian",
        lambda tf, x: derivative(tf, lambda v: tf.cumsum(v * v, axis=1), x, "batch_jacobian"),
        [anything(2, 3)],
        SINGLE,
        unknown_shapes=False,
        wrt=(),
    ),
    Row("GradientTape.gradient[nested]", second_derivative, [anything(3)], SINGLE),
    Row(
        "autodiff.ForwardAccumulator",
        forward_derivative,
        [anything(3), anything(3)],
        SINGLE,
        unknown_shapes=False,
        wrt=(),
    ),
]

OTHER = [
    Row("math.lbeta", public("math.lbeta"), [positive(3, 4)], SINGLE, tolerance=4),
    Row("math.polyval", lambda tf, x: tf.math.polyval([x * x, x, 2.0 * x], x), [anything(3)], SINGLE),
    Row("math.softmax", lambda tf, x: [tf.math.softmax(x), tf.math.log_softmax(x)], [anything(3, 4)], SINGLE),
    Row(
        "compat.v1.reductions",
        lambda tf, x: [
            tf.compat.v1.reduce_sum(x, reduction_indices=[1]),
            tf.compat.v1.reduce_mean(x, axis=0, keep_dims=True),
            tf.compat.v1.reduce_max(x, 1),
        ],
        [distinct(3, 4)],
        SINGLE,
    ),
    Row(
        "compat.v1.aliases",
        lambda tf, x: [
            tf.compat.v1.log(x),
            tf.compat.v1.div(x, 2.0),
            tf.compat.v1.rsqrt(x),
            tf.compat.v1.lgamma(x),
            tf.compat.v1.log1p(x),
        ],
        [positive(3)],
        SINGLE,
    ),
    Row(
        "compat.v1.matrices",
        lambda tf, x: [
            tf.compat.v1.matrix_band_part(x, 0, -1),
            tf.compat.v1.matrix_transpose(x),
            tf.compat.v1.matrix_diag_part(x),
            tf.compat.v1.trace(x),
        ],
        [anything(3, 3)],
        SINGLE,
    ),
    Row(
        "compat.v1.placeholder_with_default",
        lambda tf, x: with_default(tf, x),
        [anything(3)],
        SINGLE,
        wrt=(),
        eager=False,
        function=False,
    ),
    Row(
        "raw_ops.Identity", lambda tf, x: tf.raw_ops.Identity(input=x), [anything(3)], ("float32", "float64", "string")
    ),
    Row("print", lambda tf, x: printed(tf, x), [anything(3)], ("float32",), wrt=()),
    Row("compat.v1.Print", lambda tf, x: tf.compat.v1.Print(x * 2.0, [x], "values"), [anything(3)], SINGLE),
    Row(
        "nest", lambda tf, x: tf.nest.map_structure(lambda v: v * 2.0, {"a": x, "b": [x, (x,)]}), [anything(2)], SINGLE
    ),
]


def with_default(tf: Any, x: Any) -> Any:
    """What depends on a placeholder that nobody feeds, and the gradient through it."""
    y = tf.compat.v1.placeholder_with_default(x, x.shape) * 2.0
    return [y, tf.compat.v1.gradients(y, x)[0]]


def printed(tf: Any, x: Any) -> Any:
    operation = tf.print("values", x, output_stream=sys.stderr)
    with tf.control_dependencies([operation] if operation is not None else []):
        return tf.identity(x)


ROWS = [*CLIPPING, *SPARSE, *SPARSE_OPS, *DERIVATIVES, *OTHER]
