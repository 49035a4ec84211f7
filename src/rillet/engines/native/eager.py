"""Single elementwise ops on large arrays, run eagerly: one kernel for an op and its dtypes, whatever the shapes.

NumPy's ufuncs run on one core, and formulas of several of them go over memory several times. From some size on it pays
to compile the op: once, as its kernel takes any number of elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

import rillet.compiler.lowering  # noqa: F401  (registers the rules)
from rillet.compiler.arrays import Arrays, Map, Source
from rillet.compiler.lower import Failed, Lowering, can_lower
from rillet.compiler.rules import NeedsValue, NotLowered
from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.execution import eager_context
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Operation
from rillet.core.opdef import OpDef
from rillet.core.tensor import SymbolicTensor
from rillet.engines.native import eager_random
from rillet.engines.native.blocks import reusing_blocks
from rillet.engines.native.eager_kernel import UNBOUNDED, SharedKernel, write_elementwise
from rillet.engines.native.jit import CompilerUnavailable


class Elementwise:
    """The compiled form of one op with its attributes and dtypes. `is_scalar` tells which inputs are single numbers."""

    def __init__(self, operation: Operation, is_scalar: Sequence[bool]) -> None:
        program = Arrays()
        sources = [
            Source(program, () if scalar else (UNBOUNDED,), tensor.dtype.base_dtype, "input", place)
            for place, (tensor, scalar) in enumerate(zip(operation.inputs, is_scalar, strict=True))
        ]
        inputs = cast("tuple[SymbolicTensor, ...]", operation.inputs)
        function = Function("eager", inputs, operation.outputs, [operation])
        (result,) = Lowering(function, sources, eager_context(), program).outputs
        if not isinstance(result, Map) or result.shape != (UNBOUNDED,):
            raise NotLowered("not elementwise")
        self.dtype = np.dtype(result.dtype.numpy_dtype)
        text, operands = write_elementwise(result)
        if any(not isinstance(array, Source) and array is not result for array in operands):
            raise NotLowered("an operand that is not an input")
        inputs_count = len(operation.inputs)
        self._kernel = SharedKernel(
            text, [array.key if isinstance(array, Source) else inputs_count for array in operands]
        )

    def __call__(self, arrays: Sequence[np.ndarray[Any, Any]], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        with reusing_blocks():
            result = np.empty(shape, self.dtype)
        self._kernel.run([*arrays, result], result.size)
        return result


_known: dict[Any, Elementwise | None] = {}
_MOST = 512


def run(definition: OpDef, options: dict[str, Any], arrays: Sequence[Any]) -> Any:
    """The op's result on large arrays; None where it has no such kernel: NumPy computes it then. An op that draws random
    numbers is given its stream's state and a shape."""
    if definition.name in eager_random.DRAWN:
        return eager_random.draw(definition.name, options["dtype"], *arrays)
    shape: tuple[int, ...] | None = None
    kinds: list[Any] = []
    for array in arrays:
        if np.ndim(array) == 0:
            kinds.append((array.dtype, True))
            continue
        if shape is None:
            shape = array.shape
        if array.shape != shape or not array.flags.c_contiguous or not array.flags.aligned:
            return None
        kinds.append((array.dtype, False))
    if shape is None:
        return None
    try:
        key = (definition.name, tuple(kinds), tuple(options.items()))
        found = _known.get(key, key)
    except TypeError:
        return None
    if found is key:
        if len(_known) >= _MOST:
            _known.clear()
        found = _known[key] = _compiled(definition, options, arrays)
    if found is None:
        return None
    return found([np.asarray(array) for array in arrays], shape)  # type: ignore[operator]


def _compiled(definition: OpDef, options: dict[str, Any], arrays: Sequence[Any]) -> Elementwise | None:
    graph = FuncGraph("eager", outer_graph=None)
    with graph.as_default():
        inputs = [graph.add_input(dtypes.as_dtype(array.dtype), [None] * min(1, np.ndim(array))) for array in arrays]
        try:
            apply_op(definition, inputs, dict(options))
        except (TypeError, ValueError):
            return None
    operation = graph.get_operations()[-1]
    if not can_lower(operation) or len(operation.outputs) != 1:
        return None
    try:
        return Elementwise(operation, [np.ndim(array) == 0 for array in arrays])
    except (Failed, NotLowered, NeedsValue, CompilerUnavailable, NotImplementedError):
        return None
