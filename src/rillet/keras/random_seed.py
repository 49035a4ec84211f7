"""Where layers and initializers get their seeds from, when nobody gives them one."""

from __future__ import annotations

import random

import numpy as np

from rillet.core.export import public
from rillet.ops.random_seed import set_seed


@public("keras.utils.set_random_seed")
def set_random_seed(seed: int) -> None:
    """Sets the seeds of Python's random, of NumPy and of tf.random. ValueError unless `seed` is an integer."""
    if not isinstance(seed, int):
        raise ValueError(f"Expected `seed` argument to be an integer. Received: seed={seed} (of type {type(seed)})")
    random.seed(seed)
    np.random.seed(seed)
    set_seed(seed)


def default_seed() -> int:
    """A seed from Python's random: the next one of a sequence that set_random_seed starts."""
    return random.randint(1, int(1e9))
