"""Functions as text, and back.

    function "step" {
      %0 = input float32[3,?]  // x
      %1 = input resource<float32[4]>[]  // w
      %2 = ReadVariableOp(%1) {dtype: float32} : float32[4]  // read
      %3 = AddV2(%0, %2) {T: float32} after "init" : float32[3,4]  // add
      %4, %5 = Split(%6, %3) {num_split: 2, T: float32} : float32[3,2], float32[3,2]  // split
      NoOp() after "add", "split"  // done
      return %4
    }

What is behind // is the operation's name; `after` names those that it waits for without reading them. Attributes are
numbers, "texts", dtypes, shape[3,?] ([*]: of any rank), tensors (float32[2] [0.5, 1.5]), functions (@"name", which stand
before the one that calls them), lists of these, and none. What else there is (a Python object) is shown as <...>, and
cannot be read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rillet.compiler.passes import text_of
from rillet.compiler.tokens import TextError, Tokens, quoted, read_number
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import SymbolicTensor, handle_data, set_handle_data

# Tensors of more elements are printed in short, unless they are to be read again.
SHORT = 64

# ---- printing -------------------------------------------------------------------------------------------------------


@text_of.register
def function_text(function: Function, longest: int = SHORT) -> str:
    """The Function, and before it those that it calls. longest: tensors of more elements are shortened, and cannot be read
    back."""
    printer = _Printer(longest)
    printer.add(function)
    return "\n".join(printer.texts)


class _Printer:
    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.texts: list[str] = []
        self._names: dict[int, str] = {}

    def add(self, function: Function) -> str:
        """Prints the function, if that has not been done, and returns its name."""
        known = self._names.get(id(function))
        if known is not None:
            return known
        name = function.name
        while name in self._names.values():
            name += "_"
        self._names[id(function)] = name
        lines = self._lines(function)
        self.texts.append("\n".join([f"function {quoted(name)} {{", *[f"  {line}" for line in lines], "}"]))
        return name

    def _lines(self, function: Function) -> list[str]:
        names: dict[int, str] = {}

        def name(tensors: Iterable[Any]) -> str:
            return ", ".join(names.setdefault(id(tensor), f"%{len(names)}") for tensor in tensors)

        lines = [
            f"{name([tensor])} = input {tensor_type(tensor)}  // {_input_name(tensor)}" for tensor in function.inputs
        ]
        inside = {id(operation) for operation in function.operations}
        for operation in function.operations:
            call = f"{operation.type}({name(operation.inputs)})"
            attrs = ", ".join(f"{key}: {self._value(value)}" for key, value in operation.attrs.items())
            waits = [quoted(other.name) for other in operation.control_inputs if id(other) in inside]
            line = f"{name(operation.outputs)} = {call}" if operation.outputs else call
            line += f" {{{attrs}}}" if attrs else ""
            line += f" after {', '.join(waits)}" if waits else ""
            line += f" : {', '.join(map(tensor_type, operation.outputs))}" if operation.outputs else ""
            lines.append(f"{line}  // {operation.name}")
        return [*lines, f"return {name(function.outputs)}".rstrip()]

    def _value(self, value: Any) -> str:
        if value is None:
            return "none"
        if isinstance(value, DType):
            return value.name
        if isinstance(value, (bool, np.bool_)):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return repr(value)
        if isinstance(value, str):
            return quoted(value)
        if isinstance(value, bytes):
            return f"bytes {quoted(value.decode('latin-1'))}"
        if isinstance(value, TensorShape):
            return f"shape{shape_text(value)}"
        if isinstance(value, (tuple, list)):
            return f"[{', '.join(map(self._value, value))}]"
        if isinstance(value, Function):
            return f"@{quoted(self.add(value))}"
        if isinstance(value, (np.ndarray, np.generic)):
            return self._tensor(np.asarray(value))
        return f"<{type(value).__name__}>"

    def _tensor(self, array: np.ndarray[Any, Any]) -> str:
        dtype = dtypes.as_dtype(array.dtype)
        head = f"{dtype.name}[{','.join(map(str, array.shape))}]"
        flat = array.reshape(-1)
        if (
            dtype is not dtypes.string
            and array.size > 1
            and (flat.view(_bits(array)) == flat.view(_bits(array))[0]).all()
        ):
            return f"{head} all {_number(flat[0], dtype)}"
        if array.size > self.longest:
            return f"{head} [...]"
        if dtype is dtypes.string:
            return f"{head} [{', '.join(quoted(bytes(item).decode('latin-1')) for item in flat)}]"
        return f"{head} [{', '.join(_number(item, dtype) for item in flat)}]"


def _bits(array: np.ndarray[Any, Any]) -> np.dtype[Any]:
    return np.dtype(f"V{array.dtype.itemsize}")


def _number(value: Any, dtype: DType) -> str:
    if dtype.is_complex:
        return f"({value.real!s}, {value.imag!s})"
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype in (dtypes.float32, dtypes.float64):
        return str(value)
    return repr(float(value)) if dtype.is_floating else str(int(value))


def _input_name(tensor: SymbolicTensor) -> str:
    return tensor.op.name if tensor.value_index == 0 else f"{tensor.op.name}.{tensor.value_index}"


def shape_text(shape: TensorShape) -> str:
    if shape.rank is None:
        return "[*]"
    return f"[{','.join('?' if extent is None else str(extent) for extent in shape.as_list())}]"


def tensor_type(tensor: Any) -> str:
    known = handle_data(tensor) if tensor.dtype.base_dtype in (dtypes.resource, dtypes.variant) else None
    inner = "" if known is None else f"<{known[0].name}{shape_text(known[1])}>"
    return f"{tensor.dtype.name}{inner}{shape_text(tensor.shape)}"


# ---- reading --------------------------------------------------------------------------------------------------------


def read_function(text: str) -> Function:
    """The last Function of a text that `function_text` printed, in a graph of its own. TextError if the text is none."""
    tokens = Tokens(text)
    functions: dict[str, Function] = {}
    result: Function | None = None
    while tokens.next:
        tokens.expect("function")
        name = tokens.string()
        result = functions[name] = _Reader(tokens, functions, name).function()
    if result is None:
        raise TextError("there is no function in the text")
    return result


class _Reader:
    def __init__(self, tokens: Tokens, functions: dict[str, Function], name: str) -> None:
        self.tokens = tokens
        self.functions = functions
        self.graph = FuncGraph(name, outer_graph=None)
        self.tensors: dict[str, SymbolicTensor] = {}
        self.operations: dict[str, Operation] = {}

    def function(self) -> Function:
        tokens = self.tokens
        tokens.expect("{")
        while not tokens.accept("return"):
            self._line()
        outputs: list[SymbolicTensor] = []
        while not tokens.accept("}"):
            outputs.append(self._tensor())
            tokens.accept(",")
        graph = self.graph
        return Function(graph.name, graph.inputs, outputs, list(self.operations.values()), graph)

    def _tensor(self) -> SymbolicTensor:
        name = self.tokens.take()
        if name not in self.tensors:
            raise self.tokens.error(f"there is no tensor {name} before this line")
        return self.tensors[name]

    def _line(self) -> None:
        tokens = self.tokens
        results: list[str] = []
        if tokens.next.startswith("%"):
            results.append(tokens.take())
            while tokens.accept(","):
                results.append(tokens.take())
            tokens.expect("=")
        if tokens.accept("input"):
            self._input(results[0])
        else:
            self._operation(results)

    def _input(self, name: str) -> None:
        dtype, shape, known = self._type()
        tensor = self.graph.add_input(dtype, shape, self.tokens.comment())
        set_handle_data(tensor, known)
        self.tensors[name] = tensor

    def _operation(self, results: Sequence[str]) -> None:
        tokens = self.tokens
        type_ = tokens.take()
        if type_ not in REGISTRY:
            raise tokens.error(f"there is no op {type_}")
        inputs = tuple(tokens.listed(self._tensor, "(", ")"))
        attrs = dict(tokens.listed(self._attribute, "{", "}")) if tokens.next == "{" else {}
        waits: list[Operation] = []
        if tokens.accept("after"):
            waits.append(self._named())
            while tokens.accept(","):
                waits.append(self._named())
        types = []
        if tokens.accept(":"):
            types.append(self._type())
            while tokens.accept(","):
                types.append(self._type())
        operation = self.graph.create_operation(REGISTRY[type_], inputs, attrs, tokens.comment())
        operation.control_inputs.extend(waits)
        if len(results) != len(operation.outputs) or len(types) != len(results):
            raise tokens.error(f"{type_} has {len(operation.outputs)} outputs here")
        for name, tensor, (dtype, shape, known) in zip(results, operation.outputs, types, strict=True):
            if tensor.dtype is not dtype:
                raise tokens.error(f"{type_} gives {tensor.dtype.name}, not {dtype.name}")
            tensor.set_shape(shape)
            set_handle_data(tensor, known)
            self.tensors[name] = tensor
        self.operations[operation.name] = operation

    def _named(self) -> Operation:
        name = self.tokens.string()
        if name not in self.operations:
            raise self.tokens.error(f"there is no operation {name} before this line")
        return self.operations[name]

    # ---- types and attributes -----------------------------------------------------------------------------------

    def _dtype(self) -> DType:
        word = self.tokens.take()
        try:
            return dtypes.as_dtype(word)
        except TypeError:
            raise self.tokens.error(f"{word} is no dtype") from None

    def _type(self) -> tuple[DType, TensorShape, tuple[DType, TensorShape] | None]:
        dtype = self._dtype()
        known: tuple[DType, TensorShape] | None = None
        if self.tokens.accept("<"):
            known = self._dtype(), self._shape()
            self.tokens.expect(">")
        return dtype, self._shape(), known

    def _shape(self) -> TensorShape:
        tokens = self.tokens
        if tokens.accept("[", "*", "]"):
            return TensorShape(None)
        return TensorShape(tokens.listed(lambda: None if tokens.accept("?") else tokens.integer()))

    def _attribute(self) -> tuple[str, Any]:
        name = self.tokens.take()
        self.tokens.expect(":")
        return name, self._value()

    def _value(self) -> Any:
        tokens = self.tokens
        word = tokens.next
        if word.startswith('"'):
            return tokens.string()
        if word == "[":
            return tuple(tokens.listed(self._value))
        simple: dict[str, Callable[[], Any]] = {
            "none": lambda: None,
            "true": lambda: True,
            "false": lambda: False,
            "bytes": lambda: tokens.string().encode("latin-1"),
            "shape": self._shape,
            "@": lambda: self.functions[tokens.string()],
        }
        if word in simple:
            tokens.take()
            return simple[word]()
        if word[0].isdigit() or word[0] == "-" or word in ("inf", "nan"):
            tokens.take()
            return float(word) if any(letter in word for letter in ".einfa") else int(word)
        if word == "<":
            raise tokens.error("this attribute cannot be read back")
        dtype = self._dtype()
        return self._array(dtype) if tokens.next == "[" else dtype

    def _array(self, dtype: DType) -> np.ndarray[Any, Any]:
        tokens = self.tokens
        shape = tokens.listed(tokens.integer)
        if tokens.accept("all"):
            return np.full(shape, self._element(dtype), dtype.numpy_dtype)
        items = tokens.listed(lambda: self._element(dtype))
        result = np.empty(len(items), dtype.numpy_dtype)
        result[:] = items
        return result.reshape(shape)

    def _element(self, dtype: DType) -> Any:
        tokens = self.tokens
        if dtype is dtypes.string:
            return tokens.string().encode("latin-1")
        if dtype.is_complex:
            return complex(*tokens.listed(lambda: float(read_number(tokens)), "(", ")"))
        return read_number(tokens)
