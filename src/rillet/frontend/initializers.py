"""Initializers: callables that make the first value of a variable from its shape and dtype."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.ops import constants, creation
from rillet.ops import random as random_ops
from rillet.ops.arrange import matrix_transpose


def _floating(dtype: Any) -> dtypes.DType:
    wanted = dtypes.as_dtype(dtype)
    if not wanted.is_floating:
        raise ValueError(f"Argument `dtype` is expected to be floating point. Received: {wanted}.")
    return wanted


class Initializer:
    """initializer(shape, dtype) -> tensor. get_config() has what from_config needs to make an equal one."""

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {key: value.name if isinstance(value, dtypes.DType) else value for key, value in vars(self).items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        return cls(**{key: value for key, value in config.items() if key != "dtype" or "dtype" in _parameters(cls)})


def _parameters(cls: type) -> tuple[str, ...]:
    return tuple(inspect.signature(cls).parameters)


@public(v1=["zeros_initializer", "initializers.zeros"])
class Zeros(Initializer):
    """All zeros."""

    def __init__(self, dtype: Any = dtypes.float32) -> None:
        self.dtype = dtypes.as_dtype(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        return creation.zeros(shape, self.dtype if dtype is None else dtype)


@public(v1=["ones_initializer", "initializers.ones"])
class Ones(Initializer):
    """All ones."""

    def __init__(self, dtype: Any = dtypes.float32) -> None:
        self.dtype = dtypes.as_dtype(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        return creation.ones(shape, self.dtype if dtype is None else dtype)


@public(v1=["constant_initializer", "initializers.constant"])
class Constant(Initializer):
    """The given value: a scalar everywhere, or a list or array that fills the shape in row-major order."""

    def __init__(self, value: Any = 0, dtype: Any = dtypes.float32, verify_shape: bool = False) -> None:
        check_constant(value)
        self.value = value
        self.dtype = dtypes.as_dtype(dtype)
        self._verify_shape = verify_shape

    def __call__(
        self, shape: Any, dtype: Any = None, partition_info: Any = None, verify_shape: bool | None = None
    ) -> Any:
        wanted = dtype or self.dtype
        return constants.constant_v1(self.value, wanted, shape, verify_shape=bool(verify_shape or self._verify_shape))

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value, "dtype": self.dtype.name}


def check_constant(value: Any) -> None:
    """TypeError unless `value` is a Python scalar, a list or tuple of them, or an array."""
    if not (np.isscalar(value) or isinstance(value, (list, tuple, np.ndarray))):
        raise TypeError(
            f"Invalid type for initial value={value} of type: {type(value).__name__}. Expected Python scalar, list or tuple of "
            "values, or numpy.ndarray."
        )


class _Random(Initializer):
    seed: int | None
    dtype: dtypes.DType


@public(v1=["random_uniform_initializer", "initializers.random_uniform"])
class RandomUniform(_Random):
    """Uniform in [minval, maxval)."""

    def __init__(
        self, minval: Any = 0.0, maxval: Any = None, seed: int | None = None, dtype: Any = dtypes.float32
    ) -> None:
        self.minval = minval
        self.maxval = maxval
        self.seed = seed
        self.dtype = dtypes.as_dtype(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        return random_ops.random_uniform(shape, self.minval, self.maxval, dtype or self.dtype, seed=self.seed)


@public(v1=["random_normal_initializer", "initializers.random_normal"])
class RandomNormal(_Random):
    """Normal, with the given mean and standard deviation."""

    def __init__(
        self, mean: Any = 0.0, stddev: Any = 1.0, seed: int | None = None, dtype: Any = dtypes.float32
    ) -> None:
        self.mean = mean
        self.stddev = stddev
        self.seed = seed
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        return random_ops.random_normal(shape, self.mean, self.stddev, dtype or self.dtype, seed=self.seed)


@public(v1=["truncated_normal_initializer", "initializers.truncated_normal"])
class TruncatedNormal(_Random):
    """Normal; values more than two standard deviations from the mean are drawn again."""

    def __init__(
        self, mean: Any = 0.0, stddev: Any = 1.0, seed: int | None = None, dtype: Any = dtypes.float32
    ) -> None:
        self.mean = mean
        self.stddev = stddev
        self.seed = seed
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        return random_ops.truncated_normal(shape, self.mean, self.stddev, dtype or self.dtype, seed=self.seed)


@public(v1=["uniform_unit_scaling_initializer", "initializers.uniform_unit_scaling"])
class UniformUnitScaling(_Random):
    """Uniform in +-sqrt(3 / fan_in) * factor: keeps the scale of the input."""

    def __init__(self, factor: float = 1.0, seed: int | None = None, dtype: Any = dtypes.float32) -> None:
        self.factor = factor
        self.seed = seed
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        fan_in = max(1.0, float(np.prod([float(size) for size in list(shape)[:-1]])))
        limit = math.sqrt(3 / fan_in) * self.factor
        return random_ops.random_uniform(shape, -limit, limit, dtype or self.dtype, seed=self.seed)


def fans(shape: Any) -> tuple[float, float]:
    """(fan in, fan out) of a weight: its last axes are in and out, the others a receptive field."""
    sizes = [int(size) for size in shape]
    if len(sizes) < 1:
        return 1.0, 1.0
    if len(sizes) == 1:
        return float(sizes[0]), float(sizes[0])
    field = float(np.prod(sizes[:-2])) if len(sizes) > 2 else 1.0
    return sizes[-2] * field, sizes[-1] * field


@public(v1=["initializers.variance_scaling", "variance_scaling_initializer"])
class VarianceScaling(_Random):
    """Draws with variance scale / n, n = fan in, fan out, or their mean (`mode`).

    distribution: "truncated_normal" ("normal"), "untruncated_normal" or "uniform".
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        dtype: Any = dtypes.float32,
    ) -> None:
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be a positive float. Received: {scale}")
        if mode not in (modes := ("fan_in", "fan_out", "fan_avg")):
            raise ValueError(f"Argument `mode` should be one of {modes}. Received: {mode}")
        if distribution not in (kinds := ("normal", "uniform", "truncated_normal", "untruncated_normal")):
            raise ValueError(f"Argument `distribution` should be one of {kinds}. Received: {distribution}")
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.seed = seed
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        wanted = dtype or self.dtype
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution in ("normal", "truncated_normal"):
            # 0.8796: the standard deviation of a unit normal truncated at +-2
            return random_ops.truncated_normal(
                shape, 0.0, math.sqrt(variance) / 0.87962566103423978, wanted, seed=self.seed
            )
        if self.distribution == "untruncated_normal":
            return random_ops.random_normal(shape, 0.0, math.sqrt(variance), wanted, seed=self.seed)
        limit = math.sqrt(3.0 * variance)
        return random_ops.random_uniform(shape, -limit, limit, wanted, seed=self.seed)


