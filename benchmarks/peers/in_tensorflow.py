"""The programs against TensorFlow's interface: run by rillet (PEER_MODULE=rillet) and by TensorFlow.

A workload is a function without arguments that returns {variant: step}; a step runs once and returns a number.
"""

from __future__ import annotations

import importlib
import os

import numpy as np
import problems

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = importlib.import_module(os.environ.get("PEER_MODULE", "tensorflow"))
v1 = tf.compat.v1
IS_RILLET = tf.__name__.startswith("rillet")


def functions(make):
    """The step in a tf.function, and compiled by XLA where there is XLA."""
    kinds = {"function": tf.function} if IS_RILLET else {"function": tf.function, "xla": tf.function(jit_compile=True)}
    return {name: make(wrap) for name, wrap in kinds.items()}


def ten_operations(x):
    y = tf.tanh(x * 2.0 + 1.0) - x
    y = tf.maximum(y, 0.1) * x
    return tf.sqrt(y * y + 1.0) / 3.0


def eager_add():
    one = tf.constant(1.0)

    def step():
        x = one
        for _ in range(1000):
            x = x + one
        return float(x)

    return {"eager": step}


def tape():
    vector = tf.constant([1.0, 1.001, 0.999, 1.0])

    def step():
        with tf.GradientTape() as recorded:
            recorded.watch(vector)
            x = vector
            for _ in range(100):
                x = x * vector
            total = tf.reduce_sum(x)
        return float(recorded.gradient(total, vector)[0])

    return {"eager": step}


def call():
    data = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    tensor = tf.constant(data)

    def with_function(wrap):
        run = wrap(ten_operations)
        return lambda: float(run(tensor).numpy()[0])

    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [4])
        y = ten_operations(x)
    session = v1.Session(graph=graph)
    return {**functions(with_function), "session": lambda: float(session.run(y, {x: data})[0])}


def chain(x):
    t = (x * x * x * 0.044715 + x) * 0.79788456
    t = (tf.tanh(t) + 1.0) * x * 0.5
    return t / tf.sqrt(t * t + 1.0)


def with_gradient(loss, *values):
    with tf.GradientTape() as recorded:
        for value in values:
            recorded.watch(value)
        result = loss(*values)
    return result, recorded.gradient(result, list(values))


def elementwise():
    x = tf.constant(problems.normal(0, problems.ELEMENTS))

    def make(wrap):
        run = wrap(chain)
        return lambda: run(x) is None

    return functions(make)


def elementwise_with_gradient():
    x = tf.constant(problems.normal(0, problems.ELEMENTS))

    def make(wrap):
        run = wrap(lambda x: with_gradient(lambda x: tf.reduce_mean(chain(x)), x))
        return lambda: float(run(x)[0])

    return functions(make)


def entropy(logits, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def softmax_cross_entropy():
    logits, labels = map(tf.constant, problems.entropy_case())

    def make(wrap):
        run = wrap(lambda logits, labels: with_gradient(lambda z: entropy(z, labels), logits))
        return lambda: float(run(logits, labels)[0])

    return functions(make)


def normalized(x, gain, shift):
    mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, shift, gain, 1e-5)


def layer_norm():
    arguments = [tf.constant(array) for array in problems.norm_case()]

    def both(x, gain, shift, dy):
        with tf.GradientTape() as recorded:
            for value in (x, gain, shift):
                recorded.watch(value)
            y = normalized(x, gain, shift)
        return [y, *recorded.gradient(y, [x, gain, shift], output_gradients=dy)]

    def make(wrap):
        run = wrap(both)
        return lambda: float(run(*arguments)[2][0])

    return functions(make)


def matmul(size):
    a, b = (tf.constant(problems.normal(seed, (size, size))) for seed in (0, 1))

    def make(wrap):
        run = wrap(tf.matmul)
        return lambda: run(a, b) is None

    return functions(make)


def training(loss, weights, inputs):
    """An Adam step: a session on a graph, and (not for rillet, whose Keras is to come) a tf.function."""
    with tf.Graph().as_default() as graph:
        variables = {name: v1.Variable(value) for name, value in weights.items()}
        feeds = [v1.placeholder(array.dtype, array.shape) for array in inputs]
        total = loss(variables, *feeds)
        update = v1.train.AdamOptimizer(1e-3, epsilon=1e-8).minimize(total)
        initializer = v1.global_variables_initializer()
    session = v1.Session(graph=graph)
    session.run(initializer)
    feed = dict(zip(feeds, inputs, strict=True))
    steps = {"session": lambda: float(session.run([total, update], feed)[0])}
    if not IS_RILLET:
        steps.update(functions(lambda wrap: _keras_step(wrap, loss, weights, inputs)))
    return steps


