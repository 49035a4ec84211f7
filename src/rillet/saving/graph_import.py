"""Graphs from messages: tf.import_graph_def, for graphs made here and by TensorFlow."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rillet.core import context, dtypes, opdef
from rillet.core.dispatch import convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import REGISTRY, OpDef
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.tensor import SymbolicTensor, handle_data, set_handle_data
from rillet.errors import ShapeError
from rillet.saving import attributes, conditionals
from rillet.saving.tensors import shape_of

_SCALAR_MEANT_UNKNOWN = 24  # graphs of producers before this wrote [] for the unknown shape of a placeholder


@public("import_graph_def", "graph_util.import_graph_def")
def import_graph_def(
    graph_def: Any,
    input_map: Mapping[str, Any] | None = None,
    return_elements: Sequence[str] | None = None,
    name: str | None = None,
    op_dict: Any = None,
    producer_op_list: Any = None,
) -> list[Any] | None:
    """Adds the nodes of a GraphDef to the default graph.

    input_map: tensors of the graph that take the place of tensors of the GraphDef, by name ("x" or "x:0").
    return_elements: names of operations ("y") and tensors ("y:0") to return, in a list.
    name: scope of the nodes' names ("import" when None; "" for none).
    Raises TypeError for what is no GraphDef; ValueError for nodes, inputs or attributes that make no graph, for ops that
    are not known, and for what cannot be converted: the message names the node.
    """
    if getattr(getattr(graph_def, "DESCRIPTOR", None), "name", "") != "GraphDef":
        raise TypeError("Argument `graph_def` must be a GraphDef proto.")
    graph = context.get_default_graph()
    mapped = {_normal(key): _mapped(value, graph) for key, value in (input_map or {}).items()}
    with context.use_graph(graph), graph.name_scope("import" if name is None else name) as scope:
        importer = GraphImporter(graph, graph_def, scope, mapped)
        importer.run()
    unused = [key for key in mapped if key not in importer.used]
    if unused:
        raise ValueError(f"Attempted to map inputs that were not found in graph_def: [{', '.join(unused)}]")
    return None if return_elements is None else [importer.element(wanted) for wanted in return_elements]


def _mapped(value: Any, graph: Graph) -> Any:
    if isinstance(value, Operation):
        return value
    tensor = convert_to_tensor(value)
    return tensor if isinstance(tensor, SymbolicTensor) else graph.capture(tensor)


def _normal(name: str) -> str:
    """ "x" for "x:0"."""
    return name.removesuffix(":0")


class GraphImporter:
    """Adds nodes to a graph. `operations` has what was made, by the nodes' names."""

    def __init__(self, graph: Graph, graph_def: Any, scope: str, input_map: Mapping[str, Any] | None = None) -> None:
        self.operations: dict[str, Operation] = {}
        self.used: set[str] = set()
        self._graph = graph
        self._message = graph_def
        self._scope = scope
        self._map = input_map or {}
        self._nodes = _NodeReader(Library(graph_def.library, graph), graph_def.versions.producer)
        self._values = conditionals.Values(graph)

    def run(self) -> None:
        for node in _in_order(self._message.node, lambda source: source.lstrip("^").partition(":")[0]):
            full = self._scope + node.name
            if full in self._graph._by_name:
                raise ValueError(f"Node name '{full}' already exists in the Graph")
            inputs = [self._input(node, source) for source in node.input if not source.startswith("^")]
            waits = [self._control(node, source[1:]) for source in node.input if source.startswith("^")]
            if self._values.takes(node.op):
                operation = self._values.add(node, inputs, full)
            else:
                operation = self._nodes.add(self._graph, node, inputs, full)
                self._values.passed(operation, inputs, waits)
            if waits:
                operation._add_control_inputs(waits)
            self.operations[node.name] = operation

    def _input(self, node: Any, source: str) -> Any:
        name = _normal(source)
        if name in self._map:
            self.used.add(name)
            return self._map[name]
        label, _, index = source.partition(":")
        outputs = self._values.outputs(self._made(node, label))
        place = int(index or 0)
        if place >= len(outputs):
            raise ValueError(
                f"Node '{node.name}': Connecting to invalid output {place} of source node {label} which has "
                f"{len(outputs)} outputs."
            )
        return outputs[place]

    def _control(self, node: Any, name: str) -> Operation:
        known = self._map.get("^" + name)
        if known is not None:
            self.used.add("^" + name)
            return known if isinstance(known, Operation) else known.op
        return self._made(node, name)

    def _made(self, node: Any, name: str) -> Operation:
        if name not in self.operations:
            raise ValueError(f"Node '{node.name}': Unknown input node '{name}'")
        return self.operations[name]

    def element(self, name: str) -> Any:
        """The operation or tensor that the GraphDef called so."""
        label, colon, index = name.partition(":")
        operation = self.operations.get(label)
        if operation is None or (colon and int(index) >= len(operation.outputs)):
            raise ValueError(f"Requested return_element {name!r} not found in graph_def.")
        return self._values.outputs(operation)[int(index)] if colon else operation


