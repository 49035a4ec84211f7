"""Layers that make one tensor of several, and the functions of the same names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from rillet.core.export import export, public
from rillet.core.shapes import TensorShape, broadcast_static_shape
from rillet.keras.layers.options import ConfiguredLayer
from rillet.ops import elementwise
from rillet.ops.arrange import transpose
from rillet.ops.cast import cast
from rillet.ops.compare import logical_and
from rillet.ops.creation import ones_like
from rillet.ops.join import concat
from rillet.ops.matmul import matmul
from rillet.ops.reduce import reduce_all, reduce_sum
from rillet.ops.shape import expand_dims, squeeze
from rillet.ops.statistics import l2_normalize


def _shapes(input_shape: Any, name: str, least: int) -> list[TensorShape]:
    """ValueError where the input is no list of at least so many shapes."""
    is_list = isinstance(input_shape, (list, tuple)) and all(
        isinstance(part, (list, tuple, TensorShape)) for part in input_shape
    )
    if not is_list or len(input_shape) < least:
        raise ValueError(
            f"A merge layer should be called on a list of at least {least} input(s): layer {name} received {input_shape}"
        )
    return [TensorShape(part) for part in input_shape]


class _Merge(ConfiguredLayer):
    """Elementwise merging of tensors whose shapes broadcast against each other."""

    _least = 1

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self._merged_shape(_shapes(input_shape, self.name, self._least))
        self.built = True

    def _merged_shape(self, shapes: Sequence[TensorShape]) -> TensorShape:
        """ValueError where the shapes do not broadcast, the batch aside."""
        merged = None
        for shape in shapes:
            if shape.rank is None:
                return TensorShape(None)
            rest = TensorShape(shape.as_list()[1:])
            try:
                merged = rest if merged is None else broadcast_static_shape(merged, rest)
            except ValueError:
                raise ValueError(
                    f"Inputs have incompatible shapes. Received shapes {[tuple(one.as_list()) for one in shapes]}"
                ) from None
        batches = {shape.as_list()[0] for shape in shapes} - {None}
        if len(batches) > 1:
            raise ValueError(f"Cannot merge tensors with different batch sizes. Got tensors with shapes {list(shapes)}")
        return TensorShape([batches.pop() if batches else None, *(merged.as_list() if merged is not None else [])])

    def call(self, inputs: Any) -> Any:
        values = list(inputs)
        ranks = {value.shape.rank for value in values}
        if len(ranks) > 1 and None not in ranks:
            most = max(ranks)  # the missing axes come after the batch
            for index, value in enumerate(values):
                for _ in range(most - value.shape.rank):
                    value = expand_dims(value, 1)
                values[index] = value
        return self._merge(values)

    def _merge(self, values: list[Any]) -> Any:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return self._merged_shape(_shapes(input_shape, self.name, self._least))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return None
        known = [one for one in mask if one is not None]
        return functools.reduce(logical_and, known) if known else None


@public("keras.layers.Add")
class Add(_Merge):
    """The sum."""

    def _merge(self, values: list[Any]) -> Any:
        return functools.reduce(elementwise.add, values)


@public("keras.layers.Subtract")
class Subtract(_Merge):
    """The first minus the second. ValueError for another number of inputs."""

    _least = 2

    def _merge(self, values: list[Any]) -> Any:
        if len(values) != 2:
            raise ValueError(f"A `Subtract` layer should be called on exactly 2 inputs. Received: inputs={values}")
        return values[0] - values[1]


@public("keras.layers.Multiply")
class Multiply(_Merge):
    """The product."""

    def _merge(self, values: list[Any]) -> Any:
        return functools.reduce(elementwise.multiply, values)


@public("keras.layers.Average")
class Average(_Merge):
    """The mean."""

    def _merge(self, values: list[Any]) -> Any:
        return functools.reduce(elementwise.add, values) / len(values)


@public("keras.layers.Maximum")
class Maximum(_Merge):
    """The larger of each element."""

    def _merge(self, values: list[Any]) -> Any:
        return functools.reduce(elementwise.maximum, values)


@public("keras.layers.Minimum")
class Minimum(_Merge):
    """The smaller of each element."""

    def _merge(self, values: list[Any]) -> Any:
        return functools.reduce(elementwise.minimum, values)


@public("keras.layers.Concatenate")
class Concatenate(_Merge):
    """One after the other along `axis`. ValueError where other axes differ in size."""

    _config_names = ("axis",)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def _merged_shape(self, shapes: Sequence[TensorShape]) -> TensorShape:
        if any(shape.rank is None for shape in shapes):
            return TensorShape(None)
        lists = [shape.as_list() for shape in shapes]
        if len({len(one) for one in lists}) > 1:
            raise ValueError(f"`Concatenate` needs inputs of one rank. Received: input_shape={shapes}")
        axis = self.axis % len(lists[0])
        merged = TensorShape([None if place == axis else size for place, size in enumerate(lists[0])])
        for one in lists[1:]:
            other = TensorShape([None if place == axis else size for place, size in enumerate(one)])
            if not merged.is_compatible_with(other):
                raise ValueError(
                    "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis. Received: "
                    f"input_shape={[tuple(each) for each in lists]}"
                )
            merged = merged.merge_with(other)
        along = [one[axis] for one in lists]
        result = merged.as_list()
        result[axis] = None if None in along else sum(along)
        return TensorShape(result)

    def call(self, inputs: Any) -> Any:
        return concat(list(inputs), self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None or all(one is None for one in mask):
            return None
        parts = []
        for value, one in zip(inputs, mask, strict=True):
            if one is None:
                parts.append(cast(ones_like(value), "bool"))
            else:
                parts.append(expand_dims(one, -1) if one.shape.rank < value.shape.rank else one)
        return reduce_all(concat(parts, self.axis), axis=-1)


@public("keras.layers.Dot")
class Dot(_Merge):
    """Products of two tensors, summed over `axes` (one number, or one for each input), a batch of them.

    normalize: of unit vectors along those axes, hence the cosine. TypeError and ValueError for axes that make no sense.
    """

    _least = 2
    _config_names = ("axes", "normalize")

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axes, int):
            if not isinstance(axes, (list, tuple)):
                raise TypeError(
                    f"Invalid type for argument `axes`: it should be a list or an int. Received: axes={axes}"
                )
            if len(axes) != 2:
                raise ValueError(
                    f"Invalid format for argument `axes`: it should contain two elements. Received: axes={axes}"
                )
        self.axes = axes
        self.normalize = normalize

    def _places(self, shapes: Sequence[TensorShape]) -> list[int]:
        axes = [self.axes] * 2 if isinstance(self.axes, int) else list(self.axes)
        return [axis % shape.rank for axis, shape in zip(axes, shapes, strict=True)]

    def _merged_shape(self, shapes: Sequence[TensorShape]) -> TensorShape:
        first, second = (shape.as_list() for shape in shapes)
        one, other = self._places(shapes)
        if first[one] is not None and second[other] is not None and first[one] != second[other]:
            raise ValueError(
                f"Incompatible input shapes: axis values {first[one]} (at axis {one}) != {second[other]} (at axis {other}). "
                f"Full input shapes: {tuple(first)}, {tuple(second)}"
            )
        rest = [size for axis, size in enumerate(first) if axis != one]
        rest += [size for axis, size in enumerate(second) if axis not in (0, other)]
        return TensorShape(rest if len(rest) > 1 else [*rest, 1])

    def call(self, inputs: Any) -> Any:
        first, second = inputs
        one, other = self._places([first.shape, second.shape])
        if self.normalize:
            first, second = l2_normalize(first, axis=one), l2_normalize(second, axis=other)
        if first.shape.rank == 2 and second.shape.rank == 2:
            return reduce_sum(first * second, axis=1, keepdims=True)
        return _batch_dot(first, second, one, other)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


def _batch_dot(first: Any, second: Any, one: int, other: int) -> Any:
    """The axes `one` and `other` last and first but the batch; then a product of matrices, with vectors as such."""
    rank1, rank2 = first.shape.rank, second.shape.rank
    first = transpose(first, [*[axis for axis in range(rank1) if axis != one], one])
    second = transpose(second, [0, other, *[axis for axis in range(1, rank2) if axis != other]])
    if rank1 > 3 or rank2 > 3:
        raise ValueError(f"`Dot` works on tensors of rank 2 and 3. Received ranks {rank1} and {rank2}")
    product = matmul(expand_dims(first, 1) if rank1 == 2 else first, expand_dims(second, 2) if rank2 == 2 else second)
    gone = [axis for axis, rank in ((1, rank1), (2, rank2)) if rank == 2]
    return squeeze(product, gone) if gone else product


# ---- functions ------------------------------------------------------------------------------------------------------


def _as_function(layer: type, **defaults: Any) -> Callable[..., Any]:
    def merge(inputs: Any, **kwargs: Any) -> Any:
        return layer(**{**defaults, **kwargs})(inputs)

    merge.__name__ = merge.__qualname__ = layer.__name__.lower()
    merge.__doc__ = f"tf.keras.layers.{layer.__name__}(**kwargs)(inputs)."
    export(merge, f"keras.layers.{merge.__name__}")
    return merge


for _layer in (Add, Subtract, Multiply, Average, Maximum, Minimum):
    _as_function(_layer)


@public("keras.layers.concatenate")
def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """tf.keras.layers.Concatenate(axis)(inputs)."""
    return Concatenate(axis=axis, **kwargs)(inputs)


@public("keras.layers.dot")
def dot(inputs: Any, axes: Any, normalize: bool = False, **kwargs: Any) -> Any:
    """tf.keras.layers.Dot(axes, normalize)(inputs)."""
    return Dot(axes=axes, normalize=normalize, **kwargs)(inputs)
