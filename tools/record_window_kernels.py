"""Record what TensorFlow gives for the operations that slide a window.

Run with a Python that has TensorFlow: `python tools/record_window_kernels.py`.
Writes tests/data/window_kernels.npz: for each case the raw op, its inputs, its attributes and its outputs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from tests.ops.inputs import numpy_dtype
from tests.ops.recording import Writer

Array = np.ndarray[Any, Any]
TOPIC = "../window_kernels"  # the file lies beside the directory of the op table's topics


@dataclass(frozen=True)
class Geometry:
    """A window and how it slides, one entry per spatial dimension."""

    sizes: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    dilations: tuple[int, ...] = ()
    explicit: tuple[int, ...] = ()

    @property
    def is_dilated(self) -> bool:
        return max(self.dilations, default=1) > 1

    def attributes(self, dilations_name: str | None = "dilations") -> dict[str, Any]:
        """The attributes that most ops share; only ops that know explicit padding get its list."""
        found: dict[str, Any] = {"strides": around(self.strides), "padding": self.padding}
        if dilations_name:
            found[dilations_name] = around(self.dilations or (1,) * len(self.sizes))
        if self.padding == "EXPLICIT":
            found["explicit_paddings"] = [0, 0, *self.explicit, 0, 0]
        return found


PLANES = (
    Geometry((5, 6), (3, 2), (1, 1), "SAME"),
    Geometry((5, 6), (3, 2), (2, 3), "SAME"),
    Geometry((7, 5), (2, 3), (2, 2), "VALID"),
    Geometry((6, 7), (3, 3), (1, 2), "SAME", dilations=(2, 1)),
    Geometry((7, 6), (2, 2), (1, 1), "VALID", dilations=(3, 2)),
    Geometry((4, 5), (3, 2), (2, 2), "EXPLICIT", explicit=(2, 1, 0, 1)),
    Geometry((6, 6), (3, 3), (2, 1), "EXPLICIT", dilations=(2, 2), explicit=(0, 3, 2, 1)),
    Geometry((5, 7), (1, 1), (3, 3), "SAME"),  # steps over elements
    Geometry((2, 3), (4, 5), (1, 1), "SAME"),  # larger than the input
    Geometry((2, 5), (3, 2), (1, 1), "VALID"),  # no output
)
VOLUMES = (
    Geometry((3, 5, 4), (2, 3, 2), (1, 1, 1), "SAME"),
    Geometry((4, 5, 6), (3, 2, 3), (2, 1, 2), "SAME"),
    Geometry((4, 5, 6), (2, 3, 2), (1, 2, 3), "VALID"),
)
CONVOLUTION_DTYPES = ("float32", "float64", "int32", "float16", "bfloat16")
FLOATING = ("float32", "float64", "float16", "bfloat16")
POOL_DTYPES = ("float32", "int32", "float16", "uint8", "bfloat16", "float64", "int8")


def around(values: Sequence[int]) -> list[int]:
    """Spatial entries as TensorFlow's attributes have them: with ones for the batch and the channels."""
    return [1, *values, 1]


class Recorder:
    """Draws inputs, runs raw ops, and keeps both."""

    def __init__(self) -> None:
        self.random = np.random.RandomState(20)
        self.writer = Writer()
        self.cases: list[dict[str, Any]] = []

    def draw(self, shape: Sequence[int], dtype: str) -> Array:
        """Eighths, which all floating dtypes hold exactly."""
        if dtype.startswith(("int", "uint")):
            return self.whole(shape, dtype)
        return (self.random.randint(-16, 17, tuple(shape)) / 8).astype(numpy_dtype(dtype))

    def whole(self, shape: Sequence[int], dtype: str) -> Array:
        """A few whole numbers, so that windows have ties."""
        low = 0 if dtype.startswith("uint") else -3
        return self.random.randint(low, 4, tuple(shape)).astype(numpy_dtype(dtype))

    def run(self, op: str, inputs: dict[str, Array], **attributes: Any) -> list[Array]:
        """The outputs of a raw op; the case is recorded."""
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        result = getattr(tf.raw_ops, op)(**tensors, **attributes)
        outputs = [output.numpy() for output in (result if isinstance(result, tuple) else (result,))]
        add = self.writer.add
        stored = {name: add(array) for name, array in inputs.items()}
        case = {"op": op, "inputs": stored, "attributes": attributes, "outputs": [add(output) for output in outputs]}
        self.cases.append(case)
        return outputs


