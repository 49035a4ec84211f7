"""Products of matrices, and of stacks of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, OpDef, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.broadcasting import sum_to_shape_of
from rillet.ops.cast import cast
from rillet.ops.elementwise import conj
from rillet.ops.precision import wide
from rillet.ops.scope import scope
from rillet.ops.shape import reshape, shape

_FLAGS = {
    "MatMul": ("transpose_a", "transpose_b"),
    "SparseMatMul": ("transpose_a", "transpose_b"),
    "BatchMatMul": ("adj_x", "adj_y"),
    "BatchMatMulV2": ("adj_x", "adj_y"),
    "BatchMatMulV3": ("adj_x", "adj_y"),
}
Flags = tuple[bool, bool]


# ---- kernels --------------------------------------------------------------------------------------------------------


def _matmul_kernel(a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError("matrices have two dimensions")
    a, b = wide(a), wide(b)
    return np.matmul(a.T if transpose_a else a, b.T if transpose_b else b)


def adjoint_of(matrix: Any) -> Any:
    """The conjugate transpose of an array of matrices."""
    turned = np.swapaxes(matrix, -1, -2)
    return np.conj(turned) if turned.dtype.kind == "c" else turned


def _batch_kernel(x: Any, y: Any, *, adj_x: bool, adj_y: bool) -> Any:
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError("matrices have two dimensions")
    x, y = wide(x), wide(y)
    return np.matmul(adjoint_of(x) if adj_x else x, adjoint_of(y) if adj_y else y)


def _equal_batches_kernel(x: Any, y: Any, *, adj_x: bool, adj_y: bool) -> Any:
    if x.shape[:-2] != y.shape[:-2]:
        raise ValueError("the batches differ")
    return _batch_kernel(x, y, adj_x=adj_x, adj_y=adj_y)


def _mixed_kernel(x: Any, y: Any, *, adj_x: bool, adj_y: bool, Tout: dtypes.DType) -> Any:
    wider = wide(np.zeros((), Tout.numpy_dtype)).dtype
    return _batch_kernel(x.astype(wider), y.astype(wider), adj_x=adj_x, adj_y=adj_y)


def _sparse_kernel(a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    return _matmul_kernel(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


# ---- static inference -----------------------------------------------------------------------------------------------


def _matmul_shape(op: Operation) -> TensorShape:
    a, b = op.inputs[0].shape, op.inputs[1].shape
    for index, found in enumerate((a, b)):
        if found.rank not in (None, 2):
            raise _wrong_rank(op, index)
    rows, columns = _outer_sizes(op, a, b)
    return TensorShape([rows, columns])


def _wrong_rank(op: Operation, index: int) -> ShapeError:
    a, b = op.inputs[0].shape, op.inputs[1].shape
    rank = op.inputs[index].shape.rank
    if a.rank == b.rank:
        runtime = f"In[0] and In[1] ndims must be == 2: {rank}"
    else:
        runtime = f"In[0] and In[1] has different ndims: {format_shape(a.dimensions)} vs. {format_shape(b.dimensions)}"
    static = f"Shape must be rank 2 but is rank {rank} for '{op.type}' with input shapes: {_both(op)}."
    return ShapeError(static, runtime, {index: range(rank or 0)}, _VECTOR_HINT if rank == 1 else None)


_VECTOR_HINT = "tf.linalg.matvec for a matrix times a vector; tf.expand_dims makes a matrix of a vector"


def _both(op: Operation) -> str:
    return ", ".join(format_shape(tensor.shape.dimensions) for tensor in op.inputs)


def _outer_sizes(op: Operation, a: TensorShape, b: TensorShape) -> tuple[int | None, int | None]:
    """Rows and columns of the product. ShapeError when the inner sizes differ."""
    first, second = (op.attrs[flag] for flag in _FLAGS[op.type])
    rows, inner = _oriented(a, first)
    other, columns = _oriented(b, second)
    if inner is not None and other is not None and inner != other:
        raise ShapeError(
            f"Dimensions must be equal, but are {inner} and {other} for '{op.type}' with input shapes: {_both(op)}.",
            f"Matrix size-incompatible: In[0]: {format_shape(a.dimensions)}, In[1]: {format_shape(b.dimensions)}",
            {0: [-2 if first else -1], 1: [-1 if second else -2]},
            _orientation_hint(op, (rows, inner), (other, columns)),
        )
    return rows, columns


def _oriented(matrix: TensorShape, is_turned: bool) -> tuple[int | None, int | None]:
    if matrix.dimensions is None:
        return None, None
    rows, columns = matrix.dimensions[-2:]
    return (columns, rows) if is_turned else (rows, columns)


def _orientation_hint(op: Operation, a: tuple[Any, Any], b: tuple[Any, Any]) -> str | None:
    """Which argument of tf.matmul makes the product possible, if one does."""
    first, second = (op.attrs[flag] for flag in _FLAGS[op.type])
    if a[1] == b[1]:
        return f"transpose_b={not second}"
    if a[0] == b[0]:
        return f"transpose_a={not first}"
    if a[0] == b[1]:
        return "tf.matmul(b, a): the other order" if not (first or second) else None
    return None


def _batch_shape(op: Operation) -> TensorShape:
    x, y = op.inputs[0].shape, op.inputs[1].shape
    for index, found in enumerate((x, y)):
        if found.rank is not None and found.rank < 2:
            raise ShapeError(
                f"Shape must be at least rank 2 but is rank {found.rank} for '{op.type}' with input shapes: {_both(op)}.",
                f"In[{index}] ndims must be >= 2: {found.rank}",
                {index: range(found.rank)},
                _VECTOR_HINT if found.rank == 1 else None,
            )
    sizes = _outer_sizes(op, x, y)
    batch = _broadcast_batch(op, x, y)
    return UNKNOWN if batch is None else TensorShape([*batch, *sizes])


def _broadcast_batch(op: Operation, x: TensorShape, y: TensorShape) -> list[int | None] | None:
    if x.dimensions is None or y.dimensions is None:
        return None
    length = max(len(x.dimensions), len(y.dimensions)) - 2
    a = (1,) * (length + 2 - len(x.dimensions)) + x.dimensions[:-2]
    b = (1,) * (length + 2 - len(y.dimensions)) + y.dimensions[:-2]
    result: list[int | None] = []
    for axis, (left, right) in enumerate(zip(a, b)):
        if left == right or right == 1:
            result.append(left)
        elif left == 1:
            result.append(right)
        elif left is None or right is None:
            result.append(left or right)
        else:
            raise _different_batches(op, axis - length - 2, left, right)
    return result


def _different_batches(op: Operation, axis: int, left: int, right: int) -> ShapeError:
    x, y = (format_shape(tensor.shape.dimensions) for tensor in op.inputs)
    return ShapeError(
        f"Dimensions must be equal, but are {left} and {right} for '{op.type}' with input shapes: {x}, {y}.",
        f"In[0] and In[1] must have compatible batch dimensions: {x} vs. {y}",
        {0: [axis], 1: [axis]},
    )


def _equal_batches_shape(op: Operation) -> TensorShape:
    x, y = op.inputs[0].shape, op.inputs[1].shape
    result = _batch_shape(op)
    if x.dimensions is None or y.dimensions is None:
        return result
    if len(x.dimensions) != len(y.dimensions) or not x[:-2].is_compatible_with(y[:-2]):
        batches = f"{format_shape(x.dimensions[:-2])} and {format_shape(y.dimensions[:-2])}"
        raise ShapeError(
            f"Dimensions of both batches must be equal for '{op.type}'. Shapes are {batches}.",
            f"In[0].dim(0) and In[1].dim(0) must be the same: {_both(op).replace(', ', ' vs ')}",
            {0: range(len(x.dimensions) - 2), 1: range(len(y.dimensions) - 2)},
        )
    return TensorShape([*x[:-2].merge_with(y[:-2]), *result[-2:]])


# ---- gradients ------------------------------------------------------------------------------------------------------


def _products(x: Any, y: Any, dz: Any, flags: Flags) -> list[tuple[Any, Any, bool, bool]]:
    """The gradients of z = x y as products again, where `flags` say whether x and y are turned."""
    if flags == (False, False):
        return [(dz, y, False, True), (x, dz, True, False)]
    if flags == (False, True):
        return [(dz, y, False, False), (dz, x, True, False)]
    if flags == (True, False):
        return [(y, dz, False, True), (x, dz, False, False)]
    return [(y, dz, True, True), (dz, x, True, True)]


def _matmul_gradient(op: Operation, dy: Any) -> list[Any]:
    flags = op.attrs["transpose_a"], op.attrs["transpose_b"]
    return [_product(*product) for product in _products(conj(op.inputs[0]), conj(op.inputs[1]), dy, flags)]


def _product(a: Any, b: Any, transpose_a: bool, transpose_b: bool, name: str | None = None) -> Any:
    return apply_op(MATMUL, (a, b), {"transpose_a": transpose_a, "transpose_b": transpose_b}, name)


def _sparse_gradient(op: Operation, dy: Any) -> list[Any]:
    flags = op.attrs["transpose_a"], op.attrs["transpose_b"]
    gradients = []
    for source, (a, b, turn_a, turn_b) in zip(op.inputs, _products(*op.inputs, dy, flags)):
        attrs = {"transpose_a": turn_a, "transpose_b": turn_b}
        gradients.append(cast(apply_op(SPARSE_MATMUL, (a, b), attrs, "MatMul"), source.dtype))
    return gradients


def _same_batch_gradient(op: Operation, dz: Any) -> list[Any]:
    return _batch_products(op.definition, *op.inputs, dz, (op.attrs["adj_x"], op.attrs["adj_y"]))


def _batch_products(definition: OpDef, x: Any, y: Any, dz: Any, flags: Flags) -> list[Any]:
    return [
        apply_op(definition, (a, b), {"adj_x": adj_a, "adj_y": adj_b}, "MatMul")
        for a, b, adj_a, adj_b in _products(x, y, dz, flags)
    ]


def _broadcast_batch_gradient(op: Operation, dz: Any) -> list[Any]:
    gradients = _batch_products(BATCH_MATMUL_V2, *op.inputs, dz, (op.attrs["adj_x"], op.attrs["adj_y"]))
    return _sum_batches(gradients, *op.inputs)


def _mixed_gradient(op: Operation, dz: Any) -> list[Any]:
    x, y = (cast(tensor, dz.dtype) for tensor in op.inputs)
    gradients = _batch_products(BATCH_MATMUL_V2, x, y, dz, (op.attrs["adj_x"], op.attrs["adj_y"]))
    gradients = _sum_batches(gradients, x, y)
    return [cast(gradient, source.dtype) for gradient, source in zip(gradients, op.inputs)]


def _sum_batches(gradients: list[Any], x: Any, y: Any) -> list[Any]:
    """Undoes the broadcasting of batches."""
    batch_x, batch_y = x.shape[:-2], y.shape[:-2]
    if (
        batch_x.is_fully_defined()
        and batch_y.is_fully_defined()
        and batch_x == batch_y
        and x.shape.rank
        and y.shape.rank
    ):
        return gradients
    if all(isinstance(tensor, EagerTensor) for tensor in (x, y, *gradients)):
        return [sum_to_shape_of(gradient, source) for gradient, source in zip(gradients, (x, y))]
    shapes = [shape(x), shape(y)]
    axes = apply_op(REGISTRY["BroadcastGradientArgs"], (shapes[0][:-2], shapes[1][:-2]))
    return [
        reshape(apply_op(REGISTRY["Sum"], (gradient, along)), target)
        for gradient, along, target in zip(gradients, axes, shapes)
    ]


# ---- the ops --------------------------------------------------------------------------------------------------------

MATMUL = define(
    "MatMul", "a: T, b: T -> product: T",
    "transpose_a: bool = False, transpose_b: bool = False, "
    "T: {bfloat16, float16, float32, float64, int32, int64, uint8, uint16, uint32, uint64, complex64, complex128}, "
    "grad_a: bool = False, grad_b: bool = False",
    reference=_matmul_kernel, shape=_matmul_shape, gradient=_matmul_gradient,
)  # fmt: skip
SPARSE_MATMUL = define(
    "SparseMatMul", "a: Ta, b: Tb -> product: float32",
    "transpose_a: bool = False, transpose_b: bool = False, a_is_sparse: bool = False, b_is_sparse: bool = False, "
    "Ta: {float32, bfloat16} = float32, Tb: {float32, bfloat16} = float32",
    reference=_sparse_kernel, shape=_matmul_shape, gradient=_sparse_gradient,
)  # fmt: skip
BATCH_MATMUL = define(
    "BatchMatMul", "x: T, y: T -> output: T",
    "T: {bfloat16, float16, float32, float64, int32, int64, complex64, complex128}, adj_x: bool = False, "
    "adj_y: bool = False, grad_x: bool = False, grad_y: bool = False",
    reference=_equal_batches_kernel, shape=_equal_batches_shape, gradient=_same_batch_gradient,
)  # fmt: skip
BATCH_MATMUL_V2 = define(
    "BatchMatMulV2", "x: T, y: T -> output: T",
    "T: {bfloat16, float16, float32, float64, int16, int32, int64, uint8, uint16, uint32, uint64, complex64, complex128}, "
    "adj_x: bool = False, adj_y: bool = False, grad_x: bool = False, grad_y: bool = False",
    reference=_batch_kernel, shape=_batch_shape, gradient=_broadcast_batch_gradient,
)  # fmt: skip
BATCH_MATMUL_V3 = define(
    "BatchMatMulV3", "x: Ta, y: Tb -> output: Tout",
    "Ta: {bfloat16, float16, float32, float64, uint8, int8, int16, int32, int64, complex64, complex128}, "
    "Tb: {bfloat16, float16, float32, float64, uint8, int8, int16, int32, int64, complex64, complex128}, "
    "Tout: {bfloat16, float16, float32, float64, int16, int32, int64, complex64, complex128}, "
    "adj_x: bool = False, adj_y: bool = False, grad_x: bool = False, grad_y: bool = False",
    reference=_mixed_kernel, shape=_batch_shape, gradient=_mixed_gradient,
)  # fmt: skip


# ---- public functions -----------------------------------------------------------------------------------------------


@public("matmul", "linalg.matmul")
def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    adjoint_a: bool = False,
    adjoint_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    output_type: Any = None,
    grad_a: bool = False,
    grad_b: bool = False,
    name: str | None = None,
) -> Any:
    """The matrix product of `a` [..., n, k] and `b` [..., k, m]: [..., n, m]. The batches in front are broadcast.

    transpose_a, transpose_b, adjoint_a, adjoint_b: the matrices are transposed (and conjugated) first.
    a_is_sparse, b_is_sparse: a hint; the result is the same. output_type: the dtype of the result, if another.
    Raises InvalidArgumentError (ValueError while building a graph) when the sizes don't agree.
    """
    for letter, transpose, adjoint in (("a", transpose_a, adjoint_a), ("b", transpose_b, adjoint_b)):
        if transpose and adjoint:
            raise ValueError(
                f"Only one of `transpose_{letter}` and `adjoint_{letter}` can be True. Received "
                f"`transpose_{letter}`={transpose}, `adjoint_{letter}`={adjoint}."
            )
    with scope(name or "MatMul", a, b) as inner:
        a = convert_to_tensor(a, name="a")
        b = convert_to_tensor(b, name="b", dtype_hint=a.dtype.base_dtype)
        rank_a, rank_b = a.shape.rank, b.shape.rank
        wanted = None if output_type is None else dtypes.as_dtype(output_type)
        mixed = wanted is not None and wanted is not a.dtype.base_dtype
        if mixed or rank_a is None or rank_a > 2 or rank_b is None or rank_b > 2:
            # "adj" transposes and conjugates: what is only transposed is conjugated twice
            pair = (conj(a) if transpose_a else a, conj(b) if transpose_b else b)
            attrs: dict[str, Any] = {"adj_x": transpose_a or adjoint_a, "adj_y": transpose_b or adjoint_b}
            if not mixed:
                return apply_op(BATCH_MATMUL_V2, pair, attrs, inner)
            return apply_op(BATCH_MATMUL_V3, pair, {**attrs, "Tout": wanted}, inner)
        pair = (conj(a) if adjoint_a else a, conj(b) if adjoint_b else b)
        attrs = {"transpose_a": transpose_a or adjoint_a, "transpose_b": transpose_b or adjoint_b}
        if (a_is_sparse or b_is_sparse) and a.dtype.base_dtype in _SPARSE and b.dtype.base_dtype in _SPARSE:
            attrs.update(a_is_sparse=a_is_sparse, b_is_sparse=b_is_sparse)
            result = apply_op(SPARSE_MATMUL, pair, attrs, inner)
            is_low = a.dtype.base_dtype is dtypes.bfloat16 and b.dtype.base_dtype is dtypes.bfloat16
            return cast(result, dtypes.bfloat16) if is_low else result
        return apply_op(MATMUL, pair, attrs, inner)


_SPARSE = (dtypes.float32, dtypes.bfloat16)


@public("linalg.matvec")
def matvec(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    adjoint_a: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    name: str | None = None,
) -> Any:
    """The matrix `a` [..., n, k] times the vector `b` [..., k]: [..., n]."""
    with scope(name or "MatVec", a, b):
        column = apply_op(REGISTRY["ExpandDims"], (b, -1))
        product = matmul(
            a, column, transpose_a=transpose_a, adjoint_a=adjoint_a, a_is_sparse=a_is_sparse, b_is_sparse=b_is_sparse
        )
        return apply_op(REGISTRY["Squeeze"], (product,), {"squeeze_dims": (-1,)})


@public(v1=["sparse_matmul"])
def sparse_matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    name: str | None = None,
) -> Any:
    """The product of two matrices of float32 or bfloat16 with many zeros (which is a hint), in float32."""
    attrs = {
        "transpose_a": transpose_a,
        "transpose_b": transpose_b,
        "a_is_sparse": a_is_sparse,
        "b_is_sparse": b_is_sparse,
    }
    return apply_op(SPARSE_MATMUL, (a, b), attrs, name)
