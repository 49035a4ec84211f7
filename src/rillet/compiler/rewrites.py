"""Algebraic simplification of scalar expressions: a table of rewrites, applied as expressions are made.

Each row gives what is replaced, what by, for which operands, and why the results stay what they were. x, y and c stand for
any expression, the same letter for the same one; p for a constant that is a power of two; numbers for themselves (0 is not
-0.0). A rewrite is EXACT if the result has the same bits for every operand, the sign and the payload of NaN excepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rillet.compiler.tokens import Tokens
from rillet.core import dtypes
from rillet.core.dtypes import DType

if TYPE_CHECKING:
    from rillet.compiler.scalar import Scalar, Scalars

EXACT = "exact"


@dataclass(frozen=True)
class Rewrite:
    """of: the dtypes of the first letter: any, floating, integer, bool; or widened: the operand's dtype holds all its values.
    reason: begins with EXACT, or says why a difference is allowed."""

    before: str
    after: str
    of: str
    reason: str


_ROUNDINGS = ("floor", "ceil", "round", "trunc")
_WRAPS = f"{EXACT}: integers wrap in the same way"
_ZERO = f"{EXACT}, for the zero of that sign only: -0.0 + 0 is 0"
_SIGN = f"{EXACT}: only the sign bit changes"
_ONE_ROUNDING = f"{EXACT}: both are rounded once, from the same number"
_ORDERED = f"{EXACT}: whole numbers are always ordered"
_CHOICE = f"{EXACT}: the operands themselves"

REWRITES: tuple[Rewrite, ...] = (
    # Signs.
    Rewrite("neg(neg(x))", "x", "any", _SIGN),
    Rewrite("abs(neg(x))", "abs(x)", "any", _SIGN),
    Rewrite("abs(abs(x))", "abs(x)", "any", _SIGN),
    Rewrite("mul(x, -1)", "neg(x)", "any", _SIGN),
    Rewrite("mul(-1, x)", "neg(x)", "any", _SIGN),
    Rewrite("div(x, -1)", "neg(x)", "any", _SIGN),
    Rewrite("mul(neg(x), neg(y))", "mul(x, y)", "any", _SIGN),
    Rewrite("div(neg(x), neg(y))", "div(x, y)", "floating", _SIGN),
    Rewrite("div(neg(x), y)", "neg(div(x, y))", "floating", _SIGN),
    Rewrite("add(x, neg(y))", "sub(x, y)", "any", _ONE_ROUNDING),
    Rewrite("add(neg(x), y)", "sub(y, x)", "any", _ONE_ROUNDING),
    Rewrite("sub(x, neg(y))", "add(x, y)", "any", _ONE_ROUNDING),
    Rewrite("sub(0, x)", "neg(x)", "integer", _WRAPS),
    Rewrite("sub(-0.0, x)", "neg(x)", "floating", _ZERO),
    Rewrite("neg(sub(x, y))", "sub(y, x)", "integer", f"{_WRAPS}; floats differ in the sign of 0"),
    # Neutral elements.
    Rewrite("add(x, 0)", "x", "integer", _WRAPS),
    Rewrite("add(0, x)", "x", "integer", _WRAPS),
    Rewrite("add(x, -0.0)", "x", "floating", _ZERO),
    Rewrite("add(-0.0, x)", "x", "floating", _ZERO),
    Rewrite("sub(x, 0)", "x", "any", f"{EXACT}: also -0.0 - 0 is -0.0"),
    Rewrite("mul(x, 1)", "x", "any", EXACT),
    Rewrite("mul(1, x)", "x", "any", EXACT),
    Rewrite("div(x, 1)", "x", "any", EXACT),
    Rewrite("floordiv(x, 1)", "x", "integer", EXACT),
    Rewrite("pow(x, 1)", "x", "any", EXACT),
    Rewrite("mul(x, 0)", "0", "integer", f"{EXACT}; floats have NaN, infinity and -0.0"),
    Rewrite("mul(0, x)", "0", "integer", f"{EXACT}; floats have NaN, infinity and -0.0"),
    Rewrite("sub(x, x)", "0", "integer", f"{EXACT}; floats have NaN and infinity"),
    Rewrite("div(x, p)", "mul(x, 1/p)", "floating", _ONE_ROUNDING),
    # Small powers.
    Rewrite("pow(x, 2)", "mul(x, x)", "any", "allowed: rounded once, as near as any pow"),
    Rewrite("pow(x, 3)", "mul(mul(x, x), x)", "any", "allowed: rounded twice, nearer than the 2 ulp of pow"),
    Rewrite("pow(x, 4)", "mul(mul(x, x), mul(x, x))", "any", "allowed: an error of 1.5 ulp, nearer than the 2 of pow"),
    # Rounding.
    *[
        Rewrite(f"{outer}({inner}(x))", f"{inner}(x)", "any", f"{EXACT}: it is a whole number already")
        for outer in _ROUNDINGS
        for inner in _ROUNDINGS
    ],
    # Choices.
    Rewrite("max(x, x)", "x", "any", _CHOICE),
    Rewrite("min(x, x)", "x", "any", _CHOICE),
    Rewrite("max(max(x, y), y)", "max(x, y)", "any", _CHOICE),
    Rewrite("min(min(x, y), y)", "min(x, y)", "any", _CHOICE),
    Rewrite("where(not(c), x, y)", "where(c, y, x)", "bool", _CHOICE),
    Rewrite("where(c, x, x)", "x", "bool", _CHOICE),
    Rewrite("where(true, x, y)", "x", "any", _CHOICE),
    Rewrite("where(false, x, y)", "y", "any", _CHOICE),
    # Conditions.
    Rewrite("not(not(x))", "x", "any", EXACT),
    Rewrite("and(x, x)", "x", "any", EXACT),
    Rewrite("or(x, x)", "x", "any", EXACT),
    Rewrite("and(and(x, y), y)", "and(x, y)", "any", EXACT),
    Rewrite("and(and(x, y), x)", "and(x, y)", "any", EXACT),
    Rewrite("or(or(x, y), y)", "or(x, y)", "any", EXACT),
    Rewrite("and(x, true)", "x", "bool", EXACT),
    Rewrite("and(true, x)", "x", "bool", EXACT),
    Rewrite("or(x, false)", "x", "bool", EXACT),
    Rewrite("or(false, x)", "x", "bool", EXACT),
    Rewrite("not(lt(x, y))", "ge(x, y)", "integer", f"{_ORDERED}; floats have NaN"),
    Rewrite("not(le(x, y))", "gt(x, y)", "integer", f"{_ORDERED}; floats have NaN"),
    Rewrite("not(eq(x, y))", "ne(x, y)", "any", f"{EXACT}: NaN is unequal to everything"),
    Rewrite("not(ne(x, y))", "eq(x, y)", "any", f"{EXACT}: NaN is unequal to everything"),
    # Casts.
    Rewrite("cast(cast(x))", "cast(x)", "widened", f"{EXACT}: the dtype in between holds every value of x"),
)


# ---- the table, ready for use ---------------------------------------------------------------------------------------

# A pattern: a letter, a number, or (operation, patterns).
_Pattern = Any
_Match = dict[str, "Scalar"]


def _read(tokens: Tokens) -> _Pattern:
    word = tokens.take()
    if tokens.next == "(":
        return (word, tuple(tokens.listed(lambda: _read(tokens), "(", ")")))
    if word == "1" and tokens.accept("/", "p"):
        return "1/p"
    if word in ("true", "false"):
        return word == "true"
    return word if word.isalpha() else float(word)


@dataclass(frozen=True)
class _Rule:
    rewrite: Rewrite
    arguments: tuple[_Pattern, ...]
    result: _Pattern


def _rules() -> dict[str, list[_Rule]]:
    found: dict[str, list[_Rule]] = {}
    for rewrite in REWRITES:
        operation, arguments = _read(Tokens(rewrite.before))
        found.setdefault(operation, []).append(_Rule(rewrite, arguments, _read(Tokens(rewrite.after))))
    return found


def _is_letter(pattern: _Pattern) -> bool:
    return isinstance(pattern, str) and pattern != "p"


def _by_first_look(rules: Sequence[_Rule]) -> dict[tuple[int, str], list[_Rule]]:
    """The rules by the first operand that is no letter: its position and operation; by (-1, "") if all are letters."""
    found: dict[tuple[int, str], list[_Rule]] = {}
    for rule in rules:
        inner = [(place, part) for place, part in enumerate(rule.arguments) if not _is_letter(part)]
        look = (-1, "")
        if inner:
            place, part = inner[0]
            look = place, part[0] if isinstance(part, tuple) else "const"
        found.setdefault(look, []).append(rule)
    return found


_RULES = {operation: _by_first_look(rules) for operation, rules in _rules().items()}


def simplified(scalars: Scalars, operation: str, dtype: DType, arguments: tuple[Scalar, ...]) -> Scalar | None:
    """What the operation can be replaced by; None if it has to stay."""
    rules = _RULES.get(operation)
    if rules is None:
        return None
    for place, part in enumerate(arguments):
        result = _first(scalars, rules.get((place, part.operation), ()), dtype, arguments)
        if result is not None:
            return result
    if len(arguments) > 1 and arguments[-1] is arguments[-2]:
        return _first(scalars, rules.get((-1, ""), ()), dtype, arguments)
    return None


def _first(scalars: Scalars, rules: Sequence[_Rule], dtype: DType, arguments: tuple[Scalar, ...]) -> Scalar | None:
    """The result of the first rule that applies."""
    for rule in rules:
        match: _Match = {}
        if all(_matches(pattern, part, match) for pattern, part in zip(rule.arguments, arguments, strict=True)):
            result = _applied(scalars, rule, dtype, arguments, match)
            if result is not None:
                return result
    return None


def _matches(pattern: _Pattern, node: Scalar, match: _Match) -> bool:
    if isinstance(pattern, tuple):
        operation, parts = pattern
        return (
            node.operation == operation
            and len(parts) == len(node.arguments)
            and all(_matches(part, argument, match) for part, argument in zip(parts, node.arguments, strict=True))
        )
    if isinstance(pattern, str):
        if pattern == "p" and not _is_power_of_two(node):
            return False
        return match.setdefault(pattern, node) is node
    if node.operation != "const" or isinstance(node.data, bool) is not isinstance(pattern, bool):
        return False
    return bool(node.data == pattern) and math.copysign(1, node.data) == math.copysign(1, pattern)


def _is_power_of_two(node: Scalar) -> bool:
    return node.operation == "const" and 1e-30 < abs(node.data) < 1e30 and math.frexp(node.data)[0] in (0.5, -0.5)


_CLASSES: dict[str, Callable[[DType, DType, DType], bool]] = {
    "any": lambda dtype, operand, result: True,
    "floating": lambda dtype, operand, result: dtype.is_floating,
    "integer": lambda dtype, operand, result: dtype.is_integer,
    "bool": lambda dtype, operand, result: dtype.is_bool,
    "widened": lambda dtype, operand, result: _passes(dtype, operand, result),
}


def _passes(dtype: DType, between: DType, result: DType) -> bool:
    """Whether a cast to `result` by way of `between` is the cast itself. (Integers that don't fit wrap, floats don't.)"""
    changes_kind = dtype.is_integer and between.is_floating and result.is_integer
    return _holds(between, dtype) and (not changes_kind or _holds(result, dtype) or result is dtype)


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is one of `wide`."""
    if narrow.is_bool or wide.is_bool or narrow is wide:
        return narrow.is_bool
    if wide.is_floating:
        return wide.size > narrow.size if narrow.is_floating else 8 * narrow.size <= _DIGITS[wide]
    return narrow.is_integer and wide.min <= narrow.min and narrow.max <= wide.max


# The bits of whole numbers that floats hold.
_DIGITS = {dtypes.float16: 11, dtypes.bfloat16: 8, dtypes.float32: 24, dtypes.float64: 53}


def _applied(
    scalars: Scalars, rule: _Rule, dtype: DType, arguments: tuple[Scalar, ...], match: _Match
) -> Scalar | None:
    letter = next(iter(match.values()))
    if not _CLASSES[rule.rewrite.of](letter.dtype, arguments[0].dtype, dtype):
        return None
    result = _made(scalars, rule.result, dtype, match)
    return result if result.dtype is dtype else None


def _made(scalars: Scalars, pattern: _Pattern, dtype: DType, match: _Match) -> Scalar:
    if isinstance(pattern, tuple):
        operation, parts = pattern
        made = [_made(scalars, part, dtype, match) for part in parts]
        if operation == "cast" and made[0].dtype is dtype:
            return made[0]
        return scalars.make(operation, dtype, *made)
    if pattern == "1/p":
        return scalars.constant(1 / match["p"].data, match["p"].dtype)
    if isinstance(pattern, str):
        return match[pattern]
    return scalars.constant(pattern, dtype)
