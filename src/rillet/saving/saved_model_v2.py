"""tf.saved_model.save: objects with their variables and functions, as a saved model that TensorFlow loads too."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rillet.autodiff.calls import call_graph
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op
from rillet.core.export import V2, public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import EagerTensor, Tensor, set_handle_data
from rillet.frontend.function import ConcreteFunction, PolymorphicFunction, TensorSpec, trace
from rillet.frontend.variable import Variable
from rillet.ops.files import as_path
from rillet.saving import bundle, graph_export, messages, object_graph, signatures
from rillet.saving.checkpoint_ops import RESTORE, SAVE
from rillet.saving.object_graph import KEY, ObjectGraph
from rillet.saving.saved_model_load import RestoredFunction
from rillet.saving.saved_model_v1 import variables_path, write_saved_model
from rillet.saving.structured import structured
from rillet.saving.tensors import shape_message

_FUNCTIONS = (PolymorphicFunction, ConcreteFunction, RestoredFunction)


class _Signatures(dict[str, ConcreteFunction]):
    """The functions that a saved model offers by name."""


# ---- what to save ---------------------------------------------------------------------------------------------------


def functions_of(value: Any) -> dict[str, Any]:
    """The tf.functions among an object's attributes and methods, by name. An object may say itself which they are:
    `_saved_functions() -> {name: function}`."""
    if isinstance(value, (Variable, Mapping, list, tuple)):
        return {}
    own = getattr(type(value), "_saved_functions", None)
    if own is not None:
        return dict(own(value))
    found = {name: item for name, item in getattr(value, "__dict__", {}).items() if isinstance(item, _FUNCTIONS)}
    for owner in type(value).__mro__:
        for name, item in vars(owner).items():
            if isinstance(item, PolymorphicFunction) and name not in found:
                found[name] = getattr(value, name)
    return found


def traces_of(function: Any) -> list[ConcreteFunction]:
    """All traces; a function that has none yet, but an input signature, is traced."""
    if isinstance(function, ConcreteFunction):
        return [function]
    if isinstance(function, RestoredFunction):
        return list(function.concrete_functions)
    if not function._traces and function.input_signature is not None:
        function.get_concrete_function()
    return list(function._traces.values())


def _default_signatures(value: Any, given: Any) -> dict[str, ConcreteFunction]:
    """The functions to offer: those asked for, or the object's only function that has been traced once."""
    if given is None:
        candidates = [traces_of(function) for function in functions_of(value).values()]
        found = [traces[0] for traces in candidates if len(traces) == 1 and _has_signature(traces[0])]
        return {signatures.DEFAULT_SIGNATURE: found[0]} if len(found) == 1 else {}
    if not isinstance(given, Mapping):
        given = {signatures.DEFAULT_SIGNATURE: given}
    return {str(name): _only_trace(name, function) for name, function in given.items()}


def _has_signature(concrete: ConcreteFunction) -> bool:
    """Whether all arguments are tensors."""
    args, kwargs = concrete.structured_input_signature
    return all(isinstance(item, TensorSpec) for item in (*args, *kwargs.values()))


def _only_trace(name: str, function: Any) -> ConcreteFunction:
    traces = traces_of(function)
    if len(traces) != 1:
        raise ValueError(
            f"Expected a TensorFlow function for which to generate a signature, but got {function} for {name!r}, which has "
            f"{len(traces)} traces. Use a function with an input signature, or get_concrete_function(...)."
        )
    return traces[0]


def _signature_wrapper(concrete: ConcreteFunction) -> ConcreteFunction:
    """A function that takes tensors by name and returns a dictionary of tensors."""
    names = _argument_names(concrete)
    explicit = concrete.graph.inputs[: concrete.graph.__dict__["_explicit"]]

    def signature_wrapper(**tensors: Any) -> dict[str, Any]:
        return _named_outputs(concrete.call_flat([tensors[name] for name in names]))

    examples = FuncGraph("examples", outer_graph=None)
    with examples.as_default():
        given = {
            name: examples.add_input(each.dtype, each.shape, name) for name, each in zip(names, explicit, strict=True)
        }
    specs = [TensorSpec(given[name].shape, given[name].dtype, name) for name in sorted(given)]
    with context.use_graph(None):
        graph = trace(signature_wrapper, (), given, specs, "__inference_signature_wrapper")
    return ConcreteFunction(graph, (), given)


