"""Loops over time of TensorFlow 1: values against NumPy, on both engines; gradients; both directions; decoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core import nest
from tests.compat.recurrent import (
    BATCH,
    CELLS,
    DEPTH,
    ENGINES,
    INPUTS,
    LENGTHS,
    TIME,
    UNITS,
    dynamic,
    numpy_basic,
    numpy_gru,
    numpy_loop,
    numpy_lstm,
    run,
    starting,
    weights_of,
)
from tests.engines import NativeEngine, State

v1 = tf.compat.v1
cells = v1.nn.rnn_cell
contrib = v1.contrib.rnn


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", CELLS)
def test_values_are_numpys(kind: str, engine: str) -> None:
    make, step, sizes = CELLS[kind]
    with tf.Graph().as_default():
        with starting():
            x, (outputs, state) = dynamic(make(), sequence_length=LENGTHS)
        variables = [variable.read_value() for variable in v1.global_variables()]
        found, last, values = run(engine, [outputs, state, variables], {x: INPUTS})
        expected, expected_last = numpy_loop(step, weights_of(values), INPUTS, sizes, LENGTHS)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    for part, wanted in zip(nest.flatten(last), expected_last, strict=True):
        np.testing.assert_allclose(part, wanted, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [kind for kind in CELLS if kind != "peephole"])
def test_gradients_are_slopes(kind: str, engine: str) -> None:
    """Along a random direction of inputs and weights together."""
    make, step, sizes = CELLS[kind]
    random = np.random.default_rng(2)
    with tf.Graph().as_default():
        with starting():
            x, (outputs, state) = dynamic(make(), sequence_length=LENGTHS)
        loss = tf.reduce_sum(outputs**2) + sum(tf.reduce_sum(part) for part in nest.flatten(state))
        variables = v1.trainable_variables()
        gradients = v1.gradients(loss, [x, *variables])
        reads = [variable.read_value() for variable in variables]
        found, values = run(engine, [gradients, reads], {x: INPUTS})
        start = weights_of(values)
    aim = [random.normal(size=np.shape(value)) for value in (INPUTS, *values)]

    def loss_at(distance: float) -> Any:
        moved = {name: value + distance * along for (name, value), along in zip(start.items(), aim[1:], strict=True)}
        outputs, last = numpy_loop(step, moved, INPUTS + distance * aim[0], sizes, LENGTHS)
        return (outputs**2).sum() + sum(part.sum() for part in last)

    slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    assert sum((one * along).sum() for one, along in zip(found, aim, strict=True)) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_static_is_dynamic(lengths: Any) -> None:
    with tf.Graph().as_default():
        with starting():
            _, (outputs, state) = x, _ = dynamic(cells.BasicLSTMCell(UNITS), sequence_length=lengths)
        with v1.variable_scope("net", reuse=True):
            steps = [x[:, time] for time in range(TIME)]
            unrolled = v1.nn.static_rnn(cells.BasicLSTMCell(UNITS), steps, dtype=tf.float64, sequence_length=lengths)
        assert len(v1.global_variables()) == 2
        found = run("native", [outputs, state, tf.stack(unrolled[0], 1), unrolled[1]], {x: INPUTS})
    np.testing.assert_allclose(found[0], found[2], atol=1e-12)
    np.testing.assert_allclose(np.stack(found[1]), np.stack(found[3]), atol=1e-12)


def test_time_can_come_first_and_a_state_can_be_given() -> None:
    with tf.Graph().as_default():
        cell = cells.GRUCell(UNITS)
        first = tf.ones([BATCH, UNITS], tf.float64)
        with starting():
            outputs, last = v1.nn.dynamic_rnn(cell, tf.constant(INPUTS), initial_state=first)
            turned = tf.constant(INPUTS.swapaxes(0, 1))
            outputs_in_time, _ = v1.nn.dynamic_rnn(cell, turned, initial_state=first, time_major=True)
        found = run("native", [outputs, outputs_in_time, last])
    np.testing.assert_allclose(found[0].swapaxes(0, 1), found[1], atol=1e-12)
    np.testing.assert_allclose(found[0][:, -1], found[2], atol=1e-12)
    assert outputs.shape.as_list() == [BATCH, TIME, UNITS]


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_both_directions(lengths: Any) -> None:
    with tf.Graph().as_default():
        x = tf.constant(INPUTS)
        pair = cells.GRUCell(UNITS), cells.GRUCell(UNITS)
        with starting():
            outputs, states = v1.nn.bidirectional_dynamic_rnn(*pair, x, sequence_length=lengths, dtype=tf.float64)
        with v1.variable_scope("net", reuse=True):
            listed = v1.nn.static_bidirectional_rnn(
                cells.GRUCell(UNITS), cells.GRUCell(UNITS), tf.unstack(x, axis=1), dtype=tf.float64, sequence_length=lengths
            )  # fmt: skip
        names = {variable.name.rpartition("/gru_cell/")[0] for variable in v1.global_variables()}
        assert names == {"net/bidirectional_rnn/fw", "net/bidirectional_rnn/bw"}
        reads = [variable.read_value() for variable in v1.global_variables()]
        found, last, unrolled, values = run("native", [outputs, states, tf.stack(listed[0], 1), reads])
    tails = ("gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias")
    whole = np.full(BATCH, TIME) if lengths is None else lengths
    forward, _ = numpy_loop(numpy_gru, dict(zip(tails, values[:4], strict=True)), INPUTS, [UNITS], whole)
    turned = _turned(INPUTS, whole)
    backward, (state,) = numpy_loop(numpy_gru, dict(zip(tails, values[4:], strict=True)), turned, [UNITS], whole)
    np.testing.assert_allclose(found[0], forward, atol=1e-12)
    np.testing.assert_allclose(found[1], _turned(backward, whole), atol=1e-12)
    np.testing.assert_allclose(last[1], state, atol=1e-12)
    np.testing.assert_allclose(unrolled, np.concatenate(found, 2), atol=1e-12)


def _turned(values: Any, lengths: Any) -> Any:
    """Each sequence in reverse, up to its length."""
    return np.stack([np.concatenate([row[:n][::-1], row[n:]]) for row, n in zip(values, lengths, strict=True)])


def test_raw_rnn_is_dynamic_rnn() -> None:
    with tf.Graph().as_default():
        with starting():
            x, (outputs, state) = dynamic(cells.LSTMCell(UNITS), sequence_length=LENGTHS)
        cell = cells.LSTMCell(UNITS)
        rows = v1.TensorArray(tf.float64, TIME, clear_after_read=False).unstack(tf.transpose(x, [1, 0, 2]))

        def step(time: Any, output: Any, cell_state: Any, count: Any) -> Any:
            finished = time >= LENGTHS
            following = cell.zero_state(BATCH, tf.float64) if output is None else cell_state
            now = tf.cond(time < TIME, lambda: rows.read(time), lambda: tf.zeros([BATCH, DEPTH], tf.float64))
            return finished, tf.ensure_shape(now, [BATCH, DEPTH]), following, output, time

        with v1.variable_scope("net", reuse=True):
            emitted, last, count = v1.nn.raw_rnn(cell, step)
        found = run("native", [outputs, tf.transpose(emitted.stack(), [1, 0, 2]), state, last, count], {x: INPUTS})
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    np.testing.assert_allclose(np.stack(found[2]), np.stack(found[3]), atol=1e-12)
    assert found[4] == TIME


def test_eagerly() -> None:
    cell = cells.BasicLSTMCell(UNITS)
    with tf.GradientTape() as tape:
        outputs, state = v1.nn.dynamic_rnn(cell, tf.constant(INPUTS), sequence_length=LENGTHS, dtype=tf.float64)
        loss = tf.reduce_sum(outputs)
    weights = dict(zip(("kernel", "bias"), (variable.numpy() for variable in cell.variables), strict=True))
    expected, last = numpy_loop(numpy_lstm, weights, INPUTS, (UNITS, UNITS), LENGTHS)
    np.testing.assert_allclose(outputs, expected, atol=1e-12)
    np.testing.assert_allclose(np.stack([part.numpy() for part in state]), np.stack(last), atol=1e-12)
    assert all(np.abs(gradient).sum() > 0 for gradient in tape.gradient(loss, cell.variables))


def test_layers_of_both_directions() -> None:
    with tf.Graph().as_default():
        x = tf.constant(INPUTS)
        pairs = [[cells.GRUCell(size) for size in (3, 4)] for _ in range(2)]
        with starting():
            outputs, *_ = contrib.stack_bidirectional_dynamic_rnn(*pairs, x, dtype=tf.float64)
            listed, *_ = contrib.stack_bidirectional_rnn(
                *[[cells.GRUCell(size) for size in (3, 4)] for _ in range(2)],
                tf.unstack(x, axis=1),
                dtype=tf.float64,
                scope="listed",
            )
        assert outputs.shape.as_list() == [BATCH, TIME, 8]
        scopes = {variable.name.rpartition("/gru_cell")[0] for variable in v1.global_variables()}
        outer = "net/stack_bidirectional_rnn"
        assert {f"{outer}/cell_{n}/bidirectional_rnn/{way}" for n in (0, 1) for way in ("fw", "bw")} <= scopes
        assert {f"net/listed/cell_{n}/{way}" for n in (0, 1) for way in ("fw", "bw")} <= scopes
        half = len(v1.global_variables()) // 2
        same = zip(v1.global_variables()[:half], v1.global_variables()[half:], strict=True)
        copies = [v1.assign(other, one) for one, other in same]
        state = State(NativeEngine())
        state.run([], [], [], [v1.global_variables_initializer()])
        state.run([], [], [], [copy.op for copy in copies])
        found, unrolled = state.run([], [], [outputs, tf.stack(listed, 1)])
    np.testing.assert_allclose(found, unrolled, atol=1e-12)


def test_a_decoder_and_its_loss() -> None:
    legacy = v1.contrib.legacy_seq2seq
    with tf.Graph().as_default():
        cell = cells.BasicRNNCell(UNITS)
        first = tf.zeros([BATCH, UNITS], tf.float64)
        steps = tf.unstack(tf.constant(INPUTS), axis=1)
        with starting():
            outputs, last = legacy.rnn_decoder(steps, first, cell)
            fed, _ = legacy.rnn_decoder(
                steps, first, cells.BasicRNNCell(UNITS, reuse=True), lambda before, _: before[:, :DEPTH], "rnn_decoder"
            )
        assert [variable.name for variable in v1.global_variables()] == [
            "net/rnn_decoder/basic_rnn_cell/kernel:0",
            "net/rnn_decoder/basic_rnn_cell/bias:0",
        ]
        targets, weights = [tf.constant([0, 1, 2])] * TIME, [tf.constant([1.0, 2.0, 0.0], tf.float64)] * TIME
        losses = legacy.sequence_loss_by_example(outputs, targets, weights)
        found, end, own, each, mean, kernel, bias = run(
            "native",
            [outputs, last, fed, losses, legacy.sequence_loss(outputs, targets, weights)]
            + [variable.read_value() for variable in v1.global_variables()],
        )
    w = {"kernel": kernel, "bias": bias}
    expected, _ = numpy_loop(numpy_basic, w, INPUTS, [UNITS], np.full(BATCH, TIME))
    np.testing.assert_allclose(np.stack(found, 1), expected, atol=1e-12)
    np.testing.assert_allclose(end, expected[:, -1], atol=1e-12)
    second, _ = numpy_basic(w, expected[:, 0, :DEPTH], [expected[:, 0]])
    np.testing.assert_allclose(own[1], second, atol=1e-12)
    entropy = np.log(np.exp(expected).sum(2)) - expected[range(BATCH), :, range(BATCH)]
    np.testing.assert_allclose(each, entropy.mean(1) * (np.array([1, 2, 0]) > 0), rtol=1e-10)
    assert mean == pytest.approx(each.sum() / BATCH)
