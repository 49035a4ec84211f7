"""Measures the native engine's contractions beside NumPy's matrix product (OpenBLAS), both on one core.

    OPENBLAS_NUM_THREADS=1 taskset -c 0 python tools/measure_contraction.py [--only NAME] [--rounds N]

Columns: GFLOP/s of the generated kernel and of NumPy, their ratio, the kernel's share of the peak that a loop of
nothing but multiplications reaches, and milliseconds to write and to compile the kernel. The two take turns, and the
best round of each counts. A convolution's peer is the product of matrices that are unfolded already.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.engines.native import jit
from rillet.engines.native.contraction import Strided, contraction
from rillet.engines.native.llvm import Builder, Module
from rillet.engines.native.target import host

Array = np.ndarray[Any, Any]


class Kernel:
    """Machine code, to be called on arrays."""

    def __init__(self, text: str) -> None:
        self._code = jit.compile_kernels([text])[0]
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self.function = kind(self._code.address)

    def table(self, arrays: list[Array]) -> Any:
        """The addresses of the arrays, as a kernel takes them."""
        return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def aligned(count: int) -> Array:
    """Bytes that begin at a multiple of 64."""
    room = np.zeros(count + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + count]


@dataclass
class Case:
    """A contraction: its operands, how many elements each buffer has, and what NumPy does instead."""

    name: str
    a: Strided
    b: Strided
    c: Strided
    sizes: tuple[int, int, int]
    flops: int
    peer: Callable[[Array, Array], Callable[[], Any]]


def matmul(m: int, n: int, k: int, form: str = "nn", batch: int = 1) -> Case:
    """form: for a and for b, "n" if it lies in memory as it is used, "t" if transposed."""

    def peer(a: Array, b: Array) -> Callable[[], Any]:
        x = a.reshape(batch, k, m).swapaxes(1, 2) if form[0] == "t" else a.reshape(batch, m, k)
        y = b.reshape(batch, n, k).swapaxes(1, 2) if form[1] == "t" else b.reshape(batch, k, n)
        if batch == 1:
            x, y = x[0], y[0]
        out = np.empty((batch, m, n)[batch == 1 :], a.dtype)
        return lambda: np.matmul(x, y, out=out)

    a = Strided(0, "float", ((m, 1 if form[0] == "t" else k),), ((k, m if form[0] == "t" else 1),), ((batch, m * k),))
    b = Strided(1, "float", ((k, 1 if form[1] == "t" else n),), ((n, k if form[1] == "t" else 1),), ((batch, k * n),))
    c = Strided(2, "float", ((m, n),), ((n, 1),), ((batch, m * n),))
    name = f"{form} {m}x{n}x{k}" + (f" x{batch}" if batch > 1 else "")
    sizes = (batch * m * k, batch * k * n, batch * m * n)
    return Case(name, a, b, c, sizes, 2 * batch * m * n * k, peer)


def _unfolded(m: int, n: int, k: int) -> Callable[[Array, Array], Callable[[], Any]]:
    def peer(a: Array, b: Array) -> Callable[[], Any]:
        x, y = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
        return lambda: x @ y

    return peer


def convolution(images: int, size: int, inputs: int, outputs: int, window: int = 3) -> Case:
    """A convolution with padding that is there in the image already."""
    padded = size + window - 1
    a = Strided(
        0,
        "float",
        ((images, padded * padded * inputs), (size, padded * inputs), (size, inputs)),
        ((window, padded * inputs), (window, inputs), (inputs, 1)),
    )
    m, n, k = images * size * size, outputs, window * window * inputs
    b = Strided(1, "float", ((k, n),), ((n, 1),))
    c = Strided(2, "float", ((m, n),), ((n, 1),))
    name = f"conv {images}x{size}x{size}x{inputs} {window}x{window} {outputs}"
    return Case(name, a, b, c, (images * padded**2 * inputs, k * n, m * n), 2 * m * n * k, _unfolded(m, n, k))


def kernel_gradient(images: int, size: int, inputs: int, outputs: int, window: int = 3) -> Case:
    """The gradient of such a convolution for its kernel."""
    padded = size + window - 1
    a = Strided(
        0,
        "float",
        ((window, padded * inputs), (window, inputs), (inputs, 1)),
        ((images, padded * padded * inputs), (size, padded * inputs), (size, inputs)),
    )
    m, n, k = window * window * inputs, outputs, images * size * size
    b = Strided(1, "float", ((k, n),), ((n, 1),))
    c = Strided(2, "float", ((m, n),), ((n, 1),))
    name = f"conv gradient {images}x{size}x{size}x{inputs} {window}x{window} {outputs}"
    return Case(name, a, b, c, (images * padded**2 * inputs, k * n, m * n), 2 * m * n * k, _unfolded(m, n, k))


CASES = [
    *(matmul(size, size, size) for size in (16, 64, 127, 128, 129, 256, 512, 1024, 2048)),
    *(matmul(1024, 1024, 1024, form) for form in ("nt", "tn", "tt")),
    *(matmul(256, 256, 256, form) for form in ("nt", "tn", "tt")),
    *(matmul(32, 512, 784), matmul(784, 512, 32, "tn"), matmul(32, 784, 512, "nt")),
    *(matmul(32, 256, 512), matmul(512, 256, 32, "tn"), matmul(32, 512, 256, "nt")),
    *(matmul(64, 10, 512), matmul(512, 10, 64, "tn"), matmul(64, 512, 10, "nt")),
    *(matmul(512, 512, 784), matmul(784, 512, 512, "tn"), matmul(512, 784, 512, "nt")),
    *(matmul(64, 64, 16, "nt", 32), matmul(64, 16, 64, "nn", 32), matmul(64, 16, 64, "tn", 32)),
    *(matmul(1, 512, 784), matmul(1, 784, 512, "nt"), matmul(784, 512, 1, "tn")),
    *(matmul(512, 1, 784), matmul(2048, 1, 2048), matmul(1, 2048, 2048), matmul(1, 2048, 2048, "nt")),
    *(matmul(1000, 3, 300), matmul(3, 1000, 300), matmul(1024, 128, 128), matmul(1024, 128, 128, "nt")),
    *(matmul(1024, 384, 128), matmul(1024, 512, 128), matmul(1024, 128, 512), matmul(1024, 512, 128, "nt")),
    *(matmul(1024, 128, 512, "nt"), matmul(128, 512, 1024, "tn"), matmul(512, 128, 1024, "tn")),
    *(matmul(128, 128, 32, "nt", 32), matmul(128, 32, 128, "nn", 32), matmul(128, 32, 128, "tn", 32)),
    *(matmul(64, 512, 128), matmul(64, 128, 512, "nt"), matmul(128, 512, 64, "tn"), matmul(128, 512, 3200, "tn")),
    *(matmul(300, 700, 1000), matmul(1001, 999, 1003), matmul(100, 8192, 64), matmul(8192, 100, 64)),
    *(convolution(16, 56, 32, 64), convolution(16, 56, 64, 64), convolution(16, 28, 128, 128)),
    *(convolution(16, 7, 512, 512), convolution(16, 28, 1, 32, 5), convolution(16, 14, 32, 64, 5)),
    *(convolution(4, 112, 3, 32, 7), convolution(16, 56, 64, 256, 1)),
    *(kernel_gradient(16, 56, 32, 64), kernel_gradient(16, 28, 128, 128), kernel_gradient(16, 28, 1, 32, 5)),
    *(kernel_gradient(16, 14, 32, 64, 5), kernel_gradient(16, 7, 512, 512)),
]


def fma_peak() -> float:
    """GFLOP/s of a loop of independent multiplications and additions in registers."""
    target, module = host(), Module()
    b = Builder(module, "kernel", [("ptr", "operands"), ("i64", "begin"), ("i64", "end")])
    place = b.load(b.parameters["operands"], "ptr")
    lanes = target.lanes(4)
    x, chains = b.load(place, f"<{lanes} x float>"), 12
    with b.loop(b.parameters["begin"], b.parameters["end"], carried=[x] * chains) as loop:
        loop.carry(*(b.fmuladd(carried, x, x) for carried in loop.carried))
    for number, result in enumerate(loop.results):
        b.store(result, b.offset(place, b.i64(number * lanes), "float"))
    b.ret()
    kernel, turns = Kernel(str(module)), 200_000
    memory = aligned(4096)
    table = kernel.table([memory])
    best = min(_timed(lambda: kernel.function(table, 0, turns), 1) for _ in range(50))
    return 2 * chains * lanes * turns / best / 1e9


def _timed(run: Callable[[], Any], times: int) -> float:
    start = time.thread_time()  # other programs may share the core
    for _ in range(times):
        run()
    return (time.thread_time() - start) / times


def measure(case: Case, rounds: int, peak: float, workers: int) -> str:
    """One line of the table."""
    start = time.thread_time()
    module = Module()
    info = contraction(module, "kernel", host(), case.a, case.b, case.c, scratch=3, workers=workers)
    text = str(module)
    written = time.thread_time()
    jit.emit_object(text)
    compiled = time.thread_time()
    kernel = Kernel(text)
    random = np.random.default_rng(0)
    arrays = [aligned(4 * size).view(np.float32) for size in case.sizes]
    for array in arrays[:2]:
        array[:] = random.standard_normal(array.size, np.float32)
    arrays.append(aligned(info.scratch_bytes))
    table = kernel.table(arrays)
    peer = case.peer(arrays[0], arrays[1])
    ours: list[float] = []
    theirs: list[float] = []
    times = max(1, int(5e-4 * peak * 1e9 / case.flops))
    for _ in range(rounds):
        ours.append(_timed(lambda: kernel.function(table, 0, info.tasks), times))
        theirs.append(_timed(peer, times))
    speed, other = (case.flops / min(each) / 1e9 for each in (ours, theirs))
    return (
        f"{case.name:36s} {speed:7.1f} {other:7.1f} {speed / other:6.2f} {100 * speed / peak:5.0f}%"
        f" {info.tasks:6d} {info.scratch_bytes >> 10:6d}K"
        f" {1e3 * (written - start):6.1f} {1e3 * (compiled - written):6.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="measure the cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1, help="cut into tasks for so many (one core runs them all)")
    arguments = parser.parse_args()
    peak = max(fma_peak(), fma_peak())
    print(f"peak {peak:.1f} GFLOP/s")
    print(
        f"{'m x n x k':36s} {'GFLOP/s':>7s} {'NumPy':>7s} {'ratio':>6s} {'peak':>6s} {'tasks':>6s} {'scratch':>7s} write compile"
    )
    for case in CASES:
        if arguments.only in case.name:
            print(measure(case, arguments.rounds, peak, arguments.workers), flush=True)


if __name__ == "__main__":
    main()
