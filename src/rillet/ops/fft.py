"""Discrete Fourier transforms over the last one, two or three axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, OpDef, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.cast import cast
from rillet.ops.reduce import reduce_prod
from rillet.ops.scope import scope
from rillet.ops.shape import rank, shape

_SUFFIXES = {1: "", 2: "2D", 3: "3D"}
_WORDS = {1: "the last axis", 2: "the last two axes", 3: "the last three axes"}

# ---- kernels --------------------------------------------------------------------------------------------------------


def _complex_kernel(transform: Callable[..., Any], count: int) -> Any:
    axes = tuple(range(-count, 0))

    def kernel(value: Any) -> Any:
        _check_rank(value, count)
        return transform(value, axes=axes)

    return kernel


def _check_rank(value: Any, count: int) -> None:
    if value.ndim < count:
        raise ValueError(f"Input must have rank of at least {count} but got: {format_shape(value.shape)}")


def _cropped(value: Any, lengths: list[int]) -> Any:
    """The first elements of the last axes. ValueError where there are not enough of them."""
    for axis, length in enumerate(lengths, -len(lengths)):
        if 0 < value.shape[axis] < length:
            place = axis + len(lengths)
            raise ValueError(
                f"Input dimension {place} must have length of at least {length} but got: {value.shape[axis]}"
            )
    return value[(..., *(slice(length) for length in lengths))]


def _checked_lengths(value: Any, fft_length: Any, count: int) -> list[int]:
    _check_rank(value, count)
    if np.shape(fft_length) != (count,):
        raise ValueError(f"fft_length must have shape [{count}]")
    lengths = [int(length) for length in fft_length]
    if min(lengths) < 0:
        raise ValueError(f"fft_length must not be negative, but is {lengths}")
    return lengths


def _real_kernel(count: int) -> Any:
    axes = tuple(range(-count, 0))

    def kernel(value: Any, fft_length: Any) -> Any:
        lengths = _checked_lengths(value, fft_length, count)
        cropped = _cropped(value, lengths)
        if 0 in cropped.shape:
            return np.zeros((*cropped.shape[:-1], lengths[-1] // 2 + 1 if lengths[-1] else 0), np.complex128)
        return np.fft.rfftn(cropped, axes=axes)

    return kernel


def _real_inverse_kernel(count: int) -> Any:
    axes = tuple(range(-count, 0))

    def kernel(value: Any, fft_length: Any) -> Any:
        lengths = _checked_lengths(value, fft_length, count)
        half = lengths[-1] // 2 + 1 if lengths[-1] else 0
        cropped = _cropped(value, [*lengths[:-1], half])
        if 0 in cropped.shape:
            return np.zeros((*cropped.shape[:-1], lengths[-1]), np.float64)
        return np.fft.irfftn(cropped, lengths, axes=axes)

    return kernel


# ---- static inference -----------------------------------------------------------------------------------------------


def _at_least(op: Operation, count: int) -> TensorShape:
    source = op.inputs[0].shape
    if source.dimensions is not None and len(source.dimensions) < count:
        shown = format_shape(source.dimensions)
        raise ShapeError(
            f"Shape must be at least rank {count} but is rank {len(source.dimensions)} for '{op.type}' with input shapes: "
            f"{shown}.",
            f"Input must have rank of at least {count} but got: {shown}",
            {0: range(len(source.dimensions))},
        )
    return source


def _real_shape(count: int, is_inverse: bool) -> Callable[[Operation], TensorShape]:
    def rule(op: Operation) -> TensorShape:
        source = _at_least(op, count)
        if source.dimensions is None:
            return UNKNOWN
        lengths = constant_value_as_shape(op.inputs[1])
        found = list(lengths.dimensions) if lengths.dimensions is not None else [None] * count
        if len(found) != count:
            raise ShapeError(f"fft_length must have shape [{count}], not [{len(found)}]")
        if not is_inverse and found[-1]:
            found[-1] = found[-1] // 2 + 1
        return TensorShape([*source.dimensions[:-count], *found])

    return rule


# ---- gradients ------------------------------------------------------------------------------------------------------


def _count_of(x: Any, count: int) -> Any:
    """The number of elements of one transform, in the dtype of `x`."""
    known = x.shape.dimensions[-count:] if x.shape.dimensions is not None else (None,)
    if None not in known:
        return x.dtype.as_numpy_dtype(np.prod(known, dtype=np.int64))
    return cast(reduce_prod(shape(x)[-count:]), x.dtype)


def _forward_gradient(count: int) -> Any:
    return lambda op, dy: apply_op(REGISTRY[f"IFFT{_SUFFIXES[count]}"], (dy,)) * _count_of(dy, count)


def _inverse_gradient(count: int) -> Any:
    return lambda op, dy: apply_op(REGISTRY[f"FFT{_SUFFIXES[count]}"], (dy,)) * (1 / _count_of(dy, count))


def _padded(x: Any, target: Any, count: int) -> Any:
    """`x` with zeros behind the last `count` axes, to the sizes of the integer vector `target`."""
    known, dimensions = constant_value(target), x.shape.dimensions
    if known is not None and dimensions is not None and None not in dimensions[-count:]:
        sides = np.zeros((len(dimensions), 2), np.int32)
        sides[-count:, 1] = known - np.array(dimensions[-count:])
        return apply_op(REGISTRY["Pad"], (x, sides)) if sides.any() else x
    inner = apply_op(REGISTRY["Pack"], ([np.zeros(count, np.int32), target - shape(x)[-count:]],), {"axis": 1})
    sizes = apply_op(REGISTRY["Pack"], ([rank(x) - count, 2],), {"axis": 0})
    outer = apply_op(REGISTRY["Fill"], (sizes, np.int32(0)))
    return apply_op(REGISTRY["Pad"], (x, apply_op(REGISTRY["ConcatV2"], ([outer, inner], 0))))


def _real_gradient(count: int) -> Any:
    """Of a real input all frequencies would come; those that were left out have no gradient."""

    def rule(op: Operation, dy: Any) -> list[Any]:
        x, lengths = op.inputs
        full = apply_op(REGISTRY[f"IFFT{_SUFFIXES[count]}"], (_padded(dy, lengths, count),))
        total = apply_op(REGISTRY["Real"], (full * _count_of(full, count),), {"Tout": x.dtype.base_dtype})
        return [_padded(total, shape(x)[-count:], count), None]

    return rule


def _real_inverse_gradient(count: int) -> Any:
    """Each frequency stands for itself and its negative, but for the first, and the last of an even number."""

    def rule(op: Operation, dy: Any) -> list[Any]:
        x, lengths = op.inputs
        spectrum = apply_op(REGISTRY[f"RFFT{_SUFFIXES[count]}"], (dy, lengths), {"Tcomplex": x.dtype.base_dtype})
        weights = cast(_frequency_weights(lengths[-1]), x.dtype)
        scaled = spectrum * (weights / cast(reduce_prod(lengths), x.dtype))
        return [_padded(scaled, shape(x)[-count:], count), None]

    return rule


def _frequency_weights(length: Any) -> Any:
    """[1, 2 ... 2], and 1 at the end for an even length."""
    known = constant_value(length)
    if known is not None:
        half = int(known) // 2 + 1
        weights = np.full(half, 2.0, np.float32)
        weights[0] = 1
        if known % 2 == 0:
            weights[-1] = 1
        return convert_to_tensor(weights)
    is_odd = apply_op(REGISTRY["FloorMod"], (length, 2))
    inner = apply_op(REGISTRY["FloorDiv"], (length, 2)) - 1 + is_odd
    one, two = np.float32(1), np.float32(2)
    parts = [[one], _filled(inner, two), _filled(1 - is_odd, one)]
    return apply_op(REGISTRY["ConcatV2"], (parts, 0))


def _filled(length: Any, value: Any) -> Any:
    return apply_op(REGISTRY["Fill"], (apply_op(REGISTRY["Pack"], ([length],), {"axis": 0}), value))


# ---- ops and public functions ---------------------------------------------------------------------------------------


def _complex_transform(count: int, is_inverse: bool) -> None:
    kind = "IFFT" if is_inverse else "FFT"
    definition = define(
        f"{kind}{_SUFFIXES[count]}", "input: Tcomplex -> output: Tcomplex", "Tcomplex: complex = complex64",
        reference=_complex_kernel(np.fft.ifftn if is_inverse else np.fft.fftn, count),
        shape=lambda op: _at_least(op, count),
        gradient=(_inverse_gradient if is_inverse else _forward_gradient)(count),
    )  # fmt: skip

    def function(input: Any, name: str | None = None) -> Any:
        return apply_op(definition, (input,), name=name)

    plain = definition.name.lower()
    words = "inverse discrete" if is_inverse else "discrete"
    function.__name__ = function.__qualname__ = plain
    function.__doc__ = f"The {words} Fourier transform of complex numbers over {_WORDS[count]}."
    export(function, f"signal.{plain}", v1=[plain, f"spectral.{plain}"])


def _real_transform(count: int) -> None:
    types = "Treal: {float32, float64} = float32, Tcomplex: complex = complex64"
    forward = define(
        f"RFFT{_SUFFIXES[count]}", "input: Treal, fft_length: int32 -> output: Tcomplex", types,
        reference=_real_kernel(count), shape=_real_shape(count, False), gradient=_real_gradient(count),
    )  # fmt: skip
    backward = define(
        f"IRFFT{_SUFFIXES[count]}", "input: Tcomplex, fft_length: int32 -> output: Treal", types,
        reference=_real_inverse_kernel(count), shape=_real_shape(count, True), gradient=_real_inverse_gradient(count),
    )  # fmt: skip

    def rfft(input_tensor: Any, fft_length: Any = None, name: str | None = None) -> Any:
        return _of_real(forward, count, input_tensor, fft_length, name)

    def irfft(input_tensor: Any, fft_length: Any = None, name: str | None = None) -> Any:
        return _to_real(backward, count, input_tensor, fft_length, name)

    for function, definition, words in (
        (
            rfft,
            forward,
            "The discrete Fourier transform of real numbers over {}: the frequencies that are not negative.",
        ),
        (irfft, backward, "The real numbers whose frequencies over {} these are: the inverse of rfft."),
    ):
        plain = definition.name.lower()
        function.__name__ = function.__qualname__ = plain
        function.__doc__ = words.format(_WORDS[count]) + (
            "\n\n    fft_length: how many numbers each transform has, an int32 vector; the tensor is cropped or padded with\n"
            "    zeros to it. None takes what is there.\n    "
        )
        export(function, f"signal.{plain}", v1=[f"spectral.{plain}"])


def _of_real(definition: OpDef, count: int, value: Any, fft_length: Any, name: str | None) -> Any:
    with scope(name or definition.name.lower(), value, fft_length) as inner:
        value = convert_to_tensor(value, dtype_hint=dtypes.float32)
        if value.dtype.base_dtype not in (dtypes.float32, dtypes.float64):
            raise ValueError(f"RFFT requires tf.float32 or tf.float64 inputs, got: {value}")
        lengths = _default_lengths(value, count) if fft_length is None else convert_to_tensor(fft_length, dtypes.int32)
        value = _lengthened(value, lengths, count)
        wanted = dtypes.complex128 if value.dtype.base_dtype is dtypes.float64 else dtypes.complex64
        return apply_op(definition, (value, _plain(lengths)), {"Tcomplex": wanted}, inner)


def _to_real(definition: OpDef, count: int, value: Any, fft_length: Any, name: str | None) -> Any:
    with scope(name or definition.name.lower(), value, fft_length) as inner:
        value = convert_to_tensor(value, dtype_hint=dtypes.complex64)
        lengths = (
            _default_lengths(value, count, of_half=True)
            if fft_length is None
            else convert_to_tensor(fft_length, dtypes.int32)
        )
        value = _lengthened(value, lengths, count, of_half=True)
        wanted = dtypes.float64 if value.dtype.base_dtype is dtypes.complex128 else dtypes.float32
        return apply_op(definition, (value, _plain(lengths)), {"Treal": wanted}, inner)


def _plain(lengths: Any) -> Any:
    """Lengths that are known, as an array: a constant of its own, as in TensorFlow's graphs."""
    known = constant_value(lengths)
    return lengths if known is None or isinstance(lengths, EagerTensor) else known


