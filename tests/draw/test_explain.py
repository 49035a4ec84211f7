"""tf.explain ends in what tf.gradients and the tape give; tf.explain_none names the op that cut the path, and its line."""

from __future__ import annotations

import cmath
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.draw.cases import Article, Neuron


def test_article_step_by_step() -> None:
    article = Article()
    derivation = tf.explain(article.g, wrt=article.inputs, feed_dict=article.feeds, names={})
    text = str(derivation)
    assert "∂g/∂a = ∂g/∂sum · ∂sum/∂prod · ∂prod/∂a\n      = 1/f · 1 · b\n      = 0.2 · 1 · 3\n      = 0.6\n" in text
    assert "∂g/∂b = ∂g/∂sum · ∂sum/∂prod · ∂prod/∂b\n      = 1/f · 1 · a\n      = 0.2 · 1 · 2\n      = 0.4\n" in text
    assert "∂g/∂d = ∂g/∂sum · ∂sum/∂d\n      = 1/f · 1\n      = 0.2 · 1\n      = 0.2\n" in text
    assert text.rstrip().endswith("∂g/∂f = −sum/f²\n      = −0.4")
    assert "prod = a·b = 2·3 = 6" in text and "g = sum/f = 10/5 = 2" in text
    np.testing.assert_allclose([derivation.gradients[name] for name in "abdf"], [0.6, 0.4, 0.2, -0.4], rtol=1e-6)


def test_symbols_without_values() -> None:
    article = Article()
    text = str(tf.explain(article.g, wrt=article.a, names={}))
    assert "∂g/∂a = ∂g/∂sum · ∂sum/∂prod · ∂prod/∂a\n      = 1/f · 1 · b" in text
    assert "0." not in text


def test_same_from_the_tape() -> None:
    a, b, d, f = (tf.constant(value) for value in (2.0, 3.0, 4.0, 5.0))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([a, b, d, f])
        product = a * b
        total = product + d
        g = total / f
    derivation = tf.explain(g, tape=tape)
    assert "∂g/∂a = ∂g/∂total · ∂total/∂product · ∂product/∂a" in str(derivation)
    expected = tape.gradient(g, [a, b, d, f])
    np.testing.assert_array_equal([derivation.gradients[name] for name in "abdf"], [part.numpy() for part in expected])


def test_every_step_of_the_backward_pass_is_told() -> None:
    made = Neuron()
    text = str(tf.explain(made.mse, wrt=[made.w, made.b], feed_dict=made.feeds, names={}))
    backward = text.split("\n\n")[1].splitlines()[1:]
    assert [line.split()[0] for line in backward] == ["Mean", "Square", "Sub", "Sigmoid", "AddV2", "AddV2", "Mul"]
    assert "∂y_hat/∂z = y_hat·(1 − y_hat) = 0.2217" in text


