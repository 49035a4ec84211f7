"""Linear operators: matrices that are known by their structure, and need not be written out.

An operator says how it maps vectors (`_map`) or, if it has nothing better, which matrix it is (`_dense`), and, where its
structure helps, how equations are solved, its diagonal and its determinant. The base class derives the rest.

Here are the base class and the operators that it makes itself: identities and diagonals, triangles, adjoints, inverses
and products. `rillet.ops.linear_operator_kinds` has the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape, broadcast_static_shape
from rillet.core.static import constant_value
from rillet.ops.cast import cast
from rillet.ops.creation import eye
from rillet.ops.elementwise import abs as absolute
from rillet.ops.elementwise import conj, log
from rillet.ops.linalg import (
    adjoint,
    cholesky,
    det,
    diagonal_matrix,
    diagonal_of,
    expand,
    inverse,
    slogdet,
    solve,
    triangular_solve,
)
from rillet.ops.matmul import matmul
from rillet.ops.matrices import eigvalsh, svd
from rillet.ops.reduce import reduce_max, reduce_min, reduce_prod, reduce_sum
from rillet.ops.shape import shape


@public("linalg.LinearOperator")
class LinearOperator:
    """A batch of linear maps: matrices [..., m, n].

    is_non_singular, is_self_adjoint, is_positive_definite, is_square: what the caller knows (None: nothing); it is not
    checked, but solvers and decompositions rely on it.
    """

    def __init__(
        self,
        dtype: Any,
        graph_parents: Any = None,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str | None = None,
        parameters: Any = None,
    ) -> None:
        if is_positive_definite:
            is_non_singular = True if is_non_singular is None else is_non_singular
        if is_positive_definite and is_non_singular is False:
            raise ValueError("A positive definite matrix is always non-singular.")
        if is_square is False and (is_non_singular or is_self_adjoint or is_positive_definite):
            raise ValueError("is_non_singular, is_self_adjoint and is_positive_definite need a square operator.")
        self.dtype = dtypes.as_dtype(dtype)
        self.is_non_singular = is_non_singular
        self.is_self_adjoint = is_self_adjoint
        self.is_positive_definite = is_positive_definite
        self._is_square = is_square
        self.name = name or type(self).__name__

    # ---- what kinds of operators differ in -------------------------------------------------------------------------

    def _dense(self) -> Any:
        """The matrix. (This, or `_map` and `_static_shape` for an operator that is square.)"""
        sizes = self.shape.as_list()
        return self._map(eye(sizes[-1], batch_shape=sizes[:-2], dtype=self.dtype), False)

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        return matmul(self.to_dense(), x, adjoint_a=is_adjoint)

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        matrix = self.to_dense()
        if self.is_positive_definite and self.is_self_adjoint:
            factor = cholesky(matrix)
            return triangular_solve(factor, triangular_solve(factor, rhs), adjoint=True)
        return solve(*_same_batch(matrix, rhs), adjoint=is_adjoint)

    def _diagonal(self) -> Any:
        return diagonal_of(self.to_dense())

    def _determinant(self) -> Any:
        return det(self.to_dense())

    def _log_abs_determinant(self) -> Any:
        return slogdet(self.to_dense())[1]

    def _static_shape(self) -> TensorShape:
        return self._dense().shape

    # ---- shapes ----------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> TensorShape:
        return self._static_shape()

    @property
    def batch_shape(self) -> TensorShape:
        return self.shape[:-2]

    @property
    def domain_dimension(self) -> Any:
        return self.shape[-1]

    @property
    def range_dimension(self) -> Any:
        return self.shape[-2]

    @property
    def tensor_rank(self) -> int | None:
        return self.shape.rank

    @property
    def is_square(self) -> bool | None:
        if self._is_square is not None:
            return self._is_square
        dimensions = self.shape.dimensions
        return None if dimensions is None or None in dimensions[-2:] else dimensions[-1] == dimensions[-2]

    def shape_tensor(self, name: str = "shape_tensor") -> Any:
        known = self.shape
        if known.is_fully_defined():
            return convert_to_tensor(np.array(known.as_list(), np.int32))
        return shape(self.to_dense())

    def batch_shape_tensor(self, name: str = "batch_shape_tensor") -> Any:
        return self.shape_tensor()[:-2]

    def domain_dimension_tensor(self, name: str = "domain_dimension_tensor") -> Any:
        return self.shape_tensor()[-1]

    def range_dimension_tensor(self, name: str = "range_dimension_tensor") -> Any:
        return self.shape_tensor()[-2]

    def tensor_rank_tensor(self, name: str = "tensor_rank_tensor") -> Any:
        return shape(self.shape_tensor())[0]

    # ---- what operators can do -------------------------------------------------------------------------------------

    def to_dense(self, name: str = "to_dense") -> Any:
        """The matrices [..., m, n]."""
        return self._dense()

    def matmul(self, x: Any, adjoint: bool = False, adjoint_arg: bool = False, name: str = "matmul") -> Any:
        """The product with a matrix [..., n, k], or with another operator. ValueError when the sizes don't fit."""
        if isinstance(x, LinearOperator):
            left = self.adjoint() if adjoint else self
            return _composed(left, x.adjoint() if adjoint_arg else x)
        x = convert_to_tensor(x, name="x", dtype_hint=self.dtype)
        self._check_argument(x, -2 if adjoint else -1, -1 if adjoint_arg else -2)
        return self._map(_adjoint(x) if adjoint_arg else x, adjoint)

    def _check_argument(self, x: Any, mine: int, theirs: int) -> None:
        if self.shape.rank is None or x.shape.rank is None:
            return
        a, b = self.shape.dimensions[mine], x.shape.dimensions[theirs]  # type: ignore[index]
        if a is not None and b is not None and a != b:
            raise ValueError(f"Dimensions {a} and {b} are not compatible")

    def matvec(self, x: Any, adjoint: bool = False, name: str = "matvec") -> Any:
        """The product with a vector [..., n]."""
        column = expand(convert_to_tensor(x, name="x", dtype_hint=self.dtype), -1)
        return apply_op(REGISTRY["Squeeze"], (self.matmul(column, adjoint),), {"squeeze_dims": (-1,)})

    def solve(self, rhs: Any, adjoint: bool = False, adjoint_arg: bool = False, name: str = "solve") -> Any:
        """X with A X = rhs, for rhs [..., m, k] or an operator. NotImplementedError where A can't be square or regular."""
        self._require_square("Exact solve", "solve")
        if self.is_non_singular is False:
            raise NotImplementedError("Exact solve not implemented for an operator that is expected to be singular.")
        if isinstance(rhs, LinearOperator):
            left = (self.adjoint() if adjoint else self).inverse()
            return _composed(left, rhs.adjoint() if adjoint_arg else rhs)
        rhs = convert_to_tensor(rhs, name="rhs", dtype_hint=self.dtype)
        self._check_argument(rhs, -1 if adjoint else -2, -1 if adjoint_arg else -2)
        return self._solve(_adjoint(rhs) if adjoint_arg else rhs, adjoint)

    def solvevec(self, rhs: Any, adjoint: bool = False, name: str = "solve") -> Any:
        """The vector x [..., n] with A x = rhs [..., m]."""
        column = expand(convert_to_tensor(rhs, name="rhs", dtype_hint=self.dtype), -1)
        return apply_op(REGISTRY["Squeeze"], (self.solve(column, adjoint),), {"squeeze_dims": (-1,)})

    def _require_square(self, what: str, verb: str) -> None:
        if self.is_square is False:
            raise NotImplementedError(f"{what} not implemented for an operator that is expected to not be square.")

    def diag_part(self, name: str = "diag_part") -> Any:
        return self._diagonal()

    def trace(self, name: str = "trace") -> Any:
        return reduce_sum(self._diagonal(), -1)

    def determinant(self, name: str = "det") -> Any:
        """NotImplementedError where the operator is not square."""
        self._require_square("Determinant", "determinant")
        return self._determinant()

    def log_abs_determinant(self, name: str = "log_abs_det") -> Any:
        """NotImplementedError where the operator is not square."""
        self._require_square("Determinant", "log_abs_determinant")
        return self._log_abs_determinant()

    def adjoint(self, name: str = "adjoint") -> Any:
        """The operator whose matrix is the conjugate transpose."""
        return self if self.is_self_adjoint else LinearOperatorAdjoint(self)

    @property
    def H(self) -> Any:
        return self.adjoint()

    def inverse(self, name: str = "inverse") -> Any:
        """The operator that undoes this one. ValueError where there is none."""
        if self.is_square is False:
            raise ValueError("Cannot take the Inverse: This operator represents a non square matrix.")
        if self.is_non_singular is False:
            raise ValueError("Cannot take the Inverse: This operator represents a singular matrix.")
        return self._inverse()

    def _inverse(self) -> LinearOperator:
        return LinearOperatorInversion(self)

    def cholesky(self, name: str = "cholesky") -> Any:
        """The lower triangular factor, as an operator. ValueError unless positive definite and self-adjoint."""
        if not (self.is_positive_definite and self.is_self_adjoint):
            raise ValueError("Cannot take the Cholesky decomposition: Not a positive definite self adjoint matrix.")
        return LinearOperatorLowerTriangular(cholesky(self.to_dense()), is_non_singular=True, is_square=True)

    def eigvals(self, name: str = "eigvals") -> Any:
        """NotImplementedError unless self-adjoint."""
        if not self.is_self_adjoint:
            raise NotImplementedError("Only self-adjoint matrices are supported.")
        return eigvalsh(self.to_dense())

    def cond(self, name: str = "cond") -> Any:
        """The largest singular value over the smallest one."""
        values = svd(self.to_dense(), compute_uv=False)
        return reduce_max(values, -1) / reduce_min(values, -1)

    def add_to_tensor(self, x: Any, name: str = "add_to_tensor") -> Any:
        """The matrices plus `x`."""
        return convert_to_tensor(x, dtype_hint=self.dtype) + self.to_dense()

    def __matmul__(self, other: Any) -> Any:
        return self.matmul(other)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return self.to_dense()