def _in_order(nodes: Sequence[Any], source_name: Callable[[str], str]) -> list[Any]:
    """The nodes, each behind its inputs; among what is ready, in the order of the file. ValueError for a cycle."""
    places = {node.name: place for place, node in enumerate(nodes)}
    if len(places) != len(nodes):
        names = [node.name for node in nodes]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Node '{twice}' is not unique")
    waiting, readers = [0] * len(nodes), [[] for _ in nodes]  # type: ignore[var-annotated]
    for place, node in enumerate(nodes):
        for source in {source_name(each) for each in node.input}:
            if source in places:
                waiting[place] += 1
                readers[places[source]].append(place)
    ready = [place for place, count in enumerate(waiting) if count == 0]
    result = []
    while ready:
        place = heapq.heappop(ready)
        result.append(nodes[place])
        for reader in readers[place]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    if len(result) != len(nodes):
        stuck = next(node for place, node in enumerate(nodes) if waiting[place])
        loop = next((node for node in nodes if node.op in conditionals.LOOP_OPS), None)
        if loop is not None:
            raise conditionals.cannot_convert(loop)
        raise ValueError(f"The nodes form a cycle, which node '{stuck.name}' is behind")
    return result


class _NodeReader:
    """Makes operations of NodeDefs."""

    def __init__(self, library: Library, producer: int) -> None:
        self._library = library
        self._producer = producer

    def add(self, graph: Graph, node: Any, tensors: Sequence[Any], name: str) -> Operation:
        """Adds one node under `name`. ValueError, naming the node, for one that makes no operation."""
        if node.op in self._library and node.op not in REGISTRY:
            return self._call(graph, node, tensors, name)
        definition = REGISTRY.get(node.op)
        if definition is None:
            if node.op in conditionals.LOOP_OPS:
                raise conditionals.cannot_convert(node)
            raise ValueError(f"Op type not registered '{node.op}', of node '{node.name}'")
        attrs = self._attrs(definition, node, tensors)
        return _created(graph, definition, tensors, attrs, name, node)

    def _attrs(self, definition: OpDef, node: Any, tensors: Sequence[Any]) -> dict[str, Any]:
        declared = definition.signature.attributes
        attrs: dict[str, Any] = {}
        for key, attribute in declared.items():
            if key in node.attr:
                function = self._library.at(definition, node, tensors)
                attrs[key] = attributes.read(node.attr[key], attribute, function)
            else:
                attrs[key] = attributes.default_of(attribute)
                if attrs[key] is opdef.REQUIRED:
                    raise ValueError(f"NodeDef missing attr '{key}' from Op {node.op}, node '{node.name}'")
        if node.op == "Placeholder" and self._producer < _SCALAR_MEANT_UNKNOWN and attrs["shape"].rank == 0:
            attrs["shape"] = UNKNOWN
        return attrs

    def _call(self, graph: Graph, node: Any, tensors: Sequence[Any], name: str) -> Operation:
        """A node whose op is a function of the library."""
        function = self._library.function(node.op, [_spec(tensor) for tensor in tensors])
        definition = REGISTRY["StatefulPartitionedCall" if function.is_stateful else "PartitionedCall"]
        types = tuple(tensor.dtype.base_dtype for tensor in tensors)
        return _created(
            graph, definition, tensors, {"Tin": types, "Tout": function.output_dtypes, "f": function}, name, node
        )


