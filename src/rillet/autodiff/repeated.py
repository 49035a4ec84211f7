"""Gradients of computations that were differentiated before, as the steps of a training loop are.

What a tape recorded is known by its steps (see `recording`). The first time, backprop runs op by op. When the same steps
have come often enough for that to pay, the same backprop runs on stand-ins for the recorded tensors, in a graph: that
gives a Function of the recorded values, which is compiled, and run from then on.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rillet.autodiff.backprop import backprop, is_differentiable
from rillet.autodiff.recording import Recording
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, constant_in, resolve
from rillet.core.execution import Executable, ExecutionContext, eager_context
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.locks import lock
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.errors import OpError, user_site

_LOGGER = logging.getLogger("rillet")

# Axes, shapes, permutations: a leaf of integers this small is a constant of the Function for as long as it stays the same.
_LARGEST_CONSTANT = 16
# What a Function may hold in constants of its own, in bytes: it must not keep large arrays alive.
_MOST_HELD = 1 << 20
# Computations are forgotten, the one used longest ago first, when those known have more steps than this together.
_MOST_STEPS = 100_000
_MOST_SEEN = 10_000
# A computation is derived when it comes for the second time; for every so many steps, one time later.
_STEPS_A_TIME = 100
# When constants have changed so often, it is derived once more, without any.
_MOST_DERIVATIONS = 3


def repeated_gradients(
    recording: Recording, targets: Sequence[EagerTensor], weights: Sequence[EagerTensor | None], sources: Sequence[Any]
) -> list[Any] | None:
    """The gradient of each source, as `backprop` gives it, where the computation has come before; else None.

    weights: the gradient of each target, ones where that is None.
    """
    key = _key(recording, targets, weights, sources)
    derived = None if key is None else _KNOWN.find(key, recording)
    if derived is None:
        return None
    try:
        return derived.run(recording, weights)
    except OpError:  # it happens again op by op, where the user is told which one it was
        return None


class _Key(NamedTuple):
    """What was computed, and what is asked for: numbers of targets and sources (None: traced by nobody, so nothing flows
    there), and the shape of each weight that is given."""

    steps: tuple[Any, ...]
    targets: tuple[int, ...]
    sources: tuple[int | None, ...]
    weights: tuple[tuple[int, ...] | None, ...]


def _key(
    recording: Recording, targets: Sequence[EagerTensor], weights: Sequence[EagerTensor | None], sources: Sequence[Any]
) -> _Key | None:
    """None where the computation is not known by its steps alone."""
    if not recording.is_repeatable or not targets:
        return None
    if any(type(source) is not EagerTensor for source in sources):
        return None
    numbers = recording.numbers
    found = [numbers.get(id(target)) for target in targets if is_differentiable(target.dtype)]
    if None in found or len(found) != len(targets):
        return None
    wanted = [numbers.get(id(source)) for source in sources]
    shapes = []
    for target, weight in zip(targets, weights, strict=True):
        if weight is not None and weight.dtype is not target.dtype:
            return None
        shapes.append(None if weight is None else weight._array.shape)
    return _Key(tuple(recording.steps), tuple(found), tuple(wanted), tuple(shapes))  # type: ignore[arg-type]


# ---- the derived function -------------------------------------------------------------------------------------------


class _Derived:
    """The gradients of a computation as a Function of recorded values. It takes the arrays of the recorded tensors that
    have these `numbers`, the leaves in the places `leaves`, the weights in the places `weights`, the outputs that are not
    differentiable in the places `others` (of a call, of its outputs), and `held`.

    varying: places of leaves that had another value each time: they are no constants.
    """

    def __init__(self, key: _Key, recording: Recording, varying: frozenset[int] = frozenset()) -> None:
        self.varying = varying
        self.fixed: dict[int, bytes] = {}  # the values of the leaves that are constants
        others: dict[tuple[int, int], SymbolicTensor] = {}
        self.context: ExecutionContext | None = None
        self.executable: Executable
        self.graph = FuncGraph("gradient", outer_graph=None)
        with self.graph.as_default(), context.without_recording():
            tensors = [self._stand_in(tensor) for tensor in recording.tensors]
            leaves = [self._leaf(place, array) for place, array in enumerate(recording.leaves)]
            weights = [
                self._weight(tensors[number], shape) for number, shape in zip(key.targets, key.weights, strict=True)
            ]
            producers = self._producers(recording, tensors, leaves, others)
            found = iter(
                backprop(
                    [tensors[number] for number in key.targets],
                    [tensors[number] for number in key.sources if number is not None],
                    weights,
                    lambda tensor: producers.get(id(tensor)),
                )
            )
            self.gradients = [None if number is None else next(found) for number in key.sources]
            outputs = [self.graph.capture(part) for gradient in self.gradients for part in _parts(gradient)]
        self.function = self._without_unused(outputs)
        places = {id(tensor): place for place, tensor in enumerate(self.function.inputs)}
        self.numbers = [number for number, tensor in enumerate(tensors) if id(tensor) in places]
        self.leaves = [place for place, leaf in enumerate(leaves) if id(leaf) in places]
        self.weights = [place for place, weight in enumerate(weights) if id(weight) in places]
        self.others = [place for place, other in others.items() if id(other) in places]
        self.held = [outside._array for outside, inside in self.graph.captures if id(inside) in places]  # type: ignore[attr-defined]

    @property
    def is_usable(self) -> bool:
        """Whether running the Function changes nothing, and keeping it keeps no large arrays alive."""
        held = [operation.attrs["value"] for operation in self.graph.get_operations() if operation.type == "Const"]
        held += [tensor._array for tensor in self.graph.external_captures]  # type: ignore[attr-defined]
        size = sum(getattr(array, "nbytes", 0) for array in held)
        return not self.function.is_stateful and size <= _MOST_HELD

    def _stand_in(self, tensor: Tensor) -> SymbolicTensor:
        placeholder = self.graph.add_input(tensor.dtype, tensor.shape)
        set_handle_data(placeholder, handle_data(tensor))
        return placeholder

    def _leaf(self, place: int, array: Any) -> SymbolicTensor:
        dtype = dtypes.FROM_NUMPY[array.dtype]
        if not dtype.is_integer or array.size > _LARGEST_CONSTANT or place in self.varying:
            return self.graph.add_input(dtype, array.shape)
        self.fixed[place] = array.tobytes()
        return constant_in(self.graph, np.array(array), dtype)  # type: ignore[no-any-return]

    def _weight(self, target: SymbolicTensor, shape: tuple[int, ...] | None) -> SymbolicTensor:
        """The gradient of a target: given by the caller (of that shape), or ones."""
        if shape is not None:
            return self.graph.add_input(target.dtype, shape)
        sizes, dtype = target.shape.as_list(), target.dtype
        if target.shape.num_elements() == 1:
            return constant_in(self.graph, np.ones(sizes, dtype.numpy_dtype), dtype)  # type: ignore[no-any-return]
        return apply_op(REGISTRY["Fill"], (np.array(sizes, np.int32), dtype.as_numpy_dtype(1)))  # type: ignore[no-any-return]

    def _producers(
        self, recording: Recording, tensors: list[Any], leaves: list[Any], others: dict[tuple[int, int], Any]
    ) -> dict[int, Operation]:
        """What made each stand-in: the recorded calls, made with stand-ins. Enters new ones into `others`."""
        numbers = recording.numbers
        remaining = iter(leaves)

        def inside(tensor: Any) -> Any:
            return tensors[numbers[id(tensor)]] if id(tensor) in numbers else next(remaining)

        producers: dict[int, Operation] = {}
        for index, call in enumerate(recording.calls):
            inputs: Sequence[Any]
            if isinstance(call, Operation):
                definition, inputs, attrs, outputs = call.definition, call.inputs, call.attrs, call.outputs
            else:
                definition, inputs, given, output, _ = call
                attrs, outputs = resolve(definition, inputs, given, None)[1], [output]
            operation = Operation(definition, tuple(map(inside, inputs)), attrs)
            for place, output in enumerate(outputs):
                if id(output) not in numbers:
                    others[index, place] = self._stand_in(output)
            operation.outputs = [
                tensors[numbers[id(output)]] if id(output) in numbers else others[index, place]
                for place, output in enumerate(outputs)
            ]
            producers.update((id(tensor), operation) for tensor in operation.outputs)
        return producers

    def _without_unused(self, outputs: list[SymbolicTensor]) -> Function:
        graph = self.graph
        function = Function.cut("gradient", graph.inputs, outputs, (), graph)
        read = {id(tensor) for operation in function.operations for tensor in operation.inputs}
        read.update(map(id, outputs))
        return Function(
            "gradient", [tensor for tensor in graph.inputs if id(tensor) in read], outputs, function.operations, graph
        )

    # ---- running ---------------------------------------------------------------------------------------------------

    def changed(self, recording: Recording) -> set[int]:
        """The leaves that are constants here and have other values there."""
        leaves = recording.leaves
        return {place for place, value in self.fixed.items() if leaves[place].tobytes() != value}

    def run(self, recording: Recording, weights: Sequence[EagerTensor | None]) -> list[Any]:
        if self.context is not eager_context():
            self.executable = eager_context().engine.compile(self.function, eager_context())
            self.context = eager_context()
        tensors, leaves = recording.tensors, recording.leaves
        arrays = [tensors[number]._array for number in self.numbers]
        arrays += [leaves[place] for place in self.leaves]
        arrays += [weights[place]._array for place in self.weights]  # type: ignore[union-attr]
        arrays += [recording.calls[index].outputs[place]._array for index, place in self.others]  # type: ignore[union-attr]
        results = self.executable([*arrays, *self.held])
        site = user_site()
        parts = iter(
            [EagerTensor(array, dtype, site) for array, dtype in zip(results, self.function.output_dtypes, strict=True)]
        )
        found: list[Any] = []
        for gradient in self.gradients:
            if isinstance(gradient, IndexedSlices):
                found.append(IndexedSlices(*[next(parts) for _ in _parts(gradient)]))
            else:
                found.append(None if gradient is None else next(parts))
        return found


def _parts(gradient: Any) -> list[Any]:
    if gradient is None:
        return []
    return gradient._flatten_components() if isinstance(gradient, IndexedSlices) else [gradient]


# ---- what is known --------------------------------------------------------------------------------------------------


class _Computation:
    """A computation that came often. `derived` is None before it is needed, and where it is not to be used."""

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.used = 0
        self.derivations = 0
        self.is_refused = False
        self.derived: _Derived | None = None

    def derive(self, recording: Recording) -> None:
        """Derives the Function, again where leaves that were constants of it have changed: they are none any more."""
        known = self.derived
        varying = frozenset() if known is None else known.varying | known.changed(recording)
        self.derivations += 1
        if self.derivations > _MOST_DERIVATIONS:
            varying = frozenset(range(len(recording.leaves)))
        try:
            self.derived = _Derived(self.key, recording, varying)
        except Exception as error:  # backprop on the values themselves works, or tells the user what is wrong
            _LOGGER.debug("a gradient is computed op by op: %s: %s", type(error).__name__, error)
            self.derived = None
        if self.derived is None or not self.derived.is_usable:
            self.is_refused, self.derived = True, None


class _Known:
    """The computations that came often, and how often others came, by their hashes."""

    def __init__(self) -> None:
        self._computations: dict[_Key, _Computation] = {}
        self._seen: dict[int, int] = {}
        self._clock = itertools.count(1)
        self._lock = lock()

    def find(self, key: _Key, recording: Recording) -> _Derived | None:
        computation = self._computations.get(key)
        if computation is None:
            computation = self._met_again(key)
            if computation is None:
                return None
        computation.used = next(self._clock)
        derived = computation.derived
        if (derived is None and not computation.is_refused) or (derived is not None and derived.changed(recording)):
            with self._lock:
                computation.derive(recording)
        return computation.derived

    def _met_again(self, key: _Key) -> _Computation | None:
        """The computation `key`, which is not known; None where it has not come often enough."""
        with self._lock:
            mark = hash(key)
            times = self._seen.get(mark, 0) + 1
            if times < 2 + len(key.steps) // _STEPS_A_TIME:
                if len(self._seen) >= _MOST_SEEN:
                    self._seen.clear()
                self._seen[mark] = times
                return None
            self._seen.pop(mark, None)
            computation = self._computations[key] = _Computation(key)
            self._forget_some()
            return computation

    def _forget_some(self) -> None:
        size = sum(len(key.steps) for key in self._computations)
        for computation in sorted(self._computations.values(), key=lambda computation: computation.used):
            if size <= _MOST_STEPS:
                break
            if computation.used:  # not the new one
                size -= len(computation.key.steps)
                del self._computations[computation.key]


_KNOWN = _Known()
