"""Every row of the table of rewrites: it is applied, and it is as exact as it says, on all combinations of difficult numbers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from rillet.compiler.rewrites import EXACT, REWRITES, Rewrite
from rillet.compiler.scalar import COMPARISONS, Scalar, Scalars
from rillet.compiler.tokens import Tokens
from rillet.core import dtypes
from rillet.core.dtypes import DType

FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    -2.5,
    3.0,
    1e-45,
    3e38,
    -3e38,
    1e20,
    0.1,
    float("inf"),
    float("-inf"),
    float("nan"),
]
INTEGERS = [0, 1, -1, 2, -2, 7, 2**31 - 1, -(2**31), 46341]
NUMBERS = {dtypes.float32: FLOATS, dtypes.int32: INTEGERS, dtypes.bool: [False, True]}
OF = {"floating": [dtypes.float32], "integer": [dtypes.int32], "bool": [dtypes.bool]}
ULPS = 3

FUNCTIONS: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "abs": np.abs, "pow": np.power,
    "floor": np.floor, "ceil": np.ceil, "round": np.round, "trunc": np.trunc, "max": np.maximum, "min": np.minimum,
    "where": np.where, "and": np.bitwise_and, "or": np.bitwise_or, "not": np.invert,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "floordiv": np.floor_divide,
}  # fmt: skip


def evaluated(node: Scalar, values: dict[str, Any]) -> Any:
    if node.operation == "given":
        return values[node.data]
    if node.operation == "const":
        return np.asarray(node.data, node.dtype.numpy_dtype)
    parts = [evaluated(part, values) for part in node.arguments]
    with np.errstate(all="ignore"):
        if node.operation == "cast":
            return parts[0].astype(node.dtype.numpy_dtype)
        if node.operation == "div":
            return (
                np.trunc(np.true_divide(*parts)).astype(parts[0].dtype)
                if node.dtype.is_integer
                else np.true_divide(*parts)
            )
        return FUNCTIONS[node.operation](*parts)


def built(scalars: Scalars, tokens: Tokens, dtype: DType, letters: dict[str, Scalar]) -> Scalar:
    """The pattern as an expression over operands of that dtype, not simplified."""
    word = tokens.take()
    if tokens.next == "(":
        parts = tokens.listed(lambda: built(scalars, tokens, dtype, letters), "(", ")")
        result = dtypes.bool if word in (*COMPARISONS, "not") and dtype is not dtypes.int32 else parts[-1].dtype
        return scalars.raw(word, dtypes.bool if word in COMPARISONS else result, tuple(parts))
    if word == "p":
        return scalars.constant(0.25, dtype)
    if word in ("true", "false"):
        return scalars.constant(word == "true", dtypes.bool)
    if word.isalpha():
        kind = dtypes.bool if word == "c" else dtype
        return letters.setdefault(word, scalars.raw("given", kind, (), word))
    return scalars.constant(float(word), dtype)


def cases() -> list[Any]:
    result: list[Any] = []
    for rewrite in REWRITES:
        if rewrite.of == "widened":
            continue
        is_logic = rewrite.before.startswith(("and(", "or(", "not(not"))
        every = [dtypes.bool, dtypes.int32] if is_logic else [dtypes.float32, dtypes.int32]
        kinds = [dtypes.float32, dtypes.int32] if "where" in rewrite.before else OF.get(rewrite.of, every)
        kinds = [kind for kind in kinds if kind is not dtypes.int32 or not _is_for_floats(rewrite)]
        result += [pytest.param(rewrite, kind, id=f"{rewrite.before} {kind.name}") for kind in kinds]
    return result


def _is_for_floats(rewrite: Rewrite) -> bool:
    return any(word in rewrite.before for word in ("floor(", "ceil", "round", "trunc", "p)", "-0.0"))


@pytest.mark.parametrize(("rewrite", "dtype"), cases())
def test_rewrites_are_exact(rewrite: Rewrite, dtype: DType) -> None:
    scalars = Scalars()
    letters: dict[str, Scalar] = {}
    before = built(scalars, Tokens(rewrite.before), dtype, letters)
    after = scalars.make(before.operation, before.dtype, *before.arguments)
    assert after is not before, "it is not applied"
    assert after.dtype is before.dtype
    names = list(letters)
    for numbers in itertools.product(*[NUMBERS[letters[name].dtype] for name in names]):
        values = {
            name: np.asarray(number, letters[name].dtype.numpy_dtype)
            for name, number in zip(names, numbers, strict=True)
        }
        left, right = evaluated(before, values), evaluated(after, values)
        if "div" in rewrite.before and dtype.is_integer and numbers[0] == -(2**31):
            continue  # NumPy has no word on it
        if rewrite.reason.startswith(EXACT):
            assert same_bits(left, right), (numbers, left, right)
        else:
            assert rewrite.reason.startswith("allowed")
            np.testing.assert_array_max_ulp(left, right, ULPS) if dtype.is_floating else np.testing.assert_equal(
                left, right
            )


def same_bits(left: Any, right: Any) -> bool:
    """Whether they are the same, zeros of different signs apart, all NaN alike."""
    left, right = np.asarray(left), np.asarray(right)
    both_nan = left.dtype.kind == "f" and bool(np.isnan(left)) and bool(np.isnan(right))
    return left.dtype == right.dtype and (both_nan or left.tobytes() == right.tobytes())


def test_casts_through_wider_dtypes() -> None:
    scalars = Scalars()
    numbers = [0, 1, -1, 0.5, -1.5, 100, 127, -128, 255, 32767, 65504, 2**24, 2**24 + 1, 2**31 - 1, 1e10, 1e30]
    kinds = [
        dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64, dtypes.int8, dtypes.uint8, dtypes.int16,
        dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.bool,
    ]  # fmt: skip
    applied = set()
    for narrow, wide, final in itertools.product(kinds, repeat=3):
        x = scalars.raw("given", narrow, (), "x")
        before = scalars.raw("cast", final, (scalars.raw("cast", wide, (x,)),))
        after = scalars.make("cast", final, *before.arguments)
        if after is before:
            continue
        applied.add((narrow, wide))
        with np.errstate(all="ignore"):
            values = {"x": np.asarray(numbers, np.float64).astype(narrow.numpy_dtype)}
        if narrow.is_floating and not final.is_floating:
            values["x"] = values["x"][np.abs(values["x"].astype(np.float64)) < 100]  # beyond it, C has no word on it
        left, right = evaluated(before, values), evaluated(after, values)
        assert left.tobytes() == right.tobytes(), (narrow, wide, final)
    assert (dtypes.float32, dtypes.float64) in applied
    assert (dtypes.float64, dtypes.float32) not in applied
    assert (dtypes.int64, dtypes.float64) not in applied
    assert (dtypes.int32, dtypes.float64) in applied


def test_floats_that_must_stay() -> None:
    scalars = Scalars()
    x = scalars.raw("given", dtypes.float32, (), "x")

    def number(value: float) -> Scalar:
        return scalars.constant(value, dtypes.float32)

    for operation, right in (("add", number(0.0)), ("mul", number(0.0)), ("sub", x), ("div", number(3.0)), ("div", x)):
        made = scalars.make(operation, dtypes.float32, x, right)
        assert (made.operation, made.arguments) == (operation, (x, right))
