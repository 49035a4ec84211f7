"""Gradients of ops that broadcast: what flows to an input is summed over the axes along which it was repeated.

There are two rules, because TensorFlow has two, whose graphs differ in their nodes: `broadcast_gradient` for arithmetic
(shapes that are known decide the axes while the graph is built), `broadcast_derivatives` for special functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor
from rillet.ops.shape import reshape, shape_of

Partials = Callable[[Operation, Any], Sequence[Any]]
Derivatives = Callable[[Any, Any], Sequence[Any]]
GradientRule = Callable[[Operation, Any], list[Any]]


def broadcast_gradient(partials: Partials) -> GradientRule:
    """The gradient rule of a binary op.

    partials(op, dz): dz times the partial derivative for x, and for y, of the broadcast shape; None where nothing
        flows. For complex inputs the derivatives are conjugated.
    """

    def rule(op: Operation, dz: Any) -> list[Any]:
        return unbroadcast(op.inputs, partials(op, dz))

    return rule


def unbroadcast(inputs: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
    """The gradients of two `inputs` from those of their broadcast result, None where that is None."""
    if all(map(_is_concrete, (*inputs, *gradients))):
        return [sum_to_shape_of(gradient, value) for gradient, value in zip(gradients, inputs)]
    shapes = [shape_of(value) for value in inputs]
    axes: Sequence[Any] | None = _static_axes(inputs[0].shape, inputs[1].shape)
    if axes is None:
        axes = apply_op(REGISTRY["BroadcastGradientArgs"], shapes)
    return [_summed(*parts) for parts in zip(gradients, axes, inputs, shapes)]


def _is_concrete(value: Any) -> bool:
    return value is None or type(value) is EagerTensor


def _static_axes(left: TensorShape, right: TensorShape) -> tuple[list[int], list[int]] | None:
    """The axes of the broadcast result over which either gradient is summed; None where the shapes leave it open."""
    if left.dimensions is None or right.dimensions is None:
        return None
    rank = max(len(left.dimensions), len(right.dimensions))
    padded = [(1,) * (rank - len(sizes)) + sizes for sizes in (left.dimensions, right.dimensions)]
    axes: tuple[list[int], list[int]] = ([], [])
    for axis, (a, b) in enumerate(zip(*padded)):
        if a == b and a is not None:
            continue
        if a == 1 or b == 1:
            axes[0 if a == 1 else 1].append(axis)
        elif a is None or b is None:
            return None
    return axes


def _summed(gradient: Any, axes: Any, value: Any, shape: Any) -> Any:
    if gradient is None:
        return None
    if isinstance(axes, list):
        if not axes and gradient.shape.rank == value.shape.rank:
            return gradient
        axes = np.array(axes, np.int32)
    total = apply_op(REGISTRY["Sum"], (gradient, axes), {"keep_dims": True})
    return reshape(total, shape)


def sum_to_shape_of(gradient: Any, value: Any) -> Any:
    """Undoes broadcasting for one input: `gradient` summed over the axes along which `value` was repeated."""
    if gradient is None:
        return None
    if not (_is_concrete(value) and _is_concrete(gradient)):
        return unbroadcast((value, gradient), (gradient, None))[0]
    wanted, found = value._array.shape, gradient._array.shape
    if wanted == found:
        return gradient
    extra = len(found) - len(wanted)
    axes = [*range(extra)]
    axes += [extra + axis for axis, size in enumerate(wanted) if size == 1 and found[extra + axis] != 1]
    total = apply_op(REGISTRY["Sum"], (gradient, np.array(axes, np.int32)), {"keep_dims": False})
    return reshape(total, np.array(wanted, np.int32))


def broadcast_derivatives(derivatives: Derivatives) -> GradientRule:
    """The gradient rule of a binary op from `derivatives(x, y)`: the partial derivatives (None where there is none)."""
    return lambda op, dz: by_derivatives(op.inputs, lambda: derivatives(*op.inputs), dz)


def by_derivatives(inputs: Sequence[Any], derivatives: Callable[[], Sequence[Any]], dz: Any) -> list[Any]:
    """The gradients of two inputs that were broadcast together: dz times their derivatives, summed."""
    if all(map(_is_concrete, (*inputs, dz))):
        partials = [None if partial is None else partial * dz for partial in derivatives()]
        return [sum_to_shape_of(partial, value) for partial, value in zip(partials, inputs)]
    shapes = [shape_of(value) for value in inputs]
    axes = apply_op(REGISTRY["BroadcastGradientArgs"], shapes)
    return [_weighted(*parts, dz) for parts in zip(derivatives(), axes, shapes)]


def _weighted(partial: Any, axes: Any, shape: Any, dz: Any) -> Any:
    if partial is None:
        return None
    total = apply_op(REGISTRY["Sum"], (partial * dz, axes), {"keep_dims": False})
    return reshape(total, shape)
