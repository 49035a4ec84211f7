"""Everything that slides a window over images, compiled, against the reference kernels.

Each test is one program of many cases, so that its kernels are compiled side by side. The images hold small whole numbers:
sums of their products are exact in every dtype, and maxima are often found in several places.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compiler.lowering
from rillet.compiler.arrays import Arrays, Source
from rillet.compiler.pipeline import Given
from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.engines.native.pipeline import compile_function
from rillet.engines.reference import ReferenceEngine

Raw = Callable[..., Any]
PADDINGS = ("SAME", "VALID")


@dataclass
class Cases:
    """Calls of raw ops in one graph, and what to feed to it. `exact`: results must be equal, bit by bit."""

    exact: bool = True
    graph: Any = field(default_factory=tf.Graph)
    random: Any = field(default_factory=lambda: np.random.default_rng(0))
    feeds: list[Any] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def image(self, *shape: int, dtype: str = "float32") -> Any:
        """A placeholder, fed with whole numbers (or, if not exact, any)."""
        kind = tf.as_dtype(dtype)
        numbers = self.random.integers(-2, 3, shape) if self.exact else self.random.standard_normal(shape)
        if kind.is_unsigned:
            numbers = abs(numbers)
        return self.feed(numbers.astype(kind.as_numpy_dtype))

    def feed(self, array: Any) -> Any:
        self.arrays.append(array)
        self.feeds.append(tf.compat.v1.placeholder(array.dtype, array.shape))
        return self.feeds[-1]

    def call(self, op: str, *, label: str = "", **arguments: Any) -> list[Any]:
        """The outputs of tf.raw_ops.<op>, which are compared."""
        result = getattr(tf.raw_ops, op)(**arguments)
        found = list(result) if isinstance(result, (list, tuple)) else [result]
        told = {name: value for name, value in arguments.items() if not hasattr(value, "op")}
        for position, output in enumerate(found):
            self.outputs.append(output)
            self.labels.append(f"{op} {label} {told} output {position}")
        return found

    @property
    def function(self) -> Function:
        return Function.cut("cases", self.feeds, self.outputs, (), self.graph)

    def compiled(self) -> list[Any]:
        """The results of the compiled program, which has no operation that runs through its reference kernel."""
        program = Arrays()
        inputs = [
            Source(program, array.shape, tensor.dtype, "input", number, tensor.name)
            for number, (array, tensor) in enumerate(zip(self.arrays, self.feeds, strict=True))
        ]
        given = Given(self.function, inputs, inputs, ExecutionContext(ReferenceEngine()), program)
        results = compile_function(given).program.call(*self.arrays)
        assert results is not None
        return list(results)

    def check(self, tolerance: float = 0.0) -> None:
        """AssertionError where the compiled program's results are not those of the reference kernels."""
        expected = ReferenceEngine().compile(self.function, ExecutionContext(ReferenceEngine()))(self.arrays)
        wrong = []
        for label, ours, theirs in zip(self.labels, self.compiled(), expected, strict=True):
            one, other = np.asarray(ours).astype(np.float64), np.asarray(theirs).astype(np.float64)
            assert one.shape == other.shape and ours.dtype == theirs.dtype, label
            scale = np.abs(other[np.isfinite(other)]).max(initial=1.0)
            if not np.allclose(one, other, rtol=0, atol=tolerance * scale, equal_nan=True):
                wrong.append(f"{label}: {np.abs(one - other).max()} of {scale}")
        assert not wrong, "\n".join(wrong)


def explicit(first: bool, *pairs: tuple[int, int]) -> list[int]:
    """`explicit_paddings` for these spatial dimensions."""
    around = [(0, 0), (0, 0), *pairs] if first else [(0, 0), *pairs, (0, 0)]
    return [amount for pair in around for amount in pair]


def layout(first: bool, batch: int, spatial: Sequence[int], channels: int) -> tuple[int, ...]:
    return (batch, channels, *spatial) if first else (batch, *spatial, channels)


