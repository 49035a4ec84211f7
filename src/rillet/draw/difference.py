"""Finite differences: how much a result changes when one input is moved a little, computed in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import context
from rillet.core.execution import bind_kernel, eager_context
from rillet.core.opdef import NO_GRADIENT
from rillet.core.tensor import Tensor
from rillet.draw.subject import Subject, reads_variable

_STEP = 1e-5
_MOST_PLACES = 16


def slope(subject: Subject, source: Tensor) -> tuple[Any, Any] | None:
    """The differences of the sum of the targets by the first elements of `source`, and the places of these.

    None where an operation on the way has no kernel that can be run by itself.
    """
    same = {id(source)}
    same.update(
        id(operation.outputs[0])
        for operation in subject.operations
        if reads_variable(operation) and operation.inputs[0] is source
    )
    moved = [key for key in same if key in subject.values and subject.values[key].dtype.is_numpy_compatible]
    start = np.asarray(subject.values[moved[0]]._array, np.float64)
    places = np.arange(min(start.size, _MOST_PLACES))
    result = np.zeros(len(places))
    for index, place in enumerate(places):
        step = _STEP * max(1.0, abs(float(start.reshape(-1)[place])))
        sides = []
        for sign in (1, -1):
            array = start.copy()
            array.reshape(-1)[place] += sign * step
            total = _replay(subject, dict.fromkeys(moved, array))
            if total is None:
                return None
            sides.append(total)
        result[index] = (sides[0] - sides[1]) / (2 * step)
    return result, places


def _replay(subject: Subject, arrays: dict[int, Any]) -> float | None:
    """The sum of the targets when some tensors have other values. What does not depend on these stays as it is."""
    with context.use_graph(None), np.errstate(all="ignore"):
        for operation in subject.operations:
            if id(operation.outputs[0] if operation.outputs else None) in arrays:
                continue
            if operation.gradient is NO_GRADIENT or not any(id(tensor) in arrays for tensor in operation.inputs):
                continue  # what passes no gradient on, such as stop_gradient, counts as constant
            if operation.definition.reference is None or any(
                id(tensor) not in subject.values for tensor in operation.inputs
            ):
                return None
            inputs = [arrays.get(id(tensor), _wide(subject.values[id(tensor)]._array)) for tensor in operation.inputs]
            results = bind_kernel(operation.definition, operation.attrs, eager_context(), operation)(*inputs)
            parts = [results] if len(operation.outputs) == 1 and not isinstance(results, (list, tuple)) else results
            arrays.update((id(tensor), part) for tensor, part in zip(operation.outputs, parts, strict=True))
    return sum(float(np.sum(arrays.get(id(tensor), subject.values[id(tensor)]._array))) for tensor in subject.targets)


def _wide(array: Any) -> Any:
    return np.asarray(array, np.float64) if np.asarray(array).dtype.kind in "fV" else array
