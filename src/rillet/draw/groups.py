"""The picture as a tree: name scopes are groups, each laid out by itself and then one vertex of the group around it.

An edge that leaves a group does so through a port at its border, one a tensor. What is found here does not depend on
which groups are folded, so a page can fold and unfold them without laying out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import partial

from rillet.draw.layering import Rows, lay_out_rows
from rillet.draw.model import Drawing, Edge

_FEWEST = 2  # nodes in a group

Path = tuple[str, ...]


@dataclass(eq=False)
class Item:
    """A vertex of a level: one of a node's key, a group, an edge's label (its index), or a port (of a tensor)."""

    node: int | None = None
    group: Level | None = None
    label: int | None = None
    port: Hashable = None
    is_entry: bool = False


@dataclass(eq=False)
class Level:
    """A group's inside.

    keys: of the links: links of one vertex with equal keys share their bends. tensors: what each link stands for.
    parts: for each edge that passes here, by its index, the indices of its links, in order.
    """

    path: Path
    items: list[Item] = field(default_factory=list)
    links: list[tuple[int, int]] = field(default_factory=list)
    keys: list[Hashable] = field(default_factory=list)
    tensors: list[Hashable] = field(default_factory=list)
    parts: dict[int, list[int]] = field(default_factory=dict)
    size: int = 0  # nodes inside, groups' too
    rows: Rows = field(default_factory=lambda: Rows(0, [], []))
    index: int = 0
    _places: dict[Hashable, int] = field(default_factory=dict)
    _links: dict[Hashable, int] = field(default_factory=dict)

    def place(self, key: Hashable, make: Callable[[], Item]) -> int:
        """The vertex of what has that key, made on first use."""
        if key not in self._places:
            self._places[key] = len(self.items)
            self.items.append(make())
        return self._places[key]

    def link(self, edge: int, source: int, target: int, tensor: Hashable, key: Hashable = None) -> None:
        """Adds what edge number `edge` needs: a new link, or one that is there."""
        key = tensor if key is None else key
        found = self._links.get((source, target, key))
        if found is None:
            found = self._links[source, target, key] = len(self.links)
            self.links.append((source, target))
            self.keys.append(key)
            self.tensors.append(tensor)
        self.parts.setdefault(edge, []).append(found)


def make_levels(drawing: Drawing, is_labelled: Callable[[Edge], bool]) -> list[Level]:
    """The root and all groups, outer ones first, with their rows."""
    levels = _levels_of(drawing)
    home = {key: _home(node.scope, levels) for key, node in drawing.nodes.items()}
    for path, level in levels.items():
        if path:
            outer = levels[_home(path[:-1], levels)]
            outer.place(("group", path), partial(Item, group=level))
    for key, path in home.items():
        levels[path].place(("node", key), partial(Item, node=key))
        for depth in range(len(path) + 1):
            if path[:depth] in levels:
                levels[path[:depth]].size += 1
    for index, edge in enumerate(drawing.edges):
        if edge.source in home and edge.target in home and edge.source != edge.target:
            _route(index, edge, home, levels, is_labelled(edge))
    found = list(levels.values())
    for index, level in enumerate(found):
        level.index = index
        entries = [place for place, item in enumerate(level.items) if item.port is not None and item.is_entry]
        exits = [place for place, item in enumerate(level.items) if item.port is not None and not item.is_entry]
        level.rows = lay_out_rows(len(level.items), level.links, level.keys, entries, exits)
    return found


def _levels_of(drawing: Drawing) -> dict[Path, Level]:
    """The scopes with more than one node and more than what the scope around them has."""
    counts: dict[Path, int] = {}
    for node in drawing.nodes.values():
        for depth in range(1, len(node.scope) + 1):
            counts[node.scope[:depth]] = counts.get(node.scope[:depth], 0) + 1
    levels: dict[Path, Level] = {(): Level(())}
    for path in sorted(counts, key=lambda path: (len(path), path)):
        outer = _home(path[:-1], levels)
        whole = counts[outer] if outer else len(drawing.nodes)
        if _FEWEST <= counts[path] < whole:
            levels[path] = Level(path)
    return levels


def _home(scope: Path, levels: Iterable[Path]) -> Path:
    """The innermost group that a scope belongs to."""
    while scope not in levels:
        scope = scope[:-1]
    return scope


def _route(index: int, edge: Edge, home: dict[int, Path], levels: dict[Path, Level], labelled: bool) -> None:
    source_path, target_path = home[edge.source], home[edge.target]
    common = _common(source_path, target_path, levels)
    tensor = (edge.source, edge.output, edge.is_control)
    start = levels[source_path].place(("node", edge.source), Item)
    for path in _way_up(source_path, common, levels):
        port = levels[path].place(("exit", tensor), lambda: Item(port=tensor))
        levels[path].link(index, start, port, tensor)
        start = levels[_home(path[:-1], levels)].place(("group", path), Item)
    inner: Hashable = ("node", edge.target)
    level_path = target_path
    ways: list[tuple[Path, Hashable]] = []
    for path in _way_up(target_path, common, levels):
        ways.append((path, inner))
        inner = ("group", path)
        level_path = _home(path[:-1], levels)
    assert level_path == common, "the way up ends in what both share"
    _link_within(levels[common], index, start, levels[common].place(inner, Item), tensor, labelled)
    for path, key in reversed(ways):
        port = levels[path].place(("entry", tensor), lambda: Item(port=tensor, is_entry=True))
        levels[path].link(index, port, levels[path].place(key, Item), tensor)


def _link_within(level: Level, index: int, start: int, end: int, tensor: Hashable, labelled: bool) -> None:
    if not labelled:
        level.link(index, start, end, tensor)
        return
    label = level.place(("label", index), lambda: Item(label=index))
    level.link(index, start, label, tensor)
    level.link(index, label, end, tensor, ("label", index))


def _common(first: Path, second: Path, levels: dict[Path, Level]) -> Path:
    depth = 0
    while depth < min(len(first), len(second)) and first[depth] == second[depth]:
        depth += 1
    return _home(first[:depth], levels)


def _way_up(path: Path, common: Path, levels: dict[Path, Level]) -> Iterable[Path]:
    while path != common:
        yield path
        path = _home(path[:-1], levels)
