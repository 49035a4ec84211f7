"""Linking and loading of machine code: an ELF object file becomes an image, an image becomes callable memory.

`link` does once what never changes: it lays the sections out and resolves what points within them, which for
position-independent code is nearly everything. The image that is left needs little to be loaded: memory, a copy, and
the addresses of the functions it calls. Images are what the disk cache keeps; loading one needs no LLVM.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

X86_64, AARCH64 = 62, 183

_SECTION_SYMBOLS, _SECTION_RELOCATIONS, _SECTION_NOTE, _SECTION_ZEROS = 2, 4, 7, 8
_WRITE, _ALLOCATE, _THREAD_LOCAL = 1, 2, 0x400
_UNDEFINED, _RESERVED = 0, 0xFF00
_TOO_LARGE = 64 << 20  # every kind of branch reaches this far
_STUB_BYTES = 16
_WIDEST_PAGE = {X86_64: 4096, AARCH64: 65536}

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")
_IMAGE = struct.Struct("<8I")
_FIXUP = struct.Struct("<QQ")
_ADDRESS = struct.Struct("<Q")
_OFFSET = struct.Struct("<i")
_WORD = struct.Struct("<I")
_ALL_ONES = (1 << 64) - 1


class Unsupported(Exception):
    """The object file has something in it that `link` does not know, but LLVM's own loader may."""


@dataclass
class Image:
    """Linked machine code that can be loaded at any page.

    code: instructions, constants and the table of addresses, from offset 0. data: what may be written, from
    `data_offset`, followed by zeros up to `end`. entry: the offset of the function asked for.
    relative: (offset, addend): the image's own address plus the addend belongs there.
    imports: (offset, addend, name): the address of `name` plus the addend belongs there.
    """

    machine: int
    entry: int
    end: int
    code: bytes
    data_offset: int = 0
    data: bytes = b""
    relative: list[tuple[int, int]] = field(default_factory=list)
    imports: list[tuple[int, int, str]] = field(default_factory=list)

    def pack(self) -> bytes:
        """The image as bytes, for files."""
        names = "\0".join(name for _, _, name in self.imports).encode()
        fixups = [*self.relative, *((offset, addend) for offset, addend, _ in self.imports)]
        counts = (len(self.code), len(self.data), len(self.relative), len(self.imports))
        head = _IMAGE.pack(self.machine, self.entry, self.end, self.data_offset, *counts)
        pairs = (_FIXUP.pack(offset, addend & _ALL_ONES) for offset, addend in fixups)
        return b"".join([head, *pairs, self.code, self.data, names])

    @staticmethod
    def unpack(packed: bytes) -> Image:
        machine, entry, end, data_offset, code_bytes, data_bytes, relative, imported = _IMAGE.unpack_from(packed)
        code_at = _IMAGE.size + (relative + imported) * _FIXUP.size
        data_at = code_at + code_bytes
        fixups = list(_FIXUP.iter_unpack(packed[_IMAGE.size : code_at]))
        names = packed[data_at + data_bytes :].decode().split("\0")
        imports = [(offset, addend, name) for (offset, addend), name in zip(fixups[relative:], names, strict=False)]
        code, data = packed[code_at:data_at], packed[data_at : data_at + data_bytes]
        return Image(machine, entry, end, code, data_offset, data, fixups[:relative], imports)


# ---- reading --------------------------------------------------------------------------------------------------------


@dataclass
class _Section:
    name: str
    type: int
    flags: int
    content: bytes
    size: int
    link: int
    info: int
    align: int
    place: int = -1  # where it is in the image; -1 for what is not part of it

    @property
    def is_loaded(self) -> bool:
        """Whether code may refer to it while it runs. Tables for unwinding are left out: kernels raise nothing."""
        needed = self.flags & _ALLOCATE and self.size and self.type != _SECTION_NOTE
        return bool(needed) and not self.name.startswith(".eh_frame")

    @property
    def is_written(self) -> bool:
        return bool(self.flags & _WRITE) and not self.name.startswith(".data.rel.ro")


@dataclass(frozen=True)
class _Symbol:
    name: str
    section: int
    value: int


def _text_at(table: bytes, start: int) -> str:
    return table[start : table.index(b"\0", start)].decode()


