"""Summaries of TensorFlow 1: ops whose value is a serialized Summary, which a FileWriter writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.opdef import NO_GRADIENT, define
from rillet.errors import InvalidArgumentError
from rillet.frontend.collections import GraphKeys
from rillet.ops.families import scalar_shape
from rillet.saving import messages
from rillet.saving.tensors import as_bytes
from rillet.summary import values

# ---- the ops --------------------------------------------------------------------------------------------------------


def _text(tag: Any) -> str:
    return as_bytes(np.asarray(tag, object).item()).decode()


def _scalar(tags: Any, numbers: Any) -> bytes:
    if np.shape(tags) != np.shape(numbers):
        raise ValueError(f"tags and values are not the same shape: {np.shape(tags)} != {np.shape(numbers)}")
    summary = messages.get("Summary")()
    tags, numbers = np.asarray(tags, object).ravel(), np.asarray(numbers).ravel()
    for tag, number in zip(tags, numbers, strict=True):
        summary.value.add(tag=_text(tag), simple_value=float(number))
    return bytes(summary.SerializeToString())


def _histogram(tag: Any, numbers: Any) -> bytes:
    summary = messages.get("Summary")()
    summary.value.add(tag=_text(tag), histo=values.histogram(numbers, _text(tag)))
    return bytes(summary.SerializeToString())


def _image(tag: Any, images: Any, *, max_images: int, bad_color: Any) -> bytes:
    if np.ndim(images) != 4 or np.shape(images)[3] not in (1, 3, 4):
        raise ValueError(f"Tensor must be 4-D with last dim 1, 3, or 4, not {list(np.shape(images))}")
    summary = messages.get("Summary")()
    colour = (255, 0, 0, 255) if bad_color is None else bad_color
    shown = images[:max_images]
    for index, image in enumerate(shown):
        name = f"{_text(tag)}/image" if max_images == 1 else f"{_text(tag)}/image/{index}"
        summary.value.add(tag=name, image=values.as_image(image, colour))
    return bytes(summary.SerializeToString())


def _tensor(tag: Any, tensor: Any, serialized_summary_metadata: Any) -> bytes:
    summary = messages.get("Summary")()
    value = summary.value.add(tag=_text(tag), tensor=values.tensor(tensor))
    value.metadata.ParseFromString(np.asarray(serialized_summary_metadata, object).item())
    return bytes(summary.SerializeToString())


def _merge(*summaries: Any) -> bytes:
    merged = messages.get("Summary")()
    for each in (text for array in summaries for text in np.asarray(array, object).ravel()):
        merged.MergeFromString(each)
    tags = [value.tag for value in merged.value]
    twice = next((tag for tag in tags if tag and tags.count(tag) > 1), None)
    if twice is not None:
        raise InvalidArgumentError(None, None, f"Duplicate tag {twice} found in summary inputs")
    return bytes(merged.SerializeToString())


SCALAR = define(
    "ScalarSummary", "tags: string, values: T -> summary: string", "T: real",
    reference=_scalar, shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip
HISTOGRAM = define(
    "HistogramSummary", "tag: string, values: T -> summary: string", "T: real = float32",
    reference=_histogram, shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip
IMAGE = define(
    "ImageSummary", "tag: string, tensor: T -> summary: string",
    "max_images: int = 3, T: {uint8, float32, float16, float64} = float32, bad_color: tensor = None",
    reference=_image, shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip
TENSOR = define(
    "TensorSummaryV2", "tag: string, tensor: T, serialized_summary_metadata: string -> summary: string", "T: type",
    reference=_tensor, shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip
MERGE = define(
    "MergeSummary", "inputs: N*string -> summary: string", "N: int",
    reference=_merge, shape=scalar_shape, gradient=NO_GRADIENT,
)  # fmt: skip


# ---- the functions --------------------------------------------------------------------------------------------------


def collect(tensor: Any, collections: Sequence[Any] | None) -> Any:
    """Puts a summary into collections of its graph (the one of summaries when None)."""
    graph = getattr(tensor, "graph", None)
    if graph is not None:
        for key in [GraphKeys.SUMMARIES] if collections is None else collections:
            graph.add_to_collection(key, tensor)
    return tensor


def _summary(
    definition: Any,
    name: str,
    inputs: Sequence[Any],
    collections: Sequence[Any] | None,
    family: str | None,
    attrs: dict[str, Any] | None = None,
) -> Any:
    """Calls a summary op in a scope of its own, which also is the tag. A family comes first in both."""
    label = _cleaned(name)
    if family:
        family = _cleaned(family)
        label = f"{family}/{label}"
    graph = context.state().graph
    if graph is None:
        return apply_op(definition, (f"{family}/{label}" if family else label, *inputs), attrs)
    with graph.name_scope(label) as scope:
        tag = f"{family}/{scope[:-1]}" if family else scope[:-1]
        return collect(apply_op(definition, (tag, *inputs), attrs, scope), collections)


def _cleaned(name: str) -> str:
    """A name that operations may have."""
    cleaned = "".join(char if char.isalnum() or char in "-_./" else "_" for char in str(name))
    return cleaned.lstrip("/")


@public(v1=["summary.scalar", "scalar_summary"])
def scalar(name: str, tensor: Any, collections: Any = None, family: str | None = None) -> Any:
    """A summary of one number. collections: of the graph, that get it (GraphKeys.SUMMARIES when None)."""
    return _summary(SCALAR, name, (tensor,), collections, family)


@public(v1=["summary.histogram", "histogram_summary"])
def histogram(name: str, values: Any, collections: Any = None, family: str | None = None) -> Any:
    """A summary of how the elements of a tensor are distributed. InvalidArgumentError where one is not finite."""
    return _summary(HISTOGRAM, name, (values,), collections, family)


@public(v1=["summary.image", "image_summary"])
def image(name: str, tensor: Any, max_outputs: int = 3, collections: Any = None, family: str | None = None) -> Any:
    """A summary of the first `max_outputs` images of a batch [n, height, width, 1, 3 or 4 channels]."""
    return _summary(IMAGE, name, (tensor,), collections, family, {"max_images": max_outputs})


@public(v1=["summary.tensor_summary"])
def tensor_summary(
    name: str,
    tensor: Any,
    summary_description: str | None = None,
    collections: Any = None,
    summary_metadata: Any = None,
    family: str | None = None,
    display_name: str | None = None,
) -> Any:
    """A summary of any tensor, for the plugin that `summary_metadata` names."""
    message = messages.get("SummaryMetadata")()
    if summary_metadata is not None:
        message.CopyFrom(summary_metadata)
    message.display_name = display_name or message.display_name
    message.summary_description = summary_description or message.summary_description
    return _summary(TENSOR, name, (tensor, message.SerializeToString()), collections, family)


@public(v1=["summary.text"])
def text(name: str, tensor: Any, collections: Any = None) -> Any:
    """A summary of strings, shown as Markdown. ValueError for a tensor that is none of strings."""
    tensor = convert_to_tensor(tensor)
    if tensor.dtype is not dtypes.string:
        raise ValueError(f"Expected tensor {tensor.name} to have dtype string, got {tensor.dtype}")
    return tensor_summary(name, tensor, collections=collections, summary_metadata=values.metadata("text", 0))


@public(v1=["summary.merge", "merge_summary"])
def merge(inputs: Any, collections: Any = None, name: str | None = None) -> Any:
    """All summaries in one. InvalidArgumentError, when it runs, for a tag that comes twice."""
    with _scope(context.state().graph, name or "Merge"):
        merged = apply_op(MERGE, (list(inputs),), name="MergeSummary")
    return collect(merged, collections or [])


def _scope(graph: Graph | None, name: str) -> Any:
    return (graph or context.get_default_graph()).name_scope(name)


@public(v1=["summary.merge_all", "merge_all_summaries"])
def merge_all(key: Any = GraphKeys.SUMMARIES, scope: str | None = None, name: str | None = None) -> Any:
    """All summaries of the default graph in one; None where there are none."""
    found: Iterable[Any] = context.get_default_graph().get_collection(key, scope)
    found = list(found)
    return merge(found, name=name) if found else None
