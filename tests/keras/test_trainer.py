"""compile, fit, evaluate, predict: the numbers of Keras 2, every kind of data, every mode."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.keras.scenarios import CLASSES, SCENARIOS, X, Y, dense, fitted, start

RECORDED = json.loads((Path(__file__).parents[1] / "data/keras_training.json").read_text())["trainings"]
k = tf.keras


def compare(mine: Any, theirs: Any, where: str = "") -> None:
    if isinstance(theirs, dict):
        assert list(mine) == list(theirs), where
        for name in theirs:
            compare(mine[name], theirs[name], f"{where}.{name}")
    elif isinstance(theirs, list):
        assert len(mine) == len(theirs), where
        for index, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            compare(one, other, f"{where}[{index}]")
    elif isinstance(theirs, float):
        assert mine == pytest.approx(theirs, rel=2e-5, abs=2e-6), where
    else:
        assert mine == theirs, where


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("name", SCENARIOS)
def test_training_gives_the_numbers_of_keras(name: str) -> None:
    compare(SCENARIOS[name](tf, k), RECORDED[name])


def test_the_signature_is_the_articles() -> None:
    parameters = inspect.signature(k.Model.compile).parameters
    expected = {
        "optimizer": "rmsprop", "loss": None, "metrics": None, "loss_weights": None, "sample_weight_mode": None,
        "weighted_metrics": None, "target_tensors": None, "distribute": None,
    }  # fmt: skip
    assert list(parameters) == ["self", *expected, "kwargs"]
    assert {name: parameters[name].default for name in expected} == expected
    assert parameters["kwargs"].kind is inspect.Parameter.VAR_KEYWORD


def test_compile_without_arguments() -> None:
    model = dense(k)
    model.compile()
    assert type(model.optimizer) is k.optimizers.RMSprop
    assert model.predict(X, verbose=0).shape == (10, 3)
    with pytest.raises(ValueError, match="No loss found"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    "options",
    [{"run_eagerly": True}, {"steps_per_execution": 2}, {"jit_compile": True}, {"auto_scale_loss": False}],
    ids=str,
)
def test_keywords_of_keras_3(options: dict[str, Any]) -> None:
    model = dense(k, 3, "softmax")
    metrics = ["accuracy", "sparse_top_k_categorical_accuracy"]
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics, **options)
    assert model.run_eagerly is options.get("run_eagerly", False)
    calls: list[int] = []
    watch = k.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: calls.append(batch))
    compare(fitted(model, X, CLASSES, epochs=2, callbacks=[watch]), RECORDED["classes_as_numbers"])
    assert calls == ([1, 2] * 2 if "steps_per_execution" in options else [0, 1, 2] * 2)


MISTAKES = {
    "optimizer": (lambda m: m.compile("sgdd"), ValueError, "Did you mean 'sgd'|Did you mean 'SGD'"),
    "loss": (lambda m: m.compile("sgd", "msee"), ValueError, "Did you mean 'mse'"),
    "metric": (lambda m: m.compile("sgd", "mse", metrics=["acuracy"]), ValueError, "Did you mean 'accuracy'"),
    "keyword": (lambda m: m.compile(los="mse"), TypeError, "Invalid keyword argument.*Did you mean 'loss'"),
    "targets": (lambda m: m.compile(target_tensors=[1]), ValueError, "not supported when executing eagerly"),
    "output": (lambda m: m.compile("sgd", {"x": "mse"}) or m.fit(X, Y, verbose=0), ValueError, "has no output for"),
    "not compiled": (lambda m: m.fit(X, Y), RuntimeError, "You must compile your model before training"),
    "sizes": (lambda m: m.compile("sgd", "mse") or m.fit(X, Y[:5]), ValueError, "x sizes: 10\n  y sizes: 5"),
    "inputs": (lambda m: m.compile("sgd", "mse") or m.fit(X[:, :3], Y, verbose=0), ValueError, "expected shape=.None, 4."),
    "no labels": (lambda m: m.compile("sgd", "mse") or m.fit(X, verbose=0), ValueError, "Target data is missing"),
    "y beside": (lambda m: m.compile("sgd", "mse") or m.fit(iter([]), Y), ValueError, "not supported when using"),
    "empty": (lambda m: m.compile("sgd", "mse") or m.fit(iter([]), verbose=0), ValueError, "no batch"),
    "split": (lambda m: m.compile("sgd", "mse") or m.fit(X, Y, validation_split=0.99), ValueError, "not sufficient"),
    "class weight": (
        lambda m: m.compile("sgd", "mse") or m.fit(X, CLASSES, class_weight={0: 1.0, 1: 1.0}), ValueError, "there is a label 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_explained(name: str) -> None:
    action, error, words = MISTAKES[name]
    with pytest.raises(error, match=words):
        action(dense(k, 2))


def test_a_loss_of_another_shape_says_both() -> None:
    model = dense(k, 3)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"\[\?,3\](.|\n)*\[\?,7\]|3 and 7|7 and 3"):
        model.fit(X, np.ones((10, 7)), verbose=0)


def test_optimizers_of_tf_train() -> None:
    models = [dense(k, 2), dense(k, 2)]
    models[0].compile("sgd", "mse")
    models[1].compile(tf.compat.v1.train.GradientDescentOptimizer(0.01), "mse")
    first, second = (fitted(model, X, Y, epochs=2) for model in models)
    compare(second, first)


# ---- data ------------------------------------------------------------------------------------------------------------


class Batches(k.utils.Sequence):
    ended = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return X[index * 4 : index * 4 + 4], Y[index * 4 : index * 4 + 4]

    def on_epoch_end(self) -> None:
        self.ended += 1


def pairs() -> Any:
    return [(X[start : start + 4], Y[start : start + 4]) for start in range(0, 10, 4)]


class Iterable:
    def __iter__(self) -> Any:
        return iter(pairs())


SOURCES = {
    "arrays": lambda: (X, Y),
    "float64": lambda: (X.astype(np.float64), Y.astype(np.float64)),
    "tensors": lambda: (tf.constant(X), tf.constant(Y)),
    "lists of numbers": lambda: (X.tolist(), Y.tolist()),
    "a list of one": lambda: ([X], [Y]),
    "a sequence": lambda: (Batches(),),
    "an iterable": lambda: (Iterable(),),
    "batches as lists": lambda: (
        type("Lists", (), {"__iter__": lambda self: iter([list(pair) for pair in pairs()])})(),
    ),
    "batches of tensors": lambda: (
        type("Tensors", (), {"__iter__": lambda self: (tuple(map(tf.constant, pair)) for pair in pairs())})(),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_of_data(name: str) -> None:
    reference, model = dense(k, 2), dense(k, 2)
    for one in (reference, model):
        one.compile("sgd", "mse", metrics=["mae"])
    expected = fitted(reference, X, Y, epochs=2)
    data = SOURCES[name]()
    options = {} if len(data) == 2 else {"batch_size": None}
    compare(fitted(model, *data, epochs=2, **options), expected)
    assert model.evaluate(*data, verbose=0) == pytest.approx(reference.evaluate(X, Y, verbose=0), rel=1e-5)
    assert model.predict(data[0], verbose=0) == pytest.approx(reference.predict(X, verbose=0), rel=1e-4)


def test_shuffling_is_numpys() -> None:
    class Look(k.Model):
        def train_step(self, data: Any) -> Any:
            seen.append(data[0].numpy()[:, 0].tolist())
            return {"n": 1.0}

    seen: list[list[float]] = []
    model = Look()
    model.compile(run_eagerly=True)
    np.random.seed(3)
    model.fit(np.arange(10.0)[:, None], np.zeros(10), batch_size=4, epochs=2, verbose=0)
    np.random.seed(3)
    expected = []
    for _ in range(2):
        order = np.arange(10)
        np.random.shuffle(order)
        expected += [order[:4].tolist(), order[4:8].tolist(), order[8:].tolist()]
    assert seen == expected


def test_the_end_of_a_sequences_epoch() -> None:
    batches, model = Batches(), dense(k, 2)
    model.compile("sgd", "mse")
    model.fit(batches, epochs=3, verbose=0)
    assert batches.ended == 3


def test_a_generator_that_ends_early() -> None:
    model = dense(k, 2)
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(iter(pairs()), steps_per_epoch=2, epochs=5, verbose=0)
    assert history.epoch == [0, 1]


# ---- modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["regression", "several_outputs", "classes_as_numbers", "penalties", "own_train_step", "shared_layer"]
)
def test_a_graph_of_tensorflow_1_gives_the_same_numbers(name: str) -> None:
    with tf.Graph().as_default():
        compare(SCENARIOS[name](tf, k), RECORDED[name])


def test_a_session_of_the_users_own() -> None:
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        model = k.Sequential([k.layers.Dense(2, input_shape=(4,))])
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0)
        assert model.input.graph is graph
        kernel = session.run(model.trainable_weights[0])
        np.testing.assert_array_equal(kernel, model.get_weights()[0])
        expected = model.predict(X, verbose=0)
        np.testing.assert_allclose(session.run(model.output, {model.input: X}), expected, rtol=1e-6)


def test_target_tensors() -> None:
    with tf.Graph().as_default():
        model = dense(k, 2)
        model.compile("sgd", "mse", target_tensors=tf.constant(Y))
        losses = model.fit(X, epochs=3, batch_size=10, verbose=0).history["loss"]
    assert losses[0] > losses[1] > losses[2]


def test_losses_metrics_and_updates_are_nodes_of_a_graph() -> None:
    model = dense(k, 2)
    model.compile("adam", "mse", metrics=["mae"])
    spec = tf.TensorSpec((None, 4)), tf.TensorSpec((None, 2))
    concrete = model.make_train_function().get_concrete_function(spec)
    types = {operation.type for operation in concrete.graph.get_operations()}
    assert {"MatMul", "SquaredDifference", "ResourceApplyAdam", "AssignAddVariableOp"} <= types
    assert sorted(concrete.structured_outputs) == ["loss", "mae"]
    assert model.train_function.get_concrete_function(spec) is concrete
    assert model.concrete_function(X, Y) is concrete and "MatMul" in str(concrete.plan())
    assert "ResourceApplyAdam" not in str(model.concrete_function(X, Y, kind="test").graph.get_operations())


def test_one_trace_serves_whole_and_partial_batches() -> None:
    model = dense(k, 2)
    model.compile("sgd", "mse")
    for _ in range(2):
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert model.train_function.experimental_get_tracing_count() == 1


def test_freezing_a_layer_after_training() -> None:
    model = start(k.Sequential([k.layers.Dense(3, input_shape=(4,)), k.layers.Dense(2)]))
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    after = model.get_weights()
    assert [np.array_equal(one, other) for one, other in zip(before, after, strict=True)] == [True, True, False, False]


PROGRESS = {
    0: "",
    1: r"Epoch 1/2\n3/3 \[=+\] - \d+s \S+/step - loss: \d\.\d{4} - mae: \d\.\d{4}\nEpoch 2/2\n3/3 \[=+\].*\n",
    2: r"Epoch 1/2\n3/3 - \d+s - loss: \d\.\d{4} - mae: \d\.\d{4} - \S+/epoch - \S+/step\nEpoch 2/2\n3/3 - .*\n",
}


@pytest.mark.parametrize("verbose", PROGRESS)
def test_progress(verbose: int, capsys: pytest.CaptureFixture[str]) -> None:
    import re

    model = dense(k, 2)
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(X, Y, batch_size=4, epochs=2, verbose=verbose)
    assert re.fullmatch(PROGRESS[verbose], capsys.readouterr().out)


def test_importing_rillet_does_not_import_keras() -> None:
    program = (
        "import sys, rillet as tf\n"
        "assert not any(name.startswith('rillet.keras') for name in sys.modules)\n"
        "assert not any(name.startswith('rillet.keras') for name in sys.modules), dir(tf)\n"
        "tf.keras.layers.Dense\n"
        "import rillet.v1 as v1\n"
        "assert v1.keras.layers.Dense and v1.keras.Model\n"
        "from rillet.compat import alias\n"
        "alias.install('v2')\n"
        "from tensorflow import keras\n"
        "from tensorflow.keras.layers import Dense\n"
        "from tensorflow.python.keras.layers import Dense as same\n"
        "import keras as alone\n"
        "from keras.models import Sequential\n"
        "import tensorflow.keras.backend as K\n"
        "assert Dense is same is keras.layers.Dense is alone.layers.Dense and K.floatx() == 'float32'\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