def _argument_names(concrete: ConcreteFunction) -> list[str]:
    """The names of the tensors that a trace takes, in order, each once."""
    names: list[str] = []
    for tensor in concrete.graph.inputs[: concrete.graph.__dict__["_explicit"]]:
        name, count = tensor.op.name, 0
        while name in names:
            count += 1
            name = f"{tensor.op.name}_{count}"
        names.append(name)
    return names


def _named_outputs(result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping):
        named = {str(key): value for key, value in result.items()}
    else:
        values = result if isinstance(result, (list, tuple)) else [result]
        named = {f"output_{index}": value for index, value in enumerate(values)}
    for key, value in named.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"Got a non-Tensor value {value!r} for key {key!r} in the output of a function used to generate a signature"
            )
    return named


# ---- the objects as messages ----------------------------------------------------------------------------------------


class _Objects:
    """The objects behind `root`, variables, containers and functions, as a SavedObjectGraph."""

    def __init__(self, root: Any, offered: Mapping[str, ConcreteFunction]) -> None:
        self.message = messages.get("SavedObjectGraph")()
        self.concrete: dict[str, ConcreteFunction] = {}
        self.constants: list[Any] = []
        self._objects: list[Any] = []
        self._places: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._offered = _Signatures(offered)
        self._add(root)
        place = 0
        while place < len(self._objects):
            for name, child in self._children(place):
                number = self._places.get(id(child))
                number = self._add(child) if number is None else number
                self.message.nodes[place].children.add(node_id=number, local_name=name)
            place += 1
        for name, concrete in list(self.concrete.items()):
            self._bind(name, concrete)

    def _children(self, place: int) -> Iterator[tuple[str, Any]]:
        value = self._objects[place]
        if isinstance(value, _Signatures):
            yield from value.items()
        elif not isinstance(value, (*_FUNCTIONS, Variable)):
            yield from object_graph.children(value).items()
            yield from functions_of(value).items()
            if place == 0:
                yield "signatures", self._offered

    def _add(self, value: Any) -> int:
        number = len(self._objects)
        self._objects.append(value)
        self._places[id(value)] = number
        node = self.message.nodes.add()
        if isinstance(value, Variable):
            self._variable(node.variable, value)
        elif isinstance(value, (PolymorphicFunction, RestoredFunction)):
            node.function.concrete_functions.extend(self._name(concrete) for concrete in traces_of(value))
            _function_spec(node.function.function_spec, value)
        elif isinstance(value, ConcreteFunction):
            bare = node.bare_concrete_function
            bare.concrete_function_name = self._name(value)
            bare.argument_keywords.extend(_argument_names(value))
            bare.allowed_positional_arguments = len(bare.argument_keywords)
        else:
            node.user_object.identifier = _identifier(value)
            node.user_object.version.producer = node.user_object.version.min_consumer = 1
        return number

    def _variable(self, message: Any, variable: Any) -> None:
        message.dtype = variable.dtype.base_dtype.as_datatype_enum
        message.shape.CopyFrom(shape_message(variable.shape))
        message.trainable = variable.trainable
        message.synchronization = variable.synchronization.value
        message.aggregation = variable.aggregation.value
        message.name = variable.name.partition(":")[0]

    def _name(self, concrete: ConcreteFunction) -> str:
        """The name of a function of the library, which no other has."""
        if id(concrete) not in self._names:
            base = concrete.name.removeprefix("__inference_")
            name = f"__inference_{base}_{len(self.concrete)}"
            self._names[id(concrete)] = name
            self.concrete[name] = concrete
        return self._names[id(concrete)]

    def _bind(self, name: str, concrete: ConcreteFunction) -> None:
        message = self.message.concrete_functions[name]
        message.bound_inputs.extend(self._captured(tensor) for tensor in concrete.graph.external_captures)
        args, kwargs = concrete.structured_input_signature
        message.canonicalized_input_signature.CopyFrom(structured((tuple(args), dict(kwargs))))
        message.output_signature.CopyFrom(structured(concrete.structured_outputs))

    def _captured(self, tensor: Any) -> int:
        """The node of what a function has captured."""
        variable = variable_behind(tensor)
        if variable is not None:
            number = self._places.get(id(variable))
            if number is None:
                raise AssertionError(
                    f"Tried to export a function which references an 'untracked' resource: variable {variable.name!r}. TensorFlow "
                    "objects (e.g. tf.Variable) captured by functions must be 'tracked' by assigning them to an attribute of a "
                    "tracked object or assigned to an attribute of the main object directly."
                )
            return number
        number = self._places.get(id(tensor))
        if number is None:
            if not isinstance(tensor, EagerTensor) or not tensor.dtype.is_numpy_compatible:
                raise ValueError(f"a function that has captured {tensor} cannot be saved")
            number = len(self._objects)
            self._objects.append(tensor)
            self._places[id(tensor)] = number
            self.constants.append(tensor)
            self.message.nodes.add().constant.operation = self.constant_name(tensor)
        return number

    def constant_name(self, tensor: Any) -> str:
        """The node of the graph that has a constant."""
        place = next(index for index, other in enumerate(self.constants) if other is tensor)
        return f"captured_constant_{place}"

    @property
    def variables(self) -> list[Any]:
        return [value for value in self._objects if isinstance(value, Variable)]


