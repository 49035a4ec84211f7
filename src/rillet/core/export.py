"""Public names: an object says next to its definition under which tf.* names people know it.

    @public("math.log", v1=["log"])          both namespaces have math.log; TF1's also has log
    @public(v2=["random.normal"], v1=["random_normal", "random.normal"])

The namespaces themselves (`rillet`, `rillet.v1`) are built from these tables; see compat.namespaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

V1: dict[str, Any] = {}
V2: dict[str, Any] = {}

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
