"""The native runtime: steps, threads, the entry from Python, variables, memory. The kernels are written here, in LLVM IR."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import weakref

import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")

from rillet.engines.native import jit
from rillet.engines.native.driver import Failure
from rillet.engines.native.entry import Mode, Result, Source
from rillet.engines.native.frames import ProgramFailure
from rillet.engines.native.layout import Writer
from rillet.engines.native.llvm import Module, Value
from rillet.engines.native.program import Program
from rillet.engines.native.runtime import Lock, module_text, runtime
from rillet.engines.native.signature import Constant, Input, Output, Variable
from rillet.engines.native.steps import Address, Branch, Callback, Copy, Halt, Jump, Kernel, Swap
from rillet.engines.native.target import TARGETS

F4 = np.dtype(np.float32)
I8 = np.dtype(np.int64)


# ---- kernels ----------------------------------------------------------------------------------------------------


def kernel(body) -> jit.Code:
    """A kernel whose task `i` runs `body(b, operand, i)`, where operand(n) is the address of operand n."""
    module = Module()
    b = Writer(module, "kernel", [("ptr", "operands"), ("i64", "begin"), ("i64", "end")])
    operands = b.parameters["operands"]
    with b.loop(b.parameters["begin"], b.parameters["end"]) as loop:
        body(b, lambda number: b.item(operands, b.i64(number)), loop.index)
    b.ret()
    return jit.compile_kernels([str(module)])[0]


def elementwise(function) -> jit.Code:
    """The last operand's element i becomes `function(b, x, y, ...)` of the others' elements i; floats."""
    count = function.__code__.co_argcount - 1

    def body(b, operand, i):
        values = [b.load(b.offset(operand(number), i, "float"), "float") for number in range(count)]
        b.store(function(b, *values), b.offset(operand(count), i, "float"))

    return kernel(body)


def _one(b):
    return b.constant("float", 1.0)


ADD_ONE = elementwise(lambda b, x: b.add(x, _one(b)))
ADD = elementwise(lambda b, x, y: b.add(x, y))
DOUBLE = elementwise(lambda b, x: b.add(x, x))


def _is_below(b, operand, i):
    """operand 2 = operand 0 < operand 1, operand 0 += 1; operands are an i64, an i64, a bool."""
    count = b.load(operand(0), "i64")
    b.store(b.convert("zext", b.compare("slt", count, b.load(operand(1), "i64")), "i8"), operand(2))
    b.store(b.add(count, b.i64(1)), operand(0))


IS_BELOW = kernel(_is_below)


def _count_task(b, operand, i):
    """Counts how often each task runs, and works on it for a while."""
    b.value("i64", f"atomicrmw add ptr {b.offset(operand(0), i, 'i64').text}, i64 1 seq_cst")
    work = b.alloca("i64", align=8)
    b.store(b.i64(0), work)
    with b.loop(b.i64(0), b.load(operand(1), "i64")):
        b.line(f"store volatile i64 0, ptr {work.text}")


COUNT_TASK = kernel(_count_task)


def _check(b, operand, i):
    """Stores error 7 into operand 1 if the float in operand 0 is negative."""
    with b.when(b.compare("olt", b.load(operand(0), "float"), b.constant("float", 0.0))):
        b.store(Value("7", "i32"), operand(1))


CHECK = kernel(_check)


def _through_scratch(b, operand, i):
    """Element i of operand 1 becomes twice that of operand 0, by way of 4096 places of scratch memory."""
    x, y, scratch = operand(0), operand(1), operand(2)
    value = b.load(b.offset(x, i, "float"), "float")
    with b.loop(b.i64(0), b.i64(4096)) as loop:
        b.line(f"store volatile {value}, ptr {b.offset(scratch, loop.index, 'float').text}")
    with b.loop(b.i64(0), b.i64(4096), carried=[b.constant("float", 0.0)]) as loop:
        place = b.offset(scratch, loop.index, "float")
        loop.carry(b.add(loop.carried[0], b.value("float", f"load volatile float, ptr {place.text}")))
    b.store(b.fmul(loop.results[0], b.constant("float", 2 / 4096)), b.offset(y, i, "float"))


THROUGH_SCRATCH = kernel(_through_scratch)


class State:
    """A variable's state, as the core has it."""

    __slots__ = ("__weakref__", "value")

    def __init__(self, value=None):
        self.value = value


@pytest.fixture(params=["native", "portable"])
def entry(request, monkeypatch):
    """Runs a test with the native entry and with the one in Python."""
    if request.param == "native" and not runtime().is_native:
        pytest.skip("objects are laid out in another way here")
    monkeypatch.setattr(runtime(), "is_native", request.param == "native")
    return request.param


