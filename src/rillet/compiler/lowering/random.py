"""Random numbers: the same as the reference kernels', to the bit.

An element is a function of its number and of a stream's state, int64 [3]: the counter's lower half, its upper half, and the
key. The state of a stateful op is a variable, which the program moves on as the reference kernel does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.compiler.arrays import Array, Arrays, size_of
from rillet.compiler.index import Linear, flatten, linear
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.execution import VariableState
from rillet.core.graph import Operation
from rillet.ops import philox
from rillet.ops.random_seed import node_stream

# A counter's lower half, its upper half, and the key.
Stream = Sequence[Scalar]
# Makes an element of the program and its number in the stream.
Element = Callable[[Arrays, Linear, Stream], Scalar]

# ---- streams --------------------------------------------------------------------------------------------------------


def _unsigned(program: Arrays, number: Scalar) -> Scalar:
    return program.make("bitcast", dtypes.uint64, number)


def _stream(program: Arrays, state: Array) -> Stream:
    """The stream that has this state, int64 [3]."""
    return [_unsigned(program, state.at(place)) for place in range(3)]


def _seeded(program: Arrays, seed: Array) -> Stream:
    """The stream of a stateless op with a seed of two integers."""
    first, second = (_unsigned(program, program.convert(seed.at(place), dtypes.int64)) for place in range(2))
    scrambler = program.number(philox.SCRAMBLER, dtypes.uint64)
    key, high = (_number(program, "random64", dtypes.uint64, linear(n), [first, second, scrambler]) for n in range(2))
    return program.number(0, dtypes.uint64), high, key


def _number(program: Arrays, kind: str, dtype: DType, place: Linear, stream: Stream) -> Scalar:
    return program.make(kind, dtype, program.scalars.index(place), *stream)


def _reserve(call: Call, state: VariableState, count: int) -> Array:
    """Moves a stream on by `count` elements; its state before that."""
    program = call.program
    before: Array = call.lowering.read(state)
    counters = program.number(count * philox.RESERVED, dtypes.uint64)

    def compute(place: Linear) -> Scalar:
        low, high, _ = _stream(program, before)
        moved = program.make("add", dtypes.uint64, low, counters)
        carry = program.convert(program.compare("lt", moved, counters), dtypes.uint64)
        above = program.make("add", dtypes.uint64, high, carry)
        changed = [program.make("bitcast", dtypes.int64, number) for number in (moved, above)]
        number = program.scalars.index(place)
        result: Scalar = before.at(place)
        for where, value in enumerate(changed):
            here = program.compare("eq", number, program.number(where, dtypes.int64))
            result = program.where(here, value, result)
        return result

    if count:
        call.lowering.write(state, program.map(before.shape, dtypes.int64, compute, (before,), cost=8))
    return before


# ---- elements -------------------------------------------------------------------------------------------------------


def _uniform(dtype: DType) -> Element:
    """Uniform in [0, 1), from the lowest bits of each word."""

    def halves(program: Arrays, place: Linear, stream: Stream) -> Scalar:
        bits = 10 if dtype is dtypes.float16 else 7
        word = _number(program, "random32", dtypes.uint32, place, stream)
        lowest = program.make("and", dtypes.uint32, word, program.number((1 << bits) - 1, dtypes.uint32))
        number = program.convert(lowest, dtypes.float32)
        scaled = program.make("mul", dtypes.float32, number, program.number(0.5**bits, dtypes.float32))
        return program.convert(scaled, dtype)

    def singles(program: Arrays, place: Linear, stream: Stream) -> Scalar:
        word = _number(program, "random32", dtypes.uint32, place, stream)
        return _between_one_and_two(program, word, dtypes.uint32, dtypes.float32, 23)

    def doubles(program: Arrays, place: Linear, stream: Stream) -> Scalar:
        kind = dtypes.uint64
        words = _number(program, "random64", kind, place, stream)
        half = program.number(32, kind)
        upper = program.make("shl", kind, words, half)
        both = program.make("or", kind, upper, program.make("shr", kind, words, half))
        return _between_one_and_two(program, both, kind, dtypes.float64, 52)

    return {dtypes.float32: singles, dtypes.float64: doubles}.get(dtype, halves)


def _between_one_and_two(program: Arrays, bits: Scalar, kind: DType, dtype: DType, mantissa: int) -> Scalar:
    """The number in [1, 2) with that mantissa, less 1."""
    one = ((1 << (8 * dtype.size - 2 - mantissa)) - 1) << mantissa
    kept = program.make("and", kind, bits, program.number((1 << mantissa) - 1, kind))
    number = program.make("bitcast", dtype, program.make("or", kind, kept, program.number(one, kind)))
    return program.make("sub", dtype, number, program.number(1, dtype))


def _normal(dtype: DType) -> Element:
    def compute(program: Arrays, place: Linear, stream: Stream) -> Scalar:
        return program.convert(_number(program, "random_normal", dtypes.float32, place, stream), dtype)

    return compute


def _whole(dtype: DType) -> Element:
    """Integers of all values, unsigned."""
    kind, operation = (dtypes.uint32, "random32") if dtype.size == 4 else (dtypes.uint64, "random64")
    return lambda program, place, stream: _number(program, operation, kind, place, stream)


def _full_int(dtype: DType) -> Element:
    whole = _whole(dtype)
    return lambda program, place, stream: program.make("bitcast", dtype, whole(program, place, stream))


def _integers(low: Array, high: Array, dtype: DType) -> Element:
    """Integers from `low` to `high` - 1. It is the program's error if there are none."""
    whole = _whole(dtype)
    kind = dtypes.uint32 if dtype.size == 4 else dtypes.uint64

    def compute(program: Arrays, place: Linear, stream: Stream) -> Scalar:
        least, limit = low.at(), high.at()
        count = program.make("bitcast", kind, program.make("sub", dtype, limit, least))
        count = program.where(program.compare("lt", least, limit), count, program.number(0, kind))
        if count.operation != "const" or not count.data:
            count = program.make("nonzero", kind, count)
        offset = program.make("mod", kind, whole(program, place, stream), count)
        return program.make("bitcast", dtype, program.make("add", kind, offset, program.make("bitcast", kind, least)))

    return compute


