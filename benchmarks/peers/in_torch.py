"""The programs in PyTorch: eagerly, and through torch.compile where a C compiler makes that possible."""

from __future__ import annotations

import os

import numpy as np
import problems
import torch
from torch.nn import functional as F

torch.set_num_threads(int(os.environ.get("PEER_THREADS", "0")) or len(os.sched_getaffinity(0)))
COMPILES = os.environ.get("PEER_COMPILE", "1") == "1"


def tensor(array, learned=False):
    return torch.from_numpy(np.ascontiguousarray(array)).requires_grad_(learned)


def leaf(array):
    return tensor(array, learned=True)


def both_ways(make):
    """The step with the function as it is, and compiled."""
    steps = {"eager": make(lambda function: function)}
    if COMPILES:
        steps["compile"] = make(torch.compile)
    return steps


def ten_operations(x):
    y = torch.tanh(x * 2.0 + 1.0) - x
    y = torch.clamp(y, min=0.1) * x
    return torch.sqrt(y * y + 1.0) / 3.0


def eager_add():
    one = torch.tensor(1.0)

    def step():
        x = one
        for _ in range(1000):
            x = x + one
        return float(x)

    return {"eager": step}


def tape():
    vector = leaf(np.array([1.0, 1.001, 0.999, 1.0], np.float32))

    def step():
        x = vector
        for _ in range(100):
            x = x * vector
        return float(torch.autograd.grad(x.sum(), vector)[0][0])

    return {"eager": step}


def call():
    x = torch.tensor([0.1, 0.2, 0.3, 0.4])

    def make(wrap):
        run = wrap(ten_operations)
        return lambda: run(x)[0].item()

    return both_ways(make)


def chain(x):
    t = (x * x * x * 0.044715 + x) * 0.79788456
    t = (torch.tanh(t) + 1.0) * x * 0.5
    return t / torch.sqrt(t * t + 1.0)


def elementwise():
    x = tensor(problems.normal(0, problems.ELEMENTS))

    def make(wrap):
        run = wrap(chain)
        return lambda: run(x) is None

    return both_ways(make)


def with_gradient(function, *values):
    def step():
        for value in values:
            value.grad = None
        loss = function()
        loss.backward()
        return loss.item()

    return step


def elementwise_with_gradient():
    x = leaf(problems.normal(0, problems.ELEMENTS))

    def make(wrap):
        loss = wrap(lambda x: chain(x).mean())
        return with_gradient(lambda: loss(x), x)

    return both_ways(make)


def softmax_cross_entropy():
    logits, labels = problems.entropy_case()
    logits, labels = leaf(logits), tensor(labels).long()

    def make(wrap):
        loss = wrap(F.cross_entropy)
        return with_gradient(lambda: loss(logits, labels), logits)

    return both_ways(make)


def layer_norm():
    x, gain, shift, dy = problems.norm_case()
    values, dy = [leaf(x), leaf(gain), leaf(shift)], tensor(dy)

    def make(wrap):
        norm = wrap(lambda x, g, b: F.layer_norm(x, (problems.COLUMNS,), g, b, 1e-5))

        def step():
            for value in values:
                value.grad = None
            norm(*values).backward(dy)
            return values[1].grad[0].item()

        return step

    return both_ways(make)


def matmul(size):
    a, b = (tensor(problems.normal(seed, (size, size))) for seed in (0, 1))
    return {"eager": lambda: torch.matmul(a, b) is None}


def training(loss, values, inputs):
    def make(wrap):
        parameters = {name: value.detach().clone().requires_grad_() for name, value in values.items()}
        optimizer = torch.optim.Adam(parameters.values(), 1e-3, eps=1e-8, fused=True)
        function = wrap(loss)

        def step():
            optimizer.zero_grad(set_to_none=True)
            total = function(parameters, *inputs)
            total.backward()
            optimizer.step()
            return total.item()

        return step

    return both_ways(make)


def leaves(weights):
    return {name: leaf(value) for name, value in weights.items()}


def mlp_loss(p, x, y):
    for layer in range(2):
        x = F.relu(torch.addmm(p[f"b{layer}"], x, p[f"w{layer}"]))
    return F.cross_entropy(torch.addmm(p["b2"], x, p["w2"]), y)


def mlp(batch):
    weights, (x, y) = problems.mlp(batch)
    return training(mlp_loss, leaves(weights), (tensor(x), tensor(y).long()))


