"""Small trainings, written against Keras' public names alone, so that any Keras runs them. Each gives plain numbers.

The numbers of Keras 2 are in tests/data/keras_training.json (tools/record_keras.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SCENARIOS: dict[str, Callable[[Any, Any], Any]] = {}  # name -> function of (tf, keras)


def scenario(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    SCENARIOS[function.__name__] = function
    return function


def waves(*shape: int, phase: float = 0.0) -> Any:
    """Numbers between -0.5 and 0.5 that look like nothing in particular."""
    count = int(np.prod(shape))
    return (np.sin(np.arange(count) * 12.9898 + phase) * 43758.5453 % 1.0 - 0.5).reshape(shape).astype(np.float32)


X, Y = waves(10, 4), waves(10, 2, phase=1.0)
CLASSES = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 1])


def start(model: Any) -> Any:
    """The model, with weights that are the same everywhere."""
    model.set_weights([waves(*weight.shape, phase=index) for index, weight in enumerate(model.get_weights())])
    return model


def dense(k: Any, units: int = 3, activation: Any = None, **kwargs: Any) -> Any:
    return start(k.Sequential([k.layers.Dense(units, activation=activation, input_shape=(4,), **kwargs)]))


def two_outputs(k: Any) -> Any:
    x = k.Input((4,), name="x")
    return start(k.Model(x, [k.layers.Dense(2, name="a")(x), k.layers.Dense(1, name="b")(x)]))


def fitted(model: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The history of a fit, in the order the examples are in."""
    history = model.fit(*args, **{"verbose": 0, "shuffle": False, "batch_size": 4, **kwargs}).history
    return {name: [float(value) for value in values] for name, values in history.items()}


@scenario
def regression(tf: Any, k: Any) -> Any:
    model = start(k.Sequential([k.layers.Dense(5, activation="tanh", input_shape=(4,)), k.layers.Dense(2)]))
    model.compile("sgd", "mse", metrics=["mae"])
    history = fitted(model, X, Y, epochs=3, validation_split=0.2)
    return [history, model.evaluate(X, Y, verbose=0), model.predict(X, verbose=0).tolist()]


@scenario
def optimizers(tf: Any, k: Any) -> Any:
    found = {}
    for name in ("sgd", "adam", "rmsprop", "adagrad", "adadelta", "adamax", "ftrl"):
        model = dense(k, 2)
        model.compile(name, "mse")
        found[name] = fitted(model, X, Y, epochs=3)
    return found


@scenario
def classes_as_numbers(tf: Any, k: Any) -> Any:
    model = dense(k, 3, "softmax")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", "sparse_top_k_categorical_accuracy"])
    return fitted(model, X, CLASSES, epochs=2)


@scenario
def classes_one_hot(tf: Any, k: Any) -> Any:
    model = dense(k, 3, "softmax")
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy", "crossentropy"])
    return fitted(model, X, np.eye(3)[CLASSES], epochs=2)


@scenario
def yes_or_no(tf: Any, k: Any) -> Any:
    model = dense(k, 1, "sigmoid")
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy", k.metrics.AUC(), k.metrics.Precision()])
    return fitted(model, X, CLASSES > 0, epochs=2)


@scenario
def logits(tf: Any, k: Any) -> Any:
    model = dense(k, 3)
    model.compile(k.optimizers.Adam(0.1), k.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["acc"])
    return fitted(model, X, CLASSES, epochs=2)


@scenario
def class_weights(tf: Any, k: Any) -> Any:
    model = dense(k, 3, "softmax")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["acc"], weighted_metrics=["accuracy"])
    return fitted(model, X, CLASSES, class_weight={0: 1.0, 1: 2.0, 2: 0.5})


@scenario
def sample_weights(tf: Any, k: Any) -> Any:
    model = dense(k, 2)
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mse"])
    weights = np.arange(10.0)
    return [fitted(model, X, Y, sample_weight=weights), model.evaluate(X, Y, sample_weight=weights, verbose=0)]


@scenario
def several_outputs(tf: Any, k: Any) -> Any:
    model = two_outputs(k)
    model.compile("sgd", "mse", metrics=["mae"])
    return [fitted(model, X, [Y, Y[:, :1]], epochs=2, validation_split=0.2), model.metrics_names]


