"""Programs of other processors, as files that this one's emulator runs: no compiler, linker or C library is needed."""

from __future__ import annotations

import functools
import platform
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from rillet.engines.native import elf, jit
from rillet.engines.native.target import TARGETS, Target, host

# What every program is linked with, for lack of a C library; and system calls, as instructions in numbers, since LLVM has
# no assembler for other processors here. (arm: x8 = number, svc, ret. x86: eax = number, syscall, ret.)
LIBRARY = """
@write = internal constant WRITE, align 8
@exit = internal constant EXIT, align 8
define ptr @memcpy(ptr %to, ptr %from, i64 %size) "no-builtins" {
  %result = call ptr @memmove(ptr %to, ptr %from, i64 %size)
  ret ptr %result
}
define ptr @memmove(ptr %to, ptr %from, i64 %size) "no-builtins" {
entry:
  %backwards = icmp ugt ptr %to, %from
  %last = sub i64 %size, 1
  %none = icmp eq i64 %size, 0
  br i1 %none, label %done, label %loop
loop:
  %turn = phi i64 [ 0, %entry ], [ %next, %loop ]
  %mirrored = sub i64 %last, %turn
  %index = select i1 %backwards, i64 %mirrored, i64 %turn
  %source = getelementptr i8, ptr %from, i64 %index
  %target = getelementptr i8, ptr %to, i64 %index
  %byte = load i8, ptr %source
  store i8 %byte, ptr %target
  %next = add i64 %turn, 1
  %more = icmp ult i64 %next, %size
  br i1 %more, label %loop, label %done
done:
  ret ptr %to
}
define ptr @memset(ptr %to, i32 %value, i64 %size) "no-builtins" {
entry:
  %byte = trunc i32 %value to i8
  %none = icmp eq i64 %size, 0
  br i1 %none, label %done, label %loop
loop:
  %turn = phi i64 [ 0, %entry ], [ %next, %loop ]
  %target = getelementptr i8, ptr %to, i64 %turn
  store i8 %byte, ptr %target
  %next = add i64 %turn, 1
  %more = icmp ult i64 %next, %size
  br i1 %more, label %loop, label %done
done:
  ret ptr %to
}
"""
_CALLS = {
    elf.AARCH64: (
        "[3 x i32] [i32 u0xD2800808, i32 u0xD4000001, i32 u0xD65F03C0]",
        "[2 x i32] [i32 u0xD2800BA8, i32 u0xD4000001]",
    ),
    elf.X86_64: (r'[8 x i8] c"\B8\01\00\00\00\0F\05\C3"', r'[7 x i8] c"\B8\3C\00\00\00\0F\05"'),
}
_NAMES = ("memcpy", "memmove", "memset")
# So far apart that a branch does not reach.
_START_AT, _LIBRARY_AT, _PROGRAM_AT, DATA_AT = 0x400000, 0x300000000, 0x7F0000000, 0x500000000

# The oldest processor that has all that a target asks for.
_MODELS = {"x86_64": "qemu64,-sse3,-sse4a", "x86_64_v3": "Haswell", "aarch64": "cortex-a57"}


def machine_of(target: Target) -> int:
    return elf.AARCH64 if target.triple.startswith("aarch64") else elf.X86_64


def runner(name: str) -> list[str]:
    """The command in front of a program for TARGETS[name]: the emulator of a processor that has no more than the target; none
    where there is no emulator, but this processor has all that the target asks for. Skips the test where it has not."""
    if platform.system() != "Linux":
        pytest.skip("the programs are Linux'")
    family = "aarch64" if name == "aarch64" else "x86_64"
    emulator = shutil.which(f"qemu-{family}") or shutil.which(f"qemu-{family}-static")
    if emulator and name in _MODELS:
        return [emulator, "-cpu", _MODELS[name]]
    target = TARGETS[name]
    if machine_of(target) == elf.host_machine() and target.vector_bytes <= host().vector_bytes:
        return []
    pytest.skip(f"neither this processor nor an emulator (qemu-user) runs code for {name}")


def executable(machine: int, entry: int, parts: Mapping[int, bytes]) -> bytes:
    """An ELF program whose memory holds each part at its address."""
    position = 64 + 56 * len(parts)
    rows, content = b"", b""
    for address, data in parts.items():
        offset = -(-(position + len(content)) // 4096) * 4096  # addresses are multiples of the page, as offsets must be
        content += bytes(offset - position - len(content)) + data
        rows += struct.pack("<IIQQQQQQ", 1, 7, offset, address, address, len(data), len(data), 4096)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<16sHHIQQQIHHHHHH", identity, 2, machine, 1, entry, 64, 0, 0, 64, 56, len(parts), 0, 0, 0)
    return head + rows + content


@functools.cache
def _library(name: str) -> tuple[str, list[elf.Image]]:
    """The library's text for a target, and its code, with each of the functions as the entry."""
    write, exit_ = _CALLS[machine_of(TARGETS[name])]
    text = LIBRARY.replace("WRITE", write).replace("EXIT", exit_)
    data = jit.emit_object(text, TARGETS[name])
    return text, [elf.link(data, function) for function in _NAMES]


def run(name: str, object_file: bytes, entry: str, start: str, data: bytes, folder: Path) -> bytes:
    """Runs `start`, the text of a function @start() that may call @write, @exit and the object file's function, and find the
    data at DATA_AT. Returns what it wrote to file 1."""
    target, command = TARGETS[name], runner(name)
    text, library = _library(name)
    started, program = elf.link(jit.emit_object(text + start, target), "start"), elf.link(object_file, entry)
    symbols = {function: _LIBRARY_AT + image.entry for function, image in zip(_NAMES, library, strict=True)}
    missing = {function for _, _, function in program.imports} - symbols.keys()
    assert not missing, f"the code asks for {missing}"
    symbols[entry] = _PROGRAM_AT + program.entry
    parts = {DATA_AT: data}
    for base, image in {_START_AT: started, _PROGRAM_AT: program, _LIBRARY_AT: library[0]}.items():
        memory = bytearray(image.end)
        elf.write_at(base, image, memory, symbols)
        parts[base] = bytes(memory)
    path = folder / "program"
    path.write_bytes(executable(machine_of(target), _START_AT + started.entry, parts))
    path.chmod(0o755)
    done = subprocess.run([*command, path], capture_output=True, timeout=120)
    assert not done.returncode, f"{name}: exit status {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
    return done.stdout
