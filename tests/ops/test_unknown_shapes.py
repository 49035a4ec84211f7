"""Gradients in a graph that knows no shapes, of first and second order, are those that a tape gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from tests.ops import harness
from tests.ops.harness import Array, Row

TOPICS = ("reduce", "linalg")
# Rows whose gradients need to know a size while the graph is built.
NEED_A_SIZE = {"linalg.banded_triangular_solve": "the number of bands"}


def _cases() -> Iterator[Any]:
    for topic in TOPICS:
        for row in harness.topic_rows(topic):
            if row.differentiated() and row.unknown_shapes and row.name not in NEED_A_SIZE:
                for variant in row.gradient_variants():
                    yield pytest.param(row, variant, id=f"{row.name}-{variant}")


def _weights(shapes: Sequence[Any]) -> list[Array]:
    return [np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape) for shape in shapes]


def _gradients(tf: Any, row: Row, tensors: Sequence[Any], sources: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The gradients of a weighted sum of the outputs, and those of the sum of these gradients, by tapes."""
    with tf.GradientTape() as outer:
        outer.watch(sources)
        with tf.GradientTape() as inner:
            inner.watch(sources)
            outputs = harness._targets(harness.flatten(row.call(tf, *tensors)))
        weights = [
            tf.constant(weight, output.dtype)
            for weight, output in zip(_weights([output.shape for output in outputs]), outputs, strict=True)
        ]
        first = [_dense(tf, gradient) for gradient in inner.gradient(outputs, sources, output_gradients=weights)]
    second = outer.gradient([gradient for gradient in first if gradient is not None], sources)
    return first, [_dense(tf, gradient) for gradient in second]


def _dense(tf: Any, gradient: Any) -> Any:
    return None if gradient is None else tf.convert_to_tensor(gradient)


def _symbolic_gradients(
    tf: Any, row: Row, arrays: Sequence[Array], shapes: Sequence[Any], ranks_known: bool
) -> list[Array | None]:
    """The same by tf.gradients, from placeholders whose sizes (and ranks) are not known."""
    graph = tf.Graph()
    with graph.as_default():
        feeds = [
            tf.compat.v1.placeholder(tf.as_dtype(array.dtype), [None] * array.ndim if ranks_known else None)
            for array in arrays
        ]
        outputs = harness._targets(harness.flatten(row.call(tf, *feeds)))
        sources = [feeds[position] for position in row.differentiated()]
        weights = [tf.constant(weight, output.dtype) for weight, output in zip(_weights(shapes), outputs, strict=True)]
        first = [_dense(tf, gradient) for gradient in tf.compat.v1.gradients(outputs, sources, grad_ys=weights)]
        present = [gradient for gradient in first if gradient is not None]
        second = [_dense(tf, gradient) for gradient in tf.compat.v1.gradients(present, sources)]
    with tf.compat.v1.Session(graph=graph) as session:
        wanted = [gradient for gradient in (*first, *second) if gradient is not None]
        fetched = iter(session.run(wanted, dict(zip(feeds, arrays, strict=True))))
    return [None if gradient is None else next(fetched) for gradient in (*first, *second)]


def _same(tape: Any, symbolic: Array | None) -> bool:
    """None is as good as zeros."""
    if tape is None or symbolic is None:
        other = symbolic if tape is None else tape.numpy()
        return other is None or not np.any(other)
    expected = tape.numpy()
    return symbolic.shape == expected.shape and np.allclose(symbolic, expected, rtol=1e-6, atol=1e-8, equal_nan=True)


@pytest.mark.parametrize("ranks_known", [True, False], ids=["ranks known", "nothing known"])
@pytest.mark.parametrize(("row", "variant"), list(_cases()))
def test_gradients_without_static_shapes(row: Row, variant: str, ranks_known: bool) -> None:
    tf = harness.module_under_test()
    arrays = row.arrays(variant, row.gradient_dtypes[0])
    tensors = harness.constants(tf, arrays)
    first, second = _gradients(tf, row, tensors, [tensors[position] for position in row.differentiated()])
    outputs = harness._targets(harness.flatten(row.call(tf, *tensors)))
    symbolic = _symbolic_gradients(tf, row, arrays, [output.shape for output in outputs], ranks_known)
    wrong = [place for place, pair in enumerate(zip((*first, *second), symbolic, strict=True)) if not _same(*pair)]
    assert not wrong, f"gradients {wrong} (those of second order follow those of first order) differ from the tape's"
