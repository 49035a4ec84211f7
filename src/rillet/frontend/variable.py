"""tf.Variable: memory with a name, that reads as a tensor."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from rillet.core import context, dtypes
from rillet.core.buffers import aligned_copy
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.execution import VariableState
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import REGISTRY
from rillet.core.quick import at_caller
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.tensor import EagerTensor, Equality, SymbolicTensor, Tensor, TensorReference, set_handle_data
from rillet.errors import location_of, user_site
from rillet.frontend.collections import GraphKeys
from rillet.frontend.scopes import eager_name_scope, eager_outside_functions, init_scope, use_eager_name_scope
from rillet.frontend.variable_creation import (
    VariableAggregation,
    VariableDefaults,
    VariableSynchronization,
    VariableType,
    check_options,
    declared_shape,
    lifted,
)
from rillet.frontend.variable_updates import SparseUpdates
from rillet.ops import operators
from rillet.ops.indexing import variable_getitem
from rillet.ops.state import READ_VARIABLE, read_state, read_variable

_EAGER_IDS = itertools.count()


def _count_creation() -> None:
    """Tells the functions that are being traced. ValueError where one of them has made its variables before."""
    graph = context.state().graph
    while isinstance(graph, FuncGraph):
        if not graph.may_create_variables:
            raise ValueError(
                "tf.function only supports singleton tf.Variables created on the first call. Make sure the tf.Variable is only "
                "created once or created outside tf.function: keep it in an object, and make it where that has none yet."
            )
        graph.created_variables += 1
        graph = graph.outer_graph


@public("Variable")
class Variable(SparseUpdates, metaclass=VariableType):
    """A variable: a tensor whose value can be changed, and which is shared by every run and call that uses it.

    initial_value: a tensor, what converts to one, or a function of no arguments that makes one.
    trainable: whether optimizers change it and tapes watch it (True when None).
    shape: the static shape, where later values may differ from the initial one in shape.
    """

    __array_priority__ = 100

    def __init__(
        self,
        initial_value: Any = None,
        trainable: bool | None = None,
        collections: Any = None,
        validate_shape: bool = True,
        caching_device: Any = None,
        name: str | None = None,
        variable_def: Any = None,
        dtype: Any = None,
        expected_shape: Any = None,
        import_scope: str | None = None,
        constraint: Callable[..., Any] | None = None,
        use_resource: bool | None = None,
        synchronization: Any = VariableSynchronization.AUTO,
        aggregation: Any = VariableAggregation.NONE,
        shape: Any = None,
        experimental_enable_variable_lifting: bool = True,
    ) -> None:
        if initial_value is None:
            raise ValueError(
                "The `initial_value` arg to `tf.Variable` must be specified except when you are not providing a "
                "`variable_def`. You provided neither."
            )
        check_options(name, collections, constraint, synchronization, aggregation)
        if trainable is None:
            trainable = synchronization is not VariableSynchronization.ON_READ
        self.trainable = bool(trainable)
        self.constraint = constraint
        self.synchronization = synchronization
        self.aggregation = aggregation
        self._site = user_site()
        _count_creation()
        wanted = None if dtype is None else dtypes.as_dtype(dtype).base_dtype
        with init_scope():
            graph = context.state().graph
            self._in_graph = graph is not None
            if graph is None:
                self._create_eagerly(initial_value, wanted, name, validate_shape, shape)
            else:
                self._create_in(graph, initial_value, wanted, name, validate_shape, shape)
                self._collect(graph, collections)

    # ---- creation ----------------------------------------------------------------------------------------------

    _source: Tensor
    _name: str
    _dtype: dtypes.DType
    _shape: TensorShape
    _initial_value: Any = None
    _initializer: Any = None

    def _create_eagerly(
        self, initial_value: Any, dtype: Any, name: str | None, validate_shape: bool, shape: Any
    ) -> None:
        label = (name or "Variable").rstrip("/")
        with use_eager_name_scope(label), context.use_graph(None):
            value = convert_to_tensor(initial_value() if callable(initial_value) else initial_value, dtype)
        if isinstance(value, SymbolicTensor):
            value = lifted(value)
        self._dtype = value.dtype
        self._shape = declared_shape(value.shape, shape)
        self._name = f"{eager_name_scope()}{label}:0"
        state = VariableState(self._shared_name, self._dtype, self._shape)
        state.value = _owned(value._array)
        handle = EagerTensor(state, dtypes.resource)
        handle.__dict__["_capture_name"] = label.rpartition("/")[2]
        handle.__dict__["_variable"] = weakref.ref(self)
        self._source = handle
        self._unique_id = f"{self._shared_name}_{next(_EAGER_IDS)}"

    def _create_in(
        self, graph: Graph, initial_value: Any, dtype: Any, name: str | None, validate_shape: bool, shape: Any
    ) -> None:
        raise NotImplementedError

    def _attributes(self, graph: Graph, shared_name: str) -> dict[str, Any]:
        return {
            "dtype": self._dtype.base_dtype, "shape": self._shape, "shared_name": shared_name,
            "container": graph.current_container,
        }  # fmt: skip

    def _collect(self, graph: Graph, collections: Any) -> None:
        names = [GraphKeys.GLOBAL_VARIABLES] if collections is None else list(collections)
        if self.trainable and GraphKeys.TRAINABLE_VARIABLES not in names:
            names.append(GraphKeys.TRAINABLE_VARIABLES)
        for collection in names:
            graph.add_to_collection(collection, self)

    # ---- what it is --------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._name

    @property
    def _defined_at(self) -> Any:
        return location_of(self._site)

    @property
    def _shared_name(self) -> str:
        return self._name.partition(":")[0]

    @property
    def dtype(self) -> dtypes.DType:
        return self._dtype

    @property
    def shape(self) -> TensorShape:
        return self._shape

    def get_shape(self) -> TensorShape:
        return self.shape

    def set_shape(self, shape: Any) -> None:
        self._shape = self._shape.merge_with(shape)

    @property
    def ndim(self) -> int | None:
        return self.shape.rank

    @property
    def graph(self) -> Graph | None:
        return self._source.graph if isinstance(self._source, SymbolicTensor) else None

    @property
    def op(self) -> Operation:
        if not isinstance(self._source, SymbolicTensor):
            raise AttributeError("Variable.op is undefined when eager execution is enabled.")
        return self._source.op

    @property
    def device(self) -> str:
        return str(self._source.device)  # type: ignore[attr-defined]

    @property
    def handle(self) -> Tensor:
        return self._source

    @property
    def initializer(self) -> Any:
        """The operation that gives the variable its initial value."""
        return self._initializer

    @property
    def initial_value(self) -> Any:
        if not self._in_graph:
            raise RuntimeError("This property is not supported when eager execution is enabled.")
        return self._initial_value

    def initialized_value(self) -> Any:
        """The value the variable has once initialised; usable in the initial value of another."""
        if not self._in_graph:
            return self.value()
        return VariableDefaults.initialized_value(self)

    def is_initialized(self, name: str | None = None) -> Any:
        raise NotImplementedError

    def experimental_ref(self) -> TensorReference:
        return TensorReference(self)

    def ref(self) -> TensorReference:
        return TensorReference(self)

    # ---- reading -----------------------------------------------------------------------------------------------

    def value(self) -> Any:
        """The value now (eagerly), or where the graph gets to this point."""
        raise NotImplementedError

    def read_value(self) -> Any:
        return apply_op(REGISTRY["Identity"], (self.value(),))

    def numpy(self) -> Any:
        """A copy of the value. NotImplementedError while a graph is being built."""
        if context.executing_eagerly() and not self._in_graph:
            return self.value().numpy()
        raise NotImplementedError("numpy() is only available when eager execution is enabled.")

    def eval(self, session: Any = None) -> Any:
        """The value in `session` or the default session. RuntimeError for a variable made eagerly."""
        if self.graph is None:
            raise RuntimeError("This operation is not supported when eager execution is enabled.")
        return self.graph.evaluate(self._as_graph_element(), None, session)

    def load(self, value: Any, session: Any = None) -> None:
        """Gives the variable a value in `session` or the default session, adding nothing to the graph."""
        if self.graph is None:
            self.assign(value)
        else:
            self.graph.evaluate(self.initializer, {self.initializer.inputs[1]: value}, session)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        if dtype is not None and dtypes.as_dtype(dtype) is not self._dtype.base_dtype:
            raise ValueError(
                f"Incompatible type conversion requested to type {dtypes.as_dtype(dtype).name!r} for variable of type "
                f"{self._dtype.name!r} ({self.name})"
            )
        return self.value()

    def _accessed(self) -> None:
        for recorder in context.state().recorders:
            recorder.variable_accessed(self)

    def _as_graph_element(self) -> Any:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.numpy(), dtype)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value())

    def __bool__(self) -> bool:
        return bool(self.value())

    def __int__(self) -> int:
        return int(self.numpy())

    def __float__(self) -> float:
        return float(self.numpy())

    def __hash__(self) -> int:
        if Equality.elementwise and not self._in_graph and context.executing_eagerly():
            raise TypeError(
                "Variable is unhashable. Instead, use variable.ref() as the key. (Variable: " + repr(self) + ")"
            )
        return id(self)

    # ---- writing -----------------------------------------------------------------------------------------------

    def assign(self, value: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True) -> Any:
        """Sets the variable. Returns the variable (eagerly), or the operation's result to run in a session."""
        return self._update("assign", value, name, read_value)

    def assign_add(
        self, delta: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True
    ) -> Any:
        return self._update("assign_add", delta, name, read_value)

    def assign_sub(
        self, delta: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True
    ) -> Any:
        return self._update("assign_sub", delta, name, read_value)

    def _update(self, kind: str, value: Any, name: str | None, read_value: bool) -> Any:
        raise NotImplementedError

    def __copy__(self) -> Variable:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._in_graph:
            raise NotImplementedError("__deepcopy__() is only available when eager execution is enabled.")
        copy = type(self)(self.value(), trainable=self.trainable, name=self._shared_name, dtype=self._dtype)
        memo[id(self)] = copy
        return copy

    def __repr__(self) -> str:
        if not self._in_graph and context.executing_eagerly():
            state = self._source._array  # type: ignore[attr-defined]
            text = "<unprintable>" if state.value is None else EagerTensor(state.value, self._dtype)._text(True)
            return f"<tf.Variable '{self.name}' shape={self.shape} dtype={self.dtype.name}, numpy={text}>"
        return f"<tf.Variable '{self.name}' shape={self.shape} dtype={self.dtype.name}>"

    __str__ = __repr__