def test_three_deep_composite_against_closed_form_and_complex_step() -> None:
    value = 0.7
    x = tf.constant(value, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        squared = x**2
        power = tf.exp(squared)
        y = tf.sin(power)
    derivation = tf.explain(y, tape=tape, check=True)
    step = 1e-30
    complex_step = cmath.sin(cmath.exp((value + step * 1j) ** 2)).imag / step
    closed = np.cos(np.exp(value**2)) * np.exp(value**2) * 2 * value
    np.testing.assert_allclose(derivation.gradients["x"], closed, rtol=1e-14)
    np.testing.assert_allclose(complex_step, closed, rtol=1e-14)
    np.testing.assert_allclose(derivation.checks["x"], closed, rtol=1e-6)
    assert "= cos(power) · power · 2·x" in str(derivation)


def test_several_paths_are_summed() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        squared = x * x
        y = squared + 5.0 * x
    derivation = tf.explain(y, tape=tape)
    assert float(derivation.gradients["x"]) == 11
    lines = [line for line in str(derivation).splitlines() if line.strip().startswith("+")]
    assert len(lines) >= 2


def test_many_paths_are_told_one_step_at_a_time() -> None:
    x = tf.constant(1.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x
        for _ in range(6):
            y = y + y * y
    text = str(tf.explain(y, tape=tape))
    assert len(text) < 10_000
    assert float(tf.explain(y, tape=tape).gradients["x"]) == float(tape.gradient(y, x))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_finite_differences_agree(rank: int) -> None:
    shape = (3, 2)[:rank]
    x = tf.constant(np.random.default_rng(rank).normal(size=shape), tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.reduce_sum(tf.tanh(x) * tf.exp(tf.sin(x)))
    derivation = tf.explain(y, tape=tape, check=True)
    np.testing.assert_allclose(derivation.checks["x"], np.ravel(derivation.gradients["x"]), rtol=1e-7)


# ---- why a gradient is None -----------------------------------------------------------------------------------------


def graph_of(make: Any) -> tuple[Any, Any]:
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, (3,), name="x")
        return make(x), x


CUTS = {
    "stop_gradient": (lambda x: tf.stop_gradient(x) * 2.0, "StopGradient", "passes no gradient on"),
    "integer cast": (lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32), "Cast", "its result is int32"),
    "argmax": (lambda x: tf.cast(tf.argmax(x), tf.float32), "ArgMax", "its result is int64"),
    "comparison": (lambda x: tf.cast(x > 0.0, tf.float32), "Greater", "its result is bool"),
    "floor": (lambda x: tf.floor(x) + 1.0, "Floor", "gives None for this input"),
}


@pytest.mark.parametrize("name", CUTS)
def test_op_that_cuts_the_path_is_named(name: str) -> None:
    make, op, reason = CUTS[name]
    y, x = graph_of(make)
    found = tf.explain_none(y, x)
    assert found.is_none
    assert [cut.operation.type for cut in found.cuts] == [op]
    assert reason in str(found)
    assert "test_explain.py" in str(found) and "lambda x" in str(found)
    with x.graph.as_default():
        assert tf.gradients(y, x) == [None]


def test_rule_that_gives_none() -> None:
    @tf.custom_gradient
    def one_sided(a: Any, b: Any) -> Any:
        return a * b, lambda upstream: (upstream, None)

    y, x = graph_of(lambda x: one_sided(tf.constant([1.0, 2.0, 3.0]), x))
    found = tf.explain_none(y, x)
    assert found.is_none and "gives None for this input" in str(found)


def test_cut_inside_a_function_and_its_branches() -> None:
    @tf.function
    def inner(x: Any) -> Any:
        return tf.cond(x > 0.0, lambda: tf.stop_gradient(x), lambda: tf.floor(x))

    def flowing(x: Any) -> Any:
        return tf.cond(x > 0.0, lambda: tf.stop_gradient(x), lambda: x * 2.0)

    x = tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = inner(x) * 2.0, tf.function(flowing)(x)
    found = tf.explain_none(y, x, tape)
    assert {cut.operation.type for cut in found.cuts} == {"Greater", "StopGradient", "Floor"}
    assert not tf.explain_none(z, x, tape).is_none


def test_gradient_that_is_there() -> None:
    y, x = graph_of(lambda x: x * 2.0 + tf.stop_gradient(x))
    assert not tf.explain_none(y, x).is_none


def test_no_path() -> None:
    y, x = graph_of(lambda x: tf.constant(2.0) * 3.0)
    assert "does not depend on 'x'" in str(tf.explain_none(y, x))


def test_integers_have_no_gradients() -> None:
    y, x = graph_of(lambda x: tf.cast(x, tf.int32))
    assert "is int32" in str(tf.explain_none(y, x))


def test_tape_that_did_not_watch() -> None:
    x, w = tf.constant(2.0), tf.Variable(3.0)
    with tf.GradientTape(persistent=True) as tape:
        y = x * w
    found = tf.explain_none(y, x, tape)
    assert found.is_none and "was not watched" in str(found) and "tape.watch" in str(found)
    assert tape.gradient(y, x) is None
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = 4 * x
    assert not tf.explain_none(y, x, tape).is_none


def test_tape_and_integers() -> None:
    x = tf.constant([2.0, 5.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.cast(tf.argmax(x), tf.float32)
    found = tf.explain_none(y, x, tape)
    assert found.is_none and "integer" in str(found) and "y = tf.cast(tf.argmax(x), tf.float32)" in str(found)
    with pytest.raises(ValueError, match="persistent"):
        tf.explain_none(y, x)


def test_explain_says_why_too() -> None:
    y, x = graph_of(lambda x: tf.stop_gradient(x) * 2.0)
    derivation = tf.explain(y, wrt=x, feed_dict={x: [1.0, 2.0, 3.0]}, names={})
    assert derivation.gradients["x"] is None and "StopGradient" in derivation.reasons["x"]


@pytest.mark.parametrize("kind", ["train", "keras"])
def test_apply_gradients_says_why(kind: str) -> None:
    w = tf.Variable(2.0, name="weight")
    with tf.GradientTape() as tape:
        loss = tf.stop_gradient(w * 3.0) * 2.0
    gradients = tape.gradient(loss, [w])
    optimizer = tf.keras.optimizers.SGD(0.1) if kind == "keras" else tf.compat.v1.train.GradientDescentOptimizer(0.1)
    with pytest.raises(ValueError, match="No gradients provided for any variable") as caught:
        optimizer.apply_gradients(zip(gradients, [w], strict=True))
    assert "StopGradient: it passes no gradient on" in str(caught.value)
    assert "loss = tf.stop_gradient(w * 3.0) * 2.0" in str(caught.value)


def test_minimize_says_why() -> None:
    with tf.Graph().as_default():
        w = tf.compat.v1.get_variable("w", initializer=1.0)
        loss = tf.cast(tf.cast(w, tf.int32), tf.float32)
        with pytest.raises(ValueError, match="its result is int32"):
            tf.compat.v1.train.GradientDescentOptimizer(0.1).minimize(loss)
