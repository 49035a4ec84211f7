"""tf.get_variable and tf.variable_scope: variables by name, made once and shared on request."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rillet.core import context, convert, dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import export, public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph
from rillet.core.shapes import TensorShape
from rillet.frontend import initializers
from rillet.frontend.collections import GraphKeys
from rillet.frontend.partitioned import PartitionedVariable, make_partitioned
from rillet.frontend.scopes import eager_name_scope, graph_of, use_eager_name_scope
from rillet.frontend.variable import Variable
from rillet.frontend.variable_creation import VariableAggregation, VariableDefaults, VariableSynchronization


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


class _Current(threading.local):
    """The scope in force in a thread, and how often scope names were taken there."""

    def __init__(self) -> None:
        self.scope = VariableScope(False)
        self.counts: dict[str, int] = {}


class _Store:
    """The named variables of a graph. Eager code has one too; it keeps variables only for an EagerVariableStore."""

    def __init__(self) -> None:
        self.variables: dict[str, Any] = {}
        self.current = _Current()


_EAGER = _Store()
_EAGER.current.scope.reuse = AUTO_REUSE


class _EagerStores(threading.local):
    def __init__(self) -> None:
        self.stack: list[EagerVariableStore] = []


_EAGER_STORES = _EagerStores()


@public(v1=["contrib.eager.EagerVariableStore"])
class EagerVariableStore:
    """Keeps the variables that get_variable makes eagerly, so that they can be got again.

    with store.as_default(): ...  # get_variable finds and adds variables
    """

    def __init__(self) -> None:
        self._variables: dict[str, Any] = {}

    @contextlib.contextmanager
    def as_default(self) -> Iterator[None]:
        _EAGER_STORES.stack.append(self)
        try:
            yield
        finally:
            _EAGER_STORES.stack.pop()

    def variables(self) -> list[Any]:
        return sorted(self._variables.values(), key=lambda variable: str(variable.name))

    def trainable_variables(self) -> list[Any]:
        return [variable for variable in self.variables() if variable.trainable]

    def non_trainable_variables(self) -> list[Any]:
        return [variable for variable in self.variables() if not variable.trainable]


def _store() -> _Store:
    """The store of the outermost graph: a function's body shares it."""
    graph: Graph | None = context.state().graph
    while isinstance(graph, FuncGraph):
        graph = graph.outer_graph
    if graph is None:
        return _EAGER
    store: _Store = graph.__dict__.setdefault("_variable_store", _Store())
    return store


def _known_variables(store: _Store) -> dict[str, Any]:
    """Where get_variable looks for what exists already, and keeps what it makes."""
    if store is not _EAGER:
        return store.variables
    return _EAGER_STORES.stack[-1]._variables if _EAGER_STORES.stack else {}


@public(v1=["get_variable_scope"])
def get_variable_scope() -> VariableScope:
    """The scope in force."""
    return _store().current.scope


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
        get_variable_scope(), name, shape=shape, dtype=dtype, initializer=initializer, regularizer=regularizer, trainable=trainable,
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
    options["dtype"] = _dtype_of(options["initializer"], options.get("dtype"), scope.dtype)
    if options.get("trainable") is None:
        options["trainable"] = options.get("synchronization") is not VariableSynchronization.ON_READ
    options["reuse"] = scope.reuse
    getter: Callable[..., Any] = _find_or_make
    for wrapper in (scope.custom_getter, custom_getter):
        if wrapper is not None:
            getter = functools.partial(wrapper, getter)
    graph = context.state().graph
    with graph.name_scope(None) if graph is not None else use_eager_name_scope(None):
        return getter(name=full_name, **options)


