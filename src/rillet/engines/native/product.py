"""Kernels of contractions: the operands as strided memory, and what is done to each result as the epilogue."""

from __future__ import annotations

from collections.abc import Sequence

from rillet import config
from rillet.compiler.arrays import Array, Contraction, size_of
from rillet.compiler.groups import RowsGroup, operand_loads, operand_variables
from rillet.compiler.index import Linear, Variable, strides_of
from rillet.compiler.scalar import Scalar, bases_of, can_fail, loads
from rillet.engines.native.contraction import Strided, contraction
from rillet.engines.native.expressions import ERROR, Expressions, storage_type
from rillet.engines.native.kernel import Kernel, unravelled
from rillet.engines.native.llvm import Builder, Module, Value
from rillet.engines.native.microkernel import prefetch
from rillet.engines.native.target import Target

Axes = tuple[tuple[int, int], ...]

# Arrays of so many bytes are not in the first cache when the epilogue comes to them.
_STREAMED = 1 << 15


def write_product(group: RowsGroup, target: Target) -> Kernel:
    """The kernel of a group that begins with a contraction."""
    return _ProductWriter(group, target).write()


class _ProductWriter:
    def __init__(self, group: RowsGroup, target: Target) -> None:
        assert group.contraction is not None
        self.group = group
        self.target = target
        self.product: Contraction = group.contraction
        self.operands: list[Array] = []
        self.expressions = group.shared_expressions([member for member in group.members if member is not self.product])
        self.stored = {array.number for array in group.stores}
        self._writers: dict[int, Expressions] = {}

    def _operand(self, array: Array) -> int:
        for number, known in enumerate(self.operands):
            if known is array:
                return number
        self.operands.append(array)
        return len(self.operands) - 1

    def write(self) -> Kernel:
        product = self.product
        left, right = operand_loads(product)
        batch, rows, columns, inner = operand_variables(product)
        self.bases = bases_of([left, right, *self.expressions.values()], self.group.roles)
        a = self._strided(left, batch, rows, inner)
        b = self._strided(right, batch, inner, columns)
        plain = product.number in self.stored and len(self.group.members) == 1
        c = self._result() if product.number in self.stored else None
        wanted = self._wanted()
        for member in self.group.members:  # in a fixed order, whatever the epilogue asks first
            if member.number in self.stored:
                self._operand(member)
        for member in self.group.members:
            if member is not product and member.number in wanted:
                loads(self.expressions[member.number], self._note_operand)
                if can_fail(self.expressions[member.number]):
                    self._operand(ERROR)
        module = Module()
        scratch = len(self.operands)
        self.streams = [] if plain else self._streams(wanted)
        info = contraction(
            module,
            "kernel",
            self.target,
            a,
            b,
            c if plain else None,
            None if plain else self._store,
            scratch,
            workers=config.THREADS.value,
            announce=self._announce if self.streams else None,
        )
        if len(self.operands) != scratch:
            raise AssertionError("the epilogue of a contraction reads what was not foreseen")
        work = product.size * size_of(product.inner) // self.target.lanes(4)
        shape = "x".join(
            str(size_of(axes)) for axes in (product.batch, product.rows, product.columns, product.inner) if axes
        )
        return Kernel(
            f"product {shape}",
            str(module),
            self.operands,
            info.tasks,
            work,
            scratch=info.scratch_bytes,
            bases=self.bases,
        )

    def _wanted(self) -> set[int]:
        wanted: set[int] = set()
        for member in reversed(self.group.members):
            if member.number in self.stored or member.number in wanted:
                wanted.add(member.number)
                if member is not self.product:
                    loads(self.expressions[member.number], lambda load: wanted.add(load.data[0].number))
        return wanted

    def _note_operand(self, load: Scalar) -> None:
        array = load.data[0]
        if array.number not in self.group.roles:
            self._operand(array)

    def _strided(
        self, load: Scalar, batch: Sequence[Variable], first: Sequence[Variable], second: Sequence[Variable]
    ) -> Strided:
        array, flat, _ = load.data
        return Strided(
            self._operand(array),
            storage_type(array.dtype),
            rows=_axes(first, flat),
            columns=_axes(second, flat),
            batch=_axes(batch, flat),
            offset=flat.constant - self.bases.get(array.number, 0),
        )

    def _result(self) -> Strided:
        product = self.product
        strides = strides_of(product.shape)
        pairs = list(zip(product.shape, strides, strict=True))
        first, second = len(product.batch), len(product.batch) + len(product.rows)
        return Strided(
            self._operand(product),
            storage_type(product.dtype),
            rows=tuple(pairs[first:second]) or ((1, 1),),
            columns=tuple(pairs[second:]) or ((1, 1),),
            batch=tuple(pairs[:first]),
        )

    # ---- the epilogue -------------------------------------------------------------------------------------------

    def _streams(self, wanted: set[int]) -> list[tuple[Array, Linear, bool]]:
        """What the epilogue reads and writes line by line: (array, place, whether it is written)."""
        found: dict[tuple[int, Linear], tuple[Array, Linear, bool]] = {}
        variables, rows = self.group.variables(), self.group.rows or 0
        if len(variables) == rows:
            return []

        def note(array: Array, place: Linear, is_written: bool) -> None:
            along = {atom for atom in place.terms if isinstance(atom, Variable)}
            is_even = len(along) == len(place.terms) and place.terms.get(variables[-1]) == 1
            if is_even and along.intersection(variables[:rows]) and array.bytes >= _STREAMED:
                found.setdefault((array.number, place), (array, place, is_written))

        def note_read(load: Scalar) -> None:
            array, place, guard = load.data
            if guard is None and array.number not in self.group.roles:
                note(array, place - self.bases.get(array.number, 0), False)

        for member in self.group.members:
            if member.number in self.stored:
                note(member, self.group.point("full"), True)
        for member in self.group.members:
            if member is not self.product and member.number in wanted:
                loads(self.expressions[member.number], note_read)
        return list(found.values())

    def _announce(self, b: Builder, batch: Value, m: Value, n: Value) -> None:
        """Asks for what the epilogue will read and write at row m, from column n on."""
        x = self._expressions(b)
        x.fresh()
        with x.inside(self._places(b, batch, m, n)):
            for array, place, is_written in self.streams:
                prefetch(b, x.address(array, place), write=is_written)

    def _expressions(self, b: Builder) -> Expressions:
        x = self._writers.get(id(b))
        if x is None:
            x = self._writers[id(b)] = Expressions(b, self.target, self.operands, self.bases)
        return x

    def _places(self, b: Builder, batch: Value, m: Value, n: Value) -> list[tuple[Variable, Value]]:
        """What the loop variables are at a result."""
        variables, rows = self.group.variables(), self.group.rows or 0
        row = b.binary("add", b.binary("mul", batch, b.i64(size_of(self.product.rows))), m) if self.product.batch else m
        return unravelled(b, row, variables[:rows]) + unravelled(b, n, variables[rows:])

    def _store(self, b: Builder, batch: Value, m: Value, n: Value, value: Value, lanes: int) -> None:
        """Computes and stores what is made of `lanes` results of row m from column n on."""
        x = self._expressions(b)
        group, product = self.group, self.product
        variables = group.variables()
        rows = group.rows or 0
        lane = variables[-1] if len(variables) > rows else None
        if lane is None and lanes != 1:
            raise AssertionError("a contraction with one column has no neighbours")
        x.fresh()
        with x.inside(self._places(b, batch, m, n), lane, lanes):
            x.replaced = {member.number: self._answer(member, value) for member in group.members}
            for member in group.members:
                if member.number in self.stored:
                    result = value if member is product else x.value(self.expressions[member.number])
                    x.store(result, member, group.point("full"))

    def _answer(self, member: Array, value: Value):  # type: ignore[no-untyped-def]
        if member is self.product:
            return lambda load: value
        return lambda load: self.expressions[member.number]


def _axes(variables: Sequence[Variable], flat: Linear) -> Axes:
    return tuple((variable.extent, flat.terms.get(variable, 0)) for variable in variables) or ((1, 0),)
