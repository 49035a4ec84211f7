"""Vector math: every function within 2 ulp, exact where it is special, on any number of lanes and any processor."""

from __future__ import annotations

import ctypes
import functools
import math
import os
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rillet.engines.native import jit, vecmath
from rillet.engines.native.llvm import Builder, Module, vector
from rillet.engines.native.target import TARGETS, Target, host
from rillet.ops import special_functions

pytest.importorskip("llvmlite.binding")

Array = np.ndarray[Any, Any]
INF, NAN = math.inf, math.nan


def _sigmoid(x: Array) -> Array:
    return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _in_double(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def wide(x: Array) -> Array:
        return function(x.astype(np.float64))

    return wide


REFERENCES: dict[str, Callable[..., Array]] = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sigmoid": _sigmoid, "softplus": _softplus,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2, "pow": np.power, "erf": np.vectorize(math.erf, "d"), "erfc": np.vectorize(math.erfc, "d"),
    **{name: _in_double(getattr(special_functions, name)) for name in ("erfinv", "ndtri", "lgamma", "digamma")},
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x,
}  # fmt: skip
BINARY = ("atan2", "pow")
# Of these there is only a reference of float64 numbers, which is itself wrong by some ulp.
SPECIAL = ("erfinv", "ndtri", "lgamma", "digamma")
UNARY = sorted(set(REFERENCES) - set(BINARY))
FLOATS = {"float": np.float32, "double": np.float64}
PLAIN = TARGETS["x86_64"]  # has no fused multiply-add

can_run_plain = pytest.mark.skipif("x86_64" not in host().triple, reason="needs an x86-64 processor")


@pytest.fixture(autouse=True)
def without_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested is what this code writes, and nothing is left behind."""
    monkeypatch.setenv("RILLET_CACHE", os.devnull)


# ---- compiling and measuring ----------------------------------------------------------------------------------------


def text_of(name: str, element: str, lanes: int, target: Target) -> str:
    """A kernel that applies the function to arrays: void kernel(ptr operands, i64 begin, i64 end)."""
    b = Builder(Module(), "kernel", [("ptr", "operands"), ("i64", "begin"), ("i64", "end")], attributes="nounwind")
    count = 2 if name in BINARY else 1
    pointers = [b.load(b.offset(b.parameters["operands"], b.i64(i), "ptr"), "ptr") for i in range(count + 1)]
    with b.loop(b.parameters["begin"], b.parameters["end"], lanes) as loop:
        addresses = [b.offset(pointer, loop.index, element) for pointer in pointers]
        x = [b.load(address, vector(element, lanes)) for address in addresses[:-1]]
        b.store(vecmath.emit(b, target, name, *x), addresses[-1])
    b.ret()
    return str(b.module)


@functools.cache
def compiled(element: str, lanes: int, target: Target) -> dict[str, jit.Code]:
    """All functions at once: they are compiled side by side."""
    names = sorted(vecmath.SUPPORTED)
    return dict(zip(names, jit.compile_kernels([text_of(name, element, lanes, target) for name in names], target)))


def run(name: str, *x: Array, lanes: int = 8, target: Target | None = None, element: str = "") -> Array:
    """The function of the arrays, which are of one length; what the last vector lacks is filled up."""
    element = element or {np.float32: "float", np.float64: "double"}[x[0].dtype.type]
    code = compiled(element, lanes, target or host())[name]
    size = -(-x[0].size // lanes) * lanes
    arrays = [np.resize(part, size) for part in x]
    arrays.append(np.empty_like(arrays[0]))
    table = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(code.address)(table, 0, size)
    return arrays[-1][: x[0].size]


def errors(got: Array, exact: Array) -> Array:
    """In ulp of the result's type; infinite where only one is NaN or infinite, or a zero has the wrong sign."""
    with np.errstate(all="ignore"):
        nearest = exact.astype(got.dtype)
        finite = np.isfinite(nearest) & np.isfinite(got)
        difference = np.abs(got.astype(exact.dtype) - exact) / np.spacing(np.abs(nearest)).astype(exact.dtype)
    same = (got == nearest) | (np.isnan(got) & np.isnan(nearest))
    wrong_zero = (nearest == 0) & (got == 0) & (np.signbit(nearest) != np.signbit(got))
    return np.where(wrong_zero, INF, np.where(finite, difference, np.where(same, 0, INF)))