# ---- rules ----------------------------------------------------------------------------------------------------------


def _shape(call: Call, array: Array) -> tuple[int, ...]:
    call.require(array.rank == 1)
    sizes = tuple(call.integers(array))
    call.require(all(size >= 0 for size in sizes))
    return sizes


def _filled(
    call: Call,
    shape: tuple[int, ...],
    reads: Sequence[Array],
    stream: Callable[[], Stream],
    element: Element,
    cost: int,
) -> Array:
    program = call.program

    def compute(*index: Linear) -> Scalar:
        return element(program, flatten(index, shape), stream())

    return program.map(shape, call.dtype(), compute, reads, cost)


_COST = 20
_KINDS = {"Uniform": _uniform, "Normal": _normal, "FullInt": _full_int}


def _needs_library(operation: Operation) -> bool:
    """Normal numbers of float64 are made with the C library's functions."""
    return operation.outputs[0].dtype is dtypes.float64


def _lower_stateful(type_: str, make: Callable[[DType], Element]) -> None:
    @lowering(type_, unless=_needs_library if make is _normal else None)
    def own_stream(call: Call, shape: Array) -> Array:
        sizes = _shape(call, shape)
        before = _drawn(call, size_of(sizes))
        return _filled(call, sizes, [before], lambda: _stream(call.program, before), make(call.dtype()), _COST)


def _lower_of_variable(type_: str, make: Callable[[DType], Element]) -> None:
    @lowering(type_, unless=_needs_library if make is _normal else None)
    def generator(call: Call, state: VariableState, algorithm: Array, shape: Array) -> Array:
        before, sizes = _drawn_from(call, state, algorithm, shape)
        return _filled(call, sizes, [before], lambda: _stream(call.program, before), make(call.dtype()), _COST)


def _lower_stateless(type_: str, make: Callable[[DType], Element]) -> None:
    unless = _needs_library if make is _normal else None

    @lowering(type_, unless=unless)
    def seeded(call: Call, shape: Array, seed: Array) -> Array:
        sizes, stream = _shape(call, shape), _stream_of_seed(call, seed)
        return _filled(call, sizes, [seed], stream, make(call.dtype()), _COST)

    @lowering(f"{type_}V2", unless=unless)
    def keyed(call: Call, shape: Array, key: Array, counter: Array, algorithm: Array) -> Array:
        sizes, stream = _shape(call, shape), _stream_of_key(call, key, counter, algorithm)
        return _filled(call, sizes, [key, counter], stream, make(call.dtype()), _COST)


