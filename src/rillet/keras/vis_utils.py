"""Models as diagrams: tf.keras.utils.model_to_dot and plot_model, in the language of Graphviz."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rillet.core.export import public
from rillet.saving import files


class Dot:
    """A diagram as text in Graphviz' language. `nodes`, `edges`: as they were added."""

    def __init__(self, direction: str, dpi: int) -> None:
        self.direction, self.dpi = direction, dpi
        self.nodes: list[tuple[str, str]] = []
        self.edges: list[tuple[str, str]] = []

    def to_string(self) -> str:
        lines = ["digraph model {", f"rankdir={self.direction};", f"dpi={self.dpi};", "node [shape=record];"]
        lines += [f'{name} [label="{label}"];' for name, label in self.nodes]
        lines += [f"{start} -> {end};" for start, end in self.edges]
        return "\n".join([*lines, "}", ""])

    def write(self, path: Any) -> None:
        """Writes the text to a file."""
        files.write(os.fspath(path), self.to_string().encode())

    def create(self, prog: str = "dot", format: str = "svg") -> bytes:  # as pydot calls it
        """NotImplementedError: pictures are Graphviz' work."""
        raise NotImplementedError(f"no {format} is made here: write() the diagram, and give it to Graphviz ({prog})")


@public("keras.utils.model_to_dot", "keras.utils.vis_utils.model_to_dot")
def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 96,
    subgraph: bool = False,
    layer_range: Any = None,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> Dot:
    """The layers of a model and how they are connected. show_shapes, show_dtype, show_layer_names, show_layer_activations,
    show_trainable: what stands in the box of a layer. rankdir: "TB" (downwards) or "LR".

    Raises ValueError for a model that is not built, NotImplementedError for expand_nested, subgraph and layer_range.
    """
    if expand_nested or subgraph or layer_range is not None:
        raise NotImplementedError("expand_nested, subgraph and layer_range are not supported: model.summary() has them")
    if not model.built:
        raise ValueError(
            "This model has not yet been built. Build the model first by calling `build()` or by calling it."
        )
    shown = (show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    dot = Dot(rankdir, dpi)
    network = model._layer_network
    layers = list(model.layers) if network is None else network.layers
    dot.nodes = [(_identifier(layer), _label(layer, *shown)) for layer in layers]
    if network is not None:
        known = {_identifier(layer) for layer in layers}
        for node in network.nodes:
            edges = [(_identifier(_maker(tensor)), _identifier(node.layer)) for tensor in node.input_tensors]
            dot.edges += [edge for edge in dict.fromkeys(edges) if edge not in dot.edges and edge[0] in known]
    return dot


def _maker(tensor: Any) -> Any:
    return tensor.__dict__["_keras_history"].layer


def _identifier(layer: Any) -> str:
    return f"layer_{id(layer)}"


def _label(layer: Any, shapes: bool, dtype: bool, names: bool, activations: bool, trainable: bool) -> str:
    title = f"{layer.name}: {type(layer).__name__}" if names else type(layer).__name__
    activation = getattr(layer, "activation", None)
    if activations and activation is not None:
        title += f"\\n{getattr(activation, '__name__', activation)}"
    if dtype:
        title += f"\\n{layer.dtype}"
    if trainable:
        title += "\\ntrainable" if layer.trainable else "\\nnot trainable"
    if not shapes or not layer.inbound_nodes:
        return title
    node = layer.inbound_nodes[0]
    before = [tuple(tensor.shape.as_list()) for tensor in node.input_tensors]
    after = [tuple(tensor.shape.as_list()) for tensor in node.output_tensors]
    return f"{{{title}|{{in: {_shapes(before)}|out: {_shapes(after)}}}}}"


def _shapes(shapes: list[Any]) -> str:
    return ", ".join(map(str, shapes)) or "-"


@public("keras.utils.plot_model", "keras.utils.vis_utils.plot_model")
def plot_model(model: Any, to_file: Any = "model.png", **options: Any) -> None:
    """Writes the diagram of a model to a file whose name ends in .dot. options: those of model_to_dot.

    Raises NotImplementedError for other endings: pictures are Graphviz' work.
    """
    path = Path(os.fspath(to_file))
    dot = model_to_dot(model, **options)
    if path.suffix not in (".dot", ".gv"):
        raise NotImplementedError(
            f"plot_model writes no {path.suffix or 'such'} files. Write the diagram itself, plot_model(model, "
            f"'{path.with_suffix('.dot')}'), for Graphviz; or see model.summary(), or tf.draw of a function that calls the "
            "model, which needs nothing else."
        )
    dot.write(path)
