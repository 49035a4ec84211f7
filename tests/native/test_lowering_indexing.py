"""Gathers, scatters, slices, segments, sorting, running sums and equations, compiled, against the reference kernels.

A test puts all cases of a table into one graph, so that one program holds them and its kernels compile side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core.dispatch import apply_op
from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.core.opdef import REGISTRY
from rillet.engines.native import NativeEngine
from rillet.engines.native.executable import NativeExecutable, Segment
from rillet.engines.native.steps import Copy
from rillet.engines.reference import ReferenceEngine

TOLERANCE = {"float32": 2e-5, "float64": 1e-10, "float16": 1e-2, "bfloat16": 5e-2}
DTYPES = ("float32", "float64", "float16", "int32", "int64", "uint8", "bool")
FLOATS = DTYPES[:3]

Case = tuple[Any, ...]  # a label, a function of tensors, and the arrays that it is called with


@pytest.fixture(autouse=True)
def compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen for the first time is compiled."""
    monkeypatch.setenv("RILLET_COMPILE", "always")


class State:
    """Runs of one graph on one engine, which share variables."""

    def __init__(self, graph: Any, engine: Any) -> None:
        self.graph, self.context = graph, ExecutionContext(engine)

    def compiled(self, feeds: Sequence[Any], outputs: Sequence[Any], effects: Sequence[Any] = ()) -> Any:
        function = Function.cut("test", feeds, outputs, effects, self.graph)
        return self.context.engine.compile(function, self.context)


def data(shape: Sequence[int], dtype: str, seed: int = 0) -> Any:
    random = np.random.default_rng([seed, *shape])
    kind = np.dtype(dtype)
    if kind.kind in "iub":
        return random.integers(0, 2 if kind.kind == "b" else 50, shape).astype(kind)
    return random.standard_normal(shape).astype(kind)


def indices(limit: int, *shape: int, dtype: str = "int32") -> Any:
    return np.random.default_rng([limit, *shape]).integers(0, limit, shape).astype(dtype)


def raw(op: str, *inputs: Any, **attributes: Any) -> Any:
    return apply_op(REGISTRY[op], inputs, attributes or None)


def flat(results: Any) -> list[Any]:
    if isinstance(results, tf.Tensor):
        return [results]
    return [tensor for result in results for tensor in flat(result)]


class Table:
    """Cases in one graph. variables: the arrays that variables start with; functions then get these before the tensors."""

    def __init__(self, cases: Sequence[Case], variables: Sequence[Any] = ()) -> None:
        self.labels: list[str] = []
        self.feeds: list[Any] = []
        self.arrays: list[Any] = []
        self.outputs: list[Any] = []
        self.effects: list[Any] = []
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.variables = [tf.Variable(value) for value in variables]
            before = len(self.graph.get_operations())
            for label, function, *arrays in cases:
                feeds = [tf.compat.v1.placeholder(np.asarray(array).dtype, np.shape(array)) for array in arrays]
                made = function(*([self.variables] if variables else []), *feeds)
                self.feeds.extend(feeds)
                self.arrays.extend(map(np.asarray, arrays))
                for result in [] if made is None else flat(made):
                    self.outputs.append(result)
                    self.labels.append(label)
            made_here = self.graph.get_operations()[before:]
            self.effects = [op for op in made_here if op.definition.is_stateful and not op.outputs]
            self.values = [variable.read_value() for variable in self.variables]
            self.initializer = tf.compat.v1.variables_initializer(self.variables)
        self.executables: list[Any] = []

    def run(self, engine: Any, times: int = 1) -> list[Any]:
        """The outputs, and the variables afterwards."""
        state = self.started(engine)
        executable = state.compiled(self.feeds, self.outputs, self.effects)
        self.executables.append(executable)
        for _ in range(times):
            results = executable(self.arrays)
        return [*results, *self.contents(state)]

    def started(self, engine: Any) -> State:
        """With variables initialised."""
        state = State(self.graph, engine)
        if self.variables:
            state.compiled((), (), [self.initializer])(())
        return state

    def contents(self, state: State) -> list[Any]:
        return list(state.compiled((), self.values)(())) if self.values else []

    def check(self, times: int = 1) -> Any:
        """AssertionError unless one native program gives what the reference kernels do. Returns its executable."""
        expected, actual = self.run(ReferenceEngine(), times), self.run(NativeEngine(), times)
        labels = [*self.labels, *(f"variable {number}" for number in range(len(self.values)))]
        for label, ours, theirs in zip(labels, actual, expected, strict=True):
            compare(label, np.asarray(ours), np.asarray(theirs))
        assert is_native(self.executables[-1]), "an operation ran through its reference kernel"
        return self.executables[-1]


