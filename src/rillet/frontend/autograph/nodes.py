"""Making syntax trees."""

from __future__ import annotations

import ast
from typing import Any, TypeVar

Node = TypeVar("Node", bound=ast.AST)


def at(node: Node, place: ast.AST) -> Node:
    """`node`, for whose parts `place` is the place in the user's file."""
    for part in ast.walk(node):
        if not hasattr(part, "lineno") and "lineno" in part._attributes:
            ast.copy_location(part, place)
    return node


def assign(name: str, value: ast.expr, place: ast.AST) -> ast.stmt:
    return at(ast.Assign([ast.Name(name, ast.Store())], value), place)


def load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def function_def(name: str, arguments: ast.arguments, body: list[ast.stmt]) -> ast.FunctionDef:
    return ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=[], returns=None, **_NO_TYPES)


def class_def(name: str, body: list[ast.stmt]) -> ast.ClassDef:
    return ast.ClassDef(name=name, bases=[], keywords=[], body=body, decorator_list=[], **_NO_TYPES)


def parameters(*names: str) -> ast.arguments:
    args = [ast.arg(name) for name in names]
    return ast.arguments(posonlyargs=[], args=args, kwonlyargs=[], kw_defaults=[], defaults=[])


# From Python 3.12 on functions and classes have type parameters, here none.
_NO_TYPES: dict[str, Any] = {"type_params": []} if "type_params" in ast.FunctionDef._fields else {}