def _dtype_of(initializer: Any, wanted: Any, default: dtypes.DType) -> dtypes.DType:
    """The dtype of a variable: what the caller wants, else an initial value's own, else the scope's.

    ValueError when an initial value has another dtype than wanted.
    """
    chosen = default if wanted is None else dtypes.as_dtype(wanted)
    if initializer is None or callable(initializer) or isinstance(initializer, str):
        return chosen
    if wanted is not None:  # in a graph this leaves a constant, as in TensorFlow
        initializer = convert_to_tensor(initializer)
    found = initializer.dtype if hasattr(initializer, "dtype") else convert.to_array(initializer)[1]
    found = dtypes.as_dtype(found).base_dtype
    if wanted is not None and found is not chosen.base_dtype:
        raise ValueError(f"Initializer type '{found}' and explicit dtype '{chosen}' don't match.")
    return found


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
    known = _known_variables(_store())
    wanted = dtypes.as_dtype(dtype).base_dtype
    shape = None if shape is None else TensorShape(shape)
    if name in known:
        if not reuse:
            raise ValueError(
                f"Variable {name} already exists, disallowed. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in "
                f"VarScope? Originally defined at: {known[name]._defined_at}"
            )
        return _checked(known[name], name, shape, wanted, partitioner)
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
        known[name] = make_partitioned(make, partitioner, name, shape, wanted, initializer)
        for part in known[name]:
            known[part.op.name] = part
    else:
        known[name] = make(name, shape, wanted, initializer)
    return known[name]


def _checked(variable: Any, name: str, shape: TensorShape | None, dtype: dtypes.DType, partitioner: Any) -> Any:
    if partitioner is not None and shape is None and not isinstance(variable, PartitionedVariable):
        raise ValueError(
            f"A partitioner was provided, but an unpartitioned version of the variable was found: {name}.  Perhaps a "
            "variable of the same name was already created without partitioning?"
        )
    if shape is not None and not shape.is_compatible_with(variable.shape):
        raise ValueError(
            f"Trying to share variable {name}, but specified shape {shape} and found shape {variable.shape}."
        )
    if dtype is not variable.dtype.base_dtype:
        raise ValueError(
            f"Trying to share variable {name}, but specified dtype {dtype.name} and found dtype {variable.dtype.name}."
        )
    return variable


def _make(
    name: str, shape: TensorShape | None, dtype: dtypes.DType, initializer: Any, regularizer: Any, **options: Any
) -> Any:
    if initializer is None or callable(initializer):
        start = _initial_value(name, initializer, shape, dtype)
    else:
        start = initializer
        if shape is not None:
            raise ValueError("If initializer is a constant, do not specify shape.")
    if options["use_resource"] is None:
        options["use_resource"] = VariableDefaults.use_resource
    variable = Variable(start, name=name, dtype=dtype, **options)
    if regularizer is not None:
        _regularize(variable, name, regularizer)
    return variable


def _initial_value(name: str, initializer: Any, shape: TensorShape | None, dtype: dtypes.DType) -> Callable[[], Any]:
    """What makes the first value: the initializer, bound to shape and dtype where it wants them."""
    if initializer is None:
        if shape is None:
            raise ValueError(f"Variable {name} did not get an initializer, so its `shape` argument must be specified.")
        initializer = _default_initializer(name, dtype)
    if inspect.isclass(initializer):
        initializer = initializer()
    if not _takes_arguments(initializer):
        return initializer
    if shape is None or not shape.is_fully_defined():
        raise ValueError(f"Shape of a new variable ({name}) must be fully defined, but instead was {shape}.")
    sizes = shape.as_list()
    return lambda: initializer(sizes, dtype=dtype)


def _default_initializer(name: str, dtype: dtypes.DType) -> Any:
    if dtype.is_floating:
        return initializers.GlorotUniform()
    if dtype.is_integer or dtype.is_bool or dtype is dtypes.string:
        return initializers.Zeros()
    raise ValueError(f"An initializer for variable {name} of {dtype} is required")


def _takes_arguments(function: Any) -> bool:
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return True


def _regularize(variable: Any, name: str, regularizer: Any) -> None:
    """Adds the variable's penalty to the regularization losses. As in TensorFlow it is made twice: first to see whether
    there is one."""
    graph = context.state().graph
    if graph is None or regularizer(variable) is None:
        return
    with graph.name_scope(name + "/Regularizer/"):
        graph.add_to_collection(GraphKeys.REGULARIZATION_LOSSES, regularizer(variable))


# ---- scopes -----------------------------------------------------------------------------------------------------------


