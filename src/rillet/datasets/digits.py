"""The UCI optical handwritten digits, which ship inside the package (source and licence: digits.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

TRAIN_EXAMPLES = 1437


def load_data() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """`(x_train, y_train), (x_test, y_test)`: the first 1437 examples and the 360 others, always the same.

    Images are uint8 [examples, 8, 8] with values 0 to 16, labels uint8 [examples] with values 0 to 9.
    """
    with np.load(Path(__file__).with_name("digits.npz")) as stored:
        images, labels = stored["images"], stored["labels"]
    train, test = slice(TRAIN_EXAMPLES), slice(TRAIN_EXAMPLES, None)
    return (images[train], labels[train]), (images[test], labels[test])
