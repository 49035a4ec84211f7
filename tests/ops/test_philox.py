"""Random numbers against those that TensorFlow draws, bit for bit, and the rules for seeds."""

from __future__ import annotations

import hashlib
import math
import platform
import threading
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rillet.ops import philox, philox_distributions, single_math
from rillet.ops.philox import EagerSeeds, GeneratorState, PhiloxGenerator, Position, Source
from tests.ops.inputs import dtype_name, numpy_dtype
from tests.ops.recording import load

Array = np.ndarray[Any, Any]
Inputs = dict[str, Array]
RECORDING = load("../random")
CASES = RECORDING.rows["cases"]

# Logarithms and sines of float64 are those of the C library: recorded ones glibc's, others may differ in the last bit.
SAME_LIBRARY = platform.libc_ver()[0] == "glibc"


# Against TensorFlow


def expect(found: Array, stored: Any) -> None:
    """`found` is the stored array, or the one whose digest is stored."""
    if isinstance(stored, dict):
        assert (dtype_name(found.dtype), list(found.shape)) == (stored["dtype"], stored["shape"])
        if SAME_LIBRARY or found.dtype != np.float64:
            assert hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest() == stored["sha256"]
        return
    wanted = RECORDING.array(stored)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    if SAME_LIBRARY or found.dtype != np.float64:
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-15)


def shape_of(inputs: Inputs) -> list[int]:
    return inputs["shape"].tolist()


def prefix_of(inputs: Inputs, *parameters: str) -> list[int]:
    """The part of a stateless op's shape that precedes the shape of its parameters."""
    rank = len(np.broadcast_shapes(*(inputs[name].shape for name in parameters)))
    return shape_of(inputs)[: len(inputs["shape"]) - rank]


def dtype_of(attributes: dict[str, Any], name: str = "dtype") -> np.dtype[Any]:
    return numpy_dtype(attributes.get(name, "int64"))


Draw = Callable[[Source, Inputs, dict[str, Any]], Array]


def floating(sampler: Callable[..., Array]) -> Draw:
    return lambda source, inputs, attributes: sampler(source, shape_of(inputs), dtype_of(attributes))


