"""Windows that slide over images: where they lie, which elements each has, and which windows have an element.

Rules work channels-last, on [batch, *spatial, channels]. Images of the other layout are seen through a transposed view, and
what is computed from them has their layout.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.index import Dynamic, Linear
from rillet.compiler.rules import Call, NotLowered
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.ops.sliding_windows import SlidingWindows, slide
from rillet.ops.window_geometry import is_channels_first, shape_to_channels_last, spatial_entries
from rillet.ops.windows import windows_on

Condition = Scalar | None
Place = tuple[Linear, ...]
Tap = Sequence[int | Linear]


class Covering(NamedTuple):
    """One of the windows that may have an element: its number, the tap that the element is, and when that is so."""

    window: Place
    tap: Place
    conditions: list[Condition]


# ---- layouts --------------------------------------------------------------------------------------------------------


def channels_first(call: Call) -> bool:
    return is_channels_first(_text(call.attrs.get("data_format", "NHWC")))


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def to_channels_last(program: Arrays, image: Array, first: bool) -> Array:
    """A view of [batch, channels, *spatial] as [batch, *spatial, channels]."""
    return program.transpose(image, [0, *range(2, image.rank), 1]) if first else image


def from_channels_last(program: Arrays, image: Array, first: bool) -> Array:
    return program.transpose(image, [0, image.rank - 1, *range(1, image.rank - 1)]) if first else image


# ---- windows --------------------------------------------------------------------------------------------------------


def windows_of(
    call: Call,
    shape: Sequence[int],
    window: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    dilations: str = "dilations",
    size: str = "ksize",
) -> SlidingWindows:
    """The windows of the operation over an image of `shape` (in the operation's layout).

    window: its spatial sizes, if they are not the attribute called `size`.
    """
    attrs, first = call.attrs, channels_first(call)
    rank = len(attrs.get("data_format", "NHWC"))
    call.require(len(shape) == rank and min(shape) > 0, "images of another rank, or without elements")
    try:
        sizes = spatial_entries(attrs[size], first, size) if window is None else tuple(window)
        at = windows_on(
            shape,
            sizes,
            attrs["strides"] if strides is None else strides,
            _text(attrs["padding"]),
            _text(attrs.get("data_format", "NHWC")),
            attrs.get(dilations),
            attrs.get("explicit_paddings", ()),
        )
        found = slide(shape_to_channels_last(shape, first), sizes, at.strides, at.dilations, at.padding)
    except ValueError as error:
        raise NotLowered(str(error)) from error
    call.require(min(found.output_sizes) > 0, "images smaller than the window")
    return found


class Sliding:
    """The windows of one operation, and the arrays that are computed from what is in them."""

    def __init__(self, call: Call, windows: SlidingWindows) -> None:
        self.program: Arrays = call.program
        self.windows = windows
        self.first = channels_first(call)

    @property
    def taps(self) -> Iterator[tuple[int, ...]]:
        """The places in a window, in row-major order."""
        return itertools.product(*map(range, self.windows.window))

    @property
    def size(self) -> int:
        """How many places a window has."""
        return math.prod(self.windows.window)

    @property
    def overlap(self) -> int:
        """How many windows have an element (about)."""
        pairs = zip(self.windows.window, self.windows.strides, strict=True)
        return math.prod(-(-size // stride) for size, stride in pairs)

    def image_shape(self, image: Array) -> tuple[int, ...]:
        """The shape of an image of the operation, channels-last."""
        return shape_to_channels_last(image.shape, self.first)

    def shape(self, image: Array) -> tuple[int, ...]:
        """That of an array with an element for each window and channel of an image; channels-last."""
        batch, *_, channels = self.image_shape(image)
        return (batch, *self.windows.output_sizes, channels)

    def read(self, image: Array, batch: Linear, place: Sequence[Linear], channel: Linear) -> Scalar:
        """An element of an image of the operation (or of what belongs to its windows)."""
        return image.at(batch, channel, *place) if self.first else image.at(batch, *place, channel)

    def map(
        self,
        shape: Sequence[int],
        dtype: DType,
        compute: Callable[..., Scalar],
        reads: Sequence[Array],
        cost: int = 1,
        repeats: int = 1,
    ) -> Array:
        """As Arrays.map, in the operation's layout; `shape` and the index that `compute` is given are channels-last."""
        if not self.first:
            return self.program.map(shape, dtype, compute, reads, cost, repeats)

        def moved(batch: Linear, channel: Linear, *spatial: Linear) -> Scalar:
            return compute(batch, *spatial, channel)

        return self.program.map((shape[0], shape[-1], *shape[1:-1]), dtype, moved, reads, cost, repeats)

    # ---- from windows to elements -------------------------------------------------------------------------------

    def element(self, window: Sequence[Linear], tap: Sequence[int | Linear]) -> Place:
        """Where in the image (outside of it: in the padding) the tap of a window is."""
        at = self.windows
        entries = zip(window, tap, at.strides, at.dilations, at.padding, strict=True)
        return tuple(
            place * stride + dilation * number - before for place, number, stride, dilation, (before, _) in entries
        )

    def first_tap(self, window: Sequence[Linear]) -> Place:
        """The first tap of a window that is not in the padding."""
        program, at = self.program, self.windows
        result: list[Linear] = []
        for place, size, stride, dilation, (before, _) in zip(
            window, at.window, at.strides, at.dilations, at.padding, strict=True
        ):
            missing = (place * -stride + (before + dilation - 1)) // dilation
            if missing.bounds()[1] <= 0:
                result.append(Linear(0))
                continue
            number = program.make("max", dtypes.int64, program.scalars.index(missing), program.number(0, dtypes.int64))
            result.append(Linear(0, {Dynamic(number, size): 1}))
        return tuple(result)

    def inside(self, place: Sequence[Linear]) -> list[Condition]:
        """When a place is not in the padding."""
        return [self.program.within(part, 0, size) for part, size in zip(place, self.windows.input_sizes, strict=True)]

    def reader(self, image: Array, filler: float | int = 0) -> Callable[..., Scalar]:
        """read(batch, window, tap, channel): an element of a window of an image; `filler` in the padding."""
        program = self.program
        other = program.number(filler, image.dtype)

        def read(batch: Linear, window: Sequence[Linear], tap: Sequence[int | Linear], channel: Linear) -> Scalar:
            place = self.element(window, tap)
            return program.choose(self.inside(place), lambda: self.read(image, batch, place, channel), lambda: other)

        return read

    def tap_number(self, tap: Sequence[Linear | int], dtype: DType) -> Scalar:
        """The row-major number of a place in the window."""
        number = Linear(0)
        for size, part in zip(self.windows.window, tap, strict=True):
            number = number * size + part
        return as_number(self.program, number, dtype)

    # ---- from elements to windows -------------------------------------------------------------------------------

    def coverings(self, place: Sequence[Linear]) -> list[Covering]:
        """The windows that may have the element at `place`, each at most once."""
        axes = [list(self._along(axis, part)) for axis, part in enumerate(place)]
        result: list[Covering] = []
        for choice in itertools.product(*axes):
            window, tap, conditions = zip(*choice, strict=True)
            result.append(Covering(window, tap, [condition for part in conditions for condition in part]))
        return result

    def _along(self, axis: int, place: Linear) -> Iterator[tuple[Linear, Linear, list[Condition]]]:
        at, within = self.windows, self.program.within
        size, stride, dilation, outputs = at.window[axis], at.strides[axis], at.dilations[axis], at.output_sizes[axis]
        padded = place + at.padding[axis][0]
        if dilation == 1:  # from the last window that begins at or before the place, backwards
            for back in range(-(-size // stride)):
                window, tap = padded // stride - back, padded % stride + back * stride
                yield window, tap, [within(window, 0, outputs), within(tap, 0, size)]
            return
        for number in range(size):
            start = padded - number * dilation
            yield start // stride, Linear(number), [within(start // stride, 0, outputs), within(start % stride, 0, 1)]

    def sum_of_coverings(
        self,
        shape: Sequence[int],
        dtype: DType,
        term: Callable[[Linear, Place, Covering, Linear], Scalar],
        reads: Sequence[Array],
    ) -> Array:
        """Images of which each element adds up term(batch, place, covering, channel) over the windows that have it; what
        `term` reads is read only for these. shape: channels-last."""
        program = self.program
        zero = program.number(0, dtype)

        def compute(batch: Linear, *index: Linear) -> Scalar:
            *place, channel = index

            def part(covering: Covering) -> Scalar:
                return program.choose(
                    covering.conditions, lambda: term(batch, tuple(place), covering, channel), lambda: zero
                )

            return combined(program, "add", [part(covering) for covering in self.coverings(place)])

        return self.map(shape, dtype, compute, reads, 4 * self.overlap, self.overlap)


def combined(program: Arrays, operation: str, values: Sequence[Scalar]) -> Scalar:
    """The values added up (or their maximum ...): pairs first, so that they don't wait for each other."""
    level = list(values)
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [program.make(operation, pair[0].dtype, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def as_number(program: Arrays, form: Linear, dtype: DType = dtypes.int64) -> Scalar:
    """An index as a number."""
    return program.convert(program.scalars.index(form), dtype)
