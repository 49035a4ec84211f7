"""Arrays as the compiler sees them: each says how one of its elements is computed, and none is in memory yet.

    Source        memory that the caller gives: an input, a variable
    Constant      numbers known now
    Map           element = a function of its index, which reads other arrays: arithmetic, views, gathers, random numbers
    Reduction     sums (products, maxima, ...) of another array along axes
    Contraction   sums of products: matrix products, convolutions
    Opaque        made by a kernel of its own kind (sorting, scattering); an `Output` is one of its results

Lowering rules (rillet.compiler.lowering) write ops in these; rillet.compiler.schedule decides which arrays come to memory
and which kernels compute them; an array that does not is computed anew in each kernel that reads it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from rillet.compiler.index import ZERO, Dynamic, Index, Linear, Variable, flatten, linear, loop_variables, unflatten
from rillet.compiler.passes import switched_off
from rillet.compiler.scalar import CHECKS, COSTS, Scalar, Scalars, loads
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.graph import Operation

Shape = tuple[int, ...]
Compute = Callable[..., Scalar]


def size_of(shape: Sequence[int]) -> int:
    result = 1
    for extent in shape:
        result *= extent
    return result


class Array:
    """`number` counts arrays in the order in which they were made, which is an order of dependence.
    `stored` says that the array has (or will have) a place in memory, so that readers load it. `origin` is the operation
    of the Function that it comes from, if it comes from one."""

    __slots__ = ("dtype", "name", "number", "origin", "program", "shape", "size", "stored")

    def __init__(self, program: Arrays, shape: Shape, dtype: DType, name: str = "") -> None:
        self.program = program
        self.shape = tuple(int(extent) for extent in shape)
        self.dtype = dtype
        self.size = size_of(self.shape)
        self.number = len(program.arrays)
        self.name = name or f"a{self.number}"
        self.origin = program.origin
        self.stored = True
        program.arrays.append(self)

    def __repr__(self) -> str:
        return f"{self.name}: {self.dtype.name}{list(self.shape)}"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.size

    @property
    def reads(self) -> tuple[Array, ...]:
        """The arrays that this one is computed from."""
        return ()

    def at(self, *index: Linear | int) -> Scalar:
        """The element at `index`: its value is loaded, or computed where it is asked for."""
        return self.program.read(self, tuple(linear(part) for part in index))


class Source(Array):
    """kind: "input" or "variable"; `key` tells which."""

    __slots__ = ("key", "kind")

    def __init__(self, program: Arrays, shape: Shape, dtype: DType, kind: str, key: Any, name: str = "") -> None:
        super().__init__(program, shape, dtype, name)
        self.kind = kind
        self.key = key


class Constant(Array):
    __slots__ = ("splat", "value")

    def __init__(self, program: Arrays, value: np.ndarray[Any, Any], dtype: DType, name: str = "") -> None:
        super().__init__(program, value.shape, dtype, name)
        self.value = value
        self.splat: Any = None
        if value.size and dtype.is_numpy_compatible and value.dtype.kind != "O":
            first = value.reshape(-1)[0]
            same = value.size == 1 or bool((value == first).all())
            if same and not (first == 0 and np.signbit(np.asarray(value, np.float64)).any() and value.size > 1):
                self.splat = first


class Map(Array):
    """compute(*index) gives the element. `cost` is its own work for one element (0: only the index changes), `repeats` how
    often it reads each element that it reads (2 and more: overlapping windows). Of a view, place(*index) is the index in
    the one array that it reads."""

    __slots__ = ("_reads", "compute", "cost", "place", "repeats")

    def __init__(
        self,
        program: Arrays,
        shape: Shape,
        dtype: DType,
        compute: Compute,
        reads: Sequence[Array],
        cost: int = 1,
        repeats: int = 1,
        name: str = "",
    ) -> None:
        super().__init__(program, shape, dtype, name)
        self.compute = compute
        self._reads = tuple(reads)
        self.cost = cost
        self.repeats = repeats
        self.place: Callable[..., Sequence[Linear | int]] | None = None
        self.stored = False

    @property
    def reads(self) -> tuple[Array, ...]:
        return self._reads


class Reduction(Array):
    """kind: sum, product, max, min, all, any; or argmax, argmin (the first index where it is, along one axis)."""

    __slots__ = ("axes", "kind", "source")

    def __init__(
        self, program: Arrays, source: Array, axes: tuple[int, ...], kind: str, dtype: DType, name: str = ""
    ) -> None:
        kept = tuple(extent for axis, extent in enumerate(source.shape) if axis not in axes)
        super().__init__(program, kept, dtype, name)
        self.source = source
        self.axes = axes
        self.kind = kind

    @property
    def reads(self) -> tuple[Array, ...]:
        return (self.source,)


class Contraction(Array):
    """result[batch.., rows.., columns..] = sum over inner.. of left(batch, rows, inner) * right(batch, inner, columns).

    `left_index` and `right_index` turn (batch indices, row indices, inner indices) and (batch, inner, column) into
    indices of the arrays `left` and `right`.
    """

    __slots__ = ("batch", "columns", "inner", "left", "left_index", "right", "right_index", "rows")

    def __init__(
        self,
        program: Arrays,
        batch: Shape,
        rows: Shape,
        columns: Shape,
        inner: Shape,
        left: Array,
        left_index: Callable[[Index, Index, Index], Index],
        right: Array,
        right_index: Callable[[Index, Index, Index], Index],
        dtype: DType,
        name: str = "",
    ) -> None:
        super().__init__(program, (*batch, *rows, *columns), dtype, name)
        for operand in (left, right):
            if isinstance(operand, Constant):
                operand.splat = None  # it is read from memory
        self.batch, self.rows, self.columns, self.inner = batch, rows, columns, inner
        self.left, self.left_index = left, left_index
        self.right, self.right_index = right, right_index

    @property
    def reads(self) -> tuple[Array, ...]:
        return (self.left, self.right)


class Opaque:
    """A kernel that writes whole arrays in its own way.

    emit(writer) writes the body; see rillet.engines.native.opaque. in_place: from the position of an output to that of the
    input it begins as: it takes over the memory of that input if nobody reads it later, and is a copy otherwise.
    streamed: the positions of inputs that are read by `at`, element by element: they need not be in memory. can_fail: whether
    it may stop the program with an error of its own.
    """

    __slots__ = ("can_fail", "emit", "in_place", "inputs", "name", "outputs", "scratch", "streamed", "tasks", "work")

    def __init__(
        self,
        name: str,
        inputs: Sequence[Array],
        emit: Callable[..., None],
        tasks: int = 1,
        work: int = 0,
        in_place: dict[int, int] | None = None,
        scratch: int = 0,
        streamed: Sequence[int] = (),
        can_fail: bool = False,
    ) -> None:
        self.name = name
        self.can_fail = can_fail
        self.inputs = tuple(inputs)
        self.emit = emit
        self.tasks = tasks
        self.work = work
        self.in_place = in_place or {}
        self.scratch = scratch
        self.streamed = frozenset(streamed)
        self.outputs: list[Output] = []


class Output(Array):
    __slots__ = ("opaque", "position")

    def __init__(self, program: Arrays, opaque: Opaque, shape: Shape, dtype: DType, name: str = "") -> None:
        super().__init__(program, shape, dtype, name)
        self.opaque = opaque
        self.position = len(opaque.outputs)
        opaque.outputs.append(self)

    @property
    def reads(self) -> tuple[Array, ...]:
        return self.opaque.inputs

    def streams(self, array: Array) -> bool:
        """Whether the kernel reads that input by `at` only, so that it need not be in memory."""
        opaque = self.opaque
        return all(place in opaque.streamed for place, source in enumerate(opaque.inputs) if source is array)


class Row(Opaque):
    """A row of an array, named by a scalar (int32 or int64) that must be below `limit`: no kernel, just an address."""

    __slots__ = ("limit",)

    def __init__(self, buffer: Array, index: Array, limit: int) -> None:
        super().__init__("row", (buffer, index), _no_kernel, can_fail=True)
        self.limit = limit
        Output(buffer.program, self, buffer.shape[1:], buffer.dtype)

    @staticmethod
    def behind(array: Array) -> Array | None:
        """The array that `array` is a row of, if it is one."""
        is_row = isinstance(array, Output) and isinstance(array.opaque, Row)
        return array.opaque.inputs[0] if is_row else None  # type: ignore[attr-defined]


def _no_kernel(writer: Any) -> None:
    raise AssertionError("there is no kernel to be written")


def with_buffers(arrays: Sequence[Array]) -> list[Array]:
    """The arrays, and those that some are rows of."""
    result = list(arrays)
    for array in result:
        buffer = Row.behind(array)
        if buffer is not None:
            result.append(buffer)
    return result


class Arrays:
    """All arrays of one program, and the making of them: the vocabulary of lowering rules."""

    def __init__(self, off: Collection[str] | None = None) -> None:
        """off: the optional passes that are switched off; those that RILLET_PASSES names, if not given."""
        self.off = switched_off() if off is None else frozenset(off)
        self.arrays: list[Array] = []
        self.origin: Operation | None = None  # of the arrays that are made now
        self.scalars = Scalars(self.off)
        self.is_repeated = False  # whether what is made now belongs to a loop
        self.made: dict[Any, Array] = {}  # what is to be found again, by keys that say how it is made
        self._computed: dict[Any, Scalar] = {}
        self._guard: Scalar | None = None
        self.index_of: dict[int, Index] | None = None  # if it is there: the index of each load, by the load's id

    # ---- scopes -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def scope(self, is_repeated: bool) -> Iterator[None]:
        """For what is made in a branch or in a loop, where nothing outside may find it."""
        before = self.origin, self.is_repeated, self.made
        self.is_repeated = self.is_repeated or is_repeated
        self.made = dict(self.made)
        try:
            yield
        finally:
            self.origin, self.is_repeated, self.made = before

    # ---- reading ------------------------------------------------------------------------------------------------

    def read(self, array: Array, index: Index) -> Scalar:
        if isinstance(array, Constant) and array.splat is not None:
            return self.scalars.constant(array.splat, array.dtype)
        if array.stored:
            element = self.scalars.load(array, flatten(index, array.shape), self._guard)
            if self.index_of is not None:
                self.index_of.setdefault(id(element), index)
            return element
        assert isinstance(array, Map)
        return self.computed(array, index)

    def load(self, array: Array, flat: Linear) -> Scalar:
        """Element number `flat` of an array in memory."""
        return self.scalars.load(array, flat, self._guard)

    def computed(self, array: Map, index: Index) -> Scalar:
        """The element of a map by its formula, whether or not it is stored."""
        key = (array.number, index, self._guard)
        found = self._computed.get(key)
        if found is None:
            found = self._computed[key] = array.compute(*index)
        return found

    def forget_reads(self) -> None:
        """What was computed of arrays that were not stored; to be called when some become stored."""
        self._computed.clear()

    @contextlib.contextmanager
    def guarded(self, condition: Scalar) -> Iterator[None]:
        """What is read inside touches memory only where `condition` holds, and is 0 (or rubbish) elsewhere."""
        before = self._guard
        self._guard = condition if before is None else self.make("and", dtypes.bool, before, condition)
        try:
            yield
        finally:
            self._guard = before

    # ---- scalars ------------------------------------------------------------------------------------------------

    def make(self, operation: str, dtype: DType, *arguments: Scalar, data: Any = None) -> Scalar:
        if operation in CHECKS and self._guard is not None:  # nothing is wrong where nothing is read
            arguments = (*arguments, self._guard)
        return self.scalars.make(operation, dtype, *arguments, data=data)

    def number(self, value: Any, dtype: DType) -> Scalar:
        return self.scalars.constant(value, dtype)

    def convert(self, x: Scalar, dtype: DType) -> Scalar:
        if x.dtype is dtype:
            return x
        if x.operation == "const" and not (dtype.is_integer and x.dtype.is_floating):
            return self.scalars.constant(x.data, dtype)
        return self.make("cast", dtype, x)

    def compare(self, operation: str, x: Scalar, y: Scalar) -> Scalar:
        return self.make(operation, dtypes.bool, x, y)

    def where(self, condition: Scalar, x: Scalar, y: Scalar) -> Scalar:
        if condition.operation == "const":
            return x if condition.data else y
        return x if x is y else self.make("where", x.dtype, condition, x, y)

    def within(self, form: Linear, low: int, high: int) -> Scalar | None:
        """The condition low <= form < high; None where it always holds."""
        least, most = form.bounds()
        if most < low or least >= high:
            return self.number(False, dtypes.bool)
        result: Scalar | None = None
        if least < low:
            result = self.compare("ge", self.scalars.index(form), self.number(low, dtypes.int64))
        if most >= high:
            above = self.compare("lt", self.scalars.index(form), self.number(high, dtypes.int64))
            result = above if result is None else self.make("and", dtypes.bool, result, above)
        return result

    def all_of(self, conditions: Sequence[Scalar | None]) -> Scalar | None:
        """Whether all conditions hold; None, as for a condition, where they always do, and a constant where they never do."""
        result: Scalar | None = None
        for condition in conditions:
            if condition is None:
                continue
            if condition.operation == "const":
                if not condition.data:
                    return condition
            else:
                result = condition if result is None else self.make("and", dtypes.bool, result, condition)
        return result

    def dynamic(self, value: Scalar, extent: int) -> Linear:
        """An integer known at run time as an index below `extent`. One outside stops the program with an error."""
        checked = self.make("checked", dtypes.int64, self.convert(value, dtypes.int64), data=extent)
        return Linear(0, {Dynamic(checked, extent): 1})

    # ---- arrays -------------------------------------------------------------------------------------------------

    def constant(self, value: Any, dtype: DType) -> Constant:
        return Constant(self, np.asarray(value, dtype.numpy_dtype), dtype)

    def map(
        self,
        shape: Sequence[int],
        dtype: DType,
        compute: Compute,
        reads: Sequence[Array],
        cost: int = 1,
        repeats: int = 1,
    ) -> Array:
        """The array whose elements are compute(*index); see Map."""
        if 0 in shape:  # there is nothing to compute, and index arithmetic needs extents of 1 at least
            return self.constant(np.empty(tuple(shape)), dtype)
        return Map(self, tuple(shape), dtype, compute, reads, cost, repeats)

    def elementwise(self, operation: str, dtype: DType, *arrays: Array) -> Array:
        """The operation on the elements of arrays, which are broadcast to a common shape."""
        return self.combine(
            dtype, lambda *parts: self.make(operation, dtype, *parts), *arrays, cost=COSTS.get(operation, 1)
        )

    def combine(self, dtype: DType, function: Callable[..., Scalar], *arrays: Array, cost: int = 1) -> Array:
        """function(elements) for each element of arrays, which are broadcast to a common shape."""
        shape = np.broadcast_shapes(*[array.shape for array in arrays])

        def compute(*index: Linear) -> Scalar:
            return function(*[array.at(*broadcast_index(index, array.shape)) for array in arrays])

        return self.map(shape, dtype, compute, arrays, cost)

    def view(self, source: Array, shape: Sequence[int], index: Callable[..., Sequence[Linear | int]]) -> Array:
        """Elements of `source` at other places: index(*index of the view) gives the index in `source`.

        A view of a view is one view, and one that changes nothing is none."""
        if isinstance(source, Map) and source.place is not None and "simplify" not in self.off:
            (base,), inner, outer = source.reads, source.place, index
            variables = [linear(variable) for variable in loop_variables(tuple(shape))]

            def through(*place: Linear) -> Sequence[Linear | int]:
                return inner(*map(linear, outer(*place)))

            if tuple(shape) == base.shape and list(map(linear, through(*variables))) == variables:
                return base
            source, index = base, through

        def compute(*place: Linear) -> Scalar:
            return source.at(*index(*place))

        result = self.map(shape, source.dtype, compute, (source,), 0)
        if isinstance(result, Map):
            result.place = index
        return result

    def reshape(self, source: Array, shape: Sequence[int]) -> Array:
        shape = tuple(shape)
        if shape == source.shape:
            return source
        return self.view(source, shape, lambda *index: unflatten(flatten(index, shape), source.shape))

    def transpose(self, source: Array, order: Sequence[int]) -> Array:
        """The array with its axes in another order. Equal ones are one array, so that what is made of them may be."""
        if list(order) == list(range(source.rank)):
            return source
        key = ("transpose", source.number, *order)
        if key not in self.made:
            shape = [source.shape[axis] for axis in order]
            where = [list(order).index(axis) for axis in range(source.rank)]
            self.made[key] = self.view(source, shape, lambda *index: [index[position] for position in where])
        return self.made[key]

    def broadcast(self, source: Array, shape: Sequence[int]) -> Array:
        if tuple(shape) == source.shape:
            return source
        return self.view(source, shape, lambda *index: broadcast_index(index, source.shape))

    def slice(
        self, source: Array, begin: Sequence[int], size: Sequence[int], step: Sequence[int] | None = None
    ) -> Array:
        steps = [1] * source.rank if step is None else list(step)
        return self.view(
            source,
            size,
            lambda *index: [part * pace + first for part, pace, first in zip(index, steps, begin, strict=True)],
        )

    def pad(self, source: Array, before: Sequence[int], after: Sequence[int], value: Scalar | Any = 0) -> Array:
        """The array with `value` around it. Equal paddings are one array, which may come to memory once for all readers."""
        shape = [low + extent + high for low, extent, high in zip(before, source.shape, after, strict=True)]
        filler = value if isinstance(value, Scalar) else self.number(value, source.dtype)
        key = ("pad", source.number, tuple(before), tuple(after), filler)
        if key in self.made:
            return self.made[key]

        def compute(*index: Linear) -> Scalar:
            inner = [part - low for part, low in zip(index, before, strict=True)]
            conditions = [self.within(part, 0, extent) for part, extent in zip(inner, source.shape, strict=True)]
            return self.choose(conditions, lambda: source.at(*inner), lambda: filler)

        behind: dict[int, Array] = {}
        loads(filler, lambda load: behind.update({load.data[0].number: load.data[0]}))
        result = self.made[key] = self.map(shape, source.dtype, compute, (source, *behind.values()), 1)
        return result

    def choose(
        self, conditions: Sequence[Scalar | None], yes: Callable[[], Scalar], no: Callable[[], Scalar]
    ) -> Scalar:
        """yes() where all conditions hold, else no(); each reads memory only where it is chosen."""
        all_of = self.all_of(conditions)
        if all_of is None:
            return yes()
        if all_of.operation == "const":
            return no()
        with self.guarded(all_of):
            chosen = yes()
        with self.guarded(self.make("not", dtypes.bool, all_of)):
            other = no()
        return self.where(all_of, chosen, other)

    def concat(self, sources: Sequence[Array], axis: int) -> Array:
        sources = [source for source in sources if source.shape[axis]] or sources[:1]
        if len(sources) == 1:
            return sources[0]
        shape = list(sources[0].shape)
        shape[axis] = sum(source.shape[axis] for source in sources)
        ends = np.cumsum([source.shape[axis] for source in sources]).tolist()

        def compute(*index: Linear) -> Scalar:
            low, high = index[axis].bounds()

            def pick(position: int) -> Scalar:
                start = ends[position] - sources[position].shape[axis]
                moved = list(index)
                moved[axis] = index[axis] - start

                def here() -> Scalar:
                    return sources[position].at(*moved)

                if position + 1 == len(sources) or high < ends[position]:
                    return here()
                if low >= ends[position]:
                    return pick(position + 1)
                condition = self.compare(
                    "lt", self.scalars.index(index[axis]), self.number(ends[position], dtypes.int64)
                )
                return self.choose([condition], here, lambda: pick(position + 1))

            return pick(0)

        return self.map(shape, sources[0].dtype, compute, sources, 1)

    def cast(self, source: Array, dtype: DType) -> Array:
        if source.dtype is dtype:
            return source
        return self.combine(dtype, lambda x: self.convert(x, dtype), source)

    def reduce(
        self, source: Array, axes: Sequence[int], kind: str, keep: bool = False, dtype: DType | None = None
    ) -> Array:
        """Reduces along `axes` (kept as extents of 1 if `keep`). Empty arrays give the kind's neutral element."""
        chosen = tuple(sorted(axis % source.rank for axis in axes)) if source.rank else ()
        shape = [1 if axis in chosen else extent for axis, extent in enumerate(source.shape)]
        real = tuple(axis for axis in chosen if source.shape[axis] != 1)
        if source.size == 0:
            filler = self.constant(neutral(kind, dtype or source.dtype), dtype or source.dtype)
            result = self.broadcast(filler, [extent for axis, extent in enumerate(source.shape) if axis not in chosen])
        elif not real and kind.startswith("arg"):
            result = self.broadcast(
                self.constant(0, dtype or source.dtype), [e for a, e in enumerate(source.shape) if a not in chosen]
            )
        elif not real:
            result = source if dtype is None else self.cast(source, dtype)
        elif repeated := self._repeated(source, real, kind):
            once = self.slice(
                source, [0] * source.rank, [1 if a in repeated else n for a, n in enumerate(source.shape)]
            )
            result = self.reduce(once, chosen, kind, dtype=dtype)
            if kind == "sum":
                count = size_of([source.shape[axis] for axis in repeated])
                result = self.combine(
                    result.dtype, lambda x: self.make("mul", x.dtype, x, self.number(count, x.dtype)), result
                )
        else:
            result = Reduction(self, source, chosen, kind, dtype or source.dtype)
        if not keep:
            shape = [extent for axis, extent in enumerate(shape) if axis not in chosen]
        return self.reshape(result, shape)

    def _repeated(self, source: Array, axes: Sequence[int], kind: str) -> list[int]:
        """Those of the axes along which the elements of a view are all the same, where that gives the result of reducing
        them exactly: a number of times an integer, or the element itself. (Sums of floats round on the way.)"""
        exact = kind in ("max", "min", "all", "any") or (kind == "sum" and source.dtype.is_integer)
        if not exact or not isinstance(source, Map) or source.place is None or "simplify" in self.off:
            return []
        variables = loop_variables(source.shape)
        used: set[Variable] = set()
        for part in source.place(*map(linear, variables)):
            used |= linear(part).variables()
        return [axis for axis in axes if variables[axis] not in used]

    def opaque(
        self,
        name: str,
        inputs: Sequence[Array],
        outputs: Sequence[tuple[Sequence[int], DType]],
        emit: Any,
        **options: Any,
    ) -> list[Output]:
        opaque = Opaque(name, inputs, emit, **options)
        return [Output(self, opaque, tuple(shape), dtype) for shape, dtype in outputs]


def neutral(kind: str, dtype: DType) -> float | int | bool:
    """What changes nothing when a reduction of that kind combines it with something."""
    if kind == "sum":
        return 0
    if kind == "product":
        return 1
    if kind in ("all", "any"):
        return kind == "all"
    if dtype.is_floating:
        return float("-inf") if kind in ("max", "argmax") else float("inf")
    if dtype.is_bool:
        return kind not in ("max", "argmax")
    return int(dtype.min) if kind in ("max", "argmax") else int(dtype.max)


def broadcast_index(index: Sequence[Linear], shape: Shape) -> list[Linear]:
    """The index in an array of `shape` that stands for `index` in an array it is broadcast to."""
    return [ZERO if extent == 1 else part for part, extent in zip(index[len(index) - len(shape) :], shape, strict=True)]
