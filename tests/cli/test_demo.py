"""`rillet demo`: both styles learn, and equally."""

from __future__ import annotations

import io
import re
import time

import numpy as np
import pytest

from rillet.cli import main
from rillet.cli.demo import Result, digits_eagerly, digits_lazily, largest_difference, table
from rillet.cli.demo.problem import Epoch, batches, digits, first_weights
from rillet.cli.progress import ProgressBar


@pytest.mark.smoke
def test_both_styles_learn_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    begin = time.perf_counter()
    assert main(["demo"]) == 0
    assert time.perf_counter() - begin < 30
    printed = capsys.readouterr()
    assert printed.err == ""
    rows = dict(re.findall(r"^(\w[\w ]*?) +\| +(\S+ \| +\S+)$", printed.out, re.MULTILINE))
    columns = {name: cells.replace("|", " ").split() for name, cells in rows.items()}
    assert columns["epochs"] == ["20", "20"]
    assert float(columns["loss"][0]) == pytest.approx(float(columns["loss"][1]), rel=1e-3)
    assert float(columns["loss"][0]) < 0.05
    assert columns["train accuracy"][0] == columns["train accuracy"][1]
    assert float(columns["train accuracy"][0].rstrip("%")) > 99
    assert columns["test accuracy"][0] == columns["test accuracy"][1]
    assert float(columns["test accuracy"][0].rstrip("%")) > 89
    difference = re.search(r"largest difference between the weights: (\S+)\n$", printed.out)
    assert difference is not None
    assert float(difference[1]) < 1e-3  # compiled code rounds less often


# TensorFlow 2.21's, after the first and the second epoch of the same program.
LOSSES = [0.306021899, 0.152490050]
TRAIN_ACCURACIES = [0.922059834, 0.957550466]


@pytest.mark.parametrize("style", [digits_lazily, digits_eagerly])
def test_the_numbers_are_those_of_tensorflow(style: object, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[Epoch] = []
    monkeypatch.setattr(style, "EPOCHS", 2)
    style.train(digits(), epochs.append)  # type: ignore[attr-defined]
    np.testing.assert_allclose([epoch.loss for epoch in epochs], LOSSES, rtol=1e-4)
    np.testing.assert_allclose([epoch.train_accuracy for epoch in epochs], TRAIN_ACCURACIES, atol=0.001)


def test_batches_are_a_permutation_of_the_examples() -> None:
    data = digits()
    parts = list(batches(data.train_images, data.train_labels, epoch=1))
    assert [len(labels) for _, labels in parts] == [32] * 44 + [29]
    seen = np.concatenate([images for images, _ in parts])
    assert not np.array_equal(seen, data.train_images)
    np.testing.assert_array_equal(np.sort(seen.sum(1)), np.sort(data.train_images.sum(1)))
    again = next(batches(data.train_images, data.train_labels, epoch=1))
    np.testing.assert_array_equal(again[0], parts[0][0])
    assert not np.array_equal(next(batches(data.train_images, data.train_labels, epoch=2))[0], parts[0][0])


def test_first_weights() -> None:
    shapes = [weights.shape for weights in first_weights()]
    assert shapes == [(64, 128), (128,), (128, 10), (10,)]
    assert all(weights.dtype == np.float32 for weights in first_weights())


def test_table() -> None:
    results = {
        "lazily": Result(Epoch(20, 0.5, 0.75, 0.5), [np.array([1.0, 2.0])], 1.25),
        "eagerly": Result(Epoch(20, 0.25, 0.75, 0.5), [np.array([1.0, 2.5])], 2.5),
    }
    assert largest_difference(results) == 0.5
    assert table(results).splitlines() == [
        "1797 digits, 8x8 |     lazily |    eagerly",
        "---------------- | ---------- | ----------",
        "epochs           |         20 |         20",
        "loss             |   0.500000 |   0.250000",
        "train accuracy   |     75.00% |     75.00%",
        "test accuracy    |     50.00% |     50.00%",
        "seconds          |       1.25 |       2.50",
        "",
        "largest difference between the weights: 0.5",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_bar_on_a_terminal() -> None:
    stream = Terminal()
    with ProgressBar("training", total=2, stream=stream) as bar:
        bar.advance("too soon to be drawn")
        bar.advance("loss 0.1")
    drawn = stream.getvalue().split("\r\x1b[K")
    assert drawn == ["", "training " + "░" * 30 + " 0/2 ", "training " + "█" * 30 + " 2/2 loss 0.1", ""]


def test_no_progress_bar_elsewhere() -> None:
    stream = io.StringIO()
    with ProgressBar("training", total=1, stream=stream) as bar:
        bar.advance()
    assert stream.getvalue() == ""
