"""The function that runs every program: it walks a table of steps. Written once as LLVM IR, for all programs.

A step is a record of eight words: its opcode, six operands and its ticks, the time it is expected to take in
nanoseconds.
"""

from __future__ import annotations

import enum

from rillet.engines.native.layout import FRAME, NULL, PROGRAM, STATE, STEP, Local, Record, function
from rillet.engines.native.llvm import Module, Value


class Opcode(enum.IntEnum):
    """What a step does, and its operands a, b, c ..."""

    HALT = 0
    KERNEL = (
        1  # code, place of its operands in the frame, how many of them to gather, tasks, kernels of the wave, scratch
    )
    CALLBACK = 2  # number of the callable, whether it may replace values of variables
    JUMP = 3  # step
    BRANCH = 4  # slot of a bool, step to go to where it is false
    SWAP = 5  # slot, slot
    ADDRESS = 6  # slot, base slot, slot of the index, whether it has 64 bits, bytes from one to the next, how many
    COPY = 7  # slot, slot it is copied from, bytes
    WAVE = 8  # as KERNEL, for the first of several kernels, or a divisible one, that workers may share


class Failure(enum.IntEnum):
    """Why a run stopped. The status of a run is 0, or 256 * step + failure."""

    KERNEL = 1  # a kernel stored an error
    INDEX = 2  # the index of an ADDRESS is out of range
    EXCEPTION = 3  # a callback, or a signal's handler, raised; the Python error is set
    VARIABLE = 4  # a callback gave a variable a value of another type


CLOCK_TICKS = 2_000_000  # after steps worth these nanoseconds, the clock is read
SIGNAL_NANOSECONDS = 20_000_000  # how often Python's signals are looked at


def emit_clock(module: Module, clock: int) -> None:
    """`clock`: nanoseconds of the system's clock number `clock`."""
    b, _ = function(module, "clock", "", "i64")
    time = b.alloca("i64", 2, align=16)
    b.invoke("i32", "clock_gettime", Value(str(clock), "i32"), time)
    seconds, rest = b.item(time, b.i64(0), "i64"), b.item(time, b.i64(1), "i64")
    b.ret(b.add(b.mul(seconds, b.i64(1_000_000_000)), rest))


def emit_gil(module: Module) -> None:
    """`drop_gil` and `take_gil` of a frame: what it does not hold (or holds already) is left as it is."""
    b, (address,) = function(module, "drop_gil", "ptr frame")
    frame = b.record(FRAME, address)
    with b.when(b.is_null(frame.get("thread_state"))):
        frame.set("thread_state", b.invoke("ptr", "PyEval_SaveThread"))
    b.ret()

    b, (address,) = function(module, "take_gil", "ptr frame")
    frame = b.record(FRAME, address)
    state = frame.get("thread_state")
    with b.when(b.compare("ne", state, NULL)):
        b.invoke("void", "PyEval_RestoreThread", state)
        frame.set("thread_state", NULL)
    b.ret()


def emit_look_around(module: Module) -> None:
    """`look_around`: called every few milliseconds of a long run. Lets Python handle its signals (in the main thread, where
    it does), and gives up the GIL for the rest of the run. Returns whether the run is to stop."""
    b, (address,) = function(module, "look_around", "ptr frame", "i1", "noinline cold")
    frame = b.record(FRAME, address)
    now = b.call("i64", "@clock")
    deadline = frame.get("deadline")
    starts = b.compare("eq", deadline, b.i64(0))
    due = b.compare("sge", now, deadline)
    following = b.add(now, b.i64(SIGNAL_NANOSECONDS))
    frame.set("deadline", b.select(b.binary("or", starts, due), following, deadline))
    b.return_when(b.binary("or", starts, b.negate(due)), Value("false", "i1"))
    main = b.record(STATE, b.service("state")).get("main_thread")
    with b.when(b.compare("eq", b.invoke("ptr", "pthread_self"), main)):
        b.call("void", "@take_gil", address)
        failed = b.compare("ne", b.invoke("i32", "PyErr_CheckSignals"), Value("0", "i32"))
        b.return_when(failed, Value("true", "i1"))
    b.call("void", "@drop_gil", address)
    b.ret(Value("false", "i1"))


def emit_gather(module: Module) -> None:
    """`gather`: the addresses in a kernel's operand slots, side by side, where its step says."""
    b, (program, frame, step_address) = function(
        module, "gather", "ptr program, ptr frame, ptr step", "ptr", "alwaysinline"
    )
    step = b.record(STEP, step_address)
    place = step.get("b")
    numbers = b.offset(b.record(PROGRAM, program).get("numbers"), place, "i64")
    record = b.record(FRAME, frame)
    slots, operands = record.get("slots"), b.offset(record.get("operands"), place, "ptr")
    with b.loop(b.i64(0), step.get("c")) as loop:
        b.set_item(operands, loop.index, b.item(slots, b.item(numbers, loop.index, "i64")))
    b.ret(operands)


