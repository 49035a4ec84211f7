"""Lazy and eager: the article's listings, the tape, and the differences between the two modes (rows F)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rillet as tf

LAZY = """\
import tensorflow as tf

shell = tf.placeholder(tf.float32, None, name="placeholder_1")
power = shell**2
with tf.Session() as session:
    print(session.run(power, feed_dict={shell: [2, 3, 5]}))
"""
EAGER = """\
import tensorflow as tf

tf.enable_eager_execution()
c = tf.constant((2.0))
with tf.GradientTape() as tape:
    tape.watch(c)
    f = 4 * c
print(tape.gradient(f, c))
"""
LAZY_OUTPUT, EAGER_OUTPUT = "[ 4.  9. 25.]\n", "tf.Tensor(4.0, shape=(), dtype=float32)\n"


def run(program: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rillet", "run", *options, str(program)],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("options", [(), ("--api", "v1"), ("--api", "v2")])
@pytest.mark.parametrize(
    ("text", "output"),
    [
        (LAZY, LAZY_OUTPUT),
        (EAGER, EAGER_OUTPUT),
        (LAZY + EAGER, LAZY_OUTPUT + EAGER_OUTPUT),
        (EAGER + LAZY, EAGER_OUTPUT + LAZY_OUTPUT),
    ],
    ids=["lazy", "eager", "lazy then eager", "eager then lazy"],
)
def test_programs_of_both_modes_run_as_they_are(
    text: str, output: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(text)
    assert run(program, *options) == output


def test_f01_the_tape_records() -> None:
    weight, bias = tf.Variable(2.0, name="weight"), tf.Variable(1.0, name="bias")
    with tf.GradientTape() as tape:
        y = weight * 3.0 + bias
    assert tape.watched_variables() == (weight, bias) or [v.name for v in tape.watched_variables()] == [
        "weight:0",
        "bias:0",
    ]
    assert [operation.type for operation in tape.recorded_operations()] == [
        "ReadVariableOp",
        "Mul",
        "ReadVariableOp",
        "AddV2",
    ]
    assert tape.gradient(y, weight).numpy() == 3.0


def test_f02_a_constant_must_be_watched() -> None:
    c = tf.constant(2.0)
    with tf.GradientTape() as tape:
        f = 4 * c
    assert tape.gradient(f, c) is None
    with tf.GradientTape() as tape:
        tape.watch(c)
        f = 4 * c
    assert str(tape.gradient(f, c)) == "tf.Tensor(4.0, shape=(), dtype=float32)"


def test_f03_one_set_of_gradients_unless_persistent() -> None:
    c = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(c)
        f = c * c
    tape.gradient(f, c)
    message = r"A non-persistent GradientTape can only be used to compute one set of gradients \(or jacobians\)"
    with pytest.raises(RuntimeError, match=message):
        tape.gradient(f, c)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(c)
        f = c * c
    assert [tape.gradient(f, c).numpy() for _ in range(2)] == [4.0, 4.0]


def test_f04_gradients_of_gradients() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape() as third:
        third.watch(x)
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch(x)
                y = x**3
            dy = first.gradient(y, x)
        d2y = second.gradient(dy, x)
    d3y = third.gradient(d2y, x)
    np.testing.assert_allclose([dy.numpy(), d2y.numpy(), d3y.numpy()], [27.0, 18.0, 6.0], rtol=1e-6)


def test_f05_eager_needs_no_graph_and_no_session() -> None:
    assert tf.executing_eagerly()
    assert (tf.constant(1.0) + 1.0).numpy() == 2.0
    with tf.Graph().as_default():
        assert not tf.executing_eagerly()
        symbolic = tf.constant(1.0) + 1.0
        with tf.Session() as session:
            assert session.run(symbolic) == 2.0
    assert tf.executing_eagerly()


def test_f06_the_mode_can_be_switched_at_any_time() -> None:
    try:
        for _ in range(2):
            tf.disable_eager_execution()
            assert not tf.executing_eagerly()
            symbolic = tf.constant(2.0) * 3.0
            assert not hasattr(symbolic, "_array")
            tf.enable_eager_execution()
            tf.enable_eager_execution()
            assert tf.executing_eagerly()
            with tf.Session() as session:
                assert session.run(symbolic) == 6.0
    finally:
        tf.enable_eager_execution()


def test_f07_one_model_for_placeholders_and_for_arguments() -> None:
    def model(x: object) -> object:
        return tf.nn.relu(tf.matmul(x, [[1.0, -1.0], [0.5, 2.0]]) - 0.25)

    values = np.array([[1.0, 2.0], [-1.0, 0.5]], np.float32)
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, 2])
        y = model(x)
        with tf.Session() as session:
            lazily = session.run(y, {x: values})
    np.testing.assert_array_equal(lazily, model(tf.constant(values)).numpy())


def test_f08_lazy_gradients_are_nodes_of_the_graph() -> None:
    with tf.Graph().as_default() as graph:
        p = tf.placeholder(tf.float32, None, name="placeholder_1")
        power = p**2
        before = len(graph.get_operations())
        (slope,) = tf.gradients(power, p)
        added = graph.get_operations()[before:]
        assert len(added) > 0 and all(op.name.startswith("gradients") for op in added)
        with tf.Session() as session:
            np.testing.assert_array_equal(session.run(slope, {p: [2.0, 3.0]}), [4.0, 6.0])


def test_f13_the_derivative_of_four_c() -> None:
    with tf.Graph().as_default():
        c = tf.constant(2.0)
        (slope,) = tf.gradients(4 * c, c)
        with tf.Session() as session:
            assert session.run(slope) == 4.0
