"""Reductions along axes, and what is made of them."""

from __future__ import annotations

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes

KINDS = {"Sum": "sum", "Prod": "product", "Max": "max", "Min": "min", "All": "all", "Any": "any"}


@lowering(*KINDS)
def reduction(call: Call, x: Array, axes: Array) -> Array:
    keep = bool(call.attrs["keep_dims"])
    return call.program.reduce(x, call.axes(axes, x.rank), KINDS[call.operation.type], keep)


@lowering("Mean")
def mean(call: Call, x: Array, axes: Array) -> Array:
    return mean_of(call.program, x, call.axes(axes, x.rank), bool(call.attrs["keep_dims"]))


def mean_of(program: Arrays, x: Array, axes: list[int], keep: bool) -> Array:
    """Small numbers are summed up as larger ones: their sum may be out of their range where the mean is not."""
    count = 1
    for axis in {axis % x.rank for axis in axes}:
        count *= x.shape[axis]
    if x.dtype.is_floating:
        wide = dtypes.float32 if x.dtype.size < 4 else x.dtype
        operation, number = "mul", 1.0 / count if count else float("nan")
    else:
        wide = dtypes.uint64 if x.dtype.is_unsigned else dtypes.int64
        operation, number = "div", max(count, 1)
    total = program.reduce(program.cast(x, wide), axes, "sum", keep)
    return program.cast(program.elementwise(operation, wide, total, program.constant(number, wide)), x.dtype)


@lowering("ArgMax", "ArgMin")
def position(call: Call, x: Array, axis: Array) -> Array:
    call.require(x.size > 0 and x.rank > 0, "nothing to search")
    (chosen,) = call.axes(axis, x.rank)
    program = call.program
    order = [other for other in range(x.rank) if other != chosen] + [chosen]
    moved = program.transpose(x, order)
    return program.reduce(moved, [x.rank - 1], call.operation.type.lower(), dtype=call.dtype())


@lowering("Softmax")
def softmax(call: Call, logits: Array) -> Array:
    call.require(logits.rank > 0, "a scalar")
    exponentials, total = exponentials_of(call.program, logits)[:2]
    return call.program.elementwise("div", logits.dtype, exponentials, total)


@lowering("LogSoftmax")
def log_softmax(call: Call, logits: Array) -> Array:
    call.require(logits.rank > 0, "a scalar")
    program = call.program
    _, total, shifted = exponentials_of(program, logits)
    return program.elementwise("sub", logits.dtype, shifted, program.elementwise("log", logits.dtype, total))


def exponentials_of(program: Arrays, logits: Array) -> tuple[Array, Array, Array]:
    """exp(x - max), the sums of that along the last axis (kept), and x - max."""
    largest = program.reduce(logits, [logits.rank - 1], "max", keep=True)
    shifted = program.elementwise("sub", logits.dtype, logits, largest)
    exponentials = program.elementwise("exp", logits.dtype, shifted)
    return exponentials, program.reduce(exponentials, [logits.rank - 1], "sum", keep=True), shifted


@lowering("L2Loss")
def half_square(call: Call, x: Array) -> Array:
    program = call.program
    squares = program.elementwise("mul", x.dtype, x, x)
    total = program.reduce(squares, range(x.rank), "sum")
    return program.elementwise("mul", x.dtype, total, program.constant(0.5, x.dtype))


@lowering("BiasAddGrad")
def bias_add_grad(call: Call, gradient: Array) -> Array:
    channels = gradient.rank - 1
    if call.attrs.get("data_format", "NHWC") in ("NCHW", b"NCHW") and gradient.rank > 2:
        channels = 1
    axes = [axis for axis in range(gradient.rank) if axis != channels]
    return call.program.reduce(gradient, axes, "sum")


def one_hot_choice(program: Arrays, labels: Array, classes: int) -> Array:
    """[.., classes]: whether the label is that class."""

    def compute(*index: object) -> Scalar:
        label = program.convert(labels.at(*index[:-1]), dtypes.int64)  # type: ignore[arg-type]
        return program.compare("eq", label, program.scalars.index(index[-1]))  # type: ignore[arg-type]

    return program.map((*labels.shape, classes), dtypes.bool, compute, (labels,), 2)
