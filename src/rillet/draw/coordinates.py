"""Layered layout, second half: where each vertex stands, its order in its row given.

Each row is placed as near to its neighbours as the least distances allow: a least-squares fit under an order, solved
exactly by pooling adjacent violators. (The page's script places a folded group anew, in the same way.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rillet.draw.layering import Rows

GAP = 26.0  # between neighbours in a row
BEND_GAP = 12.0  # between an edge and its neighbour
ROW_GAP = 42.0
ROUNDS = ((300, 40), (6_000, 10))  # up to so many vertices, so many rounds
FEWEST_ROUNDS = 4
STRAIGHT = 8.0  # how much more a bend weighs than a node: long edges are to be straight
ALONE = 1e-6
HEAVY = 120.0  # the width from which on a vertex weighs more than one: edges make way for large groups


def place(
    layout: Rows, widths: Sequence[float], heights: Sequence[float], row_gap: float = ROW_GAP
) -> tuple[list[float], list[float]]:
    """The centres of all vertices, bends included, and the leftmost and topmost edges are at 0.

    widths, heights: of the vertices that are no bends.
    """
    total = sum(map(len, layout.rows))
    width = [*widths, *[0.0] * (total - layout.count)]
    height = [*heights, *[0.0] * (total - layout.count)]
    x = [0.0] * total
    for row in layout.rows:
        position = 0.0
        for index, vertex in enumerate(row):
            position += _distance(row[index - 1], vertex, width, layout.count) if index else 0.0
            x[vertex] = position
    for turn in range(next((rounds for most, rounds in ROUNDS if total <= most), FEWEST_ROUNDS)):
        downward = turn % 2 == 0
        both = turn >= 2
        for row in layout.rows if downward else reversed(layout.rows):
            _fit_row(row, layout, width, x, downward, both)
    _straighten(layout, width, x)
    leftmost = min((x[vertex] - width[vertex] / 2 for row in layout.rows for vertex in row), default=0.0)
    return [value - leftmost for value in x], _rows_down(layout, height, row_gap)


def _distance(left: int, right: int, width: Sequence[float], count: int) -> float:
    gap = GAP if left < count and right < count else BEND_GAP
    return (width[left] + width[right]) / 2 + gap


def _fit_row(row: list[int], layout: Rows, width: Sequence[float], x: list[float], downward: bool, both: bool) -> None:
    offsets = []
    offset = 0.0
    wanted = []
    weights = []
    for index, vertex in enumerate(row):
        if index:
            offset += _distance(row[index - 1], vertex, width, layout.count)
        offsets.append(offset)
        near = layout.above[vertex] if downward else layout.below[vertex]
        far = layout.below[vertex] if downward else layout.above[vertex]
        others = [*near, *far] if both or not near else near
        if others:
            wanted.append(_pull(vertex, others, x, layout.count) - offset)
            weights.append(STRAIGHT if vertex >= layout.count else max(1.0, width[vertex] / HEAVY))
        else:  # one that belongs to nobody keeps to its left neighbour
            wanted.append(wanted[-1] if wanted else 0.0)
            weights.append(ALONE)
    for vertex, fitted, own in zip(row, increasing_fit(wanted, weights), offsets, strict=True):
        x[vertex] = fitted + own


def _pull(vertex: int, others: Sequence[int], x: Sequence[float], count: int) -> float:
    """Where its neighbours want a vertex to be. Bends of one edge hold together: it is to be straight between its ends."""
    total = weight = 0.0
    for other in others:
        share = STRAIGHT if vertex >= count and other >= count else 1.0
        total += share * x[other]
        weight += share
    return total / weight


def _straighten(layout: Rows, width: Sequence[float], x: list[float]) -> None:
    """Makes what hangs together by single edges, bends above all, stand above each other, in as few pieces as the
    neighbours allow."""
    left_of: dict[int, int] = {}
    right_of: dict[int, int] = {}
    for row in layout.rows:
        for left, right in pairwise(row):
            right_of[left], left_of[right] = right, left
    for threaded in _threads(layout):
        piece: list[int] = []
        low, high = float("-inf"), float("inf")
        for vertex in threaded:
            before, after = left_of.get(vertex), right_of.get(vertex)
            least = float("-inf") if before is None else x[before] + _distance(before, vertex, width, layout.count)
            most = float("inf") if after is None else x[after] - _distance(vertex, after, width, layout.count)
            if max(low, least) > min(high, most):
                _set_piece(piece, low, high, x)
                piece, low, high = [], float("-inf"), float("inf")
            piece.append(vertex)
            low, high = max(low, least), min(high, most)
        _set_piece(piece, low, high, x)


def _threads(layout: Rows) -> Iterator[list[int]]:
    """The longest ways down on which each vertex is the only neighbour of the next, and the next of it."""
    done: set[int] = set()
    for row in layout.rows:
        for start in row:
            if start in done:
                continue
            thread = [start]
            done.add(start)
            while len(layout.below[thread[-1]]) == 1 and len(layout.above[layout.below[thread[-1]][0]]) == 1:
                thread.append(layout.below[thread[-1]][0])
                done.add(thread[-1])
            if len(thread) > 1:
                yield thread


def _set_piece(piece: Sequence[int], low: float, high: float, x: list[float]) -> None:
    if piece and low <= high:
        middle = min(max(sum(x[vertex] for vertex in piece) / len(piece), low), high)
        for vertex in piece:
            x[vertex] = middle


def increasing_fit(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The non-decreasing numbers with the least weighted squared distance to `wanted`."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(wanted, weights, strict=True):
        count = 1
        while pools and pools[-1][0] > value:
            mean, other, members = pools.pop()
            value = (value * weight + mean * other) / (weight + other)
            weight += other
            count += members
        pools.append((value, weight, count))
    return [mean for mean, _, count in pools for _ in range(count)]


def _rows_down(layout: Rows, height: Sequence[float], row_gap: float) -> list[float]:
    y = [0.0] * len(height)
    top = 0.0
    for row in layout.rows:
        tallest = max((height[vertex] for vertex in row), default=0.0)
        for vertex in row:
            y[vertex] = top + tallest / 2
        top += tallest + row_gap
    return y
