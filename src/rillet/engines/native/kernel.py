"""What a kernel is, once written; and the tools that writers of kernels share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rillet.compiler.arrays import Array, Source
from rillet.compiler.index import Variable
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.engines.native.expressions import extremum
from rillet.engines.native.llvm import Builder, Module, Value, is_float, lanes_of


@dataclass
class Partial:
    """A result that each task of a kernel has a part of: `parts` holds them, one a row; another kernel combines them."""

    array: Array
    parts: Source
    kind: str


@dataclass
class Kernel:
    """text: a module with one function, `void kernel(ptr operands, i64 begin, i64 end)`.

    operands: whose addresses it wants, in order. tasks: begin and end count these. work: about how many vector operations
    it takes in all. scratch: bytes of scratch memory, which is then the last operand.
    """

    name: str
    text: str
    operands: Sequence[Array]
    tasks: int
    work: int
    partials: list[Partial] = field(default_factory=list)
    scratch: int = 0
    bases: dict[int, int] = field(default_factory=dict)

    def base(self, array: Array) -> int:
        """The number of the element that the operand points to. Kernels that differ in it alone are one kernel."""
        return self.bases.get(array.number, 0)


def begin_kernel() -> Builder:
    return Builder(
        Module(), "kernel", [("ptr noalias", "operands"), ("i64", "begin"), ("i64", "end")], attributes="nounwind"
    )


def accumulator_dtype(dtype: DType) -> DType:
    """What sums of 16-bit floats are collected in."""
    return dtypes.float32 if dtype in (dtypes.float16, dtypes.bfloat16) else dtype


def combine(b: Builder, kind: str, total: Value, value: Value, dtype: DType) -> Value:
    """total (so far) with one more value."""
    if kind == "sum":
        return b.add(total, value)
    if kind == "product":
        return b.mul(total, value)
    if kind in ("all", "any"):
        return b.binary("and" if kind == "all" else "or", total, value)
    if not is_float(value.type):
        return extremum(b, kind, value, total, dtype.is_unsigned or dtype.is_bool)
    better = b.compare("ogt" if kind == "max" else "olt", value, total)  # never where total is NaN
    return b.select(b.binary("or", better, b.compare("uno", value, value)), value, total)


def across_lanes(b: Builder, kind: str, value: Value, dtype: DType) -> Value:
    """All lanes of a vector combined."""
    while (lanes := lanes_of(value.type)) > 1:
        if lanes % 2:
            rest = b.extract(value, lanes - 1)
            head = b.shuffle(value, value, range(lanes - 1))
            return combine(b, kind, across_lanes(b, kind, head, dtype), rest, dtype)
        low = b.shuffle(value, value, range(lanes // 2))
        high = b.shuffle(value, value, range(lanes // 2, lanes))
        value = combine(b, kind, low, high, dtype)
    return value


def widened_with(b: Builder, value: Value, filler: Value, lanes: int) -> Value:
    """A vector of more lanes: `value` first, then `filler` (a vector of the same type)."""
    have = lanes_of(value.type)
    if have == lanes:
        return value
    if have == 1:
        return b.insert(b.splat(filler, lanes), value, 0)
    return b.shuffle(value, filler, [*range(have), *[have] * (lanes - have)])


def unravelled(b: Builder, index: Value, variables: Sequence[Variable]) -> list[tuple[Variable, Value]]:
    """The values of loop variables, from the number of the turn of all of them together."""
    result: list[tuple[Variable, Value]] = []
    for variable in reversed(variables[1:]):
        quotient = b.binary("udiv", index, b.i64(variable.extent))
        result.append((variable, b.binary("sub", index, b.binary("mul", quotient, b.i64(variable.extent)))))
        index = quotient
    if variables:
        result.append((variables[0], index))
    return result
