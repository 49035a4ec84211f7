"""Update rules of optimizers. A rule is written once, as a function of arrays; from it come the op on resource
variables (ResourceApplyAdam), on reference variables (ApplyAdam), and the sparse forms, which apply it to some rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.core.execution import VariableState
from rillet.core.opdef import NO_GRADIENT, define
from rillet.ops.families import same_shape
from rillet.ops.state import read_state, write_state

Rule = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Update:
    """What defines an optimizer's update.

    arguments: names of the op's inputs in TensorFlow's order; "var" and `slots` are variables, "grad" is the gradient,
        the others are scalars.
    rule(var, *slots, **scalars and attributes, grad): the new values of var and the slots.
    """

    name: str
    arguments: tuple[str, ...]
    slots: tuple[str, ...]
    rule: Rule
    attributes: str = ""
    gradient: str = "grad"


def define_update(update: Update, sparse: bool = True) -> None:
    """Registers the dense ops of `update`, and with `sparse` the ones that take (grad, indices)."""
    for is_resource in (True, False):
        _define(update, is_resource, is_sparse=False)
        if sparse:
            _define(update, is_resource, is_sparse=True)


def _define(update: Update, is_resource: bool, is_sparse: bool) -> None:
    prefix = ("Resource" if is_resource else "") + ("Sparse" if is_sparse else "") + "Apply"
    states = ("var", *update.slots)
    inputs = []
    for name in update.arguments:
        kind = ("resource" if is_resource else "Ref(T)") if name in states else "T"
        inputs.append(f"{name}: {'int64' if name == 'global_step' else kind}")
        if is_sparse and name == update.gradient:
            inputs.append("indices: Tindices")
    attributes = "T: numeric, use_locking: bool = False"
    attributes += ", Tindices: index" if is_sparse else ""
    attributes += f", {update.attributes}" if update.attributes else ""
    options = [part.split(":")[0].strip() for part in update.attributes.split(",") if part]
    define(
        prefix + update.name,
        f"{', '.join(inputs)} -> {'' if is_resource else 'out: Ref(T)'}",
        attributes,
        reference=_kernel(update, is_resource, is_sparse, options),
        shape=(lambda op: []) if is_resource else same_shape,
        gradient=NO_GRADIENT,
        is_stateful=True,
    )


def _kernel(update: Update, is_resource: bool, is_sparse: bool, options: Sequence[str]) -> Callable[..., Any]:
    names = list(update.arguments)
    if is_sparse:
        names.insert(names.index(update.gradient) + 1, "indices")
    states = ("var", *update.slots)

    def apply(*inputs: Any, **attrs: Any) -> Any:
        given = dict(zip(names, inputs, strict=True))
        variables: list[VariableState] = [given.pop(name) for name in states]
        gradient = given.pop(update.gradient)
        with variables[0].lock:
            if is_sparse:
                _update_rows(update.rule, variables, gradient, given.pop("indices"), given, attrs)
            else:
                old = [read_state(variable) for variable in variables]
                new = update.rule(*old, grad=gradient, **given, **attrs)
                for variable, value in zip(variables, new, strict=True):
                    write_state(variable, np.asarray(value, variable.dtype.base_dtype.numpy_dtype))
        return () if is_resource else variables[0]

    return _with_keywords(apply, options)


def _with_keywords(apply: Callable[..., Any], options: Sequence[str]) -> Callable[..., Any]:
    """`apply` with the attributes it takes as visible keyword-only parameters (that is how kernels ask for them)."""
    if not options:
        return lambda *inputs: apply(*inputs)
    if list(options) == ["use_nesterov"]:
        return lambda *inputs, use_nesterov: apply(*inputs, use_nesterov=use_nesterov)
    if list(options) == ["update_slots"]:
        return lambda *inputs, update_slots: apply(*inputs, update_slots=update_slots)
    raise ValueError(f"no kernel form for attributes {options}")


def _update_rows(
    rule: Rule, variables: Sequence[VariableState], gradient: Any, indices: Any, scalars: dict[str, Any], attrs: dict[str, Any]
) -> None:
    """The rule on the rows named by `indices`; rows named twice receive the sum of their gradients."""
    if np.size(indices) == 0:
        return
    rows, places = np.unique(indices, return_inverse=True)
    summed = np.zeros((len(rows), *np.shape(gradient)[1:]), gradient.dtype)
    np.add.at(summed, places.ravel(), gradient)
    old = [read_state(variable) for variable in variables]
    if rows[0] < 0 or rows[-1] >= len(old[0]):
        raise IndexError(f"indices out of range: a row of {rows.tolist()} is not in [0, {len(old[0])})")
    new = rule(*[value[rows] for value in old], grad=summed, **scalars, **attrs)
    for variable, before, after in zip(variables, old, new, strict=True):
        value = before.copy()
        value[rows] = after
        write_state(variable, value)


# ---- the rules ------------------------------------------------------------------------------------------------------


def gradient_descent(var: Any, *, alpha: Any, grad: Any) -> tuple[Any, ...]:
    return (var - alpha * grad,)


def momentum(var: Any, accum: Any, *, lr: Any, grad: Any, momentum: Any, use_nesterov: bool) -> tuple[Any, ...]:
    """accum <- momentum accum + grad; var <- var - lr accum (Nesterov: var - lr (grad + momentum accum))."""
    accum = momentum * accum + grad
    return var - (lr * (grad + momentum * accum) if use_nesterov else lr * accum), accum


def keras_momentum(var: Any, accum: Any, *, lr: Any, grad: Any, momentum: Any, use_nesterov: bool) -> tuple[Any, ...]:
    """The learning rate inside the accumulator: accum <- momentum accum - lr grad."""
    accum = momentum * accum - lr * grad
    return var + (momentum * accum - lr * grad if use_nesterov else accum), accum


def adam(
    var: Any, m: Any, v: Any, *, beta1_power: Any, beta2_power: Any, lr: Any, beta1: Any, beta2: Any, epsilon: Any, grad: Any,
    use_nesterov: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Kingma and Ba 2015, with the bias correction moved into the step size and epsilon-hat as there."""
    one = beta1.dtype.type(1) if hasattr(beta1, "dtype") else 1.0
    step = lr * np.sqrt(one - beta2_power) / (one - beta1_power)
    m = m + (grad - m) * (one - beta1)
    v = v + (np.square(grad) - v) * (one - beta2)
    direction = m * beta1 + (one - beta1) * grad if use_nesterov else m
    return var - (direction * step) / (np.sqrt(v) + epsilon), m, v


