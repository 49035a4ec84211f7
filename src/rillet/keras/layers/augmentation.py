"""Random changes of images while training: moves, turns, zooms, crops, contrast, brightness."""

from __future__ import annotations

import math
from typing import Any

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.calling import choose
from rillet.keras.layers.options import choice
from rillet.keras.layers.preprocessing import OnImages
from rillet.ops import image
from rillet.ops.cast import cast
from rillet.ops.clip import clip_by_value
from rillet.ops.compare import greater_equal, less, logical_and
from rillet.ops.creation import fill, ones_like, zeros_like
from rillet.ops.elementwise import cos, floor, floor_mod, sin
from rillet.ops.gather import gather
from rillet.ops.join import stack
from rillet.ops.random import random_uniform
from rillet.ops.reduce import reduce_mean
from rillet.ops.select import where
from rillet.ops.sequences import range_
from rillet.ops.shape import expand_dims, reshape

_FILLS = ("reflect", "wrap", "constant", "nearest")


def _sides(factor: Any, name: str, lowest: float = -1.0) -> tuple[float, float]:
    """(smallest, largest) from a pair, or from one number for both signs. ValueError where they are out of order."""
    low, high = (-factor, factor) if isinstance(factor, (int, float)) else factor
    if low > high or low < lowest:
        raise ValueError(f"`{name}` must be a number, or a pair in order and from {lowest} on. Received: {factor}")
    return float(low), float(high)


class _Random(OnImages):
    seed: int | None

    def call(self, inputs: Any, training: Any = True) -> Any:
        return super().call(inputs, training)

    def _change(self, images: Any, training: Any) -> Any:
        return choose(training, lambda: self._changed(images), lambda: images)

    def _changed(self, images: Any) -> Any:
        raise NotImplementedError

    def _draw(self, images: Any, sides: tuple[float, float]) -> Any:
        """A number between the sides for each image, in the images' dtype."""
        count = apply_op(REGISTRY["Shape"], (images,))[:1]
        if sides[0] == sides[1]:
            return fill(count, convert_to_tensor(sides[0], images.dtype))
        return cast(random_uniform(count, sides[0], sides[1], seed=self.seed), images.dtype)


# ---- geometry -------------------------------------------------------------------------------------------------------


class _Geometric(_Random):
    """fill_mode: what lies outside the image: "reflect", "wrap", "nearest", or "constant" for fill_value.
    interpolation: "bilinear" or "nearest". ValueError for others."""

    def _take_filling(self, fill_mode: str, interpolation: str, seed: int | None, fill_value: float) -> None:
        self.fill_mode = choice(fill_mode, "fill_mode", _FILLS)
        self.interpolation = choice(interpolation, "interpolation", ("bilinear", "nearest"))
        self.seed = seed
        self.fill_value = fill_value

    def _matrix(self, images: Any, height: Any, width: Any) -> list[Any]:
        """(a, b, c, d, e, f), a number an image each: the pixel at (x, y) comes from (ax + by + c, dx + ey + f)."""
        raise NotImplementedError

    def _changed(self, images: Any) -> Any:
        sizes = apply_op(REGISTRY["Shape"], (images,))
        height, width = sizes[1], sizes[2]
        y, x = cast(range_(0, height), images.dtype), cast(range_(0, width), images.dtype)
        y, x = expand_dims(expand_dims(y, 1), 0), expand_dims(expand_dims(x, 0), 0)
        matrix = self._matrix(images, cast(height, images.dtype), cast(width, images.dtype))
        a, b, c, d, e, f = [reshape(value, [-1, 1, 1]) for value in matrix]
        outputs = self._sampled(images, a * x + b * y + c, d * x + e * y + f, sizes)
        outputs.set_shape(images.shape)
        return outputs

    def _sampled(self, images: Any, x: Any, y: Any, sizes: Any) -> Any:
        if self.interpolation == "nearest":
            return self._pixels(images, floor(x + 0.5), floor(y + 0.5), sizes)
        left, top = floor(x), floor(y)
        right_share, lower_share = expand_dims(x - left, -1), expand_dims(y - top, -1)
        upper = self._pixels(images, left, top, sizes) * (1.0 - right_share)
        upper = upper + self._pixels(images, left + 1.0, top, sizes) * right_share
        lower = self._pixels(images, left, top + 1.0, sizes) * (1.0 - right_share)
        lower = lower + self._pixels(images, left + 1.0, top + 1.0, sizes) * right_share
        return upper * (1.0 - lower_share) + lower * lower_share

    def _pixels(self, images: Any, x: Any, y: Any, sizes: Any) -> Any:
        """The pixels at whole coordinates [batch, height, width], filled where they are outside."""
        height, width = cast(sizes[1], images.dtype), cast(sizes[2], images.dtype)
        column, row = self._inside(x, width), self._inside(y, height)
        flat = reshape(images, stack([sizes[0], sizes[1] * sizes[2], sizes[3]]))
        places = cast(row * width + column, "int32")
        found = gather(flat, places, axis=1, batch_dims=1)
        if self.fill_mode != "constant":
            return found
        is_inside = logical_and(
            logical_and(greater_equal(x, 0.0), less(x, width)), logical_and(greater_equal(y, 0.0), less(y, height))
        )
        return where(expand_dims(is_inside, -1), found, zeros_like(found) + self.fill_value)

    def _inside(self, place: Any, size: Any) -> Any:
        """Coordinates that lie in the image."""
        if self.fill_mode == "reflect":  # b a | a b | b a
            place = floor_mod(place, 2.0 * size)
            return where(less(place, size), place, 2.0 * size - 1.0 - place)
        if self.fill_mode == "wrap":
            return floor_mod(place, size)
        return clip_by_value(place, 0.0, size - 1.0)


