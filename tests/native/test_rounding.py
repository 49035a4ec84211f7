"""Rounding without instructions for it gives what those give."""

from __future__ import annotations

import numpy as np
import pytest

from rillet.engines.native.llvm import Builder, Module
from rillet.engines.native.rounding import rounded
from rillet.engines.native.target import TARGETS
from tests.native import machine_code

SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.5, np.inf, -np.inf, np.nan, 0.49999997, -0.49999997, 1e-40, 1e30, -1e30]
EDGES = [2.0**22 + 0.5, 2.0**23 - 0.5, 2.0**23 + 1, 2.0**24 + 2, -(2.0**23) + 0.5, 2.0**31, 2.0**51 + 0.5, 2.0**52 + 1]
FUNCTIONS = {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.rint}


@pytest.mark.parametrize("dtype, element, lanes", [(np.float32, "float", 4), (np.float64, "double", 2)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_rounding_in_code_for_the_first_processors(name: str, dtype: type, element: str, lanes: int) -> None:
    target = TARGETS["x86_64"]
    assert not target.rounds
    b = Builder(Module(), "kernel", [("ptr", "operands"), ("i64", "begin"), ("i64", "end")])
    source, result = (b.load(b.offset(b.parameters["operands"], b.i64(place), "ptr"), "ptr") for place in range(2))
    with b.loop(b.parameters["begin"], b.parameters["end"], lanes) as loop:
        x = b.load(b.offset(source, loop.index, element), f"<{lanes} x {element}>")
        b.store(rounded(b, target, name, x), b.offset(result, loop.index, element))
    b.ret()
    random = np.random.RandomState(0).uniform(-9, 9, 1000)
    numbers = np.array([*SPECIAL, *EDGES, *random, *(random * 1e6), 0], dtype)
    actual = np.empty_like(numbers)
    machine_code.Kernel(str(b.module))([numbers, actual], 0, len(numbers) // lanes * lanes)
    expected = FUNCTIONS[name](numbers)
    count = len(numbers) // lanes * lanes
    np.testing.assert_array_equal(actual[:count], expected[:count])
    np.testing.assert_array_equal(np.signbit(actual[:count]), np.signbit(expected[:count]))
