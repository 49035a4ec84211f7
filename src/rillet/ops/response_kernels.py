"""Reference kernels for local response normalisation; `rillet.ops.sliding_windows` says what all kernels share."""

import math

import numpy as np

from rillet.ops import precision
from rillet.ops.sliding_windows import pad, reduce_windows, slide
from rillet.ops.window_geometry import Array, check_shape


def local_response_normalisation(
    input: Array, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5
) -> Array:
    """`input / (bias + alpha * s) ** beta`, `s` the sum of squares of the channels at most `depth_radius` away.

    Works along the last dimension of any floating-point array.
    """
    wide = precision.wide(input)
    norm = bias + alpha * _neighbour_sum(wide * wide, depth_radius)
    return (wide * norm**-beta).astype(input.dtype, copy=False)


def local_response_normalisation_gradient(
    grad: Array,
    input: Array,
    output: Array,
    depth_radius: int = 5,
    bias: float = 1.0,
    alpha: float = 1.0,
    beta: float = 0.5,
) -> Array:
    """The gradient of `local_response_normalisation` with respect to its input, given also its output."""
    check_shape("grad", grad.shape, input.shape)
    check_shape("output", output.shape, input.shape)
    wide, wide_grad = precision.wide(input), precision.wide(grad)
    norm = bias + alpha * _neighbour_sum(wide * wide, depth_radius)
    shared = _neighbour_sum(wide_grad * precision.wide(output) / norm, depth_radius)
    return (wide_grad * norm**-beta - 2 * alpha * beta * wide * shared).astype(input.dtype, copy=False)


def _neighbour_sum(values: Array, radius: int) -> Array:
    """The sum of the elements at most `radius` away along the last dimension."""
    if radius < 0:
        raise ValueError(f"depth_radius must not be negative, but is {radius}")
    size = values.shape[-1]
    reach = max(min(radius, size - 1), 0)
    rows = values.reshape(math.prod(values.shape[:-1]), size, 1)
    windows = slide(rows.shape, (2 * reach + 1,), (1,), (1,), ((reach, reach),))
    return reduce_windows(np.add, pad(rows, windows, 0), windows).reshape(values.shape)