def _adjoint(x: Any) -> Any:
    return adjoint(x)


def _composed(left: LinearOperator, right: LinearOperator) -> LinearOperator:
    """The product, in the simplest form there is for it."""
    for identity, other in ((left, right), (right, left)):
        if isinstance(identity, LinearOperatorIdentity):
            return other
    if isinstance(left, LinearOperatorDiag) and isinstance(right, LinearOperatorDiag):
        return LinearOperatorDiag(left.diag * right.diag)
    return LinearOperatorComposition([left, right])


def _same_batch(matrix: Any, rhs: Any) -> tuple[Any, Any]:
    """Both with the batch that theirs broadcast to."""
    if matrix.shape[:-2] == rhs.shape[:-2] and matrix.shape[:-2].is_fully_defined():
        return matrix, rhs
    sizes = shape(matrix), shape(rhs)
    batch = apply_op(REGISTRY["BroadcastArgs"], (sizes[0][:-2], sizes[1][:-2]))
    full = [apply_op(REGISTRY["ConcatV2"], ([batch, size[-2:]], 0)) for size in sizes]
    return tuple(apply_op(REGISTRY["BroadcastTo"], pair) for pair in zip((matrix, rhs), full))  # type: ignore[return-value]


class HintedOperator(LinearOperator):
    """Collects the four hints, which every operator takes by the same names."""

    def __init__(self, dtype: Any, hints: Sequence[bool | None], name: str | None) -> None:
        super().__init__(dtype, None, *hints, name=name)


