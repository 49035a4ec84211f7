"""tf.Module: an object that finds the variables and modules it holds."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from rillet.core import nest
from rillet.core.export import public
from rillet.frontend.scopes import NameScope
from rillet.frontend.variable import Variable

Method = TypeVar("Method", bound=Callable[..., Any])


def tell_restores(value: Any) -> None:
    """The object has got something new: checkpoints that were restored before may have a value for it."""
    for pending in list(value.__dict__.get("_pending_restores", ())):
        pending.revisit(value)


@public("Module")
class Module:
    """Base of objects with variables. Attributes (and lists, tuples and dicts in them) are searched for variables and
    for other modules.

    name: a Python identifier (the class's name in snake case when None). ValueError for anything else.
    """

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = snake_case(type(self).__name__)
        if not name.isidentifier():
            raise ValueError(
                f"{name!r} is not a valid module name. Module names must be valid Python identifiers (e.g. a valid class "
                "name)."
            )
        self._name = name
        with NameScope(name) as scope:
            self._name_scope = NameScope(scope)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        tell_restores(self)

    @property
    def name(self) -> str:
        return self._name

    @property
    def name_scope(self) -> Any:
        """The name scope of the module: `with self.name_scope: ...` names variables after it."""
        return self._name_scope

    @property
    def variables(self) -> tuple[Any, ...]:
        """The variables of the module and its submodules: attributes in alphabetical order, submodules after them."""
        return tuple(self._flatten(predicate=_is_variable))

    @property
    def trainable_variables(self) -> tuple[Any, ...]:
        return tuple(self._flatten(predicate=lambda value: _is_variable(value) and value.trainable))

    @property
    def non_trainable_variables(self) -> tuple[Any, ...]:
        return tuple(self._flatten(predicate=lambda value: _is_variable(value) and not value.trainable))

    @property
    def submodules(self) -> tuple[Any, ...]:
        """All modules inside this one."""
        return tuple(self._flatten(predicate=_is_module))

    def _flatten(
        self,
        recursive: bool = True,
        predicate: Callable[[Any], bool] | None = None,
        attribute_traversal_key: Any = None,
        with_path: bool = False,
        expand_composites: bool = False,
    ) -> Iterator[Any]:
        """The values in attributes for which `predicate` is true, each once.

        attribute_traversal_key: sorts attribute names. with_path: yields (path, value).
        """
        wanted = predicate or (lambda value: True)
        for path, value in _search(self, recursive, wanted, attribute_traversal_key, expand_composites, {id(self)}, ()):
            yield (path, value) if with_path else value

    @classmethod
    def with_name_scope(cls, method: Method) -> Method:
        """Decorator: the method runs inside the module's name scope."""

        @functools.wraps(method)
        def scoped(self: Any, *args: Any, **kwargs: Any) -> Any:
            with self.name_scope:
                return method(self, *args, **kwargs)

        return scoped  # type: ignore[return-value]


def _search(
    module: Any,
    recursive: bool,
    wanted: Callable[[Any], bool],
    sort_key: Any,
    expand_composites: bool,
    seen: set[int],
    path: tuple[Any, ...],
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    inner: list[tuple[tuple[Any, ...], Any]] = []
    attributes = vars(module)
    for name in sorted(attributes, key=sort_key):
        for part, value in nest.flatten_with_tuple_paths(attributes[name], expand_composites=expand_composites):
            if id(value) in seen:
                continue
            here = (*path, name, *part)
            if wanted(value):
                seen.add(id(value))
                yield here, value
            if recursive and _is_module(value):
                inner.append((here, value))
    for here, value in inner:
        seen.add(id(value))
        yield from _search(value, recursive, wanted, sort_key, expand_composites, seen, here)


def _is_variable(value: Any) -> bool:
    return isinstance(value, Variable)


def _is_module(value: Any) -> bool:
    return isinstance(value, Module)


def snake_case(name: str) -> str:
    """ "MyHTTPServer" as "my_http_server"."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