def _default_lengths(value: Any, count: int, of_half: bool = False) -> Any:
    dimensions = value.shape.dimensions
    if dimensions is not None and None not in dimensions[-count:]:
        lengths = list(dimensions[-count:])
        if of_half:
            lengths[-1] = max(0, 2 * (lengths[-1] - 1))
        return convert_to_tensor(np.array(lengths, np.int32))
    lengths = shape(value)[-count:]
    if not of_half:
        return lengths
    last = apply_op(REGISTRY["Maximum"], (0, 2 * (lengths[-1:] - 1)))
    return apply_op(REGISTRY["ConcatV2"], ([lengths[:-1], last], 0))


def _lengthened(value: Any, lengths: Any, count: int, of_half: bool = False) -> Any:
    """`value` with zeros behind the axes that are shorter than the transform."""
    known, dimensions = constant_value(lengths), value.shape.dimensions
    if known is not None and dimensions is not None and None not in dimensions[-count:] and len(dimensions) >= count:
        needed: Any = np.array(known)
        if of_half:
            needed[-1] = needed[-1] // 2 + 1 if needed[-1] else 0
        return _padded(value, np.maximum(needed, dimensions[-count:]), count)
    needed = lengths
    if of_half:
        half = apply_op(REGISTRY["FloorDiv"], (lengths[-1:], 2)) + 1
        needed = apply_op(REGISTRY["ConcatV2"], ([lengths[:-1], half], 0))
    return _padded(value, apply_op(REGISTRY["Maximum"], (needed, shape(value)[-count:])), count)