@public("linalg.LinearOperatorDiag")
class LinearOperatorDiag(HintedOperator):
    """diag [..., n] on the main diagonal, zeros elsewhere."""

    def __init__(
        self,
        diag: Any,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str = "LinearOperatorDiag",
    ) -> None:
        self.diag = convert_to_tensor(diag, name="diag")
        if not self.diag.dtype.is_complex:
            is_self_adjoint = True
        super().__init__(self.diag.dtype, (is_non_singular, is_self_adjoint, is_positive_definite, True), name)

    def _static_shape(self) -> TensorShape:
        return self.diag.shape.concatenate(self.diag.shape[-1:])

    def _dense(self) -> Any:
        return diagonal_matrix(self.diag)

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        return expand(conj(self.diag) if is_adjoint else self.diag, -1) * x

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        return rhs / expand(conj(self.diag) if is_adjoint else self.diag, -1)

    def _diagonal(self) -> Any:
        return self.diag

    def _determinant(self) -> Any:
        return reduce_prod(self.diag, -1)

    def _log_abs_determinant(self) -> Any:
        return cast(reduce_sum(log(absolute(self.diag)), -1), self.dtype)

    def _inverse(self) -> LinearOperator:
        return LinearOperatorDiag(1 / self.diag, is_non_singular=True, is_positive_definite=self.is_positive_definite)

    def eigvals(self, name: str = "eigvals") -> Any:
        return self.diag

    def cond(self, name: str = "cond") -> Any:
        size = absolute(self.diag)
        return reduce_max(size, -1) / reduce_min(size, -1)


