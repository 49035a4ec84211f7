"""What must hold for every row: each check gives the differences it finds, one line each."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.ops import harness
from tests.ops.harness import Array, Row, difference, differences
from tests.ops.inputs import dtype_name
from tests.ops.recording import Recording, load

Check = Callable[[Any], list[str]]


@functools.cache
def _topic_of() -> dict[str, str]:
    return {row.name: topic for topic in harness.TOPICS for row in harness.topic_rows(topic)}


def recording_of(row: Row) -> tuple[Recording, dict[str, Any]]:
    """The recording that holds a row, and its entry; a row that was never recorded is an error."""
    stored = load(_topic_of()[row.name])
    if row.name not in stored.rows:
        raise LookupError(f"{row.name} has no recorded results: run tools/record_oracle.py")
    return stored, stored.rows[row.name]


def is_recorded(row: Row) -> bool:
    """Whether TensorFlow's results for a row are stored."""
    return row.name in load(_topic_of()[row.name]).rows


def recorded_dtypes(row: Row) -> list[str]:
    """The dtypes that TensorFlow has the row for; all of the row's where nothing is recorded."""
    stored = load(_topic_of()[row.name])
    return list(stored.rows[row.name]["values"]) if row.name in stored.rows else list(row.dtypes)


def check_values(tf: Any, row: Row, dtype: str) -> list[str]:
    """Eager results are TensorFlow's, for every variant."""
    stored, entry = recording_of(row)
    lines = []
    for variant, outputs in entry["values"][dtype].items():
        actual = harness.run_eager(tf, row, row.arrays(variant, dtype))
        lines += _labelled(variant, differences(actual, stored.arrays(outputs), row.tolerance))
    return lines


def check_graph(tf: Any, row: Row, dtype: str) -> list[str]:
    """A fed graph gives the eager results, with shapes known and unknown; inferred shapes are TensorFlow's."""
    _, entry = recording_of(row)
    variants = list(entry["values"][dtype])
    lines = []
    for variant in variants if dtype == _primary(row) else variants[:1]:
        arrays = row.arrays(variant, dtype)
        eager = harness.run_eager(tf, row, arrays)
        for unknown in (False, True) if row.unknown_shapes else (False,):
            label = f"{variant}, shapes {'unknown' if unknown else 'known'}"
            fetched, inferred = harness.run_graph(tf, row, arrays, unknown)
            lines += _labelled(label, differences(fetched, eager, row.tolerance))
            static = entry["static"].get(variant, {}) if dtype == _primary(row) else {}
            expected = static.get("unknown" if unknown else "known")
            lines += _labelled(label, _shape_differences(inferred, fetched, expected))
    return lines


def check_function(tf: Any, row: Row) -> list[str]:
    """Inside a `tf.function` the row gives the eager results."""
    _, entry = recording_of(row)
    lines = []
    dtype = _primary(row)
    for variant in entry["values"][dtype]:
        arrays = row.arrays(variant, dtype)
        traced = harness.run_function(tf, row, arrays)
        lines += _labelled(variant, differences(traced, harness.run_eager(tf, row, arrays), row.tolerance))
    return lines


def check_gradient(tf: Any, row: Row, dtype: str) -> list[str]:
    """GradientTape gives TensorFlow's gradient, and `tf.gradients` the same."""
    stored, entry = recording_of(row)
    lines = []
    for variant, recorded in entry["gradients"][dtype].items():
        arrays = row.arrays(variant, dtype)
        by_tape = harness.run_tape(tf, row, variant, arrays)
        lines += _labelled(variant, _kind_differences(row, by_tape))
        dense = [harness.dense_array(tf, gradient) for gradient in by_tape]
        expected = [None if gradient is None else stored.array(gradient) for gradient in recorded]
        lines += _labelled(variant, _gradient_differences(dense, expected, row.gradient_tolerance))
        shapes = [(tuple(shape), name) for name, shape, _ in entry["values"][dtype][variant]]
        symbolic = harness.run_symbolic_gradient(tf, row, variant, arrays, shapes)
        lines += _labelled(f"{variant}, tf.gradients", _gradient_differences(symbolic, dense, row.gradient_tolerance))
    return lines


def check_native(tf: Any, row: Row) -> list[str]:
    """The native engine's values and gradients are the reference engine's."""
    _, entry = recording_of(row)
    engines = importlib.import_module("tests.ops.engines")  # it imports rillet, which may not be what is tested
    return list(engines.differences(tf, row, entry["values"], entry["gradients"]))


