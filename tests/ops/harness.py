"""Rows of the op table, the modes a row is run in, and the comparison of results.

A `Row` is one call of one public function. It is run for several dtypes and shape variants, eagerly, in a graph
(shapes known and unknown), inside a `tf.function`, and differentiated. `python -m tests.ops.harness NAME...` runs the
rows whose names match and prints every difference from TensorFlow's recorded results.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from tests.ops.inputs import FLOATS, Input, Shape, dtype_name

Array = np.ndarray[Any, Any]
TOPICS = ("elementwise", "reduce", "array", "linalg", "nn", "control", "string", "misc", "random", "state")
BASE = "base"

TOLERANCE = {
    "float64": (1e-10, 1e-12),
    "complex128": (1e-10, 1e-12),
    "float32": (2e-5, 2e-6),
    "complex64": (4e-5, 4e-6),
    "float16": (6e-3, 3e-3),
    "bfloat16": (4e-2, 2e-2),
}


@dataclass(frozen=True)
class Bad:
    """A call that must fail, with the error class and a phrase of its message, eagerly and in a graph.

    `graph` covers building and running the graph; "Exception" and "" accept any. None: nothing is asked of that mode.
    """

    call: Callable[..., Any]
    inputs: Sequence[Any]
    eager: tuple[str, str] | None
    graph: tuple[str, str] | None


@dataclass(frozen=True)
class Row:
    """One public call, and how it is tested.

    Attributes:
      name: unique; a label in brackets tells apart rows of the same function.
      call: called as `call(tf, *tensors)`; gives a tensor or a nest of tensors.
      inputs: the arguments of the base variant.
      dtypes: dtypes the row is run for (those of inputs that name none themselves).
      variants: name -> one entry for each input: None (as in the base), a shape, or another `Input`.
      constant_variants: variants that are run for values only, not differentiated (kinks, infinities, nan).
      wrt: inputs differentiated; None: every input that follows a floating dtype; (): not differentiable.
      gradient_dtypes: dtypes for which TensorFlow's gradient is recorded.
      orders: up to which order derivatives are checked by finite differences (0: the gradient is not the derivative).
      tolerance: factor on the usual tolerances; gradient_tolerance likewise for gradients.
      float_variants: variants run only for (real) floating dtypes.
      indexed_slices: inputs whose gradient must arrive as IndexedSlices.
      eager, graph, unknown_shapes, function: whether the row is run eagerly, in a graph, with unknown shapes, in a
        `tf.function`. What is not run eagerly is run in a graph instead.
      initialize: whether a graph's variables must be initialized before the outputs are fetched.
      errors: bad calls of the same function.
      smoke: part of the quick subset.
    """

    name: str
    call: Callable[..., Any]
    inputs: Sequence[Input] = ()
    dtypes: Sequence[str] = FLOATS
    variants: dict[str, Sequence[Shape | Input | None]] = field(default_factory=dict)
    constant_variants: Sequence[str] = ("special",)
    wrt: Sequence[int] | None = None
    gradient_dtypes: Sequence[str] = ("float64",)
    orders: int = 2
    tolerance: float = 1.0
    gradient_tolerance: float = 1.0
    float_variants: Sequence[str] = ("special",)
    indexed_slices: Sequence[int] = ()
    unknown_shapes: bool = True
    eager: bool = True
    graph: bool = True
    function: bool = True
    initialize: bool = False
    errors: Sequence[Bad] = ()
    smoke: bool = False

    def variant_names(self, dtype: str) -> list[str]:
        """The variants run for `dtype`, the base first."""
        return [BASE, *(name for name in self.variants if dtype in FLOATS or name not in self.float_variants)]

    def specs(self, variant: str) -> list[Input]:
        """The inputs of a variant."""
        if variant == BASE:
            return list(self.inputs)
        changes = self.variants[variant]
        if len(changes) != len(self.inputs):
            raise ValueError(f"{self.name}: variant {variant} has {len(changes)} entries for {len(self.inputs)} inputs")
        return [_changed(spec, change) for spec, change in zip(self.inputs, changes, strict=True)]

    def arrays(self, variant: str, dtype: str) -> list[Array]:
        """The arrays of a variant, drawn from a seed that is made of the row's name."""
        seed = f"{self.name}/{variant}"
        return [spec.make(f"{seed}/{position}", dtype) for position, spec in enumerate(self.specs(variant))]

    def differentiated(self) -> tuple[int, ...]:
        """Positions of the inputs that are differentiated."""
        if self.wrt is not None:
            return tuple(self.wrt)
        if not any(dtype in FLOATS for dtype in self.dtypes):
            return ()
        return tuple(position for position, spec in enumerate(self.inputs) if spec.dtype in (None, *FLOATS))

    def gradient_variants(self) -> list[str]:
        return [name for name in (BASE, *self.variants) if name not in self.constant_variants]


