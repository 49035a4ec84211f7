"""The numbers of a derivation: what each operation's result changes with each of its inputs, and what the result that
was asked for changes with each tensor on the way. Both come from the gradient rules that tf.gradients and the tape use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rillet.autodiff.backprop import backprop, input_gradients, is_differentiable
from rillet.autodiff.isolated import bodies
from rillet.core import context
from rillet.core.dispatch import convert_to_tensor
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT
from rillet.core.tensor import EagerTensor
from rillet.draw.subject import Subject, reads_variable

_LARGEST_JACOBIAN = 64


@dataclass
class Derivatives:
    """totals: by id of a tensor, the derivative of what was asked for, an array. partials: by an operation's sequence
    and the place of an input. on_path: the ids of the tensors that depend on the sources."""

    totals: dict[int, Any] = field(default_factory=dict)
    partials: dict[tuple[int, int], Any] = field(default_factory=dict)
    on_path: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def differentiate(subject: Subject) -> Derivatives:
    """Derivatives with respect to everything between the subject's sources and its targets.

    Without values only `on_path` is filled.
    """
    result = Derivatives()
    if subject.sources is None:
        return result
    sources = {id(tensor) for tensor in subject.sources}
    for operation in subject.operations:
        if reads_variable(operation) and id(operation.inputs[0]) in sources:
            sources.add(id(operation.outputs[0]))
    result.on_path = _reached(subject.operations, sources)
    if subject.values:
        with context.use_graph(None), context.without_recording():
            _compute(subject, result)
    return result


def _reached(operations: list[Operation], sources: set[int]) -> set[int]:
    reached = set(sources)
    for operation in operations:
        if operation.gradient is not NO_GRADIENT and any(id(tensor) in reached for tensor in operation.inputs):
            reached.update(id(tensor) for tensor in operation.outputs if is_differentiable(tensor.dtype))
    return reached


def _compute(subject: Subject, result: Derivatives) -> None:
    values = subject.values
    producers: dict[int, Operation] = {}
    unknown: list[str] = []
    twins: list[tuple[Operation, Operation]] = []
    for operation in subject.operations:
        if not reads_variable(operation) and any(id(tensor) in result.on_path for tensor in operation.inputs):
            twin = _twin(operation, values)
            if twin is None:
                unknown.append(operation.name or operation.type)
            else:
                twins.append((operation, twin))
                producers.update((id(values[id(tensor)]), twin) for tensor in operation.outputs)
    if unknown:
        shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        result.notes.append(
            f"No derivatives behind {shown}: it has side effects, or tensors without values that can be shown."
        )
    on_path = [key for key in result.on_path if key in values and is_differentiable(values[key].dtype)]
    targets = [
        values[id(tensor)] for tensor in subject.targets if id(tensor) in result.on_path and id(tensor) in values
    ]
    if not targets:
        result.notes.append("What was asked for does not depend on what it is to be differentiated by.")
        return
    starts = [EagerTensor(np.ones_like(np.asarray(target._array)), target.dtype) for target in targets]
    try:
        gradients = backprop(
            targets, [values[key] for key in on_path], starts, lambda tensor: producers.get(id(tensor))
        )
    except LookupError as error:
        result.notes.append(str(error))
        return
    for key, gradient in zip(on_path, gradients, strict=True):
        if gradient is not None:
            result.totals[key] = np.asarray(convert_to_tensor(gradient)._array)
    for operation, twin in twins:
        if any(id(tensor) in result.totals for tensor in operation.outputs):
            for place, value in _partials(operation, twin, result).items():
                result.partials[operation.sequence, place] = value


def _twin(operation: Operation, values: dict[int, EagerTensor]) -> Operation | None:
    """The operation as if it had run eagerly on the known values. None where one is not known, and for loops and calls
    with side effects: to be differentiated these would have to run again."""
    if operation.definition.is_stateful and bodies(operation):
        return None
    tensors = (*operation.inputs, *operation.outputs)
    if any(id(tensor) not in values for tensor in tensors):
        return None
    inputs = tuple(values[id(tensor)] for tensor in operation.inputs)
    twin = Operation(operation.definition, inputs, operation.attrs, operation.gradient_rule)
    twin.outputs = [values[id(tensor)] for tensor in operation.outputs]
    twin.name = ""
    return twin


def _partials(operation: Operation, twin: Operation, result: Derivatives) -> dict[int, Any]:
    """By the place of an input: the derivative of the operation's first used output with respect to it."""
    place_of_output = next(place for place, tensor in enumerate(operation.outputs) if id(tensor) in result.totals)
    output = np.asarray(twin.outputs[place_of_output]._array)
    # each input by itself: one tensor may stand in two places
    alone = Operation(twin.definition, tuple(_copies(twin.inputs)), twin.attrs, twin.gradient_rule)
    alone.outputs = twin.outputs
    wanted = [
        place
        for place, tensor in enumerate(operation.inputs)
        if id(tensor) in result.on_path and tensor.dtype.is_numpy_compatible
    ]
    ones = np.ones_like(output)
    found = _pull(alone, place_of_output, ones)
    partials: dict[int, Any] = {}
    for place in wanted:
        source = np.asarray(alone.inputs[place]._array)  # type: ignore[attr-defined]
        if place not in found:
            continue
        if output.ndim == 0 or (operation.definition.elementwise and source.shape == output.shape):
            partials[place] = found[place]
        elif output.size * source.size <= _LARGEST_JACOBIAN:
            partials[place] = _jacobian(alone, place_of_output, place, output, source)
    return partials


def _copies(tensors: tuple[Any, ...]) -> list[EagerTensor]:
    return [EagerTensor(tensor._array, tensor.dtype, tensor._site) for tensor in tensors]


def _pull(operation: Operation, output: int, seed: Any) -> dict[int, Any]:
    flowing: list[Any] = [None] * len(operation.outputs)
    flowing[output] = EagerTensor(seed, operation.outputs[output].dtype)
    places = {id(tensor): place for place, tensor in enumerate(operation.inputs)}
    return {
        places[id(tensor)]: np.asarray(convert_to_tensor(gradient)._array)
        for tensor, gradient in input_gradients(operation, flowing, gate=False)
    }


def _jacobian(operation: Operation, output: int, place: int, value: Any, source: Any) -> Any:
    rows = []
    for element in range(value.size):
        seed = np.zeros_like(value)
        seed.reshape(-1)[element] = 1
        found = _pull(operation, output, seed)
        rows.append(found[place] if place in found else np.zeros_like(source))
    return np.stack(rows).reshape(value.shape + source.shape)
