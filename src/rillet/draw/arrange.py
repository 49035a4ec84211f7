"""Where everything stands: boxes of nodes and groups, lines of edges, places of labels. One coordinate system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rillet.draw.coordinates import place
from rillet.draw.groups import Item, Level

HEADER = 26.0  # the room above a group's inside, for its name
PADDING = 16.0
SPREAD = 0.7  # of a node's width, for the ends of its edges
MOST_APART = 16.0
PORT_SPACE = 10.0

Point = tuple[float, float]
Size = tuple[float, float]


@dataclass
class Box:
    """left, top: of the whole picture."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


@dataclass
class Line:
    """An edge's way: it goes straight down from each point to the next where they stand above each other, and in an S
    between others. edges: the indices of the edges that share it."""

    points: list[Point]
    edges: list[int]
    ends_at_node: bool


@dataclass
class Arrangement:
    width: float = 0.0
    height: float = 0.0
    nodes: dict[int, Box] = field(default_factory=dict)
    groups: dict[int, Box] = field(default_factory=dict)
    folded: set[int] = field(default_factory=set)
    labels: dict[int, Box] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)


@dataclass
class Sizes:
    """How large the parts are: a node by its key, a label by its edge's index, a folded group."""

    node: Callable[[int], Size]
    label: Callable[[int], Size]
    group: Callable[[Level], Size]


@dataclass
class _Inside:
    """A level in its own coordinates. lines: points of a link, in the order of the level's links."""

    x: list[float]
    y: list[float]
    sizes: list[Size]
    width: float
    height: float
    inner: dict[int, _Inside]


def arrange(levels: Sequence[Level], folded: set[int], sizes: Sizes) -> Arrangement:
    """folded: the indices of the levels whose inside is not shown."""
    root = _measure(levels[0], folded, sizes)
    result = Arrangement(root.width, root.height, folded=set(folded))
    _set(levels[0], root, 0.0, 0.0, result, {})
    return result


def _measure(level: Level, folded: set[int], sizes: Sizes) -> _Inside:
    inner: dict[int, _Inside] = {}
    measured: list[Size] = []
    for vertex, item in enumerate(level.items):
        if item.group is not None and item.group.index not in folded:
            inner[vertex] = _measure(item.group, folded, sizes)
            measured.append((inner[vertex].width + 2 * PADDING, inner[vertex].height + HEADER + PADDING))
        else:
            measured.append(_size(item, sizes))
    x, y = place(level.rows, [size[0] for size in measured], [size[1] for size in measured])
    width = max((x[vertex] + size[0] / 2 for vertex, size in enumerate(measured)), default=0.0)
    height = max((y[vertex] + size[1] / 2 for vertex, size in enumerate(measured)), default=0.0)
    return _Inside(x, y, measured, max(width, max(x, default=0.0)), height, inner)


def _size(item: Item, sizes: Sizes) -> Size:
    if item.node is not None:
        return sizes.node(item.node)
    if item.label is not None:
        return sizes.label(item.label)
    return (PORT_SPACE, 0.0) if item.group is None else sizes.group(item.group)


def _set(
    level: Level, inside: _Inside, left: float, top: float, result: Arrangement, ports: dict[int, dict[object, float]]
) -> None:
    """Puts a level's parts where they belong. ports: by vertex of the level around it, where its ports are."""
    own: dict[int, dict[object, float]] = {}
    for vertex, item in enumerate(level.items):
        width, height = inside.sizes[vertex]
        box = Box(left + inside.x[vertex] - width / 2, top + inside.y[vertex] - height / 2, width, height)
        if item.node is not None:
            result.nodes[item.node] = box
        elif item.label is not None:
            result.labels[item.label] = box
        elif item.group is not None:
            result.groups[item.group.index] = box
            if vertex in inside.inner:
                within = inside.inner[vertex]
                own[vertex] = {
                    (port.port, port.is_entry): box.left + PADDING + within.x[place]
                    for place, port in enumerate(item.group.items)
                    if port.port is not None
                }
                _set(item.group, within, box.left + PADDING, box.top + HEADER, result, own)
    _draw_lines(level, inside, left, top, result, own)


# ---- lines ----------------------------------------------------------------------------------------------------------