def ada_max(
    var: Any, m: Any, v: Any, *, beta1_power: Any, lr: Any, beta1: Any, beta2: Any, epsilon: Any, grad: Any
) -> tuple[Any, ...]:
    m = m + (grad - m) * (1 - beta1)
    v = np.maximum(beta2 * v, np.abs(grad))
    return var - lr / (1 - beta1_power) * (m / (v + epsilon)), m, v


def adagrad(var: Any, accum: Any, *, lr: Any, grad: Any, update_slots: bool) -> tuple[Any, ...]:
    """Duchi et al. 2011: step sizes shrink with the root of the summed squares."""
    if update_slots:
        accum = accum + np.square(grad)
    return var - lr * grad / np.sqrt(accum), accum


def adagrad_v2(var: Any, accum: Any, *, lr: Any, epsilon: Any, grad: Any, update_slots: bool) -> tuple[Any, ...]:
    if update_slots:
        accum = accum + np.square(grad)
    return var - lr * grad / (np.sqrt(accum) + epsilon), accum


def adadelta(var: Any, accum: Any, accum_update: Any, *, lr: Any, rho: Any, epsilon: Any, grad: Any) -> tuple[Any, ...]:
    """Zeiler 2012."""
    accum = accum * rho + np.square(grad) * (1 - rho)
    update = np.sqrt(accum_update + epsilon) / np.sqrt(accum + epsilon) * grad
    accum_update = accum_update * rho + np.square(update) * (1 - rho)
    return var - update * lr, accum, accum_update


def rms_prop(
    var: Any, ms: Any, mom: Any, *, lr: Any, rho: Any, momentum: Any, epsilon: Any, grad: Any
) -> tuple[Any, ...]:
    ms = ms + (np.square(grad) - ms) * (1 - rho)
    mom = mom * momentum + (grad * lr) / np.sqrt(ms + epsilon)
    return var - mom, ms, mom


def centered_rms_prop(
    var: Any, mg: Any, ms: Any, mom: Any, *, lr: Any, rho: Any, momentum: Any, epsilon: Any, grad: Any
) -> tuple[Any, ...]:
    ms = ms + (np.square(grad) - ms) * (1 - rho)
    mg = mg + (grad - mg) * (1 - rho)
    mom = mom * momentum + (grad * lr) / np.sqrt(ms - np.square(mg) + epsilon)
    return var - mom, mg, ms, mom


def ftrl_v2(
    var: Any, accum: Any, linear: Any, *, grad: Any, lr: Any, l1: Any, l2: Any, l2_shrinkage: Any, lr_power: Any
) -> tuple[Any, ...]:
    """McMahan et al. 2013, with L2 shrinkage of the gradient."""
    shrunk = grad + 2 * l2_shrinkage * var
    new_accum = accum + np.square(grad)
    power = -lr_power
    linear = linear + shrunk - (np.power(new_accum, power) - np.power(accum, power)) / lr * var
    quadratic = np.power(new_accum, power) / lr + 2 * l2
    return np.where(np.abs(linear) > l1, (l1 * np.sign(linear) - linear) / quadratic, 0), new_accum, linear