def _keras_step(wrap, loss, weights, inputs):
    variables = {name: tf.Variable(value) for name, value in weights.items()}
    optimizer = tf.keras.optimizers.Adam(1e-3, epsilon=1e-8)
    optimizer.build(list(variables.values()))
    tensors = [tf.constant(array) for array in inputs]

    @wrap
    def step(*arguments):
        with tf.GradientTape() as recorded:
            total = loss(variables, *arguments)
        gradients = recorded.gradient(total, list(variables.values()))
        optimizer.apply_gradients(zip(gradients, variables.values(), strict=True))
        return total

    return lambda: float(step(*tensors))


def mlp_loss(p, x, y):
    for layer in range(2):
        x = tf.nn.relu(tf.matmul(x, p[f"w{layer}"]) + p[f"b{layer}"])
    return entropy(tf.matmul(x, p["w2"]) + p["b2"], y)


def lenet_loss(p, x, y):
    for layer in "12":
        x = tf.nn.relu(tf.nn.conv2d(x, p["k" + layer], strides=1, padding="SAME") + p["c" + layer])
        x = tf.nn.max_pool2d(x, ksize=2, strides=2, padding="SAME")
    x = tf.nn.relu(tf.matmul(tf.reshape(x, [-1, 3136]), p["w1"]) + p["b1"])
    return entropy(tf.matmul(x, p["w2"]) + p["b2"], y)


def residual_block():
    weights, (x,) = problems.block()
    names = sorted(weights)

    def loss(x, *values):
        p = dict(zip(names, values, strict=True))

        def convolved(x, layer):
            x = tf.nn.conv2d(x, p["k" + layer], strides=1, padding="SAME")
            return v1.nn.fused_batch_norm(x, p["g" + layer], p["b" + layer], epsilon=1e-5, is_training=True)[0]

        h = convolved(tf.nn.relu(convolved(x, "1")), "2")
        return tf.reduce_mean(tf.square(tf.nn.relu(h + x)))

    arguments = [tf.constant(x), *[tf.constant(weights[name]) for name in names]]

    def make(wrap):
        run = wrap(lambda *values: with_gradient(loss, *values))
        return lambda: float(run(*arguments)[0])

    return functions(make)


def lstm_loss(p, x, y):
    h = c = tf.zeros([problems.LSTM["batch"], problems.LSTM["hidden"]])
    for part in tf.unstack(x, num=problems.LSTM["steps"]):
        i, f, g, o = tf.split(tf.matmul(part, p["wx"]) + tf.matmul(h, p["wh"]) + p["b"], 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
    return entropy(tf.matmul(h, p["wo"]) + p["bo"], y)


def gpt_loss(p, ids, targets):
    d = problems.GPT
    width, heads, context = d["width"], d["heads"], d["context"]
    mask = tf.constant(np.triu(np.full((context, context), -1e9, np.float32), 1))
    x = tf.reshape(tf.gather(p["tokens"], ids) + p["places"], [-1, width])

    def split(t):
        return tf.transpose(tf.reshape(t, [d["batch"], context, heads, width // heads]), [0, 2, 1, 3])

    for layer in range(d["layers"]):
        n = f"{layer}."
        h = normalized(x, p[n + "n1g"], p[n + "n1b"])
        q, k, v = map(split, tf.split(tf.matmul(h, p[n + "qkv"]) + p[n + "qkvb"], 3, 1))
        scores = tf.matmul(q, k, transpose_b=True) * (width // heads) ** -0.5 + mask
        h = tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3]), [-1, width])
        x = x + tf.matmul(h, p[n + "out"]) + p[n + "outb"]
        h = normalized(x, p[n + "n2g"], p[n + "n2b"])
        h = tf.nn.gelu(tf.matmul(h, p[n + "up"]) + p[n + "upb"], approximate=True)
        x = x + tf.matmul(h, p[n + "down"]) + p[n + "downb"]
    return entropy(tf.matmul(normalized(x, p["ng"], p["nb"]), p["head"]), tf.reshape(targets, [-1]))


WORKLOADS = {
    "eager add": eager_add,
    "tape": tape,
    "call": call,
    "elementwise": elementwise,
    "elementwise with gradient": elementwise_with_gradient,
    "softmax cross entropy": softmax_cross_entropy,
    "layer norm": layer_norm,
    "matmul 256": lambda: matmul(256),
    "matmul 1024": lambda: matmul(1024),
    "matmul 2048": lambda: matmul(2048),
    "mlp32": lambda: training(mlp_loss, *problems.mlp(32)),
    "mlp512": lambda: training(mlp_loss, *problems.mlp(512)),
    "lenet": lambda: training(lenet_loss, *problems.lenet()),
    "resblock": residual_block,
    "lstm": lambda: training(lstm_loss, *problems.lstm()),
    "gpt": lambda: training(gpt_loss, *problems.gpt()),
}