@pytest.fixture
def threads(monkeypatch):
    def use(count):
        monkeypatch.setenv("RILLET_THREADS", str(count))

    yield use
    monkeypatch.undo()


def vector(n, slot=0):
    return Input(slot, F4, (n,))


def unary(code, n, **options):
    """A program of one kernel with one input and one output of n floats."""
    step = Kernel(code, [0, 1], tasks=n, **options)
    return Program([step], 2, [vector(n)], outputs=[Output(1, F4, (n,))], result=Result.SINGLE)


def updating(state, n=4, mode=Mode.UPDATE, **options):
    """state += input; returns nothing."""
    variable = Variable(1, state, mode, F4, (n,))
    return Program([Kernel(ADD, [0, 1, 1], tasks=n)], 2, [vector(n)], [variable], **options)


# ---- steps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result, kind", [(Result.LIST, list), (Result.TUPLE, tuple), (Result.SINGLE, np.ndarray)])
def test_one_kernel(entry, result, kind):
    program = Program(
        [Kernel(ADD, [0, 1, 2], tasks=6)],
        3,
        [Input(0, F4, (2, 3)), Input(1, F4, (2, 3))],
        outputs=[Output(2, F4, (2, 3))],
        result=result,
    )
    x, y = np.arange(6, dtype=F4).reshape(2, 3), np.full((2, 3), 10, F4)
    found = program.call(x, y)
    assert type(found) is kind
    (array,) = (found,) if result is Result.SINGLE else found
    assert array.dtype == F4 and array.flags.owndata and array.flags.writeable
    np.testing.assert_array_equal(array, x + y)


def test_the_docstring_example(entry):
    state = State(np.zeros(1000, F4))
    program = Program(
        steps=[Kernel(ADD, operands=[1, 0, 1], tasks=1000, cost=100), Kernel(DOUBLE, [1, 2], tasks=1000, cost=100)],
        slot_count=3,
        inputs=[Input(slot=0, dtype=F4, shape=(1000,))],
        variables=[Variable(slot=1, state=state, mode=Mode.UPDATE, dtype=F4, shape=(1000,))],
        outputs=[Output(source=2, dtype=F4, shape=(1000,))],
    )
    x = np.arange(1000, dtype=F4)
    program.call(x)
    (found,) = program.call(x)
    np.testing.assert_array_equal(found, 4 * x)
    np.testing.assert_array_equal(state.value, 2 * x)


def test_loop_with_branch_jump_swap_and_copy(entry):
    """x = x + 1, `limit` times, in two buffers that change places."""
    steps = [
        Copy(2, 0, 16),
        Copy(5, 7, 8),
        Kernel(IS_BELOW, [5, 1, 6]),
        Branch(6, target=7),
        Kernel(ADD_ONE, [2, 3], tasks=4),
        Swap(2, 3),
        Jump(2),
        Copy(4, 2, 16),
    ]
    program = Program(
        steps,
        8,
        [vector(4), Input(1, I8, ())],
        constants=[Constant(7, np.zeros((), np.int64))],
        outputs=[Output(4, F4, (4,))],
        arena_bytes=256,
        arena_slots=[(2, 0), (3, 64), (5, 128), (6, 136)],
        result=Result.SINGLE,
    )
    x = np.arange(4, dtype=F4)
    for limit in (0, 1, 2, 7, 2):
        np.testing.assert_array_equal(program.call(x, np.array(limit)), x + limit)


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_address(entry, index_dtype):
    program = Program(
        [Address(3, 0, 1, index_dtype is np.int64, stride=16, limit=5), Copy(2, 3, 16)],
        4,
        [Input(0, F4, (5, 4)), Input(1, np.dtype(index_dtype), ())],
        outputs=[Output(2, F4, (4,))],
        result=Result.SINGLE,
    )
    x = np.arange(20, dtype=F4).reshape(5, 4)
    for row in range(5):
        np.testing.assert_array_equal(program.call(x, np.array(row, index_dtype)), x[row])
    for row in (-1, 5, np.iinfo(index_dtype).max, np.iinfo(index_dtype).min):
        with pytest.raises(ProgramFailure, match="step 0: index") as caught:
            program.call(x, np.array(row, index_dtype))
        assert (caught.value.failure, caught.value.step) == (Failure.INDEX, 0)


def test_halt_ends_the_program(entry):
    state = State(np.zeros(4, F4))
    step = Kernel(ADD, [0, 1, 1], tasks=4)
    program = Program([step, Halt(), step], 2, [vector(4)], [Variable(1, state, Mode.UPDATE, F4, (4,))])
    assert program.call(np.ones(4, F4)) == []
    np.testing.assert_array_equal(state.value, np.ones(4))


