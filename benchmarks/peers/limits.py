"""What the machine allows: its multiply-add peak and its memory's speed, measured with kernels of rillet's own."""

from __future__ import annotations

import ctypes
import os
import threading
import time

import numpy as np
import problems

from rillet.engines.native.jit import compile_kernels
from rillet.engines.native.llvm import Builder, Module, vector
from rillet.engines.native.target import host

_CHAINS, _TURNS = 10, 200_000


def _peak_text() -> str:
    """Independent chains of fused multiply-adds in registers."""
    module = Module()
    b = Builder(module, "kernel", [("ptr", "operands"), ("i64", "begin"), ("i64", "end")])
    type_ = vector("float", host().lanes(4))
    factor = b.load(b.parameters["operands"], type_)
    start = [b.fadd(factor, b.constant(type_, float(number))) for number in range(_CHAINS)]
    with b.loop(b.parameters["begin"], b.parameters["end"], carried=start) as loop:
        loop.carry(*[b.intrinsic("fma", type_, value, factor, factor) for value in loop.carried])
    total = loop.results[0]
    for value in loop.results[1:]:
        total = b.fadd(total, value)
    b.store(total, b.parameters["operands"])
    b.ret()
    return str(module)


class Machine:
    """peak: GFLOP/s of float32 multiply-adds; bandwidth: GB/s of a copy, both directions counted; on `threads` cores."""

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or len(os.sched_getaffinity(0))
        self._code = compile_kernels([_peak_text()])[0]
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(self._code.address)
        self.peak = max(self._on_all(self._multiply) for _ in range(10))
        self._source = np.ones(1 << 24, np.float32)
        self._target = np.ones_like(self._source)
        self.bandwidth = max(self._copy() for _ in range(10))

    def __str__(self) -> str:
        return (
            f"{self.threads} core{'s' * (self.threads > 1)} ({host().processor}): {self.peak:.0f} GFLOP/s of "
            f"multiply-adds, memory copies at {self.bandwidth:.1f} GB/s."
        )

    def _multiply(self) -> float:
        values = np.full(64, 0.5, np.float32)
        self._run(values.ctypes.data, 0, _TURNS)
        return 2.0 * _CHAINS * host().lanes(4) * _TURNS / 1e9

    def _on_all(self, work) -> float:
        """Work a second, with a thread on each core."""
        done: list[float] = []
        threads = [threading.Thread(target=lambda: done.append(work())) for _ in range(self.threads)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - begin)

    def _copy(self) -> float:
        begin = time.perf_counter()
        np.copyto(self._target, self._source)
        return 2 * self._source.nbytes / 1e9 / (time.perf_counter() - begin)

    def limit(self, workload: str) -> tuple[float, str]:
        """(seconds, what they are): arithmetic at the peak and the least memory traffic, one after the other."""
        flops, traffic = problems.flops().get(workload, 0), problems.traffic().get(workload, 0)
        if traffic < 2 * host().level3:  # it stays in the cache
            traffic = 0
        seconds = flops / self.peak / 1e9 + traffic / self.bandwidth / 1e9
        if not seconds:
            return 0.0, "Python"
        return seconds, "multiply-adds" if flops / self.peak > traffic / self.bandwidth else "memory"
