"""Ops that draw from the state of a `tf.random.Generator`: an int64 variable, which moves on with every draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core.dtypes import DType
from rillet.core.execution import VariableState
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, UnimplementedError, format_shape
from rillet.ops import philox, philox_distributions
from rillet.ops.random_arguments import check_rank, requested_shape, scalar, wanted_sizes
from rillet.ops.random_distributions import COUNTS
from rillet.ops.random_stateless import sample_binomial
from rillet.ops.state import read_state, write_state


def _moved_on(state: VariableState, alg: Any, draw: Callable[[philox.GeneratorState], Any]) -> Any:
    """What `draw` does with the generator whose state a variable holds.

    ValueError for what is no such state; UnimplementedError for the ThreeFry algorithm.
    """
    number = scalar("algorithm", alg)
    if number == philox.THREEFRY:
        raise UnimplementedError(
            None,
            None,
            "Non-XLA devices don't support the ThreeFry algorithm.\n    Try: alg='philox'",
        )
    with state.lock:
        value = np.array(read_state(state))
        result = draw(philox.GeneratorState(value, number))
        write_state(state, value)
    return result


def _check_algorithm(op: Operation) -> None:
    found = op.inputs[1].shape
    if found.rank not in (None, 0):
        raise ShapeError(
            f"Shape must be rank 0 but is rank {found.rank}",
            f"input 1 (0-based) must have shape [], not {format_shape(found.dimensions)}",
        )


def _state_shape(op: Operation) -> TensorShape:
    _check_algorithm(op)
    return TensorShape([3])


def _no_output(op: Operation) -> list[TensorShape]:
    _check_algorithm(op)
    return []


def _read_and_skip(state: VariableState, alg: Any, delta: Any) -> Any:
    elements = scalar("delta", np.asarray(delta).view(np.int64))  # a number from the upper half goes back
    return _moved_on(state, alg, lambda held: held.read_and_skip(elements))


READ_AND_SKIP = define(
    "RngReadAndSkip", "resource: resource, alg: int32, delta: uint64 -> value: int64", reference=_read_and_skip,
    shape=_state_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _skip(state: VariableState, algorithm: Any, delta: Any) -> tuple[()]:
    _moved_on(state, algorithm, lambda held: held.skip(scalar("delta", delta)))
    return ()


define(
    "RngSkip", "resource: resource, algorithm: int64, delta: int64 ->",
    reference=_skip, shape=_no_output, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _drawn_shape(op: Operation) -> TensorShape:
    _check_algorithm(op)
    return requested_shape(op, 2)


def _define_draw(name: str, sample: Callable[..., Any], default: str) -> None:
    """An op that fills a shape with numbers of a fixed distribution."""

    def kernel(state: VariableState, algorithm: Any, shape: Any, *, dtype: DType) -> Any:
        return _moved_on(state, algorithm, lambda held: sample(held, wanted_sizes(shape), dtype.numpy_dtype))

    define(
        name, "resource: resource, algorithm: int64, shape: shape_dtype -> output: dtype",
        f"dtype: type = {default}, shape_dtype: type = int64",
        reference=kernel, shape=_drawn_shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


_define_draw("StatefulStandardNormalV2", philox.standard_normal, "float32")
_define_draw("StatefulTruncatedNormal", philox_distributions.truncated_normal, "float32")
_define_draw("StatefulUniform", philox.uniform, "float32")
_define_draw("StatefulUniformFullInt", philox.uniform_full_int, "uint64")


def _integers(state: VariableState, algorithm: Any, shape: Any, minval: Any, maxval: Any, *, dtype: DType) -> Any:
    low, high, wanted = scalar("minval", minval), scalar("maxval", maxval), wanted_sizes(shape)
    return _moved_on(state, algorithm, lambda held: philox.uniform_int(held, wanted, low, high, dtype.numpy_dtype))


def _integers_shape(op: Operation) -> TensorShape:
    check_rank(op, 3, 0, "minval must be 0-D")
    check_rank(op, 4, 0, "maxval must be 0-D")
    return _drawn_shape(op)


define(
    "StatefulUniformInt",
    "resource: resource, algorithm: int64, shape: shape_dtype, minval: dtype, maxval: dtype -> output: dtype",
    "dtype: type = int64, shape_dtype: type = int64",
    reference=_integers, shape=_integers_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _binomial(state: VariableState, algorithm: Any, shape: Any, counts: Any, probs: Any, *, dtype: DType) -> Any:
    return _moved_on(state, algorithm, lambda held: sample_binomial(held, shape, counts, probs, dtype))


BINOMIAL = define(
    "StatefulRandomBinomial",
    "resource: resource, algorithm: int64, shape: S, counts: T, probs: T -> output: dtype",
    f"S: index, T: {COUNTS} = float64, dtype: {COUNTS} = int64",
    reference=_binomial, shape=_drawn_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip

define(
    "NonDeterministicInts", "shape: shape_dtype -> output: dtype", "dtype: type = int64, shape_dtype: type = int64",
    reference=lambda shape, *, dtype: philox.uniform_full_int(
        philox.PhiloxGenerator(0, 0), wanted_sizes(shape), dtype.numpy_dtype
    ),
    shape=requested_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
