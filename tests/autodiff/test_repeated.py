"""Gradients of computations that come again: derived once, then run. They must be what backprop gives op by op."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.autodiff import repeated
from rillet.core.tensor import EagerTensor

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[repeated._Known]:
    """Every test begins with nothing known."""
    fresh = repeated._Known()
    monkeypatch.setattr(repeated, "_KNOWN", fresh)
    yield fresh


def derived_in(known: repeated._Known) -> list[repeated._Derived]:
    return [found.derived for found in known._computations.values() if found.derived is not None]


def normal(*shape: int) -> Any:
    return tf.constant(RNG.standard_normal(shape, dtype=np.float32))


def as_arrays(gradients: Any) -> list[Any]:
    """Each gradient as (kind, arrays): None, dense, or slices."""
    found: list[Any] = []
    for gradient in gradients:
        if gradient is None:
            found.append(None)
        elif isinstance(gradient, tf.IndexedSlices):
            found.append(("slices", gradient.values.numpy(), gradient.indices.numpy()))
        else:
            found.append(("dense", gradient.numpy()))
    return found


def assert_same(left: list[Any], right: list[Any]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one[0] == other[0]
            for a, b in zip(one[1:], other[1:], strict=True):
                assert a.dtype == b.dtype and a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)


def gradients(function: Callable[..., Any], sources: list[Any], **options: Any) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch(sources)
        target = function(*sources)
    return as_arrays(tape.gradient(target, sources, **options))


def op_by_op(monkeypatch: pytest.MonkeyPatch, compute: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr("rillet.autodiff.tape.repeated_gradients", lambda *arguments: None)
        return compute()


# ---- the same values ------------------------------------------------------------------------------------------------

LABELS = tf.constant([1, 2, 0], tf.int32)


def powers(x: Any) -> Any:
    y = x
    for _ in range(20):
        y = y * x + 0.5
    return tf.reduce_sum(y)


def network(x: Any, w: Any, b: Any) -> Any:
    logits = tf.nn.relu(tf.matmul(x, w) + b)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=LABELS, logits=logits))


def shapes(x: Any) -> Any:
    parts = tf.split(tf.transpose(tf.reshape(x, [4, 3])), 2, axis=1)
    return tf.concat([parts[0] * 2.0, parts[1]], 1), tf.reduce_max(x[1:, ::-1], axis=[0])


def lookup(table: Any) -> Any:
    return tf.reduce_sum(tf.gather(table, [0, 2, 2]) * 3.0)


def largest(x: Any) -> Any:
    return tf.nn.top_k(x, 2).values


def stopped(x: Any) -> Any:
    return tf.reduce_sum(x * tf.stop_gradient(x * 2.0))


def selected(x: Any) -> Any:
    return tf.where(x > 0.0, x * 2.0, tf.exp(x))


def scalars(x: Any) -> Any:
    return 2.0 / x - (3.0 - x) ** 2.0


def branch(x: Any) -> Any:
    return tf.cond(tf.reduce_sum(x) > 0.0, lambda: x * 2.0, lambda: x * x)


PROGRAMS = {
    "powers": (powers, [(3,)]),
    "powers of a scalar": (powers, [()]),
    "network": (network, [(3, 4), (4, 5), (5,)]),
    "shapes": (shapes, [(3, 4)]),
    "lookup": (lookup, [(4, 2)]),
    "outputs without gradient": (largest, [(2, 5)]),
    "stopped": (stopped, [(3,)]),
    "selected": (selected, [(6,)]),
    "operators with numbers": (scalars, [(3,)]),
    "a branch": (branch, [(3,)]),
    "the source is the target": (lambda x: x, [(3,)]),
    "broadcast": (lambda x, y: (x + y) * y / x, [(3, 1), (2,)]),
    "double precision": (lambda x: tf.cast(x, tf.float64) * 3.0, [(3,)]),
}


@pytest.mark.smoke
@pytest.mark.parametrize("name", PROGRAMS)
def test_repeated_gradients_are_those_of_backprop(
    name: str, monkeypatch: pytest.MonkeyPatch, known: repeated._Known
) -> None:
    function, sizes = PROGRAMS[name]
    for _ in range(4):
        sources = [normal(*size) + 0.1 for size in sizes]
        wanted = op_by_op(monkeypatch, lambda sources=sources: gradients(function, sources))
        assert_same(gradients(function, sources), wanted)
    assert len(derived_in(known)) == 1 or name == "a branch"  # eagerly, each branch is a computation of its own


def test_the_first_time_nothing_is_derived(known: repeated._Known) -> None:
    gradients(powers, [normal(3)])
    assert not known._computations
    gradients(powers, [normal(3)])
    assert len(derived_in(known)) == 1


def test_long_computations_must_come_more_often(known: repeated._Known) -> None:
    def long(x: Any) -> Any:
        for _ in range(200):
            x = x * 0.5 + 1.0
        return x

    for times in range(1, 8):
        assert gradients(long, [tf.constant(1.0, tf.float64)])[0][1] == 0.5**200
        assert len(derived_in(known)) == (times >= 6)


@pytest.mark.parametrize("shape", [(3,), (), (2, 2)])
def test_given_gradients_of_the_target(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        x, weight = normal(*shape), normal(*shape)
        wanted = op_by_op(monkeypatch, lambda x=x, w=weight: gradients(tf.exp, [x], output_gradients=w))
        assert_same(gradients(tf.exp, [x], output_gradients=weight), wanted)
        assert_same(gradients(tf.exp, [x]), [("dense", np.exp(x.numpy()))])


def test_unconnected_sources() -> None:
    unused = tf.Variable([1.0, 2.0])
    for _ in range(4):
        x, other = normal(2), normal(2)
        with tf.GradientTape() as tape:
            tape.watch(x)
            tape.watch(other)
            y = x * 2.0
        found = tape.gradient(y, [x, other, unused])
        assert found[0].numpy().tolist() == [2.0, 2.0] and found[1] is None and found[2] is None
        with tf.GradientTape() as tape:
            tape.watch([x, other])
            y = x * 2.0
        zero = tape.gradient(y, [other, x], unconnected_gradients=tf.UnconnectedGradients.ZERO)
        assert [part.numpy().tolist() for part in zero] == [[0.0, 0.0], [2.0, 2.0]]


def test_variables_and_the_structure_of_the_sources() -> None:
    weight, bias = tf.Variable([[1.0], [2.0]]), tf.Variable([0.5])
    for step in range(4):
        x = normal(3, 2)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.matmul(x, weight) * bias)
        assert tape.watched_variables() == (weight, bias) or len(tape.watched_variables()) == 2
        found = tape.gradient(loss, {"w": weight, "b": (bias,)})
        np.testing.assert_allclose(found["w"], x.numpy().sum(0)[:, None] * bias.numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["b"][0], [(x.numpy() @ weight.numpy()).sum()], rtol=1e-5, atol=1e-6)
        weight.assign_sub(found["w"] * 0.1)
        bias.assign(bias * (step + 1.0))


# ---- what is not the same computation --------------------------------------------------------------------------------


def test_numbers_are_values_not_structure(known: repeated._Known) -> None:
    x = tf.constant([1.0, 2.0])
    for factor in (2.0, 3.0, 4.0, -5.0):
        assert gradients(lambda x, factor=factor: x * factor, [x])[0][1].tolist() == [factor, factor]
    assert len(derived_in(known)) == 1


def test_attributes_and_shapes_are_structure() -> None:
    for _ in range(3):
        for alpha in (0.1, 0.2, 0.0, -0.0):
            found = gradients(lambda x, a=alpha: tf.nn.leaky_relu(x, a), [tf.constant([-1.0, 1.0])])[0][1]
            np.testing.assert_allclose(found, [alpha, 1.0])
        for size in (1, 2, 3):
            assert gradients(tf.reduce_mean, [normal(size)])[0][1].tolist() == [np.float32(1 / size)] * size


def test_axes_and_labels_that_change_are_no_constants(known: repeated._Known) -> None:
    x = normal(3, 3)
    for labels in ([0, 1, 2], [2, 1, 0], [1, 1, 1], [0, 1, 2], [2, 2, 0]):
        found = gradients(
            lambda x, labels=labels: tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=tf.constant(labels), logits=x
            ),
            [x],
        )[0][1]
        softmax = np.exp(x.numpy()) / np.exp(x.numpy()).sum(1, keepdims=True)
        np.testing.assert_allclose(found, softmax - np.eye(3, dtype=np.float32)[labels], rtol=1e-5, atol=1e-6)
    for axis in (0, 1, 0, 1, 0):
        found = gradients(lambda x, axis=axis: tf.reduce_sum(tf.cumsum(x, axis) * x), [x])[0][1]
        other = np.moveaxis(x.numpy(), axis, 0)
        wanted = other.cumsum(0) + other[::-1].cumsum(0)[::-1]
        np.testing.assert_allclose(found, np.moveaxis(wanted, 0, axis), rtol=1e-5, atol=1e-5)
    assert any(found.varying for found in derived_in(known))


def test_constants_that_change_one_after_the_other(known: repeated._Known) -> None:
    x = normal(4)
    places = [0] * 8

    def chosen(x: Any) -> Any:
        total = x[0] * 0.0
        for place in places:
            total = total + tf.gather(x, tf.constant(place)) * 2.0
        return total

    for step in range(8):
        places[step] = 3
        found = gradients(chosen, [x])[0]
        dense = found[1] if found[0] == "dense" else np.bincount(found[2], found[1], 4)
        assert dense.tolist() == [14.0 - 2 * step, 0.0, 0.0, 2.0 + 2 * step]
    (computation,) = known._computations.values()
    assert computation.derivations == repeated._MOST_DERIVATIONS + 1


def test_an_array_that_is_changed_in_place() -> None:
    places = np.array([0, 1])
    x = normal(3)
    for row in ([0, 1], [2, 1], [0, 2], [1, 1]):
        places[:] = row
        found = gradients(lambda x: tf.gather(x * 1.0, tf.constant(places)), [x])[0]
        wanted = np.zeros(3)
        np.add.at(wanted, places, 1)
        dense = found[1] if found[0] == "dense" else np.bincount(found[2], found[1], 3)
        assert dense.tolist() == wanted.tolist()


# ---- tapes in other situations --------------------------------------------------------------------------------------


def test_second_order() -> None:
    for _ in range(4):
        x = tf.constant([1.0, 2.0])
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = x * x * x
            slope = inner.gradient(y, x)
        assert slope.numpy().tolist() == [3.0, 12.0]
        assert outer.gradient(slope, x).numpy().tolist() == [6.0, 12.0]


def test_persistent_tapes_of_several_targets() -> None:
    for _ in range(3):
        x = tf.constant(2.0)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = x * x
            z = y * x
            inside = tape.gradient(y, x)
        assert inside.numpy() == 4.0
        for _ in range(3):
            assert tape.gradient(z, x).numpy() == 12.0
            assert tape.gradient(y, x).numpy() == 4.0
            assert tape.gradient([y, z], x).numpy() == 16.0
            assert tape.gradient(z, y).numpy() == 2.0


def test_a_persistent_tape_that_goes_on_recording() -> None:
    x = tf.constant(3.0)
    tape = tf.GradientTape(persistent=True)
    with tape:
        tape.watch(x)
        y = x * x
    for count in range(1, 5):
        assert tape.gradient(y, x).numpy() == (count + 1) * 3.0**count
        with tape:
            y = y * x


def test_what_is_watched_late_is_traced_from_then_on() -> None:
    for _ in range(4):
        a, b = tf.constant(2.0), tf.constant(3.0)
        with tf.GradientTape() as tape:
            tape.watch(a)
            y = a * b
            tape.watch(b)
            z = y + b
        found = tape.gradient(z, [a, b])
        assert found[0].numpy() == 3.0
        assert found[1].numpy() == 3.0  # as an input of recorded ops it counts from the beginning


def test_nothing_flows_to_what_is_not_traced() -> None:
    variable = tf.Variable(4.0)
    for _ in range(4):
        a, b = tf.constant(2.0), tf.constant(3.0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(a)
            value = variable.value()
            y = a * b * value
        assert [None if slope is None else slope.numpy() for slope in tape.gradient(y, [a, b, value, variable])] == [
            12.0, None, None, None
        ]  # fmt: skip
        with tf.GradientTape() as tape:
            y = a * b
        assert tape.gradient(y, y).numpy() == 1.0
    with tf.GradientTape() as tape:
        tape.watch(a)
        y = a * b
    assert tape.jacobian(y, b) is None


def test_a_gradient_of_ones_own() -> None:
    @tf.custom_gradient
    def tenfold(x: Any) -> Any:
        return x * 2.0, lambda dy: dy * 10.0

    for _ in range(4):
        assert gradients(lambda x: tenfold(x * 3.0), [tf.constant(1.0)])[0][1] == 30.0


def test_calls_of_functions(known: repeated._Known) -> None:
    double = tf.function(lambda x: x * 2.0)
    for _ in range(4):
        x = normal(2)
        assert gradients(lambda x: double(x) * x, [x])[0][1].tolist() == (4 * x.numpy()).tolist()
    assert not known._computations


def test_no_gradient_is_told_each_time() -> None:
    for _ in range(4):
        x = tf.constant([1.5])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.truncatemod(x * 1.0, [2.0])
        with pytest.raises(LookupError, match="No gradient defined"):
            tape.gradient(y, x)


def test_a_tape_is_used_once() -> None:
    for _ in range(3):
        x = tf.constant(1.0)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x * 2.0
        tape.gradient(y, x)
        with pytest.raises(RuntimeError, match="non-persistent"):
            tape.gradient(y, x)


def test_operations_recorded_in_either_way_are_in_order() -> None:
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        a = x * 2.0  # one tape: kept lightly
        with tf.GradientTape() as inner:
            inner.watch(a)
            b = tf.concat([a, a], 0)  # two tapes
            c = b + 1.0
        d = tf.exp(c)
    assert [operation.type for operation in outer.recorded_operations()] == ["Mul", "ConcatV2", "AddV2", "Exp"]
    assert [operation.type for operation in inner.recorded_operations()] == ["ConcatV2", "AddV2"]
    slope = 2 * np.exp(2 * x.numpy() + 1)
    np.testing.assert_allclose(outer.gradient(d, x), 2 * slope, rtol=1e-6)


def test_another_engine() -> None:
    from rillet.core import execution
    from rillet.engines.reference import ReferenceEngine

    before = execution.eager_context()
    x = normal(3)
    wanted = [gradients(powers, [x]) for _ in range(3)]
    try:
        execution.set_eager_engine(ReferenceEngine())
        assert_same(gradients(powers, [x]), wanted[0])
    finally:
        execution._Eager.context = before
    assert_same(gradients(powers, [x]), wanted[0])


# ---- memory, and several threads --------------------------------------------------------------------------------------


def test_arrays_do_not_live_on(known: repeated._Known) -> None:
    references = []
    for _ in range(3):
        array = np.ones((300, 300), np.float32)
        references.append(weakref.ref(array))
        x = EagerTensor(array, tf.float32)
        gradients(lambda x: tf.reduce_sum(x * x * 2.0), [x])
        del array, x
    gc.collect()
    assert len(derived_in(known)) == 1
    assert [reference() for reference in references] == [None] * 3


def test_little_used_computations_are_forgotten(monkeypatch: pytest.MonkeyPatch, known: repeated._Known) -> None:
    monkeypatch.setattr(repeated, "_MOST_STEPS", 40)
    x = normal(2)

    def chain(length: int) -> float:
        def function(x: Any) -> Any:
            for _ in range(length):
                x = x * 2.0
            return x

        return float(gradients(function, [x])[0][1][0])

    for length in (5, 6, 7, 8, 9, 5, 6, 7, 8, 9, 5, 9, 9):
        assert chain(length) == 2.0**length
    assert sum(len(key.steps) for key in known._computations) <= 40
    assert known._computations


def test_several_threads() -> None:
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for step in range(20):
            x = tf.constant([float(seed), float(step)])
            found = gradients(lambda x: x * x * x, [x])[0][1]
            if found.tolist() != (3 * x.numpy() ** 2).tolist():
                wrong.append((seed, step, found))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