def out_size(size: int, window: int, stride: int, dilation: int, padding: str | tuple[int, int]) -> int:
    if padding == "SAME":
        return -(-size // stride)
    around = 0 if isinstance(padding, str) else sum(padding)
    return (size + around - (window - 1) * dilation - 1) // stride + 1


# ---- convolutions ---------------------------------------------------------------------------------------------------


def convolution(
    cases: Cases,
    spatial: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]] = "SAME",
    dilations: Sequence[int] | None = None,
    depths: tuple[int, int] = (3, 5),
    groups: int = 1,
    first: bool = False,
    batch: int = 2,
    dtype: str = "float32",
) -> None:
    """A convolution and both its gradients. depths: channels of a group, before and after."""
    rank = len(spatial)
    dilations = [1] * rank if dilations is None else dilations
    pairs = [padding] * rank if isinstance(padding, str) else padding
    sizes = [out_size(*entry) for entry in zip(spatial, window, strides, dilations, pairs, strict=True)]
    inside, outside = depths[0] * groups, depths[1] * groups
    image = cases.image(*layout(first, batch, spatial, inside), dtype=dtype)
    filters = cases.image(*window, depths[0], outside, dtype=dtype)
    error = cases.image(*layout(first, batch, sizes, outside), dtype=dtype)
    options: dict[str, Any] = {
        "strides": list(layout(first, 1, strides, 1)),
        "dilations": list(layout(first, 1, dilations, 1)),
        "padding": padding if isinstance(padding, str) else "EXPLICIT",
        "data_format": {2: "NCHW" if first else "NHWC", 3: "NCDHW" if first else "NDHWC"}[rank],
    }
    if not isinstance(padding, str):
        options["explicit_paddings"] = explicit(first, *padding)
    names = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")
    if rank == 3:
        names = ("Conv3D", "Conv3DBackpropInputV2", "Conv3DBackpropFilterV2")
    label = f"{dtype} {image.shape} {filters.shape}"
    cases.call(names[0], input=image, filter=filters, label=label, **options)
    given = [int(size) for size in image.shape]
    cases.call(names[1], input_sizes=given, filter=filters, out_backprop=error, label=label, **options)
    taps = [int(size) for size in filters.shape]
    cases.call(names[2], input=image, filter_sizes=taps, out_backprop=error, label=label, **options)


def test_convolutions() -> None:
    cases = Cases()
    with cases.graph.as_default():
        for padding, strides in itertools.product(PADDINGS, ([1, 1], [2, 3])):
            convolution(cases, (7, 6), (3, 2), strides, padding)
        convolution(cases, (9, 8), (3, 3), (1, 1), "SAME", (2, 1))
        convolution(cases, (9, 8), (2, 3), (1, 1), "VALID", (3, 2))
        convolution(cases, (8, 9), (3, 2), (2, 3), "SAME", (2, 2))
        convolution(cases, (5, 6), (1, 1), (1, 1), depths=(17, 9))
        convolution(cases, (5, 6), (1, 1), (2, 2), depths=(4, 3))
        convolution(cases, (5, 7), (5, 7), (1, 1), "VALID")
        convolution(cases, (4, 5), (2, 3), (1, 1), [(3, 0), (4, 3)])
        convolution(cases, (6, 5), (3, 4), (2, 2), [(0, 2), (3, 1)])
        convolution(cases, (1, 4), (1, 3), (1, 1), depths=(1, 1), batch=1)
    cases.check()


def test_convolutions_of_other_layouts_and_groups() -> None:
    cases = Cases()
    with cases.graph.as_default():
        for strides, groups in (([1, 1], 1), ([2, 3], 1), ([1, 1], 3)):
            convolution(cases, (6, 7), (3, 2), strides, "SAME", groups=groups, first=True)
        convolution(cases, (6, 7), (3, 2), (1, 1), "SAME", groups=2)
        convolution(cases, (6, 7), (2, 2), (2, 2), "VALID", groups=2)
        convolution(cases, (5, 4), (2, 3), (1, 1), [(1, 2), (0, 3)], first=True)
        convolution(cases, (6, 7), (1, 1), (1, 1), "VALID", first=True)
    cases.check()


