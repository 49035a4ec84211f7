"""Layers that move elements: Reshape, Permute, RepeatVector, cropping, padding, upsampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.input_spec import InputSpec
from rillet.keras.layers.options import ConfiguredLayer, choice, data_format_of, sizes
from rillet.ops import image
from rillet.ops.arrange import tile, transpose
from rillet.ops.join import concat
from rillet.ops.pad import pad
from rillet.ops.repeat import repeat
from rillet.ops.shape import expand_dims, reshape


@public("keras.layers.Reshape")
class Reshape(ConfiguredLayer):
    """[batch, ...] -> [batch, *target_shape]; one size may be -1. ValueError where the sizes do not fit."""

    _config_names = ("target_shape",)

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = tuple(int(size) for size in target_shape)

    def _known(self, shape: Sequence[int | None]) -> list[int | None]:
        """The target, with the -1 worked out as far as it is known."""
        known = list(self.target_shape)
        total = None if None in shape else math.prod(shape)  # type: ignore[arg-type]
        rest = math.prod(size for size in known if size != -1)
        if known.count(-1) > 1:
            raise ValueError(
                f"There must be at most one unknown dimension in output_shape. Received: {self.target_shape}."
            )
        if total is not None and ((-1 in known and (not rest or total % rest)) or (-1 not in known and total != rest)):
            raise ValueError(
                "total size of new array must be unchanged, input_shape = "
                f"{list(shape)}, output_shape = {list(self.target_shape)}"
            )
        filled = None if total is None or not rest else total // rest
        return [filled if size == -1 else size for size in known]

    def call(self, inputs: Any) -> Any:
        shape = inputs.shape.as_list()
        known = self._known(shape[1:])
        if None not in known:
            return reshape(inputs, [-1 if shape[0] is None else shape[0], *known])
        batch = apply_op(REGISTRY["Shape"], (inputs,))[:1] if shape[0] is None else [shape[0]]
        outputs = reshape(inputs, concat([batch, list(self.target_shape)], 0))
        outputs.set_shape([shape[0], *known])
        return outputs

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        return TensorShape([shape[0], *self._known(shape[1:])])


@public("keras.layers.Permute")
class Permute(ConfiguredLayer):
    """Axes in another order; dims counts from 1, the batch stays. ValueError where it is no permutation."""

    _config_names = ("dims",)

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be consecutive and "
                f"start from 1. Received dims={dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        return transpose(inputs, [0, *self.dims])

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        return TensorShape([shape[0], *[shape[axis] for axis in self.dims]])


@public("keras.layers.RepeatVector")
class RepeatVector(ConfiguredLayer):
    """[batch, d] -> [batch, n, d]. TypeError where n is no integer."""

    _config_names = ("n",)

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(n, int):
            raise TypeError(f"Expected an integer value for `n`, got {type(n)}.")
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        return tile(expand_dims(inputs, 1), [1, self.n, 1])

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        batch, size = TensorShape(input_shape).as_list()
        return TensorShape([batch, self.n, size])


# ---- margins --------------------------------------------------------------------------------------------------------


def margins(value: Any, rank: int, name: str) -> tuple[tuple[int, int], ...]:
    """(before, after) for each axis, from one number, one a axis, or pairs. ValueError for anything else."""
    if isinstance(value, int):
        value = (value,) * rank
    if rank == 1 and len(value) == 2:
        value = (tuple(value),)
    if len(value) != rank:
        raise ValueError(f"`{name}` should have {rank} elements. Received: {value}.")
    return tuple(sizes(part, 2, f"an entry of {name}", allow_zero=True) for part in value)  # type: ignore[misc]


class _Margins(ConfiguredLayer):
    _rank = 2
    _formatted = True

    def _take_margins(self, value: Any, name: str, data_format: str | None) -> None:
        self._margins = margins(value, self._rank, name)
        shown = self._margins[0] if self._rank == 1 else self._margins
        setattr(self, name, shown)
        self.data_format = data_format_of(data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)

    @property
    def _first(self) -> int:
        """The first axis of space."""
        return 1 if self.data_format == "channels_last" else 2

    def _with_margins(self, shape: Any, sign: int) -> TensorShape:
        wanted = TensorShape(shape).as_list()
        for axis, (before, after) in enumerate(self._margins, self._first):
            if wanted[axis] is not None:
                wanted[axis] += sign * (before + after)
        return TensorShape(wanted)


class _ZeroPadding(_Margins):
    """padding: one number for all margins, one an axis, or a pair (before, after) an axis."""

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._take_margins(padding, "padding", data_format)

    def call(self, inputs: Any) -> Any:
        whole: list[Any] = [(0, 0)] * (self._rank + 2)
        whole[self._first : self._first + self._rank] = self._margins
        return pad(inputs, [list(pair) for pair in whole])

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return self._with_margins(input_shape, 1)


@public("keras.layers.ZeroPadding1D")
class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after a sequence."""

    _rank = 1
    _config_names = ("padding",)

    def __init__(self, padding: Any = 1, data_format: str | None = "channels_last", **kwargs: Any) -> None:
        super().__init__(padding, data_format, **kwargs)


