"""The sparse forms of optimizers' updates: the rule, which is NumPy code, on the rows that indices name, in their order.

A row named twice is updated twice. Nothing but these rows is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array, Map, Source
from rillet.compiler.bounded import Bounded, arrays_of, common, lowering_of_bounded
from rillet.compiler.index import Linear, linear, unflatten
from rillet.compiler.lowering.scattering import Rows
from rillet.compiler.numpy_like import Traced, Untraceable, as_array
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core.execution import VariableState
from rillet.core.opdef import REGISTRY
from rillet.ops import training


def _define(update: training.Update) -> None:
    names = training.argument_names(update, is_sparse=True)

    @lowering(f"ResourceSparseApply{update.name}", f"SparseApply{update.name}")
    def rule(call: Call, *inputs: Any, count: Array | None = None) -> Sequence[Any]:
        given = dict(zip(names, inputs, strict=True))
        states: list[VariableState] = [given.pop(name) for name in update.states]
        old = [call.lowering.read(state) for state in states]
        gradient, indices = given.pop("grad"), given.pop("indices")
        rows = Rows(old[0], indices, count=count)
        call.require(indices.rank == 1 and rows.fits and all(value.shape == old[0].shape for value in old))
        call.require(gradient.shape == (*indices.shape, *rows.inner))
        options = {name: call.attrs[name] for name in update.options}
        for state, value in zip(states, _updated(update, rows, old, gradient, given, options), strict=True):
            call.lowering.write(state, value)
        return [states[0]] if call.operation.outputs else []

    @lowering_of_bounded(f"ResourceSparseApply{update.name}", f"SparseApply{update.name}")
    def of_some_rows(call: Call, *inputs: Any) -> Sequence[Any]:
        place = names.index("grad")
        call.require(all(isinstance(value, Bounded) for value in inputs[place : place + 2]))
        return rule(call, *arrays_of(inputs), count=common(call, *inputs).count)


def _updated(
    update: training.Update,
    rows: Rows,
    old: Sequence[Array],
    gradient: Array,
    scalars: dict[str, Array],
    options: dict[str, Any],
) -> Sequence[Array]:
    """The new values of the variable and its slots."""
    program = rows.program
    shape = (rows.number.extent, rows.column.extent * rows.tasks)
    before = [
        Source(program, shape, value.dtype, "row", None) for value in old
    ]  # what the rows hold as they are reached

    def of_row(number: Linear, column: Linear) -> Scalar:
        return gradient.at(number, *unflatten(column, rows.inner))

    each = Map(program, shape, gradient.dtype, of_row, (gradient,), 0)
    try:
        arguments = {name: Traced(value) for name, value in scalars.items()}
        after = update.rule(*map(Traced, before), grad=Traced(each), **arguments, **options)
    except (TypeError, AttributeError, ValueError) as error:
        raise Untraceable(str(error)) from error
    new = [as_array(program, value, array.dtype) for value, array in zip(after, old, strict=True)]

    def emit(w: Any) -> None:
        outputs = w.opaque.outputs

        def change(place: Any, lanes: int) -> None:
            known = {a.number: w.load(output, place, lanes) for a, output in zip(before, outputs, strict=True)}
            w.expressions.continue_here()
            w.expressions.replaced = {number: (lambda load, value=value: value) for number, value in known.items()}
            point = (linear(rows.number), rows.element())
            values = [w.value(program.broadcast(array, shape).at(*point)) for array in new]
            for value, output in zip(values, outputs, strict=True):
                w.store(w.b.splat(value, lanes), output, place)

        rows.each(w, checked, change)

    checked = rows.checked()
    inputs = (*old, *checked, gradient, *rows.reads, *scalars.values())
    count = len(old)
    return program.opaque(
        f"{update.name} on rows", inputs, [(value.shape, value.dtype) for value in old], emit,
        tasks=rows.tasks, work=rows.work * 4 * count, in_place={place: place for place in range(count)},
        streamed=range(count + len(checked), len(inputs)),
    )  # fmt: skip


for _update in training.UPDATES:
    if f"ResourceSparseApply{_update.name}" in REGISTRY:
        _define(_update)
