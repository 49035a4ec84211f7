"""TensorFlow 2's initializers under tf: callables of (shape, dtype). (Those of tf.keras are its own.)"""

from __future__ import annotations

from typing import Any

from rillet.core import dtypes
from rillet.core.export import public
from rillet.frontend.initializers import check_constant
from rillet.ops import constants, creation, random, random_stateless

_OPTIONS = ("partition_shape", "partition_offset")


class Initializer:
    """initializer(shape, dtype) -> tensor. get_config() has what from_config needs to make an equal one."""

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Any:
        """kwargs: partition_shape, the shape of the part that is wanted; partition_offset."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        return cls(**{key: value for key, value in config.items() if key != "dtype"})


def _part(shape: Any, options: dict[str, Any]) -> Any:
    """The shape to fill. TypeError for an unknown option."""
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(f"Keyword argument should be one of {list(_OPTIONS)}. Received: {name}")
    return options.get("partition_shape", shape)


def _dtype(dtype: Any, kind: str) -> dtypes.DType:
    wanted = dtypes.as_dtype(dtype)
    if kind == "floating" and not wanted.is_floating:
        raise ValueError(f"Argument `dtype` is expected to be floating point. Received: {wanted}.")
    if kind == "number" and not (wanted.is_numeric or wanted.is_bool):
        raise ValueError(f"Argument `dtype` expected to be numeric or boolean. Received {wanted}.")
    return wanted


@public(v2=["zeros_initializer"])
class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Any:
        return creation.zeros(_part(shape, kwargs), _dtype(dtype, "number"))


@public(v2=["ones_initializer"])
class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Any:
        return creation.ones(_part(shape, kwargs), _dtype(dtype, "number"))


@public(v2=["constant_initializer"])
class Constant(Initializer):
    """The given value: a scalar everywhere, or a list or array that fills the shape in row-major order."""

    def __init__(self, value: Any = 0, support_partition: bool = False) -> None:
        check_constant(value)
        self.value = value
        self._support_partition = support_partition

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return constants.constant(self.value, dtype, _part(shape, kwargs))

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


@public(v2=["random_uniform_initializer"])
class RandomUniform(Initializer):
    """Uniform in [minval, maxval). With a seed every call draws the same numbers."""

    def __init__(self, minval: Any = -0.05, maxval: Any = 0.05, seed: int | None = None) -> None:
        self.minval = minval
        self.maxval = maxval
        self.seed = seed

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Any:
        wanted = dtypes.as_dtype(dtype)
        if not (wanted.is_floating or wanted.is_integer):
            raise ValueError(f"Argument `dtype` expected to be numeric or boolean. Received {wanted}.")
        shape = _part(shape, kwargs)
        if self.seed is None:
            return random.random_uniform(shape, self.minval, self.maxval, wanted)
        return random_stateless.stateless_uniform(shape, [self.seed, 0], self.minval, self.maxval, wanted)


@public(v2=["random_normal_initializer"])
class RandomNormal(Initializer):
    """Normal, with the given mean and standard deviation. With a seed every call draws the same numbers."""

    def __init__(self, mean: Any = 0.0, stddev: Any = 0.05, seed: int | None = None) -> None:
        self.mean = mean
        self.stddev = stddev
        self.seed = seed

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Any:
        wanted = _dtype(dtype, "floating")
        shape = _part(shape, kwargs)
        if self.seed is None:
            return random.random_normal(shape, self.mean, self.stddev, wanted)
        return random_stateless.stateless_normal(shape, [self.seed, 0], self.mean, self.stddev, wanted)
