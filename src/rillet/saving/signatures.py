"""What a saved model offers: signatures with named inputs and outputs, and the names that TensorFlow gives to all that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rillet.core import context, dtypes
from rillet.core.export import export, public
from rillet.core.sparse_tensor import SparseTensor
from rillet.core.tensor import SymbolicTensor
from rillet.saving import messages
from rillet.saving.tensors import shape_message

# ---- names ----------------------------------------------------------------------------------------------------------

DEFAULT_SIGNATURE = "serving_default"
INIT_OP_SIGNATURE = "__saved_model_init_op"
MAIN_OP_KEY = "saved_model_main_op"
LEGACY_INIT_OP_KEY = "legacy_init_op"
SERVING = "serve"
PREDICT = "tensorflow/serving/predict"

_CONSTANTS: dict[str, dict[str, Any]] = {
    "signature_constants": {
        "DEFAULT_SERVING_SIGNATURE_DEF_KEY": DEFAULT_SIGNATURE,
        "CLASSIFY_INPUTS": "inputs",
        "CLASSIFY_METHOD_NAME": "tensorflow/serving/classify",
        "CLASSIFY_OUTPUT_CLASSES": "classes",
        "CLASSIFY_OUTPUT_SCORES": "scores",
        "PREDICT_INPUTS": "inputs",
        "PREDICT_METHOD_NAME": PREDICT,
        "PREDICT_OUTPUTS": "outputs",
        "REGRESS_INPUTS": "inputs",
        "REGRESS_METHOD_NAME": "tensorflow/serving/regress",
        "REGRESS_OUTPUTS": "outputs",
    },
    "tag_constants": {"SERVING": SERVING, "TRAINING": "train", "GPU": "gpu", "TPU": "tpu"},
    "constants": {
        "ASSETS_DIRECTORY": "assets",
        "ASSETS_KEY": "saved_model_assets",
        "LEGACY_INIT_OP_KEY": LEGACY_INIT_OP_KEY,
        "MAIN_OP_KEY": MAIN_OP_KEY,
        "SAVED_MODEL_FILENAME_PB": "saved_model.pb",
        "SAVED_MODEL_FILENAME_PBTXT": "saved_model.pbtxt",
        "SAVED_MODEL_SCHEMA_VERSION": 1,
        "VARIABLES_DIRECTORY": "variables",
        "VARIABLES_FILENAME": "variables",
    },
}
_IN_V2 = (
    "ASSETS_DIRECTORY", "ASSETS_KEY", "CLASSIFY_INPUTS", "CLASSIFY_METHOD_NAME", "CLASSIFY_OUTPUT_CLASSES",
    "CLASSIFY_OUTPUT_SCORES", "DEFAULT_SERVING_SIGNATURE_DEF_KEY", "GPU", "PREDICT_INPUTS", "PREDICT_METHOD_NAME",
    "PREDICT_OUTPUTS", "REGRESS_INPUTS", "REGRESS_METHOD_NAME", "REGRESS_OUTPUTS", "SAVED_MODEL_FILENAME_PB",
    "SAVED_MODEL_FILENAME_PBTXT", "SAVED_MODEL_SCHEMA_VERSION", "SERVING", "TPU", "TRAINING", "VARIABLES_DIRECTORY",
    "VARIABLES_FILENAME",
)  # fmt: skip
for _group, _values in _CONSTANTS.items():
    for _name, _value in _values.items():
        _names = [f"saved_model.{_group}.{_name}", f"saved_model.{_name}"]
        export(_value, v1=_names, v2=_names[1:] if _name in _IN_V2 else [])


# ---- signatures of graphs -------------------------------------------------------------------------------------------


def tensor_info(name: str, dtype: dtypes.DType, shape: Any) -> Any:
    return messages.get("TensorInfo")(
        name=name, dtype=dtype.base_dtype.as_datatype_enum, tensor_shape=shape_message(shape)
    )


@public(v1=["saved_model.utils.build_tensor_info", "saved_model.build_tensor_info"])
def build_tensor_info(tensor: Any) -> Any:
    """A TensorInfo: name, dtype and shape of a tensor (or SparseTensor) of a graph. RuntimeError for an eager one."""
    if isinstance(tensor, SparseTensor):
        info = messages.get("TensorInfo")(
            dtype=tensor.dtype.base_dtype.as_datatype_enum, tensor_shape=shape_message(tensor.shape)
        )
        info.coo_sparse.values_tensor_name = tensor.values.name
        info.coo_sparse.indices_tensor_name = tensor.indices.name
        info.coo_sparse.dense_shape_tensor_name = tensor.dense_shape.name
        return info
    if not isinstance(tensor, SymbolicTensor) and getattr(tensor, "graph", None) is None:
        raise RuntimeError("`build_tensor_info` is not supported in Eager mode.")
    return tensor_info(tensor.name, tensor.dtype, tensor.shape)


@public(v1=["saved_model.utils.get_tensor_from_tensor_info", "saved_model.get_tensor_from_tensor_info"])
def get_tensor_from_tensor_info(tensor_info: Any, graph: Any = None, import_scope: str | None = None) -> Any:
    """The tensor of a graph that a TensorInfo names. KeyError where there is none."""
    graph = graph or context.get_default_graph()

    def found(name: str) -> Any:
        return graph.get_tensor_by_name(f"{import_scope}/{name}" if import_scope else name)

    if tensor_info.WhichOneof("encoding") == "coo_sparse":
        parts = tensor_info.coo_sparse
        names = (parts.indices_tensor_name, parts.values_tensor_name, parts.dense_shape_tensor_name)
        return SparseTensor(*map(found, names))
    return found(tensor_info.name)


@public(v1=["saved_model.signature_def_utils.build_signature_def", "saved_model.build_signature_def"])
def build_signature_def(
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    method_name: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """A SignatureDef: TensorInfos of inputs and outputs by name, and what kind of method it is."""
    signature = messages.get("SignatureDef")(method_name=method_name or "")
    for field, infos in ((signature.inputs, inputs), (signature.outputs, outputs)):
        for name, info in (infos or {}).items():
            field[name].CopyFrom(info)
    return signature


@public(v1=["saved_model.signature_def_utils.predict_signature_def", "saved_model.predict_signature_def"])
def predict_signature_def(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    """A signature for predictions, from tensors by name. ValueError where there are none."""
    if not inputs or not outputs:
        raise ValueError("Prediction signature needs inputs and outputs.")
    infos = [{name: build_tensor_info(tensor) for name, tensor in tensors.items()} for tensors in (inputs, outputs)]
    return build_signature_def(infos[0], infos[1], PREDICT)


@public(v1=["saved_model.signature_def_utils.regression_signature_def", "saved_model.regression_signature_def"])
def regression_signature_def(examples: Any, predictions: Any) -> Any:
    """A signature for a regression: serialized examples in, numbers out."""
    inputs, outputs = {"inputs": build_tensor_info(examples)}, {"outputs": build_tensor_info(predictions)}
    return build_signature_def(inputs, outputs, "tensorflow/serving/regress")


@public(v1=["saved_model.signature_def_utils.classification_signature_def", "saved_model.classification_signature_def"])
def classification_signature_def(examples: Any, classes: Any, scores: Any) -> Any:
    """A signature for a classification: serialized examples in, classes and scores out. ValueError without either."""
    given = {name: tensor for name, tensor in (("classes", classes), ("scores", scores)) if tensor is not None}
    if not given:
        raise ValueError("Classification classes and scores cannot both be None.")
    outputs = {name: build_tensor_info(tensor) for name, tensor in given.items()}
    return build_signature_def({"inputs": build_tensor_info(examples)}, outputs, "tensorflow/serving/classify")


@public(v1=["saved_model.signature_def_utils.is_valid_signature", "saved_model.is_valid_signature"])
def is_valid_signature(signature_def: Any) -> bool:
    """Whether a SignatureDef has inputs and outputs, and a method that is known."""
    methods = [value for name, value in _CONSTANTS["signature_constants"].items() if name.endswith("METHOD_NAME")]
    return bool(signature_def.inputs and signature_def.outputs) and signature_def.method_name in methods
