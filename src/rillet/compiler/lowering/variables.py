"""Variables as values, and calls of functions, which are lowered in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array
from rillet.compiler.numpy_like import Traced, Untraceable, as_array
from rillet.compiler.rules import RULES, Call, lowering
from rillet.core.execution import VariableState
from rillet.ops import training


@lowering("ReadVariableOp")
def read(call: Call, state: VariableState) -> Array:
    result: Array = call.lowering.read(state)
    return result


def _result(call: Call, state: VariableState) -> Sequence[Any]:
    return [state] if call.operation.outputs else []


@lowering("AssignVariableOp", "Assign")
def assign(call: Call, state: VariableState, value: Array) -> Sequence[Any]:
    call.require(call.attrs.get("validate_shape", True) or call.operation.type != "Assign", "any shape")
    call.lowering.write(state, value)
    return _result(call, state)


@lowering("AssignAddVariableOp", "AssignAdd", "AssignSubVariableOp", "AssignSub")
def assign_changed(call: Call, state: VariableState, value: Array) -> Sequence[Any]:
    old = call.lowering.read(state)
    call.require(old.shape == value.shape)
    name = "add" if "Add" in call.operation.type else "sub"
    call.lowering.write(state, call.program.elementwise(name, old.dtype, old, value))
    return _result(call, state)


@lowering("PartitionedCall", "StatefulPartitionedCall", passes=True)
def call_function(call: Call, *inputs: Any) -> Sequence[Any]:
    result: Sequence[Any] = call.lowering.inline(call.attrs["f"], inputs, call.operation)
    return result


# ---- optimizers -----------------------------------------------------------------------------------------------------


def lower_update(update: training.Update) -> None:
    """The dense ops of an update: its rule, which is NumPy code, is followed."""
    names = update.arguments

    def rule(call: Call, *inputs: Any) -> Sequence[Any]:
        given = dict(zip(names, inputs, strict=True))
        states: list[VariableState] = [given.pop(name) for name in update.states]
        old = [call.lowering.read(state) for state in states]
        gradient = given.pop("grad")
        call.require(all(value.shape == gradient.shape for value in old))
        options: dict[str, Any] = {name: _scalar(value) for name, value in given.items()}
        options.update({name: call.attrs[name] for name in update.options})
        program = call.program
        try:
            new = update.rule(*map(Traced, old), grad=Traced(gradient), **options)
        except (TypeError, AttributeError, ValueError) as error:
            raise Untraceable(str(error)) from error
        for state, value, before in zip(states, new, old, strict=True):
            call.lowering.write(state, program.broadcast(as_array(program, value, before.dtype), before.shape))
        return _result(call, states[0])

    for prefix in ("ResourceApply", "Apply"):
        RULES[prefix + update.name] = rule


def _scalar(value: Array) -> Any:
    return Traced(value)


for _update in training.UPDATES:
    lower_update(_update)
