"""From LLVM IR text to code that runs: compiled, linked, loaded, kept on disk, shared and freed."""

import ctypes
import functools
import gc
import math
import os
import shutil
import struct
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from rillet.engines.native import compiler, elf, jit
from rillet.engines.native.target import TARGETS, host
from tests.native.foreign import executable

# Adds `begin` and the constant to an integer of its own; each KIND is another text.
SIMPLE = """define void @kernel(ptr %operands, i64 %begin, i64 %end) {
  %out = load ptr, ptr %operands
  %sum = add i64 %begin, KIND
  store i64 %sum, ptr %out
  ret void
}
"""

# All that a kernel may refer to: constants, a table of functions, data of its own with and without a first value,
# functions and data elsewhere, a jump table.
EVERYTHING = """
@numbers = private unnamed_addr constant [4 x i32] [i32 100, i32 200, i32 300, i32 400], align 64
@functions = private unnamed_addr constant [2 x ptr] [ptr @double, ptr @square], align 8
@counter = internal global i64 5, align 8
@zeros = internal global [100 x i64] zeroinitializer, align 64
@outside = external global i32
declare i64 @add_one(i64)
define internal i64 @double(i64 %x) noinline {
  %y = add i64 %x, %x
  ret i64 %y
}
define internal i64 @square(i64 %x) noinline {
  %y = mul i64 %x, %x
  ret i64 %y
}
define void @kernel(ptr %operands, i64 %begin, i64 %end) noinline {
entry:
  %out = load ptr, ptr %operands
  %odd = and i64 %begin, 1
  %place1 = getelementptr ptr, ptr @functions, i64 %odd
  %function = load ptr, ptr %place1
  %called = call i64 %function(i64 %begin)
  %quarter = and i64 %begin, 3
  %place2 = getelementptr i32, ptr @numbers, i64 %quarter
  %number = load i32, ptr %place2
  %wide = sext i32 %number to i64
  %before = load i64, ptr @counter
  %count = add i64 %before, 1
  store i64 %count, ptr @counter
  %place3 = getelementptr i64, ptr @zeros, i64 %begin
  %zero = load i64, ptr %place3
  store i64 %count, ptr %place3
  %far = load i32, ptr @outside
  %far64 = sext i32 %far to i64
  %added = call i64 @add_one(i64 %end)
  switch i64 %begin, label %other [
    i64 0, label %case0
    i64 1, label %case1
    i64 2, label %case2
    i64 3, label %case3
    i64 4, label %case4
  ]
case0:
  store i64 11, ptr %out
  br label %join
case1:
  store i64 7, ptr %out
  br label %join
case2:
  store i64 1, ptr @zeros
  br label %join
case3:
  store i64 %end, ptr %out
  br label %join
case4:
  store i64 %count, ptr %out
  br label %join
other:
  br label %join
join:
  %chosen = phi i64 [ 1000, %case0 ], [ 5000, %case1 ], [ 2000, %case2 ], [ 9000, %case3 ], [ 4000, %case4 ], [ 0, %other ]
  %s1 = add i64 %called, %wide
  %s2 = add i64 %s1, %count
  %s3 = add i64 %s2, %zero
  %s4 = add i64 %s3, %far64
  %s5 = add i64 %s4, %added
  %s6 = add i64 %s5, %chosen
  store i64 %s6, ptr %out
  ret void
}
"""
ADD_ONE = "define i64 @add_one(i64 %x) {\n  %y = add i64 %x, 1\n  ret i64 %y\n}\n"
TURNS = [0, 1, 2, 3, 4, 5, 1, 1, 0]
OUTSIDE = 123456789


def everything(turns: list[int]) -> list[int]:
    """What EVERYTHING computes, with `end` = 50, in that order."""
    counter, zeros, results = 5, [0] * 100, []
    for begin in turns:
        counter += 1
        called = begin * begin if begin % 2 else 2 * begin
        zero, zeros[begin] = zeros[begin], counter
        if begin == 2:
            zeros[0] = 1
        chosen = [1000, 5000, 2000, 9000, 4000, 0][begin]
        results.append(called + 100 * (begin % 4 + 1) + counter + zero + OUTSIDE + 51 + chosen)
    return results


def run(code: jit.Code, begin: int, end: int = 0) -> int:
    result = ctypes.c_int64()
    operands = (ctypes.c_void_p * 1)(ctypes.addressof(result))
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    kind(code.address)(ctypes.addressof(operands), begin, end)
    return result.value


