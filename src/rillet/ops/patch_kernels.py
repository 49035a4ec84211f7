"""Reference kernels that cut images into patches; `rillet.ops.sliding_windows` says what all kernels share."""

import math
from collections.abc import Sequence

from rillet.ops import precision
from rillet.ops.sliding_windows import crop, pad, slide, window_view, zeros_padded
from rillet.ops.window_geometry import Array, PaddingPair, check_shape


def extract_patches(
    images: Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """Each window as one row: `[batch, *spatial, depth]` to `[batch, *outputs, taps * depth]`, zeros in the padding.

    Any dtype. `dilations` is what TensorFlow calls `rates`.
    """
    windows = slide(images.shape, window, strides, dilations, padding)
    view = window_view(pad(images, windows, 0), windows)
    # the copy comes first, so that the result never shares memory with the images
    return view.copy().reshape(images.shape[0], *windows.output_sizes, math.prod(window) * images.shape[-1])


def extract_patches_gradient(
    image_shape: Sequence[int],
    grad: Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """The gradient of `extract_patches`: every patch is added back where it came from."""
    windows = slide(image_shape, window, strides, dilations, padding)
    depth = image_shape[-1]
    check_shape("grad", grad.shape, (image_shape[0], *windows.output_sizes, math.prod(window) * depth))
    patches = precision.wide(grad).reshape(image_shape[0], *windows.output_sizes, math.prod(window), depth)
    total = zeros_padded(image_shape[0], windows, depth, patches.dtype)
    for number, (_, index) in enumerate(windows.taps()):
        total[index] += patches[..., number, :]
    return crop(total, windows).astype(grad.dtype, copy=False)