def compare(label: str, ours: Any, theirs: Any) -> None:
    assert ours.shape == theirs.shape, label
    assert ours.dtype == theirs.dtype, label
    if ours.dtype.kind in "iub":
        np.testing.assert_array_equal(ours, theirs, label)
        return
    tolerance = TOLERANCE[ours.dtype.name]
    np.testing.assert_allclose(
        ours.astype(np.float64), theirs.astype(np.float64), tolerance, tolerance, err_msg=label, equal_nan=True
    )


def is_native(executable: NativeExecutable) -> bool:
    """Whether a single program does all the work."""
    running = executable
    while isinstance(running._run, NativeExecutable):
        running = running._run
    return running is executable and len(running._bodies) == 1 and isinstance(running._bodies[0], Segment)


def copies(executable: Any) -> int:
    """How many steps of the program copy memory."""
    (plan,) = executable._bodies[0].plans.values()
    return sum(isinstance(step, Copy) for step in plan.program.steps)


# ---- gathers and slices ---------------------------------------------------------------------------------------------


def gathers(dtype: str) -> list[Case]:
    x = data((5, 7, 3), dtype)
    pairs = np.stack([indices(5, 4), indices(7, 4)], -1)
    return [
        *[
            (f"gather axis {axis}", lambda x, i, a=axis: tf.gather(x, i, axis=a), x, indices(3, 4, 2))
            for axis in range(3)
        ],
        ("gather one", lambda x, i: tf.gather(x, i), x, np.int64(3)),
        ("gather none", lambda x, i: tf.gather(x, i), x, np.zeros((0,), np.int32)),
        ("gather constant", lambda x: tf.gather(x, [[1, 4], [0, 0]]), x),
        ("gather in batches", lambda x, i: tf.gather(x, i, axis=2, batch_dims=1), x, indices(3, 5, 2, dtype="int64")),
        ("gather_nd", lambda x, i: tf.gather_nd(x, i), x, pairs),
        ("gather_nd in batches", lambda x, i: tf.gather_nd(x, i, batch_dims=1), x, indices(3, 5, 2, 1)),
        ("unravel", lambda i: tf.unravel_index(i, [3, 4, 5]), indices(60, 6)),
        ("one_hot", lambda i: tf.one_hot(i, 4, tf.cast(1, dtype), tf.cast(0, dtype), axis=1), indices(6, 3, 2)),
        ("reverse_sequence", lambda x, n: tf.reverse_sequence(x, n, 1, 0), x, indices(8, 5, dtype="int64")),
        ("roll", lambda x, s: raw("Roll", x, s, [0, 2]), x, np.array([2, -4], np.int32)),
    ]


SLICES = (
    np.s_[1:3], np.s_[::-1], np.s_[:, ::2], np.s_[..., 1], np.s_[-1, ..., -2], np.s_[None, 1:4, ..., None],
    np.s_[4:1:-1, :, 1:], np.s_[5:1:-2, 6:0:-3], np.s_[0:0], np.s_[2:100, -3:], np.s_[1, :, None, 2:4],
)  # fmt: skip


