"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import define
from rillet.core.shapes import TensorShape
from rillet.ops.elementwise import conj
from rillet.ops.families import require_rank


def _matmul_kernel(a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    return np.matmul(a.T if transpose_a else a, b.T if transpose_b else b)


def _matmul_shape(op: Operation) -> TensorShape:
    a, b = require_rank(op, 0, 2).dimensions, require_rank(op, 1, 2).dimensions
    rows, inner = reversed(a) if op.attrs["transpose_a"] else a
    other, columns = reversed(b) if op.attrs["transpose_b"] else b
    return TensorShape([rows, columns])


def _matmul_gradient(op: Operation, dy: Any) -> list[Any]:
    a, b = conj(op.inputs[0]), conj(op.inputs[1])
    flags = op.attrs["transpose_a"], op.attrs["transpose_b"]
    if flags == (False, False):
        return [_product(dy, b, False, True), _product(a, dy, True, False)]
    if flags == (False, True):
        return [_product(dy, b, False, False), _product(dy, a, True, False)]
    if flags == (True, False):
        return [_product(b, dy, False, True), _product(a, dy, False, False)]
    return [_product(b, dy, True, True), _product(dy, a, True, True)]


def _product(a: Any, b: Any, transpose_a: bool, transpose_b: bool, name: str | None = None) -> Any:
    return apply_op(MATMUL, (a, b), {"transpose_a": transpose_a, "transpose_b": transpose_b}, name)


MATMUL = define(
    "MatMul", "a: T, b: T -> product: T", "transpose_a: bool = False, transpose_b: bool = False, T: numeric",
    reference=_matmul_kernel, shape=_matmul_shape, gradient=_matmul_gradient,
)  # fmt: skip


@public("matmul", "linalg.matmul")
def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, name: str | None = None) -> Any:
    """The matrix product of `a` and `b`."""
    return _product(a, b, transpose_a, transpose_b, name)
