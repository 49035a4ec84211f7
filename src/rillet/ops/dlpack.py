"""Handing tensors to other libraries and taking theirs, without copying: DLPack."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.export import public
from rillet.core.tensor import EagerTensor
from rillet.errors import InvalidArgumentError


class _Capsule:
    """A DLPack capsule as an object that NumPy takes: it has the protocol's two methods."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # the CPU


@public("experimental.dlpack.to_dlpack")
def to_dlpack(tf_tensor: Any) -> Any:
    """A DLPack capsule of a concrete tensor. InvalidArgumentError for anything else, and for strings."""
    if not isinstance(tf_tensor, EagerTensor):
        raise InvalidArgumentError(None, None, "The argument to `to_dlpack` must be a TF tensor, not Python object")
    if not tf_tensor.dtype.is_numpy_compatible or tf_tensor.dtype is dtypes.string:
        raise InvalidArgumentError(None, None, f"{tf_tensor.dtype.name} is not supported by dlpack")
    return tf_tensor.__dlpack__()


@public("experimental.dlpack.from_dlpack")
def from_dlpack(dlcapsule: Any) -> EagerTensor:
    """The tensor in a DLPack capsule (or in any object with `__dlpack__`). It shares the memory."""
    source = dlcapsule if hasattr(dlcapsule, "__dlpack__") else _Capsule(dlcapsule)
    array = np.from_dlpack(source)
    return EagerTensor(array, dtypes.from_numpy(array.dtype))