for _count in (1, 2, 3):
    _complex_transform(_count, is_inverse=False)
    _complex_transform(_count, is_inverse=True)
    _real_transform(_count)

# ---- the order of frequencies ---------------------------------------------------------------------------------------


def _half_shifts(x: Any, axes: Any) -> tuple[Any, Any]:
    """Half of the size of each of `axes` (None: all of them), and these axes."""
    if axes is None:
        if x.shape.rank is None:
            axes = apply_op(REGISTRY["Range"], (0, apply_op(REGISTRY["Rank"], (x,)), 1), name="range")
        else:
            axes = tuple(range(x.shape.rank))
        sizes = shape(x)
    elif isinstance(axes, int):
        sizes = shape(x)[axes]
    else:
        sizes = apply_op(REGISTRY["GatherV2"], (shape(x), axes, 0))
    return sizes, axes


@public("signal.fftshift")
def fftshift(x: Any, axes: Any = None, name: str | None = None) -> Any:
    """Moves the zero frequency to the middle of each of `axes` (an int, or a list; None: all of them)."""
    with scope(name or "fftshift", x) as inner:
        x = convert_to_tensor(x)
        sizes, axes = _half_shifts(x, axes)
        return apply_op(
            REGISTRY["Roll"], (x, apply_op(REGISTRY["FloorDiv"], (sizes, 2), name="floordiv"), axes), name=inner
        )


@public("signal.ifftshift")
def ifftshift(x: Any, axes: Any = None, name: str | None = None) -> Any:
    """The inverse of fftshift."""
    with scope(name or "ifftshift", x) as inner:
        x = convert_to_tensor(x)
        sizes, axes = _half_shifts(x, axes)
        half = apply_op(REGISTRY["FloorDiv"], (sizes, 2), name="floordiv")
        return apply_op(REGISTRY["Roll"], (x, -half, axes), name=inner)
