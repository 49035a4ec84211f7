"""tf.ConfigProto and its kin: settings in the form of messages, with TensorFlow's fields.

They are kept as they are given, and printed as TensorFlow prints them. rillet has one engine and no devices to place
things on, so no setting changes a result.
"""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from rillet.core.export import export

_ABSENT = object()


class Enumeration:
    """The numbers of an enumeration, by name."""

    def __init__(self, **numbers_by_name: int) -> None:
        self._numbers = numbers_by_name

    def Name(self, number: int) -> str:
        for name, value in self._numbers.items():
            if value == number:
                return name
        raise ValueError(f"Enum has no name defined for value {number}")

    def Value(self, name: str) -> int:
        if name not in self._numbers:
            raise ValueError(f"Enum has no value defined for name {name!r}")
        return self._numbers[name]

    def keys(self) -> list[str]:
        return list(self._numbers)

    def values(self) -> list[int]:
        return list(self._numbers.values())

    def items(self) -> list[tuple[str, int]]:
        return list(self._numbers.items())

    def __getattr__(self, name: str) -> int:
        if name.startswith("_") or name not in self._numbers:
            raise AttributeError(name)
        return self._numbers[name]

    def checked(self, value: Any) -> int:
        return self.Value(value) if isinstance(value, str) else _integer(value)


# ---- kinds of fields ------------------------------------------------------------------------------------------------


def _integer(value: Any) -> int:
    if not isinstance(value, numbers.Integral):
        raise TypeError(f"{type(value).__name__!r} object cannot be interpreted as an integer")
    return int(value)


def _real(value: Any) -> float:
    if not isinstance(value, numbers.Real):
        raise TypeError(f"must be real number, not {type(value).__name__}")
    return float(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise TypeError(f"bad argument type for built-in operation: {value!r} is no text")
    return value


# Kind of a field -> (what checks a value, the value of a field that nobody set)
_SCALARS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "bool": (lambda value: bool(_integer(value)), False),
    "int": (_integer, 0),
    "float": (_real, 0.0),
    "string": (_text, ""),
}


