"""Noise while training, and penalties on activities."""

from __future__ import annotations

import math
from typing import Any

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.calling import choose
from rillet.keras.input_spec import InputSpec
from rillet.keras.layers.core import Dropout
from rillet.keras.layers.options import ConfiguredLayer, data_format_of
from rillet.keras.regularizers import L1L2
from rillet.ops.cast import cast
from rillet.ops.compare import greater_equal
from rillet.ops.random import random_normal, random_uniform


class _Noise(ConfiguredLayer):
    """seed: of the random numbers."""

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.seed = seed

    def call(self, inputs: Any, training: Any = None) -> Any:
        return choose(training, lambda: self._with_noise(inputs), lambda: inputs)

    def _with_noise(self, inputs: Any) -> Any:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)


def _shape(inputs: Any) -> Any:
    return apply_op(REGISTRY["Shape"], (inputs,))


@public("keras.layers.GaussianNoise")
class GaussianNoise(_Noise):
    """While training, normal noise with standard deviation `stddev` is added."""

    _config_names = ("stddev", "seed")

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.stddev = stddev

    def _with_noise(self, inputs: Any) -> Any:
        return inputs + random_normal(_shape(inputs), 0.0, self.stddev, inputs.dtype, seed=self.seed)


@public("keras.layers.GaussianDropout")
class GaussianDropout(_Noise):
    """While training, every element is multiplied by normal noise around 1, of the variance that dropout would have."""

    _config_names = ("rate", "seed")

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.rate = rate

    def _with_noise(self, inputs: Any) -> Any:
        if not 0 < self.rate < 1:
            return inputs
        stddev = math.sqrt(self.rate / (1.0 - self.rate))
        return inputs * random_normal(_shape(inputs), 1.0, stddev, inputs.dtype, seed=self.seed)


_ALPHA = -1.6732632423543772 * 1.0507009873554805  # where SELU saturates


@public("keras.layers.AlphaDropout")
class AlphaDropout(_Noise):
    """Dropout that keeps the mean and variance of what SELU gives (Klambauer et al. 2017)."""

    _config_names = ("rate", "seed")

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.rate = rate
        self.noise_shape = noise_shape

    def _with_noise(self, inputs: Any) -> Any:
        if not 0 < self.rate < 1:
            return inputs
        shape = _shape(inputs) if self.noise_shape is None else self.noise_shape
        kept = cast(greater_equal(random_uniform(shape, seed=self.seed), self.rate), inputs.dtype)
        scale = ((1 - self.rate) * (1 + self.rate * _ALPHA**2)) ** -0.5
        return scale * (inputs * kept + _ALPHA * (1 - kept)) - scale * _ALPHA * self.rate


class _SpatialDropout(Dropout):
    """While training, whole maps are 0 with probability `rate`."""

    _rank = 2

    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **kwargs: Any) -> None:
        kwargs.pop("noise_shape", None)
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = data_format_of("channels_last" if self._rank == 1 else data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)
        ones = [1] * self._rank
        channels_last = self.data_format == "channels_last"
        self._maps = (None, *ones, None) if channels_last else (None, None, *ones)

    def _dropped(self, inputs: Any) -> Any:
        self.noise_shape, saved = self._maps, self.noise_shape
        try:
            return super()._dropped(inputs)
        finally:
            self.noise_shape = saved


@public("keras.layers.SpatialDropout1D")
class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of sequences."""

    _rank = 1

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, None, seed, **kwargs)


@public("keras.layers.SpatialDropout2D")
class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of images."""

    _rank = 2


@public("keras.layers.SpatialDropout3D")
class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of volumes."""

    _rank = 3


@public("keras.layers.ActivityRegularization")
class ActivityRegularization(ConfiguredLayer):
    """The input; l1 * sum(|x|) + l2 * sum(x^2) is added to the losses."""

    _config_names = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=L1L2(l1, l2), **kwargs)
        self.supports_masking = True
        self.l1 = l1
        self.l2 = l2

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)
