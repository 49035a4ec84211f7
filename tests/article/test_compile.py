"""The article on compiling and translating: rows D01 to D07 of what it describes."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import rillet as tf

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = (X @ np.array([[1.0], [-2.0], [0.5], [3.0]], np.float32)) + 0.25


def a_model(*arguments: object, **options: object) -> tf.keras.Sequential:
    model = tf.keras.Sequential([tf.keras.layers.Dense(8, "tanh", input_shape=(4,)), tf.keras.layers.Dense(1)])
    model.compile(*arguments, **options)
    return model


def test_d01_compile_fit_evaluate_predict() -> None:
    model = a_model("rmsprop", loss="mse", metrics=["mae"])
    before = model.evaluate(X, Y, verbose=0)
    history = model.fit(X, Y, epochs=20, batch_size=16, verbose=0)
    after = model.evaluate(X, Y, verbose=0)
    assert after[0] < before[0] and after[1] < before[1]
    assert len(history.history["loss"]) == len(history.history["mae"]) == 20
    assert model.predict(X, verbose=0).shape == (64, 1)


def test_d02_compile_has_the_articles_signature() -> None:
    parameters = inspect.signature(tf.keras.Model.compile).parameters
    assert [name for name in parameters if name != "self"] == [
        "optimizer", "loss", "metrics", "loss_weights", "sample_weight_mode", "weighted_metrics", "target_tensors",
        "distribute", "kwargs",
    ]  # fmt: skip
    assert parameters["optimizer"].default == "rmsprop"
    assert all(item.default is None for name, item in parameters.items() if name not in ("self", "optimizer", "kwargs"))
    model = a_model(
        optimizer="rmsprop", loss="mse", metrics=None, loss_weights=None, sample_weight_mode=None, weighted_metrics=None,
        target_tensors=None, distribute=None, run_eagerly=False, steps_per_execution=2, jit_compile=True,
        auto_scale_loss=True,
    )  # fmt: skip
    assert model.steps_per_execution == 2
    with pytest.raises(TypeError, match="optimiser"):
        a_model(optimiser="sgd")


def test_d03_loss_metrics_and_updates_are_nodes_of_a_graph() -> None:
    step = a_model("adam", "mse", ["mae"]).concrete_function(X, Y)
    types = [operation.type for operation in step.graph.get_operations()]
    assert types.count("ResourceApplyAdam") == 4
    assert "MatMul" in types and "SquaredDifference" in types and "AssignAddVariableOp" in types
    assert "MatMul" in str(step.plan())


def test_d04_names_and_defaults() -> None:
    model = a_model()
    assert type(model.optimizer).__name__ == "RMSprop"
    with pytest.raises(ValueError, match="adam"):
        a_model("adm", "mse")
    with pytest.raises(ValueError, match="mse"):
        a_model("adam", "msee").fit(X, Y, verbose=0)


def test_d05_python_becomes_a_graph() -> None:
    def collatz(number: tf.Tensor) -> tf.Tensor:
        steps = tf.constant(0)
        while number > 1:
            if number % 2 == 0:
                number = number // 2
            else:
                number = 3 * number + 1
            steps += 1
            if steps > 1000:
                break
        return steps

    compiled = tf.function(collatz)
    assert int(compiled(tf.constant(27))) == 111
    graph = compiled.get_concrete_function(tf.constant(27)).graph
    assert any(operation.type in ("While", "StatelessWhile") for operation in graph.get_operations())
    assert "while" in tf.autograph.to_code(collatz)


def test_d07_nothing_is_claimed_that_is_not_there() -> None:
    assert tf.test.is_built_with_cuda() is False
    assert tf.config.list_physical_devices("GPU") == []
