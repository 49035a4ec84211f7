"""How tf.Variable comes about: which kind it is, who has a say in it, and what its arguments may be."""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rillet.core import context
from rillet.core.execution import eager_context
from rillet.core.export import export, public
from rillet.core.function import FuncGraph, Function
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor
from rillet.frontend.scopes import init_scope


class VariableDefaults:
    """Whether tf.Variable makes resource variables in graphs (TensorFlow 2) or reference variables (TensorFlow 1)."""

    use_resource = True
    initialized_value: Callable[[Any], Any]  # needs a branch, which a higher module sets


class VariableSynchronization(enum.Enum):
    """When copies of a distributed variable are made equal."""

    AUTO = 0
    NONE = 1
    ON_WRITE = 2
    ON_READ = 3


class VariableAggregation(enum.Enum):
    """How updates of the copies of a distributed variable are combined."""

    NONE = 0
    SUM = 1
    MEAN = 2
    ONLY_FIRST_REPLICA = 3
    ONLY_FIRST_TOWER = 3


class VariableAggregationV2(enum.Enum):
    """As VariableAggregation, under TensorFlow 2's name."""

    NONE = 0
    SUM = 1
    MEAN = 2
    ONLY_FIRST_REPLICA = 3


export(VariableSynchronization, "VariableSynchronization")
export(VariableAggregation, v1=["VariableAggregation"])
export(VariableAggregationV2, v2=["VariableAggregation"])


class _Creators(threading.local):
    """What variable_creator_scope has put between a call of tf.Variable and the variable."""

    def __init__(self) -> None:
        self.stack: list[Callable[..., Any]] = []


_CREATORS = _Creators()


@public("variable_creator_scope")
@contextlib.contextmanager
def variable_creator_scope(variable_creator: Callable[..., Any]) -> Iterator[None]:
    """Inside, tf.Variable(...) is variable_creator(next_creator, **all arguments); next_creator makes the variable."""
    _CREATORS.stack.append(variable_creator)
    try:
        yield
    finally:
        _CREATORS.stack.pop()


class VariableType(type):
    """Makes `Variable(...)` a resource or a reference variable, by way of the creators in force.

    The three classes are set where they are defined.
    """

    base: Any
    resource: Any
    reference: Any

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not VariableType.base:
            return super().__call__(*args, **kwargs)
        if not _CREATORS.stack:
            return VariableType.kind(kwargs.get("use_resource"))(*args, **kwargs)

        def create(**arguments: Any) -> Any:
            return VariableType.kind(arguments.get("use_resource"))(**arguments)

        for creator in _CREATORS.stack:
            create = functools.partial(creator, create)
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
        bound.apply_defaults()
        return create(**{name: value for name, value in bound.arguments.items() if name != "self"})

    @staticmethod
    def kind(use_resource: bool | None) -> Any:
        """The class of a variable made now. (Eagerly there are resource variables alone.)"""
        if use_resource is None:
            use_resource = VariableDefaults.use_resource
        if not use_resource:
            with init_scope():
                use_resource = context.executing_eagerly()
        return VariableType.resource if use_resource else VariableType.reference


def check_options(name: Any, collections: Any, constraint: Any, synchronization: Any, aggregation: Any) -> None:
    if collections is not None and not isinstance(collections, (list, tuple, set)):
        raise ValueError(
            f"collections argument to Variable constructor must be a list, tuple, or set. Got {collections} of type "
            f"{type(collections)}"
        )
    if constraint is not None and not callable(constraint):
        raise ValueError(f"Argument `constraint` must be None or a callable. Got a {type(constraint)}: {constraint}")
    if not isinstance(synchronization, VariableSynchronization):
        raise ValueError(f"Invalid variable synchronization mode: {synchronization} for variable: {name}")
    if not isinstance(aggregation, (VariableAggregation, VariableAggregationV2)):
        raise ValueError(f"Invalid variable aggregation mode: {aggregation} for variable: {name}")


def declared_shape(found: TensorShape, declared: Any) -> TensorShape:
    """The static shape of a variable whose initial value has shape `found`."""
    if declared is None:
        return found
    wanted = TensorShape(declared)
    if not wanted.is_compatible_with(found):
        raise ValueError(
            f"In this `tf.Variable` creation, the initial value's shape ({found}) is not compatible with the explicitly "
            f"supplied `shape` argument ({declared})."
        )
    return wanted


def lifted(value: SymbolicTensor) -> EagerTensor:
    """The value of a tensor of a function that is being traced, computed outside of it: with the arguments of the call
    that it is traced for.

    ValueError when there is no such call, or when the tensor belongs to a graph that is no function.
    """
    graph = value.graph
    if not isinstance(graph, FuncGraph):
        raise ValueError(f"The initial value {value} belongs to a graph: this variable is made eagerly.")
    needed = [
        operation.outputs[0]
        for operation in Function.cut("initial_value", (), [value], graph=graph).operations
        if operation.type == "Placeholder"
    ]
    arrays = [_value_outside(graph, tensor, value)._array for tensor in needed]
    function = Function.cut("initial_value", needed, [value], graph=graph)  # type: ignore[arg-type]
    array = eager_context().call(function, arrays)[0]
    return EagerTensor(array, value.dtype.base_dtype)


def _value_outside(graph: FuncGraph, inside: Any, wanted: SymbolicTensor) -> EagerTensor:
    """What a parameter or captured tensor is, in the call that `graph` is traced for."""
    outside = inside.__dict__.get("_outside", graph.arguments.get(inside.op.name))
    if isinstance(outside, SymbolicTensor):
        return lifted(outside)
    if isinstance(outside, EagerTensor):
        return outside
    raise ValueError(
        f"Unable to lift tensor {wanted!r} because it depends transitively on placeholder {inside.op!r}: the initial value "
        "of a variable made inside a tf.function must not depend on what is known only when it runs. (In the first call of "
        "a tf.function it may depend on the arguments.)"
    )
