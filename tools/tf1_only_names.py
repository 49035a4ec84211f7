"""Writes the list of names that TensorFlow 1 has and TensorFlow 2 has not, by which `rillet run` knows an old program.

    python tools/tf1_only_names.py --tf1 tf_1_15_symbols.txt --tf2 tf_v2_symbols.txt --usage tf1_usage.csv \\
        --output src/rillet/compat/tf1_only_names.txt

The symbol files have one dotted name a line (`tf.nn.relu`), perhaps with a tab and a kind behind it; members are
written `tf.Graph#as_default`. The usage file has the columns `symbol` and `in_tf2_namespace`: names that real programs
use, older ones among them. A name stands for all that begins with it and a dot.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

# Rooms whose names came and went within TensorFlow 2 (up to Keras 3 they were there), or say nothing about its version.
UNDECIDED = ("compat", "config", "distribute", "estimator", "keras", "lite", "optimizers", "raw_ops", "xla")
# Aliases of Keras' functions up to Keras 3.
ALIASES_OF_KERAS = {"losses.mean_squared_error", "metrics.mean_absolute_error", "metrics.mean_squared_error"}
# Lay beside the listed names in TensorFlow 1.
BESIDE = {"contrib", "examples.tutorials"}


def symbols(file: Path) -> Iterator[str]:
    for line in file.read_text().splitlines():
        name = line.partition("\t")[0].partition("#")[0].strip().removeprefix("tf.")
        if name:
            yield name


def used_but_gone(file: Path) -> Iterator[str]:
    with file.open() as rows:
        for row in csv.DictReader(rows):
            if row["in_tf2_namespace"] == "0" and row["symbol"].startswith("tf."):
                yield row["symbol"].removeprefix("tf.")


def prefixes(name: str) -> Iterator[str]:
    """nn, nn.rnn_cell, nn.rnn_cell.LSTMCell"""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def tells(name: str) -> bool:
    rooms = name.split(".")
    return rooms[0] not in UNDECIDED and "experimental" not in rooms and name not in ALIASES_OF_KERAS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("tf1", "tf2", "usage", "output"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    files = parser.parse_args()
    present = {prefix for name in symbols(files.tf2) for prefix in prefixes(name)}
    old = {*symbols(files.tf1), *used_but_gone(files.usage), *BESIDE}
    present |= {name for name in old if not tells(name)}
    present |= {prefix for name in old if not tells(name) for prefix in prefixes(name)}
    gone = {next(prefix for prefix in prefixes(name) if prefix not in present) for name in old - present}
    files.output.write_text("\n".join(sorted(gone)) + "\n")


if __name__ == "__main__":
    main()
