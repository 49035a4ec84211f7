"""The streams that random ops draw from: where each kind of op has its place in one, and how that is moved on.

A stream's state is int64 [3]: the counter's lower half, its upper half, and the key. The state of a stateful op is a variable,
which the program moves on as the reference kernel does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.index import Linear, linear
from rillet.compiler.rules import Call
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.execution import VariableState
from rillet.ops import philox
from rillet.ops.random_seed import node_stream

# A counter's lower half, its upper half, and the key.
Stream = Sequence[Scalar]


class Source:
    """What an op draws from. `reads`: the arrays that say where; `stream()`: the stream that begins there."""

    def __init__(self, program: Arrays, reads: Sequence[Array], stream: Callable[[], Stream]) -> None:
        self.program = program
        self.reads = reads
        self.stream = stream

    def state(self) -> Array:
        """The stream's state, uint64 [3], as an array."""

        def compute(place: Linear) -> Scalar:
            return _chosen(self.program, place, self.stream())

        return self.program.map((3,), dtypes.uint64, compute, self.reads, 1)


def _chosen(program: Arrays, place: Linear, choices: Sequence[Scalar]) -> Scalar:
    """The one of the choices whose number is `place`."""
    *others, result = choices
    number = program.scalars.index(place)
    for where, value in enumerate(others):
        here = program.compare("eq", number, program.number(where, dtypes.int64))
        result = program.where(here, value, result)
    return result


def number_of(program: Arrays, kind: str, dtype: DType, place: Linear, stream: Stream) -> Scalar:
    """Number `place` of the stream; `kind` is an operation of scalar.py."""
    return program.make(kind, dtype, program.scalars.index(place), *stream)


# ---- stateful ops ---------------------------------------------------------------------------------------------------


def own_source(call: Call, counters: int) -> Source:
    """The stream of an op with the attributes seed and seed2, which is moved on by `counters` blocks."""
    seeds = call.attrs["seed"], call.attrs["seed2"]
    return _reserved(call, node_stream(call.lowering.context, call.operation, *seeds).state, counters)


def source_of_variable(call: Call, state: VariableState, algorithm: Array, counters: int) -> Source:
    """The stream whose state a variable holds; it is moved on by `counters` blocks."""
    _check_algorithm(call, algorithm)
    return _reserved(call, state, counters)


def _reserved(call: Call, state: VariableState, count: int) -> Source:
    program = call.program
    before: Array = call.lowering.read(state)
    call.require(before.dtype is dtypes.int64 and before.rank == 1 and before.size >= 3, "the state of no generator")
    counters = program.number(count, dtypes.uint64)

    def stream() -> Stream:
        return [_unsigned(program, before.at(place)) for place in range(3)]

    def moved(place: Linear) -> Scalar:
        low, high, _ = stream()
        low = program.make("add", dtypes.uint64, low, counters)
        carry = program.convert(program.compare("lt", low, counters), dtypes.uint64)
        high = program.make("add", dtypes.uint64, high, carry)
        signed = [program.make("bitcast", dtypes.int64, number) for number in (low, high)]
        return _chosen(program, place, [*signed, before.at(place)])

    if count:
        call.lowering.write(state, program.map(before.shape, dtypes.int64, moved, (before,), cost=8))
    return Source(program, [before], stream)


def _unsigned(program: Arrays, number: Scalar) -> Scalar:
    return program.make("bitcast", dtypes.uint64, number)


def _check_algorithm(call: Call, algorithm: Array) -> None:
    call.require(call.integers(algorithm) in ([philox.PHILOX], [philox.AUTO_SELECT]), "another algorithm")


# ---- stateless ops --------------------------------------------------------------------------------------------------


def source_of_seed(call: Call, seed: Array) -> Source:
    """The stream of a seed of two integers."""
    call.require(seed.shape == (2,))
    return Source(call.program, [seed], lambda: stream_of_seed(call.program, seed))


def stream_of_seed(program: Arrays, seed: Array) -> Stream:
    first, second = (_unsigned(program, program.convert(seed.at(place), dtypes.int64)) for place in range(2))
    scrambler = program.number(philox.SCRAMBLER, dtypes.uint64)
    key, high = (number_of(program, "random64", dtypes.uint64, linear(n), [first, second, scrambler]) for n in range(2))
    return program.number(0, dtypes.uint64), high, key


def source_of_key(call: Call, key: Array, counter: Array, algorithm: Array) -> Source:
    """The stream with this key, [1], from this counter, [2], on."""
    _check_algorithm(call, algorithm)
    call.require(key.shape == (1,) and counter.rank == 1 and counter.size >= 2)
    return Source(call.program, [key, counter], lambda: [counter.at(0), counter.at(1), key.at(0)])
