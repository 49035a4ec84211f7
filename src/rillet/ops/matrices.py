"""Functions of matrices that are made of several ops: norms, eigenvalues, solvers, pseudo-inverses."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value
from rillet.errors import FailedPreconditionError, ShapeError, format_shape
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.creation import eye
from rillet.ops.elementwise import abs as absolute
from rillet.ops.elementwise import conj, log
from rillet.ops.linalg import (
    CHOLESKY,
    EIG,
    LEAST_SQUARES,
    SELF_ADJOINT,
    SVD,
    TRIANGULAR_SOLVE,
    diagonal_of,
    triangular_solve,
    with_diagonal,
)
from rillet.ops.matmul import matmul
from rillet.ops.reduce import reduce_max, reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import rank, shape

# ---- norms ----------------------------------------------------------------------------------------------------------

_MATRIX_ORDERS = ("euclidean", "fro", 1, 2, np.inf)


@public(v2=["norm", "linalg.norm"])
def norm(
    tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: bool | None = None, name: str | None = None
) -> Any:
    """The norm of vectors (axis: an int, or None for all elements) or of matrices (axis: a pair).

    ord: "euclidean", 1, inf or any positive number; for matrices "fro", "euclidean", 1, 2 (the largest singular value)
        or inf.
    Raises ValueError for another order or axis.
    """
    keep = bool(keepdims)
    matrix_norm = isinstance(axis, (list, tuple)) or (isinstance(axis, np.ndarray) and axis.ndim > 0)
    axis = tuple(axis) if matrix_norm else axis
    _check_norm(ord, axis, matrix_norm)
    with scope(name or "norm", tensor):
        tensor = convert_to_tensor(tensor)
        if ord in ("fro", "euclidean") or (ord == 2 and not matrix_norm):
            axes = axis if matrix_norm or axis is None else [axis]
            total = reduce_sum(tensor * conj(tensor), None if axes is None else list(axes), keepdims=True)
            return _squeezed(apply_op(REGISTRY["Sqrt"], (total,)), axis, keep, matrix_norm)
        if matrix_norm and ord == 2:
            return _spectral_norm(tensor, axis, keep)
        size = absolute(tensor)
        if matrix_norm:
            summed, largest = (axis[0], axis[1]) if ord == 1 else (axis[1], axis[0])
            result = reduce_max(reduce_sum(size, summed, keepdims=True), largest, keepdims=True)
        elif ord == 1:
            result = reduce_sum(size, axis, keepdims=True)
        elif ord == np.inf:
            result = reduce_max(size, axis, keepdims=True)
        else:
            number = size.dtype.as_numpy_dtype
            total = reduce_sum(
                apply_op(REGISTRY["Pow"], (size, number(ord))), None if axis is None else [axis], keepdims=True
            )
            result = apply_op(REGISTRY["Pow"], (total, number(1 / ord)))
        return _squeezed(result, axis, keep, matrix_norm)


def _check_norm(ord: Any, axis: Any, matrix_norm: bool) -> None:
    if matrix_norm:
        if len(axis) != 2 or axis[0] == axis[1]:
            shown = axis if len(axis) == 2 else list(axis)
            raise ValueError(f"'axis' must be None, an integer, or a tuple of 2 unique integers, got {shown}")
        if ord not in _MATRIX_ORDERS:
            raise ValueError(f"'ord' must be a supported matrix norm in ['euclidean', 'fro', 1, 2, inf], got {ord}")
    elif ord != "euclidean" and (not isinstance(ord, (int, float, np.number)) or ord <= 0):
        raise ValueError(f"'ord' must be a supported vector norm, got {ord}")


def _spectral_norm(tensor: Any, axis: tuple[int, ...], keep: bool) -> Any:
    """The largest singular value of the matrices that lie in two axes."""
    count = rank(tensor)
    pair = apply_op(REGISTRY["FloorMod"], (np.array(axis, np.int32) + count, count))
    every = apply_op(REGISTRY["Range"], (0, count, 1))
    others = apply_op(REGISTRY["ListDiff"], (every, pair))[0]
    order = apply_op(REGISTRY["ConcatV2"], ([others, pair], 0))
    moved = apply_op(REGISTRY["Transpose"], (tensor, order), name="transpose")
    result = reduce_max(svd(moved, compute_uv=False), -1)
    if not keep:
        return result
    known = tensor.shape.rank
    if known is not None:
        axis = tuple(int(one) % known for one in axis)
    elif (axis[0] < 0) != (axis[1] < 0):
        raise ValueError("A spectral norm with keepdims needs a tensor of known rank, or two axes of one sign.")
    for one in sorted(axis, reverse=axis[0] < 0):
        result = apply_op(REGISTRY["ExpandDims"], (result, one))
    return result


def _squeezed(result: Any, axis: Any, keep: bool, matrix_norm: bool) -> Any:
    if keep:
        return result
    axes = () if axis is None else tuple(axis) if matrix_norm else (axis,)
    return apply_op(REGISTRY["Squeeze"], (result,), {"squeeze_dims": tuple(int(one) for one in axes)})


@public(v1=["norm", "linalg.norm"])
def norm_v1(
    tensor: Any,
    ord: Any = "euclidean",
    axis: Any = None,
    keepdims: bool | None = None,
    name: str | None = None,
    keep_dims: bool | None = None,
) -> Any:
    return norm(tensor, ord, axis, renamed("keepdims", keepdims, "keep_dims", keep_dims), name)


@public("linalg.normalize")
def normalize(tensor: Any, ord: Any = "euclidean", axis: Any = None, name: str | None = None) -> Any:
    """(tensor / norm, norm), where the norm keeps its axes; see tf.norm."""
    with scope(name or "normalize", tensor):
        tensor = convert_to_tensor(tensor)
        length = norm(tensor, ord, axis, keepdims=True)
        length = cast(length, tensor.dtype)
        return apply_op(REGISTRY["RealDiv"], (tensor, length), name="truediv"), length


# ---- cross products -------------------------------------------------------------------------------------------------


def _cross_kernel(a: Any, b: Any) -> Any:
    if a.shape != b.shape:
        raise ValueError("the shapes differ")
    if a.ndim < 1 or a.shape[-1] != 3:
        raise FailedPreconditionError(None, None, "Cross-products are only defined for 3-element vectors.")
    turned = [np.roll(value, shift, -1) for value in (a, b) for shift in (-1, -2)]
    return np.multiply(turned[0], turned[3]) - np.multiply(turned[1], turned[2])


def _cross_shape(op: Operation) -> TensorShape:
    a, b = op.inputs[0].shape, op.inputs[1].shape
    if not a.is_compatible_with(b):
        shapes = format_shape(a.dimensions), format_shape(b.dimensions)
        raise ShapeError(
            f"Dimensions of both shapes must be equal for '{op.type}'. Shapes are {shapes[0]} and {shapes[1]}.",
            f"Both inputs must be of same shape: {shapes[0]} vs. {shapes[1]}",
            {0: range(a.rank or 0), 1: range(b.rank or 0)},
        )
    merged = a.merge_with(b)
    if merged.rank == 0:
        raise ShapeError(f"Shape must be at least rank 1 but is rank 0 for '{op.type}' with input shapes: [], [].")
    if merged.dimensions is not None and merged.dimensions[-1] not in (None, 3):
        raise ShapeError(
            f"Dimension must be 3 but is {merged.dimensions[-1]} for '{op.type}' with input shapes: "
            f"{format_shape(a.dimensions)}, {format_shape(b.dimensions)}.",
            "Cross-products are only defined for 3-element vectors.",
            {0: [-1], 1: [-1]},
        )
    return merged


CROSS = define(
    "Cross", "a: T, b: T -> product: T", "T: real",
    reference=_cross_kernel, shape=_cross_shape,
    gradient=lambda op, dy: [cross(op.inputs[1], dy), cross(dy, op.inputs[0])],
)  # fmt: skip


@public("linalg.cross", v1=["cross"])
def cross(a: Any, b: Any, name: str | None = None) -> Any:
    """The cross products of vectors with 3 elements [..., 3], pair by pair."""
    return apply_op(CROSS, (a, b), name=name)


# ---- singular values and eigenvalues --------------------------------------------------------------------------------


@public("linalg.svd", v1=["svd"])
def svd(tensor: Any, full_matrices: bool = False, compute_uv: bool = True, name: str | None = None) -> Any:
    """(s, u, v) with tensor = u diag(s) v^H, s falling: the singular values and vectors of matrices [..., m, n].

    full_matrices: u and v are square. compute_uv: False returns s alone.
    """
    attrs = {"full_matrices": full_matrices, "compute_uv": compute_uv}
    s, u, v = apply_op(SVD, (tensor,), attrs, name)
    s = _real(s)
    return (s, u, v) if compute_uv else s


def _real(values: Any) -> Any:
    """Values that are real, in a real dtype."""
    if not values.dtype.is_complex:
        return values
    return apply_op(REGISTRY["Real"], (values,), {"Tout": values.dtype.real_dtype})


@public("linalg.eigh", v1=["self_adjoint_eig"])
def eigh(tensor: Any, name: str | None = None) -> Any:
    """(e, v): the eigenvalues, rising, and the eigenvectors (columns) of self-adjoint matrices [..., n, n].

    Only the lower triangles are read.
    """
    e, v = apply_op(SELF_ADJOINT, (tensor,), {"compute_v": True}, name)
    return e, v


@public("linalg.eigvalsh", v1=["self_adjoint_eigvals"])
def eigvalsh(tensor: Any, name: str | None = None) -> Any:
    """The eigenvalues of self-adjoint matrices [..., n, n], rising. Only the lower triangles are read."""
    return apply_op(SELF_ADJOINT, (tensor,), {"compute_v": False}, name)[0]


def _complex_dtype(tensor: Any) -> Any:
    wide = tensor.dtype.base_dtype in (dtypes.float64, dtypes.complex128)
    return dtypes.complex128 if wide else dtypes.complex64


@public(v2=["eig", "linalg.eig"])
def eig(tensor: Any, name: str | None = None) -> Any:
    """(e, v): the eigenvalues and eigenvectors (columns) of square matrices [..., n, n], complex and in no order."""
    tensor = convert_to_tensor(tensor)
    e, v = apply_op(EIG, (tensor,), {"compute_v": True, "Tout": _complex_dtype(tensor)}, name)
    return e, v


@public(v2=["eigvals", "linalg.eigvals"])
def eigvals(tensor: Any, name: str | None = None) -> Any:
    """The eigenvalues of square matrices [..., n, n], complex and in no order."""
    tensor = convert_to_tensor(tensor)
    return apply_op(EIG, (tensor,), {"compute_v": False, "Tout": _complex_dtype(tensor)}, name)[0]


@public("linalg.logdet")
def logdet(matrix: Any, name: str | None = None) -> Any:
    """The logarithms of the determinants of positive definite matrices [..., n, n]."""
    with scope(name or "logdet", matrix):
        factor = apply_op(CHOLESKY, (matrix,))
        diagonal = apply_op(
            REGISTRY["MatrixDiagPartV3"], (factor, np.int32(0), factor.dtype.as_numpy_dtype(0)), name="diag_part"
        )
        return 2.0 * reduce_sum(log(_real(diagonal)), [-1])


@public("linalg.matrix_rank")
def matrix_rank(a: Any, tol: Any = None, validate_args: bool = False, name: str | None = None) -> Any:
    """How many singular values of matrices [..., m, n] lie above `tol` (None: rounding errors), as int32."""
    with scope(name or "matrix_rank", a, tol):
        a = convert_to_tensor(a, name="a", dtype_hint=dtypes.float32)
        s = svd(a, compute_uv=False)
        if tol is None:
            tol = reduce_max(s, -1, keepdims=True) * _rounding(a, s.dtype)
        above = apply_op(REGISTRY["Greater"], (s, tol))
        return reduce_sum(cast(above, dtypes.int32), -1)


def _rounding(a: Any, dtype: Any) -> Any:
    """The relative error of singular values: the machine epsilon times the longer side."""
    epsilon = np.finfo(dtype.as_numpy_dtype).eps
    if a.shape.rank is not None and None not in a.shape.dimensions[-2:]:
        return dtype.as_numpy_dtype(epsilon * max(a.shape.dimensions[-2:]))
    return cast(reduce_max(shape(a)[-2:]), dtype) * dtype.as_numpy_dtype(epsilon)


@public("linalg.pinv")
def pinv(a: Any, rcond: Any = None, validate_args: bool = False, name: str | None = None) -> Any:
    """The Moore-Penrose pseudo-inverses [..., n, m] of matrices [..., m, n].

    rcond: singular values below it times the largest one are taken as 0 (None: 10 times the rounding errors).
    """
    with scope(name or "pinv", a):
        a = convert_to_tensor(a, name="a")
        s, u, v = svd(a)
        limit = (
            _rounding(a, s.dtype) * s.dtype.as_numpy_dtype(10) if rcond is None else convert_to_tensor(rcond, s.dtype)
        )
        if rcond is not None:
            limit = apply_op(REGISTRY["ExpandDims"], (limit, -1))
        cutoff = limit * reduce_max(s, -1, keepdims=True)
        is_large = apply_op(REGISTRY["Greater"], (s, cutoff))
        infinite = apply_op(REGISTRY["SelectV2"], (is_large, s, s.dtype.as_numpy_dtype(np.inf)))
        inverted = cast(apply_op(REGISTRY["Reciprocal"], (infinite,)), a.dtype)
        return matmul(v * apply_op(REGISTRY["ExpandDims"], (inverted, -2)), u, adjoint_b=True)


# ---- solvers --------------------------------------------------------------------------------------------------------


@public("linalg.triangular_solve", v1=["matrix_triangular_solve"])
def triangular_solve_public(
    matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False, name: str | None = None
) -> Any:
    """X with matrix X = rhs for triangular matrices [..., n, n] and [..., n, k]; the batches are broadcast.

    lower: which triangle is read. adjoint: matrix^H X = rhs.
    """
    with scope(name or "triangular_solve", matrix, rhs):
        return apply_op(TRIANGULAR_SOLVE, (matrix, rhs), {"lower": lower, "adjoint": adjoint})


@public("linalg.cholesky_solve", v1=["cholesky_solve"])
def cholesky_solve(chol: Any, rhs: Any, name: str | None = None) -> Any:
    """X with A X = rhs, where chol = tf.linalg.cholesky(A) [..., n, n] and rhs [..., n, k]."""
    with scope(name or "cholesky_solve", chol, rhs):
        return triangular_solve(chol, triangular_solve(chol, rhs), adjoint=True)


@public("linalg.lstsq", v1=["matrix_solve_ls"])
def lstsq(matrix: Any, rhs: Any, l2_regularizer: float = 0.0, fast: bool = True, name: str | None = None) -> Any:
    """X [..., n, k] that minimises |matrix X - rhs|^2 + l2_regularizer |X|^2, for [..., m, n] and [..., m, k].

    fast: by the normal equations, which lose precision for ill-conditioned matrices; False decomposes the matrix (and
        does not use the regularizer).
    """
    matrix, rhs = convert_to_tensor(matrix), convert_to_tensor(rhs)
    known = matrix.shape.dimensions[-2:] if matrix.shape.dimensions is not None else (None, None)
    if not fast or None in known:
        return apply_op(LEAST_SQUARES, (matrix, rhs, l2_regularizer), {"fast": fast}, name)
    with scope(name or "matrix_solve_ls", matrix, rhs, l2_regularizer):
        factor = _regularized_factor(matrix, l2_regularizer, tall=known[0] >= known[1])
        if known[0] >= known[1]:
            return cholesky_solve(factor, matmul(matrix, rhs, adjoint_a=True))
        return matmul(matrix, cholesky_solve(factor, rhs), adjoint_a=True)


def _regularized_factor(matrix: Any, l2_regularizer: Any, tall: bool) -> Any:
    """The Cholesky factor of the smaller Gram matrix."""
    gram = matmul(matrix, matrix, adjoint_a=tall, adjoint_b=not tall)
    if constant_value(l2_regularizer) is None or np.any(constant_value(l2_regularizer)):
        sizes = shape(matrix)
        batch = sizes[:-2]
        identity = eye(sizes[-1] if tall else sizes[-2], batch_shape=batch, dtype=matrix.dtype)
        weight = cast(l2_regularizer, matrix.dtype) if hasattr(l2_regularizer, "dtype") else l2_regularizer
        gram = gram + weight * identity
    return apply_op(CHOLESKY, (gram,))


@public("linalg.lu_reconstruct")
def lu_reconstruct(lower_upper: Any, perm: Any, validate_args: bool = False, name: str | None = None) -> Any:
    """The matrices [..., n, n] whose tf.linalg.lu is (lower_upper, perm)."""
    with scope(name or "lu_reconstruct", lower_upper, perm):
        lower_upper = convert_to_tensor(lower_upper, name="lower_upper", dtype_hint=dtypes.float32)
        lower, upper = _factors(lower_upper)
        return matmul(_permutation(lower_upper, perm), matmul(lower, upper), transpose_a=True)


def _factors(lower_upper: Any) -> tuple[Any, Any]:
    below = apply_op(REGISTRY["MatrixBandPart"], (lower_upper, np.int64(-1), np.int64(0)))
    above = apply_op(REGISTRY["MatrixBandPart"], (lower_upper, np.int64(0), np.int64(-1)))
    ones = apply_op(REGISTRY["OnesLike"], (diagonal_of(lower_upper),))
    return with_diagonal(below, ones), above


def _permutation(lower_upper: Any, perm: Any) -> Any:
    """Matrices that put rows in the order `perm`."""
    one, zero = (lower_upper.dtype.as_numpy_dtype(value) for value in (1, 0))
    return apply_op(REGISTRY["OneHot"], (perm, shape(lower_upper)[-1], one, zero), {"axis": -1})


@public("linalg.lu_solve")
def lu_solve(lower_upper: Any, perm: Any, rhs: Any, validate_args: bool = False, name: str | None = None) -> Any:
    """X with A X = rhs [..., n, k], where (lower_upper, perm) = tf.linalg.lu(A)."""
    with scope(name or "lu_solve", lower_upper, perm, rhs):
        lower_upper = convert_to_tensor(lower_upper, name="lower_upper", dtype_hint=dtypes.float32)
        lower, upper = _factors(lower_upper)
        rhs = convert_to_tensor(rhs, name="rhs", dtype_hint=lower_upper.dtype)
        permuted = matmul(_permutation(lower_upper, perm), rhs)
        return triangular_solve(upper, triangular_solve(lower, permuted), lower=False)


@public("linalg.lu_matrix_inverse")
def lu_matrix_inverse(lower_upper: Any, perm: Any, validate_args: bool = False, name: str | None = None) -> Any:
    """The inverses of A, where (lower_upper, perm) = tf.linalg.lu(A)."""
    with scope(name or "lu_matrix_inverse", lower_upper, perm):
        lower_upper = convert_to_tensor(lower_upper, name="lower_upper", dtype_hint=dtypes.float32)
        sizes = shape(lower_upper)
        return lu_solve(lower_upper, perm, eye(sizes[-1], batch_shape=sizes[:-2], dtype=lower_upper.dtype))
