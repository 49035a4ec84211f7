"""Measures rillet against its peers, and writes docs/performance.md's table.

    python -m benchmarks.peers                                      # rillet and the machine's limits alone
    python -m benchmarks.peers --peer tensorflow=PYTHON --peer torch=PYTHON --peer jax=PYTHON --write

PYTHON is one that has the framework installed. Each framework runs in a process of its own; on each workload they take
short turns, one after the other, so that what else the machine does hits all alike. The best turn counts, and ratios
count more than times. --threads 1 pins everything to one core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import limits  # noqa: E402
import problems  # noqa: E402

PROGRAMS = {"rillet": "in_tensorflow", "tensorflow": "in_tensorflow", "torch": "in_torch", "jax": "in_jax"}
PER = {"eager add": 1000, "tape": 100}
MICROSECONDS = ("eager add", "tape", "call")
NAMES = (
    "eager add", "tape", "call", "elementwise", "elementwise with gradient", "softmax cross entropy", "layer norm",
    "matmul 256", "matmul 1024", "matmul 2048", "mlp32", "mlp512", "lenet", "resblock", "lstm", "gpt",
)  # fmt: skip


class Worker:
    """A framework's process for one workload."""

    def __init__(self, framework: str, python: str, workload: str, threads: int) -> None:
        environment = dict(os.environ, PEER_MODULE=framework, PEER_THREADS=str(threads), TF_CPP_MIN_LOG_LEVEL="3")
        if threads:
            names = ("RILLET_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
            environment.update(dict.fromkeys(names, str(threads)))
        prefix = ["taskset", "-c", "1"] if threads == 1 else []
        self.framework = framework
        self._process = subprocess.Popen(
            [*prefix, python, str(HERE / "worker.py"), PROGRAMS[framework], workload],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def read(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.startswith("{") else None

    def turn(self, seconds: float) -> dict[str, Any] | None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> str:
        _, errors = self._process.communicate()
        return errors.strip().splitlines()[-1] if errors.strip() else ""


def measure(workload: str, pythons: dict[str, str], rounds: int, seconds: float, threads: int) -> dict[str, Any]:
    """{framework variant: {best, median, first, value}} in seconds a step."""
    workers, result = [], {}
    for framework, python in pythons.items():
        worker = Worker(framework, python, workload, threads)
        ready = worker.read()
        if ready is None or "missing" in ready:
            problem = worker.close()
            if problem:
                print(f"  {framework}: {problem}", file=sys.stderr)
            continue
        workers.append(worker)
        for variant, (first, value) in ready["first"].items():
            result[f"{framework} {variant}"] = {"first": first, "value": value, "turns": [], "medians": []}
    for _ in range(rounds):
        for worker in workers:
            for variant, (best, median) in (worker.turn(seconds) or {}).items():
                result[f"{worker.framework} {variant}"]["turns"].append(best)
                result[f"{worker.framework} {variant}"]["medians"].append(median)
    for worker in workers:
        worker.close()
    for entry in result.values():
        entry["best"] = min(entry.pop("turns")) / PER.get(workload, 1)
        entry["median"] = statistics.median(entry.pop("medians")) / PER.get(workload, 1)
    return result


def shown(workload: str, seconds: float) -> str:
    if workload.startswith("matmul"):
        return f"{problems.flops()[workload] / seconds / 1e9:.0f} GFLOP/s"
    return f"{seconds * 1e6:.2f} µs" if workload in MICROSECONDS else f"{seconds * 1e3:.2f} ms"


def row(workload: str, results: dict[str, Any], machine: limits.Machine) -> str:
    ours = {name: entry for name, entry in results.items() if name.startswith("rillet")}
    theirs = {name: entry for name, entry in results.items() if not name.startswith("rillet")}
    mine = min(ours.values(), key=lambda entry: entry["best"])["best"]
    best = min(theirs.items(), key=lambda item: item[1]["best"], default=None)
    floor, bound = machine.limit(workload)
    cells = [workload, shown(workload, mine)]
    cells += [f"{shown(workload, best[1]['best'])} ({best[0]})", f"{best[1]['best'] / mine:.2f}x"] if best else ["", ""]
    cells += [shown(workload, floor), f"{mine / floor:.2f}x", bound] if floor else ["", "", bound]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| workload | rillet | best peer | rillet is faster by | limit | rillet over the limit | what bounds it |\n"
    "|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--only", default="", help="a regular expression of workloads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each turn")
    parser.add_argument("--threads", type=int, default=0, help="how many all may use; 0: as many as there are")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    pythons = {"rillet": sys.executable, **dict(peer.split("=", 1) for peer in options.peer)}
    unknown = set(pythons) - set(PROGRAMS)
    if unknown:
        parser.error(f"there are programs for {', '.join(PROGRAMS)}, not for {', '.join(unknown)}")
    machine = limits.Machine(options.threads)
    print(machine, file=sys.stderr)
    rows, details = [], {}
    for workload in NAMES:
        if not re.search(options.only, workload):
            continue
        results = details[workload] = measure(workload, pythons, options.rounds, options.seconds, options.threads)
        if any(name.startswith("rillet") for name in results):
            rows.append(row(workload, results, machine))
            print(rows[-1], file=sys.stderr, flush=True)
            if options.write:
                _write(machine, rows)
    print("\n".join([HEAD, *rows]))
    print(json.dumps(details), file=sys.stderr)


def _write(machine: limits.Machine, rows: list[str]) -> None:
    """Puts the table into docs/performance.md."""
    page = HERE.parent.parent / "docs" / "performance.md"
    text = page.read_text()
    begin, end = "<!-- table -->", "<!-- end of table -->"
    head, rest = text.split(begin)[0], text.split(end)[1]
    table = "\n".join([HEAD, *rows])
    page.write_text(f"{head}{begin}\n{machine}\n\n{table}\n{end}{rest}")


if __name__ == "__main__":
    main()
