"""The records that the native runtime and Python share, and the builder that reads and writes them.

A record is a run of eight-byte fields, so that Python fills it as an array of integers and the two sides cannot
disagree about padding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from rillet.engines.native.llvm import Builder, Module, Value


class Layout:
    """Named fields of eight bytes, in order. `fields` is "ptr next, i64 count, ..."; "pad" leaves room without a name."""

    def __init__(self, name: str, fields: str, base: Layout | None = None) -> None:
        self.name = name
        self.types: dict[str, str] = dict(base.types) if base else {}
        self._places: dict[str, int] = dict(base._places) if base else {}
        count: int = base.words if base else 0
        for field in fields.split(","):
            type_, _, field_name = field.strip().partition(" ")
            if type_ == "pad":
                count += int(field_name)
                continue
            self.types[field_name] = type_
            self._places[field_name] = count
            count += 1
        self.words: int = count

    @property
    def size(self) -> int:
        """Bytes of one record."""
        return 8 * self.words

    def place(self, field: str) -> int:
        """Which eight-byte word of the record the field is."""
        return self._places[field]

    def pack(self, values: Mapping[str, int]) -> list[int]:
        """The record's words; fields without a value are 0."""
        words = [0] * self.words
        for field, value in values.items():
            words[self._places[field]] = value
        return words


# What runs: one record a program, and the tables it points to.
PROGRAM = Layout(
    "program",
    "ptr free_frames, ptr make_frame, ptr steps, ptr numbers, ptr callbacks, i64 slot_count, i64 restores_slots, "
    "i64 input_count, ptr inputs, i64 variable_count, ptr variables, i64 output_count, ptr outputs, i64 result, "
    "ptr lock, i64 releases_gil, ptr failed",
)
STEP = Layout("step", "i64 opcode, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f, i64 ticks")

# What an array must be: `kind` is the bytes of a NumPy descriptor that say its type and byte order.
ARRAY = Layout("array", "ptr descriptor, i64 kind, i64 rank, ptr dimensions")
INPUT = Layout("input", "i64 slot", ARRAY)
VARIABLE = Layout("variable", "i64 slot, ptr state, i64 offset, i64 mode", ARRAY)
OUTPUT = Layout("output", "i64 slot, i64 source, ptr index", ARRAY)

# One run's memory. `held` are the arrays of the variables, `made` the fresh outputs: references that the run owns.
FRAME = Layout(
    "frame",
    "ptr next, ptr object, ptr slots, ptr initial, ptr operands, ptr held, ptr made, ptr scratch, ptr shares, "
    "ptr thread_state, i64 deadline, i64 status, i64 error",
)


class Record:
    """A pointer to a record, whose fields are read and written by name."""

    def __init__(self, writer: Writer, layout: Layout, pointer: Value) -> None:
        self.writer = writer
        self.layout = layout
        self.pointer = pointer

    def address(self, field: str) -> Value:
        return self.writer.offset(self.pointer, self.writer.i64(self.layout.place(field)), "i64")

    def get(self, field: str) -> Value:
        return self.writer.load(self.address(field), self.layout.types[field])

    def set(self, field: str, value: Value) -> None:
        self.writer.store(value, self.address(field))


class Local:
    """A variable of the function being written: a place on the stack that LLVM turns into a register."""

    def __init__(self, writer: Writer, type_: str) -> None:
        self.writer = writer
        self.type = type_
        self.place = writer.alloca(type_, align=8)

    def get(self) -> Value:
        return self.writer.load(self.place, self.type)

    def set(self, value: Value) -> None:
        self.writer.store(value, self.place)


NULL = Value("null", "ptr")

