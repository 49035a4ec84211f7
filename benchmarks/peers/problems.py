"""The numbers that every framework computes with: sizes, weights, data. NumPy alone."""

from __future__ import annotations

import itertools

import numpy as np

ELEMENTS = 1 << 24
ROWS, COLUMNS = 8192, 1024
LSTM = {"hidden": 128, "inputs": 128, "steps": 50, "batch": 64, "classes": 10}
GPT = {"layers": 4, "width": 128, "heads": 4, "context": 128, "batch": 8, "vocabulary": 256}
BLOCK = {"batch": 32, "size": 32, "channels": 64}


def normal(seed, shape, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(np.float32)


def classes(seed, shape, count):
    return np.random.default_rng(seed).integers(0, count, shape).astype(np.int32)


def dense(seed, rows, columns):
    return normal(seed, (rows, columns), rows**-0.5)


def mlp(batch):
    sizes = [784, 512, 256, 10]
    weights = {}
    for layer, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        weights[f"w{layer}"], weights[f"b{layer}"] = dense(layer, rows, columns), np.zeros(columns, np.float32)
    return weights, (normal(10, (batch, 784)), classes(11, batch, 10))


def lenet(batch=64):
    weights = {
        "k1": normal(0, (3, 3, 1, 32), 1 / 3), "c1": np.zeros(32, np.float32),
        "k2": normal(1, (3, 3, 32, 64), 288**-0.5), "c2": np.zeros(64, np.float32),
        "w1": dense(2, 3136, 128), "b1": np.zeros(128, np.float32),
        "w2": dense(3, 128, 10), "b2": np.zeros(10, np.float32),
    }  # fmt: skip
    return weights, (normal(4, (batch, 28, 28, 1)), classes(5, batch, 10))


def block():
    channels, size = BLOCK["channels"], BLOCK["size"]
    weights = {}
    for layer in "12":
        weights["k" + layer] = normal(int(layer), (3, 3, channels, channels), (9 * channels) ** -0.5)
        weights["g" + layer], weights["b" + layer] = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    return weights, (normal(3, (BLOCK["batch"], size, size, channels)),)


def lstm():
    hidden = LSTM["hidden"]
    weights = {
        "wx": dense(0, LSTM["inputs"], 4 * hidden), "wh": dense(1, hidden, 4 * hidden),
        "b": np.zeros(4 * hidden, np.float32), "wo": dense(2, hidden, LSTM["classes"]),
        "bo": np.zeros(LSTM["classes"], np.float32),
    }  # fmt: skip
    inputs = normal(3, (LSTM["steps"], LSTM["batch"], LSTM["inputs"]))
    return weights, (inputs, classes(4, LSTM["batch"], LSTM["classes"]))


def gpt():
    width, vocabulary = GPT["width"], GPT["vocabulary"]
    weights = {"tokens": normal(0, (vocabulary, width), 0.02), "places": normal(1, (GPT["context"], width), 0.02)}
    for layer in range(GPT["layers"]):
        name, seed = f"{layer}.", 10 * layer + 2
        for norm in ("n1", "n2"):
            weights[name + norm + "g"], weights[name + norm + "b"] = (
                np.ones(width, np.float32),
                np.zeros(width, np.float32),
            )
        for part, (rows, columns) in {
            "qkv": (width, 3 * width), "out": (width, width), "up": (width, 4 * width), "down": (4 * width, width)
        }.items():  # fmt: skip
            weights[name + part], weights[name + part + "b"] = (
                normal(seed, (rows, columns), 0.02),
                np.zeros(columns, np.float32),
            )
            seed += 1
    weights["ng"], weights["nb"] = np.ones(width, np.float32), np.zeros(width, np.float32)
    weights["head"] = normal(99, (width, vocabulary), 0.02)
    shape = (GPT["batch"], GPT["context"])
    return weights, (classes(100, shape, vocabulary), classes(101, shape, vocabulary))


def norm_case():
    return (
        normal(0, (ROWS, COLUMNS)), np.ones(COLUMNS, np.float32), np.zeros(COLUMNS, np.float32),
        normal(1, (ROWS, COLUMNS), 1 / ROWS),
    )  # fmt: skip


def entropy_case():
    return normal(0, (ROWS, COLUMNS)), classes(1, ROWS, COLUMNS)


def flops():
    """Operations of the matrix products and convolutions in one step: forward, and both gradients where there are two."""
    layers = [784 * 512, 512 * 256, 256 * 10]
    first, second = 64 * 28 * 28 * 9 * 32, 64 * 14 * 14 * 9 * 32 * 64
    rest = 64 * (3136 * 128 + 128 * 10)
    turns, hidden = LSTM["steps"] * LSTM["batch"], LSTM["hidden"]
    width, tokens = GPT["width"], GPT["batch"] * GPT["context"]
    linear = GPT["layers"] * 12 * width * width + width * GPT["vocabulary"]
    attention = GPT["layers"] * 2 * GPT["context"] * width
    return {
        "mlp32": 2 * 32 * (3 * sum(layers) - layers[0]),
        "mlp512": 2 * 512 * (3 * sum(layers) - layers[0]),
        "lenet": 2 * (3 * (first + second + rest) - first),
        "resblock": 2 * 3 * 2 * 32**3 * 9 * 64 * 64,
        "lstm": 2 * turns * 4 * hidden * (2 * hidden * 3 - hidden),
        "gpt": 2 * 3 * tokens * (linear + attention),
        "matmul 256": 2 * 256**3,
        "matmul 1024": 2 * 1024**3,
        "matmul 2048": 2 * 2048**3,
    }


def traffic():
    """Bytes that must cross the memory's bus at least: each array read once, each result written once."""
    weights = {"mlp32": mlp, "mlp512": mlp, "lenet": lenet, "lstm": lstm, "gpt": gpt}
    result = {}
    for name, make in weights.items():
        values = make(1)[0] if make is mlp else make()[0]
        result[name] = 6 * sum(value.nbytes for value in values.values())  # three arrays read, three written, by Adam
    matrix = 4 * ROWS * COLUMNS
    return {
        **result,
        "elementwise": 2 * 4 * ELEMENTS,
        "elementwise with gradient": 2 * 4 * ELEMENTS,
        "softmax cross entropy": 2 * matrix,
        "layer norm": 4 * matrix,
    }
