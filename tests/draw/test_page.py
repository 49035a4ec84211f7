"""The page, driven in a browser: it places everything as Python does, folds, moves, zooms, and tells what is pointed at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import rillet as tf
from rillet.draw.svg import Layout
from tests.draw import browser
from tests.draw.cases import partials, scopes

PLACES = """
const places = {};
for (const element of document.querySelectorAll("#view [data-node], #view [data-group], #view [data-edge]")) {
  if (element.classList.contains("hidden")) continue;
  const kind = Object.keys(element.dataset)[0];
  places[kind + element.dataset[kind]] = element.getAttribute("transform").match(/[-\\d.]+/g).map(Number);
}
"""


def nested() -> Any:
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, (4,), name="x")
        kept = x
        for layer in ("first", "second"):
            with tf.name_scope(layer):
                for part in ("left", "right"):
                    with tf.name_scope(part):
                        x = tf.tanh(x + kept) * tf.exp(x)
        return tf.draw(x, wrt="x", names={})


def expected(picture: Any, folded: set[int]) -> dict[str, list[float]]:
    layout = Layout(picture.drawing)
    arrangement = layout.arrange(folded)
    places = {f"node{key}": [box.left, box.top] for key, box in arrangement.nodes.items()}
    places |= {f"group{key}": [box.left, box.top] for key, box in arrangement.groups.items()}
    return places | {f"edge{key}": [box.left, box.top] for key, box in arrangement.labels.items()}


def check_places(found: dict[str, list[float]], wanted: dict[str, list[float]]) -> None:
    assert found.keys() == wanted.keys()
    for name, place in wanted.items():
        assert found[name] == pytest.approx(place, abs=0.06), name


def test_pages_are_self_contained() -> None:
    page = nested().html()
    assert not re.findall(r"(?:src|href)=[\"'](?!#)", page)
    assert not re.findall(r"https?://(?!www\.w3\.org)", page)


@pytest.mark.parametrize("make", [partials, scopes, nested])
def test_page_places_as_python_does_and_text_fits(make: Any, tmp_path: Path) -> None:
    script = """
    const width = (element) => element.getBBox().width, widest = (all) => Math.max(...[...all].map(width));
    const left = [...document.querySelectorAll("#view [data-node]")].map((element) =>
      width(element.querySelector("rect")) - widest(element.querySelectorAll("text")));
    return { places, left };
    """
    picture = make()
    found = browser.run(picture.html(), PLACES + script, tmp_path)
    check_places(found["places"], expected(picture, set()))
    assert min(found["left"]) > 0


def test_folding_places_as_python_does(tmp_path: Path) -> None:
    picture = nested()
    groups = {index: "/".join(level.path) for index, level in enumerate(Layout(picture.drawing).levels)}
    second = next(index for index, path in groups.items() if path == "second")
    inner = next(index for index, path in groups.items() if path == "first/left")
    script = f"""
    find("group", {second}).dispatchEvent(new MouseEvent("click", {{ bubbles: true }}));
    find("group", {inner}).focus();
    find("group", {inner}).dispatchEvent(new KeyboardEvent("keydown", {{ key: "Enter", bubbles: true }}));
    {PLACES}
    const expanded = [...document.querySelectorAll("[data-group]")].map((group) => group.getAttribute("aria-expanded"));
    document.getElementById("unfold").click();
    const open = document.querySelectorAll(".group.folded").length;
    return {{ places, expanded, open, focused: document.activeElement.dataset.group }};
    """
    result = browser.run(picture.html(), script, tmp_path)
    check_places(result["places"], expected(picture, {second, inner}))
    assert result["expanded"].count("false") == 2
    assert result["open"] == 0


def test_moving_and_zooming(tmp_path: Path) -> None:
    script = """
    const now = () => view.getAttribute("transform").match(/-?[\\d.]+/g).map(Number);
    const press = (key) => svg.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const start = now();
    press("ArrowRight"); const right = now();
    press("+"); const near = now();
    svg.dispatchEvent(new WheelEvent("wheel", { deltaY: 200, clientX: 600, clientY: 400, bubbles: true, cancelable: true }));
    const far = now();
    svg.dispatchEvent(new PointerEvent("pointerdown", { clientX: 10, clientY: 10, bubbles: true }));
    window.dispatchEvent(new PointerEvent("pointermove", { clientX: 40, clientY: 30 }));
    window.dispatchEvent(new PointerEvent("pointerup", {}));
    const dragged = now();
    press("0"); const fitted = now();
    document.getElementById("in").click(); const button = now();
    return { start, right, near, far, dragged, fitted, button };
    """
    found = browser.run(partials().html(), script, tmp_path)
    assert found["right"][0] == pytest.approx(found["start"][0] - 60)
    assert found["near"][2] == pytest.approx(found["start"][2] * 1.25, rel=1e-6)
    assert found["far"][2] < found["near"][2]
    assert found["dragged"][:2] == pytest.approx([found["far"][0] + 30, found["far"][1] + 20], abs=0.01)
    assert found["fitted"] == pytest.approx(found["start"])
    assert found["button"][2] > found["fitted"][2]


def test_pointing_and_tabbing_tell_values_and_derivatives(tmp_path: Path) -> None:
    script = """
    const details = document.getElementById("details"), node = (label) =>
      [...document.querySelectorAll("[data-node]")].find((element) => element.getAttribute("aria-label").startsWith(label));
    node("f").dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    const pointed = details.textContent, near = document.querySelectorAll("path.near").length;
    node("f").dispatchEvent(new PointerEvent("pointerout", { bubbles: true }));
    const away = details.textContent;
    node("a").focus();
    const focused = details.textContent, tabs = [...document.querySelectorAll("#view [tabindex='0']")].length;
    return { pointed, near, away, focused, tabs };
    """
    found = browser.run(partials().html(), script, tmp_path)
    assert "value 5" in found["pointed"] and "∂g/∂f = −0.4" in found["pointed"]
    assert found["near"] == 2  # from f to the label, and on to g
    assert found["away"] == ""
    assert "∂g/∂a = 0.6" in found["focused"]
    assert found["tabs"] == 7


@pytest.mark.parametrize("dark", [False, True])
def test_by_day_and_by_night(dark: bool, tmp_path: Path) -> None:
    """Text on what it stands on: enough contrast for small print (WCAG asks for 4.5)."""
    script = """
    const style = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
    return { paper: style("body", "backgroundColor"), ink: style("#view text", "fill"), node: style(".node rect", "fill"),
      value: style("#view text.value", "fill"), grad: style("#view text.grad", "fill") };
    """
    found = browser.run(partials().html(), script, tmp_path, *([browser.DARK] if dark else []))
    assert (luminance(found["paper"]) < 0.1) == dark
    for text in ("ink", "value", "grad"):
        assert contrast(found[text], found["node"]) >= 4.5
        assert contrast(found[text], found["paper"]) >= 4.5


def luminance(color: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
