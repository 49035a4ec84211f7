"""What is known while layers call layers: whether they train, how deep the call is, where symbolic tensors come from."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rillet.core import context
from rillet.core.export import public
from rillet.core.tensor import Tensor
from rillet.frontend.control import cond
from rillet.frontend.scopes import use_eager_name_scope


class CallContext(threading.local):
    """training: what the outermost call said (None: nothing). depth: how many layers are being called. layers: those.

    compute_dtype: what weights are read in, where the layer called keeps them in another dtype; else None.
    is_inferring: the call works out the shapes of a model that is being put together; nothing of it will run.
    """

    def __init__(self) -> None:
        self.training: Any = None
        self.layers: list[Any] = []
        self.is_inferring = False
        self.compute_dtype: str | None = None

    @property
    def depth(self) -> int:
        return len(self.layers)

    @contextlib.contextmanager
    def entered(self, layer: Any, training: Any) -> Iterator[None]:
        """`layer` is being called, with this `training`."""
        saved = self.training, self.compute_dtype
        policy = layer._dtype_policy
        self.training = training
        self.compute_dtype = None if policy.compute_dtype == policy.variable_dtype else policy.compute_dtype
        self.layers.append(layer)
        try:
            yield
        finally:
            self.layers.pop()
            self.training, self.compute_dtype = saved

    @contextlib.contextmanager
    def inferring(self) -> Iterator[None]:
        """Calls inside stand by themselves, and only their shapes count."""
        saved = self.training, self.layers, self.is_inferring
        self.training, self.layers, self.is_inferring = None, [], True
        try:
            yield
        finally:
            self.training, self.layers, self.is_inferring = saved


CALLS = CallContext()


class _Phase:
    """What set_learning_phase has said."""

    value: Any = None


@public("keras.backend.learning_phase")
def learning_phase() -> Any:
    """1 where set_learning_phase(1) is in force, 0 otherwise: what `training` is where no call says it."""
    if CALLS.training is not None:
        return CALLS.training
    return 0 if _Phase.value is None else _Phase.value


@public("keras.backend.set_learning_phase")
def set_learning_phase(value: Any) -> None:
    """value: 0 or 1; ValueError for another."""
    if value not in (0, 1):
        raise ValueError("Expected learning phase to be 0 or 1.")
    _Phase.value = value


@public("keras.backend.learning_phase_scope")
@contextlib.contextmanager
def learning_phase_scope(value: Any) -> Iterator[None]:
    """A block with its own learning phase."""
    saved = _Phase.value
    set_learning_phase(value)
    try:
        yield
    finally:
        _Phase.value = saved


def training_here(given: Any, default: Any = None) -> Any:
    """The `training` of a call: its own argument, else the calling layer's, else the learning phase, else its default."""
    if given is not None:
        return given
    if CALLS.training is not None:
        return CALLS.training
    if _Phase.value is not None:
        return bool(_Phase.value)
    return False if default is None else default


def layer_scope(name: str) -> contextlib.AbstractContextManager[Any]:
    """A block in which operations and variables are named after the layer `name`."""
    graph = context.state().graph
    return use_eager_name_scope(name) if graph is None else graph.name_scope(name)


def choose(training: Any, if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    """What one of the two functions returns; in a graph, a branch where `training` is a tensor."""
    if isinstance(training, Tensor):
        return cond(training, if_true, if_false)
    return if_true() if training else if_false()
