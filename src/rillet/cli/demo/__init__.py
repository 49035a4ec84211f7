"""`rillet demo`: one model learns real handwritten digits, lazily and eagerly, and the two are compared."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.cli.demo import digits_eagerly, digits_lazily
from rillet.cli.demo.problem import EPOCHS, Array, Digits, Epoch, digits
from rillet.cli.progress import ProgressBar

STYLES: dict[str, Callable[[Digits, Callable[[Epoch], object]], list[Array]]] = {
    "lazily": digits_lazily.train,
    "eagerly": digits_eagerly.train,
}


@dataclass
class Result:
    epoch: Epoch
    weights: list[Array]
    seconds: float


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("demo", help="train on handwritten digits, lazily and eagerly, and compare")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    data = digits()
    results = {style: _train(style, data) for style in STYLES}
    print(table(results))
    return 0


def _train(style: str, data: Digits) -> Result:
    epochs: list[Epoch] = []
    begin = time.perf_counter()
    with ProgressBar(f"training {style}", EPOCHS) as bar:

        def report(epoch: Epoch) -> None:
            epochs.append(epoch)
            bar.advance(f"loss {epoch.loss:.4f}")

        weights = STYLES[style](data, report)
    return Result(epochs[-1], weights, time.perf_counter() - begin)


def table(results: dict[str, Result]) -> str:
    """One column a style, and how far their weights lie apart."""
    rows: list[tuple[str, Callable[[Result], str]]] = [
        ("epochs", lambda result: str(result.epoch.number)),
        ("loss", lambda result: f"{result.epoch.loss:.6f}"),
        ("train accuracy", lambda result: f"{result.epoch.train_accuracy:.2%}"),
        ("test accuracy", lambda result: f"{result.epoch.test_accuracy:.2%}"),
        ("seconds", lambda result: f"{result.seconds:.2f}"),
    ]
    lines = [_line("1797 digits, 8x8", results), _line("-" * 16, ["-" * 10] * len(results))]
    lines += [_line(name, [write(result) for result in results.values()]) for name, write in rows]
    return "\n".join([*lines, "", f"largest difference between the weights: {largest_difference(results):.3g}"])


def _line(name: str, cells: Any) -> str:
    return f"{name:<16}" + "".join(f" | {cell:>10}" for cell in cells)


def largest_difference(results: dict[str, Result]) -> float:
    first, second = (result.weights for result in results.values())
    return max(float(np.abs(one - other).max()) for one, other in zip(first, second, strict=True))
