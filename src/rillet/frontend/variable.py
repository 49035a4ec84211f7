"""tf.Variable: memory with a name, that reads as a tensor."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.buffers import aligned_copy
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.execution import VariableState
from rillet.core.export import export, public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, Equality, SymbolicTensor, Tensor, TensorReference, set_handle_data
from rillet.errors import location_of, user_site
from rillet.frontend.collections import GraphKeys
from rillet.ops import operators
from rillet.ops.state import read_variable

_EAGER_IDS = itertools.count()


class VariableDefaults:
    """Whether tf.Variable makes resource variables in graphs (TensorFlow 2) or reference variables (TensorFlow 1)."""

    use_resource = True


@contextlib.contextmanager
def init_scope() -> Iterator[None]:
    """Leaves every function that is being traced: what is made inside lives in the outermost graph, or eagerly."""
    outer: Graph | None = None
    for graph in reversed([None if context.eager_by_default() else context.global_default_graph(), *context.state().stack]):
        if not isinstance(graph, FuncGraph):
            outer = graph
            break
    if context.state().graph is outer:
        yield
        return
    scope = context.state().graph.get_name_scope() if context.state().graph is not None else ""
    with context.use_graph(outer), context.without_recording():
        if outer is None:
            yield
        else:
            with outer.control_dependencies(None), outer.name_scope(scope + "/" if scope else None):
                yield


export(init_scope, "init_scope")


@public("VariableSynchronization")
class VariableSynchronization:
    AUTO, NONE, ON_WRITE, ON_READ = range(4)


@public("VariableAggregation")
class VariableAggregation:
    NONE, SUM, MEAN, ONLY_FIRST_REPLICA = range(4)


@public("Variable")
class Variable:
    """A variable: a tensor whose value can be changed, and which is shared by every run and call that uses it.

    initial_value: a tensor, what converts to one, or a function of no arguments that makes one.
    trainable: whether optimizers change it and tapes watch it (True when None).
    shape: the static shape, where later values may differ from the initial one in shape.
    """

    __array_priority__ = 100

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Variable:
            use_resource = kwargs.get("use_resource")
            if use_resource is None:
                use_resource = VariableDefaults.use_resource
            graph = context.state().graph
            if isinstance(graph, FuncGraph):
                with init_scope():
                    graph = context.state().graph
            cls = ResourceVariable if use_resource or graph is None else ReferenceVariable
        return object.__new__(cls)

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
            raise ValueError("initial_value must not be None.")
        self.trainable = trainable is None or bool(trainable)
        self.constraint = constraint
        self.synchronization = synchronization
        self.aggregation = aggregation
        self._site = user_site()
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

    def _create_eagerly(self, initial_value: Any, dtype: Any, name: str | None, validate_shape: bool, shape: Any) -> None:
        value = convert_to_tensor(initial_value() if callable(initial_value) else initial_value, dtype)
        if isinstance(value, SymbolicTensor):
            raise ValueError(
                "Tensor-typed variable initializers must either be wrapped in an init_scope or callable (e.g., "
                "`tf.Variable(lambda : tf.truncated_normal([10, 40]))`) when building functions. Please file a feature "
                f"request if this restriction inconveniences you. ({value} belongs to a graph.)"
            )
        self._dtype = value.dtype
        self._shape = TensorShape(shape) if shape is not None else value.shape if validate_shape else TensorShape(None)
        self._name = (name or "Variable").rstrip("/") + ":0"
        state = VariableState(self._name[:-2], self._dtype, self._shape)
        state.value = _owned(value._array)
        handle = EagerTensor(state, dtypes.resource)
        handle.__dict__["_capture_name"] = self._name[:-2]
        handle.__dict__["_variable"] = weakref.ref(self)
        self._source = handle
        self._unique_id = f"{self._name[:-2]}_{next(_EAGER_IDS)}"

    def _create_in(
        self, graph: Graph, initial_value: Any, dtype: Any, name: str | None, validate_shape: bool, shape: Any
    ) -> None:
        raise NotImplementedError

    def _initial_tensor(self, graph: Graph, initial_value: Any, dtype: Any) -> Any:
        """The initial value as a tensor of the graph, named as TensorFlow names it."""
        if callable(initial_value):
            with graph.name_scope("Initializer"):
                return convert_to_tensor(initial_value(), dtype, name="initial_value")
        return convert_to_tensor(initial_value, dtype, name="initial_value")

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
        return self._source.device  # type: ignore[attr-defined, no-any-return]

    @property
    def handle(self) -> Tensor:
        return self._source

    @property
    def initializer(self) -> Any:
        """The operation that gives the variable its initial value."""
        return self._initializer

    @property
    def initial_value(self) -> Any:
        return self._initial_value

    def initialized_value(self) -> Any:
        """The value the variable has once initialised; usable in the initial value of another."""
        if not self._in_graph:
            return self.value()
        return apply_op(REGISTRY["Identity"], (self._initial_value,))

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
        assert self.graph is not None
        return self.graph.evaluate(self.value(), None, session)

    def load(self, value: Any, session: Any = None) -> None:
        """Gives the variable a value in `session` or the default session, adding nothing to the graph."""
        assert self.graph is not None
        self.graph.evaluate(self.initializer, {self.initializer.inputs[1]: value}, session)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        if dtype is not None and dtypes.as_dtype(dtype) is not self._dtype.base_dtype:
            raise ValueError(
                f"Incompatible type conversion requested to type {dtypes.as_dtype(dtype).name!r} for variable of type {self._dtype.name!r} ({self.name})"
            )
        return self.value()

    def _accessed(self) -> None:
        for recorder in context.state().recorders:
            recorder.variable_accessed(self)

    def _as_graph_element(self) -> Any:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.numpy(), dtype)

    def __len__(self) -> int:
        return len(self.value())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value())

    def __bool__(self) -> bool:
        return bool(self.value())

    def __int__(self) -> int:
        return int(self.numpy())

    def __float__(self) -> float:
        return float(self.numpy())

    def __index__(self) -> int:
        return int(self.numpy())

    def __format__(self, specification: str) -> str:
        return format(self.value() if not self._in_graph and specification else str(self), specification)

    def __hash__(self) -> int:
        if Equality.elementwise and not self._in_graph and context.executing_eagerly():
            raise TypeError("Variable is unhashable. Instead, use variable.ref() as the key. (Variable: " + repr(self) + ")")
        return id(self)

    # ---- writing -----------------------------------------------------------------------------------------------

    def assign(self, value: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True) -> Any:
        """Sets the variable. Returns the variable (eagerly), or the operation's result to run in a session."""
        return self._update("assign", value, name, read_value)

    def assign_add(self, delta: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True) -> Any:
        return self._update("assign_add", delta, name, read_value)

    def assign_sub(self, delta: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True) -> Any:
        return self._update("assign_sub", delta, name, read_value)

    def _update(self, kind: str, value: Any, name: str | None, read_value: bool) -> Any:
        raise NotImplementedError

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

    _UPDATES = {
        "assign": "AssignVariableOp",
        "assign_add": "AssignAddVariableOp",
        "assign_sub": "AssignSubVariableOp",
    }

    def _create_in(
        self, graph: Graph, initial_value: Any, dtype: Any, name: str | None, validate_shape: bool, shape: Any
    ) -> None:
        with graph.name_scope(name or "Variable") as scope:
            with graph.control_dependencies(None):
                value = self._initial_tensor(graph, initial_value, dtype)
                self._initial_value = value
                self._dtype = value.dtype.base_dtype
                self._shape = TensorShape(shape) if shape is not None else value.shape if validate_shape else TensorShape(None)
                shared_name = scope[:-1]
                attrs = {"dtype": self._dtype, "shape": self._shape, "shared_name": shared_name, "container": graph.current_container}
                handle = graph.create_operation(REGISTRY["VarHandleOp"], (), attrs, scope).outputs[0]
                set_handle_data(handle, (self._dtype, self._shape))
                self._source = handle
                self._name = handle.op.name + ":0"
                with graph.name_scope("IsInitialized"):
                    self._is_initialized_tensor = apply_op(REGISTRY["VarIsInitializedOp"], (handle,))
                self._initializer = apply_op(REGISTRY["AssignVariableOp"], (handle, value), name="Assign")
                with graph.name_scope("Read"):
                    self._snapshot = read_variable(handle, self._dtype)

    def value(self) -> Any:
        if context.state().recorders:
            self._accessed()
        return read_variable(self._source, self._dtype)

    def read_value(self) -> Any:
        value = self.value()
        return value if isinstance(value, EagerTensor) else apply_op(REGISTRY["Identity"], (value,))

    def sparse_read(self, indices: Any, name: str | None = None) -> Any:
        """The slices at `indices` of axis 0."""
        if context.state().recorders:
            self._accessed()
        return apply_op(REGISTRY["ResourceGather"], (self._source, indices), {"dtype": self._dtype}, name)

    def is_initialized(self, name: str | None = None) -> Any:
        return apply_op(REGISTRY["VarIsInitializedOp"], (self._source,), name=name)

    def _as_graph_element(self) -> Any:
        if self._in_graph:
            return self._snapshot
        return _eager_variable_in(context.get_default_graph(), self)

    def _update(self, kind: str, value: Any, name: str | None, read_value: bool) -> Any:
        tensor = convert_to_tensor(value, self._dtype)
        if not self._shape.is_compatible_with(tensor.shape) and kind == "assign":
            label = "" if self._name is None else f" '{self._name}'"
            raise ValueError(
                f"Cannot assign value to variable{label}: Shape mismatch.The variable shape {self._shape}, and the assigned "
                f"value shape {tensor.shape} are incompatible."
            )
        operation = apply_op(REGISTRY[self._UPDATES[kind]], (self._source, tensor), name=name)
        if operation is None:
            return self
        return _Updated(self, operation) if read_value else operation


