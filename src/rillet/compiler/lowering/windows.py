"""Windows that slide over images: where they lie, which elements each has, and which windows have an element.

Rules work channels-last, on [batch, *spatial, channels]; images of the other layout are seen through a transposed view.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.index import Linear
from rillet.compiler.rules import Call, NotLowered
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.ops.sliding_windows import SlidingWindows, slide
from rillet.ops.window_geometry import is_channels_first, shape_to_channels_last, spatial_entries
from rillet.ops.windows import windows_on

Condition = Scalar | None
Place = tuple[Linear, ...]


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


def taps(windows: SlidingWindows) -> Iterator[tuple[int, ...]]:
    """The places in a window, in row-major order."""
    return itertools.product(*map(range, windows.window))


def element(windows: SlidingWindows, window: Sequence[Linear], tap: Sequence[int | Linear]) -> Place:
    """Where in the image (outside of it: in the padding) the tap of a window is."""
    entries = zip(window, tap, windows.strides, windows.dilations, windows.padding, strict=True)
    return tuple(place * stride + dilation * at - before for place, at, stride, dilation, (before, _) in entries)


def inside(program: Arrays, windows: SlidingWindows, place: Sequence[Linear]) -> list[Condition]:
    """When a place is not in the padding."""
    return [program.within(part, 0, size) for part, size in zip(place, windows.input_sizes, strict=True)]


def reads_of_windows(program: Arrays, image: Array, windows: SlidingWindows, filler: Scalar) -> Callable[..., Scalar]:
    """read(batch, window, tap, channel): an element of a window of a channels-last image; `filler` in the padding."""

    def read(batch: Linear, window: Sequence[Linear], tap: Sequence[int | Linear], channel: Linear) -> Scalar:
        place = element(windows, window, tap)
        return program.choose(inside(program, windows, place), lambda: image.at(batch, *place, channel), lambda: filler)

    return read


def coverings(program: Arrays, windows: SlidingWindows, place: Sequence[Linear]) -> list[Covering]:
    """The windows that may have the element at `place`, each at most once."""
    axes = [list(_along(program, windows, axis, part)) for axis, part in enumerate(place)]
    result: list[Covering] = []
    for choice in itertools.product(*axes):
        window, tap, conditions = zip(*choice, strict=True)
        result.append(Covering(window, tap, [condition for part in conditions for condition in part]))
    return result


def _along(
    program: Arrays, windows: SlidingWindows, axis: int, place: Linear
) -> Iterator[tuple[Linear, Linear, list[Condition]]]:
    size, stride, dilation = windows.window[axis], windows.strides[axis], windows.dilations[axis]
    outputs = windows.output_sizes[axis]
    padded = place + windows.padding[axis][0]
    if dilation == 1:  # from the last window that begins at or before the place, backwards
        for back in range(-(-size // stride)):
            window, tap = padded // stride - back, padded % stride + back * stride
            yield window, tap, [program.within(window, 0, outputs), program.within(tap, 0, size)]
        return
    for number in range(size):
        start = padded - number * dilation
        conditions = [program.within(start // stride, 0, outputs), program.within(start % stride, 0, 1)]
        yield start // stride, Linear(number), conditions


def sum_of_coverings(
    program: Arrays,
    windows: SlidingWindows,
    shape: Sequence[int],
    dtype: DType,
    term: Callable[[Linear, Place, Place, Place, Linear], Scalar],
    reads: Sequence[Array],
) -> Array:
    """A channels-last image of which each element adds up term(batch, place, window, tap, channel) over the windows that
    have it. What `term` reads is read only for these.
    """
    zero = program.number(0, dtype)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        *place, channel = index
        parts = [
            program.choose(
                each.conditions,
                lambda each=each: term(batch, tuple(place), each.window, each.tap, channel),  # type: ignore[misc]
                lambda: zero,
            )
            for each in coverings(program, windows, place)
        ]
        return combined(program, "add", parts)

    count = math.prod(-(-size // stride) for size, stride in zip(windows.window, windows.strides, strict=True))
    return program.map(shape, dtype, compute, reads, 4 * count, count)


def combined(program: Arrays, operation: str, values: Sequence[Scalar]) -> Scalar:
    """The values added up (or their maximum ...): pairs first, so that they don't wait for each other."""
    level = list(values)
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [program.make(operation, pair[0].dtype, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def tap_number(windows: SlidingWindows, tap: Sequence[Linear | int]) -> Linear:
    """The row-major number of a place in the window."""
    number = Linear(0)
    for size, part in zip(windows.window, tap, strict=True):
        number = number * size + part
    return number


def as_number(program: Arrays, form: Linear, dtype: DType = dtypes.int64) -> Scalar:
    """An index as a number."""
    return program.convert(program.scalars.index(form), dtype)
