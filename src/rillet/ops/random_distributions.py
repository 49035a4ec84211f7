"""Random numbers of distributions with parameters: gamma, Poisson, normal numbers between bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.execution import ExecutionContext
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops import philox_distributions
from rillet.ops.arrays import as_array
from rillet.ops.random_arguments import requested_shape, requested_then, shape_tensor, wanted_sizes
from rillet.ops.random_seed import seed_attributes, stream
from rillet.ops.scope import scope
from rillet.ops.shape import BROADCAST_ARGS, broadcast_to, shape_of

# ---- gamma ----------------------------------------------------------------------------------------------------------


def _gamma(shape: Any, alpha: Any, *, seed: int, seed2: int, context: ExecutionContext, node: Any) -> Any:
    return philox_distributions.gamma(stream(context, node, seed, seed2), wanted_sizes(shape), as_array(alpha))


def gamma_gradient(op: Operation, dy: Any, samples: Any) -> Any:
    """The gradient of `alpha` where dy is that of numbers drawn with it, `samples` being the number of leading axes."""
    alpha = op.inputs[-1]
    slope = apply_op(REGISTRY["RandomGammaGrad"], (alpha, op.outputs[0]))
    axes = apply_op(REGISTRY["Range"], (0, samples, 1))
    return apply_op(REGISTRY["Sum"], (dy * slope, axes), {"keep_dims": False})


RANDOM_GAMMA = define(
    "RandomGamma", "shape: S, alpha: T -> output: T",
    "seed: int = 0, seed2: int = 0, S: index, T: {float16, float32, float64}",
    reference=_gamma, shape=lambda op: requested_then(op, 1), is_stateful=True,
    gradient=lambda op, dy: [None, gamma_gradient(op, dy, apply_op(REGISTRY["Size"], (op.inputs[0],)))],
)  # fmt: skip


def gamma_of(shape: Any, alpha: Any, beta: Any, dtype: Any, draw: Any, name: str) -> Any:
    """`draw(shape, alpha)` for `alpha` as wide as `beta`, divided by `beta`; zero is replaced by the least number."""
    wanted = dtypes.as_dtype(dtype)
    with scope(name, shape, alpha, beta):
        dims = shape_tensor(shape)
        alpha = convert_to_tensor(alpha, wanted, name="alpha")
        beta = convert_to_tensor(1 if beta is None else beta, wanted, name="beta")
        wide = broadcast_to(alpha, apply_op(BROADCAST_ARGS, (shape_of(alpha), shape_of(beta))))
        scaled = apply_op(REGISTRY["RealDiv"], (draw(dims, wide), beta), name="truediv")
        return apply_op(REGISTRY["Maximum"], (np.finfo(wanted.as_numpy_dtype).tiny, scaled))


@public("random.gamma", v1=["random_gamma"])
def random_gamma(
    shape: Any,
    alpha: Any,
    beta: Any = None,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Numbers of gamma distributions: `shape` of them for each shape parameter `alpha` and inverse scale `beta`.

    Returns [*shape, *broadcast shape of alpha and beta]. Differentiable by alpha and beta.
    """

    def draw(dims: Any, wide: Any) -> Any:
        return apply_op(RANDOM_GAMMA, (dims, wide), seed_attributes(seed))

    return gamma_of(shape, alpha, beta, dtype, draw, name or "random_gamma")


# ---- Poisson --------------------------------------------------------------------------------------------------------


def _poisson(
    shape: Any, rate: Any, *, dtype: DType, seed: int, seed2: int, context: ExecutionContext, node: Any
) -> Any:
    source = stream(context, node, seed, seed2)
    return philox_distributions.poisson(source, wanted_sizes(shape), as_array(rate), dtype.numpy_dtype)


COUNTS = "{float16, float32, float64, int32, int64}"
RANDOM_POISSON = define(
    "RandomPoissonV2", "shape: S, rate: R -> output: dtype",
    f"seed: int = 0, seed2: int = 0, S: index, R: {COUNTS} = float64, dtype: {COUNTS} = int64",
    reference=_poisson, shape=lambda op: requested_then(op, 1), gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


@public(v2=["random.poisson"])
def random_poisson(
    shape: Any, lam: Any, dtype: Any = dtypes.float32, seed: int | None = None, name: str | None = None
) -> Any:
    """Numbers of Poisson distributions, [*shape, *lam.shape]: `shape` of them for each rate in `lam`."""
    attrs = {"dtype": dtypes.as_dtype(dtype)}
    with scope(name or "random_poisson", shape, lam):
        return apply_op(RANDOM_POISSON, (shape_tensor(shape), lam), {**attrs, **seed_attributes(seed)})


@public(v1=["random_poisson", "random.poisson"])
def random_poisson_v1(
    lam: Any, shape: Any, dtype: Any = dtypes.float32, seed: int | None = None, name: str | None = None
) -> Any:
    """As tf.random.poisson, with `lam` before `shape`."""
    return random_poisson(shape, lam, dtype, seed, name)


# ---- normal numbers between bounds ----------------------------------------------------------------------------------

_PARAMETERS = ("means", "stdevs", "minvals", "maxvals")


def _parameterized(
    shape: Any,
    means: Any,
    stdevs: Any,
    minvals: Any,
    maxvals: Any,
    *,
    seed: int,
    seed2: int,
    context: ExecutionContext,
    node: Any,
) -> Any:
    parameters = [as_array(values) for values in (means, stdevs, minvals, maxvals)]
    wanted = wanted_sizes(shape)
    for values in parameters:
        if values.ndim > 1 or (values.size != 1 and (not wanted or values.size != wanted[0])):
            raise ValueError("the parameters are numbers, or one for each row")
    source = stream(context, node, seed, seed2)
    return philox_distributions.parameterized_truncated_normal(source, wanted, *parameters)


def _parameterized_shape(op: Operation) -> TensorShape:
    result = requested_shape(op)
    rows = result.dimensions[0] if result.dimensions else None
    for index, name in enumerate(_PARAMETERS, 1):
        found = op.inputs[index].shape
        if found.rank is not None and found.rank > 1:
            raise ShapeError(
                f"Shape must be at most rank 1 but is rank {found.rank}",
                f"Input {name} should be a scalar or vector, got shape: {format_shape(found.dimensions)}",
                {index: range(found.rank)},
            )
        size = found.num_elements()
        if size not in (None, 1) and rows is not None and size != rows:
            text = f"Input {name} should have length 1 or shape[0], got shape: {format_shape(found.dimensions)}"
            raise ShapeError(text, marks={index: (0,)})
    return result


define(
    "ParameterizedTruncatedNormal",
    "shape: T, means: dtype, stdevs: dtype, minvals: dtype, maxvals: dtype -> output: dtype",
    "seed: int = 0, seed2: int = 0, dtype: {float16, bfloat16, float32, float64}, T: index",
    reference=_parameterized, shape=_parameterized_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
