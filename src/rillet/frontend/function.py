"""tf.function: traces Python into a graph, once for each kind of arguments, and calls the trace."""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.autodiff.calls import call_graph
from rillet.core import context, dtypes, nest
from rillet.core.buffers import own_copy
from rillet.core.dispatch import convert_to_tensor
from rillet.core.execution import Plan, eager_context
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.locks import lock
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.errors import OperatorNotAllowedInGraphError, user_site
from rillet.frontend.autograph.conversion import converting, home_of, is_data, traced_form, why_not_converted
from rillet.frontend.autograph_options import feature_names
from rillet.frontend.retracing import (
    Identity,
    Relaxed,
    Retraces,
    count_first_trace,
    pretty_printed,
    tensor_shapes,
)
from rillet.frontend.tracebacks import filtered
from rillet.frontend.variable import Variable

_FROM_NUMPY = {kind: dtype for kind, dtype in dtypes.FROM_NUMPY.items() if kind.kind != "O"}


@public("TensorSpec")
class TensorSpec:
    """The dtype and shape of a tensor argument."""

    def __init__(self, shape: Any, dtype: Any = dtypes.float32, name: str | None = None) -> None:
        self.shape = TensorShape(shape)
        self.dtype = dtypes.as_dtype(dtype)
        self.name = name

    @classmethod
    def from_tensor(cls, tensor: Any, name: str | None = None) -> TensorSpec:
        return cls(tensor.shape, tensor.dtype, name)

    @classmethod
    def from_spec(cls, spec: Any, name: str | None = None) -> TensorSpec:
        return cls(spec.shape, spec.dtype, name or spec.name)

    def is_compatible_with(self, value: Any) -> bool:
        other = value if isinstance(value, (Tensor, TensorSpec)) else convert_to_tensor(value)
        return self.dtype is other.dtype and self.shape.is_compatible_with(other.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorSpec) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> Any:
        return (self.shape.dimensions, self.dtype.name, self.name)

    def __repr__(self) -> str:
        return f"TensorSpec(shape={self.shape}, dtype={self.dtype!r}, name={self.name!r})"


class EagerFunctions:
    """tf.config.run_functions_eagerly."""

    run_eagerly = False


@public("config.run_functions_eagerly", "config.experimental_run_functions_eagerly")
def run_functions_eagerly(run_eagerly: bool) -> None:
    """Makes every tf.function run as plain Python, so that it can be stepped through."""
    EagerFunctions.run_eagerly = bool(run_eagerly)


@public("config.functions_run_eagerly", "config.experimental_functions_run_eagerly")
def functions_run_eagerly() -> bool:
    return EagerFunctions.run_eagerly


def trace(
    python_function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    specs: Sequence[TensorSpec | None] | None = None,
    name: str = "function",
    may_create_variables: bool = True,
) -> FuncGraph:
    """Runs `python_function` once on placeholders; what it computes becomes the body.

    Tensor leaves of the arguments become parameters, of the static shape given by `specs` (in the order of the leaves).
    """
    graph = FuncGraph(name)
    graph.may_create_variables = may_create_variables
    flat = nest.flatten((args, kwargs), expand_composites=True)
    with graph.as_default(), context.without_recording():
        inner = []
        for index, leaf in enumerate(flat):
            if not isinstance(leaf, Tensor):
                inner.append(leaf)
                continue
            spec = specs[index] if specs else None
            placeholder = graph.add_input(leaf.dtype, spec.shape if spec else leaf.shape, (spec and spec.name) or None)
            set_handle_data(placeholder, handle_data(leaf))
            graph.arguments[placeholder.op.name] = leaf
            inner.append(placeholder)
        inner_args, inner_kwargs = nest.pack_sequence_as((args, kwargs), inner, expand_composites=True)
        graph.__dict__["_explicit"] = len(graph.inputs)
        result = python_function(*inner_args, **inner_kwargs)
        graph.arguments.clear()
        result = nest.map_structure(_as_output, result)
        graph.structured_outputs = result
        graph.outputs = [
            graph.capture(leaf) for leaf in nest.flatten(result, expand_composites=True) if isinstance(leaf, Tensor)
        ]
    return graph


def _as_output(value: Any) -> Any:
    """What a function returns becomes tensors; None and composites stay."""
    if value is None or isinstance(value, SymbolicTensor) or hasattr(value, "_flatten_components"):
        return value
    if hasattr(value, "op") and not isinstance(value, (Tensor, Variable)) and not hasattr(value, "__tf_tensor__"):
        return None  # an operation
    return context.state().graph.capture(convert_to_tensor(value))  # type: ignore[union-attr]


