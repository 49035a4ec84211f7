"""Pictures as SVG: one self-contained file, readable by day and by night."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from rillet.draw.arrange import Arrangement, Box, Line, Point, Sizes, arrange
from rillet.draw.groups import Level, make_levels
from rillet.draw.model import Drawing, Edge, Kind
from rillet.draw.style import CSS, LINE, SIDE, Text, edge_text, explanation, node_text

MARGIN = 20.0
_MOST_LABELLED = 60  # nodes, from where on edges have no labels
_MOST_OPEN = 100  # nodes, from where on groups start folded
_TITLE = 30.0


class Layout:
    """A drawing with its texts measured and its groups found. `arrange` places it for a choice of folded groups."""

    def __init__(self, drawing: Drawing, folded: bool | None = None, labels: bool | None = None) -> None:
        """folded: whether groups start folded; None: in large pictures. labels: whether edges have labels, likewise."""
        self.drawing = drawing
        self.node_lines = {key: node_text(drawing, node) for key, node in drawing.nodes.items()}
        labelled = len(drawing.nodes) <= _MOST_LABELLED if labels is None else labels
        texts = {id(edge): edge_text(drawing, edge) if labelled else [] for edge in drawing.edges}
        self.edge_lines = [texts[id(edge)] for edge in drawing.edges]
        self.levels = make_levels(drawing, lambda edge: bool(texts[id(edge)]))
        self.folded = self._folded(len(drawing.nodes) > _MOST_OPEN if folded is None else folded)
        self._index = {id(edge): place for place, edge in enumerate(drawing.edges)}

    def _folded(self, wanted: bool) -> set[int]:
        return {level.index for level in self.levels[1:]} if wanted else set()

    def sizes(self) -> Sizes:
        return Sizes(
            lambda key: _block(self.node_lines[key], SIDE),
            lambda edge: _block(self.edge_lines[edge], 3.0, 2.0),
            lambda level: _block(group_text(level), SIDE),
        )

    def arrange(self, folded: set[int] | None = None) -> Arrangement:
        return arrange(self.levels, self.folded if folded is None else folded, self.sizes())


def group_text(level: Level) -> list[Text]:
    return [Text([(level.path[-1] if level.path else "", "name"), (f"{level.size} nodes", "soft")])]


def _block(lines: Sequence[Text], side: float, above: float = 8.0) -> tuple[float, float]:
    return max((line.width for line in lines), default=0.0) + 2 * side, len(lines) * LINE + 2 * above


def svg(drawing: Drawing, folded: bool | None = None, labels: bool | None = None) -> str:
    """The whole picture. For the arguments see Layout."""
    layout = Layout(drawing, folded, labels)
    return render(layout, layout.arrange())


def render(layout: Layout, arrangement: Arrangement) -> str:
    drawing = layout.drawing
    top = MARGIN + (_TITLE if drawing.title else 0.0)
    notes = len(drawing.notes) * LINE
    width, height = arrangement.width + 2 * MARGIN, arrangement.height + top + MARGIN + notes
    title_text = drawing.title or f"Graph of {drawing.target_name}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rl" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" role="img">',
        f"<title>{escape(title_text)}</title>",
        f"<style>{CSS}</style>",
        markers(),
        f'<rect class="paper" width="{number(width)}" height="{number(height)}"/>',
    ]
    if drawing.title:
        parts.append(
            f'<text class="title" x="{number(MARGIN)}" y="{number(MARGIN + 14)}">{escape(drawing.title)}</text>'
        )
    parts.append(f'<g transform="translate({number(MARGIN)} {number(top)})">')
    parts.extend(body(layout, arrangement))
    parts.append("</g>")
    for place, note in enumerate(drawing.notes):
        y = height - MARGIN - notes + (place + 1) * LINE
        parts.append(f'<text class="soft" x="{number(MARGIN)}" y="{number(y)}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def markers() -> str:
    arrow = '<path d="M0 0L7 3.5L0 7Z"/>'
    where = 'viewBox="0 0 7 7" refX="6.5" refY="3.5" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto"'
    return f'<defs><marker id="rl-tip" {where}>{arrow}</marker><marker id="rl-hot" class="hot" {where}>{arrow}</marker></defs>'


def body(layout: Layout, arrangement: Arrangement) -> list[str]:
    """Groups, then lines, then nodes and labels on top of them."""
    parts = [_group(layout, level, arrangement) for level in layout.levels[1:] if level.index in arrangement.groups]
    parts.extend(_line(layout, line) for line in arrangement.lines)
    for key, box in arrangement.nodes.items():
        parts.append(node_part(layout, key, box))
    for edge, box in arrangement.labels.items():
        parts.append(label_part(layout, edge, box))
    return parts


def _group(layout: Layout, level: Level, arrangement: Arrangement) -> str:
    box = arrangement.groups[level.index]
    folded = level.index in arrangement.folded
    rect = f'<rect width="{number(box.width)}" height="{number(box.height)}" rx="8"/>'
    lines = (
        lines_of(group_text(level), box.width / 2, 8.0)
        if folded
        else (f'<text class="soft" x="10" y="17">{escape(level.path[-1])}</text>')
    )
    kind = "group folded" if folded else "group"
    return f'<g class="{kind}" data-group="{level.index}" transform="{_at(box)}">{rect}{lines}</g>'


def node_part(layout: Layout, key: int, box: Box | None = None) -> str:
    """A node. Without a box it stands at the origin, and the page is to place it and to tell of it."""
    node = layout.drawing.nodes[key]
    kind = f"node {node.kind.value}" + (" target" if node.is_target else "")
    width, height = layout.sizes().node(key)
    radius = min(height / 2, 18) if node.kind in (Kind.PLACEHOLDER, Kind.VARIABLE) else 8
    title = f"<title>{escape(chr(10).join(explanation(layout.drawing, node)))}</title>"
    rect = f'<rect width="{number(width)}" height="{number(height)}" rx="{number(radius)}"/>'
    lines = lines_of(layout.node_lines[key], width / 2, 8.0)
    if box is None:
        name = quoteattr(" ".join(line.plain for line in layout.node_lines[key]))
        return f'<g class="{kind}" data-node="{key}" tabindex="0" role="img" aria-label={name}>{rect}{lines}</g>'
    return f'<g class="{kind}" data-node="{key}" transform="{_at(box)}">{title}{rect}{lines}</g>'


def label_part(layout: Layout, edge: int, box: Box | None = None) -> str:
    width, _ = layout.sizes().label(edge)
    where = "" if box is None else f' transform="{_at(box)}"'
    return f'<g class="label" data-edge="{edge}"{where}>{lines_of(layout.edge_lines[edge], width / 2, 2.0)}</g>'


def lines_of(lines: Sequence[Text], middle: float, above: float) -> str:
    result = []
    for place, line in enumerate(lines):
        y = above + place * LINE + 12.5
        if len(line.parts) == 1:
            text, kind = line.parts[0]
            inside, name = escape(text), f" class={quoteattr(kind)}"
        else:
            inside = "".join(
                f'<tspan class="{kind}"{"" if part == 0 else " dx=" + chr(34) + "6" + chr(34)}>{escape(text)}</tspan>'
                for part, (text, kind) in enumerate(line.parts)
            )
            name = ""
        result.append(f'<text{name} x="{number(middle)}" y="{number(y)}" text-anchor="middle">{inside}</text>')
    return "".join(result)


def _line(layout: Layout, line: Line) -> str:
    edges = [layout.drawing.edges[index] for index in line.edges]
    kind, tip = _look(edges)
    marker = f' marker-end="url(#{tip})"' if line.ends_at_node else ""
    name = f' class="{kind}"' if kind else ""
    return f'<path{name} d="{path(line.points)}"{marker}/>'


def _look(edges: Sequence[Edge]) -> tuple[str, str]:
    if edges and all(edge.is_control for edge in edges):
        return "control", "rl-tip"
    return ("wrt", "rl-hot") if any(edge.partial is not None for edge in edges) else ("", "rl-tip")


def path(points: Sequence[Point]) -> str:
    """Straight where two points stand above each other, else an S with upright ends."""
    (x, y), *rest = points
    result = f"M{number(x)} {number(y)}"
    for next_x, next_y in rest:
        if abs(next_x - x) < 0.05:
            result += f"V{number(next_y)}"
        else:
            half = (y + next_y) / 2
            result += f"C{number(x)} {number(half)} {number(next_x)} {number(half)} {number(next_x)} {number(next_y)}"
        x, y = next_x, next_y
    return result


def _at(box: Box) -> str:
    return f"translate({number(box.left)} {number(box.top)})"


def number(value: float) -> str:
    """At most one digit after the point: the same on every machine."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
