"""What a failed call of an op tells its user: which operands, what differs, where they were made, what to try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from rillet import errors
from rillet.core import opdef
from rillet.core.dtypes import DType
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import OpDef
from rillet.core.tensor import SymbolicTensor, Tensor
from rillet.errors import InvalidArgumentError, Operand, describe


def _variable_name(value: Any) -> str | None:
    """What the user calls `value`: the local or global name in their frame that is bound to it."""
    frame = errors.user_frame()
    if frame is None:
        return None
    for scope in (frame.f_locals, frame.f_globals):
        for name, candidate in scope.items():
            if candidate is value and not name.startswith("_"):
                return name
    return None


def operands_of(
    definition: OpDef, tensors: Sequence[Any], marks: dict[int, Sequence[int]] | None = None
) -> list[Operand]:
    """The inputs of a call as an error message shows them: the user's names, dtypes, shapes and lines."""
    names: list[str] = []
    for argument in definition.signature.inputs:
        names.append(argument.name)
    operands = []
    for index, tensor in enumerate(tensors):
        role = names[index] if index < len(names) and len(names) == len(tensors) else f"input {index}"
        label = _variable_name(tensor) or (tensor.name if isinstance(tensor, SymbolicTensor) else role)
        shape = tensor.shape.dimensions
        axes = (marks or {}).get(index, ())
        operands.append(Operand(label, tensor.dtype.name, shape, tensor.location, axes))
    return operands


def explain(headline: str, definition: OpDef, tensors: Sequence[Any], error: errors.ShapeError) -> str:
    frame = errors.user_frame()
    where = None if frame is None else errors.location_of((frame.f_code, frame.f_lasti))
    return describe(headline, operands_of(definition, tensors, error.marks), where, error.hint)


def fail(definition: OpDef, tensors: Sequence[Any], attrs: dict[str, Any], error: Exception) -> NoReturn:
    """Raises what the failure of an eager kernel means: static inference is asked first, it knows the reasons."""
    raise diagnosed(definition, tensors, attrs, error) from error


def diagnosed(
    definition: OpDef,
    tensors: Sequence[Any],
    attrs: dict[str, Any],
    error: Exception,
    operation: Operation | None = None,
) -> errors.OpError:
    """The InvalidArgumentError for a kernel that failed on `tensors`."""
    suffix = f" [Op:{definition.name}]"
    if definition.shape is not None:
        probe = Operation(definition, tuple(tensors), attrs)
        probe.outputs = [
            SymbolicTensor(probe, i, d)
            for i, d in enumerate(opdef.argument_dtypes(definition.signature.outputs, attrs))
        ]
        try:
            definition.shape(probe)
        except errors.ShapeError as reason:
            text = explain(reason.runtime_text + suffix, definition, tensors, reason)
            return InvalidArgumentError(None, operation, text)
        except (ValueError, TypeError, IndexError) as reason:
            return InvalidArgumentError(None, operation, f"{reason}{suffix}")
    text = describe(f"{error}{suffix}", operands_of(definition, tensors), None, None)
    return InvalidArgumentError(None, operation, text)


def dtype_mismatch(
    definition: OpDef,
    argument: opdef.Argument,
    tensor: Any,
    expected: DType,
    values: Sequence[Any],
    graph: Graph | None,
) -> NoReturn:
    found = tensor.dtype.base_dtype
    position = next((index for index, value in enumerate(values) if value is tensor), len(values) - 1)
    tensors = [value for value in values if isinstance(value, Tensor)]
    hint = f"tf.cast(..., tf.{expected.name}) on the {found.name} operand: rillet, like TensorFlow, never mixes dtypes silently"
    if graph is None:
        headline = (
            f"cannot compute {definition.name} as input #{position}(zero-based) was expected to be a {_kernel_name(expected)} "
            f"tensor but is a {_kernel_name(found)} tensor [Op:{definition.name}]"
        )
        raise InvalidArgumentError(None, None, describe(headline, operands_of(definition, tensors), None, hint))
    others = [
        other.name
        for other in definition.signature.inputs
        if other.type_attr == argument.type_attr and other is not argument
    ]
    of = f" of argument '{others[0]}'" if others else ""
    headline = f"Input '{argument.name}' of '{definition.name}' Op has type {found.name} that does not match type {expected.name}{of}."
    if argument.is_list:
        kinds = ", ".join(other.dtype.base_dtype.name for other in tensors)
        headline = f"Tensors in list passed to '{argument.name}' of '{definition.name}' Op have types [{kinds}] that don't all match."
    raise TypeError(describe(headline, operands_of(definition, tensors), None, hint))


def wrong_fixed_dtype(definition: OpDef, name: str, tensor: Any, expected: DType, graph: Graph | None) -> NoReturn:
    found = tensor.dtype.base_dtype
    if graph is None:
        names = [argument.name for argument in definition.signature.inputs]
        position = names.index(name) if name in names else 0
        raise InvalidArgumentError(
            None,
            None,
            describe(
                f"cannot compute {definition.name} as input #{position}(zero-based) was expected to be a "
                f"{_kernel_name(expected)} tensor but is a {_kernel_name(found)} tensor [Op:{definition.name}]",
                operands_of(definition, [tensor]),
            ),
        )
    raise TypeError(
        describe(
            f"Input '{name}' of '{definition.name}' Op has type {found.name} that does not match expected type of {expected.name}.",
            operands_of(definition, [tensor]),
        )
    )


def _kernel_name(dtype: DType) -> str:
    return {"float32": "float", "float64": "double", "float16": "half"}.get(dtype.name, dtype.name)


def not_allowed(definition: OpDef, key: str, dtype: DType, allowed: tuple[DType, ...], graph: Graph | None) -> NoReturn:
    names = ", ".join(choice.name for choice in allowed)
    argument = next((a.name for a in definition.signature.inputs if a.type_attr == key), key)
    if graph is None:
        raise InvalidArgumentError(
            None,
            None,
            f"Value for attr '{key}' of {_kernel_name(dtype)} is not in the list of allowed values: {names} [Op:{definition.name}]",
        )
    raise TypeError(
        f"Value passed to parameter '{argument}' has DataType {dtype.name} not in list of allowed values: {names}"
    )
