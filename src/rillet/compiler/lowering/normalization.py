"""Batch normalisation and local response normalisation, with their gradients."""

from __future__ import annotations

from collections.abc import Callable

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.index import Linear
from rillet.compiler.lowering.windows import channels_first, combined
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes

# So many rows of an image tell where about its values lie.
_SAMPLE = 64
# Wider neighbourhoods are left to the reference kernel.
_WIDEST = 16


# ---- batch normalisation --------------------------------------------------------------------------------------------


class _Channels:
    """An image as arithmetic on it by channel sees it. All is computed in `dtype`."""

    def __init__(self, call: Call, image: Array) -> None:
        self.program: Arrays = call.program
        self.dtype = dtypes.float32 if image.dtype.size < 4 else image.dtype
        self.axis = 1 if channels_first(call) else image.rank - 1
        self.axes = [axis for axis in range(image.rank) if axis != self.axis]
        self.inner = (1,) * (image.rank - 1 - self.axis)
        self.count = image.size // max(1, image.shape[self.axis])

    def wide(self, array: Array) -> Array:
        return self.program.cast(array, self.dtype)

    def spread(self, vector: Array) -> Array:
        """A number for each channel, to be broadcast against images."""
        return self.program.reshape(self.wide(vector), (vector.size, *self.inner))

    def apply(self, operation: str, *arrays: Array) -> Array:
        return self.program.elementwise(operation, self.dtype, *arrays)

    def number(self, value: float) -> Array:
        return self.program.constant(value, self.dtype)

    def sum(self, image: Array) -> Array:
        """The sum of each channel."""
        return self.program.reduce(image, self.axes, "sum")

    def mean(self, image: Array) -> Array:
        return self.apply("mul", self.sum(image), self.number(1.0 / self.count))

    def inverse_deviation(self, variance: Array, epsilon: float) -> Array:
        return self.apply("rsqrt", self.apply("add", self.wide(variance), self.number(epsilon)))

    def about(self, image: Array) -> Array:
        """A number near the values of each channel: the mean of some, taken here and there."""
        program = self.program
        rows = program.transpose(image, [*self.axes, self.axis])
        rows = program.reshape(rows, (self.count, image.shape[self.axis]))
        some = min(_SAMPLE, self.count)
        chosen = program.slice(rows, [0, 0], [some, rows.shape[1]], [self.count // some, 1])
        return self.apply("mul", program.reduce(chosen, [0], "sum"), self.number(1.0 / some))

    def moments(self, image: Array) -> tuple[Array, Array]:
        """The mean and the variance of each channel, in one pass: of what is left when a number near the mean is taken
        away, so that nothing is lost when the square of the mean is."""
        near = self.about(image)
        rest = self.apply("sub", image, self.spread(near))
        mean = self.mean(rest)
        squares = self.mean(self.apply("mul", rest, rest))
        variance = self.apply("sub", squares, self.apply("mul", mean, mean))
        return self.apply("add", near, mean), self.apply("max", variance, self.number(0.0))


@lowering("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def batch_normalization(call: Call, x: Array, scale: Array, offset: Array, mean: Array, variance: Array) -> list[Array]:
    call.require(x.size > 0, "nothing to normalise")
    at, attrs = _Channels(call, x), call.attrs
    channels = x.shape[at.axis]
    call.require(scale.shape == offset.shape == (channels,))
    image = at.wide(x)
    running, saved = (mean, variance), (mean, variance)
    if attrs["is_training"]:
        saved = at.moments(image)
        running = _moved(call, at, saved, (mean, variance))
    else:
        call.require(mean.shape == variance.shape == (channels,))
    factor = at.apply("mul", at.wide(scale), at.inverse_deviation(saved[1], attrs["epsilon"]))
    centred = at.apply("sub", image, at.spread(saved[0]))
    y = at.apply("add", at.apply("mul", centred, at.spread(factor)), at.spread(offset))
    results = [y, *running, *saved]
    if call.operation.type == "FusedBatchNormV3":
        results.append(at.number(0.0))
    return results


def _moved(call: Call, at: _Channels, moments: tuple[Array, Array], old: tuple[Array, Array]) -> tuple[Array, Array]:
    """The running moments: the old ones, moved towards those of the batch."""
    mean, variance = moments
    if at.count > 1:
        variance = at.apply("mul", variance, at.number(at.count / (at.count - 1)))
    share = call.attrs["exponential_avg_factor"]
    if share == 1.0:
        return mean, variance

    def moved(before: Array, now: Array) -> Array:
        call.require(before.shape == now.shape)
        kept = at.apply("mul", at.wide(before), at.number(1.0 - share))
        return at.apply("add", kept, at.apply("mul", now, at.number(share)))

    return moved(old[0], mean), moved(old[1], variance)


@lowering("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3")
def batch_normalization_gradient(
    call: Call, dy: Array, x: Array, scale: Array, mean: Array, variance: Array, *unused: Array
) -> list[Array]:
    """With n = (x - mean) * r, r = 1 / sqrt(variance + epsilon): dscale = sum(dy * n), doffset = sum(dy) and, in training,
    dx = (dy - mean(dy) - n * mean(dy * n)) * scale * r.
    """
    call.require(x.size > 0 and dy.shape == x.shape, "nothing to normalise")
    at, attrs = _Channels(call, x), call.attrs
    call.require(scale.shape == mean.shape == variance.shape == (x.shape[at.axis],))
    dy = at.wide(dy)
    inverse = at.inverse_deviation(variance, attrs["epsilon"])
    centred = at.apply("sub", at.wide(x), at.spread(mean))
    offset_gradient = at.sum(dy)
    scale_gradient = at.apply("mul", at.sum(at.apply("mul", dy, centred)), inverse)
    result = dy
    if attrs["is_training"]:
        share = at.number(1.0 / at.count)
        result = at.apply("sub", dy, at.spread(at.apply("mul", offset_gradient, share)))
        slope = at.apply("mul", at.apply("mul", scale_gradient, share), inverse)
        result = at.apply("sub", result, at.apply("mul", centred, at.spread(slope)))
    result = at.apply("mul", result, at.spread(at.apply("mul", at.wide(scale), inverse)))
    empty = call.program.constant([], dtypes.float32)
    return [result, scale_gradient, offset_gradient, empty, empty]


# ---- local response normalisation -----------------------------------------------------------------------------------


class _Response:
    """bias + alpha * (the sum of the squares of the channels near each) and powers of it, in float32 at least."""

    def __init__(self, call: Call, image: Array) -> None:
        self.program: Arrays = call.program
        self.dtype = dtypes.float32 if image.dtype.size < 4 else image.dtype
        self.attrs = call.attrs
        call.require(image.rank == 4 and image.size > 0, "images of another rank")
        self.reach = min(call.attrs["depth_radius"], image.shape[-1] - 1)
        call.require(0 <= self.reach <= _WIDEST, "wide neighbourhoods")
        self.image = self.program.cast(image, self.dtype)
        squares = self.apply("mul", self.image, self.image)
        scaled = self.apply("mul", self.near(squares), self.number(self.attrs["alpha"]))
        self.norm = self.apply("add", scaled, self.number(self.attrs["bias"]))

    def apply(self, operation: str, *arrays: Array) -> Array:
        return self.program.elementwise(operation, self.dtype, *arrays)

    def number(self, value: float) -> Array:
        return self.program.constant(value, self.dtype)

    def near(self, values: Array) -> Array:
        """The sum of the channels near each."""
        program, channels = self.program, values.shape[-1]
        zero = program.number(0, self.dtype)

        def compute(*index: Linear) -> Scalar:
            *place, channel = index
            parts = []
            for step in range(-self.reach, self.reach + 1):
                other = channel + step
                inside = program.within(other, 0, channels)
                read: Callable[..., Scalar] = lambda other=other: values.at(*place, other)  # noqa: E731
                parts.append(program.choose([inside], read, lambda: zero))
            return combined(program, "add", parts)

        count = 2 * self.reach + 1
        return program.map(values.shape, self.dtype, compute, (values,), count, count)

    def scaled(self, values: Array) -> Array:
        """values / norm ** beta."""
        beta = self.attrs["beta"]
        if beta not in (0.25, 0.5, 0.75, 1.0):
            return self.apply("mul", values, self.apply("pow", self.norm, self.number(-beta)))
        if beta == 1.0:
            return self.apply("div", values, self.norm)
        half = self.apply("rsqrt", self.norm)
        if beta != 0.5:
            quarter = self.apply("sqrt", half)
            half = quarter if beta == 0.25 else self.apply("mul", half, quarter)
        return self.apply("mul", values, half)


@lowering("LRN")
def response(call: Call, image: Array) -> Array:
    at = _Response(call, image)
    return at.scaled(at.image)


@lowering("LRNGrad")
def response_gradient(call: Call, gradient: Array, image: Array, output: Array) -> Array:
    at = _Response(call, image)
    call.require(gradient.shape == output.shape == image.shape)
    dy, y = call.program.cast(gradient, at.dtype), call.program.cast(output, at.dtype)
    shared = at.near(at.apply("div", at.apply("mul", dy, y), at.norm))
    factor = at.number(2.0 * call.attrs["alpha"] * call.attrs["beta"])
    return at.apply("sub", at.scaled(dy), at.apply("mul", at.apply("mul", at.image, factor), shared))