def slices(dtype: str) -> list[Case]:
    x = data((6, 7, 5), dtype)
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")

    def updated(x: Any, update: Any, part: Any) -> Any:
        op = x[part].op
        return raw("TensorStridedSliceUpdate", x, *op.inputs[1:4], update, **{name: op.attrs[name] for name in masks})

    def gradient(x: Any, part: Any) -> Any:
        return tf.compat.v1.gradients(tf.reduce_sum(x[part] * x[part]), x)[0]

    one = np.ones((), dtype)
    cases: list[Case] = [(f"{part}", lambda x, p=part: x[p], x) for part in SLICES]
    cases += [(f"{part} updated", lambda x, u, p=part: updated(x, u, p), x, one) for part in SLICES]
    if dtype in FLOATS:
        cases += [(f"{part} gradient", lambda x, p=part: gradient(x, p), x) for part in SLICES]
        cases += [("picked gradient", lambda x, i: gradient(x, np.s_[1:, i]), x, np.int32(-2))]
    return [
        *cases,
        ("picked", lambda x, i: x[:, i, 1:3], x, np.int64(4)),
        ("picked from the end", lambda x, i: x[i], x, np.int32(-6)),
        ("window", lambda x, i: x[i * 2 : (i + 1) * 2, 1:], x, np.int32(2)),
        ("slice", lambda x, i: tf.slice(x, [i, 1, 0], [2, -1, 5]), x, np.int32(3)),
    ]


# ---- scatters and segments ------------------------------------------------------------------------------------------


def scatters(dtype: str) -> list[Case]:
    kinds = ("Update",) if dtype == "bool" else ("Add", "Sub", "Max", "Min")
    cases: list[Case] = []
    for shape, depth in (((6, 5), 2), ((6,), 1), ((7, 33), 1), ((3, 4, 5), 3)):
        for several in ((2, 3), (1,)):
            # an update of one place by two values has no right order
            count = 1 if dtype == "bool" else int(np.prod(several))
            places = np.stack([indices(shape[axis], count) for axis in range(depth)], -1)
            places = places.reshape(*((1,) if count == 1 else several), depth)
            updates = data((*places.shape[:-1], *shape[depth:]), dtype, 1)
            cases += [
                (f"{kind} {shape} {several}", lambda x, i, u, k=kind: raw(f"TensorScatter{k}", x, i, u),
                 data(shape, dtype), places, updates)
                for kind in kinds
            ]  # fmt: skip
    x, places, updates = data((6, 5), dtype), np.array([[1], [3]], np.int64), data((2, 5), dtype, 1)
    return [
        *cases,
        ("scatter_nd", lambda i, u: tf.scatter_nd(i, u, np.array([6, 5])), places, updates),
        (
            "two from one",
            lambda x, i, u: [raw("TensorScatterUpdate", y := tf.identity(x), i, u), y],
            x,
            places,
            updates,
        ),
    ]


def segments(dtype: str) -> list[Case]:
    x, ids, rising = data((7, 3), dtype), indices(5, 7) - 1, np.sort(indices(4, 7))
    x = (x % 4).astype(dtype) if dtype not in FLOATS else x
    cases: list[Case] = []
    for kind in ("Sum", "Prod", "Max", "Min"):
        cases += [
            (f"unsorted {kind}", lambda x, i, k=kind: raw(f"UnsortedSegment{k}", x, i, 5), x, ids),
            (f"sorted {kind}", lambda x, k=kind: raw(f"Segment{k}", x, rising), x),
        ]
    for kind in ("Sum", "Mean", "SqrtN") if dtype in FLOATS else ():
        cases += [
            (f"picked {kind}", lambda x, i, s, k=kind: raw(f"SparseSegment{k}WithNumSegments", x, i, s, 6),
             x, indices(7, 7), rising),
            (f"picked {kind} gradient", lambda x, i, s, k=kind: raw(f"SparseSegment{k}Grad", x, i, s, 9),
             x, indices(7, 7), rising),
        ]  # fmt: skip
    if dtype in ("int32", "int64", "float32", "float64"):
        none = np.zeros((0,), dtype)
        cases += [
            ("bincount", lambda i: raw("Bincount", i, 4, none), indices(6, 9)),
            ("weighted", lambda i, w: raw("DenseBincount", i, 4, w), indices(6, 3, 4), data((3, 4), dtype)),
            ("binary", lambda i: raw("DenseBincount", i, 4, none, binary_output=True), indices(6, 3, 4)),
            ("histogram", lambda x: tf.histogram_fixed_width(x, tf.constant([0, 5], dtype), 7), x),
            ("sparse product", lambda i, v, y: raw("SparseTensorDenseMatMul", i, v, np.array([4, 7]), y),
             np.array([[0, 1], [2, 0], [2, 3], [0, 1]]), data((4,), dtype), x),
        ]  # fmt: skip
    return cases


