"""Drawing what a name in a program stands for, as `rillet draw` does."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from rillet.autodiff.tape import GradientTape
from rillet.core.tensor import EagerTensor, SymbolicTensor
from rillet.draw.build import Builder
from rillet.draw.drawing import has_value, picture_of
from rillet.draw.names import names_in
from rillet.draw.picture import Picture
from rillet.draw.subject import find_subject
from rillet.draw.tensors import draw_tensor
from rillet.frontend.session import BaseSession


def draw_by_name(
    name: str, namespace: dict[str, Any], wrt: str = "", feeds: Sequence[str] = (), args: str = "", title: str = ""
) -> Picture:
    """The picture of what `name` is in `namespace`, the names of a program that has run: its open session and its tape
    give the values.

    wrt: names with commas between. feeds: "name=value" each. args: expressions in the program's names.
    Raises ValueError for a name or a feed that makes no sense, and what tf.draw raises.
    """
    target = _target(name, namespace)
    given = eval(f"({args},)", namespace) if args else ()
    tape = _tape_of(target, namespace) if isinstance(target, EagerTensor) else None
    if tape is None and has_value(target):
        return draw_tensor(target)
    wanted: Any = [part.strip() for part in wrt.split(",")] if wrt else None
    wanted = wanted[0] if wanted and len(wanted) == 1 else wanted
    fed, session = None, None
    if isinstance(target, SymbolicTensor):
        fed = _feeds(feeds, target, namespace) if feeds else None
        session = _session_of(target, namespace) if feeds or not _needs_feeds(target) else None
    subject = find_subject(target, given, {}, wanted, fed, session, tape, names_in(namespace))
    return picture_of(Builder(subject, title))


def _target(name: str, namespace: dict[str, Any]) -> Any:
    if name in namespace:
        return namespace[name]
    for value in list(namespace.values()):
        graph = value.graph if isinstance(value, SymbolicTensor) else None
        if graph is not None and name in {operation.name for operation in graph.get_operations()}:
            return graph.get_operation_by_name(name).outputs[0]
    close = ", ".join(key for key in namespace if not key.startswith("_"))
    raise ValueError(f"the program has nothing called {name!r}. It has: {close}")


def _tape_of(tensor: EagerTensor, namespace: dict[str, Any]) -> GradientTape | None:
    """The tape among the program's names that recorded how the tensor was computed."""
    for value in namespace.values():
        if isinstance(value, GradientTape) and value.producer()(tensor) is not None:
            return value
    return None


def _session_of(target: SymbolicTensor, namespace: dict[str, Any]) -> BaseSession | None:
    """An open session of the program that runs the target's graph."""
    for value in namespace.values():
        if isinstance(value, BaseSession) and value.graph is target.graph and not value._closed:
            return value
    return None


def _needs_feeds(target: SymbolicTensor) -> bool:
    subject = find_subject(target, (), {}, None, None, None, None, {})
    return any(operation.type == "Placeholder" for operation in subject.operations)


def _feeds(given: Sequence[str], target: SymbolicTensor, namespace: dict[str, Any]) -> dict[Any, Any]:
    feeds = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--feed takes name=value, not {text!r}")
        key = namespace.get(name.strip())
        tensor = key if isinstance(key, SymbolicTensor) else target.graph.as_graph_element(f"{name.strip()}:0")
        try:
            feeds[tensor] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            raise ValueError(f"--feed {name}: {value!r} is no number or list of numbers") from None
    return feeds