def _changed(spec: Input, change: Shape | Input | None) -> Input:
    if change is None:
        return spec
    return change if isinstance(change, Input) else spec.reshaped(change)


def table(
    name: str,
    call: Callable[..., Any],
    inputs: Sequence[Input],
    options: dict[str, dict[str, Any]],
    *,
    dtypes: Sequence[str] = FLOATS,
    other_dtypes: Sequence[str] = ("float32",),
    **common: Any,
) -> list[Row]:
    """Rows of one function with several settings: the first is run for `dtypes`, the others for `other_dtypes`."""
    rows = []
    for position, (label, keywords) in enumerate(options.items()):
        special = (
            common if position == 0 else {key: value for key, value in common.items() if key not in ("errors", "smoke")}
        )
        bound = functools.partial(_with_keywords, call, keywords)
        rows.append(Row(f"{name}[{label}]", bound, inputs, dtypes if position == 0 else other_dtypes, **special))
    return rows


def _with_keywords(call: Callable[..., Any], keywords: dict[str, Any], tf: Any, *tensors: Any) -> Any:
    return call(tf, *tensors, **keywords)


def public(path: str) -> Callable[..., Any]:
    """A call of the public function `path` ("math.add"; a label in brackets is ignored) on all the tensors of a row."""
    return functools.partial(_call_public, tuple(path.split("[")[0].split(".")))


def _call_public(names: tuple[str, ...], tf: Any, *tensors: Any, **keywords: Any) -> Any:
    return functools.reduce(getattr, names, tf)(*tensors, **keywords)


@functools.cache
def topic_rows(topic: str) -> tuple[Row, ...]:
    """The rows of one topic."""
    return tuple(importlib.import_module(f"tests.ops.rows_{topic}").ROWS)


@functools.cache
def all_rows() -> dict[str, Row]:
    """Every row by its name."""
    rows: dict[str, Row] = {}
    for topic in TOPICS:
        for row in topic_rows(topic):
            if row.name in rows:
                raise ValueError(f"two rows are named {row.name}")
            rows[row.name] = row
    return rows


@functools.cache
def module_under_test() -> ModuleType:
    """rillet, or the module that the environment variable OPS_MODULE names."""
    return importlib.import_module(os.environ.get("OPS_MODULE", "rillet"))


# Results as flat lists of arrays