def test_convolutions_of_other_dtypes_and_ranks() -> None:
    cases = Cases()
    with cases.graph.as_default():
        for dtype in ("float16", "bfloat16", "float64"):
            convolution(cases, (5, 6), (3, 2), (1, 1), dtype=dtype)
        convolution(cases, (6, 5), (2, 3), (2, 1), "VALID", dtype="float64", first=True)
        convolution(cases, (4, 5, 3), (2, 3, 2), (1, 1, 1), "SAME")
        convolution(cases, (4, 5, 6), (2, 3, 3), (2, 1, 2), "VALID")
        convolution(cases, (4, 3, 4), (2, 2, 3), (1, 2, 1), "SAME", first=True)
    cases.check()


def test_large_convolutions() -> None:
    """Of sizes that are cut into several tiles, panels and tasks."""
    cases = Cases()
    with cases.graph.as_default():
        convolution(cases, (14, 13), (3, 3), (1, 1), "SAME", depths=(19, 35), batch=7)
        convolution(cases, (17, 12), (5, 3), (2, 2), "SAME", depths=(8, 33), batch=5)
        convolution(cases, (28, 28), (3, 3), (1, 1), "SAME", depths=(1, 32), batch=9)
        convolution(cases, (20, 21), (2, 3), (1, 1), "VALID", depths=(5, 4), batch=10, dtype="bfloat16")
    cases.check()


def depthwise(
    cases: Cases,
    spatial: tuple[int, int],
    window: tuple[int, int],
    stride: int,
    padding: str | Sequence[tuple[int, int]],
    dilations: tuple[int, int] = (1, 1),
    multiplier: int = 1,
    first: bool = False,
    channels: int = 11,
    dtype: str = "float32",
) -> None:
    pairs = [padding] * 2 if isinstance(padding, str) else padding
    sizes = [out_size(*entry) for entry in zip(spatial, window, [stride] * 2, dilations, pairs, strict=True)]
    image = cases.image(*layout(first, 2, spatial, channels), dtype=dtype)
    filters = cases.image(*window, channels, multiplier, dtype=dtype)
    error = cases.image(*layout(first, 2, sizes, channels * multiplier), dtype=dtype)
    options: dict[str, Any] = {
        "strides": list(layout(first, 1, [stride] * 2, 1)),
        "dilations": list(layout(first, 1, dilations, 1)),
        "padding": padding if isinstance(padding, str) else "EXPLICIT",
        "data_format": "NCHW" if first else "NHWC",
    }
    if not isinstance(padding, str):
        options["explicit_paddings"] = explicit(first, *padding)
    name, label = "DepthwiseConv2dNative", f"{dtype} {image.shape} {filters.shape}"
    cases.call(name, input=image, filter=filters, label=label, **options)
    given, taps = ([int(size) for size in tensor.shape] for tensor in (image, filters))
    backward = {"out_backprop": error, "label": label, **options}
    cases.call(name + "BackpropInput", input_sizes=given, filter=filters, **backward)
    cases.call(name + "BackpropFilter", input=image, filter_sizes=taps, **backward)


def test_depthwise_convolutions() -> None:
    cases = Cases()
    with cases.graph.as_default():
        for number, (padding, stride) in enumerate(itertools.product(PADDINGS, (1, 2))):
            depthwise(cases, (7, 6), (3, 2), stride, padding, channels=9 + number)
        depthwise(cases, (5, 7), (3, 2), 1, "SAME", multiplier=3, channels=5)
        depthwise(cases, (7, 5), (2, 3), 2, "VALID", multiplier=2, channels=6)
        depthwise(cases, (8, 7), (3, 3), 1, "SAME", (2, 1))
        depthwise(cases, (8, 7), (3, 3), 1, [(2, 1), (0, 3)])
        depthwise(cases, (6, 7), (3, 3), 2, "SAME", multiplier=2, first=True)
        depthwise(cases, (9, 9), (3, 3), 1, "SAME", channels=35)
        for dtype in ("float16", "bfloat16", "float64"):
            depthwise(cases, (5, 6), (3, 2), 1, "SAME", dtype=dtype)
    cases.check()


# ---- pooling --------------------------------------------------------------------------------------------------------

WINDOWS = (([2, 2], [2, 2]), ([3, 3], [2, 2]), ([3, 2], [1, 1]), ([2, 3], [3, 4]), ([1, 1], [2, 2]))


