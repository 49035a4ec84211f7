"""Update rules of optimizers. A rule is written once, as a function of arrays; from it come the op on resource
variables (ResourceApplyAdam), on reference variables (ApplyAdam), and the sparse forms, which apply it to some rows.

The order of the operations in a rule is that of TensorFlow's kernels, so that trajectories agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.core.execution import VariableState
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.tensor import handle_data
from rillet.errors import ShapeError, format_shape
from rillet.ops.state import read_state, write_state

Rule = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Update:
    """What defines an optimizer's update.

    inputs: the names of the op's inputs in TensorFlow's order: the variable and its slots, a semicolon, then scalars,
        "grad" among them.
    rule(var, *slots, grad, **scalars and attributes): the new values of var and the slots.
    dense_gradient: what the gradient is called in the dense ops ("delta" in those without slots).
    """

    name: str
    inputs: str
    rule: Rule
    attributes: str = ""
    dense_gradient: str = "grad"

    @property
    def arguments(self) -> list[str]:
        return self.inputs.replace(";", "").split()

    @property
    def states(self) -> list[str]:
        return self.inputs.partition(";")[0].split()

    @property
    def options(self) -> list[str]:
        return [part.partition(":")[0].strip() for part in self.attributes.split(",") if part]


UPDATES: list[Update] = []  # all there are


def define_update(update: Update, sparse: bool = True, reference: bool = True) -> None:
    """Registers the dense ops of `update`, with `sparse` the ones that take (grad, indices) too.

    reference: whether there are ops on reference variables besides those on resource variables.
    """
    UPDATES.append(update)
    for is_resource in (True, False) if reference else (True,):
        _define(update, is_resource, is_sparse=False)
        if sparse:
            _define(update, is_resource, is_sparse=True)


def _define(update: Update, is_resource: bool, is_sparse: bool) -> None:
    prefix = ("Resource" if is_resource else "") + ("Sparse" if is_sparse else "") + "Apply"
    inputs = []
    for name in update.arguments:
        kind = ("resource" if is_resource else "Ref(T)") if name in update.states else "T"
        label = update.dense_gradient if name == "grad" and not is_sparse else name
        inputs.append(f"{label}: {'int64' if name == 'global_step' else kind}")
        if is_sparse and name == "grad":
            inputs.append("indices: Tindices")
    attributes = "T: numeric, use_locking: bool = False"
    attributes += ", Tindices: index" if is_sparse else ""
    attributes += f", {update.attributes}" if update.attributes else ""
    define(
        prefix + update.name,
        f"{', '.join(inputs)} -> {'' if is_resource else 'out: Ref(T)'}",
        attributes,
        reference=_kernel(update, is_resource, is_sparse),
        shape=_inference(update, is_resource, is_sparse),
        gradient=NO_GRADIENT,
        is_stateful=True,
    )


def argument_names(update: Update, is_sparse: bool) -> list[str]:
    """The names of an op's inputs in order."""
    names = update.arguments
    if is_sparse:
        names.insert(names.index("grad") + 1, "indices")
    return names


# ---- static inference -----------------------------------------------------------------------------------------------


def _inference(update: Update, is_resource: bool, is_sparse: bool) -> Callable[[Operation], list[TensorShape]]:
    """Scalars have rank 0; var, its slots and a dense gradient have one shape."""
    names = argument_names(update, is_sparse)
    alike = update.states if is_sparse else [*update.states, "grad"]

    def infer(op: Operation) -> list[TensorShape]:
        common = UNKNOWN
        for index, name in enumerate(names):
            if name in alike:
                label = update.dense_gradient if name == "grad" else name
                common = _merged(common, _shape_of(op.inputs[index]), label, index)
            elif name not in ("grad", "indices"):
                _require_scalar(op.inputs[index].shape, name, index)
        return [] if is_resource else [common]

    return infer


def _shape_of(tensor: Any) -> TensorShape:
    """The shape of a value, or of the variable behind a handle."""
    data = handle_data(tensor)
    shape: TensorShape = data[1] if data is not None else UNKNOWN if tensor.dtype.name == "resource" else tensor.shape
    return shape


def _merged(common: TensorShape, shape: TensorShape, name: str, index: int) -> TensorShape:
    if not common.is_compatible_with(shape):
        ours, theirs = format_shape(common.dimensions), format_shape(shape.dimensions)
        raise ShapeError(
            f"Dimensions of var and {name} must be equal. Shapes are {ours} and {theirs}.",
            f"var and {name} do not have the same shape{ours} {theirs}",
            {index: range(shape.rank or 0)},
        )
    return common.merge_with(shape)


def _require_scalar(shape: TensorShape, name: str, index: int) -> None:
    if shape.rank not in (None, 0):
        text = format_shape(shape.dimensions)
        raise ShapeError(
            f"Shape must be rank 0 but is rank {shape.rank} for {name} with shape {text}.",
            f"{name} is not a scalar: {text}",
            {index: range(shape.rank or 0)},
        )


# ---- kernels --------------------------------------------------------------------------------------------------------


