"""What an op is. Each is defined once, by `define`, next to its family in `rillet.ops`; nothing else lists ops.

A definition has
- a signature in TensorFlow's words: names, order and types of inputs and outputs, and the attributes;
- `shape`: static inference (and, for eager calls that fail, the diagnosis);
- `reference`: a NumPy function, which is the meaning of the op: the oracle of every other engine, the constant folder
  and the kernel of eager calls. Inputs come as positional arrays, in order, lists flattened; the attributes it wants
  are its keyword-only parameters. Or `decompose`: the op written in other ops;
- `gradient`: from the op and the gradients of its outputs to the gradients of its inputs, in public ops, so that it
  can be differentiated again; or NO_GRADIENT, said explicitly.
"""

from __future__ import annotations

import functools
import re
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rillet.core import dtypes
from rillet.core.dtypes import DType

if TYPE_CHECKING:
    from rillet.core.graph import Operation

TYPE_GROUPS: dict[str, tuple[DType, ...]] = {
    "any": dtypes.ALL,
    "floating": dtypes.FLOATING,
    "floating_or_complex": dtypes.FLOATING_OR_COMPLEX,
    "complex": dtypes.COMPLEX,
    "real": dtypes.REAL_NUMBER,
    "numeric": dtypes.NUMERIC,
    "integer": dtypes.INTEGER,
    "index": dtypes.INDEX,
}


@dataclass(frozen=True)
class Argument:
    """An input or output. `type_attr` names the attribute that carries its dtype, unless `dtype` fixes it.
    A list of equal types has `number_attr`; a list of mixed types has `type_list_attr`."""

    name: str
    dtype: DType | None = None
    type_attr: str | None = None
    number_attr: str | None = None
    type_list_attr: str | None = None
    is_ref: bool = False

    @property
    def is_list(self) -> bool:
        return self.number_attr is not None or self.type_list_attr is not None


class _Required:
    def __repr__(self) -> str:
        return "<required>"


REQUIRED = _Required()


@dataclass(frozen=True)
class Attribute:
    """`kind` is TensorFlow's: type, int, float, bool, string, shape, tensor, func, any, or list(...) of one."""

    name: str
    kind: str
    default: Any = REQUIRED
    allowed: tuple[DType, ...] | None = None


@dataclass(frozen=True)
class Signature:
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    attributes: dict[str, Attribute]


class _NoGradient:
    def __repr__(self) -> str:
        return "NO_GRADIENT"


NO_GRADIENT = _NoGradient()  # the op has a gradient rule, and it says: nothing flows

GradientRule = Callable[..., Any]
ShapeRule = Callable[["Operation"], Any]


class OpDef:
    """One op. Attributes are what `define` was given; `signature` is parsed on first use."""

    __slots__ = (
        "__dict__",
        "attributes_text",
        "decompose",
        "elementwise",
        "fold",
        "gradient",
        "is_stateful",
        "kernel_attributes",
        "kernel_needs_context",
        "keyword_names",
        "name",
        "passes_reference",
        "reference",
        "shape",
        "shape_value",
        "signature_text",
    )

    def __init__(
        self,
        name: str,
        signature: str,
        attributes: str,
        reference: Callable[..., Any] | None,
        decompose: Callable[..., Any] | None,
        shape: ShapeRule | None,
        gradient: GradientRule | _NoGradient | None,
        is_stateful: bool,
        fold: Callable[[Operation], Any] | None,
        shape_value: Callable[[Operation], Any] | None,
        elementwise: bool,
        passes_reference: bool,
    ) -> None:
        self.name = name
        self.signature_text = signature
        self.attributes_text = attributes
        self.reference = reference
        self.decompose = decompose
        self.shape = shape
        self.gradient = gradient
        self.is_stateful = is_stateful
        self.fold = fold
        self.shape_value = shape_value
        self.elementwise = elementwise
        self.passes_reference = passes_reference
        self.keyword_names = _keyword_only(reference)
        self.kernel_needs_context = "context" in self.keyword_names
        self.kernel_attributes = tuple(name for name in self.keyword_names if name not in ("context", "node"))

    def __repr__(self) -> str:
        return f"<OpDef {self.name}({self.signature_text})>"

    @functools.cached_property
    def signature(self) -> Signature:
        return _parse(self.name, self.signature_text, self.attributes_text)

    @functools.cached_property
    def differentiable(self) -> bool:
        return self.gradient is not None and self.gradient is not NO_GRADIENT

    @functools.cached_property
    def single_output(self) -> bool:
        outputs = self.signature.outputs
        return len(outputs) == 1 and not outputs[0].is_list

    @functools.cached_property
    def result_type(self) -> Any:
        """The named tuple that a call with several outputs returns."""
        return namedtuple(self.name, [argument.name for argument in self.signature.outputs])


def _keyword_only(function: Callable[..., Any] | None) -> tuple[str, ...]:
    code = getattr(function, "__code__", None)
    if code is None:
        return ()
    start = code.co_argcount
    return tuple(code.co_varnames[start : start + code.co_kwonlyargcount])


REGISTRY: dict[str, OpDef] = {}


