"""What summaries hold: histograms, images, and what tells TensorBoard's plugins of them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.errors import InvalidArgumentError
from rillet.saving import messages
from rillet.saving.tensors import tensor_message
from rillet.summary.png import png

_LARGEST = float(np.finfo(np.float64).max)


@functools.cache
def _limits() -> Any:
    """The upper limits of a histogram's buckets: each a tenth further from zero than the last."""
    positive = []
    limit = 1e-12
    while limit < 1e20:
        positive.append(limit)
        limit *= 1.1
    positive.append(_LARGEST)
    return np.array([*[-value for value in reversed(positive)], 0.0, *positive])


def histogram(values: Any, tag: str) -> Any:
    """A HistogramProto of all elements. InvalidArgumentError where one is not finite."""
    flat = np.asarray(values).astype(np.float64).ravel()
    bad = flat[~np.isfinite(flat)]
    if bad.size:
        kind = "Nan" if np.isnan(bad[0]) else "Infinity"
        raise InvalidArgumentError(None, None, f"{kind} in summary histogram for: {tag}")
    message = messages.get("HistogramProto")(min=_LARGEST, max=-_LARGEST, num=flat.size)
    if flat.size:
        message.min, message.max = float(flat.min()), float(flat.max())
        # one after the other: sums in another order would differ in the last digits
        message.sum, message.sum_squares = float(flat.cumsum()[-1]), float((flat * flat).cumsum()[-1])
    counts = np.bincount(np.searchsorted(_limits(), flat, side="right"), minlength=len(_limits())).astype(float)
    _add_buckets(message, counts)
    return message


def _add_buckets(message: Any, counts: Any) -> None:
    """The buckets, of neighbours without a value only the last."""
    empty = counts == 0
    kept = ~empty
    kept[:-1] |= empty[:-1] & ~empty[1:]
    kept[-1] = True
    message.bucket_limit.extend(_limits()[kept].tolist())
    message.bucket.extend(counts[kept].tolist())


def as_image(image: Any, bad_color: Any = (255, 0, 0, 255)) -> Any:
    """An image [height, width, channels] as a Summary.Image. Floats are scaled to the range of 8 bits; where one is not
    finite, the pixel gets `bad_color`."""
    if image.dtype not in (np.uint8, np.uint16):
        image = _scaled(image.astype(np.float32), np.asarray(bad_color, np.uint8).ravel())
    height, width, channels = image.shape
    return messages.get("Summary").Image(
        height=height, width=width, colorspace=channels, encoded_image_string=png(image)
    )


def _scaled(image: Any, bad_color: Any) -> Any:
    finite = np.isfinite(image).all(axis=-1)
    known = image[finite]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if low < 0:
        largest = max(abs(low), abs(high))
        scale, offset = (127.0 / largest if largest >= 1e-6 else 0.0), 128.0
    else:
        scale, offset = (255.0 / high if high >= 1e-6 else 0.0), 0.0
    result = np.empty(image.shape, np.uint8)
    result[finite] = (known * np.float32(scale) + np.float32(offset)).astype(np.uint8)
    result[~finite] = np.resize(bad_color[: image.shape[-1]], image.shape[-1])
    return result


def tensor(value: Any) -> Any:
    """A TensorProto of an array."""
    array = np.asarray(value)
    return tensor_message(array, dtypes.from_numpy(array.dtype))


def metadata(plugin: str, data_class: int, content: bytes = b"", description: str | None = None) -> Any:
    """A SummaryMetadata for one of TensorBoard's plugins."""
    message = messages.get("SummaryMetadata")(summary_description=description or "", data_class=data_class)
    message.plugin_data.plugin_name = plugin
    message.plugin_data.content = content
    return message
