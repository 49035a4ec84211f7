"""tf.get_variable and tf.variable_scope: variables by name, made once and shared on request."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor
from rillet.frontend import initializers
from rillet.frontend.collections import GraphKeys
from rillet.frontend.variable import Variable, VariableAggregation, VariableDefaults, VariableSynchronization


class _AutoReuse:
    def __repr__(self) -> str:
        return "_ReuseMode.AUTO_REUSE"


AUTO_REUSE = _AutoReuse()
export(AUTO_REUSE, v1=["AUTO_REUSE"])


@public(v1=["VariableScope"])
class VariableScope:
    """What get_variable uses where its arguments don't say: a name prefix, an initializer, whether to reuse ..."""

    def __init__(
        self,
        reuse: Any,
        name: str = "",
        initializer: Any = None,
        regularizer: Any = None,
        caching_device: Any = None,
        partitioner: Any = None,
        custom_getter: Any = None,
        name_scope: str = "",
        dtype: Any = dtypes.float32,
        use_resource: bool | None = None,
        constraint: Any = None,
    ) -> None:
        self.name = name
        self.initializer = initializer
        self.regularizer = regularizer
        self.reuse = reuse
        self.caching_device = caching_device
        self.partitioner = partitioner
        self.custom_getter = custom_getter
        self.original_name_scope = name_scope
        self.dtype = dtypes.as_dtype(dtype)
        self.use_resource = use_resource
        self.constraint = constraint

    def reuse_variables(self) -> None:
        """From here on, get_variable in this scope only finds existing variables."""
        self.reuse = True

    def set_initializer(self, initializer: Any) -> None:
        self.initializer = initializer

    def set_regularizer(self, regularizer: Any) -> None:
        self.regularizer = regularizer

    def set_custom_getter(self, custom_getter: Any) -> None:
        self.custom_getter = custom_getter

    def set_partitioner(self, partitioner: Any) -> None:
        self.partitioner = partitioner

    def set_dtype(self, dtype: Any) -> None:
        self.dtype = dtypes.as_dtype(dtype)

    def set_use_resource(self, use_resource: bool) -> None:
        self.use_resource = use_resource

    def _collection(self, name: str) -> list[Any]:
        scope = self.name + "/" if self.name else ""
        return context.get_default_graph().get_collection(name, scope)

    def trainable_variables(self) -> list[Any]:
        return self._collection(GraphKeys.TRAINABLE_VARIABLES)

    def global_variables(self) -> list[Any]:
        return self._collection(GraphKeys.GLOBAL_VARIABLES)

    def local_variables(self) -> list[Any]:
        return self._collection(GraphKeys.LOCAL_VARIABLES)

    def get_variable(self, _store: Any, name: str, **options: Any) -> Any:
        return _get(self, name, **options)


class _Store:
    """The named variables of a graph, the scope in force, and how often scope names were taken."""

    def __init__(self) -> None:
        self.variables: dict[str, Any] = {}
        self.scope = VariableScope(False)
        self.counts: dict[str, int] = {}


_EAGER_STORE = _Store()


def _store() -> _Store:
    """The store of the outermost graph: a function's body shares it."""
    graph: Graph | None = context.state().graph
    while isinstance(graph, FuncGraph):
        graph = graph.outer_graph
    if graph is None:
        return _EAGER_STORE
    store: _Store = graph.__dict__.setdefault("_variable_store", _Store())
    return store


@public(v1=["get_variable_scope"])
def get_variable_scope() -> VariableScope:
    """The scope in force."""
    return _store().scope