@public(v1=["variable_scope"])
class variable_scope:
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
        if self._target is None and self._reuse is True:
            raise ValueError("reuse=True cannot be used without a name_or_scope")
        if not (self._target is None or isinstance(self._target, (str, VariableScope))):
            raise TypeError("VariableScope: name_or_scope must be a string or VariableScope.")
        block = self._scope()
        self._blocks.append(block)
        return block.__enter__()

    def __exit__(self, *exc_info: Any) -> None:
        self._blocks.pop().__exit__(*exc_info)

    @contextlib.contextmanager
    def _scope(self) -> Iterator[VariableScope]:
        graph = context.state().graph
        wanted = graph_of(self._values)
        if wanted is not None and wanted is not graph and not isinstance(graph, FuncGraph):
            graph = wanted
        with context.use_graph(graph) if graph is not context.state().graph else contextlib.nullcontext():
            current = _store().current
            outer = current.scope
            part, name = self._names(current, outer)
            with self._name_scope(graph, part) as name_scope:
                current.scope = self._new_scope(outer, name, name_scope)
                counts = dict(current.counts)
                _forget_subscopes(current.counts, name)
                current.counts[name] = current.counts.get(name, 0) + 1
                try:
                    yield current.scope
                finally:
                    if isinstance(self._target, VariableScope):
                        current.counts = counts
                    else:
                        _forget_subscopes(current.counts, name)
                    current.scope = outer

    def _names(self, current: _Current, outer: VariableScope) -> tuple[str, str]:
        """The name to open a name scope with, and the full name of the variable scope."""
        if isinstance(self._target, VariableScope):
            return self._target.name.rpartition("/")[2], self._target.name
        prefix = outer.name + "/" if outer.name else ""
        if self._target is not None:
            return self._target, prefix + self._target
        default = str(self._default_name)
        name, index = default, 0
        while current.counts.get(prefix + name, 0) > 0:
            index += 1
            name = f"{default}_{index}"
        return default, prefix + name

    @contextlib.contextmanager
    def _name_scope(self, graph: Graph | None, part: str) -> Iterator[str]:
        """Yields the scope's original_name_scope."""
        entered = self._target.original_name_scope if isinstance(self._target, VariableScope) else None
        if not self._auxiliary:
            here = (
                eager_name_scope() if graph is None else graph.get_name_scope() + "/" if graph.get_name_scope() else ""
            )
            yield here if entered is None else entered
        elif not part:
            yield "" if entered is None else entered
        else:
            with graph.name_scope(part) if graph is not None else use_eager_name_scope(part) as scope:
                yield scope if entered is None else entered

    def _new_scope(self, outer: VariableScope, name: str, name_scope: str) -> VariableScope:
        source = self._target if isinstance(self._target, VariableScope) else outer
        chosen = {key: getattr(source, key) if value is None else value for key, value in self._defaults.items()}
        getter = source.custom_getter
        if self._custom_getter is not None:
            getter = self._custom_getter if getter is None else _composed(self._custom_getter, getter)
        reuse = self._reuse if self._reuse is not None else source.reuse or outer.reuse
        if context.executing_eagerly():
            reuse = AUTO_REUSE
        return VariableScope(reuse, name, custom_getter=getter, name_scope=name_scope, **chosen)


def _forget_subscopes(counts: dict[str, int], name: str) -> None:
    """Inside a scope entered anew, default names are counted anew."""
    for key in counts:
        if key.startswith(name + "/"):
            counts[key] = 0


def _composed(inner: Callable[..., Any], outer: Callable[..., Any]) -> Callable[..., Any]:
    def getter(base: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return inner(functools.partial(outer, base), *args, **kwargs)

    return getter


@public(v1=["no_regularizer"])
def no_regularizer(_: Any) -> None:
    """A regularizer that does not: overrides the scope's."""


@public(v1=["variable_op_scope"])
def variable_op_scope(
    values: Any, name_or_scope: Any, default_name: str | None = None, **options: Any
) -> variable_scope:
    """As variable_scope, with its first arguments in an older order."""
    return variable_scope(name_or_scope, default_name, values, **options)
