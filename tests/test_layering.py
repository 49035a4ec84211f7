"""The rooms of the package import one way: each only from rooms below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "rillet"

# From the lowest to the highest. Rooms of one line do not import each other.
ORDER = (
    {"errors", "config"},
    {"core"},
    {"ops"},
    {"autodiff"},
    {"compiler"},
    {"engines"},
    {"frontend"},
    {"saving", "datasets"},
    {"train", "data", "summary", "draw", "debug"},
    {"keras"},
    {"modules"},  # imports all that define names
    {"compat"},
    {"", "v1"},  # the namespaces: `import rillet`, `import rillet.v1`
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted((SOURCE / PACKAGE).rglob("*.py"))}
TREES = {name: ast.parse(file.read_bytes()) for name, file in MODULES.items()}


def room(module: str) -> str:
    return f"{module}.".split(".")[1]


def imported(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of each module of ours that `tree`, a part of `module`, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = source_of(module, node)
            submodules = [f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in MODULES]
            names = submodules if len(submodules) == len(node.names) else [base, *submodules]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE:
                yield node.lineno, name


def source_of(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = MODULES[module].name == "__init__.py"
    above = module.split(".")[: -(node.level - is_package) or None]
    return ".".join([*above, *([node.module] if node.module else [])])


def only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


class WithoutTypeImports(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        return node.orelse if only_for_types(node) else self.generic_visit(node)


def test_the_package_is_there() -> None:
    assert {"rillet.errors", "rillet.config", "rillet.cli"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_each_room_has_a_place_in_the_order(module: str) -> None:
    assert room(module) in LEVEL, f"{module}: say in ORDER where {room(module)} stands"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    here = room(module)
    wrong = [
        f"{MODULES[module]}:{line}: {name}"
        for line, name in imported(module, TREES[module])
        if room(name) != here and LEVEL[room(name)] >= LEVEL[here]
    ]
    assert not wrong, f"{here} must not import from its own height or above"


@pytest.mark.parametrize("module", MODULES)
def test_no_function_imports_our_modules(module: str) -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    found = {
        f"{MODULES[module]}:{line}: {name}"
        for node in ast.walk(TREES[module])
        if isinstance(node, functions)
        for line, name in imported(module, node)
    }
    assert not found, "imports of our own modules stand at the top of a file"


def dependencies() -> dict[str, set[str]]:
    """What each module needs when it is imported. A package's own file also runs before its modules, but that it may
    import them is usual; only what is written counts."""
    result: dict[str, set[str]] = {}
    for module, tree in TREES.items():
        running = WithoutTypeImports().visit(ast.parse(ast.unparse(tree)))
        result[module] = {name for _, name in imported(module, running) if name in MODULES} - {module}
    return result


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle, in order, or nothing."""
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in finished:
            return []
        for needed in sorted(graph[module]):
            cycle = visit(needed, [*path, module])
            if cycle:
                return cycle
        finished.add(module)
        return []

    for module in graph:
        cycle = visit(module, [])
        if cycle:
            return cycle
    return []


def test_no_import_cycles() -> None:
    assert not cycle_in(dependencies())


def test_cycles_are_found() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_are_read() -> None:
    tree = ast.parse(
        "import rillet.core.graph\nfrom rillet.core import shapes\nfrom rillet.errors import OpError\nimport os"
    )
    assert list(imported("rillet.cli.run", tree)) == [
        (1, "rillet.core.graph"),
        (2, "rillet.core.shapes"),
        (3, "rillet.errors"),
    ]
    assert [name for _, name in imported("rillet.core.graph", ast.parse("from . import shapes"))] == [
        "rillet.core.shapes"
    ]
    assert [name for _, name in imported("rillet.core", ast.parse("from . import shapes"))] == ["rillet.core.shapes"]