def test_kernel_error(entry):
    program = Program([Kernel(CHECK, [0, 1]), Kernel(CHECK, [0, 1])], 2, [vector(1)], error_slot=1)
    assert program.call(np.ones(1, F4)) == []
    for _ in range(3):
        with pytest.raises(ProgramFailure) as caught:
            program.call(-np.ones(1, F4))
        assert (caught.value.failure, caught.value.code) == (Failure.KERNEL, 7)
    assert program.call(np.ones(1, F4)) == []


def test_kernel_error_stops_a_loop(entry):
    program = Program([Kernel(CHECK, [0, 1]), Jump(0)], 2, [vector(1)], error_slot=1)
    with pytest.raises(ProgramFailure, match="step 1: kernel 7"):
        program.call(-np.ones(1, F4))


def test_own_exception_for_failures(entry):
    program = Program(
        [Kernel(CHECK, [0, 1])], 2, [vector(1)], error_slot=1, on_failure=lambda failure: KeyError(failure.code)
    )
    with pytest.raises(KeyError, match="7"):
        program.call(-np.ones(1, F4))


@pytest.mark.parametrize("cost", [0, 10**9])  # with the GIL, and without
def test_callback(entry, cost):
    def callback(frame):
        frame.array(1, F4, (2, 2))[:] = frame.array(0, F4, (2, 2)) * 3

    program = Program(
        [Callback(0), Kernel(ADD_ONE, [1, 2], tasks=4)],
        3,
        [Input(0, F4, (2, 2))],
        outputs=[Output(2, F4, (2, 2))],
        arena_bytes=16,
        arena_slots=[(1, 0)],
        callbacks=[callback],
        cost=cost,
    )
    x = np.arange(4, dtype=F4).reshape(2, 2)
    np.testing.assert_array_equal(program.call(x)[0], 3 * x + 1)


@pytest.mark.parametrize("cost", [0, 10**9])
def test_callback_that_raises(entry, cost):
    def callback(frame):
        raise LookupError("no such thing")

    state = State(np.zeros(4, F4))
    program = Program(
        [Kernel(ADD, [0, 1, 1], tasks=4), Callback(0), Kernel(ADD, [0, 1, 1], tasks=4)],
        3,
        [vector(4)],
        [Variable(1, state, Mode.UPDATE, F4, (4,))],
        outputs=[Output(2, F4, (4,))],
        callbacks=[callback],
        cost=cost,
    )
    for calls in (1, 2):
        with pytest.raises(LookupError, match="no such thing"):
            program.call(np.ones(4, F4))
        np.testing.assert_array_equal(state.value, np.full(4, calls))


def test_callback_that_replaces_a_variable(entry):
    state = State(np.zeros(4, F4))
    values = [np.full(4, 5, F4), np.full(4, 6, F4), np.zeros(4)]

    def callback(frame):
        state.value = values[0]

    program = Program(
        [Kernel(ADD, [0, 1, 1], tasks=4), Callback(0, replaces_variables=True), Kernel(ADD, [0, 1, 1], tasks=4)],
        2,
        [vector(4)],
        [Variable(1, state, Mode.UPDATE, F4, (4,))],
        callbacks=[callback],
    )
    for expected in (6, 7):
        program.call(np.ones(4, F4))
        np.testing.assert_array_equal(state.value, np.full(4, expected))
        values.pop(0)
    with pytest.raises(ValueError if entry == "portable" else ProgramFailure, match="variable"):
        program.call(np.ones(4, F4))


def test_callback_may_call_the_program_again(entry):
    """The lock is taken twice by the same thread, and each run has a frame of its own."""
    state, depth = State(np.zeros(4, F4)), []

    def callback(frame):
        if len(depth) < 3:
            depth.append(None)
            program.call(np.ones(4, F4))

    program = Program(
        [Callback(0, replaces_variables=True), Kernel(ADD, [0, 1, 1], tasks=4)],
        2,
        [vector(4)],
        [Variable(1, state, Mode.UPDATE, F4, (4,))],
        callbacks=[callback],
    )
    program.call(np.ones(4, F4))
    np.testing.assert_array_equal(state.value, np.full(4, 4))
    assert program.frame_count == 4


@pytest.mark.parametrize(
    "step, message",
    [
        (Kernel(ADD_ONE, [0, 9]), "2 slots"),
        (Jump(9), "2 steps"),
        (Branch(0, -1), "2 steps"),
        (Swap(0, 1), "arena"),
        (Callback(0), "0 callbacks"),
        (Copy(0, 2, 4), "2 slots"),
        (Address(0, 0, 5, True, 4, 4), "2 slots"),
    ],
)
def test_steps_are_checked(step, message):
    with pytest.raises(ValueError, match=message):
        Program([step], 2)


