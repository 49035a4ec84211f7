"""Record what TensorFlow gives for every row of the op table.

Run with a Python that has TensorFlow: `python tools/record_oracle.py [topic ...] [--rows PATTERN]`.
Writes tests/data/ops/<topic>.npz, and prints rows that TensorFlow does not run as they are meant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow as tf
from tests.ops import harness
from tests.ops.harness import BASE, Bad, Row
from tests.ops.recording import Writer


def record_values(row: Row, writer: Writer, notes: list[str]) -> dict[str, dict[str, list[Any]]]:
    """Outputs for every dtype and variant that TensorFlow has."""
    values: dict[str, dict[str, list[Any]]] = {}
    for dtype in row.dtypes:
        for variant in row.variant_names(dtype):
            try:
                outputs = harness.run_eager(tf, row, row.arrays(variant, dtype))
            except Exception as error:  # unsupported, or a mistake in the row: shown either way
                notes.append(f"{dtype} {variant}: {_first_line(error)}")
                if variant == BASE:
                    break
                continue
            values.setdefault(dtype, {})[variant] = [writer.add(output) for output in outputs]
    return values


def record_static(row: Row, dtype: str, variants: Sequence[str], notes: list[str]) -> tuple[dict[str, Any], set[str]]:
    """The shapes that TensorFlow infers, and the op types its graph is made of."""
    shapes: dict[str, Any] = {}
    types: set[str] = set()
    for variant in variants if row.graph else ():
        shapes[variant] = {}
        for label in ("known", "unknown") if row.unknown_shapes else ("known",):
            try:
                graph, _, outputs, _ = harness.forward_graph(tf, row, row.arrays(variant, dtype), label == "unknown")
            except Exception as error:
                notes.append(f"graph {variant} {label}: {_first_line(error)}")
                continue
            shapes[variant][label] = [harness.static_shape(output) for output in outputs]
            types |= op_types(graph)
    return shapes, types


def op_types(graph: tf.Graph) -> set[str]:
    """The op types of a graph and of the functions in its library."""
    definition = graph.as_graph_def()
    types = {node.op for node in definition.node}
    for function in definition.library.function:
        types |= {node.op for node in function.node_def}
    names = {function.signature.name for function in definition.library.function}
    return types - names


def record_gradients(
    row: Row, dtype: str, variants: Sequence[str], writer: Writer, notes: list[str]
) -> dict[str, list[Any]]:
    """Gradients with deterministic output gradients; None where TensorFlow gives None."""
    gradients: dict[str, list[Any]] = {}
    for variant in variants:
        if variant not in row.gradient_variants():
            continue
        try:
            found = harness.run_tape(tf, row, variant, row.arrays(variant, dtype))
            dense = [harness.dense_array(tf, gradient) for gradient in found]
        except Exception as error:
            notes.append(f"gradient {dtype} {variant}: {_first_line(error)}")
            continue
        for position, gradient in zip(row.differentiated(), found, strict=True):
            if gradient is None and variant == BASE:
                notes.append(f"gradient {dtype} {variant}: input {position} is None")
            elif position in row.indexed_slices and not isinstance(gradient, tf.IndexedSlices):
                notes.append(f"gradient {dtype} {variant}: input {position} is dense")
        gradients[variant] = [None if gradient is None else writer.add(gradient) for gradient in dense]
    return gradients


def gradient_op_types(row: Row, dtype: str, outputs: list[Any], notes: list[str]) -> set[str]:
    """The op types of the graph that `tf.gradients` makes of a row."""
    shapes = [(tuple(shape), name) for name, shape, _ in outputs]
    try:
        graph = harness.gradient_graph(tf, row, BASE, row.arrays(BASE, dtype), shapes)[0]
    except Exception as error:
        notes.append(f"tf.gradients: {_first_line(error)}")
        return set()
    return op_types(graph)


def check_bad(bad: Bad, position: int, notes: list[str]) -> None:
    """The error class and phrase that a row states must be TensorFlow's."""
    for mode, run, stated in (("eager", harness.bad_eager, bad.eager), ("graph", harness.bad_graph, bad.graph)):
        raised = harness.error_of(lambda run=run: run(tf, bad))
        if raised is None:
            if stated is not None:
                notes.append(f"error {position} {mode}: nothing raised")
        elif stated is None or stated[0] not in raised[0] or stated[1] not in raised[1]:
            notes.append(f"ERROR {position} {mode}: {raised[0][0]}: {_gist(raised[1])!r}")


def record_row(row: Row, writer: Writer, notes: list[str]) -> dict[str, Any] | None:
    """The index entry of a row; None where TensorFlow does not run it at all."""
    values = record_values(row, writer, notes)
    if not values:
        notes.append("NOT RUN BY TENSORFLOW")
        return None
    primary = next(iter(values))
    static, types = record_static(row, primary, list(values[primary]), notes)
    gradients: dict[str, Any] = {}
    gradient_types: set[str] = set()
    if row.differentiated():
        for dtype in row.gradient_dtypes:
            if dtype in values:
                found = record_gradients(row, dtype, list(values[dtype]), writer, notes)
                gradients |= {dtype: found} if found else {}
        if not gradients:
            notes.append("NO GRADIENT RECORDED")
        else:
            dtype = next(iter(gradients))
            if row.graph:
                gradient_types = gradient_op_types(row, dtype, values[dtype][BASE], notes)
    for position, bad in enumerate(row.errors):
        check_bad(bad, position, notes)
    return {
        "values": values,
        "static": static,
        "gradients": gradients,
        "op_types": sorted(types),
        "gradient_op_types": sorted(gradient_types),
    }


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


def _gist(message: str) -> str:
    """The telling part of an error: its beginning, or what follows the list of the operations' origins."""
    return message[message.find("\nNode: ") :][:400] if message.startswith("Graph execution error") else message[:300]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", default=list(harness.TOPICS))
    parser.add_argument("--rows", default="", help="only look at rows whose names start so, and write nothing")
    parser.add_argument("--verbose", action="store_true", help="also name dtypes that TensorFlow lacks")
    options = parser.parse_args()
    failed = 0
    for topic in options.topics:
        writer = Writer()
        index: dict[str, Any] = {}
        rows = [row for row in harness.topic_rows(topic) if row.name.startswith(options.rows)]
        for row in rows:
            notes: list[str] = []
            entry = record_row(row, writer, notes)
            if entry is None:
                failed += 1
            else:
                index[row.name] = entry
            for note in notes:
                quiet = (
                    entry is not None
                    and note.split(":")[0].endswith(f" {BASE}")
                    and not note.startswith(("grad", "graph"))
                )
                if options.verbose or not quiet:
                    print(f"{row.name}: {note}", flush=True)
        if not options.rows:
            path = writer.write(topic, index)
            print(f"{topic}: {len(index)} of {len(rows)} rows, {path.stat().st_size / 1e3:.0f} kB", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
