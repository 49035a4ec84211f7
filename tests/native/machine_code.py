"""Kernels in memory, called on NumPy arrays."""

from __future__ import annotations

import ctypes
import functools
import itertools
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from rillet.engines.native import jit
from rillet.engines.native.target import Target

_numbers = itertools.count()


@functools.cache
def _linker() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_lljit_compiler()


class Kernel:
    """Machine code of `void kernel(ptr operands, i64 begin, i64 end)`, alive as long as this object."""

    def __init__(self, text: str, target: Target | None = None) -> None:
        data = jit.emit_object(text, target)
        library = llvm.JITLibraryBuilder().add_object_img(data).add_current_process().export_symbol("kernel")
        self._code = library.link(_linker(), f"test{next(_numbers)}")
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self.function = kind(self._code["kernel"])

    def table(self, arrays: list[np.ndarray[Any, Any]]) -> Any:
        """The addresses of the arrays, as a kernel takes them."""
        return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))

    def __call__(self, arrays: list[np.ndarray[Any, Any]], begin: int, end: int) -> None:
        self.function(self.table(arrays), begin, end)


def aligned(count: int) -> np.ndarray[Any, Any]:
    """Bytes that begin at a multiple of 64."""
    room = np.zeros(count + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + count]
