"""Which dtypes layers compute in and keep their weights in."""

from __future__ import annotations

from typing import Any

from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.export import public


class _Settings:
    """What all layers share."""

    floatx = "float32"
    epsilon = 1e-7
    image_data_format = "channels_last"
    policy: Policy | None = None


@public("keras.backend.floatx", "keras.config.floatx")
def floatx() -> str:
    """The default dtype of weights and floating inputs: "float32" unless set_floatx said otherwise."""
    return _Settings.floatx


@public("keras.backend.set_floatx", "keras.config.set_floatx")
def set_floatx(value: str) -> None:
    """value: "bfloat16", "float16", "float32" or "float64"; ValueError for another."""
    if value not in ("bfloat16", "float16", "float32", "float64"):
        raise ValueError(
            f"Unknown `floatx` value: {value}. Expected one of {{'bfloat16', 'float16', 'float32', 'float64'}}"
        )
    _Settings.floatx = str(value)


@public("keras.backend.epsilon", "keras.config.epsilon")
def epsilon() -> float:
    """The small number that is added where a division by zero threatens."""
    return _Settings.epsilon


@public("keras.backend.set_epsilon", "keras.config.set_epsilon")
def set_epsilon(value: float) -> None:
    _Settings.epsilon = value


@public("keras.backend.image_data_format", "keras.config.image_data_format")
def image_data_format() -> str:
    """ "channels_last" or "channels_first": the default of layers that work on images."""
    return _Settings.image_data_format


@public("keras.backend.set_image_data_format", "keras.config.set_image_data_format")
def set_image_data_format(data_format: str) -> None:
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"Unknown `data_format`: {data_format}. Expected one of {{'channels_first', 'channels_last'}}")
    _Settings.image_data_format = data_format


@public("keras.mixed_precision.Policy", "keras.mixed_precision.DTypePolicy", "keras.DTypePolicy")
class Policy:
    """name: a dtype, for computations and weights alike; or "mixed_float16", "mixed_bfloat16": float32 weights."""

    def __init__(self, name: str) -> None:
        if isinstance(name, DType):
            raise TypeError("'name' must be a string, not a DType. Instead, pass DType.name.")
        self._name = str(name)
        if name.startswith("mixed_"):
            self._compute, self._variable = name.removeprefix("mixed_"), "float32"
            if self._compute not in ("float16", "bfloat16"):
                raise ValueError(f"Cannot convert value {name} to a mixed precision Policy.")
        else:
            self._compute = self._variable = dtypes.as_dtype(name).name

    @property
    def name(self) -> str:
        return self._name

    @property
    def compute_dtype(self) -> str:
        return self._compute

    @property
    def variable_dtype(self) -> str:
        return self._variable

    def get_config(self) -> dict[str, Any]:
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Policy:
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and other._name == self._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f'<Policy "{self._name}">'


@public("keras.mixed_precision.global_policy", "keras.mixed_precision.dtype_policy", "keras.config.dtype_policy")
def global_policy() -> Policy:
    """The policy of layers that are made without a dtype."""
    return _Settings.policy or Policy(_Settings.floatx)


@public(
    "keras.mixed_precision.set_global_policy", "keras.mixed_precision.set_dtype_policy", "keras.config.set_dtype_policy"
)
def set_global_policy(policy: Any) -> None:
    """policy: a Policy, its name, or None for floatx()."""
    _Settings.policy = policy if policy is None else as_policy(policy)


def as_policy(value: Any) -> Policy:
    """A layer's `dtype` argument as a policy: a policy, a configuration of one, a dtype or its name; None: the global one."""
    if value is None:
        return global_policy()
    if isinstance(value, Policy):
        return value
    if isinstance(value, dict):
        return Policy.from_config(value["config"])
    if isinstance(value, str) and value.startswith("mixed_"):
        return Policy(value)
    return Policy(dtypes.as_dtype(value).name)