@public("linalg.LinearOperatorScaledIdentity")
class LinearOperatorScaledIdentity(LinearOperatorDiag):
    """multiplier [...] times the identity of `num_rows` rows."""

    def __init__(
        self,
        num_rows: Any,
        multiplier: Any,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = True,
        assert_proper_shapes: bool = False,
        name: str = "LinearOperatorScaledIdentity",
    ) -> None:
        self.multiplier = convert_to_tensor(multiplier, name="multiplier")
        known = constant_value(num_rows)
        count = num_rows if known is None else int(known)
        ones = apply_op(REGISTRY["Fill"], ([count], self.multiplier.dtype.as_numpy_dtype(1)))
        diagonal = expand(self.multiplier, -1) * ones
        super().__init__(diagonal, is_non_singular, is_self_adjoint, is_positive_definite, is_square, name)


@public("linalg.LinearOperatorIdentity")
class LinearOperatorIdentity(LinearOperatorScaledIdentity):
    """The identity of `num_rows` rows, for each of a batch."""

    def __init__(
        self,
        num_rows: Any,
        batch_shape: Any = None,
        dtype: Any = None,
        is_non_singular: bool | None = True,
        is_self_adjoint: bool | None = True,
        is_positive_definite: bool | None = True,
        is_square: bool | None = True,
        assert_proper_shapes: bool = False,
        name: str = "LinearOperatorIdentity",
    ) -> None:
        wanted = dtypes.as_dtype(dtype or dtypes.float32)
        ones = apply_op(
            REGISTRY["Fill"], (np.array([], np.int32) if batch_shape is None else batch_shape, wanted.as_numpy_dtype(1))
        )
        super().__init__(num_rows, ones, True, True, True, True, assert_proper_shapes, name)


@public("linalg.LinearOperatorLowerTriangular")
class LinearOperatorLowerTriangular(HintedOperator):
    """The lower triangles of matrices [..., n, n]; what lies above is not read."""

    def __init__(
        self,
        tril: Any,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str = "LinearOperatorLowerTriangular",
    ) -> None:
        self.tril = convert_to_tensor(tril, name="tril")
        hints = (is_non_singular, is_self_adjoint, is_positive_definite, True)
        super().__init__(self.tril.dtype, hints, name)

    def _static_shape(self) -> TensorShape:
        return self.tril.shape

    def _dense(self) -> Any:
        return apply_op(REGISTRY["MatrixBandPart"], (self.tril, np.int64(-1), np.int64(0)))

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        return triangular_solve(self.tril, rhs, adjoint=is_adjoint)

    def _diagonal(self) -> Any:
        return diagonal_of(self.tril)

    def _determinant(self) -> Any:
        return reduce_prod(self._diagonal(), -1)

    def _log_abs_determinant(self) -> Any:
        return cast(reduce_sum(log(absolute(self._diagonal())), -1), self.dtype)

    def eigvals(self, name: str = "eigvals") -> Any:
        return self._diagonal()


