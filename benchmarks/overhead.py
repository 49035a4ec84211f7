"""What a call costs before any arithmetic is done: eager add, a taped op, a tf.function, Session.run; and the import.

    python benchmarks/overhead.py                                  # rillet
    python benchmarks/overhead.py --module tensorflow              # TensorFlow, where it is installed
    python benchmarks/overhead.py --against PYTHON:tensorflow      # both, in turn, with ratios; PYTHON has the other one

Times are the medians of many short rounds, in microseconds; imports in seconds. On a shared machine trust ratios only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable

IMPORT = "import time; import numpy; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def median(function: Callable[[], object], number: int, rounds: int = 31) -> float:
    """Microseconds a call: the median over `rounds` of `number` calls each."""
    function()
    return statistics.median(timeit.repeat(function, number=number, repeat=rounds)) / number * 1e6


def measure(module: str) -> dict[str, float]:
    import numpy as np

    seconds = [float(subprocess.check_output([sys.executable, "-c", IMPORT.format(module)])) for _ in range(5)]
    tf = importlib.import_module(module)
    v1 = importlib.import_module(f"{module}.compat.v1")
    array = np.ones(3, np.float32)
    a, b = tf.constant(array), tf.constant(array)

    def taped() -> object:
        with tf.GradientTape() as tape:
            tape.watch(a)
            x = a
            for _ in range(100):
                x = x * b
        return tape.gradient(x, a)

    double = tf.function(lambda x: x * 2.0 + 1.0)
    with tf.Graph().as_default():
        p = v1.placeholder(tf.float32, [3])
        y = p * 2.0 + 1.0
        session = v1.Session()
        run = median(lambda: session.run(y, {p: array}), 300)
    return {
        "import beyond NumPy, s": statistics.median(seconds),
        "numpy add, us": median(lambda: np.add(array, array), 5000),
        "eager add, us": median(lambda: a + b, 5000),
        "taped op, forward and backward, us": median(taped, 3, 11) / 100,
        "tf.function of 2 ops, us": median(lambda: double(a), 300),
        "Session.run of 2 ops, us": run,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", default="rillet")
    parser.add_argument("--against", metavar="PYTHON:MODULE", help="measure that too, in alternating rounds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measure(options.module)))
        return
    columns = {options.module: [sys.executable, options.module]}
    if options.against:
        python, _, module = options.against.rpartition(":")
        columns[module] = [python, module]
    results: dict[str, list[dict[str, float]]] = {name: [] for name in columns}
    for _ in range(options.rounds):
        for name, (python, module) in columns.items():
            began = time.perf_counter()
            output = subprocess.check_output(
                [python, __file__, "--json", "--module", module], stderr=subprocess.DEVNULL
            )
            results[name].append(json.loads(output.splitlines()[-1]))
            if sys.stderr.isatty():
                print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    for row in results[options.module][0]:
        best = [min(result[row] for result in results[name]) for name in columns]
        ratio = f"   {best[1] / best[0]:7.1f}x" if len(best) > 1 else ""
        print(f"{row:36}" + "".join(f"{value:12.3f}" for value in best) + ratio)


if __name__ == "__main__":
    main()