def flatten(value: Any) -> list[Any]:
    """The tensors of a nest, in TensorFlow's order; None has none."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in flatten(value[key])]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in flatten(part)]
    if hasattr(value, "dense_shape") and hasattr(value, "indices"):
        return [leaf for leaf in (value.indices, value.values, value.dense_shape) if leaf is not None]
    return [value]


def to_array(value: Any) -> Array:
    """The NumPy array of an eager tensor, variable or session result."""
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    return array.astype(object) if array.dtype.kind in "SU" else array


def constants(tf: Any, arrays: Iterable[Array]) -> list[Any]:
    return [tf.constant(array, dtype=tf.as_dtype(dtype_name(array.dtype))) for array in arrays]


# The modes


def run_eager(tf: Any, row: Row, arrays: Sequence[Array]) -> list[Array]:
    if not row.eager:
        return run_graph(tf, row, arrays, unknown=False)[0]
    return [to_array(output) for output in flatten(row.call(tf, *constants(tf, arrays)))]


def run_function(tf: Any, row: Row, arrays: Sequence[Array]) -> list[Array]:
    traced = tf.function(lambda *tensors: flatten(row.call(tf, *tensors)))
    return [to_array(output) for output in traced(*constants(tf, arrays))]


def placeholders(tf: Any, arrays: Sequence[Array], unknown: bool) -> list[Any]:
    return [
        tf.compat.v1.placeholder(tf.as_dtype(dtype_name(array.dtype)), None if unknown else array.shape)
        for array in arrays
    ]


def static_shape(tensor: Any) -> list[int | None] | None:
    """The inferred shape: None where the rank is unknown."""
    shape = tensor.shape
    return None if shape.rank is None else list(shape.as_list())


def forward_graph(tf: Any, row: Row, arrays: Sequence[Array], unknown: bool) -> tuple[Any, list[Any], list[Any], Any]:
    """A graph of the row: the graph, its placeholders, the outputs, the initializer."""
    graph = tf.Graph()
    with graph.as_default():
        feeds = placeholders(tf, arrays, unknown)
        outputs = flatten(row.call(tf, *feeds))
        initializer = tf.compat.v1.global_variables_initializer() if row.initialize else None
    return graph, feeds, outputs, initializer


def run_graph(
    tf: Any, row: Row, arrays: Sequence[Array], unknown: bool
) -> tuple[list[Array], list[list[int | None] | None]]:
    """The values fetched from a graph that is fed through placeholders, and the shapes inferred for them."""
    graph, feeds, outputs, initializer = forward_graph(tf, row, arrays, unknown)
    feed_dict = dict(zip([feed.name for feed in feeds], arrays, strict=True))
    with tf.compat.v1.Session(graph=graph) as session:
        if initializer is not None:
            session.run(initializer, feed_dict)
        fetched = session.run(outputs, feed_dict)
    return [to_array(value) for value in fetched], [static_shape(output) for output in outputs]


def output_weights(row: Row, variant: str, outputs: Sequence[tuple[Shape, str]]) -> list[Array]:
    """The deterministic output gradients of a row: one array for each floating output given as (shape, dtype)."""
    weights = []
    for position, (shape, dtype) in enumerate(outputs):
        spec = Input(_weight_draw, tuple(shape))
        weights.append(spec.make(f"{row.name}/{variant}/output {position}", dtype))
    return weights


def _weight_draw(random: np.random.RandomState, shape: Shape, kind: str) -> Any:
    real = random.uniform(0.2, 1.0, size=shape)
    return real + 1j * random.uniform(-1.0, 1.0, size=shape) if kind == "complex" else real


def is_differentiable_dtype(name: str) -> bool:
    return name.startswith(("float", "bfloat", "complex"))


def _targets(outputs: Sequence[Any]) -> list[Any]:
    return [output for output in outputs if is_differentiable_dtype(output.dtype.name)]


def run_tape(tf: Any, row: Row, variant: str, arrays: Sequence[Array]) -> list[Any]:
    """The gradients (tensor, IndexedSlices or None) with respect to `row.differentiated()`, by GradientTape."""
    tensors = constants(tf, arrays)
    sources = [tensors[position] for position in row.differentiated()]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        targets = _targets(flatten(row.call(tf, *tensors)))
    shapes = [(tuple(target.shape), target.dtype.name) for target in targets]
    weights = constants(tf, output_weights(row, variant, shapes))
    return list(tape.gradient(targets, sources, output_gradients=weights))


def gradient_graph(
    tf: Any, row: Row, variant: str, arrays: Sequence[Array], shapes: Sequence[tuple[Shape, str]] | None = None
) -> tuple[Any, list[Any], list[Any], Any]:
    """A graph of the row's gradients: the graph, its placeholders, the dense gradients or None, the initializer."""
    graph = tf.Graph()
    with graph.as_default():
        feeds = placeholders(tf, arrays, unknown=False)
        dense = symbolic_gradients(tf, row, variant, feeds, shapes)
        initializer = tf.compat.v1.global_variables_initializer() if row.initialize else None
    return graph, feeds, dense, initializer


