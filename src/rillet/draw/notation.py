"""How ops are written: a sign between operands, a function, or the op's own type."""

from __future__ import annotations

_SIGNS = {
    "Add": "+",
    "AddV2": "+",
    "AddN": "Σ",
    "Sub": "−",
    "Mul": "×",
    "RealDiv": "÷",
    "Div": "÷",
    "DivNoNan": "÷",
    "FloorDiv": "//",
    "FloorMod": "mod",
    "Pow": "xʸ",
    "Square": "x²",
    "Sqrt": "√",
    "Neg": "−x",
    "Abs": "|x|",
    "MatMul": "@",
    "BatchMatMulV2": "@",
    "Sigmoid": "σ",
    "Sum": "Σ",
    "Prod": "Π",
    "Exp": "eˣ",
    "Less": "<",
    "LessEqual": "≤",
    "Greater": ">",
    "GreaterEqual": "≥",
    "Equal": "=",
    "NotEqual": "≠",
    "LogicalAnd": "∧",
    "LogicalOr": "∨",
    "LogicalNot": "¬",
    "BiasAdd": "+ bias",
    "SquaredDifference": "(x−y)²",
}

# Ops that are written between their operands, and what stands there in plain text.
INFIX = {"Add": " + ", "AddV2": " + ", "Sub": " − ", "Mul": "·", "RealDiv": "/", "Div": "/", "MatMul": " @ "}


def symbol(op: str) -> str:
    """The sign of an op, or a readable form of its type: "matmul", "Conv2D"."""
    return _SIGNS.get(op, _plain(op))


def _plain(op: str) -> str:
    name = op.removesuffix("V2").removesuffix("V3")
    return name.lower() if name.isalpha() and name[1:].islower() else name


def function_name(op: str) -> str:
    """An op as a function: "σ", "sum", "softmax"."""
    return "σ" if op == "Sigmoid" else _plain(op)
