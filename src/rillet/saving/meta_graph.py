"""Meta graphs: a graph with its collections and its saver, in one message."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

from rillet.core import context
from rillet.core.export import V2
from rillet.core.graph import Graph, Operation
from rillet.core.tensor import SymbolicTensor
from rillet.errors import NotFoundError
from rillet.frontend.collections import GraphKeys
from rillet.frontend.variable import Variable
from rillet.ops.files import as_path
from rillet.saving import files, graph_export, messages
from rillet.saving.graph_import import import_graph_def
from rillet.saving.variables import variable_message, variable_of

_OF_VARIABLES = (
    GraphKeys.GLOBAL_VARIABLES, GraphKeys.TRAINABLE_VARIABLES, GraphKeys.LOCAL_VARIABLES, GraphKeys.MODEL_VARIABLES,
    GraphKeys.MOVING_AVERAGE_VARIABLES, GraphKeys.GLOBAL_STEP, GraphKeys.METRIC_VARIABLES,
)  # fmt: skip


def meta_graph_message(
    graph: Graph,
    saver_def: Any = None,
    collection_list: Iterable[str] | None = None,
    graph_def: Any = None,
    clear_devices: bool = False,
    meta_info_def: Any = None,
) -> Any:
    """A MetaGraphDef of `graph`. collection_list: which collections (all when None)."""
    message = messages.get("MetaGraphDef")()
    if meta_info_def is not None:
        message.meta_info_def.CopyFrom(meta_info_def)
    message.meta_info_def.tensorflow_version = str(V2["__version__"])
    message.meta_info_def.stripped_op_list.SetInParent()
    message.graph_def.CopyFrom(graph_export.graph_def(graph) if graph_def is None else graph_def)
    if clear_devices:
        for node in message.graph_def.node:
            node.device = ""
    if saver_def is not None:
        message.saver_def.CopyFrom(saver_def)
    for key in graph.get_all_collection_keys() if collection_list is None else collection_list:
        _add_collection(message, graph, str(key))
    return message


def _add_collection(message: Any, graph: Graph, key: str) -> None:
    """Adds a collection, unless it holds what no message can (then a program that reads the file does without)."""
    items = graph.get_collection(key)
    collection = messages.get("CollectionDef")()
    if not items:
        return
    try:
        if all(isinstance(item, Variable) for item in items):
            collection.bytes_list.value.extend(variable_message(item).SerializeToString() for item in items)
        elif all(isinstance(item, (SymbolicTensor, Operation)) for item in items):
            collection.node_list.value.extend(item.name for item in items)
        elif all(hasattr(item, "SerializeToString") for item in items):
            collection.bytes_list.value.extend(item.SerializeToString() for item in items)
        elif all(isinstance(item, int) for item in items):
            collection.int64_list.value.extend(items)
        elif all(isinstance(item, float) for item in items):
            collection.float_list.value.extend(items)
        elif all(isinstance(item, (str, bytes)) for item in items):
            encoded = [item.encode() if isinstance(item, str) else item for item in items]
            collection.bytes_list.value.extend(encoded)
        else:
            return
    except RuntimeError:  # variables that were made eagerly are in no graph
        return
    message.collection_def[key].CopyFrom(collection)


def read_meta_graph(meta_graph_or_file: Any) -> Any:
    """A MetaGraphDef: itself, or that in a file (binary or text). OSError where there is none, or for another file."""
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError

    kind = messages.get("MetaGraphDef")
    if hasattr(meta_graph_or_file, "SerializeToString"):
        return kind.FromString(meta_graph_or_file.SerializeToString())
    path = as_path(meta_graph_or_file)
    try:
        data = files.read(path)
    except NotFoundError:
        raise OSError(f"File does not exist. Received: {path}.") from None
    try:
        return kind.FromString(data)
    except DecodeError:
        pass
    try:
        return text_format.Parse(data.decode(), kind())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise OSError(f"Cannot parse file {path}: {error}.") from None


def add_to_graph(
    message: Any, import_scope: str | None = None, clear_devices: bool = False, input_map: Any = None
) -> str:
    """Adds a meta graph's nodes and collections to the default graph. Returns the scope that they are in."""
    graph = context.get_default_graph()
    graph_def = message.graph_def
    if clear_devices:
        for node in graph_def.node:
            node.device = ""
    scope = ""
    if import_scope:
        with graph.name_scope(import_scope) as full:
            scope = full.rstrip("/")
    import_graph_def(graph_def, name=f"{scope}/" if scope else "", input_map=input_map)
    made: dict[bytes, Any] = {}
    for key in sorted(message.collection_def):
        for item in _items(graph, key, message.collection_def[key], scope, made):
            graph.add_to_collection(key, item)
    return scope


def _items(graph: Graph, key: str, collection: Any, scope: str, made: dict[bytes, Any]) -> list[Any]:
    kind = collection.WhichOneof("kind")
    if kind is None:
        return []
    values = list(getattr(collection, kind).value)
    prefix = f"{scope}/" if scope else ""
    if kind == "node_list":
        found = []
        for name in values:
            with contextlib.suppress(KeyError, ValueError):  # an element of a kind of control flow that is not kept
                found.append(graph.as_graph_element(prefix + name))
        return found
    if kind == "bytes_list" and key in _OF_VARIABLES:
        for value in values:
            if value not in made:  # a variable of several collections is one
                made[value] = variable_of(messages.get("VariableDef").FromString(value), scope)
        return [made[value] for value in values]
    return values


def write_meta_graph(message: Any, path: str, as_text: bool = False) -> None:
    """Writes a meta graph, whole or not at all."""
    from google.protobuf import text_format

    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    files.write(path, text_format.MessageToString(message).encode() if as_text else message.SerializeToString())
