"""Slots: variables kept beside other variables, and named after them."""

from __future__ import annotations

import contextlib
from typing import Any

from rillet.core import context
from rillet.frontend.initializers import Zeros
from rillet.frontend.variable import ReferenceVariable, Variable
from rillet.frontend.variable_scope import get_variable, variable_scope


def create_slot(primary: Any, initializer: Any, name: str, shape: Any = None, dtype: Any = None) -> Any:
    """A variable called primary/name that lives where `primary` does, and is of its kind.

    initializer: a tensor, or a function of (shape, dtype).
    """
    graph = primary.graph if isinstance(primary, Variable) else context.state().graph
    with at_home(graph), variable_scope(None, f"{_label(primary)}/{name}"):
        return get_variable(
            "", shape, dtype=dtype, initializer=initializer, trainable=False, use_resource=_use_resource(primary)
        )


def create_zeros_slot(primary: Any, name: str) -> Any:
    """A slot of zeros, of the shape and dtype of `primary`: a variable, or a tensor of known shape."""
    return create_slot(primary, Zeros(), name, primary.shape, primary.dtype.base_dtype)


def _label(primary: Any) -> str:
    name: str = primary.name
    return name.partition(":")[0]


def _use_resource(primary: Any) -> bool | None:
    return not isinstance(primary, ReferenceVariable) if isinstance(primary, Variable) else None


def at_home(graph: Any) -> contextlib.AbstractContextManager[Any]:
    """A block in `graph` (None: eagerly)."""
    return contextlib.nullcontext() if graph is context.state().graph else context.use_graph(graph)