def pooled_shape(shape: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: str) -> list[int]:
    found = zip(shape[1:-1], window, strides, strict=True)
    return [shape[0], *[out_size(*entry, 1, padding) for entry in found], shape[-1]]


def maxima(cases: Cases, image: Any, window: Sequence[int], strides: Sequence[int], padding: str) -> None:
    """Maximum pooling of a channels-last image, its gradient, and the gradient of that."""
    shape = [int(size) for size in image.shape]
    found = pooled_shape(shape, window, strides, padding)
    dtype = image.dtype.name
    options = {"ksize": [1, *window, 1], "strides": [1, *strides, 1], "padding": padding}
    rank = "3D" if len(shape) == 5 else ""
    (pooled,) = cases.call("MaxPool" + rank, input=image, **options, label=f"{dtype} {shape}")
    backward = {"orig_input": image, "orig_output": pooled, **options, "label": f"{dtype} {shape}"}
    cases.call(f"MaxPool{rank}Grad", grad=cases.image(*found, dtype=dtype), **backward)
    cases.call(f"MaxPool{rank}GradGrad", grad=cases.image(*shape, dtype=dtype), **backward)


def test_maximum_pooling() -> None:
    cases = Cases()
    with cases.graph.as_default():
        for (window, strides), padding in itertools.product(WINDOWS, PADDINGS):
            maxima(cases, cases.image(2, 7, 9, 11), window, strides, padding)
        for dtype in ("float16", "bfloat16", "float64", "uint8", "int32", "int64"):
            maxima(cases, cases.image(2, 5, 4, 3, dtype=dtype), [2, 3], [2, 2], "SAME")
        maxima(cases, cases.image(2, 4, 5, 6, 3), [2, 3, 2], [2, 2, 1], "SAME")
        maxima(cases, cases.image(2, 8, 8, 35), [2, 2], [2, 2], "VALID")
        special = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0], np.float32)
        maxima(cases, cases.feed(cases.random.choice(special, (3, 5, 6, 9))), [2, 3], [2, 2], "SAME")
        image, options = cases.image(2, 3, 6, 7), {"padding": "SAME", "data_format": "NCHW"}
        window = {"ksize": [1, 1, 3, 2], "strides": [1, 1, 2, 2]}
        (pooled,) = cases.call("MaxPoolV2", input=image, **window, **options)
        grad = cases.image(2, 3, 3, 4)
        cases.call("MaxPoolGradV2", orig_input=image, orig_output=pooled, grad=grad, **window, **options)
    cases.check()


def test_places_of_maxima() -> None:
    cases = Cases()
    with cases.graph.as_default():
        for (window, strides), is_global in zip(WINDOWS, (False, True, False, True, False), strict=True):
            options: dict[str, Any] = {"ksize": [1, *window, 1], "strides": [1, *strides, 1], "padding": "SAME"}
            image, options["include_batch_in_index"] = cases.image(3, 7, 6, 5), is_global
            pooled, argmax = cases.call("MaxPoolWithArgmax", input=image, **options)
            error = cases.image(*[int(size) for size in pooled.shape])
            cases.call("MaxPoolGradWithArgmax", input=image, grad=error, argmax=argmax, **options)
            moved = cases.image(3, 7, 6, 5)
            cases.call("MaxPoolGradGradWithArgmax", input=image, grad=moved, argmax=argmax, **options)
        image = cases.image(2, 4, 5, 3, dtype="uint8")
        options = {"ksize": [1, 3, 3, 1], "strides": [1, 2, 2, 1], "padding": "SAME"}
        cases.call("MaxPoolWithArgmax", input=image, Targmax=tf.int32, **options)
    cases.check()