def simple(kind: int) -> str:
    return SIMPLE.replace("KIND", str(kind))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    monkeypatch.setenv("RILLET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@functools.cache
def outside() -> tuple[dict[str, int], object]:
    """Symbols for EVERYTHING, and what has to stay alive for them."""
    number = ctypes.c_int32(OUTSIDE)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: x + 1)
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address
    return {"outside": ctypes.addressof(number), "add_one": address, "unused": 1}, (number, function)


# ---- running --------------------------------------------------------------------------------------------------------


def test_kernels_come_in_order_and_equal_ones_are_one() -> None:
    codes = jit.compile_kernels([simple(5), simple(7), simple(5)])
    assert [run(code, 100) for code in codes] == [105, 107, 105]
    assert codes[0] is codes[2]
    assert jit.compile_kernels([simple(7)])[0] is codes[1]
    assert jit.compile_kernels([]) == []


def test_all_kinds_of_reference() -> None:
    symbols, _ = outside()
    [code] = jit.compile_kernels([EVERYTHING], symbols=symbols)
    assert [run(code, begin, 50) for begin in TURNS] == everything(TURNS)
    del code
    gc.collect()
    [code] = jit.compile_kernels([EVERYTHING], symbols=symbols)  # from disk, with fresh data
    assert [run(code, begin, 50) for begin in TURNS] == everything(TURNS)


def test_llvms_own_loader_where_the_linker_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(data: bytes, entry: str) -> elf.Image:
        raise elf.Unsupported("on purpose")

    monkeypatch.setattr(elf, "link", link)
    symbols, _ = outside()
    [code] = jit.compile_kernels([EVERYTHING], symbols=symbols)
    assert [run(code, begin, 50) for begin in TURNS] == everything(TURNS)
    monkeypatch.undo()


def test_the_c_library_is_found() -> None:
    text = """declare double @cos(double)
    define void @kernel(ptr %operands, i64 %begin, i64 %end) {
      %out = load ptr, ptr %operands
      %x = sitofp i64 %begin to double
      %y = call double @cos(double %x)
      store double %y, ptr %out
      ret void
    }"""
    [code] = jit.compile_kernels([text])
    [value] = struct.unpack("<d", struct.pack("<q", run(code, 2)))
    assert value == math.cos(2)


def test_other_symbols_give_other_code() -> None:
    text = "declare i64 @f()\n" + SIMPLE.replace("%sum = add", "%f = call i64 @f()\n%sum = add").replace("KIND", "%f")
    functions = [ctypes.CFUNCTYPE(ctypes.c_int64)(lambda value=value: value) for value in (10, 20)]
    addresses = [ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions]
    [ten], [twenty], [again] = (
        jit.compile_kernels([text], symbols={"f": address, "unused": number})
        for number, address in enumerate([*addresses, addresses[0]])
    )
    assert (run(ten, 1), run(twenty, 1)) == (11, 21)
    assert again is ten


def test_a_comment_names_a_kernel_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RILLET_DEBUG", "2")
    codes = jit.compile_kernels(["; first name\n" + simple(1), "; second name\n" + simple(1), simple(1)])
    assert codes[0] is codes[1] is codes[2]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("rillet: compiled first name: ")
    assert line.endswith(" ms")


def test_many_threads_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [simple(number) for number in range(30)]
    alone = [jit.emit_object(text) for text in texts]
    monkeypatch.setenv("RILLET_THREADS", "5")
    together: dict[int, bytes] = {}
    compiler.compile_all(texts, host(), together.__setitem__)
    assert [together[number] for number in range(30)] == alone
    assert [run(code, 1) for code in jit.compile_kernels(texts)] == list(range(1, 31))


def test_a_compiler_optimises_every_text() -> None:
    text = """define i64 @kernel(i64 %x) {
      %room = alloca i64
      store i64 %x, ptr %room
      %y = load i64, ptr %room
      ret i64 %y
    }"""
    for _ in range(3):
        assert "rsp" not in jit.assembly(text, TARGETS["x86_64"])  # nothing is left on the stack


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_code_goes_with_its_last_user() -> None:
    first, second = jit.compile_kernels([simple(1), simple(2)])
    also_first = jit.compile_kernels([simple(1)])[0]
    gone = [weakref.ref(first), weakref.ref(second)]
    in_use = len(jit._in_use)
    del first, second
    gc.collect()
    assert gone[0]() is also_first
    assert gone[1]() is None
    assert len(jit._in_use) == in_use - 1
    assert run(also_first, 1) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux tells of them")