@public(v1=["get_variable"])
def get_variable(
    name: str,
    shape: Any = None,
    dtype: Any = None,
    initializer: Any = None,
    regularizer: Any = None,
    trainable: bool | None = None,
    collections: Any = None,
    caching_device: Any = None,
    partitioner: Any = None,
    validate_shape: bool = True,
    use_resource: bool | None = None,
    custom_getter: Any = None,
    constraint: Any = None,
    synchronization: Any = VariableSynchronization.AUTO,
    aggregation: Any = VariableAggregation.NONE,
) -> Any:
    """The variable called `name` in the current scope: a new one, or (where the scope says reuse) the existing one.

    shape, dtype: of a new variable; must match an existing one. initializer: a function of (shape, dtype), or a value.
    Raises ValueError when the variable exists and may not be reused, or must exist and doesn't.
    """
    return _get(
        _store().scope, name, shape=shape, dtype=dtype, initializer=initializer, regularizer=regularizer, trainable=trainable,
        collections=collections, partitioner=partitioner, validate_shape=validate_shape, use_resource=use_resource,
        custom_getter=custom_getter, constraint=constraint, synchronization=synchronization, aggregation=aggregation,
        caching_device=caching_device,
    )  # fmt: skip


@public(v1=["get_local_variable"])
def get_local_variable(name: str, *args: Any, **kwargs: Any) -> Any:
    """As get_variable; the variable is not trainable and goes to the local variables."""
    kwargs["trainable"] = False
    kwargs["collections"] = [*(kwargs.get("collections") or []), GraphKeys.LOCAL_VARIABLES]
    return get_variable(name, *args, **kwargs)


def _get(scope: VariableScope, name: str, *, custom_getter: Any = None, **options: Any) -> Any:
    full_name = f"{scope.name}/{name}" if scope.name else name
    if options.get("initializer") is None:
        options["initializer"] = scope.initializer
    if options.get("regularizer") is None:
        options["regularizer"] = scope.regularizer
    for key in ("partitioner", "constraint", "use_resource"):
        if options.get(key) is None:
            options[key] = getattr(scope, key)
    if options.get("dtype") is None:
        known = getattr(options["initializer"], "dtype", None)
        is_value = options["initializer"] is not None and not callable(options["initializer"])
        options["dtype"] = known if is_value and known is not None else scope.dtype
    options["reuse"] = scope.reuse
    getter: Callable[..., Any] = _find_or_make
    for wrapper in (scope.custom_getter, custom_getter):
        if wrapper is not None:
            getter = functools.partial(wrapper, getter)
    graph = context.state().graph
    with graph.name_scope(None) if graph is not None else contextlib.nullcontext():
        return getter(name=full_name, **options)


def _find_or_make(
    name: str,
    shape: Any = None,
    dtype: Any = dtypes.float32,
    initializer: Any = None,
    regularizer: Any = None,
    reuse: Any = None,
    trainable: bool | None = None,
    collections: Any = None,
    caching_device: Any = None,
    partitioner: Any = None,
    validate_shape: bool = True,
    use_resource: bool | None = None,
    constraint: Any = None,
    synchronization: Any = VariableSynchronization.AUTO,
    aggregation: Any = VariableAggregation.NONE,
) -> Any:
    store = _store()
    wanted = dtypes.as_dtype(dtype).base_dtype
    shape = None if shape is None else TensorShape(shape)
    existing = store.variables.get(name) if context.state().graph is not None else None
    if existing is not None:
        if not reuse:
            raise ValueError(
                f"Variable {name} already exists, disallowed. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope? "
                f"Originally defined at: {existing._defined_at}"
            )
        return _checked(existing, name, shape, wanted)
    if reuse is True:
        raise ValueError(
            f"Variable {name} does not exist, or was not created with tf.get_variable(). Did you mean to set "
            "reuse=tf.AUTO_REUSE in VarScope?"
        )
    make = functools.partial(
        _make, regularizer=regularizer, trainable=trainable, collections=collections, validate_shape=validate_shape,
        use_resource=use_resource, constraint=constraint, synchronization=synchronization, aggregation=aggregation,
    )  # fmt: skip
    if partitioner is not None and shape is not None:
        variable = _partitioned(make, partitioner, name, shape, wanted, initializer)
    else:
        variable = make(name, shape, wanted, initializer)
    if context.state().graph is not None:
        store.variables[name] = variable
    return variable