# What generated code gets from outside, each found by its name when the code is loaded.
PYTHON_FUNCTIONS = (
    "PyEval_SaveThread", "PyEval_RestoreThread", "PyErr_CheckSignals", "PyErr_Occurred", "PyObject_CallNoArgs",
    "PyObject_CallOneArg", "PyObject_GetAttr", "PyObject_SetAttr", "Py_IncRef", "Py_DecRef", "PyList_New",
    "PyList_SetItem", "PyTuple_New", "PyTuple_SetItem",
)  # fmt: skip
LIBRARY_FUNCTIONS = (
    "clock_gettime", "calloc", "aligned_alloc", "free", "sigfillset", "pthread_self", "pthread_create", "pthread_detach",
    "pthread_sigmask", "pthread_mutex_lock", "pthread_mutex_trylock", "pthread_mutex_unlock", "pthread_cond_wait",
    "pthread_cond_signal", "pthread_cond_broadcast",
)  # fmt: skip
NUMPY_FUNCTIONS = {"PyArray_NewFromDescr": 94, "PyArray_NewCopy": 85}  # places in NumPy's table, part of its ABI
OBJECTS = ("None", "ndarray", "value", "state")
SERVICES = (*PYTHON_FUNCTIONS, *LIBRARY_FUNCTIONS, *NUMPY_FUNCTIONS, *OBJECTS)
SERVICE_TABLE = "services"

# What all programs of the process share.
STATE = Layout("state", "ptr pool, ptr main_thread")

# The pool: what threads write often lies apart from what they read. The mutex and the conditions are the system's own.
POOL = Layout(
    "pool",
    "i64 word, pad 15, i64 busy, i64 started, pad 14, i64 helpers, i64 stop, i64 sleepers, i64 waiting, ptr frame, "
    "ptr shares, i64 total, i64 scratch, pad 8, i64 mutex, pad 15, i64 work, pad 15, i64 done, pad 15",
)
LANE = Layout("lane", "ptr pool, ptr scratch, i64 scratch_bytes")  # one a worker
SHARE = Layout("share", "ptr step, i64 chunk, i64 end")  # a kernel of a wave, cut: its last share's number, plus one


class Writer(Builder):
    """A builder with records, variables, gotos and the functions of Python, NumPy and the C library.

    These are reached through a table that is filled when the code is loaded, so that the code can be cached.
    """

    def record(self, layout: Layout, pointer: Value) -> Record:
        return Record(self, layout, pointer)

    def element(self, layout: Layout, table: Value, index: Value) -> Record:
        """The record number `index` of a table of records."""
        return Record(self, layout, self.offset(table, self.mul(index, self.i64(layout.words)), "i64"))

    def local(self, type_: str, start: Value | None = None) -> Local:
        result = Local(self, type_)
        if start is not None:
            result.set(start)
        return result

    def service(self, name: str) -> Value:
        """The address that stands in the table of services: of a function or of an object."""
        place = self.offset(Value(f"@{SERVICE_TABLE}", "ptr"), self.i64(SERVICES.index(name)), "ptr")
        return self.load(place, "ptr")

    def invoke(self, returns: str, name: str, *operands: Value) -> Value:
        """Calls a function of the table of services."""
        return self.call(returns, self.service(name).text, *operands)

    def is_null(self, pointer: Value) -> Value:
        return self.compare("eq", pointer, NULL)

    def negate(self, condition: Value) -> Value:
        return self.value("i1", f"xor {condition}, true")

    def goto_when(self, condition: Value, label: str) -> None:
        following = self.label()
        self.branch(condition, label, following)
        self.start(following)

    def return_when(self, condition: Value, result: Value) -> None:
        yes, following = self.label(), self.label()
        self.branch(condition, yes, following)
        self.start(yes)
        self.ret(result)
        self.start(following)

    @contextlib.contextmanager
    def forever(self) -> Iterator[tuple[str, str]]:
        """A loop that is left, or begun again, by going to one of the two labels it gives: (again, leave)."""
        again, leave = self.label(), self.label()
        self.jump(again)
        self.start(again)
        yield again, leave
        self.jump(again)
        self.start(leave)

    def item(self, table: Value, index: Value, type_: str = "ptr") -> Value:
        return self.load(self.offset(table, index, type_), type_)

    def set_item(self, table: Value, index: Value, value: Value) -> None:
        self.store(value, self.offset(table, index, value.type))


def function(
    module: Module, name: str, parameters: str, returns: str = "void", attributes: str = ""
) -> tuple[Writer, list[Value]]:
    """A private function of the module; `parameters` is "ptr program, i64 index"."""
    pairs = [(part.split()[0], part.split()[1]) for part in parameters.split(",") if part.strip()]
    writer = Writer(module, name, pairs, f"internal {returns}", attributes)
    return writer, [writer.parameters[parameter] for _, parameter in pairs]
