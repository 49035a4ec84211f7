"""Kernels in memory, called on NumPy arrays."""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from rillet.engines.native.target import Target, host


class Kernel:
    """Machine code of `void kernel(ptr operands, i64 begin, i64 end)`, alive as long as this object."""

    def __init__(self, text: str, target: Target | None = None, name: str = "kernel") -> None:
        target = target or host()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.machine = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.processor, features=target.features, opt=2, jit=True
        )
        module = llvm.parse_assembly(text)
        module.verify()
        module.triple = target.triple
        module.data_layout = str(self.machine.target_data)
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = False
        options.slp_vectorization = False
        builder = llvm.create_pass_builder(self.machine, options)
        builder.getModulePassManager().run(module, builder)
        self.engine = llvm.create_mcjit_compiler(module, self.machine)
        self.engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self.function = kind(self.engine.get_function_address(name))

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