def test_interface_is_checked():
    state = State(np.zeros(4, F4))
    variables = [Variable(slot, state, Mode.UPDATE, F4, (4,)) for slot in (0, 1)]
    with pytest.raises(ValueError, match="the same state"):
        Program([], 2, [], variables)
    with pytest.raises(ValueError, match="2 outputs"):
        Program([], 2, outputs=[Output(0, F4, ()), Output(1, F4, ())], result=Result.SINGLE)
    with pytest.raises(ValueError, match="slot 0 is not in order"):
        Program([], 1, constants=[Constant(0, np.zeros((2, 3), F4).T)])
    for wrong in (
        {"inputs": [vector(4, 2)]},
        {"variables": [Variable(-1, state, Mode.READ, F4, (4,))]},
        {"constants": [Constant(2, np.zeros(4, F4))]},
        {"outputs": [Output(2, F4, (4,))]},
        {"outputs": [Output((Source.INPUT, 0), F4, (4,))]},
        {"arena_bytes": 64, "arena_slots": [(3, 0)]},
        {"arena_bytes": 64, "arena_slots": [(0, 72)]},
        {"error_slot": 2},
    ):
        with pytest.raises(ValueError, match=r"there (are 2 slots|is no such input)|no place"):
            Program([], 2, **wrong)


def test_describe():
    program = Program(
        [
            Kernel(ADD_ONE, [0, 1], cost=1500, name="add"),
            Kernel(DOUBLE, [0, 2], same_wave=True, name="twice"),
            Jump(0),
            Kernel(DOUBLE, [0, 2], tasks=9, cost=10**6),
        ],
        3,
        arena_bytes=192,
        arena_slots=[(1, 0), (2, 64)],
    )
    lines = program.describe().splitlines()
    assert "5 steps, 3 slots, arena 192 bytes" in lines[0]
    assert "0  - add(0, 1) tasks=1 cost=1.5us" in lines[1]
    assert "| twice(0, 2)" in lines[2]
    assert lines[3].endswith("jump to 0") and "= kernel(0, 2)" in lines[4] and lines[5].endswith("halt")


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_the_runtime_is_one_text_that_compiles_for_every_target(target):
    text = module_text(target)
    assert text == module_text(target)
    assert jit.emit_object(text, target).startswith(b"\x7fELF")


# ---- arguments and results --------------------------------------------------------------------------------------


class Subclass(np.ndarray):
    pass


def _misaligned():
    return np.zeros(17, np.uint8)[1:].view(F4)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(4, np.float64),
        np.zeros(4, np.int32),
        np.zeros(4, ">f4"),
        np.zeros(5, F4),
        np.zeros((1, 4), F4),
        np.zeros((), F4),
        np.zeros(8, F4)[::2],
        _misaligned(),
        np.zeros(4, F4).view(Subclass),
        np.float32(1),
        [0.0] * 4,
        None,
        3,
    ],
    ids=lambda array: f"{type(array).__name__}{getattr(array, 'dtype', '')}{getattr(array, 'shape', '')}",
)
def test_other_arguments_give_none(entry, array):
    program = unary(ADD_ONE, 4)
    assert program.call(array) is None
    assert program.call() is None
    assert program.call(np.zeros(4, F4), np.zeros(4, F4)) is None
    assert program.call(np.zeros(4, F4)) is not None


def test_order_matters(entry):
    program = Program([Kernel(ADD_ONE, [0, 1], tasks=6)], 2, [Input(0, F4, (2, 3))], outputs=[Output(1, F4, (2, 3))])
    assert program.call(np.zeros((3, 2), F4).T) is None
    assert program.call(np.zeros((2, 3), F4)) is not None


def test_equal_descriptor_with_another_identity(entry):
    import pickle

    dtype = np.dtype(F4, metadata={"from": "elsewhere"})
    assert dtype is not F4
    assert unary(ADD_ONE, 4).call(np.zeros(4, dtype)) is not None
    assert unary(ADD_ONE, 4).call(pickle.loads(pickle.dumps(np.zeros(4, F4)))) is not None


def test_keywords_are_refused():
    with pytest.raises(TypeError):
        unary(ADD_ONE, 4).call(x=np.zeros(4, F4))


def test_scalars_and_empty_arrays(entry):
    program = Program([Kernel(ADD_ONE, [0, 1])], 2, [Input(0, F4, ())], outputs=[Output(1, F4, ())])
    (found,) = program.call(np.array(2, F4))
    assert type(found) is np.ndarray and found.shape == () and found == 3
    program = Program([Kernel(ADD_ONE, [0, 1], tasks=0)], 2, [Input(0, F4, (3, 0))], outputs=[Output(1, F4, (3, 0))])
    assert program.call(np.zeros((3, 0), F4))[0].shape == (3, 0)


