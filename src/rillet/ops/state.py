"""Variables: memory that outlives a run. Resource variables (a handle, explicit reads and writes) and TensorFlow 1's
reference variables (the variable's own output is passed to the ops that update it) share their kernels: both inputs
arrive as a VariableState.

Kernels replace a variable's array and never write into it, so a value once read stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.execution import VariableState
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.tensor import handle_data, set_handle_data
from rillet.errors import FailedPreconditionError, InvalidArgumentError, OutOfRangeError, ShapeError, format_shape
from rillet.ops.families import scalar_shape


def read_state(state: VariableState) -> Any:
    """The variable's value. FailedPreconditionError before its initialisation."""
    if state.value is None:
        raise FailedPreconditionError(
            None,
            None,
            f"Attempting to use uninitialized value {state.name}: could not find a value of variable {state.name}, it was "
            "not initialized or its session was closed.\n"
            "    Try: run its initializer first, session.run(tf.global_variables_initializer()).",
        )
    return state.value


def write_state(state: VariableState, value: Any) -> Any:
    """Gives the variable a new value, whose shape must fit. InvalidArgumentError otherwise."""
    if not state.shape.is_compatible_with(np.shape(value)):
        raise InvalidArgumentError(
            None,
            None,
            f"Assign requires shapes of both tensors to match. lhs shape= {format_shape(state.shape.dimensions)} rhs shape= "
            f"{format_shape(np.shape(value))} for variable {state.name}",
        )
    state.value = value
    return value


def _make_state(
    dtype: Any, shape: TensorShape, container: str, shared_name: str, context: Any, node: Any
) -> VariableState:
    name = shared_name or getattr(node, "name", "")
    state: VariableState = context.resource((container, name), lambda: VariableState(name, dtype, shape))
    return state


def _var_handle(*, dtype: Any, shape: Any, container: str, shared_name: str, context: Any, node: Any) -> VariableState:
    return _make_state(dtype, shape, container, shared_name, context, node)


def _var_handle_shape(op: Operation) -> TensorShape:
    set_handle_data(op.outputs[0], (op.attrs["dtype"], op.attrs["shape"]))
    return TensorShape(())