def _read_sections(data: bytes) -> tuple[int, list[_Section]]:
    """The machine, and the sections."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise Unsupported("not a 64-bit little-endian ELF file")
    _, _, machine, _, _, _, table, _, _, _, _, _, count, names = _HEADER.unpack_from(data)
    rows = [_SECTION.unpack_from(data, table + index * _SECTION.size) for index in range(count)]
    strings = data[rows[names][4] :]
    sections = []
    for name, type_, flags, _, offset, size, link, info, align, _ in rows:
        content = b"" if type_ == _SECTION_ZEROS else data[offset : offset + size]
        sections.append(_Section(_text_at(strings, name), type_, flags, content, size, link, info, max(align, 1)))
    return machine, sections


def _read_symbols(sections: list[_Section]) -> list[_Symbol]:
    for section in sections:
        if section.type == _SECTION_SYMBOLS:
            strings = sections[section.link].content
            rows = _SYMBOL.iter_unpack(section.content)
            return [_Symbol(_text_at(strings, name), index, value) for name, _, _, index, value, _ in rows]
    return []


# ---- kinds of relocation --------------------------------------------------------------------------------------------

_Write = Callable[[bytearray, int, int], None]  # (image, place to patch, offset it shall refer to)


def _relative32(image: bytearray, place: int, target: int) -> None:
    _OFFSET.pack_into(image, place, target - place)


def _relative64(image: bytearray, place: int, target: int) -> None:
    _ADDRESS.pack_into(image, place, (target - place) & _ALL_ONES)


def _add_bits(image: bytearray, place: int, bits: int) -> None:
    """Fills the part of an instruction that the assembler left zero."""
    _WORD.pack_into(image, place, _WORD.unpack_from(image, place)[0] | bits)


def _page21(image: bytearray, place: int, target: int) -> None:
    pages = (target >> 12) - (place >> 12)
    _add_bits(image, place, (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5)


def _low12(size_shift: int) -> _Write:
    def write(image: bytearray, place: int, target: int) -> None:
        _add_bits(image, place, (target & 0xFFF) >> size_shift << 10)

    return write


def _branch26(image: bytearray, place: int, target: int) -> None:
    _add_bits(image, place, (target - place) >> 2 & 0x3FFFFFF)


def _absolute(image: bytearray, place: int, target: int) -> None:
    """Nothing to write yet: it is known when the image is loaded."""


# How the symbol is reached: DIRECT within the image; STUB by a jump if it is outside; TABLE through its address in the
# table of addresses; LOADED by an address that is written when the image is loaded.
_DIRECT, _STUB, _TABLE, _LOADED = range(4)

_KINDS: dict[int, dict[int, tuple[int, _Write]]] = {
    X86_64: {
        1: (_LOADED, _absolute),  # R_X86_64_64
        2: (_DIRECT, _relative32),  # PC32
        4: (_STUB, _relative32),  # PLT32
        9: (_TABLE, _relative32),  # GOTPCREL
        24: (_DIRECT, _relative64),  # PC64
        41: (_TABLE, _relative32),  # GOTPCRELX
        42: (_TABLE, _relative32),  # REX_GOTPCRELX
    },
    AARCH64: {
        257: (_LOADED, _absolute),  # R_AARCH64_ABS64
        260: (_DIRECT, _relative64),  # PREL64
        261: (_DIRECT, _relative32),  # PREL32
        275: (_DIRECT, _page21),  # ADR_PREL_PG_HI21
        277: (_DIRECT, _low12(0)),  # ADD_ABS_LO12_NC
        278: (_DIRECT, _low12(0)),  # LDST8_ABS_LO12_NC
        282: (_STUB, _branch26),  # JUMP26
        283: (_STUB, _branch26),  # CALL26
        284: (_DIRECT, _low12(1)),  # LDST16_ABS_LO12_NC
        285: (_DIRECT, _low12(2)),  # LDST32_ABS_LO12_NC
        286: (_DIRECT, _low12(3)),  # LDST64_ABS_LO12_NC
        299: (_DIRECT, _low12(4)),  # LDST128_ABS_LO12_NC
        311: (_TABLE, _page21),  # ADR_GOT_PAGE
        312: (_TABLE, _low12(3)),  # LD64_GOT_LO12_NC
    },
}


def _write_stub(machine: int, image: bytearray, place: int, slot: int) -> None:
    """A jump to the address in the slot."""
    if machine == X86_64:
        image[place : place + 2] = b"\xff\x25"  # jmp *[rip + offset], counted from its end
        _relative32(image, place + 2, slot - 4)
        return
    for index, word in enumerate((0x90000010, 0xF9400210, 0xD61F0200)):  # adrp x16; ldr x16, [x16]; br x16
        _WORD.pack_into(image, place + 4 * index, word)
    _page21(image, place, slot)
    _low12(3)(image, place + 4, slot)


# ---- linking --------------------------------------------------------------------------------------------------------


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _place(sections: list[_Section], start: int) -> int:
    """Gives each section its place from `start` on; returns where they end."""
    for section in sections:
        section.place = _up(start, section.align)
        start = section.place + section.size
    return start


def link(data: bytes, entry: str) -> Image:
    """The image of an object file of position-independent code, with the function `entry` to be called.

    Raises Unsupported for what it does not know: other formats and processors, rare relocations, thread-local data.
    Raises RuntimeError where the file has no function `entry`.
    """
    machine, sections = _read_sections(data)
    if machine not in _KINDS:
        raise Unsupported(f"ELF machine {machine}")
    linker = _Linker(machine, sections, _read_symbols(sections))
    patches = linker.read_patches()
    linker.lay_out(patches)
    linker.write(patches)
    return linker.finish(entry)


@dataclass(frozen=True)
class _Patch:
    """A place that refers to a symbol."""

    section: _Section
    offset: int
    route: int
    write: _Write
    symbol: int
    addend: int


class _Linker:
    """An image while it is made. Symbols go by their numbers."""

    def __init__(self, machine: int, sections: list[_Section], symbols: list[_Symbol]) -> None:
        self.machine = machine
        self.sections = sections
        self.symbols = symbols
        self.loaded = [section for section in sections if section.is_loaded]
        self.slots: dict[int, int] = {}  # where a symbol's address is
        self.stubs: dict[int, int] = {}  # where a jump to it is
        self.relative: list[tuple[int, int]] = []
        self.imports: list[tuple[int, int, str]] = []
        if any(section.flags & _THREAD_LOCAL for section in self.loaded):
            raise Unsupported("thread-local data")

    def read_patches(self) -> list[_Patch]:
        patches = []
        for table in self.sections:
            if table.type != _SECTION_RELOCATIONS or not self.sections[table.info].is_loaded:
                continue
            for offset, type_, symbol, addend in _RELOCATION.iter_unpack(table.content):
                route, write = self._kind(type_, symbol)
                patches.append(_Patch(self.sections[table.info], offset, route, write, symbol, addend))
        return patches

    def _kind(self, type_: int, symbol: int) -> tuple[int, _Write]:
        if type_ not in _KINDS[self.machine]:
            raise Unsupported(f"relocation type {type_}")
        route, write = _KINDS[self.machine][type_]
        if not self._is_outside(symbol):
            return (_DIRECT if route == _STUB else route), write
        if route == _DIRECT:
            raise Unsupported(f"relocation type {type_} to {self.symbols[symbol].name}, which is elsewhere")
        return route, write

    def _is_outside(self, symbol: int) -> bool:
        return self.symbols[symbol].section == _UNDEFINED

    def lay_out(self, patches: list[_Patch]) -> None:
        """What is only read and run comes first: sections, addresses, stubs; then, on its own pages, what is written."""
        place = _up(_place([section for section in self.loaded if not section.is_written], 0), 16)
        for patch in patches:
            if patch.route in (_TABLE, _STUB) and patch.symbol not in self.slots:
                self.slots[patch.symbol] = place
                place += _ADDRESS.size
        for patch in patches:
            if patch.route == _STUB and patch.symbol not in self.stubs:
                self.stubs[patch.symbol] = place
                place += _STUB_BYTES
        self.code_end = place
        self.data_offset = _up(place, _WIDEST_PAGE[self.machine])
        written = [section for section in self.loaded if section.is_written]
        end = _place(written, self.data_offset) if written else self.code_end
        if end > _TOO_LARGE:
            raise Unsupported("too large")
        self.image = bytearray(end)

    def write(self, patches: list[_Patch]) -> None:
        for section in self.loaded:
            self.image[section.place : section.place + len(section.content)] = section.content
        for patch in patches:
            place = patch.section.place + patch.offset
            if patch.route == _LOADED:
                self._write_when_loaded(place, patch.symbol, patch.addend)
            else:
                patch.write(self.image, place, self._target(patch) + patch.addend)
        for symbol, slot in self.slots.items():
            self._write_when_loaded(slot, symbol, 0)
        for symbol, stub in self.stubs.items():
            _write_stub(self.machine, self.image, stub, self.slots[symbol])

    def _target(self, patch: _Patch) -> int:
        if patch.route == _TABLE:
            return self.slots[patch.symbol]
        return self.stubs[patch.symbol] if patch.route == _STUB else self._place_of(patch.symbol)

    def _place_of(self, number: int) -> int:
        symbol = self.symbols[number]
        if symbol.section >= _RESERVED or self.sections[symbol.section].place < 0:
            raise Unsupported(f"the place of symbol {symbol.name}")
        return self.sections[symbol.section].place + symbol.value

    def _write_when_loaded(self, place: int, symbol: int, addend: int) -> None:
        if self._is_outside(symbol):
            self.imports.append((place, addend, self.symbols[symbol].name))
        else:
            self.relative.append((place, self._place_of(symbol) + addend))

    def finish(self, entry: str) -> Image:
        for number, symbol in enumerate(self.symbols):
            if symbol.name == entry and not self._is_outside(number):
                code, data = bytes(self.image[: self.code_end]), bytes(self.image[self.data_offset :]).rstrip(b"\0")
                ends = (self._place_of(number), len(self.image))
                return Image(self.machine, *ends, code, self.data_offset, data, self.relative, self.imports)
        raise RuntimeError(f"the module defines no function @{entry}")


# ---- loading --------------------------------------------------------------------------------------------------------


@functools.cache
def host_machine() -> int | None:
    """The ELF number of the machine whose images `load` can run here; None where it can't run any."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return None
    return {"x86_64": X86_64, "aarch64": AARCH64}.get(os.uname().machine)


