"""Control flow rows: branches, loops, maps, TensorArray, custom gradients; values and gradients."""

from __future__ import annotations

from typing import Any

from tests.ops.harness import Bad, Row
from tests.ops.inputs import (
    FLOATS,
    SINGLE,
    anything,
    distinct,
    flags,
    index,
    nonzero,
    positive,
    small,
    symmetric,
    values,
)

BRANCHES = [
    Row(
        "cond",
        lambda tf, p, x, y: tf.cond(p, lambda: x * y, lambda: x - tf.sin(y)),
        [values(True, "bool"), anything(3), anything(3)],
        SINGLE,
        {"false": [values(False, "bool"), None, None]},
        smoke=True,
    ),
    Row(
        "cond[structure]",
        lambda tf, p, x: tf.cond(p, lambda: {"a": x + 1, "b": (x, x * 2)}, lambda: {"a": x, "b": (x * x, x)}),
        [values(False, "bool"), anything(3)],
        SINGLE,
        {"true": [values(True, "bool"), None]},
    ),
    Row(
        "cond[comparison]",
        lambda tf, x: tf.cond(tf.reduce_sum(x) > 0, lambda: tf.exp(x), lambda: tf.square(x)),
        [anything(4)],
        SINGLE,
        {"other": [(2,)]},
    ),
    Row(
        "cond[nested]",
        lambda tf, p, q, x: tf.cond(p, lambda: tf.cond(q, lambda: x * x, lambda: x * 3.0), lambda: tf.sin(x)),
        [values(True, "bool"), values(False, "bool"), anything(2)],
        SINGLE,
        {"inner": [None, values(True, "bool"), None], "outer": [values(False, "bool"), None, None]},
    ),
    Row(
        "compat.v1.cond",
        lambda tf, p, x: tf.compat.v1.cond(p, true_fn=lambda: x * 2.0, false_fn=lambda: x / 3.0),
        [values(True, "bool"), anything(2)],
        SINGLE,
    ),
    Row(
        "case",
        lambda tf, x: tf.case(
            [(tf.reduce_sum(x) < -100.0, lambda: x), (tf.size(x) > 2, lambda: tf.square(x))], default=lambda: -x
        ),
        [anything(3)],
        SINGLE,
        {"default": [(2,)]},
    ),
    Row(
        "switch_case",
        lambda tf, i, x: tf.switch_case(i, [lambda: tf.square(x), lambda: tf.exp(x), lambda: x * 3.0]),
        [values(1, "int32"), anything(3)],
        SINGLE,
        {
            "first": [values(0, "int32"), None],
            "last": [values(2, "int32"), None],
            "default": [values(7, "int32"), None],
        },
    ),
    Row(
        "switch_case[stateful]",
        lambda tf, i, x: tf.switch_case(
            i, [lambda: tf.numpy_function(lambda v: v * 2, [x], x.dtype), lambda: tf.square(x)]
        ),
        [values(0, "int32"), anything(3)],
        SINGLE,
        {"last": [values(1, "int32"), None]},
        wrt=(),
    ),
    Row(
        "cond[intermediates]",
        lambda tf, p, x: tf.cond(p, lambda: tf.exp(x) * tf.sin(x), lambda: tf.tanh(x) * x),
        [values(True, "bool"), anything(3)],
        SINGLE,
        {"false": [values(False, "bool"), None]},
    ),
]