def _drawn(call: Call, count: int) -> Array:
    seeds = call.attrs["seed"], call.attrs["seed2"]
    return _reserve(call, node_stream(call.lowering.context, call.operation, *seeds).state, count)


def _drawn_from(call: Call, state: VariableState, algorithm: Array, shape: Array) -> tuple[Array, tuple[int, ...]]:
    sizes = _shape(call, shape)
    _check_algorithm(call, algorithm)
    before: Array = call.lowering.read(state)
    call.require(before.dtype is dtypes.int64 and before.rank == 1 and before.size >= 3, "the state of no generator")
    return _reserve(call, state, size_of(sizes)), sizes


def _check_algorithm(call: Call, algorithm: Array) -> None:
    call.require(call.integers(algorithm) in ([philox.PHILOX], [philox.AUTO_SELECT]), "another algorithm")


def _stream_of_seed(call: Call, seed: Array) -> Callable[[], Stream]:
    call.require(seed.shape == (2,))
    return lambda: _seeded(call.program, seed)


def _stream_of_key(call: Call, key: Array, counter: Array, algorithm: Array) -> Callable[[], Stream]:
    _check_algorithm(call, algorithm)
    call.require(key.shape == (1,) and counter.rank == 1 and counter.size >= 2)
    return lambda: [counter.at(0), counter.at(1), key.at(0)]


_lower_stateful("RandomUniform", _uniform)
_lower_stateful("RandomStandardNormal", _normal)
_lower_of_variable("StatefulUniform", _uniform)
_lower_of_variable("StatefulStandardNormalV2", _normal)
_lower_of_variable("StatefulUniformFullInt", _full_int)
_lower_stateless("StatelessRandomUniform", _uniform)
_lower_stateless("StatelessRandomNormal", _normal)
_lower_stateless("StatelessRandomUniformFullInt", _full_int)


@lowering("RandomUniformInt")
def random_integers(call: Call, shape: Array, low: Array, high: Array) -> Array:
    sizes = _shape(call, shape)
    before = _drawn(call, size_of(sizes))
    element = _integers(low, high, call.dtype())
    return _filled(call, sizes, [before, low, high], lambda: _stream(call.program, before), element, _COST)


@lowering("StatefulUniformInt")
def generator_integers(
    call: Call, state: VariableState, algorithm: Array, shape: Array, low: Array, high: Array
) -> Array:
    before, sizes = _drawn_from(call, state, algorithm, shape)
    element = _integers(low, high, call.dtype())
    return _filled(call, sizes, [before, low, high], lambda: _stream(call.program, before), element, _COST)


@lowering("StatelessRandomUniformInt")
def seeded_integers(call: Call, shape: Array, seed: Array, low: Array, high: Array) -> Array:
    sizes, stream = _shape(call, shape), _stream_of_seed(call, seed)
    return _filled(call, sizes, [seed, low, high], stream, _integers(low, high, call.dtype()), _COST)


@lowering("StatelessRandomUniformIntV2")
def keyed_integers(
    call: Call, shape: Array, key: Array, counter: Array, algorithm: Array, low: Array, high: Array
) -> Array:
    sizes, stream = _shape(call, shape), _stream_of_key(call, key, counter, algorithm)
    return _filled(call, sizes, [key, counter, low, high], stream, _integers(low, high, call.dtype()), _COST)


@lowering("StatelessRandomGetKeyCounter", "StatelessRandomGetKeyCounterAlg")
def key_and_counter(call: Call, seed: Array) -> list[Array]:
    call.require(seed.shape == (2,))
    program = call.program

    def counter(place: Linear) -> Scalar:
        low, high, _ = _seeded(program, seed)
        first = program.compare("eq", program.scalars.index(place), program.number(0, dtypes.int64))
        return program.where(first, low, high)

    results = [
        program.map((1,), dtypes.uint64, lambda place: _seeded(program, seed)[2], [seed], _COST),
        program.map((2,), dtypes.uint64, counter, [seed], _COST),
        program.constant(philox.PHILOX, dtypes.int32),
    ]
    return results[: len(call.dtypes())]


@lowering("StatelessRandomGetAlg")
def algorithm(call: Call) -> Any:
    return call.program.constant(philox.PHILOX, dtypes.int32)
