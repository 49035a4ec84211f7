"""Flags: defaults, reading, and errors that name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from rillet import config
from rillet.config import CACHE, DATA, DEBUG, ENGINE, FLAGS, NO_COLOR, PASSES, THREADS, VERIFY


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [*(flag.variable for flag in FLAGS), "NO_COLOR", "XDG_CACHE_HOME", "KERAS_HOME"]:
        monkeypatch.delenv(variable, raising=False)


def test_table_is_complete_and_unique() -> None:
    defined = {value for value in vars(config).values() if isinstance(value, config.Flag)}
    assert defined == set(FLAGS)
    assert len({flag.name for flag in FLAGS}) == len(FLAGS)
    for flag in FLAGS:
        assert flag.variable == "RILLET_" + flag.name.upper()
        assert flag.meaning
        assert not flag.is_set


def test_defaults() -> None:
    assert ENGINE.value == "native"
    assert THREADS.value >= 1
    assert DEBUG.value == 0
    assert CACHE.value == Path.home() / ".cache" / "rillet"
    assert DATA.value == Path.home() / ".keras" / "datasets"
    assert NO_COLOR.value is False


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        (ENGINE, "reference", "reference"),
        (THREADS, "3", 3),
        (DEBUG, "2", 2),
        (CACHE, "~/elsewhere", Path.home() / "elsewhere"),
        (DATA, "/data", Path("/data")),
        (NO_COLOR, "1", True),
        (NO_COLOR, "off", False),
        (THREADS, "", None),
        (PASSES, "-cse, -share_memory", "-cse,-share_memory"),
        (PASSES, "", ""),
        (VERIFY, "on", True),
    ],
)
def test_reading(monkeypatch: pytest.MonkeyPatch, flag: config.Flag[object], text: str, value: object) -> None:
    monkeypatch.setenv(flag.variable, text)
    assert flag.value == (flag.default() if value is None else value)
    assert flag.is_set == bool(text)


@pytest.mark.parametrize(
    ("flag", "text", "allowed"),
    [
        (ENGINE, "fast", "expected one of native, blockwise, reference"),
        (THREADS, "0", "whole number of at least 1"),
        (THREADS, "many", "whole number of at least 1"),
        (DEBUG, "-1", "whole number of at least 0"),
        (NO_COLOR, "perhaps", "expected one of 1, true"),
        (PASSES, "cse", "each with a minus sign"),
    ],
)
def test_unreadable_text_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, flag: config.Flag[object], text: str, allowed: str
) -> None:
    monkeypatch.setenv(flag.variable, text)
    with pytest.raises(ValueError, match=rf"{flag.variable}='{text}': .*{allowed}"):
        _ = flag.value


def test_other_programs_variables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setenv("KERAS_HOME", "/keras")
    monkeypatch.setenv("NO_COLOR", "anything")
    assert CACHE.value == Path("/cache/rillet")
    assert DATA.value == Path("/keras/datasets")
    assert NO_COLOR.value is True
