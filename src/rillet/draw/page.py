"""Pictures as HTML: one self-contained page to move about in, with groups that fold and details of what is pointed at."""

from __future__ import annotations

import json
from collections.abc import Hashable
from importlib.resources import files
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from rillet.draw import arrange, coordinates
from rillet.draw.groups import Item, Level
from rillet.draw.model import Drawing
from rillet.draw.style import CSS, explanation
from rillet.draw.svg import Layout, group_text, label_part, lines_of, markers, node_part

_PAGE = """<!doctype html>
<html lang="en" class="rl">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{css}</style>
</head>
<body class="rl">
<header><h1>{title}</h1>{fold}<button id="out" aria-label="zoom out">−</button><button id="in" aria-label="zoom in">+</button>
<button id="fit">Fit</button></header>
<main>
<svg id="picture" class="rl" xmlns="http://www.w3.org/2000/svg" tabindex="0" role="group"
 aria-label="{title}. Arrow keys move, plus and minus zoom, 0 fits, Tab goes from node to node, Enter folds a group.">
{markers}<g id="view"><g id="groups">{groups}</g><g id="lines"></g><g id="nodes">{nodes}</g></g></svg>
<pre id="details" aria-live="polite"></pre>
</main>
{notes}
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def html(drawing: Drawing, folded: bool | None = None, labels: bool | None = None) -> str:
    """The whole page. folded, labels: see svg.Layout."""
    layout = Layout(drawing, folded, labels)
    has_groups = len(layout.levels) > 1
    buttons = '<button id="fold">Fold</button><button id="unfold">Unfold</button>'
    return _PAGE.format(
        title=escape(drawing.title or f"Graph of {drawing.target_name}"),
        css=CSS + _part("page.css"),
        fold=f"<span{'' if has_groups else ' hidden'}>{buttons}</span>",
        markers=markers(),
        groups="".join(_group(level, layout.sizes().group(level)[0]) for level in layout.levels[1:]),
        nodes="".join(
            [
                *(node_part(layout, key) for key in drawing.nodes),
                *(_label(layout, edge) for edge in range(len(drawing.edges))),
            ]
        ),
        notes="".join(f'<div id="notes">{escape(note)}</div>' for note in drawing.notes),
        data=json.dumps(_data(layout), ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/"),
        script=_part("page.js"),
    )


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _group(level: Level, width: float) -> str:
    header = f'<text class="soft open" x="10" y="17">{escape(level.path[-1])}</text>'
    name = quoteattr(f"{'/'.join(level.path)}, {level.size} nodes")
    closed = f'<g class="closed">{lines_of(group_text(level), width / 2, 8.0)}</g>'
    head = f'<g class="group" data-group="{level.index}" tabindex="0" role="button" aria-label={name}>'
    return f'{head}<rect rx="8"/>{header}{closed}</g>'


def _label(layout: Layout, edge: int) -> str:
    return label_part(layout, edge) if layout.edge_lines[edge] else ""


def _data(layout: Layout) -> dict[str, Any]:
    sizes = layout.sizes()
    drawing = layout.drawing
    tensors: dict[Hashable, int] = {}

    def number(key: Hashable) -> int:
        return tensors.setdefault(key, len(tensors))

    return {
        "levels": [_level(level, number, sizes.group(level)) for level in layout.levels],
        "nodes": {key: sizes.node(key) for key in drawing.nodes},
        "labels": {edge: sizes.label(edge) for edge in range(len(drawing.edges)) if layout.edge_lines[edge]},
        "folded": sorted(layout.folded),
        "edges": [
            {"s": edge.source, "t": edge.target, "d": int(edge.partial is not None), "c": int(edge.is_control)}
            for edge in drawing.edges
        ],
        "text": {key: "\n".join(explanation(drawing, node)) for key, node in drawing.nodes.items()},
        "metric": {
            "gap": coordinates.GAP,
            "bendGap": coordinates.BEND_GAP,
            "rowGap": coordinates.ROW_GAP,
            "straight": coordinates.STRAIGHT,
            "alone": coordinates.ALONE,
            "heavy": coordinates.HEAVY,
            "rounds": coordinates.ROUNDS,
            "fewestRounds": coordinates.FEWEST_ROUNDS,
            "padding": arrange.PADDING,
            "header": arrange.HEADER,
            "port": arrange.PORT_SPACE,
            "spread": arrange.SPREAD,
            "mostApart": arrange.MOST_APART,
        },
    }


def _level(level: Level, number: Any, folded_size: tuple[float, float]) -> dict[str, Any]:
    users: list[list[int]] = [[] for _ in level.links]
    for edge, links in level.parts.items():
        for link in links:
            users[link].append(edge)
    return {
        "name": "/".join(level.path) + f"\n{level.size} nodes",
        "items": [_item(item, number) for item in level.items],
        "links": level.links,
        "tensors": [number(tensor) for tensor in level.tensors],
        "users": users,
        "count": level.rows.count,
        "rows": level.rows.rows,
        "chains": level.rows.chains,
        "above": level.rows.above,
        "below": level.rows.below,
        "foldedSize": folded_size,
    }


def _item(item: Item, number: Any) -> dict[str, Any]:
    if item.node is not None:
        return {"n": item.node}
    if item.label is not None:
        return {"l": item.label}
    if item.group is not None:
        return {"g": item.group.index}
    return {"p": number(item.port), "e": item.is_entry}
