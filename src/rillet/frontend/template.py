"""tf.make_template: functions that share their variables between calls."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from rillet.core import context
from rillet.core.export import public
from rillet.frontend.variable_scope import EagerVariableStore, VariableScope, variable_scope


@public(v1=["make_template"])
def make_template(
    name_: str, func_: Callable[..., Any], create_scope_now_: bool = False, unique_name_: str | None = None,
    custom_getter_: Any = None, **kwargs: Any,
) -> Template:  # fmt: skip
    """`func_` with its variables made on the first call and shared by the later ones.

    name_: of the variable scope, made unique. create_scope_now_: the scope is opened here, not by the first call.
    unique_name_: the scope's name as it is. kwargs: further arguments of func_.
    """
    function = functools.partial(func_, **kwargs) if kwargs else func_
    return Template(name_, function, create_scope_now_, unique_name_, custom_getter_)


class Template:
    """A function whose variables live in a scope of its own."""

    def __init__(
        self, name: str, function: Callable[..., Any], create_now: bool, unique_name: str | None, custom_getter: Any
    ) -> None:
        self._function = function
        self._name = name
        self._unique_name = unique_name
        self._custom_getter = custom_getter
        self._scope: VariableScope | None = None
        self._called = False
        self._eager_store = EagerVariableStore() if context.executing_eagerly() else None
        if create_now:
            with self._first_scope(with_names=False) as scope:
                self._scope = scope

    def _first_scope(self, with_names: bool = True) -> variable_scope:
        default = None if self._unique_name else self._name
        getter = self._custom_getter
        return variable_scope(self._unique_name, default, custom_getter=getter, auxiliary_name_scope=with_names)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        store = self._eager_store
        with store.as_default() if store is not None else contextlib.nullcontext():
            if self._scope is None:
                with self._first_scope() as scope:
                    self._scope = scope
                    return self._call(*args, **kwargs)
            with variable_scope(self._scope, reuse=True if self._called else None):
                return self._call(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        result = self._function(*args, **kwargs)
        self._called = True
        return result

    @property
    def name(self) -> str:
        return self._name

    @property
    def func(self) -> Callable[..., Any]:
        return self._function

    @property
    def variable_scope(self) -> VariableScope | None:
        return self._scope

    @property
    def var_scope(self) -> VariableScope | None:
        return self._scope

    @property
    def variable_scope_name(self) -> str | None:
        """The scope's name with a "/" at the end; None before the first call."""
        if self._scope is None:
            return None
        return self._scope.name if self._scope.name.endswith("/") else self._scope.name + "/"

    def _collected(self, kind: str) -> list[Any]:
        found: list[Any] = [] if self._scope is None else getattr(self._scope, kind)()
        return found

    @property
    def variables(self) -> list[Any]:
        return self.global_variables + self.local_variables

    @property
    def global_variables(self) -> list[Any]:
        return self._collected("global_variables") if self._eager_store is None else self._eager_store.variables()

    @property
    def local_variables(self) -> list[Any]:
        return self._collected("local_variables") if self._eager_store is None else []

    @property
    def trainable_variables(self) -> list[Any]:
        if self._eager_store is None:
            return self._collected("trainable_variables")
        return self._eager_store.trainable_variables()

    @property
    def non_trainable_variables(self) -> list[Any]:
        trainable = {id(variable) for variable in self.trainable_variables}
        return [variable for variable in self.variables if id(variable) not in trainable]

    weights = variables
    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables
