"""State rows: variables, their updates, and the training ops. In a graph the variables are initialized first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.ops.harness import Row
from tests.ops.inputs import Input, anything, index, nonzero, positive, values

REAL = ("float32", "float64", "int32")
FLOAT = ("float32", "float64")


def after(tf: Any, operation: Any, result: Callable[[], Any]) -> Any:
    """What `result` gives once `operation` has run."""
    with tf.control_dependencies([operation] if operation is not None else []):
        return result()


def state_row(name: str, call: Callable[..., Any], *inputs: Input, dtypes: Sequence[str] = REAL, **common: Any) -> Row:
    """A row whose call makes variables: it is not traced into a `tf.function`, nor differentiated from outside."""
    return Row(
        name, call, list(inputs), dtypes, wrt=(), function=False, initialize=True, unknown_shapes=False, **common
    )


def resource(tf: Any, x: Any) -> Any:
    """A variable as TensorFlow 2 makes it."""
    return tf.Variable(x)


def reference(tf: Any, x: Any) -> Any:
    """A variable as TensorFlow 1 makes it: in a graph an edge that carries the variable itself."""
    return tf.compat.v1.Variable(x, use_resource=False)


KINDS: dict[str, Callable[..., Any]] = {"": resource, "[ref]": reference}


def updated(method: str, make: Callable[..., Any] = resource) -> Callable[..., Any]:
    """A call that makes a variable of its first tensor, calls `method` with the others, and reads the variable."""

    def call(tf: Any, x: Any, *tensors: Any) -> Any:
        variable = make(tf, x)
        return after(tf, getattr(variable, method)(*tensors), lambda: variable.read_value())

    return call


VARIABLES = [
    state_row(
        "Variable",
        lambda tf, x: [tf.Variable(x) * 2, tf.Variable(x)[1:], tf.identity(tf.Variable(x, name="v"))],
        anything(3, 2),
        smoke=True,
    ),
    state_row(
        "Variable[operators]", lambda tf, x, y: operated(tf, tf.Variable(x), y), nonzero(3), positive(3), dtypes=FLOAT
    ),
    state_row("Variable.assign", updated("assign"), anything(3, 2), anything(3, 2), dtypes=(*REAL, "bool", "string")),
    state_row("Variable.assign_add", updated("assign_add"), anything(3, 2), anything(3, 2), smoke=True),
    state_row("Variable.assign_sub", updated("assign_sub"), anything(3, 2), anything(3, 2)),
    state_row(
        "Variable.scatter_nd_update",
        updated("scatter_nd_update"),
        anything(4, 2),
        values([[1], [3]], "int32"),
        anything(2, 2),
    ),
    state_row(
        "Variable.scatter_nd_add",
        updated("scatter_nd_add"),
        anything(4, 2),
        values([[1], [1]], "int32"),
        anything(2, 2),
    ),
    state_row(
        "Variable.scatter_nd_sub",
        updated("scatter_nd_sub"),
        anything(4, 2),
        values([[1], [1]], "int32"),
        anything(2, 2),
    ),
    state_row(
        "Variable.sparse_read",
        lambda tf, x, i: [
            tf.Variable(x).sparse_read(i),
            tf.gather(tf.Variable(x), i),
            tf.Variable(x).gather_nd(i[:, None]),
        ],
        anything(4, 2),
        index(4, 3),
    ),
    state_row("Variable.gradient", lambda tf, x: variable_gradient(tf, x), anything(3), dtypes=FLOAT),
    state_row(
        "Variable.gradient[gather]",
        lambda tf, x, i: gathered_gradient(tf, x, i),
        anything(4, 2),
        index(4, 3),
        dtypes=FLOAT,
    ),
    *(
        state_row(
            f"compat.v1.assign{label}", lambda tf, x, y, make=make: assigned(tf, make, x, y), anything(3), anything(3)
        )
        for label, make in KINDS.items()
    ),
    *(
        state_row(f"Variable.assign_sub{label}", updated("assign_sub", make), anything(3), anything(3))
        for label, make in KINDS.items()
        if label
    ),
    *(
        state_row(
            f"compat.v1.is_variable_initialized{label}",
            lambda tf, x, make=make: tf.compat.v1.is_variable_initialized(make(tf, x)),
            anything(3),
        )
        for label, make in KINDS.items()
    ),
    state_row(
        "Variable[ref]",
        lambda tf, x: [reference(tf, x) * 2, reference(tf, x)[1:], tf.identity(reference(tf, x))],
        anything(3, 2),
    ),
    state_row(
        "nn.embedding_lookup[variable]",
        lambda tf, x, i: tf.nn.embedding_lookup(tf.Variable(x), i),
        anything(4, 2),
        index(4, 3),
        dtypes=FLOAT,
    ),
    state_row("while_loop[variable]", lambda tf, x: counted(tf, x), anything(2), dtypes=FLOAT),
    state_row("function[variable]", lambda tf, x, y: captured(tf, x, y), anything(2), anything(2), dtypes=FLOAT),
]


def operated(tf: Any, variable: Any, y: Any) -> Any:
    return [
        variable + y,
        1.0 - variable,
        variable / y,
        -variable,
        abs(variable),
        variable[0],
        variable < y,
        tf.reduce_sum(variable),
    ]


def variable_gradient(tf: Any, x: Any) -> Any:
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = tf.sin(variable) * variable
    return tape.gradient(y, variable)


def gathered_gradient(tf: Any, x: Any, i: Any) -> Any:
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = tf.square(tf.gather(variable, i))
    return tape.gradient(y, variable)


def assigned(tf: Any, make: Callable[..., Any], x: Any, y: Any) -> Any:
    """x, then y, then y added, then x taken away."""
    variable = make(tf, x)
    step = tf.compat.v1.assign(variable, y)
    step = after(tf, step, lambda: tf.compat.v1.assign_add(variable, y))
    return after(tf, step, lambda: tf.compat.v1.assign_sub(variable, x))


def counted(tf: Any, x: Any) -> Any:
    variable = tf.Variable(x)
    return tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * variable), (tf.constant(0), tf.ones_like(x)))[1]


def captured(tf: Any, x: Any, y: Any) -> Any:
    variable = tf.Variable(x)
    return tf.function(lambda v: v * variable + 1.0)(y)


def scattered(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    """A call of compat.v1's scatter function on a variable."""

    def call(tf: Any, x: Any, i: Any, y: Any) -> Any:
        variable = make(tf, x)
        return after(tf, getattr(tf.compat.v1, name)(variable, i, y), lambda: variable.read_value())

    return call


