"""Files of the safetensors format."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import rillet as tf
from rillet.saving import safetensors

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.float64(2.5),
    "half": np.array([1, 2], ml_dtypes.bfloat16),
    "flags": np.array([True, False, True]),
    "empty": np.zeros((0, 2), np.int8),
}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.save(path, ARRAYS, {"made by": "test"})
    found = safetensors.load(path)
    assert set(found) == set(ARRAYS) and safetensors.metadata(path) == {"made by": "test"}
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].tolist() == array.tolist()
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_file_by_hand(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}  '
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x01\x00\xff\xff")
    assert safetensors.load(path)["a"].tolist() == [1, -1]
    safetensors.save(tmp_path / "b", {"a": np.int16([1, -1])})
    assert (tmp_path / "b").read_bytes() == path.read_bytes()


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    safetensors.save(path, ARRAYS)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(tf.errors.DataLossError, match="weights is damaged: tensor 'flags'"):
        safetensors.load(path)
    for text in (b"", b"\xff" * 20, data[:30]):
        path.write_bytes(text)
        with pytest.raises(tf.errors.DataLossError, match="weights is no safetensors file"):
            safetensors.load(path)
    with pytest.raises(TypeError, match="'words' of type string"):
        safetensors.save(path, {"words": np.array([b"a"], object)})
