"""tf.graph_util: parts of a GraphDef, and a GraphDef whose variables have become constants. And graphs written to files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.ops.files import as_path
from rillet.saving import files, graph_export, messages
from rillet.saving.tensors import tensor_message

# Ops that give access to a variable.
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable")
_QUESTIONS = ("VarIsInitializedOp",)
_RESOURCE = dtypes.resource.as_datatype_enum


def _source(text: str) -> str:
    """The node that an input comes from."""
    return text.lstrip("^").partition(":")[0]


# ---- parts of graphs ------------------------------------------------------------------------------------------------


@public(v1=["graph_util.extract_sub_graph"])
def extract_sub_graph(graph_def: Any, dest_nodes: Sequence[str]) -> Any:
    """The nodes of a GraphDef that `dest_nodes` need, in the same order.

    Raises TypeError for what is no GraphDef or list of names, ValueError for a name that is not there.
    """
    if not hasattr(graph_def, "node"):
        raise TypeError(f"graph_def must be a graph_pb2.GraphDef proto, but got type {type(graph_def)}.")
    if isinstance(dest_nodes, str):
        raise TypeError(f"dest_nodes must be an iterable of strings, but got type {type(dest_nodes)}.")
    nodes = {node.name: node for node in graph_def.node}
    missing = [name for name in dest_nodes if name not in nodes]
    if missing:
        raise ValueError(f"{missing[0]} is not in graph")
    needed: set[str] = set()
    pending = list(dest_nodes)
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending.extend(_source(source) for source in nodes[name].input if _source(source) in nodes)
    return _with_nodes(graph_def, [node for node in graph_def.node if node.name in needed])


def _with_nodes(graph_def: Any, nodes: Iterable[Any]) -> Any:
    result = messages.get("GraphDef")()
    for node in nodes:
        result.node.add().ParseFromString(node.SerializeToString())
    result.library.ParseFromString(graph_def.library.SerializeToString())
    result.versions.ParseFromString(graph_def.versions.SerializeToString())
    return result


@public(v1=["graph_util.remove_training_nodes"])
def remove_training_nodes(input_graph: Any, protected_nodes: Sequence[str] | None = None) -> Any:
    """The GraphDef without nodes that only pass values on (Identity, CheckNumerics), the protected ones aside."""
    protected = set(protected_nodes or ())
    waited_for = {_source(source) for node in input_graph.node for source in node.input if source.startswith("^")}
    replaced: dict[str, str] = {}
    for node in input_graph.node:
        plain = [source for source in node.input if not source.startswith("^")]
        passes_on = node.op in ("Identity", "CheckNumerics") and len(plain) == len(node.input) == 1
        if passes_on and node.name not in protected and node.name not in waited_for:
            replaced[node.name] = plain[0]
    result = _with_nodes(input_graph, [node for node in input_graph.node if node.name not in replaced])
    for node in result.node:
        node.input[:] = [_followed(source, replaced) for source in node.input]
    return result


def _followed(source: str, replaced: dict[str, str]) -> str:
    while source.removesuffix(":0") in replaced:
        source = replaced[source.removesuffix(":0")]
    return source


# ---- variables as constants -----------------------------------------------------------------------------------------


@public(v1=["graph_util.convert_variables_to_constants"])
def convert_variables_to_constants(
    sess: Any,
    input_graph_def: Any,
    output_node_names: Sequence[str],
    variable_names_whitelist: Iterable[str] | None = None,
    variable_names_blacklist: Iterable[str] | None = None,
) -> Any:
    """The nodes of a GraphDef that the outputs need, with a constant in the place of each variable.

    The values are those in `sess`. variable_names_whitelist: only these variables; variable_names_blacklist: not these.
    Raises ValueError for an output that is not there; for a variable whose handle goes where no value can.
    """
    graph_def = extract_sub_graph(input_graph_def, list(output_node_names))
    only = None if variable_names_whitelist is None else set(variable_names_whitelist)
    never = set(variable_names_blacklist or ())
    names = [
        node.name
        for node in graph_def.node
        if node.op in _VARIABLES and (only is None or node.name in only) and node.name not in never
    ]
    values = dict(zip(names, sess.run([f"{name}:0" for name in names]), strict=True)) if names else {}
    return freeze(graph_def, values)


def freeze(graph_def: Any, values: dict[str, Any]) -> Any:
    """The GraphDef, changed, with constants of these values in the place of the variables called so."""
    known: dict[str, DType] = {}
    for node in graph_def.node:
        if node.name in values:
            dtype = dtypes.as_dtype(node.attr["dtype"].type)
            if node.op == "VarHandleOp":
                known[node.name] = dtype
            _make_constant(node, np.asarray(values[node.name], dtype.numpy_dtype), dtype)
    _Freezer(graph_def.library).nodes(graph_def.node, known)
    return graph_def


def _make_constant(node: Any, array: Any, dtype: DType) -> None:
    node.op = "Const"
    node.attr.clear()
    node.attr["dtype"].type = dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tensor_message(array, dtype))


class _Freezer:
    """Follows handles that have become values, also into functions."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._functions = {function.signature.name: function for function in library.function}
        self._made: dict[Any, str] = {}

    def nodes(self, nodes: Any, known: dict[str, DType], function: Any = None) -> None:
        """Changes the readers of the sources in `known`, which had been handles of variables of these types.

        function: the function whose nodes these are, if any.
        """
        reads: set[str] = set()
        changed = True
        while changed:
            changed = False
            for node in list(nodes):
                taken = [index for index, source in enumerate(node.input) if _plain(source) in known]
                if not taken:
                    continue
                dtype = known[_plain(node.input[taken[0]])]
                if node.op == "ReadVariableOp":
                    _rewrite(node, "Identity", {"T": dtype})
                    reads.add(node.name)
                elif node.op == "ResourceGather":
                    _as_gather(nodes, node, dtype, function is not None)
                elif node.op == "Identity" and node.attr["T"].type == _RESOURCE:
                    node.attr["T"].type = dtype.as_datatype_enum
                    known[node.name] = dtype
                elif not self._call(node, taken, known):
                    continue
                changed = True
        if function is not None:
            _rename_outputs(function, reads)

    def _call(self, node: Any, taken: list[int], known: dict[str, DType]) -> bool:
        """A call, branch or loop that hands handles on: its functions take the values instead."""
        definition = REGISTRY.get(node.op)
        if definition is None or not definition.signature.inputs:
            return False
        *single, last = definition.signature.inputs
        if last.type_list_attr is None:
            if dtypes.resource in [each.dtype for each in definition.signature.inputs] and node.op not in _QUESTIONS:
                raise ValueError(f"node '{node.name}' ({node.op}) needs a variable: it cannot become a constant")
            return False
        types = node.attr[last.type_list_attr].list.type
        changed = {index - len(single): known[_plain(node.input[index])] for index in taken}
        if all(types[index] != _RESOURCE for index in changed):
            return False
        for index, dtype in changed.items():
            types[index] = dtype.as_datatype_enum
        for attr in node.attr.values():
            functions = [attr.func] if attr.WhichOneof("value") == "func" else list(attr.list.func)
            for function in functions:
                function.name = self._function(function.name, changed)
        return True

    def _function(self, name: str, changed: dict[int, DType]) -> str:
        """The name of a copy of a function whose parameters with these numbers are values."""
        key = (name, tuple(sorted((index, dtype.name) for index, dtype in changed.items())))
        if key in self._made:
            return self._made[key]
        copy = self._library.function.add()
        copy.CopyFrom(self._functions[name])
        copy.signature.name = self._made[key] = f"{name}_frozen_{len(self._made)}"
        known = {}
        for index, dtype in changed.items():
            argument = copy.signature.input_arg[index]
            argument.type = dtype.as_datatype_enum
            argument.ClearField("handle_data")
            known[argument.name] = dtype
        self.nodes(copy.node_def, known, copy)
        for argument in copy.signature.output_arg:
            source = _plain(copy.ret[argument.name])
            if source in known:
                argument.type = known[source].as_datatype_enum
        return copy.signature.name


