"""The function that Python calls: a C-level builtin that checks its arrays, finds the variables, makes the outputs and
runs the program. Written once as LLVM IR, for all programs.

It relies on how CPython and NumPy lay out a few objects; `check_layouts` makes sure of each before it is used.
"""

from __future__ import annotations

import ctypes
import enum
import sys
import sysconfig
from typing import Any

import numpy as np

from rillet.engines.native.layout import FRAME, INPUT, NULL, OUTPUT, PROGRAM, VARIABLE, Record, Writer, function
from rillet.engines.native.llvm import Module, Value

# Where things are in objects, in bytes.
OBJECT_TYPE = 8
TUPLE_ITEMS = 24
ARRAY_DATA, ARRAY_RANK, ARRAY_DIMENSIONS, ARRAY_DESCRIPTOR, ARRAY_FLAGS = 16, 24, 32, 56, 64
DESCRIPTOR_KIND = 24  # kind, type and byte order, a byte each, one byte that says nothing, and the number of the type
KIND_MASK = ~0xFF000000

CONTIGUOUS_ALIGNED = 0x101
OWNED_CONTIGUOUS_ALIGNED_WRITEABLE = 0x505


class Mode(enum.IntEnum):
    """How a program uses a variable."""

    READ = 0
    UPDATE = 1  # reads and writes it
    OUT = 2  # writes all of it, without reading it; it need not have been initialised


class Source(enum.IntEnum):
    """Where an output comes from."""

    FRESH = 0  # a new array that the program fills
    INPUT = 1
    VARIABLE = 2
    CONSTANT = 3


class Result(enum.IntEnum):
    """What a call returns."""

    LIST = 0
    TUPLE = 1
    SINGLE = 2


ONE, ZERO, NO_ERROR = Value("1", "i64"), Value("0", "i64"), Value("0", "i32")
TRUE, FALSE = Value("true", "i1"), Value("false", "i1")


def _byte(b: Writer, object_: Value, place: int, type_: str) -> Value:
    return b.load(b.offset(object_, b.i64(place), "i8"), type_)


def array_kind(dtype: np.dtype[Any]) -> int:
    """What ARRAY's field `kind` is for arrays of this dtype."""
    return ctypes.c_int64.from_address(id(dtype) + DESCRIPTOR_KIND).value & KIND_MASK


def emit_fits(module: Module) -> None:
    """`fits`: whether an object is an array exactly as described, its elements in order and aligned."""
    b, (array, address) = function(module, "fits", "ptr object, ptr array", "i1")
    array_is = b.compare("eq", _byte(b, array, OBJECT_TYPE, "ptr"), b.service("ndarray"))
    description = b.record(INPUT, address)
    different = b.label()
    same = b.label()
    b.return_when(b.negate(array_is), FALSE)
    descriptor = _byte(b, array, ARRAY_DESCRIPTOR, "ptr")
    b.branch(b.compare("eq", descriptor, description.get("descriptor")), same, different)
    b.start(different)
    kind = b.binary("and", _byte(b, descriptor, DESCRIPTOR_KIND, "i64"), b.i64(KIND_MASK))
    b.return_when(b.compare("ne", kind, description.get("kind")), FALSE)
    b.jump(same)
    b.start(same)
    rank = b.convert("zext", _byte(b, array, ARRAY_RANK, "i32"), "i64")
    b.return_when(b.compare("ne", rank, description.get("rank")), FALSE)
    flags = b.binary("and", _byte(b, array, ARRAY_FLAGS, "i32"), Value(str(CONTIGUOUS_ALIGNED), "i32"))
    b.return_when(b.compare("ne", flags, Value(str(CONTIGUOUS_ALIGNED), "i32")), FALSE)
    ours, theirs = description.get("dimensions"), _byte(b, array, ARRAY_DIMENSIONS, "ptr")
    with b.loop(ZERO, rank) as loop:
        b.return_when(b.compare("ne", b.item(ours, loop.index, "i64"), b.item(theirs, loop.index, "i64")), FALSE)
    b.ret(TRUE)


