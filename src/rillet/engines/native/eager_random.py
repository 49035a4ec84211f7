"""Large arrays of random numbers, drawn eagerly: one kernel for a distribution and a dtype, whatever the shapes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.compiler.arrays import Arrays, Map, Output, Source
from rillet.compiler.lowering.random import ELEMENTS
from rillet.compiler.lowering.sampling import truncated_normals
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.engines.native.blocks import reusing_blocks
from rillet.engines.native.eager_kernel import UNBOUNDED, SharedKernel, write_elementwise
from rillet.engines.native.jit import CompilerUnavailable
from rillet.engines.native.opaque import write_opaque
from rillet.engines.native.target import host

TRUNCATED = "TruncatedNormal"
DRAWN = (*ELEMENTS, TRUNCATED)


class Drawn:
    """The kernel that fills an array. Its tasks make `share` elements each."""

    def __init__(self, type_: str, dtype: DType) -> None:
        program = Arrays()
        state = Source(program, (3,), dtypes.uint64, "input", 0)
        if type_ == TRUNCATED:
            numbers, self.share = truncated_normals(program, state, UNBOUNDED, dtype)
            assert isinstance(numbers, Output)
            kernel = write_opaque(numbers.opaque, host())
            text, operands = kernel.text, kernel.operands
        else:
            make, self.share = ELEMENTS[type_](dtype), 1
            stream = [state.at(place) for place in range(3)]
            numbers = program.map((UNBOUNDED,), dtype, lambda place: make(program, place, stream), (state,), 20)
            assert isinstance(numbers, Map)
            text, operands = write_elementwise(numbers)
        self._kernel = SharedKernel(text, [0 if array is state else 1 for array in operands])
        self._dtype = np.dtype(dtype.numpy_dtype)

    def __call__(self, state: Any, shape: Sequence[int]) -> Any:
        count = int(np.prod(shape))
        tasks = -(-count // self.share)
        with reusing_blocks():
            room = np.empty(tasks * self.share, self._dtype)
        self._kernel.run([state, room], tasks, self.share)
        return room[:count].reshape(tuple(shape))


@functools.cache
def _kernel(type_: str, dtype: DType) -> Drawn | None:
    try:
        return Drawn(type_, dtype)
    except CompilerUnavailable:
        return None


def draw(type_: str, dtype: DType, state: Any, shape: Sequence[int]) -> Any:
    """Numbers of that op from the stream at `state`, uint64 [3], on; None where nothing can be compiled."""
    kernel = _kernel(type_, dtype)
    return None if kernel is None else kernel(state, shape)