def exact_values(name: str, *x: Array) -> Array:
    """With more digits than the type of x has, if NumPy has such a type; math.erf only has double's."""
    wide = np.float64 if x[0].dtype == np.float32 or name in ("erf", "erfc", *SPECIAL) else np.longdouble
    with np.errstate(all="ignore"):
        return REFERENCES[name](*(part.astype(wide) for part in x))


def assert_close(name: str, *x: Array, tolerance: float = 2.0, **how: Any) -> None:
    exact = exact_values(name, *x)
    if name in SPECIAL and x[0].dtype == np.float64:
        is_normal = ~(np.abs(x[0]) < np.finfo(np.float64).tiny) | (x[0] == 0)
        np.testing.assert_allclose(run(name, *x, **how)[is_normal], exact[is_normal], rtol=2e-14, atol=2e-14)
        return
    if np.finfo(exact.dtype).eps >= np.finfo(x[0].dtype).eps:
        tolerance += 1  # the reference itself is not exact
    wrong = errors(run(name, *x, **how), exact)
    worst = int(wrong.argmax())
    assert wrong[worst] <= tolerance, f"{name} of {[part[worst] for part in x]}: {wrong[worst]} ulp"


# ---- arguments ------------------------------------------------------------------------------------------------------


@functools.cache
def every_magnitude(dtype: type, count: int) -> Array:
    """Bit patterns at even distances over all there are: NaN, infinities, subnormal numbers among them."""
    bits = np.dtype(dtype).itemsize * 8
    patterns = np.arange(count, dtype=np.uint64) * np.uint64((1 << bits) // count + 1)
    return patterns.astype(f"u{bits // 8}").view(dtype)


@functools.cache
def usual(dtype: type, count: int) -> Array:
    """Where functions do something: numbers around 0 and 1, most below 100."""
    rng = np.random.default_rng(3)
    x = [
        rng.uniform(-1, 1, count),
        rng.normal(0, 4, count),
        rng.uniform(-110, 110, count),
        rng.uniform(-745, 710, count),
    ]
    return np.concatenate(x).astype(dtype)


@functools.cache
def special(dtype: type) -> Array:
    facts = np.finfo(dtype)
    positive = [
        *(
            0,
            facts.smallest_subnormal,
            facts.smallest_normal,
            facts.eps,
            0.25,
            0.5,
            0.75,
            np.nextafter(dtype(1), dtype(0)),
        ),
        *(1, np.nextafter(dtype(1), dtype(2)), 1.5, 2, 3, 4, 7.5, 88, 100, 2.0**23 - 0.5, 2.0**24 + 2, facts.max, INF),
    ]
    return np.array([*positive, *(-number for number in positive), NAN], dtype)


# ---- tests ----------------------------------------------------------------------------------------------------------


def test_every_function_has_a_reference() -> None:
    assert sorted(vecmath.SUPPORTED) == sorted(REFERENCES)


def test_an_unknown_name_is_a_key_error() -> None:
    b = Builder(Module(), "kernel")
    with pytest.raises(KeyError, match="sine"):
        vecmath.emit(b, host(), "sine", b.constant("float", 1.0))


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("element", FLOATS)
def test_error_of_one_argument(name: str, element: str) -> None:
    count = 40_000 if element == "float" else 8_000
    assert_close(name, every_magnitude(FLOATS[element], count))
    assert_close(name, usual(FLOATS[element], count // 4))
    assert_close(name, special(FLOATS[element]))


# fmt: off
KNOWN = {
    "erfinv": [
        (-0.000454407972342, -0.0004027086019995224), (7.903783796097203e-06, 7.0045460131731085e-06), (0.25,
        0.2253120550121781), (0.5, 0.4769362762044699), (-0.75, -0.8134198475976185), (0.9,
        1.1630871536766743), (0.99, 1.8213863677184494), (0.99995, 2.8677613403147943), (0.9999999990686774,
        4.328028275800946), (0.9999999999999999, 5.8635847487551676),
    ],
    "ndtri": [
        (9.134910313927074e-12, -6.719221343874658), (0.04275000000000066, -1.71962845703976),
        (0.17915535796844917, -0.9185887549561469), (0.3, -0.5244005127080408), (0.5000001,
        2.506628273311648e-07), (0.77, 0.7388468491852137), (0.999, 3.090232306167813), (1e-20,
        -9.262340089798407), (1e-200, -30.20559417957964), (5e-324, -38.467405617144344),
    ],
    "lgamma": [
        (1.454029649763287, -0.12145826073985541), (0.3, 1.0957979948180756), (0.6, 0.39823385806923495),
        (0.999, 0.0005780385328913802), (1.0000001, -5.772155829918507e-08), (1.9999, -4.227520877215346e-05),
        (2.3, 0.15418945495963046), (2.7500001, 0.47521474880504166), (5.5, 3.9578139676187165), (7.99,
        8.50501160608848), (8.0, 8.525161361065415), (1234.5, 7550.550901077895), (1e+18,
        4.044653167389282e+19), (1e-300, 690.7755278982137),
    ],
    "digamma": [
        (1e-05, -100000.57719921567), (0.4, -2.561384544585116), (0.9, -0.7549269499470513), (1.3,
        -0.16919088886679962), (1.4616321449683622, -9.241265521729427e-17), (1.4616322,
        5.325258698206045e-08), (1.7, 0.2085478748734939), (2.2, 0.5442934367411452), (2.9,
        0.8824999506377439), (4.5, 1.388870926359529), (7.9, 2.002238487563571), (8.1, 2.0288674570805814),
        (300.5, 5.703782937618263), (1e+20, 46.051701859880914),
    ],
}
# fmt: on


@pytest.mark.parametrize("name", SPECIAL)
def test_known_values(name: str) -> None:
    """Computed with 200 bits, and rounded once."""
    x, exact = (np.array(part) for part in zip(*KNOWN[name]))
    assert errors(run(name, x), exact).max() <= 2


@can_run_plain
@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("element", FLOATS)
def test_error_without_fused_multiply_add(name: str, element: str) -> None:
    how = {"lanes": 16 // np.dtype(FLOATS[element]).itemsize, "target": PLAIN, "tolerance": 2.2}
    assert_close(name, every_magnitude(FLOATS[element], 8_000), **how)
    assert_close(name, usual(FLOATS[element], 2_000), **how)
    assert_close(name, special(FLOATS[element]), **how)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("element", FLOATS)
@pytest.mark.parametrize("target", [host(), pytest.param(PLAIN, marks=can_run_plain)], ids=["host", "plain"])
def test_error_of_two_arguments(name: str, element: str, target: Target) -> None:
    dtype = FLOATS[element]
    lanes = 16 // np.dtype(dtype).itemsize
    x, y = np.meshgrid(special(dtype), special(dtype))
    assert_close(name, x.ravel(), y.ravel(), lanes=lanes, target=target)
    rng = np.random.default_rng(5)
    assert_close(name, *(rng.permutation(every_magnitude(dtype, 8_000)) for _ in range(2)), lanes=lanes, target=target)
    base = np.exp(rng.normal(0, 2, 8_000)).astype(dtype)
    assert_close(name, base, rng.normal(0, 40, 8_000).astype(dtype), lanes=lanes, target=target)
    near_one = (1 + rng.normal(0, 1e-3, 8_000)).astype(dtype)
    assert_close(name, near_one, rng.normal(0, 2e4, 8_000).astype(dtype), lanes=lanes, target=target)
    whole = np.round(rng.normal(0, 9, 8_000)).astype(dtype)
    assert_close(name, rng.normal(0, 3, 8_000).astype(dtype), whole, lanes=lanes, target=target)


@pytest.mark.parametrize("name", sorted(REFERENCES))
@pytest.mark.parametrize("element", FLOATS)
def test_a_result_does_not_depend_on_its_lane(name: str, element: str) -> None:
    x = np.concatenate([special(FLOATS[element]), usual(FLOATS[element], 20), every_magnitude(FLOATS[element], 200)])
    arguments = (x, x[::-1].copy()) if name in BINARY else (x,)
    expected = run(name, *arguments, lanes=8)
    for lanes in (1, 3, 16):
        np.testing.assert_array_equal(run(name, *arguments, lanes=lanes), expected)


def test_large_angles() -> None:
    """1e22 is a famous one; 6381956970095103 * 2**797 is the double nearest to a multiple of pi / 2."""
    x = np.array([1e22, 6381956970095103 * 2.0**797, 2.0**1023, 1.7e308, 823549.6645, 1e5, 65537])
    for name in ("sin", "cos", "tan"):
        assert_close(name, np.concatenate([x, -x]))
    assert run("sin", x)[0] == pytest.approx(-0.8522008497671888, rel=3e-16)
    assert run("cos", x)[1] == pytest.approx(-4.687165924254628e-19, rel=3e-16)


@pytest.mark.parametrize("element", FLOATS)
def test_results_that_are_special(element: str) -> None:
    dtype = FLOATS[element]

    def check(name: str, *pairs: tuple[float, float]) -> None:
        x, expected = (np.array(part, dtype) for part in zip(*pairs))
        np.testing.assert_array_equal(run(name, x), expected, err_msg=name)
        np.testing.assert_array_equal(np.signbit(run(name, x)), np.signbit(expected), err_msg=name)

    tiny, limit = float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max)
    check("exp", (INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (limit, INF), (-limit, 0.0), (tiny, 1.0))
    check("expm1", (INF, INF), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (tiny, tiny), (limit, INF))
    check("log", (0.0, -INF), (-0.0, -INF), (INF, INF), (1.0, 0.0))
    check("log1p", (-1.0, -INF), (-0.0, -0.0), (INF, INF), (-tiny, -tiny))
    check("sigmoid", (INF, 1.0), (-INF, 0.0), (0.0, 0.5))
    check("softplus", (INF, INF), (-INF, 0.0), (limit, limit))
    check("tanh", (INF, 1.0), (-INF, -1.0), (-0.0, -0.0), (-tiny, -tiny))
    check("erf", (INF, 1.0), (-INF, -1.0), (-0.0, -0.0))
    check("erfc", (INF, 0.0), (-INF, 2.0), (0.0, 1.0))
    check("sin", (0.0, 0.0), (-0.0, -0.0), (tiny, tiny), (-tiny, -tiny))
    check("cos", (0.0, 1.0), (-0.0, 1.0), (tiny, 1.0))
    check("rsqrt", (0.0, INF), (-0.0, -INF), (INF, 0.0), (4.0, 0.5))
    for name, outside in {"log": -tiny, "log1p": -1.5, "sin": INF, "cos": -INF, "tan": INF, "acosh": 0.5}.items():
        assert np.isnan(run(name, np.array([outside], dtype)))[0], name


@pytest.mark.parametrize("element", FLOATS)
def test_subnormal_results(element: str) -> None:
    """Not flushed to zero, and rounded once."""
    facts = np.finfo(FLOATS[element])
    lowest = np.log(float(facts.smallest_subnormal)) if element == "float" else -745.1
    x = np.linspace(lowest, np.log(float(facts.smallest_normal)), 4_000).astype(FLOATS[element])
    assert 0 < run("exp", x)[0] < facts.smallest_normal
    for name in ("exp", "sigmoid", "softplus"):
        assert_close(name, x, tolerance=1.0)


@pytest.mark.parametrize(
    "name", ["exp", "expm1", "sigmoid", "softplus", "tanh", "erf", "asinh", "atan", "sinh", "log1p"]
)
def test_rising_functions_do_not_fall_by_more_than_their_error(name: str) -> None:
    x = np.sort(usual(np.float32, 20_000))
    got = run(name, x[(x > (-1 if name == "log1p" else -80)) & (x < 80)])
    fall = np.maximum.accumulate(got) - got
    assert not (fall > 2 * np.spacing(np.abs(got))).any()


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid"])
def test_bounded_functions_stay_within_their_bounds_and_reach_them(name: str) -> None:
    x = np.linspace(0, 40, 100_000).astype(np.float32)
    got = run(name, x)
    assert got.max() == 1.0
    assert (got[x > 20] == 1.0).all()


@pytest.mark.parametrize("element", ["half", "bfloat"])
@pytest.mark.parametrize("target", [host(), pytest.param(PLAIN, marks=can_run_plain)], ids=["host", "plain"])
def test_two_byte_floats_are_computed_in_float(element: str, target: Target) -> None:
    dtype = np.float16 if element == "half" else ml_dtypes.bfloat16
    x = np.linspace(-8, 8, 64).astype(dtype)
    got = run("tanh", x, element=element, target=target)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, run("tanh", x.astype(np.float32)).astype(dtype))


@pytest.mark.parametrize("target", ["x86_64", "x86_64_v4", "aarch64"])
def test_no_function_of_a_library_is_called(target: str) -> None:
    """Not even on processors without an instruction for it, or with 3 lanes."""
    for name in ("exp", "log1p", "tanh", "sin", "pow", "erfc", "atan2"):
        for element in FLOATS:
            code = jit.assembly(text_of(name, element, 3, TARGETS[target]), TARGETS[target])
            calls = [line.split() for line in code.splitlines() if line.split()[:1] in (["callq"], ["bl"])]
            assert {call[1] for call in calls} <= {"large_angle"}, name
