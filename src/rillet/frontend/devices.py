"""tf.config: the devices there are (the CPU, which may be divided into logical ones), threads, and what an optimizer
of graphs may do. What would steer a GPU is kept and read back; it changes nothing here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rillet.config import THREADS
from rillet.core.export import export, public


class PhysicalDevice(NamedTuple):
    name: str
    device_type: str


class DeviceAttributes(NamedTuple):
    """A device of a session."""

    name: str
    device_type: str
    memory_limit_bytes: int
    incarnation: int

    def __repr__(self) -> str:
        return f"_DeviceAttributes({', '.join(map(str, self))})"


class LogicalDevice(NamedTuple):
    name: str
    device_type: str


class LogicalDeviceConfiguration(NamedTuple):
    """One of the logical devices that a physical one is divided into."""

    memory_limit: Any = None
    experimental_priority: Any = None
    experimental_device_ordinal: Any = None


export(PhysicalDevice, "config.PhysicalDevice")
export(LogicalDevice, "config.LogicalDevice")
export(
    LogicalDeviceConfiguration, "config.LogicalDeviceConfiguration", "config.experimental.VirtualDeviceConfiguration"
)

_CPU = PhysicalDevice("/physical_device:CPU:0", "CPU")


class _Settings:
    """What the program has asked for."""

    visible: tuple[PhysicalDevice, ...] = (_CPU,)
    divided: dict[PhysicalDevice, list[LogicalDeviceConfiguration]] = {}  # noqa: RUF012
    soft_placement = True
    inter_op_threads = 0
    intra_op_threads = 0
    jit = ""
    optimizer: dict[str, Any] = {}  # noqa: RUF012
    device_policy = "silent"
    synchronous = True
    tensor_float_32 = True
    deterministic = False


def _of_type(devices: Sequence[Any], device_type: str | None) -> list[Any]:
    return [device for device in devices if device_type in (None, device.device_type)]


def _known(device: Any) -> PhysicalDevice:
    if device != _CPU:
        raise ValueError(f"Unrecognized device: {device!r}")
    return _CPU


@public("config.list_physical_devices", "config.experimental.list_physical_devices")
def list_physical_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    """The devices of this machine that rillet computes on: the CPU. `device_type`: only those ("CPU", "GPU", "TPU")."""
    return _of_type([_CPU], device_type)


@public("config.list_logical_devices", "config.experimental.list_logical_devices")
def list_logical_devices(device_type: str | None = None) -> list[LogicalDevice]:
    """The devices that a program may name: one for each visible physical device, or those it was divided into."""
    logical = [
        LogicalDevice(f"/device:{device.device_type}:{index}", device.device_type)
        for device in _Settings.visible
        for index in range(len(_Settings.divided.get(device, [None])))
    ]
    return _of_type(logical, device_type)


@public(v1=["config.experimental_list_devices"])
def experimental_list_devices() -> list[str]:
    return [f"/job:localhost/replica:0/task:0{device.name}" for device in list_logical_devices()]


@public("config.get_visible_devices", "config.experimental.get_visible_devices")
def get_visible_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    return _of_type(_Settings.visible, device_type)


@public("config.set_visible_devices", "config.experimental.set_visible_devices")
def set_visible_devices(devices: Any, device_type: str | None = None) -> None:
    """Chooses the devices that list_logical_devices lists. ValueError for an unknown one."""
    chosen = [devices] if isinstance(devices, (PhysicalDevice, str)) else list(devices)
    kept = [device for device in _Settings.visible if device_type not in (None, device.device_type)]
    _Settings.visible = (*kept, *[_known(device) for device in chosen])


@public("config.get_logical_device_configuration", "config.experimental.get_virtual_device_configuration")
def get_logical_device_configuration(device: Any) -> list[LogicalDeviceConfiguration] | None:
    return _Settings.divided.get(_known(device))


@public("config.set_logical_device_configuration", "config.experimental.set_virtual_device_configuration")
def set_logical_device_configuration(device: Any, logical_devices: Sequence[LogicalDeviceConfiguration]) -> None:
    """Divides a device into logical ones: "/device:CPU:0", "/device:CPU:1" ... They share its cores."""
    _Settings.divided[_known(device)] = list(logical_devices)


@public("config.experimental.get_memory_growth")
def get_memory_growth(device: Any) -> bool:
    raise ValueError(f"{_known(device)} has no memory of its own that could grow: only GPUs have")


@public("config.experimental.set_memory_growth")
def set_memory_growth(device: Any, enable: bool) -> None:
    """ValueError: there is no GPU whose memory could grow."""
    raise ValueError(f"Cannot set memory growth on non-GPU and non-Pluggable devices: {_known(device).name}")


@public("config.experimental.get_device_details")
def get_device_details(device: Any) -> dict[str, Any]:
    _known(device)
    return {}


@public("config.experimental.get_memory_info")
def get_memory_info(device: str) -> dict[str, int]:
    raise ValueError(f"Allocator stats not available for device '{device}'")


# ---- threads --------------------------------------------------------------------------------------------------------


@public("config.threading.get_intra_op_parallelism_threads")
def get_intra_op_parallelism_threads() -> int:
    """What was set; 0 is one thread a processor."""
    return _Settings.intra_op_threads


@public("config.threading.set_intra_op_parallelism_threads")
def set_intra_op_parallelism_threads(num_threads: int) -> None:
    """How many threads may compute at once in this process (RILLET_THREADS); 0 is one a processor."""
    if num_threads < 0:
        raise ValueError(f"num_threads must not be negative, but is {num_threads}")
    _Settings.intra_op_threads = num_threads
    if num_threads:
        os.environ[THREADS.variable] = str(num_threads)
    else:
        os.environ.pop(THREADS.variable, None)


@public("config.threading.get_inter_op_parallelism_threads")
def get_inter_op_parallelism_threads() -> int:
    return _Settings.inter_op_threads


@public("config.threading.set_inter_op_parallelism_threads")
def set_inter_op_parallelism_threads(num_threads: int) -> None:
    """Kept; the operations of a graph share the threads that set_intra_op_parallelism_threads counts."""
    if num_threads < 0:
        raise ValueError(f"num_threads must not be negative, but is {num_threads}")
    _Settings.inter_op_threads = num_threads


# ---- optimizer of graphs ----------------------------------------------------------------------------------------------

_REWRITES = [
    "arithmetic_optimization",
    "auto_mixed_precision",
    "auto_mixed_precision_mkl",
    "auto_mixed_precision_onednn_bfloat16",
    "auto_parallel",
    "constant_folding",
    "debug_stripper",
    "dependency_optimization",
    "disable_meta_optimizer",
    "disable_model_pruning",
    "function_optimization",
    "implementation_selector",
    "layout_optimizer",
    "loop_optimization",
    "min_graph_nodes",
    "pin_to_host_optimization",
    "remapping",
    "scoped_allocator_optimization",
    "shape_optimization",
    "use_plugin_optimizers",
]


@public("config.optimizer.get_jit")
def get_jit() -> str:
    """ "autoclustering" after set_jit(True), otherwise ""."""
    return _Settings.jit


@public("config.optimizer.set_jit")
def set_jit(enabled: bool | str) -> None:
    """Kept: every graph is compiled in any case."""
    if enabled not in (True, False, "autoclustering"):
        raise ValueError(f'Invalid value for `enabled`: {enabled!r}; expected a bool or "autoclustering"')
    _Settings.jit = "autoclustering" if enabled else ""


@public("config.optimizer.get_experimental_options")
def get_optimizer_options() -> dict[str, Any]:
    return {**_Settings.optimizer, **{k: v for k, v in _UNSET.items() if k not in _Settings.optimizer}}


_UNSET = {"disable_model_pruning": False, "disable_meta_optimizer": False}


@public("config.optimizer.set_experimental_options")
def set_optimizer_options(options: dict[str, Any]) -> None:
    """Kept, those that TensorFlow knows: which rewrites a graph gets does not change its results."""
    _Settings.optimizer = {**_Settings.optimizer, **{key: options[key] for key in options if key in _REWRITES}}


# ---- switches that are kept -------------------------------------------------------------------------------------------


def _setting(attribute: str, check: Callable[[Any], Any]) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    def get() -> Any:
        return getattr(_Settings, attribute)

    def put(value: Any) -> None:
        setattr(_Settings, attribute, check(value))

    return get, put


def _policy(value: Any) -> str:
    allowed = ("explicit", "warn", "silent", "silent_for_int32")
    if value not in (None, *allowed):
        raise ValueError(f"Not a valid device policy: {value!r}; choose one of {', '.join(allowed)}")
    return value or "silent"


for _attribute, _check, _getter, _setter in (
    ("soft_placement", bool, "config.get_soft_device_placement", "config.set_soft_device_placement"),
    ("device_policy", _policy, "config.experimental.get_device_policy", "config.experimental.set_device_policy"),
    (
        "synchronous",
        bool,
        "config.experimental.get_synchronous_execution",
        "config.experimental.set_synchronous_execution",
    ),
    (
        "tensor_float_32",
        bool,
        "config.experimental.tensor_float_32_execution_enabled",
        "config.experimental.enable_tensor_float_32_execution",
    ),
):
    _get, _put = _setting(_attribute, _check)
    export(_get, _getter)
    export(_put, _setter)


@public("config.experimental.enable_op_determinism")
def enable_op_determinism() -> None:
    """Every op of rillet gives the same result each time in any case."""


# ---- what there is not ----------------------------------------------------------------------------------------------


@public("test.is_built_with_cuda")
def is_built_with_cuda() -> bool:
    return False


@public("test.is_built_with_rocm")
def is_built_with_rocm() -> bool:
    return False


@public("test.is_built_with_xla")
def is_built_with_xla() -> bool:
    return False


@public("test.is_built_with_gpu_support")
def is_built_with_gpu_support() -> bool:
    return False


@public("test.is_gpu_available")
def is_gpu_available(cuda_only: bool = False, min_cuda_compute_capability: Any = None) -> bool:
    return bool(list_logical_devices("GPU"))


@public("test.gpu_device_name")
def gpu_device_name() -> str:
    """The name of a GPU; "" as there is none."""
    return next((device.name for device in list_logical_devices("GPU")), "")
