"""Imports every module that defines ops or public names, in the order of the layers. Importing it fills the tables."""

import importlib as _importlib

from rillet.config import ENGINE as _ENGINE
from rillet.core import execution as _execution
from rillet.core.export import LATE as _LATE
from rillet.engines import blockwise as _blockwise
from rillet.engines import native as _native
from rillet.engines import reference as _reference

_ENGINES = {
    "native": _native.NativeEngine,
    "blockwise": _blockwise.BlockwiseEngine,
    "reference": _reference.ReferenceEngine,
}
_execution.set_eager_engine(_ENGINES[_ENGINE.value]())
if _ENGINE.value == "native":
    _execution.set_large_kernel(_native.run_large)

_MODULES = {
    "ops": (
        "activations",
        "arrange",
        "bias",
        "bitwise",
        "blocks",
        "call",
        "candidates",
        "cast",
        "clip",
        "compare",
        "constants",
        "contraction",
        "control",
        "conv",
        "convolution",
        "counting",
        "creation",
        "ctc",
        "cumulative",
        "diagonal",
        "dilation",
        "dlpack",
        "dropout",
        "edit_distance",
        "elementwise",
        "embedding",
        "fft",
        "files",
        "gather",
        "image",
        "indexing",
        "join",
        "linalg",
        "linear_operator",
        "linear_operator_kinds",
        "list",
        "loss",
        "matmul",
        "matrices",
        "matrix_functions",
        "normalization",
        "operators",
        "optional",
        "order",
        "pad",
        "partition",
        "patches",
        "pool",
        "pooling",
        "printing",
        "python_call",
        "quantize",
        "random",
        "random_distributions",
        "random_seed",
        "random_stateful",
        "random_stateless",
        "records",
        "reduce",
        "repeat",
        "sampled_loss",
        "scatter",
        "segment",
        "select",
        "sequences",
        "sets",
        "shape",
        "slicing",
        "sparse",
        "sparse_math",
        "special",
        "state",
        "statistics",
        "string_split",
        "strings",
        "training",
        "tridiagonal",
    ),
    "autodiff": (
        "backprop",
        "calls",
        "check",
        "control",
        "custom",
        "forward",
        "gradients",
        "jacobian",
        "python_call",
        "tape",
        "unconnected",
    ),
    "frontend": (
        "app",
        "autograph.operators",
        "autograph_options",
        "checks",
        "cluster",
        "collections",
        "config_objects",
        "contrib_framework",
        "control",
        "debugging",
        "devices",
        "eager_contrib",
        "flags",
        "function",
        "functional",
        "gfile",
        "hyperparameters",
        "initializers",
        "initializers_v2",
        "logging",
        "losses",
        "module",
        "partitioned",
        "printing",
        "public",
        "python_call",
        "random_generator",
        "raw_ops",
        "regularizers",
        "resources",
        "scopes",
        "session",
        "sparse",
        "sparse_spec",
        "sparse_v1",
        "statistics",
        "template",
        "tensor_array",
        "text",
        "tracebacks",
        "type_checks",
        "variable",
        "variable_scope",
        "variable_updates",
        "variables",
        "versions",
    ),
    "train": (
        "global_step",
        "gradient_methods",
        "moving_averages",
        "optimizer",
        "schedules",
        "slots",
    ),
}
for _room, _names in _MODULES.items():
    for _name in _names:
        _importlib.import_module(f"rillet.{_room}.{_name}")

# Rooms that load when somebody asks for a name in them: the public path of the names, and what to import.
_LATE.update({"keras": "rillet.keras", "test": "rillet.frontend.testing"})
_LATE.update(dict.fromkeys(("initializers", "losses", "metrics", "optimizers"), "rillet.keras"))
_SAVED = ("train", "io", "graph_util", "saved_model", "AttrValue", "Event", "GraphDef", "HistogramProto", "LogMessage",
          "MetaGraphDef", "NameAttrList", "NodeDef", "SessionLog", "Summary", "SummaryMetadata", "TensorInfo",
          "import_graph_def", "make_ndarray", "make_tensor_proto", "parse_example", "parse_single_example", "parse_tensor",
          "serialize_tensor", "FixedLenFeature", "FixedLenSequenceFeature", "SparseFeature", "VarLenFeature")  # fmt: skip
_LATE.update(dict.fromkeys(_SAVED, "rillet.saving"))
_SUMMARIES = ("summary", "train.SummaryWriter", "scalar_summary", "histogram_summary", "image_summary", "merge_summary",
              "merge_all_summaries")  # fmt: skip
_LATE.update(dict.fromkeys(_SUMMARIES, "rillet.summary"))
_LATE.update(dict.fromkeys(("data", "contrib.data"), "rillet.data"))
_LATE.update(dict.fromkeys(("draw", "draw_tensor", "explain"), "rillet.draw"))
_LATE["layers"] = "rillet.compat.layers"
_RECURRENT = ("contrib.rnn", "contrib.legacy_seq2seq", "nn.rnn_cell", "nn.dynamic_rnn", "nn.bidirectional_dynamic_rnn",
              "nn.raw_rnn", "nn.rnn", "nn.static_rnn", "nn.static_bidirectional_rnn", "nn.bidirectional_rnn")  # fmt: skip
_LATE.update(dict.fromkeys(_RECURRENT, "rillet.compat.recurrent"))
