"""The syntax tree of a function, with the line and column numbers of its file."""

from __future__ import annotations

import ast
import copy
import linecache
from collections.abc import Iterator
from types import CodeType

FunctionNode = ast.FunctionDef | ast.Lambda


class SourceUnavailable(ValueError):
    """There is no source that belongs to a function."""


_TREES: dict[str, tuple[list[str], ast.Module]] = {}  # by file name: its lines, and what they parse to
_MOST_TREES = 16


def function_node(code: CodeType) -> FunctionNode:
    """A copy of the `def` or `lambda` that `code` was compiled from.

    Raises SourceUnavailable where the file can't be read or holds something else by now.
    """
    candidates = [node for node in _functions_of(_tree(code.co_filename)) if _may_be(node, code)]
    if len(candidates) > 1:
        candidates = [node for node in candidates if _is_at(node, code)]
    if len(candidates) != 1:
        raise SourceUnavailable(f"{code.co_filename}:{code.co_firstlineno} holds no source of {code.co_name}")
    return copy.deepcopy(candidates[0])


def _tree(filename: str) -> ast.Module:
    lines = linecache.getlines(filename)
    known = _TREES.get(filename)
    if known is not None and known[0] is lines:
        return known[1]
    if not lines:
        raise SourceUnavailable(f"the source of {filename} is not available")
    try:
        tree = ast.parse("".join(lines), filename)
    except SyntaxError as error:
        raise SourceUnavailable(f"{filename} does not parse: {error}") from None
    if len(_TREES) >= _MOST_TREES:
        _TREES.clear()
    _TREES[filename] = (lines, tree)
    return tree


def _functions_of(tree: ast.AST) -> Iterator[FunctionNode]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda)))


def _may_be(node: FunctionNode, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _is_at(node: FunctionNode, code: CodeType) -> bool:
    """Whether the instructions of `code` come from the body of `node`."""
    body = node.body if isinstance(node, ast.Lambda) else node
    for line, end_line, column, end_column in code.co_positions():
        if line is None or column is None or end_column is None or end_column == 0:
            continue
        start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
        if not (start <= (line, column) and (end_line, end_column) <= end):
            return False
    return True