def test_outputs_that_are_passed_on(entry):
    constant, state = np.arange(3, dtype=F4), State(np.zeros(2, F4))
    program = Program(
        [],
        3,
        [vector(4)],
        [Variable(1, state, Mode.READ, F4, (2,))],
        [Constant(2, constant)],
        [
            Output((Source.CONSTANT, 0), F4, (3,)),
            Output((Source.INPUT, 0), F4, (4,)),
            Output((Source.VARIABLE, 0), F4, (2,)),
        ],
    )
    x = np.zeros(4, F4)
    found = program.call(x)
    assert found[0] is constant and found[1] is x and found[2] is state.value


def test_user_dtypes(entry):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bfloat16, float8 = np.dtype(ml_dtypes.bfloat16), np.dtype(ml_dtypes.float8_e4m3fn)
    program = Program([Copy(1, 0, 8)], 2, [Input(0, bfloat16, (4,))], outputs=[Output(1, bfloat16, (4,))])
    x = np.arange(4).astype(bfloat16)
    np.testing.assert_array_equal(program.call(x)[0], x)
    assert program.call(x.astype(float8)) is None
    assert program.call(x.view(np.float16)) is None


# ---- variables --------------------------------------------------------------------------------------------------


def test_update_in_place_while_nobody_else_holds_the_array():
    if not runtime().is_native:
        pytest.skip("the portable entry always copies")
    state = State(np.zeros(4, F4))
    program, place = updating(state), state.value.ctypes.data
    for _ in range(3):
        program.call(np.ones(4, F4))
    assert state.value.ctypes.data == place
    np.testing.assert_array_equal(state.value, np.full(4, 3))


def test_arrays_handed_out_never_change(entry):
    state = State(np.zeros(4, F4))
    program = Program(
        [Kernel(ADD, [0, 1, 1], tasks=4)],
        2,
        [vector(4)],
        [Variable(1, state, Mode.UPDATE, F4, (4,))],
        outputs=[Output((Source.VARIABLE, 0), F4, (4,))],
    )
    kept, views = [], []
    for number in range(1, 5):
        (found,) = program.call(np.ones(4, F4))
        kept.append(found)
        views.append(found[1:])
        del found
        assert len(kept) == number
    kept_values = [array.copy() for array in kept]
    np.testing.assert_array_equal(kept_values, [[n] * 4 for n in range(1, 5)])
    del kept
    np.testing.assert_array_equal(views, [[n] * 3 for n in range(1, 5)])
    view = memoryview(state.value)
    program.call(np.ones(4, F4))
    assert list(view) == [4] * 4


@pytest.mark.parametrize("make", [lambda: np.zeros(8, F4)[4:], lambda: np.broadcast_to(np.zeros(4, F4), 4)])
def test_borrowed_or_readonly_memory_is_not_written(entry, make):
    array = make()
    state = State(array)
    del array
    before = state.value.base if state.value.base is not None else state.value
    updating(state).call(np.ones(4, F4))
    np.testing.assert_array_equal(before, np.zeros_like(before))
    np.testing.assert_array_equal(state.value, np.ones(4))


def test_an_argument_that_is_the_variable(entry):
    state = State(np.full(4, 3, F4))
    value = state.value
    updating(state).call(value)
    np.testing.assert_array_equal(value, np.full(4, 3))
    np.testing.assert_array_equal(state.value, np.full(4, 6))


def test_two_states_with_one_array(entry):
    array = np.zeros(4, F4)
    states = [State(array), State(array)]
    del array
    program = Program(
        [Kernel(ADD_ONE, [0, 0], tasks=4), Kernel(DOUBLE, [0, 1], tasks=4)],
        2,
        [],
        [Variable(slot, state, Mode.UPDATE, F4, (4,)) for slot, state in enumerate(states)],
    )
    program.call()
    np.testing.assert_array_equal(states[0].value, np.ones(4))
    np.testing.assert_array_equal(states[1].value, np.full(4, 2))


@pytest.mark.parametrize("write_first", [False, True])
@pytest.mark.parametrize("mode", [Mode.UPDATE, Mode.OUT])
def test_a_state_read_and_written(entry, write_first, mode):
    """Who only reads sees the value from before the run, whatever the order."""
    state = State(np.ones(4, F4))
    pair = [Variable(0, state, Mode.READ, F4, (4,)), Variable(1, state, mode, F4, (4,))]
    outputs = [Output((Source.VARIABLE, number), F4, (4,)) for number in (0, 1)]
    if write_first:
        pair.reverse()
        outputs.reverse()
    program = Program([Kernel(DOUBLE, [0, 1], tasks=4), Kernel(ADD, [0, 1, 1], tasks=4)], 2, [], pair, [], outputs)
    before, after = program.call()
    np.testing.assert_array_equal(before, np.ones(4))
    np.testing.assert_array_equal(after, np.full(4, 3))
    assert after is state.value


