"""The native engine: a Function becomes machine code, through LLVM, and runs as one native call."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from rillet.core.execution import Executable, ExecutionContext

if TYPE_CHECKING:
    from rillet.core.function import Function


@functools.cache
def _loaded() -> ModuleType:
    """The engine proper, which is loaded when the first Function is compiled: importing rillet stays quick."""
    return importlib.import_module("rillet.engines.native.executable")


class NativeEngine:
    name = "native"

    def compile(self, function: Function, context: ExecutionContext) -> Executable:
        result: Executable = _loaded().NativeExecutable(function, context)
        return result