def test_average_pooling() -> None:
    cases = Cases(exact=False)
    with cases.graph.as_default():
        for (window, strides), padding in itertools.product(WINDOWS, PADDINGS):
            shape = [2, 7, 9, 11]
            options = {"ksize": [1, *window, 1], "strides": [1, *strides, 1], "padding": padding}
            cases.call("AvgPool", value=cases.image(*shape), **options)
            error = cases.image(*pooled_shape(shape, window, strides, padding))
            cases.call("AvgPoolGrad", orig_input_shape=shape, grad=error, **options)
        shape, window, strides = [2, 4, 5, 6, 3], [2, 3, 2], [2, 2, 1]
        options = {"ksize": [1, *window, 1], "strides": [1, *strides, 1], "padding": "SAME"}
        cases.call("AvgPool3D", input=cases.image(*shape), **options)
        error = cases.image(*pooled_shape(shape, window, strides, "SAME"))
        cases.call("AvgPool3DGrad", orig_input_shape=shape, grad=error, **options)
        options = {"ksize": [1, 1, 2, 3], "strides": [1, 1, 2, 2], "padding": "SAME", "data_format": "NCHW"}
        cases.call("AvgPool", value=cases.image(2, 3, 6, 7), **options)
        cases.call("AvgPoolGrad", orig_input_shape=[2, 3, 6, 7], grad=cases.image(2, 3, 3, 4), **options)
    cases.check(1e-6)


def test_morphology() -> None:
    cases = Cases()
    with cases.graph.as_default():
        for strides, rates, padding in (([1, 1], [1, 1], "SAME"), ([2, 1], [1, 2], "SAME"), ([2, 2], [2, 1], "VALID")):
            image, filters = cases.image(2, 6, 7, 5), cases.image(2, 3, 5)
            sizes = [out_size(*entry, padding) for entry in zip((6, 7), (2, 3), strides, rates, strict=True)]
            options = {"strides": [1, *strides, 1], "rates": [1, *rates, 1], "padding": padding}
            inputs = {"input": image, "filter": filters}
            cases.call("Dilation2D", **inputs, **options)
            error = cases.image(2, *sizes, 5)
            cases.call("Dilation2DBackpropInput", **inputs, out_backprop=error, **options)
            cases.call("Dilation2DBackpropFilter", **inputs, out_backprop=error, **options)
    cases.check()


# ---- normalisation --------------------------------------------------------------------------------------------------


def batch_norm(cases: Cases, shape: Sequence[int], share: float, training: bool, first: bool, dtype: str) -> None:
    channels = shape[1 if first else -1]
    image, error = cases.image(*shape, dtype=dtype), cases.image(*shape, dtype=dtype)
    scale, offset, mean = (cases.image(channels) for _ in range(3))
    variance = cases.feed(cases.random.uniform(0.5, 2, channels).astype(np.float32))
    options = {"epsilon": 0.01, "data_format": "NCHW" if first else "NHWC", "is_training": training}
    label = f"{dtype} {list(shape)}"
    results = cases.call(
        "FusedBatchNormV3", x=image, scale=scale, offset=offset, mean=mean, variance=variance,
        exponential_avg_factor=share, label=label, **options,
    )  # fmt: skip
    saved = {f"reserve_space_{number}": results[2 + number] for number in (1, 2, 3)}
    if not training:
        saved.update(reserve_space_1=mean, reserve_space_2=variance)
    cases.call("FusedBatchNormGradV3", y_backprop=error, x=image, scale=scale, **saved, label=label, **options)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float16", 2e-3), ("bfloat16", 1e-2)])
def test_batch_normalization(dtype: str, tolerance: float) -> None:
    cases = Cases(exact=False)
    with cases.graph.as_default():
        batch_norm(cases, (4, 5, 6, 11), 1.0, True, False, dtype)
        batch_norm(cases, (3, 7, 4, 5), 0.25, True, True, dtype)
        batch_norm(cases, (4, 5, 6, 11), 1.0, False, False, dtype)
        batch_norm(cases, (1, 1, 1, 3), 1.0, True, False, dtype)
    cases.check(tolerance)


def test_variance_of_values_far_from_zero() -> None:
    """Squares of large numbers, if subtracted, would leave nothing of it."""
    random = np.random.default_rng(0)
    means = np.array([0, 10, -1e3, 1e4, 1e5])
    images = (random.standard_normal((8, 16, 16, 5)) + means).astype(np.float32)
    edged = images.copy()
    edged[:, 0], edged[:, :, 0] = 0, 0
    cases = Cases()
    with cases.graph.as_default():
        ones, empty = cases.feed(np.ones(5, np.float32)), cases.feed(np.zeros(0, np.float32))
        for values in (images, edged):
            cases.call("FusedBatchNormV3", x=cases.feed(values), scale=ones, offset=ones, mean=empty, variance=empty)
    results = cases.compiled()
    for values, (mean, variance) in zip((images, edged), (results[3:5], results[9:11]), strict=True):
        exact = values.astype(np.float64)
        np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-5)
        np.testing.assert_array_less(np.abs(mean - exact.mean((0, 1, 2))), 1e-6 + 3e-7 * np.abs(exact).max((0, 1, 2)))