@functools.cache
def _process() -> ctypes.CDLL:
    process = ctypes.CDLL(None, use_errno=True)
    process.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return process


@functools.cache
def _find_function(name: str) -> int:
    """The address of a function of the C library; RuntimeError where there is none."""
    for library in (None, "libm.so.6", "libgcc_s.so.1"):
        try:
            found = ctypes.cast(getattr(ctypes.CDLL(library), name), ctypes.c_void_p).value
        except (OSError, AttributeError):
            continue
        if found:
            return found
    raise RuntimeError(f"compiled code calls {name}(), which is neither in the C library nor among the given symbols")


def write_at(base: int, image: Image, memory: bytearray | mmap.mmap, symbols: Mapping[str, int]) -> None:
    """Puts an image into memory of at least its size, so that it is right when that memory is at address `base`.

    Raises RuntimeError for a function that is neither in the C library nor in `symbols`.
    """
    memory[: len(image.code)] = image.code
    memory[image.data_offset : image.data_offset + len(image.data)] = image.data
    for offset, addend in image.relative:
        _ADDRESS.pack_into(memory, offset, (base + addend) & _ALL_ONES)
    for offset, addend, name in image.imports:
        address = symbols[name] if name in symbols else _find_function(name)
        _ADDRESS.pack_into(memory, offset, (address + addend) & _ALL_ONES)


def load(image: Image, symbols: Mapping[str, int]) -> tuple[int, object]:
    """Makes an image callable: the address of its entry, and the owner that keeps its memory alive.

    Raises like write_at, and OSError where the system forbids new code.
    """
    # Private pages: a forked child gets its own. They are never writable and executable at the same time.
    memory = mmap.mmap(-1, image.end, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    write_at(base, image, memory, symbols)
    # Where instruction caches do not follow writes, the kernel brings them up to date when pages become executable.
    if _process().mprotect(base, len(image.code), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "the system does not let this process make memory executable")
    return base + image.entry, memory