def _kernel(update: Update, is_resource: bool, is_sparse: bool) -> Callable[..., Any]:
    names = argument_names(update, is_sparse)
    states = update.states

    def apply(*inputs: Any, **attrs: Any) -> Any:
        given = dict(zip(names, inputs, strict=True))
        variables: list[VariableState] = [given.pop(name) for name in states]
        gradient = given.pop("grad")
        with variables[0].lock:
            if is_sparse:
                _update_rows(update.rule, variables, gradient, given.pop("indices"), given | attrs)
            else:
                _update_whole(update.rule, variables, gradient, given | attrs)
        return () if is_resource else variables[0]

    return _with_keywords(apply, update.options)


def _with_keywords(apply: Callable[..., Any], options: Sequence[str]) -> Callable[..., Any]:
    """`apply` with the attributes it takes as visible keyword-only parameters (that is how kernels ask for them)."""
    if not options:
        return lambda *inputs: apply(*inputs)
    if list(options) == ["use_nesterov"]:
        return lambda *inputs, use_nesterov: apply(*inputs, use_nesterov=use_nesterov)
    if list(options) == ["update_slots"]:
        return lambda *inputs, update_slots: apply(*inputs, update_slots=update_slots)
    raise ValueError(f"no kernel form for attributes {options}")


def _update_whole(rule: Rule, variables: Sequence[VariableState], gradient: Any, options: dict[str, Any]) -> None:
    old = [read_state(variable) for variable in variables]
    for value in (*old[1:], gradient):
        if np.shape(value) != np.shape(old[0]):
            raise ValueError(
                "var and grad do not have the same shape"
                f"{format_shape(np.shape(old[0]))} {format_shape(np.shape(value))}"
            )
    for variable, value in zip(variables, rule(*old, grad=gradient, **options), strict=True):
        write_state(variable, np.asarray(value, variable.dtype.base_dtype.numpy_dtype))


def _update_rows(
    rule: Rule, variables: Sequence[VariableState], gradient: Any, indices: Any, options: dict[str, Any]
) -> None:
    """The rule on the rows named by `indices`, in their order: a row named twice is updated twice."""
    old = [read_state(variable) for variable in variables]
    _check_rows(old[0], gradient, indices)
    new = [value.copy() for value in old]
    for places in _without_repetition(indices):
        rows = indices[places]
        updated = rule(*[value[rows] for value in new], grad=gradient[places], **options)
        for value, part in zip(new, updated, strict=True):
            value[rows] = part
    for variable, value in zip(variables, new, strict=True):
        write_state(variable, value)


def _check_rows(var: Any, gradient: Any, indices: Any) -> None:
    if np.ndim(indices) != 1:
        raise ValueError("indices must be one-dimensional")
    if len(gradient) != len(indices):
        raise ValueError("grad must be the same size as indices in the first dimension.")
    for axis in range(1, max(np.ndim(var), np.ndim(gradient))):
        if np.shape(var)[axis : axis + 1] != np.shape(gradient)[axis : axis + 1]:
            raise ValueError(f"var and grad must match in dimension {axis}")
    wrong = np.flatnonzero((indices < 0) | (indices >= len(var)))
    if len(wrong):
        raise IndexError(f"Index {indices[wrong[0]]} at offset {wrong[0]} in indices is out of range")


def _without_repetition(indices: Any) -> Iterator[Any]:
    """Positions in `indices`, in groups that name no row twice: first occurrences, then second ones, and so on."""
    waiting = np.arange(len(indices))
    while len(waiting):
        first = np.sort(np.unique(indices[waiting], return_index=True)[1])
        yield waiting[first]
        waiting = np.delete(waiting, first)


# ---- the rules ------------------------------------------------------------------------------------------------------


def gradient_descent(var: Any, *, alpha: Any, grad: Any) -> tuple[Any, ...]:
    return (var - alpha * grad,)


def momentum(var: Any, accum: Any, *, lr: Any, grad: Any, momentum: Any, use_nesterov: bool) -> tuple[Any, ...]:
    """accum <- momentum accum + grad; var <- var - lr accum (Nesterov: var - lr (grad + momentum accum))."""
    accum = momentum * accum + grad
    return var - (grad * lr + accum * momentum * lr if use_nesterov else accum * lr), accum


def keras_momentum(var: Any, accum: Any, *, lr: Any, grad: Any, momentum: Any, use_nesterov: bool) -> tuple[Any, ...]:
    """The learning rate inside the accumulator: accum <- momentum accum - lr grad."""
    accum = momentum * accum - lr * grad
    return var + (momentum * accum - lr * grad if use_nesterov else accum), accum


