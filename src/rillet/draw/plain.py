"""Pictures as text: a tree from the result back to what it is computed from, for terminals; and DOT, for other tools."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rillet.draw.model import Drawing, Edge, Kind, Node
from rillet.draw.style import edge_text, is_number, node_text, partial_text

_DEEPEST = 200
_SHAPES = {Kind.OPERATION: "box", Kind.PLACEHOLDER: "ellipse", Kind.VARIABLE: "ellipse", Kind.CONSTANT: "plaintext"}


def tree(drawing: Drawing) -> str:
    """One line a node, its inputs indented below it. What is used twice is told once: later places point there."""
    inputs: dict[int, list[Edge]] = {}
    for edge in drawing.edges:
        inputs.setdefault(edge.target, []).append(edge)
    seen: set[int] = set()
    roots = [node.key for node in drawing.nodes.values() if node.is_target]
    used = {edge.source for edge in drawing.edges}
    roots += [key for key in drawing.nodes if key not in used and key not in roots]
    lines = [drawing.title] if drawing.title else []
    for root in roots:
        lines.append(_head(drawing, drawing.nodes[root]))
        seen.add(root)
        lines.extend(_below(drawing, root, inputs, seen))
    return "\n".join([*lines, *drawing.notes]) + "\n"


def _below(drawing: Drawing, root: int, inputs: dict[int, list[Edge]], seen: set[int]) -> Iterator[str]:
    stack = [(edge, "", place == 0) for place, edge in enumerate(reversed(inputs.get(root, [])))]
    while stack:
        edge, indent, is_last = stack.pop()
        node = drawing.nodes[edge.source]
        branch = "└─ " if is_last else "├─ "
        partial = " ".join(partial_text(drawing, edge))
        told = edge.source in seen and bool(inputs.get(edge.source))
        head = f"{_name(node)}  (see above)" if told else _head(drawing, node)
        control = "after " if edge.is_control else ""
        yield indent + branch + control + head + (f"   [{partial}]" if partial else "")
        if edge.source not in seen and len(indent) < 3 * _DEEPEST:
            seen.add(edge.source)
            deeper = indent + ("   " if is_last else "│  ")
            stack.extend((more, deeper, place == 0) for place, more in enumerate(reversed(inputs.get(edge.source, []))))


def _name(node: Node) -> str:
    return node_text(Drawing({}, []), node)[0].plain if is_number(node) else f"{node.label} {node.symbol}".strip()


def _head(drawing: Drawing, node: Node) -> str:
    rest = [line.plain for line in node_text(drawing, node)[1:]]
    shape = node.outputs[0].shape if node.outputs and node.value is None else ""
    return "  ".join([part for part in (_name(node), shape, *rest) if part])


def dot(drawing: Drawing) -> str:
    """The graph in Graphviz's language, scopes as clusters."""
    lines = ["digraph {", "  node [fontname=sans, style=rounded];", "  edge [fontname=sans, fontsize=10];"]
    scopes: dict[tuple[str, ...], list[Node]] = {}
    for node in drawing.nodes.values():
        scopes.setdefault(node.scope, []).append(node)
    lines.extend(_clusters(drawing, scopes, ()))
    for edge in drawing.edges:
        label = "\n".join(line.plain for line in edge_text(drawing, edge))
        options = [*([f"label={_quoted(label)}"] if label else []), *(["style=dotted"] if edge.is_control else [])]
        lines.append(f"  n{edge.source} -> n{edge.target}" + (f" [{', '.join(options)}]" if options else "") + ";")
    return "\n".join([*lines, "}", ""])


def _clusters(drawing: Drawing, scopes: dict[tuple[str, ...], list[Node]], path: tuple[str, ...]) -> Iterator[str]:
    indent = "  " * (len(path) + 1)
    for node in scopes.get(path, []):
        text = "\n".join(line.plain for line in node_text(drawing, node))
        yield f"{indent}n{node.key} [label={_quoted(text)}, shape={_SHAPES[node.kind]}];"
    children = dict.fromkeys(
        scope[: len(path) + 1] for scope in scopes if scope[: len(path)] == path and len(scope) > len(path)
    )
    for child in children:
        yield f"{indent}subgraph {_quoted('cluster_' + '/'.join(child))} {{"
        yield f"{indent}  label={_quoted(child[-1])};"
        yield from _clusters(drawing, scopes, child)
        yield f"{indent}}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
