"""Layered layout (after Sugiyama), first half: which row each node stands in, and in which order the rows are.

The sizes of nodes play no part here, so the order stays when a group is folded or unfolded.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_SWEEPS = 8
_FEWER_SWEEPS = 3
_MANY = 6_000  # vertices, from where on fewer sweeps must do

Link = tuple[int, int]


@dataclass
class Rows:
    """rows: vertices, from left to right, from top to bottom. Vertices from `count` on are bends of long edges.

    chains: for each edge asked for, the vertices that it passes, ends included.
    above, below: the neighbours of each vertex in the next row up and down.
    """

    count: int
    rows: list[list[int]]
    chains: list[list[int]]
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)


def lay_out_rows(
    count: int,
    edges: Sequence[Link],
    keys: Sequence[Hashable] | None = None,
    first: Sequence[int] = (),
    last: Sequence[int] = (),
) -> Rows:
    """Puts vertices 0 ... count-1 into rows so that edges lead down, with few crossings.

    edges: without cycles, apart from those that are turned round here. keys: edges of one vertex with equal keys share
    their bends (a tensor with several readers is one line that branches). first, last: vertices of the top and bottom row.
    """
    edges = [edge for edge in edges if edge[0] != edge[1]]
    ranks = _ranks(count, _acyclic(count, edges), set(first), set(last))
    rows, chains = _with_bends(count, edges, ranks, keys or list(range(len(edges))))
    above: list[list[int]] = [[] for _ in range(sum(map(len, rows)))]
    below: list[list[int]] = [[] for _ in above]
    seen = set()
    for chain in chains:
        for upper, lower in pairwise(chain):
            if (upper, lower) not in seen:
                seen.add((upper, lower))
                below[upper].append(lower)
                above[lower].append(upper)
    result = Rows(count, rows, chains, above, below)
    _reduce_crossings(result)
    return result


# ---- rows -----------------------------------------------------------------------------------------------------------


def _acyclic(count: int, edges: Sequence[Link]) -> list[Link]:
    """The edges, those that close a cycle turned round."""
    following: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        following[source].append(target)
    state = [0] * count  # 1: on the way, 2: done
    backwards = set()
    for start in range(count):
        if state[start]:
            continue
        state[start] = 1
        stack = [(start, iter(following[start]))]
        while stack:
            vertex, rest = stack[-1]
            reached = next(rest, None)
            if reached is None:
                state[vertex] = 2
                stack.pop()
            elif state[reached] == 1:
                backwards.add((vertex, reached))
            elif not state[reached]:
                state[reached] = 1
                stack.append((reached, iter(following[reached])))
    return [(target, source) if (source, target) in backwards else (source, target) for source, target in edges]


def _ranks(count: int, edges: Sequence[Link], first: set[int], last: set[int]) -> list[int]:
    """The row of each vertex: as far down as the longest way to it; then sources close to their readers."""
    following: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for source, target in edges:
        following[source].append(target)
        missing[target] += 1
    incoming = list(missing)
    ranks = [int(bool(first) and vertex not in first) for vertex in range(count)]
    ready = [vertex for vertex in range(count) if not missing[vertex]]
    order = []
    for vertex in ready:
        order.append(vertex)
        for target in following[vertex]:
            ranks[target] = max(ranks[target], ranks[vertex] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    bottom = max(ranks, default=0)
    for vertex in reversed(order):
        targets = following[vertex]
        if vertex in last:
            ranks[vertex] = bottom + 1
        elif targets and vertex not in first and len(targets) >= incoming[vertex]:
            ranks[vertex] = max(ranks[vertex], min(ranks[target] for target in targets) - 1)
    return _without_gaps(ranks)


def _without_gaps(ranks: list[int]) -> list[int]:
    place = {rank: index for index, rank in enumerate(sorted(set(ranks)))}
    return [place[rank] for rank in ranks]


def _with_bends(
    count: int, edges: Sequence[Link], ranks: list[int], keys: Sequence[Hashable]
) -> tuple[list[list[int]], list[list[int]]]:
    """The rows with a bend wherever an edge crosses one, and the chains of the edges."""
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    for vertex in range(count):
        rows[ranks[vertex]].append(vertex)
    bends: dict[tuple[int, Hashable, int], int] = {}
    chains = []
    new = count
    for (source, target), key in zip(edges, keys, strict=True):
        upper, lower = (source, target) if ranks[source] <= ranks[target] else (target, source)
        chain = [upper]
        for rank in range(ranks[upper] + 1, ranks[lower]):
            bend = bends.get((upper, key, rank))
            if bend is None:
                bend = bends[upper, key, rank] = new
                rows[rank].append(new)
                new += 1
            chain.append(bend)
        chains.append([*chain, lower])
    return rows, chains


# ---- order ----------------------------------------------------------------------------------------------------------


def _reduce_crossings(layout: Rows) -> None:
    """Sweeps down and up, each row in the order of the means of its neighbours' places. The best order found stays."""
    total = sum(map(len, layout.rows))
    _start_order(layout)
    place = [0] * total
    for row in layout.rows:
        for index, vertex in enumerate(row):
            place[vertex] = index
    best = [list(row) for row in layout.rows]
    fewest = _crossings(layout, place)
    for sweep in range(_SWEEPS if total < _MANY else _FEWER_SWEEPS):
        if not fewest:
            break
        downward = sweep % 2 == 0
        neighbours = layout.above if downward else layout.below
        for row in layout.rows if downward else reversed(layout.rows):
            _sort_row(row, neighbours, place)
        crossings = _crossings(layout, place)
        if crossings < fewest:
            fewest, best = crossings, [list(row) for row in layout.rows]
    layout.rows[:] = best


def _start_order(layout: Rows) -> None:
    """Depth first from the bottom, so that what belongs together starts together."""
    seen: set[int] = set()
    order: dict[int, int] = {}
    for row in reversed(layout.rows):
        for start in row:
            stack = [start]
            while stack:
                vertex = stack.pop()
                if vertex not in seen:
                    seen.add(vertex)
                    order[vertex] = len(order)
                    stack.extend(reversed(layout.above[vertex]))
    for row in layout.rows:
        row.sort(key=order.__getitem__)


def _sort_row(row: list[int], neighbours: list[list[int]], place: list[int]) -> None:
    """Those without neighbours stay where they are."""
    wanted = {}
    for vertex in row:
        near = neighbours[vertex]
        wanted[vertex] = sum(place[other] for other in near) / len(near) if near else float(place[vertex])
    row.sort(key=lambda vertex: wanted[vertex])
    for index, vertex in enumerate(row):
        place[vertex] = index


def _crossings(layout: Rows, place: list[int]) -> int:
    """How many pairs of edges cross, counted with a tree of sums, row by row."""
    total = 0
    for upper, lower in pairwise(layout.rows):
        size = 1
        while size < len(lower):
            size *= 2
        tree = [0] * (2 * size)
        for vertex in upper:
            for end in sorted(place[other] for other in layout.below[vertex]):
                total += _count_right(tree, size, end)
            for other in layout.below[vertex]:
                index = place[other] + size
                while index:
                    tree[index] += 1
                    index //= 2
    return total


def _count_right(tree: list[int], size: int, place: int) -> int:
    index = place + size
    found = 0
    while index > 1:
        if index % 2 == 0:
            found += tree[index + 1]
        index //= 2
    return found