def adam(
    var: Any, m: Any, v: Any, *, beta1_power: Any, beta2_power: Any, lr: Any, beta1: Any, beta2: Any, epsilon: Any,
    grad: Any, use_nesterov: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Kingma and Ba 2015, with the bias correction moved into the step size and epsilon-hat as there."""
    step = lr * np.sqrt(1 - beta2_power) / (1 - beta1_power)
    m = m + (grad - m) * (1 - beta1)
    v = v + (np.square(grad) - v) * (1 - beta2)
    direction = m * beta1 + (1 - beta1) * grad if use_nesterov else m
    return var - (direction * step) / (np.sqrt(v) + epsilon), m, v


def adam_with_amsgrad(
    var: Any, m: Any, v: Any, vhat: Any, *, beta1_power: Any, beta2_power: Any, lr: Any, beta1: Any, beta2: Any,
    epsilon: Any, grad: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """Reddi et al. 2018: Adam with the largest second moment so far."""
    step = lr * np.sqrt(1 - beta2_power) / (1 - beta1_power)
    m = m + (grad - m) * (1 - beta1)
    v = v + (np.square(grad) - v) * (1 - beta2)
    vhat = np.maximum(vhat, v)
    return var - m * step / (np.sqrt(vhat) + epsilon), m, v, vhat


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
    update = np.sqrt(accum_update + epsilon) * np.reciprocal(np.sqrt(accum + epsilon)) * grad
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
    linear = linear + (shrunk - (np.power(new_accum, power) - np.power(accum, power)) / lr * var)
    quadratic = np.power(new_accum, power) / lr + 2 * l2
    return np.where(np.abs(linear) > l1, (l1 * np.sign(linear) - linear) / quadratic, 0), new_accum, linear


def ftrl(var: Any, accum: Any, linear: Any, *, grad: Any, lr: Any, l1: Any, l2: Any, lr_power: Any) -> tuple[Any, ...]:
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
    step = global_step.astype(grad.dtype)
    numerator = np.sign(total) * np.maximum(np.abs(total) - l1 * step, 0)
    return -lr * numerator / (l2 * step * lr + np.sqrt(squares)), total, squares


def _agreement(m: Any, grad: Any, decay: Any) -> Any:
    """How far a gradient agrees with the running mean: decay times 1 where the signs are equal, -1 where opposite."""
    return decay * (np.sign(grad) * np.sign(m))


def add_sign(var: Any, m: Any, *, lr: Any, alpha: Any, sign_decay: Any, beta: Any, grad: Any) -> tuple[Any, ...]:
    """Bello et al. 2017."""
    m = m * beta + grad * (1 - beta)
    return var - lr * (alpha + _agreement(m, grad, sign_decay)) * grad, m


def power_sign(var: Any, m: Any, *, lr: Any, logbase: Any, sign_decay: Any, beta: Any, grad: Any) -> tuple[Any, ...]:
    """Bello et al. 2017."""
    m = m * beta + grad * (1 - beta)
    return var - lr * np.exp(logbase * _agreement(m, grad, sign_decay)) * grad, m


for _update in (
    Update("Momentum", "var accum; lr grad momentum", momentum, "use_nesterov: bool = False"),
    Update("Adagrad", "var accum; lr grad", adagrad, "update_slots: bool = True"),
    Update("AdagradV2", "var accum; lr epsilon grad", adagrad_v2, "update_slots: bool = True"),
    Update("Adadelta", "var accum accum_update; lr rho epsilon grad", adadelta),
    Update("RMSProp", "var ms mom; lr rho momentum epsilon grad", rms_prop),
    Update("CenteredRMSProp", "var mg ms mom; lr rho momentum epsilon grad", centered_rms_prop),
    Update("Ftrl", "var accum linear; grad lr l1 l2 lr_power", ftrl),
    Update("FtrlV2", "var accum linear; grad lr l1 l2 l2_shrinkage lr_power", ftrl_v2),
    Update("ProximalGradientDescent", "var; alpha l1 l2 grad", proximal_gradient_descent, dense_gradient="delta"),
    Update("ProximalAdagrad", "var accum; lr l1 l2 grad", proximal_adagrad),
    Update(
        "AdagradDA",
        "var gradient_accumulator gradient_squared_accumulator; grad lr l1 l2 global_step",
        adagrad_dual_averaging,
    ),
):
    define_update(_update)

define_update(
    Update("KerasMomentum", "var accum; lr grad momentum", keras_momentum, "use_nesterov: bool = False"),
    reference=False,
)

define_update(
    Update("AdamWithAmsgrad", "var m v vhat; beta1_power beta2_power lr beta1 beta2 epsilon grad", adam_with_amsgrad),
    sparse=False,
    reference=False,
)

# Adam and its kin change every row, named or not: their optimizers compose the sparse form from scatters.
for _update in (
    Update("GradientDescent", "var; alpha grad", gradient_descent, dense_gradient="delta"),
    Update(
        "Adam",
        "var m v; beta1_power beta2_power lr beta1 beta2 epsilon grad",
        adam,
        "use_nesterov: bool = False",
    ),
    Update("AdaMax", "var m v; beta1_power lr beta1 beta2 epsilon grad", ada_max),
    Update("AddSign", "var m; lr alpha sign_decay beta grad", add_sign),
    Update("PowerSign", "var m; lr logbase sign_decay beta grad", power_sign),
):
    define_update(_update, sparse=False)
