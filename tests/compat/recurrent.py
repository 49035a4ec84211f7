"""What tests of TensorFlow 1's recurrent networks share: the cells in NumPy, and graphs that start the same each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import rillet as tf
from rillet.core import nest
from tests.engines import NativeEngine, ReferenceEngine, State

v1 = tf.compat.v1
cells = v1.nn.rnn_cell
contrib = v1.contrib.rnn
ENGINES = {"native": NativeEngine, "reference": ReferenceEngine}
UNITS, BATCH, TIME, DEPTH = 4, 3, 5, 2
INPUTS = np.random.default_rng(1).normal(size=(BATCH, TIME, DEPTH))
LENGTHS = np.array([5, 2, 0], np.int32)


# ---- the cells in NumPy: weights by the ends of their names, one step ------------------------------------------------


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _gates(w: dict[str, Any], x: Any, h: Any) -> Any:
    return np.split(np.hstack([x, h]) @ w["kernel"] + w["bias"], 4, 1)


def numpy_basic(w: dict[str, Any], x: Any, state: Any) -> Any:
    output = np.tanh(np.hstack([x, state[0]]) @ w["kernel"] + w["bias"])
    return output, [output]


def numpy_gru(w: dict[str, Any], x: Any, state: Any) -> Any:
    (h,) = state
    r, u = np.split(_sigmoid(np.hstack([x, h]) @ w["gates/kernel"] + w["gates/bias"]), 2, 1)
    output = u * h + (1 - u) * np.tanh(np.hstack([x, r * h]) @ w["candidate/kernel"] + w["candidate/bias"])
    return output, [output]


def numpy_lstm(w: dict[str, Any], x: Any, state: Any) -> Any:
    c, h = state
    i, j, f, o = _gates(w, x, h)
    c = c * _sigmoid(f + 1) + _sigmoid(i) * np.tanh(j)
    h = np.tanh(c) * _sigmoid(o)
    return h, [c, h]


def _peephole(w: dict[str, Any], x: Any, state: Any) -> Any:
    c, h = state
    i, j, f, o = _gates(w, x, h)
    c = _sigmoid(f + 1 + w["w_f_diag"] * c) * c + _sigmoid(i + w["w_i_diag"] * c) * np.tanh(j)
    c = np.clip(c, -0.3, 0.3)
    h = _sigmoid(o + w["w_o_diag"] * c) * np.tanh(c)
    h = np.clip(h @ w["projection/kernel"], -0.02, 0.02)
    return h, [c, h]


def _layer_norm(w: dict[str, Any], x: Any, state: Any) -> Any:
    def norm(value: Any, part: str) -> Any:
        centered = value - value.mean(1, keepdims=True)
        return centered / np.sqrt(value.var(1, keepdims=True) + 1e-12) * w[part + "/gamma"] + w[part + "/beta"]

    c, h = state
    gates = np.split(np.hstack([x, h]) @ w["kernel"], 4, 1)
    i, j, f, o = (
        norm(gate, part) for gate, part in zip(gates, ("input", "transform", "forget", "output"), strict=True)
    )
    c = norm(c * _sigmoid(f + 1) + _sigmoid(i) * np.tanh(j), "state")
    h = np.tanh(c) * _sigmoid(o)
    return h, [c, h]


def _residual(w: dict[str, Any], x: Any, state: Any) -> Any:
    output, following = numpy_gru(w, x, state)
    return output + x, following


CELLS: dict[str, tuple[Callable[[], Any], Any, Sequence[int]]] = {
    "basic_rnn": (lambda: cells.BasicRNNCell(UNITS), numpy_basic, (4,)),
    "gru": (lambda: cells.GRUCell(UNITS), numpy_gru, (4,)),
    "basic_lstm": (lambda: cells.BasicLSTMCell(UNITS), numpy_lstm, (4, 4)),
    "lstm": (lambda: cells.LSTMCell(UNITS), numpy_lstm, (4, 4)),
    "block": (lambda: contrib.LSTMBlockCell(UNITS), numpy_lstm, (4, 4)),
    "peephole": (
        lambda: cells.LSTMCell(UNITS, use_peepholes=True, cell_clip=0.3, num_proj=2, proj_clip=0.02), _peephole, (4, 2)
    ),
    "layer_norm": (lambda: contrib.LayerNormBasicLSTMCell(UNITS), _layer_norm, (4, 4)),
    "residual": (lambda: cells.ResidualWrapper(cells.GRUCell(DEPTH)), _residual, (2,)),
}  # fmt: skip


def numpy_loop(step: Any, weights: dict[str, Any], inputs: Any, sizes: Sequence[int], lengths: Any) -> Any:
    """(outputs [batch, time, units], parts of the last state)."""
    state = [np.zeros([len(inputs), size]) for size in sizes]
    outputs = []
    for time in range(inputs.shape[1]):
        output, new = step(weights, inputs[:, time], state)
        counts = (time < lengths)[:, None]
        outputs.append(np.where(counts, output, 0))
        state = [np.where(counts, made, old) for made, old in zip(new, state, strict=True)]
    return np.stack(outputs, 1), state


# ---- graphs ----------------------------------------------------------------------------------------------------------


def starting() -> Any:
    """A scope with random weights that are the same in each graph."""
    return v1.variable_scope("net", initializer=v1.random_uniform_initializer(-0.8, 0.8, seed=3), dtype=tf.float64)


def run(engine: str, fetches: Any, feeds: dict[Any, Any] | None = None) -> Any:
    state = State(ENGINES[engine]())
    state.run([], [], [], [v1.global_variables_initializer()])
    feeds = feeds or {}
    results = state.run(list(feeds), list(feeds.values()), nest.flatten(fetches))
    return nest.pack_sequence_as(fetches, [np.asarray(result) for result in results])


def weights_of(fetched: Sequence[Any]) -> dict[str, Any]:
    """Values of variables by the ends of their names, without scopes and cells."""
    names = [variable.name.removesuffix(":0").split("/", 3)[-1] for variable in v1.global_variables()]
    return dict(zip(names, fetched, strict=True))


def dynamic(cell: Any, **options: Any) -> tuple[Any, Any]:
    """(placeholder [batch, time, depth] of unknown sizes, (outputs, state))."""
    x = v1.placeholder(tf.float64, [None, None, DEPTH])
    return x, v1.nn.dynamic_rnn(cell, x, dtype=tf.float64, **options)
