"""Running kernels: the state that stateful ops own, and how a node's kernel gets its attributes."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Hashable, Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rillet.core import locks
from rillet.core.opdef import OpDef

if TYPE_CHECKING:
    from rillet.core.dtypes import DType
    from rillet.core.function import Function
    from rillet.core.graph import Operation
    from rillet.core.shapes import TensorShape

Kernel = Callable[..., Any]


class Executable(Protocol):
    """A compiled Function: arrays in, arrays out."""

    def __call__(self, arrays: Sequence[Any]) -> list[Any]: ...


class Plan(Protocol):
    """How a Function runs: printable, and countable."""

    @property
    def operations(self) -> int:
        """How many operations run."""
        ...

    @property
    def kernels(self) -> int:
        """How many kernels they became."""
        ...


class Engine(Protocol):
    """What turns a Function into something that runs. Its state lives in the context it is compiled for."""

    name: str

    def compile(self, function: Function, context: ExecutionContext) -> Executable: ...

    def plan(self, function: Function, context: ExecutionContext, arrays: Sequence[Any]) -> Plan:
        """How the function would run on arrays like these."""
        ...


class VariableState:
    """The memory of one variable. `value` is None until it is initialised; kernels replace it, never write into it."""

    __slots__ = ("__weakref__", "dtype", "lock", "name", "shape", "value")

    def __init__(self, name: str, dtype: DType, shape: TensorShape) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.value: Any = None
        self.lock = locks.lock()

    def __repr__(self) -> str:
        return f"<VariableState {self.name!r} {self.dtype.name} {self.shape}>"


@runtime_checkable
class Restartable(Protocol):
    """What a node keeps if compiled programs hold on to it: it begins anew instead of being forgotten."""

    def restart(self) -> None: ...


class Attached(MutableMapping[Hashable, Any]):
    """A table whose entries belong to nodes, or to functions, and go with them. A key is such an object, or a tuple that
    begins with one.

    The objects themselves keep the entries: a table would keep both, since what is kept of a node refers to its graph.
    """

    def __init__(self) -> None:
        self._owners: weakref.WeakSet[Any] = weakref.WeakSet()
        self._others: dict[Hashable, Any] = {}  # of what can have no attributes
        self._name = f"attached {next(_numbers)}"

    def _entries(self, key: Hashable, make: bool = False) -> dict[Hashable, Any]:
        owner: Any = key[0] if isinstance(key, tuple) else key
        attributes = getattr(owner, "__dict__", None)
        if type(attributes) is not dict:
            return self._others
        found: dict[Hashable, Any] | None = attributes.get(self._name)
        if found is None:
            found = {}
            if make:
                attributes[self._name] = found
                self._owners.add(owner)
        return found

    def __getitem__(self, key: Hashable) -> Any:
        return self._entries(key)[_label(key)]

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self._entries(key, make=True)[_label(key)] = value

    def __delitem__(self, key: Hashable) -> None:
        del self._entries(key)[_label(key)]

    def __iter__(self) -> Iterator[Hashable]:
        for owner in list(self._owners):
            for label in list(owner.__dict__[self._name]):
                yield (owner, *label) if label else owner
        yield from list(self._others)

    def __len__(self) -> int:
        return sum(1 for _ in self)


_numbers = itertools.count()


def _label(key: Hashable) -> Hashable:
    """What an entry is called by its owner, who is not to refer to itself."""
    owner: Any = key[0] if isinstance(key, tuple) else key
    if type(getattr(owner, "__dict__", None)) is not dict:
        return key
    return key[1:] if isinstance(key, tuple) else ()


class ExecutionContext:
    """The state of a session (or of eager execution): resources by name, and what single nodes keep between runs."""

    def __init__(self, engine: Engine, outlives_graphs: bool = False) -> None:
        """outlives_graphs: what is kept of functions and nodes then goes when these go, and not only with the context."""
        self.engine = engine
        self.resources: dict[Hashable, Any] = {}
        self.node_states: MutableMapping[Hashable, Any] = Attached() if outlives_graphs else {}
        self._executables: MutableMapping[Hashable, Executable] = Attached() if outlives_graphs else {}
        self._lock = locks.lock()

    def resource(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The resource called `key`, made on first use."""
        with self._lock:
            found = self.resources.get(key)
            if found is None:
                found = self.resources[key] = make()
            return found

    def node_state(self, node: Hashable, make: Callable[[], Any]) -> Any:
        """What a stateful node keeps between its runs: a random generator's counter, a queue's position."""
        found = self.node_states.get(node)
        if found is None:
            with self._lock:
                found = self.node_states.setdefault(node, make())
        return found

    def forget_node_states(self) -> None:
        """Every node begins anew; resources stay."""
        with self._lock:
            for node, state in list(self.node_states.items()):
                if isinstance(state, Restartable):
                    state.restart()
                else:
                    del self.node_states[node]

    restart = forget_node_states

    def inside(self, node: Hashable) -> ExecutionContext:
        """Where the function runs that `node` calls: with the same resources, but with states of its own for the nodes of
        the function, so that every place that calls a function behaves as if the function's nodes stood there."""
        found: ExecutionContext = self.node_state((node, "inside"), self._make_inside)
        return found

    def _make_inside(self) -> ExecutionContext:
        result = ExecutionContext(self.engine)
        result.resources, result._lock = self.resources, self._lock
        return result

    def executable(self, function: Function) -> Executable:
        """`function` compiled for this context, once."""
        known = self._executables.get(function)
        if known is None:
            known = self._executables[function] = self.engine.compile(function, self)
        return known

    def call(self, function: Function, arrays: Sequence[Any]) -> list[Any]:
        """Runs a function body (of a call, a branch, a loop) on arrays."""
        return self.executable(function)(arrays)