LOOPS = [
    Row(
        "while_loop",
        lambda tf, x: tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * x), (tf.constant(0), tf.ones_like(x)))[
            1
        ],
        [nonzero(3)],
        SINGLE,
        {"scalar": [()]},
        smoke=True,
    ),
    Row(
        "while_loop[dynamic]",
        lambda tf, n, x: tf.while_loop(
            lambda i, v: tf.less(i, n), lambda i, v: [i + 1, tf.sin(v) * x + v], [tf.zeros([], tf.int32), x]
        ),
        [values(4, "int32"), anything(2)],
        SINGLE,
        {"never": [values(0, "int32"), None]},
    ),
    Row(
        "while_loop[nested]",
        lambda tf, x: tf.while_loop(
            lambda i, v: i < 2,
            lambda i, v: (i + 1, tf.while_loop(lambda j, w: j < 2, lambda j, w: (j + 1, w * x), (0, v + 1.0))[1]),
            (0, x),
        )[1],
        [symmetric(2)],
        SINGLE,
    ),
    Row(
        "while_loop[maximum]",
        lambda tf, x: tf.while_loop(lambda v: tf.reduce_sum(v) < 1e6, lambda v: (v * 2.0,), (x,), maximum_iterations=3)[
            0
        ],
        [positive(2)],
        SINGLE,
    ),
    Row(
        "while_loop[cond inside]",
        lambda tf, x: tf.while_loop(
            lambda i, v: i < 4,
            lambda i, v: (i + 1, tf.cond(tf.equal(i % 2, 0), lambda: v * x, lambda: v + x)),
            (tf.constant(0), x),
        )[1],
        [nonzero(2)],
        SINGLE,
    ),
    Row(
        "while_loop[integers]",
        lambda tf, n: tf.while_loop(
            lambda i, a, b: i < n, lambda i, a, b: (i + 1, b, a + b), (0, tf.constant(0), tf.constant(1))
        )[1],
        [values(10, "int32")],
        ("int32",),
        wrt=(),
    ),
    Row(
        "compat.v1.while_loop[shapes]",
        lambda tf, x: tf.compat.v1.while_loop(
            lambda i, v: i < 3,
            lambda i, v: (i + 1, tf.concat([v, x], 0)),
            (tf.constant(0), x),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
        )[1],
        [anything(2)],
        SINGLE,
    ),
]

