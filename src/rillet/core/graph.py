"""The computational graph: operations are its nodes, tensors its edges. It is named and append-only."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rillet.core import context, opdef
from rillet.core.dtypes import DType
from rillet.core.locks import lock
from rillet.core.opdef import OpDef
from rillet.core.shapes import TensorShape
from rillet.core.tensor import SymbolicTensor, Tensor
from rillet.errors import Location, Site, location_of, user_site

if TYPE_CHECKING:
    from rillet.core.opdef import GradientRule

next_sequence = itertools.count().__next__

_VALID_NAME = re.compile(r"^[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*$")
_VALID_SCOPE = re.compile(r"^[A-Za-z0-9_.\\/>-]*$")


class Operation:
    """A node: one use of an op. In a graph it has a name; on a gradient tape it has none, and `graph` is None.

    `sequence` grows with every operation made in this process, so it orders any set of operations as they were made.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "attrs",
        "control_inputs",
        "definition",
        "device",
        "gradient_rule",
        "graph",
        "inputs",
        "name",
        "outputs",
        "sequence",
        "site",
    )

    graph: Graph | None
    outputs: list[Any]
    device: str

    def __init__(
        self,
        definition: OpDef,
        inputs: tuple[Tensor, ...],
        attrs: dict[str, Any],
        gradient_rule: GradientRule | None = None,
    ) -> None:
        self.definition = definition
        self.inputs = inputs
        self.attrs = attrs
        self.gradient_rule = gradient_rule
        self.sequence = next_sequence()
        self.graph = None
        self.name = ""
        self.outputs = []
        self.control_inputs: list[Operation] = []
        self.device = ""
        self.site: Site | None = None

    @property
    def type(self) -> str:
        return self.definition.name

    @property
    def op_def(self) -> OpDef:
        return self.definition

    @property
    def gradient(self) -> Any:
        """The rule in force for this node: its own (custom_gradient, gradient_override_map) or the op's."""
        return self.gradient_rule or self.definition.gradient

    @property
    def location(self) -> Location | None:
        return location_of(self.site)

    @property
    def traceback(self) -> list[Location]:
        return [self.location] if self.location else []

    def get_attr(self, name: str) -> Any:
        """The value of attribute `name`; ValueError when the operation has none of that name."""
        if name not in self.attrs:
            raise ValueError(f"Operation '{self.name}' has no attr named '{name}'.")
        value = self.attrs[name]
        return list(value) if isinstance(value, tuple) else value

    def values(self) -> tuple[Any, ...]:
        return tuple(self.outputs)

    def run(self, feed_dict: Any = None, session: Any = None) -> None:
        """Runs the operation in `session` or the default session."""
        assert self.graph is not None
        self.graph.evaluate(self, feed_dict, session)

    def colocation_groups(self) -> list[bytes]:
        return [b"loc:@" + self.name.encode()]

    def _set_device(self, device: Any) -> None:
        self.device = str(device)

    def _set_attr(self, name: str, value: Any) -> None:
        self.attrs[name] = value
        if self.graph is not None:
            self.graph.rewrites += 1

    def _add_control_input(self, operation: Operation) -> None:
        self._add_control_inputs([operation])

    def _add_control_inputs(self, operations: Iterable[Operation]) -> None:
        self.control_inputs.extend(op for op in operations if op not in self.control_inputs)
        if self.graph is not None:
            self.graph.rewrites += 1

    def _extend_outputs(self, dtypes: Iterable[DType], shapes: Iterable[TensorShape]) -> list[SymbolicTensor]:
        """Adds outputs behind the existing ones, which stay as they are. (A call, branch or loop starts to return
        intermediate values when somebody differentiates it.)"""
        added = []
        for dtype, shape in zip(dtypes, shapes, strict=True):
            tensor = SymbolicTensor(self, len(self.outputs), dtype)
            tensor._shape = shape
            self.outputs.append(tensor)
            added.append(tensor)
        if self.graph is not None:
            self.graph.rewrites += 1
        return added

    def __str__(self) -> str:
        """The start of the NodeDef's text: name, op, inputs (control inputs with a caret), device."""
        names = [tensor.name.removesuffix(":0") for tensor in self.inputs]
        names += ["^" + operation.name for operation in self.control_inputs]
        lines = [f'name: "{self.name}"', f'op: "{self.type}"', *[f'input: "{name}"' for name in names]]
        return "\n".join([*lines, *([f'device: "{self.device}"'] if self.device else []), ""])

    def __repr__(self) -> str:
        return f"<tf.Operation '{self.name}' type={self.type}>"


