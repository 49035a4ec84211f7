"""Adding a bias along the channel axis."""

from __future__ import annotations

import math
from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops.activations import relu
from rillet.ops.join import concat
from rillet.ops.matmul import matmul
from rillet.ops.precision import wide
from rillet.ops.scope import scope
from rillet.ops.shape import broadcast_to, reshape, shape_of

# ---- inference ------------------------------------------------------------------------------------------------------


def _channel_axis(op: Operation) -> int:
    return 1 if op.attrs.get("data_format") == "NCHW" else -1


def _at_least_rank_2(op: Operation, index: int) -> TensorShape:
    shape = op.inputs[index].shape
    if shape.rank is not None and shape.rank < 2:
        text = format_shape(shape.dimensions)
        raise ShapeError(
            f"Shape must be at least rank 2 but is rank {shape.rank} for '{op.type}' with input shape: {text}.",
            f"Input tensor must be at least 2D: {text}",
            {index: range(shape.rank)},
        )
    return shape


def _bias_add_shape(op: Operation) -> TensorShape:
    value, bias = _at_least_rank_2(op, 0), op.inputs[1].shape
    if bias.rank not in (None, 1):
        text = format_shape(bias.dimensions)
        raise ShapeError(
            f"Shape must be rank 1 but is rank {bias.rank} for '{op.type}' with bias shape: {text}.",
            f"Biases must be 1D: {text}",
            {1: range(bias.rank)},
        )
    if value.dimensions is None or bias.dimensions is None:
        return value
    axis = _channel_axis(op)
    channels, size = value.dimensions[axis], bias.dimensions[0]
    if channels is not None and size is not None and channels != size:
        texts = format_shape(value.dimensions), format_shape(bias.dimensions)
        raise ShapeError(
            f"Dimensions must be equal, but are {channels} and {size} for '{op.type}' with input shapes: "
            f"{', '.join(texts)}.",
            "Must provide as many biases as the last dimension of the input tensor: " + " vs. ".join(reversed(texts)),
            {0: [axis], 1: [0]},
            f"a bias with {channels} elements, one for each channel",
        )
    merged = list(value.dimensions)
    merged[axis] = size if channels is None else channels
    return TensorShape(merged)


def _bias_grad_shape(op: Operation) -> TensorShape:
    shape = _at_least_rank_2(op, 0)
    return TensorShape([None]) if shape.dimensions is None else TensorShape([shape.dimensions[_channel_axis(op)]])


# ---- kernels --------------------------------------------------------------------------------------------------------


def _add_along(value: Any, bias: Any, *, data_format: str) -> Any:
    axis = 1 if data_format == "NCHW" else -1
    if value.ndim < 2 or bias.ndim != 1 or value.shape[axis] != bias.shape[0]:
        raise ValueError(f"a bias of shape {bias.shape} doesn't fit a value of shape {value.shape}")
    return value + (bias.reshape(-1, *(1,) * (value.ndim - 2)) if axis == 1 else bias)


def _sum_along(dy: Any, *, data_format: str) -> Any:
    if dy.ndim < 2:
        raise ValueError(f"Input tensor must be at least 2D: {list(dy.shape)}")
    dy = wide(dy)
    if data_format != "NCHW":
        return dy.reshape(math.prod(dy.shape[:-1]), dy.shape[-1]).sum(axis=0, dtype=dy.dtype)
    return dy.sum(axis=(0, *range(2, dy.ndim)), dtype=dy.dtype)


# ---- ops ------------------------------------------------------------------------------------------------------------


def _bias_grad_gradient(op: Operation, dy: Any) -> Any:
    """Every element of a channel gets what its sum got."""
    source = op.inputs[0]
    if _channel_axis(op) == -1:
        return broadcast_to(dy, shape_of(source))
    if source.shape.rank is not None:
        inner = [1] * (source.shape.rank - 2)
        return broadcast_to(reshape(dy, [-1, *inner]), shape_of(source))
    extents = shape_of(source)
    inner = apply_op(REGISTRY["OnesLike"], (extents[2:],))
    return broadcast_to(reshape(dy, concat([shape_of(dy), inner], 0)), extents)


BIAS_ADD_GRAD = define(
    "BiasAddGrad", "out_backprop: T -> output: T", "T: numeric, data_format: string = 'NHWC'",
    reference=_sum_along, shape=_bias_grad_shape, gradient=_bias_grad_gradient,
)  # fmt: skip
BIAS_ADD = define(
    "BiasAdd", "value: T, bias: T -> output: T", "T: numeric, data_format: string = 'NHWC'",
    reference=_add_along, shape=_bias_add_shape,
    gradient=lambda op, dy: [dy, apply_op(BIAS_ADD_GRAD, (dy,), {"data_format": op.attrs["data_format"]})],
)  # fmt: skip
BIAS_ADD_V1 = define(
    "BiasAddV1", "value: T, bias: T -> output: T", "T: numeric",
    reference=lambda value, bias: _add_along(value, bias, data_format="NHWC"), shape=_bias_add_shape,
    gradient=lambda op, dy: [dy, apply_op(BIAS_ADD_GRAD, (dy,))], elementwise=True,
)  # fmt: skip


def _channels_first(data_format: str | None) -> bool:
    if data_format is None or data_format == "N/A":
        return False
    if data_format.startswith("NC"):
        return True
    if data_format.startswith("N") and data_format.endswith("C"):
        return False
    raise ValueError(f"`data_format` must be of the form `N...C` or `NC...`. Received: data_format={data_format}")


@public("nn.bias_add")
def bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Any:
    """`value` plus `bias` along the channel axis.

    value: numeric, at least rank 2: [N, ..., C], or [N, C, ...] where `data_format` starts with NC.
    bias: the same dtype, shape [C].
    Raises ValueError for another data format, InvalidArgumentError (ValueError in a graph) for shapes that don't fit.
    """
    attrs = {"data_format": "NCHW" if _channels_first(data_format) else "NHWC"}
    with scope(name or "BiasAdd", value, bias) as full_name:
        value = convert_to_tensor(value, name="input")
        bias = convert_to_tensor(bias, value.dtype, name="bias")
        return apply_op(BIAS_ADD, (value, bias), attrs, full_name)


@public(v1=["nn.xw_plus_b"])
def xw_plus_b(x: Any, weights: Any, biases: Any, name: str | None = None) -> Any:
    """matmul(x, weights) + biases: [batch, inputs] and [inputs, units] and [units] to [batch, units]."""
    with scope(name or "xw_plus_b", x, weights, biases) as full_name:
        x = convert_to_tensor(x, name="x")
        weights = convert_to_tensor(weights, x.dtype, name="weights")
        biases = convert_to_tensor(biases, x.dtype, name="biases")
        return bias_add(matmul(x, weights), biases, name=full_name)


@public(v1=["nn.relu_layer"])
def relu_layer(x: Any, weights: Any, biases: Any, name: str | None = None) -> Any:
    """relu(matmul(x, weights) + biases)."""
    with scope(name or "relu_layer", x, weights, biases) as full_name:
        x = convert_to_tensor(x, name="x")
        weights = convert_to_tensor(weights, x.dtype, name="weights")
        biases = convert_to_tensor(biases, x.dtype, name="biases")
        return relu(bias_add(matmul(x, weights), biases), name=full_name)