def test_programs_built_and_dropped_leave_memory_as_it_was() -> None:
    def pages() -> tuple[int, int]:
        """Private executable mappings without a file, and resident pages."""
        mapped = Path("/proc/self/maps").read_text().splitlines()
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        return sum(" r-xp " in line and line.split()[4] == "0" for line in mapped), resident

    texts = [simple(number) for number in range(20)]
    for turn in range(6):
        codes = jit.compile_kernels([text + f"\n; {turn}" for text in texts])
        assert run(codes[3], 1) == 4
        del codes
        gc.collect()
        if turn == 2:
            before = pages()
    after = pages()
    assert after[0] <= before[0]
    assert after[1] < before[1] + 500


# ---- the disk -------------------------------------------------------------------------------------------------------

PROGRAM = f"""
import sys
from rillet.engines.native import jit
codes = jit.compile_kernels([{simple(3)!r}, {simple(4)!r}])
print("llvmlite.binding" in sys.modules, len(codes))
"""


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(elf.host_machine() is None, reason="code is loaded by LLVM here")
def test_a_warm_start_does_not_load_llvm(folder: Path) -> None:
    assert python(PROGRAM) == "True 2"
    stored = sorted((path.name, path.read_bytes()) for path in folder.rglob("*.bin"))
    assert len(stored) == 3  # two kernels and the description of the machine
    assert python(PROGRAM) == "False 2"
    assert sorted((path.name, path.read_bytes()) for path in folder.rglob("*.bin")) == stored


def test_damaged_entries_are_compiled_again(folder: Path) -> None:
    texts = [simple(3), simple(4)]
    jit.compile_kernels(texts)
    gc.collect()
    whole = {path: path.read_bytes() for path in folder.rglob("*.bin")}
    for path, data in whole.items():
        path.write_bytes(data[:-9])
    assert [run(code, 1) for code in jit.compile_kernels(texts)] == [4, 5]
    kernels = {path: data for path, data in whole.items() if path.read_bytes() == data}
    assert len(kernels) == 2  # the description of the machine is asked for once in a process


def test_without_a_cache_all_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RILLET_CACHE", os.devnull)
    assert [run(code, 1) for code in jit.compile_kernels([simple(3)])] == [4]


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_errors_show_the_place() -> None:
    broken = simple(1).replace("store i64 %sum", "store i32 %sum")
    with pytest.raises(RuntimeError, match=r"(?s)defined with type 'i64'.*>    4 \|   store i32 %sum, ptr %out"):
        jit.compile_kernels([broken])
    early = simple(1).replace("  %sum", "  %twice = add i64 %sum, %sum\n  %sum")
    with pytest.raises(RuntimeError, match=r"(?s)does not dominate.*    2 \|   %out = load"):
        jit.emit_object(early)


def test_one_bad_text_among_many_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RILLET_THREADS", "3")
    texts = [simple(number) for number in range(10)]
    with pytest.raises(RuntimeError, match="refuses"):
        jit.compile_kernels([*texts, "nonsense"])
    assert [run(code, 1) for code in jit.compile_kernels(texts)] == list(range(1, 11))


def test_a_module_without_a_kernel() -> None:
    with pytest.raises(RuntimeError, match="no function @kernel"):
        jit.compile_kernels([simple(1).replace("@kernel", "@other")])


def test_a_function_that_is_nowhere() -> None:
    text = "declare void @nowhere()\n" + simple(1).replace("ret void", "call void @nowhere()\n  ret void")
    with pytest.raises(RuntimeError, match=r"nowhere\(\)"):
        jit.compile_kernels([text])


def test_without_llvmlite() -> None:
    program = f"""
import sys
sys.modules["llvmlite"] = None
from rillet.engines.native import jit
print(jit.available())
try:
    jit.compile_kernels([{simple(1)!r}])
except jit.CompilerUnavailable as error:
    print(isinstance(error, ImportError), error)
"""
    lines = python(program).splitlines()
    assert lines[0] == "False"
    assert lines[1].startswith("True llvmlite does not load")


# ---- other processors -----------------------------------------------------------------------------------------------