class Repeated(list[Any]):
    """A list field: its elements are checked as they come."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self._kind = kind

    def _checked(self, value: Any) -> Any:
        if isinstance(self._kind, type):
            if not isinstance(value, self._kind):
                raise TypeError(f"expected a {self._kind.__name__}, not {value!r}")
            return value
        return _SCALARS[self._kind][0](value)

    def add(self, **fields: Any) -> Any:
        """Appends a new message and returns it."""
        if not isinstance(self._kind, type):
            raise AttributeError("add() is for lists of messages; use append()")
        self.append(self._kind(**fields))
        return self[-1]

    def append(self, value: Any) -> None:
        super().append(self._checked(value))

    def extend(self, values: Iterable[Any]) -> None:
        super().extend([self._checked(value) for value in values])


class Mapping(dict[Any, Any]):
    """A map field; a key asked for that is not there gets the default, as in protocol buffers."""

    def __init__(self, key_kind: str, value_kind: str) -> None:
        super().__init__()
        self._key_kind = key_kind
        self._value_kind = value_kind

    def __missing__(self, key: Any) -> Any:
        self[key] = _SCALARS[self._value_kind][1]
        return self[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_SCALARS[self._key_kind][0](key), _SCALARS[self._value_kind][0](value))

    def update(self, other: Any = (), **more: Any) -> None:  # type: ignore[override]
        for key, value in {**dict(other), **more}.items():
            self[key] = value


# ---- messages -------------------------------------------------------------------------------------------------------


class Message:
    """A message. `FIELDS` maps each field to its kind: a name of _SCALARS, an Enumeration, a Message class, a list
    [kind], or a map {key kind: value kind}. Fields are attributes and keyword arguments."""

    FIELDS: ClassVar[dict[str, Any]] = {}
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, **fields: Any) -> None:
        self.__dict__["_values"] = {}
        for name, value in fields.items():
            if name not in self.FIELDS:
                raise ValueError(f'Protocol message {type(self).__name__} has no "{name}" field.')
            if value is not None:
                self._fill(name, value)

    def _fill(self, name: str, value: Any) -> None:
        """What a keyword argument does: also composite fields may be given."""
        kind = self.FIELDS[name]
        if isinstance(kind, list):
            getattr(self, name).extend(value)
        elif isinstance(kind, dict):
            getattr(self, name).update(value)
        elif isinstance(kind, type):
            if isinstance(value, dict):
                value = kind(**value)
            if not isinstance(value, kind):
                raise TypeError(
                    f"Parameter to initialize message field must be dict or instance of same class: expected "
                    f"tensorflow.{kind.__name__} got {type(value).__name__}."
                )
            self._values[name] = copy.deepcopy(value)
        else:
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        kind = self.FIELDS.get(name, _ABSENT)
        if kind is _ABSENT:
            raise AttributeError(f'Protocol message {type(self).__name__} has no "{name}" field.')
        values = self.__dict__["_values"]
        if name not in values:
            if isinstance(kind, str):
                return _SCALARS[kind][1]
            if isinstance(kind, Enumeration):
                return 0
            values[name] = _empty(kind)
        return values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self.FIELDS.get(name, _ABSENT)
        label = f'"{name}" in protocol message object.'
        if kind is _ABSENT:
            raise AttributeError(f'Protocol message {type(self).__name__} has no "{name}" field.')
        if isinstance(kind, type):
            raise AttributeError(f"Assignment not allowed to message field {label}")
        if isinstance(kind, (list, dict)):
            raise AttributeError(f"Assignment not allowed to map, or repeated field {label}")
        self._values[name] = kind.checked(value) if isinstance(kind, Enumeration) else _SCALARS[kind][0](value)

    # ---- what protocol buffers offer ----

    def HasField(self, field_name: str) -> bool:
        """Whether something was set inside a message field. ValueError for other fields."""
        if field_name not in self.FIELDS:
            raise ValueError(f'Protocol message {type(self).__name__} has no "{field_name}" field.')
        if not isinstance(self.FIELDS[field_name], type):
            raise ValueError(f"Field tensorflow.{type(self).__name__}.{field_name} does not have presence.")
        return field_name in self._values and bool(self._values[field_name]._set_fields())

    def ClearField(self, field_name: str) -> None:
        if field_name not in self.FIELDS:
            raise ValueError(f'Protocol message {type(self).__name__} has no "{field_name}" field.')
        self._values.pop(field_name, None)

    def Clear(self) -> None:
        self._values.clear()

    def CopyFrom(self, other: Message) -> None:
        values = copy.deepcopy(self._same(other)._values)
        self._values.clear()
        self._values.update(values)

    def MergeFrom(self, other: Message) -> None:
        """Takes over what is set in `other`; lists are joined."""
        for name in self._same(other)._set_fields():
            value = other._values[name]
            if isinstance(value, Message):
                getattr(self, name).MergeFrom(value)
            elif isinstance(value, Repeated):
                getattr(self, name).extend(copy.deepcopy(list(value)))
            elif isinstance(value, Mapping):
                getattr(self, name).update(value)
            else:
                self._values[name] = value

    def _same(self, other: Any) -> Message:
        if type(other) is not type(self):
            raise TypeError(f"Parameter must be instance of same class: expected {type(self).__name__}, got {other!r}")
        return other

    def _set_fields(self) -> list[str]:
        """The fields that differ from their defaults, in the order of the definition."""
        return [name for name in self.FIELDS if name in self._values and _is_set(self._values[name])]

    def __deepcopy__(self, memo: Any) -> Any:
        result = type(self)()
        result._values.update({name: copy.deepcopy(self._values[name], memo) for name in self._set_fields()})
        return result

    def __reduce__(self) -> Any:
        return type(self), (), self._values

    def __setstate__(self, values: dict[str, Any]) -> None:
        self._values.update(values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = self._set_fields()
        return names == other._set_fields() and all(self._values[name] == other._values[name] for name in names)

    def __repr__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> list[str]:
        lines: list[str] = []
        for name in self._set_fields():
            value, kind = self._values[name], self.FIELDS[name]
            if isinstance(value, Mapping):
                for key, inner in value.items():
                    lines += [f"{name} {{", f"  key: {_quoted(key)}", f"  value: {_quoted(inner)}", "}"]
                continue
            for element in value if isinstance(value, Repeated) else [value]:
                if isinstance(element, Message):
                    lines += [f"{name} {{", *(f"  {line}" for line in element._lines()), "}"]
                else:
                    lines.append(f"{name}: {_name_in(kind, element) or _quoted(element)}")
        return lines


def _empty(kind: Any) -> Any:
    if isinstance(kind, list):
        return Repeated(kind[0])
    if isinstance(kind, dict):
        ((key_kind, value_kind),) = kind.items()
        return Mapping(key_kind, value_kind)
    return kind()


def _is_set(value: Any) -> bool:
    return bool(value._set_fields()) if isinstance(value, Message) else bool(value)


def _name_in(kind: Any, number: Any) -> str | None:
    return kind.Name(number) if isinstance(kind, Enumeration) and number in kind.values() else None


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


# ---- TensorFlow's -----------------------------------------------------------------------------------------------------


def message(name: str, fields: str, **composite: Any) -> type[Message]:
    """A Message class. fields: "bool: a b c; int: d e", composite: kinds of the other fields, by name.

    An Enumeration among `composite` whose name begins with a capital is no field: its numbers become attributes of the
    class, and so do those of the enumerations in fields.
    """
    kinds: dict[str, Any] = {}
    for part in filter(None, map(str.strip, fields.split(";"))):
        kind, names = part.split(":")
        kinds.update(dict.fromkeys(names.split(), kind.strip()))
    members: dict[str, Any] = {}
    for key, value in composite.items():
        if isinstance(value, Enumeration):
            members.update(value.items())
        if key[0].isupper():
            members[key] = value
        else:
            kinds[key] = value
    return type(name, (Message,), {"FIELDS": kinds, "__doc__": f"TensorFlow's message {name}.", **members})


_TOGGLE = Enumeration(DEFAULT=0, ON=1, OFF=2, AGGRESSIVE=3, EXPERIMENTAL_MLIR=4, EXPERIMENTAL_BOTH=5)
_TOGGLED = (
    "layout_optimizer constant_folding shape_optimization remapping common_subgraph_elimination arithmetic_optimization "
    "dependency_optimization loop_optimization function_optimization debug_stripper scoped_allocator_optimization "
    "pin_to_host_optimization implementation_selector auto_mixed_precision auto_mixed_precision_mkl "
    "auto_mixed_precision_onednn_bfloat16 auto_mixed_precision_cpu use_plugin_optimizers "
    "experimental_conditional_code_motion"
)
_LEVEL = Enumeration(L1=0, L0=-1)
_JIT_LEVEL = Enumeration(DEFAULT=0, OFF=-1, ON_1=1, ON_2=2)
_TRACE_LEVEL = Enumeration(NO_TRACE=0, SOFTWARE_TRACE=1, HARDWARE_TRACE=2, FULL_TRACE=3)
_NUMBER_OF_ITERATIONS = Enumeration(DEFAULT_NUM_ITERS=0, ONE=1, TWO=2)
_MEMORY = Enumeration(
    DEFAULT_MEM_OPT=0, NO_MEM_OPT=1, MANUAL=2, SWAPPING_HEURISTICS=4, RECOMPUTATION_HEURISTICS=5,
    SCHEDULING_HEURISTICS=6, HEURISTICS=3,
)  # fmt: skip

ThreadPoolOptionProto = message("ThreadPoolOptionProto", "int: num_threads; string: global_name")
AutoParallelOptions = message("AutoParallelOptions", "bool: enable; int: num_replicas")
SessionMetadata = message("SessionMetadata", "string: name; int: version")
VirtualDevices = message("VirtualDevices", "", memory_limit_mb=["float"], priority=["int"], device_ordinal=["int"])
GPUOptionsExperimental = message(
    "Experimental",
    "int: num_virtual_devices_per_gpu num_dev_to_dev_copy_streams kernel_tracker_max_interval kernel_tracker_max_bytes "
    "kernel_tracker_max_pending gpu_system_memory_size_in_mb node_id; bool: use_unified_memory timestamped_allocator "
    "use_cuda_malloc_async disallow_retry_on_allocation_failure gpu_host_mem_disallow_growth; string: collective_ring_order; "
    "float: internal_fragmentation_fraction gpu_host_mem_limit_in_mb",
    virtual_devices=[VirtualDevices],
    VirtualDevices=VirtualDevices,
)
GPUOptions = message(
    "GPUOptions",
    "float: per_process_gpu_memory_fraction; bool: allow_growth; string: allocator_type visible_device_list; "
    "int: deferred_deletion_bytes polling_active_delay_usecs polling_inactive_delay_msecs; bool: force_gpu_compatible",
    experimental=GPUOptionsExperimental,
    Experimental=GPUOptionsExperimental,
)
OptimizerOptions = message(
    "OptimizerOptions",
    "bool: do_common_subexpression_elimination do_constant_folding; int: max_folded_constant_in_bytes; "
    "bool: do_function_inlining cpu_global_jit",
    opt_level=_LEVEL,
    global_jit_level=_JIT_LEVEL,
    Level=_LEVEL,
    GlobalJitLevel=_JIT_LEVEL,
)
RewriterConfig = message(
    "RewriterConfig",
    "bool: disable_model_pruning disable_meta_optimizer disable_tfg_optimizer fail_on_optimizer_errors "
    "experimental_disable_compressed_tensor_optimization experimental_disable_folding_quantization_emulation; "
    "int: min_graph_nodes meta_optimizer_timeout_ms; string: memory_optimizer_target_node_name_scope",
    **dict.fromkeys(_TOGGLED.split(), _TOGGLE),
    cpu_layout_conversion=Enumeration(NO_CONVERSION_ON_CPU=0, NCHW_TO_NHWC=1, NHWC_TO_NCHW=2),
    meta_optimizer_iterations=_NUMBER_OF_ITERATIONS,
    memory_optimization=_MEMORY,
    auto_parallel=AutoParallelOptions,
    optimizers=["string"],
    Toggle=_TOGGLE,
    NumIterationsType=_NUMBER_OF_ITERATIONS,
    MemOptType=_MEMORY,
)
GraphOptions = message(
    "GraphOptions",
    "bool: enable_recv_scheduling infer_shapes place_pruned_graph enable_bfloat16_sendrecv; "
    "int: build_cost_model build_cost_model_after timeline_step",
    optimizer_options=OptimizerOptions,
    rewrite_options=RewriterConfig,
)
JobDef = message("JobDef", "string: name", tasks={"int": "string"})
ClusterDef = message("ClusterDef", "", job=[JobDef])
RPCOptions = message(
    "RPCOptions",
    "bool: use_rpc_for_inprocess_master cache_rpc_response disable_session_connection_sharing; "
    "string: compression_algorithm; int: compression_level num_channels_per_target",
)
ConfigExperimental = message(
    "Experimental",
    "string: collective_group_leader executor_type; int: recv_buf_max_chunk xla_fusion_autotuner_thresh; "
    "bool: use_numa_affinity collective_deterministic_sequential_execution collective_nccl disable_thread_spinning "
    "share_session_state_in_clusterspec_propagation share_cluster_devices_in_session optimize_for_static_graph "
    "enable_mlir_bridge enable_mlir_graph_optimization disable_output_partition_graphs use_tfrt",
    session_metadata=SessionMetadata,
)
ConfigProto = message(
    "ConfigProto",
    "int: intra_op_parallelism_threads inter_op_parallelism_threads placement_period operation_timeout_in_ms; "
    "bool: use_per_session_threads allow_soft_placement log_device_placement isolate_session_state "
    "share_cluster_devices_in_session",
    device_count={"string": "int"},
    session_inter_op_thread_pool=[ThreadPoolOptionProto],
    device_filters=["string"],
    gpu_options=GPUOptions,
    pluggable_device_options=GPUOptions,
    graph_options=GraphOptions,
    rpc_options=RPCOptions,
    cluster_def=ClusterDef,
    experimental=ConfigExperimental,
    Experimental=ConfigExperimental,
)
RunHandlerPoolOptions = message("RunHandlerPoolOptions", "int: priority")
RunOptionsExperimental = message(
    "Experimental",
    "int: collective_graph_key; bool: use_run_handler_pool",
    run_handler_pool_options=RunHandlerPoolOptions,
    RunHandlerPoolOptions=RunHandlerPoolOptions,
)
RunOptions = message(
    "RunOptions",
    "int: timeout_in_ms inter_op_thread_pool; bool: output_partition_graphs report_tensor_allocations_upon_oom",
    trace_level=_TRACE_LEVEL,
    experimental=RunOptionsExperimental,
    TraceLevel=_TRACE_LEVEL,
    Experimental=RunOptionsExperimental,
)
NodeExecStats = message(
    "NodeExecStats",
    "string: node_name timeline_label; int: all_start_micros op_start_rel_micros op_end_rel_micros all_end_rel_micros "
    "scheduled_micros thread_id",
)
DeviceStepStats = message("DeviceStepStats", "string: device", node_stats=[NodeExecStats])
StepStats = message("StepStats", "", dev_stats=[DeviceStepStats])
RunMetadata = message("RunMetadata", "", step_stats=StepStats, session_metadata=SessionMetadata)
ServerDef = message(
    "ServerDef",
    "string: job_name protocol; int: replica task_index port",
    cluster=ClusterDef,
    default_session_config=ConfigProto,
)

for _kind in (ConfigProto, GPUOptions, GraphOptions, OptimizerOptions, RunMetadata, RunOptions):
    export(_kind, v1=[_kind.__name__])
for _kind in (ClusterDef, JobDef, ServerDef):
    export(_kind, "train." + _kind.__name__)
