"""Normalisation: moments, batch normalisation, local response normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.errors import ShapeError, format_shape
from rillet.ops import response_kernels
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.creation import zeros_like_v1
from rillet.ops.precision import is_low, wide
from rillet.ops.reduce import reduce_mean, reduce_prod, reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import rank, reshape, shape_of, squeeze
from rillet.ops.window_geometry import from_channels_last, is_channels_first, to_channels_last
from rillet.ops.windows import require_dimensions

# ---- fused batch normalisation: kernels -----------------------------------------------------------------------------


def _mean_of_rows(rows: Any) -> Any:
    """The mean of each column; summed in double precision."""
    return rows.sum(axis=0, dtype=np.float64) / len(rows) if len(rows) else np.full(rows.shape[1], np.nan)


def _fused_kernel(
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any,
    variance: Any,
    *,
    epsilon: float,
    exponential_avg_factor: float,
    data_format: str,
    is_training: bool,
) -> tuple[Any, ...]:
    first = is_channels_first(data_format)
    image = wide(to_channels_last(x, first))
    rows = image.reshape(-1, image.shape[-1])
    if not is_training:
        centred = rows - wide(mean)
        running = saved = (mean, variance)
    else:
        batch_mean = _mean_of_rows(rows)
        centred = rows - batch_mean.astype(rows.dtype)
        batch_variance = _mean_of_rows(np.square(centred))
        count = len(rows)
        unbiased = batch_variance * (count / (count - 1)) if count > 1 else batch_variance
        running = (batch_mean, unbiased)
        if exponential_avg_factor != 1.0:
            old, new = 1.0 - exponential_avg_factor, exponential_avg_factor
            running = (old * mean + new * batch_mean, old * variance + new * unbiased)
        saved = (batch_mean, batch_variance)
    factor = wide(scale) / np.sqrt(saved[1] + epsilon)
    centred *= factor.astype(centred.dtype)
    centred += wide(offset)
    y = from_channels_last(centred.reshape(image.shape), first)
    return y, *running, *saved


def _fused_kernel_v3(
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any,
    variance: Any,
    *,
    epsilon: float,
    exponential_avg_factor: float,
    data_format: str,
    is_training: bool,
) -> tuple[Any, ...]:
    outputs = _fused_kernel(
        x, scale, offset, mean, variance, epsilon=epsilon, exponential_avg_factor=exponential_avg_factor,
        data_format=data_format, is_training=is_training,
    )  # fmt: skip
    return *outputs, np.float32(0)


def _fused_grad_kernel(
    y_backprop: Any,
    x: Any,
    scale: Any,
    mean: Any,
    variance: Any,
    *unused: Any,
    epsilon: float,
    data_format: str,
    is_training: bool,
) -> tuple[Any, ...]:
    first = is_channels_first(data_format)
    image, dy = wide(to_channels_last(x, first)), wide(to_channels_last(y_backprop, first))
    dy = dy.reshape(-1, dy.shape[-1])
    inverse = (1 / np.sqrt(wide(variance) + epsilon)).astype(dy.dtype)
    normalized = (image.reshape(dy.shape) - wide(mean)) * inverse
    offset_backprop = dy.sum(axis=0, dtype=np.float64)
    scale_backprop = (dy * normalized).sum(axis=0, dtype=np.float64)
    result = dy
    if is_training and len(dy):
        means = (offset_backprop / len(dy)).astype(dy.dtype), (scale_backprop / len(dy)).astype(dy.dtype)
        normalized *= means[1]
        result = dy - means[0] - normalized
    x_backprop = from_channels_last((result * (scale * inverse)).reshape(image.shape), first)
    empty = np.zeros((0,), np.float32)
    return x_backprop, scale_backprop, offset_backprop, empty, empty


# ---- fused batch normalisation: inference ---------------------------------------------------------------------------


def _fused_shape(op: Operation) -> list[TensorShape]:
    words = op.attrs["data_format"]
    dimensions = len(words)
    image = op.inputs[0].shape
    if image.rank not in (None, dimensions):
        text = format_shape(image.dimensions)
        raise ShapeError(
            f"Shape must be rank {dimensions} but is rank {image.rank} for '{op.type}' x with shape: {text}.",
            f"input must be {dimensions}-dimensional: {text}",
            {0: range(image.rank or 0)},
        )
    axis = 1 if is_channels_first(words) else dimensions - 1
    sizes = list(image.with_rank(dimensions).dimensions or ())
    channels = sizes[axis]
    names = ("x", "scale", "offset", "mean", "variance")
    for index in (1, 2) if op.attrs["is_training"] else (1, 2, 3, 4):
        channels = _same_channels(op, index, channels, names[index])
    sizes[axis] = channels
    vector = TensorShape([channels])
    return [TensorShape(sizes), *[vector] * 4, *[UNKNOWN] * (len(op.outputs) - 5)]


def _same_channels(op: Operation, index: int, channels: int | None, name: str) -> int | None:
    shape = op.inputs[index].shape
    if shape.rank not in (None, 1):
        text = format_shape(shape.dimensions)
        raise ShapeError(
            f"Shape must be rank 1 but is rank {shape.rank} for '{op.type}' {name} with shape: {text}.",
            f"{name} must be 1-dimensional: {text}",
        )
    size = shape.with_rank(1).dimensions[0]  # type: ignore[index]
    if size is None:
        return channels
    if channels is not None and size != channels:
        raise ShapeError(
            f"Dimensions must be equal, but are {channels} and {size} for '{op.type}': the channels of x and {name}.",
            f"{name} must have the same number of elements as the channels of x, got {size} and {channels}",
            {index: [0]},
        )
    return size


def _fused_grad_shape(op: Operation) -> list[TensorShape]:
    x = op.inputs[1].shape
    axis = 1 if is_channels_first(op.attrs["data_format"]) else -1
    vector = op.inputs[2].shape
    if x.dimensions is not None:
        vector = TensorShape([x.dimensions[axis]])
    empty = TensorShape([0])
    return [x, vector, vector, empty, empty]


# ---- fused batch normalisation: gradients ---------------------------------------------------------------------------


def _fused_gradient(gradient_type: str) -> Any:
    """The rule of a fused batch normalisation; nothing flows through the moments that it returns, as in TensorFlow."""

    def rule(op: Operation, dy: Any, *unused: Any) -> list[Any]:
        x, scale = op.inputs[:2]
        training = op.attrs["is_training"]
        saved = list(op.outputs[3:]) if training else [*op.inputs[3:5], *op.outputs[5:]]
        if dy is None:
            dy = zeros_like_v1(op.outputs[0])
        scale = cast(scale, dtypes.float32)
        attrs = {name: op.attrs[name] for name in ("epsilon", "data_format", "is_training")}
        result = apply_op(REGISTRY[gradient_type], (dy, x, scale, *saved), attrs)
        return [result[0], result[1], result[2], None, None]

    rule.takes_none_eagerly = True  # type: ignore[attr-defined]
    return rule


class _Channels:
    """Sums, means and broadcasts along the channels of an image in a given data format."""

    def __init__(self, data_format: str) -> None:
        dimensions = len(data_format)
        self.first = is_channels_first(data_format)
        self.axes = [0, *range(2, dimensions)] if self.first else list(range(dimensions - 1))
        self.inner = [1] * (dimensions - 2)

    def sum(self, value: Any) -> Any:
        """The sum of each channel: a vector."""
        return reduce_sum(value, self.axes)

    def mean(self, value: Any) -> Any:
        """The mean of each channel, broadcast against images."""
        return reduce_mean(value, self.axes, True)

    def spread(self, vector: Any) -> Any:
        """A number for each channel, broadcast against images."""
        return reshape(vector, [-1, *self.inner]) if self.first else vector


def _fused_grad_gradient(op: Operation, gx: Any, gscale: Any, goffset: Any, *unused: Any) -> list[Any]:
    """With P(u) = u - mean(u) - n * mean(u * n), n the normalised x and r = 1 / sqrt(variance + epsilon), the op is
    dx = scale * r * P(dy), dscale = sum(dy * n), doffset = sum(dy); this is the gradient of
    sum(gx * dx) + sum(gscale * dscale) + sum(goffset * doffset).
    """
    along = _Channels(op.attrs["data_format"])
    dy, x, scale = (cast(value, dtypes.float32) for value in op.inputs[:3])
    gx = zeros_like_v1(x) if gx is None else cast(gx, dtypes.float32)
    gscale = along.spread(zeros_like_v1(scale) if gscale is None else gscale)
    goffset = along.spread(zeros_like_v1(scale) if goffset is None else goffset)
    training = op.attrs["is_training"]
    if training:
        mean = along.mean(x)
        variance = along.mean(apply_op(REGISTRY["SquaredDifference"], (x, mean)))
    else:
        mean, variance = (along.spread(cast(value, dtypes.float32)) for value in op.inputs[3:5])
    inverse = apply_op(REGISTRY["Rsqrt"], (variance + op.attrs["epsilon"],))
    normalized = (x - mean) * inverse
    wide_scale = along.spread(scale)
    if not training:
        to_dy = gx * wide_scale * inverse + gscale * normalized + goffset
        to_x = gscale * dy * inverse
        to_scale = along.sum(gx * dy * inverse)
    else:
        gx_part, dy_part = along.mean(gx * normalized), along.mean(dy * normalized)
        p_gx = gx - along.mean(gx) - normalized * gx_part
        p_dy = dy - along.mean(dy) - normalized * dy_part
        to_dy = wide_scale * inverse * p_gx + gscale * normalized + goffset
        common = along.mean(gx * dy) - along.mean(gx) * along.mean(dy) - gx_part * dy_part
        bend = normalized * common + dy_part * p_gx + gx_part * p_dy
        to_x = gscale * inverse * p_dy - wide_scale * inverse * inverse * bend
        to_scale = along.sum(gx * p_dy * inverse)
    results = [cast(to_dy, op.inputs[0].dtype), cast(to_x, op.inputs[1].dtype), cast(to_scale, op.inputs[2].dtype)]
    return [*results, *[None] * (len(op.inputs) - 3)]


_fused_grad_gradient.takes_none_eagerly = True  # type: ignore[attr-defined]

# ---- fused batch normalisation: ops ---------------------------------------------------------------------------------

_ATTRIBUTES = "epsilon: float = 0.0001, exponential_avg_factor: float = 1.0, data_format: string = 'NHWC', is_training: bool = True"
_GRAD_ATTRIBUTES = "epsilon: float = 0.0001, data_format: string = 'NHWC', is_training: bool = True"
_LOW = "{float16, bfloat16, float32}"

define(
    "FusedBatchNorm",
    "x: T, scale: T, offset: T, mean: T, variance: T -> y: T, batch_mean: T, batch_variance: T, reserve_space_1: T, "
    "reserve_space_2: T",
    f"T: {{float32}}, {_ATTRIBUTES}",
    reference=_fused_kernel, shape=_fused_shape, gradient=_fused_gradient("FusedBatchNormGrad"),
)  # fmt: skip
define(
    "FusedBatchNormV2",
    "x: T, scale: U, offset: U, mean: U, variance: U -> y: T, batch_mean: U, batch_variance: U, reserve_space_1: U, "
    "reserve_space_2: U",
    f"T: {_LOW}, U: {{float32}}, {_ATTRIBUTES}",
    reference=_fused_kernel, shape=_fused_shape, gradient=_fused_gradient("FusedBatchNormGradV2"),
)  # fmt: skip
FUSED_V3 = define(
    "FusedBatchNormV3",
    "x: T, scale: U, offset: U, mean: U, variance: U -> y: T, batch_mean: U, batch_variance: U, reserve_space_1: U, "
    "reserve_space_2: U, reserve_space_3: U",
    f"T: {_LOW}, U: {{bfloat16, float32}}, {_ATTRIBUTES}",
    reference=_fused_kernel_v3, shape=_fused_shape, gradient=_fused_gradient("FusedBatchNormGradV3"),
)  # fmt: skip
define(
    "FusedBatchNormGrad",
    "y_backprop: T, x: T, scale: T, reserve_space_1: T, reserve_space_2: T -> x_backprop: T, scale_backprop: T, "
    "offset_backprop: T, reserve_space_3: T, reserve_space_4: T",
    f"T: {{float32}}, {_GRAD_ATTRIBUTES}",
    reference=_fused_grad_kernel, shape=_fused_grad_shape, gradient=_fused_grad_gradient,
)  # fmt: skip
define(
    "FusedBatchNormGradV2",
    "y_backprop: T, x: T, scale: float32, reserve_space_1: U, reserve_space_2: U -> x_backprop: T, scale_backprop: U, "
    "offset_backprop: U, reserve_space_3: U, reserve_space_4: U",
    f"T: {_LOW}, U: {{float32}}, {_GRAD_ATTRIBUTES}",
    reference=_fused_grad_kernel, shape=_fused_grad_shape, gradient=_fused_grad_gradient,
)  # fmt: skip
define(
    "FusedBatchNormGradV3",
    "y_backprop: T, x: T, scale: float32, reserve_space_1: U, reserve_space_2: U, reserve_space_3: U -> x_backprop: T, "
    "scale_backprop: U, offset_backprop: U, reserve_space_4: U, reserve_space_5: U",
    f"T: {_LOW}, U: {{float32}}, {_GRAD_ATTRIBUTES}",
    reference=_fused_grad_kernel, shape=_fused_grad_shape, gradient=_fused_grad_gradient,
)  # fmt: skip

_SMALLEST_EPSILON = 1.001e-5  # what cuDNN demands; TensorFlow takes no smaller one anywhere


@public(v1=["nn.fused_batch_norm"])
def fused_batch_norm(
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any = None,
    variance: Any = None,
    epsilon: float = 0.001,
    data_format: str = "NHWC",
    is_training: bool = True,
    name: str | None = None,
    exponential_avg_factor: float = 1.0,
) -> Any:
    """Batch normalisation of images, in one op.

    x: float16, bfloat16 or float32, [batch, height, width, channels] (channels second for 'NCHW').
    scale, offset, mean, variance: float32, [channels]. While training, mean and variance are those of the batch; the
    given ones, if any, are moved towards them by `exponential_avg_factor`.
    Returns (y, mean, variance). Raises ValueError where a mean and variance are needed and not given.
    """
    if (not is_training or exponential_avg_factor != 1.0) and (mean is None or variance is None):
        raise ValueError(
            "Both `mean` and `variance` must be a 1D tensor when `is_training` is False or `exponential_avg_factor` != "
            f"1.0. Received: `mean` {mean!r} and `variance` {variance!r}"
        )
    x = convert_to_tensor(x, name="input")
    scale = convert_to_tensor(scale, name="scale")
    offset = convert_to_tensor(offset, name="offset")
    mean = convert_to_tensor(np.zeros((0,), np.float32) if mean is None else mean)
    variance = convert_to_tensor(np.zeros((0,), np.float32) if variance is None else variance)
    attrs = {
        "epsilon": max(float(epsilon), _SMALLEST_EPSILON),
        "exponential_avg_factor": float(exponential_avg_factor),
        "data_format": data_format,
        "is_training": bool(is_training),
    }
    result = apply_op(FUSED_V3, (x, scale, offset, mean, variance), attrs, name)
    return result[0], result[1], result[2]


# ---- batch normalisation, written out -------------------------------------------------------------------------------


@public("nn.batch_normalization")
def batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: Any, name: str | None = None
) -> Any:
    """(x - mean) / sqrt(variance + variance_epsilon) * scale + offset; `offset` and `scale` may be None.

    The moments, offset and scale broadcast against `x`, whose dtype the result has.
    """
    with scope(name or "batchnorm", x, mean, variance, scale, offset):
        inverse = apply_op(REGISTRY["Rsqrt"], (variance + variance_epsilon,))
        if scale is not None:
            inverse = inverse * scale
        dtype = convert_to_tensor(x).dtype
        scaled = x * cast(inverse, dtype)
        shift = offset - mean * inverse if offset is not None else -mean * inverse
        return scaled + cast(shift, dtype)


@public(v2=["nn.batch_norm_with_global_normalization"])
def batch_norm_with_global_normalization(
    input: Any,
    mean: Any,
    variance: Any,
    beta: Any,
    gamma: Any,
    variance_epsilon: Any,
    scale_after_normalization: bool,
    name: str | None = None,
) -> Any:
    """tf.nn.batch_normalization with offset `beta`, and with scale `gamma` if `scale_after_normalization`."""
    scale = gamma if scale_after_normalization else None
    return batch_normalization(input, mean, variance, beta, scale, variance_epsilon, name)


@public(v1=["nn.batch_norm_with_global_normalization"])
def batch_norm_with_global_normalization_v1(
    t: Any = None,
    m: Any = None,
    v: Any = None,
    beta: Any = None,
    gamma: Any = None,
    variance_epsilon: Any = None,
    scale_after_normalization: Any = None,
    name: str | None = None,
    input: Any = None,
    mean: Any = None,
    variance: Any = None,
) -> Any:
    """As tf.nn.batch_norm_with_global_normalization; `t`, `m`, `v` are `input`, `mean`, `variance`."""
    return batch_norm_with_global_normalization(
        renamed("t", t, "input", input), renamed("m", m, "mean", mean), renamed("v", v, "variance", variance),
        beta, gamma, variance_epsilon, scale_after_normalization, name,
    )  # fmt: skip


# ---- moments --------------------------------------------------------------------------------------------------------


def _axes_list(axes: Any) -> Any:
    """Axes as Python ints, so that they can be squeezed."""
    known = constant_value(axes) if hasattr(axes, "dtype") else axes
    if known is None:
        raise TypeError(f"the axes must be known while the graph is being built, but are {axes}")
    return [int(axis) for axis in np.ravel(known)]


def _squares_around(mean: Any, y: Any) -> Any:
    """The squared difference of `y` and its mean, through which nothing flows to the mean: its share would be zero.

    The gradient itself depends on the mean, though, and is differentiated with respect to it.
    """
    definition = REGISTRY["SquaredDifference"]

    def rule(op: Operation, dy: Any) -> list[Any]:
        moving = Operation(definition, (y, mean), op.attrs)
        moving.outputs = op.outputs
        assert callable(definition.gradient)
        return [definition.gradient(moving, dy)[0], None]

    still = apply_op(REGISTRY["StopGradient"], (mean,))
    return apply_op(definition, (y, still), gradient=rule)


@public(v2=["nn.moments"])
def moments(x: Any, axes: Any, shift: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """The mean and variance of `x` over `axes`: (mean, variance).

    keepdims: the axes stay, with size 1. `shift` is not used. float16 is computed in float32.
    """
    with scope(name or "moments", x, axes):
        value = convert_to_tensor(x, name="x")
        dtype = value.dtype.base_dtype
        y = cast(value, dtypes.float32) if dtype is dtypes.float16 else value
        mean = reduce_mean(y, axes, True, "mean")
        variance = reduce_mean(_squares_around(mean, y), axes, True, "variance")
        if not keepdims:
            removed = _axes_list(axes)
            mean, variance = squeeze(mean, removed), squeeze(variance, removed)
        return cast(mean, dtype), cast(variance, dtype)


@public(v1=["nn.moments"])
def moments_v1(
    x: Any,
    axes: Any,
    shift: Any = None,
    name: str | None = None,
    keep_dims: bool | None = None,
    keepdims: bool | None = None,
) -> Any:
    """As tf.nn.moments; `keep_dims` is `keepdims`."""
    return moments(x, axes, shift, bool(renamed("keepdims", keepdims, "keep_dims", keep_dims)), name)


@public(v2=["nn.weighted_moments"])
def weighted_moments(x: Any, axes: Any, frequency_weights: Any, keepdims: bool = False, name: str | None = None) -> Any:
    """The mean and variance of `x` over `axes`, each element counted `frequency_weights` times: (mean, variance).

    The weights broadcast against `x`.
    """
    with scope(name or "weighted_moments", x, frequency_weights, axes):
        x = convert_to_tensor(x, name="x")
        weights = convert_to_tensor(frequency_weights, None, "frequency_weights", preferred_dtype=x.dtype.base_dtype)
        dtype = x.dtype.base_dtype
        if is_low(dtype.numpy_dtype):
            x = cast(x, dtypes.float32)
        weights = cast(weights, x.dtype)
        total = reduce_sum(weights * x, axes, True, "weighted_input_sum")
        count = reduce_sum(weights + zeros_like_v1(x), axes, True, "sum_of_weights")
        mean = apply_op(REGISTRY["DivNoNan"], (total, count), name="div_no_nan")
        squares = weights * apply_op(REGISTRY["SquaredDifference"], (x, mean))
        distance = reduce_sum(squares, axes, True, "weighted_distsq")
        variance = apply_op(REGISTRY["DivNoNan"], (distance, count), name="div_no_nan")
        if not keepdims:
            removed = _axes_list(axes)
            mean, variance = squeeze(mean, removed), squeeze(variance, removed)
        return cast(mean, dtype), cast(variance, dtype)


@public(v1=["nn.weighted_moments"])
def weighted_moments_v1(
    x: Any,
    axes: Any,
    frequency_weights: Any,
    name: str | None = None,
    keep_dims: bool | None = None,
    keepdims: bool | None = None,
) -> Any:
    """As tf.nn.weighted_moments; `keep_dims` is `keepdims`."""
    kept = bool(renamed("keepdims", keepdims, "keep_dims", keep_dims))
    return weighted_moments(x, axes, frequency_weights, kept, name)


@public(v2=["nn.sufficient_statistics"])
def sufficient_statistics(x: Any, axes: Any, shift: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
    """What mean and variance can be computed from, and which may be added up over parts of the data.

    Returns (count, sum, sum of squares, shift), the sums of x - shift (shift None: of x).
    """
    numbers = sorted(set(_axes_list(axes)))
    with scope(name or "sufficient_statistics", x, shift):
        x = convert_to_tensor(x, name="x")
        count = _count(x, numbers)
        if shift is None:
            values, squares = x, apply_op(REGISTRY["Square"], (x,))
        else:
            shift = convert_to_tensor(shift, name="shift")
            values = apply_op(REGISTRY["Sub"], (x, shift))
            squares = apply_op(REGISTRY["SquaredDifference"], (x, shift))
        total = reduce_sum(values, numbers, keepdims, "mean_ss")
        return count, total, reduce_sum(squares, numbers, keepdims, "var_ss"), shift


def _count(x: Any, axes: list[int]) -> Any:
    """How many elements the axes hold, in the dtype of `x`."""
    dimensions = x.shape.dimensions
    sizes = [None] if dimensions is None else [dimensions[axis] for axis in axes]
    if None not in sizes:
        return convert_to_tensor(np.asarray(math.prod(sizes), x.dtype.numpy_dtype), name="Const")  # type: ignore[arg-type]
    places = [axis if axis >= 0 else axis + rank(x) for axis in axes]
    rank(x)
    extents = cast(shape_of(x), x.dtype)
    chosen = apply_op(REGISTRY["GatherV2"], (extents, places, 0), name="GatherV2")
    return reduce_prod(chosen, name="count")


@public(v1=["nn.sufficient_statistics"])
def sufficient_statistics_v1(
    x: Any,
    axes: Any,
    shift: Any = None,
    keep_dims: bool | None = None,
    name: str | None = None,
    keepdims: bool | None = None,
) -> Any:
    """As tf.nn.sufficient_statistics; `keep_dims` is `keepdims`."""
    return sufficient_statistics(x, axes, shift, bool(renamed("keepdims", keepdims, "keep_dims", keep_dims)), name)


@public("nn.normalize_moments")
def normalize_moments(counts: Any, mean_ss: Any, variance_ss: Any, shift: Any, name: str | None = None) -> Any:
    """The mean and variance from what tf.nn.sufficient_statistics returned."""
    with scope(name or "normalize", counts, mean_ss, variance_ss, shift):
        divisor = apply_op(REGISTRY["Reciprocal"], (counts,), name="divisor")
        if shift is None:
            mean = shifted = apply_op(REGISTRY["Mul"], (mean_ss, divisor), name="mean")
        else:
            shifted = apply_op(REGISTRY["Mul"], (mean_ss, divisor), name="shifted_mean")
            mean = apply_op(REGISTRY["AddV2"], (shifted, shift), name="mean")
        square_mean = apply_op(REGISTRY["Mul"], (variance_ss, divisor))
        mean_square = apply_op(REGISTRY["Square"], (shifted,))
        return mean, apply_op(REGISTRY["Sub"], (square_mean, mean_square), name="variance")


# ---- local response normalisation -----------------------------------------------------------------------------------


def _lrn_kernel(input: Any, *, depth_radius: int, bias: float, alpha: float, beta: float) -> Any:
    return response_kernels.local_response_normalisation(input, depth_radius, bias, alpha, beta)


def _lrn_grad_kernel(
    input_grads: Any, input_image: Any, output_image: Any, *, depth_radius: int, bias: float, alpha: float, beta: float
) -> Any:
    return response_kernels.local_response_normalisation_gradient(
        input_grads, input_image, output_image, depth_radius, bias, alpha, beta
    )


def _lrn_attributes(op: Operation) -> dict[str, Any]:
    return {name: op.attrs[name] for name in ("depth_radius", "bias", "alpha", "beta")}


def _neighbour_sum(value: Any, radius: int) -> Any:
    """The sum of the channels at most `radius` away, by a product with a band matrix."""
    channels = value.shape.dimensions[-1] if value.shape.dimensions is not None else None
    count = channels if channels is not None else shape_of(value)[-1]
    places = apply_op(REGISTRY["Range"], (0, count, 1), name="range")
    apart = apply_op(REGISTRY["Abs"], (reshape(places, [-1, 1]) - places,))
    band = cast(apply_op(REGISTRY["LessEqual"], (apart, radius)), value.dtype)
    return apply_op(REGISTRY["BatchMatMulV2"], (value, band), name="MatMul")


def _lrn_grad_gradient(op: Operation, w: Any) -> list[Any]:
    """With n = bias + alpha * s(x * x), s the sum over neighbours, p = n ** -beta and q = p / n, the op is
    g * p - 2 * alpha * beta * x * s(g * x * q); this is the gradient of its product with `w`, with respect to g and x.
    """
    g, x, y = op.inputs
    radius, bias, alpha, beta = (op.attrs[name] for name in ("depth_radius", "bias", "alpha", "beta"))

    def s(value: Any) -> Any:
        return _neighbour_sum(value, radius)

    n = bias + alpha * s(x * x)
    q = apply_op(REGISTRY["Pow"], (n, convert_to_tensor(-beta - 1.0, n.dtype)))
    around = s(w * x)
    bend = x * (s(w * g * q) - 2.0 * alpha * (beta + 1.0) * s(g * x * around * q / n))
    to_x = -2.0 * alpha * beta * (bend + g * q * around + w * s(g * x * q))
    return [apply_op(LRN_GRAD, (w, x, y), _lrn_attributes(op)), to_x, None]


_LRN = "depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5"
LRN_GRAD = define(
    "LRNGrad", "input_grads: T, input_image: T, output_image: T -> output: T", f"{_LRN}, T: {_LOW} = float32",
    reference=_lrn_grad_kernel, shape=lambda op: require_dimensions(op, 1, 4, "input_image"),
    gradient=_lrn_grad_gradient,
)  # fmt: skip
LRN = define(
    "LRN", "input: T -> output: T", f"{_LRN}, T: {_LOW} = float32",
    reference=_lrn_kernel, shape=lambda op: require_dimensions(op, 0, 4, "in"),
    gradient=lambda op, dy: [apply_op(LRN_GRAD, (dy, op.inputs[0], op.outputs[0]), _lrn_attributes(op))],
)  # fmt: skip


@public("nn.local_response_normalization", "nn.lrn")
def local_response_normalization(
    input: Any, depth_radius: int = 5, bias: float = 1, alpha: float = 1, beta: float = 0.5, name: str | None = None
) -> Any:
    """input / (bias + alpha * s) ** beta, s the sum of the squares of the channels at most `depth_radius` away.

    input: float16, bfloat16 or float32, [batch, height, width, channels].
    """
    attrs = {"depth_radius": int(depth_radius), "bias": float(bias), "alpha": float(alpha), "beta": float(beta)}
    return apply_op(LRN, (input,), attrs, name)