class _Scaled(VarianceScaling):
    settings: tuple[float, str, str]

    def __init__(self, seed: int | None = None, dtype: Any = dtypes.float32) -> None:
        super().__init__(*self.settings, seed=seed, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "dtype": self.dtype.name}


@public(v1=["glorot_uniform_initializer", "initializers.glorot_uniform"])
class GlorotUniform(_Scaled):
    """Glorot and Bengio 2010, uniform."""

    settings = (1.0, "fan_avg", "uniform")


@public(v1=["glorot_normal_initializer", "initializers.glorot_normal"])
class GlorotNormal(_Scaled):
    """Glorot and Bengio 2010, truncated normal."""

    settings = (1.0, "fan_avg", "truncated_normal")


@public(v1=["initializers.lecun_normal"])
class LecunNormal(_Scaled):
    settings = (1.0, "fan_in", "truncated_normal")


@public(v1=["initializers.lecun_uniform"])
class LecunUniform(_Scaled):
    settings = (1.0, "fan_in", "uniform")


@public(v1=["initializers.he_normal"])
class HeNormal(_Scaled):
    """He et al. 2015, truncated normal."""

    settings = (2.0, "fan_in", "truncated_normal")


@public(v1=["initializers.he_uniform"])
class HeUniform(_Scaled):
    """He et al. 2015, uniform."""

    settings = (2.0, "fan_in", "uniform")