def emit_new_array(module: Module) -> None:
    """`new_array`: an uninitialised array as described, or null with Python's error set."""
    b, (address,) = function(module, "new_array", "ptr array", "ptr")
    array = b.record(INPUT, address)
    descriptor, zero = array.get("descriptor"), Value("0", "i32")
    b.invoke("void", "Py_IncRef", descriptor)  # the call below takes it over
    rank = b.convert("trunc", array.get("rank"), "i32")
    dimensions = array.get("dimensions")
    operands = (b.service("ndarray"), descriptor, rank, dimensions, NULL, NULL, zero, NULL)
    b.ret(b.invoke("ptr", "PyArray_NewFromDescr", *operands))


def emit_variable_access(module: Module) -> None:
    """`get_value`: a new reference to a variable's value (null: none, with or without an error set); `set_value`.

    The value of an object with slots is read where it lies; that of any other through Python's attributes.
    """
    b, (address,) = function(module, "get_value", "ptr variable", "ptr")
    variable = b.record(VARIABLE, address)
    state, offset = variable.get("state"), variable.get("offset")
    with b.when(b.compare("ne", offset, ZERO)):
        value = b.load(b.offset(state, offset, "i8"), "ptr")
        b.invoke("void", "Py_IncRef", value)  # which takes null
        b.ret(value)
    b.ret(b.invoke("ptr", "PyObject_GetAttr", state, b.service("value")))

    b, (address, value) = function(module, "set_value", "ptr variable, ptr value", "i32")
    variable = b.record(VARIABLE, address)
    state, offset = variable.get("state"), variable.get("offset")
    with b.when(b.compare("ne", offset, ZERO)):
        place = b.offset(state, offset, "i8")
        before = b.load(place, "ptr")
        b.invoke("void", "Py_IncRef", value)
        b.store(value, place)
        b.invoke("void", "Py_DecRef", before)
        b.ret(NO_ERROR)
    b.ret(b.invoke("i32", "PyObject_SetAttr", state, b.service("value"), value))


def emit_is_exclusive(module: Module) -> None:
    """`is_exclusive`: whether only its variable and this run hold the array, and its memory is its own and writeable."""
    b, (array,) = function(module, "is_exclusive", "ptr array", "i1")
    count = b.load(array, "i32")  # the low half, which is where CPython 3.14 keeps it all
    wanted = Value(str(OWNED_CONTIGUOUS_ALIGNED_WRITEABLE), "i32")
    flags = b.binary("and", _byte(b, array, ARRAY_FLAGS, "i32"), wanted)
    alone = b.compare("eq", count, Value("2", "i32"))
    b.ret(b.binary("and", alone, b.compare("eq", flags, wanted)))


def emit_find(module: Module) -> None:
    """`find_array`: the array that a run uses for one variable, as a new reference; null and an error, or null and none
    where the variable's value is not what the program is for."""
    b, (address,) = function(module, "find_array", "ptr variable", "ptr")
    variable = b.record(VARIABLE, address)
    mode = variable.get("mode")
    value = b.call("ptr", "@get_value", address)
    b.return_when(b.is_null(value), NULL)
    replace, copy, whole, unfit = (b.label() for _ in range(4))
    is_out = b.compare("eq", mode, b.i64(Mode.OUT))
    checked = b.label()
    b.branch(b.call("i1", "@fits", value, address), checked, unfit)

    b.start(checked)
    reads = b.compare("eq", mode, b.i64(Mode.READ))
    usable = b.value("i1", f"select i1 {reads.text}, i1 true, {b.call('i1', '@is_exclusive', value)}")
    b.branch(usable, whole, replace)
    b.start(whole)
    b.ret(value)

    b.start(replace)
    fresh = b.label()
    b.branch(is_out, fresh, copy)
    b.start(copy)
    copied = b.invoke("ptr", "PyArray_NewCopy", value, NO_ERROR)
    b.invoke("void", "Py_DecRef", value)
    b.return_when(b.is_null(copied), NULL)
    b.return_when(b.compare("eq", b.call("i32", "@set_value", address, copied), NO_ERROR), copied)
    b.invoke("void", "Py_DecRef", copied)
    b.ret(NULL)

    b.start(unfit)
    give_up = b.label()
    b.branch(is_out, fresh, give_up)
    b.start(give_up)
    b.invoke("void", "Py_DecRef", value)
    b.ret(NULL)

    b.start(fresh)
    b.invoke("void", "Py_DecRef", value)
    b.ret(b.call("ptr", "@new_array", address))


