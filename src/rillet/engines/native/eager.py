"""Single elementwise ops on large arrays, run eagerly: one kernel for an op and its dtypes, whatever the shapes.

NumPy's ufuncs run on one core, and formulas of several of them go over memory several times. From some size on it pays
to compile the op: once, as its kernel takes any number of elements.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np

import rillet.compiler.lowering  # noqa: F401  (registers the rules)
from rillet import config
from rillet.compiler.arrays import Array, Arrays, Map, Source
from rillet.compiler.index import Variable, linear
from rillet.compiler.lower import Failed, Lowering, can_lower
from rillet.compiler.rules import NeedsValue, NotLowered
from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.execution import eager_context
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Operation
from rillet.core.opdef import OpDef
from rillet.core.tensor import SymbolicTensor
from rillet.engines.native.blocks import reusing_blocks
from rillet.engines.native.expressions import Expressions
from rillet.engines.native.jit import Code, CompilerUnavailable, compile_kernels
from rillet.engines.native.kernel import begin_kernel
from rillet.engines.native.target import host

# A share of the work for one thread, in elements; and what is never exceeded by the number of elements.
_SHARE = 1 << 17
_UNBOUNDED = 1 << 40

Call = Callable[[int, int, int], None]


class Elementwise:
    """The compiled form of one op with its attributes and dtypes. `is_scalar` tells which inputs are single numbers."""

    def __init__(self, operation: Operation, is_scalar: Sequence[bool]) -> None:
        program = Arrays()
        sources = [
            Source(program, () if scalar else (_UNBOUNDED,), tensor.dtype.base_dtype, "input", place)
            for place, (tensor, scalar) in enumerate(zip(operation.inputs, is_scalar, strict=True))
        ]
        inputs = cast("tuple[SymbolicTensor, ...]", operation.inputs)
        function = Function("eager", inputs, operation.outputs, [operation])
        (result,) = Lowering(function, sources, eager_context(), program).outputs
        if not isinstance(result, Map) or result.shape != (_UNBOUNDED,):
            raise NotLowered("not elementwise")
        self.dtype = np.dtype(result.dtype.numpy_dtype)
        text, operands = _write(result)
        if any(not isinstance(array, Source) and array is not result for array in operands):
            raise NotLowered("an operand that is not an input")
        self._places = [array.key if isinstance(array, Source) else -1 for array in operands]
        self._code: Code = compile_kernels([text])[0]
        self._call: Call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(self._code.address)

    def __call__(self, arrays: Sequence[np.ndarray[Any, Any]], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        with reusing_blocks():
            result = np.empty(shape, self.dtype)
        addresses = [result.ctypes.data if place < 0 else arrays[place].ctypes.data for place in self._places]
        table = (ctypes.c_void_p * len(addresses))(*addresses)
        where, count = ctypes.addressof(table), result.size
        threads = min(config.THREADS.value, count // _SHARE)
        if threads < 2:
            self._call(where, 0, count)
            return result
        share = -(-count // threads // 64) * 64
        rest = [
            _pool().submit(self._call, where, start, min(count, start + share)) for start in range(share, count, share)
        ]
        self._call(where, 0, share)
        for future in rest:
            future.result()
        return result


_POOLS: list[ThreadPoolExecutor] = []


def _pool() -> ThreadPoolExecutor:
    if not _POOLS:
        _POOLS.append(ThreadPoolExecutor(max_workers=config.THREADS.value, thread_name_prefix="rillet-eager"))
    return _POOLS[0]


def _write(result: Map) -> tuple[str, list[Array]]:
    """The kernel that computes elements begin .. end - 1: by vectors, and the last few one by one."""
    target = host()
    b = begin_kernel()
    x = Expressions(b, target)
    variable = Variable("i", _UNBOUNDED)
    place = linear(variable)
    expression = result.program.computed(result, (place,))
    lanes = target.lanes(max(4, result.dtype.size)) * (4 if expression.size <= 6 else 2 if expression.size < 40 else 1)
    begin, end = b.parameters["begin"], b.parameters["end"]
    count = b.binary("sub", end, begin)
    whole = b.binary("add", begin, b.binary("and", count, b.i64(-lanes)))
    for start, stop, width in ((begin, whole, lanes), (whole, end, 1)):
        with b.loop(start, stop, width) as loop, x.inside([(variable, loop.index)], variable, width):
            x.store(x.value(expression), result, place)
    b.ret()
    return str(b.module), x.operands


_known: dict[Any, Elementwise | None] = {}
_MOST = 512


def run(definition: OpDef, options: dict[str, Any], arrays: Sequence[Any]) -> Any:
    """The op's result on large arrays; None where it has no such kernel: NumPy computes it then."""
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