class _Updated:
    """What an update of a variable in a graph returns: reads as the variable after the update, runs as the update."""

    __array_priority__ = 100

    def __init__(self, variable: ResourceVariable, operation: Operation) -> None:
        self._variable = variable
        self.op = operation
        self.graph = operation.graph

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._variable, name)

    @property
    def dtype(self) -> dtypes.DType:
        return self._variable.dtype

    @property
    def shape(self) -> TensorShape:
        return self._variable.shape

    def get_shape(self) -> TensorShape:
        return self._variable.shape

    def value(self) -> Any:
        assert self.graph is not None
        with self.graph.control_dependencies([self.op]):
            return self._variable.value()

    read_value = value

    def eval(self, session: Any = None) -> Any:
        return self.graph.evaluate(self.value(), None, session)  # type: ignore[union-attr]

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return convert_to_tensor(self.value(), dtype)

    def _as_graph_element(self) -> Any:
        if "_read" not in self.__dict__:
            self.__dict__["_read"] = self.value()
        return self.__dict__["_read"]

    def __repr__(self) -> str:
        return f"<tf.Variable 'UnreadVariable' shape={self.shape} dtype={self.dtype.name}>"


def _eager_variable_in(graph: Graph, variable: ResourceVariable) -> Any:
    """A read of an eagerly made variable, for a session to fetch."""
    reads: dict[int, Any] = graph.__dict__.setdefault("_eager_reads", {})
    if id(variable) not in reads:
        with context.use_graph(graph), graph.name_scope(None):
            reads[id(variable)] = variable.value()
    return reads[id(variable)]


