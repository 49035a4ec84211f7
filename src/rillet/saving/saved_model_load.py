"""tf.saved_model.load: the objects of a saved model, made here or by TensorFlow, with variables and callable functions."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes, nest
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor, handle_data
from rillet.frontend.function import ConcreteFunction, TensorSpec
from rillet.frontend.module import Module
from rillet.frontend.session import Session
from rillet.frontend.variable import Variable
from rillet.frontend.variable_creation import VariableAggregation, VariableSynchronization
from rillet.ops.files import as_path
from rillet.saving import checkpoints
from rillet.saving.checkpoint import Checkpoint
from rillet.saving.graph_import import Library, Spec
from rillet.saving.saved_model_v1 import load_v1, read_saved_model, tagged, variables_path
from rillet.saving.structured import plain
from rillet.saving.tensors import array_of, shape_of


class RestoredObject(Module):
    """An object of a saved model: what it held are attributes. It can be called if the original could."""

    def __init__(self) -> None:
        self.__dict__["_name"] = "restored_object"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = self.__dict__.get("__call__")
        if function is None:
            raise TypeError("this object of a saved model has no function to call: see its attributes")
        return function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the saved model has no {name!r} here; it has {sorted(vars(self))}")


# ---- functions ------------------------------------------------------------------------------------------------------


class RestoredConcreteFunction(ConcreteFunction):
    """One trace of a function of a saved model."""

    def __init__(self, graph: FuncGraph, args: Any, kwargs: Any, keywords: Sequence[str] = ()) -> None:
        super().__init__(graph, args, kwargs)
        self._keywords = list(keywords)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Takes the tensors in order or by name, or all arguments as they were when the function was traced."""
        explicit = self.graph.inputs[: self.graph.__dict__["_explicit"]]
        names = self._keywords or [tensor.op.name for tensor in explicit]
        if kwargs and set(names[len(args) :]) == set(kwargs):
            values = [*args, *[kwargs[name] for name in names[len(args) :]]]
            return self.call_flat([_as_given(value, each) for value, each in zip(values, explicit, strict=True)])
        return super().__call__(*args, **kwargs)


def _as_given(value: Any, parameter: Any) -> Any:
    return value if isinstance(value, Tensor) else convert_to_tensor(value, parameter.dtype)


