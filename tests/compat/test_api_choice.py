"""Which TensorFlow a program was written for."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path

import pytest

from rillet.compat.api_choice import pick_api, tf1_only_names

FOR_TF1 = {
    "placeholder": "import tensorflow as tf\nx = tf.placeholder(tf.float32)",
    "session": "import tensorflow as tf\nwith tf.Session() as s: pass",
    "eager switch": "import tensorflow as tf\ntf.enable_eager_execution()",
    "room of names": "import tensorflow as tf\ntf.nn.rnn_cell.LSTMCell(3)",
    "layers": "import tensorflow as tf\ntf.layers.dense(x, 3)",
    "app": "import tensorflow as tf\nif __name__ == '__main__':\n    tf.app.run()",
    "contrib attribute": "import tensorflow as tf\ntf.contrib.layers.flatten(x)",
    "contrib import": "import tensorflow.contrib.slim as slim",
    "contrib from": "from tensorflow.contrib import rnn",
    "tutorial reader": "from tensorflow.examples.tutorials.mnist import input_data",
    "name import": "from tensorflow import placeholder as p",
    "deep in a function": "import tensorflow as tf\ndef f():\n    def g():\n        return [tf.log(x) for x in y]",
    "whole name": "import tensorflow\ntensorflow.Session()",
    "own name": "import tensorflow as flow\nflow.global_variables_initializer()",
    "another module below": "import tensorflow.keras\ntensorflow.set_random_seed(1)",
    "lazy through compat": "import tensorflow.compat.v1 as tf\nx = tf.placeholder(tf.float32)",
    "lazy through compat attribute": "import tensorflow as tf\ntf.compat.v1.InteractiveSession()",
    "lazy through a variable": "import tensorflow as tf\ntf = tf.compat.v1\ntf.Session()",
    "lazy through compat import": "from tensorflow.compat import v1 as tf\ntf.Session()",
}
FOR_TF2 = {
    "nothing": "print('hello')",
    "tape": "import tensorflow as tf\nwith tf.GradientTape() as t: pass",
    "keras": "import tensorflow as tf\ntf.keras.layers.Dense(3)",
    "keras alone": "from keras.models import Sequential",
    "shared names": "import tensorflow as tf\ntf.reduce_mean(tf.constant([1.0]))",
    "attribute of another thing": "import tensorflow as tf\nself.placeholder(3)\nlog = math.log(2)",
    "written to the module": "import tensorflow as tf\ntf.model = tf.keras.Sequential()\ntf.model.fit()",
    "compat chooses graphs itself": "import tensorflow.compat.v1 as tf\ntf.disable_v2_behavior()\ntf.Session()",
    "compat with its own graph": "import tensorflow as tf\nwith tf.Graph().as_default():\n    tf.compat.v1.Session()",
    "compat without sessions": "import tensorflow.compat.v1 as tf\ntf.enable_eager_execution()\ntf.log(1.0)",
    "tried out": "import tensorflow as tf\ntry:\n    tf.enable_eager_execution()\nexcept AttributeError:\n    pass",
    "tried with anything": "try:\n    from tensorflow.contrib import rnn\nexcept:\n    rnn = None",
    "version asked": "import tensorflow as tf\nif tf.__version__ < '2':\n    tf.enable_eager_execution()",
    "version named": "import tensorflow as tf\nif int(VERSION.split('.')[0]) == 1:\n    tf.Session()",
    "hasattr": "import tensorflow as tf\nif hasattr(tf, 'set_random_seed'):\n    tf.set_random_seed(1)",
}


@pytest.mark.parametrize("name", FOR_TF1)
def test_for_tf1(name: str) -> None:
    assert pick_api(FOR_TF1[name]) == "v1"


@pytest.mark.parametrize("name", FOR_TF2)
def test_for_tf2(name: str) -> None:
    assert pick_api(FOR_TF2[name]) == "v2"


def test_a_try_for_other_reasons_is_no_excuse() -> None:
    program = "import tensorflow as tf\ntry:\n    tf.Session()\nexcept KeyboardInterrupt:\n    pass"
    assert pick_api(program) == "v1"


@pytest.mark.parametrize(
    ("program", "modules"),
    [
        ("import model", {"model.py": FOR_TF1["placeholder"]}),
        ("from model import net", {"model.py": FOR_TF1["placeholder"]}),
        ("from parts import model", {"parts/__init__.py": "", "parts/model.py": FOR_TF1["layers"]}),
        ("import parts.model as m", {"parts/__init__.py": "", "parts/model.py": FOR_TF1["layers"]}),
        ("from . import model", {"model.py": FOR_TF1["session"]}),
        ("from .model import net", {"model.py": FOR_TF1["session"]}),
        ("import first", {"first.py": "import second", "second.py": "import first\n" + FOR_TF1["session"]}),
    ],
)
def test_modules_beside_the_program_count(tmp_path: Path, program: str, modules: dict[str, str]) -> None:
    for name, text in modules.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert pick_api(program, tmp_path / "program.py") == "v1"
    assert pick_api(program) == "v2", "without a file nothing is looked for"


def test_an_unreadable_module_beside_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("print 'Python 2'")
    assert pick_api("import model", tmp_path / "program.py") == "v2"


def test_the_source_may_be_bytes_in_its_own_encoding() -> None:
    assert pick_api("# coding: latin-1\nimport tensorflow as tf\nname = 'é'\ntf.Session()".encode("latin-1")) == "v1"


def test_no_python() -> None:
    with pytest.raises(SyntaxError):
        pick_api("x = = 1")


def test_warnings_are_kept_for_the_real_compilation() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pick_api(textwrap.dedent(r"x = '\d'"))
    assert not caught


def test_names_file() -> None:
    names = tf1_only_names()
    assert {"placeholder", "Session", "contrib", "app", "train.AdamOptimizer", "log"} <= names
    assert not {"constant", "Variable", "nn", "train", "keras", "layers", "losses", "compat", "estimator"} & names
    assert len(names) > 500
