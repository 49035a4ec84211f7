"""The native part of the runtime, compiled once and loaded once a process: the driver and the entry."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from rillet import config
from rillet.core import locks
from rillet.engines.native import jit
from rillet.engines.native.driver import emit_driver
from rillet.engines.native.entry import check_layouts, emit_entry
from rillet.engines.native.layout import (
    LIBRARY_FUNCTIONS,
    NUMPY_FUNCTIONS,
    POOL,
    PYTHON_FUNCTIONS,
    SERVICE_TABLE,
    SERVICES,
    STATE,
    Writer,
)
from rillet.engines.native.llvm import Module, Value
from rillet.engines.native.pool import emit_pool
from rillet.engines.native.target import Target, host

_FUNCTIONS = ("call", "execute")
_METH_FASTCALL = 0x0080
_VALUE = "value"  # the attribute of a variable that holds its array


def module_text(target: Target) -> str:
    """The LLVM IR of the runtime, for a target on this system.

    Its one visible function, `kernel`, takes the table of services and gives the addresses of the others.
    """
    module = Module()
    table = module.variable(SERVICE_TABLE, f"[{len(SERVICES)} x ptr]")
    emit_entry(module)
    emit_driver(module, time.CLOCK_MONOTONIC)
    emit_pool(module, _pause(target), signal.SIG_SETMASK)
    b = Writer(module, "kernel", [("ptr", "services"), ("ptr", "functions")])
    for place in range(len(SERVICES)):
        b.set_item(table, b.i64(place), b.item(b.parameters["services"], b.i64(place)))
    for place, name in enumerate(_FUNCTIONS):
        b.set_item(b.parameters["functions"], b.i64(place), Value(f"@{name}", "ptr"))
    b.ret()
    return str(module)


def _pause(target: Target) -> str:
    """The intrinsic that tells the processor that a thread only waits."""
    machine = target.triple.partition("-")[0]
    return {"x86_64": "llvm.x86.sse2.pause", "aarch64": "llvm.aarch64.hint"}.get(machine, "")


def _compile(text: str) -> jit.Code:
    """Machine code of a module that defines `kernel`: compiled once, kept on disk."""
    return jit.compile_kernels([text])[0]


class _MethodDefinition(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _keep_forever(thing: Any) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _numpy_table() -> Any:
    """NumPy's C functions, by their places in its ABI."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get(np._core.multiarray._ARRAY_API, None)  # type: ignore[attr-defined]
    return ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))