def uniform_int(source: Source, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    low, high = inputs["minval"], inputs["maxval"]
    return philox.uniform_int(source, shape_of(inputs), int(low), int(high), low.dtype)


def multinomial(source: Source, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    count = int(inputs["num_samples"])
    return philox_distributions.multinomial(source, inputs["logits"], count, dtype_of(attributes, "output_dtype"))


def shuffle(source: Source, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    return philox_distributions.shuffle(source, inputs["value"])


def stateless_gamma(source: Source, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    return philox_distributions.gamma(source, prefix_of(inputs, "alpha"), inputs["alpha"])


def stateless_poisson(source: Source, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    return philox_distributions.poisson(source, prefix_of(inputs, "lam"), inputs["lam"], dtype_of(attributes))


def binomial(source: Source, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    prefix = prefix_of(inputs, "counts", "probs")
    return philox_distributions.binomial(source, prefix, inputs["counts"], inputs["probs"], dtype_of(attributes))


def stateless_truncated(source: Source, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    parameters = ("means", "stddevs", "minvals", "maxvals")
    prefix = prefix_of(inputs, *parameters)
    return philox_distributions.stateless_parameterized_truncated_normal(
        source, prefix, *(inputs[name] for name in parameters)
    )


def truncated(source: Source, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    parameters = (inputs[name] for name in ("means", "stdevs", "minvals", "maxvals"))
    return philox_distributions.parameterized_truncated_normal(source, shape_of(inputs), *parameters)


STATEFUL: dict[str, Draw] = {
    "RandomStandardNormal": floating(philox.standard_normal),
    "RandomUniform": floating(philox.uniform),
    "TruncatedNormal": floating(philox_distributions.truncated_normal),
    "RandomUniformInt": uniform_int,
    "RandomShuffle": shuffle,
    "Multinomial": multinomial,
    "RandomGamma": lambda source, inputs, attributes: philox_distributions.gamma(
        source, shape_of(inputs), inputs["alpha"]
    ),
    "RandomPoissonV2": lambda source, inputs, attributes: philox_distributions.poisson(
        source, shape_of(inputs), inputs["rate"], dtype_of(attributes)
    ),
    "ParameterizedTruncatedNormal": truncated,
}
STATELESS: dict[str, Draw] = {
    "StatelessRandomNormal": floating(philox.standard_normal),
    "StatelessRandomUniform": floating(philox.uniform),
    "StatelessTruncatedNormal": floating(philox_distributions.truncated_normal),
    "StatelessRandomNormalV2": floating(philox.standard_normal),
    "StatelessRandomUniformV2": floating(philox.uniform),
    "StatelessTruncatedNormalV2": floating(philox_distributions.truncated_normal),
    "StatelessRandomUniformInt": uniform_int,
    "StatelessRandomUniformFullInt": floating(philox.uniform_full_int),
    "StatelessShuffle": shuffle,
    "StatelessMultinomial": multinomial,
    "StatelessRandomGammaV2": stateless_gamma,
    "StatelessRandomPoisson": stateless_poisson,
    "StatelessRandomBinomial": binomial,
    "StatelessParameterizedTruncatedNormal": stateless_truncated,
}
RESOURCE: dict[str, Draw] = {
    "StatefulStandardNormalV2": floating(philox.standard_normal),
    "StatefulUniform": floating(philox.uniform),
    "StatefulTruncatedNormal": floating(philox_distributions.truncated_normal),
    "StatefulUniformFullInt": floating(philox.uniform_full_int),
    "StatefulUniformInt": uniform_int,
    "StatefulRandomBinomial": binomial,
}
INITIAL_STATE = np.array([2**64 - 3, 7, 2**63 + 12345], np.uint64).view(np.int64)


def cases(kind: str) -> list[Any]:
    """The recorded cases of a kind, each with an id."""
    found = [case for case in CASES if case["kind"] == kind]
    return [pytest.param(case, id=f"{number}-{case['op']}") for number, case in enumerate(found)]


def inputs_of(call: dict[str, Any]) -> Inputs:
    return {name: RECORDING.array(stored) for name, stored in call["inputs"].items()}


@pytest.mark.parametrize("case", cases("stateful"))
def test_ops_with_seed_attributes(case: dict[str, Any]) -> None:
    generator = PhiloxGenerator(case["attributes"]["seed"], case["attributes"]["seed2"])
    for call in case["calls"]:
        expect(STATEFUL[case["op"]](generator, inputs_of(call), case["attributes"]), call["outputs"][0])


@pytest.mark.parametrize("case", cases("stateless"))
def test_stateless_ops(case: dict[str, Any]) -> None:
    (call,) = case["calls"]
    inputs = inputs_of(call)
    if case["op"] == "StatelessRandomGetKeyCounter":
        for found, stored in zip(philox.key_and_counter(inputs["seed"]), call["outputs"], strict=True):
            expect(found, stored)
        return
    if "seed" in inputs:
        position = philox.stateless_position(inputs["seed"])
    else:
        position = philox.position_of(inputs["key"], inputs["counter"], int(inputs["alg"]))
    expect(STATELESS[case["op"]](position, inputs, case["attributes"]), call["outputs"][0])


@pytest.mark.parametrize("case", cases("resource"))
def test_ops_on_the_state_of_a_generator(case: dict[str, Any]) -> None:
    value = INITIAL_STATE.copy()
    state = GeneratorState(value)
    for call in case["calls"]:
        inputs = inputs_of(call)
        if case["op"] == "RngSkip":
            state.skip(int(inputs["delta"]))
        elif case["op"] == "RngReadAndSkip":
            expect(state.read_and_skip(int(inputs["delta"])), call["outputs"][0])
        else:
            expect(RESOURCE[case["op"]](state, inputs, case["attributes"]), call["outputs"][0])
        expect(value, call["state"])


# Blocks


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        (0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (2**64 - 1, 2**128 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (0x299F31D0A4093822, 0x0370734413198A2E85A308D3243F6A88, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_blocks(key: int, counter: int, words: str) -> None:
    """The published answers of Philox 4x32-10."""
    for count in (1, 50):  # few blocks and many are computed in different ways
        blocks = philox.blocks_at(Position(key, counter), np.zeros(count, np.uint64))
        assert [f"{word:08x}" for word in blocks[:, -1]] == words.split()


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**128 - 1), st.lists(st.integers(0, 2**64 - 1), max_size=4))
def test_few_and_many_blocks_agree(key: int, counter: int, offsets: list[int]) -> None:
    few = philox.blocks_at(Position(key, counter), np.array(offsets, np.uint64))
    many = philox.blocks_at(Position(key, counter), np.array(offsets * 9 + [0] * 9, np.uint64))
    np.testing.assert_array_equal(few, many[:, : len(offsets)])
    for column, offset in enumerate(offsets):
        moved = philox.blocks_at(Position(key, counter).skip(offset), np.zeros(1, np.uint64))
        np.testing.assert_array_equal(moved[:, 0], few[:, column])


# Float32 functions


def test_float32_functions_are_close() -> None:
    uniforms = np.linspace(1e-7, 1.0, 100_003, endpoint=False).astype(np.float32)
    log = single_math.log(uniforms)
    assert units(log, np.log(uniforms.astype(np.float64))) < 0.82
    angles = (2 * math.pi * uniforms).astype(np.float32)
    sine, cosine = single_math.sine_and_cosine(angles)
    assert units(sine, np.sin(angles.astype(np.float64))) < 0.57
    assert units(cosine, np.cos(angles.astype(np.float64))) < 0.57


def units(found: Array, exact: Array) -> float:
    """The largest error, in units of the last place."""
    return float(np.max(np.abs(found - exact) / np.spacing(np.abs(found))))


# Sources


def test_zero_seeds_cannot_be_repeated() -> None:
    first, second = (philox.uniform_full_int(PhiloxGenerator(0, 0), [4], np.int64) for _ in range(2))
    assert (first != second).any()


def test_a_generator_skips() -> None:
    whole = philox.uniform(PhiloxGenerator(1, 2), [2000])
    generator = PhiloxGenerator(1, 2)
    generator.skip(100)
    np.testing.assert_array_equal(philox.uniform(generator, [10]), whole[400:410])


def test_threads_never_draw_the_same_blocks() -> None:
    generator = PhiloxGenerator(1, 2)
    counters: list[int] = []
    threads = [
        threading.Thread(target=lambda: counters.extend([generator.reserve(3).counter for _ in range(500)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    start = PhiloxGenerator(1, 2).reserve(0).counter
    assert sorted(counters) == [start + 3 * call for call in range(2000)]


def test_a_stateless_source_stays_where_it_is() -> None:
    position = philox.stateless_position([3, 4])
    np.testing.assert_array_equal(philox.standard_normal(position, [5]), philox.standard_normal(position, [5]))


@pytest.mark.parametrize(("seed", "state"), RECORDING.rows["from_seed"], ids=str)
def test_state_from_seed(seed: Any, state: list[int]) -> None:
    given_seed = np.array(seed["values"], seed["dtype"]) if isinstance(seed, dict) else seed
    assert philox.state_from_seed(given_seed).tolist() == state


def test_state_from_key_counter() -> None:
    assert philox.state_from_key_counter(2**63, [2**64 - 1, 5]).tolist() == [-1, 5, -(2**63)]


def test_nondeterministic_states_differ() -> None:
    assert philox.nondeterministic_state().tolist() != philox.nondeterministic_state().tolist()


# Seed rules


@pytest.mark.parametrize(("graph_seed", "op_seed", "use", "pair"), RECORDING.rows["graph_pairs"])
def test_graph_seed_pair(graph_seed: int | None, op_seed: int | None, use: int, pair: list[int | None]) -> None:
    assert philox.graph_seed_pair(graph_seed, op_seed, use) == tuple(pair)


def test_the_number_that_tensorflow_1_printed() -> None:
    """Its seed rule counted ops: `set_random_seed(777)`, then `random_normal([1])` after its three constants."""
    seed, seed2 = philox.graph_seed_pair(777, None, 3)
    assert seed is not None and seed2 is not None
    assert philox.standard_normal(PhiloxGenerator(seed, seed2), [1])[0] == np.float32(2.2086694)


@pytest.mark.parametrize(("global_seed", "ops"), RECORDING.rows["eager_pairs"])
def test_eager_seed_pairs(global_seed: int, ops: list[Any]) -> None:
    seeds = EagerSeeds(global_seed)
    assert [seeds.pair(op_seed) for op_seed, _ in ops] == [tuple(pair) for _, pair in ops]


def test_eager_seeds_before_any_is_set() -> None:
    seeds = EagerSeeds(None)
    assert seeds.pair(None) == (None, None)
    assert seeds.pair(7) == (87654321, 7)


@pytest.mark.parametrize(("global_seed", "calls"), RECORDING.rows["eager_numbers"])
def test_eager_ops_in_a_row(global_seed: int, calls: list[Any]) -> None:
    seeds = EagerSeeds(global_seed)
    for size, op_seed, dtype, stored in calls:
        seed, seed2 = seeds.pair(op_seed)
        assert seed is not None and seed2 is not None
        expect(philox.uniform(seeds.stream(("RandomUniform", dtype), seed, seed2), [size], dtype), stored)


@pytest.mark.parametrize(("global_seed", "trace"), RECORDING.rows["traced_numbers"])
def test_ops_of_a_traced_function(global_seed: int, trace: list[Any]) -> None:
    op_seeds, pairs, calls = trace
    generators = []
    uses = 0
    for op_seed, pair in zip(op_seeds, pairs, strict=True):
        assert philox.graph_seed_pair(global_seed, op_seed, uses) == tuple(pair)
        uses += op_seed is None
        generators.append(PhiloxGenerator(*pair))
    for call in calls:
        for generator, stored in zip(generators, call, strict=True):
            expect(philox.uniform(generator, [2]), stored)


def test_old_streams_of_eager_ops_are_forgotten() -> None:
    seeds = EagerSeeds(1)
    kept = seeds.stream("op", 1, 5)
    for seed2 in range(6, 3 * philox._KEPT_STREAMS):
        seeds.stream("op", 1, seed2)
        assert seeds.stream("op", 1, 5) is kept
    assert len(seeds._streams) == philox._KEPT_STREAMS


# Mistakes

POSITION = Position(1, 2)
ONE = np.array(1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: philox.uniform(POSITION, [1], np.int32), "dtype int32"),
        (lambda: philox.standard_normal(POSITION, [1], np.complex64), "dtype complex64"),
        (lambda: philox.uniform_full_int(POSITION, [1], np.int16), "dtype int16"),
        (lambda: philox.uniform_int(POSITION, [1], 5, 5, np.int32), "Need minval < maxval, got 5 >= 5"),
        (lambda: philox_distributions.poisson(POSITION, [1], np.array([1.0, np.nan])), "NaN"),
        (lambda: philox.position_of([1], [2, 3], 2), "Unsupported algorithm id: 2"),
        (lambda: GeneratorState(np.zeros(2, np.int64)), "at least 3; got 2"),
        (lambda: GeneratorState(np.zeros(3, np.int32)), "must be int64, not int32"),
        (lambda: GeneratorState(np.zeros(3, np.int64), philox.THREEFRY), "Unsupported algorithm id: 2"),
        (lambda: philox.state_from_seed("7"), "not '7'"),
        (lambda: philox.state_from_key_counter(1, [2]), "2 words, not 1"),
        (
            lambda: philox_distributions.parameterized_truncated_normal(POSITION, [3], ONE, -ONE, -ONE, ONE),
            "standard deviation -1",
        ),
        (lambda: philox_distributions.parameterized_truncated_normal(POSITION, [3], ONE, ONE, ONE, ONE), "bounds 1"),
        (
            lambda: philox_distributions.parameterized_truncated_normal(POSITION, [3], ONE, ONE, -ONE / 0, ONE / 0),
            "one finite bound",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_mistakes(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_empty_results_may_have_any_bounds() -> None:
    assert philox.uniform_int(POSITION, [0], 6, 5, np.int32).shape == (0,)


def test_bfloat16_has_its_own_dtype() -> None:
    assert philox.uniform(POSITION, [2], ml_dtypes.bfloat16).dtype == ml_dtypes.bfloat16
