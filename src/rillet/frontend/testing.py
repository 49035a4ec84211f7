"""tf.test: unittest with tensors. Values are compared as arrays, in structures too; what fails says where."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import random
import re
import shutil
import sys
import tempfile
import threading
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from rillet import errors
from rillet.core import context, dtypes, nest
from rillet.core.export import export, public
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, Tensor
from rillet.frontend.flags import FLAGS
from rillet.frontend.session import Session, get_default_session
from rillet.ops.random_seed import set_seed

_SEED = 87654321  # TensorFlow's: a test starts with these random numbers


class _Later(ModuleType):
    """A module that is imported when it is first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


export(_Later("unittest.mock"), v1=["test.mock"])


class _Folder:
    """The folder for what tests write; it goes when the process does."""

    path: str | None = None


@public(v1=["test.get_temp_dir"])
def get_temp_dir() -> str:
    """A folder for this process, deleted at its end."""
    if _Folder.path is None:
        _Folder.path = tempfile.mkdtemp(prefix="tensorflow_test_")
        atexit.register(shutil.rmtree, _Folder.path, ignore_errors=True)
    return _Folder.path


@public("test.main")
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the tests of the program. Flags of tf.flags on its command line are taken out first."""
    unittest.main(argv=FLAGS(list(sys.argv if argv is None else argv), known_only=True))


# ---- comparing --------------------------------------------------------------------------------------------------------


def _is_structure(value: Any) -> bool:
    return isinstance(value, (dict, Mapping)) or (isinstance(value, (list, tuple)) and not _is_array_like(value))


def _is_array_like(values: Sequence[Any]) -> bool:
    """Whether a list is the rows of one array: no dicts inside, and all of one shape."""
    try:
        return np.asarray(values).dtype != object or not any(isinstance(value, (dict, list, tuple)) for value in values)
    except ValueError:  # rows of different lengths
        return False


def _numbers(array: np.ndarray) -> bool:
    return bool(np.issubdtype(array.dtype, np.number) or array.dtype == bool or array.dtype in _SMALL_FLOATS)


_SMALL_FLOATS = {dtypes.bfloat16.numpy_dtype, np.dtype(np.float16)}


def _encoded(array: np.ndarray) -> np.ndarray:
    """Text as bytes, so that b"a" equals "a"; anything else as it is."""
    if array.dtype.kind not in "SUO":
        return array
    encode = np.frompyfunc(lambda value: value.encode() if isinstance(value, str) else value, 1, 1)
    return np.asarray(encode(array.astype(object)), object)


def _where(differs: np.ndarray) -> Any:
    return np.where(np.atleast_1d(differs))


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    equal = np.asarray(a == b)
    if a.dtype.kind in "fc" and b.dtype.kind in "fc":
        equal |= np.isnan(a) & np.isnan(b)
    return equal


def _lines(heading: str, msg: str | None, *parts: tuple[str, Any]) -> str:
    return "\n".join(["", heading, *([msg] if msg else []), *(f"{label} = {value!r}" for label, value in parts)])


class _NoSession:
    """What session() gives where ops run eagerly."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            "Trying to access properties or call methods on the result of self.session(), self.cached_session(), etc "
            "while eager execution is enabled.\n"
            "    Try: self.evaluate(tensor), which works in both modes."
        )