@scenario
def several_outputs_by_name(tf: Any, k: Any) -> Any:
    model = two_outputs(k)
    metrics = {"a": ["mae", "accuracy"], "b": "mse"}
    model.compile("sgd", {"a": "mse", "b": "mae"}, metrics=metrics, loss_weights={"a": 1.0, "b": 0.5})
    return fitted(model, {"x": X}, {"a": Y, "b": Y[:, :1]})


@scenario
def an_output_without_loss(tf: Any, k: Any) -> Any:
    model = two_outputs(k)
    model.get_layer("b").trainable = False
    model.compile("sgd", ["mse", None], metrics=[["mae"], []])
    history = fitted(model, X, [Y, Y[:, :1]])
    return [history, model.evaluate(X, [Y, Y[:, :1]], verbose=0, return_dict=True)]


@scenario
def penalties(tf: Any, k: Any) -> Any:
    model = dense(k, 2, kernel_regularizer="l2", bias_regularizer=k.regularizers.l1(0.1), activity_regularizer="l1")
    model.compile("sgd", "mse", metrics=["mae"])
    return fitted(model, X, Y, epochs=2, validation_data=(X, Y))


@scenario
def single_batches(tf: Any, k: Any) -> Any:
    model = dense(k, 2)
    model.compile("sgd", "mse", metrics=["mae"])
    steps = [model.train_on_batch(X, Y, return_dict=True), model.train_on_batch(X, Y), model.test_on_batch(X, Y)]
    return [
        *[step if isinstance(step, dict) else list(map(float, step)) for step in steps],
        model.predict_on_batch(X).tolist(),
    ]


@scenario
def own_train_step(tf: Any, k: Any) -> Any:
    class Own(k.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                predictions = self(x, training=True)
                loss = self.compiled_loss(y, predictions, regularization_losses=self.losses)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            self.compiled_metrics.update_state(y, predictions)
            return {metric.name: metric.result() for metric in self.metrics}

    x = k.Input((4,))
    model = start(Own(x, k.layers.Dense(2)(x)))
    model.compile("sgd", "mse", metrics=["mae"])
    return fitted(model, X, Y, epochs=2)


@scenario
def losses_of_layers(tf: Any, k: Any) -> Any:
    class Penalty(k.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(tf.reduce_mean(tf.square(inputs)))
            return inputs

    x = k.Input((4,))
    hidden = Penalty()(k.layers.Dense(3, activation="relu")(x))
    model = start(k.Model(x, k.layers.Dense(2)(hidden)))
    model.add_loss(0.1 * tf.reduce_sum(hidden))
    model.compile("sgd", "mse")
    return fitted(model, X, Y, epochs=2)


@scenario
def losses_of_layers_alone(tf: Any, k: Any) -> Any:
    class Penalty(k.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(tf.reduce_mean(tf.square(inputs)))
            return inputs

    model = start(k.Sequential([k.layers.Dense(3, input_shape=(4,)), Penalty()]))
    model.compile("sgd")
    return fitted(model, X, Y, epochs=3)


@scenario
def shared_layer(tf: Any, k: Any) -> Any:
    first, second, shared = k.Input((4,)), k.Input((4,)), k.layers.Dense(3, activation="tanh")
    joined = tf.concat([shared(first), shared(second)], axis=-1) * 2.0
    model = start(k.Model([first, second], k.layers.Dense(2)(joined)))
    model.compile("adam", "mse")
    return fitted(model, [X, X[::-1]], Y, epochs=3)


@scenario
def generator(tf: Any, k: Any) -> Any:
    model = dense(k, 2)
    model.compile("sgd", "mse")
    batches = ((X[index % 5 : index % 5 + 4], Y[index % 5 : index % 5 + 4]) for index in range(100))
    return fitted(model, batches, epochs=2, steps_per_epoch=5, batch_size=None)


@scenario
def subclassed(tf: Any, k: Any) -> Any:
    class Two(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = k.layers.Dense(3, activation="relu")
            self.out = k.layers.Dense(2)

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.out(self.hidden(inputs)) * (2.0 if training else 1.0)

    model = Two()
    model.build((None, 4))
    model = start(model)
    model.compile("sgd", "mse")
    return [fitted(model, X, Y, epochs=2), model.evaluate(X, Y, verbose=0)]
