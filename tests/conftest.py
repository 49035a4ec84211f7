"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("RILLET_VERIFY", "1")  # the compiler checks its work in tests, those in other processes included


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest -m smoke` opens only the files that have quick tests: collecting the others takes longer than running those."""
    if config.option.markexpr != "smoke" or not collection_path.name.startswith("test_"):
        return None
    return (collection_path.is_file() and "smoke" not in collection_path.read_text(encoding="utf-8")) or None
