"""Shapes that were not known when the graph was made are checked when it is compiled, by the ops' own static inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array, Constant
from rillet.core import opdef
from rillet.core.graph import Operation
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor


def misfit(operation: Operation, arrays: Sequence[Any]) -> str:
    """Why the operation cannot be applied to arrays of these shapes; "" if it can.

    arrays: an Array for each input, or anything else for those that are no numbers (variables, lists).
    """
    shape = operation.definition.shape
    if shape is None or all(map(_was_known, operation.inputs, arrays)):
        return ""
    inputs = tuple(map(_with_shape, operation.inputs, arrays))
    probe = Operation(operation.definition, inputs, operation.attrs)
    dtypes = opdef.argument_dtypes(operation.definition.signature.outputs, operation.attrs)
    probe.outputs = [SymbolicTensor(probe, position, dtype) for position, dtype in enumerate(dtypes)]
    try:
        shape(probe)
    except (ValueError, TypeError, IndexError) as error:
        return str(error) or type(error).__name__
    return ""


def _was_known(tensor: Any, array: Any) -> bool:
    return not isinstance(array, Array) or bool(tensor.shape.dimensions == array.shape)


def _with_shape(tensor: Any, array: Any) -> Any:
    if not isinstance(array, Array):
        return tensor
    dtype = tensor.dtype.base_dtype
    if isinstance(array, Constant):
        return EagerTensor(array.value, dtype)
    shape = TensorShape(array.shape)
    placeholder = Operation(opdef.REGISTRY["Placeholder"], (), {"dtype": dtype, "shape": shape})
    result = SymbolicTensor(placeholder, 0, dtype)
    result.set_shape(shape)
    placeholder.outputs = [result]
    return result
