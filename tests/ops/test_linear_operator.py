"""Linear operators do what their matrices do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.ops import harness

Array = np.ndarray[Any, Any]
tf: Any = harness.module_under_test()
linalg: Any = tf.linalg

MATRIX = np.array([[2.4, 0.3, 0.9], [0.2, 2.7, 0.5], [0.8, 0.1, 2.2]])
COLUMNS = np.array([[0.4, 0.9], [0.7, 0.2], [0.1, 0.5]])
AXIS = MATRIX[0]
REFLECTION = np.eye(3) - 2 * np.outer(AXIS, AXIS) / (AXIS @ AXIS)
UPDATED = np.diag(AXIS + 1) + COLUMNS @ np.diag([0.5, 0.3]) @ (COLUMNS + 1).T
SPECTRUM = np.array([4.0, 2.0 + 1.0j, 2.0 - 1.0j])
TOEPLITZ = np.array([[3.0, -1.0, -2.0], [2.0, 3.0, -1.0], [1.0, 2.0, 3.0]])


def _full(**hints: bool) -> Any:
    return linalg.LinearOperatorFullMatrix(MATRIX, **hints)


def _circulant() -> Array:
    column = np.fft.ifft(SPECTRUM)
    return np.stack([np.roll(column, shift) for shift in range(3)], axis=1)


OPERATORS: dict[str, tuple[Callable[[], Any], Array]] = {
    "FullMatrix": (_full, MATRIX),
    "FullMatrix, positive definite": (
        lambda: linalg.LinearOperatorFullMatrix(MATRIX @ MATRIX.T, is_positive_definite=True, is_self_adjoint=True),
        MATRIX @ MATRIX.T,
    ),
    "Diag": (lambda: linalg.LinearOperatorDiag(AXIS), np.diag(AXIS)),
    "Identity": (lambda: linalg.LinearOperatorIdentity(3, dtype=tf.float64), np.eye(3)),
    "ScaledIdentity": (lambda: linalg.LinearOperatorScaledIdentity(3, np.float64(2)), 2 * np.eye(3)),
    "LowerTriangular": (lambda: linalg.LinearOperatorLowerTriangular(MATRIX), np.tril(MATRIX)),
    "Tridiag": (
        lambda: linalg.LinearOperatorTridiag(MATRIX),
        np.diag(MATRIX[1]) + np.diag(MATRIX[0, :2], 1) + np.diag(MATRIX[2, 1:], -1),
    ),
    "Householder": (lambda: linalg.LinearOperatorHouseholder(AXIS), REFLECTION),
    "Permutation": (lambda: linalg.LinearOperatorPermutation([2, 0, 1], dtype=tf.float64), np.eye(3)[[2, 0, 1]]),
    "Toeplitz": (lambda: linalg.LinearOperatorToeplitz(TOEPLITZ[:, 0], TOEPLITZ[0]), TOEPLITZ),
    "Circulant": (lambda: linalg.LinearOperatorCirculant(SPECTRUM, input_output_dtype=tf.complex128), _circulant()),
    "LowRankUpdate": (
        lambda: linalg.LinearOperatorLowRankUpdate(
            linalg.LinearOperatorDiag(AXIS + 1), COLUMNS, diag_update=[0.5, 0.3], v=COLUMNS + 1
        ),
        UPDATED,
    ),
    "Adjoint": (lambda: _full().adjoint(), MATRIX.T),
    "Inversion": (lambda: _full().inverse(), np.linalg.inv(MATRIX)),
    "Composition": (lambda: _full() @ linalg.LinearOperatorLowerTriangular(MATRIX), MATRIX @ np.tril(MATRIX)),
    "Kronecker": (
        lambda: linalg.LinearOperatorKronecker([_full(), linalg.LinearOperatorDiag(AXIS[:2])]),
        np.kron(MATRIX, np.diag(AXIS[:2])),
    ),
    "BlockDiag": (
        lambda: linalg.LinearOperatorBlockDiag([_full(), linalg.LinearOperatorDiag(AXIS[:2])]),
        np.block([[MATRIX, np.zeros((3, 2))], [np.zeros((2, 3)), np.diag(AXIS[:2])]]),
    ),
}
CASES = [pytest.param(make(), matrix, id=name) for name, (make, matrix) in OPERATORS.items()]


def _close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("operator", "matrix"), CASES)
def test_products(operator: Any, matrix: Array) -> None:
    x = np.cos(np.arange(2.0 * len(matrix))).reshape(len(matrix), 2).astype(matrix.dtype)
    _close(operator.to_dense(), matrix)
    _close(operator.matmul(x), matrix @ x)
    _close(operator.matmul(x, adjoint=True), matrix.conj().T @ x)
    _close(operator.matmul(x.T, adjoint_arg=True), matrix @ x.conj())
    _close(operator.matvec(x[:, 0]), matrix @ x[:, 0])
    _close((operator @ operator.adjoint()).to_dense(), matrix @ matrix.conj().T)
    _close(operator.add_to_tensor(matrix), 2 * matrix)


@pytest.mark.parametrize(("operator", "matrix"), CASES)
def test_equations(operator: Any, matrix: Array) -> None:
    rhs = np.sin(1 + np.arange(2.0 * len(matrix))).reshape(len(matrix), 2).astype(matrix.dtype)
    _close(operator.solve(rhs), np.linalg.solve(matrix, rhs))
    _close(operator.solve(rhs, adjoint=True), np.linalg.solve(matrix.conj().T, rhs))
    _close(operator.solvevec(rhs[:, 0]), np.linalg.solve(matrix, rhs[:, 0]))
    _close(operator.inverse().to_dense(), np.linalg.inv(matrix))


@pytest.mark.parametrize(("operator", "matrix"), CASES)
def test_numbers(operator: Any, matrix: Array) -> None:
    assert operator.shape.as_list() == list(matrix.shape)
    assert operator.is_square
    _close(operator.determinant(), np.linalg.det(matrix))
    _close(operator.log_abs_determinant(), np.linalg.slogdet(matrix)[1])
    _close(operator.trace(), np.trace(matrix))
    _close(operator.diag_part(), np.diag(matrix))
    _close(operator.cond(), np.linalg.cond(matrix))


def test_a_batch() -> None:
    matrices = np.stack([MATRIX, MATRIX + 1])
    operator = linalg.LinearOperatorFullMatrix(matrices)
    _close(operator.matmul(COLUMNS), matrices @ COLUMNS)
    _close(operator.solve(COLUMNS), np.linalg.solve(matrices, np.stack([COLUMNS, COLUMNS])))
    assert operator.batch_shape.as_list() == [2]


def test_cholesky_of_a_positive_definite_operator() -> None:
    operator = linalg.LinearOperatorFullMatrix(MATRIX @ MATRIX.T, is_positive_definite=True, is_self_adjoint=True)
    factor = operator.cholesky()
    assert isinstance(factor, linalg.LinearOperatorLowerTriangular)
    _close(factor.to_dense(), np.linalg.cholesky(MATRIX @ MATRIX.T))
    with pytest.raises(ValueError, match="Not a positive definite"):
        _full().cholesky()


def test_what_is_not_square_has_no_inverse() -> None:
    operator = linalg.LinearOperatorFullMatrix(COLUMNS)
    _close(operator.matmul(np.eye(2)), COLUMNS)
    with pytest.raises(NotImplementedError, match="not be square"):
        operator.determinant()
    with pytest.raises(NotImplementedError, match="not be square"):
        operator.solve(COLUMNS)
    with pytest.raises(ValueError, match="Dimensions 2 and 3 are not compatible"):
        operator.matmul(COLUMNS)


def test_zeros() -> None:
    _close(linalg.LinearOperatorZeros(2, 3, dtype=tf.float64).to_dense(), np.zeros((2, 3)))