def kernel(array):
    return leaf(array.transpose(3, 2, 0, 1))


def lenet_loss(p, x, y):
    for layer in "12":
        x = F.max_pool2d(F.relu(F.conv2d(x, p["k" + layer], p["c" + layer], padding=1)), 2)
    x = F.relu(torch.addmm(p["b1"], x.flatten(1), p["w1"]))
    return F.cross_entropy(torch.addmm(p["b2"], x, p["w2"]), y)


def lenet():
    weights, (x, y) = problems.lenet()
    values = leaves(weights)
    values["k1"], values["k2"] = kernel(weights["k1"]), kernel(weights["k2"])
    values["w1"] = leaf(weights["w1"].reshape(7, 7, 64, 128).transpose(2, 0, 1, 3).reshape(3136, 128))
    return training(lenet_loss, values, (tensor(x.transpose(0, 3, 1, 2)), tensor(y).long()))


def residual_block():
    weights, (x,) = problems.block()
    p = leaves(weights)
    p["k1"], p["k2"] = kernel(weights["k1"]), kernel(weights["k2"])
    steps = {}
    for name, order in (("eager", torch.contiguous_format), ("channels last", torch.channels_last)):
        image = tensor(x.transpose(0, 3, 1, 2)).contiguous(memory_format=order).requires_grad_()

        def convolved(x, layer):
            x = F.conv2d(x, p["k" + layer], padding=1)
            return F.batch_norm(x, None, None, p["g" + layer], p["b" + layer], training=True, eps=1e-5)

        def loss(x):
            return torch.relu(convolved(F.relu(convolved(x, "1")), "2") + x).square().mean()

        steps[name] = with_gradient(lambda image=image: loss(image), image, *p.values())
        if COMPILES and name == "channels last":
            compiled = torch.compile(loss)
            steps["compile"] = with_gradient(lambda image=image, compiled=compiled: compiled(image), image, *p.values())
    return steps


def lstm():
    """PyTorch's own LSTM, which is one operation."""
    weights, (x, y) = problems.lstm()
    d = problems.LSTM
    network = torch.nn.LSTM(d["inputs"], d["hidden"])
    with torch.no_grad():
        network.weight_ih_l0.copy_(tensor(weights["wx"].T))
        network.weight_hh_l0.copy_(tensor(weights["wh"].T))
        for bias in (network.bias_ih_l0, network.bias_hh_l0):
            bias.zero_()
    output, shift = leaf(weights["wo"]), leaf(weights["bo"])
    optimizer = torch.optim.Adam([*network.parameters(), output, shift], 1e-3, eps=1e-8, fused=True)
    x, y = tensor(x), tensor(y).long()

    def step():
        optimizer.zero_grad(set_to_none=True)
        h = network(x)[0][-1]
        loss = F.cross_entropy(torch.addmm(shift, h, output), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"eager": step}


def gpt_loss(p, ids, targets):
    d = problems.GPT
    width, heads, context = d["width"], d["heads"], d["context"]
    x = (p["tokens"][ids] + p["places"]).reshape(-1, width)

    def split(t):
        return t.reshape(d["batch"], context, heads, width // heads).transpose(1, 2)

    for layer in range(d["layers"]):
        n = f"{layer}."
        h = F.layer_norm(x, (width,), p[n + "n1g"], p[n + "n1b"], 1e-5)
        q, k, v = map(split, torch.addmm(p[n + "qkvb"], h, p[n + "qkv"]).chunk(3, 1))
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(-1, width)
        x = x + torch.addmm(p[n + "outb"], h, p[n + "out"])
        h = F.layer_norm(x, (width,), p[n + "n2g"], p[n + "n2b"], 1e-5)
        h = F.gelu(torch.addmm(p[n + "upb"], h, p[n + "up"]), approximate="tanh")
        x = x + torch.addmm(p[n + "downb"], h, p[n + "down"])
    logits = F.layer_norm(x, (width,), p["ng"], p["nb"], 1e-5) @ p["head"]
    return F.cross_entropy(logits, targets.reshape(-1))


def gpt():
    weights, (ids, targets) = problems.gpt()
    return training(gpt_loss, leaves(weights), (tensor(ids).long(), tensor(targets).long()))


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
    "mlp32": lambda: mlp(32),
    "mlp512": lambda: mlp(512),
    "lenet": lenet,
    "resblock": residual_block,
    "lstm": lstm,
    "gpt": gpt,
}
