"""The optimizers of tf.train: against TensorFlow's trajectories, lazily, eagerly and in functions; names; hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1
from tests.train.trajectories import TRAJECTORIES

INPUTS = ((np.arange(18) % 7 - 3) / 4).reshape(6, 3).astype(np.float32)
TARGETS = ((np.arange(12) % 5 - 2) / 2).reshape(6, 2).astype(np.float32)
WEIGHTS = ((np.arange(6) % 4 - 1) / 3).reshape(3, 2).astype(np.float32)
EMBEDDING = ((np.arange(10) % 6 - 2) / 5).reshape(5, 2).astype(np.float32)
IDS = [0, 2, 2, 4, 1, 0]  # row 3 is never named, rows 0 and 2 twice

train = tf1.train
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "GradientDescent": lambda step: train.GradientDescentOptimizer(0.1),
    "Momentum": lambda step: train.MomentumOptimizer(0.1, 0.9),
    "Nesterov": lambda step: train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    "Adam": lambda step: train.AdamOptimizer(0.1),
    "Adagrad": lambda step: train.AdagradOptimizer(0.1),
    "Adadelta": lambda step: train.AdadeltaOptimizer(1.0),
    "RMSProp": lambda step: train.RMSPropOptimizer(0.01),
    "CenteredRMSProp": lambda step: train.RMSPropOptimizer(0.01, momentum=0.5, centered=True),
    "Ftrl": lambda step: train.FtrlOptimizer(0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.02),
    "FtrlShrinkage": lambda step: train.FtrlOptimizer(0.1, l2_shrinkage_regularization_strength=0.02, beta=0.1),
    "ProximalGradientDescent": lambda step: train.ProximalGradientDescentOptimizer(
        0.1, l1_regularization_strength=0.01
    ),
    "ProximalAdagrad": lambda step: train.ProximalAdagradOptimizer(
        0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.1
    ),
    "AdagradDA": lambda step: train.AdagradDAOptimizer(0.1, step, l1_regularization_strength=0.01),
}
ALL = pytest.mark.parametrize("name", OPTIMIZERS)


class Model:
    """A linear layer and an embedding, and their squared error."""

    def __init__(self, use_resource: bool = True) -> None:
        make = tf1.Variable
        self.weights = make(WEIGHTS, name="w", use_resource=use_resource)
        self.bias = make(np.zeros(2, np.float32), name="b", use_resource=use_resource)
        self.embedding = make(EMBEDDING, name="emb", use_resource=use_resource)
        self.step = make(np.int64(0), trainable=False, name="step", use_resource=use_resource)

    @property
    def variables(self) -> list[Any]:
        return [self.weights, self.bias, self.embedding]

    def loss(self) -> Any:
        predictions = tf.matmul(tf.constant(INPUTS), self.weights) + self.bias + tf.gather(self.embedding, IDS)
        return tf.reduce_mean(tf.square(predictions - tf.constant(TARGETS)))


def lazily(name: str, use_resource: bool, steps: int = 6) -> list[np.ndarray]:
    with tf.Graph().as_default():
        model = Model(use_resource)
        update = OPTIMIZERS[name](model.step).minimize(model.loss(), global_step=model.step)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(steps):
                session.run(update)
            assert session.run(model.step) == steps
            return session.run(model.variables)  # type: ignore[no-any-return]


def eagerly(name: str, style: str, steps: int = 6) -> list[np.ndarray]:
    model = Model()
    optimizer = OPTIMIZERS[name](model.step)

    def apply() -> None:
        with tf.GradientTape() as tape:
            loss = model.loss()
        gradients = tape.gradient(loss, model.variables)
        optimizer.apply_gradients(zip(gradients, model.variables, strict=True), global_step=model.step)

    one_step = {
        "minimize": lambda: optimizer.minimize(model.loss, global_step=model.step),
        "apply": apply,
        "function": tf.function(apply),
    }[style]
    for _ in range(steps):
        one_step()
    assert model.step.numpy() == steps
    return [variable.numpy() for variable in model.variables]


# ---- numbers --------------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "reference"])
def test_trajectory_is_tensorflows(name: str, use_resource: bool) -> None:
    for found, expected in zip(lazily(name, use_resource), TRAJECTORIES[name], strict=True):
        np.testing.assert_allclose(found.ravel(), expected, rtol=3e-6, atol=3e-7)


@ALL
@pytest.mark.parametrize("style", ["minimize", "apply", "function"])
def test_eager_training_is_lazy_training(name: str, style: str) -> None:
    for eager, lazy in zip(eagerly(name, style), lazily(name, True), strict=True):
        np.testing.assert_allclose(eager, lazy, rtol=1e-5, atol=1e-7)  # compiled code rounds less often


def test_only_named_rows_change() -> None:
    for name in OPTIMIZERS:
        np.testing.assert_array_equal(lazily(name, True, 2)[2][3], EMBEDDING[3])


def test_a_double_variable_is_updated_in_double() -> None:
    with tf.Graph().as_default():
        variable = tf.Variable(np.float64(1.0))
        update = train.AdamOptimizer(0.1).minimize(variable * variable)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            session.run(update)
            assert session.run(variable) == pytest.approx(0.90000001432137156, abs=1e-15)  # 0.1 as a float32


def test_repeated_rows_of_plain_descent_add_up() -> None:
    variable = tf.Variable([1.0, 2.0, 3.0])
    slices = tf.IndexedSlices(tf.constant([1.0, 1.0, 10.0]), tf.constant([0, 0, 2]), tf.constant([3]))
    train.GradientDescentOptimizer(0.1).apply_gradients([(slices, variable)])
    np.testing.assert_allclose(variable.numpy(), [0.8, 2.0, 2.0], rtol=1e-6)


# ---- the graph ------------------------------------------------------------------------------------------------------


@pytest.fixture
def references() -> Iterator[None]:
    """Graphs make TensorFlow 1's reference variables."""
    tf1.disable_resource_variables()
    yield
    tf1.enable_resource_variables()


