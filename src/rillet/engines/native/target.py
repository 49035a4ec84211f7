"""What code is generated for: the processor's vectors, registers and caches, in one description."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
from dataclasses import dataclass

from rillet.engines.native import cache


@dataclass(frozen=True)
class Target:
    """vector_bytes: the widest vectors worth using; registers: how many of them there are.

    level1, level2: bytes of a core's data caches; level3: bytes of the shared one (of one core's share, if known).
    """

    name: str
    triple: str
    processor: str
    features: str
    vector_bytes: int
    registers: int
    has_fma: bool
    level1: int = 32 << 10
    level2: int = 512 << 10
    level3: int = 8 << 20
    has_amx: bool = False

    @property
    def rounds(self) -> bool:
        """Whether there are instructions that round vectors to whole numbers."""
        return not self.triple.startswith("x86_64") or self.vector_bytes > 16 or "+sse4.1" in self.features

    def lanes(self, element_bytes: int) -> int:
        """Elements in one vector."""
        return max(1, self.vector_bytes // element_bytes)


_LINUX = "unknown-linux-gnu"

TARGETS = {
    "x86_64": Target("x86_64", f"x86_64-{_LINUX}", "x86-64", "", 16, 16, False),
    "x86_64_v3": Target("x86_64_v3", f"x86_64-{_LINUX}", "x86-64-v3", "", 32, 16, True),
    "x86_64_v4": Target("x86_64_v4", f"x86_64-{_LINUX}", "x86-64-v4", "", 64, 32, True),
    "aarch64": Target("aarch64", f"aarch64-{_LINUX}", "generic", "", 16, 32, True),
}


def _cache_bytes(level: int, default: int) -> int:
    """What the kernel says of the first processor's data cache, if it does."""
    folder = "/sys/devices/system/cpu/cpu0/cache"
    try:
        for entry in os.listdir(folder):
            path = os.path.join(folder, entry)
            if not entry.startswith("index"):
                continue
            facts = {}
            for fact in ("level", "type", "size"):
                with open(os.path.join(path, fact)) as file:
                    facts[fact] = file.read().strip()
            if facts["level"] == str(level) and facts["type"] in ("Data", "Unified"):
                return int(facts["size"].rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(facts["size"][-1], 0)
    except (OSError, ValueError):
        pass
    return default


@functools.cache
def compiler_version() -> str:
    """The version of llvmlite, and so of LLVM, without loading LLVM. Raises ImportError where there is none."""
    return str(importlib.import_module("llvmlite").__version__)


_PROCESSOR_FACTS = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU ")


def _processor_facts() -> str:
    """What the kernel says of the first processor, as far as it does not change while the machine runs."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = itertools.takewhile(str.strip, file)
            return "".join(line for line in lines if line.startswith(_PROCESSOR_FACTS))
    except OSError:
        return ""


def _describe_host() -> tuple[str, str, str]:
    """LLVM's triple, processor and features of this machine; kept on disk, because loading LLVM takes long."""
    facts = _processor_facts()
    store, key = cache.default(), cache.digest("host", compiler_version(), facts)
    found = store.load(key) if facts else None
    if found is not None:
        triple, processor, features = found.decode().split("\n")
        return triple, processor, features
    llvm = importlib.import_module("llvmlite.binding")
    triple, processor = llvm.get_process_triple(), llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    if facts:
        store.store(key, f"{triple}\n{processor}\n{features}".encode())
    return triple, processor, features


@functools.cache
def host() -> Target:
    """This machine. Raises ImportError where llvmlite is missing."""
    triple, processor, features = _describe_host()
    has = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if "avx512f" in has and "avx512vl" in has:
        vector_bytes, registers = 64, 32
    elif "avx2" in has:
        vector_bytes, registers = 32, 16
    else:
        vector_bytes, registers = 16, 32 if "neon" in has else 16
    return Target(
        "native",
        triple,
        processor,
        features,
        vector_bytes,
        registers,
        "fma" in has or "neon" in has,
        _cache_bytes(1, 32 << 10),
        _cache_bytes(2, 512 << 10),
        _cache_bytes(3, 8 << 20),
        "amx-bf16" in has and "amx-tile" in has,
    )
