"""Why a tf.function was traced again: which argument changed, from what to what, and what would prevent it.

With RILLET_DEBUG=1 every retrace is told as it happens. A function that is traced often is warned about once.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Sequence
from types import CodeType
from typing import Any

from rillet import config
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor
from rillet.errors import PACKAGE
from rillet.frontend.logging import get_logger
from rillet.frontend.variable import Variable

MANY = 5  # traces, from which on a function is warned about


class Identity:
    """Stands for one object in the key of a trace. (An id alone could belong to another object later.)"""

    __slots__ = ("_get", "_id")

    def __init__(self, value: Any) -> None:
        self._id = id(value)
        try:
            self._get = weakref.ref(value)
        except TypeError:
            self._get = lambda: value  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._id == other._id and self._get() is other._get() is not None

    def __hash__(self) -> int:
        return self._id


# ---- signatures in words --------------------------------------------------------------------------------------------


def described(value: Any) -> str:
    """What a trace is made for in place of `value`, as TensorFlow writes it."""
    if isinstance(value, Tensor) or (hasattr(value, "_key") and hasattr(value, "dtype")):
        return f"TensorSpec(shape={value.shape}, dtype={value.dtype!r}, name=None)"
    if isinstance(value, Variable):
        return f"VariableSpec(shape={value.shape}, dtype={value.dtype!r}, trainable={value.trainable})"
    if isinstance(value, dict):
        return f"Dict[{_pairs(value)}]"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{type(value).__name__}[{_pairs(dict(zip(value._fields, value, strict=True)))}]"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__.capitalize()}[{', '.join(map(described, value))}]"
    if hasattr(value, "_flatten_components"):
        return f"{type(value).__name__}[{', '.join(map(described, value._flatten_components()))}]"
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return f"Literal[{value!r}]"
    return f"{type(value).__name__} at 0x{id(value):x}"


def _pairs(mapping: dict[Any, Any]) -> str:
    return ", ".join(f"[{key!r}, {described(value)}]" for key, value in mapping.items())


def arguments_of(
    signature: inspect.Signature, args: Sequence[Any], kwargs: dict[str, Any]
) -> dict[str, tuple[str, str]]:
    """Kind and description of each argument, by the name of its parameter."""
    result: dict[str, tuple[str, str]] = {}
    parameters = list(signature.parameters.values())
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    for index, value in enumerate(args):
        if index < len(positional):
            result[positional[index].name] = (positional[index].kind.name, described(value))
        else:
            extra = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), "args")
            result[f"{extra}_{index - len(positional)}"] = ("POSITIONAL_ONLY", described(value))
    for name, value in kwargs.items():
        result[name] = ("KEYWORD_ONLY", described(value))
    return result


def pretty_printed(signature: inspect.Signature, concrete: Any) -> str:
    """The parameters, result and captures of one trace, one a line."""
    args, kwargs = concrete.structured_input_signature
    lines = ["Input Parameters:"]
    lines.extend(f"  {name} ({kind}): {text}" for name, (kind, text) in arguments_of(signature, args, kwargs).items())
    lines.extend(["Output Type:", f"  {described(concrete.structured_outputs)}", "Captures:"])
    captured = [f"  {id(tensor)}: {described(tensor)}" for tensor in concrete.captured_inputs]
    return "\n".join([*lines, *(captured or ["  None"])])


# ---- what changed ---------------------------------------------------------------------------------------------------


class _Call:
    """The arguments that a trace was made for. leaves: by the place of each, "x", "options['rate']"."""

    def __init__(self, leaves: dict[str, Any]) -> None:
        self.leaves = leaves

    def differences(self, other: _Call) -> list[str]:
        """What differs from an earlier one."""
        found = []
        for place in dict.fromkeys((*other.leaves, *self.leaves)):
            before, now = other.leaves.get(place, _ABSENT), self.leaves.get(place, _ABSENT)
            if before != now:
                found.append(_difference(place, before, now))
        return found


_ABSENT = ("absent", "absent", "")


def _leaf(value: Any) -> tuple[str, str, str]:
    """Kind, text and identity of a leaf."""
    if isinstance(value, Tensor):
        return "tensor", str(value.shape), value.dtype.name
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return "python", repr(value), type(value).__name__
    kind = "variable" if isinstance(value, Variable) else "object"
    return kind, type(value).__name__, str(id(value))


def _difference(place: str, before: tuple[str, str, str], now: tuple[str, str, str]) -> str:
    kinds = before[0], now[0]
    if kinds == ("tensor", "tensor"):
        if before[2] != now[2]:
            return f"'{place}' had dtype {before[2]} and now has {now[2]}: cast it, so that it always has one dtype"
        advice = "give the tf.function reduce_retracing=True, or an input_signature with None for the sizes that vary"
        return f"'{place}' had shape {before[1]} and now has {now[1]}: {advice}"
    if kinds == ("python", "python"):
        advice = f"every Python value is traced anew: pass tf.constant({now[1]}) if it varies"
        return f"'{place}' was {before[1]} and now is {now[1]}: {advice}"
    if before[0] == now[0] and before[1] == now[1]:
        return f"'{place}' is another {now[1]}: pass the same object again, or tensors"
    said = {"absent": "absent", "tensor": "a tensor of shape {1}", "python": "the Python value {1}"}
    words = [said.get(each[0], "a {1}").format(*each) for each in (before, now)]
    return f"'{place}' was {words[0]} and now is {words[1]}: pass the same kind of value in every call"


class Retraces:
    """The traces of one tf.function, told apart."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[_Call] = []
        self.is_warned = False

    def add(self, signature: inspect.Signature, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Keeps the arguments of a new trace; tells what changed since the others."""
        call = _Call(_leaves(signature, args, kwargs))
        reason = self._reason(call) if self.calls else None
        self.calls.append(call)
        if reason is None:
            return
        if config.DEBUG.value >= 1:
            print(f"rillet: {self.name} is traced again: {reason}", file=sys.stderr)
        if len(self.calls) >= MANY and not self.is_warned:
            self.is_warned = True
            get_logger().warning(f"{self.name} was traced {len(self.calls)} times, which costs time: {reason}.")

    def _reason(self, call: _Call) -> str:
        nearest = min((call.differences(other) for other in reversed(self.calls)), key=len)
        if not nearest:
            return "it was called inside another graph, or its arguments have another structure"
        return "; ".join(nearest)


def _leaves(signature: inspect.Signature, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = [each.name for each in signature.parameters.values() if each.kind is not each.KEYWORD_ONLY]
    found: dict[str, Any] = {}
    for index, value in enumerate(args):
        _enter(found, names[index] if index < len(names) else f"{names[-1]}[{index}]", value)
    for name, value in kwargs.items():
        _enter(found, name, value)
    return found


def _enter(found: dict[str, Any], place: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _enter(found, f"{place}[{key!r}]", part)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            _enter(found, f"{place}[{index}]", part)
    elif hasattr(value, "_flatten_components"):
        for index, part in enumerate(value._flatten_components()):
            _enter(found, f"{place}.{index}", part)
    else:
        found[place] = _leaf(value)


# ---- functions that are made anew -----------------------------------------------------------------------------------

_MADE: weakref.WeakKeyDictionary[CodeType, int] = weakref.WeakKeyDictionary()


def count_first_trace(python_function: Any, name: str) -> None:
    """Warns, once, of a Python function of which many tf.functions were made, each with its own first trace."""
    code = getattr(python_function, "__code__", None)
    if code is None or code.co_filename.startswith(PACKAGE):  # a step that Keras makes for each model is its own affair
        return
    count = _MADE[code] = _MADE.get(code, 0) + 1
    if count == MANY:
        where = f"{code.co_filename}:{code.co_firstlineno}"
        get_logger().warning(
            f"{name} ({where}) was made a tf.function {count} times, and traced each time: make it once, outside of the loop."
        )


# ---- relaxed shapes -------------------------------------------------------------------------------------------------


class Relaxed:
    """Traces whose shapes have been made general, for reduce_retracing: a new shape drops the sizes that vary."""

    def __init__(self) -> None:
        self._traces: list[tuple[Any, list[TensorShape], Any]] = []  # what must be equal, the shapes, the trace

    def find(self, fixed: Any, shapes: Sequence[TensorShape]) -> Any:
        """The trace that these arguments fit; None where there is none."""
        for known, general, trace in self._traces:
            if known == fixed and all(own.is_subtype_of(wide) for own, wide in zip(shapes, general, strict=True)):
                return trace
        return None

    def shapes_for(self, fixed: Any, shapes: Sequence[TensorShape]) -> list[TensorShape]:
        """The shapes of a new trace."""
        general = list(shapes)
        for known, others, _ in self._traces:
            if known == fixed:
                general = [
                    own.most_specific_compatible_shape(other) for own, other in zip(general, others, strict=True)
                ]
        return general

    def add(self, fixed: Any, shapes: Sequence[TensorShape], trace: Any) -> None:
        self._traces.append((fixed, list(shapes), trace))


def tensor_shapes(flat: Sequence[Any]) -> list[TensorShape]:
    return [leaf.shape for leaf in flat if isinstance(leaf, Tensor)]
