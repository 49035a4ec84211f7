"""Why a gradient is None: the op that cut the path from the result back to the source, and the user's line."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rillet.autodiff.backprop import Producer, is_differentiable, producer_through_captures
from rillet.autodiff.isolated import FAILURES, Isolated, bodies
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.errors import Location

_MOST_SHOWN = 5


@dataclass(frozen=True)
class Cut:
    """An operation that takes what depends on the source and passes no gradient back to it."""

    operation: Operation
    reason: str

    @property
    def location(self) -> Location | None:
        return self.operation.location

    def __str__(self) -> str:
        name = f" '{self.operation.name}'" if self.operation.name else ""
        where = f"\n      at {self.location}" if self.location else ""
        return f"{self.operation.type}{name}: {self.reason}{where}"


@dataclass(frozen=True)
class Explanation:
    """What tf.explain_none found. Its text is what str() gives.

    is_none: whether the gradient is None. cuts: the operations at which every path from x to y ends.
    """

    is_none: bool
    headline: str
    cuts: list[Cut] = field(default_factory=list)
    hint: str = ""

    def __str__(self) -> str:
        lines = [self.headline, *[f"    {cut}" for cut in self.cuts[:_MOST_SHOWN]]]
        if len(self.cuts) > _MOST_SHOWN:
            lines.append(f"    ... and {len(self.cuts) - _MOST_SHOWN} more")
        if self.hint:
            lines.append(f"    Try: {self.hint}")
        return "\n".join(lines)

    __repr__ = __str__


@public("explain_none")
def explain_none(y: Any, x: Any, tape: Any = None) -> Explanation:
    """Says why the gradient of `y` with respect to `x` is None, or that it is not.

    y: a tensor. x: a tensor or a variable. tape: the persistent GradientTape that was to record y, where y ran eagerly.
    Raises ValueError for an eager y without a tape, TypeError where y is no tensor.
    """
    if not isinstance(y, Tensor):
        raise TypeError(f"y must be a tensor, not {type(y).__name__}")
    source = getattr(x, "_source", x)
    if not isinstance(source, Tensor):
        raise TypeError(f"x must be a tensor or a variable, not {type(x).__name__}")
    if not isinstance(y, EagerTensor):
        return explain(y, source, producer_through_captures, name_of(y), name_of(x))
    if tape is None:
        raise ValueError("y was computed eagerly: give the persistent GradientTape that recorded it as `tape`")
    return _on_tape(y, source, tape, name_of(x))


def name_of(value: Any) -> str:
    """What to call a tensor or variable in a sentence: 'w'."""
    if isinstance(value, SymbolicTensor):
        return f"'{value.op.name}'"
    if isinstance(value, EagerTensor):
        return f"the tensor of shape {value.shape} and dtype {value.dtype.name}"
    return f"'{str(getattr(value, 'name', value)).removesuffix(':0')}'"


def _on_tape(y: EagerTensor, source: Tensor, tape: Any, called: str) -> Explanation:
    if id(source) not in tape.numbers:
        return Explanation(
            True,
            f"The gradient is None: {called} was not watched, so the tape recorded nothing that was computed from it.",
            hint="tape.watch(x) inside the tape's block, before x is used (trainable variables are watched when they are read)",
        )
    producer = tape.producer()
    found = explain(y, source, producer, "y", called)
    if not found.is_none or found.cuts:
        return found
    return _behind_the_tape(y, called)


def _behind_the_tape(y: EagerTensor, called: str) -> Explanation:
    """A tape records nothing behind a result that has no gradient, such as an integer."""
    made = f"\n    y was made at {y.location}" if y.location else ""
    return Explanation(
        True,
        f"The gradient is None: what the tape recorded of {called} does not lead to y. Either y does not depend on it, or "
        "something between them is not recorded: a result that is an integer or a bool (tf.argmax, a comparison, a cast), "
        f".numpy(), or code outside the tape's block.{made}",
        hint="compute y from x inside the tape's block, with operations on floating-point tensors",
    )


def explain(y: Tensor, x: Tensor, producer: Producer, y_name: str, x_name: str) -> Explanation:
    for tensor, name in ((y, y_name), (x, x_name)):
        if not is_differentiable(tensor.dtype):
            return Explanation(
                True,
                f"The gradient is None: {name} is {tensor.dtype.name}, and only floating-point tensors have gradients.",
                hint="tf.cast it to tf.float32 where it is made",
            )
    operations = behind([y], producer)
    if x is not y and not any(x is tensor for operation in operations for tensor in operation.inputs):
        return Explanation(
            True, f"The gradient is None: {y_name} does not depend on {x_name}: no operation leads there."
        )
    flowing, cuts = _flow(operations, {id(x)})
    if id(y) in flowing:
        return Explanation(False, f"The gradient is not None: it flows from {y_name} to {x_name}.")
    return Explanation(
        True,
        f"The gradient is None: {y_name} depends on {x_name}, but no gradient passes "
        + ("this operation:" if len(cuts) == 1 else "these operations:"),
        cuts,
    )


def behind(targets: Sequence[Tensor], producer: Producer) -> list[Operation]:
    """Everything that the targets are computed from, in the order it was made."""
    found: dict[int, Operation] = {}
    waiting = list(targets)
    while waiting:
        operation = producer(waiting.pop())
        if operation is not None and operation.sequence not in found:
            found[operation.sequence] = operation
            waiting.extend(operation.inputs)
    return [found[sequence] for sequence in sorted(found)]


def _flow(operations: Sequence[Operation], flowing: set[int]) -> tuple[set[int], list[Cut]]:
    """Follows x forward: the tensors that a gradient flows back from, and the operations where it stops."""
    cuts: list[Cut] = []
    for operation in operations:
        places = [place for place, tensor in enumerate(operation.inputs) if id(tensor) in flowing]
        if not places:
            continue
        stops = _stops(operation, places)
        if stops is None:
            flowing.update(id(tensor) for tensor in operation.outputs if is_differentiable(tensor.dtype))
        else:
            cuts.extend(stops)
    return flowing, cuts


def _stops(operation: Operation, places: Sequence[int]) -> list[Cut] | None:
    """Where the gradient stops that comes to the operation's outputs and should reach its inputs at `places`; None where
    it reaches one."""
    called = bodies(operation)
    if not called:
        reason = _obstacle(operation, places)
        return [Cut(operation, reason)] if reason else None
    cuts: list[Cut] = []
    for body in called:
        if not any(is_differentiable(tensor.dtype) for tensor in body.outputs):
            continue  # a loop's condition
        first = len(operation.inputs) - len(body.inputs)
        flowing = {id(body.inputs[place - first]) for place in places if place >= first}
        flowing, inner = _flow(body.operations, flowing)
        if any(id(tensor) in flowing for tensor in body.outputs):
            return None
        cuts.extend(inner)
    return cuts or [Cut(operation, "inside, no result depends on this input")]


def _obstacle(operation: Operation, places: Sequence[int]) -> str:
    """Why no gradient flows from the operation's outputs to its inputs at `places`; "" where one does."""
    if not any(is_differentiable(tensor.dtype) for tensor in operation.outputs):
        kind = operation.outputs[0].dtype.name if operation.outputs else "nothing"
        return f"its result is {kind}, which has no gradient"
    if operation.gradient is NO_GRADIENT:
        return "it passes no gradient on"
    if operation.gradient is None:
        return "it has no gradient rule (tf.gradients raises LookupError here)"
    try:
        isolated = Isolated(operation)
        given = isolated.gradients(isolated.placeholder)
    except FAILURES:
        return ""  # the rule can't be tried apart from its graph: take it that it passes gradients on
    return "" if any(place in given for place in places) else "its gradient rule gives None for this input"


