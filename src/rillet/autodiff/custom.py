"""Functions with a gradient of their own: tf.custom_gradient and what is made of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from rillet.autodiff.backprop import is_differentiable, zeros_for
from rillet.autodiff.tape import GradientTape
from rillet.core import context, nest
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import SymbolicTensor, Tensor


class CustomGradientFunction:
    """What tf.custom_gradient returns: a function, or a method of a class."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        functools.update_wrapper(self, function)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return CustomGradientFunction(functools.partial(self._function, instance))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watcher = context.VariableWatcher()
        context.add_recorder(watcher)
        try:
            result, gradient_function = self._function(*args, **kwargs)
        finally:
            context.remove_recorder(watcher)
        flat_args = nest.flatten(args, expand_composites=True)
        given = {id(value) for value in flat_args}
        read = [variable for variable in watcher.variables.values() if variable.trainable and id(variable) not in given]
        if read and not _accepts_variables(gradient_function):
            raise TypeError(
                f"@tf.custom_gradient grad_fn must accept keyword argument 'variables', since function uses variables: {read}"
            )
        return _with_gradient(result, flat_args, read, gradient_function)


def _accepts_variables(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(parameter.name == "variables" or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _with_gradient(result: Any, flat_args: Sequence[Any], variables: Sequence[Any], gradient_function: Any) -> Any:
    """`result`, differentiated by the arguments and variables as `gradient_function` says."""
    leaves = nest.flatten(result, expand_composites=True)
    results = [convert_to_tensor(leaf) for leaf in leaves]
    places = [place for place, value in enumerate(flat_args) if isinstance(_source(value), Tensor)]
    sources = [_source(flat_args[place]) for place in places]
    handles = [variable._source for variable in variables]
    count = len(results)

    def rule(op: Operation, *dys: Any) -> list[Any]:
        filled = [
            zeros_for(tensor) if dy is None and is_differentiable(tensor.dtype) else dy
            for tensor, dy in zip(op.outputs[:count], dys[:count], strict=True)
        ]
        arguments, variable_gradients = _called(gradient_function, filled, variables, len(flat_args))
        return [*[None] * count, *[arguments[place] for place in places], *variable_gradients]

    rule.takes_none = True  # type: ignore[attr-defined]
    passed = apply_op(REGISTRY["IdentityN"], ([*results, *sources, *handles],), gradient=rule)
    for before, after in zip(results, passed, strict=False):
        if isinstance(after, SymbolicTensor):
            after.set_shape(before.shape)
    return nest.pack_sequence_as(result, list(passed[:count]), expand_composites=True)


def _source(value: Any) -> Any:
    """The tensor that `value`, a tensor or variable, is differentiated by."""
    return getattr(value, "_source", value)


def _called(function: Any, dys: Sequence[Any], variables: Sequence[Any], count: int) -> tuple[list[Any], list[Any]]:
    """The gradients of all arguments and those of the variables."""
    if variables:
        gradients, variable_gradients = function(*dys, variables=list(variables))
        variable_gradients = nest.flatten(variable_gradients)
        if len(variable_gradients) != len(variables):
            raise ValueError("Must return gradient for each variable from @custom_gradient grad_fn.")
    else:
        gradients, variable_gradients = function(*dys), []
    flat = nest.flatten(gradients, expand_composites=False)
    if len(flat) != count:
        raise ValueError(
            f"custom_gradient function expected to return {count} gradients, but returned {len(flat)} instead."
        )
    return flat, variable_gradients


@public("custom_gradient")
def custom_gradient(f: Callable[..., Any] | None = None) -> Any:
    """Decorator for a function that brings its own gradient.

    f: returns (result, gradient function). The gradient function takes the gradients of the results and returns one (or
        None) for each tensor among f's positional arguments. If f reads variables, it must take `variables=` too and
        return a pair: the gradients of the arguments, and those of the variables.

        @tf.custom_gradient
        def log1pexp(x):
            e = tf.exp(x)
            return tf.math.log(1 + e), lambda dy: dy * (1 - 1 / (1 + e))

    Raises TypeError where f reads variables that the gradient function doesn't take, ValueError for a wrong number of
    gradients.
    """
    return custom_gradient if f is None else CustomGradientFunction(f)


@public("recompute_grad")
def recompute_grad(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, which is computed again for its gradient instead of keeping what it computed in between."""

    @functools.wraps(f)
    def function(*args: Any, **kwargs: Any) -> Any:
        @custom_gradient
        def recomputed(*args: Any) -> Any:
            with context.recording_variables_only():
                result = f(*args, **kwargs)

            def gradient(*dys: Any, variables: Sequence[Any] = ()) -> Any:
                return _gradient_again(f, args, kwargs, dys, variables)

            return result, gradient

        return recomputed(*args)

    return function


def _gradient_again(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], dys: Sequence[Any], variables: Sequence[Any]
) -> Any:
    """The gradients of f's arguments and variables, from a second computation of f."""
    leaves = nest.flatten(args, expand_composites=True)
    fresh = [apply_op(REGISTRY["Identity"], (leaf,)) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    watched = [leaf for leaf in fresh if isinstance(leaf, Tensor) or hasattr(leaf, "_source")]
    with GradientTape() as tape:
        tape.watch([*watched, *variables])
        result = f(*nest.pack_sequence_as(args, fresh, expand_composites=True), **kwargs)
    targets = nest.flatten(result, expand_composites=True)
    gradients = tape.gradient(targets, [*watched, *variables], output_gradients=list(dys))
    remaining = iter(gradients[: len(watched)])
    is_watched = {id(leaf) for leaf in watched}
    arguments = [next(remaining) if id(leaf) in is_watched else None for leaf in fresh]
    return (arguments, gradients[len(watched) :]) if variables else arguments


@public("grad_pass_through")
def grad_pass_through(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, differentiated as if it were the identity."""

    @custom_gradient
    def function(*args: Any, **kwargs: Any) -> Any:
        def gradient(*dys: Any, variables: Sequence[Any] = ()) -> Any:
            return (dys, [None] * len(variables)) if variables else dys

        return f(*args, **kwargs), gradient

    return functools.wraps(f)(function)
