"""The article's pictures: the graph of g forwards, its partial derivatives, and the neuron with its loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.draw.cases import Article, Neuron, forward, neuron, partials


def by_label(picture: Any) -> dict[str, Any]:
    return {node.label: node for node in picture.drawing.nodes.values()}


def edges(picture: Any) -> dict[tuple[str, str], Any]:
    nodes = picture.drawing.nodes
    return {(nodes[edge.source].label, nodes[edge.target].label): edge for edge in picture.drawing.edges}


def test_graph_has_the_articles_nodes_and_edges() -> None:
    picture = forward()
    assert set(by_label(picture)) == {"a", "b", "d", "f", "prod", "sum", "g"}
    assert set(edges(picture)) == {
        ("a", "prod"), ("b", "prod"), ("prod", "sum"), ("d", "sum"), ("sum", "g"), ("f", "g"),
    }  # fmt: skip
    assert [by_label(picture)[name].symbol for name in ("prod", "sum", "g")] == ["×", "+", "÷"]


def test_forward_values_stand_on_nodes_and_edges() -> None:
    picture = forward()
    values = {name: float(node.value) for name, node in by_label(picture).items()}
    assert values == {"a": 2, "b": 3, "d": 4, "f": 5, "prod": 6, "sum": 10, "g": 2}
    svg = picture.svg()
    for value in ("= 6", "= 10", "= 2"):
        assert f">{value}<" in svg  # a node's
    for value in ("6", "10"):
        assert f">{value}<" in svg  # an edge's


def test_partials_are_the_articles() -> None:
    found = {pair: (edge.partial.formula, edge.partial.value) for pair, edge in edges(partials()).items()}
    expected = {
        ("sum", "g"): ("1/f", 0.2),
        ("f", "g"): ("−sum/f²", -0.4),
        ("prod", "sum"): ("1", 1.0),
        ("d", "sum"): ("1", 1.0),
        ("a", "prod"): ("b", 3.0),
        ("b", "prod"): ("a", 2.0),
    }
    assert found.keys() == expected.keys()
    for pair, (formula, value) in expected.items():
        assert found[pair][0] == formula
        np.testing.assert_allclose(found[pair][1], value, rtol=1e-6)


def test_totals_are_those_of_gradients_and_of_the_tape() -> None:
    article = Article()
    picture = tf.draw(article.g, wrt=article.inputs, feed_dict=article.feeds, names={})
    totals = [by_label(picture)[name].total for name in "abdf"]
    with article.graph.as_default(), tf.Session() as session:
        symbolic = session.run(tf.gradients(article.g, article.inputs), article.feeds)
    a, b, d, f = (tf.constant(value) for value in article.feeds.values())
    with tf.GradientTape() as tape:
        tape.watch([a, b, d, f])
        g = ((a * b) + d) / f
    recorded = tape.gradient(g, [a, b, d, f])
    np.testing.assert_array_equal(totals, symbolic)
    np.testing.assert_array_equal(totals, [gradient.numpy() for gradient in recorded])
    np.testing.assert_allclose(totals, [0.6, 0.4, 0.2, -0.4], rtol=1e-6)


def test_drawing_adds_nothing_to_the_graph() -> None:
    article = Article()
    before = article.graph.version, article.graph.rewrites
    tf.draw(article.g, wrt=article.inputs, feed_dict=article.feeds).html()
    tf.explain(article.g, wrt=article.inputs, feed_dict=article.feeds)
    assert (article.graph.version, article.graph.rewrites) == before


def test_neuron_has_the_articles_partials() -> None:
    found = {pair: edge.partial for pair, edge in edges(neuron()).items() if edge.partial is not None}
    assert found["z", "y_hat"].formula == "y_hat·(1 − y_hat)"
    assert found["w", "mul"].formula == "x"
    assert found["b", "z"].formula == "1"
    x, w, b, y = 1.5, 0.4, 0.1, 1.0
    y_hat = 1 / (1 + np.exp(-(x * w + b)))
    nodes = by_label(neuron())
    np.testing.assert_allclose(nodes["y_hat"].total, -2 * (y - y_hat), rtol=1e-12)
    np.testing.assert_allclose(found["z", "y_hat"].value, y_hat * (1 - y_hat), rtol=1e-12)
    np.testing.assert_allclose(nodes["w"].total, -2 * (y - y_hat) * y_hat * (1 - y_hat) * x, rtol=1e-12)


def test_product_along_the_path_is_the_gradient() -> None:
    made = Neuron()
    picture = tf.draw(made.mse, wrt=[made.w], feed_dict=made.feeds, names={})
    found = edges(picture)
    path = [("w", "mul"), ("mul", "z"), ("z", "y_hat"), ("y_hat", "sub"), ("sub", "Square"), ("Square", "MSE")]
    product = np.prod([float(np.reshape(found[pair].partial.value, ())) for pair in path])
    np.testing.assert_allclose(product, by_label(picture)["w"].total, rtol=1e-12)


@pytest.mark.smoke
def test_forms_of_one_picture(tmp_path: Any) -> None:
    picture = partials()
    for form in ("svg", "html", "dot", "txt"):
        picture.save(tmp_path / f"picture.{form}")
        assert "∂g/∂f = −sum/f² = −0.4" in (tmp_path / f"picture.{form}").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no picture as 'png'"):
        picture.save(tmp_path / "picture.png")
