"""Memory of large results: kept when they die, and used again for the next one of the same size.

A fresh block of many megabytes costs more than the arithmetic that fills it: the system clears each page when it is first
touched. NumPy lets us make arrays with memory functions of our own (NEP 49): arrays made inside `reusing_blocks` keep
theirs for life. Blocks begin at a cache line, those of 4 MB and more at a huge page.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from rillet.engines.native.jit import Code, compile_kernels

LARGE = 1 << 20  # bytes from which on blocks are kept
_PLACES = 64
_MOST_BYTES = 512 << 20  # kept in all
_SET_HANDLER = 304  # the place of PyDataMem_SetHandler in NumPy's table of C functions
_HUGE_PAGES = 14  # MADV_HUGEPAGE

# The table: the bytes kept in all, then (address, size) pairs; a size of 0 is a free place. All calls hold the GIL.
_TEXT = f"""
declare ptr @aligned_alloc(i64, i64)
declare ptr @calloc(i64, i64)
declare ptr @realloc(ptr, i64)
declare void @free(ptr)
declare i32 @madvise(ptr, i64, i32)

define internal ptr @take(ptr %table, i64 %size) {{
entry:
  %large = icmp uge i64 %size, {LARGE}
  br i1 %large, label %search, label %small
small:
  %padded = add i64 %size, 64
  %even = and i64 %padded, -64
  %block = call ptr @aligned_alloc(i64 64, i64 %even)
  ret ptr %block
search:
  %place = phi i64 [ 0, %entry ], [ %next, %following ]
  %offset = shl i64 %place, 4
  %beyond = add i64 %offset, 8
  %where = getelementptr i8, ptr %table, i64 %beyond
  %size_at = getelementptr i8, ptr %where, i64 8
  %kept = load i64, ptr %size_at
  %same = icmp eq i64 %kept, %size
  br i1 %same, label %found, label %following
found:
  store i64 0, ptr %size_at
  %total = load i64, ptr %table
  %less = sub i64 %total, %size
  store i64 %less, ptr %table
  %old = load ptr, ptr %where
  ret ptr %old
following:
  %next = add i64 %place, 1
  %done = icmp eq i64 %next, {_PLACES}
  br i1 %done, label %fresh, label %search
fresh:
  %huge = icmp uge i64 %size, {4 << 20}
  %alignment = select i1 %huge, i64 {2 << 20}, i64 4096
  %more = add i64 %size, %alignment
  %mask = sub i64 0, %alignment
  %rounded = and i64 %more, %mask
  %new = call ptr @aligned_alloc(i64 %alignment, i64 %rounded)
  %failed = icmp eq ptr %new, null
  br i1 %failed, label %out, label %advise
advise:
  %ignored = call i32 @madvise(ptr %new, i64 %rounded, i32 {_HUGE_PAGES})
  br label %out
out:
  ret ptr %new
}}

define internal ptr @clear(ptr %table, i64 %count, i64 %size) {{
  %block = call ptr @calloc(i64 %count, i64 %size)
  ret ptr %block
}}

define internal ptr @resize(ptr %table, ptr %block, i64 %size) {{
  %new = call ptr @realloc(ptr %block, i64 %size)
  ret ptr %new
}}

define internal void @give(ptr %table, ptr %block, i64 %size) {{
entry:
  %large = icmp uge i64 %size, {LARGE}
  %total = load i64, ptr %table
  %more = add i64 %total, %size
  %fits = icmp ule i64 %more, {_MOST_BYTES}
  %keep = and i1 %large, %fits
  br i1 %keep, label %search, label %release
search:
  %place = phi i64 [ 0, %entry ], [ %next, %following ]
  %offset = shl i64 %place, 4
  %beyond = add i64 %offset, 8
  %where = getelementptr i8, ptr %table, i64 %beyond
  %size_at = getelementptr i8, ptr %where, i64 8
  %kept = load i64, ptr %size_at
  %free = icmp eq i64 %kept, 0
  br i1 %free, label %found, label %following
found:
  store ptr %block, ptr %where
  store i64 %size, ptr %size_at
  store i64 %more, ptr %table
  ret void
following:
  %next = add i64 %place, 1
  %done = icmp eq i64 %next, {_PLACES}
  br i1 %done, label %release, label %search
release:
  call void @free(ptr %block)
  ret void
}}

define void @kernel(ptr %functions, i64 %begin, i64 %end) {{
  store ptr @take, ptr %functions
  %second = getelementptr ptr, ptr %functions, i64 1
  store ptr @clear, ptr %second
  %third = getelementptr ptr, ptr %functions, i64 2
  store ptr @resize, ptr %third
  %fourth = getelementptr ptr, ptr %functions, i64 3
  store ptr @give, ptr %fourth
  ret void
}}
"""


class _Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("functions", ctypes.c_void_p * 4),
    )


class _Blocks:
    """What makes and keeps the blocks: lives as long as the process, because arrays may."""

    def __init__(self) -> None:
        self._code: Code = compile_kernels([_TEXT])[0]
        self._table = (ctypes.c_int64 * (1 + 2 * _PLACES))()
        self._handler = _Handler(b"rillet_blocks", 1, ctypes.addressof(self._table))
        fill = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(self._code.address)
        fill(ctypes.addressof(self._handler) + _Handler.functions.offset, 0, 0)
        new_capsule = ctypes.pythonapi.PyCapsule_New
        new_capsule.restype, new_capsule.argtypes = (
            ctypes.py_object,
            [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
        )
        self._name = b"mem_handler"
        self.capsule = new_capsule(ctypes.addressof(self._handler), self._name, None)
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        table = ctypes.cast(get(np._core.multiarray._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))  # type: ignore[attr-defined]
        self.set_handler: Any = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])

    @property
    def kept_bytes(self) -> int:
        return self._table[0]


@functools.cache
def blocks() -> _Blocks:
    found = _Blocks()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(found))  # arrays may die after the interpreter has dropped its modules
    return found


@contextlib.contextmanager
def reusing_blocks() -> Iterator[None]:
    """Arrays that this thread makes inside take memory that large arrays made here before have left."""
    found = blocks()
    before = found.set_handler(found.capsule)
    try:
        yield
    finally:
        found.set_handler(before)
