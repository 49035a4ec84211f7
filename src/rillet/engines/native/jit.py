"""From LLVM IR text to machine code that can be called.

A text is compiled once: what is in use in this process is shared, what was compiled before is found on disk, and only
the rest is compiled. LLVM itself is loaded when something has to be.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from rillet.core.locks import lock_held_while_forking
from rillet.engines.native import cache, compiler, elf
from rillet.engines.native import target as targets
from rillet.engines.native.compiler import CompilerUnavailable
from rillet.engines.native.target import Target

__all__ = ["Code", "CompilerUnavailable", "assembly", "available", "compile_kernels", "emit_object", "load_kernels"]

ENTRY = "kernel"

# A part of every key on disk, to be raised whenever the same text would give other code or other bytes.
_FORMAT = "1"


class Code:
    """Machine code in memory, which lives as long as this object does. `address` is where its function begins; `key` is
    what it is called on disk."""

    __slots__ = ("__weakref__", "_owner", "address", "key")

    def __init__(self, address: int, owner: object, key: bytes = b"") -> None:
        self.address = address
        self.key = key
        self._owner = owner


@functools.cache
def available() -> bool:
    """Whether llvmlite is installed. (That it also loads is known when the first program is compiled.)"""
    try:
        return importlib.util.find_spec("llvmlite.binding") is not None
    except ImportError:
        return False


# Code in use, by what it was made from: equal texts share it, and it goes with its last user.
_in_use: weakref.WeakValueDictionary[Any, Code] = weakref.WeakValueDictionary()
_compiling = lock_held_while_forking()  # LLVM would be caught half-way


def compile_kernels(
    texts: Sequence[str], target: Target | None = None, symbols: Mapping[str, int] | None = None
) -> list[Code]:
    """Machine code for modules that each define a function `kernel`, in order; equal texts give the same Code.

    texts: LLVM IR. A comment as the first line names the kernel in messages; the code does not depend on it.
    symbols: addresses of functions that kernels may call, besides those of the C library.
    Raises RuntimeError for text that LLVM refuses and for a function that is found nowhere; CompilerUnavailable where
    nothing can be compiled or loaded.
    """
    target = target or _host()
    with _compiling:
        wanted = [(_key(text, target), _used(symbols or {}, text)) for text in texts]
        codes = {whole: _in_use.get(whole) for whole in wanted}
        missing: dict[bytes, str] = {}
        for whole, text in zip(wanted, texts, strict=True):
            if codes[whole] is None:
                missing.setdefault(whole[0], text)
        packed = _find_or_compile(missing, target)
        for whole, code in codes.items():
            if code is None:
                codes[whole] = _in_use[whole] = _load(whole[0], packed[whole[0]], dict(whole[1]))
    return [code for code in map(codes.get, wanted) if code is not None]


def load_kernels(keys: Sequence[bytes]) -> list[Code] | None:
    """The code that was compiled under these keys (from texts that need no symbols), in order; None if some is gone."""
    store = cache.default()
    with _compiling:
        codes: dict[bytes, Code] = {}
        for key in keys:
            if key in codes:
                continue
            code = _in_use.get((key, ()))
            if code is None:
                packed = store.load(key)
                if packed is None:
                    return None
                code = _in_use[(key, ())] = _load(key, packed, {})
            codes[key] = code
    return [codes[key] for key in keys]


def emit_object(text: str, target: Target | None = None) -> bytes:
    """The module's relocatable object file, for any target. Raises like compile_kernels.

    The module may hold inline assembly for this machine's processor only: LLVM's assemblers for others are not there.
    """
    with compiler.borrowed(target or _host()) as one:
        return one.compile(text)


def assembly(text: str, target: Target | None = None) -> str:
    """The module in the target's assembly language. Raises like compile_kernels."""
    with compiler.borrowed(target or _host()) as one:
        return one.compile(text, as_object=False).decode()


# ---- between text and memory ----------------------------------------------------------------------------------------

# What is kept on disk begins with one of these: an image of our linker, or an object file for LLVM's.
_IMAGE, _OBJECT = b"I", b"O"


def _host() -> Target:
    try:
        return targets.host()
    except (ImportError, OSError) as error:
        raise CompilerUnavailable(f"llvmlite does not load: {error}") from error


def _key(text: str, target: Target) -> bytes:
    body = text.partition("\n")[2] if text.startswith(";") else text
    return cache.digest(_FORMAT, targets.compiler_version(), target.triple, target.processor, target.features, body)


def _used(symbols: Mapping[str, int], text: str) -> tuple[tuple[str, int], ...]:
    """The symbols that the text may refer to: all that its loaded code depends on besides itself."""
    return tuple((name, symbols[name]) for name in sorted(symbols) if f"@{name}" in text)


def _find_or_compile(texts: Mapping[bytes, str], target: Target) -> dict[bytes, bytes]:
    """Linked code by key: found on disk, or compiled and put there."""
    store = cache.default()
    found = {key: store.load(key) for key in texts}
    packed = {key: data for key, data in found.items() if data is not None}
    absent = [key for key in texts if key not in packed]

    def finish(number: int, data: bytes) -> None:
        key = absent[number]
        packed[key] = _link(data)
        store.store(key, packed[key])

    compiler.compile_all([texts[key] for key in absent], target, finish)
    return packed


def _link(data: bytes) -> bytes:
    if elf.host_machine() is None:
        return _OBJECT + data
    try:
        return _IMAGE + elf.link(data, ENTRY).pack()
    except elf.Unsupported:
        return _OBJECT + data


def _load(key: bytes, packed: bytes, symbols: Mapping[str, int]) -> Code:
    if packed[:1] == _OBJECT:
        return _load_with_llvm(key, packed[1:], symbols)
    image = elf.Image.unpack(packed[1:])
    if image.machine != elf.host_machine():
        raise ValueError("this code was compiled for another kind of processor")
    try:
        return Code(*elf.load(image, symbols), key)
    except OSError as error:
        raise CompilerUnavailable(f"compiled code cannot be loaded: {error}") from error


@functools.cache
def _llvm_linker() -> Any:
    return compiler.llvm().create_lljit_compiler()


_libraries = itertools.count()


def _load_with_llvm(key: bytes, data: bytes, symbols: Mapping[str, int]) -> Code:
    """The way for object files that our linker does not know, as on systems without ELF."""
    builder = compiler.llvm().JITLibraryBuilder().add_object_img(data).add_current_process().export_symbol(ENTRY)
    for name, address in symbols.items():
        builder.import_symbol(name, address)
    library = builder.link(_llvm_linker(), f"kernel{next(_libraries)}")
    return Code(library[ENTRY], library, key)
