"""The op table: every row, in every mode, against TensorFlow's recorded results.

One row alone, with its differences printed: `python -m tests.ops.harness 'math.add'`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ops import checks, harness
from tests.ops.checks import Check


def _cases(quick_only: bool) -> Iterator[Any]:
    """Every check of every row; the first check of each kind of a quick row is in the quick subset."""
    for row in harness.all_rows().values():
        if quick_only and not row.smoke:
            continue
        kinds: set[str] = set()
        for label, check in checks.checks_of(row):
            kind = label.split()[0]
            quick = row.smoke and kind not in kinds
            kinds.add(kind)
            yield pytest.param(check, id=f"{row.name}-{label}", marks=[pytest.mark.smoke] if quick else [])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "check" in metafunc.fixturenames:  # making ten thousand cases takes longer than the quick ones run
        metafunc.parametrize("check", list(_cases(metafunc.config.option.markexpr == "smoke")))


def test_row(check: Check) -> None:
    found = check(harness.module_under_test())
    assert not found, "\n".join(found)


def test_every_row_is_recorded() -> None:
    missing = [row.name for row in harness.all_rows().values() if not checks.is_recorded(row)]
    assert not missing, f"run tools/record_oracle.py for {missing}"