def bind_kernel(definition: OpDef, attrs: dict[str, Any], context: ExecutionContext, node: Hashable) -> Kernel:
    """The op's reference kernel as a function of arrays alone.

    `node` keys the node's own state in `context`.
    """
    kernel = definition.reference
    assert kernel is not None, definition
    options = {name: attrs[name] for name in definition.kernel_attributes}
    if definition.kernel_needs_context:
        options["context"] = context
        if "node" in definition.keyword_names:
            options["node"] = node
    if not options:
        return kernel

    def bound(*arrays: Any) -> Any:
        return kernel(*arrays, **options)

    return bound


def holds_variable(tensor: Any) -> bool:
    """Whether the value of `tensor` is a reference variable itself, which is read where a value is needed."""
    if tensor.dtype.is_ref_dtype:
        return True
    operation = tensor.op
    if not operation.definition.passes_reference or operation.control_inputs:
        return False  # a read that waits for something is a snapshot of that moment
    return bool(operation.inputs[0].dtype.is_ref_dtype)


def takes_variable(operation: Operation) -> list[bool]:
    """Which inputs the op takes as variables themselves, where they are variables."""
    flags: list[bool] = []
    for argument in operation.definition.signature.inputs:
        count = 1
        if argument.number_attr is not None:
            count = operation.attrs[argument.number_attr]
        elif argument.type_list_attr is not None:
            count = len(operation.attrs[argument.type_list_attr])
        flags.extend([argument.is_ref] * count)
    return flags


LargeKernel = Callable[[OpDef, dict[str, Any], Sequence[Any]], Any]
LARGE = 1 << 16  # elements from which on an eager op may be worth a kernel of the engine's own


def _no_kernel(definition: OpDef, options: dict[str, Any], arrays: Sequence[Any]) -> None:
    return None


class _Eager:
    context: ExecutionContext
    large_kernel: LargeKernel = staticmethod(_no_kernel)


def eager_context() -> ExecutionContext:
    """The state of everything that runs eagerly in this process."""
    return _Eager.context


def set_eager_engine(engine: Engine) -> None:
    _Eager.context = ExecutionContext(engine, outlives_graphs=True)


def set_large_kernel(kernel: LargeKernel) -> None:
    """What computes elementwise ops on large arrays. It returns None where the reference kernel is to do that."""
    _Eager.large_kernel = staticmethod(kernel)


def run_large(definition: OpDef, options: dict[str, Any], arrays: Sequence[Any]) -> Any:
    return _Eager.large_kernel(definition, options, arrays)
