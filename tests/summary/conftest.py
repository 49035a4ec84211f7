"""Each test here begins with the defaults of the rillet that its file imports."""

from __future__ import annotations

from tests.defaults import fresh

__all__ = ["fresh"]