def _created(
    graph: Graph, definition: OpDef, tensors: Sequence[Any], attrs: dict[str, Any], name: str, node: Any
) -> Operation:
    expected = opdef.argument_dtypes(definition.signature.inputs, attrs)
    if len(expected) != len(tensors):
        raise ValueError(f"NodeDef '{node.name}' expected {len(expected)} inputs, has {len(tensors)} ({node.op})")
    for index, (tensor, dtype) in enumerate(zip(tensors, expected, strict=True)):
        if tensor.dtype.base_dtype is not dtype.base_dtype:
            raise ValueError(
                f"Input {index} of node {node.name} was passed {tensor.dtype.name} from {tensor.name} incompatible with "
                f"expected {dtype.name}."
            )
    try:
        with graph.device(node.device or None) if node.device else graph.control_dependencies(None):
            operation = graph.create_operation(definition, tuple(tensors), attrs, name + "/")
    except ShapeError as error:
        raise ValueError(f"Node '{node.name}' ({node.op}): {error.static_text}") from None
    operation.site = None
    return operation


# ---- functions ------------------------------------------------------------------------------------------------------

Spec = tuple[DType, TensorShape, Any]  # of a parameter; the last is what its handle leads to


def _spec(tensor: Any) -> Spec:
    return tensor.dtype.base_dtype, tensor.shape, handle_data(tensor)


class Library:
    """The functions of a GraphDef. A body is built for the shapes that it is called with."""

    def __init__(self, message: Any, outer: Graph | None) -> None:
        self._messages = {function.signature.name: function for function in message.function}
        self._outer = outer
        self._built: dict[Any, Function] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._messages

    def names(self) -> list[str]:
        return list(self._messages)

    def at(self, definition: OpDef, node: Any, tensors: Sequence[Any]) -> Callable[[str], Function]:
        """What a function is that this node mentions: one of the inputs that the node hands on."""

        def build(name: str) -> Function:
            return self.function(name, self._handed_on(definition, node, tensors))

        return build

    def _handed_on(self, definition: OpDef, node: Any, tensors: Sequence[Any]) -> list[Spec]:
        inputs = definition.signature.inputs
        given = inputs[-1].type_list_attr if inputs else None
        if given is None:
            raise ValueError(f"node '{node.name}' ({node.op}) refers to a function, but hands nothing on to it")
        specs = [_spec(tensor) for tensor in tensors[len(inputs) - 1 :]]
        if not any(argument.type_list_attr == given for argument in definition.signature.outputs):
            return specs
        shapes = [shape_of(shape) for shape in node.attr["output_shapes"].list.shape]  # a loop's variables may change
        shapes = shapes or [UNKNOWN] * len(specs)
        return [
            (dtype, known if data is not None and dtype is dtypes.resource else shape, data)
            for (dtype, known, data), shape in zip(specs, shapes, strict=True)
        ]

    def function(self, name: str, specs: Sequence[Spec]) -> Function:
        """The function called `name`, for parameters like these. ValueError where there is none."""
        key = (name, tuple((dtype, shape.dimensions, _frozen(data)) for dtype, shape, data in specs))
        if key not in self._built:
            if name not in self._messages:
                raise ValueError(f"Function {name} is not in the graph's library")
            self._built[key] = self._build(self._messages[name], specs)
        return self._built[key]

    def parameters(self, name: str) -> list[Spec]:
        """The parameters of a function, as far as its own definition says what they are."""
        message = self._messages[name]
        specs = []
        for index, argument in enumerate(message.signature.input_arg):
            shapes = message.arg_attr[index].attr["_output_shapes"].list.shape if index in message.arg_attr else ()
            data = argument.handle_data[0] if argument.handle_data else None
            specs.append((
                dtypes.as_dtype(argument.type),
                shape_of(shapes[0]) if shapes else UNKNOWN,
                data and (dtypes.as_dtype(data.dtype), shape_of(data.shape)),
            ))  # fmt: skip
        return specs

    def _build(self, message: Any, specs: Sequence[Spec]) -> Function:
        signature = message.signature
        graph = FuncGraph(signature.name, outer_graph=None)
        graph.outer_graph = self._outer
        if len(specs) != len(signature.input_arg):
            raise ValueError(
                f"Function {signature.name} takes {len(signature.input_arg)} arguments, {len(specs)} are given"
            )
        with graph.as_default(), context.without_recording():
            body = _Body(graph, self)
            for argument, (dtype, shape, data) in zip(signature.input_arg, specs, strict=True):
                parameter = graph.add_input(dtype, shape, argument.name)
                set_handle_data(parameter, data)
                body.parameters[argument.name] = parameter
            body.add(message.node_def)
            graph.outputs = [body.tensor(message.ret[argument.name]) for argument in signature.output_arg]
        graph.structured_outputs = list(graph.outputs)
        graph.__dict__["_explicit"] = len(graph.inputs)
        return graph.function()