# ---- order ----------------------------------------------------------------------------------------------------------


def orders(dtype: str) -> list[Case]:
    cases: list[Case] = []
    for shape in ((3, 60), (2, 700), (2, 3, 7)):
        x, last = data(shape, dtype), shape[-1]
        for count in {1, min(3, last), last}:
            cases += [
                (f"top_k {shape} {count}", lambda x, k=count: raw("TopKV2", x, k), x),
                (f"nth {shape} {count}", lambda x, k=count: raw("NthElement", x, k - 1), x),
            ]
        cases += [(f"sort {shape}", lambda x: [tf.sort(x, axis=0), tf.argsort(x)], x)]
    for size in (1, 17):
        rows = np.sort(data((3, size), dtype), -1)
        cases += [
            (f"{side} {size}", lambda r, v, s=side: tf.searchsorted(r, v, s), rows, data((3, 5), dtype, 1))
            for side in ("left", "right")
        ]
    if dtype in FLOATS:
        special = np.array([[1, np.nan, 0, -0.0, np.inf, -np.inf, np.nan, -1, 0, 3] * 8], dtype)
        cases += [(f"special {k}", lambda x, k=k: raw("TopKV2", x, k), special) for k in (4, 80)]
    if dtype in ("int32", "float32", "float64"):
        cases += [
            (f"bucketize {len(edges)}", lambda x, e=edges: raw("Bucketize", x, boundaries=e), data((5, 6), dtype))
            for edges in ([], [-1.0, 0.0, 0.0, 1.5], np.linspace(-2, 20, 40).tolist())
        ]
    return cases


def running(dtype: str) -> list[Case]:
    cases: list[Case] = []
    for shape in ((7,), (3, 17), (2, 9, 70)):
        x = data(shape, dtype)
        for axis in range(len(shape)):
            for exclusive, reverse in ((False, False), (True, False), (False, True), (True, True)):
                options = (axis, exclusive, reverse)
                cases += [(f"cumsum {shape} {options}", lambda x, o=options: tf.cumsum(x, *o), x)]
                if axis == 0:
                    cases += [(f"cumprod {shape} {options}", lambda x, o=options: tf.math.cumprod(x, *o), x)]
                    if dtype in FLOATS:
                        cases += [
                            (f"lse {shape} {options}", lambda x, o=options: tf.math.cumulative_logsumexp(x, *o), x)
                        ]
    return cases


# ---- matrices, sequences, equations ---------------------------------------------------------------------------------


def diagonals(dtype: str) -> list[Case]:
    cases: list[Case] = []
    for shape in ((4, 6), (2, 3, 5, 5)):
        x = data(shape, dtype)
        for band in ((1, 0), (0, 2), (-1, 1)):
            cases += [(f"band {band}", lambda x, b=band: raw("MatrixBandPart", x, *b), x)]
        for k in (0, -1, (0, 1), (-2, 2), (-3, -1)):
            for align in ("RIGHT_LEFT", "LEFT_RIGHT"):
                part = raw("MatrixDiagPartV3", tf.constant(x), k, tf.cast(1, dtype), align=align).numpy()
                cases += [
                    (f"part {k}", lambda x, k=k, a=align: raw("MatrixDiagPartV3", x, k, tf.cast(1, dtype), align=a), x),
                    (f"set {k}", lambda x, p, k=k, a=align: raw("MatrixSetDiagV3", x, p, k, align=a), x, part[..., ::-1]),
                    (f"diag {k}", lambda p, k=k, a=align, s=shape: raw("MatrixDiagV3", p, k, *s[-2:], tf.cast(1, dtype), align=a),
                     part),
                ]  # fmt: skip
    return cases


