"""tf.explain: a derivative by the chain rule, step by step, in letters and in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from rillet.autodiff.unconnected import explain_none
from rillet.core.export import public
from rillet.core.tensor import EagerTensor, Tensor
from rillet.draw.build import Builder
from rillet.draw.difference import slope
from rillet.draw.formula import FLOWING, value_formula
from rillet.draw.model import Drawing, Edge, Kind, Node
from rillet.draw.names import names_in, names_in_program
from rillet.draw.numbers import derivative, number, short
from rillet.draw.subject import EVERYTHING, find_subject

_MOST_PATHS = 6
_LONGEST_PATH = 12
_MOST_STEPS = 60


@dataclass
class Derivation:
    """What tf.explain gives. str() is the derivation.

    gradients: by name of what was differentiated by, the gradient as an array; None where there is none (`reasons` then
    says why). checks: by name, the finite difference, where it was asked for. drawing: what tf.draw would show.
    """

    drawing: Drawing
    gradients: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)
    text: str = ""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


@public("explain")
def explain(
    target: Any,
    *args: Any,
    wrt: Any = EVERYTHING,
    feed_dict: Any = None,
    session: Any = None,
    tape: Any = None,
    names: dict[str, Any] | None = None,
    check: bool = False,
    **kwargs: Any,
) -> Derivation:
    """Derives d target / d x for each x in `wrt`: the steps forwards, each operation's own derivatives, and the chain
    rule from the result back, in letters and, where values are known, in numbers. They are those of tf.gradients and of
    the tape; several paths are summed.

    target, args, kwargs, wrt, feed_dict, session, tape, names: as for tf.draw. A tape must be persistent.
    check: compares with finite differences (values must be known).
    Raises what tf.draw raises.
    """
    called = names_in_program() if names is None else names_in(names)
    if isinstance(target, EagerTensor) and isinstance(wrt, str) and wrt == EVERYTHING:
        wrt = None  # whatever the tape watched
    builder = Builder(find_subject(target, args, kwargs, wrt, feed_dict, session, tape, called))
    return _Writer(builder, builder.build(), tape).write(check)


class _Writer:
    def __init__(self, builder: Builder, drawing: Drawing, tape: Any) -> None:
        self.builder = builder
        self.drawing = drawing
        self.nodes = drawing.nodes
        self.tape = tape
        self.goal = drawing.target_name
        self.inputs: dict[int, list[Edge]] = {}
        self.outgoing: dict[int, list[Edge]] = {}
        for edge in drawing.edges:
            if edge.partial is not None:
                self.inputs.setdefault(edge.target, []).append(edge)
                self.outgoing.setdefault(edge.source, []).append(edge)
        self.leading = self._leading_to_target()
        self._said: list[str] = []

    def _leading_to_target(self) -> set[int]:
        found = {key for key, node in self.nodes.items() if node.is_target}
        waiting = list(found)
        while waiting:
            for edge in self.inputs.get(waiting.pop(), []):
                if edge.source not in found:
                    found.add(edge.source)
                    waiting.append(edge.source)
        return found

    def write(self, check: bool) -> Derivation:
        result = Derivation(self.drawing, {})
        sections = [self._forward(), self._backward()]
        for tensor in self.builder.subject.sources or []:
            sections.append(self._chain(tensor, result, check))
        sections.append([*self.drawing.notes])
        result.text = "\n\n".join("\n".join(section) for section in sections if section)
        return result

    # ---- forwards and backwards ------------------------------------------------------------------------------------

    def _forward(self) -> list[str]:
        lines = ["Forwards:"]
        for key, node in self.nodes.items():
            if key in self.builder.operations and self.inputs.get(key) and key in self.leading:
                lines.append(f"    {self._value_line(key, node)}")
        return _shortened(lines) if len(lines) > 1 else []

    def _value_line(self, key: int, node: Node) -> str:
        operation = self.builder.operations[key]
        names = [self._name(tensor) for tensor in operation.inputs]
        numbers = [self._number(tensor) for tensor in operation.inputs]
        parts = [node.label, value_formula(operation, names)]
        if all(numbers):
            parts.append(value_formula(operation, numbers))
        if node.value is not None:
            parts.append(short(node.value))
        elif node.outputs[0].shape:
            parts[-1] += f"   [{node.outputs[0].shape}]"
        return " = ".join(dict.fromkeys(part for part in parts if part))

    def _name(self, tensor: Tensor) -> str:
        place = self.builder.place_of.get(id(tensor))
        if place is None:
            return ""
        node = self.nodes[place[0]]
        return self._number(tensor) if node.kind is Kind.CONSTANT and np.ndim(node.value) == 0 else node.label

    def _number(self, tensor: Tensor) -> str:
        place = self.builder.place_of.get(id(tensor))
        value = None if place is None else self.nodes[place[0]].outputs[place[1]].value
        return number(np.asarray(value)[()]) if value is not None and np.ndim(value) == 0 else ""

    def _backward(self) -> list[str]:
        lines = ["Backwards, one operation at a time, each by its gradient rule:"]
        for key in sorted(self.leading, reverse=True):
            for edge in self.inputs.get(key, []):
                if edge.source in self.leading:
                    lines.append(f"    {self.nodes[key].op:<10} {self._partial_line(edge)}")
        return _shortened(lines) if len(lines) > 1 else []

    def _partial_line(self, edge: Edge) -> str:
        assert edge.partial is not None
        parts = [self._quotient(edge)]
        if edge.partial.formula:
            parts.append(edge.partial.formula)
        if edge.partial.value is not None and np.size(edge.partial.value) <= 4 and np.ndim(edge.partial.value) <= 2:
            parts.append(short(edge.partial.value))
        elif not edge.partial.formula:
            parts.append("(a Jacobian)")
        text = " = ".join(dict.fromkeys(parts))
        if FLOWING in edge.partial.formula:
            target = self.nodes[edge.target].label
            text += f"    ({FLOWING} = ∂{self.goal}/∂{target})"
        return text

    def _quotient(self, edge: Edge) -> str:
        return f"∂{self.nodes[edge.target].label}/∂{self.nodes[edge.source].label}"

    # ---- the chain -------------------------------------------------------------------------------------------------

    def _chain(self, source: Tensor, result: Derivation, check: bool) -> list[str]:
        place = self.builder.place_of.get(id(source))
        if place is None or place[0] not in self.leading:
            return self._no_path(source, result)
        node = self.nodes[place[0]]
        head = f"∂{self.goal}/∂{node.label}"
        result.gradients[node.label] = node.total
        paths = self._paths(place[0])
        self._said = []
        lines = self._products(head, paths) if paths else [f"{head} = {self._sum_of_steps(place[0])}"]
        if node.total is not None:
            if derivative(node.total) not in self._said:
                lines.append(f"{' ' * len(head)} = {derivative(node.total)}")
            if check:
                lines.extend(self._check(source, node, result))
        return lines

    def _no_path(self, source: Tensor, result: Derivation) -> list[str]:
        name = self._name(source) or self.builder.subject.names.get(id(source)) or str(getattr(source, "name", "x"))
        target = self.builder.subject.targets[0]
        reason = str(explain_none(target, source, self.tape))
        result.gradients[name] = None
        result.reasons[name] = reason
        return [f"∂{self.goal}/∂{name} = None", "    " + reason.replace("\n", "\n    ")]

    def _paths(self, start: int) -> list[list[Edge]]:
        """All ways from a node to the target, the last edge first; none where there are too many or they are too long."""
        found: list[list[Edge]] = []
        for path in self._walk(start):
            found.append(path)
            if len(found) > _MOST_PATHS or len(path) > _LONGEST_PATH:
                return []
        return found

    def _walk(self, start: int) -> Iterator[list[Edge]]:
        stack: list[tuple[int, list[Edge]]] = [(start, [])]
        while stack:
            key, path = stack.pop()
            if self.nodes[key].is_target:
                yield path[::-1]
            if len(path) > _LONGEST_PATH:
                yield path
                return
            for edge in reversed(self.outgoing.get(key, [])):
                if edge.target in self.leading:
                    stack.append((edge.target, [*path, edge]))

    def _products(self, head: str, paths: Sequence[Sequence[Edge]]) -> list[str]:
        rows = [
            [[self._quotient(edge) for edge in path] or ["1"] for path in paths],
            [[_factor(edge.partial.formula, len(path)) if edge.partial else "" for edge in path] for path in paths],
            [[_scalar(edge, len(path)) for edge in path] for path in paths],
        ]
        lines: list[str] = []
        known = [head]  # what has been said: one factor is not repeated
        for row in rows:
            text = " + ".join(" · ".join(factors) for factors in row)
            if all(factors and all(factors) for factors in row) and text not in known:
                lines += _sum_lines(" " * len(head) if lines else head, row)
                known.append(text)
        self._said = known
        return lines or [head]

    def _sum_of_steps(self, key: int) -> str:
        """One step of the chain rule alone, where all paths would be too many."""
        steps = [edge for edge in self.outgoing.get(key, []) if edge.target in self.leading]
        return " + ".join(f"∂{self.goal}/∂{self.nodes[edge.target].label} · {self._quotient(edge)}" for edge in steps)

    def _check(self, source: Tensor, node: Node, result: Derivation) -> list[str]:
        found = slope(self.builder.subject, source)
        if found is None:
            return ["    (no finite difference: an operation on the way can't be run by itself)"]
        estimate, places = found
        result.checks[node.label] = estimate
        exact = np.asarray(node.total, np.float64).reshape(-1)[places]
        off = float(np.max(np.abs(estimate - exact), initial=0.0))
        what = short(estimate[0]) if np.ndim(node.total) == 0 else f"{len(places)} of {np.size(node.total)} elements"
        return [f"    finite difference: {what}, at most {number(float(f'{off:.1g}'))} away"]


def _sum_lines(head: str, rows: Sequence[Sequence[str]]) -> list[str]:
    blank = " " * len(head)
    return [f"{blank if place else head} {'+' if place else '='} {' · '.join(row)}" for place, row in enumerate(rows)]


def _factor(formula: str, count: int) -> str:
    """A formula as one of `count` factors."""
    return f"({formula})" if count > 1 and (formula.startswith("−") or " " in formula) else formula


def _scalar(edge: Edge, count: int) -> str:
    value = None if edge.partial is None else edge.partial.value
    if value is None or np.size(value) != 1:
        return ""
    text = number(np.asarray(value).reshape(())[()])
    return f"({text})" if count > 1 and text.startswith("−") else text


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_STEPS:
        return lines
    half = _MOST_STEPS // 2
    return [*lines[:half], f"    ... {len(lines) - 2 * half} more ...", *lines[-half:]]
