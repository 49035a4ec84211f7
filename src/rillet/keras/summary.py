"""Model.summary: the table of layers, as Keras prints it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from rillet.core import dtypes, nest
from rillet.core.export import public
from rillet.keras.tracking import each_once


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Any = None,
    print_fn: Callable[..., Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> None:
    """Prints the layers of a built model. positions: where the columns end, as fractions of the line or in characters."""
    write = print_fn or print
    table = _Table(model, line_length, positions, show_trainable, expand_nested)
    write(f'Model: "{model.name}"')
    write("_" * table.width)
    write(table.row(table.titles))
    write("=" * table.width)
    layers = _in_range(model.layers, layer_range)
    for layer in layers:
        for line in table.lines_of(layer):
            write(line)
    write("=" * table.width)
    _write_totals(model, write)
    write("_" * table.width)


class _Table:
    """Widths and rows."""

    def __init__(self, model: Any, length: int | None, positions: Any, show_trainable: bool, expand: bool) -> None:
        self.is_chain = _is_chain(model)
        self.expand, self.show_trainable = expand, show_trainable
        self.titles = ["Layer (type)", "Output Shape", "Param #"]
        self.width = length or (65 if self.is_chain else 98)
        ends = list(positions or ([0.45, 0.85, 1.0] if self.is_chain else [0.3, 0.6, 0.70, 1.0]))
        if not self.is_chain:
            self.titles.append("Connected to")
            self.nodes = {id(node) for node in model._layer_network.nodes}
        if show_trainable:
            self.width += 11 if length is None else 0
            ends = positions or [end * (self.width - 11) for end in ends] if ends[-1] <= 1 else ends
            ends = [*ends, self.width]
            self.titles.append("Trainable")
        self.ends = [int(self.width * end) if end <= 1 else int(end) for end in ends]

    def row(self, fields: Sequence[str], depth: int = 0) -> str:
        """One row; a field too long for its column goes on below."""
        lines, left = [], [str(field) for field in fields]
        edge = "|" * depth
        while any(left):
            line = edge
            for index, end in enumerate(self.ends):
                start = len(line) if index else len(edge)
                space = end - start - 2 if index < len(self.ends) - 1 else end - start - depth
                part, left[index] = _cut(left[index], space)
                line = (line + " " + part if not index else line + part).ljust(
                    end - (depth if index == len(self.ends) - 1 else 0)
                )
                if index < len(self.ends) - 1 and len(line) >= end:
                    line = line[: end - 1] + " "
            lines.append(line + edge)
        return "\n".join(lines)

    def lines_of(self, layer: Any, depth: int = 0) -> list[str]:
        """The rows of a layer, and of those inside where they are wanted."""
        shape = self._shape(layer)
        params = (
            str(_count(layer.weights))
            if layer.built
            else ("0 (unused)" if not layer.weights else str(_count(layer.weights)))
        )
        fields = [f"{layer.name} ({type_name(layer)})", shape, params]
        if not self.is_chain:
            fields.append(self._connections(layer))
        if self.show_trainable:
            fields.append("Y" if layer.trainable else "N")
        inner = getattr(layer, "layers", None) if self.expand else None
        lines = [self.row(fields, depth)]
        if inner:
            lines.append("|" * (depth + 1) + "¯" * (self.width - 2 * depth - 2) + "|" * (depth + 1))
            for part in inner:
                lines.extend(self.lines_of(part, depth + 1))
            lines.append("|" * depth + "¯" * (self.width - 2 * depth) + "|" * depth)
            return lines
        lines.append("|" * depth + " " * (self.width - 2 * depth) + "|" * depth)
        return lines

    def _shape(self, layer: Any) -> str:
        try:
            shape = layer.output_shape
        except AttributeError:
            return "multiple"
        if getattr(layer, "is_placeholder", None) is not None and not isinstance(shape, list):
            return f"[{shape}]"
        return str(shape)

    def _connections(self, layer: Any) -> str:
        found: list[str] = []
        for node in layer._inbound_nodes:
            if id(node) in self.nodes:
                found.extend(
                    f"{parent.layer.name}[{parent.node_index}][{parent.tensor_index}]" for parent in node.parents
                )
        return str(found)


def _cut(text: str, space: int) -> tuple[str, str]:
    """As much of `text` as fits, and the rest; between the elements of a list where there are such."""
    if text.startswith("['") or text.startswith(" '"):
        comma = text.find(", ")
        if comma >= 0 and (len(text) > space or True):
            head, rest = text[: comma + 1], text[comma + 1 :]
            return head, rest
    if len(text) <= space:
        return text, ""
    return text[:space], text[space:]


def type_name(layer: Any) -> str:
    """How summary calls the class of a layer."""
    return "Functional" if type(layer).__name__ == "Model" else type(layer).__name__


def _is_chain(model: Any) -> bool:
    """Whether a list of the layers says all: they are called one after the other, or it is not known how."""
    network = model._layer_network
    if network is None or hasattr(model, "_layer_stack"):
        return True
    depths_alone = all(len(nest.flatten(node.inputs)) <= 1 for node in network.nodes)
    layers = [node.layer for node in network.nodes]
    one_call_each = len(each_once(layers)) == len(layers)
    used: dict[int, int] = {}
    for node in network.nodes:
        for tensor in node.input_tensors:
            used[id(tensor)] = used.get(id(tensor), 0) + 1
    forks = any(count > 1 for count in used.values()) or len(network.flat_inputs) > 1
    return depths_alone and one_call_each and not forks and len(network.flat_outputs) == 1


def _in_range(layers: list[Any], names: Any) -> list[Any]:
    """The layers between two names (regular expressions). ValueError where one is missing or there are not two."""
    if not names:
        return layers
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise ValueError("layer_range must be a list or tuple of two strings: the first and the last layer's name")
    start = [index for index, layer in enumerate(layers) if re.match(names[0], layer.name)]
    end = [index for index, layer in enumerate(layers) if re.match(names[1], layer.name)]
    if not start or not end:
        raise ValueError("Passed layer_names do not match the layer names in the model. Received: " + str(names))
    first, last = min(start), max(end)
    return layers[min(first, last) : max(first, last) + 1]


# ---- counting --------------------------------------------------------------------------------------------------------


def _count(weights: Sequence[Any]) -> int:
    return sum(math.prod(weight.shape.as_list()) for weight in each_once(weights))


@public("keras.utils.layer_utils.count_params")
def count_params(weights: Sequence[Any]) -> int:
    """How many numbers these variables hold."""
    return _count(weights)


def _write_totals(model: Any, write: Callable[..., Any]) -> None:
    groups = (
        ("Total params", model.weights),
        ("Trainable params", model.trainable_weights),
        ("Non-trainable params", model.non_trainable_weights),
    )
    for label, weights in groups:
        write(f"{label}: {_count(weights)} ({_bytes(weights)})")


def _bytes(weights: Sequence[Any]) -> str:
    size = float(
        sum(math.prod(weight.shape.as_list()) * dtypes.as_dtype(weight.dtype).size for weight in each_once(weights))
    )
    for unit in ("Byte", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size:.2f} {unit}"
        size /= 1024
    raise AssertionError