def sequences(dtype: str) -> list[Case]:
    x = data((4, 3), dtype)
    cases: list[Case] = [
        ("stitch", lambda a, b: raw("DynamicStitch", [[0, 3, 1], [2, 0]], [a, b]), x[:3], x[2:]),
        ("to dense", lambda i, v: raw("SparseToDense", i, np.array([4, 5]), v, tf.cast(1, dtype)),
         np.array([[0, 1], [2, 0], [2, 4]]), x[:3, 0]),
    ]  # fmt: skip
    if dtype in ("float32", "int32"):
        cases += [
            ("cross", lambda a, b: tf.linalg.cross(a, b), x, x[::-1].copy()),
            ("diag", lambda a: raw("DiagPart", raw("Diag", a)), x),
            ("invert", lambda p: tf.math.invert_permutation(p), np.array([2, 0, 3, 1], np.int32)),
            ("bits", lambda a: tf.bitcast(a, tf.int32 if dtype == "float32" else tf.float32), x),
            ("a long range", lambda n: tf.range(n)[-3:], np.int32(70000)),
            ("a range from somewhere", lambda n: tf.range(n, n + 4), np.int64(5)),
            ("linspace", lambda a, b: tf.linspace(a, b, 5), np.float32(1), np.float32(3)),
        ]
    return cases


EQUATIONS = (
    ("ij,jk->ik", (3, 4), (4, 5)), ("ij,jk->ki", (3, 4), (4, 5)), ("ij,j->i", (3, 4), (4,)), ("i,j->ij", (3,), (4,)),
    ("ij,ij->", (3, 4), (3, 4)), ("bij,bkj->bik", (2, 3, 4), (2, 5, 4)), ("bqhd,bkhd->bhqk", (2, 3, 4, 5), (2, 6, 4, 5)),
    ("abc,bcd->ad", (2, 3, 4), (3, 4, 5)), ("ij->ji", (3, 4)), ("ij->", (3, 4)), ("ii->i", (4, 4)), ("iij,jk->ik", (3, 3, 4), (4, 5)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 5)), ("ij,k->jk", (3, 4), (5,)), ("ij,jk->ik", (33, 70), (70, 17)),
)  # fmt: skip


def equations(dtype: str) -> list[Case]:
    return [
        (
            f"{equation} {shapes}",
            lambda *tensors, e=equation: tf.einsum(e, *tensors),
            *[data(shape, dtype) for shape in shapes],
        )
        for equation, *shapes in EQUATIONS
    ]


TABLES: list[tuple[Callable[[str], list[Case]], Sequence[str]]] = [
    (gathers, DTYPES), (slices, ("float32", "int64", "bool")), (scatters, ("float32", "float16", "int64", "uint8", "bool")),
    (segments, ("float32", "float64", "float16", "int32")), (orders, ("float32", "float16", "int64", "uint8")),
    (running, ("float32", "float16", "int32")), (diagonals, ("float32", "bool")), (sequences, ("float32", "int32", "bool")),
    (equations, ("float32", "float64", "int32")),
]  # fmt: skip


@pytest.mark.parametrize(("table", "dtype"), [(t, dtype) for t, dtypes in TABLES for dtype in dtypes])
def test_native_is_reference(table: Callable[[str], list[Case]], dtype: str) -> None:
    Table(table(dtype)).check()


# ---- errors ---------------------------------------------------------------------------------------------------------

ROWS = data((4, 3), "float32")
BAD: list[Case] = [
    ("gather", lambda x, i: tf.gather(x, i), ROWS, np.array([1, 4], np.int32)),
    ("gather negative", lambda x, i: tf.gather(x, i, axis=1), ROWS, np.array([-1], np.int32)),
    ("gather_nd", lambda x, i: tf.gather_nd(x, i), ROWS, np.array([[1, 3]], np.int32)),
    ("picked", lambda x, i: x[i], ROWS, np.int32(-5)),
    ("scatter", lambda x, i: raw("TensorScatterAdd", x, i, tf.ones([2, 3])), ROWS, np.array([[1], [4]], np.int32)),
    ("segment", lambda x, i: raw("UnsortedSegmentSum", x, i, 3), ROWS, np.array([0, 1, 3, -1], np.int32)),
    (
        "falling",
        lambda x, i: raw("SparseSegmentSumWithNumSegments", x, [0, 1, 2, 1], i, 5),
        ROWS,
        np.array([0, 1, 0, 1], np.int32),
    ),
    ("bincount", lambda x, i: raw("Bincount", i, 3, tf.zeros([0])), ROWS, np.array([0, -1], np.int32)),
    ("permutation", lambda x, i: tf.math.invert_permutation(i), ROWS, np.array([1, 1, 0], np.int32)),
    ("lengths", lambda x, n: tf.reverse_sequence(x, n, 1, 0), ROWS, np.array([1, 4, 1, 1])),
    ("twice", lambda x, i: raw("SparseToDense", i, np.array([4]), 1.0, 0.0), ROWS, np.array([2, 2])),
]


