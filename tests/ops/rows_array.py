"""Array rows: shape, slicing, joining, gathering, scattering, padding, sorting, building."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.harness import Bad, Row, public
from tests.ops.inputs import (
    EVERYTHING,
    FLOATS,
    NUMBERS,
    REALS,
    SINGLE,
    anything,
    boolean,
    distinct,
    flags,
    index,
    permutation,
    small,
    values,
)

FEW = ("float32", "float64", "int32", "string")
PAIR = ("float32", "float64")
WIDE = ("float32", "float64", "int32", "int64", "bool", "string", "complex64", "uint8", "float16", "bfloat16")

SHAPES = [
    Row(
        "reshape",
        lambda tf, x: tf.reshape(x, [4, -1]),
        [anything(2, 3, 4)],
        EVERYTHING,
        {"vector": [(8,)], "empty": [(0, 4)]},
        smoke=True,
        gradient_dtypes=("float64", "complex128"),
        errors=[
            Bad(
                lambda tf, x: tf.reshape(x, [4, 2]),
                [[1.0, 2.0, 3.0]],
                ("InvalidArgumentError", "Input to reshape is a tensor with 3 values, but the requested shape has 8"),
                ("ValueError", "Cannot reshape a tensor with 3 elements to shape [4,2] (8 elements)"),
            )
        ],
    ),
    Row(
        "reshape[scalar]",
        lambda tf, x: [tf.reshape(x, []), tf.reshape(x, [1, 1]), tf.reshape(x, [-1])],
        [anything(1)],
        FEW,
        {"scalar": [()]},
    ),
    Row(
        "reshape[tensor]",
        lambda tf, x, shape: tf.reshape(x, shape),
        [anything(2, 6), values([3, 4], "int32")],
        FEW,
        {"long": [None, values([-1, 2], "int64")]},
    ),
    Row(
        "reshape[of shape]",
        lambda tf, x: tf.reshape(x, tf.concat([tf.shape(x)[:1], [-1]], 0)),
        [anything(2, 3, 2)],
        PAIR,
    ),
    Row(
        "transpose",
        lambda tf, x: tf.transpose(x),
        [anything(2, 3, 4)],
        EVERYTHING,
        {"matrix": [(3, 2)], "vector": [(3,)], "scalar": [()], "empty": [(0, 2)]},
        smoke=True,
        gradient_dtypes=("float64", "complex128"),
    ),
    Row(
        "transpose[perm]",
        lambda tf, x: tf.transpose(x, [2, 0, 3, 1]),
        [anything(2, 3, 4, 2)],
        FEW,
        errors=[
            Bad(
                lambda tf, x: tf.transpose(x, [0, 1, 2]),
                [[[1.0, 2.0]]],
                ("InvalidArgumentError", "transpose expects a vector of size 2. But input(1) is a vector of size 3"),
                ("ValueError", "Dimension must be 2 but is 3"),
            )
        ],
    ),
    Row(
        "transpose[conjugate]",
        lambda tf, x: tf.transpose(x, [1, 0], conjugate=True),
        [anything(2, 3)],
        ("complex64", "complex128", "float64"),
        gradient_dtypes=("float64", "complex128"),
    ),
    Row(
        "raw_ops.ConjugateTranspose",
        lambda tf, x: tf.raw_ops.ConjugateTranspose(x=x, perm=[1, 0]),
        [anything(2, 3)],
        ("complex128",),
        wrt=(0,),
        gradient_dtypes=("complex128",),
    ),
    Row(
        "expand_dims",
        lambda tf, x: [tf.expand_dims(x, 0), tf.expand_dims(x, -1), tf.expand_dims(x, axis=1)],
        [anything(2, 3)],
        EVERYTHING,
        {"vector": [(3,)], "empty": [(0, 3)]},
        errors=[
            Bad(
                lambda tf, x: tf.expand_dims(x, 3),
                [[1.0]],
                ("InvalidArgumentError", "Tried to expand dim index 3 for tensor with 1 dimensions"),
                ("ValueError", "dim 3 not in the interval [-2, 1]"),
            )
        ],
    ),
    Row(
        "squeeze", lambda tf, x: tf.squeeze(x), [anything(1, 2, 1, 3)], EVERYTHING, {"none": [(2, 3)], "all": [(1, 1)]}
    ),
    Row(
        "squeeze[axis]",
        lambda tf, x: [tf.squeeze(x, 0), tf.squeeze(x, [0, -2])],
        [anything(1, 2, 1, 3)],
        FEW,
        errors=[
            Bad(
                lambda tf, x: tf.squeeze(x, 0),
                [[1.0, 2.0]],
                ("InvalidArgumentError", "Can not squeeze dim[0], expected a dimension of 1, got 2"),
                ("ValueError", "Can not squeeze dim[0], expected a dimension of 1, got 2"),
            )
        ],
    ),
    Row(
        "shape",
        lambda tf, x: [tf.shape(x), tf.shape(x, out_type=tf.int64), tf.size(x), tf.rank(x)],
        [anything(2, 3)],
        EVERYTHING,
        {"scalar": [()], "empty": [(2, 0)]},
        wrt=(),
        smoke=True,
    ),
    Row("shape_n", lambda tf, x, y: tf.shape_n([x, y]), [anything(2, 3), anything(4)], FEW, wrt=()),
    Row(
        "broadcast_to",
        lambda tf, x: tf.broadcast_to(x, [4, 2, 3]),
        [anything(2, 3)],
        (*NUMBERS, "bool", "string"),
        {"scalar": [()], "ones": [(2, 1)], "row": [(3,)]},
        errors=[
            Bad(
                lambda tf, x: tf.broadcast_to(x, [2, 2]),
                [[1.0, 2.0, 3.0]],
                ("InvalidArgumentError", "Incompatible shapes: [3] vs. [2,2]"),
                ("ValueError", "Dimensions must be equal"),
            )
        ],
    ),
    Row(
        "broadcast_dynamic_shape",
        lambda tf, a, b: tf.broadcast_dynamic_shape(a, b),
        [values([2, 1, 3], "int32"), values([4, 1], "int32")],
        ("int32",),
        wrt=(),
    ),
    Row(
        "raw_ops.BroadcastGradientArgs",
        lambda tf, a, b: list(tf.raw_ops.BroadcastGradientArgs(s0=a, s1=b)),
        [values([2, 1, 3], "int32"), values([4, 1], "int32")],
        ("int32",),
        wrt=(),
        function=False,
    ),
    Row(
        "ensure_shape",
        lambda tf, x: tf.ensure_shape(x, [None, 3]),
        [anything(2, 3)],
        FEW,
        errors=[
            Bad(
                lambda tf, x: tf.ensure_shape(x, [3]),
                [[1.0, 2.0]],
                ("InvalidArgumentError", "is not compatible with expected shape [3]"),
                ("ValueError", "must be equal"),
            )
        ],
    ),
    Row(
        "tile",
        lambda tf, x: tf.tile(x, [2, 3]),
        [anything(2, 3)],
        EVERYTHING,
        {"empty": [(0, 3)], "ones": [(1, 1)]},
        gradient_dtypes=("float64", "complex128"),
    ),
    Row(
        "tile[tensor]",
        lambda tf, x, m: tf.tile(x, m),
        [anything(2, 1, 3), values([1, 2, 2], "int32")],
        FEW,
        {"zero": [None, values([1, 0, 2], "int32")]},
    ),
    Row(
        "repeat",
        lambda tf, x: [tf.repeat(x, 3), tf.repeat(x, 2, axis=1), tf.repeat(x, [2, 0], axis=0)],
        [anything(2, 3)],
        FEW,
        unknown_shapes=False,
    ),
    Row("linalg.matrix_transpose", lambda tf, x: tf.linalg.matrix_transpose(x), [anything(2, 3, 4)], PAIR),
    Row(
        "linalg.adjoint",
        lambda tf, x: tf.linalg.adjoint(x),
        [anything(2, 3)],
        ("complex128", "float64"),
        gradient_dtypes=("float64", "complex128"),
    ),
    Row(
        "compat.v1.expand_dims",
        lambda tf, x: [
            tf.compat.v1.expand_dims(x, dim=0),
            tf.compat.v1.squeeze(tf.compat.v1.expand_dims(x, 1), squeeze_dims=[1]),
            tf.compat.v1.transpose(x),
        ],
        [anything(2, 3)],
        PAIR,
    ),
    Row(
        "bitcast",
        lambda tf, x: tf.bitcast(x, tf.int32),
        [anything(3, 2)],
        ("float32", "int32", "uint32"),
        {"scalar": [()]},
        wrt=(),
    ),
    Row("bitcast[larger]", lambda tf, x: tf.bitcast(x, tf.int32), [anything(3, 4)], ("uint8", "int8"), wrt=()),
    Row(
        "bitcast[smaller]",
        lambda tf, x: tf.bitcast(x, tf.uint8),
        [anything(3, 2)],
        ("float32", "int16", "int8"),
        wrt=(),
    ),
]


def slicing(label: str, take: Any, shape: tuple[int, ...] = (4, 3, 5), dtypes: Any = PAIR, **common: Any) -> Row:
    """A row of one slicing expression."""
    return Row(f"getitem[{label}]", lambda tf, x: take(x), [anything(*shape)], dtypes, **common)


SLICES = [
    slicing("index", lambda x: x[1], dtypes=EVERYTHING, smoke=True),
    slicing("negative", lambda x: x[-2, -1]),
    slicing("range", lambda x: x[1:3], dtypes=EVERYTHING),
    slicing("stride", lambda x: x[::2, :, 1::3]),
    slicing("reverse", lambda x: x[::-1, :, -1:0:-2]),
    slicing("ellipsis", lambda x: [x[..., 1], x[..., :2], x[0, ...], x[...]], dtypes=FEW),
    slicing("newaxis", lambda x: [x[:, None], x[None, ..., None], x[..., None, 2]], dtypes=FEW),
    slicing("mixed", lambda x: [x[1:, 0, None, ::-2], x[0, 1:2, -3:], x[3:1:-1, ..., None, 0]]),
    slicing("empty", lambda x: [x[2:2], x[3:1], x[:, 5:]]),
    slicing("out of range", lambda x: [x[1:100], x[-100:2]]),
    slicing("all", lambda x: x[:], (3,)),
    slicing("scalar result", lambda x: x[1, 2, 3]),
    slicing("vector", lambda x: [x[0], x[-1], x[2:], x[:-2], x[::-1], x[1:-1:2]], (6,)),
    Row(
        "getitem[tensor]",
        lambda tf, x, i: [x[i], x[:, i], x[i:], x[i : i + 2]],
        [anything(4, 3), index(3)],
        PAIR,
        errors=[
            Bad(
                lambda tf, x: x[5],
                [[1.0, 2.0]],
                ("InvalidArgumentError", "slice index 5 of dimension 0 out of bounds"),
                ("ValueError", "slice index 5 of dimension 0 out of bounds"),
            ),
            Bad(
                lambda tf, x: x[0, 1],
                [[1.0, 2.0]],
                ("InvalidArgumentError", "Index out of range using input dim 1; input has only 1 dims"),
                ("ValueError", "Index out of range using input dim 1; input has only 1 dims"),
            ),
        ],
    ),
    Row("getitem[long tensor]", lambda tf, x, i: x[i:], [anything(4, 3), index(3, dtype="int64")], PAIR),
    Row(
        "slice",
        lambda tf, x: [tf.slice(x, [1, 0], [2, 2]), tf.slice(x, [0, 1], [-1, -1]), tf.slice(x, [4, 0], [0, 3])],
        [anything(4, 3)],
        EVERYTHING,
        errors=[
            Bad(
                lambda tf, x: tf.slice(x, [1], [3]),
                [[1.0, 2.0]],
                ("InvalidArgumentError", "Expected size[0] in [0, 1], but got 3"),
                ("Exception", ""),
            )
        ],
    ),
    Row(
        "slice[tensors]",
        lambda tf, x, b, s: tf.slice(x, b, s),
        [anything(4, 3), values([1, 0], "int32"), values([2, -1], "int32")],
        PAIR,
        {"long": [None, values([1, 0], "int64"), values([2, 2], "int64")]},
    ),
    Row("strided_slice", lambda tf, x: tf.strided_slice(x, [1, 0], [3, 3], [1, 2]), [anything(4, 3)], EVERYTHING),
    Row(
        "strided_slice[masks]",
        lambda tf, x: [
            tf.strided_slice(x, [1, 1, 1], [3, 2, 4], [1, 1, 2], begin_mask=1),
            tf.strided_slice(x, [1, 1, 1], [3, 2, 4], [1, 1, 2], end_mask=6),
            tf.strided_slice(x, [1, 1], [3, 3], [1, 2], ellipsis_mask=1),
            tf.strided_slice(x, [0, 1, 1], [0, 3, 2], [1, 1, 1], new_axis_mask=1),
            tf.strided_slice(x, [1, 1, 1], [3, 3, 4], [1, 1, 1], shrink_axis_mask=3),
        ],
        [anything(4, 3, 5)],
        FEW,
    ),
    Row(
        "raw_ops.StridedSliceGrad",
        lambda tf, dy: tf.raw_ops.StridedSliceGrad(shape=[4, 3], begin=[1, 0], end=[3, 3], strides=[1, 2], dy=dy),
        [anything(2, 2)],
        PAIR,
    ),
    Row(
        "raw_ops.TensorStridedSliceUpdate",
        lambda tf, x, v: tf.raw_ops.TensorStridedSliceUpdate(
            input=x, begin=[1, 0], end=[3, 3], strides=[1, 2], value=v
        ),
        [anything(4, 3), anything(2, 2)],
        PAIR,
    ),
    Row(
        "boolean_mask",
        lambda tf, x, m: tf.boolean_mask(x, m),
        [anything(4, 3), flags(4)],
        FEW,
        {"matrix": [None, (4, 3)]},
        unknown_shapes=False,
    ),
    Row("boolean_mask[axis]", lambda tf, x: tf.boolean_mask(x, [True, False, True], axis=1), [anything(4, 3)], PAIR),
]

JOINS = [
    Row(
        "concat",
        lambda tf, x, y: tf.concat([x, y], axis=0),
        [anything(2, 3), anything(1, 3)],
        EVERYTHING,
        {"empty": [(0, 3), None], "cube": [(2, 1, 2), (3, 1, 2)]},
        smoke=True,
        gradient_dtypes=("float64", "complex128"),
        errors=[
            Bad(
                lambda tf, x, y: tf.concat([x, y], 0),
                [[[1.0, 2.0]], [[1.0]]],
                ("InvalidArgumentError", "ConcatOp : Dimension 1 in both shapes must be equal"),
                ("ValueError", "Dimension 0 in both shapes must be equal, but are 2 and 1. Shapes are [2] and [1]"),
            ),
            Bad(
                lambda tf, x, y: tf.concat([x, y], 3),
                [[1.0], [1.0]],
                ("InvalidArgumentError", "Expected concatenating dimensions in the range [-1, 1), but got 3"),
                ("ValueError", "must be at least rank 4"),
            ),
        ],
    ),
    Row("concat[axis=-1]", lambda tf, x, y: tf.concat([x, y, x], axis=-1), [anything(2, 3), anything(2, 1)], FEW),
    Row("concat[one]", lambda tf, x: tf.concat([x], axis=1), [anything(2, 3)], PAIR),
    Row("compat.v1.concat", lambda tf, x, y: tf.compat.v1.concat([x, y], 1), [anything(2, 3), anything(2, 1)], PAIR),
    Row(
        "stack",
        lambda tf, x, y: [tf.stack([x, y]), tf.stack([x, y], axis=1), tf.stack([x, y], axis=-1)],
        [anything(2, 3), anything(2, 3)],
        EVERYTHING,
        {"vector": [(2,), (2,)], "empty": [(0, 2), (0, 2)]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x, y: tf.stack([x, y]),
                [[1.0, 2.0], [1.0]],
                (
                    "InvalidArgumentError",
                    "Shapes of all inputs must match: values[0].shape = [2] != values[1].shape = [1]",
                ),
                ("ValueError", "must be equal, but are 2 and 1"),
            )
        ],
    ),
    Row("stack[scalars]", lambda tf, x, y: tf.stack([x, y, x]), [anything(), anything()], FEW),
    Row("unstack", lambda tf, x: tf.unstack(x), [anything(3, 2)], EVERYTHING, unknown_shapes=False),
    Row("unstack[axis]", lambda tf, x: tf.unstack(x, num=2, axis=-1), [anything(3, 2)], FEW),
    Row(
        "split",
        lambda tf, x: tf.split(x, 3, axis=1),
        [anything(2, 6)],
        EVERYTHING,
        {"empty": [(0, 6)]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x: tf.split(x, 2),
                [[1.0, 2.0, 3.0]],
                ("InvalidArgumentError", "Number of ways to split should evenly divide the split dimension"),
                ("ValueError", "Dimension size must be evenly divisible by 2 but is 3"),
            )
        ],
    ),
    Row(
        "split[sizes]",
        lambda tf, x: tf.split(x, [1, -1, 2], axis=0),
        [anything(6, 2)],
        FEW,
        errors=[
            Bad(
                lambda tf, x: tf.split(x, [1, 1]),
                [[1.0, 2.0, 3.0]],
                ("InvalidArgumentError", "Determined shape must either match"),
                ("ValueError", "can't split axis of size 3 into pieces of size [1,1]"),
            )
        ],
    ),
    Row(
        "split[tensor]",
        lambda tf, x, sizes: tf.split(x, sizes, axis=-1, num=2),
        [anything(2, 5), values([2, 3], "int32")],
        PAIR,
    ),
    Row(
        "meshgrid",
        lambda tf, x, y: [*tf.meshgrid(x, y), *tf.meshgrid(x, y, indexing="ij")],
        [anything(3), anything(2)],
        ("float32", "float64", "int32"),
    ),
    Row(
        "meshgrid[three]",
        lambda tf, x, y, z: tf.meshgrid(x, y, z),
        [anything(3), anything(2), anything(2)],
        ("float32", "float64"),
    ),
    Row(
        "parallel_stack",
        lambda tf, x, y: tf.parallel_stack([x, y, x]),
        [anything(2, 2), anything(2, 2)],
        PAIR,
        wrt=(),
        eager=False,
        unknown_shapes=False,
        function=False,
    ),
    Row(
        "raw_ops.Concat",
        lambda tf, x, y: tf.raw_ops.Concat(concat_dim=1, values=[x, y]),
        [anything(2, 3), anything(2, 1)],
        PAIR,
    ),
    Row(
        "raw_ops.ConcatOffset",
        lambda tf, x: list(tf.raw_ops.ConcatOffset(concat_dim=1, shape=[[2, 3], x, [2, 1]])),
        [values([2, 4], "int32")],
        ("int32",),
        wrt=(),
    ),
]

GATHERS = [
    Row(
        "gather",
        lambda tf, x, i: tf.gather(x, i),
        [anything(4, 3), index(4, 5)],
        EVERYTHING,
        {"scalar": [None, ()], "matrix": [None, (2, 3)], "vector": [(4,), None], "none": [None, (0,)]},
        smoke=True,
        indexed_slices=(0,),
        errors=[
            Bad(
                lambda tf, x, i: tf.gather(x, i),
                [[1.0, 2.0], [0, 2]],
                ("InvalidArgumentError", "indices[1] = 2 is not in [0, 2)"),
                ("InvalidArgumentError", "indices[1] = 2 is not in [0, 2)"),
            )
        ],
    ),
    Row("gather[long]", lambda tf, x, i: tf.gather(x, i), [anything(4, 3), index(4, 2, dtype="int64")], FEW),
    Row(
        "gather[axis]",
        lambda tf, x, i: [tf.gather(x, i, axis=1), tf.gather(x, i, axis=-1)],
        [anything(2, 3, 4), index(3, 2, 2)],
        FEW,
    ),
    Row("gather[batch]", lambda tf, x, i: tf.gather(x, i, batch_dims=1), [anything(2, 4, 3), index(4, 2, 3)], PAIR),
    Row(
        "gather[batch and axis]",
        lambda tf, x, i: tf.gather(x, i, axis=2, batch_dims=1),
        [anything(2, 3, 4), index(4, 2, 2)],
        PAIR,
    ),
    Row(
        "compat.v1.batch_gather",
        lambda tf, x, i: tf.compat.v1.batch_gather(x, i),
        [anything(2, 4), index(4, 2, 3)],
        PAIR,
        unknown_shapes=False,
    ),
    Row("raw_ops.Gather", lambda tf, x, i: tf.raw_ops.Gather(params=x, indices=i), [anything(4, 3), index(4, 5)], PAIR),
    Row(
        "gather_nd",
        lambda tf, x, i: tf.gather_nd(x, i),
        [anything(4, 3), values([[0, 1], [3, 2], [0, 1]], "int32")],
        EVERYTHING,
        {
            "rows": [None, values([[1], [3]], "int32")],
            "one": [None, values([2, 0], "int64")],
            "nothing": [None, values(np.zeros((2, 0), np.int32), "int32")],
        },
        constant_variants=("one", "nothing"),
        errors=[
            Bad(
                lambda tf, x, i: tf.gather_nd(x, i),
                [[1.0, 2.0], [[3]]],
                ("InvalidArgumentError", "does not index into param shape [2]"),
                ("InvalidArgumentError", "does not index into param shape [2]"),
            )
        ],
    ),
    Row(
        "gather_nd[batch]",
        lambda tf, x, i: tf.gather_nd(x, i, batch_dims=1),
        [anything(2, 4, 3), values([[[1], [3]], [[0], [0]]], "int32")],
        PAIR,
        unknown_shapes=False,
    ),
    Row(
        "scatter_nd",
        lambda tf, i, u: tf.scatter_nd(i, u, [4, 3]),
        [values([[0], [2], [0]], "int32"), anything(3, 3)],
        (*NUMBERS, "bool"),
        {"cells": [values([[0, 1], [3, 2]], "int64"), (2,)]},
    ),
    Row(
        "tensor_scatter_nd_update",
        public("tensor_scatter_nd_update"),
        [anything(4, 3), values([[0], [2]], "int32"), anything(2, 3)],
        EVERYTHING,
        {"cells": [None, values([[0, 1], [3, 2]], "int64"), (2,)]},
    ),
    Row(
        "tensor_scatter_nd_add",
        public("tensor_scatter_nd_add"),
        [anything(4, 3), values([[0], [2], [0]], "int32"), anything(3, 3)],
        NUMBERS,
    ),
    Row(
        "tensor_scatter_nd_sub",
        public("tensor_scatter_nd_sub"),
        [anything(4, 3), values([[0], [2], [0]], "int32"), anything(3, 3)],
        NUMBERS,
    ),
    Row(
        "tensor_scatter_nd_max",
        public("tensor_scatter_nd_max"),
        [anything(4, 3), values([[0], [2], [1]], "int32"), anything(3, 3)],
        REALS,
    ),
    Row(
        "tensor_scatter_nd_min",
        public("tensor_scatter_nd_min"),
        [anything(4, 3), values([[0], [2], [1]], "int32"), anything(3, 3)],
        REALS,
    ),
    Row(
        "raw_ops.ScatterNdNonAliasingAdd",
        lambda tf, x, u: tf.raw_ops.ScatterNdNonAliasingAdd(input=x, indices=[[0], [2], [0]], updates=u),
        [anything(4, 3), anything(3, 3)],
        ("float32", "float64", "int32"),
    ),
    Row(
        "dynamic_partition",
        lambda tf, x, p: tf.dynamic_partition(x, p, 3),
        [anything(6, 2), index(3, 6)],
        FEW,
        {"vector": [(6,), None]},
    ),
    Row(
        "dynamic_stitch",
        lambda tf, a, b, x, y: tf.dynamic_stitch([a, b], [x, y]),
        [values([4, 0, 1], "int32"), values([3, 2], "int32"), anything(3, 2), anything(2, 2)],
        FEW,
    ),
    Row(
        "raw_ops.ParallelDynamicStitch",
        lambda tf, x, y: tf.raw_ops.ParallelDynamicStitch(indices=[[4, 0, 1], [3, 2]], data=[x, y]),
        [anything(3, 2), anything(2, 2)],
        PAIR,
    ),
    Row(
        "nn.embedding_lookup",
        lambda tf, x, i: tf.nn.embedding_lookup(x, i),
        [anything(5, 3), index(5, 2, 2)],
        PAIR,
        indexed_slices=(0,),
    ),
    Row(
        "nn.embedding_lookup[max_norm]",
        lambda tf, x, i: tf.nn.embedding_lookup(x, i, max_norm=1.0),
        [anything(5, 3), index(5, 4)],
        PAIR,
    ),
    Row(
        "compat.v1.nn.embedding_lookup[two]",
        lambda tf, x, y, i: tf.compat.v1.nn.embedding_lookup([x, y], i, partition_strategy="mod"),
        [anything(3, 2), anything(2, 2), values([0, 4, 1, 3], "int32")],
        PAIR,
    ),
    Row(
        "raw_ops.ResourceGather[constant]",
        lambda tf, x, i: tf.gather(tf.identity(x), i, axis=0),
        [anything(5, 3), index(5, 3)],
        PAIR,
    ),
    Row(
        "unravel_index",
        lambda tf, i: tf.unravel_index(i, [2, 3, 4]),
        [index(24, 5)],
        ("int32",),
        {"scalar": [()]},
        wrt=(),
    ),
]

PADS = [
    Row(
        "pad",
        lambda tf, x: tf.pad(x, [[1, 2], [0, 1]]),
        [anything(2, 3)],
        EVERYTHING,
        {"empty": [(0, 3)]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x: tf.pad(x, [[1, 2], [0, 1]]),
                [[1.0]],
                ("InvalidArgumentError", "The first dimension of paddings must be the rank of inputs"),
                ("ValueError", "must be rank"),
            )
        ],
    ),
    Row(
        "pad[value]",
        lambda tf, x: tf.pad(x, [[0, 1], [2, 0]], constant_values=7),
        [anything(2, 3)],
        ("float32", "float64", "int32", "uint8"),
    ),
    Row(
        "pad[reflect]",
        lambda tf, x: tf.pad(x, [[1, 1], [2, 0]], "REFLECT"),
        [anything(3, 4)],
        (*NUMBERS, "bool"),
        errors=[
            Bad(
                lambda tf, x: tf.pad(x, [[2, 2]], "REFLECT"),
                [[1.0, 2.0]],
                ("InvalidArgumentError", "paddings must be less than the dimension size"),
                ("Exception", ""),
            )
        ],
    ),
    Row("pad[symmetric]", lambda tf, x: tf.pad(x, [[3, 1], [2, 4]], mode="SYMMETRIC"), [anything(3, 4)], NUMBERS),
    Row(
        "pad[tensor]",
        lambda tf, x, p: tf.pad(x, p),
        [anything(2, 3), values([[1, 0], [0, 2]], "int32")],
        PAIR,
        {"long": [None, values([[1, 0], [0, 2]], "int64")]},
    ),
    Row(
        "pad[value tensor]",
        lambda tf, x, c: tf.pad(x, [[1, 1]], constant_values=c),
        [anything(3), anything()],
        PAIR,
        wrt=(0,),
    ),
    Row(
        "raw_ops.MirrorPadGrad",
        lambda tf, x: tf.raw_ops.MirrorPadGrad(input=x, paddings=[[1, 1], [2, 0]], mode="REFLECT"),
        [anything(5, 6)],
        PAIR,
    ),
    Row(
        "roll",
        lambda tf, x: [tf.roll(x, 1, 0), tf.roll(x, [-1, 2], [0, 1]), tf.roll(x, [1, 1], [1, 1])],
        [anything(3, 4)],
        EVERYTHING,
    ),
    Row(
        "reverse",
        lambda tf, x: [tf.reverse(x, [0]), tf.reverse(x, [-1, 0])],
        [anything(3, 4)],
        EVERYTHING,
        {"empty": [(0, 2)]},
        gradient_dtypes=("float64", "complex128"),
    ),
    Row(
        "raw_ops.Reverse",
        lambda tf, x: tf.raw_ops.Reverse(tensor=x, dims=[True, False]),
        [anything(3, 4)],
        PAIR,
    ),
    Row(
        "reverse_sequence",
        lambda tf, x, n: tf.reverse_sequence(x, n, seq_axis=1, batch_axis=0),
        [anything(3, 4, 2), values([2, 4, 0], "int32")],
        (*FEW, "int64"),
    ),
    Row(
        "space_to_batch",
        lambda tf, x: tf.space_to_batch(x, [2, 2], [[0, 1], [1, 1]]),
        [anything(2, 3, 4, 1)],
        ("float32", "float64", "int32"),
    ),
    Row(
        "batch_to_space",
        lambda tf, x: tf.batch_to_space(x, [2, 2], [[0, 1], [1, 0]]),
        [anything(8, 2, 3, 1)],
        ("float32", "float64", "int32"),
    ),
    Row("space_to_batch_nd", lambda tf, x: tf.space_to_batch(x, [3], [[1, 1]]), [anything(2, 4, 3)], PAIR),
    Row(
        "raw_ops.SpaceToBatch",
        lambda tf, x: tf.raw_ops.SpaceToBatch(input=x, paddings=[[0, 0], [1, 1]], block_size=2),
        [anything(1, 2, 4, 2)],
        PAIR,
    ),
    Row(
        "raw_ops.BatchToSpace",
        lambda tf, x: tf.raw_ops.BatchToSpace(input=x, crops=[[0, 0], [1, 1]], block_size=2),
        [anything(4, 1, 3, 2)],
        PAIR,
    ),
    Row(
        "nn.space_to_depth",
        lambda tf, x: tf.nn.space_to_depth(x, 2),
        [anything(1, 4, 2, 3)],
        ("float32", "float64", "int32", "uint8"),
    ),
    Row(
        "nn.depth_to_space",
        lambda tf, x: tf.nn.depth_to_space(x, 2),
        [anything(2, 2, 1, 8)],
        ("float32", "float64", "int32", "uint8"),
    ),
    Row(
        "image.extract_patches",
        lambda tf, x: tf.image.extract_patches(
            x, sizes=[1, 2, 3, 1], strides=[1, 2, 1, 1], rates=[1, 1, 1, 1], padding="VALID"
        ),
        [anything(1, 5, 6, 2)],
        ("float32", "float64"),
    ),
    Row(
        "image.extract_patches[same]",
        lambda tf, x: tf.image.extract_patches(
            x, sizes=[1, 2, 2, 1], strides=[1, 2, 2, 1], rates=[1, 2, 1, 1], padding="SAME"
        ),
        [anything(1, 5, 5, 1)],
        ("float32", "float64"),
    ),
]

CHOICES = [
    Row(
        "where[indices]",
        lambda tf, c: tf.where(c),
        [boolean(3, 4)],
        ("bool", "int32", "float32"),
        {"vector": [(5,)], "empty": [(0, 2)]},
        wrt=(),
    ),
    Row(
        "one_hot",
        lambda tf, i: [
            tf.one_hot(i, 4),
            tf.one_hot(i, 4, axis=0),
            tf.one_hot(i, 3, on_value=5, off_value=-1),
            tf.one_hot(i, 4, on_value=True, off_value=False),
            tf.one_hot(i, 4, on_value=1.5, off_value=0.5, axis=1),
        ],
        [values([[0, 3], [-1, 2]])],
        ("int32", "int64", "uint8", "int8"),
        wrt=(),
        smoke=True,
    ),
    Row(
        "one_hot[scalar]",
        lambda tf, i: tf.one_hot(i, 3),
        [values(1)],
        ("int32", "int64"),
        {"empty": [values(np.zeros((0,), np.int32))]},
        wrt=(),
    ),
    Row(
        "one_hot[values]",
        lambda tf, i, on, off: tf.one_hot(i, 3, on, off),
        [index(4, 3), anything(), anything()],
        ("float32", "float64", "int32", "complex64"),
        wrt=(),
    ),
    Row(
        "sequence_mask",
        lambda tf, n: [tf.sequence_mask(n, 5), tf.sequence_mask(n), tf.sequence_mask(n, 4, dtype=tf.float32)],
        [values([1, 3, 0])],
        ("int32", "int64"),
        {"matrix": [values([[1, 2], [3, 0]])]},
        wrt=(),
    ),
    Row(
        "math.top_k",
        lambda tf, x: list(tf.math.top_k(x, 3)),
        [distinct(4, 5)],
        REALS,
        {"vector": [(6,)], "cube": [(2, 2, 4)]},
        smoke=True,
        errors=[
            Bad(
                lambda tf, x: tf.math.top_k(x, 3),
                [[1.0, 2.0]],
                ("InvalidArgumentError", "input must have at least k columns. Had 2, needed 3"),
                ("ValueError", "input must have last dimension >= k = 3 but is 2"),
            )
        ],
    ),
    Row(
        "math.top_k[ties]",
        lambda tf, x: [*tf.math.top_k(x, 4), *tf.math.top_k(x, 1)],
        [small(3, 6)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "nn.top_k[unsorted]",
        lambda tf, x: tf.sort(tf.nn.top_k(x, 2, sorted=False).values),
        [distinct(3, 4)],
        ("float32",),
        wrt=(),
    ),
    Row(
        "raw_ops.NthElement",
        lambda tf, x: [tf.raw_ops.NthElement(input=x, n=1), tf.raw_ops.NthElement(input=x, n=0, reverse=True)],
        [distinct(3, 4)],
        SINGLE,
    ),
    Row(
        "sort",
        lambda tf, x: [tf.sort(x), tf.sort(x, axis=0), tf.sort(x, direction="DESCENDING")],
        [distinct(4, 5)],
        ("float32", "float64", "int32", "int64", "uint8", "int8", "bfloat16"),
        {"vector": [(1,)]},
    ),
    Row(
        "argsort",
        lambda tf, x: [tf.argsort(x), tf.argsort(x, axis=0), tf.argsort(x, direction="DESCENDING")],
        [distinct(4, 5)],
        ("float32", "float64", "int32", "int64"),
        wrt=(),
    ),
    Row(
        "argsort[stable]",
        lambda tf, x: [tf.argsort(x, stable=True), tf.argsort(x, direction="DESCENDING", stable=True)],
        [small(3, 8)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "unique", lambda tf, x: list(tf.unique(x)), [small(9)], (*EVERYTHING[:-2], "string"), {"empty": [(0,)]}, wrt=()
    ),
    Row(
        "unique[long]",
        lambda tf, x: [*tf.unique(x, out_idx=tf.int64), *tf.unique_with_counts(x)],
        [small(9)],
        ("int32", "float32", "string"),
        wrt=(),
    ),
    Row(
        "raw_ops.UniqueV2",
        lambda tf, x: [*tf.raw_ops.UniqueV2(x=x, axis=[0]), *tf.raw_ops.UniqueWithCountsV2(x=x, axis=[1])],
        [values([[1, 0, 1], [2, 0, 2], [1, 0, 1]])],
        ("int32", "float32"),
        wrt=(),
    ),
    Row(
        "searchsorted",
        lambda tf, x, v: [
            tf.searchsorted(tf.sort(x), v),
            tf.searchsorted(tf.sort(x), v, side="right", out_type=tf.int64),
        ],
        [small(5), small(4)],
        ("float32", "float64", "int32", "int64"),
        {"batch": [(2, 5), (2, 3)]},
        wrt=(),
    ),
    Row(
        "raw_ops.LowerBound",
        lambda tf, x, v: [
            tf.raw_ops.LowerBound(sorted_inputs=tf.sort(x), values=v),
            tf.raw_ops.UpperBound(sorted_inputs=tf.sort(x), values=v),
        ],
        [small(2, 5), small(2, 3)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "compat.v1.setdiff1d",
        lambda tf, x, y: list(tf.compat.v1.setdiff1d(x, y)),
        [small(8), small(4)],
        ("int32", "float32", "string"),
        wrt=(),
    ),
]

DIAGONALS = [
    Row(
        "linalg.diag",
        lambda tf, x: [tf.linalg.diag(x), tf.linalg.diag(x, k=1), tf.linalg.diag(x, k=-2)],
        [anything(2, 3)],
        (*NUMBERS, "bool"),
        {"vector": [(3,)]},
    ),
    Row(
        "linalg.diag[padding]",
        lambda tf, x: tf.linalg.diag(x, padding_value=3, num_rows=3, num_cols=5),
        [anything(3)],
        ("float32", "float64", "int32"),
    ),
    Row(
        "linalg.diag[band]",
        lambda tf, x: [tf.linalg.diag(x, k=(-1, 1)), tf.linalg.diag(x, k=(-1, 1), align="LEFT_LEFT")],
        [anything(3, 4)],
        PAIR,
    ),
    Row(
        "linalg.diag_part",
        lambda tf, x: [tf.linalg.diag_part(x), tf.linalg.diag_part(x, k=1), tf.linalg.diag_part(x, k=-1)],
        [anything(2, 3, 4)],
        (*NUMBERS, "bool"),
        {"matrix": [(4, 3)]},
    ),
    Row(
        "linalg.diag_part[band]",
        lambda tf, x: [
            tf.linalg.diag_part(x, k=(-1, 1)),
            tf.linalg.diag_part(x, k=(0, 2), padding_value=9, align="LEFT_RIGHT"),
        ],
        [anything(4, 3)],
        PAIR,
    ),
    Row(
        "linalg.set_diag",
        lambda tf, x, d: tf.linalg.set_diag(x, d),
        [anything(2, 3, 4), anything(2, 3)],
        (*NUMBERS, "bool"),
    ),
    Row("linalg.set_diag[k]", lambda tf, x, d: tf.linalg.set_diag(x, d, k=1), [anything(3, 4), anything(3)], PAIR),
    Row(
        "linalg.set_diag[band]",
        lambda tf, x, d: tf.linalg.set_diag(x, d, k=(-1, 0)),
        [anything(3, 4), anything(2, 3)],
        PAIR,
    ),
    Row(
        "linalg.band_part",
        lambda tf, x: [tf.linalg.band_part(x, 1, 0), tf.linalg.band_part(x, -1, 1), tf.linalg.band_part(x, 0, -1)],
        [anything(2, 4, 3)],
        (*NUMBERS, "bool"),
        {"matrix": [(3, 3)]},
    ),
    Row(
        "linalg.tensor_diag",
        lambda tf, x: tf.linalg.tensor_diag(x),
        [anything(2, 2)],
        ("float32", "float64", "int32", "complex64"),
        {"vector": [(3,)]},
    ),
    Row(
        "linalg.tensor_diag_part",
        lambda tf, x: tf.linalg.tensor_diag_part(x),
        [anything(2, 3, 2, 3)],
        ("float32", "float64", "int32", "complex64"),
        {"matrix": [(3, 3)]},
    ),
    Row("raw_ops.MatrixDiag", lambda tf, x: tf.raw_ops.MatrixDiag(diagonal=x), [anything(2, 3)], PAIR),
    Row("raw_ops.MatrixDiagPart", lambda tf, x: tf.raw_ops.MatrixDiagPart(input=x), [anything(2, 3, 4)], PAIR),
    Row(
        "raw_ops.MatrixSetDiag",
        lambda tf, x, d: tf.raw_ops.MatrixSetDiag(input=x, diagonal=d),
        [anything(2, 3, 4), anything(2, 3)],
        PAIR,
    ),
    Row(
        "raw_ops.MatrixDiagV2",
        lambda tf, x: tf.raw_ops.MatrixDiagV2(
            diagonal=x, k=1, num_rows=-1, num_cols=-1, padding_value=tf.zeros([], x.dtype)
        ),
        [anything(2, 3)],
        PAIR,
    ),
    Row(
        "raw_ops.MatrixDiagPartV2",
        lambda tf, x: tf.raw_ops.MatrixDiagPartV2(input=x, k=1, padding_value=tf.zeros([], x.dtype)),
        [anything(2, 3, 4)],
        PAIR,
    ),
    Row(
        "raw_ops.MatrixSetDiagV2",
        lambda tf, x, d: tf.raw_ops.MatrixSetDiagV2(input=x, diagonal=d, k=1),
        [anything(2, 3, 4), anything(2, 3)],
        PAIR,
    ),
    Row(
        "linalg.trace",
        lambda tf, x: tf.linalg.trace(x),
        [anything(2, 3, 4)],
        ("float32", "float64", "int32", "complex128"),
        {"matrix": [(3, 3)]},
    ),
    Row(
        "eye",
        lambda tf, n: [
            tf.eye(n),
            tf.eye(3, 2, dtype=tf.int32),
            tf.eye(2, batch_shape=[3]),
            tf.eye(n, 4, dtype=tf.complex64),
        ],
        [values(3)],
        ("int32",),
        wrt=(),
    ),
]

BUILDERS = [
    Row(
        "range",
        lambda tf, a, b, d: [tf.range(a), tf.range(a, b), tf.range(a, b, d), tf.range(b, a, -d)],
        [values(2), values(11), values(3)],
        ("int32", "int64", "float32", "float64", "bfloat16", "float16"),
        wrt=(),
    ),
    Row(
        "range[constant]",
        lambda tf: [
            tf.range(5),
            tf.range(3, 18, 3),
            tf.range(3, 1, -0.5),
            tf.range(0, dtype=tf.int64),
            tf.range(4.0),
            tf.range(1, 4, dtype=tf.float64),
        ],
        [],
        ("float32",),
        wrt=(),
        errors=[
            Bad(
                lambda tf: tf.range(0, 5, 0),
                [],
                ("InvalidArgumentError", "Requires delta != 0"),
                ("ValueError", "Requires delta != 0"),
            ),
            Bad(
                lambda tf: tf.range(5, 0, 1),
                [],
                ("InvalidArgumentError", "Requires start <= limit when delta > 0"),
                ("ValueError", "Requires start <= limit when delta > 0"),
            ),
        ],
    ),
    Row(
        "linspace",
        lambda tf, a, b: [tf.linspace(a, b, 5), tf.linspace(a, b, 1), tf.linspace(b, a, 4)],
        [anything(), anything()],
        FLOATS,
        wrt=(),
    ),
    Row(
        "linspace[vectors]",
        lambda tf, a, b: [tf.linspace(a, b, 4), tf.linspace(a, b, 3, axis=-1)],
        [anything(2), anything(2)],
        SINGLE,
    ),
    Row(
        "raw_ops.LinSpace",
        lambda tf, a, b: tf.raw_ops.LinSpace(start=a, stop=b, num=4),
        [anything(), anything()],
        SINGLE,
        wrt=(),
    ),
    Row("fill", lambda tf, x: tf.fill([2, 3], x), [anything()], EVERYTHING, smoke=True),
    Row(
        "fill[tensor]",
        lambda tf, n, x: tf.fill(n, x),
        [values([2, 0, 3], "int32"), anything()],
        PAIR,
        {"scalar": [values([], "int32"), None], "long": [values([4], "int64"), None]},
    ),
    Row(
        "zeros",
        lambda tf: [
            tf.zeros([2, 3]),
            tf.zeros([], tf.int32),
            tf.ones([0, 2]),
            tf.ones([2], tf.bool),
            tf.zeros([2], tf.string),
            tf.ones([1], tf.complex64),
            tf.zeros(3),
            tf.ones((2, 1), "int64"),
        ],
        [],
        ("float32",),
        wrt=(),
    ),
    Row(
        "zeros[tensor]", lambda tf, n: [tf.zeros(n), tf.ones(n, tf.int32)], [values([2, 3])], ("int32", "int64"), wrt=()
    ),
    Row(
        "zeros_like[dtype]",
        lambda tf, x: [tf.zeros_like(x, dtype=tf.int32), tf.ones_like(x, dtype=tf.float64), tf.zeros_like(x, tf.bool)],
        [anything(2, 3)],
        ("float32", "int32", "bool"),
        wrt=(),
    ),
    Row(
        "constant",
        lambda tf: [
            tf.constant(1),
            tf.constant(1.5),
            tf.constant([1, 2]),
            tf.constant([[1.0], [2.0]]),
            tf.constant(True),
            tf.constant("text"),
            tf.constant(1j),
            tf.constant(3, shape=[2, 2]),
            tf.constant([1, 2, 3, 4], shape=[2, 2], dtype=tf.float64),
            tf.constant(np.arange(3)),
            tf.constant([]),
        ],
        [],
        ("float32",),
        wrt=(),
        errors=[
            Bad(
                lambda tf: tf.constant([[1, 2], [3]]),
                [],
                ("ValueError", "non-rectangular"),
                ("ValueError", ""),
            ),
            Bad(
                lambda tf: tf.constant([1.5, 2.5], dtype=tf.int32),
                [],
                ("TypeError", "Cannot convert [1.5, 2.5] to EagerTensor of dtype int32"),
                ("TypeError", "Expected int32, but got 1.5 of type 'float'"),
            ),
        ],
    ),
    Row(
        "convert_to_tensor",
        lambda tf, x: [
            tf.convert_to_tensor(x),
            tf.convert_to_tensor([x, x]),
            tf.convert_to_tensor([[1, 2]], dtype_hint=tf.float32),
            tf.convert_to_tensor([1, 2.5]),
        ],
        [anything()],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "required_space_to_batch_paddings",
        lambda tf, shape: list(tf.compat.v1.required_space_to_batch_paddings(shape, [2, 3])),
        [values([5, 7], "int32")],
        ("int32",),
        wrt=(),
    ),
    Row(
        "raw_ops.InvertPermutation",
        lambda tf, p: tf.raw_ops.InvertPermutation(x=p),
        [permutation(5)],
        ("int32",),
        wrt=(),
    ),
    Row(
        "raw_ops.OneHot",
        lambda tf, i: tf.raw_ops.OneHot(indices=i, depth=3, on_value=2.5, off_value=0.5, axis=0),
        [index(3, 4)],
        ("int32",),
        wrt=(),
    ),
    Row(
        "raw_ops.Empty",
        lambda tf: tf.raw_ops.Empty(shape=[2, 3], dtype=tf.float32, init=True),
        [],
        ("float32",),
        wrt=(),
    ),
    Row(
        "raw_ops.DataFormatVecPermute",
        lambda tf, x: [tf.raw_ops.DataFormatVecPermute(x=x), tf.raw_ops.DataFormatDimMap(x=[0, 3, 1])],
        [permutation(4)],
        ("int32",),
        wrt=(),
    ),
    Row("raw_ops.DeepCopy", lambda tf, x: tf.raw_ops.DeepCopy(x=x), [anything(2, 3)], ("float32", "int32"), wrt=()),
    *(
        Row(
            f"raw_ops.{kind}",
            lambda tf, x, v, kind=kind: getattr(tf.raw_ops, kind)(x=x + 0, i=[1, 2], v=v),
            [anything(4, 2), anything(2, 2)],
            ("float32", "int32"),
            wrt=(),
        )
        for kind in ("InplaceAdd", "InplaceSub", "InplaceUpdate")
    ),
]

QUANTISED = [
    Row(
        "raw_ops.FakeQuantWithMinMaxVarsPerChannel",
        lambda tf, x: tf.raw_ops.FakeQuantWithMinMaxVarsPerChannel(
            inputs=x, min=[-2.0, -1.0, 0.0], max=[2.5, 3.0, 0.0]
        ),
        [anything(4, 3)],
        ("float32",),
        gradient_dtypes=("float32",),
        orders=0,
    ),
    Row(
        "raw_ops.QuantizeAndDequantizeV2",
        lambda tf, x: [
            tf.raw_ops.QuantizeAndDequantizeV2(input=x, input_min=-1.5, input_max=1.0, range_given=True),
            tf.raw_ops.QuantizeAndDequantizeV2(input=x, input_min=0.0, input_max=0.0, num_bits=4, narrow_range=True),
            tf.raw_ops.QuantizeAndDequantizeV2(
                input=x, input_min=0.0, input_max=1.0, range_given=True, signed_input=False, round_mode="HALF_UP"
            ),
        ],
        [anything(3, 4)],
        ("float32",),
        gradient_dtypes=("float32",),
        orders=0,
        errors=[
            Bad(
                lambda tf, x: tf.raw_ops.QuantizeAndDequantizeV2(
                    input=x, input_min=2.0, input_max=1.0, range_given=True
                ),
                [[1.0]],
                ("InvalidArgumentError", "Invalid range: input_min 2 > input_max 1"),
                ("InvalidArgumentError", "Invalid range: input_min 2 > input_max 1"),
            )
        ],
    ),
    Row(
        "raw_ops.QuantizeAndDequantizeV3",
        lambda tf, x: tf.raw_ops.QuantizeAndDequantizeV3(input=x, input_min=-1.5, input_max=1.0, num_bits=5),
        [anything(3, 4)],
        ("float32",),
        gradient_dtypes=("float32",),
        orders=0,
    ),
    *(
        Row(
            f"quantization.quantize[{mode}]",
            lambda tf, x, mode=mode, rounding=rounding: [
                tf.quantization.dequantize(*tf.quantization.quantize(x, -1.5, 1.2, kind, mode, rounding), mode)
                for kind in (tf.quint8, tf.qint8, tf.quint16)
            ],
            [anything(3, 4)],
            ("float32",),
            wrt=(),
        )
        for mode, rounding in (
            ("MIN_COMBINED", "HALF_AWAY_FROM_ZERO"),
            ("MIN_FIRST", "HALF_AWAY_FROM_ZERO"),
            ("SCALED", "HALF_TO_EVEN"),
        )
    ),
]

COUNTS = [
    Row(
        "raw_ops.Bincount",
        lambda tf, x, w: tf.raw_ops.Bincount(arr=x, size=4, weights=w),
        [index(6, 9), anything(9)],
        ("float32", "int32"),
        wrt=(),
        errors=[
            Bad(
                lambda tf, x: tf.raw_ops.Bincount(arr=tf.cast(x, tf.int32), size=4, weights=x),
                [[1.0, -1.0]],
                ("InvalidArgumentError", "Input arr must be non-negative!"),
                ("InvalidArgumentError", "Input arr must be non-negative!"),
            )
        ],
    ),
    Row(
        "raw_ops.CheckNumericsV2",
        lambda tf, x: tf.raw_ops.CheckNumericsV2(tensor=x, message="bad"),
        [anything(2, 3)],
        SINGLE,
        errors=[
            Bad(
                lambda tf, x: tf.raw_ops.CheckNumericsV2(tensor=1 / x, message="bad"),
                [[0.0, 1.0]],
                ("InvalidArgumentError", "bad : Tensor had +Inf values"),
                ("InvalidArgumentError", "bad : Tensor had +Inf values"),
            )
        ],
    ),
    Row(
        "gather_nd[variable]",
        lambda tf, i: _gradient_of_gathered(tf, i),
        [values([[0, 1], [2, 0]], "int32")],
        ("int32",),
        wrt=(),
        unknown_shapes=False,
        function=False,
        initialize=True,
    ),
]


def _gradient_of_gathered(tf: Any, indices: Any) -> Any:
    """Elements of a resource variable, and how the variable is reached from them."""
    variable = tf.Variable(np.arange(12, dtype=np.float32).reshape(3, 4), use_resource=True)
    with tf.GradientTape() as tape:
        taken = tf.gather_nd(variable, indices)
        squares = taken * taken
    return [taken, tape.gradient(squares, variable)]


ROWS = [*SHAPES, *SLICES, *JOINS, *GATHERS, *PADS, *CHOICES, *DIAGONALS, *BUILDERS, *QUANTISED, *COUNTS]
