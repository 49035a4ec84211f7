"""One framework in a process of its own: runs turns when asked.

    python worker.py in_torch "mlp32"

prints a JSON line with what the first step took, then for each line it reads (seconds) one with what the turn measured.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def turn(step, seconds):
    """The least and the median time of a step, over about so many seconds, and at least three steps."""
    taken = []
    end = time.perf_counter() + seconds
    while len(taken) < 3 or (time.perf_counter() < end and len(taken) < 5000):
        begin = time.perf_counter()
        step()
        taken.append(time.perf_counter() - begin)
    taken.sort()
    return taken[0], taken[len(taken) // 2]


def main() -> None:
    module, name = sys.argv[1:3]
    begin = time.perf_counter()
    workloads = importlib.import_module(module).WORKLOADS
    imported = time.perf_counter() - begin
    if name not in workloads:
        print(json.dumps({"missing": True}), flush=True)
        return
    steps = workloads[name]()
    first = {}
    for variant, step in steps.items():
        begin = time.perf_counter()
        value = step()
        first[variant] = (time.perf_counter() - begin, value if isinstance(value, float) else None)
        step()
    print(json.dumps({"import": imported, "first": first}), flush=True)
    for line in sys.stdin:
        print(json.dumps({variant: turn(step, float(line)) for variant, step in steps.items()}), flush=True)


if __name__ == "__main__":
    main()