# ---- what was asked for last ----------------------------------------------------------------------------------------


class _Lately:
    """The sources that got no gradient when all of a call's were None, and why: for the error that follows."""

    reasons: ClassVar[list[tuple[weakref.ref[Any], str]]] = []  # replaced as a whole


def remember(targets: Sequence[Tensor], sources: Sequence[Any], producer: Producer, tape: Any = None) -> None:
    """Keeps why the gradients of all `sources` are None. Called where they are, which is rare: it costs a walk."""
    reasons = []
    for source in sources[:_MOST_SHOWN] if targets else ():
        tensor = getattr(source, "_source", source)
        if not isinstance(tensor, Tensor):
            continue
        target = targets[0]
        if tape is not None and isinstance(target, EagerTensor):
            found = _on_tape(target, tensor, tape, name_of(source))
        else:
            found = explain(target, tensor, producer, name_of(target), name_of(source))
        if found.is_none:
            reasons.append((weakref.ref(source), str(found)))
    _Lately.reasons = reasons


def reasons_for(sources: Sequence[Any]) -> str:
    """What was remembered about `sources`, as lines to be added to an error's message; "" for nothing."""
    texts = [text for reference, text in _Lately.reasons for source in sources if reference() is source]
    return "".join("\n  " + text.replace("\n", "\n  ") for text in dict.fromkeys(texts))


__all__ = ["Cut", "Explanation", "explain_none", "reasons_for", "remember"]
