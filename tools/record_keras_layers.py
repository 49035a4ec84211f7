"""Records what tf_keras computes for the rows in tests/keras: run with a Python that has TensorFlow and tf_keras.

    python tools/record_keras_layers.py

Writes tests/data/keras/layers.npz and training.npz.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

import keras

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.keras import rows_functions, rows_layers, rows_training  # noqa: E402 - after the path


def weight_names(layer: Any) -> list[str]:
    """The names of the weights below the layer's own."""
    return [weight.name.partition(":")[0].removeprefix(layer.name + "/") for weight in layer.weights]


def plain(value: Any) -> Any:
    """What JSON has no form for: shapes, NumPy's numbers."""
    return value.as_list() if isinstance(value, tf.TensorShape) else np.asarray(value).tolist()


def record_layer(row: rows_layers.Row, store: dict[str, Any]) -> None:
    tf_keras.backend.clear_session()
    layer = row.make(tf_keras)
    inputs = [tf.constant(value) for value in row.values()]
    rows_layers.call(layer, row, inputs)
    rows_layers.set_weights(layer)
    for number, output in enumerate(rows_layers.call(layer, row, inputs, training=False)):
        store[f"{row.name}/inference/{number}"] = np.asarray(output)
    if not row.is_random:
        for number, output in enumerate(rows_layers.call(layer, row, inputs, training=True)):
            store[f"{row.name}/training/{number}"] = np.asarray(output)
        for number, weight in enumerate(layer.non_trainable_weights):
            store[f"{row.name}/state/{number}"] = weight.numpy()
    shapes = [list(weight.shape) for weight in layer.weights]
    facts = {"weights": weight_names(layer), "shapes": shapes}
    if row.has_config:
        facts["config"] = layer.get_config()
    store[f"{row.name}/facts"] = np.array(json.dumps(facts, default=plain))


def record_optimizer(row: rows_training.Row, store: dict[str, Any]) -> None:
    for kind in ("dense", "sparse"):
        optimizer = row.make(tf_keras)
        variable = tf.Variable(rows_training.START, name="w")
        values = []
        for step in range(rows_training.STEPS):
            rows, places = rows_training.gradient(step)
            found = tf.IndexedSlices(tf.constant(rows), tf.constant(places), tf.constant([3, 2]))
            if kind == "dense":
                found = tf.constant(rows_training.dense_gradient(step))
            optimizer.apply_gradients([(found, variable)])
            values.append(variable.numpy())
        store[f"optimizer {row.name}/{kind}"] = np.stack(values)
    names = [one.name for one in optimizer.variables()]
    config = {name: value for name, value in optimizer.get_config().items() if name != "learning_rate"}
    store[f"optimizer {row.name}/facts"] = np.array(json.dumps({"variables": names, "config": sorted(config)}))


def record_loss(row: rows_training.Row, store: dict[str, Any]) -> None:
    y_true, y_pred, weights = rows_training.data(row.kind, 0)
    y_true, y_pred = tf.constant(y_true), tf.constant(y_pred)
    loss = row.make(tf_keras)
    store[f"loss {row.name}/plain"] = loss(y_true, y_pred).numpy()
    store[f"loss {row.name}/weighted"] = loss(y_true, y_pred, sample_weight=weights).numpy()
    config = sorted(name for name in loss.get_config() if name != "fn")
    store[f"loss {row.name}/facts"] = np.array(json.dumps({"config": config, "name": loss.name}))


def record_metric(row: rows_training.Row, store: dict[str, Any]) -> None:
    metric = row.make(tf_keras)
    results = []
    for batch in range(3):
        y_true, y_pred, weights = rows_training.data(row.kind, batch)
        metric.update_state(y_true, y_pred, sample_weight=weights if batch == 1 and row.name != "R2Score" else None)
        results.append(np.asarray(metric.result()))
    store[f"metric {row.name}/results"] = np.stack(results)
    facts = {"config": sorted(metric.get_config()), "name": metric.name}
    store[f"metric {row.name}/facts"] = np.array(json.dumps(facts))


def record_functions(store: dict[str, Any]) -> None:
    for name, function in rows_functions.both(tf_keras, keras):
        store[f"activation {name}/values"] = np.asarray(function(tf.constant(rows_functions.POINTS)))
    for row in rows_functions.INITIALIZERS:
        initializer = row.make(tf_keras)
        for number, shape in enumerate(rows_functions.shapes(row.name)):
            store[f"initializer {row.name}/{number}"] = initializer(shape).numpy()
        store[f"initializer {row.name}/facts"] = np.array(
            json.dumps({"config": initializer.get_config()}, default=plain)
        )
    for kind, rows in (("regularizer", rows_functions.REGULARIZERS), ("constraint", rows_functions.CONSTRAINTS)):
        for row in rows:
            made = row.make(tf_keras)
            store[f"{kind} {row.name}/value"] = made(tf.constant(rows_functions.WEIGHTS)).numpy()
            store[f"{kind} {row.name}/facts"] = np.array(json.dumps({"config": made.get_config()}, default=plain))


def main() -> None:
    folder = ROOT / "tests" / "data" / "keras"
    folder.mkdir(parents=True, exist_ok=True)
    store: dict[str, Any] = {}
    for row in rows_layers.ROWS:
        record_layer(row, store)
    np.savez_compressed(folder / "layers.npz", **{name.replace("/", "|"): value for name, value in store.items()})
    store = {}
    record_functions(store)
    for rows, record in (
        (rows_training.LOSSES, record_loss),
        (rows_training.METRICS, record_metric),
        (rows_training.OPTIMIZERS, record_optimizer),
    ):
        for row in rows:
            record(row, store)
    np.savez_compressed(folder / "training.npz", **{name.replace("/", "|"): value for name, value in store.items()})


if __name__ == "__main__":
    main()