def check_derivative(tf: Any, row: Row, order: int) -> list[str]:
    """The derivative along a random direction is that of a finite difference."""
    by_tape, by_difference = harness.directional(tf, row, order)
    bound = harness.QUOTIENT_TOLERANCE[row.gradient_dtypes[0]] * row.gradient_tolerance * max(1.0, abs(by_difference))
    if abs(by_tape - by_difference) <= bound:
        return []
    return [f"order {order}: tape {by_tape!r}, finite difference {by_difference!r}"]


def check_error(tf: Any, row: Row, position: int) -> list[str]:
    """A bad call fails with TensorFlow's error class and key phrase, eagerly and in a graph."""
    bad = row.errors[position]
    lines = []
    for mode, run, expected in (("eager", harness.bad_eager, bad.eager), ("graph", harness.bad_graph, bad.graph)):
        if expected is not None:
            lines += _labelled(mode, _error_differences(harness.error_of(functools.partial(run, tf, bad)), *expected))
    return lines


def checks_of(row: Row) -> Iterator[tuple[str, Check]]:
    """Every check of a row, each with its label."""
    for dtype in recorded_dtypes(row):
        yield f"value {dtype}", functools.partial(check_values, row=row, dtype=dtype)
        if row.graph:
            yield f"graph {dtype}", functools.partial(check_graph, row=row, dtype=dtype)
    if row.function:
        yield "function", functools.partial(check_function, row=row)
    if row.graph and harness.module_under_test().__name__ == "rillet":
        yield "native", functools.partial(check_native, row=row)
    for dtype in gradient_dtypes(row):
        yield f"gradient {dtype}", functools.partial(check_gradient, row=row, dtype=dtype)
    for order in derivative_orders(row):
        yield f"derivative {order}", functools.partial(check_derivative, row=row, order=order)
    for position in range(len(row.errors)):
        yield f"error {position}", functools.partial(check_error, row=row, position=position)


def gradient_dtypes(row: Row) -> list[str]:
    """The dtypes with recorded gradients."""
    stored = load(_topic_of()[row.name])
    return list(stored.rows.get(row.name, {}).get("gradients", {}))


def derivative_orders(row: Row) -> tuple[int, ...]:
    """The orders that are checked by finite differences (of real numbers)."""
    if not row.differentiated() or row.gradient_dtypes[0] not in harness.STEP:
        return ()
    return tuple(range(1, row.orders + 1))


def _primary(row: Row) -> str:
    return recorded_dtypes(row)[0]


def _labelled(label: str, lines: list[str]) -> list[str]:
    return [f"[{label}] {line}" for line in lines]


def _shape_differences(inferred: list[Any], fetched: list[Array], expected: list[Any] | None) -> list[str]:
    lines = []
    for position, (shape, value) in enumerate(zip(inferred, fetched, strict=True)):
        if not harness.compatible(shape, value.shape):
            lines.append(f"output {position}: inferred shape {shape}, but the value has {value.shape}")
    for position, (shape, theirs) in enumerate(zip(inferred, expected or [], strict=False)):
        if theirs is not None and None not in theirs and shape != theirs:
            lines.append(f"output {position}: inferred shape {shape}, TensorFlow infers {theirs}")
    return lines


def _kind_differences(row: Row, gradients: list[Any]) -> list[str]:
    wanted = set(row.indexed_slices)
    kinds = zip(row.differentiated(), gradients, strict=True)
    dense = [position for position, gradient in kinds if position in wanted and not hasattr(gradient, "indices")]
    return [f"the gradient of input {position} is not IndexedSlices" for position in dense]


def _gradient_differences(actual: list[Array | None], expected: list[Array | None], factor: float) -> list[str]:
    lines = []
    for position, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        if ours is None or theirs is None:
            if ours is not theirs:
                lines.append(f"gradient {position}: {_presence(ours)}, expected {_presence(theirs)}")
            continue
        line = difference(ours, theirs, factor)
        lines += [f"gradient {position}: {line}"] if line else []
    return lines


def _presence(gradient: Array | None) -> str:
    return "None" if gradient is None else f"{dtype_name(gradient.dtype)}{list(gradient.shape)}"


def _error_differences(raised: tuple[list[str], str] | None, kind: str, phrase: str) -> list[str]:
    if raised is None:
        return [f"nothing was raised, expected {kind}: ...{phrase}..."]
    kinds, message = raised
    if kind in kinds and phrase in message:
        return []
    first = message.strip().splitlines()[0] if message.strip() else ""
    return [f"raised {kinds[0]}: {first!r}, expected {kind}: ...{phrase}..."]