def test_response_normalization() -> None:
    cases = Cases(exact=False)
    with cases.graph.as_default():
        for radius, beta, dtype in ((2, 0.5, "float32"), (5, 0.75, "float32"), (1, 1.0, "float16")):
            options = {"depth_radius": radius, "bias": 1.5, "alpha": 0.3, "beta": beta}
            image, error = cases.image(2, 3, 4, 19, dtype=dtype), cases.image(2, 3, 4, 19, dtype=dtype)
            (output,) = cases.call("LRN", input=image, **options)
            cases.call("LRNGrad", input_grads=error, input_image=image, output_image=output, **options)
    cases.check(2e-3)


# ---- images and blocks ----------------------------------------------------------------------------------------------


def test_resizing() -> None:
    cases = Cases(exact=False)
    flags = ((False, False), (True, False), (False, True))
    with cases.graph.as_default():
        for (corners, centres), size in itertools.product(flags, ([8, 10], [3, 7], [4, 5], [1, 17])):
            options = {"align_corners": corners, "half_pixel_centers": centres}
            image, error = cases.image(2, 4, 5, 3), cases.image(2, *size, 3)
            cases.call("ResizeBilinear", images=image, size=size, **options)
            cases.call("ResizeNearestNeighbor", images=image, size=size, **options)
            cases.call("ResizeBilinearGrad", grads=error, original_image=image, **options)
            cases.call("ResizeNearestNeighborGrad", grads=error, size=[4, 5], **options)
        cases.call("ResizeBilinear", images=cases.image(1, 4, 5, 3, dtype="uint8"), size=[8, 10])
        cases.call("ResizeNearestNeighbor", images=cases.image(1, 4, 5, 3, dtype="bfloat16"), size=[8, 10])
    cases.check(1e-6)


def test_views_of_images() -> None:
    cases = Cases()
    with cases.graph.as_default():
        for first in (False, True):
            form = {"block_size": 2, "data_format": "NCHW" if first else "NHWC"}
            cases.call("SpaceToDepth", input=cases.image(*layout(first, 2, (4, 6), 3)), **form)
            cases.call("DepthToSpace", input=cases.image(*layout(first, 2, (3, 2), 8)), **form)
        margins = {"block_shape": [2, 3], "paddings": [[1, 0], [2, 3]]}
        cases.call("SpaceToBatchND", input=cases.image(2, 5, 4, 3), **margins)
        cases.call("BatchToSpaceND", input=cases.image(12, 3, 2, 3), block_shape=[2, 3], crops=[[1, 0], [2, 1]])
        cases.call("SpaceToBatch", input=cases.image(2, 4, 3, 2), paddings=[[0, 0], [1, 0]], block_size=2)
        cases.call("BatchToSpace", input=cases.image(8, 3, 2, 3), crops=[[1, 1], [0, 1]], block_size=2)
        for mode in ("REFLECT", "SYMMETRIC"):
            cases.call("MirrorPad", input=cases.image(4, 5, 3), paddings=[[2, 3], [0, 0], [1, 2]], mode=mode)
            cases.call("MirrorPadGrad", input=cases.image(9, 5, 6), paddings=[[2, 3], [0, 0], [1, 2]], mode=mode)
        for strides, rates, padding in (([1, 1], [2, 1], "SAME"), ([2, 3], [1, 2], "VALID"), ([2, 2], [1, 1], "SAME")):
            cases.call(
                "ExtractImagePatches", images=cases.image(2, 6, 7, 3), ksizes=[1, 2, 3, 1], strides=[1, *strides, 1],
                rates=[1, *rates, 1], padding=padding,
            )  # fmt: skip
    cases.check()