def _owned(array: Any) -> Any:
    return aligned_copy(array) if isinstance(array, np.ndarray) else array


class ResourceVariable(Variable):
    """A variable behind a handle: reads and writes are operations of their own."""

    _UPDATES: ClassVar = {
        "assign": "AssignVariableOp",
        "assign_add": "AssignAddVariableOp",
        "assign_sub": "AssignSubVariableOp",
    }

    def _create_in(
        self, graph: Graph, initial_value: Any, dtype: Any, name: str | None, validate_shape: bool, shape: Any
    ) -> None:
        with graph.name_scope(name or "Variable") as scope, graph.control_dependencies(None):
            with graph.name_scope("Initializer"):
                given = initial_value() if callable(initial_value) else initial_value
                value = convert_to_tensor(given, dtype, name="initial_value")
            self._initial_value = value
            self._dtype = value.dtype.base_dtype
            self._shape = declared_shape(value.shape, shape)
            handle = graph.create_operation(
                REGISTRY["VarHandleOp"], (), self._attributes(graph, scope[:-1]), scope
            ).outputs[0]
            set_handle_data(handle, (self._dtype, self._shape))
            handle.__dict__["_variable"] = weakref.ref(self)
            self._source = handle
            self._name = handle.name
            with graph.name_scope("IsInitialized"):
                self._is_initialized_tensor = apply_op(REGISTRY["VarIsInitializedOp"], (handle,))
            self._initializer = apply_op(REGISTRY["AssignVariableOp"], (handle, value), name="Assign")
            with graph.name_scope("Read"):
                self._snapshot = read_variable(handle, self._dtype)

    def value(self) -> Any:
        current, source = context.state(), self._source
        listener = current.listener
        if listener is not context.ELSEWHERE and isinstance(source, EagerTensor):
            tensor = EagerTensor(read_state(source._array), self._dtype, user_site())
            if listener is not None:
                listener.variable_accessed(self)
                listener.keep(READ_VARIABLE, (source,), {"dtype": self._dtype}, tensor)
            return tensor
        if current.recorders:
            self._accessed()
        return read_variable(source, self._dtype)

    def read_value(self) -> Any:
        graph = context.state().graph
        if graph is None:
            return self.value()
        with graph.name_scope("Read"):
            value = self.value()
        return apply_op(REGISTRY["Identity"], (value,))

    def sparse_read(self, indices: Any, name: str | None = None) -> Any:
        """The slices at `indices` of axis 0."""
        if context.state().recorders:
            self._accessed()
        return apply_op(REGISTRY["ResourceGather"], (self._source, indices), {"dtype": self._dtype}, name or "Gather")

    def gather_nd(self, indices: Any, name: str | None = None) -> Any:
        """The slices at the coordinates `indices` [..., depth]."""
        if context.state().recorders:
            self._accessed()
        value = apply_op(
            REGISTRY["ResourceGatherNd"], (self._source, indices), {"dtype": self._dtype}, name or "GatherNd"
        )
        return value if isinstance(value, EagerTensor) else apply_op(REGISTRY["Identity"], (value,))

    def is_initialized(self, name: str | None = None) -> Any:
        return apply_op(REGISTRY["VarIsInitializedOp"], (self._source,), name=name)

    def count_up_to(self, limit: int) -> Any:
        """Adds one, unless the value is `limit` (OutOfRangeError then). Returns the value before."""
        return apply_op(REGISTRY["ResourceCountUpTo"], (self._source,), {"limit": limit, "T": self._dtype})

    def _as_graph_element(self) -> Any:
        if self._in_graph:
            return self._snapshot
        return _eager_variable_in(context.get_default_graph(), self)

    def _update(self, kind: str, value: Any, name: str | None, read_value: bool) -> Any:
        tensor = convert_to_tensor(value, self._dtype)
        if kind == "assign" and not self._shape.is_compatible_with(tensor.shape):
            raise ValueError(
                f"Cannot assign value to variable '{self.name}': Shape mismatch.The variable shape {self._shape}, and the "
                f"assigned value shape {tensor.shape} are incompatible."
            )
        operation = apply_op(REGISTRY[self._UPDATES[kind]], (self._source, tensor), name=name)
        return self._after(operation) if read_value else operation

    def _sparse_update(
        self, suffix: str, indices: Any, updates: Any, name: str | None, use_locking: bool = False
    ) -> Any:
        tensor = convert_to_tensor(updates, self._dtype)
        return self._after(apply_op(REGISTRY[f"ResourceScatter{suffix}"], (self._source, indices, tensor), name=name))

    def _after(self, operation: Operation | None) -> Any:
        """What an update returns: the variable, as it is after `operation` (None: which ran eagerly)."""
        return UnreadVariable(self, operation)


