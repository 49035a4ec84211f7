"""tf.random.Generator: a stream of random numbers whose place is kept in a variable."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import Tensor
from rillet.errors import UnimplementedError
from rillet.frontend.scopes import init_scope
from rillet.frontend.variable import Variable
from rillet.ops import philox
from rillet.ops.cast import cast
from rillet.ops.creation import zeros_like
from rillet.ops.random_arguments import shape_tensor
from rillet.ops.random_stateful import BINOMIAL, READ_AND_SKIP
from rillet.ops.random_stateless import NORMAL, TRUNCATED, algorithm_number, draw_scaled, draw_uniform
from rillet.ops.reduce import reduce_prod
from rillet.ops.scope import scope

_STATE_SIZE = 3  # the counter's lower half, its upper half, the key


def _philox(alg: Any) -> int:
    """The number of an algorithm, which rillet must have."""
    number: int = philox.PHILOX if alg is None else algorithm_number(alg)
    if number == philox.THREEFRY:
        raise UnimplementedError(
            None, None, "rillet has no ThreeFry random numbers.\n    Try: alg='philox', TensorFlow's own choice"
        )
    return number


@public("random.create_rng_state", "random.experimental.create_rng_state")
def create_rng_state(seed: Any, alg: Any) -> Any:
    """The state, int64 [3], of a generator that starts from `seed`: an integer, or a vector of them.

    Raises ValueError for an unknown algorithm, UnimplementedError for ThreeFry.
    """
    _philox(alg)
    known = constant_value(seed) if isinstance(seed, Tensor) else seed
    if known is not None:
        return convert_to_tensor(philox.state_from_seed(known))
    flat = apply_op(REGISTRY["Reshape"], (cast(seed, dtypes.int64), [-1]))
    front = flat[:_STATE_SIZE]
    missing = _STATE_SIZE - apply_op(REGISTRY["Size"], (front,))
    state = apply_op(REGISTRY["Pad"], (front, [[missing, 0]]))
    state.set_shape([_STATE_SIZE])
    return state


def _checked_state(state: Any) -> Any:
    """A state that was given: an int64 tensor of shape [3]. ValueError for another shape."""
    tensor = convert_to_tensor(state, dtypes.int64)
    if not tensor.shape.is_compatible_with([_STATE_SIZE]):
        raise ValueError(f"Shapes {tensor.shape} and [{_STATE_SIZE}] are incompatible")
    return tensor


def _joined(counter: Any, key: Any) -> Any:
    """The state of a counter, two integers, and a key."""
    words = convert_to_tensor(counter, dtypes.int64)
    if not words.shape.is_compatible_with([2]):
        raise ValueError(f"Shapes {words.shape} and [2] are incompatible")
    last = apply_op(REGISTRY["Reshape"], (convert_to_tensor(key, dtypes.int64), [1]))
    return apply_op(REGISTRY["ConcatV2"], ([words, last], 0))


@public("random.Generator", "random.experimental.Generator")
class Generator:
    """A source of random numbers. Every draw moves its state on, an int64 variable of 3 elements.

    Make one with from_seed, from_state, from_key_counter or from_non_deterministic_state; or here:
    copy_from: a generator whose state and algorithm are copied.
    state, alg: a state, or a variable that is used as the state from now on, and the algorithm.
    Raises ValueError where neither or both are given, and for a state that is no int64 [3].
    """

    def __init__(self, copy_from: Generator | None = None, state: Any = None, alg: Any = None) -> None:
        if (copy_from is None) == (state is None) or (state is None) != (alg is None):
            raise ValueError("a Generator takes either `copy_from`, or `state` and `alg` together")
        if copy_from is not None:
            self._alg = copy_from.algorithm
            state = copy_from.state.read_value()
        else:
            self._alg = _philox(alg)
        self._state_var: Any = state if isinstance(state, Variable) else _state_variable(_checked_state(state))

    @classmethod
    def from_state(cls, state: Any, alg: Any) -> Generator:
        """A generator that goes on from `state`, int64 [3]; a variable is shared."""
        return cls(state=state, alg=alg)

    @classmethod
    def from_seed(cls, seed: Any, alg: Any = None) -> Generator:
        """A generator that always draws the same numbers for the same `seed`, an integer or a vector of them."""
        number = _philox(alg)
        return cls(state=create_rng_state(seed, number), alg=number)

    @classmethod
    def from_key_counter(cls, key: Any, counter: Any, alg: Any) -> Generator:
        """A generator at `counter`, two integers, in the stream of `key`."""
        return cls(state=_joined(counter, key), alg=philox.PHILOX if alg is None else alg)

    @classmethod
    def from_non_deterministic_state(cls, alg: Any = None) -> Generator:
        """A generator whose numbers nobody can draw again."""
        number = _philox(alg)
        return cls(state=philox.nondeterministic_state(), alg=number)

    # ---- state ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        """The variable that holds the state."""
        return self._state_var

    @property
    def algorithm(self) -> int:
        """The number of the algorithm: see tf.random.Algorithm."""
        return self._alg

    @property
    def key(self) -> Any:
        """The part of the state that draws leave as it is: a scalar."""
        return self._state_var[-1]

    def reset(self, state: Any) -> None:
        """Goes on from `state`, int64 [3]."""
        self._state_var.assign(_checked_state(state))

    def reset_from_seed(self, seed: Any) -> None:
        """Goes on as a new generator from `seed` starts."""
        self._state_var.assign(create_rng_state(seed, self._alg))

    def reset_from_key_counter(self, key: Any, counter: Any) -> None:
        """Goes on at `counter`, two integers, in the stream of `key`."""
        self._state_var.assign(_joined(counter, key))

    def skip(self, delta: Any) -> Any:
        """Passes over as much of the stream as `delta` numbers take. Returns the state before, int64 [3]."""
        with scope("Cast", delta):
            number = convert_to_tensor(self._alg, dtypes.int32, name="x")
        return apply_op(READ_AND_SKIP, (self._state_var.handle, number, cast(delta, dtypes.uint64)))

    def _place(self, dims: Any) -> tuple[Any, Any, int]:
        """Key, counter and algorithm of the next draw, for which as much is passed over as `dims` has elements."""
        state = self.skip(reduce_prod(dims))
        counter = _as_words(state[0:2])
        key = _as_words(state[2:3])
        return key, counter, self._alg

    # ---- numbers ----------------------------------------------------------------------------------------------

    def normal(
        self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = dtypes.float32, name: str | None = None
    ) -> Any:
        """Normal numbers of shape `shape`; `mean` and `stddev` broadcast with it."""
        return draw_scaled(NORMAL, self._place, shape, mean, stddev, dtype, name or "stateful_normal")

    def truncated_normal(
        self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = dtypes.float32, name: str | None = None
    ) -> Any:
        """Normal numbers of which those more than two `stddev` away from `mean` are drawn again."""
        return draw_scaled(TRUNCATED, self._place, shape, mean, stddev, dtype, name or "truncated_normal")

    def uniform(
        self, shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = dtypes.float32, name: str | None = None
    ) -> Any:
        """Numbers in [minval, maxval), all equally likely. maxval: 1 for floating numbers if not given.

        Integers take both bounds, or None for both: any number of the dtype. Raises ValueError for one bound alone.
        """
        return draw_uniform(self._place, shape, minval, maxval, dtype, name or "stateful_uniform")

    def uniform_full_int(self, shape: Any, dtype: Any = dtypes.uint64, name: str | None = None) -> Any:
        """Any numbers of `dtype`: int32, uint32, int64 or uint64."""
        return draw_uniform(self._place, shape, None, None, dtype, name or "stateful_uniform_full_int")

    def binomial(self, shape: Any, counts: Any, probs: Any, dtype: Any = dtypes.int32, name: str | None = None) -> Any:
        """Successes in `counts` trials of probability `probs`; `shape` ends with the broadcast shape of both."""
        with scope(name or "binomial", shape, counts, probs) as full_name:
            counts = convert_to_tensor(counts, name="counts")
            probs = convert_to_tensor(probs, name="probs")
            inputs = (self._state_var.handle, self._alg, shape_tensor(shape), counts, probs)
            return apply_op(BINOMIAL, inputs, {"dtype": dtypes.as_dtype(dtype)}, full_name)

    # ---- children ---------------------------------------------------------------------------------------------

    def make_seeds(self, count: Any = 1) -> Any:
        """Seeds for stateless ops, int64 [2, count]: each column is one."""
        keys = self.uniform_full_int([count], dtypes.int64)
        return apply_op(REGISTRY["Pack"], ([keys, zeros_like(keys)],), name="stack")

    def split(self, count: int = 1) -> list[Generator]:
        """`count` new generators, whose streams have nothing to do with each other or with this one."""
        keys = self.uniform_full_int([count], dtypes.int64)
        return [type(self)(state=_joined(np.zeros(2, np.int64), keys[place]), alg=self._alg) for place in range(count)]


def _state_variable(state: Any) -> Variable:
    with scope("random_generator"):
        return Variable(
            state,
            trainable=False,
            dtype=dtypes.int64,
            shape=TensorShape([_STATE_SIZE]),
            name="StateVar",
            use_resource=True,
        )


def _as_words(part: Any) -> Any:
    return apply_op(REGISTRY["Bitcast"], (part,), {"type": dtypes.uint64})


class _Global:
    generator: Generator | None = None
    lock = threading.Lock()


def get_global_generator() -> Generator:
    """The generator of the process; it is made, with a state nobody can repeat, when it is first asked for."""
    with _Global.lock:
        if _Global.generator is None:
            with init_scope():
                _Global.generator = Generator.from_non_deterministic_state()
        return _Global.generator


def set_global_generator(generator: Generator) -> None:
    """Makes `generator` the one of the process. Functions traced before keep the one they were traced with."""
    with _Global.lock:
        _Global.generator = generator


for _prefix in ("random", "random.experimental"):
    export(get_global_generator, f"{_prefix}.get_global_generator")
    export(set_global_generator, f"{_prefix}.set_global_generator")