def variable_behind(tensor: Any) -> Any:
    """The variable that a handle belongs to, if it is one."""
    reference = tensor.__dict__.get("_variable")
    return None if reference is None else reference()


def _identifier(value: Any) -> str:
    if isinstance(value, _Signatures):
        return "signature_map"
    if isinstance(value, Mapping):
        return "trackable_dict_wrapper"
    if isinstance(value, tuple):
        return "trackable_tuple_wrapper"
    return "trackable_list_wrapper" if isinstance(value, list) else "_generic_user_object"


def _function_spec(message: Any, function: Any) -> None:
    """The parameters of a Python function, as inspect.getfullargspec would give them."""
    parameters = list(function.function_spec.parameters.values()) if function.function_spec is not None else []
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    keyword = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    defaults = tuple(each.default for each in positional if each.default is not inspect.Parameter.empty)
    values: dict[str, Any] = {
        "args": [each.name for each in positional],
        "varargs": next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), None),
        "varkw": next((each.name for each in parameters if each.kind is each.VAR_KEYWORD), None),
        "defaults": defaults or None,
        "kwonlyargs": [each.name for each in keyword],
        "kwonlydefaults": {e.name: e.default for e in keyword if e.default is not inspect.Parameter.empty} or None,
        "annotations": {},
    }
    whole = message.fullargspec.named_tuple_value
    whole.name = "FullArgSpec"
    for key, value in values.items():
        whole.values.add(key=key, value=structured(value))
    signature = function.input_signature
    message.input_signature.CopyFrom(structured(None if signature is None else _named_specs(signature, values["args"])))


def _named_specs(signature: tuple[Any, ...], names: list[str]) -> tuple[Any, ...]:
    return tuple(
        TensorSpec(spec.shape, spec.dtype, spec.name or name) if isinstance(spec, TensorSpec) else spec
        for spec, name in zip(signature, [*names, *[""] * len(signature)], strict=False)
    )


# ---- the graph ------------------------------------------------------------------------------------------------------