@public("keras.layers.RandomTranslation", "keras.layers.experimental.preprocessing.RandomTranslation")
class RandomTranslation(_Geometric):
    """Images moved down and to the right by random parts of their size: between the factors, or within +-factor."""

    _config_names = ("height_factor", "width_factor", "fill_mode", "fill_value", "interpolation", "seed")

    def __init__(
        self, height_factor: Any, width_factor: Any, fill_mode: str = "reflect", interpolation: str = "bilinear",
        seed: int | None = None, fill_value: float = 0.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self._take_filling(fill_mode, interpolation, seed, fill_value)
        self.height_factor = height_factor
        self.width_factor = width_factor
        self._sides = _sides(height_factor, "height_factor"), _sides(width_factor, "width_factor")

    def _matrix(self, images: Any, height: Any, width: Any) -> list[Any]:
        down, right = self._draw(images, self._sides[0]) * height, self._draw(images, self._sides[1]) * width
        one, zero = ones_like(down), zeros_like(down)
        return [one, zero, -right, zero, one, -down]


@public("keras.layers.RandomRotation", "keras.layers.experimental.preprocessing.RandomRotation")
class RandomRotation(_Geometric):
    """Images turned by a random part of a full circle: between the factors, or within +-factor."""

    _config_names = ("factor", "fill_mode", "fill_value", "interpolation", "seed")

    def __init__(
        self, factor: Any, fill_mode: str = "reflect", interpolation: str = "bilinear", seed: int | None = None,
        fill_value: float = 0.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self._take_filling(fill_mode, interpolation, seed, fill_value)
        self.factor = factor
        self._sides = _sides(factor, "factor", -math.inf)

    def _matrix(self, images: Any, height: Any, width: Any) -> list[Any]:
        angle = self._draw(images, self._sides) * (2.0 * math.pi)
        across, along = sin(angle), cos(angle)
        right, bottom = width - 1.0, height - 1.0
        x = (right - (along * right - across * bottom)) / 2.0
        y = (bottom - (across * right + along * bottom)) / 2.0
        return [along, -across, x, across, along, y]


@public("keras.layers.RandomZoom", "keras.layers.experimental.preprocessing.RandomZoom")
class RandomZoom(_Geometric):
    """Images zoomed out (positive) or in, by random parts: between the factors, or within +-factor. width_factor=None:
    by as much as the height."""

    _config_names = ("height_factor", "width_factor", "fill_mode", "fill_value", "interpolation", "seed")

    def __init__(
        self, height_factor: Any, width_factor: Any = None, fill_mode: str = "reflect", interpolation: str = "bilinear",
        seed: int | None = None, fill_value: float = 0.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self._take_filling(fill_mode, interpolation, seed, fill_value)
        self.height_factor = height_factor
        self.width_factor = width_factor
        self._sides = _sides(height_factor, "height_factor")
        self._width_sides = None if width_factor is None else _sides(width_factor, "width_factor")

    def _matrix(self, images: Any, height: Any, width: Any) -> list[Any]:
        vertical = 1.0 + self._draw(images, self._sides)
        horizontal = vertical if self._width_sides is None else 1.0 + self._draw(images, self._width_sides)
        zero = zeros_like(vertical)
        x, y = (width - 1.0) / 2.0 * (1.0 - horizontal), (height - 1.0) / 2.0 * (1.0 - vertical)
        return [horizontal, zero, x, zero, vertical, y]


# ---- crops ----------------------------------------------------------------------------------------------------------


class _Cropped(OnImages):
    height: int
    width: int

    def _fit(self, images: Any) -> Any:
        """The middle of the image; a smaller image is enlarged first."""
        sizes = images.shape.as_list()
        if sizes[1] < self.height or sizes[2] < self.width:
            return self._enlarged(images, sizes)
        top, left = (sizes[1] - self.height) // 2, (sizes[2] - self.width) // 2
        return images[:, top : top + self.height, left : left + self.width, :]

    def _enlarged(self, images: Any, sizes: list[int]) -> Any:
        """The largest middle part of the wanted proportions, resized."""
        height = min(sizes[1], int(sizes[2] * self.height / self.width))
        width = min(sizes[2], int(sizes[1] * self.width / self.height))
        top, left = (sizes[1] - height) // 2, (sizes[2] - width) // 2
        part = images[:, top : top + height, left : left + width, :]
        return image.resize_bilinear(part, [self.height, self.width], half_pixel_centers=True)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        sizes = TensorShape(input_shape).as_list()
        return TensorShape([*sizes[:-3], self.height, self.width, sizes[-1]])


@public("keras.layers.CenterCrop", "keras.layers.experimental.preprocessing.CenterCrop")
class CenterCrop(_Cropped):
    """The middle [height, width] of images."""

    _config_names = ("height", "width")

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width

    def _change(self, images: Any, training: Any) -> Any:
        return self._fit(images)


@public("keras.layers.RandomCrop", "keras.layers.experimental.preprocessing.RandomCrop")
class RandomCrop(_Cropped):
    """While training a random part [height, width], the same place for a whole batch; else the middle."""

    _config_names = ("height", "width", "seed")

    def __init__(self, height: int, width: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.seed = seed

    def call(self, inputs: Any, training: Any = True) -> Any:
        return super().call(inputs, training)

    def _change(self, images: Any, training: Any) -> Any:
        return choose(training, lambda: self._cut(images), lambda: self._fit(images))

    def _cut(self, images: Any) -> Any:
        sizes = images.shape.as_list()
        if sizes[1] < self.height or sizes[2] < self.width:
            return self._fit(images)
        top = random_uniform([], 0, sizes[1] - self.height + 1, "int32", seed=self.seed)
        left = random_uniform([], 0, sizes[2] - self.width + 1, "int32", seed=self.seed)
        cut = images[:, top : top + self.height, left : left + self.width, :]
        cut.set_shape([sizes[0], self.height, self.width, sizes[3]])
        return cut


# ---- colours --------------------------------------------------------------------------------------------------------


@public("keras.layers.RandomContrast", "keras.layers.experimental.preprocessing.RandomContrast")
class RandomContrast(_Random):
    """(x - mean) * a + mean of each channel, with a random `a` from 1 - lower to 1 + upper, cut to [0, 255].

    factor: (lower, upper), or one number for both.
    """

    _config_names = ("factor", "seed")

    def __init__(self, factor: Any, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        lower, upper = (factor, factor) if isinstance(factor, (int, float)) else factor
        if lower < 0 or upper < 0 or lower > 1:
            raise ValueError(
                f"`factor` argument cannot have negative values or a lower one above 1. Received: factor={factor}"
            )
        self._sides = 1.0 - lower, 1.0 + upper
        self.seed = seed

    def _changed(self, images: Any) -> Any:
        amount = reshape(self._draw(images, self._sides), [-1, 1, 1, 1])
        mean = reduce_mean(images, axis=[1, 2], keepdims=True)
        return clip_by_value((images - mean) * amount + mean, 0.0, 255.0)


@public("keras.layers.RandomBrightness")
class RandomBrightness(_Random):
    """Images lighter or darker by a random part of value_range: between the factors, or within +-factor; cut to it."""

    _config_names = ("factor", "value_range", "seed")

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = tuple(value_range)
        self._sides = _sides(factor, "factor")
        self.seed = seed

    def _changed(self, images: Any) -> Any:
        low, high = (float(value) for value in self.value_range)
        change = reshape(self._draw(images, self._sides), [-1, 1, 1, 1]) * (high - low)
        return clip_by_value(images + change, low, high)