def emit_acquire(module: Module) -> None:
    """`acquire`: puts the arrays of all variables into the frame (those it is not to reload: of all but `out` ones). 0, 1 if
    a variable's value is not what the program is for, -1 with Python's error set. What it took it gives back in that case.

    `release`: gives the arrays back.
    """
    b, (program_address, frame_address, reload) = function(
        module, "acquire", "ptr program, ptr frame, i1 reload", "i64"
    )
    program, frame = b.record(PROGRAM, program_address), b.record(FRAME, frame_address)
    slots, held = frame.get("slots"), frame.get("held")
    failed = b.label()
    with b.loop(ZERO, program.get("variable_count")) as loop:
        variable = b.element(VARIABLE, program.get("variables"), loop.index)
        with b.when(_is_concerned(b, variable, reload)):
            array = b.call("ptr", "@find_array", variable.pointer)
            b.goto_when(b.is_null(array), failed)
            b.set_item(held, loop.index, array)
            b.set_item(slots, variable.get("slot"), _byte(b, array, ARRAY_DATA, "ptr"))
    b.ret(ZERO)
    b.start(failed)
    b.call("void", "@release", program_address, frame_address, FALSE)
    raised = b.compare("ne", b.invoke("ptr", "PyErr_Occurred"), NULL)
    b.ret(b.select(raised, b.i64(-1), ONE))

    b, (program_address, frame_address, reload) = function(module, "release", "ptr program, ptr frame, i1 reload")
    program, frame = b.record(PROGRAM, program_address), b.record(FRAME, frame_address)
    held = frame.get("held")
    with b.loop(ZERO, program.get("variable_count")) as loop:
        variable = b.element(VARIABLE, program.get("variables"), loop.index)
        with b.when(_is_concerned(b, variable, reload)):
            _drop(b, held, loop.index)
    b.ret()


def _is_concerned(b: Writer, variable: Record, reload: Value) -> Value:
    stays = b.compare("eq", variable.get("mode"), b.i64(Mode.OUT))
    return b.negate(b.binary("and", reload, stays))


def _drop(b: Writer, table: Value, index: Value) -> None:
    """Gives up the reference (or null) at `index`."""
    place = b.offset(table, index, "ptr")
    array = b.load(place, "ptr")
    b.store(NULL, place)
    b.invoke("void", "Py_DecRef", array)


def emit_outputs(module: Module) -> None:
    """`make_outputs`: the fresh arrays, into the frame; false with Python's error set. `drop_outputs`: gives them back.
    `publish`: after the run, gives `out` variables their values; false with Python's error set."""
    b, (program_address, frame_address) = function(module, "make_outputs", "ptr program, ptr frame", "i1")
    program, frame = b.record(PROGRAM, program_address), b.record(FRAME, frame_address)
    slots, made = frame.get("slots"), frame.get("made")
    with b.loop(ZERO, program.get("output_count")) as loop:
        output = b.element(OUTPUT, program.get("outputs"), loop.index)
        with b.when(b.compare("eq", output.get("source"), b.i64(Source.FRESH))):
            array = b.call("ptr", "@new_array", output.pointer)
            b.return_when(b.is_null(array), FALSE)
            b.set_item(made, loop.index, array)
            b.set_item(slots, output.get("slot"), _byte(b, array, ARRAY_DATA, "ptr"))
    b.ret(TRUE)

    b, (program_address, frame_address) = function(module, "drop_outputs", "ptr program, ptr frame")
    made = b.record(FRAME, frame_address).get("made")
    with b.loop(ZERO, b.record(PROGRAM, program_address).get("output_count")) as loop:
        _drop(b, made, loop.index)
    b.ret()

    b, (program_address, frame_address) = function(module, "publish", "ptr program, ptr frame", "i1")
    program, frame = b.record(PROGRAM, program_address), b.record(FRAME, frame_address)
    held = frame.get("held")
    with b.loop(ZERO, program.get("variable_count")) as loop:
        variable = b.element(VARIABLE, program.get("variables"), loop.index)
        with b.when(b.compare("eq", variable.get("mode"), b.i64(Mode.OUT))):
            done = b.call("i32", "@set_value", variable.pointer, b.item(held, loop.index))
            b.return_when(b.compare("ne", done, NO_ERROR), FALSE)
    b.ret(TRUE)