class Runtime:
    """The loaded code. There is one a process, which lives as long as the process: see `runtime`."""

    def __init__(self) -> None:
        self.state = np.zeros(STATE.words, np.int64)
        self.is_native = check_layouts()
        self.threads = 0
        self.locks: weakref.WeakSet[Lock] = weakref.WeakSet()
        self.library = ctypes.CDLL(None)
        self._code = _compile(module_text(host()))
        addresses = self._start()
        self._definition = _MethodDefinition(
            b"call", addresses["call"], _METH_FASTCALL, b"Runs the program on its arrays."
        )
        prototype = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
        self.execute: Callable[[int, int], int] = prototype(addresses["execute"])
        _keep_forever(self._code)  # threads sleep in it when the process ends
        self._after_fork()
        os.register_at_fork(after_in_child=self._after_fork)

    def _start(self) -> dict[str, int]:
        """Hands the code its services; returns where its functions are."""
        numpy_table = _numpy_table()
        found: dict[str, Any] = {name: _address(getattr(ctypes.pythonapi, name)) for name in PYTHON_FUNCTIONS}
        found.update({name: _address(getattr(self.library, name)) for name in LIBRARY_FUNCTIONS})
        found.update({name: numpy_table[place] for name, place in NUMPY_FUNCTIONS.items()})
        found.update(
            {"None": id(None), "ndarray": id(np.ndarray), "value": id(_VALUE), "state": self.state.ctypes.data}
        )
        services = (ctypes.c_void_p * len(SERVICES))(*(found[name] for name in SERVICES))
        functions = (ctypes.c_void_p * len(_FUNCTIONS))()
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(self._code.address)(services, functions)
        return {name: functions[place] or 0 for place, name in enumerate(_FUNCTIONS)}

    def _after_fork(self) -> None:
        """In a new process this thread is the only one: it is the main thread, and nobody holds a lock."""
        self.state[STATE.place("main_thread")] = threading.get_ident()
        for lock in self.locks:
            lock.reset()
        self._start_pool(self.threads or config.THREADS.value)

    def set_threads(self, count: int) -> None:
        """How many threads, the caller's among them, share the work from now on. Runs in progress keep theirs."""
        if count != self.threads:
            before = self._pool
            self._start_pool(count)
            self._stop(before)

    def _start_pool(self, threads: int) -> None:
        """A new pool, whose workers are started when there is work for them."""
        pool = np.zeros(POOL.words + 8, np.int64)
        pool = pool[-pool.ctypes.data % 64 // 8 :][: POOL.words]
        pool[POOL.place("helpers")] = threads - 1
        address = pool.ctypes.data
        self.library.pthread_mutex_init(ctypes.c_void_p(address + 8 * POOL.place("mutex")), None)
        for condition in ("work", "done"):
            self.library.pthread_cond_init(ctypes.c_void_p(address + 8 * POOL.place(condition)), None)
        _keep_forever(pool)  # a run that is about to use it does not hold the GIL
        self.threads, self._pool = threads, pool
        self.state[STATE.place("pool")] = address

    def _stop(self, pool: np.ndarray[Any, Any]) -> None:
        """Lets a pool's workers end when they have nothing to do."""
        mutex, work = (ctypes.c_void_p(pool.ctypes.data + 8 * POOL.place(field)) for field in ("mutex", "work"))
        self.library.pthread_mutex_lock(mutex)
        pool[POOL.place("stop")] = 1
        self.library.pthread_mutex_unlock(mutex)
        self.library.pthread_cond_broadcast(work)

    def builtin(self, program: tuple[Any, ...]) -> Callable[..., Any]:
        """The C-level function that runs a program; `program` begins with the array that holds the program's record."""
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        result: Callable[..., Any] = make(ctypes.byref(self._definition), program, None)
        return result


_loaded: list[Runtime] = []
_loading = locks.lock()


def runtime() -> Runtime:
    """The process' runtime; the first call loads it. CompilerUnavailable where llvmlite cannot be imported."""
    if not _loaded:
        if not jit.available():
            raise jit.CompilerUnavailable("llvmlite cannot be imported")
        with _loading:
            if not _loaded:
                _loaded.append(Runtime())
    return _loaded[0]


_MUTEX_BYTES = 128  # more than any system's pthread_mutex_t
_RECURSIVE = 1 if os.uname().sysname == "Linux" else 2


class Lock:
    """Keeps programs that are given the same one from running at the same time. A thread that holds it may take it again."""

    def __init__(self) -> None:
        self._memory = np.zeros(_MUTEX_BYTES // 8, np.int64)
        self.address = self._memory.ctypes.data
        self.reset()
        runtime().locks.add(self)

    def reset(self) -> None:
        library = runtime().library
        self._memory[:] = 0
        attributes = (ctypes.c_int64 * 8)()
        library.pthread_mutexattr_init(attributes)
        library.pthread_mutexattr_settype(attributes, _RECURSIVE)
        library.pthread_mutex_init(ctypes.c_void_p(self.address), attributes)

    def __enter__(self) -> None:
        runtime().library.pthread_mutex_lock(ctypes.c_void_p(self.address))

    def __exit__(self, *_: object) -> None:
        runtime().library.pthread_mutex_unlock(ctypes.c_void_p(self.address))


__all__ = ["Lock", "Runtime", "module_text", "runtime"]