def test_a_window_beyond_the_end_is_shorter() -> None:
    table = Table([("window", lambda x, i: x[i : i + 2], ROWS, np.int32(3))])
    (expected,), (actual,) = table.run(ReferenceEngine()), table.run(NativeEngine())
    compare("window", actual, expected)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case[0])
def test_an_index_out_of_range_is_an_error(case: Case) -> None:
    table = Table([case])
    with pytest.raises(tf.errors.InvalidArgumentError):
        table.run(ReferenceEngine())
    with pytest.raises(tf.errors.InvalidArgumentError):
        table.run(NativeEngine())


# ---- variables ------------------------------------------------------------------------------------------------------

PLACES = np.array([1, 3, 1], np.int32)


def update_of(kind: str) -> Callable[..., Any]:
    def update(variables: Any, places: Any, rows: Any) -> None:
        getattr(variables[0], f"scatter_{kind}")(tf.IndexedSlices(rows, places))

    return update


def updates(dtype: str) -> list[Case]:
    rows = (abs(data((3, 5), dtype, 1)) + np.ones((), dtype)).astype(dtype)
    equal = np.concatenate([rows[:2], rows[:1]])
    return [
        (kind, update_of(kind), PLACES, equal if kind == "update" else rows)
        for kind in ("update", "add", "sub", "mul", "div", "min", "max")
    ]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32"])
def test_scatters_into_variables(dtype: str) -> None:
    for case in updates(dtype):
        executable = Table([case], [data((6, 5), dtype)]).check(times=2)
        assert copies(executable) == 0, f"{case[0]} copies the variable"


def test_a_bad_update_changes_nothing() -> None:
    table = Table([("add", update_of("add"), np.array([1, 9], np.int32), ROWS[:2])], [ROWS])
    state = table.started(NativeEngine())
    with pytest.raises(tf.errors.InvalidArgumentError):
        state.compiled(table.feeds, (), table.effects)(table.arrays)
    np.testing.assert_array_equal(table.contents(state)[0], ROWS)


def decay_and_add(variables: Any, places: Any, rows: Any) -> Any:
    (variable,) = variables
    variable.assign(variable * 0.5)
    with tf.control_dependencies([variable.scatter_add(tf.IndexedSlices(rows, places))]):
        changed = variable.scatter_sub(tf.IndexedSlices(rows * 2, places))
    with tf.control_dependencies([changed]):
        return variable[1] * 2


def change_by_itself(variables: Any, places: Any, rows: Any) -> None:
    (variable,) = variables
    variable.scatter_update(tf.IndexedSlices(tf.gather(variable, places[:2]) * 2 + rows[:2], places[:2]))


def keep_the_old(variables: Any, places: Any, rows: Any) -> Any:
    (variable,) = variables
    old = variable.read_value()
    with tf.control_dependencies([old]):
        variable.scatter_add(tf.IndexedSlices(rows, places))
    return old


def assign_slices(variables: Any, places: Any, rows: Any) -> None:
    (variable,) = variables
    with tf.control_dependencies([variable[places[0]].assign(rows[0]).op]):
        variable[::2, 3].assign(rows[:, 0])


@pytest.mark.parametrize(
    ("change", "copied"), [(decay_and_add, 0), (change_by_itself, 0), (keep_the_old, None), (assign_slices, 0)]
)
def test_updates_in_their_order(change: Callable[..., Any], copied: int | None) -> None:
    table = Table([("", change, PLACES, data((3, 5), "float32", 1))], [data((6, 5), "float32")])
    executable = table.check(times=2)
    assert copied is None or copies(executable) == copied


