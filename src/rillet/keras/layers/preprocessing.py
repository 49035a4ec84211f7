"""Preparing data inside a model: scaling, encoding of categories, flips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.calling import choose
from rillet.keras.layers.options import ConfiguredLayer, choice
from rillet.keras.policy import epsilon
from rillet.ops import image
from rillet.ops.arrange import reverse
from rillet.ops.cast import cast
from rillet.ops.compare import less
from rillet.ops.elementwise import maximum, sqrt
from rillet.ops.order import searchsorted
from rillet.ops.random import random_uniform
from rillet.ops.reduce import reduce_max, reduce_sum
from rillet.ops.select import where
from rillet.ops.sequences import one_hot
from rillet.ops.shape import expand_dims, reshape


@public("keras.layers.Rescaling", "keras.layers.experimental.preprocessing.Rescaling")
class Rescaling(ConfiguredLayer):
    """inputs * scale + offset."""

    _config_names = ("scale", "offset")

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset

    def call(self, inputs: Any) -> Any:
        wanted = dtypes.as_dtype(self.compute_dtype)
        return cast(inputs, wanted) * cast(self.scale, wanted) + cast(self.offset, wanted)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)


@public("keras.layers.Normalization", "keras.layers.experimental.preprocessing.Normalization")
class Normalization(ConfiguredLayer):
    """(inputs - mean) / sqrt(variance), an element of `axis` (None: one mean of everything); invert: the other way round.

    mean and variance are given, or found by adapt(data). Weights after adapt: mean, variance, count.
    """

    _config_names = ("axis", "invert", "mean", "variance")

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if (mean is None) != (variance is None):
            raise ValueError(
                "When setting values directly, both `mean` and `variance` must be set. Got mean: "
                f"{mean} and variance: {variance}"
            )
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.invert = invert
        self.input_mean = mean
        self.input_variance = variance
        self.mean: Any = None
        self.variance: Any = None
        self._is_adapted = False

    def build(self, input_shape: Any) -> None:
        sizes = TensorShape(input_shape).as_list()
        rank = len(sizes)
        self._kept = sorted(axis % rank for axis in self.axis)
        if any(sizes[axis] is None for axis in self._kept):
            raise ValueError(
                f"All `axis` values to be kept must have known shape. Got axis: {self.axis}, input shape: {sizes}"
            )
        self._reduced = [axis for axis in range(rank) if axis not in self._kept]
        self._broadcast = [sizes[axis] if axis in self._kept else 1 for axis in range(rank)]
        shape = [sizes[axis] for axis in self._kept]
        if self.input_mean is None:
            self.adapt_mean = self.add_weight("mean", shape, initializer="zeros", trainable=False)
            self.adapt_variance = self.add_weight("variance", shape, initializer="ones", trainable=False)
            self.count = self.add_weight("count", (), dtype="int64", initializer="zeros", trainable=False)
            self._finalize()
        else:
            self.mean, self.variance = [self._wide(value, shape) for value in (self.input_mean, self.input_variance)]
        self.built = True

    def _wide(self, value: Any, shape: list[int]) -> Any:
        array = np.broadcast_to(np.asarray(value, self.compute_dtype), shape)
        return convert_to_tensor(array.reshape(self._broadcast))

    def _finalize(self) -> None:
        self.mean = reshape(self.adapt_mean.value(), self._broadcast)
        self.variance = reshape(self.adapt_variance.value(), self._broadcast)

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Finds mean and variance of an array, a tensor, or batches of a dataset (at most `steps`)."""
        is_batches = not hasattr(data, "shape") and isinstance(data, Iterable) and not isinstance(data, (list, tuple))
        batches = data if is_batches else [data]
        totals: list[Any] | None = None
        for number, batch in enumerate(batches):
            if steps is not None and number >= steps:
                break
            array = np.asarray(batch, np.float64)
            array = array[:, None] if array.ndim == 1 else array
            if not self.built:
                self.build(TensorShape([None, *array.shape[1:]]))
                self.built = True
            axes = tuple(self._reduced)
            count = array.size // max(1, int(np.prod([array.shape[axis] for axis in self._kept])))
            found = [count, array.sum(axes), np.square(array).sum(axes)]
            totals = found if totals is None else [old + new for old, new in zip(totals, found, strict=True)]
        if totals is None:
            raise ValueError("Normalization.adapt() was given no data")
        count, total, squares = totals
        mean = total / count
        self.adapt_mean.assign(mean.astype("float32"))
        self.adapt_variance.assign(np.maximum(squares / count - mean**2, 0.0).astype("float32"))
        self.count.assign(count)
        self._finalize()

    def finalize_state(self) -> None:
        """Uses the values of the weights from now on."""
        if self.input_mean is None and self.built:
            self._finalize()

    def _values(self) -> Any:  # the mean and variance are no parts of the layer
        return (value for name, value in self.__dict__.items() if name not in ("mean", "variance", "_own_variables"))

    def call(self, inputs: Any) -> Any:
        inputs = cast(inputs, self.compute_dtype)
        if self.input_mean is None:
            mean, variance = [
                reshape(weight.value(), self._broadcast) for weight in (self.adapt_mean, self.adapt_variance)
            ]
        else:
            mean, variance = self.mean, self.variance
        deviation = maximum(sqrt(cast(variance, inputs.dtype)), epsilon())
        mean = cast(mean, inputs.dtype)
        return mean + inputs * deviation if self.invert else (inputs - mean) / deviation

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)

    def get_config(self) -> dict[str, Any]:
        plain = [
            None if value is None else np.asarray(value).tolist() for value in (self.input_mean, self.input_variance)
        ]
        axis = self.axis if self.axis else None
        return {**super().get_config(), "axis": axis, "mean": plain[0], "variance": plain[1]}


