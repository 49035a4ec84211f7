"""A home without MNIST, a network that can be given answers, and a tiny MNIST."""

from __future__ import annotations

import gzip
import io
import struct
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rillet.datasets.mnist_files import IDX_FILES, Arrays


@pytest.fixture
def tiny() -> Arrays:
    random = np.random.default_rng(0)

    def images(count: int) -> Any:
        return random.integers(0, 256, [count, 28, 28]).astype(np.uint8)

    return Arrays(images(20), np.arange(20, dtype=np.uint8) % 10, images(6), np.arange(6, dtype=np.uint8))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where Keras keeps its data sets; it does not exist yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RILLET_DATA", raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    return tmp_path / "home" / ".keras" / "datasets"


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What the network has: nothing, until a test puts an answer under a URL."""
    answers: dict[str, bytes] = {}

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        if url not in answers:
            raise urllib.error.URLError("no network")
        return io.BytesIO(answers[url])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return answers


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def write_idx(tiny: Arrays) -> Callable[..., None]:
    def write(folder: Path, packed: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in zip(IDX_FILES, tiny, strict=True):
            content = idx_bytes(array)
            file = folder / (f"{name}.gz" if packed else name)
            file.write_bytes(gzip.compress(content) if packed else content)

    return write


@pytest.fixture
def write_npz(tiny: Arrays) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **tiny._asdict())

    return write