def ftrl(
    var: Any, accum: Any, linear: Any, *, grad: Any, lr: Any, l1: Any, l2: Any, lr_power: Any
) -> tuple[Any, ...]:
    return ftrl_v2(var, accum, linear, grad=grad, lr=lr, l1=l1, l2=l2, l2_shrinkage=0 * l2, lr_power=lr_power)


def _shrink(proximal: Any, step: Any, l1: Any, l2: Any) -> Any:
    """The proximal step for l1 |x| + l2/2 x^2."""
    return np.sign(proximal) * np.maximum(np.abs(proximal) - step * l1, 0) / (1 + step * l2)


def proximal_gradient_descent(var: Any, *, alpha: Any, l1: Any, l2: Any, grad: Any) -> tuple[Any, ...]:
    return (_shrink(var - alpha * grad, alpha, l1, l2),)


def proximal_adagrad(var: Any, accum: Any, *, lr: Any, l1: Any, l2: Any, grad: Any) -> tuple[Any, ...]:
    accum = accum + np.square(grad)
    step = lr / np.sqrt(accum)
    return _shrink(var - step * grad, step, l1, l2), accum


def adagrad_dual_averaging(
    var: Any, gradient_accumulator: Any, gradient_squared_accumulator: Any, *, grad: Any, lr: Any, l1: Any, l2: Any,
    global_step: Any,
) -> tuple[Any, ...]:  # fmt: skip
    total = gradient_accumulator + grad
    squares = gradient_squared_accumulator + np.square(grad)
    step = grad.dtype.type(global_step)
    numerator = np.sign(total) * np.maximum(np.abs(total) - l1 * step, 0)
    return -lr * numerator / (l2 * step * lr + np.sqrt(squares)), total, squares


for _update in (
    Update("Momentum", ("var", "accum", "lr", "grad", "momentum"), ("accum",), momentum, "use_nesterov: bool = False"),
    Update("KerasMomentum", ("var", "accum", "lr", "grad", "momentum"), ("accum",), keras_momentum, "use_nesterov: bool = False"),
    Update("Adagrad", ("var", "accum", "lr", "grad"), ("accum",), adagrad, "update_slots: bool = True"),
    Update("AdagradV2", ("var", "accum", "lr", "epsilon", "grad"), ("accum",), adagrad_v2, "update_slots: bool = True"),
    Update("Adadelta", ("var", "accum", "accum_update", "lr", "rho", "epsilon", "grad"), ("accum", "accum_update"), adadelta),
    Update("RMSProp", ("var", "ms", "mom", "lr", "rho", "momentum", "epsilon", "grad"), ("ms", "mom"), rms_prop),
    Update(
        "CenteredRMSProp", ("var", "mg", "ms", "mom", "lr", "rho", "momentum", "epsilon", "grad"), ("mg", "ms", "mom"), centered_rms_prop
    ),
    Update("Ftrl", ("var", "accum", "linear", "grad", "lr", "l1", "l2", "lr_power"), ("accum", "linear"), ftrl),
    Update(
        "FtrlV2", ("var", "accum", "linear", "grad", "lr", "l1", "l2", "l2_shrinkage", "lr_power"), ("accum", "linear"), ftrl_v2
    ),
    Update("ProximalGradientDescent", ("var", "alpha", "l1", "l2", "grad"), (), proximal_gradient_descent),
    Update("ProximalAdagrad", ("var", "accum", "lr", "l1", "l2", "grad"), ("accum",), proximal_adagrad),
    Update(
        "AdagradDA",
        ("var", "gradient_accumulator", "gradient_squared_accumulator", "grad", "lr", "l1", "l2", "global_step"),
        ("gradient_accumulator", "gradient_squared_accumulator"),
        adagrad_dual_averaging,
    ),
):  # fmt: skip
    define_update(_update)

define_update(
    Update("GradientDescent", ("var", "alpha", "delta"), (), lambda var, *, alpha, grad: gradient_descent(var, alpha=alpha, grad=grad), gradient="delta"),
    sparse=False,
)  # fmt: skip
define_update(
    Update(
        "Adam",
        ("var", "m", "v", "beta1_power", "beta2_power", "lr", "beta1", "beta2", "epsilon", "grad"),
        ("m", "v"),
        adam,
        "use_nesterov: bool = False",
    ),
    sparse=False,  # Adam decays every row's moments, named or not: the optimizer composes that from scatters
)
define_update(
    Update("AdaMax", ("var", "m", "v", "beta1_power", "lr", "beta1", "beta2", "epsilon", "grad"), ("m", "v"), ada_max),
    sparse=False,
)