class _MainGraph:
    """The graph of a saved model: variables, constants, a call for each signature, saving and restoring."""

    def __init__(self, objects: _Objects, keys: Mapping[int, str]) -> None:
        self._graph = Graph()
        self._handles: dict[int, Any] = {}
        self._constants: dict[int, Any] = {}
        self._objects = objects
        with self._graph.as_default():
            for variable in objects.variables:
                self._handles[id(variable)] = self._handle(variable)
            for tensor in objects.constants:
                attrs = {"value": tensor._array, "dtype": tensor.dtype}
                name = objects.constant_name(tensor) + "/"
                constant = self._graph.create_operation(REGISTRY["Const"], (), attrs, name).outputs[0]
                self._constants[id(tensor)] = constant
            self.init_op = apply_op(REGISTRY["NoOp"], (), name="NoOp")
            self.saver_def = self._saver(keys) if self._handles else None

    def _handle(self, variable: Any) -> Any:
        name = variable.name.partition(":")[0] or "Variable"
        unique = self._graph.unique_name(name)
        attrs = {
            "dtype": variable.dtype.base_dtype, "shape": variable.shape, "shared_name": unique, "container": "",
        }  # fmt: skip
        handle = self._graph.create_operation(REGISTRY["VarHandleOp"], (), attrs, unique + "/").outputs[0]
        set_handle_data(handle, (variable.dtype.base_dtype, variable.shape))
        return handle

    def _saver(self, keys: Mapping[int, str]) -> Any:
        path = apply_op(REGISTRY["Placeholder"], (), {"dtype": dtypes.string, "shape": ()}, "saver_filename")
        variables = self._objects.variables
        names = [keys[id(variable)] for variable in variables]
        none = [""] * len(names)
        types = tuple(variable.dtype.base_dtype for variable in variables)
        handles = [self._handles[id(variable)] for variable in variables]
        read = REGISTRY["ReadVariableOp"]
        values = [apply_op(read, (handle,), {"dtype": dtype}) for handle, dtype in zip(handles, types, strict=True)]
        saved = apply_op(SAVE, (path, names, none, values), name="saver_save")
        with self._graph.control_dependencies([saved]):
            written = apply_op(REGISTRY["Identity"], (path,), name="saver_saved")
        restored = apply_op(RESTORE, (path, names, none), {"dtypes": types}, "saver_restore")
        assign = REGISTRY["AssignVariableOp"]
        assigned = [apply_op(assign, pair) for pair in zip(handles, restored, strict=True)]
        with self._graph.control_dependencies(assigned):
            done = apply_op(REGISTRY["NoOp"], (), name="saver_restored")
        return messages.get("SaverDef")(
            filename_tensor_name=path.name, save_tensor_name=written.name, restore_op_name=done.name, version=2
        )

    def call(self, signature_name: str, concrete: ConcreteFunction) -> Any:
        """Adds the call of a function; returns the SignatureDef."""
        inputs, infos = [], {}
        with self._graph.as_default():
            explicit = concrete.graph.inputs[: concrete.graph.__dict__["_explicit"]]
            for tensor, name in zip(explicit, _argument_names(concrete), strict=True):
                attrs = {"dtype": tensor.dtype, "shape": tensor.shape}
                given = apply_op(REGISTRY["Placeholder"], (), attrs, f"{signature_name}_{name}")
                inputs.append(given)
                infos[name] = signatures.tensor_info(given.name, given.dtype, given.shape)
            captured = [self._inside(tensor) for tensor in concrete.graph.external_captures]
            outputs = call_graph(concrete.graph, [*inputs, *captured])
        named = dict(zip(concrete.structured_outputs, _in_order_of(concrete, outputs), strict=True))
        results = {key: signatures.tensor_info(each.name, each.dtype, each.shape) for key, each in named.items()}
        return signatures.build_signature_def(infos, results, signatures.PREDICT)

    def _inside(self, tensor: Any) -> Any:
        variable = variable_behind(tensor)
        return self._constants[id(tensor)] if variable is None else self._handles[id(variable)]

    def message(self) -> Any:
        """The graph and, in its library, all functions under the names that the objects know them by."""
        result = messages.get("GraphDef")()
        result.versions.producer = graph_export.PRODUCER
        exporter = graph_export.Exporter(result, add_shapes=True)
        for name, concrete in self._objects.concrete.items():
            exporter.function(concrete.graph.function(), name=name)
        for operation in self._graph.get_operations():
            exporter.add(operation)
        for function in result.library.function:
            if function.signature.name in self._objects.concrete:
                _describe_parameters(function, self._objects.concrete[function.signature.name])
        return result