class RestoredFunction:
    """A tf.function of a saved model. It has the traces that were saved, and cannot be traced anew."""

    def __init__(self, name: str, traces: Sequence[ConcreteFunction], signature: inspect.Signature | None) -> None:
        self.__name__ = name
        self.concrete_functions = list(traces)
        self._signature = signature

    @property
    def function_spec(self) -> Any:
        return self._signature

    @property
    def input_signature(self) -> Any:
        return None

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> ConcreteFunction:
        """The saved trace for these arguments (tensors, TensorSpecs, Python values); the only one where none are given."""
        if not args and not kwargs and len(self.concrete_functions) == 1:
            return self.concrete_functions[0]
        return self._chosen(*self._canonical(args, kwargs))[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        concrete, tensors = self._chosen(*self._canonical(args, kwargs))
        return concrete.call_flat(tensors)

    def _canonical(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if self._signature is None:
            return args, kwargs
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def _chosen(self, args: Any, kwargs: Any) -> tuple[ConcreteFunction, list[Any]]:
        for exactly in (True, False):
            for concrete in self.concrete_functions:
                tensors = _matching(concrete.structured_input_signature, (args, kwargs), exactly)
                if tensors is not None:
                    return concrete, tensors
        options = "\n".join(f"  {each.structured_input_signature}" for each in self.concrete_functions)
        raise ValueError(
            f"Could not find matching concrete function to call loaded from the SavedModel. Got: {args}, {kwargs}. Expected these "
            f"arguments to match one of the following {len(self.concrete_functions)} option(s):\n{options}"
        )

    def __repr__(self) -> str:
        return f"<RestoredFunction {self.__name__} with {len(self.concrete_functions)} traces>"


def _matching(expected: Any, given: Any, exactly: bool) -> list[Any] | None:
    """The tensors among the arguments, if they fit those of a trace. exactly: values that are no tensors don't become any."""
    tensors: list[Any] = []
    return tensors if _fits(expected, given, exactly, tensors) else None


def _fits(expected: Any, given: Any, exactly: bool, tensors: list[Any]) -> bool:
    if isinstance(expected, TensorSpec):
        return _fits_spec(expected, given, exactly, tensors)
    if isinstance(expected, Mapping):
        if not isinstance(given, Mapping) or set(expected) != set(given):
            return False
        return all(_fits(expected[key], given[key], exactly, tensors) for key in sorted(expected))
    if isinstance(expected, (list, tuple)):
        if not isinstance(given, (list, tuple)) or len(expected) != len(given):
            return False
        return all(_fits(*pair, exactly, tensors) for pair in zip(expected, given, strict=True))
    return not isinstance(given, (Tensor, TensorSpec)) and type(given) is type(expected) and bool(given == expected)


def _fits_spec(expected: TensorSpec, given: Any, exactly: bool, tensors: list[Any]) -> bool:
    tensor = given
    if not isinstance(given, (Tensor, TensorSpec)):
        is_array = isinstance(given, (np.ndarray, Variable))
        if exactly and not is_array:
            return False
        try:
            tensor = convert_to_tensor(given, None if is_array else expected.dtype)
        except (TypeError, ValueError):
            return False
    tensors.append(tensor)
    return expected.is_compatible_with(tensor)


# ---- loading --------------------------------------------------------------------------------------------------------


class _Loader:
    """Makes the objects of a SavedObjectGraph."""

    def __init__(self, meta: Any, folder: str, with_values: bool) -> None:
        self._meta = meta
        self._folder = folder
        self._nodes = meta.object_graph_def.nodes
        self._graph_nodes = {node.name: node for node in meta.graph_def.node}
        self._library = Library(meta.graph_def.library, None)
        self._concrete: dict[str, Any] = {}
        self._objects: list[Any] = [self._made(node) for node in self._nodes]
        if with_values:
            self._restore_variables()
        self._bind_functions()
        self._objects = [self._final(number) for number in range(len(self._nodes))]
        for number in range(len(self._nodes)):
            self._attach(number)

    @property
    def root(self) -> Any:
        return self._objects[0]

    def _made(self, node: Any) -> Any:
        kind = node.WhichOneof("kind")
        if kind == "variable":
            return _variable(node.variable)
        if kind == "constant":
            stored = self._graph_nodes[node.constant.operation]
            dtype = dtypes.as_dtype(stored.attr["dtype"].type)
            return EagerTensor(array_of(stored.attr["value"].tensor), dtype)
        if kind == "asset":
            name = self._meta.asset_file_def[node.asset.asset_file_def_index].filename
            return convert_to_tensor(os.path.join(self._folder, "assets", name).encode())
        if kind == "user_object" and node.user_object.identifier == "trackable_list_wrapper":
            return []
        if kind == "user_object" and node.user_object.identifier in ("trackable_dict_wrapper", "signature_map"):
            return {}
        return RestoredObject() if kind == "user_object" else None

    def _restore_variables(self) -> None:
        prefix = variables_path(self._folder)
        if not checkpoints.exists(prefix):
            return
        shadow = Checkpoint()  # the objects again, with what holds variables alone
        shadows: list[Any] = [
            made if isinstance(made, Variable) else shadow if number == 0 else Module()
            for number, made in enumerate(self._objects)
        ]
        for node, holder in zip(self._nodes, shadows, strict=True):
            if not isinstance(holder, Variable):
                for child in node.children:
                    holder.__dict__[child.local_name] = shadows[child.node_id]
        shadow.read(prefix).assert_existing_objects_matched()

    def _bind_functions(self) -> None:
        for name, message in self._meta.object_graph_def.concrete_functions.items():
            bound = [self._objects[number] for number in message.bound_inputs]
            if any(value is None for value in bound):
                continue  # it works on a table or another resource, which there is no object for
            self._concrete[name] = self._concrete_function(name, message, bound)

    def _concrete_function(self, name: str, message: Any, bound: Sequence[Any]) -> ConcreteFunction:
        captured = [value.handle if isinstance(value, Variable) else value for value in bound]
        own = self._library.parameters(name)
        explicit = len(own) - len(captured)
        args, kwargs = plain(message.canonicalized_input_signature) or ((), {})
        leaves = [leaf for leaf in nest.flatten((args, kwargs)) if isinstance(leaf, TensorSpec)]
        specs: list[Spec] = [(leaf.dtype, leaf.shape, None) for leaf in leaves]
        if len(specs) != explicit:
            specs = own[:explicit]
        specs += [(tensor.dtype, tensor.shape, handle_data(tensor)) for tensor in captured]
        graph = self._library.function(name, specs).graph
        assert isinstance(graph, FuncGraph)
        for outside, inside in zip(captured, graph.inputs[explicit:], strict=True):
            graph._captures[id(outside)] = (outside, inside)
            inside.__dict__["_outside"] = outside
        graph.outer_graph = None
        graph.__dict__["_explicit"] = explicit
        graph.structured_outputs = _structured_outputs(plain(message.output_signature), graph)
        return RestoredConcreteFunction(graph, args, kwargs)

    def _final(self, number: int) -> Any:
        """The object that a node stands for, now that the functions are there."""
        node, made = self._nodes[number], self._objects[number]
        kind = node.WhichOneof("kind")
        if kind == "function":
            names = [name for name in node.function.concrete_functions if name in self._concrete]
            if not names:
                return None
            traces = [self._concrete[name] for name in names]
            return RestoredFunction(names[0], traces, _signature(node.function.function_spec))
        if kind == "bare_concrete_function":
            concrete = self._concrete.get(node.bare_concrete_function.concrete_function_name)
            if concrete is not None:
                concrete._keywords = list(node.bare_concrete_function.argument_keywords)
            return concrete
        return made

    def _attach(self, number: int) -> None:
        value = self._objects[number]
        kind = self._nodes[number].WhichOneof("kind")
        if kind != "user_object":
            return
        children = [(child.local_name, self._objects[child.node_id]) for child in self._nodes[number].children]
        if isinstance(value, list):
            value.extend(item for name, item in sorted(children, key=lambda pair: _place(pair[0])) if name.isdigit())
        elif isinstance(value, dict):
            value.update(children)
        else:
            value.__dict__.update(children)


def _place(name: str) -> int:
    return int(name) if name.isdigit() else -1


def _variable(message: Any) -> Variable:
    dtype = dtypes.as_dtype(message.dtype)
    shape = shape_of(message.shape)
    filler = b"" if dtype is dtypes.string else 0
    zeros = np.full(
        [size or 0 for size in shape.as_list()] if shape.rank is not None else (), filler, dtype.numpy_dtype
    )
    return Variable(
        EagerTensor(zeros, dtype),
        trainable=message.trainable,
        name=message.name or None,
        shape=shape,
        synchronization=VariableSynchronization(message.synchronization),
        aggregation=VariableAggregation(message.aggregation),
    )


def _structured_outputs(structure: Any, graph: FuncGraph) -> Any:
    """The result's structure with the tensors of the graph in place of their specifications."""
    remaining = iter(graph.outputs)

    def tensor(leaf: Any) -> Any:
        if not isinstance(leaf, TensorSpec):
            return leaf
        found: SymbolicTensor = next(remaining)
        if found.shape.is_compatible_with(leaf.shape):
            found.set_shape(leaf.shape)
        return found

    return nest.map_structure(tensor, structure)


def _signature(message: Any) -> inspect.Signature | None:
    """The Python signature that a FunctionSpec says."""
    spec = plain(message.fullargspec)
    if spec is None:
        return None
    kinds = inspect.Parameter
    defaults = list(spec.defaults or ())
    parameters = []
    names = [name for name in spec.args if not (name == "self" and message.is_method)]
    for place, name in enumerate(names):
        index = place - len(names) + len(defaults)
        default = defaults[index] if index >= 0 else kinds.empty
        parameters.append(kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=default))
    if spec.varargs:
        parameters.append(kinds(spec.varargs, kinds.VAR_POSITIONAL))
    for name in spec.kwonlyargs:
        parameters.append(kinds(name, kinds.KEYWORD_ONLY, default=(spec.kwonlydefaults or {}).get(name, kinds.empty)))
    if spec.varkw:
        parameters.append(kinds(spec.varkw, kinds.VAR_KEYWORD))
    try:
        return inspect.Signature(parameters)
    except ValueError:  # parameters that Python itself would refuse: match by structure alone
        return None


@public(v2=["saved_model.load"], v1=["saved_model.load_v2"])
def load(export_dir: Any, tags: Any = None, options: Any = None) -> Any:
    """The object that was saved in a folder: variables, containers and functions are its attributes, `signatures` has what
    it offers by name.

    tags: which graph, where there are several. Of a model without objects (saved from a session) the signatures can be
    called.
    Raises OSError where there is no model, RuntimeError where none has these tags, DataLossError for damaged variables,
    ValueError for a function that uses an op or a kind of argument which is not known here.
    """
    folder = as_path(export_dir)
    message = read_saved_model(folder)
    meta = message.meta_graphs[0] if tags is None else tagged(message, tags, folder)
    if not meta.object_graph_def.nodes:
        return _from_session(meta, folder)
    with context.use_graph(None):
        return _Loader(meta, folder, not getattr(options, "experimental_skip_checkpoint", False)).root


def _from_session(meta: Any, folder: str) -> Any:
    """A model that is a graph: its signatures run it in a session."""
    session = Session(graph=Graph())
    load_v1(session, list(meta.meta_info_def.tags), folder)
    root = RestoredObject()
    offered = {
        name: _SessionSignature(session, signature)
        for name, signature in meta.signature_def.items()
        if not name.startswith("__")
    }
    root.__dict__.update(signatures=offered, graph=session.graph, _session=session)
    return root


class _SessionSignature:
    """A signature of a graph, as a function of tensors by name."""

    def __init__(self, session: Any, signature: Any) -> None:
        self._session = session
        self._signature = signature

    @property
    def structured_outputs(self) -> dict[str, TensorSpec]:
        return {key: _spec(info) for key, info in self._signature.outputs.items()}

    @property
    def structured_input_signature(self) -> Any:
        return (), {key: _spec(info) for key, info in self._signature.inputs.items()}

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        inputs = self._signature.inputs
        given = {**dict(zip(sorted(inputs), args, strict=False)), **kwargs}
        if set(given) != set(inputs):
            raise TypeError(f"the signature takes {sorted(inputs)}, not {sorted(given)}")
        feeds = {inputs[key].name: np.asarray(convert_to_tensor(value)._array) for key, value in given.items()}
        results = self._session.run({key: info.name for key, info in self._signature.outputs.items()}, feeds)
        return {key: convert_to_tensor(value) for key, value in results.items()}


def _spec(info: Any) -> TensorSpec:
    return TensorSpec(shape_of(info.tensor_shape), dtypes.as_dtype(info.dtype), info.name)
