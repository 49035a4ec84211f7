"""The programs of the README and of examples/ print what their comments say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROGRAMS = {
    "README: lazily": README.split("```python\n")[1].split("```")[0],
    "README: eagerly": README.split("```python\n")[2].split("```")[0],
    "square_lazily.py": (ROOT / "examples" / "square_lazily.py").read_text(),
    "slope_eagerly.py": (ROOT / "examples" / "slope_eagerly.py").read_text(),
}


def run(*arguments: str) -> str:
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)
    assert (result.stderr, result.returncode) == ("", 0)
    return result.stdout


@pytest.mark.smoke
@pytest.mark.parametrize("name", PROGRAMS)
def test_small_programs(name: str) -> None:
    expected = re.findall(r"^ *print\(.*\)  # (.*)$", PROGRAMS[name], re.MULTILINE)
    assert expected
    assert run("-W", "error", "-c", PROGRAMS[name]).splitlines() == expected


@pytest.mark.parametrize("name", ["digits_lazily.py", "digits_eagerly.py"])
def test_digits(name: str) -> None:
    lines = run("-W", "error", str(ROOT / "examples" / name)).splitlines()
    assert len(lines) == 20
    assert re.fullmatch(r"epoch 20  loss 0\.0\d+  accuracy 9\d\.\d% of training, \d\d\.\d% of test images", lines[-1])


def test_digits_with_keras() -> None:
    lines = run("-W", "error", str(ROOT / "examples" / "digits_keras.py")).splitlines()
    assert "Epoch 20/20" in lines and lines[0] == 'Model: "sequential"'
    assert any(re.fullmatch(r"(8[5-9]|9\d)% of digits never seen before are read right", line) for line in lines)
    assert any(line.startswith("__inference_train_function: ") for line in lines)


def test_every_example_is_tried() -> None:
    assert {file.name for file in (ROOT / "examples").glob("*.py")} == {
        "digits_eagerly.py",
        "digits_keras.py",
        "digits_lazily.py",
        "slope_eagerly.py",
        "square_lazily.py",
    }
