"""Pooling: the public functions. The ops are in `rillet.ops.pool`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import OpDef
from rillet.core.shapes import TensorShape
from rillet.ops.arguments import renamed
from rillet.ops.convolution import with_space_to_batch
from rillet.ops.pool import AVG_POOL, AVG_POOL_3D, MAX_POOL, MAX_POOL_3D, MAX_POOL_WITH_ARGMAX
from rillet.ops.scope import scope
from rillet.ops.shape import expand_dims, squeeze
from rillet.ops.windows import padding_attributes, per_dimension


def _attributes(ksize: Any, strides: Any, padding: Any, data_format: str, spatial_rank: int) -> dict[str, Any]:
    return {
        "ksize": tuple(per_dimension(ksize, spatial_rank, data_format, "ksize")),
        "strides": tuple(per_dimension(strides, spatial_rank, data_format, "strides")),
        "data_format": data_format,
        **padding_attributes(padding, spatial_rank),
    }


def _pool_2d(
    definition: OpDef, value: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None, name: str
) -> Any:
    attrs = _attributes(ksize, strides, padding, data_format or "NHWC", 2)
    with scope(name, value) as full_name:
        value = convert_to_tensor(value, name="input" if definition is MAX_POOL else "value")
        return apply_op(definition, (value,), attrs, full_name)


def _pool_1d(
    definition: OpDef, value: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None, name: str
) -> Any:
    """Pooling of images of height 1."""
    flat = data_format or "NWC"
    words, at = ("NCHW", 2) if flat == "NCW" else ("NHWC", 1)
    window, steps = per_dimension(ksize, 1, flat, "ksize"), per_dimension(strides, 1, flat, "strides")
    if not isinstance(padding, str):
        padding = [*list(padding)[:at], (0, 0), *list(padding)[at:]]
    attrs = _attributes([*window[:at], 1, *window[at:]], [*steps[:at], 1, *steps[at:]], padding, words, 2)
    with scope(name, value) as full_name:
        return squeeze(apply_op(definition, (expand_dims(value, at),), attrs, full_name), [at])


def _pool_3d(
    definition: OpDef, value: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None, name: str
) -> Any:
    attrs = _attributes(ksize, strides, padding, data_format or "NDHWC", 3)
    with scope(name, value) as full_name:
        value = convert_to_tensor(value, name="input")
        return apply_op(definition, (value,), attrs, full_name)


def _spatial_rank(value: Any, data_format: str | None) -> int:
    """How many spatial dimensions the input of a pooling function has. ValueError unless one, two or three."""
    shape = TensorShape(getattr(value, "shape", None))
    rank = len(data_format) if shape.rank is None and data_format is not None else shape.rank
    if rank is None:
        raise ValueError("`input` must have a static shape or `data_format` must be given.")
    if rank not in (3, 4, 5):
        raise ValueError(f"`input.shape.rank` must be 3, 4 or 5. Received: input.shape={shape} of rank {rank}.")
    return rank - 2


def _word_only(padding: Any) -> Any:
    if not isinstance(padding, str):
        raise TypeError(f"Expected string for argument 'padding' not {padding!r}.")
    return padding


# ---- maxima ---------------------------------------------------------------------------------------------------------


@public(v2=["nn.max_pool"], v1=["nn.max_pool_v2"])
def max_pool(
    input: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None = None, name: str | None = None
) -> Any:
    """The maximum of each window, in one, two or three spatial dimensions, as `input` has them.

    input: [batch, spatial..., channels] (channels second where `data_format` starts with NC).
    ksize, strides: one number, one for each spatial dimension, or one for every dimension.
    padding: 'SAME', 'VALID', or a list of (before, after) pairs for every dimension (one or two spatial dimensions).
    Raises ValueError when the rank is not 3, 4 or 5.
    """
    value = input if hasattr(input, "shape") else convert_to_tensor(input)
    function = (max_pool1d, max_pool2d, max_pool3d)[_spatial_rank(value, data_format) - 1]
    words = {} if data_format is None else {"data_format": data_format}
    return function(value, ksize, strides, padding, **words, name=name)


@public("nn.max_pool1d")
def max_pool1d(
    input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NWC", name: str | None = None
) -> Any:
    """The maximum of each window along one dimension: [batch, width, channels]."""
    return _pool_1d(MAX_POOL, input, ksize, strides, padding, data_format, name or "MaxPool1d")


@public("nn.max_pool2d")
def max_pool2d(
    input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NHWC", name: str | None = None
) -> Any:
    """The maximum of each window of an image: [batch, height, width, channels]."""
    return _pool_2d(MAX_POOL, input, ksize, strides, padding, data_format, name or "MaxPool2d")


@public("nn.max_pool3d")
def max_pool3d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NDHWC", name: str | None = None
) -> Any:
    """The maximum of each window of a volume: [batch, depth, height, width, channels]."""
    return _pool_3d(MAX_POOL_3D, input, ksize, strides, _word_only(padding), data_format, name or "MaxPool3D")


@public(v1=["nn.max_pool"])
def max_pool_v1(
    value: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    name: str | None = None,
    input: Any = None,
) -> Any:
    """As tf.nn.max_pool2d; `value` is `input`."""
    value = renamed("value", value, "input", input)
    return _pool_2d(MAX_POOL, value, ksize, strides, padding, data_format, name or "MaxPool")


def _with_argmax(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str, dtype: Any, with_batch: bool, name: str | None
) -> Any:
    if data_format != "NHWC":
        raise ValueError(
            f"`data_format` values other  than 'NHWC' are not supported. Received: data_format={data_format}"
        )
    attrs = _attributes(ksize, strides, padding, "NHWC", 2)
    del attrs["data_format"]
    attrs.update(Targmax=dtypes.as_dtype(dtype), include_batch_in_index=bool(with_batch))
    return apply_op(MAX_POOL_WITH_ARGMAX, (input,), attrs, name)


@public(v2=["nn.max_pool_with_argmax"])
def max_pool_with_argmax(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: str,
    data_format: str = "NHWC",
    output_dtype: Any = dtypes.int64,
    include_batch_in_index: bool = False,
    name: str | None = None,
) -> Any:
    """tf.nn.max_pool2d, and the flat index of each maximum in its image (or in the whole batch).

    Returns (output, argmax), argmax of dtype `output_dtype`.
    """
    return _with_argmax(input, ksize, strides, padding, data_format, output_dtype, include_batch_in_index, name)


@public(v1=["nn.max_pool_with_argmax"])
def max_pool_with_argmax_v1(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: str,
    data_format: str = "NHWC",
    Targmax: Any = None,
    name: str | None = None,
    output_dtype: Any = None,
    include_batch_in_index: bool = False,
) -> Any:
    """As tf.nn.max_pool_with_argmax; `Targmax` is `output_dtype`."""
    dtype = renamed("Targmax", Targmax, "output_dtype", output_dtype) or dtypes.int64
    return _with_argmax(input, ksize, strides, padding, data_format, dtype, include_batch_in_index, name)


# ---- means ----------------------------------------------------------------------------------------------------------


@public(v2=["nn.avg_pool"], v1=["nn.avg_pool_v2"])
def avg_pool(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str | None = None, name: str | None = None
) -> Any:
    """The mean of each window, in one, two or three spatial dimensions, as `input` has them; padding doesn't count.

    Arguments and errors are those of tf.nn.max_pool, but for `padding`: 'SAME' or 'VALID'.
    """
    value = input if hasattr(input, "shape") else convert_to_tensor(input)
    function = (avg_pool1d, avg_pool_v1, avg_pool3d)[_spatial_rank(value, data_format) - 1]
    words = {} if data_format is None else {"data_format": data_format}
    return function(value, ksize, strides, padding, **words, name=name)


@public("nn.avg_pool1d")
def avg_pool1d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NWC", name: str | None = None
) -> Any:
    """The mean of each window along one dimension: [batch, width, channels]."""
    return _pool_1d(AVG_POOL, input, ksize, strides, _word_only(padding), data_format, name or "AvgPool1D")


@public(v2=["nn.avg_pool2d"])
def avg_pool2d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NHWC", name: str | None = None
) -> Any:
    """The mean of each window of an image: [batch, height, width, channels]."""
    return _pool_2d(AVG_POOL, input, ksize, strides, _word_only(padding), data_format, name or "AvgPool2D")


@public("nn.avg_pool3d")
def avg_pool3d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NDHWC", name: str | None = None
) -> Any:
    """The mean of each window of a volume: [batch, depth, height, width, channels]."""
    return _pool_3d(AVG_POOL_3D, input, ksize, strides, _word_only(padding), data_format, name or "AvgPool3D")


@public(v1=["nn.avg_pool", "nn.avg_pool2d"])
def avg_pool_v1(
    value: Any,
    ksize: Any,
    strides: Any,
    padding: str,
    data_format: str = "NHWC",
    name: str | None = None,
    input: Any = None,
) -> Any:
    """As tf.nn.avg_pool2d; `value` is `input`."""
    value = renamed("value", value, "input", input)
    return _pool_2d(AVG_POOL, value, ksize, strides, _word_only(padding), data_format, name or "AvgPool")


# ---- either ---------------------------------------------------------------------------------------------------------

_KINDS: dict[str, tuple[OpDef, OpDef]] = {"MAX": (MAX_POOL, MAX_POOL_3D), "AVG": (AVG_POOL, AVG_POOL_3D)}


def _pool(
    input: Any,
    window_shape: Any,
    pooling_type: str,
    strides: Any,
    padding: Any,
    data_format: str | None,
    dilations: Any,
    name: str | None,
) -> Any:
    count = len(window_shape)
    with scope(name or f"{pooling_type.lower()}_pool", input) as full_name:
        input = convert_to_tensor(input, name="input")
        rates = _numbers(dilations, count)
        steps = _numbers(strides, count)
        if padding == "SAME" and max(rates) > 1:
            raise ValueError(
                "pooling with 'SAME' padding is not implemented for `dilation_rate` > 1. Received: "
                f"padding={padding} and dilation_rate={np.array(rates)}"
            )
        if max(steps) > 1 and max(rates) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: "
                f"strides={np.array(steps)} and dilation_rate={np.array(rates)}"
            )
        if count not in (1, 2, 3) or pooling_type not in _KINDS:
            raise ValueError(f"{count}-D {pooling_type} pooling is not supported.")
        function: Callable[..., Any] = (_pool_1d, _pool_2d, _pool_3d)[count - 1]
        definition = _KINDS[pooling_type][count == 3]

        def op(image: Any, num_spatial_dims: int, padding: Any) -> Any:
            node = full_name or pooling_type
            return function(definition, image, list(window_shape), steps, padding, data_format, node)

        return with_space_to_batch(input, rates, padding, op, data_format=data_format)


def _numbers(values: Any, count: int) -> list[int]:
    if values is None:
        return [1] * count
    given = np.ravel(np.asarray(values)).tolist()
    return [int(value) for value in (given * count if len(given) == 1 else given)]


@public(v2=["nn.pool"])
def pool(
    input: Any,
    window_shape: Any,
    pooling_type: str,
    strides: Any = None,
    padding: Any = "VALID",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The maximum ('MAX') or mean ('AVG') of each window, in as many dimensions as `window_shape` has entries.

    strides, dilations: one number for each spatial dimension; not both above 1; with 'SAME', dilations are 1.
    """
    return _pool(input, window_shape, pooling_type, strides, padding, data_format, dilations, name)


@public(v1=["nn.pool"])
def pool_v1(
    input: Any,
    window_shape: Any,
    pooling_type: str,
    padding: Any,
    dilation_rate: Any = None,
    strides: Any = None,
    name: str | None = None,
    data_format: str | None = None,
    dilations: Any = None,
) -> Any:
    """As tf.nn.pool; `dilation_rate` is `dilations`."""
    rates = renamed("dilation_rate", dilation_rate, "dilations", dilations)
    return _pool(input, window_shape, pooling_type, strides, padding, data_format, rates, name)