def _after_gradients(graph: tf.Graph) -> list[str]:
    names = [operation.name for operation in graph.get_operations()]
    last = max(index for index, name in enumerate(names) if name.startswith("gradients/"))
    return names[last + 1 :]


def test_names_of_adam(references: None) -> None:
    with tf.Graph().as_default() as graph:
        w = tf1.Variable([1.0], name="w")
        step = tf1.Variable(0, trainable=False, name="step")
        optimizer = train.AdamOptimizer(0.1)
        update = optimizer.minimize(tf.reduce_sum(w * w), global_step=step)
        assert _after_gradients(graph) == [
            "beta1_power/initial_value", "beta1_power", "beta1_power/Assign", "beta1_power/read",
            "beta2_power/initial_value", "beta2_power", "beta2_power/Assign", "beta2_power/read",
            "w/Adam/Initializer/zeros", "w/Adam", "w/Adam/Assign", "w/Adam/read",
            "w/Adam_1/Initializer/zeros", "w/Adam_1", "w/Adam_1/Assign", "w/Adam_1/read",
            "Adam/learning_rate", "Adam/beta1", "Adam/beta2", "Adam/epsilon", "Adam/update_w/ApplyAdam",
            "Adam/mul", "Adam/Assign", "Adam/mul_1", "Adam/Assign_1", "Adam/update", "Adam/value", "Adam",
        ]  # fmt: skip
        assert update.name == "Adam" and update.type == "AssignAdd"
        assert tf1.get_collection(tf1.GraphKeys.TRAIN_OP) == [update]
        assert [variable.name for variable in optimizer.variables()] == [
            "beta1_power:0", "beta2_power:0", "w/Adam:0", "w/Adam_1:0",
        ]  # fmt: skip
        assert optimizer.get_slot_names() == ["m", "v"]
        assert optimizer.get_slot(w, "m").name == "w/Adam:0"
        assert optimizer.get_slot(w, "nothing") is None
        assert optimizer.get_name() == "Adam"
        assert [variable.name for variable in tf1.trainable_variables()] == ["w:0"]


def test_a_second_optimizer_has_slots_of_its_own() -> None:
    with tf.Graph().as_default():
        w = tf.Variable([1.0], name="w")
        loss = tf.reduce_sum(w * w)
        names = []
        for _ in range(2):
            optimizer = train.MomentumOptimizer(0.1, 0.9)
            names.append((optimizer.minimize(loss).name, optimizer.get_slot(w, "momentum").name))
        assert names == [("Momentum", "w/Momentum:0"), ("Momentum_1", "w/Momentum_1:0")]


def test_a_slot_in_a_variable_scope() -> None:
    with tf.Graph().as_default(), tf1.variable_scope("net"):
        w = tf1.get_variable("w", initializer=tf.constant([1.0]))
        optimizer = train.AdagradOptimizer(0.1, name="Ada")
        optimizer.minimize(tf.reduce_sum(w * w))
        assert optimizer.get_slot(w, "accumulator").name == "net/net/w/Ada:0"


