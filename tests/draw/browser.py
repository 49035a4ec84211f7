"""A browser without a window, for the tests that open a page. Where there is none, they skip."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1200,800", "--virtual-time-budget=5000",
]  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"


def find() -> str:
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    pytest.skip(f"no browser here: none of {', '.join(NAMES)}")


def run(page: str, script: str, folder: Path, *options: str) -> Any:
    """Opens `page`, runs `script` in it (the body of a function) and returns what that returns. An error fails the test."""
    probe = f"""<script>
const report = document.createElement("pre");
report.id = "report";
const collect = () => {{ {script} }};
try {{ report.textContent = JSON.stringify({{ result: collect() }}); }}
catch (error) {{ report.textContent = JSON.stringify({{ error: String(error) }}); }}
document.body.append(report);
</script></body>"""
    assert page.count("</body>") == 1
    file = folder / "page.html"
    file.write_text(page.replace("</body>", probe), encoding="utf-8")
    command = [find(), *OPTIONS, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r'<pre id="report">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-2000:]
    report = json.loads(html.unescape(found[1]))
    assert "error" not in report, report
    return report["result"]
