"""Layouts: nothing overlaps, edges lead down and past nodes, the same graph gives the same picture."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rillet as tf
from rillet.draw.arrange import Arrangement, Box
from rillet.draw.coordinates import increasing_fit
from rillet.draw.layering import lay_out_rows
from rillet.draw.model import Drawing, Edge, Kind, Node, Output
from rillet.draw.svg import Layout, svg

SCOPES = [(), ("one",), ("one", "inner"), ("two",)]


@st.composite
def drawings(draw: Any) -> Drawing:
    count = draw(st.integers(1, 25))
    nodes = {}
    for key in range(count):
        label = "n" * draw(st.integers(1, 12)) + str(key)
        scope = draw(st.sampled_from(SCOPES))
        nodes[key] = Node(key, Kind.OPERATION, "AddV2", label, symbol="+", scope=scope, outputs=[Output("float32", "")])
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    edges = draw(st.lists(pairs, max_size=40)) if count > 1 else []
    places: dict[int, int] = {}
    result = []
    for source, target in edges:
        result.append(Edge(source, target, 0, places.setdefault(target, 0)))
        places[target] += 1
    return Drawing(nodes, result, ["n"])


def overlap(first: Box, second: Box) -> bool:
    return (
        first.left < second.left + second.width - 0.01
        and second.left < first.left + first.width - 0.01
        and first.top < second.top + second.height - 0.01
        and second.top < first.top + first.height - 0.01
    )


def crosses(points: list[tuple[float, float]], box: Box) -> bool:
    """Whether a line passes through the inside of a box: it stays upright where a row's boxes are."""
    for (x, y), (next_x, next_y) in pairwise(points):
        if abs(x - next_x) < 0.05:
            inside = box.left + 0.5 < x < box.left + box.width - 0.5
            low, high = min(y, next_y), max(y, next_y)
            if inside and low < box.top + box.height - 0.5 and high > box.top + 0.5:
                return True
    return False


def check(layout: Layout, arrangement: Arrangement) -> None:
    boxes = [*arrangement.nodes.values(), *arrangement.labels.values()]
    boxes += [arrangement.groups[index] for index in arrangement.folded if index in arrangement.groups]
    for place, first in enumerate(boxes):
        assert first.left > -0.01 and first.left + first.width < arrangement.width + 0.01
        assert first.top > -0.01 and first.top + first.height < arrangement.height + 0.01
        assert not any(overlap(first, second) for second in boxes[place + 1 :])
    nodes = list(arrangement.nodes.values())
    for line in arrangement.lines:
        assert not any(crosses(line.points, box) for box in nodes)
        # down; or up all the way, where groups need each other's results and an edge has to go back
        steps = [end[1] - start[1] for start, end in pairwise(line.points)]
        assert min(steps) > -0.01 or max(steps) < 0.01


@settings(max_examples=60, deadline=None)
@given(drawings(), st.booleans(), st.booleans())
def test_nothing_overlaps(drawing: Drawing, folded: bool, labels: bool) -> None:
    layout = Layout(drawing, folded, labels)
    arrangement = layout.arrange()
    check(layout, arrangement)
    shown = len(arrangement.nodes) + sum(
        layout.levels[index].size for index in arrangement.folded & set(arrangement.groups)
    )
    assert shown >= len(drawing.nodes)  # a folded group may stand in another


@settings(max_examples=40, deadline=None)
@given(drawings())
def test_every_edge_is_drawn(drawing: Drawing) -> None:
    layout = Layout(drawing, folded=False)
    drawn = {edge for line in layout.arrange().lines for edge in line.edges}
    assert drawn == set(range(len(drawing.edges)))


@settings(max_examples=30, deadline=None)
@given(drawings())
def test_same_graph_same_picture(drawing: Drawing) -> None:
    assert svg(drawing) == svg(drawing)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 9)), min_size=1, max_size=7))
def test_fit_is_the_nearest_in_order(pairs: list[tuple[int, int]]) -> None:
    wanted = [float(value) for value, _ in pairs]
    weights = [float(weight) for _, weight in pairs]

    def distance(values: list[float]) -> float:
        return sum(w * (v - x) ** 2 for v, x, w in zip(values, wanted, weights, strict=True))

    found = increasing_fit(wanted, weights)
    assert all(left <= right for left, right in pairwise(found))
    for place in range(len(found)):  # moving any one value, as far as the order lets it, does not bring it nearer
        for step in (-0.01, 0.01):
            moved = [*found[:place], found[place] + step, *found[place + 1 :]]
            if all(left <= right for left, right in pairwise(moved)):
                assert distance(moved) >= distance(found) - 1e-9


def test_simple_crossing_is_undone() -> None:
    layout = lay_out_rows(4, [(0, 3), (1, 2)])
    place = {vertex: index for row in layout.rows for index, vertex in enumerate(row)}
    assert (place[0] - place[1]) * (place[3] - place[2]) > 0


def test_cycles_are_laid_out() -> None:
    layout = lay_out_rows(3, [(0, 1), (1, 2), (2, 0)])
    assert sorted(vertex for row in layout.rows for vertex in row if vertex < 3) == [0, 1, 2]
    assert len(layout.rows) == 3


def large_graph(count: int) -> Any:
    graph, chance = tf.Graph(), random.Random(3)
    with graph.as_default():
        made = [tf.placeholder(tf.float32, (), name=f"p{place}") for place in range(20)]

        def recent() -> Any:
            return made[max(0, len(made) - 1 - int(chance.expovariate(1 / 30)))]

        while len(made) < count:
            made.append(tf.add(recent(), recent()) if chance.random() < 0.6 else tf.tanh(recent()))
    return graph


@pytest.mark.slow
def test_two_thousand_nodes_in_two_seconds() -> None:
    graph = large_graph(2000)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        picture = tf.draw(graph, names={})
        assert len(picture.drawing.nodes) == 2000
        assert picture.svg().count('class="node') == 2000
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2


def test_time_grows_with_the_graph_and_not_faster() -> None:
    """Operations counted, not seconds: bends of one tensor are shared, so there are few a node."""
    layouts = [Layout(tf.draw(large_graph(count), names={}).drawing) for count in (250, 1000)]
    bends = [sum(map(len, layout.levels[0].rows.rows)) / len(layout.drawing.nodes) for layout in layouts]
    assert bends[1] < 2 * bends[0]
