"""Linear algebra on stacks of matrices [..., m, n]: decompositions, inverses, determinants and solvers.

Gradients are those of functions of the result that don't depend on what the decomposition leaves open (the sign of a
singular vector, the order of equal eigenvalues).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.export import export
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, OpDef, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.cast import cast
from rillet.ops.elementwise import conj
from rillet.ops.matmul import adjoint_of, matmul
from rillet.ops.precision import wide
from rillet.ops.reduce import reduce_sum
from rillet.ops.shape import rank, reshape, shape

FLOATS = "{float64, float32, float16, complex64, complex128}"

# ---- shapes ---------------------------------------------------------------------------------------------------------


def matrices(op: Operation, index: int = 0) -> tuple[list[int | None], int | None, int | None] | None:
    """The batch, rows and columns of input `index`; None where the rank is unknown. ShapeError for vectors."""
    source = op.inputs[index].shape
    if source.dimensions is None:
        return None
    if len(source.dimensions) < 2:
        raise ShapeError(
            f"Shape must be at least rank 2 but is rank {len(source.dimensions)} for '{op.type}' with input shapes: "
            f"{input_shapes(op)}.",
            f"Input tensor {index} must have rank >= 2, got {len(source.dimensions)}",
            {index: range(len(source.dimensions))},
        )
    *batch, rows, columns = source.dimensions
    return list(batch), rows, columns


def input_shapes(op: Operation) -> str:
    return ", ".join(format_shape(tensor.shape.dimensions) for tensor in op.inputs)


def square(
    op: Operation, index: int = 0, message: str = "Input matrix must be square."
) -> tuple[list[int | None], int | None] | None:
    """The batch and the size of input `index`, which must be square; None where the rank is unknown."""
    found = matrices(op, index)
    if found is None:
        return None
    batch, rows, columns = found
    if rows is not None and columns is not None and rows != columns:
        raise unequal(op, rows, columns, message, {index: [-2, -1]})
    return batch, rows if rows is not None else columns


def unequal(op: Operation, a: int, b: int, runtime: str, marks: dict[int, Sequence[int]]) -> ShapeError:
    return ShapeError(
        f"Dimensions must be equal, but are {a} and {b} for '{op.type}' with input shapes: {input_shapes(op)}.",
        runtime,
        marks,
    )


def square_shape(op: Operation) -> TensorShape:
    """The output is square, like the input."""
    found = square(op)
    return UNKNOWN if found is None else TensorShape([*found[0], found[1], found[1]])


def batch_shape(op: Operation) -> TensorShape:
    """A number for each square matrix."""
    found = square(op)
    return UNKNOWN if found is None else TensorShape(found[0])


def least(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return 0 if 0 in (a, b) else None
    return min(a, b)


# ---- pieces of gradients --------------------------------------------------------------------------------------------


def adjoint(matrix: Any) -> Any:
    """The conjugate transpose of a stack of matrices."""
    if isinstance(matrix, EagerTensor) or matrix.shape.rank is not None:
        count = matrix.shape.rank
        order: Any = np.array([*range(count - 2), count - 1, count - 2], np.int32)
    else:
        count = rank(matrix)
        front = apply_op(REGISTRY["Range"], (0, count - 2, 1))
        back = apply_op(REGISTRY["Pack"], ([count - 1, count - 2],), {"axis": 0})
        order = apply_op(REGISTRY["ConcatV2"], ([front, back], 0))
    kind = "ConjugateTranspose" if matrix.dtype.is_complex else "Transpose"
    return apply_op(REGISTRY[kind], (matrix, order))


def band_part(matrix: Any, below: int, above: int) -> Any:
    """The matrix with zeros outside of a band of diagonals (-1: all of them)."""
    return apply_op(REGISTRY["MatrixBandPart"], (matrix, np.int64(below), np.int64(above)))


def diagonal_of(matrix: Any) -> Any:
    zero = matrix.dtype.as_numpy_dtype(0)
    return apply_op(REGISTRY["MatrixDiagPartV3"], (matrix, np.int32(0), zero))


def with_diagonal(matrix: Any, diagonal: Any) -> Any:
    return apply_op(REGISTRY["MatrixSetDiagV3"], (matrix, diagonal, np.int32(0)))


def diagonal_matrix(diagonal: Any) -> Any:
    zero = diagonal.dtype.as_numpy_dtype(0)
    return apply_op(REGISTRY["MatrixDiagV3"], (diagonal, np.int32(0), np.int32(-1), np.int32(-1), zero))


def halved_diagonal(matrix: Any) -> Any:
    return with_diagonal(matrix, diagonal_of(matrix) * matrix.dtype.as_numpy_dtype(0.5))


def expand(x: Any, axis: int) -> Any:
    return apply_op(REGISTRY["ExpandDims"], (x, axis))


def real_part(x: Any) -> Any:
    return apply_op(REGISTRY["Real"], (x,), {"Tout": x.dtype.real_dtype}) if x.dtype.is_complex else x


def _reciprocal_differences(values: Any) -> Any:
    """1 / (values[j] - values[i]) at [i, j]; 0 on the diagonal and between equal values."""
    ones, zeros = (apply_op(REGISTRY[kind], (values,)) for kind in ("OnesLike", "ZerosLike"))
    differences = with_diagonal(expand(values, -2) - expand(values, -1), ones)
    return with_diagonal(_safe_reciprocal(differences), zeros)


def triangular_solve(matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False) -> Any:
    return apply_op(TRIANGULAR_SOLVE, (matrix, rhs), {"lower": lower, "adjoint": adjoint})


def solve(matrix: Any, rhs: Any, adjoint: bool = False) -> Any:
    return apply_op(SOLVE, (matrix, rhs), {"adjoint": adjoint})


def inverse(matrix: Any, adjoint: bool = False) -> Any:
    return apply_op(INVERSE, (matrix,), {"adjoint": adjoint})


def _last_columns(x: Any, start: Any, end: Any = None) -> Any:
    """x[..., start:end]"""
    return x[..., start:end]


# ---- Cholesky -------------------------------------------------------------------------------------------------------


def _cholesky_kernel(matrix: Any) -> Any:
    """Only the lower triangle is read. A matrix that is not positive definite gives NaN, as in TensorFlow."""
    matrix = wide(matrix)
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        if matrix.shape[-1] != matrix.shape[-2]:
            raise
    result = np.empty_like(matrix)
    for index in np.ndindex(matrix.shape[:-2]):
        try:
            result[index] = np.linalg.cholesky(matrix[index])
        except np.linalg.LinAlgError:
            result[index] = np.tril(np.full(matrix.shape[-2:], np.nan, matrix.dtype))
    return result


def _cholesky_gradient(op: Operation, dl: Any) -> Any:
    lower = op.outputs[0]
    middle = band_part(halved_diagonal(matmul(lower, dl, adjoint_a=True)), -1, 0)
    half = triangular_solve(lower, middle, adjoint=True)
    full = adjoint(triangular_solve(lower, adjoint(half), adjoint=True))
    return (full + adjoint(full)) * full.dtype.as_numpy_dtype(0.5)


def _cholesky_grad_kernel(lower: Any, grad: Any) -> Any:
    lower, grad = wide(lower), wide(grad)
    middle = np.tril(np.matmul(adjoint_of(lower), grad))
    steps = np.arange(lower.shape[-1])
    middle[..., steps, steps] *= 0.5
    half = np.linalg.solve(adjoint_of(lower), middle)
    full = adjoint_of(np.linalg.solve(adjoint_of(lower), adjoint_of(half)))
    return (full + adjoint_of(full)) * 0.5


CHOLESKY = define(
    "Cholesky", "input: T -> output: T", f"T: {FLOATS}",
    reference=_cholesky_kernel, shape=square_shape, gradient=_cholesky_gradient,
)  # fmt: skip
define(
    "CholeskyGrad", "l: T, grad: T -> output: T", "T: {float16, float32, float64}",
    reference=_cholesky_grad_kernel, shape=square_shape, gradient=NO_GRADIENT,
)  # fmt: skip

# ---- inverse and determinant ----------------------------------------------------------------------------------------


def _inverse_kernel(matrix: Any, *, adjoint: bool) -> Any:
    matrix = wide(matrix)
    try:
        return np.linalg.inv(adjoint_of(matrix) if adjoint else matrix)
    except np.linalg.LinAlgError:
        raise ValueError("Input is not invertible.") from None


def _inverse_gradient(op: Operation, dy: Any) -> Any:
    y = op.outputs[0]
    if op.attrs["adjoint"]:
        return -matmul(y, matmul(dy, y, adjoint_a=True))
    return -matmul(y, matmul(dy, y, adjoint_b=True), adjoint_a=True)


def _determinant_gradient(op: Operation, dy: Any) -> Any:
    factor = expand(expand(dy * conj(op.outputs[0]), -1), -1)
    return factor * inverse(op.inputs[0], adjoint=True)


def _log_determinant_gradient(op: Operation, d_sign: Any, d_log: Any) -> Any:
    factor = d_log
    if d_log.dtype.is_complex:  # the logarithm is real, and the sign moves on the unit circle
        turning = apply_op(REGISTRY["Imag"], (d_sign * conj(op.outputs[0]),), {"Tout": d_log.dtype.real_dtype})
        factor = apply_op(REGISTRY["Complex"], (real_part(d_log), turning), {"Tout": d_log.dtype.base_dtype})
    return expand(expand(factor, -1), -1) * inverse(op.inputs[0], adjoint=True)


INVERSE = define(
    "MatrixInverse", "input: T -> output: T", f"adjoint: bool = False, T: {FLOATS}",
    reference=_inverse_kernel, shape=square_shape, gradient=_inverse_gradient,
)  # fmt: skip
DETERMINANT = define(
    "MatrixDeterminant", "input: T -> output: T", f"T: {FLOATS}",
    reference=lambda matrix: np.linalg.det(wide(matrix)), shape=batch_shape, gradient=_determinant_gradient,
)  # fmt: skip
LOG_DETERMINANT = define(
    "LogMatrixDeterminant", "input: T -> sign: T, log_abs_determinant: T", f"T: {FLOATS}",
    reference=lambda matrix: tuple(np.linalg.slogdet(wide(matrix))),
    shape=lambda op: [batch_shape(op)] * 2, gradient=_log_determinant_gradient,
)  # fmt: skip

# ---- solving --------------------------------------------------------------------------------------------------------


def _solve_kernel(matrix: Any, rhs: Any, *, adjoint: bool) -> Any:
    if matrix.ndim != rhs.ndim or matrix.shape[:-2] != rhs.shape[:-2]:
        raise ValueError("the batches differ")
    matrix, rhs = wide(matrix), wide(rhs)
    try:
        return np.linalg.solve(adjoint_of(matrix) if adjoint else matrix, rhs)
    except np.linalg.LinAlgError as error:
        if "Singular" not in str(error):
            raise
        raise ValueError("Input matrix is not invertible.") from None


def _solve_shape(op: Operation) -> TensorShape:
    left, right = square(op, 0, "First input (lhs) must be a square matrix."), matrices(op, 1)
    _check_rows(op, left, right, "Input matrix and rhs are incompatible.")
    if left is None or right is None:
        return UNKNOWN
    if len(left[0]) != len(right[0]):
        raise ShapeError(
            f"Shapes must be equal rank, but are {len(left[0])} and {len(right[0])} for '{op.type}' with input shapes: "
            f"{input_shapes(op)}.",
            "All input tensors must have the same rank.",
        )
    for axis, (a, b) in enumerate(zip(left[0], right[0])):
        if a is not None and b is not None and a != b:
            raise ShapeError(
                f"Dimension {axis} in both shapes must be equal, but are {a} and {b}. Shapes are "
                f"{format_shape(left[0])} and {format_shape(right[0])}.",
                "All input tensors must have the same outer dimensions.",
                {0: [axis], 1: [axis]},
            )
    batch = [a if b is None else b for a, b in zip(left[0], right[0])]
    return TensorShape([*batch, left[1] if right[1] is None else right[1], right[2]])


def _check_rows(op: Operation, left: Any, right: Any, runtime: str) -> None:
    if left is not None and right is not None and None not in (left[1], right[1]) and left[1] != right[1]:
        raise unequal(op, left[1], right[1], runtime, {0: [-2], 1: [-2]})


def _solve_gradient(op: Operation, dy: Any) -> list[Any]:
    is_adjoint = op.attrs["adjoint"]
    d_rhs = solve(op.inputs[0], dy, adjoint=not is_adjoint)
    if is_adjoint:
        return [-matmul(op.outputs[0], d_rhs, adjoint_b=True), d_rhs]
    return [-matmul(d_rhs, op.outputs[0], adjoint_b=True), d_rhs]


def _triangular_kernel(matrix: Any, rhs: Any, *, lower: bool, adjoint: bool) -> Any:
    if matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] != rhs.shape[-2]:
        raise ValueError("the sizes don't fit")
    matrix, rhs = wide(matrix), wide(rhs)
    if adjoint:
        matrix, lower = adjoint_of(matrix), not lower
    return substituted(matrix, rhs, lower)


def substituted(matrix: Any, rhs: Any, lower: bool) -> Any:
    """The solution of triangular equations, row after row. A zero on the diagonal gives infinity or NaN."""
    batch = np.broadcast_shapes(matrix.shape[:-2], rhs.shape[:-2])
    dtype = np.result_type(matrix.dtype, np.float64)
    matrix = matrix.astype(dtype)
    result = np.zeros((*batch, *rhs.shape[-2:]), dtype)
    size = matrix.shape[-1]
    for step in range(size):
        row = step if lower else size - 1 - step
        done = slice(0, row) if lower else slice(row + 1, size)
        known = np.matmul(matrix[..., row : row + 1, done], result[..., done, :])
        result[..., row, :] = (rhs[..., row, :] - known[..., 0, :]) / matrix[..., row, row, None]
    return result


def _triangular_shape(op: Operation) -> TensorShape:
    left, right = square(op, 0), matrices(op, 1)
    if left is not None and right is not None:
        shapes = [format_shape(tensor.shape.dimensions) for tensor in op.inputs]
        text = f"In[0] mismatch In[1] shape: {left[1]} vs. {right[1]}: {shapes[0]} {shapes[1]}"
        _check_rows(op, left, right, text)
    if left is None or right is None:
        return UNKNOWN
    batch = _broadcast_batches(op, left[0], right[0])
    return TensorShape([*batch, left[1] if right[1] is None else right[1], right[2]])


def _broadcast_batches(op: Operation, left: list[int | None], right: list[int | None]) -> list[int | None]:
    length = max(len(left), len(right))
    pairs = zip([1] * (length - len(left)) + left, [1] * (length - len(right)) + right)
    result: list[int | None] = []
    for axis, (a, b) in enumerate(pairs):
        if a is not None and b is not None and a != b and 1 not in (a, b):
            shapes = [format_shape(tensor.shape.dimensions) for tensor in op.inputs]
            text = f"In[0] and In[1] must have compatible batch dimensions: {shapes[0]} vs. {shapes[1]}"
            raise unequal(op, a, b, text, {0: [axis - length - 2], 1: [axis - length - 2]})
        result.append(b if a == 1 else a if b == 1 else a if b is None else b)
    return result


def _triangular_gradient(op: Operation, dy: Any) -> list[Any]:
    is_lower, is_adjoint = op.attrs["lower"], op.attrs["adjoint"]
    d_rhs = triangular_solve(op.inputs[0], dy, is_lower, not is_adjoint)
    pair = (op.outputs[0], d_rhs) if is_adjoint else (d_rhs, op.outputs[0])
    d_matrix = -matmul(*pair, adjoint_b=True)
    d_matrix = band_part(d_matrix, -1, 0) if is_lower else band_part(d_matrix, 0, -1)
    return [summed_to(d_matrix, op.inputs[0]), summed_to(d_rhs, op.inputs[1])]


def summed_to(gradient: Any, source: Any) -> Any:
    """Undoes the broadcasting of batches."""
    if gradient.shape.is_fully_defined() and gradient.shape == source.shape:
        return gradient
    wanted, found = shape(source), shape(gradient)
    axes = apply_op(REGISTRY["BroadcastGradientArgs"], (wanted, found))[0]
    return reshape(reduce_sum(gradient, axes), wanted)


SOLVE = define(
    "MatrixSolve", "matrix: T, rhs: T -> output: T", f"adjoint: bool = False, T: {FLOATS}",
    reference=_solve_kernel, shape=_solve_shape, gradient=_solve_gradient,
)  # fmt: skip
TRIANGULAR_SOLVE = define(
    "MatrixTriangularSolve", "matrix: T, rhs: T -> output: T",
    "lower: bool = True, adjoint: bool = False, T: {bfloat16, float64, float32, float16, complex64, complex128}",
    reference=_triangular_kernel, shape=_triangular_shape, gradient=_triangular_gradient,
)  # fmt: skip

# ---- least squares --------------------------------------------------------------------------------------------------


def _least_squares_kernel(matrix: Any, rhs: Any, l2_regularizer: Any, *, fast: bool) -> Any:
    matrix, rhs = wide(matrix), wide(rhs)
    if matrix.shape[:-2] != rhs.shape[:-2] or matrix.shape[-2] != rhs.shape[-2]:
        raise ValueError("matrix and rhs don't fit")
    if not fast:  # of all solutions the smallest, by a complete decomposition; the regularizer is not used
        return np.matmul(np.linalg.pinv(matrix), rhs)
    turned = adjoint_of(matrix)
    rows, columns = matrix.shape[-2:]
    weight = l2_regularizer * np.eye(min(rows, columns))
    try:
        if rows >= columns:
            return np.linalg.solve(np.matmul(turned, matrix) + weight, np.matmul(turned, rhs))
        return np.matmul(turned, np.linalg.solve(np.matmul(matrix, turned) + weight, rhs))
    except np.linalg.LinAlgError:
        raise ValueError("Input matrix was rank deficient or ill-conditioned. Try setting fast=False.") from None


def _least_squares_shape(op: Operation) -> TensorShape:
    left, right = matrices(op, 0), matrices(op, 1)
    _check_rows(op, left, right, "Input matrix and rhs are incompatible.")
    if left is None or right is None:
        return UNKNOWN
    batch = left[0] if None not in left[0] else right[0]
    return TensorShape([*batch, left[2], right[2]])


def _least_squares_gradient(op: Operation, dx: Any) -> list[Any]:
    """For more equations than unknowns X = (A^H A + l I)^-1 A^H B, else X = A^H (A A^H + l I)^-1 B. (Where l is not 0
    both are the same, so the first one serves for matrices of unknown size.)"""
    (a, b), x = op.inputs[:2], op.outputs[0]
    rows, columns = a.shape.dimensions[-2:] if a.shape.dimensions is not None else (None, None)
    tall = rows is None or columns is None or rows >= columns
    gram = matmul(a, a, adjoint_a=tall, adjoint_b=not tall)
    if op.attrs["fast"]:
        weight = cast(op.inputs[2], a.dtype)
        gram = with_diagonal(gram, diagonal_of(gram) + weight)
    if tall:
        z = solve(gram, dx)
        rest = b - matmul(a, x)
        az = matmul(a, z)
        return [matmul(rest, z, adjoint_b=True) - matmul(az, x, adjoint_b=True), az, None]
    w = solve(gram, b)
    y = solve(gram, matmul(a, dx))
    da = matmul(w, dx - matmul(a, y, adjoint_a=True), adjoint_b=True) - matmul(y, x, adjoint_b=True)
    return [da, y, None]


LEAST_SQUARES = define(
    "MatrixSolveLs", "matrix: T, rhs: T, l2_regularizer: float64 -> output: T", f"T: {FLOATS}, fast: bool = True",
    reference=_least_squares_kernel, shape=_least_squares_shape, gradient=_least_squares_gradient,
)  # fmt: skip

# ---- LU -------------------------------------------------------------------------------------------------------------


def _lu_kernel(matrix: Any, *, output_idx_type: dtypes.DType) -> Any:
    if matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError("Input matrix must be square.")
    size, batch = matrix.shape[-1], matrix.shape[:-2]
    factors = matrix.reshape(-1, size, size).astype(np.result_type(matrix.dtype, np.float64))
    order = np.tile(np.arange(size), (len(factors), 1))
    each = np.arange(len(factors))
    for step in range(size):
        pivot = step + np.argmax(np.abs(factors[:, step:, step]), axis=1)
        for table in (factors, order):
            table[each, step], table[each, pivot] = table[each, pivot], table[each, step]
        divisor = factors[:, step, step]
        if np.any(divisor == 0):
            raise ValueError("Input is not invertible.")
        factors[:, step + 1 :, step] /= divisor[:, None]
        factors[:, step + 1 :, step + 1 :] -= factors[:, step + 1 :, step, None] * factors[:, step, None, step + 1 :]
    return factors.reshape(matrix.shape), order.reshape(*batch, size).astype(output_idx_type.numpy_dtype)


def _lu_shape(op: Operation) -> list[TensorShape]:
    found = square(op)
    if found is None:
        return [UNKNOWN, UNKNOWN]
    return [TensorShape([*found[0], found[1], found[1]]), TensorShape([*found[0], found[1]])]


def _lu_gradient(op: Operation, dlu: Any, _: Any) -> Any:
    lu, order = op.outputs
    upper = band_part(lu, 0, -1)
    ones = apply_op(REGISTRY["OnesLike"], (diagonal_of(lu),))
    lower = with_diagonal(band_part(lu, -1, 0), ones)
    zeros = apply_op(REGISTRY["ZerosLike"], (ones,))
    inner = with_diagonal(
        band_part(matmul(lower, with_diagonal(band_part(dlu, -1, 0), zeros), adjoint_a=True), -1, 0), zeros
    )
    inner = inner + band_part(matmul(band_part(dlu, 0, -1), upper, adjoint_b=True), 0, -1)
    half = triangular_solve(lower, inner, adjoint=True)
    permuted = adjoint(triangular_solve(upper, adjoint(half), lower=False))
    size = shape(lu)[-1]
    one, zero = (lu.dtype.as_numpy_dtype(value) for value in (1, 0))
    permutation = apply_op(REGISTRY["OneHot"], (order, size, one, zero), {"axis": -1})
    return matmul(permutation, permuted, transpose_a=True)


LU = define(
    "Lu", "input: T -> lu: T, p: output_idx_type", f"T: {FLOATS}, output_idx_type: index = int32",
    reference=_lu_kernel, shape=_lu_shape, gradient=_lu_gradient,
)  # fmt: skip

# ---- QR -------------------------------------------------------------------------------------------------------------


def _qr_kernel(matrix: Any, *, full_matrices: bool) -> Any:
    return tuple(np.linalg.qr(wide(matrix), "complete" if full_matrices else "reduced"))


def _qr_shape(op: Operation) -> list[TensorShape]:
    found = matrices(op)
    if found is None:
        return [UNKNOWN, UNKNOWN]
    batch, rows, columns = found
    inner = rows if op.attrs["full_matrices"] else least(rows, columns)
    return [TensorShape([*batch, rows, inner]), TensorShape([*batch, inner, columns])]


def _qr_gradient(op: Operation, dq: Any, dr: Any) -> Any:
    a, (q, r) = op.inputs[0], op.outputs
    known = a.shape.dimensions[-2:] if a.shape.dimensions is not None else (None, None)
    if op.attrs["full_matrices"] and None not in known and known[0] > known[1]:
        raise NotImplementedError("QrGrad not implemented when nrows > ncols and full_matrices is true.")
    if None not in known and known[0] >= known[1]:
        return _tall_qr_gradient(q, r, dq, dr)
    # the first columns are decomposed, the others follow: r2 = q^H a2
    count = shape(r)[-2]
    d_rest = matmul(q, _last_columns(dr, count))
    dq = dq + matmul(_last_columns(a, count), _last_columns(dr, count), adjoint_b=True)
    d_first = _tall_qr_gradient(q, _last_columns(r, 0, count), dq, _last_columns(dr, 0, count))
    return apply_op(REGISTRY["ConcatV2"], ([d_first, d_rest], -1))


def _tall_qr_gradient(q: Any, r: Any, dq: Any, dr: Any) -> Any:
    q_dq = matmul(q, dq, adjoint_a=True)
    turning = q_dq - matmul(dr, r, adjoint_b=True)
    turning = turning - adjoint(turning)
    turning = halved_diagonal(band_part(turning, -1, 0))
    inner = dq - matmul(q, q_dq) + matmul(q, turning)
    return adjoint(triangular_solve(r, adjoint(inner), lower=False)) + matmul(q, dr)


QR = define(
    "Qr", "input: T -> q: T, r: T", f"full_matrices: bool = False, T: {FLOATS}",
    reference=_qr_kernel, shape=_qr_shape, gradient=_qr_gradient,
)  # fmt: skip

# ---- singular values ------------------------------------------------------------------------------------------------


def _svd_kernel(matrix: Any, *, compute_uv: bool, full_matrices: bool) -> Any:
    matrix = wide(matrix)
    if not compute_uv:
        nothing = np.zeros(0, matrix.dtype)
        return np.linalg.svd(matrix, compute_uv=False), nothing, nothing
    u, s, v = np.linalg.svd(matrix, full_matrices=full_matrices)
    return s, u, adjoint_of(v)


def _svd_shape(op: Operation) -> list[TensorShape]:
    found = matrices(op)
    has_vectors = op.attrs["compute_uv"]
    if found is None:
        return [UNKNOWN, UNKNOWN, UNKNOWN] if has_vectors else [UNKNOWN, TensorShape([0]), TensorShape([0])]
    batch, rows, columns = found
    count = least(rows, columns)
    values = TensorShape([*batch, count])
    if not has_vectors:
        return [values, TensorShape([0]), TensorShape([0])]
    full = op.attrs["full_matrices"]
    return [
        values,
        TensorShape([*batch, rows, rows if full else count]),
        TensorShape([*batch, columns, columns if full else count]),
    ]


def _svd_gradient(op: Operation, ds: Any, du: Any, dv: Any) -> Any:
    a, ds = op.inputs[0], real_part(ds)  # singular values are real, whatever their dtype
    if not op.attrs["compute_uv"]:
        _, u, v = apply_op(SVD, (a,), {"compute_uv": True, "full_matrices": False})
        return matmul(u * expand(cast(ds, a.dtype), -2), v, adjoint_b=True)
    s, u, v = op.outputs
    if op.attrs["full_matrices"]:
        count = shape(s)[-1]
        u, du = _without_null_space(u, du, count)
        v, dv = _without_null_space(v, dv, count)
    squares = apply_op(REGISTRY["Square"], (real_part(s),))
    f = cast(_reciprocal_differences(squares), a.dtype)
    s_row = expand(cast(s, a.dtype), -2)
    s_column = expand(cast(s, a.dtype), -1)
    one_over = expand(cast(_safe_reciprocal(real_part(s)), a.dtype), -2)
    u_du, v_dv = matmul(u, du, adjoint_a=True), matmul(v, dv, adjoint_a=True)
    j, k = f * u_du, f * v_dv
    core = (j + adjoint(j)) * s_row + s_column * (k + adjoint(k)) + diagonal_matrix(cast(ds, a.dtype))
    if a.dtype.is_complex:
        phase = diagonal_matrix(diagonal_of(v_dv))
        core = core + (conj(phase) - phase) * one_over * a.dtype.as_numpy_dtype(0.5)
    left = matmul(u, core) + (du - matmul(u, u_du)) * one_over
    right = matmul(u * one_over, dv - matmul(v, v_dv), adjoint_b=True)
    return matmul(left, v, adjoint_b=True) + right


def _safe_reciprocal(x: Any) -> Any:
    return x * apply_op(REGISTRY["Reciprocal"], (x * x + x.dtype.as_numpy_dtype(1e-20),))


def _without_null_space(vectors: Any, gradient: Any, count: Any) -> tuple[Any, Any]:
    """The first `count` vectors and their gradient; the others follow them, as they stay at right angles."""
    first, others = _last_columns(vectors, 0, count), _last_columns(vectors, count)
    turned = matmul(others, matmul(_last_columns(gradient, count), first, adjoint_a=True))
    return first, _last_columns(gradient, 0, count) - turned


SVD = define(
    "Svd", "input: T -> s: T, u: T, v: T", f"compute_uv: bool = True, full_matrices: bool = False, T: {FLOATS}",
    reference=_svd_kernel, shape=_svd_shape, gradient=_svd_gradient,
)  # fmt: skip

# ---- eigenvalues ----------------------------------------------------------------------------------------------------


def _self_adjoint_kernel(matrix: Any, *, compute_v: bool) -> Any:
    """Only the lower triangle is read."""
    matrix = wide(matrix)
    if matrix.shape[-1] == matrix.shape[-2] and not np.all(np.isfinite(np.tril(matrix))):
        raise ValueError("Self-adjoint eigen decomposition was not successful. The input might not be valid.")
    if compute_v:
        return tuple(np.linalg.eigh(matrix, "L"))
    return np.linalg.eigvalsh(matrix, "L"), np.zeros(0, matrix.dtype)


def _eigen_shape(op: Operation) -> list[TensorShape]:
    found = square(op)
    vectors = UNKNOWN if found is None else TensorShape([*found[0], found[1], found[1]])
    values = UNKNOWN if found is None else TensorShape([*found[0], found[1]])
    return [values, vectors if op.attrs["compute_v"] else TensorShape([0])]


def _self_adjoint_gradient(op: Operation, de: Any, dv: Any) -> Any:
    a, de = op.inputs[0], real_part(de)
    if op.attrs["compute_v"]:
        e, v = op.outputs
        f = cast(_reciprocal_differences(real_part(e)), a.dtype)
        core = diagonal_matrix(cast(de, a.dtype)) + f * matmul(v, dv, adjoint_a=True)
        full = matmul(v, matmul(core, v, adjoint_b=True))
    else:
        v = apply_op(SELF_ADJOINT, (a,), {"compute_v": True})[1]
        full = matmul(v * expand(cast(de, a.dtype), -2), v, adjoint_b=True)
    # the upper triangle is not read, so it has no share
    return halved_diagonal(band_part(full + adjoint(full), -1, 0))


def _eigen_kernel(matrix: Any, *, compute_v: bool) -> Any:
    matrix = wide(matrix)
    if not np.all(np.isfinite(matrix)):
        raise ValueError("Eigen decomposition was not successful. The input might not be valid.")
    if compute_v:
        return tuple(np.linalg.eig(matrix))
    return np.linalg.eigvals(matrix), np.zeros(0, np.complex128)


def _eigen_gradient(op: Operation, de: Any, dv: Any) -> Any:
    a = op.inputs[0]
    e, v = op.outputs if op.attrs["compute_v"] else apply_op(EIG, (a,), {"compute_v": True, "Tout": de.dtype})
    core = diagonal_matrix(de)
    if op.attrs["compute_v"]:
        v_dv = matmul(v, dv, adjoint_a=True)
        lengths = cast(real_part(diagonal_of(v_dv)), v.dtype)
        f = conj(_reciprocal_differences(e))
        core = core + f * (v_dv - matmul(v, v * expand(lengths, -2), adjoint_a=True))
    turned = adjoint(v)
    full = solve(turned, matmul(core, turned))
    return full if a.dtype.is_complex else cast(full, a.dtype)


SELF_ADJOINT = define(
    "SelfAdjointEigV2", "input: T -> e: T, v: T", f"compute_v: bool = True, T: {FLOATS}",
    reference=_self_adjoint_kernel, shape=_eigen_shape, gradient=_self_adjoint_gradient,
)  # fmt: skip
EIG = define(
    "Eig", "input: T -> e: Tout, v: Tout",
    "compute_v: bool = True, T: {float32, float64, complex64, complex128}, Tout: complex",
    reference=_eigen_kernel, shape=_eigen_shape, gradient=_eigen_gradient,
)  # fmt: skip

# ---- public functions of one op -------------------------------------------------------------------------------------


def _one_matrix(definition: OpDef, doc: str, *names: str, v1: Sequence[str] = (), v2: Sequence[str] = ()) -> Any:
    def function(input: Any, name: str | None = None) -> Any:
        return apply_op(definition, (input,), name=name)

    return _named(function, doc, names, v1, v2)


def _named(
    function: Callable[..., Any], doc: str, names: Sequence[str], v1: Sequence[str], v2: Sequence[str]
) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = names[0].rpartition(".")[2]
    function.__doc__ = doc
    export(function, *names, v1=v1, v2=v2)
    return function


cholesky = _one_matrix(
    CHOLESKY,
    """The lower triangular L with L L^H = input, for positive definite matrices [..., n, n].

    Only the lower triangle is read. A matrix that is not positive definite gives NaN.
    Raises InvalidArgumentError (ValueError while building a graph) for matrices that are not square.
    """,
    "linalg.cholesky",
    v1=["cholesky"],
)
det = _one_matrix(
    DETERMINANT, "The determinants of square matrices [..., n, n].", "linalg.det", v1=["matrix_determinant"]
)
slogdet = _one_matrix(
    LOG_DETERMINANT, "The sign and the logarithm of the absolute value of the determinants.", "linalg.slogdet"
)


def inv(input: Any, adjoint: bool = False, name: str | None = None) -> Any:
    """The inverses of square matrices [..., n, n] (of their conjugate transposes, where `adjoint`).

    Raises InvalidArgumentError for a matrix that has none.
    """
    return apply_op(INVERSE, (input,), {"adjoint": adjoint}, name)


def solve_public(matrix: Any, rhs: Any, adjoint: bool = False, name: str | None = None) -> Any:
    """X with matrix X = rhs (matrix^H X = rhs, where `adjoint`), for [..., n, n] and [..., n, k].

    Raises InvalidArgumentError for a matrix that is not invertible.
    """
    return apply_op(SOLVE, (matrix, rhs), {"adjoint": adjoint}, name)


def lu(input: Any, output_idx_type: Any = dtypes.int32, name: str | None = None) -> Any:
    """(lu, p): the lower triangle of `lu` (with ones on the diagonal) times its upper triangle is input[p].

    Raises InvalidArgumentError for a matrix that is not invertible.
    """
    return apply_op(LU, (input,), {"output_idx_type": dtypes.as_dtype(output_idx_type)}, name)


def qr(input: Any, full_matrices: bool = False, name: str | None = None) -> Any:
    """(q, r) with q r = input: q has orthonormal columns (all m of them, where `full_matrices`), r is upper triangular."""
    return apply_op(QR, (input,), {"full_matrices": full_matrices}, name)


export(inv, "linalg.inv", v1=["matrix_inverse"])
export(solve_public, "linalg.solve", v1=["matrix_solve"])
export(lu, "linalg.lu")
export(qr, "linalg.qr", v1=["qr"])