def _plain(source: str) -> str:
    """ "x" for "x:0" and "x:resource:0"; a control input is no value."""
    return "" if source.startswith("^") else source.partition(":")[0]


def _rewrite(node: Any, op: str, types: dict[str, DType]) -> None:
    node.op = op
    node.attr.clear()
    for key, dtype in types.items():
        node.attr[key].type = dtype.as_datatype_enum


def _as_gather(nodes: Any, node: Any, dtype: DType, in_function: bool) -> None:
    """ResourceGather of a variable as GatherV2 of its value."""
    axis = nodes.add(name=f"{node.name}/axis", op="Const")
    _make_constant(axis, np.int32(0), dtypes.int32)
    indices = node.attr["Tindices"].type
    batch_dims = node.attr["batch_dims"].i
    _rewrite(node, "GatherV2", {"Tparams": dtype, "Taxis": dtypes.int32})
    node.attr["Tindices"].type = indices
    node.attr["batch_dims"].i = batch_dims
    node.input.insert(2, f"{axis.name}:output:0" if in_function else axis.name)


def _rename_outputs(function: Any, reads: set[str]) -> None:
    """What was read from a variable is called `value`; what an Identity returns, `output`."""

    def renamed(source: str) -> str:
        name, _, rest = source.partition(":")
        return f"{name}:output:0" if rest and name in reads else source

    for node in function.node_def:
        node.input[:] = [renamed(source) for source in node.input]
    for key, source in list(function.ret.items()):
        function.ret[key] = renamed(source)


# ---- files ----------------------------------------------------------------------------------------------------------


@public("io.write_graph", v1=["train.write_graph"])
def write_graph(graph_or_graph_def: Any, logdir: Any, name: str, as_text: bool = True) -> str:
    """Writes a graph to a file in a folder, which is made where it is missing: as text, or binary. Returns its path."""
    from google.protobuf import text_format

    is_graph = isinstance(graph_or_graph_def, Graph)
    message = graph_export.graph_def(graph_or_graph_def) if is_graph else graph_or_graph_def
    path = os.path.join(as_path(logdir), name)
    files.write(path, text_format.MessageToString(message).encode() if as_text else message.SerializeToString())
    return path
