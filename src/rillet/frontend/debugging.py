"""Watching what runs: where nan and infinity come from, and on which device an op is placed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from rillet.core import context
from rillet.core.execution import eager_context
from rillet.core.export import public
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.core.tensor import EagerTensor, Tensor
from rillet.errors import InvalidArgumentError


class _Watcher:
    """A recorder that looks at every op that runs eagerly in this thread."""

    higher_order = False

    def wants(self, inputs: tuple[Tensor, ...]) -> bool:
        return True

    def record(self, operation: Operation) -> None:
        raise NotImplementedError

    def variable_accessed(self, variable: Any) -> None:
        """Reading a variable is an op too."""


def _recorder(kind: type[_Watcher]) -> Any:
    return next((recorder for recorder in context.state().recorders if isinstance(recorder, kind)), None)


def _switch(kind: type[_Watcher], on: bool) -> None:
    known = _recorder(kind)
    if on and known is None:
        context.add_recorder(kind())
    elif not on and known is not None:
        context.remove_recorder(known)


# ---- nan and infinity -----------------------------------------------------------------------------------------------


def _is_bad(value: Any) -> bool:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return (kind in "fc" or "float" in str(getattr(value, "dtype", ""))) and not np.all(np.isfinite(value))


class _NumericsWatcher(_Watcher):
    def record(self, operation: Operation) -> None:
        for place, tensor in enumerate(operation.outputs):
            if isinstance(tensor, EagerTensor) and _is_bad(tensor._array):
                inner = operation.attrs.get("f")
                if isinstance(inner, Function):
                    _find_inside(inner, [value._array for value in operation.inputs])  # type: ignore[attr-defined]
                inputs = [value for value in operation.inputs if isinstance(value, EagerTensor)]
                raise _report(
                    f'eagerly-executing op "{operation.type}"', place, len(operation.outputs), tensor._array, inputs
                )


def _find_inside(function: Function, arrays: list[Any]) -> None:
    """Raises for the first operation of a function that makes bad numbers of good ones; it must have no state to change."""
    if function.is_stateful:
        return
    values = {id(tensor): array for tensor, array in zip(function.inputs, arrays, strict=True)}
    for operation in function.operations:
        single = Function("check", operation.inputs, operation.outputs, [operation])  # type: ignore[arg-type]
        results = eager_context().engine.compile(single, eager_context())(
            [values[id(tensor)] for tensor in operation.inputs]
        )
        for place, (tensor, array) in enumerate(zip(operation.outputs, results, strict=True)):
            if _is_bad(array):
                name = f'graph op "{operation.type}"'
                raise _report(name, place, len(results), array, operation.inputs, str(operation.location), operation)
            values[id(tensor)] = array


def _report(
    what: str,
    place: int,
    count: int,
    array: Any,
    inputs: Any,
    where: str | None = None,
    operation: Operation | None = None,
) -> InvalidArgumentError:
    value = np.asarray(array)
    lines = [f"\n\n!!! Detected Infinity or NaN in output {place} of {what} (# of outputs: {count}) !!!"]
    lines.append(f"  dtype: {value.dtype.name}\n  shape: {value.shape}")
    for name, found in (("-Inf", np.isneginf), ("+Inf", np.isposinf), ("NaN", np.isnan)):
        amount = int(np.sum(found(value.real))) if name != "NaN" else int(np.sum(found(value)))
        if amount:
            lines.append(f"  # of {name} elements: {amount}")
    lines += [f"  Input tensor: {tensor}" for tensor in inputs]
    if where:
        lines.append(f"  made at {where}")
    kinds = [name for name, bad in (("Inf", np.isinf(value).any()), ("NaN", np.isnan(value).any())) if bad]
    lines.append(f"\n : Tensor had {' and '.join(kinds)} values")
    return InvalidArgumentError(None, operation, "\n".join(lines))


@public("debugging.enable_check_numerics")
def enable_check_numerics(stack_height_limit: int = 30, path_length_limit: int = 50) -> None:
    """From now on an eager op or function of this thread that makes a nan or an infinity raises InvalidArgumentError.

    For a call of a tf.function without state the message names the operation inside it.
    """
    _switch(_NumericsWatcher, True)


@public("debugging.disable_check_numerics")
def disable_check_numerics() -> None:
    """Ends what enable_check_numerics began."""
    _switch(_NumericsWatcher, False)


# ---- placement ------------------------------------------------------------------------------------------------------


class _PlacementWatcher(_Watcher):
    def record(self, operation: Operation) -> None:
        for tensor in operation.outputs[:1]:
            if isinstance(tensor, EagerTensor):
                sys.stderr.write(f"Executing op {operation.type} in device {tensor.device}\n")


@public("debugging.set_log_device_placement")
def set_log_device_placement(enabled: bool) -> None:
    """Whether ops that run eagerly in this thread are written to stderr, with their device."""
    _switch(_PlacementWatcher, bool(enabled))


@public("debugging.get_log_device_placement")
def get_log_device_placement() -> bool:
    return _recorder(_PlacementWatcher) is not None
