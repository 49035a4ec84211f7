"""The native engine: a Function becomes machine code, through LLVM, and runs as one native call."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rillet.core.execution import Executable, ExecutionContext, Plan

if TYPE_CHECKING:
    from rillet.core.function import Function
    from rillet.core.opdef import OpDef


@functools.cache
def _loaded() -> ModuleType:
    """The engine proper, which is loaded when the first Function is compiled: importing rillet stays quick."""
    return importlib.import_module("rillet.engines.native.executable")


@functools.cache
def _eager() -> ModuleType:
    return importlib.import_module("rillet.engines.native.eager")


def run_large(definition: OpDef, options: dict[str, Any], arrays: Sequence[Any]) -> Any:
    """An elementwise op on large arrays, by a kernel of its own; None where it has none."""
    return _eager().run(definition, options, arrays)


class NativeEngine:
    name = "native"

    def compile(self, function: Function, context: ExecutionContext) -> Executable:
        result: Executable = _loaded().NativeExecutable(function, context)
        return result

    def plan(self, function: Function, context: ExecutionContext, arrays: Sequence[Any]) -> Plan:
        result: Plan = importlib.import_module("rillet.engines.native.explain").explain(function, context, arrays)
        return result