def record_convolution(recorder: Recorder, geometry: Geometry, dtype: str, channels: int, depth: int) -> None:
    """A convolution with `channels / depth` groups, and its gradients where TensorFlow's CPU kernels have them."""
    volume = len(geometry.sizes) == 3
    op = "Conv3D" if volume else "Conv2D"
    image = recorder.draw((2, *geometry.sizes, channels), dtype)
    window = recorder.draw((*geometry.window, depth, 4), dtype)
    attributes = geometry.attributes()
    output = recorder.run(op, {"input": image, "filter": window}, **attributes)[0]
    if geometry.is_dilated or channels != depth or dtype == "int32" or not output.size:
        return
    grad = recorder.draw(output.shape, dtype)
    version = "V2" if volume else ""
    image_sizes, window_sizes = np.array(image.shape, np.int32), np.array(window.shape, np.int32)
    inputs = {"input_sizes": image_sizes, "filter": window, "out_backprop": grad}
    recorder.run(f"{op}BackpropInput{version}", inputs, **attributes)
    inputs = {"input": image, "filter_sizes": window_sizes, "out_backprop": grad}
    recorder.run(f"{op}BackpropFilter{version}", inputs, **attributes)


def record_depthwise(recorder: Recorder, geometry: Geometry, dtype: str) -> None:
    op = "DepthwiseConv2dNative"
    image = recorder.draw((2, *geometry.sizes, 3), dtype)
    window = recorder.draw((*geometry.window, 3, 2), dtype)
    attributes = geometry.attributes()
    output = recorder.run(op, {"input": image, "filter": window}, **attributes)[0]
    if not output.size:
        return
    grad = recorder.draw(output.shape, dtype)
    image_sizes, window_sizes = np.array(image.shape, np.int32), np.array(window.shape, np.int32)
    inputs = {"input_sizes": image_sizes, "filter": window, "out_backprop": grad}
    recorder.run(f"{op}BackpropInput", inputs, **attributes)
    inputs = {"input": image, "filter_sizes": window_sizes, "out_backprop": grad}
    recorder.run(f"{op}BackpropFilter", inputs, **attributes)


def record_max_pool(recorder: Recorder, geometry: Geometry, dtype: str) -> None:
    attributes = {"ksize": around(geometry.window), **geometry.attributes(None)}
    volume = "3D" if len(geometry.sizes) == 3 else ""
    image = recorder.whole((2, *geometry.sizes, 2), dtype)
    output = recorder.run(f"MaxPool{volume}", {"input": image}, **attributes)[0]
    if not output.size:
        return
    grad = recorder.draw(output.shape, dtype)
    inputs = {"orig_input": image, "orig_output": output, "grad": grad}
    recorder.run(f"MaxPool{volume}Grad", inputs, **attributes)
    if geometry.padding == "EXPLICIT":
        return
    inputs = {"orig_input": image, "orig_output": output, "grad": recorder.draw(image.shape, dtype)}
    recorder.run(f"MaxPool{volume}GradGrad", inputs, **attributes)
    for with_batch in () if volume else (False, True):
        counting = {**attributes, "include_batch_in_index": with_batch}
        _, argmax = recorder.run("MaxPoolWithArgmax", {"input": image}, **counting)
        inputs = {"input": image, "grad": grad, "argmax": argmax}
        recorder.run("MaxPoolGradWithArgmax", inputs, **counting)


def record_average_pool(recorder: Recorder, geometry: Geometry, dtype: str) -> None:
    attributes = {"ksize": around(geometry.window), **geometry.attributes(None)}
    volume = len(geometry.sizes) == 3
    op, name = ("AvgPool3D", "input") if volume else ("AvgPool", "value")
    image = recorder.draw((2, *geometry.sizes, 2), dtype)
    output = recorder.run(op, {name: image}, **attributes)[0]
    if output.size:
        shape = np.array(image.shape, np.int32)
        inputs = {"orig_input_shape": shape, "grad": recorder.draw(output.shape, dtype)}
        recorder.run(f"{op}Grad", inputs, **attributes)