def _checked(variable: Any, name: str, shape: TensorShape | None, dtype: dtypes.DType) -> Any:
    if shape is not None and not shape.is_compatible_with(variable.shape):
        raise ValueError(
            f"Trying to share variable {name}, but specified shape {shape} and found shape {variable.shape}."
        )
    if dtype is not variable.dtype.base_dtype:
        raise ValueError(
            f"Trying to share variable {name}, but specified dtype {dtype.name} and found dtype {variable.dtype.name}."
        )
    return variable


def _make(name: str, shape: TensorShape | None, dtype: dtypes.DType, initializer: Any, regularizer: Any, **options: Any) -> Any:
    from_value = initializer is not None and not callable(initializer)
    if from_value:
        if shape is not None:
            raise ValueError("If initializer is a constant, do not specify shape.")
        start: Any = initializer
    else:
        if shape is None or not shape.is_fully_defined():
            if initializer is None or (shape is not None and not shape.is_fully_defined()):
                raise ValueError(
                    f"Shape of a new variable ({name}) must be fully defined, but instead was {shape if shape is not None else '<unknown>'}."
                )
        start = _initial_value(name, initializer, shape, dtype)
    use_resource = options.pop("use_resource")
    if use_resource is None:
        use_resource = VariableDefaults.use_resource
    variable = Variable(start, name=name, dtype=dtype, use_resource=use_resource, **options)
    if regularizer is not None:
        _regularize(variable, name, regularizer)
    return variable


def _initial_value(name: str, initializer: Any, shape: TensorShape | None, dtype: dtypes.DType) -> Callable[[], Any]:
    if initializer is None:
        if dtype.is_floating or dtype.is_complex:
            initializer = initializers.GlorotUniform()
        elif dtype.is_integer or dtype.is_bool:
            initializer = initializers.Zeros()
        else:
            raise ValueError(f"An initializer for variable {name} of {dtype} is required")
    if inspect.isclass(initializer):
        initializer = initializer()
    if shape is None or not _takes_arguments(initializer):
        return initializer  # type: ignore[no-any-return]
    sizes = shape.as_list()
    return lambda: initializer(sizes, dtype=dtype)


def _takes_arguments(function: Any) -> bool:
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return True


def _regularize(variable: Any, name: str, regularizer: Any) -> None:
    graph = context.state().graph
    if graph is None:
        return
    with graph.name_scope(name + "/Regularizer/"):
        loss = regularizer(variable)
    if loss is not None:
        graph.add_to_collection(GraphKeys.REGULARIZATION_LOSSES, loss)


# ---- partitioned variables --------------------------------------------------------------------------------------------


def _partitioned(
    make: Callable[..., Any], partitioner: Any, name: str, shape: TensorShape, dtype: dtypes.DType, initializer: Any
) -> Any:
    counts = list(partitioner(shape=shape, dtype=dtype))
    if int(np.prod(counts)) == 1:
        return make(name, shape, dtype, initializer)
    axis = next(index for index, count in enumerate(counts) if count > 1)
    sizes = [len(part) for part in np.array_split(np.arange(shape.as_list()[axis]), counts[axis])]
    parts, start = [], 0
    for index, size in enumerate(sizes):
        part_shape = [*shape.as_list()[:axis], size, *shape.as_list()[axis + 1 :]]
        begin = [start if position == axis else 0 for position in range(shape.rank or 0)]
        if initializer is not None and not callable(initializer):
            value = np.asarray(initializer)[tuple(slice(b, b + n) for b, n in zip(begin, part_shape, strict=True))]
            parts.append(make(f"{name}/part_{index}", None, dtype, value))
        else:
            parts.append(make(f"{name}/part_{index}", TensorShape(part_shape), dtype, initializer))
        start += size
    return PartitionedVariable(name, shape, dtype, parts, axis)