def define(
    name: str,
    signature: str,
    attributes: str = "",
    *,
    reference: Callable[..., Any] | None = None,
    decompose: Callable[..., Any] | None = None,
    shape: ShapeRule | None = None,
    gradient: GradientRule | _NoGradient | None = None,
    is_stateful: bool = False,
    fold: Callable[[Operation], Any] | None = None,
    shape_value: Callable[[Operation], Any] | None = None,
    elementwise: bool = False,
    passes_reference: bool = False,
) -> OpDef:
    """Registers an op and returns its definition.

    signature: "x: T, y: T -> z: T"; an input "values: N*T" is a list, "inputs: Tin..." a list of mixed types,
        "ref: Ref(T)" takes a variable itself, not its value; "args: Ref(Tin...)" takes those among its inputs that are
        variables themselves.
    attributes: "T: numeric, axis: index = int32, keep_dims: bool = False, k: int"; a type attribute may name a group
        (see TYPE_GROUPS) or list dtypes: "T: {float32, float64}".
    reference: the NumPy kernel. Keyword-only parameters receive attributes of the same name; `context` receives the
        ExecutionContext, `node` the key of this node's own state in it.
    decompose: the op in other public ops: called with the op's input tensors and attributes.
    shape: given the Operation (inputs, attrs), returns the TensorShape of the output, or a list of them.
    gradient: given (op, *output gradients) returns a gradient (or None) for each input.
    is_stateful: the op reads or writes state, or must run although nobody reads its result.
    fold: given the Operation, the output's value (an array) where static shapes alone decide it, else None: Shape, Rank.
        (An op whose inputs are constants is folded by its reference kernel; that needs no rule.)
    shape_value: given the Operation, the TensorShape that its output, read as a shape vector, is known to be; for ops
        that assemble shapes, where single entries may stay unknown.
    elementwise: each output element depends on the input elements at its own (broadcast) place alone: such ops fuse.
    passes_reference: given a reference variable, the output is the variable itself, read when it is used: after the
        updates that the user waits for. (TensorFlow 1's `v/read` shares the variable's memory.)
    """
    definition = OpDef(
        name,
        signature,
        attributes,
        reference,
        decompose,
        shape,
        gradient,
        is_stateful,
        fold,
        shape_value,
        elementwise,
        passes_reference,
    )
    if REGISTRY.setdefault(name, definition) is not definition:
        raise ValueError(f"op {name} is defined twice")
    return definition


def gradient_of(*names: str) -> Callable[[GradientRule], GradientRule]:
    """Gives ops their gradient rule where it is too long for an argument of `define`."""

    def decorate(rule: GradientRule) -> GradientRule:
        for name in names:
            if REGISTRY[name].gradient is not None:
                raise ValueError(f"op {name} has a gradient rule already")
            REGISTRY[name].gradient = rule
        return rule

    return decorate


# ---- reading signatures -----------------------------------------------------------------------------------------


def _parse(name: str, signature: str, attributes_text: str) -> Signature:
    attributes = {attribute.name: attribute for attribute in map(_attribute, _split(attributes_text))}
    left, arrow, right = signature.partition("->")
    if not arrow:
        raise ValueError(f"op {name}: a signature reads 'inputs -> outputs', not {signature!r}")
    parse = functools.partial(_argument, attributes)
    return Signature(tuple(map(parse, _split(left))), tuple(map(parse, _split(right))), attributes)


def _split(text: str) -> list[str]:
    """Parts between commas that stand outside braces and brackets."""
    return [part.strip() for part in re.split(r",(?![^{\[(]*[}\])])", text) if part.strip()]


def _argument(attributes: dict[str, Attribute], text: str) -> Argument:
    name, _, kind = (part.strip() for part in text.partition(":"))
    is_ref = kind.startswith("Ref(")
    if is_ref:
        kind = kind[4:-1]
    if kind.endswith("..."):
        return Argument(name, type_list_attr=kind[:-3], is_ref=is_ref)
    number = None
    if "*" in kind:
        number, kind = (part.strip() for part in kind.split("*"))
        attributes.setdefault(number, Attribute(number, "int"))
    if kind in attributes:
        return Argument(name, type_attr=kind, number_attr=number, is_ref=is_ref)
    return Argument(name, dtype=dtypes.as_dtype(kind), number_attr=number, is_ref=is_ref)


def _attribute(text: str) -> Attribute:
    head, _, default_text = (part.strip() for part in text.partition("="))
    name, _, kind = (part.strip() for part in head.partition(":"))
    allowed: tuple[DType, ...] | None = None
    if kind in TYPE_GROUPS:
        allowed, kind = TYPE_GROUPS[kind], "type"
    elif kind.startswith("{"):
        allowed = tuple(dtypes.as_dtype(part.strip()) for part in kind[1:-1].split(","))
        kind = "type"
    return Attribute(name, kind, _default(kind, default_text), allowed)


def _default(kind: str, text: str) -> Any:
    if not text:
        return REQUIRED
    if kind == "type":
        return dtypes.as_dtype(text)
    if kind == "string":
        return text.strip("'\"")
    if text == "None":
        return None
    readers: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": lambda word: word == "True"}
    if kind.startswith("list("):
        read: Callable[[str], Any] = readers.get(kind[5:-1], dtypes.as_dtype)
        return tuple(read(part) for part in _split(text.strip("[]")))
    return readers[kind](text)


def argument_dtypes(arguments: Sequence[Argument], attrs: dict[str, Any]) -> list[DType]:
    """The dtype of each tensor that `arguments` stand for, lists spread out."""
    result: list[DType] = []
    for argument in arguments:
        if argument.type_list_attr is not None:
            result.extend(attrs[argument.type_list_attr])
            continue
        dtype: DType = argument.dtype if argument.type_attr is None else attrs[argument.type_attr]  # type: ignore[assignment]
        if argument.is_ref:
            dtype = dtype._as_ref
        result.extend([dtype] * (1 if argument.number_attr is None else attrs[argument.number_attr]))
    return result