class Driver:
    """Writes `run(program, frame)`."""

    def __init__(self, module: Module) -> None:
        self.b, (self.program_address, self.frame_address) = function(module, "run", "ptr program, ptr frame", "i64")
        b = self.b
        self.program: Record = b.record(PROGRAM, self.program_address)
        self.frame: Record = b.record(FRAME, self.frame_address)
        self.slots = self.frame.get("slots")
        self.steps = self.program.get("steps")
        self.position: Local = b.local("i64", b.i64(0))
        self.budget: Local = b.local("i64", b.i64(CLOCK_TICKS))
        self.frame.set("deadline", b.i64(0))

    def write(self) -> None:
        b = self.b
        cases = {opcode: f"opcode_{opcode.name.lower()}" for opcode in Opcode}
        with b.forever() as (again, _):
            self.step = b.element(STEP, self.steps, self.position.get())
            budget = b.sub(self.budget.get(), self.step.get("ticks"))
            self.budget.set(budget)
            with b.when(b.compare("slt", budget, b.i64(0))):
                self.budget.set(b.i64(CLOCK_TICKS))
                stop = b.call("i1", "@look_around", self.frame_address)
                b.return_when(stop, self.status(Failure.EXCEPTION))
            listed = " ".join(f"i64 {opcode.value}, label %{label}" for opcode, label in cases.items())
            b.line(f"switch {self.step.get('opcode')}, label %{cases[Opcode.HALT]} [ {listed} ]")
            for opcode, label in cases.items():
                b.start(label)
                getattr(self, opcode.name.lower())()
                if opcode is not Opcode.HALT:
                    b.jump(again)
        b.line("unreachable")

    def status(self, failure: Failure) -> Value:
        b = self.b
        return b.binary("or", b.binary("shl", self.position.get(), b.i64(8)), b.i64(failure.value))

    def advance(self, steps: Value | None = None) -> None:
        b = self.b
        self.position.set(b.add(self.position.get(), steps or b.i64(1)))

    def slot(self, field: str) -> Value:
        """The address in the slot whose number the step's field holds."""
        return self.b.item(self.slots, self.step.get(field))

    def stop_on_error(self) -> None:
        b = self.b
        error = b.load(self.frame.address("error"), "i32")
        b.return_when(b.compare("ne", error, Value("0", "i32")), self.status(Failure.KERNEL))

    def halt(self) -> None:
        self.stop_on_error()
        self.b.ret(self.b.i64(0))

    def kernel(self) -> None:
        b = self.b
        operands = b.call("ptr", "@gather", self.program_address, self.frame_address, self.step.pointer)
        tasks, scratch = self.step.get("d"), self.frame.get("scratch")
        b.call("void", "@run_tasks", self.step.pointer, operands, b.i64(0), tasks, scratch)
        self.advance()

    def wave(self) -> None:
        count = self.step.get("e")
        self.b.call("void", "@wave", self.program_address, self.frame_address, self.step.pointer, count)
        self.budget.set(self.b.i64(0))  # the clock is read after each wave
        self.advance(count)

    def callback(self) -> None:
        b = self.b
        held = b.is_null(self.frame.get("thread_state"))
        b.call("void", "@take_gil", self.frame_address)
        replaces = b.compare("ne", self.step.get("b"), b.i64(0))
        with b.when(replaces):
            b.call("void", "@release", self.program_address, self.frame_address, Value("true", "i1"))
        callable_ = b.item(self.program.get("callbacks"), self.step.get("a"))
        result = b.invoke("ptr", "PyObject_CallOneArg", callable_, self.frame.get("object"))
        b.return_when(b.is_null(result), self.status(Failure.EXCEPTION))
        b.invoke("void", "Py_DecRef", result)
        with b.when(replaces):
            found = b.call("i64", "@acquire", self.program_address, self.frame_address, Value("true", "i1"))
            b.return_when(b.compare("slt", found, b.i64(0)), self.status(Failure.EXCEPTION))
            b.return_when(b.compare("ne", found, b.i64(0)), self.status(Failure.VARIABLE))
        with b.when(b.negate(held)):
            b.call("void", "@drop_gil", self.frame_address)
        self.advance()

    def jump(self) -> None:
        self.stop_on_error()
        self.position.set(self.step.get("a"))

    def branch(self) -> None:
        b = self.b
        condition = b.compare("ne", b.load(self.slot("a"), "i8"), Value("0", "i8"))
        self.position.set(b.select(condition, b.add(self.position.get(), b.i64(1)), self.step.get("b")))

    def swap(self) -> None:
        b = self.b
        first, second = self.step.get("a"), self.step.get("b")
        one, other = b.item(self.slots, first), b.item(self.slots, second)
        b.set_item(self.slots, first, other)
        b.set_item(self.slots, second, one)
        self.advance()

    def address(self) -> None:
        b = self.b
        place = self.slot("c")
        index = b.local("i64", b.convert("sext", b.load(place, "i32"), "i64"))
        with b.when(b.compare("ne", self.step.get("d"), b.i64(0))):
            index.set(b.load(place, "i64"))
        outside = b.compare("uge", index.get(), self.step.get("f"))
        b.return_when(outside, self.status(Failure.INDEX))
        result = b.offset(self.slot("b"), b.mul(index.get(), self.step.get("e")), "i8")
        b.set_item(self.slots, self.step.get("a"), result)
        self.advance()

    def copy(self) -> None:
        b = self.b
        operands = f"{self.slot('a')}, {self.slot('b')}, {self.step.get('c')}, i1 false"
        b.module.declare("llvm.memmove", "void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)")
        b.line(f"call void @llvm.memmove.p0.p0.i64({operands})")
        self.advance()


def emit_driver(module: Module, clock: int) -> None:
    """All functions of the driver; `acquire` and `release` of variables are the entry's, `wave` is the pool's."""
    emit_clock(module, clock)
    emit_gil(module)
    emit_look_around(module)
    emit_gather(module)
    Driver(module).write()
