"""The seeds of random ops, by TensorFlow's rules, and where their generators live.

A graph has a seed (`tf.compat.v1.set_random_seed`), eager execution has one (`tf.random.set_seed`); a function that is
traced takes over that of its surroundings. An op without a seed of its own gets the number of such ops before it in
its graph, eagerly the next number of a generator that the global seed starts.
"""

from __future__ import annotations

import operator
import threading
from typing import Any

from rillet.core import context, dtypes
from rillet.core.execution import ExecutionContext, VariableState, eager_context
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.shapes import TensorShape
from rillet.ops.philox import (
    EagerSeeds,
    GeneratorState,
    PhiloxGenerator,
    Position,
    SeedPair,
    Source,
    graph_seed_pair,
    split_counter,
    state_from_key_counter,
)


class _Eager:
    """The seeds and the streams of ops that run eagerly."""

    seeds = EagerSeeds(None)
    lock = threading.Lock()


@public(v1=["get_seed", "random.get_seed"])
def get_seed(op_seed: int | None) -> SeedPair:
    """The attributes seed and seed2 of an op that is made now; two None where neither it nor its graph has a seed."""
    graph = context.state().graph
    if graph is None:
        return _Eager.seeds.pair(op_seed)
    if graph.seed is None or op_seed is not None:
        return graph_seed_pair(graph.seed, op_seed, 0)
    graph.numbering.seeds += 1
    return graph_seed_pair(graph.seed, None, graph.numbering.seeds - 1)


def seed_attributes(op_seed: int | None) -> dict[str, int]:
    """The attributes seed and seed2 of an op, as `get_seed` has them."""
    seed, seed2 = get_seed(_whole(op_seed))
    return {"seed": seed or 0, "seed2": seed2 or 0}


def _whole(seed: Any) -> int | None:
    """A seed as an integer: Python's, NumPy's, a concrete tensor or a float without a fraction. TypeError otherwise."""
    if isinstance(seed, float) and seed.is_integer():
        return int(seed)
    return None if seed is None else operator.index(seed)


@public(v2=["random.set_seed"], v1=["set_random_seed", "random.set_random_seed"])
def set_seed(seed: int | None) -> None:
    """Sets the seed of the current graph or, eagerly, of the process; eager random ops begin again.

    seed: an integer; None forgets the seed. Raises TypeError for what is none.
    """
    value = _whole(seed)
    graph = context.state().graph
    if graph is not None:
        graph.seed = value
        return
    context.set_eager_seed(value)
    with _Eager.lock:
        _Eager.seeds = EagerSeeds(value)
        eager_context().forget_node_states()


class NodeStream:
    """The stream of one operation. Its state lies in a variable's memory, where compiled programs find it: an int64 [3] as
    `philox.GeneratorState` has it."""

    __slots__ = ("seeds", "state")

    def __init__(self, seeds: tuple[int, int]) -> None:
        self.seeds = seeds
        self.state = VariableState("generator", dtypes.int64, TensorShape([3]))
        self.restart()

    def restart(self) -> None:
        """The stream from its start on; a new one if there are no seeds."""
        position = PhiloxGenerator(*self.seeds).reserve(0)
        self.state.value = state_from_key_counter(position.key, split_counter(position.counter))

    def reserve(self, counters: int) -> Position:
        """Where this call draws; the next call draws from `counters` blocks further on."""
        with self.state.lock:
            value = self.state.value.copy()
            position = GeneratorState(value).reserve(counters)
            self.state.value = value
        return position


def node_stream(running: ExecutionContext, node: Operation, seed: int, seed2: int) -> NodeStream:
    """The stream of an operation, which lives as long as `running`."""
    found: NodeStream = running.node_state(node, lambda: NodeStream((seed, seed2)))
    return found


def stream(running: ExecutionContext, node: Any, seed: int, seed2: int) -> Source:
    """What a node draws from: an operation has a stream of its own, those of eager calls are shared."""
    if isinstance(node, Operation):
        return node_stream(running, node, seed, seed2)
    return _Eager.seeds.stream(node, seed, seed2)
