"""tf.keras.initializers: first values of weights. With a seed, or on the second call, an initializer gives the same again."""

from __future__ import annotations

import math
from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.export import public_in
from rillet.core.opdef import REGISTRY
from rillet.frontend import initializers as graph_initializers
from rillet.frontend.initializers import fans
from rillet.keras.policy import floatx
from rillet.keras.random_seed import default_seed
from rillet.keras.saving_registry import Family, reject_unknown
from rillet.ops import constants, creation
from rillet.ops import random_stateless as stateless
from rillet.ops.arrange import matrix_transpose

_public = public_in("keras.initializers")


@_public("Initializer")
class Initializer:
    """initializer(shape, dtype) -> tensor. get_config() has what from_config needs to make an equal one."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{name: value for name, value in config.items() if name != "dtype"})

    def clone(self) -> Any:
        """An equal initializer, that draws anew where there is no seed."""
        return type(self).from_config(self.get_config())


def _dtype(dtype: Any, floating: bool = False) -> dtypes.DType:
    wanted = dtypes.as_dtype(dtype or floatx())
    if floating and not wanted.is_floating:
        raise ValueError(f"Expected floating point type, got {wanted}.")
    return wanted


@_public("Zeros", "zeros")
class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return creation.zeros(shape, _dtype(dtype))


@_public("Ones", "ones")
class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return creation.ones(shape, _dtype(dtype))


@_public("Constant", "constant")
class Constant(Initializer):
    """The given value everywhere, or an array of the shape."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return constants.constant(self.value, _dtype(dtype), shape)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class _Random(Initializer):
    """seed: None for one that is drawn at the first call."""

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        reject_unknown(self, kwargs)
        self.seed = seed
        self._drawn: int | None = None

    def _seed(self) -> list[int]:
        if self.seed is not None:
            return [int(self.seed), 0]
        if self._drawn is None:
            self._drawn = default_seed()
        return [self._drawn, 0]


@_public("RandomUniform", "random_uniform", "uniform")
class RandomUniform(_Random):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return stateless.stateless_uniform(shape, self._seed(), self.minval, self.maxval, _dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, "seed": self.seed}


@_public("RandomNormal", "random_normal", "normal")
class RandomNormal(_Random):
    """Normal, with the given mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return stateless.stateless_normal(shape, self._seed(), self.mean, self.stddev, _dtype(dtype, True))

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, "seed": self.seed}


@_public("TruncatedNormal", "truncated_normal")
class TruncatedNormal(RandomNormal):
    """Normal; values more than two standard deviations from the mean are drawn again."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return stateless.stateless_truncated_normal(shape, self._seed(), self.mean, self.stddev, _dtype(dtype, True))


@_public("VarianceScaling", "variance_scaling")
class VarianceScaling(_Random):
    """Draws with variance scale / n, n = fan in, fan out, or their mean (`mode`).

    distribution: "truncated_normal" ("normal"), "untruncated_normal" or "uniform". ValueError for another, or scale <= 0.
    """

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", seed: int | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(seed, **kwargs)
        if scale <= 0.0:
            raise ValueError(f"`scale` must be positive float. Received: scale={scale}.")
        if mode not in (modes := ("fan_in", "fan_out", "fan_avg")):
            raise ValueError(f"Invalid `mode` argument: {mode}. Please use one of the {modes}.")
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in (kinds := ("uniform", "truncated_normal", "untruncated_normal")):
            raise ValueError(f"Invalid `distribution` argument: {distribution}. Allowed distributions: {kinds}.")
        self.scale = scale
        self.mode = mode
        self.distribution = distribution

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        wanted = _dtype(dtype, True)
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "truncated_normal":
            # 0.8796: the standard deviation of a unit normal truncated at +-2
            stddev = math.sqrt(variance) / 0.87962566103423978
            return stateless.stateless_truncated_normal(shape, self._seed(), 0.0, stddev, wanted)
        if self.distribution == "untruncated_normal":
            return stateless.stateless_normal(shape, self._seed(), 0.0, math.sqrt(variance), wanted)
        limit = math.sqrt(3.0 * variance)
        return stateless.stateless_uniform(shape, self._seed(), -limit, limit, wanted)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution, "seed": self.seed}


class _Scaled(VarianceScaling):
    settings: tuple[float, str, str]

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(*self.settings, seed=seed, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


@_public("GlorotUniform", "glorot_uniform")
class GlorotUniform(_Scaled):
    """Glorot and Bengio 2010, uniform."""

    settings = graph_initializers.GlorotUniform.settings


@_public("GlorotNormal", "glorot_normal")
class GlorotNormal(_Scaled):
    """Glorot and Bengio 2010, truncated normal."""

    settings = graph_initializers.GlorotNormal.settings


@_public("LecunUniform", "lecun_uniform")
class LecunUniform(_Scaled):
    """LeCun et al. 1998, uniform."""

    settings = graph_initializers.LecunUniform.settings


@_public("LecunNormal", "lecun_normal")
class LecunNormal(_Scaled):
    """LeCun et al. 1998, truncated normal."""

    settings = graph_initializers.LecunNormal.settings


@_public("HeUniform", "he_uniform")
class HeUniform(_Scaled):
    """He et al. 2015, uniform."""

    settings = graph_initializers.HeUniform.settings


@_public("HeNormal", "he_normal")
class HeNormal(_Scaled):
    """He et al. 2015, truncated normal."""

    settings = graph_initializers.HeNormal.settings


@_public("Orthogonal", "orthogonal", "OrthogonalInitializer")
class Orthogonal(_Random):
    """An orthogonal matrix (the shape's last axis against the others), from the QR decomposition of a normal one.

    ValueError for a shape of rank below 2.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        sizes = [int(size) for size in shape]
        if len(sizes) < 2:
            raise ValueError(
                f"The tensor to initialize must be at least two-dimensional. Received: shape={shape} of rank {len(sizes)}."
            )
        rows, columns = math.prod(sizes[:-1]), sizes[-1]
        flat = (max(rows, columns), min(rows, columns))
        normal = stateless.stateless_normal(flat, self._seed(), dtype=_dtype(dtype, True))
        q = graph_initializers.orthogonalized(normal)
        if rows < columns:
            q = matrix_transpose(q)
        return self.gain * apply_op(REGISTRY["Reshape"], (q, sizes))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "seed": self.seed}


@_public("Identity", "identity", "IdentityInitializer")
class Identity(Initializer):
    """gain times the identity matrix. ValueError for a shape of another rank than 2."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        sizes = [int(size) for size in shape]
        if len(sizes) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. Received: "
                f"shape={shape} of rank {len(sizes)}."
            )
        return self.gain * creation.eye(sizes[0], sizes[1], dtype=_dtype(dtype, True))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


INITIALIZERS = Family("keras.initializers", "initializer", {"zero": "zeros", "one": "ones"})
INITIALIZERS.export()
get, serialize, deserialize = INITIALIZERS.get, INITIALIZERS.serialize, INITIALIZERS.deserialize