def test_variables_that_do_not_fit_give_none(entry):
    state = State()
    for mode in (Mode.READ, Mode.UPDATE):
        program = updating(state, mode=mode)
        for value in (None, np.zeros(4), np.zeros(5, F4), np.zeros((2, 4), F4).T, np.float32(1), "text"):
            state.value = value
            assert program.call(np.ones(4, F4)) is None
            assert state.value is value
    state.value = np.zeros(4, F4)
    assert program.call(np.ones(4, F4)) == []


def test_settle_variables(entry):
    state = State()
    program = Program([], 1, [], [Variable(0, state, Mode.READ, F4, (4,))])
    for value in (None, np.zeros(4), np.zeros(5, F4), np.float32(1), "text"):
        state.value = value
        assert not program.settle_variables()
        assert state.value is value
    array = np.arange(8, dtype=F4)
    for value in (array[::2], array[:4].view(Subclass), array[:4]):
        state.value = value
        assert program.settle_variables()
        assert program.call() == []
        np.testing.assert_array_equal(state.value, value)
    assert type(state.value) is np.ndarray and state.value.base is array  # the last one was as it has to be
    scalar = State(np.float32(3))
    program = Program([Kernel(ADD_ONE, [0, 0])], 1, [], [Variable(0, scalar, Mode.UPDATE, F4, ())])
    assert program.call() is None and program.settle_variables() and program.call() == []
    assert scalar.value == 4


def test_out_variable(entry):
    state = State()
    program = Program([Kernel(ADD_ONE, [0, 1], tasks=4)], 2, [vector(4)], [Variable(1, state, Mode.OUT, F4, (4,))])
    for before in (None, np.zeros(2), np.zeros(4, F4), "text"):
        state.value = before
        program.call(np.zeros(4, F4))
        np.testing.assert_array_equal(state.value, np.ones(4))
    kept = state.value
    program.call(np.ones(4, F4))
    np.testing.assert_array_equal(kept, np.ones(4))
    np.testing.assert_array_equal(state.value, np.full(4, 2))


def test_out_variable_keeps_its_value_when_the_run_fails(entry):
    state = State()
    program = Program(
        [Kernel(ADD_ONE, [0, 1]), Kernel(CHECK, [0, 2])],
        3,
        [vector(1)],
        [Variable(1, state, Mode.OUT, F4, (1,))],
        error_slot=2,
    )
    with pytest.raises(ProgramFailure):
        program.call(-np.ones(1, F4))
    assert state.value is None


def test_state_of_a_class_without_slots(entry):
    class Plain:
        pass

    state = Plain()
    with pytest.raises(AttributeError):
        updating(state).call(np.ones(4, F4))
    state.value = np.zeros(4, F4)
    for count in (1, 2):
        updating(state).call(np.ones(4, F4))
        np.testing.assert_array_equal(state.value, np.full(4, count))


# ---- threads ----------------------------------------------------------------------------------------------------


def counting(kernels, tasks, cost, **options):
    """A wave of kernels that count their tasks: inputs are a table of counts a kernel, and the work a task is."""
    steps = [Kernel(COUNT_TASK, [n, kernels], tasks, cost, same_wave=n > 0) for n in range(kernels)]
    inputs = [Input(n, I8, (tasks,)) for n in range(kernels)] + [Input(kernels, I8, ())]
    return Program(steps, kernels + 1, inputs, **options)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("kernels, tasks", [(1, 1), (1, 1000), (7, 1), (5, 13), (3, 1000)])
def test_every_task_runs_once(threads, count, kernels, tasks):
    threads(count)
    program = counting(kernels, tasks, cost=300_000)
    counts = [np.zeros(tasks, np.int64) for _ in range(kernels)]
    for _ in range(20):
        program.call(*counts, np.array(100))
    assert all((table == 20).all() for table in counts)
    assert runtime().threads == count


def test_waves_in_a_row_and_loops(threads):
    """Waves follow each other directly: each sees what the one before wrote."""
    threads(4)
    n = 4096
    steps = [Kernel(ADD_ONE, [0, 0], tasks=n, cost=200_000) for _ in range(50)]
    program = Program(steps, 1, [vector(n)])
    x = np.zeros(n, F4)
    for _ in range(40):
        program.call(x)
    np.testing.assert_array_equal(x, np.full(n, 2000))


@pytest.mark.parametrize("cost", [0, 10**6])  # alone, and on the workers
def test_scratch_memory_is_a_threads_own(entry, threads, cost):
    threads(4)
    program = unary(THROUGH_SCRATCH, 500, cost=cost, scratch=4 * 4096)
    x = np.arange(500, dtype=F4)
    for _ in range(5):
        np.testing.assert_allclose(program.call(x), 2 * x, rtol=1e-6)


