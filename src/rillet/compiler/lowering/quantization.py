"""Fake quantization: the formulas are those of the reference kernels."""

from __future__ import annotations

from collections.abc import Sequence

from rillet.compiler.arrays import Array
from rillet.compiler.numpy_like import traced
from rillet.compiler.rules import Call, lowering
from rillet.ops.quantize import fake_gradients


@lowering(
    "FakeQuantWithMinMaxArgs",
    "FakeQuantWithMinMaxArgsGradient",
    "FakeQuantWithMinMaxVars",
    "FakeQuantWithMinMaxVarsPerChannel",
)
def fake_quantized(call: Call, *arrays: Array) -> Array:
    result: Array = call.lowering.trace(call.operation, arrays)
    return result


@lowering("FakeQuantWithMinMaxVarsGradient", "FakeQuantWithMinMaxVarsPerChannelGradient")
def fake_quantized_gradient(call: Call, dy: Array, x: Array, low: Array, high: Array) -> Sequence[Array]:
    options = {name: call.attrs[name] for name in ("num_bits", "narrow_range")}
    parts = traced(call.program, fake_gradients, (dy, x, low, high), options)
    inside, below, above = [part.array for part in parts]
    axes = range(x.rank - low.rank)
    return [inside, call.program.reduce(below, axes, "sum"), call.program.reduce(above, axes, "sum")]
