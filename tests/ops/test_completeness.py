"""Every op's definition is whole, and every op is reached by a row of the table."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from rillet.core.function import Function, decomposition
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, OpDef
from tests.ops import harness
from tests.ops.harness import BASE, Row

harness.module_under_test()  # importing the package is what fills the registry


def _definitions() -> list[Any]:
    return [pytest.param(definition, id=name) for name, definition in sorted(REGISTRY.items())]


@pytest.mark.parametrize("definition", _definitions())
def test_definition_is_whole(definition: OpDef) -> None:
    missing = []
    if definition.shape is None:
        missing.append("shape inference")
    if (definition.reference is None) == (definition.decompose is None):
        missing.append("one of a reference kernel and a decomposition")
    if definition.gradient is None:
        missing.append("a gradient rule, or NO_GRADIENT")
    assert not missing, f"{definition.name} has no {' and no '.join(missing)}"


def _operations_in(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Operations, and those of the functions they call and of their decompositions."""
    for operation in operations:
        yield operation
        for value in operation.attrs.values():
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, Function):
                    yield from _operations_in(part.operations)
        if operation.definition.decompose is not None:
            yield from _operations_in(decomposition(operation).operations)


def _graphs_of(tf: Any, row: Row) -> Iterator[Any]:
    """The graph of a row, and that of its gradients."""
    arrays = row.arrays(BASE, row.dtypes[0])
    yield harness.forward_graph(tf, row, arrays, unknown=False)[0]
    if row.differentiated():
        yield harness.gradient_graph(tf, row, BASE, row.arrays(BASE, row.gradient_dtypes[0]))[0]


@functools.cache
def _traced() -> tuple[frozenset[str], tuple[str, ...]]:
    """The op types that the rows reach, and why rows could not be traced."""
    tf = harness.module_under_test()
    types: set[str] = set()
    failures = []
    for row in harness.all_rows().values():
        try:
            for graph in _graphs_of(tf, row):
                types |= {operation.type for operation in _operations_in(graph.get_operations())}
        except Exception as error:  # all of them are wanted, not the first alone
            if row.graph:
                failures.append(f"{row.name}: {type(error).__name__}: {error}")
    return frozenset(types), tuple(failures)


def test_every_row_is_traced() -> None:
    _, failures = _traced()
    assert not failures, "\n".join(failures)


_WITH_TABLES_OF_THEIR_OWN = ("rillet.ops.dataset", "rillet.saving", "rillet.summary")


def _in_table() -> list[str]:
    """All ops but those of datasets (tests/pipelines has a table for them), and those that files are saved by (each is run
    in tests/saving and tests/summary, if those rooms have been opened)."""
    return sorted(
        name
        for name, definition in REGISTRY.items()
        if not getattr(definition.reference, "__module__", "").startswith(_WITH_TABLES_OF_THEIR_OWN)
    )


@pytest.mark.parametrize("name", _in_table())
def test_op_is_reached(name: str) -> None:
    types, _ = _traced()
    assert name in types, f"no row of tests/ops/rows_*.py makes a graph with the op {name}: add one"


def test_registry_is_broad() -> None:
    differentiable = [definition.name for definition in REGISTRY.values() if definition.differentiable]
    assert len(REGISTRY) >= 350, f"{len(REGISTRY)} op types"
    assert len(differentiable) >= 250, f"{len(differentiable)} differentiable op types"
