"""Eagerly: each line computes at once, and a tape remembers what a gradient needs."""

import rillet as tf

c = tf.constant(2.0)

with tf.GradientTape() as tape:
    tape.watch(c)  # a constant is recorded only where one asks for it
    f = 4 * c

print(tape.gradient(f, c))  # tf.Tensor(4.0, shape=(), dtype=float32)