class UnreadVariable(ResourceVariable):
    """A variable after an update: reads see the update; in a graph, running it runs the update."""

    def __init__(self, variable: ResourceVariable, operation: Operation | None) -> None:
        self.__dict__.update(variable.__dict__)
        self._variable = variable
        self._operation = operation
        if operation is not None and not isinstance(operation.graph, FuncGraph):
            self._snapshot = self.value()

    @property
    def name(self) -> str:
        return "UnreadVariable" if self._operation is None else self._operation.name

    @property
    def op(self) -> Operation:
        return self._variable.op if self._operation is None else self._operation

    @property
    def graph(self) -> Graph | None:
        return self._variable.graph if self._operation is None else self._operation.graph

    def _ordered(self) -> contextlib.AbstractContextManager[Any]:
        graph = None if self._operation is None else self._operation.graph
        return contextlib.nullcontext() if graph is None else graph.control_dependencies([self._operation])

    def value(self) -> Any:
        with self._ordered():
            return self._variable.value()

    read_value = value

    def sparse_read(self, indices: Any, name: str | None = None) -> Any:
        with self._ordered():
            return self._variable.sparse_read(indices, name)

    def gather_nd(self, indices: Any, name: str | None = None) -> Any:
        with self._ordered():
            return self._variable.gather_nd(indices, name)

    def _update(self, kind: str, value: Any, name: str | None, read_value: bool) -> Any:
        with self._ordered():
            return self._variable._update(kind, value, name, read_value)

    def _sparse_update(
        self, suffix: str, indices: Any, updates: Any, name: str | None, use_locking: bool = False
    ) -> Any:
        with self._ordered():
            return self._variable._sparse_update(suffix, indices, updates, name, use_locking)

    def _as_graph_element(self) -> Any:
        if self._operation is None:
            return self._variable._as_graph_element()
        if isinstance(self._operation.graph, FuncGraph):
            return self._operation
        return self._snapshot


