"""Random numbers that are drawn until they fit, orders, and classes: kernels of their own.

What an element needs of a stream is not known before the run. As in the reference kernels each element, or group of four (of
float64 two), has a stretch of the stream for itself, so that all can be made side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array, Arrays, size_of
from rillet.compiler.index import Variable, linear
from rillet.compiler.lowering.gathering import gather
from rillet.compiler.lowering.places import whole_number
from rillet.compiler.lowering.random import reserved, sizes_of
from rillet.compiler.lowering.streams import (
    Source,
    own_source,
    source_of_key,
    source_of_seed,
    source_of_variable,
)
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.execution import VariableState
from rillet.ops import philox

# ---- normal numbers of magnitude below 2 ----------------------------------------------------------------------------

# Groups that are made at once, and those of a task.
_SIDE_BY_SIDE, _TASK = 8, 512


def _truncated(call: Call, sizes: tuple[int, ...], source: Source) -> Array:
    program, dtype, count = call.program, call.dtype(), size_of(sizes)
    if not count:
        return program.map(sizes, dtype, lambda *index: program.number(0, dtype), ())
    numbers, _ = truncated_normals(program, source.state(), count, dtype)
    kept = numbers if numbers.size == count else program.slice(numbers, [0], [count])
    return program.reshape(kept, sizes)


def truncated_normals(program: Arrays, state: Array, count: int, dtype: DType) -> tuple[Array, int]:
    """At least `count` numbers of the stream at that state, uint64 [3]; and how many a task makes."""
    size = 2 if dtype is dtypes.float64 else 4
    groups = -(-count // (size * _SIDE_BY_SIDE)) * _SIDE_BY_SIDE

    def emit(w: Any) -> None:
        _Truncated(w, state, groups, size).write()

    (numbers,) = program.opaque(
        "truncated normal",
        (state,),
        [((groups * size,), dtype)],
        emit,
        tasks=-(-groups // _TASK),
        work=20 * count,
    )
    return numbers, _TASK * size


class _Truncated:
    """Writes the kernel. All groups are filled from their first blocks; those of which a number is too large are listed, and
    filled once more, from as many blocks as it takes."""

    def __init__(self, w: Any, state: Array, groups: int, size: int) -> None:
        self.w, self.b = w, w.b
        self.stream = w.stream(state)
        self.groups, self.size = groups, size
        self.kind, element = ("random_normal64", "double") if size == 2 else ("random_normal", "float")
        self.element = element
        self.room = self.b.alloca(element, _SIDE_BY_SIDE * size)
        self.listed = self.b.alloca("i32", _TASK + _SIDE_BY_SIDE)
        self.filled = self.b.alloca("i32", _TASK + _SIDE_BY_SIDE)
        self.trash = self.b.alloca("i64")

    def write(self) -> None:
        b = self.b
        with self.w.tasks() as task:
            start = b.mul(task, b.i64(_TASK))
            stop = b.intrinsic("smin", "i64", b.add(start, b.i64(_TASK)), b.i64(self.groups))
            with b.loop(start, stop, _SIDE_BY_SIDE, carried=[b.i64(0)]) as loop:
                loop.carry(self._first_blocks(loop.index, loop.carried[0]))
            with b.when(b.compare("ne", loop.results[0], b.i64(0))), b.repeat([loop.results[0], b.i64(0)]) as turn:
                left = self._next_blocks(*turn.carried)
                turn.again(b.compare("ne", left, b.i64(0)), left, b.add(turn.carried[1], b.i64(1)))

    def _numbers(self, groups: Any, block: Any) -> Any:
        """Of each of the groups (i64 lanes) the numbers of that block of its stretch."""
        b = self.b
        stretches = b.mul(groups, b.constant(groups.type, self.size * philox.RESERVED // 4))
        return self.stream.of_blocks(self.kind, b.add(stretches, b.splat(block, _SIDE_BY_SIDE)))

    def _fits(self, numbers: Any) -> Any:
        b = self.b
        return b.compare("olt", b.intrinsic("fabs", numbers.type, numbers), b.constant(numbers.type, 2.0))

    def _first_blocks(self, first: Any, listed: Any) -> Any:
        """Fills the groups from number `first` on. Returns how many groups are listed then."""
        b, each = self.b, self.size
        groups = b.add(b.splat(first, _SIDE_BY_SIDE), b.lane_numbers("i64", _SIDE_BY_SIDE))
        numbers = self._numbers(groups, b.i64(0))
        self.w.store(numbers, self.w.opaque.outputs[0], b.mul(first, b.i64(each)))
        count = _SIDE_BY_SIDE * each
        fits = b.value(f"i{count}", f"bitcast {self._fits(numbers)} to i{count}")
        full = b.constant(fits.type, (1 << each) - 1)
        for lane in range(_SIDE_BY_SIDE):
            self._put(self.listed, listed, b.add(first, b.i64(lane)))
            here = b.binary("and", b.binary("lshr", fits, b.constant(fits.type, lane * each)), full)
            listed = b.add(listed, b.convert("zext", b.compare("ne", here, full), "i64"))
        return listed

    def _put(self, room: Any, place: Any, number: Any) -> None:
        self.b.store(self.b.convert("trunc", number, "i32"), self.b.offset(room, place, "i32"))

    def _get(self, room: Any, place: Any, lanes: int = 1) -> Any:
        b = self.b
        type_ = f"<{lanes} x i32>" if lanes > 1 else "i32"
        return b.convert("zext", b.load(b.offset(room, place, "i32"), type_), "i64")

    def _next_blocks(self, listed: Any, block: Any) -> Any:
        """Goes on filling the listed groups from their block `block`. Returns how many are still listed."""
        b = self.b
        with b.loop(b.i64(0), listed, _SIDE_BY_SIDE, carried=[b.i64(0)]) as loop:
            groups = self._get(self.listed, loop.index, _SIDE_BY_SIDE)
            b.store(self._numbers(groups, block), self.room)
            here = b.intrinsic("smin", "i64", b.sub(listed, loop.index), b.i64(_SIDE_BY_SIDE))
            with b.loop(b.i64(0), here, carried=[loop.carried[0]]) as lane:
                lane.carry(self._fill(b.add(loop.index, lane.index), lane.index, block, lane.carried[0]))
            loop.carry(lane.results[0])
        return loop.results[0]

    def _fill(self, place: Any, lane: Any, block: Any, kept: Any) -> Any:
        """Fills the group that is listed there, and lists it again, as number `kept`, if it is not full."""
        b, limit = self.b, self.b.i64(self.size)
        group = self._get(self.listed, place)
        filled = b.select(b.compare("eq", block, b.i64(0)), b.i64(0), self._get(self.filled, place))
        output = self.w.opaque.outputs[0]
        for part in range(self.size):
            number = b.load(b.offset(self.room, b.add(b.mul(lane, limit), b.i64(part)), self.element), self.element)
            taken = b.binary("and", self._fits(number), b.compare("slt", filled, limit))
            self.w.store(number, output, b.add(b.mul(group, limit), filled), taken, self.trash)
            filled = b.add(filled, b.convert("zext", taken, "i64"))
        self._put(self.listed, kept, group)
        self._put(self.filled, kept, filled)
        return b.add(kept, b.convert("zext", b.compare("slt", filled, limit), "i64"))


@lowering("TruncatedNormal")
def truncated_normal(call: Call, shape: Array) -> Array:
    sizes = sizes_of(call, shape)
    return _truncated(call, sizes, own_source(call, reserved(sizes)))


@lowering("StatefulTruncatedNormal")
def generator_truncated_normal(call: Call, state: VariableState, algorithm: Array, shape: Array) -> Array:
    sizes = sizes_of(call, shape)
    return _truncated(call, sizes, source_of_variable(call, state, algorithm, reserved(sizes)))


@lowering("StatelessTruncatedNormal")
def seeded_truncated_normal(call: Call, shape: Array, seed: Array) -> Array:
    return _truncated(call, sizes_of(call, shape), source_of_seed(call, seed))


@lowering("StatelessTruncatedNormalV2")
def keyed_truncated_normal(call: Call, shape: Array, key: Array, counter: Array, algorithm: Array) -> Array:
    return _truncated(call, sizes_of(call, shape), source_of_key(call, key, counter, algorithm))


# ---- orders ---------------------------------------------------------------------------------------------------------

# Words that are made at once.
_WORDS = 32


def _shuffled(call: Call, value: Array, source: Source) -> Array:
    """The rows in the order that exchanging each with a later one, or itself, gives."""
    size = value.shape[0]
    state = source.state()
    row = Variable("row", size)

    def emit(w: Any) -> None:
        b, order = w.b, w.opaque.outputs[0]
        with w.tasks():
            stream, room = w.stream(state), b.alloca("i32", _WORDS)

            def count(first: Any, lanes: int) -> None:
                numbers = b.splat(b.convert("trunc", first, "i32"), lanes)
                w.store(b.add(numbers, b.lane_numbers("i32", lanes)), order, first)

            w.across(row, count)
            with b.loop(b.i64(0), b.i64(size - 1), _WORDS) as loop:
                b.store(stream.neighbours("random32", loop.index, _WORDS), room)
                end = b.intrinsic("smin", "i64", b.add(loop.index, b.i64(_WORDS)), b.i64(size - 1))
                with b.loop(loop.index, end) as turn:
                    word = b.load(b.offset(room, b.sub(turn.index, loop.index), "i32"), "i32")
                    left = b.convert("trunc", b.sub(b.i64(size), turn.index), "i32")
                    chosen = b.add(turn.index, b.convert("zext", b.binary("urem", word, left), "i64"))
                    here, there = w.load(order, turn.index), w.load(order, chosen)
                    w.store(there, order, turn.index)
                    w.store(here, order, chosen)

    (order,) = call.program.opaque("random order", (state,), [((size,), dtypes.int32)], emit, work=8 * size)
    return gather(call, value, order, 0)


def _draws(value: Array) -> int:
    """Counters for the words that an order takes."""
    return -(-(value.shape[0] - 1) // 4)


@lowering("RandomShuffle")
def shuffle(call: Call, value: Array) -> Array:
    call.require(value.rank == 0 or (0 < value.shape[0] < 1 << 31 and value.size > 0))
    return _shuffled(call, value, own_source(call, _draws(value))) if value.rank else value


@lowering("StatelessShuffle")
def stateless_shuffle(call: Call, value: Array, key: Array, counter: Array, algorithm: Array) -> Array:
    call.require(value.rank == 0 or (0 < value.shape[0] < 1 << 31 and value.size > 0))
    return _shuffled(call, value, source_of_key(call, key, counter, algorithm)) if value.rank else value


# ---- classes --------------------------------------------------------------------------------------------------------


def _weights(call: Call, logits: Array) -> Array:
    """Probabilities, not normalised; 0 where a logit is infinite or NaN. All of float64."""
    program, kind = call.program, dtypes.float64
    wide = program.cast(logits, kind)
    finite = program.elementwise("is_finite", dtypes.bool, wide)

    def where_finite(is_finite: Scalar, value: Scalar) -> Scalar:
        return program.where(is_finite, value, program.number(kind.min, kind))

    largest = program.reduce(program.combine(kind, where_finite, finite, wide), [1], "max", keep=True)

    def weight(is_finite: Scalar, value: Scalar, most: Scalar) -> Scalar:
        power = program.make("exp", kind, program.make("sub", kind, value, most))
        return program.where(is_finite, power, program.number(0, kind))

    return program.combine(kind, weight, finite, wide, largest, cost=20)


def _classes(call: Call, logits: Array, samples: int, source: Source) -> Array:
    """The class of which the probability and those before it come to more than a random share of all."""
    batch, classes = logits.shape
    weights, state = _weights(call, logits), source.state()
    row, column = Variable("row", batch), Variable("column", classes)

    def emit(w: Any) -> None:
        b = w.b
        chosen, sums = w.opaque.outputs
        stream = w.stream(state)
        with w.tasks(row) as task:
            before = b.mul(task, b.i64(classes))
            with w.loop(column, carried=[w.number(0, dtypes.float64)]) as loop:
                total = b.fadd(loop.carried[0], w.value(weights.at(linear(row), linear(column))))
                w.store(total, sums, b.add(before, loop.index))
                loop.carry(total)
            with b.loop(b.i64(0), b.i64(samples)) as sample:
                place = b.add(b.mul(task, b.i64(samples)), sample.index)
                target = b.fmul(stream.uniform_double(place), loop.results[0])
                found = _first_above(w, sums, before, classes, target)
                w.store(found if call.dtype().size == 8 else b.convert("trunc", found, "i32"), chosen, place)

    shapes = [((batch, samples), call.dtype()), ((batch, classes), dtypes.float64)]
    return call.program.opaque(
        "random classes", (weights, state), shapes, emit, tasks=batch, work=batch * (25 * classes + 50 * samples),
        streamed=(0,),
    )[0]  # fmt: skip


def _first_above(w: Any, sums: Array, start: Any, count: int, target: Any) -> Any:
    """How many of the `count` rising sums from element `start` on are not above the target."""
    b = w.b
    with b.repeat([b.i64(0), b.i64(count)]) as turn:
        low, high = turn.carried
        middle = b.binary("lshr", b.add(low, high), b.i64(1))
        is_below = b.compare("ole", w.load(sums, b.add(start, middle)), target)
        low, high = b.select(is_below, b.add(middle, b.i64(1)), low), b.select(is_below, high, middle)
        turn.again(b.compare("slt", low, high), low, high)
    return low


def _checked_samples(call: Call, logits: Array, number: Array) -> int:
    call.require(logits.rank == 2 and logits.size > 0 and number.rank == 0)
    samples = whole_number(call, number)
    call.require(samples > 0)
    return samples


@lowering("Multinomial")
def multinomial(call: Call, logits: Array, number: Array) -> Array:
    samples = _checked_samples(call, logits, number)
    counters = logits.shape[0] * -(-samples // 4) * 4 * 2 * philox.RESERVED
    return _classes(call, logits, samples, own_source(call, counters))


@lowering("StatelessMultinomial")
def stateless_multinomial(call: Call, logits: Array, number: Array, seed: Array) -> Array:
    return _classes(call, logits, _checked_samples(call, logits, number), source_of_seed(call, seed))


# ---- distributions with parameters ----------------------------------------------------------------------------------

# Elements of a task.
_ELEMENTS = 256


def _each(call: Call, samples: int, leading: Sequence[int], parameter: Array, source: Source, name: str) -> Array:
    """`samples` numbers for each element of the parameter, as the writer's `name` draws them; all those of the first come
    first in the stream."""
    program, dtype = call.program, call.dtype()
    call.require(samples * parameter.size > 0)
    wide, state = program.cast(parameter, dtypes.float64), source.state()
    owners, count = parameter.size, samples * parameter.size
    element = Variable("element", count)

    def emit(w: Any) -> None:
        b = w.b
        stream = w.stream(state)
        with w.tasks() as task:
            start = b.mul(task, b.i64(_ELEMENTS))
            stop = b.intrinsic("smin", "i64", b.add(start, b.i64(_ELEMENTS)), b.i64(count))
            with w.loop(element, stop, start=start) as loop:
                owner = b.binary("udiv", loop.index, b.i64(samples))
                sample = b.sub(loop.index, b.mul(owner, b.i64(samples)))
                block = b.mul(loop.index, b.i64(philox.RESERVED))
                number = w.sample(name, stream, block, w.load(wide, owner), dtype)
                w.store(number, w.opaque.outputs[0], b.add(b.mul(sample, b.i64(owners)), owner))

    (result,) = program.opaque(
        f"random {name}", (wide, state), [((*leading, *parameter.shape), dtype)], emit,
        tasks=-(-count // _ELEMENTS), work=600 * count, can_fail=True,
    )  # fmt: skip
    return result


def _stateful(call: Call, name: str, shape: Array, parameter: Array) -> Array:
    leading = sizes_of(call, shape)
    samples = size_of(leading)
    source = own_source(call, samples * parameter.size * philox.RESERVED)
    return _each(call, samples, leading, parameter, source, name)


def _stateless(call: Call, name: str, shape: Array, parameter: Array, source: Source) -> Array:
    sizes = sizes_of(call, shape)
    leading = sizes[: len(sizes) - parameter.rank]
    call.require((*leading, *parameter.shape) == sizes)
    return _each(call, size_of(leading), leading, parameter, source, name)


@lowering("RandomGamma")
def gamma(call: Call, shape: Array, alpha: Array) -> Array:
    return _stateful(call, "gamma", shape, alpha)


@lowering("StatelessRandomGammaV2")
def seeded_gamma(call: Call, shape: Array, seed: Array, alpha: Array) -> Array:
    return _stateless(call, "gamma", shape, alpha, source_of_seed(call, seed))


@lowering("StatelessRandomGammaV3")
def keyed_gamma(call: Call, shape: Array, key: Array, counter: Array, algorithm: Array, alpha: Array) -> Array:
    return _stateless(call, "gamma", shape, alpha, source_of_key(call, key, counter, algorithm))


@lowering("RandomPoissonV2")
def poisson(call: Call, shape: Array, rate: Array) -> Array:
    return _stateful(call, "poisson", shape, rate)


@lowering("StatelessRandomPoisson")
def seeded_poisson(call: Call, shape: Array, seed: Array, rate: Array) -> Array:
    return _stateless(call, "poisson", shape, rate, source_of_seed(call, seed))
