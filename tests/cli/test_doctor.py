"""`rillet doctor`."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import numpy as np
import pytest

from rillet.cli import main
from rillet.config import FLAGS
from rillet.core.opdef import REGISTRY


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert np.__version__ in text
    assert platform.python_version() in text
    for flag in FLAGS:
        assert flag.variable in text
        assert flag.meaning in text
    assert "PyFunc" in text


def test_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RILLET_THREADS", "3")
    monkeypatch.setenv("RILLET_CACHE", "/somewhere")
    monkeypatch.delenv("RILLET_VERIFY")
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["numpy"] == np.__version__
    assert report["versions"]["llvmlite"]
    assert report["engine"] == "native"
    assert report["target"]["machine"] == platform.machine()
    assert report["target"]["threads"] == 3
    assert report["cache"] == "/somewhere"
    assert [flag["variable"] for flag in report["flags"]] == [flag.variable for flag in FLAGS]
    assert [flag["variable"] for flag in report["flags"] if flag["set"]] == ["RILLET_THREADS", "RILLET_CACHE"]
    differentiable = [op for op in REGISTRY.values() if op.differentiable]
    rest = report["without_native_form"]
    counts = {"types": len(REGISTRY), "differentiable": len(differentiable), "native": len(REGISTRY) - len(rest)}
    assert report["ops"] == counts
    assert "StringUpper" in rest
    assert not {"MatMul", "Tanh", "NoOp", "Const"}.intersection(rest)
    assert 250 <= report["ops"]["differentiable"] <= report["ops"]["types"]
    assert report["ops"]["types"] >= 350


def test_llvmlite_is_not_imported() -> None:
    program = "import sys; from rillet.cli import main; main(['doctor']); sys.exit('llvmlite' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, timeout=120)


def test_an_unreadable_flag_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RILLET_THREADS", "all")
    with pytest.raises(ValueError, match="RILLET_THREADS='all'"):
        main(["doctor"])