@public("types.experimental.ConcreteFunction")
class ConcreteFunction:
    """One trace: a graph with parameters, called with tensors of fixed dtypes."""

    def __init__(self, graph: FuncGraph, args: Any, kwargs: Any) -> None:
        self.graph = graph
        parameters = iter(graph.inputs[: graph.__dict__["_explicit"]])

        def spec(leaf: Any) -> Any:
            parts = nest.flatten(leaf, expand_composites=True)
            own = [next(parameters) for part in parts if isinstance(part, Tensor)]
            return TensorSpec(own[0].shape, own[0].dtype, own[0].op.name) if isinstance(leaf, Tensor) else leaf

        self.structured_input_signature = nest.map_structure(spec, (args, kwargs))
        self._pack = _packer(graph.structured_outputs)
        self.short_call = _ShortCall(graph, self._pack)

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def inputs(self) -> list[Any]:
        return list(self.graph.inputs)

    @property
    def outputs(self) -> list[Any]:
        return list(self.graph.outputs)

    @property
    def structured_outputs(self) -> Any:
        return self.graph.structured_outputs

    @property
    def captured_inputs(self) -> list[Tensor]:
        return self.graph.external_captures

    @property
    def variables(self) -> tuple[Any, ...]:
        """The variables that the body reads or writes."""
        found = [_variable_of(tensor) for tensor in self.graph.external_captures]
        return tuple(variable for variable in found if variable is not None)

    @property
    def trainable_variables(self) -> tuple[Any, ...]:
        return tuple(variable for variable in self.variables if variable.trainable)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the body. Takes the tensors alone, in order or by parameter name, or all arguments as they were traced."""
        tensors = [leaf for leaf in nest.flatten((args, kwargs), expand_composites=True) if isinstance(leaf, Tensor)]
        explicit = self.graph.__dict__["_explicit"]
        if len(tensors) != explicit:
            leaves = nest.flatten((args, kwargs))
            tensors = [
                leaf if isinstance(leaf, Tensor) else convert_to_tensor(leaf, parameter.dtype)
                for leaf, parameter in zip(leaves, self.graph.inputs[:explicit], strict=False)
            ]
        return self.call_flat(tensors)

    def call_flat(self, tensors: Sequence[Any]) -> Any:
        explicit = self.graph.inputs[: self.graph.__dict__["_explicit"]]
        if len(tensors) != len(explicit):
            raise TypeError(f"{self.name} takes {len(explicit)} tensors, not {len(tensors)}")
        for tensor, parameter in zip(tensors, explicit, strict=True):
            if tensor.dtype.base_dtype is not parameter.dtype.base_dtype:
                raise TypeError(
                    f"{self.name}: argument {parameter.op.name!r} must have dtype {parameter.dtype.name}, not {tensor.dtype.name}"
                )
        if context.state().recorders:
            for variable in self.variables:
                variable._accessed()
        outputs = call_graph(self.graph, [*tensors, *self.graph.external_captures])
        return self._pack(outputs)

    def plan(self, *tensors: Any) -> Plan:
        """How a call would run: which operations, fused into which kernels, in how much memory. Print it.

        tensors: the tensors that the function takes. Without them, what their static shapes leave open is assumed.
        """
        explicit = self.graph.__dict__["_explicit"]
        if tensors and len(tensors) != explicit:
            raise TypeError(f"{self.name} takes {explicit} tensors, not {len(tensors)}")
        given = [tensor._array if isinstance(tensor, EagerTensor) else None for tensor in tensors] or [None] * explicit
        captured = [getattr(tensor, "_array", None) for tensor in self.graph.external_captures]
        return eager_context().engine.plan(self.graph.function(), eager_context(), [*given, *captured])

    def __repr__(self) -> str:
        return f"<ConcreteFunction {self.name} at 0x{id(self):X}>"


def _packer(structure: Any) -> Callable[[Sequence[Any]], Any]:
    """What puts a trace's outputs into the structure that its Python function returned."""
    if isinstance(structure, SymbolicTensor):
        return operator.itemgetter(0)
    if type(structure) in (tuple, list) and all(isinstance(leaf, SymbolicTensor) for leaf in structure):
        return type(structure)  # type: ignore[no-any-return]
    leaves = nest.flatten(structure, expand_composites=True)

    def pack(outputs: Sequence[Any]) -> Any:
        remaining = iter(outputs)
        flat = [next(remaining) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        return nest.pack_sequence_as(structure, flat, expand_composites=True)

    return pack


def _variable_of(tensor: Tensor) -> Any:
    reference = tensor.__dict__.get("_variable")
    return reference() if reference is not None else None


# ---- the short path -------------------------------------------------------------------------------------------------


class _ShortCall:
    """A trace's body, ready to be called on arrays where ops run now and nobody records. What it takes: its executable
    and what it captured; both are looked up again when the body was changed or another engine was chosen."""

    __slots__ = ("captured", "context", "dtypes", "executable", "graph", "is_single", "pack", "rewrites", "version")

    def __init__(self, graph: FuncGraph, pack: Callable[[Sequence[Any]], Any]) -> None:
        self.graph = graph
        self.pack = pack
        self.is_single = isinstance(graph.structured_outputs, SymbolicTensor)
        self.version = -1

    def _prepare(self) -> None:
        graph = self.graph
        function = graph.function()
        self.context = eager_context()
        self.executable = self.context.executable(function)
        self.captured = [tensor._array for tensor in graph.external_captures]  # type: ignore[attr-defined]
        self.dtypes = function.output_dtypes
        self.version, self.rewrites = graph.version, graph.rewrites

    def __call__(self, arrays: list[Any], site: Any, lent: Sequence[Any] = ()) -> Any:
        """lent: those of the arrays that the caller may change later, so that no result may share their memory."""
        graph = self.graph
        if self.version != graph.version or self.rewrites != graph.rewrites or self.context is not eager_context():
            self._prepare()
        results = self.executable(arrays + self.captured if self.captured else arrays)
        if lent:
            results = [_apart_from(lent, result) for result in results]
        if self.is_single:
            return EagerTensor(results[0], self.dtypes[0], site)
        return self.pack([EagerTensor(array, dtype, site) for array, dtype in zip(results, self.dtypes, strict=True)])


def _apart_from(lent: Sequence[Any], result: Any) -> Any:
    """The result, in memory that is none of the arrays'."""
    if type(result) is np.ndarray and any(np.may_share_memory(result, array) for array in lent):
        return own_copy(result)
    return result


# Python values that decide a trace by their type and value, besides the tensors.
_CONSTANTS = frozenset((bool, int, float, str, type(None)))
_MOST_KNOWN = 1024


def _short_form(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any], list[Any]] | None:
    """What decides the trace of a call whose arguments are concrete tensors, NumPy arrays and Python's numbers; the arrays;
    and those of them that are arguments themselves. None for any other call."""
    key: tuple[Any, ...] = (*kwargs,)
    arrays: list[Any] = []
    lent: list[Any] = []
    try:
        for value in (*args, *kwargs.values()) if kwargs else args:
            if type(value) is EagerTensor:
                array = value._array
                arrays.append(array)
                key += (value.dtype.as_datatype_enum, array.shape)
            elif type(value) in _CONSTANTS:
                key += (type(value), value)
            elif type(value) is np.ndarray:
                arrays.append(value)
                lent.append(value)
                key += (_FROM_NUMPY[value.dtype].as_datatype_enum, value.shape)
            else:
                return None
    except (AttributeError, KeyError):  # a handle or a list has no shape; some dtypes of NumPy are converted
        return None
    return key, arrays, lent