@public(v1=["orthogonal_initializer", "initializers.orthogonal"])
class Orthogonal(_Random):
    """An orthogonal matrix (the shape's last axis against the others), from the QR decomposition of a normal one."""

    def __init__(self, gain: float = 1.0, seed: int | None = None, dtype: Any = dtypes.float32) -> None:
        self.gain = gain
        self.seed = seed
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        sizes = [int(size) for size in shape]
        _require_matrix(sizes, len(sizes) >= 2)
        rows, columns = int(np.prod(sizes[:-1])), sizes[-1]
        flat = (max(rows, columns), min(rows, columns))
        normal = random_ops.random_normal(flat, dtype=dtype or self.dtype, seed=self.seed)
        q = orthogonalized(normal)
        if rows < columns:
            q = matrix_transpose(q)
        return self.gain * apply_op(REGISTRY["Reshape"], (q, sizes))


def orthogonalized(matrix: Any) -> Any:
    """The orthogonal factor of a QR decomposition, made unique: the diagonal of R is positive."""
    q, r = apply_op(REGISTRY["Qr"], (matrix,), {"full_matrices": False})
    return q * apply_op(REGISTRY["Sign"], (apply_op(REGISTRY["DiagPart"], (r,)),))


def _require_matrix(sizes: list[int], holds: bool) -> None:
    if not holds:
        raise ValueError(
            "The tensor to initialize, specified by argument `shape` must be at least two-dimensional. Received "
            f"shape={sizes}"
        )


@public(v1=["initializers.identity"])
class Identity(Initializer):
    """gain times the identity matrix."""

    def __init__(self, gain: float = 1.0, dtype: Any = dtypes.float32) -> None:
        self.gain = gain
        self.dtype = _floating(dtype)

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        sizes = [int(size) for size in shape]
        _require_matrix(sizes, len(sizes) == 2)
        matrix = creation.eye(sizes[0], sizes[1], dtype=dtypes.as_dtype(dtype or self.dtype))
        return matrix if self.gain == 1.0 else self.gain * matrix


@public(v1=["contrib.layers.xavier_initializer", "contrib.layers.xavier_initializer_conv2d"])
def xavier_initializer(uniform: bool = True, seed: int | None = None, dtype: Any = dtypes.float32) -> Initializer:
    """Glorot and Bengio's initializer, under its first name."""
    return contrib_variance_scaling(1.0, "FAN_AVG", uniform, seed, dtype)


@public(v1=["contrib.layers.variance_scaling_initializer"])
def contrib_variance_scaling(
    factor: float = 2.0,
    mode: str = "FAN_IN",
    uniform: bool = False,
    seed: int | None = None,
    dtype: Any = dtypes.float32,
) -> Any:
    """Variance factor / n. The normal form divides by the truncation only approximately (sqrt(1.3)), as it always did."""
    wanted = _floating(dtype)

    def initializer(shape: Any, dtype: Any = wanted, partition_info: Any = None) -> Any:
        fan_in, fan_out = fans(shape)
        n = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "FAN_AVG": (fan_in + fan_out) / 2.0}[mode]
        if uniform:
            limit = math.sqrt(3.0 * factor / n)
            return random_ops.random_uniform(shape, -limit, limit, dtype, seed=seed)
        return random_ops.truncated_normal(shape, 0.0, math.sqrt(1.3 * factor / n), dtype, seed=seed)

    return initializer
