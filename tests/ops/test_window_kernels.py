"""The reference kernels that slide a window.

Values against TensorFlow's recorded results; gradients, where TensorFlow's CPU kernels have none, against the identity
<f(x), g> = <x, f'(g)> of a linear f, and against differences.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rillet.ops import (
    convolution_kernels,
    dilation_kernels,
    patch_kernels,
    pool_kernels,
    resize_kernels,
    response_kernels,
    window_geometry,
)
from rillet.ops.window_geometry import PaddingPair
from tests.ops.recording import load

Array = np.ndarray[Any, Any]
RECORDING = load("../window_kernels")
RELATIVE_ERROR = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5, "float64": 1e-12}


# Against TensorFlow


@dataclass(frozen=True)
class Call:
    """A recorded raw op: its inputs by name, and its attributes."""

    op: str
    inputs: dict[str, Array]
    attributes: dict[str, Any]

    def __getitem__(self, name: str) -> Array:
        return self.inputs[name]

    @property
    def strides(self) -> tuple[int, ...]:
        return window_geometry.spatial_entries(self.attributes["strides"], False, "strides")

    @property
    def dilations(self) -> tuple[int, ...]:
        values = self.attributes.get("dilations", self.attributes.get("rates"))
        return window_geometry.spatial_entries(values, False, "dilations") if values else (1,) * len(self.strides)

    @property
    def window(self) -> tuple[int, ...]:
        values = self.attributes.get("ksize", self.attributes.get("ksizes"))
        assert values is not None
        return window_geometry.spatial_entries(values, False, "window")

    def padding(self, shape: Sequence[int], window: Sequence[int]) -> tuple[PaddingPair, ...]:
        explicit = self.attributes.get("explicit_paddings", ())
        kind = self.attributes["padding"]
        return window_geometry.resolve_padding(kind, shape[1:-1], window, self.strides, self.dilations, explicit)

    def slide(self, shape: Sequence[int], window: Sequence[int]) -> tuple[Any, ...]:
        return self.strides, self.dilations, self.padding(shape, window)

    def pool(self, shape: Sequence[int]) -> tuple[Any, ...]:
        return self.window, self.strides, self.padding(shape, self.window)

    @property
    def with_batch(self) -> bool:
        return bool(self.attributes["include_batch_in_index"])


def shape_of(sizes: Array) -> tuple[int, ...]:
    return tuple(sizes.tolist())


def convolution(call: Call) -> Array:
    image, window = call["input"], call["filter"]
    return convolution_kernels.convolve(image, window, *call.slide(image.shape, window.shape[:-2]))


def convolution_to_input(call: Call) -> Array:
    shape, window = shape_of(call["input_sizes"]), call["filter"]
    slide = call.slide(shape, window.shape[:-2])
    return convolution_kernels.convolve_input_gradient(shape, window, call["out_backprop"], *slide)


def convolution_to_filter(call: Call) -> Array:
    image, shape = call["input"], shape_of(call["filter_sizes"])
    slide = call.slide(image.shape, shape[:-2])
    return convolution_kernels.convolve_filter_gradient(image, shape, call["out_backprop"], *slide)


def depthwise(call: Call) -> Array:
    image, window = call["input"], call["filter"]
    return convolution_kernels.depthwise_convolve(image, window, *call.slide(image.shape, window.shape[:-2]))


def depthwise_to_input(call: Call) -> Array:
    shape, window = shape_of(call["input_sizes"]), call["filter"]
    slide = call.slide(shape, window.shape[:-2])
    return convolution_kernels.depthwise_convolve_input_gradient(shape, window, call["out_backprop"], *slide)


def depthwise_to_filter(call: Call) -> Array:
    image, shape = call["input"], shape_of(call["filter_sizes"])
    slide = call.slide(image.shape, shape[:-2])
    return convolution_kernels.depthwise_convolve_filter_gradient(image, shape, call["out_backprop"], *slide)


def max_pool(call: Call) -> Array:
    return pool_kernels.max_pool(call["input"], *call.pool(call["input"].shape))


def max_pool_with_argmax(call: Call) -> tuple[Array, Array]:
    return pool_kernels.max_pool_with_argmax(call["input"], *call.pool(call["input"].shape), call.with_batch)


def max_pool_gradient(call: Call) -> Array:
    image = call["orig_input"]
    return pool_kernels.max_pool_gradient(image, call["grad"], *call.pool(image.shape))


def max_pool_gradient_with_argmax(call: Call) -> Array:
    return pool_kernels.max_pool_gradient_with_argmax(
        call["input"].shape, call["grad"], call["argmax"], call.with_batch
    )


def max_pool_gradient_to_every_maximum(call: Call) -> Array:
    image = call["orig_input"]
    pool = call.pool(image.shape)
    return pool_kernels.max_pool_gradient_to_every_maximum(image, call["orig_output"], call["grad"], *pool)


def max_pool_gradient_gradient(call: Call) -> Array:
    image = call["orig_input"]
    return pool_kernels.max_pool_gradient_gradient(image, call["grad"], *call.pool(image.shape))


def average_pool(call: Call) -> Array:
    image = next(iter(call.inputs.values()))
    return pool_kernels.average_pool(image, *call.pool(image.shape))


def average_pool_gradient(call: Call) -> Array:
    shape = shape_of(call["orig_input_shape"])
    return pool_kernels.average_pool_gradient(shape, call["grad"], *call.pool(shape))


def dilation(call: Call) -> Array:
    image, window = call["input"], call["filter"]
    return dilation_kernels.dilation2d(image, window, *call.slide(image.shape, window.shape[:-1]))


def dilation_to_input(call: Call) -> Array:
    image, window = call["input"], call["filter"]
    slide = call.slide(image.shape, window.shape[:-1])
    return dilation_kernels.dilation2d_input_gradient(image, window, call["out_backprop"], *slide)


def dilation_to_filter(call: Call) -> Array:
    image, window = call["input"], call["filter"]
    slide = call.slide(image.shape, window.shape[:-1])
    return dilation_kernels.dilation2d_filter_gradient(image, window, call["out_backprop"], *slide)


def patches(call: Call) -> Array:
    image = next(iter(call.inputs.values()))
    return patch_kernels.extract_patches(image, call.window, *call.slide(image.shape, call.window))


def normalisation(call: Call) -> Array:
    return response_kernels.local_response_normalisation(call["input"], **call.attributes)


def normalisation_gradient(call: Call) -> Array:
    arrays = call["input_grads"], call["input_image"], call["output_image"]
    return response_kernels.local_response_normalisation_gradient(*arrays, **call.attributes)


def bilinear(call: Call) -> Array:
    return resize_kernels.resize_bilinear(call["images"], shape_of(call["size"]), **call.attributes)


def bilinear_gradient(call: Call) -> Array:
    image = call["original_image"]
    return resize_kernels.resize_bilinear_gradient(call["grads"], image.shape, image.dtype, **call.attributes)


def nearest(call: Call) -> Array:
    return resize_kernels.resize_nearest_neighbor(call["images"], shape_of(call["size"]), **call.attributes)


def nearest_gradient(call: Call) -> Array:
    return resize_kernels.resize_nearest_neighbor_gradient(call["grads"], shape_of(call["size"]), **call.attributes)


KERNELS: dict[str, Callable[[Call], Array | tuple[Array, ...]]] = {
    "Conv2D": convolution,
    "Conv2DBackpropInput": convolution_to_input,
    "Conv2DBackpropFilter": convolution_to_filter,
    "Conv3D": convolution,
    "Conv3DBackpropInputV2": convolution_to_input,
    "Conv3DBackpropFilterV2": convolution_to_filter,
    "DepthwiseConv2dNative": depthwise,
    "DepthwiseConv2dNativeBackpropInput": depthwise_to_input,
    "DepthwiseConv2dNativeBackpropFilter": depthwise_to_filter,
    "MaxPool": max_pool,
    "MaxPoolGrad": max_pool_gradient,
    "MaxPoolGradGrad": max_pool_gradient_gradient,
    "MaxPoolWithArgmax": max_pool_with_argmax,
    "MaxPoolGradWithArgmax": max_pool_gradient_with_argmax,
    "MaxPool3D": max_pool,
    "MaxPool3DGrad": max_pool_gradient_to_every_maximum,
    "MaxPool3DGradGrad": max_pool_gradient_gradient,
    "AvgPool": average_pool,
    "AvgPoolGrad": average_pool_gradient,
    "AvgPool3D": average_pool,
    "AvgPool3DGrad": average_pool_gradient,
    "Dilation2D": dilation,
    "Dilation2DBackpropInput": dilation_to_input,
    "Dilation2DBackpropFilter": dilation_to_filter,
    "ExtractImagePatches": patches,
    "ExtractVolumePatches": patches,
    "LRN": normalisation,
    "LRNGrad": normalisation_gradient,
    "ResizeBilinear": bilinear,
    "ResizeBilinearGrad": bilinear_gradient,
    "ResizeNearestNeighbor": nearest,
    "ResizeNearestNeighborGrad": nearest_gradient,
}


def recorded_cases() -> Iterator[Any]:
    for position, case in enumerate(RECORDING.rows["cases"]):
        yield pytest.param(case, id=f"{case['op']}-{position}")


@pytest.mark.parametrize("case", list(recorded_cases()))
def test_as_tensorflow(case: dict[str, Any]) -> None:
    inputs = {name: RECORDING.array(entry) for name, entry in case["inputs"].items()}
    result = KERNELS[case["op"]](Call(case["op"], inputs, case["attributes"]))
    outputs = result if isinstance(result, tuple) else (result,)
    for output, expected in zip(outputs, RECORDING.arrays(case["outputs"]), strict=True):
        assert_close(output, expected)


def test_every_kernel_is_recorded() -> None:
    assert {case["op"] for case in RECORDING.rows["cases"]} == set(KERNELS)


def assert_close(output: Array, expected: Array) -> None:
    """Same shape and dtype; exact for integers, within rounding of the largest element for the others."""
    assert (output.shape, output.dtype) == (expected.shape, expected.dtype)
    error = RELATIVE_ERROR.get(expected.dtype.name, 0)
    wanted = expected.astype(np.float64)
    absolute = error * np.abs(wanted).max(initial=0)
    np.testing.assert_allclose(output.astype(np.float64), wanted, rtol=error, atol=absolute)


# Padding


def test_same_padding_puts_the_odd_element_at_the_end() -> None:
    assert window_geometry.resolve_padding("SAME", (5, 6, 7), (2, 3, 4), (1, 2, 2), (1, 1, 2)) == (
        (0, 1),
        (0, 1),
        (3, 3),
    )
    assert window_geometry.resolve_padding("SAME", (9,), (1,), (4,)) == ((0, 0),)


def test_explicit_padding_follows_the_data_format() -> None:
    last, first = (0, 0, 1, 2, 3, 4, 0, 0), (0, 0, 0, 0, 1, 2, 3, 4)
    sizes, window, strides = (5, 5), (3, 3), (1, 1)
    for values, channels_first in ((last, False), (first, True)):
        pairs = window_geometry.resolve_padding("EXPLICIT", sizes, window, strides, None, values, channels_first)
        assert pairs == ((1, 2), (3, 4))


@pytest.mark.parametrize(
    ("padding", "explicit", "message"),
    [
        ("same", (), "unknown padding 'same'"),
        ("SAME", (0,) * 8, "must be empty"),
        ("EXPLICIT", (1, 2, 3, 4), "needs 8 values"),
        ("EXPLICIT", (0, 0, 1, -1, 0, 0, 0, 0), "must not be negative"),
        ("EXPLICIT", (0, 0, 0, 0, 0, 0, 1, 0), "can't be padded"),
    ],
)
def test_padding_errors(padding: str, explicit: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window_geometry.resolve_padding(padding, (5, 5), (3, 3), (1, 1), None, explicit)


@pytest.mark.parametrize(
    ("input_size", "window_size", "stride", "dilation", "padding", "expected"),
    [
        (7, 3, 2, 1, "VALID", 3),
        (7, 3, 2, 2, "VALID", 2),
        (7, 3, 2, 1, "SAME", 4),
        (7, 3, 2, 1, (1, 2), 4),
        (2, 3, 1, 1, "VALID", 0),
        (1, 5, 3, 1, "VALID", 0),
        (0, 3, 1, 1, "SAME", 0),
    ],
)
def test_output_size(
    input_size: int, window_size: int, stride: int, dilation: int, padding: str | PaddingPair, expected: int
) -> None:
    assert window_geometry.window_output_size(input_size, window_size, stride, dilation, padding) == expected


def test_output_size_errors() -> None:
    with pytest.raises(ValueError, match=r"output size would be negative: input size 1 .* window size 3"):
        window_geometry.window_output_size(1, 3, 1, 1, "VALID")
    with pytest.raises(ValueError, match="stride must be at least 1, but is 0"):
        window_geometry.window_output_size(3, 1, 0, 1, "SAME")
    with pytest.raises(ValueError, match=r"unknown padding .EXPLICIT.; expected"):
        window_geometry.window_output_size(3, 1, 1, 1, "EXPLICIT")


def test_static_output_size() -> None:
    size = window_geometry.static_window_output_size
    assert size(7, 3, 2, 1, "VALID") == 3
    assert size(None, 3, 2, 1, "SAME") is None
    assert size(5, None, 2, 1, "SAME") == 3
    assert size(5, None, 2, 1, "VALID") is None
    assert size(5, 2, 2, 1, (1, 2)) == 4
    with pytest.raises(ValueError, match="subtracting 5 from 4"):
        size(4, 3, 1, 2, "VALID")
    with pytest.raises(ValueError, match="window size must be at least 1"):
        size(None, 0, 1, 1, "VALID")


def test_resolved_same_padding_gives_the_same_size() -> None:
    for size, window, stride, dilation in itertools.product(range(8), range(1, 5), range(1, 4), range(1, 4)):
        (pair,) = window_geometry.resolve_padding("SAME", (size,), (window,), (stride,), (dilation,))
        expected = window_geometry.window_output_size(size, window, stride, dilation, "SAME")
        assert window_geometry.window_output_size(size, window, stride, dilation, pair) == expected


# Layout


def test_channels_first_is_a_transposition() -> None:
    image = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    last = window_geometry.to_channels_last(image, True)
    assert last.shape == window_geometry.shape_to_channels_last(image.shape, True) == (2, 4, 5, 3)
    np.testing.assert_array_equal(window_geometry.from_channels_last(last, True), image)
    assert window_geometry.to_channels_last(image, False) is image
    assert window_geometry.from_channels_last(image, False) is image
    assert window_geometry.is_channels_first("NCDHW") and not window_geometry.is_channels_first("NDHWC")
    assert window_geometry.spatial_entries([1, 1, 2, 3], True, "strides") == (2, 3)


def test_layout_errors() -> None:
    with pytest.raises(ValueError, match="unknown data format 'NHCW'"):
        window_geometry.is_channels_first("NHCW")
    with pytest.raises(ValueError, match=r"strides must be 1 for the batch and the channels, but is \[1, 2, 2, 2\]"):
        window_geometry.spatial_entries([1, 2, 2, 2], False, "strides")


# Gradients of linear kernels: <f(x), g> = <x, f'(g)>


@dataclass(frozen=True)
class Slide:
    """A random way to slide a window over some sizes."""

    sizes: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: tuple[PaddingPair, ...]

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.strides, self.dilations, self.padding


def random_slides(rank: int, count: int, dilated: bool = True) -> list[Slide]:
    random = np.random.RandomState(rank)

    def entries(low: int, high: int) -> tuple[int, ...]:
        return tuple(random.randint(low, high, rank).tolist())

    found: list[Slide] = []
    while len(found) < count:
        sizes, window, strides = entries(1, 8), entries(1, 4), entries(1, 4)
        dilations = entries(1, 4) if dilated else (1,) * rank
        kind = ("SAME", "VALID", "EXPLICIT")[len(found) % 3]
        explicit = [0, 0, *random.randint(0, min(window), 2 * rank).tolist(), 0, 0] if kind == "EXPLICIT" else ()
        padding = window_geometry.resolve_padding(kind, sizes, window, strides, dilations, explicit)
        spans = map(window_geometry.effective_window_size, window, dilations)
        if all(size + sum(pair) >= span for size, pair, span in zip(sizes, padding, spans, strict=True)):
            found.append(Slide(sizes, window, strides, dilations, padding))
    return found


def assert_adjoint(function: Callable[[Array], Array], transpose: Callable[[Array], Array], source: Array) -> None:
    random = np.random.RandomState(1)
    output = function(source)
    assert output.size
    grad = random.standard_normal(output.shape)
    back = transpose(grad)
    assert back.shape == source.shape
    np.testing.assert_allclose((output * grad).sum(), (source * back).sum(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("slide", [slide for rank in (1, 2, 3) for slide in random_slides(rank, 9)], ids=str)
def test_convolution_gradients(slide: Slide, groups: int) -> None:
    random = np.random.RandomState(2)
    image = random.standard_normal((2, *slide.sizes, 2 * groups))
    window = random.standard_normal((*slide.window, 2, groups))
    assert_adjoint(
        lambda x: convolution_kernels.convolve(x, window, *slide.arguments, groups),
        lambda g: convolution_kernels.convolve_input_gradient(image.shape, window, g, *slide.arguments, groups),
        image,
    )
    assert_adjoint(
        lambda f: convolution_kernels.convolve(image, f, *slide.arguments),
        lambda g: convolution_kernels.convolve_filter_gradient(image, window.shape, g, *slide.arguments),
        window,
    )


@pytest.mark.parametrize("slide", random_slides(2, 9), ids=str)
def test_depthwise_convolution_is_a_grouped_one(slide: Slide) -> None:
    random = np.random.RandomState(3)
    image, window = random.standard_normal((2, *slide.sizes, 3)), random.standard_normal((*slide.window, 3, 2))
    grouped = window.reshape(*slide.window, 1, 6)
    output = convolution_kernels.depthwise_convolve(image, window, *slide.arguments)
    np.testing.assert_allclose(output, convolution_kernels.convolve(image, grouped, *slide.arguments, 3), rtol=1e-10)
    grad = random.standard_normal(output.shape)
    np.testing.assert_allclose(
        convolution_kernels.depthwise_convolve_input_gradient(image.shape, window, grad, *slide.arguments),
        convolution_kernels.convolve_input_gradient(image.shape, grouped, grad, *slide.arguments),
        atol=1e-10,
    )
    np.testing.assert_allclose(
        convolution_kernels.depthwise_convolve_filter_gradient(image, window.shape, grad, *slide.arguments).reshape(
            grouped.shape
        ),
        convolution_kernels.convolve_filter_gradient(image, grouped.shape, grad, *slide.arguments),
        atol=1e-10,
    )


@pytest.mark.parametrize("slide", [slide for rank in (1, 2, 3) for slide in random_slides(rank, 6)], ids=str)
def test_patches_gradient(slide: Slide) -> None:
    image = np.random.RandomState(4).standard_normal((2, *slide.sizes, 3))
    assert_adjoint(
        lambda x: patch_kernels.extract_patches(x, slide.window, *slide.arguments),
        lambda g: patch_kernels.extract_patches_gradient(image.shape, g, slide.window, *slide.arguments),
        image,
    )


@pytest.mark.parametrize("slide", [slide for rank in (1, 2, 3) for slide in random_slides(rank, 6, False)], ids=str)
def test_pooling_gradients(slide: Slide) -> None:
    random = np.random.RandomState(5)
    image = random.standard_normal((2, *slide.sizes, 3))
    pool = slide.window, slide.strides, slide.padding
    assert_adjoint(
        lambda x: pool_kernels.average_pool(x, *pool),
        lambda g: pool_kernels.average_pool_gradient(image.shape, g, *pool),
        image,
    )
    assert_adjoint(
        lambda x: pool_kernels.max_pool_gradient_gradient(image, x, *pool),
        lambda g: pool_kernels.max_pool_gradient(image, g, *pool),
        random.standard_normal(image.shape),
    )
    output, argmax = pool_kernels.max_pool_with_argmax(image, *pool, include_batch_in_index=True)
    np.testing.assert_array_equal(output, image.ravel()[argmax])
    np.testing.assert_array_equal(output, pool_kernels.max_pool(image, *pool))


@pytest.mark.parametrize("mode", [{}, {"align_corners": True}, {"half_pixel_centers": True}], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (9, 5), (14, 2)], ids=str)
def test_resize_gradients(size: tuple[int, int], mode: dict[str, bool]) -> None:
    # resize_bilinear gives float32 whatever it gets, hence the looser bounds
    image = np.random.RandomState(6).randint(-16, 17, (2, 5, 4, 3)) / 8
    grad = np.random.RandomState(7).randint(-16, 17, (2, *size, 3)) / 8
    output = resize_kernels.resize_bilinear(image, size, **mode)
    back = resize_kernels.resize_bilinear_gradient(grad.astype(np.float32), image.shape, np.float64, **mode)
    np.testing.assert_allclose((output * grad).sum(), (image * back).sum(), rtol=1e-4, atol=1e-4)
    assert_adjoint(
        lambda x: resize_kernels.resize_nearest_neighbor(x, size, **mode),
        lambda g: resize_kernels.resize_nearest_neighbor_gradient(g, (5, 4), **mode),
        image,
    )


# Gradients against differences


def slope(function: Callable[[Array], Array], source: Array, direction: Array, grad: Array) -> float:
    step = 1e-6
    change = function(source + step * direction) - function(source - step * direction)
    return float((change * grad).sum() / (2 * step))


@pytest.mark.parametrize("slide", random_slides(2, 6), ids=str)
def test_dilation_gradients(slide: Slide) -> None:
    random = np.random.RandomState(8)
    image, window = random.standard_normal((2, *slide.sizes, 3)), random.standard_normal((*slide.window, 3))
    grad = random.standard_normal(dilation_kernels.dilation2d(image, window, *slide.arguments).shape)
    to_image = dilation_kernels.dilation2d_input_gradient(image, window, grad, *slide.arguments)
    to_window = dilation_kernels.dilation2d_filter_gradient(image, window, grad, *slide.arguments)
    across, along = random.standard_normal(image.shape), random.standard_normal(window.shape)
    expected = slope(lambda x: dilation_kernels.dilation2d(x, window, *slide.arguments), image, across, grad)
    np.testing.assert_allclose((to_image * across).sum(), expected, rtol=1e-6, atol=1e-8)
    expected = slope(lambda f: dilation_kernels.dilation2d(image, f, *slide.arguments), window, along, grad)
    np.testing.assert_allclose((to_window * along).sum(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("slide", random_slides(2, 3, False), ids=str)
def test_max_pool_gradient(slide: Slide) -> None:
    random = np.random.RandomState(9)
    image = random.standard_normal((2, *slide.sizes, 3))
    pool = slide.window, slide.strides, slide.padding
    output = pool_kernels.max_pool(image, *pool)
    grad, across = random.standard_normal(output.shape), random.standard_normal(image.shape)
    expected = slope(lambda x: pool_kernels.max_pool(x, *pool), image, across, grad)
    first = pool_kernels.max_pool_gradient(image, grad, *pool)
    np.testing.assert_allclose((first * across).sum(), expected, rtol=1e-6, atol=1e-8)
    every = pool_kernels.max_pool_gradient_to_every_maximum(image, output, grad, *pool)
    np.testing.assert_allclose(every, first, rtol=1e-12)


@pytest.mark.parametrize("radius", [0, 1, 3, 9])
def test_normalisation_gradient(radius: int) -> None:
    random = np.random.RandomState(10)
    image, grad, across = (random.standard_normal((2, 3, 5)) for _ in range(3))
    settings = {"depth_radius": radius, "bias": 0.5, "alpha": 0.7, "beta": 0.75}
    output = response_kernels.local_response_normalisation(image, **settings)
    back = response_kernels.local_response_normalisation_gradient(grad, image, output, **settings)
    expected = slope(lambda x: response_kernels.local_response_normalisation(x, **settings), image, across, grad)
    np.testing.assert_allclose((back * across).sum(), expected, rtol=1e-6)


# Corners


def test_one_dimension_is_two_of_height_one() -> None:
    random = np.random.RandomState(11)
    image, window = random.standard_normal((2, 9, 3)), random.standard_normal((4, 3, 5))
    line = convolution_kernels.convolve(image, window, (2,), (2,), ((1, 3),))
    plane = convolution_kernels.convolve(image[:, None], window[None], (1, 2), (1, 2), ((0, 0), (1, 3)))
    np.testing.assert_allclose(line, plane[:, 0], rtol=1e-12)


@pytest.mark.parametrize("elements", [1, 100, 10**9])
def test_blocks_make_no_difference(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(12)
    image, window = random.standard_normal((3, 7, 6, 4)), random.standard_normal((3, 2, 2, 6))
    slide = (2, 1), (1, 1), ((1, 1), (0, 1))
    output = convolution_kernels.convolve(image, window, *slide)
    gradient = convolution_kernels.convolve_filter_gradient(image, window.shape, output, *slide)
    monkeypatch.setattr(convolution_kernels, "_BLOCK_ELEMENTS", elements)
    np.testing.assert_allclose(convolution_kernels.convolve(image, window, *slide), output, rtol=1e-12)
    again = convolution_kernels.convolve_filter_gradient(image, window.shape, output, *slide)
    np.testing.assert_allclose(again, gradient, rtol=1e-12)


@pytest.mark.parametrize("shape", [(0, 5, 5, 2), (2, 0, 5, 2)], ids=str)
def test_nothing_in_nothing_out(shape: tuple[int, ...]) -> None:
    image, window, slide = np.zeros(shape), np.ones((3, 3, 2, 2)), ((1, 1), (1, 1), ((1, 1), (1, 1)))
    output = convolution_kernels.convolve(image, window, *slide)
    assert output.shape == shape
    assert convolution_kernels.convolve_input_gradient(shape, window, output, *slide).shape == shape
    np.testing.assert_array_equal(
        convolution_kernels.convolve_filter_gradient(image, window.shape, output, *slide), 0 * window
    )
    np.testing.assert_array_equal(
        convolution_kernels.depthwise_convolve_filter_gradient(image, (3, 3, 2, 1), output, *slide), 0
    )
    pool = (2, 2), (2, 2), window_geometry.resolve_padding("SAME", shape[1:3], (2, 2), (2, 2))
    pooled, argmax = pool_kernels.max_pool_with_argmax(image, *pool)
    assert pooled.shape == argmax.shape == pool_kernels.average_pool(image, *pool).shape
    assert pool_kernels.max_pool_gradient(image, pooled, *pool).shape == shape
    assert pool_kernels.average_pool_gradient(shape, pooled, *pool).shape == shape
    assert patch_kernels.extract_patches(image, (3, 3), *slide).shape == (*shape[:3], 18)
    assert response_kernels.local_response_normalisation(image).shape == shape


def test_no_output_channels() -> None:
    image, window = np.ones((1, 3, 3, 2)), np.ones((2, 2, 2, 0))
    output = convolution_kernels.convolve(image, window, (1, 1), (1, 1), ((0, 0), (0, 0)))
    assert output.shape == (1, 2, 2, 0)
    back = convolution_kernels.convolve_input_gradient(image.shape, window, output, (1, 1), (1, 1), ((0, 0), (0, 0)))
    np.testing.assert_array_equal(back, 0 * image)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_low_precision_is_float32_rounded_once(dtype: Any) -> None:
    random = np.random.RandomState(13)
    image, window = (random.standard_normal(shape).astype(dtype) for shape in ((1, 1, 1, 3000), (1, 1, 3000, 1)))
    slide = (1, 1), (1, 1), ((0, 0), (0, 0))
    wide = convolution_kernels.convolve(image.astype(np.float32), window.astype(np.float32), *slide)
    output = convolution_kernels.convolve(image, window, *slide)
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, wide.astype(dtype))
    full = np.full((1, 64, 64, 1), 1.5, dtype)
    np.testing.assert_array_equal(
        pool_kernels.average_pool(full, (64, 64), (1, 1), ((0, 0), (0, 0))), np.full((1, 1, 1, 1), 1.5)
    )


def test_integers_wrap_around() -> None:
    image, window = np.full((1, 1, 5), 2**30, np.int32), np.full((1, 5, 1), 2, np.int32)
    output = convolution_kernels.convolve(image, window, (1,), (1,), ((0, 0),))
    np.testing.assert_array_equal(output, np.full((1, 1, 1), -(2**31), np.int32))


def test_results_are_writable_and_share_nothing() -> None:
    image, unit = np.ones((2, 3, 3, 4)), ((1, 1), (1, 1), ((0, 0), (0, 0)))
    one, strides, _ = unit
    results = (
        convolution_kernels.convolve(image, np.ones((1, 1, 4, 4)), *unit),
        convolution_kernels.convolve_input_gradient(image.shape, np.ones((1, 1, 4, 4)), image, *unit),
        convolution_kernels.depthwise_convolve(image, np.ones((1, 1, 4, 1)), *unit),
        pool_kernels.max_pool(image, one, strides, unit[2]),
        pool_kernels.average_pool(image, one, strides, unit[2]),
        pool_kernels.max_pool_gradient(image, image, one, strides, unit[2]),
        pool_kernels.average_pool_gradient(image.shape, image, one, strides, unit[2]),
        patch_kernels.extract_patches(image, one, *unit),
        patch_kernels.extract_patches_gradient(image.shape, image, one, *unit),
        response_kernels.local_response_normalisation(image),
        resize_kernels.resize_bilinear(image.astype(np.float32), (3, 3)),
        resize_kernels.resize_nearest_neighbor(image, (3, 3)),
        resize_kernels.resize_nearest_neighbor_gradient(image, (3, 3)),
    )
    for result in results:
        assert result.flags.writeable
        assert not np.shares_memory(result, image)


def line(*values: float) -> Array:
    return np.array(values).reshape(1, -1, 1)


def test_a_maximum_does_not_hide_a_nan() -> None:
    nan = np.nan
    image, pool = line(nan, 1, 2, nan, nan, 5), ((2,), (2,), ((0, 0),))
    output, argmax = pool_kernels.max_pool_with_argmax(image, *pool)
    np.testing.assert_array_equal(output, line(nan, nan, nan))
    np.testing.assert_array_equal(pool_kernels.max_pool(image, *pool), output)
    np.testing.assert_array_equal(argmax, line(0, 3, 4))


def test_padding_never_wins() -> None:
    inf = np.inf
    image, pool = line(-inf, -inf, -3), ((3,), (1,), ((1, 1),))
    output, argmax = pool_kernels.max_pool_with_argmax(image, *pool)
    np.testing.assert_array_equal(output, line(-inf, -3, -3))
    np.testing.assert_array_equal(argmax, line(0, 2, 2))
    lowest = np.full((1, 2, 1), np.iinfo(np.int8).min, np.int8)
    np.testing.assert_array_equal(pool_kernels.max_pool_with_argmax(lowest, (3,), (1,), ((2, 1),))[1], line(0, 0, 0))


def test_dilation_with_nothing_but_padding() -> None:
    image, window = np.full((1, 1, 1, 1), 7, np.int8), np.zeros((1, 2, 1), np.int8)
    slide = (1, 1), (1, 2), ((0, 0), (1, 1))
    np.testing.assert_array_equal(dilation_kernels.dilation2d(image, window, *slide), np.full((1, 1, 1, 1), -128))
    np.testing.assert_array_equal(dilation_kernels.dilation2d_input_gradient(image, window, image, *slide), 0 * image)
    np.testing.assert_array_equal(dilation_kernels.dilation2d_filter_gradient(image, window, image, *slide), 0 * window)


def test_same_size_resize_keeps_what_is_not_finite() -> None:
    image = line(1, np.inf, np.nan, -np.inf)[..., None]
    np.testing.assert_array_equal(resize_kernels.resize_bilinear(image, (4, 1)), image)


def test_resize_reads_no_neighbour_of_an_exact_place() -> None:
    image = line(1, 2, np.inf, 3)[..., None]
    with np.errstate(invalid="ignore"):
        output = resize_kernels.resize_bilinear(image, (8, 1))
    np.testing.assert_array_equal(output.ravel(), [1, 1.5, 2, np.nan, np.nan, np.nan, 3, 3])


# Errors

ONES = np.ones((2, 5, 5, 4), np.float32)
WINDOW = np.ones((3, 3, 4, 6), np.float32)
UNIT = (1, 1), (1, 1), ((0, 0), (0, 0))
BAD_CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "depth": (
        lambda: convolution_kernels.convolve(ONES, WINDOW[:, :, :3], *UNIT),
        r"input depth 4 .* filter input depth 3: input shape \[2, 5, 5, 4\], filter shape \[3, 3, 3, 6\]",
    ),
    "groups": (
        lambda: convolution_kernels.convolve(ONES, WINDOW[:, :, :2], *UNIT, groups=4),
        "groups is 4, .* imply 2",
    ),
    "outputs": (lambda: convolution_kernels.convolve(ONES, WINDOW[:, :, :1], *UNIT), "output depth 6 .* 4 groups"),
    "empty": (lambda: convolution_kernels.convolve(ONES, WINDOW[:0], *UNIT), r"filter shape \[0, 3, 4, 6\]"),
    "rank": (lambda: convolution_kernels.convolve(ONES, WINDOW[0], *UNIT), "same rank"),
    "dtype": (
        lambda: convolution_kernels.convolve(ONES, WINDOW.astype(np.float64), *UNIT),
        "input float32, filter float64",
    ),
    "strides": (
        lambda: convolution_kernels.convolve(ONES, WINDOW, (1,), *UNIT[1:]),
        r"strides \[1\] needs one entry .* \[5, 5\]",
    ),
    "input gradient": (
        lambda: convolution_kernels.convolve_input_gradient(ONES.shape, WINDOW, ONES, *UNIT),
        r"grad has shape \[2, 5, 5, 4\], .* need \[2, 3, 3, 6\]",
    ),
    "filter gradient": (
        lambda: convolution_kernels.convolve_filter_gradient(ONES, WINDOW.shape, ONES, *UNIT),
        r"grad has shape \[2, 5, 5, 4\], .* need \[2, 3, 3, 6\]",
    ),
    "depthwise": (
        lambda: convolution_kernels.depthwise_convolve(ONES, WINDOW[:, :, :3], *UNIT),
        "depth 4 differs .* depth 3",
    ),
    "depthwise rank": (
        lambda: convolution_kernels.depthwise_convolve(ONES[0], WINDOW, *UNIT),
        "input must have 4 dimensions",
    ),
    "depthwise gradient": (
        lambda: convolution_kernels.depthwise_convolve_input_gradient(ONES.shape, WINDOW, ONES, *UNIT),
        r"need \[2, 3, 3, 24\]",
    ),
    "pool padding": (
        lambda: pool_kernels.max_pool(ONES, (2, 2), (1, 1), ((2, 0), (0, 0))),
        "smaller than the window size 2",
    ),
    "pool of nothing": (
        lambda: pool_kernels.max_pool(ONES[:, :0], (2, 2), (1, 1), ((1, 1), (0, 0))),
        r"nothing but padding: input shape \[2, 0, 5, 4\]",
    ),
    "pool rank": (lambda: pool_kernels.max_pool(ONES[0, 0], (), (), ()), r"shape is \[5, 4\]"),
    "pool gradient": (
        lambda: pool_kernels.average_pool_gradient(ONES.shape, ONES, (2, 2), (1, 1), ((0, 0), (0, 0))),
        r"need \[2, 4, 4, 4\]",
    ),
    "argmax range": (
        lambda: pool_kernels.max_pool_gradient_with_argmax((1, 2, 1), line(1), np.array([[[2]]])),
        r"argmax 2..2 points outside the 2 elements of shape \[1, 2, 1\]",
    ),
    "dilation": (
        lambda: dilation_kernels.dilation2d(ONES, WINDOW[..., 0, :], *UNIT),
        "input depth 4 differs from filter depth 6",
    ),
    "patches gradient": (
        lambda: patch_kernels.extract_patches_gradient(ONES.shape, ONES, (3, 3), *UNIT),
        r"need \[2, 3, 3, 36\]",
    ),
    "radius": (lambda: response_kernels.local_response_normalisation(ONES, -1), "depth_radius must not be negative"),
    "resize modes": (lambda: resize_kernels.resize_bilinear(ONES, (3, 3), True, True), "exclude each other"),
    "resize size": (
        lambda: resize_kernels.resize_nearest_neighbor(ONES, (0, 3)),
        r"positive height and width, but is \[0, 3\]",
    ),
    "resize empty": (lambda: resize_kernels.resize_bilinear(ONES[:, :0], (3, 3)), "must not be empty"),
    "resize rank": (lambda: resize_kernels.resize_bilinear(ONES[0], (3, 3)), "images must have 4 dimensions"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_errors(name: str) -> None:
    call, message = BAD_CALLS[name]
    with pytest.raises(ValueError, match=message):
        call()
