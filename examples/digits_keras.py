"""Handwritten digits with tf.keras: layers, compile, fit. Run it: python examples/digits_keras.py"""

from __future__ import annotations

import rillet as tf
from rillet.datasets import load_digits

tf.keras.utils.set_random_seed(1)
(x_train, y_train), (x_test, y_test) = load_digits()
x_train, x_test = x_train / 16.0, x_test / 16.0

model = tf.keras.Sequential(
    [
        tf.keras.layers.Flatten(input_shape=(8, 8)),
        tf.keras.layers.Dense(64, activation="relu"),
        tf.keras.layers.Dropout(0.2),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=20, validation_split=0.1, verbose=2)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"{accuracy:.0%} of digits never seen before are read right")

# What compile connected: forward, loss, gradients, updates and metrics are one graph, run as one native call.
print(model.concrete_function(x_train[:32], y_train[:32]).plan())
