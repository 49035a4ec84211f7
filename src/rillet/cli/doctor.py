"""`rillet doctor`: what this installation is, and how it is set."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rillet.compiler.lower import may_lower
from rillet.config import CACHE, ENGINE, FLAGS, THREADS, Flag
from rillet.core.opdef import REGISTRY

PACKAGES = ("rillet", "numpy", "ml_dtypes", "llvmlite")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("doctor", help="print versions, engine, target, folders and flags")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with a count of the ops")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    report = examine()
    if options.json:
        print(json.dumps(report | {"ops": count_ops(), "without_native_form": without_native_form()}, indent=2))
    else:
        print(as_text(report))
        print(f"\n{_ops_text()}")
    return 0


def examine() -> dict[str, Any]:
    """Versions, engine, target, cache folder and flags, ready for JSON. Raises ValueError for an unreadable flag."""
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "engine": ENGINE.value,
        "target": {
            "system": platform.system(),
            "machine": platform.machine(),
            "cpu": _cpu_name(),
            "features": _cpu_features(),
            "threads": THREADS.value,
            "byte_order": sys.byteorder,
        },
        "cache": str(CACHE.value),
        "flags": [_describe(flag) for flag in FLAGS],
    }


def count_ops() -> dict[str, int]:
    return {
        "types": len(REGISTRY),
        "differentiable": sum(bool(op.differentiable) for op in REGISTRY.values()),
        "native": len(REGISTRY) - len(without_native_form()),
    }


def without_native_form() -> list[str]:
    """The op types that the native engine runs through their reference kernels, whatever their attributes."""
    importlib.import_module("rillet.compiler.lowering")  # registers the rules; takes long
    return sorted(type_ for type_ in REGISTRY if not may_lower(type_))


def _describe(flag: Flag[Any]) -> dict[str, Any]:
    value = flag.value
    return {
        "name": flag.name,
        "variable": flag.variable,
        "value": str(value) if isinstance(value, Path) else value,
        "set": flag.is_set,
        "meaning": flag.meaning,
    }


def _version(package: str) -> str | None:
    """Read from what is installed: importing llvmlite would cost half a second."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_line(*keys: str) -> str:
    """What Linux says of the first processor under one of `keys`; empty elsewhere."""
    source = Path("/proc/cpuinfo")
    if not source.exists():
        return ""
    for line in source.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""


def _cpu_name() -> str:
    return _cpu_line("model name") or platform.processor() or platform.machine()


def _cpu_features() -> list[str]:
    """The vector instructions of the processor, as Linux names them."""
    vector = ("sse", "ssse", "avx", "fma", "f16c", "amx", "asimd", "sve", "neon")
    return [word for word in _cpu_line("flags", "Features").split() if word.startswith(vector)]


def as_text(report: dict[str, Any]) -> str:
    target = report["target"]
    rows = [(name, version or "not installed") for name, version in report["versions"].items()]
    rows += [
        ("engine", report["engine"]),
        ("target", f"{target['cpu']}, {target['threads']} threads, {target['system']} {target['machine']}"),
        ("features", " ".join(target["features"]) or "unknown"),
        ("cache", report["cache"]),
    ]
    flags = [(flag["variable"], f"{flag['value']}", flag["meaning"]) for flag in report["flags"]]
    return "\n".join([*_columns(rows), "", *_columns(flags)])


def _ops_text() -> str:
    counts, rest = count_ops(), without_native_form()
    head = (
        f"{counts['types']} op types, {counts['differentiable']} with a gradient, {counts['native']} with a native form"
    )
    names = textwrap.fill(" ".join(rest), 116, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    return f"{head}; by reference kernels run these {len(rest)}:\n{names}"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
