"""tf.print and TensorFlow 1's tf.Print."""

from __future__ import annotations

import pprint
import sys
from typing import Any

from rillet.core import context, dtypes, nest
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import Tensor
from rillet.ops.printing import PRINT, PRINT_V2

_LEVELS = {"info": "log(info)", "warning": "log(warning)", "warn": "log(warning)", "error": "log(error)"}


class _Hole:
    """Stands for a tensor in the text of a structure."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


@public("print")
def print_v2(*inputs: Any, **kwargs: Any) -> Any:
    """Prints the inputs, tensors with their values when this runs.

    inputs: tensors, Python values, and nests of both. output_stream: sys.stderr (the default), sys.stdout, a function of
        tf.logging, or "file://path". summarize: how many elements at each end of an axis are shown (3; -1: all).
    sep, end: between the inputs and after them. name: of the operation.
    Returns the operation that prints (in a tf.function it runs of itself; in other graphs somebody must run it); None
    when it has printed already. Raises ValueError for another stream or an unknown keyword.
    """
    options: dict[str, Any] = {"output_stream": sys.stderr, "name": None, "summarize": 3, "sep": " ", "end": "\n"}
    unknown = {key: value for key, value in kwargs.items() if key not in options}
    if unknown:
        raise ValueError(f"Unrecognized keyword arguments for tf.print: {unknown}")
    options.update(kwargs)
    separator = "\n" if options["sep"] is None else str(options["sep"])
    text = _formatted(inputs, separator, options["summarize"], options["name"])
    end = "\n" if options["end"] is None else str(options["end"])
    return apply_op(
        PRINT_V2, (text,), {"output_stream": _stream(options["output_stream"]), "end": end}, options["name"]
    )


def _stream(stream: Any) -> str:
    if stream is sys.stdout:
        return "stdout"
    if stream is sys.stderr:
        return "stderr"
    if isinstance(stream, str) and (stream.startswith("file://") or stream in ("stdout", "stderr")):
        return stream
    name = getattr(stream, "__name__", None)
    if callable(stream) and name in _LEVELS:
        return _LEVELS[name]
    raise ValueError(
        f"Unsupported output stream, logging level, or file.{stream}. Supported streams are sys.stdout, sys.stderr, "
        "tf.logging.info, tf.logging.warning, tf.logging.error. File needs to be in the form of 'file://<filepath>'."
    )


def _formatted(inputs: Any, separator: str, summarize: Any, name: str | None) -> Any:
    """The inputs as one string tensor."""
    if len(inputs) == 1 and isinstance(inputs[0], Tensor) and _is_text(inputs[0]):
        return inputs[0]
    mark = "{}"
    while any(mark in part for part in _texts(inputs)):
        mark = f"{{{mark}}}"
    tensors: list[Any] = []
    parts = [_part(value, mark, tensors) for value in inputs]
    attrs = {
        "template": separator.join(parts),
        "placeholder": mark,
        "summarize": -1 if summarize is None else summarize,
    }
    if not tensors:
        return convert_to_tensor(attrs["template"])
    return apply_op(REGISTRY["StringFormat"], (tensors,), attrs, name and f"{name}_format")


def _is_text(tensor: Any) -> bool:
    return bool(tensor.dtype.base_dtype is dtypes.string and tensor.shape.rank == 0)


def _texts(inputs: Any) -> list[str]:
    return [value if isinstance(value, str) else repr(value) for value in nest.flatten(inputs) if not _is_tensor(value)]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or hasattr(value, "__tf_tensor__") or hasattr(value, "_flatten_components")


def _part(value: Any, mark: str, tensors: list[Any]) -> str:
    """One input as text, with a mark for each of its tensors, which are added to `tensors`."""

    def shown(leaf: Any) -> Any:
        if not _is_tensor(leaf):
            return leaf
        if hasattr(leaf, "indices") and hasattr(leaf, "dense_shape") and leaf.dense_shape is not None:
            tensors.extend([leaf.indices, leaf.values, leaf.dense_shape])
            return f"{type(leaf).__name__}(indices={mark}, values={mark}, shape={mark})"
        tensors.append(convert_to_tensor(leaf))
        return _Hole(mark)

    if isinstance(value, str):
        return value
    structure = nest.map_structure(shown, value)
    return repr(structure) if isinstance(structure, _Hole) else pprint.pformat(structure, width=1 << 30)


@public(v1=["Print"])
def print_v1(
    input_: Any, data: Any, message: str | None = None, first_n: int | None = None, summarize: int | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """`input_`; whenever it is computed, the tensors in `data` are printed to stderr behind `message`.

    first_n: prints that often only. summarize: how many elements of each tensor are shown (3).
    """
    attrs = {
        "message": message or "",
        "first_n": -1 if first_n is None else first_n,
        "summarize": 3 if summarize is None else summarize,
    }
    graph: Graph | None = context.state().graph
    tensors = [convert_to_tensor(value) for value in data] if graph is None else list(data)
    return apply_op(PRINT, (input_, tensors), attrs, name)