def scatter_rows(name: str, ids: Any) -> list[Row]:
    """Rows of a scatter function on variables of both kinds."""
    indices = values(ids, "int32")
    return [
        state_row(f"compat.v1.{name}{label}", scattered(name, make), nonzero(4, 2), indices, nonzero(2, 2))
        for label, make in KINDS.items()
    ]


SCATTERS = [
    *(
        row
        for name in ("update", "add", "sub", "mul", "div", "max", "min")
        for row in scatter_rows(f"scatter_{name}", [3, 0])
    ),
    *(row for name in ("update", "add", "sub") for row in scatter_rows(f"scatter_nd_{name}", [[3], [0]])),
    *(
        state_row(
            f"Variable.assign[slice]{label}",
            lambda tf, x, y, make=make: slice_assigned(tf, make(tf, x), y),
            anything(4),
            anything(2),
        )
        for label, make in KINDS.items()
    ),
    *(
        state_row(
            f"Variable.scatter_nd_{name}{label}",
            updated(f"scatter_nd_{name}", make),
            anything(4, 2),
            values([[1], [3]], "int32"),
            anything(2, 2),
        )
        for name in ("max", "min")
        for label, make in KINDS.items()
    ),
    *(
        state_row(
            f"compat.v1.count_up_to{label}",
            lambda tf, x, make=make: tf.compat.v1.count_up_to(make(tf, x), 5),
            values(2),
            dtypes=("int32", "int64"),
        )
        for label, make in KINDS.items()
    ),
]


def slice_assigned(tf: Any, variable: Any, y: Any) -> Any:
    return after(tf, variable[1:3].assign(y), lambda: variable.read_value())


def trained(make: Callable[[Any], Any], kind: Callable[..., Any], sparse: bool = False) -> Callable[..., Any]:
    """Two steps of an optimizer on one variable with gradients given: the variable, and the optimizer's slots."""

    def call(tf: Any, x: Any, g: Any, h: Any) -> Any:
        variable = kind(tf, x)
        optimizer = make(tf.compat.v1.train)
        first, second = (_slices(tf, part) if sparse else part for part in (g, h))
        step = optimizer.apply_gradients([(first, variable)])
        step = after(tf, step, lambda: optimizer.apply_gradients([(second, variable)]))
        slots = [optimizer.get_slot(variable, name) for name in optimizer.get_slot_names()]
        return after(tf, step, lambda: [tf.identity(state) for state in (variable, *slots)])

    return call


