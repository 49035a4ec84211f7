"""Random programs on variables: reads and assignments in some order, whose results are fetched in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import rillet as tf
from tests.engines import State
from tests.random_values import EXTENTS

v1 = tf.compat.v1

# What a statement does, and three numbers to choose by.
Statement = tuple[str, int, int, int]
KINDS = ("read", "assign", "assign", "add", "subtract", "swap", "compute", "compute", "rotate", "accumulate", "train")
RUNS = 3


@dataclass(frozen=True)
class Program:
    """shape: that of all variables. is_resource: of the kind that TensorFlow 2 has. outputs: which values are fetched."""

    shape: tuple[int, ...]
    is_resource: bool
    statements: Sequence[Statement]
    outputs: Sequence[int]


_numbers = st.integers(0, 255)
_statements = st.tuples(st.sampled_from(KINDS), _numbers, _numbers, _numbers)
_shapes = st.lists(st.sampled_from(EXTENTS), max_size=2).map(tuple)
programs = st.builds(
    Program,
    _shapes,
    st.booleans(),
    st.lists(_statements, min_size=1, max_size=8),
    st.lists(_numbers, max_size=6),
)


class Graph:
    """The program as a graph. Each statement waits for the one before."""

    def __init__(self, program: Program, initial: Sequence[np.ndarray]) -> None:
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.feeds = [v1.placeholder(tf.float32, program.shape) for _ in range(2)]
            self.variables = [
                v1.Variable(value, use_resource=program.is_resource, dtype=tf.float32) for value in initial
            ]
            self.initializer = v1.global_variables_initializer()
            self.values: list[Any] = [*self.feeds, tf.fill(program.shape, 0.25)]
            self.effects: list[Any] = [tf.no_op()]
            for statement in program.statements:
                with v1.control_dependencies([self.effects[-1]]):
                    done = self._execute(*statement)
                self.effects.append(done.op if hasattr(done, "op") else done)
            with v1.control_dependencies([self.effects[-1]]):
                self.final = [tf.identity(variable.read_value()) for variable in self.variables]
        self.outputs = [self.values[number % len(self.values)] for number in program.outputs]

    def _execute(self, kind: str, first: int, second: int, third: int) -> Any:
        variable, other = (self.variables[number % len(self.variables)] for number in (first, second))
        value = self.values[third % len(self.values)]
        if kind == "read":
            self.values.append(tf.identity(variable.read_value()))
            return self.values[-1]
        if kind == "compute":
            self.values.append(tf.tanh(value * 0.5 + variable.read_value() * other.read_value()))
            return self.values[-1]
        if kind == "assign":
            return v1.assign(variable, value)
        if kind == "add":
            return v1.assign_add(variable, value)
        if kind == "subtract":
            return v1.assign_sub(variable, value * 0.5)
        if kind == "swap":
            old, new = tf.identity(variable.read_value()), tf.identity(other.read_value())
            with v1.control_dependencies([old, new]):
                return tf.group(v1.assign(variable, new), v1.assign(other, old) if other is not variable else old)
        if kind == "rotate":
            moved = tf.reshape(tf.roll(tf.reshape(variable.read_value(), [-1]), 1, 0), variable.shape)
            with v1.control_dependencies([moved]):
                return v1.assign(other, moved)
        if kind == "accumulate":
            total = tf.reduce_sum(variable.read_value()) * 0.01
            with v1.control_dependencies([total]):
                return v1.assign_add(other, tf.fill(other.shape, total))
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        return optimizer.apply_gradients([(tf.tanh(value + other.read_value()), variable)])


def run(program: Program, seed: int, state: State) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All that was fetched in some runs, and what the variables are then. What was handed out must stay as it was."""
    random = np.random.RandomState(seed)

    def drawn() -> np.ndarray:
        return random.uniform(-1, 1, program.shape).astype(np.float32)

    graph = Graph(program, [drawn() for _ in range(3)])
    state.run(graph.feeds, [drawn(), drawn()], [graph.initializer])
    fetched: list[np.ndarray] = []
    copies: list[np.ndarray] = []
    executable = state.compiled(graph.feeds, [*graph.outputs, *graph.effects])
    for _ in range(RUNS):
        arrays = [drawn(), drawn()]
        results = executable(arrays)
        fetched += results
        copies += [np.array(result) for result in results]
    final = state.run(graph.feeds, [drawn(), drawn()], graph.final)
    for array, copy in zip(fetched, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    return fetched, final
