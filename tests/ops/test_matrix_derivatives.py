"""Derivatives of first and second order of matrix functions against finite differences, for real and complex numbers.

The rows of the op table check real derivatives. Here complex ones are checked too, whose gradient is taken such that a
small change d of the input changes the output by the real part of sum(conj(gradient) * d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.ops import harness

Array = np.ndarray[Any, Any]
tf: Any = harness.module_under_test()
linalg: Any = tf.linalg

STEP = 1e-4


def _matrix(rows: int, columns: int, *batch: int) -> Callable[[np.random.RandomState, bool], Array]:
    """Matrices far from singular, with different singular values."""

    def draw(random: np.random.RandomState, is_complex: bool) -> Array:
        shape = (*batch, rows, columns)
        matrix = random.uniform(-1, 1, shape) + (1j * random.uniform(-1, 1, shape) if is_complex else 0)
        places = range(min(rows, columns))
        matrix[..., places, places] += 2.0 + 0.7 * np.arange(min(rows, columns))
        return matrix

    return draw


def _positive(size: int, *batch: int) -> Callable[[np.random.RandomState, bool], Array]:
    def draw(random: np.random.RandomState, is_complex: bool) -> Array:
        root = _matrix(size, size, *batch)(random, is_complex)
        return root @ np.conj(np.swapaxes(root, -1, -2)) + np.eye(size)

    return draw


def _hermitian(x: Any) -> Any:
    return (x + linalg.adjoint(x)) / 2


def _columns_scaled(vectors: Any, factors: Any) -> Any:
    return vectors * tf.cast(factors, vectors.dtype)[..., None, :]


def _projections(x: Any, full: bool = False) -> list[Any]:
    """What an SVD says beyond the phases of its vectors."""
    s, u, v = linalg.svd(x, full_matrices=full)
    count = min(x.shape[-2:])
    product = tf.matmul(_columns_scaled(u[..., :count], s), v[..., :count], adjoint_b=True)
    parts = (u[..., :count], u[..., count:], v[..., :count], v[..., count:])
    return [s, product, *(tf.matmul(part, part, adjoint_b=True) for part in parts)]


def _normalized_qr(x: Any, full: bool = False) -> list[Any]:
    q, r = linalg.qr(x, full_matrices=full)
    if not x.dtype.is_complex:
        return [q, r]
    diagonal = linalg.diag_part(r[..., : q.shape[-1]])
    phase = diagonal / tf.cast(tf.abs(diagonal), x.dtype)
    return [q * phase[..., None, :], r * tf.math.conj(phase)[..., :, None]]


def _eigen_function(x: Any) -> Any:
    e, v = linalg.eig(x)
    return tf.math.real(tf.matmul(_columns_scaled(v, e**2), linalg.inv(v)))


def _self_adjoint_function(x: Any) -> list[Any]:
    e, v = linalg.eigh(_hermitian(x))
    return [e, tf.matmul(_columns_scaled(v, e**3), v, adjoint_b=True)]


def _least_squares(a: Any, b: Any) -> Any:
    return tf.raw_ops.MatrixSolveLs(matrix=a, rhs=b, l2_regularizer=0.3)


PERMUTATION = [2, 0, 1]
SQUARE, TALL, WIDE = _matrix(3, 3), _matrix(4, 2), _matrix(2, 4)

FUNCTIONS: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "qr, tall": (_normalized_qr, [TALL]),
    "qr, square": (_normalized_qr, [_matrix(3, 3, 2)]),
    "qr, wide": (_normalized_qr, [WIDE]),
    "qr, wide and full": (lambda x: _normalized_qr(x, full=True), [WIDE]),
    "svd, tall": (_projections, [TALL]),
    "svd, wide": (_projections, [WIDE]),
    "svd, full, tall": (lambda x: _projections(x, full=True), [TALL]),
    "svd, full, wide": (lambda x: _projections(x, full=True), [_matrix(2, 3)]),
    "svd, values": (lambda x: linalg.svd(x, compute_uv=False), [_matrix(3, 2)]),
    "lu": (lambda x: linalg.lu(x)[0], [_matrix(3, 3, 2)]),
    "lu_reconstruct": (lambda x: linalg.lu_reconstruct(x, PERMUTATION), [SQUARE]),
    "lu_solve": (lambda x, b: linalg.lu_solve(x, PERMUTATION, b), [SQUARE, _matrix(3, 2)]),
    "lu_matrix_inverse": (lambda x: linalg.lu_matrix_inverse(*linalg.lu(x)), [SQUARE]),
    "eigh": (_self_adjoint_function, [_positive(3, 2)]),
    "eigvalsh": (lambda x: linalg.eigvalsh(_hermitian(x)), [_positive(3)]),
    "eig": (_eigen_function, [SQUARE]),
    "eigvals": (lambda x: tf.math.real(linalg.eigvals(x) ** 2), [SQUARE]),
    "cholesky": (lambda x: linalg.cholesky(_hermitian(x)), [_positive(3, 2)]),
    "cholesky_solve": (
        lambda x, b: linalg.cholesky_solve(linalg.cholesky(_hermitian(x)), b),
        [_positive(3), _matrix(3, 2)],
    ),
    "inv": (linalg.inv, [_matrix(3, 3, 2)]),
    "inv, adjoint": (lambda x: linalg.inv(x, adjoint=True), [SQUARE]),
    "det": (linalg.det, [_matrix(3, 3, 2)]),
    "slogdet": (lambda x: list(linalg.slogdet(x)), [SQUARE]),
    "logdet": (lambda x: linalg.logdet(_hermitian(x)), [_positive(3)]),
    "solve": (linalg.solve, [SQUARE, _matrix(3, 2)]),
    "solve, adjoint": (lambda a, b: linalg.solve(a, b, adjoint=True), [SQUARE, _matrix(3, 2)]),
    "triangular_solve": (
        lambda a, b: linalg.triangular_solve(a, b, lower=False, adjoint=True),
        [_matrix(3, 3, 2), _matrix(3, 2)],
    ),
    "lstsq, tall": (lambda a, b: linalg.lstsq(a, b, l2_regularizer=0.3), [TALL, _matrix(4, 1)]),
    "lstsq, wide": (lambda a, b: linalg.lstsq(a, b, l2_regularizer=0.3), [WIDE, _matrix(2, 1)]),
    "MatrixSolveLs, tall": (_least_squares, [TALL, _matrix(4, 1)]),
    "MatrixSolveLs, wide": (_least_squares, [WIDE, _matrix(2, 1)]),
    "lstsq, slow, tall": (lambda a, b: linalg.lstsq(a, b, fast=False), [TALL, _matrix(4, 1)]),
    "lstsq, slow, wide": (lambda a, b: linalg.lstsq(a, b, fast=False), [WIDE, _matrix(2, 1)]),
    "pinv": (linalg.pinv, [TALL]),
    "expm": (linalg.expm, [_matrix(3, 3, 2)]),
    "sqrtm": (linalg.sqrtm, [_positive(3, 2)]),
    "tridiagonal_solve": (linalg.tridiagonal_solve, [_matrix(3, 4, 2), _matrix(4, 2, 2)]),
    "tridiagonal_matmul": (linalg.tridiagonal_matmul, [_matrix(3, 4, 2), _matrix(4, 2, 2)]),
    "banded_triangular_solve": (lambda d, b: linalg.banded_triangular_solve(d + 3, b), [_matrix(2, 4), _matrix(4, 2)]),
    "banded_triangular_solve, upper, adjoint": (
        lambda d, b: linalg.banded_triangular_solve(d + 3, b, lower=False, adjoint=True),
        [_matrix(2, 4), _matrix(4, 2)],
    ),
    "matmul": (lambda a, b: tf.matmul(a, b, transpose_a=True, adjoint_b=True), [_matrix(3, 2), _matrix(4, 3)]),
    "matmul, batches": (lambda a, b: tf.matmul(a, b, transpose_b=True), [_matrix(3, 2, 2, 1), _matrix(4, 2, 3)]),
    "einsum": (lambda a, b: tf.einsum("...ij,kj->...ik", a, b), [_matrix(3, 2, 2), _matrix(4, 2)]),
    "einsum, diagonal": (lambda a, b: tf.einsum("ii,jk->ij", a, b), [SQUARE, _matrix(4, 2)]),
    "reduce_prod": (lambda a: tf.reduce_prod(a, 1), [_matrix(3, 2)]),
    "reduce_euclidean_norm": (lambda a: tf.math.reduce_euclidean_norm(a, 1), [_matrix(3, 2)]),
    "reduce_variance": (lambda a: tf.math.reduce_variance(a, 1), [_matrix(3, 2)]),
    "norm": (lambda a: tf.norm(a, axis=1), [_matrix(3, 2)]),
    "norm, spectral": (lambda a: tf.norm(a, ord=2, axis=[0, 1]), [_matrix(3, 2)]),
    "l2_normalize": (lambda a: tf.nn.l2_normalize(a, 1), [_matrix(3, 2)]),
    "cumsum": (lambda a: tf.cumsum(a, 1, exclusive=True, reverse=True), [_matrix(3, 2)]),
    "cumprod": (lambda a: tf.math.cumprod(a, 1, exclusive=True), [_matrix(3, 2)]),
    "segment_prod": (lambda a: tf.math.segment_prod(a, [0, 0, 1, 1]), [TALL]),
    "unsorted_segment_sum": (lambda a: tf.math.unsorted_segment_sum(a, [1, -1, 0, 1], 3), [TALL]),
}
COMPLEX_ONLY: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "logm": (linalg.logm, [_positive(3)]),
    "irfft, even": (lambda x: tf.signal.irfft(x, [6]), [_matrix(3, 5)]),
    "irfft, odd": (lambda x: tf.signal.irfft(x, [7]), [_matrix(3, 5)]),
    "irfft3d": (lambda x: tf.signal.irfft3d(x, [2, 3, 4]), [_matrix(4, 3, 2)]),
    "fft3d": (tf.signal.fft3d, [_matrix(4, 3, 2)]),
    "ifft2d": (tf.signal.ifft2d, [_matrix(4, 3)]),
}
REAL_ONLY: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "rfft2d, cropped and padded": (lambda x: tf.signal.rfft2d(x, [3, 5]), [_matrix(4, 4)]),
    "rfft3d": (tf.signal.rfft3d, [_matrix(4, 3, 2)]),
    "cross": (linalg.cross, [_matrix(2, 3), _matrix(2, 3)]),
    "cumulative_logsumexp": (lambda x: tf.math.cumulative_logsumexp(x, 1, reverse=True), [_matrix(3, 4)]),
}
CASES = [
    *(pytest.param(*case, False, id=f"{name}-real") for name, case in (FUNCTIONS | REAL_ONLY).items()),
    *(pytest.param(*case, True, id=f"{name}-complex") for name, case in (FUNCTIONS | COMPLEX_ONLY).items()),
]


def _inner(a: Array, b: Array) -> float:
    return float(np.real(np.sum(np.conj(a) * b)))


def _wave(shape: Sequence[int], is_complex: bool, frequency: float) -> Array:
    """Weights without any symmetry."""
    count = np.arange(np.prod(shape, dtype=int)) + 1.0
    return (np.cos(frequency * count) + (1j * np.sin(1.7 * frequency * count) if is_complex else 0)).reshape(shape)


class _Line:
    """A function and its gradients along a line of inputs."""

    def __init__(self, function: Callable[..., Any], arrays: Sequence[Array], directions: Sequence[Array]) -> None:
        self.function, self.arrays, self.directions = function, arrays, directions

    def tensors(self, step: float) -> list[Any]:
        return [tf.constant(array + step * way) for array, way in zip(self.arrays, self.directions, strict=True)]

    def outputs(self, tensors: Sequence[Any]) -> list[Any]:
        result = self.function(*tensors)
        return list(result) if isinstance(result, list | tuple) else [result]

    def value(self, step: float) -> float:
        """A weighted sum of the outputs."""
        outputs = [output.numpy() for output in self.outputs(self.tensors(step))]
        return sum(_inner(_wave(output.shape, np.iscomplexobj(output), 1.0), output) for output in outputs)

    def gradients(self, tensors: Sequence[Any]) -> list[Any]:
        """Of `value`."""
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs = self.outputs(tensors)
        weights = [_wave(tuple(output.shape), output.dtype.is_complex, 1.0) for output in outputs]
        starts = [tf.constant(weight, output.dtype) for weight, output in zip(weights, outputs, strict=True)]
        return list(tape.gradient(outputs, tensors, output_gradients=starts))

    def slope(self, step: float) -> float:
        """A weighted sum of the gradients."""
        return sum(
            _inner(weight, part.numpy()) for weight, part in zip(self.weights(), self.gradients(self.tensors(step)))
        )

    def weights(self) -> list[Array]:
        return [_wave(array.shape, np.iscomplexobj(array), 0.9) for array in self.arrays]

    def curvatures(self) -> list[Any]:
        """The gradients of `slope`."""
        tensors = self.tensors(0.0)
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            first = self.gradients(tensors)
        return list(tape.gradient(first, tensors, output_gradients=[tf.constant(weight) for weight in self.weights()]))

    def along(self, gradients: Sequence[Any]) -> float:
        pairs = zip(gradients, self.directions, strict=True)
        return sum(_inner(gradient.numpy(), way) for gradient, way in pairs if gradient is not None)


def _difference_quotient(function: Callable[[float], float]) -> float:
    far, near = function(2 * STEP) - function(-2 * STEP), function(STEP) - function(-STEP)
    return (8 * near - far) / (12 * STEP)


@pytest.mark.parametrize(("function", "inputs", "is_complex"), CASES)
def test_derivatives(function: Callable[..., Any], inputs: Sequence[Any], is_complex: bool) -> None:
    random = np.random.RandomState(7)
    arrays = [draw(random, is_complex) for draw in inputs]
    directions = [_wave(array.shape, is_complex, 2.3) for array in arrays]
    line = _Line(function, arrays, directions)
    assert line.along(line.gradients(line.tensors(0.0))) == pytest.approx(
        _difference_quotient(line.value), rel=1e-6, abs=1e-7
    )
    assert line.along(line.curvatures()) == pytest.approx(_difference_quotient(line.slope), rel=1e-5, abs=1e-6)