def _slices(tf: Any, x: Any) -> Any:
    """The first two rows of x, as a gradient of the rows 2 and 0."""
    return tf.IndexedSlices(x[:2], tf.constant([2, 0]), tf.constant([3, 2]))


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "GradientDescent": lambda train: train.GradientDescentOptimizer(0.1),
    "Momentum": lambda train: train.MomentumOptimizer(0.1, 0.9),
    "Momentum,nesterov": lambda train: train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    "Adam": lambda train: train.AdamOptimizer(0.1),
    "Adagrad": lambda train: train.AdagradOptimizer(0.1),
    "Adadelta": lambda train: train.AdadeltaOptimizer(0.1),
    "RMSProp": lambda train: train.RMSPropOptimizer(0.1, momentum=0.5),
    "RMSProp,centered": lambda train: train.RMSPropOptimizer(0.1, centered=True),
    "Ftrl": lambda train: train.FtrlOptimizer(0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.02),
    "Ftrl,shrinkage": lambda train: train.FtrlOptimizer(0.1, l2_shrinkage_regularization_strength=0.1),
    "ProximalGradientDescent": lambda train: train.ProximalGradientDescentOptimizer(0.1, 0.05, 0.02),
    "ProximalAdagrad": lambda train: train.ProximalAdagradOptimizer(0.1, 0.1, 0.05, 0.02),
}
TRAINING = [
    state_row(
        f"compat.v1.train.{name}{label}{'[sparse]' if sparse else ''}",
        trained(make, kind, sparse),
        nonzero(3, 2),
        anything(3, 2),
        anything(3, 2),
        dtypes=FLOAT,
        tolerance=4,
    )
    for name, make in OPTIMIZERS.items()
    for label, kind in KINDS.items()
    for sparse in (False, True)
]

# The updates that none of these optimizers makes: the slots, positive, and what else the op takes.
UPDATES: dict[str, tuple[Sequence[str], dict[str, Any]]] = {
    "AdaMax": (("m", "v"), {"beta1_power": 0.81, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-3}),
    "AddSign": (("m",), {"lr": 0.1, "alpha": 1.1, "sign_decay": 0.7, "beta": 0.9}),
    "PowerSign": (("m",), {"lr": 0.1, "logbase": 0.8, "sign_decay": 0.7, "beta": 0.9}),
    "AdagradV2": (("accum",), {"lr": 0.1, "epsilon": 0.02}),
    "AdagradV2,update_slots=False": (("accum",), {"lr": 0.1, "epsilon": 0.02, "update_slots": False}),
    "AdagradDA": (
        ("gradient_accumulator", "gradient_squared_accumulator"),
        {"lr": 0.1, "l1": 0.02, "l2": 0.03, "global_step": 3},
    ),
    "AdamWithAmsgrad": (
        ("m", "v", "vhat"),
        {"beta1_power": 0.81, "beta2_power": 0.98, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-3},
    ),
    "KerasMomentum": (("accum",), {"lr": 0.1, "momentum": 0.9}),
    "KerasMomentum,nesterov": (("accum",), {"lr": 0.1, "momentum": 0.9, "use_nesterov": True}),
}
DENSE_ONLY = ("AdaMax", "AddSign", "PowerSign", "AdamWithAmsgrad")
RESOURCE_ONLY = ("KerasMomentum", "KerasMomentum,nesterov", "AdamWithAmsgrad")


def applied(op_type: str, label: str, kind: Callable[..., Any]) -> Callable[..., Any]:
    """One update by the raw op, of rows 2 and 0 by a sparse one: the variable, and its slots."""
    slots, settings = UPDATES[label]

    def call(tf: Any, x: Any, g: Any) -> Any:
        start = {"var": x, **{slot: x * x * 0.3 + 0.1 * place for place, slot in enumerate(slots, 1)}}
        variables = {name: kind(tf, value) for name, value in start.items()}
        states = {name: variable if kind is reference else variable.handle for name, variable in variables.items()}
        scalars = {name: _setting(tf, name, value, x.dtype) for name, value in settings.items()}
        gradient = {"grad": g[:2], "indices": [2, 0]} if "Sparse" in op_type else {"grad": g}
        step = getattr(tf.raw_ops, op_type)(**states, **scalars, **gradient)
        return after(tf, step, lambda: [variable.read_value() for variable in variables.values()])

    return call


def _setting(tf: Any, name: str, value: Any, dtype: Any) -> Any:
    """An attribute as it is, a number as a tensor."""
    if isinstance(value, bool):
        return value
    return tf.constant(value, tf.int64 if name == "global_step" else dtype)


RAW_UPDATES = [
    state_row(
        f"raw_ops.{prefix}{form}{label}",
        applied(f"{prefix}{form}{label.split(',')[0]}", label, kind),
        nonzero(3, 2),
        nonzero(3, 2),
        dtypes=FLOAT,
        tolerance=4,
        eager=kind is resource,
    )
    for label in UPDATES
    for prefix, kind in (("Resource", resource), ("", reference))
    if kind is resource or label not in RESOURCE_ONLY
    for form in (("Apply",) if label in DENSE_ONLY else ("Apply", "SparseApply"))
]
SHAPES = [
    state_row(
        "raw_ops.VariableShape",
        lambda tf, x: [
            tf.raw_ops.VariableShape(input=tf.Variable(x).handle),
            tf.raw_ops.VariableShape(input=tf.Variable(x).handle, out_type=tf.int64),
        ],
        anything(3, 2),
        variants={"scalar": [()], "empty": [(0, 2)]},
    ),
]

ROWS = [*VARIABLES, *SCATTERS, *TRAINING, *RAW_UPDATES, *SHAPES]
