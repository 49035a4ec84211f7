"""Record the random numbers that TensorFlow draws.

Run with a Python that has TensorFlow: `python tools/record_random.py`.
Writes tests/data/random.npz: for each case the raw op, its attributes, and a few calls in a row with what they gave.

TensorFlow shares the work of a large Multinomial or ParameterizedTruncatedNormal between threads, and the numbers
depend on how many there are: these are recorded with one.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from tests.ops.inputs import dtype_name, numpy_dtype
from tests.ops.recording import Writer

Array = np.ndarray[Any, Any]
Inputs = dict[str, Array]
TOPIC = "../random"  # the file lies beside the directory of the op table's topics
LARGEST_STORED = 200  # elements; of what is larger only a digest is kept

SEEDS = ((87654321, 5), (2**40 + 11, -22), (0, 2**31 - 1))
STATELESS_SEEDS = ((0, 0), (1, 2), (-1, 5), (2**40 + 3, -7))
FLOATING = ("float32", "float64", "float16", "bfloat16")
SHAPES = ([1], [5], [0], [7, 9], [], [1001])
LARGE = [100_003]
# The counter's lower half is about to overflow, and the key has its highest bit set.
STATE = np.array([2**64 - 3, 7, 2**63 + 12345], np.uint64).view(np.int64)
BOUNDS = (
    (0.0, 1.0, -2.0, 2.0),
    (1.0, 2.0, -1.0, 5.0),
    (0.0, 1.0, 3.0, np.inf),
    (0.0, 1.0, -np.inf, -3.0),
    (0.0, 1.0, 0.5, 0.6),
    (0.0, 1.0, -6.0, -5.0),
    (0.0, 1.0, -0.1, 0.2),
    (0.0, 1.0, -1.25, 1.25),
    (0.0, 1.0, -1.35, 0.1),
    (0.0, 1.0, -0.1, 1.35),
    (3.0, 0.5, 3.5, 4.5),
    (3.0, 0.5, 3.5, 4.0),
)


def vector(values: Sequence[int]) -> Array:
    return np.array(values, np.int32)


class Recorder:
    """Runs raw ops and keeps their calls."""

    def __init__(self) -> None:
        self.writer = Writer()
        self.cases: list[dict[str, Any]] = []

    def store(self, array: Array) -> Any:
        """What stands for an array in the index; a large one is only told by its digest."""
        if array.size <= LARGEST_STORED:
            return self.writer.add(array)
        digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return {"dtype": dtype_name(array.dtype), "shape": list(array.shape), "sha256": digest}

    def keep(self, kind: str, op: str, attributes: dict[str, Any], calls: Iterable[dict[str, Any]]) -> None:
        self.cases.append({"kind": kind, "op": op, "attributes": attributes, "calls": list(calls)})

    def stateful(self, op: str, calls: Sequence[Inputs], **attributes: Any) -> None:
        """Calls in a row of one op with the attributes seed and seed2, in a session."""
        with tf.Graph().as_default():
            feeds = {name: tf.compat.v1.placeholder(array.dtype) for name, array in calls[0].items()}
            output = getattr(tf.raw_ops, op)(**feeds, **attributes)
            with tf.compat.v1.Session() as session:
                outputs = [session.run(output, {feeds[name]: call[name] for name in call}) for call in calls]
        self.keep("stateful", op, attributes, map(self.call, calls, outputs))

    def stateless(self, op: str, inputs: Inputs, **attributes: Any) -> None:
        """One call of an op that is told where to draw."""
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        self.keep("stateless", op, attributes, [self.call(inputs, getattr(tf.raw_ops, op)(**tensors, **attributes))])

    def resource(self, op: str, calls: Sequence[Inputs], **attributes: Any) -> None:
        """Calls in a row of an op that draws from the state of a generator."""
        variable = tf.Variable(tf.bitwise.invert(~STATE))  # StatefulRandomBinomial loses updates of a shared buffer
        kept = []
        for inputs in calls:
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            output = getattr(tf.raw_ops, op)(resource=variable.handle, **tensors, **attributes)
            kept.append({**self.call(inputs, output), "state": self.store(variable.numpy().copy())})
        self.keep("resource", op, attributes, kept)

    def call(self, inputs: Inputs, output: Any) -> dict[str, Any]:
        outputs = output if isinstance(output, tuple) else () if output is None else (output,)
        return {
            "inputs": {name: self.writer.add(array) for name, array in inputs.items()},
            "outputs": [self.store(np.asarray(value)) for value in outputs],
        }


def record_elementwise(recorder: Recorder) -> None:
    """Ops whose elements each take the same number of words, and the truncated normal distribution."""
    for op in ("RandomStandardNormal", "RandomUniform", "TruncatedNormal"):
        for dtype in FLOATING:
            for seed, seed2 in SEEDS if dtype == "float32" else SEEDS[:1]:
                shapes = [*SHAPES, LARGE, [3]]
                recorder.stateful(op, [{"shape": vector(s)} for s in shapes], dtype=dtype, seed=seed, seed2=seed2)
    for dtype in (np.int32, np.int64):
        limits = np.iinfo(dtype)
        for low, high in ((-5, 1000), (0, 2), (limits.min, limits.max), (0, limits.max), (limits.min, 0)):
            bounds = {"minval": np.array(low, dtype), "maxval": np.array(high, dtype)}
            shapes = [*SHAPES[:5], [99]]
            recorder.stateful("RandomUniformInt", [{"shape": vector(s), **bounds} for s in shapes], seed=11, seed2=22)
            for seed in STATELESS_SEEDS[:2]:
                inputs = {"shape": vector([9]), "seed": np.array(seed), **bounds}
                recorder.stateless("StatelessRandomUniformInt", inputs)


def record_stateless(recorder: Recorder) -> None:
    for seed in STATELESS_SEEDS:
        pair = np.array(seed)
        key, counter = (output.numpy() for output in tf.raw_ops.StatelessRandomGetKeyCounter(seed=pair))
        recorder.stateless("StatelessRandomGetKeyCounter", {"seed": pair})
        for op in ("StatelessRandomNormal", "StatelessRandomUniform", "StatelessTruncatedNormal"):
            for dtype in FLOATING:
                recorder.stateless(op, {"shape": vector([3, 7]), "seed": pair}, dtype=dtype)
                inputs = {"shape": vector([9]), "key": key, "counter": counter, "alg": np.array(1, np.int32)}
                recorder.stateless(f"{op}V2", inputs, dtype=dtype)
        for dtype in ("int32", "int64", "uint32", "uint64"):
            recorder.stateless("StatelessRandomUniformFullInt", {"shape": vector([9]), "seed": pair}, dtype=dtype)
        inputs = {"value": np.arange(33).reshape(11, 3), "key": key, "counter": counter, "alg": np.array(3, np.int32)}
        recorder.stateless("StatelessShuffle", inputs)
        logits = np.linspace(-1, 2, 12, dtype=np.float32).reshape(2, 6)
        inputs = {"logits": logits, "num_samples": np.array(9, np.int32), "seed": pair}
        recorder.stateless("StatelessMultinomial", inputs, output_dtype="int32")
    overflow = {"key": np.array([2**63], np.uint64), "counter": np.array([2**64 - 1, 2**64 - 1], np.uint64)}
    inputs = {"shape": vector([30]), **overflow, "alg": np.array(1, np.int32)}
    recorder.stateless("StatelessRandomNormalV2", inputs, dtype="float32")


def record_permutations(recorder: Recorder) -> None:
    for size in (0, 1, 2, 3, 4, 5, 6, 9, 13, 17, 18, 300, 70_001):
        recorder.stateful("RandomShuffle", [{"value": np.arange(size, dtype=np.int32)}] * 3, seed=11, seed2=22)
    for value in (np.arange(24).reshape(8, 3), np.array(3.5)):
        recorder.stateful("RandomShuffle", [{"value": value}] * 3, seed=11, seed2=22)


def record_multinomial(recorder: Recorder) -> None:
    random = np.random.RandomState(0)
    for batch, classes in ((1, 1000), (3, 5), (4, 300), (0, 3)):
        logits = (4 * random.randn(batch, classes)).astype(np.float32)
        calls = [{"logits": logits, "num_samples": np.array(n, np.int32)} for n in (1, 3, 8, 0, 90)]
        recorder.stateful("Multinomial", calls, seed=11, seed2=22)
    for dtype in FLOATING:
        logits = np.array([[4.0039, 0.0123, 0.513, 1.037, -0.7777]]).astype(numpy_dtype(dtype))
        calls = [{"logits": logits, "num_samples": np.array(100_000, np.int32)}]
        recorder.stateful("Multinomial", calls, seed=11, seed2=22, output_dtype="int32")
    odd = [[-np.inf, 0, -np.inf, 1], [0, np.nan, 1, 2], [-np.inf] * 4, [0, np.inf, 1, 2]]
    calls = [{"logits": np.array(odd, np.float32), "num_samples": np.array(n, np.int32)} for n in (20, 100)]
    recorder.stateful("Multinomial", calls, seed=11, seed2=22)
    many = random.randn(3001, 7).astype(np.float32)
    recorder.stateful("Multinomial", [{"logits": many, "num_samples": np.array(1, np.int32)}] * 2, seed=11, seed2=22)


def record_rejection(recorder: Recorder) -> None:
    """Gamma, Poisson and binomial numbers."""
    for dtype in ("float32", "float64", "float16"):
        kind = np.dtype(dtype)
        alpha = np.array([0.01, 0.5, 1.0, 1.5, 3.0, 100.0], kind)
        shapes = ([1], [], [0], [2, 3], [41], [3001])
        calls = [{"shape": vector(shape), "alpha": alpha} for shape in shapes]
        recorder.stateful("RandomGamma", calls, seed=11, seed2=22)
        rate = np.array([0.01, 0.0, 1.0, 9.9, 10.0, 100.0, 3e4, -1.0, np.inf], kind)
        for result in ("float32", "int32", "int64") if dtype == "float32" else (dtype,):
            calls = [{"shape": vector(shape), "rate": rate} for shape in shapes]
            recorder.stateful("RandomPoissonV2", calls, dtype=result, seed=11, seed2=22)
    edges = np.array([0.0, -1.0, np.inf, np.nan, 1e-30, 1e30])
    for seed in STATELESS_SEEDS[:2]:
        pair = np.array(seed)
        recorder.stateless("StatelessRandomGammaV2", {"shape": vector([3, 6]), "seed": pair, "alpha": edges})
        alpha = np.array([[0.5], [3.0]], np.float32)
        recorder.stateless("StatelessRandomGammaV2", {"shape": vector([9, 2, 1]), "seed": pair, "alpha": alpha})
        inputs = {"shape": vector([9, 2]), "seed": pair, "lam": np.array([0.5, 30.0], np.float32)}
        recorder.stateless("StatelessRandomPoisson", inputs, dtype="int32")
        for count in (20.0, 200.0, 0.0, -1.0, 1e6):
            for prob in (0.3, 0.7, 0.0, 1.0, 1.5, -0.5, 0.01, np.nan):
                inputs = {"shape": vector([50]), "seed": pair, "counts": np.array(count), "probs": np.array(prob)}
                recorder.stateless("StatelessRandomBinomial", inputs, dtype="float64")


def record_truncated(recorder: Recorder) -> None:
    names = ("means", "stdevs", "minvals", "maxvals")
    stateless_names = ("means", "stddevs", "minvals", "maxvals")
    for dtype in ("float32", "float64"):
        for bounds in BOUNDS:
            values = [np.array(value, dtype) for value in bounds]
            calls = [{"shape": vector(shape), **dict(zip(names, values))} for shape in ([5], [250], [2, 3])]
            recorder.stateful("ParameterizedTruncatedNormal", calls, seed=11, seed2=22)
            inputs = {"shape": vector([130]), "seed": np.array([1, 2]), **dict(zip(stateless_names, values))}
            recorder.stateless("StatelessParameterizedTruncatedNormal", inputs)
        rows = [np.array(values, dtype) for values in ([0, 5, 6], [1], [-2, 5, 7], 9)]
        calls = [{"shape": vector(shape), **dict(zip(names, rows))} for shape in ([3, 5], [3, 0], [3, 150], [3, 2])]
        recorder.stateful("ParameterizedTruncatedNormal", calls, seed=11, seed2=22)
        columns = [np.array(values, dtype) for values in ([[0], [5], [6]], [1, 2], -2, 9)]
        for shape in ([4, 3, 2], [0, 3, 2]):
            inputs = {"shape": vector(shape), "seed": np.array([1, 2]), **dict(zip(stateless_names, columns))}
            recorder.stateless("StatelessParameterizedTruncatedNormal", inputs)


def record_generators(recorder: Recorder) -> None:
    algorithm = {"algorithm": np.array(1)}
    for op in ("StatefulStandardNormalV2", "StatefulUniform", "StatefulTruncatedNormal"):
        for dtype in ("float32", "float64", "float16", "bfloat16"):
            calls = [{**algorithm, "shape": vector(shape)} for shape in ([1], [5], [0], [3, 3])]
            recorder.resource(op, calls, dtype=dtype)
    for dtype in ("int32", "int64", "uint32", "uint64"):
        calls = [{**algorithm, "shape": vector(shape)} for shape in ([1], [5], [0], [3, 3])]
        recorder.resource("StatefulUniformFullInt", calls, dtype=dtype)
    for kind in (np.int32, np.int64):
        bounds = {"minval": np.array(-3, kind), "maxval": np.array(10, kind)}
        calls = [{**algorithm, "shape": vector(shape), **bounds} for shape in ([1], [5], [0], [3, 3])]
        recorder.resource("StatefulUniformInt", calls)
    for prefix, counts, probs in (
        ([5], 20.0, 0.3),
        ([0], 20.0, 0.3),
        ([3], [20.0, 50.0], [0.3, 0.6]),
        ([4], [20.0, 50.0], [[0.3, 0.6], [0.1, 0.2], [0.7, 0.8]]),
    ):
        parameters = {"counts": np.array(counts, np.float32), "probs": np.array(probs, np.float32)}
        broadcast = np.broadcast_shapes(*(value.shape for value in parameters.values()))
        calls = [{**algorithm, "shape": vector([*prefix, *broadcast]), **parameters}] * 2
        recorder.resource("StatefulRandomBinomial", calls, dtype="int32")
    recorder.resource("RngSkip", [{**algorithm, "delta": np.array(delta)} for delta in (0, 1, 257, -1)])
    calls = [{"alg": np.array(1, np.int32), "delta": np.array(delta, np.uint64)} for delta in (0, 1, 257, 2**60)]
    recorder.resource("RngReadAndSkip", calls)


def words(state: Any) -> list[int]:
    return [int(word) for word in state.numpy()]


def from_seed_states() -> list[Any]:
    """Seeds of generators and the states they lead to; arrays are stored as [dtype, values]."""
    whole = (0, 1, 42, -1, 2**63 - 1, 2**64 - 1, 2**70 + 5, -(2**65), 2**200, True)
    lists = ([1, 2], [1, 2, 3], [5, 6, 7, 8], [], [2**64 - 1], [[1, 2], [3, 4]])
    arrays = (np.array(5), np.array([-1, 2], np.int32), np.array([1.9]), np.array([2**64 - 1], np.uint64))
    found = [[seed, words(tf.random.Generator.from_seed(seed).state)] for seed in (*whole, *lists, 1.5)]
    for array in arrays:
        seed = {"dtype": array.dtype.name, "values": array.tolist()}
        found.append([seed, words(tf.random.Generator.from_seed(array).state)])
    return found


def graph_pairs() -> list[Any]:
    """Of a graph's seed, an op's seed and the number of earlier uses: what get_seed gives."""
    found = []
    for graph_seed in (None, 0, 1, 2**31 - 1, 2**40 + 5, -5):
        for op_seed in (None, 0, 7, 2**31 - 1, 2**31, 2**40 + 1, -3):
            with tf.Graph().as_default():
                if graph_seed is not None:
                    tf.compat.v1.set_random_seed(graph_seed)
                for use in range(3):
                    tf.constant(1.0)  # ops do not count
                    found.append([graph_seed, op_seed, use, tf.compat.v1.get_seed(op_seed)])
    return found


def eager_pairs() -> list[Any]:
    """Of a global seed and the seeds of ops in a row: what get_seed gives."""
    found = []
    for seed in (0, 1, 42, -5, 2**40):
        tf.random.set_seed(seed)
        ops = (None, None, 7, None, 0, 2**31 - 1, -3, None)
        found.append([seed, [[op_seed, tf.compat.v1.get_seed(op_seed)] for op_seed in ops]])
    return found


def eager_numbers(recorder: Recorder, seed: int) -> list[Any]:
    """Calls in a row of `tf.random.uniform([size], seed=op_seed, dtype=dtype)`, and what they gave."""
    tf.random.set_seed(seed)
    found = []
    for size, op_seed, dtype in (
        *((2, None, "float32"),) * 2,
        *((2, 5, "float32"),) * 3,
        (3, 5, "float32"),
        (2, 5, "float64"),
        (2, 5, "float32"),
        (2, None, "float32"),
        (2, 6, "float32"),
    ):
        numbers = tf.random.uniform([size], seed=op_seed, dtype=dtype).numpy()
        found.append([size, op_seed, dtype, recorder.store(numbers)])
    return found


def traced_numbers(recorder: Recorder, seed: int) -> list[Any]:
    """Two calls of a function with five ops: for each op its own seed, its attributes, and what it gave."""
    op_seeds = (None, 5, 5, None, 0)

    @tf.function
    def draw() -> list[tf.Tensor]:
        return [tf.random.uniform([2], seed=op_seed) for op_seed in op_seeds]

    tf.random.set_seed(seed)
    calls = [[recorder.store(numbers.numpy()) for numbers in draw()] for _ in range(2)]
    graph = draw.get_concrete_function().graph
    ops = [op for op in graph.get_operations() if op.type == "RandomUniform"]
    pairs = [[op.get_attr("seed"), op.get_attr("seed2")] for op in ops]
    return [list(op_seeds), pairs, calls]


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    recorder = Recorder()
    for record in (
        record_elementwise,
        record_stateless,
        record_permutations,
        record_multinomial,
        record_rejection,
        record_truncated,
        record_generators,
    ):
        record(recorder)
    index = {
        "cases": recorder.cases,
        "from_seed": from_seed_states(),
        "graph_pairs": graph_pairs(),
        "eager_pairs": eager_pairs(),
        "eager_numbers": [[seed, eager_numbers(recorder, seed)] for seed in (1, 42)],
        "traced_numbers": [[seed, traced_numbers(recorder, seed)] for seed in (1, 42)],
    }
    path = recorder.writer.write(TOPIC, index)
    print(f"{path}: {len(recorder.cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