class ReferenceVariable(Variable):
    """TensorFlow 1's variable: an op whose output is passed to the ops that update it."""

    _UPDATES = {"assign": "Assign", "assign_add": "AssignAdd", "assign_sub": "AssignSub"}

    def _create_in(
        self, graph: Graph, initial_value: Any, dtype: Any, name: str | None, validate_shape: bool, shape: Any
    ) -> None:
        with graph.name_scope(name or "Variable") as scope:
            with graph.control_dependencies(None):
                value = self._initial_tensor(graph, initial_value, dtype)
                self._initial_value = value
                base = value.dtype.base_dtype
                self._dtype = base._as_ref
                self._shape = TensorShape(shape) if shape is not None else value.shape if validate_shape else TensorShape(None)
                attrs = {"dtype": base, "shape": self._shape, "shared_name": "", "container": graph.current_container}
                source = graph.create_operation(REGISTRY["VariableV2"], (), attrs, scope).outputs[0]
                self._source = source
                self._name = source.name
                attrs = {"validate_shape": validate_shape}
                self._initializer = apply_op(REGISTRY["Assign"], (source, value), attrs, "Assign").op
                self._snapshot = apply_op(REGISTRY["Identity"], (source,), name="read")

    def value(self) -> Any:
        self._accessed()
        return self._snapshot

    def is_initialized(self, name: str | None = None) -> Any:
        return apply_op(REGISTRY["IsVariableInitialized"], (self._source,), name=name)

    def _ref(self) -> Tensor:
        return self._source

    def _as_graph_element(self) -> Any:
        return self._source

    def read_value(self) -> Any:
        return apply_op(REGISTRY["Identity"], (self._source,))

    def _update(self, kind: str, value: Any, name: str | None, read_value: bool) -> Any:
        result = apply_op(REGISTRY[self._UPDATES[kind]], (self._source, value), name=name)
        return result if read_value else result.op


def _convert_first(function: Callable[..., Any]) -> Callable[..., Any]:
    def operator(self: Any, *others: Any) -> Any:
        return function(self.value(), *others)

    operator.__name__ = function.__name__
    return operator


for _name, _function in operators.OPERATORS.items():
    for _kind in (Variable, _Updated):
        setattr(_kind, _name, _convert_first(_function))


def _equal_or_same(self: Any, other: Any) -> Any:
    if not Equality.elementwise or (self._in_graph and context.state().graph is None):
        return self is other
    return self.value() == other


Variable.__eq__ = _equal_or_same  # type: ignore[method-assign, assignment]