@public("keras.layers.CategoryEncoding", "keras.layers.experimental.preprocessing.CategoryEncoding")
class CategoryEncoding(ConfiguredLayer):
    """Whole numbers in [0, num_tokens) as vectors of that length.

    output_mode: "one_hot" (a vector a number), "multi_hot" (1 for every number that occurs in the last axis) or "count".
    Raises ValueError for another.
    """

    _config_names = ("num_tokens", "output_mode", "sparse")

    def __init__(
        self, num_tokens: int | None = None, output_mode: str = "multi_hot", sparse: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if num_tokens is None or num_tokens <= 0:
            raise ValueError(f"`num_tokens` must be set to a positive number. Received: num_tokens={num_tokens}.")
        if sparse:
            raise NotImplementedError("CategoryEncoding gives dense tensors: leave out sparse=True")
        self.num_tokens = num_tokens
        self.output_mode = choice({"binary": "multi_hot"}.get(output_mode, output_mode), "output_mode",
                                  ("one_hot", "multi_hot", "count"))  # fmt: skip
        self.sparse = sparse

    def _cast_inputs(self, inputs: Any) -> Any:
        return inputs

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(
                f"`count_weights` is not used when `output_mode` is not `'count'`. Received `count_weights={count_weights}`."
            )
        numbers = cast(convert_to_tensor(inputs), "int64")
        if numbers.shape.rank == 0:
            numbers = expand_dims(numbers, 0)
            return self._encoded(numbers, count_weights) if self.output_mode != "one_hot" else self._vectors(numbers)[0]
        if self.output_mode == "one_hot":
            has_last_one = numbers.shape[-1] == 1 and numbers.shape.rank > 1
            return self._vectors(
                reshape(numbers, apply_op(REGISTRY["Shape"], (numbers,))[:-1]) if has_last_one else numbers
            )
        return self._encoded(numbers, count_weights)

    def _vectors(self, numbers: Any) -> Any:
        return one_hot(numbers, self.num_tokens, dtype=dtypes.as_dtype(self.compute_dtype))

    def _encoded(self, numbers: Any, weights: Any) -> Any:
        vectors = self._vectors(numbers)
        if self.output_mode == "multi_hot":
            return reduce_max(vectors, axis=-2)
        if weights is not None:
            vectors = vectors * expand_dims(cast(convert_to_tensor(weights), vectors.dtype), -1)
        return reduce_sum(vectors, axis=-2)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        sizes = TensorShape(input_shape).as_list()
        if not sizes:
            return TensorShape([self.num_tokens])
        if self.output_mode == "one_hot" and not (len(sizes) > 1 and sizes[-1] == 1):
            return TensorShape([*sizes, self.num_tokens])
        return TensorShape([*sizes[:-1], self.num_tokens])


@public("keras.layers.Discretization", "keras.layers.experimental.preprocessing.Discretization")
class Discretization(ConfiguredLayer):
    """In which of the intervals between `bin_boundaries` (increasing) each number lies.

    output_mode: "int" for the number of the interval, or as in CategoryEncoding. num_bins: adapt(data) finds boundaries
    between so many equally frequent intervals. Raises ValueError unless exactly one of the two is given.
    """

    _config_names = ("bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse")

    def __init__(
        self, bin_boundaries: Sequence[float] | None = None, num_bins: int | None = None, epsilon: float = 0.01,
        output_mode: str = "int", sparse: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        kwargs.setdefault("dtype", "int64" if output_mode == "int" else None)
        super().__init__(**kwargs)
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError("Exactly one of `num_bins` and `bin_boundaries` should be set.")
        self.bin_boundaries = None if bin_boundaries is None else [float(value) for value in bin_boundaries]
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.output_mode = choice(output_mode, "output_mode", ("int", "one_hot", "multi_hot", "count"))
        self.sparse = sparse

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Finds the boundaries. ValueError where they were given."""
        if self.num_bins is None:
            raise ValueError("Cannot adapt a Discretization layer that has been initialized with `bin_boundaries`.")
        is_batches = not hasattr(data, "shape") and isinstance(data, Iterable) and not isinstance(data, (list, tuple))
        parts = [np.asarray(batch).ravel() for batch in data] if is_batches else [np.asarray(data).ravel()]
        shares = np.arange(1, self.num_bins) / self.num_bins
        self.bin_boundaries = [float(value) for value in np.quantile(np.concatenate(parts), shares)]

    def call(self, inputs: Any) -> Any:
        if self.bin_boundaries is None:
            raise ValueError("Discretization needs `bin_boundaries`: give them, or call adapt(data)")
        inputs = cast(convert_to_tensor(inputs), "float32")
        shape = apply_op(REGISTRY["Shape"], (inputs,))
        found = searchsorted(convert_to_tensor(self.bin_boundaries, "float32"), reshape(inputs, [-1]), side="right")
        numbers = cast(reshape(found, shape), "int64")
        numbers.set_shape(inputs.shape)
        if self.output_mode == "int":
            return cast(numbers, self.compute_dtype)
        return CategoryEncoding(len(self.bin_boundaries) + 1, self.output_mode)(numbers)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        if self.output_mode == "int":
            return TensorShape(input_shape)
        size = len(self.bin_boundaries) + 1 if self.bin_boundaries is not None else self.num_bins
        return CategoryEncoding(size, self.output_mode).compute_output_shape(input_shape)


class OnImages(ConfiguredLayer):
    """Works on [height, width, channels] and on batches of them."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("rng_type", None)  # in the configurations of tf_keras
        super().__init__(**kwargs)

    def call(self, inputs: Any, training: Any = None) -> Any:
        inputs = convert_to_tensor(inputs)
        inputs = cast(inputs, self.compute_dtype)
        if inputs.shape.rank == 3:
            return self._change(expand_dims(inputs, 0), training)[0]
        return self._change(inputs, training)

    def _change(self, images: Any, training: Any) -> Any:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)


@public("keras.layers.Resizing", "keras.layers.experimental.preprocessing.Resizing")
class Resizing(OnImages):
    """Images of [height, width]. interpolation: "bilinear" or "nearest"; ValueError for another."""

    _config_names = ("height", "width", "interpolation", "crop_to_aspect_ratio")

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.interpolation = choice(interpolation, "interpolation", ("bilinear", "nearest"))
        if crop_to_aspect_ratio:
            raise NotImplementedError("Resizing with crop_to_aspect_ratio: crop the images before")
        self.crop_to_aspect_ratio = crop_to_aspect_ratio

    def _change(self, images: Any, training: Any) -> Any:
        resize = image.resize_bilinear if self.interpolation == "bilinear" else image.resize_nearest_neighbor
        return resize(images, [self.height, self.width], half_pixel_centers=True)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        sizes = TensorShape(input_shape).as_list()
        return TensorShape([*sizes[:-3], self.height, self.width, sizes[-1]])


@public("keras.layers.RandomFlip", "keras.layers.experimental.preprocessing.RandomFlip")
class RandomFlip(OnImages):
    """Each image flipped or not. mode: "horizontal", "vertical" or "horizontal_and_vertical"; ValueError for another."""

    _config_names = ("mode", "seed")

    def __init__(self, mode: str = "horizontal_and_vertical", seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = choice(mode, "mode", ("horizontal", "vertical", "horizontal_and_vertical"))
        self.seed = seed

    def call(self, inputs: Any, training: Any = True) -> Any:
        return super().call(inputs, training)

    def _change(self, images: Any, training: Any) -> Any:
        return choose(training, lambda: self._flipped(images), lambda: images)

    def _flipped(self, images: Any) -> Any:
        for name, axis in (("horizontal", 2), ("vertical", 1)):
            if name in self.mode:
                count = apply_op(REGISTRY["Shape"], (images,))[:1]
                chosen = less(random_uniform(count, seed=self.seed), 0.5)
                images = where(reshape(chosen, [-1, 1, 1, 1]), reverse(images, [axis]), images)
        return images