def _eager_variable_in(graph: Graph, variable: ResourceVariable) -> Any:
    """A read of an eagerly made variable, for a session to fetch."""
    reads: dict[int, Any] = graph.__dict__.setdefault("_eager_reads", {})
    if id(variable) not in reads:
        with context.use_graph(graph), graph.name_scope(None):
            reads[id(variable)] = variable.value()
    return reads[id(variable)]


class ReferenceVariable(Variable):
    """TensorFlow 1's variable: an op whose output is passed to the ops that update it."""

    _UPDATES: ClassVar = {"assign": "Assign", "assign_add": "AssignAdd", "assign_sub": "AssignSub"}

    def _create_in(
        self, graph: Graph, initial_value: Any, dtype: Any, name: str | None, validate_shape: bool, shape: Any
    ) -> None:
        with graph.name_scope(name or "Variable") as scope, graph.control_dependencies(None):
            value = self._initial_tensor(graph, initial_value, dtype)
            self._initial_value = value
            self._dtype = value.dtype.base_dtype._as_ref
            self._shape = declared_shape(value.shape, shape) if validate_shape else UNKNOWN
            if validate_shape and not self._shape.is_fully_defined():
                raise ValueError(f"initial_value must have a shape specified: {value}")
            source = graph.create_operation(REGISTRY["VariableV2"], (), self._attributes(graph, ""), scope).outputs[0]
            self._source = source
            self._name = source.name
            attrs = {"validate_shape": validate_shape}
            self._initializer = apply_op(REGISTRY["Assign"], (source, value), attrs, "Assign").op
            self._snapshot = apply_op(REGISTRY["Identity"], (source,), name="read")

    def _initial_tensor(self, graph: Graph, initial_value: Any, dtype: Any) -> Any:
        if callable(initial_value):
            with graph.name_scope("Initializer"):
                return convert_to_tensor(initial_value(), dtype, name="initial_value")
        return convert_to_tensor(initial_value, dtype, name="initial_value")

    def value(self) -> Any:
        if context.state().recorders:
            self._accessed()
        return self._snapshot

    def read_value(self) -> Any:
        return apply_op(REGISTRY["Identity"], (self._source,), name="read")

    def is_initialized(self, name: str | None = None) -> Any:
        return apply_op(REGISTRY["IsVariableInitialized"], (self._source,), name=name)

    def count_up_to(self, limit: int) -> Any:
        """Adds one, unless the value is `limit` (OutOfRangeError then). Returns the value before."""
        return apply_op(REGISTRY["CountUpTo"], (self._source,), {"limit": limit})

    def __bool__(self) -> bool:
        return True

    def _ref(self) -> Tensor:
        return self._source

    def _as_graph_element(self) -> Any:
        return self._source

    def _update(self, kind: str, value: Any, name: str | None, read_value: bool) -> Any:
        result = apply_op(REGISTRY[self._UPDATES[kind]], (self._source, value), name=name)
        return result if read_value else result.op

    def _sparse_update(
        self, suffix: str, indices: Any, updates: Any, name: str | None, use_locking: bool = False
    ) -> Any:
        definition = REGISTRY[f"Scatter{suffix}"]
        return apply_op(definition, (self._source, indices, updates), {"use_locking": use_locking}, name)


def _convert_first(function: Callable[..., Any]) -> Callable[..., Any]:
    def operator(self: Any, *others: Any) -> Any:
        return at_caller(function(self.value(), *others))

    operator.__name__ = function.__name__
    return operator


VariableType.base, VariableType.resource, VariableType.reference = Variable, ResourceVariable, ReferenceVariable


def _equal_or_same(self: Any, other: Any) -> Any:
    """Elements compared where TensorFlow 2 runs eagerly (and in its functions); elsewhere whether it is the same object."""
    if Equality.elementwise and eager_outside_functions():
        return self.value() == other
    return self is other


def _unequal_or_other(self: Any, other: Any) -> Any:
    if Equality.elementwise and eager_outside_functions():
        return self.value() != other
    return self is not other


_METHODS = {
    **{name: _convert_first(function) for name, function in operators.OPERATORS.items()},
    "__getitem__": variable_getitem,
    "__eq__": _equal_or_same,
    "__ne__": _unequal_or_other,
}
for _name, _method in _METHODS.items():
    setattr(Variable, _name, _method)
