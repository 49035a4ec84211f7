"""Linear operators of further kinds: full and banded, with a formula, and made of other operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape, broadcast_static_shape
from rillet.ops.cast import cast
from rillet.ops.creation import zeros
from rillet.ops.elementwise import abs as absolute
from rillet.ops.elementwise import conj, log
from rillet.ops.linalg import (
    adjoint,
    expand,
)
from rillet.ops.linear_operator import HintedOperator, LinearOperator, OperatorOfOperators
from rillet.ops.matmul import matmul
from rillet.ops.reduce import reduce_prod, reduce_sum
from rillet.ops.shape import reshape, shape
from rillet.ops.tridiagonal import tridiagonal_matmul, tridiagonal_solve


@public("linalg.LinearOperatorFullMatrix")
class LinearOperatorFullMatrix(HintedOperator):
    """A matrix [..., m, n] without any structure."""

    def __init__(
        self,
        matrix: Any,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str = "LinearOperatorFullMatrix",
    ) -> None:
        self.matrix = convert_to_tensor(matrix, name="matrix")
        hints = (is_non_singular, is_self_adjoint, is_positive_definite, is_square)
        super().__init__(self.matrix.dtype, hints, name)

    def _dense(self) -> Any:
        return self.matrix


@public("linalg.LinearOperatorZeros")
class LinearOperatorZeros(HintedOperator):
    """Zeros [..., num_rows, num_columns]."""

    def __init__(
        self,
        num_rows: Any,
        num_columns: Any = None,
        batch_shape: Any = None,
        dtype: Any = None,
        is_non_singular: bool | None = False,
        is_self_adjoint: bool | None = True,
        is_positive_definite: bool | None = False,
        is_square: bool | None = True,
        assert_proper_shapes: bool = False,
        name: str = "LinearOperatorZeros",
    ) -> None:
        columns = num_rows if num_columns is None else num_columns
        self._zeros = zeros([*(batch_shape or []), num_rows, columns], dtypes.as_dtype(dtype or dtypes.float32))
        square = num_columns is None or num_rows == num_columns
        hints = (False, is_self_adjoint if square else None, False, square)
        super().__init__(self._zeros.dtype, hints, name)

    def _dense(self) -> Any:
        return self._zeros


@public("linalg.LinearOperatorTridiag")
class LinearOperatorTridiag(HintedOperator):
    """Three diagonals; see tf.linalg.tridiagonal_solve for the formats."""

    def __init__(
        self,
        diagonals: Any,
        diagonals_format: str = "compact",
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str = "LinearOperatorTridiag",
    ) -> None:
        is_sequence = diagonals_format == "sequence"
        self.diagonals = (
            [convert_to_tensor(part) for part in diagonals] if is_sequence else convert_to_tensor(diagonals)
        )
        self.diagonals_format = diagonals_format
        first = self.diagonals[1] if is_sequence else self.diagonals
        hints = (is_non_singular, is_self_adjoint, is_positive_definite, True)
        super().__init__(first.dtype, hints, name)

    def _static_shape(self) -> TensorShape:
        if self.diagonals_format == "sequence":
            main = self.diagonals[1].shape
            return main.concatenate(main[-1:])
        known = self.diagonals.shape
        return (
            known if self.diagonals_format == "matrix" else known[:-2].concatenate(known[-1:]).concatenate(known[-1:])
        )

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        if is_adjoint:
            return matmul(self.to_dense(), x, adjoint_a=True)
        return tridiagonal_matmul(self.diagonals, x, self.diagonals_format)

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        if is_adjoint:
            return super()._solve(rhs, is_adjoint)
        return tridiagonal_solve(self.diagonals, rhs, self.diagonals_format)


@public("linalg.LinearOperatorHouseholder")
class LinearOperatorHouseholder(HintedOperator):
    """The reflection x - 2 <v, x> v, for the unit vector v in the direction of reflection_axis [..., n]."""

    def __init__(
        self,
        reflection_axis: Any,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str = "LinearOperatorHouseholder",
    ) -> None:
        self.reflection_axis = convert_to_tensor(reflection_axis, name="reflection_axis")
        super().__init__(self.reflection_axis.dtype, (True, True, False, True), name)

    def _static_shape(self) -> TensorShape:
        return self.reflection_axis.shape.concatenate(self.reflection_axis.shape[-1:])

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        length = reduce_sum(self.reflection_axis * conj(self.reflection_axis), -1, keepdims=True)
        unit = expand(self.reflection_axis * apply_op(REGISTRY["Rsqrt"], (length,)), -1)
        return x - 2 * unit * matmul(unit, x, adjoint_a=True)

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        return self._map(rhs, is_adjoint)


@public("linalg.LinearOperatorPermutation")
class LinearOperatorPermutation(HintedOperator):
    """Row i of the product is row perm[i] of the argument."""

    def __init__(
        self,
        perm: Any,
        dtype: Any = dtypes.float32,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str = "LinearOperatorPermutation",
    ) -> None:
        self.perm = convert_to_tensor(perm, name="perm")
        super().__init__(dtype, (True, is_self_adjoint, is_positive_definite, True), name)

    def _dense(self) -> Any:
        one, zero = (self.dtype.as_numpy_dtype(value) for value in (1, 0))
        return apply_op(REGISTRY["OneHot"], (self.perm, shape(self.perm)[-1], one, zero), {"axis": -1})

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        return self._map(rhs, not is_adjoint)


@public("linalg.LinearOperatorToeplitz")
class LinearOperatorToeplitz(HintedOperator):
    """Constant diagonals: `col` [..., n] is the first column, `row` [..., n] the first row."""

    def __init__(
        self,
        col: Any,
        row: Any,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str = "LinearOperatorToeplitz",
    ) -> None:
        self.col = convert_to_tensor(col, name="col")
        self.row = convert_to_tensor(row, name="row", dtype_hint=self.col.dtype)
        hints = (is_non_singular, is_self_adjoint, is_positive_definite, True)
        super().__init__(self.row.dtype, hints, name)

    def _static_shape(self) -> TensorShape:
        return broadcast_static_shape(self.col.shape, self.row.shape).concatenate(self.col.shape[-1:])

    def _dense(self) -> Any:
        count = self.col.shape.dimensions[-1] if self.col.shape.dimensions is not None else None
        if count is None:
            raise ValueError("A Toeplitz operator needs vectors of known length.")
        backwards = apply_op(REGISTRY["ReverseV2"], (self.row[..., 1:], np.array([-1], np.int32)))
        every = apply_op(REGISTRY["ConcatV2"], ([backwards, self.col], -1))
        places = count - 1 + np.arange(count, dtype=np.int32)[:, None] - np.arange(count, dtype=np.int32)
        return apply_op(REGISTRY["GatherV2"], (every, places.astype(np.int32), -1))

    def _diagonal(self) -> Any:
        return self.col[..., :1] * apply_op(REGISTRY["OnesLike"], (self.col,))


@public("linalg.LinearOperatorCirculant")
class LinearOperatorCirculant(HintedOperator):
    """The circulant matrices whose eigenvalues are `spectrum` [..., n]: multiplication by it of the Fourier transform."""

    def __init__(
        self,
        spectrum: Any,
        input_output_dtype: Any = dtypes.complex64,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = True,
        name: str = "LinearOperatorCirculant",
    ) -> None:
        self.spectrum = convert_to_tensor(spectrum, name="spectrum")
        hints = (is_non_singular, is_self_adjoint, is_positive_definite, True)
        super().__init__(input_output_dtype, hints, name)

    def _static_shape(self) -> TensorShape:
        return self.spectrum.shape.concatenate(self.spectrum.shape[-1:])

    def _through_frequencies(self, x: Any, change: Any) -> Any:
        wide = dtypes.complex128 if self.dtype.size == 16 or self.dtype is dtypes.float64 else dtypes.complex64
        spectrum = cast(self.spectrum, wide)
        frequencies = apply_op(REGISTRY["FFT"], (_transposed(cast(x, wide)),))
        changed = change(frequencies, expand(spectrum, -2))
        return cast(_transposed(apply_op(REGISTRY["IFFT"], (changed,))), self.dtype)

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        return self._through_frequencies(x, lambda x, s: x * (conj(s) if is_adjoint else s))

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        return self._through_frequencies(rhs, lambda x, s: x / (conj(s) if is_adjoint else s))

    def _determinant(self) -> Any:
        return cast(reduce_prod(self.spectrum, -1), self.dtype)

    def _log_abs_determinant(self) -> Any:
        return cast(reduce_sum(log(absolute(self.spectrum)), -1), self.dtype)


def _transposed(x: Any) -> Any:
    return conj(adjoint(x))


@public("linalg.LinearOperatorLowRankUpdate")
class LinearOperatorLowRankUpdate(HintedOperator):
    """base_operator + u diag(diag_update) v^H. (diag_update: ones, v: u, where None.)"""

    def __init__(
        self,
        base_operator: LinearOperator,
        u: Any,
        diag_update: Any = None,
        v: Any = None,
        is_diag_update_positive: bool | None = None,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str = "LinearOperatorLowRankUpdate",
    ) -> None:
        self.base_operator = base_operator
        self.u = convert_to_tensor(u, name="u")
        self.v = self.u if v is None else convert_to_tensor(v, None, "v", self.u.dtype)
        self.diag_update = (
            None if diag_update is None else convert_to_tensor(diag_update, None, "diag_update", self.u.dtype)
        )
        if v is None and diag_update is None and base_operator.is_self_adjoint:
            is_self_adjoint = True
            is_positive_definite = base_operator.is_positive_definite or is_positive_definite
        hints = (is_non_singular, is_self_adjoint, is_positive_definite, is_square)
        super().__init__(base_operator.dtype, hints, name)

    def _static_shape(self) -> TensorShape:
        base = self.base_operator.shape
        return broadcast_static_shape(base[:-2], self.u.shape[:-2]).concatenate(base[-2:])

    def _dense(self) -> Any:
        return self._update(None, False) + self.base_operator.to_dense()

    def _update(self, x: Any, is_adjoint: bool) -> Any:
        left, right = (self.v, self.u) if is_adjoint else (self.u, self.v)
        if self.diag_update is not None:
            left = left * expand(conj(self.diag_update) if is_adjoint else self.diag_update, -2)
        if x is None:
            return matmul(left, right, adjoint_b=True)
        return matmul(left, matmul(right, x, adjoint_a=True))

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        return self.base_operator.matmul(x, adjoint=is_adjoint) + self._update(x, is_adjoint)


@public("linalg.LinearOperatorKronecker")
class LinearOperatorKronecker(OperatorOfOperators):
    """The Kronecker product of operators."""

    def _dense(self) -> Any:
        result = self.operators[0].to_dense()
        for operator in self.operators[1:]:
            factor = operator.to_dense()
            product = expand(expand(result, -1), -3) * expand(expand(factor, -2), -4)
            sizes, other, full = shape(result), shape(factor), shape(product)
            flat = apply_op(REGISTRY["ConcatV2"], ([full[:-4], sizes[-2:] * other[-2:]], 0))
            result = reshape(product, flat)
        return result


@public("linalg.LinearOperatorBlockDiag")
class LinearOperatorBlockDiag(OperatorOfOperators):
    """Operators one after the other along the diagonal."""

    def _dense(self) -> Any:
        matrices = [operator.to_dense() for operator in self.operators]
        rows = []
        for position, matrix in enumerate(matrices):
            row = [
                matrix if position == place else _zeros_between(matrix, other) for place, other in enumerate(matrices)
            ]
            rows.append(apply_op(REGISTRY["ConcatV2"], (row, -1)))
        return apply_op(REGISTRY["ConcatV2"], (rows, -2))

    def _diagonal(self) -> Any:
        return apply_op(REGISTRY["ConcatV2"], ([operator.diag_part() for operator in self.operators], -1))


def _zeros_between(rows_of: Any, columns_of: Any) -> Any:
    """Zeros with the rows of one matrix and the columns of another."""
    sizes = apply_op(REGISTRY["ConcatV2"], ([shape(rows_of)[:-1], shape(columns_of)[-1:]], 0))
    return apply_op(REGISTRY["Fill"], (sizes, rows_of.dtype.as_numpy_dtype(0)))
