"""Elementwise ops on values at the edges of their dtypes, compiled, against the reference kernels.

All ops that are marked elementwise and take the dtype are tried; those of one dtype are one program.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import rillet as tf
from rillet.compiler.arrays import Arrays, Source
from rillet.compiler.lower import Failed, Lowering
from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.core.opdef import REGISTRY, OpDef
from rillet.errors import InvalidArgumentError
from tests.engines import NativeEngine, ReferenceEngine, State, compiling_always
from tests.native.test_lowering_indexing import is_native

DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint32", "uint64", "bool")
CLOSE = {"float16": 2.0**-9, "bfloat16": 2.0**-6, "float32": 2.0**-18, "float64": 2.0**-43}
DIVISIONS = ("Div", "TruncateDiv", "FloorDiv", "Mod", "FloorMod", "TruncateMod", "Pow")
# Made in several steps, which the reference kernels round to 16 bits each: of 16-bit floats they are less exact.
STEPS = ("InvGrad", "ReciprocalGrad", "RsqrtGrad", "SigmoidGrad", "TanhGrad")
# Special functions, whose kernels look at values; and what makes complex numbers.
WITHOUT_FORM = {
    *("BesselI0", "BesselI0e", "BesselI1", "BesselI1e", "BesselJ0", "BesselJ1", "BesselK0", "BesselK0e", "BesselK1"),
    *("BesselK1e", "BesselY0", "BesselY1", "Betainc", "Complex", "Dawsn", "Expint", "FresnelCos"),
    *("FresnelSin", "Igamma", "IgammaGradA", "Igammac", "NextAfter", "Polygamma", "RandomGammaGrad"),
    *("Spence", "Zeta"),
}


def numpy_dtype(name: str) -> Any:
    return np.dtype(getattr(ml_dtypes, name) if name == "bfloat16" else name)


def edges(name: str) -> Any:
    kind = numpy_dtype(name)
    if name == "bool":
        return np.array([True, False])
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        values = [0, 1, 2, 3, 5, 7, limits.bits - 1, limits.bits, 100, limits.max - 1, limits.max]
        return np.array(values + ([-1, -2, -3, -7, -100, limits.min, limits.min + 1] if kind.kind == "i" else []), kind)
    values = [0.0, 1e-3, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 10.0, 50.0, 100.0, 1e4, np.inf]
    return np.array([*values, *[-value for value in values], np.nan]).astype(kind)


class Table:
    """One graph with all the ops on pairs of edges."""

    def __init__(self, dtype: str) -> None:
        values = edges(dtype)
        first, second = (values[places.ravel()] for places in np.meshgrid(*[np.arange(len(values))] * 2, indexing="ij"))
        if values.dtype.kind in "iu":
            second_divisor = np.where(second > 0, second, values.dtype.type(3))
        else:
            second_divisor = second
        signs = np.random.default_rng(0).integers(0, 2, first.shape).astype(bool)
        self.arrays = [first, second, second_divisor, signs]
        self.graph = tf.Graph()
        self.labels: list[str] = []
        self.outputs: list[Any] = []
        with self.graph.as_default():
            self.feeds = [tf.compat.v1.placeholder(dtypes.as_dtype(array.dtype), array.shape) for array in self.arrays]
            for name, definition in sorted(REGISTRY.items()):
                if definition.elementwise and name not in WITHOUT_FORM:
                    self.add(definition)

    def add(self, definition: OpDef) -> None:
        x, y, divisor, signs = self.feeds
        arguments: list[Any] = []
        for argument in definition.signature.inputs:
            given = [x, divisor if definition.name in DIVISIONS else y][len(arguments) % 2]
            arguments.append(given if argument.type_attr is not None else signs)
        try:
            made = apply_op(definition, arguments)
        except (TypeError, ValueError):  # not of this dtype, or it needs more than that
            return
        for output in [made] if isinstance(made, tf.Tensor) else made:
            self.labels.append(definition.name)
            self.outputs.append(output)


def compare(label: str, table: Table, ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == theirs.dtype, label
    if ours.dtype.kind in "iub":
        wrong = ours != theirs
    else:
        x, y = ours.astype(np.float64), theirs.astype(np.float64)
        with np.errstate(all="ignore"):
            near = np.abs(x - y) <= CLOSE[ours.dtype.name] * np.abs(y)
        # NumPy itself is of two minds about the sign of the greater one of 0.0 and -0.0.
        signed = (np.signbit(x) == np.signbit(y)) | (ours.dtype.itemsize == 2)
        wrong = ~(np.isnan(x) & np.isnan(y)) & ~((near | (x == y)) & signed)
    places = np.flatnonzero(wrong)[:4]
    examples = [(*[array[place] for array in table.arrays[:3]], ours[place], theirs[place]) for place in places]
    assert not examples, f"{label}: {wrong.sum()} wrong, such as {examples}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(dtype: str) -> None:
    table = Table(dtype)
    results: list[list[Any]] = []
    for engine in (ReferenceEngine(), NativeEngine()):
        executable = State(engine).compiled(table.feeds, table.outputs)
        with compiling_always(), np.errstate(all="ignore"):
            results.append(list(executable(table.arrays)))
    assert is_native(executable), "an operation ran through its reference kernel"
    for label, theirs, ours in zip(table.labels, *results, strict=True):
        if dtype not in ("float16", "bfloat16") or label not in STEPS:
            compare(label, table, ours, theirs)


def test_which_ops_have_no_form() -> None:
    """Every op that is marked elementwise can be compiled, but for those that are known not to be."""
    found: set[str] = set()
    for name, definition in REGISTRY.items():
        if definition.elementwise and not lowers(definition):
            found.add(name)
    assert found == WITHOUT_FORM


def lowers(definition: OpDef) -> bool:
    with tf.Graph().as_default() as graph:
        kinds = [dtypes.float32 if each.type_attr is not None else each.dtype for each in definition.signature.inputs]
        feeds = [tf.compat.v1.placeholder(kind, [4]) for kind in kinds]
        try:
            made = apply_op(definition, feeds)
        except (TypeError, ValueError):  # not for floats
            return True
    outputs = [made] if isinstance(made, tf.Tensor) else list(made)
    program = Arrays()
    function = Function.cut("test", feeds, outputs, [], graph)
    sources = [Source(program, (4,), kind.base_dtype, "input", place) for place, kind in enumerate(kinds)]
    try:
        Lowering(function, sources, ExecutionContext(NativeEngine()), program)
    except Failed:
        return False
    return True


# ---- casts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", DTYPES)
def test_casts(source: str) -> None:
    values = edges(source)
    if values.dtype.kind not in "iub":  # what does not fit is the machine's own affair
        values = np.array([0, -0.0, 0.5, -0.5, 1.5, 2.5, 99.75, 100], values.dtype)
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(dtypes.as_dtype(values.dtype), values.shape)
        outputs = [tf.cast(x, dtype) for dtype in (*DTYPES, "int16", "uint16")]
        whole = [dtype for dtype in DTYPES if dtype not in ("bool", "float16", "bfloat16")]
        if source in whole:
            outputs += [tf.bitcast(x, dtype) for dtype in whole if numpy_dtype(dtype).itemsize == values.itemsize]
    with compiling_always(), np.errstate(all="ignore"):
        expected = State(ReferenceEngine()).run([x], [values], outputs)
        executable = State(NativeEngine()).compiled([x], outputs)
        actual = executable([values])
    assert is_native(executable)
    for tensor, ours, theirs in zip(outputs, actual, expected, strict=True):
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        np.testing.assert_array_equal(ours, theirs, f"{source} to {tensor.dtype.name}")


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64"])
def test_divisors_of_zero_and_negative_powers(dtype: str) -> None:
    x = np.array([1, 7, 100], dtype)
    with tf.Graph().as_default():
        feeds = [tf.compat.v1.placeholder(dtype, [3]) for _ in range(2)]
        cases = [(name, 0) for name in ("Div", "FloorDiv", "FloorMod", "TruncateDiv")]
        cases += [("Pow", -1)] if dtype != "uint8" else []
        results = [(apply_op(REGISTRY[name], feeds), wrong) for name, wrong in cases]
        state = State(NativeEngine())
        with compiling_always():
            for result, wrong in results:
                executable = state.compiled(feeds, [result])
                executable([x, x])
                with pytest.raises(InvalidArgumentError):
                    executable([x, np.array([1, wrong, 2], dtype)])
                assert is_native(executable)


def test_powers_of_integers() -> None:
    base, exponent = np.array([0, 1, 2, -3, 40000, -1], np.int32), np.array([0, 9, 30, 5, 3, 2**31 - 1], np.int32)
    with tf.Graph().as_default():
        x, y = (tf.compat.v1.placeholder(tf.int32, [6]) for _ in range(2))
        outputs = [x**y, x**0, x**1, x**5, x ** tf.constant([0, 1, 2, 3, 4, 5]), x[:, None] ** y]
    with compiling_always():
        for ours, theirs in zip(
            *(State(engine()).run([x, y], [base, exponent], outputs) for engine in (NativeEngine, ReferenceEngine)),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)