def _in_order_of(concrete: ConcreteFunction, outputs: list[Any]) -> list[Any]:
    """The outputs of a call in the order of the keys of the dictionary that it returns."""
    places = {id(tensor): index for index, tensor in enumerate(concrete.graph.outputs)}
    return [outputs[places[id(tensor)]] for tensor in concrete.structured_outputs.values()]


def _describe_parameters(function: Any, concrete: ConcreteFunction) -> None:
    """Shapes and names of the parameters, where TensorFlow looks for them."""
    explicit = concrete.graph.__dict__["_explicit"]
    for index, tensor in enumerate(concrete.graph.inputs):
        attrs = function.arg_attr[index].attr
        if tensor.dtype is not dtypes.resource:
            attrs["_output_shapes"].list.shape.add().CopyFrom(shape_message(tensor.shape))
        if index < explicit:
            attrs["_user_specified_name"].s = tensor.op.name.encode()


# ---- saving ---------------------------------------------------------------------------------------------------------


@public("saved_model.save", v1=["saved_model.experimental.save"])
def save(obj: Any, export_dir: Any, signatures: Any = None, options: Any = None) -> None:
    """Saves an object, what it holds, its variables and the traces of its tf.functions to a folder.

    signatures: a function (with one trace, or an input signature), or several by name, to be offered to programs that know
        nothing of the object (None: the only function of `obj` that has been traced once).
    Raises ValueError for a signature that has no single trace; AssertionError for a function that uses a variable which
    `obj` does not hold.
    """
    folder = as_path(export_dir)
    offered = {name: _signature_wrapper(each) for name, each in _default_signatures(obj, signatures).items()}
    if not object_graph.is_trackable(obj) and not functions_of(obj):
        raise ValueError(f"Expected an object with variables or functions to save, such as a tf.Module. Got {obj}.")
    objects = _Objects(obj, offered)
    variables = ObjectGraph(obj)
    keys = {id(variable): key for key, variable in variables.variables.items()}
    graph = _MainGraph(objects, keys)
    message = messages.get("SavedModel")(saved_model_schema_version=1)
    meta = message.meta_graphs.add()
    _describe(meta, graph, offered)
    meta.meta_info_def.tags.extend(getattr(options, "extra_tags", None) or ())
    meta.graph_def.CopyFrom(graph.message())
    meta.object_graph_def.CopyFrom(objects.message)
    tensors = {key: variable.value()._array for key, variable in variables.variables.items()}
    tensors[KEY] = np.array(variables.message.SerializeToString(), object)
    os.makedirs(os.path.join(folder, "assets"), exist_ok=True)
    bundle.write(variables_path(folder), tensors)
    write_saved_model(message, folder)


def _describe(meta: Any, graph: _MainGraph, offered: Mapping[str, ConcreteFunction]) -> None:
    meta.meta_info_def.tags.append(signatures.SERVING)
    meta.meta_info_def.tensorflow_version = str(V2["__version__"])
    meta.meta_info_def.stripped_op_list.SetInParent()
    for name, concrete in offered.items():
        meta.signature_def[name].CopyFrom(graph.call(name, concrete))
    init = meta.signature_def[signatures.INIT_OP_SIGNATURE].outputs[signatures.INIT_OP_SIGNATURE]
    init.name = graph.init_op.name
    init.tensor_shape.unknown_rank = True
    meta.collection_def[signatures.MAIN_OP_KEY].node_list.value.append(graph.init_op.name)
    if graph.saver_def is not None:
        meta.saver_def.CopyFrom(graph.saver_def)