def emit_take_output(module: Module) -> None:
    """`take_output`: output number `index`, as a new reference."""
    b, (program_address, frame_address, arguments, index) = function(
        module, "take_output", "ptr program, ptr frame, ptr arguments, i64 index", "ptr"
    )
    program, frame = b.record(PROGRAM, program_address), b.record(FRAME, frame_address)
    output = b.element(OUTPUT, program.get("outputs"), index)
    source, made = output.get("source"), frame.get("made")
    with b.when(b.compare("eq", source, b.i64(Source.FRESH))):
        array = b.item(made, index)
        b.set_item(made, index, NULL)
        b.ret(array)
    which = output.get("index")
    number = b.value("i64", f"ptrtoint {which} to i64")
    found = b.local("ptr", which)
    for kind, table in ((Source.INPUT, arguments), (Source.VARIABLE, frame.get("held"))):
        with b.when(b.compare("eq", source, b.i64(kind))):
            found.set(b.item(table, number))
    b.invoke("void", "Py_IncRef", found.get())
    b.ret(found.get())


def emit_collect(module: Module) -> None:
    """`collect`: all outputs, as the call returns them."""
    b, (program_address, frame_address, arguments) = function(
        module, "collect", "ptr program, ptr frame, ptr arguments", "ptr"
    )
    program = b.record(PROGRAM, program_address)
    kind, count = program.get("result"), program.get("output_count")

    def take(index: Value) -> Value:
        return b.call("ptr", "@take_output", program_address, frame_address, arguments, index)

    with b.when(b.compare("eq", kind, b.i64(Result.SINGLE))):
        b.ret(take(ZERO))
    for result, new, set_item in (
        (Result.LIST, "PyList_New", "PyList_SetItem"),
        (Result.TUPLE, "PyTuple_New", "PyTuple_SetItem"),
    ):
        with b.when(b.compare("eq", kind, b.i64(result))):
            sequence = b.invoke("ptr", new, count)
            b.return_when(b.is_null(sequence), NULL)
            with b.loop(ZERO, count) as loop:
                b.invoke("i32", set_item, sequence, loop.index, take(loop.index))
            b.ret(sequence)
    b.ret(NULL)


def emit_frames(module: Module) -> None:
    """`take_frame`: a frame that no other run uses, or null with Python's error set. `put_frame`: gives it back.

    The GIL is held in both, and guards the list of free frames."""
    b, (address,) = function(module, "take_frame", "ptr program", "ptr")
    program = b.record(PROGRAM, address)
    with b.when(b.is_null(program.get("free_frames"))):
        result = b.invoke("ptr", "PyObject_CallNoArgs", program.get("make_frame"))  # puts one into the list
        b.return_when(b.is_null(result), NULL)
        b.invoke("void", "Py_DecRef", result)
    frame = program.get("free_frames")
    program.set("free_frames", b.record(FRAME, frame).get("next"))
    b.ret(frame)

    b, (address, frame) = function(module, "put_frame", "ptr program, ptr frame")
    program = b.record(PROGRAM, address)
    b.record(FRAME, frame).set("next", program.get("free_frames"))
    program.set("free_frames", frame)
    b.ret()


