"""Random rows: the same seeds give TensorFlow's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.ops.harness import Bad, Row
from tests.ops.inputs import anything, between, index, positive, small, values

ONE = ("float32",)
SEED = values([3, 5], "int32")


def stateless(name: str, call: Callable[..., Any], dtypes: Any = ONE, **common: Any) -> Row:
    """A row of a function that takes its seed as a tensor."""
    variants = {"long": [values([2**40, -7], "int64")], "zero": [values([0, 0], "int32")]}
    return Row(f"random.{name}", call, [SEED], dtypes, variants, wrt=(), tolerance=2, **common)


STATELESS = [
    *(
        stateless(
            f"stateless_normal[{dtype}]",
            lambda tf, s, dtype=dtype: tf.random.stateless_normal([2, 5], s, 0.5, 2.0, dtype),
        )
        for dtype in ("float32", "float64", "float16", "bfloat16")
    ),
    *(
        stateless(
            f"stateless_uniform[{dtype}]", lambda tf, s, dtype=dtype: tf.random.stateless_uniform([7], s, dtype=dtype)
        )
        for dtype in ("float32", "float64", "float16", "bfloat16")
    ),
    *(
        stateless(
            f"stateless_uniform[{dtype}]",
            lambda tf, s, dtype=dtype: [
                tf.random.stateless_uniform([7], s, -3 if dtype[0] == "i" else 3, 100, dtype),
                tf.random.stateless_uniform([3], s, None, None, dtype),
            ],
        )
        for dtype in ("int32", "int64")
    ),
    stateless("stateless_uniform[range]", lambda tf, s: tf.random.stateless_uniform([3, 3], s, -2.0, 5.0), smoke=True),
    stateless(
        "stateless_uniform[unsigned]",
        lambda tf, s: [
            tf.random.stateless_uniform([5], s, None, None, tf.uint32),
            tf.random.stateless_uniform([5], s, None, None, tf.uint64),
        ],
    ),
    stateless(
        "stateless_truncated_normal",
        lambda tf, s: [
            tf.random.stateless_truncated_normal([9], s),
            tf.random.stateless_truncated_normal([5], s, 1.0, 2.0, tf.float64),
        ],
    ),
    stateless(
        "stateless_categorical",
        lambda tf, s: tf.random.stateless_categorical(tf.math.log([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]), 6, s),
    ),
    stateless("stateless_gamma", lambda tf, s: tf.random.stateless_gamma([4, 2], s, alpha=[0.5, 2.5], beta=2.0)),
    stateless("stateless_poisson", lambda tf, s: tf.random.stateless_poisson([6], s, lam=3.5)),
    stateless("stateless_binomial", lambda tf, s: tf.random.stateless_binomial([6], s, counts=10.0, probs=0.3)),
    stateless(
        "stateless_parameterized_truncated_normal",
        lambda tf, s: tf.random.stateless_parameterized_truncated_normal([6], s, 1.0, 2.0, -1.0, 3.0),
    ),
    stateless("split", lambda tf, s: [tf.random.split(s, 3), tf.random.fold_in(s, 4)]),
    stateless("experimental.stateless_shuffle", lambda tf, s: tf.random.experimental.stateless_shuffle(tf.range(8), s)),
    stateless("empty", lambda tf, s: [tf.random.stateless_normal([0, 3], s), tf.random.stateless_uniform([], s)]),
    Row(
        "nn.experimental.stateless_dropout",
        lambda tf, x, s: tf.nn.experimental.stateless_dropout(x, 0.4, s),
        [anything(4, 5), SEED],
        ("float32", "float64"),
        wrt=(0,),
    ),
]


def seeded(name: str, sample: Callable[[Any], Any], **common: Any) -> Row:
    """A row of a stateful function with a seed of the program and one of the op: equal in every mode."""

    def call(tf: Any) -> Any:
        tf.random.set_seed(11)
        return sample(tf)

    return Row(f"random.{name}", call, [], ONE, wrt=(), tolerance=2, **common)


STATEFUL = [
    seeded(
        "normal",
        lambda tf: [
            tf.random.normal([2, 5], seed=3),
            tf.random.normal([3], 1.0, 2.0, tf.float64, seed=3),
            tf.random.normal([3], dtype=tf.float16, seed=4),
        ],
        smoke=True,
    ),
    seeded(
        "uniform",
        lambda tf: [
            tf.random.uniform([2, 5], seed=3),
            tf.random.uniform([4], -2, 3, seed=5),
            tf.random.uniform([4], 0, 10, tf.int32, seed=5),
            tf.random.uniform([4], 0, 10, tf.int64, seed=6),
        ],
    ),
    seeded(
        "truncated_normal",
        lambda tf: [
            tf.random.truncated_normal([7], seed=3),
            tf.random.truncated_normal([4], 1.0, 0.5, tf.float64, seed=3),
        ],
    ),
    seeded(
        "shuffle",
        lambda tf: [tf.random.shuffle(tf.range(9), seed=3), tf.random.shuffle([[1, 2], [3, 4], [5, 6]], seed=4)],
    ),
    seeded("categorical", lambda tf: tf.random.categorical(tf.math.log([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]), 6, seed=3)),
    seeded("gamma", lambda tf: tf.random.gamma([4], alpha=[0.5, 2.5], beta=2.0, seed=3)),
    seeded("poisson", lambda tf: tf.random.poisson([5], [0.5, 20.0], seed=3)),
    seeded("compat.v1.multinomial", lambda tf: tf.compat.v1.multinomial([[0.0, 1.0, 2.0]], 5, seed=2)),
    seeded(
        "compat.v1.random_normal",
        lambda tf: [
            tf.compat.v1.random_normal([3], seed=1),
            tf.compat.v1.random_uniform([3], seed=1),
            tf.compat.v1.truncated_normal([3], seed=1),
        ],
    ),
    seeded("image.random_crop", lambda tf: tf.image.random_crop(tf.reshape(tf.range(24), [4, 6]), [2, 3], seed=3)),
    seeded(
        "parameterized_truncated_normal",
        lambda tf: tf.raw_ops.ParameterizedTruncatedNormal(
            shape=[5], means=1.0, stdevs=2.0, minvals=-1.0, maxvals=3.0, seed=11, seed2=3
        ),
    ),
    seeded(
        "log_uniform_candidate_sampler",
        lambda tf: tf.random.log_uniform_candidate_sampler([[0, 3]], 2, 4, True, 10, seed=3),
    ),
    seeded(
        "uniform_candidate_sampler", lambda tf: tf.random.uniform_candidate_sampler([[0, 3]], 2, 4, True, 10, seed=3)
    ),
    # Without seeds of their own, ops are numbered: eagerly by a counter that `set_seed` restarts, in a graph by place.
    seeded(
        "normal[numbered]",
        lambda tf: [tf.random.normal([3]), tf.random.normal([3]), tf.random.uniform([2])],
        graph=False,
        function=False,
    ),
    seeded("nn.dropout", lambda tf: tf.nn.dropout(tf.ones([4, 5]), 0.4, seed=3)),
    seeded("compat.v1.nn.dropout", lambda tf: tf.compat.v1.nn.dropout(tf.ones([4, 5]), keep_prob=0.6, seed=3)),
]

GENERATORS = [
    Row(
        "random.Generator",
        lambda tf: generated(tf),
        [],
        ONE,
        wrt=(),
        tolerance=2,
        graph=False,
        function=False,
    ),
    Row(
        "random.create_rng_state",
        lambda tf: [tf.random.create_rng_state(5, "philox"), tf.random.create_rng_state(-9, 1)],
        [],
        ONE,
        wrt=(),
        graph=False,
        function=False,
    ),
]


def generated(tf: Any) -> Any:
    """Draws of every kind from one generator, its state, and those of its split."""
    generator = tf.random.Generator.from_seed(7)
    draws = [
        generator.normal([3]),
        generator.uniform([4], -1.0, 1.0),
        generator.uniform([4], 0, 9, tf.int32),
        generator.truncated_normal([3]),
        generator.uniform_full_int([2]),
        generator.binomial([3], 5.0, 0.5),
        generator.normal([2], 1.0, 3.0, tf.float64),
    ]
    parts = generator.split(2)
    generator.skip(3)
    return [*draws, generator.state, *(part.normal([2]) for part in parts), generator.make_seeds(2), generator.key]


def initialized(name: str, make: Callable[[Any], Any]) -> Row:
    """A row of an initializer with a seed of its own."""

    def call(tf: Any) -> Any:
        tf.random.set_seed(11)
        return make(tf)

    return Row(f"initializers.{name}", call, [], ONE, wrt=(), tolerance=2)


INITIALIZERS = [
    initialized("compat.v1.random_normal", lambda tf: tf.compat.v1.random_normal_initializer(0.0, 0.1, seed=3)([3, 2])),
    initialized(
        "compat.v1.random_uniform", lambda tf: tf.compat.v1.random_uniform_initializer(-1.0, 1.0, seed=3)([3, 2])
    ),
    initialized("compat.v1.truncated_normal", lambda tf: tf.compat.v1.truncated_normal_initializer(seed=3)([3, 2])),
    initialized("compat.v1.glorot_uniform", lambda tf: tf.compat.v1.glorot_uniform_initializer(seed=3)([3, 2])),
    initialized("compat.v1.glorot_normal", lambda tf: tf.compat.v1.glorot_normal_initializer(seed=3)([3, 2])),
    initialized(
        "compat.v1.variance_scaling",
        lambda tf: tf.compat.v1.variance_scaling_initializer(2.0, "fan_in", "normal", seed=3)([3, 3, 2, 4]),
    ),
    initialized("compat.v1.orthogonal", lambda tf: tf.abs(tf.compat.v1.orthogonal_initializer(seed=3)([3, 3]))),
    initialized("random_normal", lambda tf: tf.random_normal_initializer(0.0, 0.1, seed=3)([3, 2])),
    initialized("random_uniform", lambda tf: tf.random_uniform_initializer(-1.0, 1.0, seed=3)([3, 2])),
    initialized(
        "constants",
        lambda tf: [
            tf.zeros_initializer()([2]),
            tf.ones_initializer()([2], tf.int32),
            tf.constant_initializer([1, 2, 3])([3], tf.float32),
        ],
    ),
]

FED = [
    Row(
        "random.normal[parameters]",
        lambda tf, m, d: (tf.random.set_seed(4), tf.random.normal([2, 3], m, d, m.dtype, seed=2))[1],
        [anything(3), positive(3)],
        ("float32", "float64"),
    ),
    Row(
        "random.uniform[parameters]",
        lambda tf, a, b: (tf.random.set_seed(4), tf.random.uniform([2, 3], a, b, seed=2, dtype=a.dtype))[1],
        [anything(3), between(3, 4, 3)],
        ("float32", "float64"),
    ),
    Row(
        "random.shuffle[fed]",
        lambda tf, x: (tf.random.set_seed(4), tf.random.shuffle(x, seed=2))[1],
        [small(5, 2)],
        ("float32", "int32", "string"),
        wrt=(),
    ),
    Row(
        "random.stateless_categorical[fed]",
        lambda tf, x, i: [tf.random.stateless_categorical(x, 4, [1, 2]), tf.gather(tf.range(5), i)],
        [anything(2, 3), index(5, 2)],
        ("float32", "float64"),
        wrt=(),
    ),
]

ANY = ("Exception", "")

RAW = [
    stateless(
        "stateless[raw]",
        lambda tf, s: [
            tf.raw_ops.StatelessRandomNormal(shape=[3], seed=s),
            tf.raw_ops.StatelessRandomUniform(shape=[3], seed=s, dtype=tf.float64),
            tf.raw_ops.StatelessTruncatedNormal(shape=[2, 2], seed=s),
            tf.raw_ops.StatelessRandomUniformInt(shape=[4], seed=s, minval=3, maxval=9),
            tf.raw_ops.StatelessRandomUniformFullInt(shape=[4], seed=s, dtype=tf.uint64),
            tf.raw_ops.StatelessRandomGammaV2(shape=[4, 2], seed=s, alpha=[0.5, 3.0]),
        ],
        errors=[
            Bad(
                lambda tf: tf.raw_ops.StatelessRandomNormal(shape=[3], seed=[1]),
                [],
                ("InvalidArgumentError", "seed must have shape [2], not [1]"),
                ANY,
            ),
            Bad(
                lambda tf: tf.raw_ops.StatelessRandomUniformInt(shape=[3], seed=[1, 2], minval=4, maxval=2),
                [],
                ("InvalidArgumentError", "Need minval < maxval, got 4 >= 2"),
                ANY,
            ),
        ],
    ),
    stateless(
        "keys[raw]",
        lambda tf, s: [
            *tf.raw_ops.StatelessRandomGetKeyCounterAlg(seed=s),
            *tf.raw_ops.StatelessRandomGetKeyCounter(seed=s),
            tf.raw_ops.StatelessRandomGetAlg(),
        ],
    ),
    Row(
        "random.Generator[raw]",
        lambda tf: drawn_from_state(tf),
        [],
        ONE,
        wrt=(),
        tolerance=2,
        graph=False,
        function=False,
        errors=[
            Bad(
                lambda tf: tf.raw_ops.StatefulUniform(
                    resource=tf.Variable([1, 2], dtype=tf.int64).handle, algorithm=1, shape=[2]
                ),
                [],
                ("InvalidArgumentError", "the size of state must be at least 3; got 2"),
                ANY,
            ),
            Bad(
                lambda tf: tf.raw_ops.RngReadAndSkip(
                    resource=tf.Variable([1, 2, 3], dtype=tf.int64).handle, alg=2, delta=1
                ),
                [],
                ("UnimplementedError", "ThreeFry"),
                ANY,
            ),
        ],
    ),
    Row(
        "random.NonDeterministicInts[raw]",
        lambda tf: tf.shape(tf.raw_ops.NonDeterministicInts(shape=[2, 3])),
        [],
        ONE,
        wrt=(),
    ),
]


def drawn_from_state(tf: Any) -> Any:
    """Draws of every kind from the state in a variable, and the state after them."""
    variable = tf.Variable([2**40, 5, -3], dtype=tf.int64)
    state = {"resource": variable.handle, "algorithm": 1}
    draws = [
        tf.raw_ops.StatefulUniform(**state, shape=[2]),
        tf.raw_ops.StatefulStandardNormalV2(**state, shape=[2], dtype=tf.float64),
        tf.raw_ops.StatefulTruncatedNormal(**state, shape=[3]),
        tf.raw_ops.StatefulUniformInt(**state, shape=[4], minval=1, maxval=5),
        tf.raw_ops.StatefulUniformFullInt(**state, shape=[2]),
        tf.raw_ops.StatefulRandomBinomial(**state, shape=[2], counts=[9.0, 90.0], probs=0.4),
        tf.raw_ops.RngReadAndSkip(resource=variable.handle, alg=1, delta=3),
    ]
    skipped = tf.raw_ops.RngSkip(**state, delta=5)
    with tf.control_dependencies([skipped] if skipped is not None else []):
        return [*draws, variable.read_value()]


def drawn(name: str, call: Callable[..., Any], *inputs: Any, **common: Any) -> Row:
    """A row of a distribution whose parameters are differentiated: as its numbers are drawn by rejection, the gradient
    is not the derivative of what is drawn with these seeds."""
    return Row(f"random.{name}", call, list(inputs), ("float32", "float64"), orders=0, tolerance=4, **common)


PARAMETERS = [
    drawn(
        "gamma[parameters]",
        lambda tf, a, b: (tf.random.set_seed(4), tf.random.gamma([4], a, b, a.dtype, seed=2))[1],
        between(0.3, 9, 3),
        positive(3),
        gradient_tolerance=100,
    ),
    drawn(
        "stateless_gamma[parameters]",
        lambda tf, a: tf.random.stateless_gamma([4, 3], [1, 2], a, dtype=a.dtype),
        between(0.3, 9, 3),
        gradient_tolerance=100,
    ),
    drawn(
        "stateless_gamma[raw]",
        lambda tf, a: tf.raw_ops.StatelessRandomGammaV2(shape=[4, 3], seed=[1, 2], alpha=a),
        between(0.3, 9, 3),
        gradient_tolerance=100,
    ),
    drawn(
        "stateless_parameterized_truncated_normal[parameters]",
        lambda tf, m, d, low, high: tf.random.stateless_parameterized_truncated_normal([4, 3], [1, 2], m, d, low, high),
        between(-1, 1, 3),
        between(0.5, 2, 3),
        between(-4, -2, 1),
        between(2, 4),
        gradient_tolerance=100,
    ),
]

SHAPES = [
    Row(
        "random.shapes",
        lambda tf, n: (
            tf.random.set_seed(4),
            [
                tf.random.normal([n, 2], seed=1),
                tf.random.uniform(tf.stack([2, n]), seed=2),
                tf.random.truncated_normal(tf.TensorShape([3, 1]), seed=3),
                tf.random.uniform((), seed=4),
                tf.random.uniform([0, 3], 5, 7, tf.int64, seed=5),
            ],
        )[1],
        [values(3, "int32")],
        ONE,
        wrt=(),
        errors=[
            Bad(
                lambda tf: tf.random.normal([2, -3]),
                [],
                ("InvalidArgumentError", "Dimension -3 must be >= 0"),
                ("ValueError", "Invalid value in tensor used for shape: -3"),
            ),
            Bad(
                lambda tf: tf.random.normal(3),
                [],
                ("InvalidArgumentError", "shape must be a vector of {int32,int64}, got shape []"),
                ("ValueError", "Shape must be rank 1 but is rank 0"),
            ),
            Bad(lambda tf: tf.random.uniform([2], dtype=tf.int32), [], *[("ValueError", "Must specify maxval")] * 2),
            Bad(lambda tf: tf.random.uniform([2], dtype=tf.string), [], *[("ValueError", "got invalid value")] * 2),
            Bad(
                lambda tf: tf.random.uniform([2], 3, 2, tf.int32),
                [],
                ("InvalidArgumentError", "Need minval < maxval, got 3 >= 2"),
                ANY,
            ),
            Bad(
                lambda tf: tf.random.uniform([2], [3, 4], 9, tf.int32),
                [],
                ("InvalidArgumentError", "minval must be 0-D, got shape [2]"),
                ANY,
            ),
            Bad(
                lambda tf: tf.random.categorical(tf.ones([2]), 3),
                [],
                ("InvalidArgumentError", "logits should be a matrix, got shape [2]"),
                ("ValueError", "Shape must be rank 2 but is rank 1"),
            ),
            Bad(
                lambda tf: tf.random.categorical(tf.ones([2, 0]), 3),
                [],
                ("InvalidArgumentError", "num_classes should be positive, got 0"),
                ANY,
            ),
            Bad(
                lambda tf: tf.random.stateless_gamma([3, 2], [1, 2], [1.0, 2.0, 3.0]),
                [],
                ("InvalidArgumentError", "Shape passed in must end with broadcasted shape."),
                ANY,
            ),
            Bad(
                lambda tf: tf.image.random_crop(tf.zeros([3, 3]), [4, 2]),
                [],
                ("InvalidArgumentError", "Need value.shape >= size, got"),
                ANY,
            ),
        ],
    ),
]

ROWS = [*STATELESS, *STATEFUL, *GENERATORS, *INITIALIZERS, *FED, *RAW, *PARAMETERS, *SHAPES]
