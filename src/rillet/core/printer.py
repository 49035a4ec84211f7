"""Graphs as text: GraphDef and NodeDef as plain objects that print in protobuf's text format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rillet.core.dtypes import DType
from rillet.core.function import Function
from rillet.core.graph import Graph, Operation
from rillet.core.shapes import TensorShape

PRODUCER = 2521  # the graph version of TensorFlow 2.21

# Tensors larger than this print their first elements only.
_LARGEST_PRINTED = 32


@dataclass(frozen=True)
class AttrValue:
    """An attribute's value. `i`, `f`, `b`, `s`, `type`, `shape`, `tensor` and `list` read it as that kind."""

    value: Any

    @property
    def i(self) -> int:
        return int(self.value)

    @property
    def f(self) -> float:
        return float(self.value)

    @property
    def b(self) -> bool:
        return bool(self.value)

    @property
    def s(self) -> bytes:
        return self.value.encode() if isinstance(self.value, str) else bytes(self.value)

    @property
    def type(self) -> int:
        return int(self.value.as_datatype_enum)

    @property
    def shape(self) -> TensorShape:
        return TensorShape(self.value)

    @property
    def tensor(self) -> Any:
        return np.asarray(self.value)

    @property
    def list(self) -> Any:
        return self.value

    def __str__(self) -> str:
        return "\n".join(_attribute_lines(self.value))


@dataclass(frozen=True)
class NodeDef:
    """A node as data: `input` holds "op", "op:1" or "^control"."""

    name: str
    op: str
    input: list[str] = field(default_factory=list)
    device: str = ""
    attr: dict[str, AttrValue] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f'name: "{self.name}"', f'op: "{self.op}"']
        lines += [f'input: "{source}"' for source in self.input]
        lines += [f'device: "{self.device}"'] if self.device else []
        for key in sorted(self.attr):
            lines += [
                "attr {",
                f'  key: "{key}"',
                "  value {",
                *_indented(str(self.attr[key]).split("\n"), 2),
                "  }",
                "}",
            ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class GraphDef:
    """A graph as data: its nodes in the order they were made."""

    node: list[NodeDef]

    def __str__(self) -> str:
        parts = ["node {\n" + "\n".join(_indented(str(node).rstrip("\n").split("\n"), 1)) + "\n}" for node in self.node]
        return "\n".join([*parts, "versions {", f"  producer: {PRODUCER}", "}"]) + "\n"


def _indented(lines: list[str], levels: int) -> list[str]:
    return ["  " * levels + line for line in lines]


def _attribute_lines(value: Any) -> list[str]:
    if isinstance(value, DType):
        return [f"type: DT_{_enum_name(value)}"]
    if isinstance(value, bool):
        return [f"b: {str(value).lower()}"]
    if isinstance(value, int):
        return [f"i: {value}"]
    if isinstance(value, float):
        return [f"f: {value:g}"]
    if isinstance(value, (str, bytes)):
        text = value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
        return [f's: "{text}"']
    if isinstance(value, TensorShape):
        return ["shape {", *_indented(_shape_lines(value), 1), "}"]
    if isinstance(value, Function):
        return ["func {", f'  name: "{value.name}"', "}"]
    if isinstance(value, (tuple, list)):
        return ["list {", *_indented([line for part in value for line in _attribute_lines(part)], 1), "}"]
    if isinstance(value, (np.ndarray, np.generic)):
        return ["tensor {", *_indented(_tensor_lines(np.asarray(value)), 1), "}"]
    return [f's: "{value}"']


def _enum_name(dtype: DType) -> str:
    base = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}.get(dtype.base_dtype.name)
    return (base or dtype.base_dtype.name.upper()) + ("_REF" if dtype.is_ref_dtype else "")


def _shape_lines(shape: TensorShape) -> list[str]:
    if shape.dimensions is None:
        return ["unknown_rank: true"]
    return [line for size in shape.dimensions for line in ("dim {", f"  size: {-1 if size is None else size}", "}")]


def _tensor_lines(array: Any) -> list[str]:
    flat = array.ravel()[:_LARGEST_PRINTED].tolist()
    label = {"f": "float_val", "i": "int_val", "u": "int_val", "b": "bool_val", "O": "string_val"}.get(
        array.dtype.kind, "val"
    )
    values = [f"{label}: {str(value).lower() if isinstance(value, bool) else value}" for value in flat]
    more = [f"# and {array.size - len(flat)} more"] if array.size > len(flat) else []
    return ["tensor_shape {", *_indented(_shape_lines(TensorShape(array.shape)), 1), "}", *values, *more]


def _edge(tensor: Any) -> str:
    return tensor.op.name if tensor.value_index == 0 else f"{tensor.op.name}:{tensor.value_index}"


def node_def(operation: Operation) -> NodeDef:
    """The operation as data."""
    inputs = [_edge(tensor) for tensor in operation.inputs]
    inputs += [f"^{other.name}" for other in operation.control_inputs]
    attrs = {key: AttrValue(value) for key, value in operation.attrs.items() if value is not None}
    return NodeDef(operation.name, operation.type, inputs, operation.device, attrs)


def graph_def(graph: Graph) -> GraphDef:
    """The graph as data."""
    return GraphDef([node_def(operation) for operation in graph.get_operations()])