def symbolic_gradients(
    tf: Any, row: Row, variant: str, tensors: Sequence[Any], shapes: Sequence[tuple[Shape, str]] | None = None
) -> list[Any]:
    """The gradients by `tf.gradients`, dense or None, in the graph that the tensors are of.

    `shapes` are those of the outputs, for the weights of `run_tape`; without them all weights are one.
    """
    targets = _targets(flatten(row.call(tf, *tensors)))
    if shapes is None:
        weights = [tf.ones_like(target) for target in targets]
    else:
        floating = [pair for pair in shapes if is_differentiable_dtype(pair[1])]
        weights = constants(tf, output_weights(row, variant, floating))
    sources = [tensors[position] for position in row.differentiated()]
    gradients = tf.compat.v1.gradients(targets, sources, grad_ys=weights)
    return [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]


def run_symbolic_gradient(
    tf: Any, row: Row, variant: str, arrays: Sequence[Array], shapes: Sequence[tuple[Shape, str]]
) -> list[Array | None]:
    """The same gradients as `run_tape`, by `tf.gradients` in a graph; `shapes` are those of the outputs."""
    graph, feeds, gradients, initializer = gradient_graph(tf, row, variant, arrays, shapes)
    feed_dict = dict(zip([feed.name for feed in feeds], arrays, strict=True))
    with tf.compat.v1.Session(graph=graph) as session:
        if initializer is not None:
            session.run(initializer, feed_dict)
        fetched = iter(session.run([gradient for gradient in gradients if gradient is not None], feed_dict))
    return [None if gradient is None else to_array(next(fetched)) for gradient in gradients]


def dense_array(tf: Any, gradient: Any) -> Array | None:
    return None if gradient is None else to_array(tf.convert_to_tensor(gradient))


def error_of(run: Callable[[], Any]) -> tuple[list[str], str] | None:
    """The names of an error's classes, the most special first, and its message; None where nothing is raised."""
    try:
        run()
    except Exception as error:  # the kind is what is compared
        return [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception)], str(error)
    return None


def bad_eager(tf: Any, bad: Bad) -> None:
    bad.call(tf, *constants(tf, bad_arrays(bad)))


def bad_graph(tf: Any, bad: Bad) -> None:
    arrays = bad_arrays(bad)
    graph = tf.Graph()
    with graph.as_default():
        feeds = placeholders(tf, arrays, unknown=False)
        outputs = flatten(bad.call(tf, *feeds))
    with tf.compat.v1.Session(graph=graph) as session:
        session.run(outputs, dict(zip([feed.name for feed in feeds], arrays, strict=True)))


def bad_arrays(bad: Bad) -> list[Array]:
    """Python numbers as TensorFlow's default dtypes, NumPy arrays as they are."""
    return [_default_array(value) for value in bad.inputs]


