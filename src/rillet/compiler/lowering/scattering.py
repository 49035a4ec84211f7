"""Writing at indices: scatters, segment sums, and the updates of single rows by optimizers.

They are kernels of their own, which change an array in place: rows are combined one after the other, in the order of the
indices, so that results are the same from run to run. What divides the work among threads are columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant, size_of
from rillet.compiler.bounded import Bounded, arrays_of, common, lowering_of_bounded
from rillet.compiler.index import Linear, Variable, flatten, linear, strides_of, unflatten
from rillet.compiler.rules import Call, lowering
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.execution import VariableState

# Elements that make it worth while to divide the columns; parts that they are divided into at most; bytes of a cache line.
_WORTH_DIVIDING, _MOST_TASKS, _LINE = 1 << 15, 8, 64
_LOGICAL = {"add": "or", "max": "or", "mul": "and", "min": "and"}
# Vector operations that one update of a row costs, apart from its elements.
_ROW = 6


def _parts(elements: int, width: int, dtype: DType) -> int:
    """Into how many tasks rows of that width are divided: equal ones, of whole cache lines."""
    if elements < _WORTH_DIVIDING:
        return 1
    fitting = [
        count for count in range(1, _MOST_TASKS + 1) if width % count == 0 and width // count * dtype.size % _LINE == 0
    ]
    return max(fitting, default=1)


class Rows:
    """Rows (or deeper slices) of an array, named by indices: `target` [*outer, *inner], an update for each index.

    indices: [*several], or [*several, depth] where several coordinates name a slice. skips: negative indices are left out,
    otherwise they are errors, like those that are too large. rising: by how much each is above the one before at least,
    which is an error otherwise.
    count: how many of the indices count (a scalar array); None for all.
    """

    def __init__(
        self,
        target: Array,
        indices: Array,
        deep: bool = False,
        skips: bool = False,
        rising: int | None = None,
        count: Array | None = None,
    ) -> None:
        self.program = target.program
        self.target, self.indices, self.count = target, indices, count
        self.deep, self.skips, self.rising = deep, skips, rising
        self.several = indices.shape[:-1] if deep else indices.shape
        self.depth = indices.shape[-1] if deep else 1
        self.limits = target.shape[: self.depth]
        self.inner = target.shape[self.depth :]
        self.size = size_of(self.several)
        self.width = size_of(self.inner)
        self.tasks = _parts(self.size * self.width, self.width, target.dtype)
        self.task = Variable("task", self.tasks)
        self.columns = self.width // self.tasks
        # These loops are there for one turn, too: what depends on them is not taken out of them.
        self.number = Variable("number", max(2, self.size))
        self.column = Variable("column", max(2, self.columns))

    @property
    def fits(self) -> bool:
        """Whether there is anything to do, and the coordinates are not too many."""
        return self.depth <= self.target.rank and self.target.size > 0 and self.size > 0

    @property
    def work(self) -> int:
        return self.size * (self.width // 4 + _ROW)

    @property
    def reads(self) -> list[Array]:
        return [self.indices] if self.count is None else [self.indices, self.count]

    def place(self) -> tuple[Linear, ...]:
        """Which update it is, as an index of `several`."""
        return unflatten(linear(self.number), self.several)

    def inside(self) -> tuple[Linear, ...]:
        """Which element of the row, as an index of `inner`."""
        return unflatten(self.element(), self.inner)

    def element(self) -> Linear:
        return linear(self.task) * self.columns + linear(self.column)

    def are_known(self) -> bool:
        """Whether the indices are known, and none is out of range."""
        if not isinstance(self.indices, Constant):
            return False
        numbers = np.asarray(self.indices.value).reshape(-1, self.depth)
        if self.rising is not None and (np.diff(numbers[:, 0]) < self.rising).any():
            return False
        return bool(((self.skips | (numbers >= 0)) & (numbers < np.array(self.limits))).all())

    def _coordinates(self, w: Any) -> list[Any]:
        """The coordinates of the present update, as numbers (i64)."""
        last: list[tuple[int, ...]] = [(axis,) for axis in range(self.depth)] if self.deep else [()]
        return [w.value(self.program.convert(self.indices.at(*self.place(), *axis), dtypes.int64)) for axis in last]

    def _stop(self, w: Any) -> Any:
        if self.count is None:
            return w.b.i64(self.size)
        return w.value(self.program.convert(self.count.at(), dtypes.int64))

    def checked(self) -> list[Array]:
        """One number: whether all indices are in range, which is an error if they are not. (None if they are known.)

        It comes from a kernel of its own, so that the one which writes cannot fail: variables are changed in place when all
        that can fail is done.
        """
        if self.are_known():
            return []
        (found,) = self.program.opaque(
            "check indices", self.reads, [((1,), dtypes.int32)], self._check,
            work=self.size, streamed=range(2), can_fail=True,
        )  # fmt: skip
        return [found]

    def _check(self, w: Any) -> None:
        b = w.b
        greatest = "smax" if self.skips else "umax"
        least = -(1 << 63)
        with w.loop(self.number, self._stop(w), [*[b.i64(0)] * self.depth, b.i64(least), b.i64(0)]) as loop:
            *most, before, falls = loop.carried
            found = self._coordinates(w)
            now = found[0] if found else before
            most = [b.intrinsic(greatest, "i64", *pair) for pair in zip(most, found, strict=True)]
            if self.rising is not None:
                too_low = b.compare("slt", now, b.add(before, b.i64(self.rising)))
                falls = b.binary("or", falls, b.convert("zext", too_low, "i64"))
            loop.carry(*most, now, falls)
        bad = b.compare("ne", loop.results[-1], b.i64(0))
        for worst, limit in zip(loop.results, self.limits, strict=False):
            bad = b.binary("or", bad, b.compare("sge" if self.skips else "uge", worst, b.i64(limit)))
        w.fail(bad)
        w.store(b.select(bad, b.constant("i32", 0), b.constant("i32", 1)), w.opaque.outputs[0], b.i64(0))

    def each(self, w: Any, checked: Sequence[Array], body: Callable[[Any, int], None]) -> None:
        """Calls body(place, lanes) to write what is done to `lanes` neighbours from element number `place` of the target."""
        b, step = w.b, self.columns
        for found in checked:
            w.leave(b.compare("eq", w.load(found, b.i64(0)), b.constant("i32", 0)))
        steps = strides_of(self.limits)
        with w.tasks(self.task) as task, w.loop(self.number, self._stop(w)):
            coordinates = self._coordinates(w)
            row = b.i64(0)
            for number, stride in zip(coordinates, steps, strict=True):
                row = b.add(row, b.mul(number, b.i64(stride)))
            first = b.add(b.mul(row, b.i64(self.width)), b.mul(task, b.i64(step)))

            def columns() -> None:
                lanes = w.target.lanes(self.target.dtype.size) * 2
                w.across(self.column, lambda start, width: body(b.add(first, start), width), lanes, self.columns)

            if not self.skips:
                columns()
                return
            with b.when(b.compare("sge", coordinates[0], b.i64(0))):
                columns()


def scatter(
    target: Array, indices: Array, updates: Array, kind: str, deep: bool = False, **options: Any
) -> Array:  # fmt: skip
    """`target` with its rows at the indices combined with updates [*several, *inner] (or a scalar), in order. See Rows."""
    rows = Rows(target, indices, deep, **options)
    whole = (*rows.several, *rows.inner)
    program, dtype = target.program, target.dtype
    operation = _LOGICAL.get(kind, kind) if dtype.is_bool else kind
    if not size_of(whole):
        return target
    updates = program.broadcast(updates, whole)

    def emit(w: Any) -> None:
        output = w.opaque.outputs[0]

        def combine(place: Any, lanes: int) -> None:
            value = w.value(updates.at(*rows.place(), *rows.inside()))
            if kind != "update":
                value = w.apply(operation, dtype, w.load(output, place, lanes), value)
            w.store(w.b.splat(value, lanes), output, place)

        rows.each(w, checked, combine)

    checked = rows.checked()
    inputs = (target, *checked, updates, *rows.reads)
    return program.opaque(
        f"scatter {kind}", inputs, [(target.shape, dtype)], emit,
        tasks=rows.tasks, work=rows.work, in_place={0: 0}, streamed=range(1 + len(checked), len(inputs)),
    )[0]  # fmt: skip


def write_part(
    target: Array, shape: Sequence[int], place: Callable[[Sequence[Linear]], Sequence[Linear]], value: Array,
    starts: Sequence[Array] = (),
) -> Array:  # fmt: skip
    """`target` with other values at some places: value [*shape] goes to place(index of value). starts: what that reads."""
    program = target.program
    extents = tuple(shape) or (1,)
    variables = tuple(Variable(f"i{axis}", extent) for axis, extent in enumerate(extents))

    def emit(w: Any) -> None:
        output = w.opaque.outputs[0]
        index = [linear(variable) for variable in variables][: len(shape)]
        where = flatten(place(index), target.shape)
        last = variables[-1]
        side_by_side = last.extent == 1 or where.terms.get(last) == 1

        def put(first: Any, lanes: int) -> None:
            start = w.b.add(
                w.index(where - linear(last) if side_by_side else where), first if side_by_side else w.b.i64(0)
            )
            w.store(w.b.splat(w.value(value.at(*index)), lanes), output, start)

        def nest(rest: Sequence[Variable]) -> None:
            if not rest:
                w.across(last, put, None if side_by_side else 1)
                return
            with w.loop(rest[0]):
                nest(rest[1:])

        with w.tasks():
            nest(variables[:-1])

    inputs = (target, *starts, value)
    work = size_of(extents) // (4 if len(shape) else 1) + 8
    return program.opaque(
        "write part", inputs, [(target.shape, target.dtype)], emit,
        work=work, in_place={0: 0}, streamed=(len(inputs) - 1,),
    )[0]  # fmt: skip


def filled(program: Arrays, value: float | int, shape: Sequence[int], dtype: DType) -> Array:
    return program.broadcast(program.constant(value, dtype), shape)


# ---- scatters -------------------------------------------------------------------------------------------------------


def _scatter_nd(
    call: Call, target: Array, indices: Array, updates: Array, kind: str, count: Array | None = None
) -> Array:
    call.require(indices.rank > 0 and indices.shape[-1] <= target.rank)
    call.require(updates.shape == (*indices.shape[:-1], *target.shape[indices.shape[-1] :]))
    return _scattered(call, target, indices, updates, kind, True, count)


def _scattered(
    call: Call, target: Array, indices: Array, updates: Array, kind: str, deep: bool, count: Array | None = None
) -> Array:
    rows = Rows(target, indices, deep)
    call.require(rows.fits or not rows.size, "nothing to write to")
    call.require(not isinstance(indices, Constant) or rows.are_known(), "an index out of range")
    return scatter(target, indices, updates, kind, deep, count=count)


@lowering("ScatterNd")
def scatter_nd(call: Call, indices: Array, updates: Array, shape: Array, count: Array | None = None) -> Array:
    """count: how many of the indices count (a scalar array); None for all."""
    sizes = call.integers(shape)
    call.require(all(size >= 0 for size in sizes))
    return _scatter_nd(call, filled(call.program, 0, sizes, updates.dtype), indices, updates, "add", count)


_TENSOR_KINDS = {"Update": "update", "Add": "add", "Sub": "sub", "Max": "max", "Min": "min", "Mul": "mul", "Div": "div"}


def _define_scatters(name: str, kind: str) -> None:
    @lowering(f"TensorScatter{name}", *(["ScatterNdNonAliasingAdd"] if name == "Add" else []))
    def of_tensor(call: Call, tensor: Array, indices: Array, updates: Array) -> Array:
        return _scatter_nd(call, tensor, indices, updates, kind)

    @lowering(f"ScatterNd{name}", f"ResourceScatterNd{name}")
    def of_cells(call: Call, state: VariableState, indices: Array, updates: Array) -> Sequence[Any]:
        call.lowering.write(state, _scatter_nd(call, call.lowering.read(state), indices, updates, kind))
        return [state] if call.operation.outputs else []

    @lowering(f"Scatter{name}", f"ResourceScatter{name}")
    def of_rows(
        call: Call, state: VariableState, indices: Array, updates: Array, count: Array | None = None
    ) -> Sequence[Any]:
        old = call.lowering.read(state)
        call.require(old.rank > 0 and updates.shape in ((), (*indices.shape, *old.shape[1:])))
        call.lowering.write(state, _scattered(call, old, indices, updates, kind, False, count))
        return [state] if call.operation.outputs else []

    @lowering_of_bounded(f"Scatter{name}", f"ResourceScatter{name}")
    def of_some_rows(call: Call, state: VariableState, indices: Any, updates: Any) -> Sequence[Any]:
        call.require(isinstance(indices, Bounded))
        rows, values = arrays_of((indices, updates))
        return of_rows(call, state, rows, values, common(call, indices, updates).count)


for _name, _kind in _TENSOR_KINDS.items():
    _define_scatters(_name, _kind)


@lowering("InplaceUpdate", "InplaceAdd", "InplaceSub")
def change_rows(call: Call, x: Array, rows: Array, values: Array) -> Array:
    """Rows counted cyclically."""
    call.require(x.rank > 0 and x.shape[0] > 0 and values.shape == (rows.size, *x.shape[1:]))
    program = call.program
    within = program.elementwise(
        "mod", rows.dtype, program.reshape(rows, (rows.size,)), program.constant(x.shape[0], rows.dtype)
    )
    return scatter(x, within, values, call.operation.type.removeprefix("Inplace").lower())
