"""Products and solvers for matrices that are zero outside of a few diagonals."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops.elementwise import conj
from rillet.ops.linalg import (
    FLOATS,
    SELF_ADJOINT,
    adjoint,
    expand,
    input_shapes,
    matrices,
    real_part,
    substituted,
    summed_to,
)
from rillet.ops.matmul import adjoint_of
from rillet.ops.precision import wide
from rillet.ops.reduce import reduce_sum
from rillet.ops.scope import scope

_TYPES = "{float64, float32, complex64, complex128}"

# ---- rows moved up and down -----------------------------------------------------------------------------------------


def _moved(array: Any, offset: int, axis: int) -> Any:
    """The array moved by `offset` places along `axis` (towards the end where positive), with zeros behind it."""
    result = np.zeros_like(array)
    source, target = [slice(None)] * array.ndim, [slice(None)] * array.ndim
    size = array.shape[axis]
    source[axis] = slice(max(0, -offset), max(0, size - max(0, offset)))
    target[axis] = slice(max(0, offset), max(0, size + min(0, offset)))
    result[tuple(target)] = array[tuple(source)]
    return result


def _shifted(x: Any, offset: int) -> Any:
    """The rows of the tensor `x` [..., n, k] moved by `offset` places, with zeros behind them."""
    if offset == 0:
        return x
    nothing = apply_op(REGISTRY["ZerosLike"], (x,))
    if offset > 0:
        parts = [nothing[..., :offset, :], x[..., :-offset, :]]
    else:
        parts = [x[..., -offset:, :], nothing[..., :-offset, :]]
    return apply_op(REGISTRY["ConcatV2"], (parts, -2))


def _shifted_diagonal(x: Any, offset: int) -> Any:
    """The last axis of `x` moved by `offset` places, with zeros behind it."""
    return apply_op(REGISTRY["Squeeze"], (_shifted(expand(x, -1), offset),), {"squeeze_dims": (-1,)})


# ---- products -------------------------------------------------------------------------------------------------------


def _product_kernel(above: Any, main: Any, below: Any, rhs: Any) -> Any:
    size = rhs.shape[-2]
    for diagonal, word in ((above, "superdiagonal"), (main, "maindiagonal"), (below, "subdiagonal")):
        if diagonal.ndim != rhs.ndim:
            raise ValueError("All input tensors must have the same rank.")
        if diagonal.shape[-2:] != (1, size):
            raise ValueError(f"Invalid {word} shape.")
    up, middle, down = (np.swapaxes(diagonal, -1, -2) for diagonal in (above, main, below))
    return up * _moved(rhs, -1, -2) + middle * rhs + down * _moved(rhs, 1, -2)


def _product_shape(op: Operation) -> TensorShape:
    rhs = op.inputs[3].shape
    for index, word in enumerate(("superdiagonal", "maindiagonal", "subdiagonal")):
        found = matrices(op, index)
        if found is None or rhs.dimensions is None:
            continue
        if len(found[0]) + 2 != len(rhs.dimensions):
            raise ShapeError(
                f"Shapes must be equal rank for '{op.type}' with input shapes: {input_shapes(op)}.",
                "All input tensors must have the same rank.",
            )
        if found[1] not in (None, 1) or (None not in (found[2], rhs.dimensions[-2]) and found[2] != rhs.dimensions[-2]):
            raise ShapeError(
                f"Dimensions must be equal, but are {found[2]} and {rhs.dimensions[-2]} for '{op.type}' with input shapes: "
                f"{input_shapes(op)}.",
                f"Invalid {word} shape.",
                {index: [-1], 3: [-2]},
            )
    return rhs


def _product_gradient(op: Operation, dy: Any) -> list[Any]:
    rhs = conj(op.inputs[3])

    def along(offset: int) -> Any:
        return expand(reduce_sum(_shifted(rhs, offset) * dy, -1), -2)

    d_rhs = (
        _shifted(adjoint(op.inputs[0]) * dy, 1) + adjoint(op.inputs[1]) * dy + _shifted(adjoint(op.inputs[2]) * dy, -1)
    )
    return [along(-1), along(0), along(1), d_rhs]


TRIDIAGONAL_MATMUL = define(
    "TridiagonalMatMul", "superdiag: T, maindiag: T, subdiag: T, rhs: T -> output: T", f"T: {_TYPES}",
    reference=_product_kernel, shape=_product_shape, gradient=_product_gradient,
)  # fmt: skip

# ---- tridiagonal equations ------------------------------------------------------------------------------------------


def _solve_kernel(diagonals: Any, rhs: Any, *, partial_pivoting: bool, perturb_singular: bool) -> Any:
    """Gaussian elimination, for all matrices at once. With pivoting a second diagonal above the main one comes up."""
    if diagonals.shape[-2] != 3:
        raise ValueError(f"Expected diagonals to have 3 rows, got {diagonals.shape[-2]}")
    if diagonals.shape[:-2] != rhs.shape[:-2] or diagonals.shape[-1] != rhs.shape[-2]:
        raise ValueError("Expected the same left-hand sides and right-hand sides.")
    dtype = np.result_type(diagonals.dtype, np.float64)
    up, main, down = (diagonals[..., row, :].astype(dtype) for row in range(3))
    up[..., -1:] = 0
    second = np.zeros_like(up)
    x = rhs.astype(dtype)
    size = x.shape[-2]
    for step in range(size - 1):
        here, below = (..., step), (..., step + 1)
        lead = down[below].copy()
        if partial_pivoting:
            swap = np.abs(lead) > np.abs(main[here])
            main[here], lead = np.where(swap, lead, main[here]), np.where(swap, main[here], lead)
            up[here], main[below] = np.where(swap, main[below], up[here]), np.where(swap, up[here], main[below])
            second[here] = np.where(swap, up[below], 0)
            up[below] = np.where(swap, 0, up[below])
            rows = x[..., step, :].copy(), x[..., step + 1, :].copy()
            x[..., step, :] = np.where(swap[..., None], rows[1], rows[0])
            x[..., step + 1, :] = np.where(swap[..., None], rows[0], rows[1])
        main[here] = _pivot(main[here], diagonals, perturb_singular)
        factor = lead / main[here]
        main[below] = main[below] - factor * up[here]
        up[below] = up[below] - factor * second[here]
        x[..., step + 1, :] -= factor[..., None] * x[..., step, :]
    for step in reversed(range(size)):
        if step == size - 1:
            main[..., step] = _pivot(main[..., step], diagonals, perturb_singular)
        total = x[..., step, :]
        if step + 1 < size:
            total = total - up[..., step, None] * x[..., step + 1, :]
        if step + 2 < size:
            total = total - second[..., step, None] * x[..., step + 2, :]
        x[..., step, :] = total / main[..., step, None]
    singular = np.any(main == 0, axis=-1) if size else np.zeros(x.shape[:-2], bool)
    return np.where(singular[..., None, None], np.nan, x)


def _pivot(pivot: Any, diagonals: Any, perturb_singular: bool) -> Any:
    """Pivots too small to divide by are raised, where that is asked for."""
    if not perturb_singular:
        return pivot
    tiny = np.finfo(diagonals.real.dtype).tiny / np.finfo(diagonals.real.dtype).eps
    least = max(tiny, float(np.finfo(diagonals.real.dtype).eps * np.max(np.abs(diagonals), initial=0)))
    return np.where(np.abs(pivot) < least, least, pivot)


def _solve_shape(op: Operation) -> TensorShape:
    left, right = matrices(op, 0), matrices(op, 1)
    if left is None or right is None:
        return UNKNOWN
    if left[1] not in (None, 3):
        text = f"Expected diagonals to have 3 rows, got {left[1]}"
        raise ShapeError(
            f"Dimension must be 3 but is {left[1]} for '{op.type}' with input shapes: {input_shapes(op)}.", text
        )
    _check_length(op, left, right)
    return TensorShape(
        [*(left[0] if None in right[0] else right[0]), left[2] if right[1] is None else right[1], right[2]]
    )


def _check_length(op: Operation, left: Any, right: Any) -> None:
    if None not in (left[2], right[1]) and left[2] != right[1]:
        shapes = [format_shape(tensor.shape.dimensions) for tensor in op.inputs]
        raise ShapeError(
            f"Dimensions must be equal, but are {left[2]} and {right[1]} for '{op.type}' with input shapes: {input_shapes(op)}.",
            f"In[0] mismatch In[1] shape: {left[2]} vs. {right[1]}: {shapes[0]} {shapes[1]}",
            {0: [-1], 1: [-2]},
        )


def _solve_gradient(op: Operation, dy: Any) -> list[Any]:
    diagonals, x = op.inputs[0], op.outputs[0]
    up, main, down = (conj(diagonals[..., row, :]) for row in range(3))
    turned = apply_op(REGISTRY["Pack"], ([_shifted_diagonal(down, -1), main, _shifted_diagonal(up, 1)],), {"axis": -2})
    d_rhs = apply_op(TRIDIAGONAL_SOLVE, (turned, dy), dict(op.attrs))
    x = conj(x)
    parts = [-reduce_sum(_shifted(x, offset) * d_rhs, -1) for offset in (-1, 0, 1)]
    return [apply_op(REGISTRY["Pack"], (parts,), {"axis": -2}), d_rhs]


TRIDIAGONAL_SOLVE = define(
    "TridiagonalSolve", "diagonals: T, rhs: T -> output: T",
    f"partial_pivoting: bool = True, perturb_singular: bool = False, T: {_TYPES}",
    reference=_solve_kernel, shape=_solve_shape, gradient=_solve_gradient,
)  # fmt: skip

# ---- banded triangular equations ------------------------------------------------------------------------------------


def _dense_triangle(bands: Any, lower: bool) -> Any:
    """Square matrices from their bands. The main diagonal is the first row of `bands` (the last of an upper triangle)."""
    count, size = bands.shape[-2:]
    result = np.zeros((*bands.shape[:-2], size, size), bands.dtype)
    for row in range(count):
        offset = row if lower else count - 1 - row
        places = np.arange(size - offset)
        if lower:
            result[..., places + offset, places] = bands[..., row, offset:]
        else:
            result[..., places, places + offset] = bands[..., row, : size - offset]
    return result


def _banded_kernel(bands: Any, rhs: Any, *, lower: bool, adjoint: bool) -> Any:
    if bands.shape[-1] != rhs.shape[-2]:
        raise ValueError("the sizes don't fit")
    bands, rhs = wide(bands), wide(rhs)
    if np.any(bands[..., 0 if lower else -1, :] == 0):
        raise ValueError("Input matrix is not invertible.")
    matrix = _dense_triangle(bands, lower)
    if adjoint:
        matrix, lower = adjoint_of(matrix), not lower
    return substituted(matrix, rhs, lower)


def _banded_shape(op: Operation) -> TensorShape:
    left, right = matrices(op, 0), matrices(op, 1)
    if left is None or right is None:
        return UNKNOWN
    _check_length(op, left, right)
    if left[1] == 0 or (None not in left[1:] and left[1] > left[2]):
        raise ShapeError(f"Bands must have between 1 and {left[2]} rows, but have {left[1]}", marks={0: [-2]})
    length = max(len(left[0]), len(right[0]))
    batch = [1] * (length - len(left[0])) + left[0], [1] * (length - len(right[0])) + right[0]
    merged = [b if a == 1 else a if b in (1, None) else b for a, b in zip(*batch)]
    return TensorShape([*merged, left[2] if right[1] is None else right[1], right[2]])


def _banded_gradient(op: Operation, dy: Any) -> list[Any]:
    bands, x = op.inputs[0], op.outputs[0]
    count = bands.shape.dimensions[-2] if bands.shape.dimensions is not None else None
    if count is None:
        raise ValueError("The gradient of BandedTriangularSolve needs to know the number of bands.")
    is_lower, is_adjoint = op.attrs["lower"], op.attrs["adjoint"]
    d_rhs = apply_op(op.definition, (bands, dy), {"lower": is_lower, "adjoint": not is_adjoint})
    row_side, column_side = (x, conj(d_rhs)) if is_adjoint else (d_rhs, conj(x))
    parts = []
    for row in range(count):
        offset = row if is_lower else row + 1 - count
        parts.append(-reduce_sum(row_side * _shifted(column_side, offset), -1))
    d_bands = apply_op(REGISTRY["Pack"], (parts,), {"axis": -2})
    return [summed_to(d_bands, bands), summed_to(d_rhs, op.inputs[1])]


BANDED_TRIANGULAR_SOLVE = define(
    "BandedTriangularSolve", "matrix: T, rhs: T -> output: T",
    f"lower: bool = True, adjoint: bool = False, T: {FLOATS}",
    reference=_banded_kernel, shape=_banded_shape, gradient=_banded_gradient,
)  # fmt: skip

# ---- public functions -----------------------------------------------------------------------------------------------


def _compact_diagonals(diagonals: Any, diagonals_format: str) -> Any:
    """The diagonals [..., 3, n] (above, main, below) from any format. ValueError for an unknown one."""
    if diagonals_format == "compact":
        return convert_to_tensor(diagonals, name="diagonals")
    if diagonals_format == "sequence":
        up, main, down = (convert_to_tensor(part) for part in diagonals)
        size = main.shape.dimensions[-1]
        parts = [_lengthened(up, size, at_end=True), main, _lengthened(down, size, at_end=False)]
        return apply_op(REGISTRY["Pack"], (parts,), {"axis": -2}, "stack")
    if diagonals_format != "matrix":
        raise ValueError(f"Unrecognized diagonals_format: {diagonals_format}")
    matrix = convert_to_tensor(diagonals, name="diagonals")
    zero = matrix.dtype.as_numpy_dtype(0)
    band = (matrix, np.array([-1, 1], np.int32), zero)
    return apply_op(REGISTRY["MatrixDiagPartV3"], band, {"align": "LEFT_RIGHT"})


def _lengthened(diagonal: Any, size: int | None, at_end: bool) -> Any:
    """A diagonal of n - 1 elements with a zero at the end that is not read."""
    length = diagonal.shape.dimensions[-1]
    if length is None or size is None or length == size:
        return diagonal
    sides = [[0, 0]] * (diagonal.shape.rank - 1) + [[0, 1] if at_end else [1, 0]]
    return apply_op(REGISTRY["Pad"], (diagonal, np.array(sides, np.int32)))


@public("linalg.tridiagonal_solve")
def tridiagonal_solve(
    diagonals: Any,
    rhs: Any,
    diagonals_format: str = "compact",
    transpose_rhs: bool = False,
    conjugate_rhs: bool = False,
    name: str | None = None,
    partial_pivoting: bool = True,
    perturb_singular: bool = False,
) -> Any:
    """X with A X = rhs, for tridiagonal matrices A and rhs [..., n, k] (or [..., n]).

    diagonals: "compact": [..., 3, n], the diagonals above (its last element is not read), on and below (its first
        element is not read) the main one; "sequence": these three; "matrix": [..., n, n].
    transpose_rhs, conjugate_rhs: what is done to rhs first. perturb_singular: too small pivots are raised.
    A singular matrix gives NaN. Raises ValueError for another format, or sizes that don't fit.
    """
    diagonals = _compact_diagonals(diagonals, diagonals_format)
    rhs = convert_to_tensor(rhs, name="rhs", dtype_hint=diagonals.dtype)
    if diagonals.shape.dimensions is not None and rhs.shape.dimensions is not None:
        is_vector = rhs.shape.rank == diagonals.shape.rank - 1
    else:
        is_vector = False
    if is_vector:
        rhs = expand(conj(rhs) if conjugate_rhs else rhs, -1)
    elif transpose_rhs:
        rhs = adjoint(rhs) if conjugate_rhs else conj(adjoint(rhs))
    elif conjugate_rhs:
        rhs = conj(rhs)
    _check_equations(diagonals, rhs)
    attrs = {"partial_pivoting": partial_pivoting, "perturb_singular": perturb_singular}
    result = apply_op(TRIDIAGONAL_SOLVE, (diagonals, rhs), attrs, name)
    return apply_op(REGISTRY["Squeeze"], (result,), {"squeeze_dims": (-1,)}) if is_vector else result


def _check_equations(diagonals: Any, rhs: Any) -> None:
    left, right = diagonals.shape.dimensions, rhs.shape.dimensions
    if left is not None and left[-2] not in (None, 3):
        raise ValueError(f"Expected 3 diagonals got {left[-2]}")
    if left is not None and right is not None and None not in (left[-1], right[-2]) and left[-1] != right[-2]:
        raise ValueError(
            f"Expected number of left-hand sided and right-hand sides to be equal, got {left[-1]} and {right[-2]}"
        )


@public("linalg.tridiagonal_matmul")
def tridiagonal_matmul(diagonals: Any, rhs: Any, diagonals_format: str = "compact", name: str | None = None) -> Any:
    """A rhs for tridiagonal matrices A and rhs [..., n, k]; see tf.linalg.tridiagonal_solve for the formats.

    Raises ValueError for another format, InvalidArgumentError for sizes that don't fit.
    """
    if diagonals_format == "sequence":
        parts = [convert_to_tensor(part) for part in diagonals]
    else:
        compact = _compact_diagonals(diagonals, diagonals_format)
        parts = [compact[..., row, :] for row in range(3)]
    rhs = convert_to_tensor(rhs, name="rhs", dtype_hint=parts[0].dtype)
    return apply_op(TRIDIAGONAL_MATMUL, (*(expand(part, -2) for part in parts), rhs), name=name)


@public(v2=["linalg.banded_triangular_solve"])
def banded_triangular_solve(
    bands: Any, rhs: Any, lower: bool = True, adjoint: bool = False, name: str | None = None
) -> Any:
    """X with A X = rhs (A^H X = rhs, where `adjoint`), for triangular matrices A with few diagonals.

    bands: [..., b, n], a row for each diagonal: the main one first, then those below it (of an upper triangle: the main
        one last, below those above it). Column i holds the element of row i of A.
    Raises InvalidArgumentError for a zero on the main diagonal.
    """
    with scope(name or "banded_triangular_solve", bands, rhs):
        return apply_op(BANDED_TRIANGULAR_SOLVE, (bands, rhs), {"lower": lower, "adjoint": adjoint})


@public("linalg.eigh_tridiagonal")
def eigh_tridiagonal(
    alpha: Any,
    beta: Any,
    eigvals_only: bool = True,
    select: str = "a",
    select_range: Any = None,
    tol: Any = None,
    name: str | None = None,
) -> Any:
    """The eigenvalues, rising, of self-adjoint tridiagonal matrices; with their eigenvectors (columns) if not eigvals_only.

    alpha: the main diagonal [n]; beta: the one above it [n - 1], whose conjugate lies below.
    select: "a" for all eigenvalues; "i" for those from index select_range[0] to select_range[1]; "v" for those in the
        interval (select_range[0], select_range[1]]. tol is not used: the eigenvalues are exact but for rounding.
    Raises ValueError for another `select`.
    """
    if select not in ("a", "i", "v"):
        raise ValueError(f"'select must have a value in {{'a', 'i', 'v'}}, got {select}.")
    with scope(name or "eigh_tridiagonal", alpha, beta):
        alpha = convert_to_tensor(alpha, name="alpha")
        beta = convert_to_tensor(beta, name="beta", dtype_hint=alpha.dtype)
        nothing = apply_op(REGISTRY["ZerosLike"], (alpha[..., :1],))
        lower = apply_op(REGISTRY["ConcatV2"], ([conj(beta), nothing], -1))
        rows = apply_op(REGISTRY["Pack"], ([alpha, lower],), {"axis": -2})
        zero = alpha.dtype.as_numpy_dtype(0)
        matrix = apply_op(
            REGISTRY["MatrixDiagV3"],
            (rows, np.array([-1, 0], np.int32), np.int32(-1), np.int32(-1), zero),
            {"align": "LEFT_LEFT"},
        )
        # rows lie below each other from the highest diagonal to the lowest; only the lower triangle is read
        values, vectors = apply_op(SELF_ADJOINT, (matrix,), {"compute_v": not eigvals_only})
        values = real_part(values)
        if select == "i":
            low, high = select_range
            chosen = slice(low, high + 1)
            values, vectors = values[..., chosen], vectors if eigvals_only else vectors[..., chosen]
        elif select == "v":
            low, high = (convert_to_tensor(limit, values.dtype) for limit in select_range)
            inside = apply_op(REGISTRY["LogicalAnd"], (values > low, values <= high))
            places = apply_op(REGISTRY["Where"], (inside,))[:, 0]
            values = apply_op(REGISTRY["GatherV2"], (values, places, 0))
            vectors = vectors if eigvals_only else apply_op(REGISTRY["GatherV2"], (vectors, places, 1))
        return values if eigvals_only else (values, vectors)