def emit_lock(module: Module) -> None:
    """`lock`: takes the program's lock, if it has one, giving up the GIL while it waits. `unlock`."""
    b, (lock,) = function(module, "lock", "ptr lock")
    with b.when(b.compare("ne", lock, NULL)):
        busy = b.compare("ne", b.invoke("i32", "pthread_mutex_trylock", lock), NO_ERROR)
        with b.when(busy):
            state = b.invoke("ptr", "PyEval_SaveThread")
            b.invoke("i32", "pthread_mutex_lock", lock)
            b.invoke("void", "PyEval_RestoreThread", state)
    b.ret()

    b, (lock,) = function(module, "unlock", "ptr lock")
    with b.when(b.compare("ne", lock, NULL)):
        b.invoke("i32", "pthread_mutex_unlock", lock)
    b.ret()


def emit_take_inputs(module: Module) -> None:
    """`take_inputs`: puts the addresses of the arguments into the frame; false if one is not what the program is for."""
    b, (program_address, frame_address, arguments) = function(
        module, "take_inputs", "ptr program, ptr frame, ptr arguments", "i1"
    )
    program, frame = b.record(PROGRAM, program_address), b.record(FRAME, frame_address)
    slots = frame.get("slots")
    with b.when(b.compare("ne", program.get("restores_slots"), ZERO)):
        size = b.mul(program.get("slot_count"), b.i64(8))
        module.declare("llvm.memcpy", "void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        b.line(f"call void @llvm.memcpy.p0.p0.i64({slots}, {frame.get('initial')}, {size}, i1 false)")
    with b.loop(ZERO, program.get("input_count")) as loop:
        array = b.item(arguments, loop.index)
        input_ = b.element(INPUT, program.get("inputs"), loop.index)
        b.return_when(b.negate(b.call("i1", "@fits", array, input_.pointer)), FALSE)
        b.set_item(slots, input_.get("slot"), _byte(b, array, ARRAY_DATA, "ptr"))
    b.ret(TRUE)


def emit_execute(module: Module) -> None:
    """`execute`: one run, without the GIL if it is to be a long one; the GIL is held before and after. Gives the status,
    which it also leaves in the frame."""
    b, (program, frame_address) = function(module, "execute", "ptr program, ptr frame", "i64")
    frame = b.record(FRAME, frame_address)
    frame.set("error", ZERO)
    with b.when(b.compare("ne", b.record(PROGRAM, program).get("releases_gil"), ZERO)):
        b.call("void", "@drop_gil", frame_address)
    status = b.call("i64", "@run", program, frame_address)
    b.call("void", "@take_gil", frame_address)
    frame.set("status", status)
    b.ret(status)


def emit_call(module: Module) -> None:
    """`call`: the builtin, as METH_FASTCALL has it. Its self is a tuple whose first item is the array that holds the program."""
    b, (self, arguments, count) = function(module, "call", "ptr self, ptr arguments, i64 count", "ptr")
    address = _byte(b, _byte(b, self, TUPLE_ITEMS, "ptr"), ARRAY_DATA, "ptr")
    program = b.record(PROGRAM, address)
    none = b.service("None")
    with b.when(b.compare("ne", count, program.get("input_count"))):
        b.invoke("void", "Py_IncRef", none)
        b.ret(none)
    frame = b.call("ptr", "@take_frame", address)
    b.return_when(b.is_null(frame), NULL)
    result = b.local("ptr", none)
    give_back, unlock, release, drop = (b.label() for _ in range(4))

    b.goto_when(b.negate(b.call("i1", "@take_inputs", address, frame, arguments)), give_back)
    b.call("void", "@lock", program.get("lock"))
    found = b.call("i64", "@acquire", address, frame, FALSE)
    result.set(b.select(b.compare("slt", found, ZERO), NULL, none))
    b.goto_when(b.compare("ne", found, ZERO), unlock)
    result.set(NULL)
    b.goto_when(b.negate(b.call("i1", "@make_outputs", address, frame)), drop)
    status = b.call("i64", "@execute", address, frame)
    with b.when(b.compare("eq", status, ZERO)):
        b.goto_when(b.negate(b.call("i1", "@publish", address, frame)), drop)
        result.set(b.call("ptr", "@collect", address, frame, arguments))
        b.jump(release)
    # A failure that Python does not know yet is told to the program's own handler, which raises.
    with b.when(b.is_null(b.invoke("ptr", "PyErr_Occurred"))):
        object_ = b.record(FRAME, frame).get("object")
        result.set(b.invoke("ptr", "PyObject_CallOneArg", program.get("failed"), object_))
    b.jump(drop)

    b.start(drop)
    b.call("void", "@drop_outputs", address, frame)
    b.jump(release)
    b.start(release)
    b.call("void", "@release", address, frame, FALSE)
    b.jump(unlock)
    b.start(unlock)
    b.call("void", "@unlock", program.get("lock"))
    b.jump(give_back)
    b.start(give_back)
    b.call("void", "@put_frame", address, frame)
    with b.when(b.compare("eq", result.get(), none)):
        b.invoke("void", "Py_IncRef", none)
    b.ret(result.get())


def emit_entry(module: Module) -> None:
    """All functions of the entry; `run` is the driver's."""
    for emit in (
        emit_fits, emit_new_array, emit_variable_access, emit_is_exclusive, emit_find, emit_acquire, emit_outputs,
        emit_take_output, emit_collect, emit_frames, emit_lock, emit_take_inputs,
        emit_execute, emit_call,
    ):  # fmt: skip
        emit(module)


# ---- making sure ------------------------------------------------------------------------------------------------


def check_layouts() -> bool:
    """Whether objects of this Python and this NumPy are laid out as the native entry expects."""
    if sysconfig.get_config_var("Py_GIL_DISABLED") or sys.implementation.name != "cpython":
        return False
    if sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != 8 or sys.maxsize != 2**63 - 1:
        return False
    return all(_array_is_laid_out(array) for array in _samples()) and _references_are_laid_out()


def _samples() -> list[np.ndarray[Any, Any]]:
    return [np.zeros((2, 3), np.float32), np.zeros((), np.int64), np.zeros((4, 0, 2), np.bool_), np.ones((5, 2)).T]


def _word(address: int, type_: type[Any] = ctypes.c_int64) -> int:
    return int(type_.from_address(address).value)


def _array_is_laid_out(array: np.ndarray[Any, Any]) -> bool:
    address, dtype = id(array), array.dtype
    dimensions = _word(address + ARRAY_DIMENSIONS)
    flags = _word(address + ARRAY_FLAGS, ctypes.c_int32)
    kind = bytes((ctypes.c_char * 8).from_address(id(dtype) + DESCRIPTOR_KIND))
    expected = dtype.kind.encode() + dtype.char.encode() + dtype.byteorder.encode()
    return (
        _word(address + OBJECT_TYPE) == id(np.ndarray)
        and _word(address + ARRAY_DATA) == array.ctypes.data
        and _word(address + ARRAY_RANK, ctypes.c_int32) == array.ndim
        and tuple(_word(dimensions + 8 * axis) for axis in range(array.ndim)) == array.shape
        and _word(address + ARRAY_DESCRIPTOR) == id(dtype)
        and flags == array.flags.num
        and kind[:3] == expected
        and int.from_bytes(kind[4:], "little") == dtype.num
    )


def _references_are_laid_out() -> bool:
    array = np.zeros(3)
    others = [array] * 3
    before = _word(id(array), ctypes.c_int32)
    pair = (array, None)
    after = _word(id(array), ctypes.c_int32)
    return len(others) == 3 and before == 4 and after == 5 and _word(id(pair) + TUPLE_ITEMS) == id(array)
