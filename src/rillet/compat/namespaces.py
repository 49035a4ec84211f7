"""Builds the public namespaces from what modules have exported (core.export): tf.math.log is where people look for it.

A namespace that shares its name with one of rillet's own packages (tf.train, rillet.train) is that package.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rillet.compat import private_paths
from rillet.core.export import LATE, tell_namespaces, when_opened


def build(root: ModuleType, table: Callable[[], dict[str, Any]]) -> None:
    """Sets every dotted name of the table on `root`, making namespaces on the way. When a late room opens, `table` is
    asked again; what stands in a namespace by then stays, it may be the user's."""
    done: set[str] = set()

    def take_in() -> None:
        names = table()
        for dotted in sorted(names.keys() - done):
            *parents, name = dotted.split(".")
            setattr(_namespace(root, parents), name, names[dotted])
        done.update(names)

    take_in()
    _explain_missing(root, "tf")
    when_opened(take_in)


def link(root: ModuleType, v1: ModuleType | None, v2: ModuleType) -> None:
    """Sets what leads from one namespace to another: tf.compat.v1, tf.compat.v2, and tf.python (private paths)."""
    compat = _namespace(root, ["compat"])
    if v1 is not None:
        compat.__dict__["v1"] = v1
    compat.__dict__["v2"] = v2
    root.__dict__[private_paths.ROOT] = private_paths.Folder(root)


def _namespace(root: ModuleType, parents: list[str]) -> ModuleType:
    current = root
    for part in parents:
        known = current.__dict__.get(part)
        if not isinstance(known, ModuleType):
            known = _find_or_make(f"{current.__name__}.{part}", part)
            setattr(current, part, known)
        _explain_missing(known, _label(known.__name__))
        current = known
    return current


def _find_or_make(full: str, part: str) -> ModuleType:
    """The package or module of that name, or an empty namespace."""
    known = sys.modules.get(full)
    if known is None and _is_part(full):
        known = importlib.import_module(full)
    if known is None:
        known = ModuleType(full, f"The public names under {part}.")
        known.__dict__["__path__"] = []
        sys.modules[full] = known
    return known


def _is_part(full: str) -> bool:
    """Whether there is such a module, in a package: a namespace may also stand in a module that is none."""
    parent, _, name = full.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", [])
    return any(name in _parts(folder) for folder in folders)


@functools.cache
def _parts(folder: str) -> frozenset[str]:
    """The modules and packages in a package's folder."""
    return frozenset(entry.removesuffix(".py") for entry in os.listdir(folder) if not entry.startswith("_"))


def _label(module_name: str) -> str:
    """What users call a namespace: rillet.compat.v1.nn is tf.nn."""
    inner = module_name.removeprefix("rillet.compat.v1").removeprefix("rillet").strip(".")
    return f"tf.{inner}" if inner else "tf"


def _explain_missing(module: ModuleType, label: str) -> None:
    """Gives `module` a __getattr__ that opens late rooms, and says what a missing name may have meant."""
    if "__getattr__" in module.__dict__:
        return

    def missing(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        if name in module.__dict__:  # asked through a namespace that shows this one's names
            return module.__dict__[name]
        if _is_part(f"{module.__name__}.{name}"):  # it loads on first use
            return importlib.import_module(f"{module.__name__}.{name}")
        for package in _late(f"{label}.{name}".removeprefix("tf.")):
            importlib.import_module(package)
            tell_namespaces()
            if name in module.__dict__:
                return module.__dict__[name]
        import difflib  # only for those who misspell

        close = difflib.get_close_matches(name, [key for key in module.__dict__ if not key.startswith("_")], n=3)
        hint = f" Did you mean {' or '.join(f'{label}.{other}' for other in close)}?" if close else ""
        message = f"module {module.__name__!r} has no attribute {name!r}.{hint}"
        raise AttributeError(message, name=name, obj=None)  # no object: Python adds no suggestions of its own

    module.__dict__["__getattr__"] = missing


def _late(path: str) -> list[str]:
    """What to import for a name at `path`, of which nothing is there yet."""
    return [
        package for room, package in LATE.items() if f"{path}.".startswith(room + ".") or room.startswith(path + ".")
    ]