VAR_HANDLE = define(
    "VarHandleOp", "-> resource: resource", "container: string = '', shared_name: string = '', dtype: type, shape: shape",
    reference=_var_handle, shape=_var_handle_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
VARIABLE_V2 = define(
    "VariableV2", "-> ref: Ref(dtype)", "shape: shape, dtype: type, container: string = '', shared_name: string = ''",
    reference=_var_handle, shape=lambda op: op.attrs["shape"], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _read_shape(op: Operation) -> TensorShape:
    data = handle_data(op.inputs[0])
    return UNKNOWN if data is None else data[1]


READ_VARIABLE = define(
    "ReadVariableOp", "resource: resource -> value: dtype", "dtype: type",
    reference=read_state, shape=_read_shape, gradient=lambda op, dy: dy, is_stateful=True,
)  # fmt: skip


def _common_shape(target: TensorShape, value: TensorShape) -> TensorShape:
    """The shape of a variable and of a value that must have the same one. ShapeError otherwise."""
    if target.is_compatible_with(value):
        return target.merge_with(value)
    ours, theirs = format_shape(target.dimensions), format_shape(value.dimensions)
    if target.rank != value.rank:
        what = f"Shapes must be equal rank, but are {target.rank} and {value.rank}"
    else:
        pairs = enumerate(zip(target.as_list(), value.as_list(), strict=True))
        axis, sizes = next((i, pair) for i, pair in pairs if None not in pair and pair[0] != pair[1])
        what = f"Dimension {axis} in both shapes must be equal, but are {sizes[0]} and {sizes[1]}"
    raise ShapeError(
        f"{what}. Shapes are {ours} and {theirs}.",
        f"Cannot update variable with shape {ours} using a Tensor with shape {theirs}, shapes must be equal.",
        {1: range(value.rank or 0)},
    )


def _reference_shape(op: Operation) -> TensorShape:
    target, value = (tensor.shape for tensor in op.inputs)
    return _common_shape(target, value) if op.attrs.get("validate_shape", True) else value


def _handle_shape(op: Operation) -> list[TensorShape]:
    data = handle_data(op.inputs[0])
    if data is not None:
        _common_shape(data[1], op.inputs[1].shape)
    return []


def _define_update(resource_type: str, ref_type: str, update: Callable[[VariableState, Any], Any]) -> None:
    """An update of a variable by a value of its own shape: on a handle, and on a reference (which it passes on)."""

    def on_handle(state: VariableState, value: Any) -> tuple[()]:
        with state.lock:
            write_state(state, update(state, value))
        return ()

    def on_reference(state: VariableState, value: Any) -> VariableState:
        with state.lock:
            write_state(state, update(state, value))
        return state

    def assign_reference(state: VariableState, value: Any, *, validate_shape: bool) -> VariableState:
        if validate_shape:
            return on_reference(state, value)
        state.value = _copy(value)
        return state

    define(
        resource_type, "resource: resource, value: dtype ->",
        "dtype: type" + (", validate_shape: bool = False" if ref_type == "Assign" else ""),
        reference=on_handle, shape=_handle_shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip
    define(
        ref_type, "ref: Ref(T), value: T -> output_ref: Ref(T)",
        "T: type" + (", validate_shape: bool = True" if ref_type == "Assign" else "") + ", use_locking: bool = True",
        reference=assign_reference if ref_type == "Assign" else on_reference,
        shape=_reference_shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


def _copy(value: Any) -> Any:
    """The array to keep for `value`, which may be the user's own (fed, or passed to assign), and be changed later."""
    return value.copy() if isinstance(value, np.ndarray) else value


_define_update("AssignVariableOp", "Assign", lambda state, value: _copy(value))
_define_update("AssignAddVariableOp", "AssignAdd", lambda state, value: np.add(_fitting(state, value), value))
_define_update("AssignSubVariableOp", "AssignSub", lambda state, value: np.subtract(_fitting(state, value), value))


def _fitting(state: VariableState, value: Any) -> Any:
    """The variable's value, which must have the shape of `value`: an update never broadcasts."""
    current = read_state(state)
    if np.shape(current) != np.shape(value):
        raise ValueError(
            f"Cannot update variable with shape {format_shape(np.shape(current))} using a Tensor with shape "
            f"{format_shape(np.shape(value))}, shapes must be equal."
        )
    return current


def _count_up(state: VariableState, limit: int) -> Any:
    with state.lock:
        value = read_state(state)
        if value >= limit:
            raise OutOfRangeError(None, None, f"Reached limit of {limit}")
        write_state(state, value + 1)
        return value


define(
    "ResourceCountUpTo", "resource: resource -> output: T", "limit: int, T: {int32, int64}",
    reference=lambda state, *, limit: _count_up(state, limit),
    shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
define(
    "CountUpTo", "ref: Ref(T) -> output: T", "limit: int, T: {int32, int64}",
    reference=lambda state, *, limit: _count_up(state, limit),
    shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip

IS_INITIALIZED = define(
    "VarIsInitializedOp", "resource: resource -> is_initialized: bool",
    reference=lambda state: np.bool_(state.value is not None),
    shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
IS_VARIABLE_INITIALIZED = define(
    "IsVariableInitialized", "ref: Ref(dtype) -> is_initialized: bool", "dtype: type",
    reference=lambda state: np.bool_(state.value is not None),
    shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def read_variable(handle: Any, dtype: dtypes.DType, name: str | None = None) -> Any:
    """The value of the variable behind `handle`."""
    return apply_op(READ_VARIABLE, (handle,), {"dtype": dtype}, name)