class _Scopes(threading.local):
    """What `with` blocks have set on a graph, a thread."""

    def __init__(self) -> None:
        self.name = ""
        self.devices: list[Any] = []
        self.control: list[_ControlDependencies | None] = []
        self.gradient_overrides: dict[str, str] = {}
        self.containers: list[str] = []
        self.attrs: dict[str, Any] = {}


class Numbering:
    """How many operations took a seed that they didn't have themselves: the next one's seed is their number. TensorFlow 1
    had one graph for a loop and what is around it: there the graphs share one numbering."""

    __slots__ = ("seeds",)

    def __init__(self) -> None:
        self.seeds = 0


class _ControlDependencies:
    """One `with control_dependencies(...)` block, and the operations made in it."""

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations
        self.seen: set[Operation] = set()


GRADIENT_RULES: dict[str, GradientRule] = {}  # tf.RegisterGradient, by name


class Graph:
    """A dataflow graph. Operations are added by calling ops inside `with graph.as_default()`."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self._by_name: dict[str, Operation] = {}
        self._names_in_use: dict[str, int] = {}
        self._collections: dict[Any, list[Any]] = {}
        self._consumers: dict[int, list[Operation]] = {}
        self._consumers_counted = 0
        self._scopes = _Scopes()
        self._lock = lock()
        self._unfeedable: set[int] = set()
        self._unfetchable: set[int] = set()
        self._finalized = False
        self.numbering = Numbering()
        self._captured_constants: dict[int, tuple[Any, SymbolicTensor]] = {}
        self.seed: int | None = None
        self.version = 0  # grows with every operation
        self.rewrites = 0  # grows when an existing operation changes: what was compiled before is stale

    # ---- operations -------------------------------------------------------------------------------------------

    def create_operation(
        self,
        definition: OpDef,
        inputs: tuple[Tensor, ...],
        attrs: dict[str, Any],
        name: str | None = None,
        gradient_rule: GradientRule | None = None,
    ) -> Operation:
        """Appends a node. The inputs are tensors of this graph; `attrs` is complete.

        Raises RuntimeError when the graph is finalized, ValueError when static inference finds that the op cannot work.
        """
        if self._finalized:
            raise RuntimeError("Graph is finalized and cannot be modified.")
        with self._lock:
            operation = Operation(
                definition, inputs, attrs, gradient_rule or self._overriding_gradient(definition.name)
            )
            operation.graph = self
            operation.site = user_site()
            dtypes = opdef.argument_dtypes(definition.signature.outputs, attrs)
            operation.outputs = [SymbolicTensor(operation, index, dtype) for index, dtype in enumerate(dtypes)]
            # inference comes before naming: an op that cannot work leaves no trace
            set_static_shapes(operation)
            operation.name = self._operation_name(name or definition.name)
            operation.device = self._current_device(operation)
            self._add_control_dependencies(operation)
            self._operations.append(operation)
            self._by_name[operation.name] = operation
            self.version += 1
        return operation

    def _operation_name(self, name: str) -> str:
        if name.endswith("/"):
            exact = name[:-1]
            if exact in self._by_name:
                return self.unique_name(exact)
            self._names_in_use.setdefault(exact.lower(), 1)
            return exact
        if not _VALID_NAME.match(name):
            raise ValueError(
                f"'{name}' is not a valid node name. Accepted names conform to Regex /{_VALID_NAME.pattern}/"
            )
        return self.unique_name(name)

    def _overriding_gradient(self, op_type: str) -> GradientRule | None:
        name = self._scopes.gradient_overrides.get(op_type)
        if name is None:
            return None
        if name not in GRADIENT_RULES:
            raise LookupError(f"gradient registry has no entry for: {name}")
        return GRADIENT_RULES[name]

    def _current_device(self, operation: Operation) -> str:
        device = ""
        for setting in self._scopes.devices:
            if callable(setting):
                device = canonical_device(setting(operation) or "", device)
            elif setting is None:
                device = ""
            else:
                device = canonical_device(str(setting), device)
        return device

    def _add_control_dependencies(self, operation: Operation) -> None:
        # an input made inside the block already waits for it
        input_operations = {tensor.op for tensor in operation.inputs}  # type: ignore[attr-defined]
        active: list[_ControlDependencies] = []
        for block in self._scopes.control:
            if block is None:
                active.clear()
            else:
                active.append(block)
        for block in active:
            if block.seen.isdisjoint(input_operations):
                operation.control_inputs.extend(
                    op for op in block.operations if op not in operation.control_inputs and op not in input_operations
                )
            block.seen.add(operation)

    def get_operations(self) -> list[Operation]:
        """Every operation, in the order they were made."""
        return list(self._operations)

    @property
    def operations(self) -> list[Operation]:
        return list(self._operations)

    def number_of_operations(self) -> int:
        return len(self._operations)

    @property
    def _last_id(self) -> int:
        return len(self._operations)

    def consumers_of(self, tensor: SymbolicTensor) -> list[Operation]:
        with self._lock:
            for operation in self._operations[self._consumers_counted :]:
                for source in operation.inputs:
                    self._consumers.setdefault(id(source), []).append(operation)
            self._consumers_counted = len(self._operations)
            return list(self._consumers.get(id(tensor), ()))

    def get_operation_by_name(self, name: str) -> Operation:
        """KeyError when there is none, TypeError when `name` is not a string."""
        if not isinstance(name, str):
            raise TypeError(f"Operation names are strings (or similar), not {type(name).__name__}.")
        return self.as_graph_element(name, allow_tensor=False, allow_operation=True)  # type: ignore[no-any-return]

    def get_tensor_by_name(self, name: str) -> SymbolicTensor:
        """The tensor called "op:index"; KeyError when there is none, ValueError for an operation's name."""
        if not isinstance(name, str):
            raise TypeError(f"Tensor names are strings (or similar), not {type(name).__name__}.")
        return self.as_graph_element(name, allow_tensor=True, allow_operation=False)  # type: ignore[no-any-return]

    def as_graph_element(self, obj: Any, allow_tensor: bool = True, allow_operation: bool = True) -> Any:
        """The tensor or operation of this graph that `obj` stands for: itself, a name, or an object with
        `_as_graph_element` (a variable).

        Raises TypeError for anything else, ValueError for an element of another graph, KeyError for an unknown name.
        """
        as_element = getattr(obj, "_as_graph_element", None)
        if as_element is not None:
            obj = as_element()
        if isinstance(obj, str):
            return self._element_named(obj, allow_tensor, allow_operation)
        if isinstance(obj, bytes):
            return self._element_named(obj.decode(), allow_tensor, allow_operation)
        wanted = " or ".join(kind for kind, ok in (("Tensor", allow_tensor), ("Operation", allow_operation)) if ok)
        if (isinstance(obj, SymbolicTensor) and allow_tensor) or (isinstance(obj, Operation) and allow_operation):
            if obj.graph is not self:
                kind = "Tensor" if isinstance(obj, SymbolicTensor) else "Operation"
                raise ValueError(f"{kind} {obj} is not an element of this graph.")
            return obj
        raise TypeError(f"Can not convert a {type(obj).__name__} into a {wanted}.")

    def _element_named(self, name: str, allow_tensor: bool, allow_operation: bool) -> Any:
        op_name, colon, index_text = name.partition(":")
        if colon and allow_tensor:
            if not index_text.isdigit():
                raise ValueError(
                    f"The name {name!r} looks a like a Tensor name, but is not a valid one. Tensor names must be of the form "
                    '"<op_name>:<output_index>".'
                )
            operation = self._by_name.get(op_name)
            if operation is None:
                raise KeyError(
                    f"The name {name!r} refers to a Tensor which does not exist. The operation, {op_name!r}, does not exist "
                    f"in the graph.{self._did_you_mean(op_name)}"
                )
            if int(index_text) >= len(operation.outputs):
                raise KeyError(
                    f"The name {name!r} refers to a Tensor which does not exist. The operation, {op_name!r}, exists but "
                    f"only has {len(operation.outputs)} outputs."
                )
            return operation.outputs[int(index_text)]
        if colon:
            raise ValueError(
                f"The name {name!r} looks like a Tensor name (it has a colon): an Operation name was expected."
            )
        if not allow_operation:
            what = "refers to an Operation" if name in self._by_name else "looks like an (invalid) Operation name"
            raise ValueError(
                f'The name {name!r} {what}, not a Tensor. Tensor names must be of the form "<op_name>:<output_index>".'
            )
        if name not in self._by_name:
            raise KeyError(f"The name {name!r} refers to an Operation not in the graph.{self._did_you_mean(name)}")
        return self._by_name[name]

    def _did_you_mean(self, name: str) -> str:
        import difflib

        close = difflib.get_close_matches(name, self._by_name, n=1)
        return f" Did you mean {close[0]!r}?" if close else ""

    # ---- names ------------------------------------------------------------------------------------------------

    def unique_name(self, name: str, mark_as_used: bool = True) -> str:
        """`name` inside the current name scope, with _1, _2 ... appended where it is taken (case is ignored)."""
        full = f"{self._scopes.name}/{name}" if self._scopes.name else name
        key = full.lower()
        count = self._names_in_use.get(key, 0)
        if mark_as_used:
            self._names_in_use[key] = count + 1
        if count == 0:
            return full
        candidate = key
        while candidate in self._names_in_use:
            candidate = f"{key}_{count}"
            count += 1
        if mark_as_used:
            self._names_in_use[candidate] = 1
        return f"{full}_{count - 1}"

    @contextlib.contextmanager
    def name_scope(self, name: str | None) -> Iterator[str]:
        """Names made inside start with this scope. "" or None leaves every scope; a name that ends in "/" re-enters
        that scope exactly. Yields the scope's name with its "/"."""
        if name:
            if not _VALID_SCOPE.match(name) or (not self._scopes.name and not _VALID_NAME.match(name)):
                raise ValueError(
                    f"'{name}' is not a valid scope name. A scope name has to match /{_VALID_NAME.pattern}/"
                )
            new = name[:-1] if name.endswith("/") else self.unique_name(name)
        else:
            new = ""
        old, self._scopes.name = self._scopes.name, new
        try:
            yield new + "/" if new else ""
        finally:
            self._scopes.name = old

    def get_name_scope(self) -> str:
        return self._scopes.name

    # ---- scopes -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def as_default(self) -> Iterator[Graph]:
        """Ops called inside are added to this graph."""
        with context.use_graph(self):
            yield self

    @contextlib.contextmanager
    def control_dependencies(self, control_inputs: Iterable[Any] | None) -> Iterator[None]:
        """Operations made inside run after `control_inputs` (operations, tensors, variables); None forgets outer ones."""
        block = None if control_inputs is None else _ControlDependencies(self._as_operations(control_inputs))
        self._scopes.control.append(block)
        try:
            yield
        finally:
            self._scopes.control.pop()

    def _as_operations(self, values: Iterable[Any]) -> list[Operation]:
        if isinstance(values, (SymbolicTensor, Operation)) or hasattr(values, "_as_graph_element"):
            values = [values]
        operations: list[Operation] = []
        for value in values:
            if value is None or (isinstance(value, Tensor) and not isinstance(value, SymbolicTensor)):
                continue  # what ran eagerly has run
            for part in getattr(value, "_flatten_components", lambda value=value: [value])():
                element = self.as_graph_element(getattr(part, "op", part))  # of a variable: itself, or its update
                operation = element.op if isinstance(element, SymbolicTensor) else element
                if operation not in operations:
                    operations.append(operation)
        return operations

    @contextlib.contextmanager
    def device(self, device_name_or_function: Any) -> Iterator[None]:
        """Annotates operations made inside with a device. (What runs where is the engine's choice.)"""
        if isinstance(device_name_or_function, str):
            canonical_device(device_name_or_function, "")
        self._scopes.devices.append(device_name_or_function)
        try:
            yield
        finally:
            self._scopes.devices.pop()

    @contextlib.contextmanager
    def colocate_with(self, op: Any, ignore_existing: bool = False) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def container(self, container_name: str) -> Iterator[str]:
        """State made inside belongs to this container."""
        self._scopes.containers.append(container_name)
        try:
            yield container_name
        finally:
            self._scopes.containers.pop()

    @property
    def current_container(self) -> str:
        return self._scopes.containers[-1] if self._scopes.containers else ""

    @contextlib.contextmanager
    def gradient_override_map(self, op_type_map: dict[str, str]) -> Iterator[None]:
        """Operations made inside use other gradient rules: {op type: name given to tf.RegisterGradient}."""
        if not isinstance(op_type_map, dict):
            raise TypeError("`op_type_map` must be a dictionary mapping strings to strings.")
        saved = self._scopes.gradient_overrides
        self._scopes.gradient_overrides = {**saved, **op_type_map}
        try:
            yield
        finally:
            self._scopes.gradient_overrides = saved

    # ---- collections ------------------------------------------------------------------------------------------

    def add_to_collection(self, name: Any, value: Any) -> None:
        if self._finalized:
            raise RuntimeError("Graph is finalized and cannot be modified.")
        self._collections.setdefault(name, []).append(value)

    def add_to_collections(self, names: Any, value: Any) -> None:
        for name in dict.fromkeys([names] if isinstance(names, str) else names):
            self.add_to_collection(name, value)

    def get_collection_ref(self, name: Any) -> list[Any]:
        return self._collections.setdefault(name, [])

    def get_collection(self, name: Any, scope: str | None = None) -> list[Any]:
        """The items collected under `name`; with `scope`, those whose name starts with (regex) `scope`."""
        items = self._collections.get(name, [])
        if scope is None:
            return list(items)
        pattern = re.compile(scope)
        return [item for item in items if hasattr(item, "name") and pattern.match(item.name)]

    def get_all_collection_keys(self) -> list[Any]:
        return [key for key in self._collections if isinstance(key, str)]

    @property
    def collections(self) -> list[Any]:
        return list(self._collections)

    def clear_collection(self, name: Any) -> None:
        self._collections.pop(name, None)

    # ---- the rest ---------------------------------------------------------------------------------------------

    def finalize(self) -> None:
        """Makes the graph read-only."""
        self._finalized = True

    @property
    def finalized(self) -> bool:
        return self._finalized

    def _unsafe_unfinalize(self) -> None:
        self._finalized = False

    @property
    def building_function(self) -> bool:
        return False

    def prevent_feeding(self, tensor: Tensor) -> None:
        self._unfeedable.add(id(tensor))

    def is_feedable(self, tensor: Tensor) -> bool:
        return id(tensor) not in self._unfeedable

    def prevent_fetching(self, operation: Operation) -> None:
        self._unfetchable.add(id(operation))

    def is_fetchable(self, tensor_or_operation: Any) -> bool:
        operation = getattr(tensor_or_operation, "op", tensor_or_operation)
        return id(operation) not in self._unfetchable

    def capture(self, tensor: Tensor, name: str | None = None) -> SymbolicTensor:
        """The tensor of this graph that stands for `tensor`. A concrete tensor becomes a constant, once.

        Raises ValueError for a symbolic tensor of another graph.
        """
        if isinstance(tensor, SymbolicTensor):
            if tensor.graph is self:
                return tensor
            raise ValueError(f"{tensor} must be from the same graph as the other inputs: it belongs to another graph.")
        return self._constant(tensor, name)

    def _constant(self, tensor: Tensor, name: str | None) -> SymbolicTensor:
        """A constant of this graph with the value of `tensor`, which is concrete or a constant of another graph."""
        known = self._captured_constants.get(id(tensor))
        if known is None:
            array = tensor.op.attrs["value"] if isinstance(tensor, SymbolicTensor) else tensor._array  # type: ignore[attr-defined]
            attrs = {"value": array, "dtype": tensor.dtype}
            with self.control_dependencies(None):
                constant = self.create_operation(opdef.REGISTRY["Const"], (), attrs, name or "Const").outputs[0]
            known = self._captured_constants[id(tensor)] = (tensor, constant)
        return known[1]

    # Evaluating needs a session, which belongs to a higher layer: it sets this.
    evaluator: Callable[[Any, Any, Any], Any] | None = None

    def evaluate(self, element: Any, feed_dict: Any, session: Any) -> Any:
        assert Graph.evaluator is not None
        return Graph.evaluator(element, feed_dict, session)


