"""Whether a program was written for TensorFlow 1 or 2: read from its source, which is not run.

A name that TensorFlow 1 has and TensorFlow 2 has not decides for 1. Names that are only tried out do not count: those
in a `try` whose `except` expects them to be missing, and those under an `if` that asks for the version or `hasattr`.

A program that reaches TensorFlow 1's names through `compat.v1` runs on TensorFlow 2, where eager execution is the
default: it is one for 2. Only where it makes placeholders or sessions, but neither a graph of its own nor the switch to
graphs, it must have been written for a TensorFlow whose default they are.
"""

from __future__ import annotations

import ast
import functools
import warnings
from collections.abc import Iterator
from pathlib import Path

NAMES_FILE = Path(__file__).with_name("tf1_only_names.txt")
FILES_AT_MOST = 200
_COMPAT_V1 = "compat.v1."
_SWITCHES = {"disable_eager_execution", "disable_v2_behavior", "enable_eager_execution", "enable_v2_behavior"}
_LAZY = {"InteractiveSession", "Session", "placeholder", "sparse_placeholder"}
_EXPECTED_WHEN_MISSING = {"AttributeError", "BaseException", "Exception", "ImportError", "ModuleNotFoundError"}


def pick_api(source: str | bytes, file: Path | None = None) -> str:
    """ "v1" or "v2" for a program.

    file: where the source was read from. The modules beside it that it imports, and those that they import, count as
        parts of the program.

    Raises SyntaxError when `source` is no Python of this version.
    """
    waiting = [(_parse(source), file)]
    seen = {file}
    while waiting:
        tree, origin = waiting.pop(0)
        if _is_for_tf1(tree):
            return "v1"
        for beside in _imported_files(tree, origin):
            if beside not in seen and len(seen) < FILES_AT_MOST:
                seen.add(beside)
                waiting.extend((tree, beside) for tree in _parse_if_possible(beside))
    return "v2"


def _parse(source: str | bytes) -> ast.Module:
    with warnings.catch_warnings():  # they are shown when the program is compiled
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _parse_if_possible(file: Path) -> list[ast.Module]:
    """A module that cannot be read fails when the program imports it, with Python's own words; it tells nothing now."""
    try:
        return [_parse(file.read_bytes())]
    except (OSError, SyntaxError, ValueError):
        return []


@functools.cache
def tf1_only_names() -> frozenset[str]:
    """A name stands for all names that begin with it and a dot."""
    return frozenset(NAMES_FILE.read_text().split())


def _is_for_tf1(tree: ast.Module) -> bool:
    names = set(_names_used(tree))
    if any(map(_is_tf1_only, names)):
        return True
    through_compat = {name.removeprefix(_COMPAT_V1) for name in names if name.startswith(_COMPAT_V1)}
    chooses_itself = "Graph" in names or through_compat & {"Graph", *_SWITCHES}
    return bool(through_compat & _LAZY) and not chooses_itself


def _is_tf1_only(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:count]) in tf1_only_names() for count in range(1, len(parts) + 1))


def _names_used(tree: ast.Module) -> Iterator[str]:
    """TensorFlow's names in the program, dotted, without a leading `tf`; those only tried out are left out."""
    nodes = list(_unguarded(tree))
    bound: dict[str, str] = {}  # a variable of the program -> the name of TensorFlow's that it stands for
    for node in nodes:
        bound.update(_bindings(node))
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = _dotted(node.value, bound)  # tf = tf.compat.v1
            if name == "compat.v1":
                bound[node.targets[0].id] = name
    yield from bound.values()
    for node in nodes:
        name = _dotted(node, bound)
        if name:
            yield name


def _unguarded(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _asks_what_there_is(child.test):
            continue
        if isinstance(child, ast.Try) and any(map(_expects_missing_names, child.handlers)):
            continue
        yield from _unguarded(child)


def _asks_what_there_is(test: ast.expr) -> bool:
    words = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    words |= {node.attr for node in ast.walk(test) if isinstance(node, ast.Attribute)}
    return any(word == "hasattr" or "version" in word.lower() for word in words)


def _expects_missing_names(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in _EXPECTED_WHEN_MISSING for node in ast.walk(handler.type))


def _bindings(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The variables that an import binds to TensorFlow's names. TensorFlow itself has the empty name."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top, _, rest = alias.name.partition(".")
            if top == "tensorflow":
                yield (alias.asname, rest) if alias.asname else (top, "")
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        top, _, rest = node.module.partition(".")
        if top == "tensorflow":
            for alias in node.names:
                yield alias.asname or alias.name, f"{rest}.{alias.name}".removeprefix(".")


def _dotted(node: ast.AST, bound: dict[str, str]) -> str:
    """`nn.relu` for the expression tf.nn.relu, and nothing for an expression that does not begin with TensorFlow."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in bound:
        return ""
    return ".".join(filter(None, [bound[node.id], *names]))


def _imported_files(tree: ast.Module, origin: Path | None) -> Iterator[Path]:
    """The modules that a program imports from the folder it lies in."""
    if origin is None:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
            folder = origin.parent
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            paths = [module, *([*module, alias.name] for alias in node.names)]
            folder = origin.parents[max(node.level - 1, 0)]
        else:
            continue
        for path in paths:
            for file in (folder.joinpath(*path, "__init__.py"), folder.joinpath(*path).with_suffix(".py")):
                if path and file.is_file():
                    yield file
