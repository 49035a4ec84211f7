"""Arrays whose data starts on a 64-byte boundary: a cache line, and the width of the widest vector registers."""

from __future__ import annotations

from typing import Any

import numpy as np

ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """An uninitialised C-ordered array on a 64-byte boundary."""
    if dtype.hasobject:
        return np.empty(shape, dtype)
    size = dtype.itemsize
    for length in shape:
        size *= length
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def aligned_copy(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy of `array`, C-ordered and aligned."""
    result = aligned_empty(array.shape, array.dtype)
    result[...] = array
    return result


def own_copy(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy of an array of somebody who may change it, C-ordered; a large one is aligned too."""
    return aligned_copy(array) if array.nbytes >= _LARGE else array.copy()


_LARGE = 4096  # bytes; alignment gains less than it costs below
