"""Where values live: eagerly in the variables; in a graph of TensorFlow 1, in Keras' session."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core import context
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.tensor import EagerTensor, SymbolicTensor
from rillet.frontend.collections import GraphKeys
from rillet.frontend.session import Session, get_default_session
from rillet.frontend.variable import Variable

_SESSIONS: weakref.WeakKeyDictionary[Graph, Any] = weakref.WeakKeyDictionary()
_INITIALIZED: weakref.WeakKeyDictionary[Any, set[int]] = weakref.WeakKeyDictionary()  # by session: ids of variables


@public("keras.backend.get_session")
def get_session(op_input_list: Any = ()) -> Any:
    """The session that models of the current graph are run in: the default session, else one that Keras keeps.

    Variables that have no value in it yet are initialised.
    """
    session = session_of(context.get_default_graph())
    initialize(session)
    return session


def session_of(graph: Graph) -> Any:
    default = get_default_session()
    if default is not None and default.graph is graph:
        return default
    if graph not in _SESSIONS:
        _SESSIONS[graph] = Session(graph=graph)
    return _SESSIONS[graph]


@public("keras.backend.set_session")
def set_session(session: Any) -> None:
    """Makes `session` the one that models of its graph are run in."""
    _SESSIONS[session.graph] = session


def forget_session(graph: Graph) -> None:
    """Closes what Keras keeps for `graph`."""
    session = _SESSIONS.pop(graph, None)
    if session is not None:
        session.close()


def initialize(session: Any) -> None:
    """Gives every variable of the session's graph that has no value its initial one."""
    known = _INITIALIZED.setdefault(session, set())
    variables = [
        variable for variable in session.graph.get_collection(GraphKeys.GLOBAL_VARIABLES) if id(variable) not in known
    ]
    if not variables:
        return
    with context.use_graph(session.graph), session.graph.control_dependencies(None), session.graph.name_scope(None):
        is_there = session.run([variable.is_initialized() for variable in variables])
    missing = [variable for variable, has_value in zip(variables, is_there, strict=True) if not has_value]
    if missing:
        session.run([variable.initializer for variable in missing])
    known.update(map(id, variables))


# ---- values of variables ---------------------------------------------------------------------------------------------


def get_values(variables: Sequence[Any]) -> list[Any]:
    """The values of variables, as arrays of the caller's own."""
    if not variables:
        return []
    if variables[0].graph is None:
        with context.use_graph(None):
            return [variable.numpy() for variable in variables]
    session = session_of(variables[0].graph)
    initialize(session)
    return list(session.run(list(variables)))


def set_values(pairs: Sequence[tuple[Any, Any]]) -> None:
    """Sets each variable to the array beside it."""
    if pairs and pairs[0][0].graph is not None:
        session = session_of(pairs[0][0].graph)
        initialize(session)
        for variable, array in pairs:
            variable.load(array, session)
        return
    with context.use_graph(None):
        for variable, array in pairs:
            variable.assign(array)


@public("keras.backend.get_value")
def get_value(x: Any) -> Any:
    """The value of a tensor or variable, as an array; what is neither stays as it is."""
    if isinstance(x, Variable):
        return get_values([x])[0]
    if isinstance(x, EagerTensor):
        return x.numpy()
    return session_of(x.graph).run(x) if isinstance(x, SymbolicTensor) else x


@public("keras.backend.set_value")
def set_value(x: Any, value: Any) -> None:
    """Sets a variable."""
    set_values([(x, np.asarray(value, x.dtype.base_dtype.numpy_dtype))])


@public("keras.backend.batch_get_value")
def batch_get_value(tensors: Sequence[Any]) -> list[Any]:
    """The values of several variables."""
    return get_values(list(tensors))


@public("keras.backend.batch_set_value")
def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    """Sets several variables: (variable, array) pairs."""
    set_values([(variable, np.asarray(value)) for variable, value in tuples])
