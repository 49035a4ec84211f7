"""Which TensorFlow rillet is, for programs that ask; and where TensorFlow's own files would be.

rillet's own version is that of its package: importlib.metadata.version("rillet").
"""

from __future__ import annotations

from typing import Any, NoReturn

from rillet.core.export import export, public

VERSION_1 = "1.15.0"
VERSION_2 = "2.21.0"

export(VERSION_1, v1=["version.VERSION", "VERSION", "__version__"])
export(VERSION_2, v2=["version.VERSION", "VERSION", "__version__"])

for _name, _value in {
    "GIT_VERSION": "rillet",
    "COMPILER_VERSION": "rillet",
    "GRAPH_DEF_VERSION": 2474,  # TensorFlow 2.21's: programs compare it, graphs carry it
    "GRAPH_DEF_VERSION_MIN_CONSUMER": 0,
    "GRAPH_DEF_VERSION_MIN_PRODUCER": 0,
}.items():
    export(_value, f"version.{_name}", v1=[_name])
export("rillet", "__git_version__", "__compiler_version__")
export(0, "sysconfig.MONOLITHIC_BUILD", "__monolithic_build__")
export(1, "sysconfig.CXX11_ABI_FLAG", "__cxx11_abi_flag__")


def _no_library(what: str) -> NoReturn:
    raise NotImplementedError(
        f"rillet has no {what}: it is written in Python, and ops in C++ cannot be compiled against it.\n"
        "    Try: tf.custom_gradient and tf.numpy_function, which make ops out of Python functions."
    )


@public("sysconfig.get_include")
def get_include() -> str:
    """NotImplementedError: there are no headers."""
    _no_library("C++ headers")


@public("sysconfig.get_lib")
def get_lib() -> str:
    """NotImplementedError: there is no library to link with."""
    _no_library("C++ library")


@public("sysconfig.get_compile_flags")
def get_compile_flags() -> list[str]:
    """NotImplementedError: there are no headers."""
    _no_library("C++ headers")


@public("sysconfig.get_link_flags")
def get_link_flags() -> list[str]:
    """NotImplementedError: there is no library to link with."""
    _no_library("C++ library")


@public("sysconfig.get_build_info")
def get_build_info() -> dict[str, Any]:
    return {"is_cuda_build": False, "is_rocm_build": False, "is_tensorrt_build": False}
