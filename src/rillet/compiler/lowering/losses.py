"""Cross entropies: the loss and its gradient in one go over the logits."""

from __future__ import annotations

from rillet.compiler.arrays import Array
from rillet.compiler.lowering.reductions import exponentials_of
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes


@lowering("SparseSoftmaxCrossEntropyWithLogits")
def sparse_cross_entropy(call: Call, features: Array, labels: Array) -> list[Array]:
    """loss = log sum exp(x - max) - (x - max)[label]; gradient = softmax - one hot."""
    call.require(features.rank == 2 and features.size > 0 and labels.shape == features.shape[:1])
    program, dtype = call.program, features.dtype
    batch, classes = features.shape
    exponentials, total, _ = exponentials_of(program, features)

    def loss(row: object) -> Scalar:
        label = program.dynamic(labels.at(row), classes)  # type: ignore[arg-type]
        chosen = program.make("sub", dtype, features.at(row, label), largest(row))  # type: ignore[arg-type]
        return program.make("sub", dtype, program.make("log", dtype, total.at(row, 0)), chosen)  # type: ignore[arg-type]

    maxima = program.reduce(features, [1], "max")

    def largest(row: object) -> Scalar:
        return maxima.at(row)  # type: ignore[arg-type]

    def gradient(row: object, column: object) -> Scalar:
        share = program.make("div", dtype, exponentials.at(row, column), total.at(row, 0))  # type: ignore[arg-type]
        label = program.convert(labels.at(row), dtypes.int64)  # type: ignore[arg-type]
        hit = program.compare("eq", label, program.scalars.index(column))  # type: ignore[arg-type]
        one, zero = program.number(1, dtype), program.number(0, dtype)
        return program.make("sub", dtype, share, program.where(hit, one, zero))

    losses = program.map((batch,), dtype, loss, (labels, features, maxima, total), 20)
    gradients = program.map((batch, classes), dtype, gradient, (exponentials, total, labels), 8)
    return [losses, gradients]


@lowering("SoftmaxCrossEntropyWithLogits")
def cross_entropy(call: Call, features: Array, labels: Array) -> list[Array]:
    """loss = sum over classes of label * (log sum exp(x - max) - (x - max)); gradient = softmax - labels."""
    program, dtype = call.program, features.dtype
    shape = tuple(max(pair) for pair in zip(features.shape, labels.shape, strict=True))
    call.require(features.rank == 2 and labels.rank == 2 and features.size > 0)
    features, labels = program.broadcast(features, shape), program.broadcast(labels, shape)
    exponentials, total, shifted = exponentials_of(program, features)
    logarithm = program.elementwise("log", dtype, total)
    surprise = program.elementwise("sub", dtype, logarithm, shifted)
    zero = program.number(0, dtype)

    def weighted(label: Scalar, value: Scalar) -> Scalar:
        product = program.make("mul", dtype, label, value)
        return program.where(program.compare("eq", label, zero), zero, product)

    losses = program.reduce(program.combine(dtype, weighted, labels, surprise, cost=2), [1], "sum")
    share = program.elementwise("div", dtype, exponentials, total)
    return [losses, program.elementwise("sub", dtype, share, labels)]