def test_idle_workers_take_no_time(threads):
    threads(4)
    program = counting(1, 1000, cost=10**6)
    program.call(np.zeros(1000, np.int64), np.array(1000))
    time.sleep(0.02)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.03


def _run_in_threads(count, work):
    failures = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    running = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not failures, failures


@pytest.mark.parametrize("cost", [0, 10**6])
def test_one_program_in_several_python_threads(entry, threads, cost):
    threads(3)
    n = 1000
    program = Program(
        [Kernel(ADD_ONE, [0, 1], n, cost), Kernel(DOUBLE, [1, 2], n, cost)],
        3,
        [vector(n)],
        outputs=[Output(2, F4, (n,))],
        arena_bytes=4 * n,
        arena_slots=[(1, 0)],
        result=Result.SINGLE,
    )

    def work(number):
        x = np.full(n, number, F4)
        for _ in range(200):
            assert (program.call(x) == 2 * (number + 1)).all()

    _run_in_threads(6, work)
    assert program.frame_count <= 6


@pytest.mark.parametrize("cost", [0, 10**6])
def test_updates_from_several_python_threads_all_count(entry, cost):
    state = State(np.zeros(100, F4))
    program = updating(state, 100, cost=cost)

    def work(number):
        for _ in range(300):
            program.call(np.ones(100, F4))

    _run_in_threads(4, work)
    np.testing.assert_array_equal(state.value, np.full(100, 1200))


def test_programs_with_one_lock_exclude_each_other(entry):
    state, lock = State(np.zeros(100, F4)), Lock()
    programs = [updating(state, 100, cost=10**6, lock=lock) for _ in range(4)]

    def work(number):
        for _ in range(300):
            programs[number].call(np.ones(100, F4))

    _run_in_threads(4, work)
    np.testing.assert_array_equal(state.value, np.full(100, 1200))


def test_a_long_run_gives_up_the_gil(entry):
    program = counting(1, 1000, cost=10**9)
    done, turns = threading.Event(), []

    def turn():
        while not done.is_set():
            turns.append(None)
            time.sleep(0.001)

    other = threading.Thread(target=turn)
    other.start()
    before = len(turns)
    program.call(np.zeros(1000, np.int64), np.array(100_000))
    during = len(turns) - before
    done.set()
    other.join()
    assert during > 5


def test_threads_may_change_while_programs_run(threads):
    program = counting(2, 200, cost=10**6)
    done = threading.Event()

    def change():
        for count in [1, 4, 2, 3] * 10:
            runtime().set_threads(count)
            time.sleep(0.002)
        done.set()

    changing = threading.Thread(target=change)
    changing.start()
    calls, counts = 0, [np.zeros(200, np.int64) for _ in range(2)]
    while not done.is_set():
        program.call(*counts, np.array(1000))
        calls += 1
    changing.join()
    assert all((table == calls).all() for table in counts)
    time.sleep(0.05)
    assert _native_threads() <= threading.active_count() + 4


def _native_threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0


# ---- processes and signals --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "while another thread runs"])
def test_fork(threads, busy):
    threads(3)
    program, lock = counting(1, 1000, cost=10**6), Lock()
    state = State(np.zeros(4, F4))
    update = updating(state, lock=lock, cost=10**6)
    counts, stop = np.zeros(1000, np.int64), threading.Event()
    program.call(counts, np.array(100))

    def keep_busy():
        while not stop.is_set():
            program.call(np.zeros(1000, np.int64), np.array(10_000))
            update.call(np.ones(4, F4))

    other = threading.Thread(target=keep_busy)
    if busy:
        other.start()
        time.sleep(0.01)
    for _ in range(5):
        child = os.fork()
        if not child:
            code = 1
            try:
                mine = np.zeros(1000, np.int64)
                for _ in range(5):
                    program.call(mine, np.array(1000))
                    update.call(np.ones(4, F4))
                code = 0 if (mine == 5).all() else 2
            finally:
                os._exit(code)
        assert _exit_code(child) == 0
    stop.set()
    if busy:
        other.join()
    program.call(counts, np.array(100))
    assert (counts == 2).all()


def _exit_code(child, seconds=10):
    for _ in range(seconds * 100):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


