"""Recurrent cells of TensorFlow 1: wrappers, names, reuse, cells of one's own, errors, imports."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core import nest
from tests.compat.recurrent import BATCH, INPUTS, TIME, UNITS, dynamic, numpy_loop, numpy_lstm, run, starting

v1 = tf.compat.v1
cells = v1.nn.rnn_cell
contrib = v1.contrib.rnn


@pytest.mark.parametrize("is_tuple", [True, False])
def test_cells_upon_cells(is_tuple: bool) -> None:
    with tf.Graph().as_default():
        parts = [cells.BasicLSTMCell(UNITS, state_is_tuple=is_tuple) for _ in range(2)]
        stacked = cells.MultiRNNCell(parts, state_is_tuple=is_tuple)
        with starting():
            x, (outputs, state) = dynamic(stacked)
        names = [variable.name for variable in v1.global_variables()]
        assert names == [
            f"net/rnn/multi_rnn_cell/cell_{number}/basic_lstm_cell/{part}:0"
            for number in (0, 1)
            for part in ("kernel", "bias")
        ]
        assert [variable.name for variable in stacked.trainable_variables] == names
        pair = cells.LSTMStateTuple(UNITS, UNITS)
        assert stacked.state_size == ((pair, pair) if is_tuple else 4 * UNITS)
        reads = [variable.read_value() for variable in v1.global_variables()]
        found, last, values = run("native", [outputs, state, reads], {x: INPUTS})
    whole = np.full(BATCH, TIME)
    weights = [dict(zip(("kernel", "bias"), values[at : at + 2], strict=True)) for at in (0, 2)]
    lower, lower_state = numpy_loop(numpy_lstm, weights[0], INPUTS, (UNITS, UNITS), whole)
    upper, upper_state = numpy_loop(numpy_lstm, weights[1], lower, (UNITS, UNITS), whole)
    np.testing.assert_allclose(found, upper, atol=1e-12)
    np.testing.assert_allclose(np.hstack(nest.flatten(last)), np.hstack([*lower_state, *upper_state]), atol=1e-12)


def test_dropout_of_inputs_outputs_and_states() -> None:
    ones = np.ones([50, 20])
    with tf.Graph().as_default():
        with starting():
            x = tf.constant(ones)
            for options in ({"output_keep_prob": 0.5}, {"state_keep_prob": 0.5}):
                inner = cells.BasicLSTMCell(20, name="same", reuse=v1.AUTO_REUSE)
                state = inner.zero_state(50, tf.float64)
                plain = inner(x, state)
                dropped = cells.DropoutWrapper(inner, seed=4, **options)(x, state)
                (output, (c, h)), (made, (made_c, made_h)) = run("native", [plain, dropped])
                np.testing.assert_array_equal(made_c, c)  # a memory is never dropped
                changed, whole = (made, output) if "output_keep_prob" in options else (made_h, h)
                kept = changed != 0
                np.testing.assert_allclose(changed[kept], 2 * whole[kept], rtol=1e-12)
                assert 0.4 < kept.mean() < 0.6
        assert len(v1.global_variables()) == 2


def test_variational_dropout_chooses_once() -> None:
    class Through(cells.RNNCell):  # type: ignore[misc]
        """Gives what it gets."""

        state_size = output_size = 8

        def call(self, inputs: Any, state: Any) -> Any:
            return inputs, state

    def outputs(varies: bool) -> Any:
        with tf.Graph().as_default():
            options: Any = {"variational_recurrent": True, "dtype": tf.float32, "input_size": 8} if varies else {}
            cell = cells.DropoutWrapper(Through(), input_keep_prob=0.5, seed=2, **options)
            made, _ = v1.nn.dynamic_rnn(cell, tf.ones([2, 30, 8]), dtype=tf.float32)
            return run("native", made)

    once, each = outputs(True), outputs(False)
    assert (once == once[:1, :1]).all()
    assert set(np.unique(once)) == {0.0, 2.0}
    assert not (each == each[:1, :1]).all()


def test_a_tensor_as_keep_probability() -> None:
    with tf.Graph().as_default():
        keep = v1.placeholder(tf.float32, [])
        cell = cells.DropoutWrapper(cells.GRUCell(UNITS), output_keep_prob=keep)
        outputs, _ = v1.nn.dynamic_rnn(cell, tf.ones([2, 50, 3]), dtype=tf.float32)
        assert (run("native", outputs, {keep: np.float32(1)}) != 0).all()
        assert 0.3 < (run("native", outputs, {keep: np.float32(0.5)}) != 0).mean() < 0.7


def test_projections_have_scopes_of_their_own() -> None:
    with tf.Graph().as_default():
        cell = contrib.OutputProjectionWrapper(contrib.InputProjectionWrapper(cells.GRUCell(4), 6), 5)
        outputs, _ = v1.nn.dynamic_rnn(cell, tf.ones([2, 3, 2]), dtype=tf.float32)
        assert outputs.shape.as_list() == [2, 3, 5]
        shapes = {variable.name: variable.shape.as_list() for variable in v1.global_variables()}
    outer = "rnn/output_projection_wrapper/"
    assert shapes[outer + "kernel:0"] == [4, 5]
    assert shapes[outer + "input_projection_wrapper/kernel:0"] == [2, 6]
    assert shapes[outer + "input_projection_wrapper/gru_cell/gates/kernel:0"] == [10, 8]


def test_names_and_reuse() -> None:
    with tf.Graph().as_default():
        x = tf.ones([2, 3, 4])
        v1.nn.dynamic_rnn(cells.BasicLSTMCell(5), x, dtype=tf.float32)
        with pytest.raises(ValueError, match="rnn/basic_lstm_cell/kernel already exists, disallowed"):
            v1.nn.dynamic_rnn(cells.BasicLSTMCell(5), x, dtype=tf.float32)
        v1.nn.dynamic_rnn(cells.BasicLSTMCell(5, reuse=True), x, dtype=tf.float32)
        v1.nn.dynamic_rnn(cells.BasicLSTMCell(5, name="own"), x, dtype=tf.float32, scope="other")
        cells.GRUCell(2)(x[0], tf.zeros([3, 2]), scope="given")
        for _ in range(2):
            cells.BasicRNNCell(2, name="twice")(x[0], tf.zeros([3, 2]))
        kernels = [variable.name for variable in v1.global_variables() if variable.name.endswith("kernel:0")]
    assert kernels == [
        "rnn/basic_lstm_cell/kernel:0", "other/own/kernel:0", "given/gates/kernel:0", "given/candidate/kernel:0",
        "twice/kernel:0", "twice_1/kernel:0",
    ]  # fmt: skip


def test_cells_of_ones_own() -> None:
    class Old(cells.RNNCell):  # type: ignore[misc]
        """As programs wrote them before cells were layers."""

        def __init__(self, units: int) -> None:
            self._units = units

        @property
        def state_size(self) -> int:
            return self._units

        output_size = state_size

        def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Any:
            with v1.variable_scope(scope or type(self).__name__):
                weight = v1.get_variable("w", [inputs.shape.as_list()[-1], self._units])
                output = tf.matmul(inputs, weight) + state
                return output, output

    class New(Old):
        __call__ = cells.RNNCell.__call__

        def call(self, inputs: Any, state: Any) -> Any:
            weight = v1.get_variable("w", [inputs.shape.as_list()[-1], self._units])
            output = tf.matmul(inputs, weight) + state
            return output, output

    with tf.Graph().as_default():
        v1.nn.dynamic_rnn(Old(3), tf.ones([2, 3, 4]), dtype=tf.float32)
        v1.nn.static_rnn(Old(3), [tf.ones([2, 4])] * 3, dtype=tf.float32, scope="listed")
        cell = New(3)
        outputs, _ = v1.nn.dynamic_rnn(cell, tf.ones([2, 3, 4]), dtype=tf.float32, scope="later")
        assert [variable.name for variable in cell.trainable_variables] == ["later/new/w:0"]
        names = [variable.name for variable in v1.global_variables()]
        assert names == ["rnn/Old/w:0", "listed/Old/w:0", "later/new/w:0"]
        result, weight = run("native", [outputs, v1.global_variables()[2].read_value()])
    np.testing.assert_allclose(result[0], weight.sum(0) * np.arange(1, 4)[:, None], rtol=1e-5)


def test_zero_states() -> None:
    with tf.Graph().as_default():
        state = cells.LSTMCell(4, num_proj=3).zero_state(2, tf.float32)
        assert isinstance(state, cells.LSTMStateTuple)
        assert [part.name for part in state] == ["LSTMCellZeroState/zeros:0", "LSTMCellZeroState/zeros_1:0"]
        assert [part.shape.as_list() for part in state] == [[2, 4], [2, 3]]
        size = v1.placeholder(tf.int32, [])
        unknown = cells.BasicLSTMCell(4, state_is_tuple=False).zero_state(size, tf.float64)
        assert unknown.shape.as_list() == [None, 8]
        assert run("native", unknown, {size: np.int32(3)}).shape == (3, 8)
        with pytest.raises(TypeError, match="Inconsistent internal state"):
            _ = cells.LSTMStateTuple(tf.ones([2]), tf.ones([2], tf.float64)).dtype


def _x(*shape: int | None) -> Any:
    return v1.placeholder(tf.float32, shape)


def _dynamic_error(x: Callable[[], Any], dtype: Any = tf.float32, **options: Any) -> Callable[[], Any]:
    return lambda: v1.nn.dynamic_rnn(cells.BasicLSTMCell(4), x(), dtype=dtype, **options)


_ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (_dynamic_error(lambda: _x(2, 3, 4), None), ValueError, "If there is no initial_state, you must give a dtype."),
    (_dynamic_error(lambda: _x(2, 3)), ValueError, "must have rank at least 3"),
    (_dynamic_error(lambda: _x(2, 3, None)), ValueError, "must be accessible via shape inference, but saw value None"),
    (
        _dynamic_error(lambda: _x(2, 3, 4), sequence_length=[[1, 2]]),
        ValueError,
        "must be a vector of length batch_size",
    ),
    (_dynamic_error(lambda: _x(2, 3, 4), sequence_length=[1, 2, 3]), ValueError, "vector of length batch_size 2"),
    (
        lambda: v1.nn.dynamic_rnn(3, _x(2, 3, 4)),
        TypeError,
        r"The argument 'cell' \(3\) is not an RNNCell: 'output_size'",
    ),
    (lambda: v1.nn.static_rnn(cells.GRUCell(2), _x(2, 3)), TypeError, "inputs must be a sequence"),
    (lambda: v1.nn.static_rnn(cells.GRUCell(2), []), ValueError, "inputs must not be empty"),
    (lambda: v1.nn.static_rnn(cells.GRUCell(2), [_x(2, 3)]), ValueError, "dtype must be specified"),
    (lambda: v1.nn.static_rnn(cells.GRUCell(2), [_x(2, None)], dtype=tf.float32), ValueError, "dimension 0 of inputs"),
    (lambda: cells.MultiRNNCell([]), ValueError, "Must specify at least one cell"),
    (lambda: cells.MultiRNNCell(cells.GRUCell(2)), TypeError, "cells must be a list or tuple"),
    (
        lambda: cells.MultiRNNCell([cells.LSTMCell(2)], state_is_tuple=False),
        ValueError,
        "flag state_is_tuple is not set",
    ),
    (lambda: cells.DropoutWrapper(cells.GRUCell(2), 2.0), ValueError, "must be between 0 and 1"),
    (lambda: cells.DropoutWrapper(3), TypeError, "is not an RNNCell"),
    (
        lambda: cells.DropoutWrapper(cells.GRUCell(2), variational_recurrent=True),
        ValueError,
        "When variational_recurrent=True, dtype must be provided",
    ),
    (lambda: cells.ResidualWrapper(cells.GRUCell(2))(_x(2, 3), _x(2, 2)), ValueError, "incompatible"),
    (lambda: cells.BasicLSTMCell(2)(_x(2, 3), (_x(2, 2),)), ValueError, "state to be a tuple of length 2"),
    (lambda: cells.GRUCell(2)(_x(2, 3, 4), _x(2, 2)), ValueError, "expected ndim=2, found ndim=3"),
    (lambda: v1.nn.raw_rnn(cells.GRUCell(2), 3), TypeError, "loop_fn must be a callable"),
]


@pytest.mark.parametrize("number", range(len(_ERRORS)))
def test_errors(number: int) -> None:
    program, kind, message = _ERRORS[number]
    with tf.Graph().as_default(), pytest.raises(kind, match=message):
        program()


def test_imports_of_programs() -> None:
    program = """
        from rillet.compat import alias
        alias.install("v1")
        import tensorflow as tf
        import sys
        assert "rillet.compat.recurrent" not in sys.modules
        from tensorflow.contrib import rnn
        from tensorflow.contrib.rnn import BasicLSTMCell
        import tensorflow.contrib.rnn as again
        from tensorflow.python.ops import rnn as loops, rnn_cell
        from tensorflow.python.ops.rnn_cell import LSTMStateTuple
        assert BasicLSTMCell is rnn.BasicLSTMCell is tf.nn.rnn_cell.BasicLSTMCell is rnn_cell.BasicLSTMCell
        assert loops.dynamic_rnn is tf.nn.dynamic_rnn and again.static_rnn is tf.nn.static_rnn
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120)
