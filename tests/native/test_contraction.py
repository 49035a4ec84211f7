"""Contractions against NumPy in double precision."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rillet.engines.native.contraction import Computed, KernelInfo, Strided, accumulator, contraction
from rillet.engines.native.contraction_operands import Load, Operand, Store
from rillet.engines.native.jit import assembly
from rillet.engines.native.llvm import Builder, Module, Value, vector
from rillet.engines.native.target import TARGETS, Target, host
from tests.native.machine_code import Kernel, aligned

Array = np.ndarray[Any, Any]

DTYPES: dict[str, Any] = {
    "float": np.float32,
    "double": np.float64,
    "bfloat": ml_dtypes.bfloat16,
    "half": np.float16,
}
RANDOM = np.random.default_rng(1)


def build(
    a: Operand,
    b: Operand,
    c: Strided | None = None,
    store: Store | None = None,
    target: Target | None = None,
    workers: int = 2,
    scratch: int = 3,
) -> tuple[KernelInfo, Kernel]:
    module = Module()
    info = contraction(module, "kernel", target or host(), a, b, c, store, scratch, workers)
    return info, Kernel(str(module), target)


def scratch_of(info: KernelInfo) -> Array:
    """Scratch memory full of NaN."""
    memory = aligned(info.scratch_bytes)
    memory[:] = 255
    return memory


def filled(size: int, element: str) -> Array:
    return RANDOM.standard_normal(size).astype(DTYPES[element])


def matrices(
    m: int, n: int, k: int, form: str, elements: Sequence[str] = ("float",) * 3, batch: int = 1
) -> list[Strided]:
    """Descriptions of a, b, c; form: "t" for what lies transposed in memory."""
    shapes = {"n": lambda rows, columns: (columns, 1), "t": lambda rows, columns: (1, rows)}
    a, b = shapes[form[0]](m, k), shapes[form[1]](k, n)
    return [
        Strided(0, elements[0], ((m, a[0]),), ((k, a[1]),), ((batch, m * k),)),
        Strided(1, elements[1], ((k, b[0]),), ((n, b[1]),), ((batch, k * n),)),
        Strided(2, elements[2], ((m, n),), ((n, 1),), ((batch, m * n),)),
    ]


def places(operand: Strided) -> Array:
    """The place of every element as [batch, row, column]."""

    def along(axes: Sequence[tuple[int, int]]) -> Array:
        total = np.zeros(1, int)
        for extent, stride in axes:
            total = (total[:, None] + np.arange(extent) * stride).ravel()
        return total

    batch, rows, columns = (along(axes) for axes in (operand.batch, operand.rows, operand.columns))
    return operand.offset + batch[:, None, None] + rows[:, None] + columns


def check(
    a: Strided, b: Strided, c: Strided, target: Target | None = None, tolerance: float | None = None, margin: int = 70
) -> None:
    """Runs the contraction on random numbers: right results, and nothing else written."""
    where = [places(operand) for operand in (a, b, c)]
    buffers = [filled(where[i].max() + 1, operand.element) for i, operand in enumerate((a, b))]
    result = np.full(where[2].max() + 1 + 2 * margin, 77, DTYPES[c.element])
    info, kernel = build(a, b, replace(c, offset=c.offset + margin), target=target)
    kernel([*buffers, result, scratch_of(info)], 0, info.tasks)
    x, y = (buffer.astype(float)[place] for buffer, place in zip(buffers, where))
    expected = np.full(result.shape, 77.0)
    expected[where[2] + margin] = x @ y
    scale = np.zeros(result.shape)
    scale[where[2] + margin] = np.abs(x) @ np.abs(y)
    if tolerance is None:
        tolerance = {"float": 2e-6, "double": 4e-15, "bfloat": 4e-3, "half": 5e-4}[c.element]
    difference = np.abs(result.astype(float) - expected)
    assert (difference <= tolerance * scale).all(), difference.max()


SIZES = [
    *((1, 1, 1), (1, 1, 40), (3, 1, 1), (1, 5, 1), (2, 3, 4), (1, 100, 37), (100, 1, 37), (5, 7, 100), (8, 8, 8)),
    *((127, 129, 65), (33, 70, 5), (6, 16, 1300), (61, 50, 700), (300, 5, 33), (7, 260, 20)),
]


@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("m, n, k", SIZES)
def test_matrices(m: int, n: int, k: int, form: str) -> None:
    check(*matrices(m, n, k, form))


@pytest.mark.smoke
def test_one_matrix_product() -> None:
    check(*matrices(20, 30, 40, "nn"))


@pytest.mark.parametrize("m, n, k", [(400, 300, 500), (513, 130, 1100), (70, 1030, 600)])
@pytest.mark.parametrize("form", ["nn", "tt"])
def test_large_matrices_that_are_packed_in_blocks(m: int, n: int, k: int, form: str) -> None:
    check(*matrices(m, n, k, form))


def test_rows_that_lie_apart() -> None:
    a = Strided(0, "float", ((40, 100),), ((50, 1),), offset=7)
    b = Strided(1, "float", ((50, 90),), ((33, 1),), offset=3)
    c = Strided(2, "float", ((40, 64),), ((33, 1),), offset=5)
    check(a, b, c)
    check(replace(a, columns=((50, 2),)), replace(b, columns=((33, 2),)), replace(c, columns=((33, 1),)))


def test_results_that_lie_apart_everywhere() -> None:
    a, b, _ = matrices(19, 21, 30, "nn")
    check(a, b, Strided(2, "float", ((19, 50),), ((21, 2),)))
    check(a, b, Strided(2, "float", ((19, 2),), ((21, 50),)))


@pytest.mark.parametrize("form", ["nn", "nt", "tn"])
@pytest.mark.parametrize("m, n, k", [(64, 64, 16), (64, 16, 64), (3, 3, 3), (1, 9, 20)])
def test_batches(m: int, n: int, k: int, form: str) -> None:
    check(*matrices(m, n, k, form, batch=5))


def test_batch_that_shares_an_operand() -> None:
    a, b, c = matrices(9, 12, 20, "nn", batch=6)
    check(a, replace(b, batch=((6, 0),)), c)
    check(replace(a, batch=((2, 0), (3, 180))), replace(b, batch=((2, 240), (3, 0))), c)


def test_heads_between_rows_and_columns() -> None:
    """[batch, position, head, depth]: scores of all positions against all others, for each head."""
    images, length, heads, depth = 2, 20, 3, 16
    whole = length * heads * depth
    batch = ((images, whole), (heads, depth))
    row, column = ((length, heads * depth),), ((depth, 1),)
    a = Strided(0, "float", row, column, batch)
    b = Strided(1, "float", column, row, batch)
    c = Strided(2, "float", ((length, length),), ((length, 1),), ((images * heads, length * length),))
    check(a, b, c)
    # The weighted sums of values go back between the heads.
    check(replace(c, operand=0), replace(a, operand=1), replace(a, operand=2))


def test_several_axes_a_side() -> None:
    """tensordot of [2, 3, 4, 5] with [5, 4, 6, 7] over axes 2, 3."""
    a = Strided(0, "float", ((2, 60), (3, 20)), ((4, 5), (5, 1)))
    b = Strided(1, "float", ((4, 42), (5, 168)), ((6, 7), (7, 1)))
    check(a, b, Strided(2, "float", ((6, 42),), ((42, 1),)))
    check(a, b, Strided(2, "float", ((2, 3), (3, 1)), ((42, 6),)))


# ---- convolutions ----------------------------------------------------------------------------------------------------


def convolution(
    images: int,
    size: tuple[int, int],
    inputs: int,
    outputs: int,
    window: tuple[int, int],
    step: int = 1,
    apart: int = 1,
) -> list[Strided]:
    """Over images that are padded already; step: of the window; apart: of the elements in the window."""
    padded = [(extent - 1) * step + (reach - 1) * apart + 1 for extent, reach in zip(size, window)]
    row = padded[1] * inputs
    a = Strided(
        0,
        "float",
        ((images, padded[0] * row), (size[0], step * row), (size[1], step * inputs)),
        ((window[0], apart * row), (window[1], apart * inputs), (inputs, 1)),
    )
    b = Strided(1, "float", ((math.prod(window) * inputs, outputs),), ((outputs, 1),))
    return [a, b, Strided(2, "float", ((images * math.prod(size), outputs),), ((outputs, 1),))]


@pytest.mark.parametrize(
    "arguments",
    [
        (2, (9, 13), 8, 16, (3, 3)),
        (2, (9, 13), 8, 16, (3, 3), 2),
        (1, (9, 13), 5, 3, (3, 3), 1, 2),
        (3, (6, 6), 1, 20, (5, 5)),
        (2, (2, 2), 70, 40, (3, 3)),
        (1, (30, 30), 100, 24, (3, 3)),
        (2, (7, 7), 30, 33, (1, 1)),
        (1, (12, 12), 20, 64, (5, 5)),
    ],
)
def test_convolution_and_the_gradient_of_its_kernel(arguments: Any) -> None:
    image, kernel, result = convolution(*arguments)
    check(image, kernel, result)
    turned = replace(image, rows=image.columns, columns=image.rows)
    check(turned, replace(result, operand=1), replace(kernel, operand=2), tolerance=1e-5)


def test_gradient_of_a_convolved_image() -> None:
    """The kernel is read backwards: strides are negative."""
    size, inputs, outputs = 8, 6, 10
    padded = size + 2
    a = Strided(
        0,
        "float",
        ((2, padded * padded * outputs), (size, padded * outputs), (size, outputs)),
        ((3, padded * outputs), (3, outputs), (outputs, 1)),
    )
    step = inputs * outputs
    b = Strided(1, "float", ((3, -3 * step), (3, -step), (outputs, 1)), ((inputs, outputs),), offset=8 * step)
    check(a, b, Strided(2, "float", ((2 * size * size, inputs),), ((inputs, 1),)))


# ---- types and processors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["nn", "nt"])
@pytest.mark.parametrize(
    "elements",
    [
        ("double", "double", "double"),
        ("bfloat", "bfloat", "bfloat"),
        ("half", "half", "half"),
        ("bfloat", "float", "float"),
        ("float", "double", "float"),
        ("half", "half", "float"),
    ],
)
@pytest.mark.parametrize("m, n, k", [(33, 45, 70), (1, 40, 33), (10, 64, 900)])
def test_elements(m: int, n: int, k: int, form: str, elements: tuple[str, str, str]) -> None:
    check(*matrices(m, n, k, form, elements))


on_x86 = pytest.mark.skipif("x86_64" not in host().triple, reason="code for another processor")


@on_x86
@pytest.mark.parametrize("elements", [("float",) * 3, ("double",) * 3, ("bfloat",) * 3, ("half",) * 3])
@pytest.mark.parametrize("target", ["x86_64", "x86_64_v3"])
def test_lesser_processors(target: str, elements: tuple[str, str, str]) -> None:
    if TARGETS[target].vector_bytes > host().vector_bytes:
        pytest.skip("this processor lacks them")
    for size, form in (((33, 45, 700), "nn"), ((20, 17, 30), "nt"), ((40, 1, 30), "nn")):
        check(*matrices(*size, form, elements), target=TARGETS[target])


def test_special_halves_on_processors_without_them() -> None:
    """Subnormal numbers, infinities and NaN pass through, and what is rounded is rounded to even."""
    if "x86_64" not in host().triple:
        pytest.skip("code for another processor")
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)[None, :]
    a, b, c = matrices(1, numbers.size, 1, "nn", ("half", "half", "half"))
    info, kernel = build(a, b, c, target=TARGETS["x86_64"])
    for factor in (1.0, 0.3, 1.001):
        result = np.zeros_like(numbers)
        kernel([np.array([factor], np.float16), numbers, result, scratch_of(info)], 0, info.tasks)
        with np.errstate(all="ignore"):
            expected = (numbers.astype(np.float32) * np.float16(factor).astype(np.float32)).astype(np.float16)
        np.testing.assert_array_equal(result, expected)


def test_special_bfloats() -> None:
    numbers = np.arange(1 << 16, dtype=np.uint16).view(ml_dtypes.bfloat16)[None, :]
    a, b, c = matrices(1, numbers.size, 1, "nn", ("bfloat", "bfloat", "bfloat"))
    info, kernel = build(a, b, c)
    for factor in (1.0, 0.3, 1.01):
        result = np.zeros_like(numbers)
        one = np.array([factor], ml_dtypes.bfloat16)
        kernel([one, numbers, result, scratch_of(info)], 0, info.tasks)
        with np.errstate(all="ignore"):
            expected = (numbers.astype(np.float32) * one.astype(np.float32)).astype(ml_dtypes.bfloat16)
        np.testing.assert_array_equal(result.astype(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize("target", list(TARGETS))
def test_tiles_stay_in_registers(target: str) -> None:
    """The loop over k moves nothing to the stack."""
    module = Module()
    contraction(module, "kernel", TARGETS[target], *matrices(512, 512, 512, "nn"), scratch=3, workers=1)
    text = assembly(str(module), TARGETS[target])
    stack = "[sp" if target == "aarch64" else "(%rsp"
    tiles = [part for part in text.split("\nkernel") if part.startswith(".tile")]
    loops = [loop for tile in tiles for loop in _loops(tile)]
    assert len(loops) >= len(tiles) > 0
    assert not [loop for loop in loops if stack in loop]


def _loops(text: str) -> list[str]:
    """The stretches of code from a label to the last jump back to it, if nothing but arithmetic is between."""
    loops, labels = [], {}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith(".L") and ":" in line:
            labels[line.split(":")[0]] = number
        words = line.split()
        if words and words[-1] in labels and words[0].startswith(("j", "b")):
            loops.append("\n".join(lines[labels[words[-1]] : number]))
    return [loop for loop in loops if "fma" in loop or "fmla" in loop or "mulps" in loop]


# ---- callbacks -------------------------------------------------------------------------------------------------------


def buffer(b: Builder, number: int) -> Value:
    return b.load(b.offset(b.parameters["operands"], b.i64(number), "ptr"), "ptr")


def storing(n: int, m: int, operand: int = 2) -> Store:
    """Stores max(value + bias[n], 0) + 1000 * m + 100000 * batch at [batch, m, n]; the bias is operand 4."""

    def store(b: Builder, batch: Value, row: Value, column: Value, value: Value, lanes: int) -> None:
        assert value.type == vector("float", lanes)
        bias = b.load(b.offset(buffer(b, 4), column, "float"), value.type)
        zero = b.constant(value.type, 0)
        x = b.add(value, bias)
        x = b.select(b.compare("ogt", x, zero), x, zero)
        number = b.add(b.mul(batch, b.i64(100)), row)
        offset = b.mul(b.convert("sitofp", number, "float"), b.constant("float", 1000))
        x = b.add(x, b.splat(offset, lanes))
        place = b.add(b.mul(b.add(b.mul(batch, b.i64(m)), row), b.i64(n)), column)
        b.store(x, b.offset(buffer(b, operand), place, "float"))

    return store


@pytest.mark.parametrize("has_place", [False, True])
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("m, n, k", [(33, 45, 10), (45, 33, 700), (1, 37, 20), (37, 1, 900), (5, 9, 3)])
def test_what_becomes_of_results(m: int, n: int, k: int, form: str, has_place: bool) -> None:
    a, b, c = matrices(m, n, k, form, batch=2)
    info, kernel = build(a, b, c if has_place else None, storing(n, m))
    x, y, bias = filled(2 * m * k, "float"), filled(2 * k * n, "float"), filled(n, "float")
    result = np.full((2, m, n), np.nan, np.float32)
    kernel([x, y, result, scratch_of(info), bias], 0, info.tasks)
    expected = np.maximum(x.astype(float)[places(a)] @ y.astype(float)[places(b)] + bias, 0)
    expected += 1000 * (np.arange(2)[:, None, None] * 100 + np.arange(m)[:, None])
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-4 * math.sqrt(k))


def squared(operand: int, row_stride: int, column_stride: int, batch_stride: int, along: str) -> Load:
    """Squares of the elements of a buffer."""

    def load(b: Builder, batch: Value, row: Value, column: Value, lanes: int) -> Value:
        terms = ((batch, batch_stride), (row, row_stride), (column, column_stride))
        place = b.i64(0)
        for index, stride in terms:
            place = b.add(place, b.mul(index, b.i64(stride)))
        step = column_stride if along == "columns" else row_stride
        first = b.offset(buffer(b, operand), place, "float")
        x = b.gather_lanes([b.load(b.offset(first, b.i64(lane * step), "float"), "float") for lane in range(lanes)])
        return b.mul(x, x)

    return load


@pytest.mark.parametrize("along_a, along_b", list(itertools.product(["rows", "columns"], repeat=2)))
@pytest.mark.parametrize("m, n, k", [(20, 30, 40), (1, 9, 5), (130, 21, 600)])
def test_computed_operands(m: int, n: int, k: int, along_a: str, along_b: str) -> None:
    a = Computed(squared(0, k, 1, m * k, along_a), m, k, 2, along_a)
    b = Computed(squared(1, n, 1, k * n, along_b), k, n, 2, along_b)
    plain_a, plain_b, c = matrices(m, n, k, "nn", batch=2)
    x, y = filled(2 * m * k, "float"), filled(2 * k * n, "float")
    for left, right in ((a, b), (plain_a, b), (a, plain_b)):
        info, kernel = build(left, right, c)
        result = np.full((2, m, n), np.nan, np.float32)
        kernel([x, y, result, scratch_of(info)], 0, info.tasks)
        p = x.astype(float)[places(plain_a)] ** (2 if left is a else 1)
        q = y.astype(float)[places(plain_b)] ** (2 if right is b else 1)
        np.testing.assert_allclose(result, p @ q, rtol=2e-5, atol=1e-3)


def test_computed_operand_of_a_convolution() -> None:
    """Padding that is nowhere in memory."""
    size, inputs, outputs = 7, 3, 10

    def load(b: Builder, batch: Value, row: Value, column: Value, lanes: int) -> Value:
        assert lanes <= host().lanes(4)
        y, x = b.binary("sdiv", row, b.i64(size)), b.binary("srem", row, b.i64(size))
        values = []
        for lane in range(lanes):
            k = b.add(column, b.i64(lane))
            pixel, channel = b.binary("sdiv", k, b.i64(inputs)), b.binary("srem", k, b.i64(inputs))
            above = b.sub(b.add(y, b.binary("sdiv", pixel, b.i64(3))), b.i64(1))
            left = b.sub(b.add(x, b.binary("srem", pixel, b.i64(3))), b.i64(1))
            inside = b.binary("and", b.compare("ult", above, b.i64(size)), b.compare("ult", left, b.i64(size)))
            place = b.add(b.mul(b.add(b.mul(above, b.i64(size)), left), b.i64(inputs)), channel)
            place = b.select(inside, place, b.i64(0))
            found = b.load(b.offset(buffer(b, 0), place, "float"), "float")
            values.append(b.select(inside, found, b.constant("float", 0)))
        return b.gather_lanes(values)

    image, kernel, c = convolution(1, (size, size), inputs, outputs, (3, 3))
    info, code = build(Computed(load, size * size, 9 * inputs), kernel, c)
    padded = np.zeros((size + 2, size + 2, inputs), np.float32)
    padded[1:-1, 1:-1] = RANDOM.standard_normal((size, size, inputs))
    weights = filled(9 * inputs * outputs, "float")
    result = np.full((size * size, outputs), np.nan, np.float32)
    inside = np.ascontiguousarray(padded[1:-1, 1:-1])
    code([inside, weights, result, scratch_of(info)], 0, info.tasks)
    expected = padded.ravel().astype(float)[places(image)[0]] @ weights.astype(float)[places(kernel)[0]]
    np.testing.assert_allclose(result, expected, atol=1e-4)


# ---- tasks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m, n, k, form", [(300, 400, 700, "nn"), (500, 130, 300, "tt"), (1, 9000, 300, "nn")])
def test_results_are_the_same_bits_however_tasks_are_divided(m: int, n: int, k: int, form: str) -> None:
    operands = matrices(m, n, k, form)
    x, y = filled(m * k, "float"), filled(k * n, "float")
    results = []
    for workers in (1, 2, 7):
        info, kernel = build(*operands, workers=workers)
        scratch = scratch_of(info)
        for order in (range(info.tasks), reversed(range(info.tasks))):
            result = np.full(m * n, np.nan, np.float32)
            for task in order:
                kernel([x, y, result, scratch], task, task + 1)
            results.append(result)
    assert info.tasks > 1
    assert all((result == results[0]).all() for result in results)


def test_what_does_not_fit_is_refused() -> None:
    a, b, c = matrices(4, 5, 6, "nn")
    with pytest.raises(ValueError, match="agree about k"):
        contraction(Module(), "kernel", host(), a, replace(b, rows=((7, 5),)), c)
    with pytest.raises(ValueError, match="agree about m"):
        contraction(Module(), "kernel", host(), a, b, replace(c, rows=((3, 5),)))
    with pytest.raises(ValueError, match="cut k in ways"):
        contraction(
            Module(), "kernel", host(), replace(a, columns=((2, 3), (3, 1))), replace(b, rows=((3, 1), (2, 50))), c
        )
    with pytest.raises(ValueError, match="place or a function"):
        contraction(Module(), "kernel", host(), a, b)
    with pytest.raises(ValueError, match="scratch"):
        contraction(Module(), "kernel", host(), *matrices(800, 800, 800, "tn"))


def test_the_accumulator() -> None:
    a, b, _ = matrices(2, 2, 2, "nn", ("bfloat", "half", "float"))
    assert accumulator(a, b) == "float"
    assert accumulator(a, replace(b, element="double")) == "double"


GUARDED = """
import ctypes, mmap
import numpy as np
from tests.native import test_contraction as t

libc = ctypes.CDLL(None, use_errno=True)

def at_the_end(count):
    size = -(-4 * count // 4096) * 4096
    memory = mmap.mmap(-1, size + 4096)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(4096), 0) == 0
    return np.frombuffer(memory, np.float32, count, size - 4 * count)

for size in [(7, 9, 5), (33, 45, 70), (13, 31, 600), (1, 70, 9), (70, 1, 9), (3, 5, 17)]:
    for form in ("nn", "nt", "tn", "tt"):
        a, b, c = t.matrices(*size, form)
        info, kernel = t.build(a, b, c)
        m, n, k = size
        kernel([at_the_end(m * k), at_the_end(k * n), at_the_end(m * n), t.scratch_of(info)], 0, info.tasks)
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="memory is protected in another way")
def test_nothing_beyond_the_operands_is_touched() -> None:
    """Each operand ends where memory does: to read on would end the process."""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", GUARDED], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.stdout == "done\n", done.stderr[-2000:]
