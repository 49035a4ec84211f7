"""What a contraction is made of: operands, and the loops that suit several of them. See contraction.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rillet.engines.native.llvm import Builder, Value

Axes = tuple[tuple[int, int], ...]
Load = Callable[[Builder, Value, Value, Value, int], Value]
Store = Callable[[Builder, Value, Value, Value, Value, int], None]
Announce = Callable[[Builder, Value, Value, Value], None]


@dataclass(frozen=True)
class Strided:
    """Elements in memory: see contraction.py."""

    operand: int
    element: str
    rows: Axes
    columns: Axes
    batch: Axes = ()
    offset: int = 0

    @property
    def transposed(self) -> Strided:
        return replace(self, rows=self.columns, columns=self.rows)


@dataclass(frozen=True)
class Computed:
    """Elements that a callback gives: see contraction.py."""

    load: Load
    rows: int
    columns: int
    batch: int = 1
    along: str = "columns"

    @property
    def transposed(self) -> Computed:
        def load(b: Builder, batch: Value, row: Value, column: Value, lanes: int) -> Value:
            return self.load(b, batch, column, row, lanes)

        along = "rows" if self.along == "columns" else "columns"
        return Computed(load, self.columns, self.rows, self.batch, along)


Operand = Strided | Computed


def accumulator(a: Operand, b: Operand) -> str:
    """The type that is computed with: double if an operand in memory is, else float."""
    double = any(isinstance(operand, Strided) and operand.element == "double" for operand in (a, b))
    return "double" if double else "float"


@dataclass(frozen=True)
class Axis:
    """A loop: how often it runs and how far each operand moves in it."""

    extent: int
    strides: tuple[int, ...]


def extent_of(axes: Sequence[Axis]) -> int:
    """How often loops inside each other run."""
    return math.prod(axis.extent for axis in axes)


def coalesce(axes: Sequence[Axis]) -> list[Axis]:
    """The same loops, with neighbours that move every operand evenly made one, and those that run once left out."""
    result: list[Axis] = []
    for axis in axes:
        if axis.extent == 1:
            continue
        outer = result[-1] if result else None
        if outer and all(wide == axis.extent * stride for wide, stride in zip(outer.strides, axis.strides)):
            result[-1] = Axis(outer.extent * axis.extent, axis.strides)
        else:
            result.append(axis)
    return result


def merge(what: str, *lists: Axes) -> list[Axis]:
    """The loops over one axis that suit every operand, outermost first; never empty."""
    extents = {math.prod(extent for extent, _ in axes) for axes in lists}
    if len(extents) > 1:
        raise ValueError(f"The operands of a contraction do not agree about {what}: {lists}")
    remaining = [[pair for pair in axes if pair[0] != 1] for axes in lists]
    merged: list[Axis] = []
    while any(remaining):
        extent = min(axes[-1][0] for axes in remaining)
        strides = []
        for axes in remaining:
            whole, stride = axes.pop()
            if whole % extent:
                raise ValueError(f"The operands of a contraction cut {what} in ways that do not fit together: {lists}")
            if whole > extent:
                axes.append((whole // extent, stride * extent))
            strides.append(stride)
        merged.insert(0, Axis(extent, tuple(strides)))
    return coalesce(merged) or [Axis(1, (1,) * len(lists))]


@dataclass(frozen=True)
class Problem:
    """What is to be computed, as loops. swapped: the roles of a and b are exchanged and C transposed is computed.

    A computed operand moves by its index, and so does a result that is nowhere.
    """

    a: Operand
    b: Operand
    c: Strided | None
    store: Store | None
    batch: list[Axis]  # strides of a, b, c
    m: list[Axis]  # of a, c
    n: list[Axis]  # of b, c
    k: list[Axis]  # of a, b
    element: str
    swapped: bool = False
    announce: Announce | None = None

    @staticmethod
    def of(a: Operand, b: Operand, c: Strided | None, store: Store | None, announce: Announce | None = None) -> Problem:
        """The problem of multiplying a and b. Raises ValueError if their extents do not fit together."""
        if c is None and store is None:
            raise ValueError("A contraction needs a place or a function for its results")

        def third(axis: str, like: Axes) -> Axes:
            return _listed(c, axis) if c is not None else ((math.prod(extent for extent, _ in like), 1),)

        batches, rows, columns = _listed(a, "batch"), _listed(a, "rows"), _listed(b, "columns")
        return Problem(
            a,
            b,
            c,
            store,
            merge("batch", batches, _listed(b, "batch"), third("batch", batches)),
            merge("m", rows, third("rows", rows)),
            merge("n", columns, third("columns", columns)),
            merge("k", _listed(a, "columns"), _listed(b, "rows")),
            accumulator(a, b),
            announce=announce,
        )

    @property
    def transposed(self) -> Problem:
        """The same with the roles of rows and columns exchanged."""

        def exchanged(axes: list[Axis]) -> list[Axis]:
            return [Axis(axis.extent, (axis.strides[1], axis.strides[0], *axis.strides[2:])) for axis in axes]

        c = self.c.transposed if self.c else None
        return replace(
            self,
            a=self.b.transposed,
            b=self.a.transposed,
            c=c,
            batch=exchanged(self.batch),
            m=self.n,
            n=self.m,
            k=exchanged(self.k),
            swapped=not self.swapped,
        )


def _listed(operand: Operand, axis: str) -> Axes:
    listed = getattr(operand, axis)
    return ((listed, 1),) if isinstance(operand, Computed) else listed
