"""Each test begins as a program does: with TensorFlow 2's defaults where its file imports `rillet`, with TensorFlow 1's
where it imports `rillet.v1`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rillet.v1

rillet.v1.enable_v2_behavior()  # importing it has switched the whole process, other tests' files included


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest) -> Iterator[None]:
    v1 = rillet.v1
    if request.module.__dict__.get("tf") is v1:
        v1.disable_v2_behavior()
    else:
        v1.enable_v2_behavior()
    v1.reset_default_graph()
    yield
    v1.enable_v2_behavior()
    v1.reset_default_graph()