VECTORS = """define void @kernel(ptr %operands, i64 %begin, i64 %end) {
  %out = load ptr, ptr %operands
  %x = load <16 x float>, ptr %out, align 4
  %y = call <16 x float> @llvm.fma.v16f32(<16 x float> %x, <16 x float> %x, <16 x float> splat (float 0.1))
  store <16 x float> %y, ptr %out, align 4
  ret void
}
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
"""
INSTRUCTIONS = {"x86_64": "fmaf", "x86_64_v3": "%ymm", "x86_64_v4": "%zmm", "aarch64": "fmla\tv"}


@pytest.mark.parametrize("name", TARGETS)
def test_code_for_every_target(name: str) -> None:
    text = VECTORS.replace("float 0.1", "float 0x3FB99999A0000000")
    target = TARGETS[name]
    assert INSTRUCTIONS[name] in jit.assembly(text, target)
    for module in (text, EVERYTHING):
        data = jit.emit_object(module, target)
        image = elf.link(data, "kernel")
        assert image.machine == (elf.AARCH64 if name == "aarch64" else elf.X86_64)
        assert elf.Image.unpack(image.pack()) == image
    assert {name for _, _, name in image.imports} == {"add_one", "outside"}


def test_code_of_another_processor_is_not_run() -> None:
    other = TARGETS["x86_64" if elf.host_machine() == elf.AARCH64 else "aarch64"]
    if elf.host_machine() is None:
        pytest.skip("code is loaded by LLVM here")
    with pytest.raises(ValueError, match="another kind of processor"):
        jit.compile_kernels([simple(1)], other)


def test_files_that_are_no_elf_objects_are_left_to_others() -> None:
    for data in (b"", b"MZ" + bytes(100), b"\x7fELF\x01\x01" + bytes(100)):
        with pytest.raises(elf.Unsupported):
            elf.link(data, "kernel")


# Runs EVERYTHING with `begin` from TURNS, writes what it computes to the standard output, and ends: by system calls, as
# instructions in numbers (x8 = 64, svc, ret; x8 = 93, svc), since LLVM has no assembler for other processors here.
START = """
@write = internal constant [3 x i32] [i32 u0xD2800808, i32 u0xD4000001, i32 u0xD65F03C0], align 4
@exit = internal constant [2 x i32] [i32 u0xD2800BA8, i32 u0xD4000001], align 4
@turns = private unnamed_addr constant [COUNT x i64] [TURNS], align 8
define void @start() noreturn {
entry:
  %results = alloca [COUNT x i64], align 16
  %operands = alloca ptr
  br label %loop
loop:
  %turn = phi i64 [ 0, %entry ], [ %next, %loop ]
  %out = getelementptr i64, ptr %results, i64 %turn
  store ptr %out, ptr %operands
  %place = getelementptr i64, ptr @turns, i64 %turn
  %begin = load i64, ptr %place
  call void @kernel(ptr %operands, i64 %begin, i64 50)
  %next = add i64 %turn, 1
  %more = icmp slt i64 %next, COUNT
  br i1 %more, label %loop, label %done
done:
  call void @write(i64 1, ptr %results, i64 BYTES)
  call void @exit(i64 0)
  unreachable
}
"""


def test_arm_code_runs_linked(tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if emulator is None and elf.host_machine() != elf.AARCH64:
        pytest.skip("neither this processor nor an emulator (qemu-user) runs AArch64 code")
    count = len(TURNS)
    start = START.replace("BYTES", str(8 * count)).replace("COUNT", str(count))
    start = start.replace("TURNS", ", ".join(f"i64 {turn}" for turn in TURNS))
    target = TARGETS["aarch64"]
    program = elf.link(jit.emit_object(EVERYTHING + start, target), "start")
    helper = elf.link(jit.emit_object(ADD_ONE, target), "add_one")
    # Far apart, so that a branch alone does not reach.
    program_at, helper_at, number_at = 0x400000, 0x7F0000000, 0x500000000
    symbols = {"add_one": helper_at + helper.entry, "outside": number_at}
    parts = {number_at: struct.pack("<i", OUTSIDE)}
    for base, image in ((program_at, program), (helper_at, helper)):
        memory = bytearray(image.end)
        elf.write_at(base, image, memory, symbols)
        parts[base] = bytes(memory)
    path = tmp_path / "program"
    path.write_bytes(executable(elf.AARCH64, program_at + program.entry, parts))
    path.chmod(0o755)
    done = subprocess.run([emulator, path] if emulator else [path], capture_output=True, check=True, timeout=60)
    assert list(struct.unpack(f"<{count}q", done.stdout)) == everything(TURNS)