@pytest.mark.parametrize("gate", [0, 1, 2])
def test_gates_don_t_change_the_result(gate: int) -> None:
    with tf.Graph().as_default():
        a, b = tf.Variable(2.0), tf.Variable(3.0)
        optimizer = train.GradientDescentOptimizer(0.1)
        pairs = optimizer.compute_gradients(a * a * b, gate_gradients=gate)
        assert [variable for _, variable in pairs] == [a, b]
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            assert session.run([gradient for gradient, _ in pairs]) == [12.0, 4.0]


def test_gradients_may_be_changed_between() -> None:
    with tf.Graph().as_default():
        w = tf.Variable([3.0, 4.0])
        optimizer = train.GradientDescentOptimizer(1.0)
        pairs = [(tf.clip_by_norm(g, 1.0), v) for g, v in optimizer.compute_gradients(tf.reduce_sum(w * w))]
        update = optimizer.apply_gradients(pairs)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            session.run(update)
            np.testing.assert_allclose(session.run(w), [2.4, 3.2], rtol=1e-6)


def test_grad_loss_scales_and_var_list_chooses() -> None:
    with tf.Graph().as_default():
        a, b = tf.Variable(1.0), tf.Variable(1.0)
        pairs = train.GradientDescentOptimizer(0.1).compute_gradients(a * b, var_list=[b], grad_loss=tf.constant(5.0))
        assert len(pairs) == 1 and pairs[0][1] is b
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            assert session.run(pairs[0][0]) == 5.0


def test_hyperparameters_may_be_tensors_and_placeholders() -> None:
    with tf.Graph().as_default():
        w, rate = tf.Variable(1.0), tf1.placeholder(tf.float32, [])
        update = train.GradientDescentOptimizer(rate).minimize(2.0 * w)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            session.run(update, {rate: 0.25})
            assert session.run(w) == 0.5


def test_a_constraint_is_applied_after_the_update() -> None:
    for use_resource in (True, False):
        with tf.Graph().as_default():
            w = tf1.Variable(0.1, constraint=lambda value: tf.maximum(value, 0.0), use_resource=use_resource)
            update = train.GradientDescentOptimizer(1.0).minimize(2.0 * w)
            with tf1.Session() as session:
                session.run(tf1.global_variables_initializer())
                session.run(update)
                assert session.run(w) == 0.0


# ---- eagerly --------------------------------------------------------------------------------------------------------


def test_hyperparameters_may_be_functions() -> None:
    w, rate = tf.Variable(1.0), tf.Variable(0.5)
    optimizer = train.GradientDescentOptimizer(lambda: rate)
    optimizer.minimize(lambda: 1.0 * w)
    assert w.numpy() == 0.5
    rate.assign(0.25)
    optimizer.minimize(lambda: 1.0 * w, var_list=[w])
    assert w.numpy() == 0.25


def test_eager_slots() -> None:
    w = tf.Variable([1.0, 2.0], name="eager")
    optimizer = train.AdamOptimizer(0.1)
    assert optimizer.apply_gradients([(tf.constant([1.0, 1.0]), w)]) is None
    assert [variable.name for variable in optimizer.variables()] == [
        "beta1_power:0", "beta2_power:0", "eager/Adam:0", "eager/Adam_1:0",
    ]  # fmt: skip
    np.testing.assert_allclose(optimizer.get_slot(w, "m").numpy(), [0.1, 0.1], rtol=1e-6)


def test_a_placeholder_program_beside_eager_variables() -> None:
    x = tf1.placeholder(tf.float32, [None], name="x")
    w = tf.Variable(0.0, name="w")
    loss = tf.reduce_mean(tf.square(x * w - 2.0 * x))
    update = train.AdamOptimizer(0.5).minimize(loss)
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        for _ in range(60):
            session.run(update, {x: [1.0, 2.0]})
    assert w.numpy() == pytest.approx(2.0, abs=0.1)


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_errors() -> None:
    optimizer = train.GradientDescentOptimizer(0.1)
    with pytest.raises(ValueError, match="No variables provided"):
        optimizer.apply_gradients([])
    with pytest.raises(ValueError, match="No gradients provided for any variable"):
        optimizer.apply_gradients([(None, tf.Variable(1.0))])
    with pytest.raises(TypeError, match="Gradient must be convertible to a Tensor"):
        optimizer.apply_gradients([(object(), tf.Variable(1.0))])
    with pytest.raises(RuntimeError, match="should be a function when eager execution is enabled"):
        optimizer.minimize(tf.constant(1.0))
    with pytest.raises(ValueError, match="Must specify the optimizer name"):
        train.GradientDescentOptimizer(0.1, name="")
    with pytest.raises(ValueError, match="initial_accumulator_value must be positive"):
        train.AdagradOptimizer(0.1, initial_accumulator_value=0.0)
    with pytest.raises(ValueError, match=r"learning_rate_power 0\.5 needs to be negative or zero"):
        train.FtrlOptimizer(0.1, learning_rate_power=0.5)