def record_dilation(recorder: Recorder, geometry: Geometry, dtype: str) -> None:
    attributes = geometry.attributes("rates")
    image = recorder.whole((2, *geometry.sizes, 2), dtype)
    window = recorder.whole((*geometry.window, 2), dtype)
    output = recorder.run("Dilation2D", {"input": image, "filter": window}, **attributes)[0]
    if output.size:
        inputs = {"input": image, "filter": window, "out_backprop": recorder.draw(output.shape, dtype)}
        recorder.run("Dilation2DBackpropInput", inputs, **attributes)
        recorder.run("Dilation2DBackpropFilter", inputs, **attributes)


def record_patches(recorder: Recorder, geometry: Geometry, dtype: str) -> None:
    volume = len(geometry.sizes) == 3
    op, name, rates = ("ExtractVolumePatches", "input", None) if volume else ("ExtractImagePatches", "images", "rates")
    image = recorder.draw((2, *geometry.sizes, 2), dtype)
    recorder.run(op, {name: image}, ksizes=around(geometry.window), **geometry.attributes(rates))


def record_normalisation(recorder: Recorder) -> None:
    settings = (
        {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5},
        {"depth_radius": 2, "bias": 2.0, "alpha": 0.25, "beta": 0.75},
        {"depth_radius": 0, "bias": 0.5, "alpha": 1.5, "beta": 1.0},
    )
    for attributes, dtype in zip(settings, ("float32", "float32", "float16"), strict=True):
        image = recorder.draw((2, 2, 3, 7), dtype)
        output = recorder.run("LRN", {"input": image}, **attributes)[0]
        inputs = {"input_grads": recorder.draw(image.shape, dtype), "input_image": image, "output_image": output}
        recorder.run("LRNGrad", inputs, **attributes)


def record_resizing(recorder: Recorder) -> None:
    sizes = ((3, 4), (9, 5), (1, 7), (5, 3), (13, 11))
    modes = ({}, {"align_corners": True}, {"half_pixel_centers": True})
    dtypes = ("float32", "uint8", "float16", "float64", "int32")
    for position, size in enumerate(sizes):
        for mode in modes:
            dtype = dtypes[position]
            image = recorder.draw((2, 5, 3, 2), dtype)
            wanted = np.array(size, np.int32)
            recorder.run("ResizeBilinear", {"images": image, "size": wanted}, **mode)
            recorder.run("ResizeNearestNeighbor", {"images": image, "size": wanted}, **mode)
            grad = recorder.draw((2, *size, 2), dtype)
            recorder.run("ResizeNearestNeighborGrad", {"grads": grad, "size": np.array((5, 3), np.int32)}, **mode)
            if dtype.startswith("float"):
                inputs = {"grads": grad.astype(np.float32), "original_image": image}
                recorder.run("ResizeBilinearGrad", inputs, **mode)


def record_planes(recorder: Recorder) -> None:
    for position, geometry in enumerate(PLANES):
        record_convolution(recorder, geometry, CONVOLUTION_DTYPES[position % 5], 3, 3)
        record_convolution(recorder, geometry, "float32", 4, (2, 1)[position % 2])
        if not geometry.is_dilated and len(set(geometry.strides)) == 1:
            record_depthwise(recorder, geometry, FLOATING[position % 4])
        if not geometry.is_dilated:
            record_max_pool(recorder, geometry, POOL_DTYPES[position % 7])
        if geometry.padding != "EXPLICIT":
            if not geometry.is_dilated:
                record_average_pool(recorder, geometry, FLOATING[position % 4])
            record_dilation(recorder, geometry, POOL_DTYPES[position % 7])
            record_patches(recorder, geometry, POOL_DTYPES[position % 7])


def record_volumes(recorder: Recorder) -> None:
    for position, geometry in enumerate(VOLUMES):
        record_convolution(recorder, geometry, ("float32", "float64", "bfloat16")[position], 2, 2)
        record_max_pool(recorder, geometry, "float32")
        record_average_pool(recorder, geometry, ("float32", "bfloat16")[position % 2])
        record_patches(recorder, geometry, POOL_DTYPES[position])


def main() -> int:
    recorder = Recorder()
    record_planes(recorder)
    record_volumes(recorder)
    record_normalisation(recorder)
    record_resizing(recorder)
    path = recorder.writer.write(TOPIC, {"version": tf.__version__, "cases": recorder.cases})
    print(f"{len(recorder.cases)} cases, {path.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