MAPS = [
    Row(
        "map_fn",
        lambda tf, x: tf.map_fn(lambda row: tf.reduce_sum(row) * row, x),
        [anything(3, 2)],
        SINGLE,
        {"vector": [(4,)]},
        smoke=True,
    ),
    Row(
        "map_fn[two]",
        lambda tf, x, y: tf.map_fn(lambda pair: pair[0] * tf.sin(pair[1]), (x, y), fn_output_signature=x.dtype),
        [anything(3, 2), anything(3, 2)],
        SINGLE,
    ),
    Row(
        "map_fn[dtype]",
        lambda tf, x: tf.map_fn(lambda v: tf.cast(v > 0, tf.int32), x, fn_output_signature=tf.int32),
        [anything(5)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "compat.v1.map_fn",
        lambda tf, x: tf.compat.v1.map_fn(lambda v: (v, v * v), x, dtype=(x.dtype, x.dtype)),
        [anything(4)],
        SINGLE,
    ),
    Row(
        "vectorized_map",
        lambda tf, x: tf.vectorized_map(lambda row: tf.reduce_sum(row) * row, x),
        [anything(3, 2)],
        SINGLE,
        unknown_shapes=False,
    ),
    Row(
        "scan", lambda tf, x: tf.scan(lambda a, v: a * 0.5 + tf.sin(v), x), [anything(4, 2)], SINGLE, {"vector": [(3,)]}
    ),
    Row(
        "scan[initializer]",
        lambda tf, x, s: tf.scan(lambda a, v: a * v + 1.0, x, initializer=s),
        [anything(4), anything()],
        SINGLE,
    ),
    Row("scan[reverse]", lambda tf, x: tf.scan(lambda a, v: a + v, x, reverse=True), [anything(4)], (*SINGLE, "int32")),
    Row("foldl", lambda tf, x: tf.foldl(lambda a, v: a * v + v, x), [anything(4)], SINGLE, {"matrix": [(3, 2)]}),
    Row(
        "foldr",
        lambda tf, x, s: tf.foldr(lambda a, v: a * v + tf.cos(v), x, initializer=s),
        [anything(4), anything()],
        SINGLE,
    ),
    Row(
        "compat.v1.foldl",
        lambda tf, x: tf.compat.v1.foldl(lambda a, v: a - v, x, initializer=tf.zeros([], x.dtype)),
        [anything(4)],
        SINGLE,
        unknown_shapes=False,
    ),
]


def written(tf: Any, x: Any) -> Any:
    """A TensorArray whose entries are made of the rows of x, stacked."""
    array = tf.TensorArray(x.dtype, size=3)
    for position in range(3):
        array = array.write(position, x[position] * float(position + 1))
    return array.stack()


def accumulated(tf: Any, x: Any) -> Any:
    """A TensorArray that grows inside a loop, and reads what it wrote before."""
    first = tf.TensorArray(x.dtype, size=4, clear_after_read=False, element_shape=[])
    start = (tf.constant(1), first.write(0, x))
    loop = tf.while_loop(lambda i, a: i < 4, lambda i, a: (i + 1, a.write(i, a.read(i - 1) * x)), start)
    return loop[1].stack()


def unstacked(tf: Any, x: Any) -> Any:
    array = tf.TensorArray(x.dtype, size=0, dynamic_size=True, clear_after_read=False).unstack(x)
    return [array.read(0) * array.read(1), array.gather([1, 0, 1]), array.size()]


def scattered(tf: Any, x: Any) -> Any:
    return tf.TensorArray(x.dtype, size=3).scatter([2, 0, 1], x).stack()


def concatenated(tf: Any, x: Any) -> Any:
    return tf.TensorArray(x.dtype, size=3, infer_shape=False).split(x, [1, 2, 1]).concat() * 2.0


ARRAYS = [
    Row("TensorArray", written, [anything(3, 2)], SINGLE, smoke=True),
    Row("TensorArray[loop]", accumulated, [nonzero()], SINGLE),
    Row("TensorArray[unstack]", unstacked, [anything(3, 2)], SINGLE),
    Row("TensorArray[scatter]", scattered, [anything(3, 2)], SINGLE),
    Row("TensorArray[split]", concatenated, [anything(4, 2)], SINGLE),
]


def cubed(tf: Any) -> Any:
    """x**3 with a gradient that is not its own: 5."""

    @tf.custom_gradient
    def cube(x: Any) -> Any:
        return x**3, lambda upstream: upstream * 5.0

    return cube


def clipped(tf: Any) -> Any:
    """log(1 + exp(x)) with its stable gradient."""

    @tf.custom_gradient
    def log1pexp(x: Any) -> Any:
        e = tf.exp(x)
        return tf.math.log(1 + e), lambda upstream: upstream * (1 - 1 / (1 + e))

    return log1pexp


CUSTOM = [
    Row("custom_gradient", lambda tf, x: cubed(tf)(x), [anything(3)], SINGLE, orders=0),
    Row("custom_gradient[stable]", lambda tf, x: clipped(tf)(x), [anything(3)], SINGLE),
    Row("recompute_grad", lambda tf, x: tf.recompute_grad(lambda v: tf.sin(v) * v)(x), [anything(3)], SINGLE, orders=1),
    Row("stop_gradient[half]", lambda tf, x: x * tf.stop_gradient(x), [anything(3)], SINGLE, orders=0),
    Row("function", lambda tf, x: tf.function(lambda v: tf.sin(v) * v)(x), [anything(3)], SINGLE, smoke=True),
    Row(
        "function[structure]",
        lambda tf, x, y: tf.function(lambda a, b: {"sum": a + b, "product": [a * b]})(x, b=y),
        [anything(3), anything(3)],
        SINGLE,
    ),
    Row("function[nested]", lambda tf, x: nested_function(tf)(x), [anything(3)], SINGLE),
    Row(
        "py_function",
        lambda tf, x: tf.py_function(lambda v: tf.square(v) * 3.0, [x], x.dtype),
        [anything(3)],
        SINGLE,
        orders=1,
    ),
    Row(
        "numpy_function",
        lambda tf, x: tf.numpy_function(lambda v: v * 2, [x], x.dtype),
        [anything(3)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "numpy_function[stateless]",
        lambda tf, x: tf.numpy_function(lambda v: v * 2, [x], x.dtype, stateful=False),
        [anything(3)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row(
        "compat.v1.py_func",
        lambda tf, x: tf.compat.v1.py_func(lambda v: v + 1, [x], x.dtype),
        [anything(3)],
        ("float32", "int32"),
        wrt=(),
    ),
    Row("control_dependencies", lambda tf, x: with_dependency(tf, x), [anything(3)], SINGLE),
    Row("tuple", lambda tf, x, y: tf.tuple([x + 1, y * 2]), [anything(3), anything(2)], SINGLE),
    Row("group", lambda tf, x: after_group(tf, x), [anything(3)], SINGLE),
    Row("gradient_in_call", lambda tf, x: inner_gradient(tf, x), [anything(3)], SINGLE, graph=True),
]


def nested_function(tf: Any) -> Any:
    inner = tf.function(lambda v: v * tf.exp(v))
    return tf.function(lambda v: inner(v) + inner(v * 0.5))


def with_dependency(tf: Any, x: Any) -> Any:
    with tf.control_dependencies([tf.square(x)]):
        return tf.identity(x) * 2.0


def after_group(tf: Any, x: Any) -> Any:
    with tf.control_dependencies([tf.group(tf.square(x), tf.no_op())]):
        return x + 1.0


def inner_gradient(tf: Any, x: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.sin(x) * x
    return tape.gradient(y, x)


ASSERTIONS = [
    Row(
        "debugging.Assert",
        lambda tf, x: asserted(tf, x),
        [positive(3)],
        SINGLE,
        errors=[
            Bad(
                lambda tf, x: asserted(tf, x),
                [[1.0, -1.0]],
                ("InvalidArgumentError", "not positive"),
                ("InvalidArgumentError", "not positive"),
            )
        ],
    ),
    Row(
        "debugging.assert_equal",
        lambda tf, x: checked(tf, "assert_equal", x, x),
        [anything(3)],
        ("float32", "int32"),
        wrt=(),
        errors=[
            Bad(
                lambda tf, x, y: checked(tf, "assert_equal", x, y),
                [[1, 2], [1, 3]],
                ("InvalidArgumentError", "Condition x == y did not hold."),
                ("InvalidArgumentError", "Condition x == y did not hold"),
            )
        ],
    ),
    Row(
        "debugging.assert_less",
        lambda tf, x: checked(tf, "assert_less", x, x + 1),
        [anything(3)],
        ("float32", "int32"),
        wrt=(),
        errors=[
            Bad(
                lambda tf, x, y: checked(tf, "assert_less", x, y),
                [[1, 2], [1, 3]],
                ("InvalidArgumentError", "Condition x < y did not hold."),
                ("InvalidArgumentError", "Condition x < y did not hold"),
            )
        ],
    ),
    Row(
        "debugging.assert_positive",
        lambda tf, x: checked(tf, "assert_positive", x),
        [positive(3)],
        ("float32", "int32"),
        wrt=(),
        errors=[
            Bad(
                lambda tf, x: checked(tf, "assert_positive", x),
                [[1, 0]],
                ("InvalidArgumentError", "Condition x > 0 did not hold"),
                ("InvalidArgumentError", "Condition x > 0 did not hold"),
            )
        ],
    ),
    Row(
        "debugging.check_numerics[bad]",
        lambda tf, x: tf.debugging.check_numerics(x, "fine"),
        [anything(3)],
        SINGLE,
        errors=[
            Bad(
                lambda tf, x: tf.debugging.check_numerics(tf.math.log(x), "a log"),
                [[1.0, 0.0]],
                ("InvalidArgumentError", "a log : Tensor had Inf values"),
                ("InvalidArgumentError", "a log : Tensor had Inf values"),
            )
        ],
    ),
    Row(
        "while_loop[sum of selected]",
        lambda tf, x, m, i: tf.where(m, tf.gather(x, i), 0.0) * 2.0,
        [distinct(3), flags(2), index(3, 2)],
        ("float32",),
        gradient_dtypes=("float32",),
    ),
]


def asserted(tf: Any, x: Any) -> Any:
    check = tf.debugging.Assert(tf.reduce_all(x > 0), ["not positive", x])
    with tf.control_dependencies([check] if check is not None else []):
        return tf.math.log(x)


def checked(tf: Any, name: str, *tensors: Any) -> Any:
    check = getattr(tf.compat.v1.debugging, name)(*tensors)
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(tensors[0])


PRINTED = [Row("grad_through_many", lambda tf, x: many(tf, x), [small(2)], FLOATS)]


def many(tf: Any, x: Any) -> Any:
    """A chain of thirty ops."""
    for step in range(10):
        x = tf.sin(x) * 0.9 + x * (0.1 * step)
    return x


def stacked(tf: Any, items: Any, like: Any) -> Any:
    """The entries of a list, which are shaped as the rows of `like`."""
    return tf.raw_ops.TensorListStack(input_handle=items, element_shape=tf.shape(like)[1:], element_dtype=like.dtype)


def pushed(tf: Any, x: Any) -> Any:
    """A list of the rows of x, in reverse: its entries, the declared shape of an entry, and how many there are."""
    items = tf.raw_ops.EmptyTensorList(element_shape=[-1], max_num_elements=3, element_dtype=x.dtype)
    for place in (2, 1, 0):
        items = tf.raw_ops.TensorListPushBack(input_handle=items, tensor=x[place])
    return [
        stacked(tf, items, x),
        tf.raw_ops.TensorListElementShape(input_handle=items, shape_type=tf.int64),
        tf.raw_ops.TensorListLength(input_handle=items),
    ]


def overfull(tf: Any, x: Any) -> Any:
    items = tf.raw_ops.EmptyTensorList(element_shape=[-1], max_num_elements=0, element_dtype=x.dtype)
    items = tf.raw_ops.TensorListPushBack(input_handle=items, tensor=x)
    return tf.raw_ops.TensorListLength(input_handle=items)


def scattered(tf: Any, x: Any) -> Any:
    """Rows of x at places of a list, of which one stays empty."""
    places = {"tensor": x, "indices": [3, 0, 1], "element_shape": tf.shape(x)[1:]}
    return [
        stacked(tf, tf.raw_ops.TensorListScatter(**places), x),
        stacked(tf, tf.raw_ops.TensorListScatterV2(**places, num_elements=5), x),
    ]


def optional(tf: Any, x: Any, y: Any) -> Any:
    """Values that go into an optional and come out again, and whether two optionals have values."""
    full = tf.raw_ops.OptionalFromValue(components=[x, y * 2])
    empty = tf.raw_ops.OptionalNone()
    both = tf.raw_ops.OptionalGetValue(optional=full, output_types=[x.dtype, y.dtype], output_shapes=[x.shape, y.shape])
    return [*both, *[tf.raw_ops.OptionalHasValue(optional=each) for each in (full, empty)]]


def resized(tf: Any, x: Any) -> Any:
    items = tf.raw_ops.TensorListFromTensor(tensor=x, element_shape=tf.shape(x)[1:])
    return [stacked(tf, tf.raw_ops.TensorListResize(input_handle=items, size=size), x) for size in (1, 3, 4)]


def rejoined(tf: Any, x: Any) -> Any:
    """x split into parts of unlike length, and joined."""
    items = tf.raw_ops.TensorListSplit(tensor=x, element_shape=[-1, 2], lengths=tf.constant([2, 0, 1], tf.int64))
    return list(tf.raw_ops.TensorListConcat(input_handle=items, element_dtype=x.dtype))


def both(tf: Any, x: Any, y: Any) -> Any:
    first, second = (tf.raw_ops.TensorListFromTensor(tensor=part, element_shape=[2]) for part in (x, y))
    lists = tf.raw_ops.TensorListConcatLists(input_a=first, input_b=second, element_dtype=x.dtype)
    return stacked(tf, lists, x)


LISTS = [
    Row(
        "raw_ops.TensorListPushBack",
        pushed,
        [anything(3, 2)],
        SINGLE,
        errors=[
            Bad(
                overfull,
                [[1.0, 2.0]],
                ("InvalidArgumentError", "Tried to push item into a full list"),
                ("InvalidArgumentError", "Tried to push item into a full list"),
            )
        ],
    ),
    Row("raw_ops.TensorListScatter", scattered, [anything(3, 2)], SINGLE),
    Row("raw_ops.TensorListResize", resized, [anything(3, 2)], SINGLE),
    Row("raw_ops.OptionalFromValue", optional, [anything(3, 2), anything(2)], SINGLE),
    Row("raw_ops.TensorListConcat", rejoined, [anything(3, 2)], SINGLE),
    Row("raw_ops.TensorListConcatLists", both, [anything(3, 2), anything(1, 2)], SINGLE, wrt=()),
]

ROWS = [*LISTS, *BRANCHES, *LOOPS, *MAPS, *ARRAYS, *CUSTOM, *ASSERTIONS, *PRINTED]
