"""Kernels of eager ops, which take any number of elements, and threads that share the work."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rillet import config
from rillet.compiler.arrays import Array, Map
from rillet.compiler.index import Variable, linear
from rillet.compiler.scalar import in_order
from rillet.engines.native.expressions import Expressions
from rillet.engines.native.jit import compile_kernels
from rillet.engines.native.kernel import begin_kernel
from rillet.engines.native.target import host

# A share of the work for one thread, in elements; and what is never exceeded by the number of elements.
_SHARE = 1 << 17
UNBOUNDED = 1 << 40


class SharedKernel:
    """Compiled text; `places` says which of the arrays it is run on each operand is."""

    def __init__(self, text: str, places: Sequence[int]) -> None:
        self._places = places
        self._code = compile_kernels([text])[0]
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(self._code.address)

    def run(self, arrays: Sequence[Any], tasks: int, elements: int = 1) -> None:
        """All tasks, of so many elements each."""
        addresses = [arrays[place].ctypes.data for place in self._places]
        table = (ctypes.c_void_p * len(addresses))(*addresses)
        where = ctypes.addressof(table)
        threads = min(config.THREADS.value, tasks * elements // _SHARE)
        if threads < 2:
            self._call(where, 0, tasks)
            return
        share = -(-tasks // threads // 64) * 64
        rest = [
            _pool().submit(self._call, where, start, min(tasks, start + share)) for start in range(share, tasks, share)
        ]
        self._call(where, 0, min(share, tasks))
        for future in rest:
            future.result()


_POOLS: list[ThreadPoolExecutor] = []


def _pool() -> ThreadPoolExecutor:
    if not _POOLS:
        _POOLS.append(ThreadPoolExecutor(max_workers=config.THREADS.value, thread_name_prefix="rillet-eager"))
    return _POOLS[0]


def write_elementwise(result: Map) -> tuple[str, list[Array]]:
    """The kernel that computes elements begin .. end - 1: by vectors, and the last few one by one."""
    target = host()
    b = begin_kernel()
    x = Expressions(b, target)
    variable = Variable("i", UNBOUNDED)
    place = linear(variable)
    expression = result.program.computed(result, (place,))
    is_random = any(node.operation in ("random32", "random64") for node in in_order([expression]))
    lanes = target.lanes(max(4, result.dtype.size)) * (
        4 if expression.size <= 6 or is_random else 2 if expression.size < 40 else 1
    )
    begin, end = b.parameters["begin"], b.parameters["end"]
    count = b.binary("sub", end, begin)
    whole = b.binary("add", begin, b.binary("and", count, b.i64(-lanes)))
    for start, stop, width in ((begin, whole, lanes), (whole, end, 1)):
        with b.loop(start, stop, width) as loop, x.inside([(variable, loop.index)], variable, width):
            x.store(x.value(expression), result, place)
    b.ret()
    return str(b.module), x.operands
