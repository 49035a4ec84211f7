"""Lazily: a graph is drawn first, and a session computes what is asked of it."""

import rillet as tf

x = tf.placeholder(tf.float32, None, name="x")  # an empty shell; its value comes later
square = x**2  # a node of the graph; nothing is computed yet

with tf.Session() as session:
    print(session.run(square, feed_dict={x: [2, 3, 5]}))  # [ 4.  9. 25.]
