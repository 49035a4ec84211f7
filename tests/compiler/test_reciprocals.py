"""Divisions by one square root become one division."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rillet.compiler.arrays import Arrays, Source
from rillet.compiler.reciprocals import share_reciprocals
from rillet.compiler.scalar import Scalar, in_order
from rillet.core import dtypes


def divisions(expressions: dict[int, Scalar]) -> int:
    return sum(node.operation == "div" for node in in_order(list(expressions.values())))


class Numbers:
    """Two elements, and what can be made of them."""

    def __init__(self, dtype: Any = dtypes.float32) -> None:
        self.program = Arrays(off=())
        self.dtype = dtype
        self.x, self.y = (Source(self.program, (), dtype, "input", place).at() for place in range(2))

    def make(self, operation: str, *parts: Scalar | float) -> Scalar:
        scalars = [part if isinstance(part, Scalar) else self.program.number(part, self.dtype) for part in parts]
        return self.program.make(operation, self.dtype, *scalars)

    def shared(self, *expressions: Scalar) -> dict[int, Scalar]:
        return share_reciprocals(self.program.scalars, dict(enumerate(expressions)))


def test_quotients_by_a_root_share_a_division() -> None:
    n = Numbers()
    root = n.make("sqrt", n.y)
    given = n.make("div", n.x, root), n.make("div", 0.5, root), n.make("div", n.make("div", n.x, root), root)
    assert divisions(dict(enumerate(given))) == 3
    found = n.shared(*given)
    assert divisions(found) == 1
    inverse = n.make("div", 1, root)
    assert found[0] is n.make("mul", n.x, inverse)
    assert found[2] is n.make("mul", found[0], inverse)


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64])
def test_so_do_the_steps_of_optimizers(dtype: Any) -> None:
    n = Numbers(dtype)
    step = n.make("add", n.make("sqrt", n.y), 1e-7)
    assert divisions(n.shared(n.make("div", n.x, step), n.make("div", n.y, step))) == 1


def test_other_quotients_stay() -> None:
    n = Numbers()
    alone = n.make("div", n.x, n.make("sqrt", n.y))
    assert n.shared(alone) == {0: alone}
    extreme = n.make("add", n.make("sqrt", n.y), 1e-30)
    for divisor in (n.y, extreme, n.make("exp", n.y)):
        given = {0: n.make("div", n.x, divisor), 1: n.make("div", 2.0, divisor)}
        assert n.shared(*given.values()) == given


def test_a_product_with_the_inverse_of_a_root_is_near_the_quotient_and_special_where_that_is() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, (2, 200_000), np.uint32).view(np.float32)
    edges = np.array([0, -0.0, 1e-45, 1.2e-38, 1, 3.4e38, np.inf, -np.inf, np.nan], np.float32)
    x, y = np.concatenate([bits, np.stack(np.meshgrid(edges, edges)).reshape(2, -1)], 1)
    with np.errstate(all="ignore"):
        root = np.sqrt(y)
        quotient, product = x / root, x * (1 / root)
        distance = np.abs(quotient - product) / np.spacing(np.abs(quotient))
    ordinary = np.isfinite(quotient) & np.isfinite(product)
    np.testing.assert_array_equal(quotient[~ordinary], product[~ordinary])
    assert distance[ordinary].max() <= 1
