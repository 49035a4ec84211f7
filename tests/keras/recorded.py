"""What tf_keras computed for the rows of the tables."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "data" / "keras"


@functools.cache
def _all(file: str) -> dict[str, Any]:
    with np.load(FOLDER / f"{file}.npz") as data:
        return {name: data[name] for name in data.files}


def of(file: str, row: str) -> dict[str, Any]:
    """{"inference/0": array ...} of one row. KeyError where the row was not recorded."""
    prefix = f"{row}|"
    found = {
        name[len(prefix) :].replace("|", "/"): value for name, value in _all(file).items() if name.startswith(prefix)
    }
    if not found:
        raise KeyError(f"no record of {row!r}: run tools/record_keras_layers.py")
    return found


def facts(file: str, row: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(str(of(file, row)["facts"]))
    return value
