"""Public names: an object says next to its definition under which tf.* names people know it.

    @public("math.log", v1=["log"])          both namespaces have math.log; TF1's also has log
    @public(v2=["random.normal"], v1=["random_normal", "random.normal"])

The namespaces themselves (`rillet`, `rillet.v1`) are built from these tables; see compat.namespaces.

A room that few programs need, or that is slow to load, is a late one: `LATE` says what to import for the names below
its path, and its package ends with `open_room(__name__, __path__)`, which imports every module in it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

V1: dict[str, Any] = {}
V2: dict[str, Any] = {}

# A package that is imported when somebody asks for a name below it: public path -> what to import.
LATE: dict[str, str] = {}
_WAITING: list[Callable[[], None]] = []

_T = TypeVar("_T")


def export(value: Any, *names: str, v1: Sequence[str] = (), v2: Sequence[str] = ()) -> None:
    """Gives `value` the dotted `names` in both namespaces, and those of `v1` and `v2` in one each.

    Raises ValueError when a name is taken by something else.
    """
    for table, wanted in ((V1, (*names, *v1)), (V2, (*names, *v2))):
        for name in wanted:
            if table.setdefault(name, value) is not value:
                raise ValueError(f"tf.{name} is exported twice: {table[name]!r} and {value!r}")


def public(*names: str, v1: Sequence[str] = (), v2: Sequence[str] = ()) -> Callable[[_T], _T]:
    """`export` as a decorator."""

    def decorate(value: _T) -> _T:
        export(value, *names, v1=v1, v2=v2)
        return value

    return decorate


def public_in(namespace: str) -> Callable[..., Callable[[_T], _T]]:
    """`public`, for names that all lie in that namespace."""

    def named(*names: str) -> Callable[[_T], _T]:
        return public(*[f"{namespace}.{name}" for name in names])

    return named


def open_room(package: str, folders: Sequence[str], short: Mapping[str, str] | None = None) -> None:
    """Imports every module of a package, in alphabetical order, and tells the namespaces that there are new names.

    short: {path: shorter path}: what lies under the one is in TensorFlow 2 under the other too, where nothing is yet.
    """
    for found in pkgutil.walk_packages(folders, package + "."):
        importlib.import_module(found.name)
    for path, shorter in (short or {}).items():
        for dotted, value in [entry for entry in V2.items() if entry[0].startswith(path + ".")]:
            V2.setdefault(shorter + dotted.removeprefix(path), value)
    tell_namespaces()


def tell_namespaces() -> None:
    """Names were exported after the namespaces were built: those take them in."""
    for take_in in _WAITING:
        take_in()


def when_opened(take_in: Callable[[], None]) -> None:
    """`take_in` is called when names have been exported late."""
    _WAITING.append(take_in)


def late(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of a module that is imported when the function is first called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    call.__name__ = name
    return call