@public("keras.layers.ZeroPadding2D")
class ZeroPadding2D(_ZeroPadding):
    """Zeros around images."""

    _rank = 2
    _config_names = ("padding", "data_format")


@public("keras.layers.ZeroPadding3D")
class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes."""

    _rank = 3
    _config_names = ("padding", "data_format")


class _Cropping(_Margins):
    """cropping: one number for all sides, one an axis, or a pair (before, after) an axis. ValueError where nothing stays."""

    def __init__(self, cropping: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._take_margins(cropping, "cropping", data_format)

    def call(self, inputs: Any) -> Any:
        found = self.compute_output_shape(inputs.shape).as_list()
        if any(size is not None and size <= 0 for size in found[1:]):
            raise ValueError(
                f"Values in `cropping` argument should be smaller than the corresponding spatial dimension of the input. "
                f"Received: input_shape={inputs.shape}, cropping={self._margins}"
            )
        kept = [slice(before, -after if after else None) for before, after in self._margins]
        return inputs[(*[slice(None)] * self._first, *kept)]

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return self._with_margins(input_shape, -1)


@public("keras.layers.Cropping1D")
class Cropping1D(_Cropping):
    """Drops the ends of a sequence."""

    _rank = 1
    _config_names = ("cropping",)

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, "channels_last", **kwargs)


@public("keras.layers.Cropping2D")
class Cropping2D(_Cropping):
    """Drops the sides of images."""

    _rank = 2
    _config_names = ("cropping", "data_format")

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


@public("keras.layers.Cropping3D")
class Cropping3D(_Cropping):
    """Drops the sides of volumes."""

    _rank = 3
    _config_names = ("cropping", "data_format")

    def __init__(self, cropping: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


# ---- upsampling -----------------------------------------------------------------------------------------------------


class _UpSampling(ConfiguredLayer):
    _rank = 2

    def _take_size(self, size: Any, data_format: str | None) -> None:
        self.size = sizes(size, self._rank, "size")
        self.data_format = data_format_of(data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)

    @property
    def _first(self) -> int:
        return 1 if self.data_format == "channels_last" else 2

    def call(self, inputs: Any) -> Any:
        for axis, times in enumerate(self.size, self._first):
            inputs = repeat(inputs, times, axis=axis) if times > 1 else inputs
        return inputs

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        for axis, times in enumerate(self.size, self._first):
            shape[axis] = None if shape[axis] is None else shape[axis] * times
        return TensorShape(shape)


@public("keras.layers.UpSampling1D")
class UpSampling1D(_UpSampling):
    """Every step `size` times."""

    _rank = 1
    _config_names = ("size",)

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._take_size(size, "channels_last")
        (self.size,) = self.size

    def call(self, inputs: Any) -> Any:
        return repeat(inputs, self.size, axis=1)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        batch, steps, channels = TensorShape(input_shape).as_list()
        return TensorShape([batch, None if steps is None else steps * self.size, channels])


@public("keras.layers.UpSampling2D")
class UpSampling2D(_UpSampling):
    """Images larger by whole factors. interpolation: "nearest" or "bilinear"; ValueError for another."""

    _rank = 2
    _config_names = ("size", "data_format", "interpolation")

    def __init__(
        self, size: Any = (2, 2), data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._take_size(size, data_format)
        self.interpolation = choice(interpolation, "interpolation", ("nearest", "bilinear"))

    def call(self, inputs: Any) -> Any:
        if self.interpolation == "nearest":
            return super().call(inputs)
        last = self.data_format == "channels_last"
        images = inputs if last else transpose(inputs, [0, 2, 3, 1])
        sizes_now = apply_op(REGISTRY["Shape"], (images,))[1:3] * list(self.size)
        outputs = image.resize_bilinear(images, sizes_now, half_pixel_centers=True)
        outputs = outputs if last else transpose(outputs, [0, 3, 1, 2])
        outputs.set_shape(self.compute_output_shape(inputs.shape))
        return outputs


@public("keras.layers.UpSampling3D")
class UpSampling3D(_UpSampling):
    """Volumes larger by whole factors."""

    _rank = 3
    _config_names = ("size", "data_format")

    def __init__(self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._take_size(size, data_format)
