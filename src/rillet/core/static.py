"""What is known of values while the graph is being built: constants, and shapes that ops assemble."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor

# Folding is for shapes, axes and the like; a larger result isn't computed before anybody asked for it.
_LARGEST_FOLDED = 4096
_UNKNOWN = object()


def constant_value(tensor: Any) -> Any:
    """The value of `tensor` as an array where it is known already, else None. Never runs anything stateful."""
    if isinstance(tensor, EagerTensor):
        return tensor._array
    if not isinstance(tensor, SymbolicTensor):
        return None if isinstance(tensor, Tensor) or hasattr(tensor, "graph") else np.asarray(tensor)
    known = tensor.__dict__.get("_constant", _UNKNOWN)
    if known is _UNKNOWN:
        known = tensor.__dict__["_constant"] = _fold(tensor)
    return known


def _fold(tensor: SymbolicTensor) -> Any:
    operation = tensor.op
    definition = operation.definition
    if definition.fold is not None:
        value = definition.fold(operation)
        if value is not None or not operation.inputs:
            return value
    outside = tensor.__dict__.get("_outside")
    if outside is not None:
        return constant_value(outside) if _is_small(outside) else None
    if (
        definition.is_stateful
        or definition.reference is None
        or definition.kernel_needs_context
        or not operation.inputs
    ):
        return None
    if not all(_is_small(source) for source in (*operation.inputs, *operation.outputs)):
        return None
    arrays = [constant_value(source) for source in operation.inputs]
    if any(array is None for array in arrays):
        return None
    options = {name: operation.attrs[name] for name in definition.kernel_attributes}
    with np.errstate(all="ignore"):
        try:
            result = definition.reference(*arrays, **options)
        except (ValueError, IndexError, TypeError, ArithmeticError):
            return None  # it will fail when it runs, and say why
    value = result[tensor.value_index] if isinstance(result, (tuple, list)) else result
    return np.asarray(value, tensor.dtype.numpy_dtype) if tensor.dtype.is_numpy_compatible else None


def _is_small(tensor: Any) -> bool:
    elements = tensor.shape.num_elements()
    return elements is not None and elements <= _LARGEST_FOLDED


def constant_value_as_shape(tensor: Any) -> TensorShape:
    """The shape that an integer vector denotes, as far as it is known: entries that aren't (or are -1) become None."""
    value = constant_value(tensor)
    if value is not None:
        return TensorShape([None if size < 0 else int(size) for size in np.ravel(value)])
    if isinstance(tensor, SymbolicTensor):
        if "_outside" in tensor.__dict__:
            return constant_value_as_shape(tensor.__dict__["_outside"])
        rule = tensor.op.definition.shape_value
        known = rule(tensor.op) if rule is not None else None
        if known is not None:
            return known if isinstance(known, TensorShape) else TensorShape(known)
        length = tensor.shape.dimensions[0] if tensor.shape.rank == 1 else None  # type: ignore[index]
        if length is not None:
            return TensorShape([None] * length)
    return TensorShape(None)