@public("test.TestCase")
class TestCase(unittest.TestCase):
    """A unittest.TestCase that compares tensors, arrays and structures of them.

    Each test starts with an empty default graph and with the same seeds. Where a method takes a value, it may be a
    tensor, a variable, an array, a number, or a dict, list or tuple of them; symbolic tensors are evaluated.
    """

    maxDiff = None

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        self._cached: Session | None = None
        self._temporary: str | None = None

    def setUp(self) -> None:
        super().setUp()
        self._forget_session()
        random.seed(_SEED)
        np.random.seed(_SEED)
        context.reset_default_graph()
        set_seed(_SEED)

    def tearDown(self) -> None:
        self._forget_session()
        super().tearDown()

    def _forget_session(self) -> None:
        if self._cached is not None:
            self._cached.close()
            self._cached = None

    def get_temp_dir(self) -> str:
        """A folder of this test alone."""
        if self._temporary is None:
            self._temporary = tempfile.mkdtemp(dir=get_temp_dir())
        return self._temporary

    # ---- running ----

    @contextlib.contextmanager
    def session(
        self, graph: Any = None, config: Any = None, use_gpu: bool = True, force_gpu: bool = False
    ) -> Iterator[Any]:
        """A new session for `graph` or the default graph, entered."""
        if graph is None and context.executing_eagerly():
            yield _NoSession()
            return
        with Session(graph=graph, config=config) as session:
            yield session

    @contextlib.contextmanager
    def cached_session(
        self, graph: Any = None, config: Any = None, use_gpu: bool = True, force_gpu: bool = False
    ) -> Iterator[Any]:
        """The session of this test, entered; it stays open until the test ends. ValueError for another graph."""
        if graph is None and context.executing_eagerly():
            yield _NoSession()
            return
        if self._cached is None:
            self._cached = Session(graph=graph, config=config)
        elif graph is not None and graph is not self._cached.graph:
            raise ValueError(
                "The graph used to get the cached session is different than the one that was used to create it."
            )
        with self._cached.as_default():
            yield self._cached

    def test_session(
        self, graph: Any = None, config: Any = None, use_gpu: bool = True, force_gpu: bool = False
    ) -> contextlib.AbstractContextManager[Any]:
        """cached_session(), or with a graph session(graph)."""
        if self._testMethodName == "test_session":  # its name makes unittest take it for a test
            self.skipTest("Not a test.")
        if graph is None:
            return self.cached_session(None, config, use_gpu, force_gpu)
        return self.session(graph, config, use_gpu, force_gpu)

    def evaluate(self, tensors: Any) -> Any:
        """The values of tensors and variables, in their structure."""
        if context.executing_eagerly():
            return nest.map_structure(lambda value: value.numpy() if hasattr(value, "numpy") else value, tensors)
        session = get_default_session() or self._cached
        if session is None:
            with self.session() as own:
                return own.run(tensors)
        return session.run(tensors)

    def evaluate_if_both_tensors(self, a: Any, b: Any) -> tuple[Any, Any]:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return self.evaluate(a), self.evaluate(b)
        return a, b

    def _plain(self, value: Any) -> Any:
        """`value` with arrays in place of tensors and variables, at any depth."""
        if isinstance(value, (EagerTensor, np.ndarray)):
            return np.asarray(value)
        if isinstance(value, Tensor) or hasattr(value, "_source") or hasattr(value, "_flatten_components"):
            return self.evaluate(value)
        if isinstance(value, Mapping):
            return {key: self._plain(element) for key, element in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._plain(element) for element in value]
        return value

    def _array(self, value: Any) -> np.ndarray:
        plain = self._plain(value)
        return plain if isinstance(plain, np.ndarray) else np.asarray(plain)

    # ---- comparing ----

    def _check_shapes(self, a: np.ndarray, b: np.ndarray, msg: str | None) -> None:
        self.assertEqual(
            a.shape, b.shape, f"Shape mismatch: expected {a.shape}, got {b.shape}. Contents: {b!r}. \n{msg or ''}."
        )

    def assertAllEqual(self, a: Any, b: Any, msg: str | None = None) -> None:
        """Same shape, and equal elements (NaN equals NaN)."""
        first, second = _encoded(self._array(a)), _encoded(self._array(b))
        self._check_shapes(first, second, msg)
        differs = ~_same(first, second)
        if differs.any():
            self.fail(
                _lines(
                    "Arrays are not equal", msg,
                    ("not equal where", _where(differs)),
                    ("not equal lhs", first[differs]), ("not equal rhs", second[differs]),
                )
            )  # fmt: skip

    def assertNotAllEqual(self, a: Any, b: Any, msg: str | None = None) -> None:
        """Some element differs, or the shapes do."""
        try:
            self.assertAllEqual(a, b)
        except AssertionError:
            return
        self.fail(f"The two values are equal at all elements. {msg or ''}")

    def assertAllClose(self, a: Any, b: Any, rtol: float = 1e-6, atol: float = 1e-6, msg: str | None = None) -> None:
        """|a - b| <= atol + rtol * |b| everywhere, in the same structure. NaN is close to NaN."""
        self._compare(self._plain(a), self._plain(b), rtol, atol, "", msg)

    def _compare(self, a: Any, b: Any, rtol: float, atol: float, path: str, msg: str | None) -> None:
        if isinstance(a, dict) != isinstance(b, dict):
            raise ValueError(f"Can't compare dict to non-dict, a{path} vs b{path}. {msg or ''}")
        if isinstance(a, dict):
            note = f"mismatched keys: a{path} has keys {a.keys()}, but b{path} has keys {b.keys()}. {msg or ''}"
            self.assertCountEqual(a.keys(), b.keys(), note)
            for key in a:
                self._compare(a[key], b[key], rtol, atol, f"{path}[{key}]", msg)
        elif isinstance(a, list) and isinstance(b, (list, np.ndarray)) and (_is_structure(a) or _is_structure(b)):
            self.assertEqual(len(a), len(b), f"Length mismatch: a{path} vs b{path}. {msg or ''}")
            for index, (first, second) in enumerate(zip(a, b, strict=True)):
                self._compare(first, second, rtol, atol, f"{path}[{index}]", msg)
        else:
            self._compare_arrays(np.asarray(a), np.asarray(b), rtol, atol, path, msg)

    def _compare_arrays(
        self, a: np.ndarray, b: np.ndarray, rtol: float, atol: float, path: str, msg: str | None
    ) -> None:
        self._check_shapes(a, b, msg)
        if not _numbers(a) or not _numbers(b):
            raise TypeError(f"a{path} has {a.dtype}, but b{path} has {b.dtype}: only numbers are close. {msg or ''}")
        dtype = a.dtype
        a, b = (np.atleast_1d(x.astype(np.promote_types(x.dtype, np.float64))) for x in (a, b))
        differs = ~np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        if not differs.any():
            return
        with np.errstate(invalid="ignore"):
            distance = np.abs(a - b)[differs]
        self.fail(
            _lines(
                f"Not equal to tolerance rtol={rtol:g}, atol={atol:g}\n"
                f"Mismatched value: a{path} is different from b{path}.", msg,
                ("not close where", _where(differs)), ("not close lhs", a[differs]), ("not close rhs", b[differs]),
                ("not close dif", distance), ("not close tol", (atol + rtol * np.abs(b))[differs]),
            )
            + f"\ndtype = {dtype}, shape = {a.shape}"
        )  # fmt: skip

    def assertAllCloseAccordingToType(
        self,
        a: Any,
        b: Any,
        rtol: float = 1e-6,
        atol: float = 1e-6,
        float_rtol: float = 1e-6,
        float_atol: float = 1e-6,
        half_rtol: float = 1e-3,
        half_atol: float = 1e-3,
        bfloat16_rtol: float = 1e-2,
        bfloat16_atol: float = 1e-2,
        msg: str | None = None,
    ) -> None:
        """assertAllClose with the tolerance of the less precise of the two."""
        first, second = self._array(a), self._array(b)
        for dtype, more_rtol, more_atol in (
            (np.dtype(np.float32), float_rtol, float_atol),
            (np.dtype(np.complex64), float_rtol, float_atol),
            (np.dtype(np.float16), half_rtol, half_atol),
            (dtypes.bfloat16.numpy_dtype, bfloat16_rtol, bfloat16_atol),
        ):
            if dtype in (first.dtype, second.dtype):
                rtol, atol = max(rtol, more_rtol), max(atol, more_atol)
        self.assertAllClose(first, second, rtol, atol, msg)

    def assertNotAllClose(self, a: Any, b: Any, rtol: float = 1e-6, atol: float = 1e-6, msg: str | None = None) -> None:
        """Some element is not close."""
        try:
            self.assertAllClose(a, b, rtol, atol)
        except AssertionError:
            return
        self.fail(f"The two values are close at all elements. {msg or ''}")

    def assertNear(self, f1: Any, f2: Any, err: float, msg: str | None = None) -> None:
        """Two numbers at most `err` apart."""
        note = f"{f1:f} != {f2:f} +/- {err:f} (difference: {abs(f1 - f2):g}){': ' + msg if msg else ''}"
        self.assertTrue(f1 == f2 or abs(f1 - f2) <= err, note)

    def assertArrayNear(self, farray1: Any, farray2: Any, err: float, msg: str | None = None) -> None:
        """Two lists of numbers, each pair at most `err` apart."""
        self.assertEqual(len(farray1), len(farray2), msg)
        for first, second in zip(farray1, farray2, strict=True):
            self.assertNear(float(first), float(second), err, msg)

    def assertNDArrayNear(self, ndarray1: Any, ndarray2: Any, err: float, msg: str | None = None) -> None:
        """Two arrays whose difference has a norm of at most `err`."""
        distance = np.linalg.norm(self._array(ndarray1) - self._array(ndarray2))
        self.assertTrue(distance <= err, f"the arrays are {distance:g} apart, which is more than {err:g}. {msg or ''}")

    def assertShapeEqual(self, input_a: Any, input_b: Any, msg: str | None = None) -> None:
        """The shapes of two tensors or arrays are the same."""
        self.assertAllEqual(TensorShape(input_a.shape).as_list(), TensorShape(input_b.shape).as_list(), msg)

    def assertDTypeEqual(self, target: Any, expected_dtype: Any) -> None:
        found = self._array(target).dtype
        wanted = dtypes.as_dtype(expected_dtype).as_numpy_dtype
        self.assertEqual(found, wanted)

    def _check_each(self, target: Any, fits: Callable[[np.ndarray], np.ndarray], complaint: str) -> None:
        array = self._array(target)
        wrong = ~np.asarray(fits(array))
        if wrong.any():
            self.fail(self._offenders(array, wrong, complaint))

    def _offenders(self, array: np.ndarray, wrong: np.ndarray, complaint: str) -> str:
        places = np.argwhere(wrong)
        shown = "".join(f"\n  {[int(i) for i in place]} : {array[tuple(place)]}" for place in places[:10])
        return f"{len(places)} of the {array.size} element(s) {complaint}. Subscript(s) and value(s) of the offending elements:{shown}"

    def assertAllGreater(self, a: Any, comparison_target: Any) -> None:
        self._check_each(a, lambda array: array > comparison_target, f"are not greater than {comparison_target}")

    def assertAllGreaterEqual(self, a: Any, comparison_target: Any) -> None:
        self._check_each(a, lambda array: array >= comparison_target, f"are less than {comparison_target}")

    def assertAllLess(self, a: Any, comparison_target: Any) -> None:
        self._check_each(a, lambda array: array < comparison_target, f"are not less than {comparison_target}")

    def assertAllLessEqual(self, a: Any, comparison_target: Any) -> None:
        self._check_each(a, lambda array: array <= comparison_target, f"are greater than {comparison_target}")

    def assertAllInRange(
        self,
        target: Any,
        lower_bound: Any,
        upper_bound: Any,
        open_lower_bound: bool = False,
        open_upper_bound: bool = False,
    ) -> None:
        """Every element lies between the bounds, which may be excluded; NaN does not."""

        def fits(array: np.ndarray) -> np.ndarray:
            above = array > lower_bound if open_lower_bound else array >= lower_bound
            below = array < upper_bound if open_upper_bound else array <= upper_bound
            return np.asarray(above & below)

        opening, closing = "(" if open_lower_bound else "[", ")" if open_upper_bound else "]"
        self._check_each(target, fits, f"are outside the range {opening}{lower_bound}, {upper_bound}{closing}")

    def assertAllInSet(self, target: Any, expected_set: Any) -> None:
        """Every element is one of `expected_set`."""
        outside = sorted(set(self._array(target).ravel().tolist()) - set(expected_set))
        if outside:
            self.fail(f"{len(outside)} unique element(s) are not in the set {expected_set}: {outside}")

    def assertDictEqual(self, a: Any, b: Any, msg: str | None = None) -> None:
        """Same keys, and equal values; values may be tensors."""
        self.assertIsInstance(a, dict, msg)
        self.assertIsInstance(b, dict, msg)
        self.assertCountEqual(a.keys(), b.keys(), msg)
        for key in a:
            self.assertAllEqual(a[key], b[key], f"{key}{': ' + msg if msg else ''}")

    # ---- errors ----

    @contextlib.contextmanager
    def assertRaisesWithPredicateMatch(self, exception_type: Any, expected_err_re_or_predicate: Any) -> Iterator[None]:
        """An error of this type is raised inside, and its message matches a pattern or satisfies a predicate."""
        expected = expected_err_re_or_predicate
        try:
            yield
        except exception_type as error:
            fits = expected(error) if callable(expected) else re.search(expected, str(error))
            if not fits:
                raise AssertionError(f"Exception of type {type(error)}: {error}") from error
        else:
            self.fail(f"{getattr(exception_type, '__name__', exception_type)} not raised")

    def assertRaisesOpError(self, expected_err_re_or_predicate: Any) -> contextlib.AbstractContextManager[None]:
        return self.assertRaisesWithPredicateMatch(errors.OpError, expected_err_re_or_predicate)

    def assertRaisesIncompatibleShapesError(
        self, exception_type: Any = errors.InvalidArgumentError
    ) -> contextlib.AbstractContextManager[None]:
        pattern = r"Incompatible shapes|Dimensions must be equal|required broadcastable shapes"
        return self.assertRaisesWithPredicateMatch(exception_type, pattern)

    assertRaisesRegexp: Any = unittest.TestCase.assertRaisesRegex

    # ---- threads ----

    def checkedThread(self, target: Callable[..., Any], args: Any = None, kwargs: Any = None) -> CheckedThread:
        """A thread whose join() fails the test when `target` raised."""
        return CheckedThread(self, target, args or (), kwargs or {})

    # ---- plain values ----

    def assertItemsEqual(self, first: Any, second: Any, msg: str | None = None) -> None:
        self.assertCountEqual(first, second, msg)

    def assertLen(self, container: Any, expected_len: int, msg: str | None = None) -> None:
        if len(container) != expected_len:
            self.fail(
                self._formatMessage(msg, f"{container!r} has length of {len(container)}, expected {expected_len}.")
            )

    def assertEmpty(self, container: Any, msg: str | None = None) -> None:
        if len(container):
            self.fail(self._formatMessage(msg, f"{container!r} has length of {len(container)}."))

    def assertNotEmpty(self, container: Any, msg: str | None = None) -> None:
        if not len(container):
            self.fail(self._formatMessage(msg, f"{container!r} has length of 0."))

    def assertBetween(self, value: Any, minv: Any, maxv: Any, msg: str | None = None) -> None:
        if not minv <= value <= maxv:
            self.fail(self._formatMessage(msg, f'"{value}" unexpectedly not between "{minv}" and "{maxv}"'))

    def assertStartsWith(self, actual: Any, expected_start: Any, msg: str | None = None) -> None:
        if not actual.startswith(expected_start):
            self.fail(self._formatMessage(msg, f"{actual!r} does not start with {expected_start!r}"))

    def assertEndsWith(self, actual: Any, expected_end: Any, msg: str | None = None) -> None:
        if not actual.endswith(expected_end):
            self.fail(self._formatMessage(msg, f"{actual!r} does not end with {expected_end!r}"))

    def assertContainsSubset(self, expected_subset: Any, actual_set: Any, msg: str | None = None) -> None:
        missing = set(expected_subset) - set(actual_set)
        if missing:
            self.fail(self._formatMessage(msg, f"Missing elements {missing}"))

    def assertSameElements(self, expected_seq: Any, actual_seq: Any, msg: str | None = None) -> None:
        """The same elements, in any order and any number."""
        self.assertEqual(set(expected_seq), set(actual_seq), msg)

    def assertSequenceAlmostEqual(
        self, expected_seq: Any, actual_seq: Any, places: Any = None, msg: str | None = None, delta: Any = None
    ) -> None:
        self.assertEqual(len(expected_seq), len(actual_seq), msg)
        for first, second in zip(expected_seq, actual_seq, strict=True):
            self.assertAlmostEqual(first, second, places=places, msg=msg, delta=delta)


class CheckedThread:
    """A thread of a test."""

    def __init__(self, test: TestCase, target: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._test = test
        self._error: BaseException | None = None

        def run() -> None:
            try:
                target(*args, **kwargs)
            except BaseException as error:  # reported by join
                self._error = error

        self._thread = threading.Thread(target=run)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()
        if self._error is not None:
            self._test.fail(f"Error in checkedThread: {self._error!r}")

    def is_alive(self) -> bool:
        return self._thread.is_alive()
