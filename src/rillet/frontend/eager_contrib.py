"""tf.contrib.eager, as programs of 2018 used it: gradients of functions, and old names of what TensorFlow 2 has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from rillet.autodiff.custom import custom_gradient
from rillet.autodiff.tape import GradientTape
from rillet.core import context
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import export, public
from rillet.core.tensor import Tensor
from rillet.frontend.devices import list_logical_devices
from rillet.frontend.function import function
from rillet.frontend.public import enable_eager_execution
from rillet.frontend.python_call import py_function
from rillet.frontend.variable import ResourceVariable

export(ResourceVariable, v1=["contrib.eager.Variable"])
export(GradientTape, v1=["contrib.eager.GradientTape"])
export(custom_gradient, v1=["contrib.eager.custom_gradient"])
export(enable_eager_execution, v1=["contrib.eager.enable_eager_execution"])
export(context.executing_eagerly, v1=["contrib.eager.executing_eagerly", "contrib.eager.in_eager_mode"])
export(functools.partial(function, autograph=False), v1=["contrib.eager.defun"])


@public(v1=["contrib.eager.py_func"])
def py_func(func: Callable[..., Any], inp: Any, Tout: Any, name: str | None = None) -> Any:
    """tf.py_function."""
    return py_function(func, inp, Tout, name)


@public(v1=["contrib.eager.num_gpus"])
def num_gpus() -> int:
    return len(list_logical_devices("GPU"))


@public(v1=["contrib.eager.list_devices"])
def list_devices() -> list[str]:
    return [f"/job:localhost/replica:0/task:0{device.name}" for device in list_logical_devices()]


# ---- gradients of functions -------------------------------------------------------------------------------------------


def _positions(f: Callable[..., Any], params: Sequence[int | str] | None, count: int) -> list[int]:
    """The positions of the arguments to differentiate by. ValueError where `params` names none of them."""
    if params is None:
        return list(range(count))
    names = list(inspect.signature(f).parameters) if any(isinstance(entry, str) for entry in params) else []
    positions = [names.index(entry) if entry in names else entry for entry in params]
    wrong = [entry for entry in positions if not isinstance(entry, int) or not 0 <= entry < count]
    if wrong or not positions:
        raise ValueError(
            f"params must be positions or names of arguments of the function, but has {wrong or 'nothing'}"
        )
    return [entry for entry in positions if isinstance(entry, int)]


@public(v1=["contrib.eager.value_and_gradients_function"])
def value_and_gradients_function(
    f: Callable[..., Any], params: Sequence[int | str] | None = None
) -> Callable[..., Any]:
    """A function that returns f's value and a list of its gradients by its positional arguments.

    params: positions or names of the arguments to differentiate by; all of them when None. The function that comes back
    takes `dy`, which the gradients are multiplied with. Raises ValueError for an f that returns None.
    """

    def differentiated(*args: Any, dy: Any = None, **kwargs: Any) -> tuple[Any, list[Any]]:
        positions = _positions(f, params, len(args))
        arguments = list(args)
        for position in positions:
            if not isinstance(args[position], Tensor) and not hasattr(args[position], "_source"):
                arguments[position] = convert_to_tensor(args[position])
        sources = [arguments[position] for position in positions]
        with GradientTape() as tape:
            tape.watch(sources)
            value = f(*arguments, **kwargs)
        _check_result(f, value)
        return value, tape.gradient(value, sources, output_gradients=dy)

    return differentiated


@public(v1=["contrib.eager.gradients_function"])
def gradients_function(f: Callable[..., Any], params: Sequence[int | str] | None = None) -> Callable[..., Any]:
    """A function that returns the gradients of f by its positional arguments: see value_and_gradients_function."""
    differentiated = value_and_gradients_function(f, params)
    return lambda *args, **kwargs: differentiated(*args, **kwargs)[1]


@public(v1=["contrib.eager.implicit_value_and_gradients"])
def implicit_value_and_gradients(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns f's value and a list of (gradient, variable) for the trainable variables that f reads.

    Raises ValueError where f returns None or reads no variable.
    """

    def differentiated(*args: Any, **kwargs: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        with GradientTape() as tape:
            value = f(*args, **kwargs)
        _check_result(f, value)
        variables = list(tape.watched_variables())
        if not variables:
            raise ValueError("No trainable variables were accessed while the function was being computed.")
        return value, list(zip(tape.gradient(value, variables), variables, strict=True))

    return differentiated


@public(v1=["contrib.eager.implicit_gradients"])
def implicit_gradients(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns (gradient, variable) for the trainable variables that f reads."""
    differentiated = implicit_value_and_gradients(f)
    return lambda *args, **kwargs: differentiated(*args, **kwargs)[1]


def _check_result(f: Callable[..., Any], value: Any) -> None:
    if value is None:
        name = getattr(f, "__name__", repr(f))
        raise ValueError(
            f"Cannot differentiate a function that returns None; did you forget to return a value from {name}?"
        )