SPARSE = sorted(name.removeprefix("ResourceSparseApply") for name in REGISTRY if name.startswith("ResourceSparseApply"))
SCALARS = {
    "lr": 0.1, "alpha": 0.1, "l1": 0.01, "l2": 0.02, "lr_power": -0.5, "rho": 0.9, "momentum": 0.8, "epsilon": 1e-3,
    "l2_shrinkage": 0.01,
}  # fmt: skip


def test_optimizers_update_rows_in_order() -> None:
    for name in SPARSE:
        definition = REGISTRY[f"ResourceSparseApply{name}"]
        arguments = definition.signature.inputs
        states = [
            argument for argument in arguments if argument.dtype is not None and argument.dtype.name == "resource"
        ]

        def apply(variables: Any, places: Any, rows: Any, definition: Any = definition) -> None:
            waiting = list(variables)
            special = {"grad": rows, "indices": places, "global_step": tf.constant(3, tf.int64)}
            inputs = []
            for argument in definition.signature.inputs:
                if argument.name in special:
                    inputs.append(special[argument.name])
                elif argument.name in SCALARS:
                    inputs.append(tf.constant(SCALARS[argument.name]))
                else:
                    inputs.append(waiting.pop(0).handle)
            apply_op(definition, inputs, {"T": tf.float32})

        start = [abs(data((6, 5), "float32", seed)) + 0.5 for seed in range(len(states))]
        executable = Table([(name, apply, PLACES, abs(data((3, 5), "float32", 9)) + 0.5)], start).check(times=2)
        assert copies(executable) == 0, f"{name} copies a variable"


# ---- distinct elements ----------------------------------------------------------------------------------------------


def summed(variables: Any, places: Any, rows: Any) -> Any:
    """What tf.train's optimizers do to gradients of rows that are named more than once."""
    found = tf.unique(places)
    total = tf.math.unsorted_segment_sum(rows, found.idx, tf.shape(found.y)[0])
    variables[0].scatter_add(tf.IndexedSlices(total * total, found.y))
    return [tf.gather(total, found.idx), found.idx, tf.gather(found.y, found.idx), tf.size(total)]


@pytest.mark.parametrize("count", [1, 7, 300])
def test_rows_are_summed_before_they_are_used(count: int) -> None:
    table = Table([("sums", summed, indices(40, count), data((count, 3), "float32"))], [data((40, 3), "float32")])
    assert copies(table.check(times=2)) == 0


def test_what_needs_the_number_of_distinct_elements_falls_back() -> None:
    cases: list[Case] = [
        ("result", lambda x: tf.unique(x).y, PLACES),
        ("sum", lambda x: tf.reduce_sum(tf.unique(x).y) * 2, PLACES),
        ("other rows", lambda x: tf.unique(x).y + tf.unique(x[::-1]).y, PLACES),
    ]
    for case in cases:
        table = Table([case])
        expected, actual = table.run(ReferenceEngine()), table.run(NativeEngine())
        compare(case[0], np.asarray(actual[0]), np.asarray(expected[0]))


def test_adam_on_an_embedding_is_one_program() -> None:
    graph = tf.Graph()
    with graph.as_default():
        ids = tf.compat.v1.placeholder(tf.int32, [12])
        table = tf.compat.v1.get_variable("table", initializer=data((9, 4), "float32"))
        loss = tf.reduce_sum(tf.square(tf.nn.embedding_lookup(table, ids)))
        train = tf.compat.v1.train.AdamOptimizer(0.1).minimize(loss)
        initializer = tf.compat.v1.global_variables_initializer()
        value = tf.identity(table)
    results = []
    for engine in (ReferenceEngine(), NativeEngine()):
        state = State(graph, engine)
        state.compiled((), (), [initializer])(())
        executable = state.compiled([ids], [loss], [train])
        losses = [executable([indices(9, 12)])[0] for _ in range(3)]
        results.append([*losses, *state.compiled((), [value])(())])
    assert is_native(executable)
    for ours, theirs in zip(results[1], results[0], strict=True):
        compare("training", np.asarray(ours), np.asarray(theirs))
