"""The programs in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import problems


def ten_operations(x):
    y = jnp.tanh(x * 2.0 + 1.0) - x
    y = jnp.maximum(y, 0.1) * x
    return jnp.sqrt(y * y + 1.0) / 3.0


def ready(value):
    return jax.block_until_ready(value)


def eager_add():
    one = jnp.float32(1.0) + 0

    def step():
        x = one
        for _ in range(1000):
            x = x + one
        return float(x)

    return {"eager": step}


def call():
    x, run = jnp.array([0.1, 0.2, 0.3, 0.4]), jax.jit(ten_operations)
    return {"jit": lambda: float(run(x)[0])}


def chain(x):
    t = (x * x * x * 0.044715 + x) * 0.79788456
    t = (jnp.tanh(t) + 1.0) * x * 0.5
    return t / jnp.sqrt(t * t + 1.0)


def elementwise():
    x, run = jnp.array(problems.normal(0, problems.ELEMENTS)), jax.jit(chain)
    return {"jit": lambda: ready(run(x)) is None}


def gradient_of(loss, *values):
    run = jax.jit(jax.value_and_grad(loss))
    return {"jit": lambda: float(ready(run(*values))[0])}


def elementwise_with_gradient():
    return gradient_of(lambda x: chain(x).mean(), jnp.array(problems.normal(0, problems.ELEMENTS)))


def entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def softmax_cross_entropy():
    return gradient_of(entropy, *map(jnp.array, problems.entropy_case()))


def normalized(x, gain, shift):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * gain + shift


def layer_norm():
    x, gain, shift, dy = map(jnp.array, problems.norm_case())

    @jax.jit
    def both(x, gain, shift, dy):
        y, back = jax.vjp(normalized, x, gain, shift)
        return y, *back(dy)

    return {"jit": lambda: float(ready(both(x, gain, shift, dy))[2][0])}


def matmul(size):
    a, b = (jnp.array(problems.normal(seed, (size, size))) for seed in (0, 1))
    run = jax.jit(jnp.matmul)
    return {"jit": lambda: ready(run(a, b)) is None}


def training(loss, weights, inputs):
    weights = {name: jnp.array(value) for name, value in weights.items()}
    inputs = [jnp.array(array) for array in inputs]
    zeros = {name: jnp.zeros_like(value) for name, value in weights.items()}

    def update(state, *inputs):
        weights, first, second, count = state
        total, gradients = jax.value_and_grad(loss)(weights, *inputs)
        count = count + 1
        rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        first = jax.tree.map(lambda m, g: m + (g - m) * 0.1, first, gradients)
        second = jax.tree.map(lambda v, g: v + (g * g - v) * 0.001, second, gradients)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
        return (weights, first, second, count), total

    run = jax.jit(update, donate_argnums=0)
    kept = [(weights, zeros, {name: value + 0 for name, value in zeros.items()}, jnp.float32(0) + 0)]

    def step():
        kept[0], total = run(kept[0], *inputs)
        return float(total)

    return {"jit": step}


def mlp_loss(p, x, y):
    for layer in range(2):
        x = jax.nn.relu(x @ p[f"w{layer}"] + p[f"b{layer}"])
    return entropy(x @ p["w2"] + p["b2"], y)


def convolution(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def lenet_loss(p, x, y):
    for layer in "12":
        x = jax.nn.relu(convolution(x, p["k" + layer]) + p["c" + layer])
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")
    x = jax.nn.relu(x.reshape(-1, 3136) @ p["w1"] + p["b1"])
    return entropy(x @ p["w2"] + p["b2"], y)


def residual_block():
    weights, (x,) = problems.block()

    def loss(values):
        x, p = values

        def convolved(x, layer):
            x = convolution(x, p["k" + layer])
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p["g" + layer] + p["b" + layer]

        h = convolved(jax.nn.relu(convolved(x, "1")), "2")
        return jnp.square(jax.nn.relu(h + x)).mean()

    return gradient_of(loss, (jnp.array(x), {name: jnp.array(value) for name, value in weights.items()}))


def lstm_loss(p, x, y):
    def turn(state, part):
        h, c = state
        i, f, g, o = jnp.split(part @ p["wx"] + h @ p["wh"] + p["b"], 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros((problems.LSTM["batch"], problems.LSTM["hidden"]))
    (h, _), _ = jax.lax.scan(turn, (zero, zero), x)
    return entropy(h @ p["wo"] + p["bo"], y)


def gpt_loss(p, ids, targets):
    d = problems.GPT
    width, heads, context = d["width"], d["heads"], d["context"]
    mask = jnp.array(np.triu(np.full((context, context), -1e9, np.float32), 1))
    x = (p["tokens"][ids] + p["places"]).reshape(-1, width)

    def split(t):
        return t.reshape(d["batch"], context, heads, width // heads).transpose(0, 2, 1, 3)

    for layer in range(d["layers"]):
        n = f"{layer}."
        h = normalized(x, p[n + "n1g"], p[n + "n1b"])
        q, k, v = map(split, jnp.split(h @ p[n + "qkv"] + p[n + "qkvb"], 3, 1))
        scores = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) * (width // heads) ** -0.5 + mask)
        x = x + (scores @ v).transpose(0, 2, 1, 3).reshape(-1, width) @ p[n + "out"] + p[n + "outb"]
        h = jax.nn.gelu(normalized(x, p[n + "n2g"], p[n + "n2b"]) @ p[n + "up"] + p[n + "upb"], approximate=True)
        x = x + h @ p[n + "down"] + p[n + "downb"]
    return entropy(normalized(x, p["ng"], p["nb"]) @ p["head"], targets.reshape(-1))


WORKLOADS = {
    "eager add": eager_add,
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
