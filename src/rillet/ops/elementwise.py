"""Elementwise arithmetic and functions: one value in, one value out, with NumPy broadcasting where there are two.

A gradient rule reads as the formula: `dy` is the gradient of the output; for complex inputs the derivative is
conjugated (`conj` is the identity on real tensors).
"""

from __future__ import annotations

from typing import Any

import numpy as np


from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops.families import binary, broadcast_gradient, same_shape, unary

# ---- complex numbers ------------------------------------------------------------------------------------------------

CONJ = define(
    "Conj", "input: T -> output: T", "T: {complex64, complex128, variant} = complex64",
    reference=np.conj, shape=same_shape, gradient=lambda op, dy: conj(dy),
)  # fmt: skip


@public("math.conj", v1=["conj"])
def conj(x: Any, name: str | None = None) -> Any:
    """The complex conjugate of each element; a real tensor is returned as it is."""
    x = convert_to_tensor(x)
    return apply_op(CONJ, (x,), name=name) if x.dtype.is_complex else x


# ---- arithmetic -----------------------------------------------------------------------------------------------------

add_v2 = binary(
    "AddV2", np.add, "numeric", broadcast_gradient(lambda x, y, dz, op: dz, lambda x, y, dz, op: dz),
    doc="x + y, element by element, broadcast. Strings are joined by `tf.add`.",
)  # fmt: skip
subtract = binary(
    "Sub", np.subtract, "numeric", broadcast_gradient(lambda x, y, dz, op: dz, lambda x, y, dz, op: -dz),
    names=["subtract", "math.subtract"], v1=["sub"],
)  # fmt: skip
multiply = binary(
    "Mul", np.multiply, "numeric",
    broadcast_gradient(lambda x, y, dz, op: dz * conj(y), lambda x, y, dz, op: conj(x) * dz),
    names=["multiply", "math.multiply"], v1=["mul"],
)  # fmt: skip
real_div = binary(
    "RealDiv", np.true_divide, "floating_or_complex",
    broadcast_gradient(
        lambda x, y, dz, op: dz / conj(y),
        lambda x, y, dz, op: dz * real_div(real_div(-conj(x), conj(y)), conj(y)),
    ),
    names=["realdiv"],
)  # fmt: skip
negative = unary("Neg", np.negative, "numeric", lambda op, dy: -dy, names=["negative", "math.negative"], v1=["neg"])
square = unary(
    "Square", np.square, "numeric", lambda op, dy: dy * (conj(op.inputs[0]) * 2),
    names=["square", "math.square"], doc="x * x",
)  # fmt: skip
exp = unary("Exp", np.exp, "floating_or_complex", lambda op, dy: dy * conj(op.outputs[0]), names=["exp", "math.exp"])
log = unary(
    "Log", np.log, "floating_or_complex", lambda op, dy: dy * reciprocal(conj(op.inputs[0])),
    names=["math.log"], v1=["log"],
)  # fmt: skip
reciprocal = unary(
    "Reciprocal", np.reciprocal, "floating_or_complex", lambda op, dy: -dy * conj(square(op.outputs[0])),
    names=["math.reciprocal"], v1=["reciprocal"],
)  # fmt: skip

# ---- sums of many ---------------------------------------------------------------------------------------------------


def _add_n_kernel(*values: Any) -> Any:
    total = values[0]
    for value in values[1:]:
        total = np.add(total, value)
    return total


def _equal_shapes(op: Operation) -> TensorShape:
    merged = op.inputs[0].shape
    for index, tensor in enumerate(op.inputs):
        if not merged.is_compatible_with(tensor.shape):
            first, other = format_shape(merged.dimensions), format_shape(tensor.shape.dimensions)
            raise ShapeError(
                f"Shapes must be equal for '{op.type}': {first} and {other}.",
                f"Inputs to operation {op.type} must have the same size and shape. Input 0: {first} != input {index}: {other}",
                {0: range(merged.rank or 0), index: range(tensor.shape.rank or 0)},
            )
        merged = merged.merge_with(tensor.shape)
    return merged


ADD_N = define(
    "AddN", "inputs: N*T -> sum: T", "N: int, T: {float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, "
    "uint16, uint32, uint64, complex64, complex128, variant}",
    reference=_add_n_kernel, shape=_equal_shapes, gradient=lambda op, dy: [dy] * len(op.inputs),
)  # fmt: skip


@public("add_n", "math.add_n")
def add_n(inputs: Any, name: str | None = None) -> Any:
    """The sum of a list of tensors of one shape and dtype. ValueError when the list is empty."""
    values = list(inputs) if isinstance(inputs, (list, tuple)) else None
    if not values:
        raise ValueError("Inputs must be an iterable of at least one Tensor/IndexedSlices with the same dtype and shape.")
    tensors = [convert_to_tensor(value) for value in values]
    if len(tensors) == 1 and name is None:
        return tensors[0]
    return apply_op(ADD_N, (tensors,), name=name)