class PartitionedVariable:
    """A variable kept as several, divided along one axis; as a tensor it is their concatenation."""

    def __init__(self, name: str, shape: TensorShape, dtype: dtypes.DType, parts: Sequence[Any], axis: int) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self._parts = list(parts)
        self._axis = axis

    def get_shape(self) -> TensorShape:
        return self.shape

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def graph(self) -> Any:
        return self._parts[0].graph

    @property
    def _defined_at(self) -> Any:
        return self._parts[0]._defined_at

    def as_tensor(self) -> Any:
        return apply_op(REGISTRY["ConcatV2"], ([part.value() for part in self._parts], self._axis), name=self.name + "/ConcatPartitions")

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return convert_to_tensor(self.as_tensor(), dtype)

    def assign(self, value: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True) -> list[Any]:
        pieces = apply_op(
            REGISTRY["SplitV"], (value, [part.shape.as_list()[self._axis] for part in self._parts], self._axis), {"num_split": len(self._parts)}
        )
        return [part.assign(piece) for part, piece in zip(self._parts, pieces, strict=True)]


# ---- scopes -----------------------------------------------------------------------------------------------------------


@public(v1=["variable_scope"])
class variable_scope:  # noqa: N801 - TensorFlow's name
    """Variables got inside are called name_or_scope/..., and share these defaults; operations get a name scope too.

    name_or_scope: a name, or a VariableScope to enter again. default_name: made unique, when name_or_scope is None.
    reuse: True (find only), AUTO_REUSE (find or make), None (as outside).
    """

    def __init__(
        self,
        name_or_scope: Any,
        default_name: str | None = None,
        values: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        caching_device: Any = None,
        partitioner: Any = None,
        custom_getter: Any = None,
        reuse: Any = None,
        dtype: Any = None,
        use_resource: bool | None = None,
        constraint: Any = None,
        auxiliary_name_scope: bool = True,
    ) -> None:
        if default_name is None and name_or_scope is None:
            raise TypeError("If default_name is None then name_or_scope is required")
        if reuse is False:
            reuse = None
        if not (reuse is True or reuse is None or reuse is AUTO_REUSE):
            raise ValueError("The reuse parameter must be True or False or None.")
        if isinstance(name_or_scope, str) and not name_or_scope and default_name:
            raise ValueError("name_or_scope must not be empty where default_name is given")
        if name_or_scope is None and reuse is True:
            raise ValueError("reuse=True cannot be used without a name_or_scope")
        self._target = name_or_scope
        self._default_name = default_name
        self._values = values
        self._reuse = reuse
        self._auxiliary = auxiliary_name_scope
        self._defaults = {
            "initializer": initializer, "regularizer": regularizer, "caching_device": caching_device, "partitioner": partitioner,
            "use_resource": use_resource, "constraint": constraint, "dtype": None if dtype is None else dtypes.as_dtype(dtype),
        }  # fmt: skip
        self._custom_getter = custom_getter
        self._blocks: list[contextlib.AbstractContextManager[Any]] = []

    def __enter__(self) -> VariableScope:
        block = self._scope()
        self._blocks.append(block)
        return block.__enter__()

    def __exit__(self, *exc_info: Any) -> None:
        self._blocks.pop().__exit__(*exc_info)

    @contextlib.contextmanager
    def _scope(self) -> Iterator[VariableScope]:
        values = [value for value in self._values or () if isinstance(value, Tensor) and hasattr(value, "op")] if self._values else []
        graph = context.state().graph or (values[0].graph if values else None)
        with context.use_graph(graph) if graph is not context.state().graph else contextlib.nullcontext():
            store = _store()
            outer = store.scope
            with self._name_scope(graph, store, outer) as (name, name_scope):
                store.scope = self._new_scope(outer, name, name_scope)
                saved_counts = dict(store.counts)
                if isinstance(self._target, (str, VariableScope)):
                    self._close_subscopes(store, name)
                    store.counts[name] = store.counts.get(name, 0) + 1
                try:
                    yield store.scope
                finally:
                    if isinstance(self._target, VariableScope):
                        store.counts = saved_counts
                    else:
                        self._close_subscopes(store, name)
                    store.scope = outer

    @staticmethod
    def _close_subscopes(store: _Store, name: str) -> None:
        """Inside a scope entered anew, default names are counted anew."""
        for key in list(store.counts):
            if not name or key.startswith(name + "/"):
                store.counts[key] = 0

    @contextlib.contextmanager
    def _name_scope(self, graph: Graph | None, store: _Store, outer: VariableScope) -> Iterator[tuple[str, str]]:
        if isinstance(self._target, VariableScope):
            name, part = self._target.name, self._target.name.rpartition("/")[2]
        else:
            part = self._target if self._target is not None else self._unique(store, outer)
            part = part.rstrip("/")
            name = f"{outer.name}/{part}" if outer.name else part
        if graph is None or not self._auxiliary or not part:
            yield name, (graph.get_name_scope() + "/" if graph is not None and graph.get_name_scope() else "")
            return
        with graph.name_scope(part) as scope:
            yield name, self._target.original_name_scope if isinstance(self._target, VariableScope) else scope

    def _unique(self, store: _Store, outer: VariableScope) -> str:
        prefix = outer.name + "/" if outer.name else ""
        name, index = str(self._default_name), 0
        candidate = name
        while store.counts.get(prefix + candidate, 0) > 0:
            index += 1
            candidate = f"{name}_{index}"
        store.counts[prefix + candidate] = store.counts.get(prefix + candidate, 0) + 1
        return candidate

    def _new_scope(self, outer: VariableScope, name: str, name_scope: str) -> VariableScope:
        source = self._target if isinstance(self._target, VariableScope) else outer
        chosen = {key: getattr(source, key) if value is None else value for key, value in self._defaults.items()}
        getter = source.custom_getter
        if self._custom_getter is not None:
            getter = self._custom_getter if getter is None else _composed(self._custom_getter, getter)
        reuse = self._reuse
        if reuse is None or reuse is False:
            reuse = source.reuse
        if isinstance(self._target, VariableScope) and self._reuse is None:
            reuse = self._target.reuse or outer.reuse
        return VariableScope(reuse, name, custom_getter=getter, name_scope=name_scope, **chosen)


