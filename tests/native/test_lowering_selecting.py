"""Rows that a condition selects and rows dealt out to groups: one native program, although nobody knows how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.engines.native import NativeEngine
from rillet.engines.reference import ReferenceEngine
from rillet.errors import InvalidArgumentError
from tests.native.test_lowering_indexing import Case, Table, compare, data, is_native

SOME = np.array([1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1], bool)
MASKS = {"some": SOME, "none": np.zeros(11, bool), "all": np.ones(11, bool)}
ROWS, CLASSES = data((11, 4), "float32"), np.arange(11) % 4


def gradient(loss: Any, x: Any) -> list[Any]:
    return [loss, tf.compat.v1.gradients(loss, x)[0]]


def masked_mean(x: Any, mask: Any) -> list[Any]:
    return gradient(tf.reduce_sum(tf.square(tf.boolean_mask(x, mask))) / 3 + tf.reduce_sum(x[0]), x)


def selected(x: Any, mask: Any) -> list[Any]:
    rows = tf.gather_nd(x, tf.where(mask))
    return [
        tf.reduce_sum(rows, 0), tf.reduce_max(rows, [0, 1]), tf.reduce_min(rows, 0, keepdims=True), tf.reduce_prod(rows),
        tf.reduce_sum(tf.nn.softmax(rows) * tf.nn.relu(rows)), tf.reduce_sum(tf.reduce_mean(rows, 1)), tf.shape(rows),
        tf.reduce_sum(tf.nn.bias_add(tf.matmul(rows, tf.ones([4, 3])), [1.0, 2.0, 3.0]), 0),
    ]  # fmt: skip


def places(x: Any, mask: Any) -> list[Any]:
    found = tf.where(x > 0)
    return [tf.shape(found), tf.size(found), tf.reduce_sum(found, 0), tf.reduce_sum(tf.gather_nd(x, found))]


def dealt(x: Any, groups: Any) -> list[Any]:
    parts = tf.dynamic_partition(x, groups, 3)
    return [*[tf.reduce_sum(part, 0) for part in parts], *[tf.shape(part)[0] for part in parts]]


def dealt_and_stitched(x: Any, groups: Any) -> list[Any]:
    parts, where = (tf.dynamic_partition(value, groups, 3) for value in (x, tf.range(11)))
    back = tf.dynamic_stitch(where, [part * (number + 1.0) for number, part in enumerate(parts)])
    return [back, *gradient(tf.reduce_sum(tf.dynamic_partition(x, groups, 3)[1] ** 2), x)]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_selected_rows(mask: Any) -> None:
    Table([(f.__name__, f, ROWS, mask) for f in (masked_mean, selected, places)]).check()


@pytest.mark.parametrize("mask", [SOME, np.ones(11, bool)])
def test_a_masked_loss_is_one_program(mask: Any) -> None:
    def loss(x: Any, labels: Any, mask: Any) -> list[Any]:
        rows, wanted = tf.boolean_mask(x, mask), tf.boolean_mask(labels, mask)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=rows)
        return gradient(tf.reduce_mean(losses), x)

    Table([("loss", loss, ROWS, CLASSES, mask)]).check()


@pytest.mark.parametrize("groups", [CLASSES % 3, np.zeros(11, int), np.full(11, 2)])
def test_rows_dealt_out_to_groups(groups: Any) -> None:
    Table([(f.__name__, f, ROWS, groups.astype(np.int32)) for f in (dealt, dealt_and_stitched)]).check()


def falling_back(case: Case) -> None:
    table = Table([case])
    expected, actual = table.run(ReferenceEngine()), table.run(NativeEngine())
    for ours, theirs in zip(actual, expected, strict=True):
        compare(case[0], np.asarray(ours), np.asarray(theirs))


def test_what_needs_the_rows_themselves_falls_back() -> None:
    falling_back(("result", lambda x: tf.where(x > 0), ROWS))
    falling_back(("flat", lambda x: tf.reduce_sum(tf.reshape(tf.gather_nd(x, tf.where(x[:, 0] > 0)), [-1])), ROWS))


def test_rows_that_are_fewer_than_before() -> None:
    """Each place named by both groups: the result is shorter than what was dealt out, which shows when it has run."""

    def stitched(x: Any, groups: Any) -> Any:
        where = [part // 3 for part in tf.dynamic_partition(tf.range(11), groups, 2)]
        return tf.dynamic_stitch(where, tf.dynamic_partition(x, groups, 2))

    falling_back(("short", stitched, ROWS, (CLASSES % 2).astype(np.int32)))


def test_a_group_that_is_none_is_an_error() -> None:
    table = Table([("groups", dealt, ROWS, np.full(11, 3, np.int32))])
    with pytest.raises(InvalidArgumentError):
        table.run(NativeEngine())
    assert is_native(table.executables[0])