@public("linalg.LinearOperatorAdjoint")
class LinearOperatorAdjoint(HintedOperator):
    """The conjugate transpose of another operator."""

    def __init__(
        self,
        operator: LinearOperator,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str | None = None,
    ) -> None:
        self.operator = operator
        hints = (operator.is_non_singular, operator.is_self_adjoint, operator.is_positive_definite, operator.is_square)
        super().__init__(operator.dtype, hints, name or f"{operator.name}_adjoint")

    def _static_shape(self) -> TensorShape:
        *batch, rows, columns = self.operator.shape.as_list()
        return TensorShape([*batch, columns, rows])

    def _dense(self) -> Any:
        return adjoint(self.operator.to_dense())

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        return self.operator.matmul(x, adjoint=not is_adjoint)

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        return self.operator.solve(rhs, adjoint=not is_adjoint)

    def _diagonal(self) -> Any:
        return conj(self.operator.diag_part())

    def _determinant(self) -> Any:
        return conj(self.operator.determinant())

    def _log_abs_determinant(self) -> Any:
        return self.operator.log_abs_determinant()

    def adjoint(self, name: str = "adjoint") -> Any:
        return self.operator


@public("linalg.LinearOperatorInversion")
class LinearOperatorInversion(HintedOperator):
    """The inverse of another operator."""

    def __init__(
        self,
        operator: LinearOperator,
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str | None = None,
    ) -> None:
        self.operator = operator
        hints = (True, operator.is_self_adjoint, operator.is_positive_definite, True)
        super().__init__(operator.dtype, hints, name or f"{operator.name}_inv")

    def _static_shape(self) -> TensorShape:
        return self.operator.shape

    def _dense(self) -> Any:
        return inverse(self.operator.to_dense())

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        return self.operator.solve(x, adjoint=is_adjoint)

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        return self.operator.matmul(rhs, adjoint=is_adjoint)

    def _determinant(self) -> Any:
        return 1 / self.operator.determinant()

    def _log_abs_determinant(self) -> Any:
        return -self.operator.log_abs_determinant()

    def _inverse(self) -> LinearOperator:
        return self.operator


class OperatorOfOperators(HintedOperator):
    """An operator made of a list of others."""

    def __init__(
        self,
        operators: Sequence[LinearOperator],
        is_non_singular: bool | None = None,
        is_self_adjoint: bool | None = None,
        is_positive_definite: bool | None = None,
        is_square: bool | None = None,
        name: str | None = None,
    ) -> None:
        if not operators:
            raise ValueError("Expected a non-empty list of operators. Found: []")
        kinds = {operator.dtype for operator in operators}
        if len(kinds) > 1:
            raise TypeError(
                f"Expected all operators to have the same dtype. Found {sorted(kind.name for kind in kinds)}"
            )
        self.operators = list(operators)
        if is_non_singular is None and all(operator.is_non_singular for operator in operators):
            is_non_singular = True
        hints = (is_non_singular, is_self_adjoint, is_positive_definite, is_square)
        super().__init__(operators[0].dtype, hints, name)


@public("linalg.LinearOperatorComposition")
class LinearOperatorComposition(OperatorOfOperators):
    """The product of operators, the last one applied first."""

    def _static_shape(self) -> TensorShape:
        batch = TensorShape([])
        for operator in self.operators:
            batch = broadcast_static_shape(batch, operator.batch_shape)
        return batch.concatenate([self.operators[0].range_dimension, self.operators[-1].domain_dimension])

    def _dense(self) -> Any:
        result = self.operators[-1].to_dense()
        for operator in reversed(self.operators[:-1]):
            result = operator.matmul(result)
        return result

    def _map(self, x: Any, is_adjoint: bool) -> Any:
        for operator in self.operators if is_adjoint else reversed(self.operators):
            x = operator.matmul(x, adjoint=is_adjoint)
        return x

    def _solve(self, rhs: Any, is_adjoint: bool) -> Any:
        for operator in reversed(self.operators) if is_adjoint else self.operators:
            rhs = operator.solve(rhs, adjoint=is_adjoint)
        return rhs