def _frozen(data: Any) -> Any:
    return None if data is None else (data[0], data[1].dimensions)


class _Body:
    """The nodes of one function."""

    def __init__(self, graph: FuncGraph, library: Library) -> None:
        self.parameters: dict[str, SymbolicTensor] = {}
        self._graph = graph
        self._library = library
        self._reader = _NodeReader(library, _SCALAR_MEANT_UNKNOWN)
        self._operations: dict[str, tuple[Any, Operation]] = {}

    def add(self, nodes: Sequence[Any]) -> None:
        for node in _in_order(nodes, lambda source: source.lstrip("^").partition(":")[0]):
            if node.op in conditionals.CONDITIONAL_OPS:
                raise conditionals.cannot_convert(node)
            tensors = [self.tensor(source) for source in node.input if not source.startswith("^")]
            operation = self._reader.add(self._graph, node, tensors, node.name)
            waits = [source[1:] for source in node.input if source.startswith("^")]
            operation._add_control_inputs([self._operations[name][1] for name in waits if name in self._operations])
            self._operations[node.name] = (node, operation)

    def tensor(self, source: str) -> SymbolicTensor:
        """The tensor that `source` names: a parameter, or "node:output argument:place"."""
        parts = source.split(":")
        if parts[0] in self.parameters:
            return self.parameters[parts[0]]
        if parts[0] not in self._operations or len(parts) != 3:
            raise ValueError(f"function {self._graph.name}: there is no tensor {source!r}")
        node, operation = self._operations[parts[0]]
        return operation.outputs[self._start(node, operation, parts[1]) + int(parts[2])]

    def _start(self, node: Any, operation: Operation, argument_name: str) -> int:
        """The place of the first output that belongs to an output argument."""
        if node.op in self._library and node.op not in REGISTRY:
            names = [argument.name for argument in self._library._messages[node.op].signature.output_arg]
            return names.index(argument_name)
        start = 0
        for argument in operation.definition.signature.outputs:
            if argument.name == argument_name:
                return start
            if argument.number_attr is not None:
                start += operation.attrs[argument.number_attr]
            elif argument.type_list_attr is not None:
                start += len(operation.attrs[argument.type_list_attr])
            else:
                start += 1
        raise ValueError(f"node '{node.name}' ({node.op}) has no output {argument_name!r}")