def _draw_lines(
    level: Level, inside: _Inside, left: float, top: float, result: Arrangement, ports: dict[int, dict[object, float]]
) -> None:
    bands = _bands(level, inside)
    ends = _ends(level, inside)
    users: dict[int, list[int]] = {}
    for edge, links in level.parts.items():
        for link in links:
            users.setdefault(link, []).append(edge)
    for link, (source, target) in enumerate(level.links):
        chain = level.rows.chains[link]
        upward = chain[0] != source
        points: list[Point] = []
        for position, vertex in enumerate(chain):
            x, above, below = inside.x[vertex], *bands[vertex]
            if vertex < level.rows.count:
                half = inside.sizes[vertex][1] / 2
                end = 0 if position == 0 else 1
                x = _port_x(vertex, (level.tensors[link], end == 1), ports, left, x + ends.get((link, end), 0.0))
                own_above, own_below = inside.y[vertex] - half, inside.y[vertex] + half
                pair = [(x, own_below), (x, below)] if position == 0 else [(x, above), (x, own_above)]
                if level.items[vertex].port is not None:
                    border = -HEADER if level.items[vertex].is_entry else inside.height + PADDING
                    pair = [(x, border), pair[1]] if position == 0 else [pair[0], (x, border)]
            else:
                pair = [(x, above), (x, below)]
            points.extend((left + x, top + y) for x, y in pair)
        line = points[::-1] if upward else points
        result.lines.append(Line(_simple(line), sorted(users.get(link, [])), _is_closed(level, inside, target)))


def _port_x(
    vertex: int, port: tuple[object, bool], ports: dict[int, dict[object, float]], left: float, otherwise: float
) -> float:
    """Where a line meets an unfolded group: at the port of its tensor."""
    found = ports.get(vertex, {}).get(port)
    return otherwise if found is None else found - left


def _bands(level: Level, inside: _Inside) -> dict[int, tuple[float, float]]:
    """For each vertex the top and bottom of its row."""
    bands: dict[int, tuple[float, float]] = {}
    for row in level.rows.rows:
        tallest = max((inside.sizes[vertex][1] for vertex in row if vertex < level.rows.count), default=0.0)
        for vertex in row:
            bands[vertex] = (inside.y[vertex] - tallest / 2, inside.y[vertex] + tallest / 2)
    return bands


def _ends(level: Level, inside: _Inside) -> dict[tuple[int, int], float]:
    """How far from the middle of a node its lines begin and end: side by side, in the order in which they come."""
    touching: dict[tuple[int, int], list[tuple[float, int, object]]] = {}
    for link, chain in enumerate(level.rows.chains):
        if len(chain) > 1:
            key = level.tensors[link]
            touching.setdefault((chain[0], 0), []).append((inside.x[chain[1]], link, key))
            touching.setdefault((chain[-1], 1), []).append((inside.x[chain[-2]], link, link))
    offsets: dict[tuple[int, int], float] = {}
    for (vertex, end), found in touching.items():
        if vertex >= level.rows.count or not _is_closed(level, inside, vertex):
            continue
        together: dict[object, list[tuple[float, int]]] = {}
        for x, link, key in found:
            together.setdefault(key, []).append((x, link))
        order = sorted(together.values(), key=lambda ends: (sum(x for x, _ in ends) / len(ends), ends[0][1]))
        apart = min(MOST_APART, inside.sizes[vertex][0] * SPREAD / max(len(order), 1))
        for position, ends in enumerate(order):
            for _, link in ends:
                offsets[link, end] = (position - (len(order) - 1) / 2) * apart
    return offsets


def _is_closed(level: Level, inside: _Inside, vertex: int) -> bool:
    """Whether lines end at the vertex: at a node, or at a folded group."""
    item = level.items[vertex]
    return item.node is not None or (item.group is not None and vertex not in inside.inner)


def _simple(points: list[Point]) -> list[Point]:
    """Without points that stand on the way between their neighbours."""
    result: list[Point] = []
    for point in points:
        if result and abs(point[0] - result[-1][0]) < 0.05 and abs(point[1] - result[-1][1]) < 0.05:
            continue
        if len(result) > 1 and abs(result[-2][0] - result[-1][0]) < 0.05 and abs(result[-1][0] - point[0]) < 0.05:
            result[-1] = point
        else:
            result.append(point)
    return result