def _composed(inner: Callable[..., Any], outer: Callable[..., Any]) -> Callable[..., Any]:
    def getter(base: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return inner(functools.partial(outer, base), *args, **kwargs)

    return getter


@public(v1=["no_regularizer"])
def no_regularizer(_: Any) -> None:
    """A regularizer that does not: overrides the scope's."""


@public(v1=["make_template"])
def make_template(
    name_: str, func_: Callable[..., Any], create_scope_now_: bool = False, unique_name_: str | None = None,
    custom_getter_: Any = None, **kwargs: Any,
) -> Template:  # fmt: skip
    """`func_` with its variables made on the first call and shared by the later ones."""
    return Template(name_, functools.partial(func_, **kwargs) if kwargs else func_, create_scope_now_, unique_name_, custom_getter_)


class Template:
    def __init__(self, name: str, function: Callable[..., Any], create_now: bool, unique_name: str | None, custom_getter: Any) -> None:
        self._function = function
        self._name = name
        self._unique_name = unique_name
        self._custom_getter = custom_getter
        self._scope: VariableScope | None = None
        self._called = False
        if create_now:
            self._open_scope()

    def _open_scope(self) -> None:
        target, default = (self._unique_name, None) if self._unique_name else (None, self._name)
        with variable_scope(target, default, custom_getter=self._custom_getter) as scope:
            self._scope = scope

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._scope is None:
            self._open_scope()
        with variable_scope(self._scope, reuse=True if self._called else None):
            result = self._function(*args, **kwargs)
        self._called = True
        return result

    @property
    def variable_scope(self) -> VariableScope | None:
        return self._scope

    @property
    def name(self) -> str:
        return self._name

    @property
    def variables(self) -> list[Any]:
        return [] if self._scope is None else self._scope.global_variables()

    @property
    def trainable_variables(self) -> list[Any]:
        return [] if self._scope is None else self._scope.trainable_variables()