def test_errors_in_graphs() -> None:
    optimizer = train.GradientDescentOptimizer(0.1)
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="No variables to optimize"):
            optimizer.minimize(tf.constant(1.0))
        w = tf.Variable(1.0, name="w")
        with pytest.raises(ValueError, match="No gradients provided for any variable, check your graph"):
            optimizer.minimize(tf.constant(1.0))
        with pytest.raises(ValueError, match="gate_gradients must be one of"):
            optimizer.minimize(w * w, gate_gradients=7)
        with pytest.raises(TypeError, match="Argument is not a variable"):
            optimizer.minimize(w * w, var_list=["w"])


def test_a_constraint_on_rows_is_refused() -> None:
    with tf.Graph().as_default():
        w = tf.Variable([1.0, 2.0], constraint=lambda value: value)
        with pytest.raises(RuntimeError, match="Cannot use a constraint function on a sparse variable"):
            train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(tf.gather(w, [0])))


# ---- optimizers that users write -------------------------------------------------------------------------------------


class SignDescent(train.Optimizer):
    """The hooks as TensorFlow 1 documents them: reference and resource variables each have their own."""

    def __init__(self, learning_rate: float, name: str = "SignDescent") -> None:
        super().__init__(False, name)
        self._learning_rate = learning_rate
        self.calls: list[str] = []

    def _prepare(self) -> None:
        self.calls.append("prepare")
        self._rate = tf.convert_to_tensor(self._learning_rate, name="rate")

    def _create_slots(self, var_list: list[Any]) -> None:
        for variable in var_list:
            self._zeros_slot(variable, "count", self._name)

    def _step(self, gradient: Any, variable: Any) -> Any:
        count = self.get_slot(variable, "count").assign_add(tf.ones_like(gradient))
        update = variable.assign_sub(self._rate * tf.sign(gradient))
        return tf.group(count, update)

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        self.calls.append("dense")
        return self._step(grad, var)

    def _resource_apply_dense(self, grad: Any, handle: Any) -> Any:
        self.calls.append("resource dense")
        return self._step(grad, handle)

    def _apply_sparse(self, grad: Any, var: Any) -> Any:
        self.calls.append("sparse")
        return tf1.scatter_sub(var, grad.indices, self._rate * grad.values)

    def _resource_apply_sparse(self, grad: Any, handle: Any, indices: Any) -> Any:
        self.calls.append("resource sparse")
        return handle.scatter_sub(tf.IndexedSlices(self._rate * grad, indices))

    def _finish(self, update_ops: list[Any], name_scope: str) -> Any:
        self.calls.append("finish")
        return super()._finish(update_ops, name_scope)


@pytest.mark.parametrize(("use_resource", "prefix"), [(True, "resource "), (False, "")], ids=["resource", "reference"])
def test_hooks_of_a_user_s_optimizer(use_resource: bool, prefix: str) -> None:
    with tf.Graph().as_default():
        w = tf1.Variable([1.0, -1.0], use_resource=use_resource)
        table = tf1.Variable([1.0, 2.0, 3.0], use_resource=use_resource)
        optimizer = SignDescent(0.5)
        loss = tf.reduce_sum(w * w) + tf.reduce_sum(tf.gather(table, [2, 2]))
        update = optimizer.minimize(loss)
        assert optimizer.calls == ["prepare", prefix + "dense", prefix + "sparse", "finish"]
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            session.run(update)
            np.testing.assert_array_equal(session.run(w), [0.5, -0.5])
            np.testing.assert_array_equal(session.run(table), [1.0, 2.0, 2.0])
            np.testing.assert_array_equal(session.run(optimizer.get_slot(w, "count")), [1.0, 1.0])


def test_a_user_s_optimizer_that_knows_dense_updates_alone() -> None:
    class Halving(train.Optimizer):
        def __init__(self) -> None:
            super().__init__(False, "Halving")

        def _apply_dense(self, grad: Any, var: Any) -> Any:
            return var.assign(var * 0.5)

    w = tf.Variable(4.0)
    Halving().minimize(lambda: w * w)
    assert w.numpy() == 2.0
    with pytest.raises(NotImplementedError):
        Halving().apply_gradients([(tf.IndexedSlices([1.0], [0]), tf.Variable([1.0]))])
