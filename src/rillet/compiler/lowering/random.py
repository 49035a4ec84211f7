"""Uniform and normal random numbers: the same as the reference kernels', to the bit.

An element is a function of its number and of where the op stands in a stream (see streams).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.compiler.arrays import Array, Arrays, size_of
from rillet.compiler.index import Linear, flatten
from rillet.compiler.lowering.streams import (
    Source,
    Stream,
    number_of,
    own_source,
    source_of_key,
    source_of_seed,
    source_of_variable,
    stream_of_seed,
)
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.execution import VariableState
from rillet.ops import philox

# Makes an element of the program and its number in the stream.
Element = Callable[[Arrays, Linear, Stream], Scalar]
_COST = 20

# ---- elements -------------------------------------------------------------------------------------------------------


def _uniform(dtype: DType) -> Element:
    """Uniform in [0, 1), from the lowest bits of each word."""

    def halves(program: Arrays, place: Linear, stream: Stream) -> Scalar:
        bits = 10 if dtype is dtypes.float16 else 7
        word = number_of(program, "random32", dtypes.uint32, place, stream)
        lowest = program.make("and", dtypes.uint32, word, program.number((1 << bits) - 1, dtypes.uint32))
        number = program.convert(lowest, dtypes.float32)
        scaled = program.make("mul", dtypes.float32, number, program.number(0.5**bits, dtypes.float32))
        return program.convert(scaled, dtype)

    def singles(program: Arrays, place: Linear, stream: Stream) -> Scalar:
        word = number_of(program, "random32", dtypes.uint32, place, stream)
        return _between_one_and_two(program, word, dtypes.uint32, dtypes.float32, 23)

    def doubles(program: Arrays, place: Linear, stream: Stream) -> Scalar:
        kind = dtypes.uint64
        words = number_of(program, "random64", kind, place, stream)
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
        if dtype is dtypes.float64:
            return number_of(program, "random_normal64", dtype, place, stream)
        return program.convert(number_of(program, "random_normal", dtypes.float32, place, stream), dtype)

    return compute


def _whole(dtype: DType) -> Element:
    """Integers of all values, unsigned."""
    kind, operation = (dtypes.uint32, "random32") if dtype.size == 4 else (dtypes.uint64, "random64")
    return lambda program, place, stream: number_of(program, operation, kind, place, stream)


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


def sizes_of(call: Call, array: Array) -> tuple[int, ...]:
    """A shape given as an array, known now."""
    call.require(array.rank == 1)
    sizes = tuple(call.integers(array))
    call.require(all(size >= 0 for size in sizes))
    return sizes


def reserved(sizes: Sequence[int]) -> int:
    """The counters that are put aside for an array of this shape."""
    return size_of(sizes) * philox.RESERVED


def _filled(
    call: Call, shape: tuple[int, ...], source: Source, element: Element, parameters: Sequence[Array] = ()
) -> Array:
    program = call.program

    def compute(*index: Linear) -> Scalar:
        return element(program, flatten(index, shape), source.stream())

    return program.map(shape, call.dtype(), compute, [*source.reads, *parameters], _COST)


# How the elements of stateful ops are made.
ELEMENTS = {"RandomUniform": _uniform, "RandomStandardNormal": _normal}


def _lower_stateful(type_: str, make: Callable[[DType], Element]) -> None:
    @lowering(type_)
    def rule(call: Call, shape: Array) -> Array:
        sizes = sizes_of(call, shape)
        return _filled(call, sizes, own_source(call, reserved(sizes)), make(call.dtype()))


def _lower_of_variable(type_: str, make: Callable[[DType], Element]) -> None:
    @lowering(type_)
    def rule(call: Call, state: VariableState, algorithm: Array, shape: Array) -> Array:
        sizes = sizes_of(call, shape)
        return _filled(call, sizes, source_of_variable(call, state, algorithm, reserved(sizes)), make(call.dtype()))


def _lower_stateless(type_: str, make: Callable[[DType], Element]) -> None:
    @lowering(type_)
    def seeded(call: Call, shape: Array, seed: Array) -> Array:
        return _filled(call, sizes_of(call, shape), source_of_seed(call, seed), make(call.dtype()))

    @lowering(f"{type_}V2")
    def keyed(call: Call, shape: Array, key: Array, counter: Array, algorithm: Array) -> Array:
        return _filled(call, sizes_of(call, shape), source_of_key(call, key, counter, algorithm), make(call.dtype()))


for _type, _make in ELEMENTS.items():
    _lower_stateful(_type, _make)
_lower_of_variable("StatefulUniform", _uniform)
_lower_of_variable("StatefulStandardNormalV2", _normal)
_lower_of_variable("StatefulUniformFullInt", _full_int)
_lower_stateless("StatelessRandomUniform", _uniform)
_lower_stateless("StatelessRandomNormal", _normal)
_lower_stateless("StatelessRandomUniformFullInt", _full_int)


def _whole_numbers(call: Call, sizes: tuple[int, ...], source: Source, low: Array, high: Array) -> Array:
    return _filled(call, sizes, source, _integers(low, high, call.dtype()), (low, high))


@lowering("RandomUniformInt")
def random_integers(call: Call, shape: Array, low: Array, high: Array) -> Array:
    sizes = sizes_of(call, shape)
    return _whole_numbers(call, sizes, own_source(call, reserved(sizes)), low, high)


@lowering("StatefulUniformInt")
def generator_integers(
    call: Call, state: VariableState, algorithm: Array, shape: Array, low: Array, high: Array
) -> Array:
    sizes = sizes_of(call, shape)
    return _whole_numbers(call, sizes, source_of_variable(call, state, algorithm, reserved(sizes)), low, high)


@lowering("StatelessRandomUniformInt")
def seeded_integers(call: Call, shape: Array, seed: Array, low: Array, high: Array) -> Array:
    return _whole_numbers(call, sizes_of(call, shape), source_of_seed(call, seed), low, high)


@lowering("StatelessRandomUniformIntV2")
def keyed_integers(
    call: Call, shape: Array, key: Array, counter: Array, algorithm: Array, low: Array, high: Array
) -> Array:
    return _whole_numbers(call, sizes_of(call, shape), source_of_key(call, key, counter, algorithm), low, high)


@lowering("StatelessRandomGetKeyCounter", "StatelessRandomGetKeyCounterAlg")
def key_and_counter(call: Call, seed: Array) -> list[Array]:
    call.require(seed.shape == (2,))
    program = call.program

    def counter(place: Linear) -> Scalar:
        low, high, _ = stream_of_seed(program, seed)
        first = program.compare("eq", program.scalars.index(place), program.number(0, dtypes.int64))
        return program.where(first, low, high)

    results = [
        program.map((1,), dtypes.uint64, lambda place: stream_of_seed(program, seed)[2], [seed], _COST),
        program.map((2,), dtypes.uint64, counter, [seed], _COST),
        program.constant(philox.PHILOX, dtypes.int32),
    ]
    return results[: len(call.dtypes())]


@lowering("StatelessRandomGetAlg")
def algorithm(call: Call) -> Any:
    return call.program.constant(philox.PHILOX, dtypes.int32)
