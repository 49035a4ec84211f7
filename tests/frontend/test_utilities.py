"""tf.flags, tf.app, tf.logging, tf.ConfigProto, tf.config, clusters, HParams, versions, tf.contrib.eager."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.compat import v1 as tf1
from rillet.config import THREADS

flags = tf1.flags


@pytest.fixture
def values() -> Any:
    made = flags.FlagValues()
    flags.DEFINE_string("name", "d", "a text", flag_values=made)
    flags.DEFINE_integer("count", 3, "a number", lower_bound=0, flag_values=made)
    flags.DEFINE_float("rate", None, "a rate", flag_values=made)
    flags.DEFINE_boolean("fast", False, "a switch", flag_values=made)
    flags.DEFINE_enum("kind", "x", ["x", "y"], "a choice", flag_values=made)
    flags.DEFINE_list("parts", "a,b", "a list", flag_values=made)
    flags.DEFINE_multi_integer("many", None, "numbers", flag_values=made)
    return made


def test_flags_are_read(values: Any) -> None:
    words = ["prog", "--name=1", "pos", "--count", "4", "-rate=2.5", "--fast", "rest", "--many=1", "--many=2"]
    assert values(words) == ["prog", "pos", "rest"]
    assert values.flag_values_dict() == {
        "name": "1", "count": 4, "rate": 2.5, "fast": True, "kind": "x", "parts": ["a", "b"], "many": [1, 2],
    }  # fmt: skip
    assert values(["prog", "--nofast", "--kind=y", "--parts=q,r", "--", "--x"]) == ["prog", "--x"]
    assert (values.fast, values.kind, values.parts, values.name) == (False, "y", ["q", "r"], "1")
    values.name = "new"
    assert values.name == values["name"].value == "new"
    assert "name" in values
    assert "other" not in values


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("--count=x", flags.IllegalFlagValueError, "flag --count=x: invalid literal for int"),
        ("--count=-1", flags.IllegalFlagValueError, "flag --count=-1: -1 is not a non-negative integer"),
        ("--kind=z", flags.IllegalFlagValueError, r"flag --kind=z: value should be one of <x\|y>"),
        ("--fast=maybe", flags.IllegalFlagValueError, "Non-boolean argument to boolean flag"),
        ("--zz=1", flags.UnrecognizedFlagError, "Unknown command line flag 'zz'"),
        ("--counts=1", flags.UnrecognizedFlagError, "Did you mean: count"),
        ("--noname", flags.UnrecognizedFlagError, "Unknown command line flag 'noname'"),
        ("--name", flags.Error, "Missing value for flag --name"),
        ("--nofast=1", ValueError, "--nofast=1 does not take an argument"),
    ],
)
def test_wrong_flags(values: Any, word: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        values(["prog", word])


def test_unknown_flags_may_be_left(values: Any) -> None:
    assert values(["prog", "--zz=1", "--count=9"], known_only=True) == ["prog", "--zz=1"]
    assert values(["prog", "--undefok=zz", "--zz=1"]) == ["prog"]


def test_required_flags(values: Any) -> None:
    flags.mark_flag_as_required("rate", flag_values=values)
    with pytest.raises(flags.IllegalFlagValueError, match="Flag --rate must have a value other than None"):
        values(["prog"])
    assert values(["prog", "--rate=1"]) == ["prog"]


def test_flags_before_parsing(values: Any) -> None:
    with pytest.raises(flags.UnparsedFlagAccessError, match="Trying to access flag --name before flags were parsed"):
        _ = values.name
    with pytest.raises(flags.DuplicateFlagError, match="The flag 'name' is defined twice"):
        flags.DEFINE_string("name", "", "", flag_values=values)


def test_earlier_argument_names() -> None:
    made = flags.FlagValues()
    flags.DEFINE_string(flag_name="a", default_value="b", docstring="c", flag_values=made)
    made(["prog"])
    assert made.a == "b"


def test_app_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    flags.DEFINE_integer("test_app_run_steps", 1, "for this test")
    program = types.SimpleNamespace(
        __doc__="A program.", main=lambda argv: seen.append((argv, tf1.flags.FLAGS.test_app_run_steps))
    )
    monkeypatch.setitem(sys.modules, "__main__", program)  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "argv", ["prog", "--test_app_run_steps=7", "--unknown", "word"])
    with pytest.raises(SystemExit) as stopped:
        tf1.app.run()
    assert stopped.value.code is None
    assert seen == [(["prog", "--unknown", "word"], 7)]
    with pytest.raises(SystemExit) as stopped:
        tf1.app.run(lambda argv: 5, argv=["prog"])
    assert stopped.value.code == 5


def test_logging(capsys: pytest.CaptureFixture[str]) -> None:
    logger = tf.get_logger()
    saved = logger.handlers[:], logger.propagate, logger.level
    logger.handlers[:] = []
    try:
        from rillet.frontend import logging as own

        own._logger.cache_clear()
        logger.addHandler(own._StandardError())
        logger.handlers[0].setFormatter(own.logging.Formatter(own.logging.BASIC_FORMAT))
        logger.propagate = False
        tf1.logging.set_verbosity(tf1.logging.WARN)
        tf1.logging.info("quiet")
        tf1.logging.warning("w %s", "q")
        tf1.logging.set_verbosity(tf1.logging.INFO)
        assert tf1.logging.get_verbosity() == tf1.logging.INFO == 20
        for number in range(4):
            tf1.logging.log_every_n(tf1.logging.INFO, "every %d", 2, number)
            tf1.logging.log_first_n(tf1.logging.INFO, "first %d", 1, number)
    finally:
        logger.handlers[:], logger.propagate = saved[:2]
        logger.setLevel(saved[2])
    assert capsys.readouterr().err.splitlines() == [
        "WARNING:tensorflow:w q", "INFO:tensorflow:every 0", "INFO:tensorflow:first 0", "INFO:tensorflow:every 2",
    ]  # fmt: skip


def test_config_proto() -> None:
    config = tf1.ConfigProto(allow_soft_placement=True, gpu_options=tf1.GPUOptions(allow_growth=True))
    config.gpu_options.per_process_gpu_memory_fraction = 0.25
    config.graph_options.optimizer_options.global_jit_level = tf1.OptimizerOptions.ON_1
    config.device_count["CPU"] = 4
    assert config.gpu_options.allow_growth is True
    assert config.HasField("graph_options")
    assert not config.HasField("experimental")
    assert 'device_count {\n  key: "CPU"\n  value: 4\n}' in str(config)
    assert "global_jit_level: ON_1" in str(config)
    copied = tf1.ConfigProto()
    copied.CopyFrom(config)
    assert copied == config
    copied.intra_op_parallelism_threads = 2
    assert copied != config
    with tf.Graph().as_default(), tf1.Session(config=config) as session:
        assert session.run(tf.constant(3), options=tf1.RunOptions(trace_level=tf1.RunOptions.FULL_TRACE)) == 3


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda c: setattr(c, "foo", 1), AttributeError),
        (lambda c: c.foo, AttributeError),
        (lambda c: setattr(c, "gpu_options", 1), AttributeError),
        (lambda c: setattr(c, "device_filters", ["a"]), AttributeError),
        (lambda c: setattr(c, "intra_op_parallelism_threads", 2.0), TypeError),
        (lambda c: setattr(c.gpu_options, "allow_growth", "x"), TypeError),
        (lambda c: tf1.ConfigProto(foo=1), ValueError),
    ],
)
def test_config_proto_checks(change: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        change(tf1.ConfigProto())


def test_devices() -> None:
    (cpu,) = tf.config.list_physical_devices()
    assert cpu == ("/physical_device:CPU:0", "CPU")
    assert tf.config.experimental.list_physical_devices("GPU") == []
    with pytest.raises(ValueError, match="memory growth"):
        tf.config.experimental.set_memory_growth(cpu, True)
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    try:
        assert [device.name for device in tf.config.list_logical_devices("CPU")] == ["/device:CPU:0", "/device:CPU:1"]
    finally:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()])
    with pytest.raises(ValueError, match="Unrecognized device"):
        tf.config.set_visible_devices("x")
    assert not hasattr(tf.config, "nothing_of_that_name")


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS.variable, "3")
    tf.config.threading.set_intra_op_parallelism_threads(2)
    assert tf.config.threading.get_intra_op_parallelism_threads() == THREADS.value == 2
    tf.config.threading.set_intra_op_parallelism_threads(0)
    assert not THREADS.is_set


def test_cluster() -> None:
    spec = tf.train.ClusterSpec({"worker": ["a:1", "b:2"], "ps": {0: "c:3"}})
    assert spec.as_dict() == {"worker": ["a:1", "b:2"], "ps": ["c:3"]}
    assert spec == tf.train.ClusterSpec(spec.as_cluster_def())
    with pytest.raises(ValueError, match="No task with index 5 in job 'worker'"):
        spec.task_address("worker", 5)
    server = tf1.train.Server(spec, "worker", 0)
    with pytest.raises(NotImplementedError, match="b:2, c:3"):
        _ = server.target
    tf1.train.Server(spec, "worker", 1)
    tf1.train.Server(spec, "ps", 0)
    with tf.Graph().as_default(), tf1.Session(server.target) as session:
        assert session.run(tf.constant(2)) == 2
    assert tf1.train.Server.create_local_server().target == ""


def test_hyperparameters() -> None:
    settings = tf1.contrib.training.HParams(rate=0.1, layers=[64, 64], name="x", fast=False)
    settings.parse("rate=0.5,layers=[32,16],name=hello,fast=true,layers[1]=8")
    assert settings.values() == {"rate": 0.5, "layers": [32, 8], "name": "hello", "fast": True}
    assert settings.get("missing", 3) == 3
    assert settings.set_hparam("rate", 1) is None
    assert settings.rate == 1.0
    for wrong in ("other=1", "rate=x", "rate=[1,2]", "rate"):
        with pytest.raises(ValueError, match=r"hyperparameter|hparam"):
            settings.parse(wrong)
    with pytest.raises(ValueError, match="reserved"):
        settings.add_hparam("rate", 1)


def test_versions() -> None:
    assert tf.__version__ == tf.version.VERSION == "2.21.0"
    assert tf1.__version__ == tf1.VERSION == tf1.version.VERSION == "1.15.0"
    with pytest.raises(NotImplementedError, match="no C\\+\\+ headers"):
        tf.sysconfig.get_include()


def test_text() -> None:
    assert tf.compat.as_bytes("é") == b"\xc3\xa9"
    assert tf.compat.as_text(b"a") == tf.compat.as_str_any(b"a") == "a"
    assert tf.compat.path_to_str(Path("/a")) == "/a"
    assert tf.compat.forward_compatible(2019, 1, 1)
    with pytest.raises(TypeError, match="Expected binary or unicode string, got 3"):
        tf.compat.as_bytes(3)


def test_resources(tmp_path: Path) -> None:
    assert tf1.resource_loader.get_path_to_datafile("x") == str(Path(__file__).parent / "x")
    assert tf1.resource_loader.load_resource(Path(__file__).name).startswith(b'"""tf.flags')


def test_gradients_of_functions() -> None:
    tfe = tf1.contrib.eager
    square = tfe.gradients_function(lambda x: x * x)
    assert [float(g) for g in square(3.0)] == [6.0]
    assert [float(g) for g in tfe.gradients_function(lambda x: square(x)[0])(3.0)] == [2.0]
    value, gradients = tfe.value_and_gradients_function(lambda a, b: a * b, params=["b"])(2.0, 5.0)
    assert (float(value), [float(g) for g in gradients]) == (10.0, [2.0])
    variable = tfe.Variable(3.0)
    ((gradient, found),) = tfe.implicit_gradients(lambda x: variable * x)(4.0)
    assert found is variable
    assert float(gradient) == 4.0
    with pytest.raises(ValueError, match="returns None"):
        tfe.gradients_function(lambda x: None)(1.0)
    with pytest.raises(ValueError, match="No trainable variables"):
        tfe.implicit_gradients(lambda: tf.constant(1.0))()


def test_is_tensor() -> None:
    assert [tf.is_tensor(v) for v in (tf.Variable(1), 1, np.zeros(2), tf.constant(1), None)] == [
        True, False, False, True, False,
    ]  # fmt: skip