def canonical_device(device: str, outer: str) -> str:
    """ "/cpu:0" as "/device:CPU:0", merged over `outer`. ValueError for what is no device name."""
    parts: dict[str, str] = {}
    for text in (outer, device):
        for part in filter(None, text.split("/")):
            key, _, value = part.partition(":")
            if key in ("job", "replica", "task"):
                parts[key] = value
            elif key == "device" and value:
                parts["device"] = value if ":" in value else value + ":0"
            elif key.lower() in ("cpu", "gpu", "tpu", "xla_cpu", "xla_gpu"):
                parts["device"] = f"{key.upper()}:{value or '0'}"
            else:
                raise ValueError(f"Unknown attribute: '{key}' in '{device}'")
    order = ("job", "replica", "task", "device")
    return "".join(f"/{key}:{parts[key]}" for key in order if key in parts)


def set_static_shapes(operation: Operation) -> None:
    """Runs the op's inference on the operation's outputs."""
    rule = operation.definition.shape
    if rule is None:
        return
    shapes = rule(operation)
    if not isinstance(shapes, list):
        shapes = [shapes]
    for tensor, shape in zip(operation.outputs, shapes, strict=True):
        tensor._shape = shape if type(shape) is TensorShape else TensorShape(shape)


context.set_graph_factory(Graph)
