"""Sessions: where a graph is run. A session owns the values of the variables, and what it has compiled."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes, nest
from rillet.core.execution import Executable, ExecutionContext, Plan, VariableState, eager_context
from rillet.core.export import public
from rillet.core.function import Function
from rillet.core.graph import Graph, Operation
from rillet.core.locks import lock
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.frontend.devices import DeviceAttributes
from rillet.ops.state import read_state


class _Stack(threading.local):
    def __init__(self) -> None:
        self.sessions: list[Any] = []


_STACK = _Stack()


@public(v1=["get_default_session"])
def get_default_session() -> Any:
    """The innermost session entered with `with session:` or as_default; None when there is none."""
    return _STACK.sessions[-1] if _STACK.sessions else None


def _evaluate(element: Any, feed_dict: Any, session: Any) -> Any:
    """tensor.eval() and operation.run()."""
    tensor_wanted = not isinstance(element, Operation)
    verb, call = ("evaluate tensor", "eval") if tensor_wanted else ("execute operation", "run")
    if session is None:
        session = get_default_session()
        if session is None:
            raise ValueError(
                f"Cannot {verb} using `{call}()`: No default session is registered. Use `with sess.as_default()` or pass an "
                f"explicit session to `{call}(session=sess)`"
            )
        if session.graph is not element.graph:
            thing = "tensor" if tensor_wanted else "operation"
            raise ValueError(
                f"Cannot use the default session to {verb}: the {thing}'s graph is different from the session's graph. "
                f"Pass an explicit session to `{call}(session=sess)`."
            )
    elif session.graph is not element.graph:
        raise ValueError(
            f"Cannot use the given session to {verb}: the {'tensor' if tensor_wanted else 'operation'}'s graph is different "
            "from the session's graph."
        )
    return session.run(element, feed_dict)


Graph.evaluator = staticmethod(_evaluate)


class _Request:
    """One (fetches, feeds) signature, compiled: how to check the feeds, run, and put the results in place."""

    def __init__(
        self, session: BaseSession, fetches: Any, feeds: Sequence[SymbolicTensor], compile: bool = True
    ) -> None:
        self.kept = _pinned(fetches)  # cache keys are ids: what they name stays alive
        self.feeds = [_Feed(tensor) for tensor in feeds]
        self.leaves: list[Any] = []
        self.outputs: list[SymbolicTensor] = []
        self.targets: list[Operation] = []
        self._places: dict[int, int] = {}
        self.pack = self._plan(session.graph, fetches)
        self.is_single = type(fetches) is SymbolicTensor
        if compile:
            function = Function.cut("session_run", feeds, self.outputs, self.targets, session.graph)
            self.executable: Executable = session._engine.compile(function, session._context)

    def _plan(self, graph: Graph, fetches: Any) -> Callable[[list[Any]], Any]:
        """Registers the leaves of a nest of fetches; returns what rebuilds the nest from their values."""
        if fetches is None:
            raise TypeError("Fetch argument None has invalid type <class 'NoneType'>")
        if isinstance(fetches, dict) or (isinstance(fetches, (list, tuple)) or hasattr(fetches, "__attrs_attrs__")):
            return self._plan_nest(graph, fetches)
        components = getattr(fetches, "_flatten_components", None)
        if components is not None:
            plans = [self._plan(graph, part) for part in components()]
            build = getattr(fetches, "_session_value", None) or (lambda parts: tuple(parts))
            return lambda values: build([plan(values) for plan in plans])
        if isinstance(fetches, EagerTensor):
            array = fetches.numpy()
            return lambda values: array
        return self._plan_leaf(_element(graph, fetches))

    def _plan_nest(self, graph: Graph, fetches: Any) -> Callable[[list[Any]], Any]:
        if isinstance(fetches, dict):
            plans = {key: self._plan(graph, value) for key, value in fetches.items()}
            kind = type(fetches)
            if kind is dict:
                return lambda values: {key: plan(values) for key, plan in plans.items()}
            return lambda values: kind((key, plan(values)) for key, plan in plans.items())
        if hasattr(fetches, "__attrs_attrs__"):
            names = [attribute.name for attribute in fetches.__attrs_attrs__]
            inner = [self._plan(graph, getattr(fetches, name)) for name in names]
            kind = type(fetches)
            return lambda values: kind(*[plan(values) for plan in inner])
        inner = [self._plan(graph, value) for value in fetches]
        kind = type(fetches)
        if hasattr(kind, "_fields"):
            return lambda values: kind(*[plan(values) for plan in inner])
        if kind is list:
            return lambda values: [plan(values) for plan in inner]
        return lambda values: kind([plan(values) for plan in inner])

    def _plan_leaf(self, leaf: Any) -> Callable[[list[Any]], Any]:
        self.leaves.append(leaf)
        if isinstance(leaf, Operation):
            self.targets.append(leaf)
            return lambda values: None
        place = self._places.setdefault(id(leaf), len(self.outputs))
        if place == len(self.outputs):
            self.outputs.append(leaf)
        return lambda values: values[place]

    def arrays(self, values: Iterable[Any]) -> list[Any]:
        """The values fed, in the order of the feeds, as arrays."""
        arrays = []
        for feed, value in zip(self.feeds, values):
            is_like_last = (
                type(value) is np.ndarray
                and value.dtype is feed.dtype
                and value.shape == feed.shape
                and feed.tensor._shape is feed.static_shape
            )
            arrays.append(value if is_like_last else feed.array(value))
        return arrays

    def run(self, arrays: Sequence[Any]) -> Any:
        results = self.executable(arrays)
        if self.is_single:
            return _owned_by_caller(results[0])
        return self.pack([_owned_by_caller(value) for value in results])


class _Feed:
    """A tensor that is fed, and what was found to fit it: an array like the last one is taken without a closer look."""

    __slots__ = ("dtype", "shape", "static_shape", "tensor")

    def __init__(self, tensor: SymbolicTensor) -> None:
        self.tensor = tensor
        self.dtype = tensor.dtype.base_dtype.numpy_dtype
        self.static_shape: TensorShape | None = None
        self.shape: Any = None

    def array(self, value: Any) -> Any:
        """`value` as an array that fits. TypeError or ValueError as feed_array."""
        array = feed_array(self.tensor, value)
        if self.dtype.kind != "O":  # elements that are Python objects are looked at each time
            self.shape, self.static_shape = np.shape(array), self.tensor._shape
        return array


def _element(graph: Graph, fetch: Any) -> Any:
    try:
        element = graph.as_graph_element(fetch)
    except TypeError as error:
        raise TypeError(
            f"Fetch argument {fetch!r} has invalid type {type(fetch)}, must be a string or Tensor. ({error})"
        ) from None
    except ValueError as error:
        raise ValueError(f"Fetch argument {fetch!r} cannot be interpreted as a Tensor. ({error})") from None
    except KeyError as error:
        raise ValueError(f"Fetch argument {fetch!r} cannot be interpreted as a Tensor. ({error})") from None
    if not graph.is_fetchable(element):
        raise ValueError(f"Operation {element!r} has been marked as not fetchable.")
    return element


def _owned_by_caller(value: Any) -> Any:
    """An array that nobody else holds: the caller may write into it. For a variable's handle: the variable's value."""
    if isinstance(value, np.ndarray):
        return value.copy() if value.ndim else value[()]
    if isinstance(value, VariableState):
        return _owned_by_caller(read_state(value))
    return value


class BaseSession:
    def __init__(self, target: str = "", graph: Graph | None = None, config: Any = None) -> None:
        if graph is not None and not isinstance(graph, Graph):
            raise TypeError(f'Argument `graph` must be a tf.Graph, but got "{type(graph).__name__}"')
        self._graph = graph or context.get_default_graph()
        self._target = target
        self._config = config
        self._closed = False
        self._engine = eager_context().engine
        self._context = ExecutionContext(self._engine)
        self._requests: dict[Any, _Request] = {}
        self._lock = lock()
        self._partial_runs: dict[str, _PartialRun] = {}

    @property
    def graph(self) -> Graph:
        return self._graph

    @property
    def graph_def(self) -> Any:
        return self._graph.as_graph_def()  # type: ignore[attr-defined]

    @property
    def sess_str(self) -> str:
        return self._target

    def list_devices(self) -> list[DeviceAttributes]:
        return [DeviceAttributes("/job:localhost/replica:0/task:0/device:CPU:0", "CPU", 0, 0)]

    # ---- running -----------------------------------------------------------------------------------------------

    def run(self, fetches: Any, feed_dict: Any = None, options: Any = None, run_metadata: Any = None) -> Any:
        """Computes `fetches` and returns their values, in the same structure.

        fetches: a tensor, an operation (value None), a variable, a name, or a nest (list, tuple, namedtuple, dict) of
            them. Only what they need is run, every operation once.
        feed_dict: {tensor or its name: value}: these tensors have the given values instead of computing them.
        Raises RuntimeError on a closed session, TypeError and ValueError for what cannot be fetched or fed, and the
        errors of the operations that ran (tf.errors).
        """
        # The short path: the same tensors were fetched and fed before, so everything is prepared and was checked. (A
        # closed session has no requests; a key of the dictionary that is a name, or a list of tensors, is not found.)
        graph = self._graph
        feeds = {} if feed_dict is None else feed_dict
        if type(feeds) is dict and not graph._unfeedable:
            request = self._requests.get((graph.rewrites, _key(fetches), *map(id, feeds)))
            if request is not None:
                return request.run(request.arrays(feeds.values()))
        return self._run(fetches, feeds)

    def _run(self, fetches: Any, feed_dict: Any) -> Any:
        self._check_open()
        feeds, arrays = self._feeds(feed_dict) if feed_dict else ([], [])
        key = (self._graph.rewrites, _key(fetches), *map(id, feeds))
        request = self._requests.get(key)
        if request is None:
            with self._lock:
                request = self._requests[key] = _Request(self, fetches, feeds)
        return request.run(arrays)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Attempted to use a closed Session.")
        if not self._graph._operations:
            raise RuntimeError("The Session graph is empty. Add operations to the graph before calling run().")

    def _feeds(self, feed_dict: dict[Any, Any]) -> tuple[list[SymbolicTensor], list[Any]]:
        tensors: list[SymbolicTensor] = []
        arrays: list[Any] = []
        if not isinstance(feed_dict, Mapping):
            raise TypeError(f"feed_dict must be a dictionary {{tensor or name: value}}, not {type(feed_dict).__name__}")
        for key, value in feed_dict.items():
            for tensor, part in self._feed_pairs(key, value):
                if any(tensor is other for other in tensors):
                    raise ValueError(f"The tensor {tensor.name} is fed twice.")
                tensors.append(tensor)
                arrays.append(feed_array(tensor, part))
        return tensors, arrays

    def _feed_pairs(self, key: Any, value: Any) -> list[tuple[SymbolicTensor, Any]]:
        if isinstance(key, tuple):
            return [pair for part, element in zip(key, value, strict=True) for pair in self._feed_pairs(part, element)]
        components = getattr(key, "_flatten_components", None)
        if components is not None:
            parts = value._flatten_components() if hasattr(value, "_flatten_components") else list(value)
            return [
                pair
                for part, element in zip(components(), parts, strict=False)  # a part left out keeps its default
                for pair in self._feed_pairs(part, element)
            ]
        try:
            tensor = self._graph.as_graph_element(key, allow_operation=False)
        except Exception as error:
            raise TypeError(f"Cannot interpret feed_dict key as Tensor: {error}") from None
        if not self._graph.is_feedable(tensor):
            raise ValueError(f"Tensor {tensor.name} may not be fed.")
        return [(tensor, value)]

    def make_callable(
        self, fetches: Any, feed_list: Sequence[Any] | None = None, accept_options: bool = False
    ) -> Callable[..., Any]:
        """A function of the values of `feed_list` that returns the values of `fetches`: run() with its work done once."""
        self._check_open()
        tensors = [self._graph.as_graph_element(key, allow_operation=False) for key in feed_list or []]
        request = _Request(self, fetches, tensors)

        def call(*values: Any) -> Any:
            if self._closed:
                raise RuntimeError("Attempted to use a closed Session.")
            if len(values) != len(tensors):
                raise ValueError(
                    f"this callable takes {len(tensors)} values ({[t.name for t in tensors]}), not {len(values)}"
                )
            return request.run([feed_array(tensor, value) for tensor, value in zip(tensors, values, strict=True)])

        return call

    def plan(self, fetches: Any, feeds: Any = ()) -> Plan:
        """How run(fetches, feeds) would run: which operations, fused into which kernels, in how much memory. Print it.

        feeds: what is fed, as for run, or the tensors alone; what their static shapes leave open is then assumed.
        """
        self._check_open()
        if isinstance(feeds, Mapping):
            tensors, arrays = self._feeds(dict(feeds))
        else:
            tensors = [self._graph.as_graph_element(key, allow_operation=False) for key in feeds]
            arrays = [None] * len(tensors)
        request = _Request(self, fetches, tensors, compile=False)
        function = Function.cut("session_run", tensors, request.outputs, request.targets, self._graph)
        return self._engine.plan(function, self._context, arrays)

    def partial_run_setup(self, fetches: Any, feeds: Any = None) -> str:
        """Begins a run that is fed and fetched in several steps. Returns its handle."""
        self._check_open()
        run = _PartialRun(self, fetches, feeds or [])
        handle = f"partial_run_{len(self._partial_runs)}"
        self._partial_runs[handle] = run
        return handle

    def partial_run(self, handle: str, fetches: Any, feed_dict: Any = None) -> Any:
        """Feeds and fetches more of a run begun with partial_run_setup; each operation of the run is executed once."""
        self._check_open()
        if handle not in self._partial_runs:
            raise ValueError(f"Must run 'setup' before performing partial runs: there is no run {handle!r}.")
        return self._partial_runs[handle].step(fetches, feed_dict or {})

    # ---- life --------------------------------------------------------------------------------------------------

    def as_default(self) -> contextlib.AbstractContextManager[Any]:
        """Makes this the session that tensor.eval() and operation.run() use. Does not close it."""
        return self._entered()

    @contextlib.contextmanager
    def _entered(self) -> Iterator[Any]:
        _STACK.sessions.append(self)
        try:
            with self._graph.as_default():
                yield self
        finally:
            _STACK.sessions.remove(self)

    def close(self) -> None:
        """Frees the variables. The session cannot be used any more."""
        self._closed = True
        self._requests.clear()
        self._context = ExecutionContext(self._engine)


def _key(fetches: Any) -> Any:
    """What two equal requests have in common: the fetched things by identity, in their structure."""
    kind = type(fetches)
    if kind is SymbolicTensor or kind is Operation:
        return id(fetches)
    if isinstance(fetches, str):
        return fetches
    if isinstance(fetches, (list, tuple)):
        return (kind, *map(_key, fetches))
    if isinstance(fetches, dict):
        return (kind, *[(key, _key(value)) for key, value in fetches.items()])
    if hasattr(kind, "__attrs_attrs__"):
        return (kind, *[_key(getattr(fetches, attribute.name)) for attribute in kind.__attrs_attrs__])
    return id(fetches)


def _pinned(fetches: Any) -> Any:
    """The things fetched: a list or object that the caller made may be changed later."""
    if isinstance(fetches, (list, tuple)):
        return [_pinned(value) for value in fetches]
    if isinstance(fetches, dict):
        return [_pinned(value) for value in fetches.values()]
    if hasattr(fetches, "__attrs_attrs__"):
        return [_pinned(getattr(fetches, attribute.name)) for attribute in fetches.__attrs_attrs__]
    return fetches


def feed_array(tensor: SymbolicTensor, value: Any) -> Any:
    """`value` as an array of the tensor's dtype, its shape checked.

    Raises TypeError for a tensor or a number that doesn't fit, ValueError for a shape that doesn't.
    """
    if isinstance(value, Tensor):
        if not isinstance(value, EagerTensor):
            raise TypeError(
                "The value of a feed cannot be a tf.Tensor object. Acceptable feed values include Python scalars, strings, lists, "
                f"numpy ndarrays, or TensorHandles. For reference, the tensor object was {value!r} which was passed to the argument "
                f"`feed_dict` with key {tensor!r}."
            )
        value = value._array
    dtype = tensor.dtype.base_dtype
    if dtype is dtypes.string:
        from_text = np.asarray(value, object)
        array = np.frompyfunc(lambda text: text.encode() if isinstance(text, str) else bytes(text), 1, 1)(from_text)
        array = np.asarray(array, object)
    elif not dtype.is_numpy_compatible or isinstance(value, VariableState):
        return value
    else:
        array = np.asarray(value, dtype=dtype.numpy_dtype)
        if isinstance(value, int) and array != value:
            raise TypeError(
                f"Type of feed value {value} with type {type(value)} is not compatible with Tensor type {dtype.as_numpy_dtype}. "
                "Try explicitly setting the type of the feed tensor to a larger type (e.g. int64)."
            )
    known = tensor._shape.dimensions
    if known is not None and not _fits(array.shape, known):
        raise ValueError(
            f"Cannot feed value of shape {array.shape} for Tensor {tensor.name}, which has shape {TensorShape(known)}"
        )
    return array


def _fits(shape: tuple[int, ...], known: tuple[int | None, ...]) -> bool:
    return len(shape) == len(known) and all(
        want is None or have == want for have, want in zip(shape, known, strict=True)
    )


class _PartialRun:
    """A run in steps: what earlier steps computed is given to later ones, so that nothing runs twice."""

    def __init__(self, session: BaseSession, fetches: Any, feeds: Sequence[Any]) -> None:
        self._session = session
        graph = session.graph
        plan = _Request(session, list(nest.flatten(fetches)), [], compile=False)
        self._allowed = {id(leaf) for leaf in plan.leaves}
        self._feedable = {id(graph.as_graph_element(feed, allow_operation=False)) for feed in feeds}
        self._values: dict[int, tuple[SymbolicTensor, Any]] = {}
        self._done: set[int] = set()

    def step(self, fetches: Any, feed_dict: dict[Any, Any]) -> Any:
        session = self._session
        tensors, arrays = session._feeds(feed_dict)
        for tensor, array in zip(tensors, arrays, strict=True):
            if id(tensor) not in self._feedable:
                raise ValueError(f"The tensor {tensor.name} was not specified in partial_run_setup.")
            if id(tensor) in self._values:
                raise ValueError(f"The feed {tensor.name} was already fed.")
            self._values[id(tensor)] = (tensor, array)
        request = _Request(session, fetches, [], compile=False)
        for leaf in request.leaves:
            if id(leaf) not in self._allowed:
                raise ValueError(f"The fetch {leaf.name} was not specified in partial_run_setup.")
        self._execute(request)
        values = [self._values[id(tensor)][1] for tensor in request.outputs]
        return request.pack([_owned_by_caller(value) for value in values])

    def _execute(self, request: _Request) -> None:
        known = [tensor for tensor, _ in self._values.values()]
        missing = [tensor for tensor in request.outputs if id(tensor) not in self._values]
        targets = [operation for operation in request.targets if operation.sequence not in self._done]
        whole = Function.cut("partial_run", known, missing, targets, self._session.graph)
        operations = [operation for operation in whole.operations if operation.sequence not in self._done]
        made = [tensor for operation in operations for tensor in operation.outputs if id(tensor) not in self._values]
        function = Function("partial_run", known, made, operations, self._session.graph)
        executable = self._session._engine.compile(function, self._session._context)
        results = executable([array for _, array in self._values.values()])
        self._done.update(operation.sequence for operation in operations)
        for tensor, array in zip(made, results, strict=True):
            self._values[id(tensor)] = (tensor, array)


@public(v1=["Session"])
class Session(BaseSession):
    """Runs operations of a graph.

    target, config: accepted as TensorFlow has them; there is one process and one engine.
    graph: the graph to run (the default graph when None).

        with tf.Session() as sess:
            sess.run(fetches, feed_dict={placeholder: value})
    """

    def __init__(self, target: str = "", graph: Graph | None = None, config: Any = None) -> None:
        super().__init__(target, graph, config)
        self._blocks: list[Any] = []

    def __enter__(self) -> Session:
        block = self._entered()
        block.__enter__()
        self._blocks.append(block)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._blocks.pop().__exit__(*exc_info)
        self.close()

    @staticmethod
    def reset(target: str, containers: Any = None, config: Any = None) -> None:
        """There are no remote sessions to reset."""


@public(v1=["InteractiveSession"])
class InteractiveSession(BaseSession):
    """A session that is the default one from its creation on, until closed."""

    def __init__(self, target: str = "", graph: Graph | None = None, config: Any = None) -> None:
        super().__init__(target, graph, config)
        _STACK.sessions.append(self)
        self._block = None
        if graph is not None:
            self._block = context.use_graph(graph)
            self._block.__enter__()

    def close(self) -> None:
        super().close()
        if self in _STACK.sessions:
            _STACK.sessions.remove(self)
        if self._block is not None:
            self._block.__exit__(None, None, None)
            self._block = None

    def __enter__(self) -> InteractiveSession:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()
