"""The exponential, logarithm and square root of matrices (not of their elements)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.ops.linalg import FLOATS, adjoint, expand, solve, square_shape
from rillet.ops.precision import wide
from rillet.ops.shape import reshape, shape

# ---- kernels --------------------------------------------------------------------------------------------------------

# The numerator of the Padé approximant of order 13 to exp, and the norm up to which it is exact in double precision.
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
    10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_RADIUS = 5.371920351148152


def _double(matrix: Any) -> Any:
    return matrix.astype(np.complex128 if matrix.dtype.kind == "c" else np.float64)


def _each(function: Callable[[Any], Any], matrix: Any) -> Any:
    """`function` of each matrix of a stack, in double precision."""
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError("Input matrix must be square.")
    stack = _double(wide(matrix)).reshape(-1, *matrix.shape[-2:])
    results = [function(one) for one in stack]
    return np.array(results, stack.dtype).reshape(matrix.shape) if results else _double(wide(matrix))


def _exponential(a: Any) -> Any:
    """Scaling and squaring: exp(a) = exp(a / 2^s)^(2^s)."""
    if not np.all(np.isfinite(a)):
        return np.full_like(a, np.nan)
    length = np.linalg.norm(a, 1) if a.size else 0.0
    squarings = max(0, int(np.ceil(np.log2(length / _PADE_RADIUS)))) if length > 0 else 0
    a = a / 2.0**squarings
    identity = np.eye(len(a), dtype=a.dtype)
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a2 @ a4
    b = _PADE
    odd = a @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * identity)
    even = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * identity
    result = np.linalg.solve(even - odd, even + odd)
    for _ in range(squarings):
        result = result @ result
    return result


def _by_eigenvalues(function: Callable[[Any], Any], a: Any) -> Any | None:
    """V f(w) V^-1; None where the eigenvectors are too close to dependent for that to be precise."""
    if np.array_equal(a, a.conj().T):
        w, v = np.linalg.eigh(a)
        return (v * function(w.astype(np.complex128))) @ v.conj().T
    w, v = np.linalg.eig(a)
    if np.linalg.cond(v) > 1e6:
        return None
    return np.linalg.solve(v.T, (v * function(w)).T).T


def _root(a: Any) -> Any:
    """The principal square root. NaN where there is none of the same dtype."""
    if not np.all(np.isfinite(a)):
        return np.full_like(a, np.nan)
    result = _by_eigenvalues(np.sqrt, a)
    if result is None:
        result = _iterated_root(a.astype(np.complex128))
    return result if a.dtype.kind == "c" else _real_or_nan(result)


def _real_or_nan(value: Any) -> Any:
    is_real = np.max(np.abs(value.imag), initial=0) <= 1e-7 * max(1e-30, np.max(np.abs(value), initial=0))
    return value.real if is_real else np.full_like(value.real, np.nan)


def _iterated_root(a: Any) -> Any:
    """Denman and Beavers: x and y tend to the root and its inverse."""
    x, y = a, np.eye(len(a), dtype=a.dtype)
    for _ in range(100):
        try:
            previous, x, y = x, (x + np.linalg.inv(y)) / 2, (y + np.linalg.inv(x)) / 2
        except np.linalg.LinAlgError:
            return np.full_like(a, np.nan)
        if np.linalg.norm(x - previous, 1) <= 1e-15 * np.linalg.norm(x, 1):
            break
    return x


def _logarithm(a: Any) -> Any:
    if not np.all(np.isfinite(a)):
        return np.full_like(a, np.nan)
    result = _by_eigenvalues(np.log, a)
    if result is not None:
        return result
    roots = 0
    identity = np.eye(len(a), dtype=a.dtype)
    while np.linalg.norm(a - identity, 1) > 0.25 and roots < 60:
        a, roots = _iterated_root(a), roots + 1
    # log((1 + z) / (1 - z)) = 2 (z + z^3/3 + z^5/5 ...), |z| < 0.15
    z = np.linalg.solve((a + identity).T, (a - identity).T).T
    z2, term, total = z @ z, z, z.copy()
    for power in range(3, 40, 2):
        term = term @ z2
        total = total + term / power
    return total * 2.0 ** (roots + 1)


# ---- gradients ------------------------------------------------------------------------------------------------------


def _by_blocks(op: Operation, dy: Any) -> Any:
    """f([[A, E], [0, A]]) has the derivative of f along E in its upper right block; its adjoint is that along dY of A^H."""
    turned = adjoint(op.inputs[0])
    nothing = apply_op(REGISTRY["ZerosLike"], (turned,))
    above = apply_op(REGISTRY["ConcatV2"], ([turned, dy], -1))
    below = apply_op(REGISTRY["ConcatV2"], ([nothing, turned], -1))
    full = apply_op(op.definition, (apply_op(REGISTRY["ConcatV2"], ([above, below], -2)),))
    size = shape(op.inputs[0])[-1]
    return full[..., :size, size:]


def _root_gradient(op: Operation, dy: Any) -> Any:
    """R^H dA + dA R^H = dR, solved as one system of n^2 equations."""
    turned = adjoint(op.outputs[0])
    sizes = shape(turned)
    count, batch = sizes[-1], sizes[:-2]
    one, zero = (turned.dtype.as_numpy_dtype(value) for value in (1, 0))
    every = apply_op(REGISTRY["Range"], (0, count, 1))
    identity = apply_op(REGISTRY["OneHot"], (every, count, one, zero), {"axis": -1})
    columns = apply_op(REGISTRY["Conj"], (op.outputs[0],)) if op.outputs[0].dtype.is_complex else op.outputs[0]
    system = _kronecker(turned, identity, batch, count) + _kronecker(identity, columns, batch, count)
    flat = reshape(dy, _joined(batch, [count * count, 1]))
    return reshape(solve(system, flat), sizes)


def _kronecker(a: Any, b: Any, batch: Any, count: Any) -> Any:
    """The Kronecker product, of shape [*batch, count^2, count^2]; one of the two may lack the batch."""
    product = expand(expand(a, -1), -3) * expand(expand(b, -2), -4)
    return reshape(product, _joined(batch, [count * count, count * count]))


def _joined(batch: Any, sizes: list[Any]) -> Any:
    return apply_op(REGISTRY["ConcatV2"], ([batch, apply_op(REGISTRY["Pack"], (sizes,), {"axis": 0})], 0))


# ---- the ops --------------------------------------------------------------------------------------------------------

EXPONENTIAL = define(
    "MatrixExponential", "input: T -> output: T", f"T: {FLOATS}",
    reference=lambda matrix: _each(_exponential, matrix), shape=square_shape, gradient=_by_blocks,
)  # fmt: skip
LOGARITHM = define(
    "MatrixLogarithm", "input: T -> output: T", "T: complex",
    reference=lambda matrix: _each(_logarithm, matrix), shape=square_shape, gradient=_by_blocks,
)  # fmt: skip
SQUARE_ROOT = define(
    "MatrixSquareRoot", "input: T -> output: T", f"T: {FLOATS}",
    reference=lambda matrix: _each(_root, matrix), shape=square_shape, gradient=_root_gradient,
)  # fmt: skip


@public("linalg.expm")
def expm(input: Any, name: str | None = None) -> Any:
    """The exponentials of square matrices [..., n, n]: 1 + A + A^2/2 + A^3/6 ... ValueError for integers."""
    matrix = convert_to_tensor(input)
    if not (matrix.dtype.is_floating or matrix.dtype.is_complex):
        raise ValueError(f"tf.linalg.expm does not support matrices of type {matrix.dtype!r}")
    return apply_op(EXPONENTIAL, (matrix,), name=name or "matrix_exponential")


@public("linalg.logm")
def logm(input: Any, name: str | None = None) -> Any:
    """The principal logarithms of complex square matrices [..., n, n]: tf.linalg.expm of them is `input`."""
    return apply_op(LOGARITHM, (input,), name=name)


@public("linalg.sqrtm", "matrix_square_root")
def sqrtm(input: Any, name: str | None = None) -> Any:
    """The principal square roots of square matrices [..., n, n]; NaN where a real matrix has no real one."""
    return apply_op(SQUARE_ROOT, (input,), name=name)
