"""How pictures look: measures of text, what is written on nodes and edges, colours by day and by night."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np

from rillet.draw.model import Drawing, Edge, Kind, Node
from rillet.draw.numbers import derivative, short

LINE = 17.0
SIDE = 12.0
_NARROW = frozenset("ijl.,:;'|!()[]ftrI ·")
_WIDE = frozenset("mwMW@%∂Σ…−+=<>×÷≥≤≠‖")
_LONGEST_LABEL = 30

CSS = """
.rl{--paper:#ffffff;--ink:#1f2430;--soft:#6b7280;--line:#9aa3b2;--value:#1d5fbf;--grad:#b3470b;
--op:#eef2f9;--op-edge:#b9c4d6;--placeholder:#e3f4ea;--placeholder-edge:#7fbf9b;--variable:#efe8fb;--variable-edge:#ab93dd;
--constant:#f6f4ee;--constant-edge:#cfc9b8;--target:#fff3d6;--target-edge:#d9a520;--group:#f7f8fb;--group-edge:#d3d9e4;
font-family:Inter,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;background:var(--paper);color:var(--ink)}
@media (prefers-color-scheme:dark){.rl{--paper:#14171d;--ink:#e8ebf1;--soft:#98a2b3;--line:#667085;--value:#8ab8ff;--grad:#ffab70;
--op:#222834;--op-edge:#465064;--placeholder:#173326;--placeholder-edge:#3f8a63;--variable:#2a2140;--variable-edge:#7a62b5;
--constant:#26251f;--constant-edge:#57533f;--target:#3a2f10;--target-edge:#c6952b;--group:#191d25;--group-edge:#333b49}}
.rl text{fill:var(--ink);font-size:13px}
.rl .paper{fill:var(--paper)}
.rl .node rect{fill:var(--op);stroke:var(--op-edge);stroke-width:1.2}
.rl .placeholder rect{fill:var(--placeholder);stroke:var(--placeholder-edge)}
.rl .variable rect{fill:var(--variable);stroke:var(--variable-edge)}
.rl .constant rect{fill:var(--constant);stroke:var(--constant-edge)}
.rl .target rect{fill:var(--target);stroke:var(--target-edge);stroke-width:2}
.rl .group rect{fill:var(--group);stroke:var(--group-edge);stroke-width:1.2}
.rl .folded rect{fill:var(--op);stroke:var(--op-edge);stroke-dasharray:5 3}
.rl .sign{font-weight:700;font-size:14px}
.rl text.value,.rl tspan.value{fill:var(--value);font-size:12px}
.rl text.grad,.rl tspan.grad{fill:var(--grad);font-size:12px}
.rl text.soft,.rl tspan.soft{fill:var(--soft);font-size:11.5px}
.rl text.title{font-size:15px;font-weight:600}
.rl path{fill:none;stroke:var(--line);stroke-width:1.3}
.rl path.control{stroke-dasharray:3 4}
.rl path.wrt{stroke:var(--grad);stroke-opacity:.75}
.rl marker path{fill:var(--line);stroke:none}
.rl marker.hot path{fill:var(--grad)}
"""


def width_of(text: str, size: float = 13.0) -> float:
    """About how wide a text is: rather too wide than too narrow, whatever the font is."""
    units = 0.0
    for letter in text:
        if unicodedata.combining(letter):
            continue
        if letter in _NARROW:
            units += 0.38
        elif letter in _WIDE:
            units += 0.92
        elif letter.isupper():
            units += 0.74
        else:
            units += 0.62
    return units * size


@dataclass
class Text:
    """One line: parts with their classes."""

    parts: list[tuple[str, str]]

    @property
    def width(self) -> float:
        sizes = {"value": 12.0, "grad": 12.0, "soft": 11.5, "sign": 15.5}
        return sum(width_of(text, sizes.get(kind, 13.0)) for text, kind in self.parts) + 6.0 * (len(self.parts) - 1)

    @property
    def plain(self) -> str:
        return " ".join(text for text, _ in self.parts)


def node_text(drawing: Drawing, node: Node) -> list[Text]:
    """What is written on a node: what it is, its value, the derivative with respect to it."""
    value = _value_text(node)
    if is_number(node):
        return [Text([(value, "value")])]
    head = [(node.symbol, "sign")] if node.symbol else []
    if node.label.lower() != node.symbol.lower():
        head.append((node.label, "name"))
    if not value and node.outputs and node.outputs[0].shape:
        head.append((node.outputs[0].shape, "soft"))
    lines = [Text(head)]
    if value:
        lines.append(Text([("= " + value, "value")]))
    if node.total is not None:
        lines.append(Text([(total_text(drawing, node), "grad")]))
    return lines


def is_number(node: Node) -> bool:
    """Whether a node is a constant number of which nobody needs the name."""
    return node.kind is Kind.CONSTANT and not node.is_named and node.value is not None and np.ndim(node.value) == 0


def _value_text(node: Node) -> str:
    if node.value is None:
        return ""
    try:
        return short(node.value)
    except (TypeError, ValueError):  # a handle, a list
        return ""


def total_text(drawing: Drawing, node: Node) -> str:
    """ "∂g/∂a = 0.6", or "∇a g" and the length of the vector."""
    return f"∂{drawing.target_name}/∂{node.label} = {derivative(node.total)}"


def edge_text(drawing: Drawing, edge: Edge) -> list[Text]:
    """What is written on an edge: the value or the shape of its tensor, and the partial derivative."""
    lines = []
    source = drawing.nodes[edge.source]
    output = source.outputs[edge.output] if edge.output < len(source.outputs) else None
    if output is not None and not edge.is_control:
        if output.value is not None and np.ndim(output.value) == 0 and np.asarray(output.value).dtype.kind in "fiubc":
            lines.append(Text([(short(output.value), "value")]))
        elif output.shape:
            lines.append(Text([(output.shape, "soft")]))
    partial = partial_text(drawing, edge)
    return lines + [Text([(text, "grad")]) for text in partial]


def partial_text(drawing: Drawing, edge: Edge) -> list[str]:
    """ "∂sum/∂a = b = 3", on two lines where it is long."""
    if edge.partial is None:
        return []
    source, target = drawing.nodes[edge.source], drawing.nodes[edge.target]
    value = ""
    if edge.partial.value is not None and np.ndim(edge.partial.value) <= 2 and np.size(edge.partial.value) <= 4:
        value = short(edge.partial.value)
    formula = edge.partial.formula
    if not formula and edge.partial.value is not None and not value:
        value = short(edge.partial.value)
    parts = [part for part in (formula, value if value != formula and not _is_plain_number(formula) else "") if part]
    if not parts:
        return []
    if "δ" in formula:
        parts = [formula]
    head = f"∂{target.label}/∂{source.label} ="
    line = " ".join([head, " = ".join(parts)])
    if len(line) <= _LONGEST_LABEL:
        return [line]
    if len(" = ".join(parts)) <= _LONGEST_LABEL:
        return [head, " = ".join(parts)]
    return [head, parts[0], *["= " + part for part in parts[1:]]]


def _is_plain_number(text: str) -> bool:
    return bool(text) and all(letter.isdigit() or letter in "−." for letter in text)


def explanation(drawing: Drawing, node: Node) -> list[str]:
    """All that is known of a node, a line each: for those who point at it."""
    lines = [f"{node.op}" + (f"  {node.path}" if node.path else f"  {node.label}")]
    for place, output in enumerate(node.outputs):
        name = "" if len(node.outputs) == 1 else f"[{place}] "
        lines.append(f"{name}{output.dtype}" + (f" [{output.shape}]" if output.shape else ""))
        if output.value is not None:
            text = _value_text(node) if place == node.main else short(output.value)
            lines.append(f"{name}value {text}")
        if output.total is not None:
            lines.append(f"{name}∂{drawing.target_name}/∂{node.label} = {derivative(output.total)}")
    lines.extend(f"{name}: {value}" for name, value in node.attributes.items())
    return [*lines, *([node.location] if node.location else [])]
