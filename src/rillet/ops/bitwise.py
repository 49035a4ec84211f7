"""Bitwise operations on integers. Nothing is differentiable here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.ops.families import binary, same_shape, unary


def _no_partials(op: Operation, dz: Any) -> list[None]:
    return [None, None]


def _binary(op_type: str, kernel: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    return binary(op_type, kernel, "integer", _no_partials, names=[f"bitwise.{name}"], doc=doc)


bitwise_and = _binary("BitwiseAnd", np.bitwise_and, "bitwise_and", "The bits that are set in both x and y.")
bitwise_or = _binary("BitwiseOr", np.bitwise_or, "bitwise_or", "The bits that are set in x, in y, or in both.")
bitwise_xor = _binary("BitwiseXor", np.bitwise_xor, "bitwise_xor", "The bits that are set in one of x and y.")
invert = unary(
    "Invert", np.invert, "integer", lambda op, dy: None, names=["bitwise.invert"], doc="The bits that are not set in x."
)


def _clamped(shift: Callable[..., Any]) -> Callable[..., Any]:
    """A shift by less than nothing, or by more bits than there are, is one by the nearest number that is defined."""

    def kernel(x: Any, y: Any) -> Any:
        return shift(x, np.clip(y, 0, 8 * x.dtype.itemsize - 1))

    return kernel


left_shift = _binary("LeftShift", _clamped(np.left_shift), "left_shift", "x, its bits moved to the left by y.")
right_shift = _binary(
    "RightShift", _clamped(np.right_shift), "right_shift", "x, its bits moved to the right by y; the sign is kept."
)


def _population_count_kernel(x: Any) -> Any:
    return np.bitwise_count(x.view(f"u{x.dtype.itemsize}"))


define(
    "PopulationCount", "x: T -> y: uint8", "T: integer", reference=_population_count_kernel, shape=same_shape,
    gradient=NO_GRADIENT, elementwise=True,
)  # fmt: skip