@pytest.mark.parametrize("cost", [0, 10**6], ids=["thought to be short", "known to be long"])
def test_ctrl_c(cost):
    """An endless program stops; what it held is given back, and it can be called again."""
    script = f"""
        import sys, threading, time, os, signal
        import numpy as np
        from tests.native.test_runtime import *
        state = State(np.zeros(4, F4))
        program = Program(
            [Kernel(ADD, [0, 1, 1], 4, {cost}), Branch(2, 4), Kernel(COUNT_TASK, [3, 4], 1, {cost}), Jump(0)], 5,
            [vector(4), Input(2, np.dtype(bool), ()), Input(3, I8, (1,)), Input(4, I8, ())],
            [Variable(1, state, Mode.UPDATE, F4, (4,))], [], [Output((Source.VARIABLE, 0), F4, (4,))],
        )
        rest = np.zeros(1, np.int64), np.array(1000)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        try:
            program.call(np.zeros(4, F4), np.array(True), *rest)
        except KeyboardInterrupt:
            assert time.monotonic() - start < 1.5, time.monotonic() - start
        else:
            raise SystemExit("not stopped")
        assert sys.getrefcount(state.value) <= 2
        assert program.call(np.ones(4, F4), np.array(False), *rest)[0].tolist() == [1.0] * 4
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, os.getcwd()])}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, capture_output=True, text=True, timeout=20
    )
    assert run.returncode == 0, run.stderr


# ---- memory -----------------------------------------------------------------------------------------------------


def test_references_stay_what_they_were(entry):
    """10,000 calls, of which some fail, leave the counts of everything they touch alone."""
    state, constant, x = State(np.zeros(4, F4)), np.zeros(3, F4), np.ones(4, F4)
    negative, other = -x, np.zeros(4)

    def callback(frame):
        return None

    program = Program(
        [Kernel(ADD, [0, 1, 1], tasks=4), Kernel(CHECK, [0, 5]), Callback(0), Kernel(ADD_ONE, [0, 2], tasks=4)],
        6,
        [vector(4)],
        [Variable(1, state, Mode.UPDATE, F4, (4,)), Variable(4, State(), Mode.OUT, F4, (4,))],
        [Constant(3, constant)],
        [
            Output(2, F4, (4,)),
            Output((Source.VARIABLE, 0), F4, (4,)),
            Output((Source.CONSTANT, 0), F4, (3,)),
            Output((Source.INPUT, 0), F4, (4,)),
        ],
        callbacks=[callback],
        error_slot=5,
    )
    things = [x, negative, other, constant, callback, state, F4, None, np.ndarray]
    program.call(x)
    gc.collect()
    before = [sys.getrefcount(thing) for thing in things]
    for number in range(10_000):
        if number % 10 == 3:
            with pytest.raises(ProgramFailure):
                program.call(negative)
        elif number % 10 == 4:
            assert program.call(other) is None
        else:
            program.call(x)
    gc.collect()  # tracebacks
    grown = [sys.getrefcount(thing) - count for thing, count in zip(things, before, strict=True)]
    # Other code that ran meanwhile may have changed a few too, but nothing changed once a call, or once a failed one.
    assert all(abs(number) < 20 for number in grown), str(grown)
    result = program.call(x)
    if runtime().is_native:
        counts = sys.getrefcount(result[0]), sys.getrefcount(state.value)
        assert counts == (2, 3)


def test_a_dropped_program_is_gone_at_once(entry):
    state = State(np.zeros(4, F4))
    gone = weakref.ref(state)
    program = updating(state, callbacks=[lambda frame: None])
    call = program.call
    call(np.ones(4, F4))
    del program, state
    assert gone() is not None
    call(np.ones(4, F4))  # the function keeps what it needs
    gc.disable()
    try:
        del call
        if runtime().is_native:
            assert gone() is None  # large memory is not to wait for the garbage collector
    finally:
        gc.enable()
    gc.collect()
    assert gone() is None


def test_a_program_that_its_callback_refers_to_is_collected():
    holder = []
    state = State(np.zeros(4, F4))
    gone = weakref.ref(state)
    holder.append(updating(state, callbacks=[lambda frame, holder=holder: holder]))
    del holder, state
    gc.collect()
    assert gone() is None


def _resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _churn(programs, calls):
    x = np.ones(1000, F4)
    for _ in range(programs):
        state = State(np.zeros(1000, F4))
        program = Program(
            [Kernel(ADD, [0, 1, 1], 1000), Kernel(ADD_ONE, [1, 2], 1000), Copy(3, 2, 4000)],
            4,
            [vector(1000)],
            [Variable(1, state, Mode.UPDATE, F4, (1000,))],
            outputs=[Output(2, F4, (1000,))],
            arena_bytes=5 << 20,
            arena_slots=[(3, 0)],
        )
        for _ in range(calls):
            program.call(x)


def test_memory_stays_flat(entry):
    _churn(5, 100)
    gc.collect()
    tracemalloc.start()
    try:
        _churn(2, 2)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        _churn(5, 50)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4000
    if os.path.exists("/proc/self/statm"):
        resident = _resident_bytes()
        _churn(50, 1000)
        gc.collect()
        assert _resident_bytes() - resident < 8 << 20
