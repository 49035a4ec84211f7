"""The names tensorflow and keras: what imports of them give, and what they refuse."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from types import ModuleType

import pytest

from rillet.compat import alias
from rillet.compat.alias import TOP_LEVEL, AliasFinder, find_module
from rillet.datasets import mnist_input_data


class Namespace(ModuleType):
    """A small public namespace. The wanted names are given dotted; folders are made on the way."""

    def __init__(self, name: str, **values: object) -> None:
        super().__init__(name)
        for path, value in values.items():
            *folders, last = path.split("__")
            here: ModuleType = self
            for folder in folders:
                if not hasattr(here, folder):
                    setattr(here, folder, ModuleType(f"{here.__name__}.{folder}"))
                here = getattr(here, folder)
            setattr(here, last, value)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    root = Namespace(
        "stand_in",
        reset_default_graph="reset",
        matmul="matmul",
        function="a function",
        get_static_value="static",
        keras__layers__Dense="Dense",
        compat__v1__Session="Session",
        contrib__slim__conv2d="slim conv2d",
        contrib__rnn__BasicLSTMCell="cell",
        nn__relu="relu",
        nn__rnn_cell__GRUCell="GRUCell",
        layers__dense="dense",
        gfile__Exists="Exists",
        train__Saver="Saver",
        config__list_logical_devices="devices",
        nest__flatten="flatten",
    )
    finder = AliasFinder(lambda: root)
    sys.meta_path.insert(0, finder)
    yield root
    alias.uninstall()
    assert finder not in sys.meta_path
    assert not [name for name in sys.modules if name.split(".")[0] in TOP_LEVEL]


def run(text: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(textwrap.dedent(text), names)
    return names


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("import tensorflow as tf; got = tf.nn.relu", "relu"),
        ("import tensorflow; got = tensorflow.matmul", "matmul"),
        ("import tensorflow.compat.v1 as tf; got = tf.Session", "Session"),
        ("from tensorflow.keras.layers import Dense as got", "Dense"),
        ("from tensorflow import keras; got = keras.layers.Dense", "Dense"),
        ("import tensorflow.contrib.slim as slim; got = slim.conv2d", "slim conv2d"),
        ("from tensorflow.contrib import rnn; got = rnn.BasicLSTMCell", "cell"),
        ("import keras; got = keras.layers.Dense", "Dense"),
        ("from keras.layers import Dense as got", "Dense"),
        ("import keras.layers as layers; got = layers.Dense", "Dense"),
        ("from tensorflow.python.framework import ops; got = ops.reset_default_graph", "reset"),
        ("from tensorflow.python.framework.ops import reset_default_graph as got", "reset"),
        ("import tensorflow.python.framework.ops as ops; got = ops.reset_default_graph", "reset"),
        ("from tensorflow.python.framework import tensor_util; got = tensor_util.constant_value", "static"),
        ("from tensorflow.python.ops import math_ops; got = math_ops.matmul", "matmul"),
        ("from tensorflow.python.ops import nn_ops; got = nn_ops.relu", "relu"),
        ("from tensorflow.python.ops import rnn_cell; got = rnn_cell.GRUCell", "GRUCell"),
        ("from tensorflow.python.ops.rnn_cell_impl import GRUCell as got", "GRUCell"),
        ("from tensorflow.python.platform import gfile; got = gfile.Exists", "Exists"),
        ("from tensorflow.python.training import saver; got = saver.Saver", "Saver"),
        ("from tensorflow.python.keras.layers import Dense as got", "Dense"),
        ("from tensorflow.python.layers import core; got = core.dense", "dense"),
        ("from tensorflow.python.util import nest; got = nest.flatten", "flatten"),
        ("from tensorflow.python.eager import function; got = function.matmul", "matmul"),
        ("from tensorflow.python.client import device_lib; got = device_lib.list_local_devices", "devices"),
    ],
)
def test_imports(namespace: Namespace, statement: str, value: str) -> None:
    assert run(statement)["got"] == value


def test_the_modules_are_the_namespaces_own(namespace: Namespace) -> None:
    names = run("import tensorflow as tf, tensorflow.keras.layers as layers, keras")
    assert names["tf"] is namespace
    assert names["keras"] is namespace.keras
    assert names["layers"] is namespace.keras.layers
    assert namespace.__name__ == "stand_in"
    assert sys.modules["tensorflow"] is namespace


def test_a_modules_own_identity_stays() -> None:
    spec = textwrap.__spec__
    finder = AliasFinder(lambda: textwrap)
    sys.meta_path.insert(0, finder)
    try:
        assert importlib.import_module("tensorflow") is textwrap
        assert textwrap.__spec__ is spec
        assert textwrap.__name__ == "textwrap"
    finally:
        alias.uninstall()


def test_programs_may_write_to_the_module(namespace: Namespace) -> None:
    run("import tensorflow as tf; tf.model = 1")
    assert run("from tensorflow import model")["model"] == 1


def test_mnist_reader(namespace: Namespace) -> None:
    names = run("from tensorflow.examples.tutorials.mnist import input_data")
    assert names["input_data"] is mnist_input_data
    names = run("import tensorflow.examples.tutorials.mnist.input_data as reader")
    assert names["reader"] is mnist_input_data


@pytest.mark.parametrize(
    "name",
    [
        "tensorflow.nothing",
        "tensorflow.matmul",  # a function, no module
        "tensorflow.contrib.tpu",
        "tensorflow.python.nothing",
        "tensorflow.python.ops.nothing.further",
        "tensorflow.examples.other",
        "keras.nothing",
    ],
)
def test_missing_modules(namespace: Namespace, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"rillet has no module (tensorflow|keras)") as failure:
        importlib.import_module(name)
    assert failure.value.name is not None
    assert name.startswith(failure.value.name)


def test_missing_names(namespace: Namespace) -> None:
    with pytest.raises(ImportError):
        run("from tensorflow.contrib import tpu")
    module = importlib.import_module("tensorflow.python.ops.rnn_cell")
    with pytest.raises(
        AttributeError, match=r"rillet has nothing for tensorflow.python.ops.rnn_cell.Nope: it is not in tf.nn.rnn_cell"
    ):
        _ = module.Nope


def test_other_imports_are_left_alone(namespace: Namespace) -> None:
    assert AliasFinder(lambda: namespace).find_spec("numpy", None) is None
    assert find_module(namespace, "") is namespace


def test_unknown_api() -> None:
    with pytest.raises(ValueError, match="there is no API 'v3'; choose one of v1, v2"):
        alias.install("v3")


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_a_real_one_is_not_mixed_with(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = ModuleType(name)
    real.__file__ = "/site-packages/real/__init__.py"
    monkeypatch.setitem(sys.modules, name, real)
    before = list(sys.meta_path)
    with pytest.raises(ImportError, match=rf"{name} is imported already \(from /site-packages/real/__init__.py\)"):
        alias.install("v2")
    assert sys.meta_path == before
    assert sys.modules[name] is real


PROGRAM = """
import sys
from rillet.compat.alias import install, uninstall
install({api!r})
import tensorflow as tf
import {namespace}
assert tf is sys.modules[{namespace!r}]
install({other!r})  # a second call changes its mind
import tensorflow as tf2
assert tf2 is not tf
uninstall()
assert "tensorflow" not in sys.modules
"""


@pytest.mark.parametrize(("api", "namespace", "other"), [("v1", "rillet.v1", "v2"), ("v2", "rillet", "v1")])
def test_install(api: str, namespace: str, other: str) -> None:
    program = PROGRAM.format(api=api, namespace=namespace, other=other)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