class PolymorphicFunction:
    """What tf.function returns: a Python function that traces itself for every new kind of arguments."""

    def __init__(
        self,
        python_function: Callable[..., Any],
        name: str | None = None,
        input_signature: Any = None,
        autograph: bool = True,
        jit_compile: bool | None = None,
        reduce_retracing: bool = False,
        features: frozenset[str] = frozenset(),
    ) -> None:
        self.python_function = python_function
        self._autograph = autograph
        self._features = features
        self._unbound: tuple[Callable[..., Any], Callable[[], Any]] | None = (
            None  # a method's function, and its instance
        )
        self._name = str(name or getattr(python_function, "__name__", "function"))
        self._input_signature = None if input_signature is None else tuple(input_signature)
        self._reduce_retracing = reduce_retracing
        self._traces: dict[Any, ConcreteFunction] = {}
        self._known: dict[Any, ConcreteFunction] = {}  # by what _short_form gives
        self._lock = lock()
        self._relaxed = Relaxed() if reduce_retracing else None
        self._retraces = Retraces(self._name)
        self._bound: dict[int, tuple[weakref.ref[Any], PolymorphicFunction]] = {}  # by the id of the instance
        self._signature = inspect.signature(python_function)
        functools.update_wrapper(self, python_function)

    @property
    def input_signature(self) -> Any:
        return self._input_signature

    @property
    def function_spec(self) -> Any:
        return self._signature

    def experimental_get_tracing_count(self) -> int:
        """How many traces there are."""
        return len(self._traces)

    def pretty_printed_concrete_signatures(self, verbose: bool = True) -> str:
        """The parameters, results and captured tensors of each trace."""
        texts = [pretty_printed(self._signature, concrete) for concrete in self._traces.values()]
        return "\n\n".join(texts)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: bound to the instance, with traces of its own."""
        if instance is None:
            return self
        key = id(instance)
        known = self._bound.get(key)
        if known is None or known[0]() is not instance:
            bound = self._bound
            try:
                reference = weakref.ref(instance, lambda _: bound.pop(key, None))
            except TypeError:  # not weakly referable: trace anew for this access
                return self._bind(lambda: instance)
            known = bound[key] = (reference, self._bind(reference))
        return known[1] if known[1]._traces else _Held(known[1], instance)

    def _bind(self, reference: Callable[[], Any]) -> PolymorphicFunction:
        function = self.python_function

        @functools.wraps(function)
        def method(*args: Any, **kwargs: Any) -> Any:
            return function(_alive(reference), *args, **kwargs)

        parameters = list(self._signature.parameters.values())[1:]
        method.__signature__ = self._signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        bound = PolymorphicFunction(
            method,
            self._name,
            self._input_signature,
            self._autograph,
            reduce_retracing=self._reduce_retracing,
            features=self._features,
        )
        bound._unbound = (function, reference)
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if EagerFunctions.run_eagerly:
            return self.python_function(*args, **kwargs)
        state = context.state()
        form = _short_form(args, kwargs) if state.graph is None else None
        if form is not None:
            concrete = self._known.get(form[0])
            if concrete is not None:
                if state.quick:
                    return concrete.short_call(form[1], user_site(sys._getframe(1)), form[2])
                return concrete.call_flat(_tensors_among((*args, *kwargs.values())))
        canonical, named = self._canonical(args, kwargs)
        try:
            concrete, tensors = self._trace_for(canonical, named)
        except Exception as error:
            error.__traceback__ = filtered(error.__traceback__)
            raise
        if form is not None and _are_values_of(form[1], tensors, kwargs, form[2]):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[form[0]] = concrete
        return concrete.call_flat(tensors)

    def _canonical(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """All arguments bound to the parameters, defaults filled in; arrays as tensors."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}: {error}") from None
        bound.apply_defaults()
        args, kwargs = bound.args, bound.kwargs
        if self._input_signature is not None:
            count = len(self._input_signature)
            given, rest = args[:count], args[count:]
            if len(given) < count:
                raise TypeError(f"{self._name} expects {count} arguments (its input_signature), got {len(given)}")
            args = (*nest.map_structure_up_to(self._input_signature, self._fit, self._input_signature, given), *rest)
        convert = functools.partial(nest.map_structure, _array_as_tensor)
        return convert(args), convert(kwargs)

    def _fit(self, spec: Any, value: Any) -> Any:
        is_given = isinstance(value, Tensor) or hasattr(spec, "_flatten_components")  # of a composite
        tensor = value if is_given else convert_to_tensor(value, spec.dtype)
        if not spec.is_compatible_with(tensor):
            raise TypeError(
                f"Python inputs incompatible with input_signature of {self._name}: "
                f"Can not cast {TensorSpec(tensor.shape, tensor.dtype)} to {spec}"
            )
        return tensor

    def _trace_for(self, args: Any, kwargs: Any) -> tuple[ConcreteFunction, list[Any]]:
        flat = nest.flatten((args, kwargs), expand_composites=True)
        key = (self._context_key(), _structure_key((args, kwargs)), tuple(self._leaf_key(leaf) for leaf in flat))
        tensors = [leaf for leaf in flat if isinstance(leaf, Tensor)]
        concrete = self._traces.get(key)
        if concrete is None:
            with self._lock:
                concrete = self._traces.get(key)
                if concrete is None:
                    concrete = self._new_trace(key, args, kwargs, flat)
        return concrete, tensors

    def _new_trace(self, key: Any, args: Any, kwargs: Any, flat: Sequence[Any]) -> ConcreteFunction:
        if self._relaxed is None:
            concrete = self._traces[key] = self._trace(args, kwargs, flat)
        else:
            known, shapes, fixed = self._relaxed, tensor_shapes(flat), (*key[:2], _without_shapes(key[2]))
            found = known.find(fixed, shapes)
            if found is not None:
                return found
            shapes = known.shapes_for(fixed, shapes)
            concrete = self._traces[key] = self._trace(args, kwargs, flat, shapes)
            known.add(fixed, shapes, concrete)
        self._retraces.add(self._signature, args, kwargs)
        if len(self._traces) == 1 and self._autograph and self._unbound is None:
            count_first_trace(self.python_function, self._name)
        return concrete

    def _context_key(self) -> Any:
        graph = context.state().graph
        while isinstance(graph, FuncGraph):
            graph = graph.outer_graph
        return None if graph is None else id(graph)

    def _leaf_key(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return (leaf.dtype.name, None if self._input_signature is not None else leaf.shape.dimensions)
        if isinstance(leaf, Variable):
            return ("variable", Identity(leaf))
        try:
            hash(leaf)
        except TypeError:
            return ("object", Identity(leaf))
        return (type(leaf), leaf)

    def _trace(
        self, args: Any, kwargs: Any, flat: Sequence[Any], shapes: Sequence[TensorShape] | None = None
    ) -> ConcreteFunction:
        """shapes: the static shapes of the tensors among the leaves, if not their own."""
        declared = nest.flatten(self._input_signature or (), expand_composites=True)
        names = self._leaf_names(args, kwargs)
        specs = [
            self._named_spec(wanted or leaf, name)
            for wanted, leaf, name in itertools.zip_longest(declared, flat, names)
        ]
        if shapes is not None:
            general = iter(shapes)
            specs = [spec and TensorSpec(next(general), spec.dtype, spec.name) for spec in specs]
        name = f"__inference_{self._name}"
        with converting(self._autograph, home_of(self.python_function), self._features):
            body = self._traced_form(flat)
            try:
                graph = trace(body, args, kwargs, specs, name, may_create_variables=not self._traces)
                if graph.created_variables:  # now they exist: the trace that counts finds them
                    graph = trace(body, args, kwargs, specs, name, may_create_variables=False)
            except OperatorNotAllowedInGraphError as error:
                self._explain(error)
                raise
        return ConcreteFunction(graph, args, kwargs)

    def _traced_form(self, flat: Sequence[Any]) -> Callable[..., Any]:
        """The Python function in the form that is traced: control flow over tensors converted."""
        if not self._autograph:
            return self.python_function
        if self._unbound is None:
            return traced_form(self.python_function, all(map(is_data, flat)))
        function, instance = self._unbound
        return functools.partial(traced_form(function, False), _alive(instance))

    def _explain(self, error: Exception) -> None:
        """Adds to an error about a tensor in Python's control flow why that was not converted."""
        function = self.python_function if self._unbound is None else self._unbound[0]
        reason = why_not_converted(function) if self._autograph else "autograph=False"
        if reason is not None:
            error.add_note(f"AutoGraph did not convert {self._name}: {reason}.")

    def _named_spec(self, leaf: Any, name: str | None) -> TensorSpec | None:
        if isinstance(leaf, TensorSpec):
            return TensorSpec(leaf.shape, leaf.dtype, leaf.name or name)
        return TensorSpec(leaf.shape, leaf.dtype, name) if isinstance(leaf, Tensor) else None

    def _leaf_names(self, args: Any, kwargs: Any) -> list[str | None]:
        names = list(self._signature.parameters)
        result: list[str | None] = []
        for index, value in enumerate(args):
            name = names[index] if index < len(names) else names[-1]
            result.extend([name] * len(nest.flatten(value, expand_composites=True)))
        for key in sorted(kwargs):
            result.extend([key] * len(nest.flatten(kwargs[key], expand_composites=True)))
        return result

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> ConcreteFunction:
        """The trace for these arguments: tensors, TensorSpecs, or Python values. None given: the input_signature's."""
        if self._input_signature is not None and not args and not kwargs:
            args = self._input_signature
        example = nest.map_structure(_example, (args, kwargs), expand_composites=True)
        args, kwargs = self._canonical_specs(*example)
        return self._trace_for(args, kwargs)[0]

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """How a call with these arguments (tensors, or TensorSpecs) would run; see ConcreteFunction.plan."""
        concrete = self.get_concrete_function(*args, **kwargs)
        leaves = nest.flatten(args, expand_composites=True)
        tensors = [convert_to_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
        given = [leaf for leaf in tensors if isinstance(leaf, (Tensor, TensorSpec))]
        return concrete.plan(*given) if given and not kwargs else concrete.plan()

    def _canonical_specs(self, args: Any, kwargs: Any) -> Any:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return nest.map_structure(_array_as_tensor, bound.args), nest.map_structure(_array_as_tensor, bound.kwargs)

    def __repr__(self) -> str:
        return f"<PolymorphicFunction {self._name}>"


class _Held(PolymorphicFunction):
    """A method that has no traces yet, which keeps its instance alive: that may be needed nowhere else. It is the same
    function otherwise."""

    __slots__ = ("_instance",)

    def __init__(self, function: PolymorphicFunction, instance: Any) -> None:
        self.__dict__ = function.__dict__
        self._instance = instance


def _alive(reference: Callable[[], Any]) -> Any:
    instance = reference()
    if instance is None:
        raise ReferenceError(
            "the object whose method this tf.function is does not exist any more: keep it while you call it"
        )
    return instance


def _tensors_among(values: Sequence[Any]) -> list[Any]:
    """Those of the values in a short form that are no constants, as tensors."""
    return [convert_to_tensor(value) for value in values if type(value) not in _CONSTANTS]


def _are_values_of(arrays: Sequence[Any], tensors: Sequence[Any], kwargs: dict[str, Any], lent: Sequence[Any]) -> bool:
    """Whether the tensors that a trace is called with are those of the call's own arguments, in their order: then the
    next such call can leave out binding them to the parameters."""
    if len(arrays) != len(tensors):
        return False
    if kwargs and (lent or len({id(array) for array in arrays}) != len(arrays)):
        return False  # the order of arguments given by name can't be told from copies, or from one array given twice
    return all(
        tensor.dtype.is_numpy_compatible and (tensor._array is array or _is_copy(tensor._array, array, lent))
        for array, tensor in zip(arrays, tensors, strict=True)
    )


def _is_copy(found: Any, array: Any, lent: Sequence[Any]) -> bool:
    """Whether `found` holds what the argument `array` does."""
    is_lent = any(array is other for other in lent)
    return is_lent and type(found) is np.ndarray and found.dtype == array.dtype and np.array_equal(found, array)


_EXAMPLES = FuncGraph("specifications", outer_graph=None)


def _example(leaf: Any) -> Any:
    """A stand-in tensor for a TensorSpec, with its dtype and (partial) shape."""
    if isinstance(leaf, TensorSpec):
        return _EXAMPLES._placeholder(leaf.dtype, leaf.shape, None)
    return leaf


def _array_as_tensor(leaf: Any) -> Any:
    return convert_to_tensor(leaf) if isinstance(leaf, (np.ndarray, np.generic)) else leaf


def _without_shapes(leaf_keys: Sequence[Any]) -> tuple[Any, ...]:
    """The keys of leaves, with the dtype alone of those that are tensors."""
    return tuple(key[0] if type(key[0]) is str and len(key) == 2 and _is_shape(key[1]) else key for key in leaf_keys)


def _is_shape(value: Any) -> bool:
    return value is None or isinstance(value, tuple)


def _structure_key(structure: Any) -> Any:
    if isinstance(structure, dict):
        return (type(structure), tuple((key, _structure_key(structure[key])) for key in sorted(structure, key=repr)))
    if isinstance(structure, (list, tuple)):
        return (type(structure), tuple(_structure_key(value) for value in structure))
    return None


@public("function")
def function(
    func: Callable[..., Any] | None = None,
    input_signature: Any = None,
    autograph: bool = True,
    jit_compile: bool | None = None,
    reduce_retracing: bool = False,
    experimental_implements: Any = None,
    experimental_autograph_options: Any = None,
    experimental_attributes: Any = None,
    experimental_relax_shapes: Any = None,
    experimental_compile: Any = None,
    experimental_follow_type_hints: Any = None,
) -> Any:
    """Makes a Python function one that is traced into a graph and then called as a whole. Usable as a decorator.

    func: takes and returns nests of tensors; other arguments are constants of a trace.
    input_signature: TensorSpecs of the arguments: then there is one trace.
    """

    def decorate(inner: Callable[..., Any]) -> PolymorphicFunction:
        features = feature_names(experimental_autograph_options)
        relaxed = bool(reduce_retracing or experimental_relax_shapes)
        return PolymorphicFunction(inner, None, input_signature, autograph, jit_compile, relaxed, features)

    return decorate if func is None else decorate(func)
