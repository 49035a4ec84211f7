"""LLVM at work: from IR text to object files, on as many threads as rillet may use."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rillet import config
from rillet.engines.native.target import Target

# Texts arrive vectorised and unrolled, and the code generator finds common subexpressions and invariants of loops again.
# Measured on such kernels, LLVM's standard pipeline doubles the time of compilation and makes none of them faster.
PASSES = ("always_inliner", "sroa", "instruction_combine", "simplify_cfg")


class CompilerUnavailable(ImportError):
    """Nothing can be compiled here: llvmlite is missing or does not load, or the system forbids new code."""


@functools.cache
def llvm() -> Any:
    """llvmlite's binding, ready to generate code for this machine."""
    try:
        binding = importlib.import_module("llvmlite.binding")  # takes longer to load than all of rillet
    except (ImportError, OSError) as error:
        raise CompilerUnavailable(f"llvmlite does not load: {error}") from error
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    binding.initialize_native_asmparser()  # LLVM ends the process over inline assembly without it
    return binding


@functools.cache
def _unlocked(name: str) -> Any:
    """llvmlite's C function `name`, without the lock by which llvmlite lets in one thread at a time.

    LLVM asks only that threads share no context and no target machine, and no two compilers here do.
    """
    library = llvm().ffi.lib
    locked = getattr(library, name)
    function = getattr(ctypes.CDLL(library._name), name)
    function.argtypes = locked.argtypes
    function.restype = locked.restype
    return function


def _find_target(triple: str) -> Any:
    """LLVM's back end for a triple; those of other processors are made ready when first asked for."""
    binding = llvm()
    try:
        return binding.Target.from_triple(triple)
    except RuntimeError:
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
        return binding.Target.from_triple(triple)


class Compiler:
    """What one thread at a time needs to compile for one target."""

    def __init__(self, target: Target) -> None:
        binding = llvm()
        self._machine = _find_target(target.triple).create_target_machine(
            cpu=target.processor, features=target.features, opt=2, reloc="pic", codemodel="small"
        )
        # Put on the first line of a text, so that its lines keep their numbers.
        self._heading = f'target triple = "{target.triple}" target datalayout = "{self._machine.target_data}" '
        self._builder = binding.create_pass_builder(self._machine, binding.create_pipeline_tuning_options())
        self._passes = binding.create_new_module_pass_manager()
        for name in PASSES:
            getattr(self._passes, f"add_{name}_pass")()

    def compile(self, text: str, as_object: bool = True, parts: Sequence[str] = ()) -> bytes:
        """The module's object file, or its assembly. RuntimeError, with the place, where LLVM refuses the text.

        parts: further modules, which become part of it.
        """
        binding = llvm()
        # A context of its own for each text: what LLVM remembers of it goes with it.
        with binding.create_context() as context, self._parse(text, context) as module:
            for part in parts:
                module.link_in(self._parse(part, context))
            _unlocked("LLVMPY_RunNewModulePassManager")(self._passes, module, self._builder)
            with binding.ffi.OutputString() as message:
                emit = _unlocked("LLVMPY_TargetMachineEmitToMemory")
                memory = emit(self._machine, module, int(as_object), message)
                if not memory:
                    raise RuntimeError(f"LLVM cannot generate code: {message}")
        library = binding.ffi.lib
        try:
            return ctypes.string_at(library.LLVMPY_GetBufferStart(memory), library.LLVMPY_GetBufferSize(memory))
        finally:
            library.LLVMPY_DisposeMemoryBuffer(memory)

    def _parse(self, text: str, context: Any) -> Any:
        """The module of a text, checked: LLVM ends the process over one that is not valid."""
        binding = llvm()
        source = ctypes.c_char_p((self._heading + text).encode())
        with binding.ffi.OutputString() as message:
            pointer = _unlocked("LLVMPY_ParseAssembly")(context, source, message)
            if not pointer:
                raise RuntimeError(_explain(str(message), text))
        module = binding.ModuleRef(pointer, context)
        with binding.ffi.OutputString() as message:
            if _unlocked("LLVMPY_VerifyModule")(module, message):
                module.close()
                raise RuntimeError(_explain(str(message), text))
        return module


def _explain(message: str, text: str) -> str:
    """LLVM's message, and the lines of the text that it is about."""
    lines = text.splitlines()
    place = re.match(r"<string>:(\d+):", message)
    if place:
        number = int(place[1])
    else:  # the verifier quotes the instruction instead
        quoted = {line.strip() for line in message.splitlines()}
        number = next((index for index, line in enumerate(lines, 1) if line.strip() in quoted), 1)
    first = max(number - 4, 0)
    shown = [
        f"{'>' if index == number else ' '} {index:4} | {line}"
        for index, line in enumerate(lines[first : number + 3], first + 1)
    ]
    return "\n".join(["LLVM refuses the text:", message.strip(), *shown])


# ---- many texts -----------------------------------------------------------------------------------------------------

_idle: dict[Target, list[Compiler]] = {}


@contextlib.contextmanager
def borrowed(target: Target) -> Iterator[Compiler]:
    """A compiler that is this thread's own for a while."""
    idle = _idle.setdefault(target, [])
    try:
        compiler = idle.pop()
    except IndexError:
        compiler = Compiler(target)
    yield compiler
    idle.append(compiler)  # one that failed is not used again


def name_of(text: str) -> str:
    """What messages call a kernel: its first line, if that is a comment."""
    return text.partition("\n")[0].lstrip("; ") if text.startswith(";") else "kernel"


def compile_all(texts: Sequence[str], target: Target, finish: Callable[[int, bytes], None]) -> None:
    """Compiles the texts, side by side; calls finish(number, object file) for each, on the thread that made it.

    Raises the first failure, after which no further text is begun.
    """
    # The longest first, so that no thread is left alone with it at the end.
    waiting = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    failures: list[BaseException] = []
    is_told = config.DEBUG.value >= 2

    def work() -> None:
        try:
            with borrowed(target) as compiler:
                while waiting and not failures:
                    try:
                        number = waiting.pop()
                    except IndexError:  # another thread was quicker
                        return
                    start = time.perf_counter()
                    data = compiler.compile(texts[number])
                    finish(number, data)
                    if is_told:
                        _tell(texts[number], time.perf_counter() - start, len(data))
        except BaseException as error:
            failures.append(error)

    helpers = [threading.Thread(target=work) for _ in range(min(config.THREADS.value, len(texts)) - 1)]
    for helper in helpers:
        helper.start()
    if texts:
        work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]


def _tell(text: str, seconds: float, size: int) -> None:
    lines = text.count("\n")
    line = f"rillet: compiled {name_of(text)}: {lines} lines, {size} bytes, {1e3 * seconds:.1f} ms\n"
    sys.stderr.write(line)  # one write, so that the lines of several threads stay whole
