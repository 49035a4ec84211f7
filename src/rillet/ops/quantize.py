"""Fewer bits: quantised tensors, and floats rounded as if they had been quantised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.dtypes import DType
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.ops.arrays import as_array
from rillet.ops.families import same_shape

# ---- fake quantisation ----------------------------------------------------------------------------------------------


def _nudged(low: Any, high: Any, num_bits: int, narrow_range: bool) -> tuple[Any, Any, Any]:
    """The range moved so that zero is one of the representable values: (low, high, step)."""
    if not 2 <= num_bits <= 16:
        raise ValueError("num_bits must be between 2 and 16, inclusive")
    first, last = np.float32(1 if narrow_range else 0), np.float32(2**num_bits - 1)
    step = (high - low) / (last - first)
    with np.errstate(all="ignore"):
        zero_point = np.clip(np.floor(first - low / step + np.float32(0.5)), first, last)
    return (first - zero_point) * step, (last - zero_point) * step, step


def _fake_quantized(value: Any, low: Any, high: Any, num_bits: int, narrow_range: bool) -> Any:
    bottom, top, step = _nudged(low, high, num_bits, narrow_range)
    inverse = np.float32(1) / step
    places = np.floor((np.clip(value, bottom, top) - bottom) * inverse + np.float32(0.5))
    result = places * step + bottom
    return np.where((low == 0) & (high == 0), np.float32(0), result).astype(np.float32)


def fake_gradients(dy: Any, value: Any, low: Any, high: Any, num_bits: int, narrow_range: bool) -> tuple[Any, Any, Any]:
    """The part of `dy` inside the range, below it, and above it."""
    bottom, top, _ = _nudged(low, high, num_bits, narrow_range)
    everywhere = (low == 0) & (high == 0)
    below, above = (value < bottom) & ~everywhere, (value > top) & ~everywhere
    zero = np.float32(0)
    return np.where(below | above, zero, dy), np.where(below, dy, zero), np.where(above, dy, zero)


def _fake_args(value: Any, *, min: float, max: float, num_bits: int, narrow_range: bool) -> Any:
    _check_order(min, max)
    return _fake_quantized(value, np.float32(min), np.float32(max), num_bits, narrow_range)


def _check_order(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"min has to be smaller than max, was: {low:g} >= {high:g}")


def _fake_args_gradient(dy: Any, value: Any, *, min: float, max: float, num_bits: int, narrow_range: bool) -> Any:
    _check_order(min, max)
    return fake_gradients(dy, value, np.float32(min), np.float32(max), num_bits, narrow_range)[0]


def _fake_vars(value: Any, low: Any, high: Any, *, num_bits: int, narrow_range: bool) -> Any:
    return _fake_quantized(value, low, high, num_bits, narrow_range)


def _fake_vars_gradient(
    dy: Any, value: Any, low: Any, high: Any, *, num_bits: int, narrow_range: bool
) -> tuple[Any, Any, Any]:
    inside, below, above = fake_gradients(dy, value, low, high, num_bits, narrow_range)
    rest = tuple(range(np.ndim(value) - np.ndim(low)))
    return inside, np.asarray(below.sum(axis=rest), np.float32), np.asarray(above.sum(axis=rest), np.float32)


_ARGS = "min: float = -6, max: float = 6, num_bits: int = 8, narrow_range: bool = False"
_BITS = "num_bits: int = 8, narrow_range: bool = False"


def _same_attributes(op: Operation) -> dict[str, Any]:
    return {name: op.attrs[name] for name in op.definition.signature.attributes}


define(
    "FakeQuantWithMinMaxArgsGradient", "gradients: float32, inputs: float32 -> backprops: float32", _ARGS,
    reference=_fake_args_gradient, shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "FakeQuantWithMinMaxArgs", "inputs: float32 -> outputs: float32", _ARGS,
    reference=_fake_args, shape=same_shape,
    gradient=lambda op, dy: apply_op(
        REGISTRY["FakeQuantWithMinMaxArgsGradient"], (dy, op.inputs[0]), _same_attributes(op)
    ),
)  # fmt: skip


def _vars_rule(gradient_type: str) -> Callable[..., Any]:
    def rule(op: Operation, dy: Any) -> list[Any]:
        return list(apply_op(REGISTRY[gradient_type], (dy, *op.inputs), _same_attributes(op)))

    return rule


for _channels in ("", "PerChannel"):
    define(
        f"FakeQuantWithMinMaxVars{_channels}Gradient",
        "gradients: float32, inputs: float32, min: float32, max: float32 -> backprops_wrt_input: float32, "
        "backprop_wrt_min: float32, backprop_wrt_max: float32",
        _BITS,
        reference=_fake_vars_gradient,
        shape=lambda op: [op.inputs[0].shape, op.inputs[2].shape, op.inputs[3].shape],
        gradient=NO_GRADIENT,
    )
    define(
        f"FakeQuantWithMinMaxVars{_channels}", "inputs: float32, min: float32, max: float32 -> outputs: float32", _BITS,
        reference=_fake_vars, shape=same_shape, gradient=_vars_rule(f"FakeQuantWithMinMaxVars{_channels}Gradient"),
    )  # fmt: skip


@public("quantization.fake_quant_with_min_max_args", v1=["fake_quant_with_min_max_args"])
def fake_quant_with_min_max_args(
    inputs: Any, min: float = -6, max: float = 6, num_bits: int = 8, narrow_range: bool = False, name: str | None = None
) -> Any:
    """float32 `inputs` rounded to the 2 ** num_bits values that [min, max] (moved a little, so that zero is one of them)
    is divided into. The gradient passes inside the range. Raises InvalidArgumentError unless min < max."""
    attrs = {"min": float(min), "max": float(max), "num_bits": num_bits, "narrow_range": narrow_range}
    return apply_op(REGISTRY["FakeQuantWithMinMaxArgs"], (inputs,), attrs, name)


@public("quantization.fake_quant_with_min_max_args_gradient", v1=["fake_quant_with_min_max_args_gradient"])
def fake_quant_with_min_max_args_gradient(
    gradients: Any,
    inputs: Any,
    min: float = -6,
    max: float = 6,
    num_bits: int = 8,
    narrow_range: bool = False,
    name: str | None = None,
) -> Any:
    """The gradient of tf.quantization.fake_quant_with_min_max_args: `gradients` where `inputs` are inside the range."""
    attrs = {"min": float(min), "max": float(max), "num_bits": num_bits, "narrow_range": narrow_range}
    return apply_op(REGISTRY["FakeQuantWithMinMaxArgsGradient"], (gradients, inputs), attrs, name)


def _vars_functions(channels: str, suffix: str, text: str) -> None:
    def function(
        inputs: Any, min: Any, max: Any, num_bits: int = 8, narrow_range: bool = False, name: str | None = None
    ) -> Any:
        attrs = {"num_bits": num_bits, "narrow_range": narrow_range}
        return apply_op(REGISTRY[f"FakeQuantWithMinMaxVars{channels}"], (inputs, min, max), attrs, name)

    def gradient(
        gradients: Any,
        inputs: Any,
        min: Any,
        max: Any,
        num_bits: int = 8,
        narrow_range: bool = False,
        name: str | None = None,
    ) -> Any:
        attrs = {"num_bits": num_bits, "narrow_range": narrow_range}
        return apply_op(
            REGISTRY[f"FakeQuantWithMinMaxVars{channels}Gradient"], (gradients, inputs, min, max), attrs, name
        )

    for made, ending in ((function, suffix), (gradient, f"{suffix}_gradient")):
        made.__name__ = made.__qualname__ = f"fake_quant_with_min_max_vars{ending}"
        export(made, f"quantization.{made.__name__}", v1=[made.__name__])
    function.__doc__ = f"As tf.quantization.fake_quant_with_min_max_args, with {text}; both get gradients."
    gradient.__doc__ = f"The gradients of {function.__name__}: for inputs, min and max."


_vars_functions("", "", "tensors for the ends of the range")
_vars_functions("PerChannel", "_per_channel", "a range for each entry of the last axis")

# ---- quantise and back ----------------------------------------------------------------------------------------------


def _aligned(vector: Any, axis: int, rank: int) -> Any:
    """A value for each entry of `axis`, shaped to broadcast; scalars as they are."""
    vector = as_array(vector)
    return (
        vector
        if axis == -1 or vector.ndim == 0
        else vector.reshape([-1 if place == axis else 1 for place in range(rank)])
    )


def _fixed_limits(num_bits: int, signed_input: bool, narrow_range: bool) -> tuple[int, int]:
    if signed_input:
        return -(2 ** (num_bits - 1)) + narrow_range, 2 ** (num_bits - 1) - 1
    return int(narrow_range), 2**num_bits - 1


def _scale(low: Any, high: Any, limits: tuple[int, int]) -> Any:
    """How many steps there are to 1, so that [low, high] fits into the integers of `limits` with zero at zero."""
    with np.errstate(all="ignore"):
        from_low = np.where(limits[0] * low > 0, limits[0] / low, np.inf)
        from_high = np.where(limits[1] * high > 0, limits[1] / high, np.inf)
    return np.minimum(from_low, from_high)


def _rounder(round_mode: str) -> Callable[[Any], Any]:
    modes: dict[str, Callable[[Any], Any]] = {
        "HALF_TO_EVEN": np.rint,
        "HALF_UP": lambda value: np.floor(value + 0.5),
        "HALF_AWAY_FROM_ZERO": lambda value: np.copysign(np.floor(np.abs(value) + 0.5), value),
    }
    if round_mode not in modes:
        raise ValueError(f"Round mode string must be 'HALF_TO_EVEN' or 'HALF_UP', is '{round_mode}'")
    return modes[round_mode]


def _there_and_back(
    value: Any, low: Any, high: Any, num_bits: int, *, signed_input: bool, range_given: bool, round_mode: str = "HALF_TO_EVEN",
    narrow_range: bool, axis: int,
) -> Any:  # fmt: skip
    value = as_array(value)
    if not range_given:
        kept = axis % value.ndim if axis != -1 else None
        others = tuple(place for place in range(value.ndim) if place != kept)
        low, high = value.min(axis=others), value.max(axis=others)
    low, high = (_aligned(bound, axis, value.ndim).astype(value.dtype) for bound in (low, high))
    if (low > high).any():
        raise ValueError(f"Invalid range: input_min {np.max(low):g} > input_max {np.min(high):g}")
    limits = _fixed_limits(num_bits, signed_input, narrow_range)
    scale = _scale(low, high, limits).astype(value.dtype)
    if not np.isfinite(scale).all():
        scale = np.where(np.isfinite(scale), scale, value.dtype.type(1))
    inverse = (1 / scale).astype(value.dtype)
    clipped = np.clip(value, limits[0] * inverse, limits[1] * inverse)
    return (_rounder(round_mode)(clipped * scale) * inverse).astype(value.dtype)


def _v2_kernel(
    value: Any, low: Any, high: Any,
    *, signed_input: bool, num_bits: int, range_given: bool, round_mode: str, narrow_range: bool, axis: int,
) -> Any:  # fmt: skip
    return _there_and_back(
        value, low, high, num_bits, signed_input=signed_input, range_given=range_given, round_mode=round_mode,
        narrow_range=narrow_range, axis=axis,
    )  # fmt: skip


def _v3_kernel(
    value: Any,
    low: Any,
    high: Any,
    num_bits: Any,
    *,
    signed_input: bool,
    range_given: bool,
    narrow_range: bool,
    axis: int,
) -> Any:
    return _there_and_back(
        value, low, high, int(num_bits), signed_input=signed_input, range_given=range_given, narrow_range=narrow_range,
        axis=axis,
    )  # fmt: skip


_FLOATS = "T: {bfloat16, float16, float32, float64}"
_BACK = "signed_input: bool = True, num_bits: int = 8, range_given: bool = False"
_ROUNDING = "round_mode: string = 'HALF_TO_EVEN', narrow_range: bool = False, axis: int = -1"


def _v4_gradient(op: Operation, dy: Any) -> list[Any]:
    attrs = {"axis": op.attrs["axis"]}
    return list(apply_op(REGISTRY["QuantizeAndDequantizeV4Grad"], (dy, *op.inputs), attrs))


def _v4_gradient_kernel(dy: Any, value: Any, low: Any, high: Any, *, axis: int) -> tuple[Any, Any, Any]:
    bottom, top = (_aligned(bound, axis, np.ndim(value)) for bound in (low, high))
    inside = (value >= bottom) & (value <= top)
    return np.where(inside, dy, np.zeros((), dy.dtype)), np.zeros_like(low), np.zeros_like(high)


define(
    "QuantizeAndDequantizeV4Grad",
    "gradients: T, input: T, input_min: T, input_max: T -> input_backprop: T, input_min_backprop: T, input_max_backprop: T",
    f"{_FLOATS}, axis: int = -1",
    reference=_v4_gradient_kernel, shape=lambda op: [tensor.shape for tensor in op.inputs[1:]], gradient=NO_GRADIENT,
)  # fmt: skip
for _version, _rule in (("V2", lambda op, dy: [dy, None, None]), ("V4", _v4_gradient)):
    define(
        f"QuantizeAndDequantize{_version}", "input: T, input_min: T, input_max: T -> output: T",
        f"{_BACK}, {_FLOATS}, {_ROUNDING}",
        reference=_v2_kernel, shape=same_shape, gradient=_rule,
    )  # fmt: skip
define(
    "QuantizeAndDequantizeV3", "input: T, input_min: T, input_max: T, num_bits: int32 -> output: T",
    f"signed_input: bool = True, range_given: bool = True, {_FLOATS}, narrow_range: bool = False, axis: int = -1",
    reference=_v3_kernel, shape=same_shape, gradient=lambda op, dy: [dy, None, None, None],
)  # fmt: skip


def _back(
    op_type: str, input: Any, input_min: Any, input_max: Any, attrs: dict[str, Any], axis: int | None, name: str | None
) -> Any:
    attrs["axis"] = -1 if axis is None else int(axis)
    return apply_op(REGISTRY[op_type], (input, input_min, input_max), attrs, name)


@public("quantization.quantize_and_dequantize")
def quantize_and_dequantize(
    input: Any,
    input_min: Any,
    input_max: Any,
    signed_input: bool = True,
    num_bits: int = 8,
    range_given: bool = False,
    round_mode: str = "HALF_TO_EVEN",
    name: str | None = None,
    narrow_range: bool = False,
    axis: int | None = None,
) -> Any:
    """As tf.quantization.quantize_and_dequantize_v2, with a gradient that passes everywhere."""
    attrs = {"signed_input": signed_input, "num_bits": num_bits, "range_given": range_given, "round_mode": round_mode,
             "narrow_range": narrow_range}  # fmt: skip
    return _back("QuantizeAndDequantizeV2", input, input_min, input_max, attrs, axis, name)


@public("quantization.quantize_and_dequantize_v2")
def quantize_and_dequantize_v2(
    input: Any,
    input_min: Any,
    input_max: Any,
    signed_input: bool = True,
    num_bits: int = 8,
    range_given: bool = False,
    round_mode: str = "HALF_TO_EVEN",
    name: str | None = None,
    narrow_range: bool = False,
    axis: int | None = None,
) -> Any:
    """`input` as it is after having been quantised to num_bits and back: multiples of one step, with zero among them.

    input_min, input_max: the range (used when range_given, else that of the input); with `axis` a vector, for each entry
    of that axis. The gradient passes inside the range. Raises InvalidArgumentError for an empty range.
    """
    attrs = {"signed_input": signed_input, "num_bits": num_bits, "range_given": range_given, "round_mode": round_mode,
             "narrow_range": narrow_range}  # fmt: skip
    return _back("QuantizeAndDequantizeV4", input, input_min, input_max, attrs, axis, name)


# ---- quantised tensors ----------------------------------------------------------------------------------------------


def _integers_of(dtype: DType) -> tuple[Any, int, int]:
    """The storage of a quantised dtype, and its limits."""
    storage = dtype.numpy_dtype[0]
    limits = np.iinfo(storage)
    return storage, int(limits.min), int(limits.max)


def _quantize_kernel(
    value: Any, low: Any, high: Any,
    *, T: DType, mode: str, round_mode: str, narrow_range: bool, axis: int, ensure_minimum_range: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    storage, smallest, largest = _integers_of(T)
    value = as_array(value)
    low, high = np.minimum(np.float32(0), low), np.asarray(high, np.float32)
    margin = np.maximum(np.float32(1), np.maximum(np.abs(low), np.abs(high))) * np.float32(ensure_minimum_range)
    high = np.maximum(np.float32(0), np.maximum(high, low + margin)).astype(np.float32)
    rounded = _rounder(round_mode)
    bottom, top = (_aligned(bound, axis, value.ndim) for bound in (low, high))
    if mode == "SCALED":
        limits = (smallest + narrow_range, largest)
        scale = _scale(bottom, top, limits)
        low, high = (np.asarray(limit / np.reshape(scale, np.shape(low)), np.float32) for limit in limits)
        codes = rounded(np.clip(value * scale, *limits))
    elif mode == "MIN_FIRST":
        scale = (largest - smallest) / (top.astype(np.float64) - bottom)
        codes = rounded(value * scale) - rounded(bottom * scale) + smallest
    else:
        scale = (largest - smallest) / (top - bottom)
        shift = (largest - smallest + 1) / 2 if smallest < 0 else 0
        codes = rounded((np.clip(value, bottom, top) - bottom) * scale - shift)
    codes = np.clip(codes, smallest, largest).astype(storage)
    return codes.view(T.numpy_dtype), np.asarray(low, np.float32), high


def _dequantize_kernel(
    value: Any, low: Any, high: Any, *, T: DType, mode: str, narrow_range: bool, axis: int, dtype: DType
) -> Any:
    storage, smallest, largest = _integers_of(T)
    codes = as_array(value).view(storage)
    bottom, top = (_aligned(bound, axis, codes.ndim).astype(np.float32) for bound in (low, high))
    numbers = codes.astype(np.float64)
    if mode == "SCALED":
        first = smallest + narrow_range
        step = top / largest if smallest == 0 else np.maximum(bottom / first, top / largest)
        result = numbers * step
    elif mode == "MIN_FIRST":
        step = (top.astype(np.float64) - bottom) / (largest - smallest)
        result = np.rint(bottom / step) * step + (numbers - smallest) * step
    else:
        shift = (largest - smallest + 1) / 2 if smallest < 0 else 0
        result = bottom + (numbers + shift) * ((top - bottom) / (largest - smallest))
    return result.astype(dtype.numpy_dtype)


_QUANTIZED = "T: {qint8, quint8, qint32, qint16, quint16}"
define(
    "QuantizeV2", "input: float32, min_range: float32, max_range: float32 -> output: T, output_min: float32, "
    "output_max: float32",
    f"{_QUANTIZED}, mode: string = 'MIN_COMBINED', round_mode: string = 'HALF_AWAY_FROM_ZERO', "
    "narrow_range: bool = False, axis: int = -1, ensure_minimum_range: float = 0.01",
    reference=_quantize_kernel,
    shape=lambda op: [tensor.shape for tensor in op.inputs], gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "Dequantize", "input: T, min_range: float32, max_range: float32 -> output: dtype",
    f"{_QUANTIZED}, mode: string = 'MIN_COMBINED', narrow_range: bool = False, axis: int = -1, "
    "dtype: {bfloat16, float32} = float32",
    reference=_dequantize_kernel, shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("quantization.quantize", v1=["quantize"])
def quantize(
    input: Any,
    min_range: Any,
    max_range: Any,
    T: Any,
    mode: str = "MIN_COMBINED",
    round_mode: str = "HALF_AWAY_FROM_ZERO",
    name: str | None = None,
    narrow_range: bool = False,
    axis: int | None = None,
    ensure_minimum_range: float = 0.01,
) -> Any:
    """float32 `input` as elements of the quantised dtype `T`: a named tuple (output, output_min, output_max), where the
    latter say which numbers the smallest and largest element stand for.

    mode: MIN_COMBINED, MIN_FIRST or SCALED, as in TensorFlow.
    """
    attrs = {"T": dtypes.as_dtype(T), "mode": mode, "round_mode": round_mode, "narrow_range": narrow_range,
             "axis": -1 if axis is None else axis, "ensure_minimum_range": ensure_minimum_range}  # fmt: skip
    return apply_op(REGISTRY["QuantizeV2"], (input, min_range, max_range), attrs, name)


@public(v1=["quantize_v2"])
def quantize_v2(
    input: Any,
    min_range: Any,
    max_range: Any,
    T: Any,
    mode: str = "MIN_COMBINED",
    name: str | None = None,
    round_mode: str = "HALF_AWAY_FROM_ZERO",
    narrow_range: bool = False,
    axis: int | None = None,
    ensure_minimum_range: float = 0.01,
) -> Any:
    """As tf.quantization.quantize."""
    return quantize(input, min_range, max_range, T, mode, round_mode, name, narrow_range, axis, ensure_minimum_range)


@public("quantization.dequantize", v1=["dequantize"])
def dequantize(
    input: Any,
    min_range: Any,
    max_range: Any,
    mode: str = "MIN_COMBINED",
    name: str | None = None,
    axis: int | None = None,
    narrow_range: bool = False,
    dtype: Any = dtypes.float32,
) -> Any:
    """The numbers that a quantised tensor stands for, given the range of its dtype."""
    attrs = {"mode": mode, "narrow_range": narrow_range, "axis": -1 if axis is None else axis,
             "dtype": dtypes.as_dtype(dtype)}  # fmt: skip
    return apply_op(REGISTRY["Dequantize"], (input, min_range, max_range), attrs, name)