def _default_array(value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value
    array = np.asarray(value)
    if array.dtype.kind in "SU":
        encoded = [text.encode() if isinstance(text, str) else text for text in array.ravel().tolist()]
        return np.array(encoded, dtype=object).reshape(array.shape)
    defaults = {"f": np.float32, "i": np.int32, "c": np.complex128, "b": np.bool_}
    return array.astype(defaults[array.dtype.kind])


# Comparison


def differences(actual: Sequence[Array], expected: Sequence[Array], factor: float = 1.0) -> list[str]:
    """What differs between two lists of arrays: one line for each array; nothing where they agree."""
    if len(actual) != len(expected):
        return [f"{len(actual)} outputs, expected {len(expected)}"]
    lines = []
    for position, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        line = difference(ours, theirs, factor)
        if line:
            lines.append(f"output {position}: {line}")
    return lines


def difference(actual: Array, expected: Array, factor: float = 1.0) -> str:
    """How an array differs from the expected one; "" where it agrees within its dtype's tolerance times `factor`."""
    if dtype_name(actual.dtype) != dtype_name(expected.dtype):
        return f"dtype {dtype_name(actual.dtype)}, expected {dtype_name(expected.dtype)}"
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    wrong = ~_close(actual, expected, factor)
    if not wrong.any():
        return ""
    where = tuple(int(axis[0]) for axis in np.nonzero(np.atleast_1d(wrong)))
    first = where if actual.ndim else ()
    count = f"{int(wrong.sum())} of {wrong.size} differ"
    return f"{count}, first at {list(first)}: {actual[first]!r}, expected {expected[first]!r}"


def _close(actual: Array, expected: Array, factor: float) -> Array:
    name = dtype_name(expected.dtype)
    if name not in TOLERANCE:
        return np.asarray(_plain(actual) == _plain(expected))
    relative, absolute = (factor * bound for bound in TOLERANCE[name])
    wide = np.complex128 if name.startswith("complex") else np.float64
    ours, theirs = actual.astype(wide), expected.astype(wide)
    if name.startswith("complex"):
        magnitude = relative * np.abs(theirs)
        same = _parts_close(ours.real, theirs.real, magnitude, absolute)
        return same & _parts_close(ours.imag, theirs.imag, magnitude, absolute)
    return _parts_close(ours, theirs, relative * np.abs(theirs), absolute)


def _plain(array: Array) -> Array:
    """float8 and small integers have no comparison of their own with all NumPy versions."""
    return array.astype(np.float64) if array.dtype.kind == "V" or array.dtype.name.startswith("float8") else array


def _parts_close(actual: Array, expected: Array, scaled: Array, absolute: float) -> Array:
    with np.errstate(invalid="ignore"):
        near = np.abs(actual - expected) <= scaled + absolute
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    return np.asarray(same | (near & np.isfinite(expected) & np.isfinite(actual)))


def compatible(inferred: list[int | None] | None, actual: Shape) -> bool:
    """Whether an inferred shape allows the actual one."""
    if inferred is None:
        return True
    return len(inferred) == len(actual) and all(
        size is None or size == real for size, real in zip(inferred, actual, strict=True)
    )


# Finite differences

# The step of a fourth-order difference quotient, and how far it may be off, by dtype.
STEP = {"float64": 1e-3, "float32": 0.02}
QUOTIENT_TOLERANCE = {"float64": 1e-7, "float32": 5e-3}


def directional(tf: Any, row: Row, order: int) -> tuple[float, float]:
    """The derivative along a random direction: by GradientTape, and by a fourth-order finite difference.

    Order 1 differentiates a weighted sum of the outputs; order 2 the first-order derivative along another direction.
    """
    arrays = row.arrays(BASE, row.gradient_dtypes[0])
    positions = row.differentiated()
    along, across = (
        _direction(row, name, [arrays[position] for position in positions]) for name in ("along", "across")
    )

    def moved(step: float) -> list[Array]:
        point = list(arrays)
        for position, delta in zip(positions, along, strict=True):
            point[position] = np.asarray(arrays[position] + step * delta, dtype=arrays[position].dtype)
        return point

    measure = _weighted_sum if order == 1 else functools.partial(_slope, across=across)
    slopes = _gradients(tf, row, arrays, measure)
    by_tape = sum(float(np.sum(slope * delta)) for slope, delta in zip(slopes, along, strict=True))
    step = STEP[row.gradient_dtypes[0]]
    samples = {k: float(to_array(measure(tf, row, constants(tf, moved(k * step))))) for k in (-2, -1, 1, 2)}
    by_difference = (samples[-2] - 8 * samples[-1] + 8 * samples[1] - samples[2]) / (12 * step)
    return by_tape, by_difference


def _direction(row: Row, name: str, arrays: Sequence[Array]) -> list[Array]:
    return output_weights(row, name, [(array.shape, dtype_name(array.dtype)) for array in arrays])


def _weighted_sum(tf: Any, row: Row, tensors: Sequence[Any]) -> Any:
    targets = _targets(flatten(row.call(tf, *tensors)))
    weights = constants(tf, output_weights(row, BASE, [(tuple(target.shape), target.dtype.name) for target in targets]))
    sums = [tf.reduce_sum(target * weight) for target, weight in zip(targets, weights, strict=True)]
    return tf.add_n([tf.cast(total, tf.float64) for total in sums])


def _slope(tf: Any, row: Row, tensors: Sequence[Any], across: Sequence[Array]) -> Any:
    sources = [tensors[position] for position in row.differentiated()]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        total = _weighted_sum(tf, row, tensors)
    gradients = tape.gradient(total, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    parts = [
        tf.reduce_sum(tf.convert_to_tensor(gradient) * delta) for gradient, delta in zip(gradients, across, strict=True)
    ]
    return tf.add_n(parts)


def _gradients(tf: Any, row: Row, arrays: Sequence[Array], measure: Callable[..., Any]) -> list[Array]:
    tensors = constants(tf, arrays)
    sources = [tensors[position] for position in row.differentiated()]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        total = measure(tf, row, tensors)
    gradients = tape.gradient(total, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [to_array(tf.convert_to_tensor(gradient)) for gradient in gradients]


# The command line


def report(tf: Any, row: Row, only: str = "") -> list[str]:
    """Every way in which a row differs from its recording: a line for each message, with the checks that gave it."""
    checks = importlib.import_module("tests.ops.checks")  # it imports this module
    found: dict[str, list[str]] = {}
    for label, check in checks.checks_of(row):
        if not label.startswith(only):
            continue
        try:
            lines = check(tf)
        except Exception as error:  # an op that fails is what this command is for
            lines = [_summary(error)]
        for line in lines:
            found.setdefault(line, []).append(label)
    return [f"{', '.join(labels[:4])}{' ...' if labels[4:] else ''}: {line}" for line, labels in found.items()]


def _summary(error: Exception) -> str:
    """An error in one line: its class, the first line of its message, and where it was raised outside of the table."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/ops/" not in frame.filename]
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    first = str(error).strip().splitlines()[:1]
    return f"{type(error).__name__}: {''.join(first)}{where}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows whose names match the patterns; the exit status is 1 where any differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.ops.harness", description=main.__doc__)
    parser.add_argument("patterns", nargs="*", default=["*"], help="row names or shell patterns, e.g. 'reduce_*'")
    parser.add_argument("--topic", choices=TOPICS, action="append", help="only rows of this topic")
    parser.add_argument("--only", default="", help="only checks whose label begins so: value, graph, gradient ...")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--quiet", action="store_true", help="one line for each row that fails")
    options = parser.parse_args(arguments)
    topics = options.topic or TOPICS
    rows = [row for topic in topics for row in topic_rows(topic)]
    chosen = [row for row in rows if any(_matches(row.name, pattern) for pattern in options.patterns)]
    if options.list:
        print(*(row.name for row in chosen), sep="\n")
        return 0
    failed = 0
    for row in chosen:
        lines = report(module_under_test(), row, options.only)
        failed += bool(lines)
        if lines:
            print(f"FAIL {row.name}", *(() if options.quiet else (f"  {line}" for line in lines)), sep="\n")
        elif not options.quiet:
            print(f"ok   {row.name}")
    print(f"{len(chosen) - failed} of {len(chosen)} rows agree")
    return 1 if failed or not chosen else 0


def _matches(name: str, pattern: str) -> bool:
    # Brackets are part of row names, so they are not character classes here.
    return name == pattern or name.split("[")[0] == pattern or fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


if __name__ == "__main__":
    # Run as a script this module is __main__; the rows must see the one under its own name.
    sys.exit(importlib.import_module("tests.ops.harness").main())
