"""Loops over tensors: a While op whose variables are those that the loop changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.core import context, nest
from rillet.core.dispatch import convert_to_tensor, graph_for
from rillet.core.graph import Graph
from rillet.core.shapes import TensorShape, as_shape
from rillet.core.tensor import Tensor
from rillet.errors import describe
from rillet.frontend.autograph.elements import Elements
from rillet.frontend.autograph.jumps import RESULT
from rillet.frontend.autograph.state import (
    UNDEFINED,
    State,
    as_tensors,
    becomes_tensors,
    check_alike,
    is_missing,
    operand,
    zeros_like,
)
from rillet.frontend.control import body_graph, tracing, while_loop

Options = dict[str, Any]
_BEFORE, _AFTER = "before the loop", "after one iteration"


def tensor_while(
    test: Callable[[], Any], body: Callable[[], Any], state: State, options: Options, graph: Graph
) -> None:
    """while test(): body()"""
    _Loop(state, options, graph).run(lambda _: test(), lambda _: body(), (), lambda _: ())


def tensor_for(
    elements: Elements, body: Callable[[Any], Any], proceeds: Callable[[Any], Any], state: State, options: Options
) -> None:
    """for item in elements: body(item), as long as proceeds(the elements' own test) says so."""
    first = elements.first()
    graph = graph_for(nest.flatten(first, expand_composites=True)) or context.state().graph
    assert graph is not None
    _Loop(state, options, graph).run(
        lambda position: proceeds(elements.proceeds(position)),
        lambda position: body(elements.element(position)),
        first,
        elements.following,
    )


class _Loop:
    def __init__(self, state: State, options: Options, graph: Graph) -> None:
        self.state = state
        self.options = dict(options)
        self.declared = _declared(self.options.pop("shape_invariants", None) or ())
        self.graph = graph

    def run(
        self,
        test: Callable[[Any], Any],
        body: Callable[[Any], Any],
        first: Any,
        following: Callable[[Any], Any],
    ) -> None:
        """first: where the loop begins; `following` gives the next position."""
        with context.use_graph(self.graph):
            before = self.state.snapshot()
            self._choose(body, first)
            self.state.restore(before)

            def condition(position: Any, variables: Any) -> Any:
                self._set(variables)
                return test(position)

            def step(position: Any, variables: Any) -> Any:
                self._set(variables)
                body(position)
                return following(position), self._following()

            try:
                _, results = while_loop(condition, step, [first, self.initial], self._invariants(first), **self.options)
            finally:
                self.state.restore(before)
        self.state.forget_others()
        self._set(results)

    def _set(self, variables: Sequence[Any]) -> None:
        values = self.state.values()
        for index, value in zip(self.chosen, variables, strict=True):
            values[index] = value
        self.state.set(values)

    # ---- the variables ----------------------------------------------------------------------------------------

    def _choose(self, body: Callable[[Any], Any], first: Any) -> None:
        """Settles which of the variables the loop has, and their first values."""
        values = self.state.values()
        is_ready = [becomes_tensors(value) for value in values]
        after = values if all(is_ready) else self._probe(body, first, values, is_ready)
        self.chosen: list[int] = []
        self.initial: list[Any] = []
        self.filled: set[int] = set()  # places in `initial` of variables that had no value before
        for index, (value, ready) in enumerate(zip(values, is_ready, strict=True)):
            if ready:
                self.chosen.append(index)
                self.initial.append(as_tensors(value))
            elif after[index] is not value:
                self._fill(index, value, after[index])

    def _fill(self, index: int, value: Any, after: Any) -> None:
        """A variable without a value before the loop starts as zeros."""
        name = self.state.names[index]
        if not is_missing(value) or not becomes_tensors(after):
            raise self._unfit(name, value, after)
        if any(isinstance(leaf, Tensor) and not leaf.dtype.is_numpy_compatible for leaf in _leaves(after)):
            raise ValueError(describe(f"'{name}' must be defined before the loop.", location=self.state.location))
        self.filled.add(len(self.initial))
        self.chosen.append(index)
        self.initial.append(zeros_like(after))
        shapes = [getattr(leaf, "shape", None) for leaf in _leaves(after)]
        self.declared.setdefault(name, shapes)

    def _unfit(self, name: str, value: Any, after: Any) -> Exception:
        what = "the return value" if name == RESULT else f"'{name}'"
        changed = "unset" if after is UNDEFINED else f"a {type(after).__name__}"
        headline = (
            f"{what} is {'unset' if value is UNDEFINED else f'a {type(value).__name__}'} {_BEFORE}, but {changed} {_AFTER}. "
            "To be compatible with a loop over tensors, it must be a tensor, or stay as it is."
        )
        return TypeError(describe(headline, location=self.state.location))

    def _probe(self, body: Callable[[Any], Any], first: Any, values: list[Any], is_ready: list[bool]) -> list[Any]:
        """What the variables are after an iteration, which goes to a graph that nobody runs."""
        scratch = body_graph("probe", self.graph)
        with tracing(scratch, "probe/"):
            inner = [
                _parameters(scratch, value) if ready else value for value, ready in zip(values, is_ready, strict=True)
            ]
            self.state.set(inner)
            body(_parameters(scratch, first))
            return self.state.values()

    def _following(self) -> list[Any]:
        after = self.state.values()
        names = self.state.names
        for index, value in enumerate(after):
            if index not in self.chosen:
                continue
            name, place = names[index], self.chosen.index(index)
            initial = self.initial[place]
            if value is UNDEFINED or (value is None and initial is not None):
                raise self._unfit(name, initial, value)
            if place in self.filled:
                value = after[index] = as_tensors(value)
            check_alike(self.state, name, initial, value, _BEFORE, _AFTER)
            self._check_shapes(name, initial, value)
        return [after[index] for index in self.chosen]

    # ---- shapes -----------------------------------------------------------------------------------------------

    def _check_shapes(self, name: str, initial: Any, value: Any) -> None:
        for before, after, shape in zip(_leaves(initial), _leaves(value), self._shapes(name, initial), strict=True):
            if isinstance(after, Tensor) and not after.shape.is_subtype_of(shape):
                headline = (
                    f"'{name}' has shape {before.shape} {_BEFORE}, but shape {after.shape} {_AFTER}. "
                    "Use tf.autograph.experimental.set_loop_options to set shape invariants."
                )
                operands = [operand(_BEFORE, before), operand(_AFTER, after)]
                hint = f"tf.autograph.experimental.set_loop_options(shape_invariants=[({name}, ...)]) in the loop."
                raise ValueError(describe(headline, operands, self.state.location, hint))

    def _shapes(self, name: str, initial: Any) -> list[TensorShape]:
        """The static shapes of a variable's tensors in every iteration."""
        leaves = [leaf for leaf in _leaves(initial) if leaf is not None]
        declared = self.declared.get(name)
        if declared is None:
            declared = self._declared_for(initial)
        if declared is None:
            return [leaf.shape for leaf in leaves]
        shapes = [as_shape(getattr(shape, "shape", shape)) for shape in declared]
        return shapes * len(leaves) if len(shapes) == 1 else shapes

    def _declared_for(self, initial: Any) -> Any:
        """The shape invariant of a variable that was given by its value, not its name."""
        return next((shape for key, shape in self.declared.items() if key == id(initial)), None)

    def _invariants(self, first: Any) -> Any:
        if not self.declared:
            return None
        names = self.state.names
        own = nest.map_structure(lambda leaf: leaf.shape, first)
        shapes = []
        for index, initial in zip(self.chosen, self.initial, strict=True):
            flat = iter(self._shapes(names[index], initial))
            shapes.append(nest.map_structure(lambda leaf, flat=flat: None if leaf is None else next(flat), initial))
        return [own, shapes]


def _declared(pairs: Any) -> dict[Any, Any]:
    """Shape invariants by the name of their variable, or the identity of its value."""
    declared: dict[Any, Any] = {}
    for key, shape in pairs:
        flat = nest.flatten(shape) if isinstance(shape, (list, tuple, dict)) and _is_nested(shape) else [shape]
        declared[key if isinstance(key, str) else id(key)] = flat
    return declared


def _is_nested(shape: Any) -> bool:
    return any(not (size is None or isinstance(size, int)) for size in nest.flatten(shape))


def _leaves(value: Any) -> list[Any]:
    return nest.flatten(value, expand_composites=True)


def _parameters(graph: Any, value: Any) -> Any:
    """Stand-ins for the tensors of `value`, in `graph`."""

    def parameter(leaf: Any) -> Any:
        if leaf is None:
            return None
        tensor = convert_to_tensor(leaf)
        return graph.add_input(tensor.dtype.base_dtype, tensor.shape)

    return nest.map_structure(parameter, value, expand_composites=True)
