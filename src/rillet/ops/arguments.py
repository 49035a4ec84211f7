"""Arguments that TensorFlow 1 renamed in its lifetime: both names are taken, one at a time."""

from __future__ import annotations

from typing import Any


def renamed(name: str, value: Any, old_name: str, old_value: Any) -> Any:
    """What the caller gave as `name` or as `old_name`. ValueError when both are given."""
    if old_value is None:
        return value
    if value is not None:
        raise ValueError(f"Cannot specify both '{old_name}' and '{name}'.")
    return old_value
