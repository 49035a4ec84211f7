"""tf.keras.backend: the functions of Keras' old common ground. Most are TensorFlow's under other names and arguments.

(There is no module keras.backend: its names are `sum`, `abs`, `max` ..., which no module wants among its own.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.autodiff.gradients import gradients_v1
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import V2, export, public
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import EagerTensor, SymbolicTensor
from rillet.frontend.variable import Variable
from rillet.keras import activations, losses, naming, sessions, symbolic
from rillet.keras.calling import choose, training_here
from rillet.keras.policy import floatx, image_data_format, set_image_data_format
from rillet.ops.cast import cast

# name in the backend -> name in tf: called with the same arguments
_SAME = {
    "abs": "abs", "argmax": "argmax", "argmin": "argmin", "cos": "cos", "equal": "equal", "exp": "exp",
    "expand_dims": "expand_dims", "eye": "eye", "foldl": "foldl", "foldr": "foldr", "gather": "gather",
    "greater": "greater", "greater_equal": "greater_equal", "less": "less", "less_equal": "less_equal", "log": "math.log",
    "map_fn": "map_fn", "maximum": "maximum", "minimum": "minimum", "name_scope": "name_scope", "not_equal": "not_equal",
    "ones_like": "ones_like", "pow": "pow", "reshape": "reshape", "reverse": "reverse", "round": "round", "shape": "shape",
    "sigmoid": "sigmoid", "sign": "sign", "sin": "sin", "softplus": "nn.softplus", "softsign": "nn.softsign",
    "square": "square", "squeeze": "squeeze", "stack": "stack", "stop_gradient": "stop_gradient", "tanh": "tanh",
    "tile": "tile", "transpose": "transpose", "zeros_like": "zeros_like",
}  # fmt: skip
for _name, _theirs in _SAME.items():
    export(V2[_theirs], f"keras.backend.{_name}")


def _reduction(name: str, theirs: str, as_float: bool = False) -> None:
    function = V2[theirs]

    def reduce(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        x = convert_to_tensor(x)
        return function(cast(x, floatx()) if as_float and not x.dtype.is_floating else x, axis, keepdims)

    reduce.__name__ = reduce.__qualname__ = name
    export(reduce, f"keras.backend.{name}")


for _name, _theirs in (
    ("sum", "reduce_sum"), ("prod", "reduce_prod"), ("max", "reduce_max"), ("min", "reduce_min"),
    ("logsumexp", "reduce_logsumexp"), ("any", "reduce_any"), ("all", "reduce_all"),
):  # fmt: skip
    _reduction(_name, _theirs)
for _name in ("mean", "std", "var"):
    _reduction(_name, {"mean": "reduce_mean", "std": "math.reduce_std", "var": "math.reduce_variance"}[_name], True)

for _name in ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"):
    export(getattr(losses, _name), f"keras.backend.{_name}")
for _name in ("elu", "hard_sigmoid", "softmax"):
    export(getattr(activations, _name), f"keras.backend.{_name}")


def _backend(function: Callable[..., Any]) -> Callable[..., Any]:
    return public(f"keras.backend.{function.__name__.rstrip('_')}")(function)


# ---- making tensors --------------------------------------------------------------------------------------------------


@_backend
def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Any:
    """A variable with this initial value."""
    return Variable(
        value, dtype=dtypes.as_dtype(dtype or floatx()), name=name, constraint=constraint, use_resource=True
    )


@_backend
def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    return V2["constant"](value, dtype=dtypes.as_dtype(dtype or floatx()), shape=shape, name=name or "Const")


@_backend
def placeholder(
    shape: Any = None, ndim: int | None = None, dtype: Any = None, sparse: bool = False, name: str | None = None,
    ragged: bool = False,
) -> Any:  # fmt: skip
    """A tensor to be fed; where ops run eagerly, one of a model, as Input gives it."""
    sizes = [None] * ndim if shape is None and ndim else shape
    graph, wanted = symbolic.model_graph(), dtypes.as_dtype(dtype or floatx())
    if graph is symbolic.GRAPH:
        return V2["keras.Input"](batch_shape=sizes, dtype=wanted, name=name)
    return _placeholder(graph, wanted, sizes, name)


def _placeholder(graph: Graph, dtype: dtypes.DType, shape: Any, name: str | None) -> Any:
    with context.use_graph(graph):
        return apply_op(REGISTRY["Placeholder"], (), {"dtype": dtype, "shape": V2["TensorShape"](shape)}, name)


def _filled(name: str) -> None:
    fill = V2[name]

    def filled(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
        value = fill(shape, dtypes.as_dtype(dtype or floatx()))
        return Variable(value, name=name or "Variable", use_resource=True)

    export(filled, f"keras.backend.{name}")


_filled("zeros")
_filled("ones")


@_backend
def random_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    return V2["random.normal"](shape, mean, stddev, dtypes.as_dtype(dtype or floatx()), seed)


@_backend
def random_uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    return V2["random.uniform"](shape, minval, maxval, dtypes.as_dtype(dtype or floatx()), seed)


@_backend
def truncated_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    return V2["random.truncated_normal"](shape, mean, stddev, dtypes.as_dtype(dtype or floatx()), seed)


@_backend
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = "int32") -> Any:
    begin, end = (0, start) if stop is None else (start, stop)
    return cast(V2["range"](begin, end, step), dtype)


# ---- asking about them -----------------------------------------------------------------------------------------------


@_backend
def int_shape(x: Any) -> Any:
    """The static shape as a tuple, None for what is not known; None where nothing is."""
    shape = x.shape
    return tuple(shape.as_list()) if hasattr(shape, "as_list") else tuple(shape)


@_backend
def ndim(x: Any) -> int | None:
    return len(x.shape) if x.shape is not None else None


@_backend
def dtype(x: Any) -> str:
    return x.dtype.base_dtype.name  # type: ignore[no-any-return]


@_backend
def is_sparse(tensor: Any) -> bool:
    return isinstance(tensor, V2["SparseTensor"])


@_backend
def is_tensor(x: Any) -> bool:
    return isinstance(x, (EagerTensor, SymbolicTensor))


@_backend
def count_params(x: Any) -> int:
    return int(np.prod(x.shape.as_list()))


@_backend
def eval_(x: Any) -> Any:
    """The value of a tensor or variable, as an array."""
    return sessions.get_value(x)


# ---- computing -------------------------------------------------------------------------------------------------------


@_backend
def cast_(x: Any, dtype: Any) -> Any:
    return cast(x, dtype)


@_backend
def cast_to_floatx(x: Any) -> Any:
    """An array or tensor in floatx()."""
    if isinstance(x, (EagerTensor, SymbolicTensor, Variable)):
        return cast(x, floatx())
    return np.asarray(x, dtype=floatx())


@_backend
def clip(x: Any, min_value: Any, max_value: Any) -> Any:
    low = -np.inf if min_value is None else min_value
    high = np.inf if max_value is None else max_value
    return V2["clip_by_value"](
        x, low, max(low, high) if isinstance(low, (int, float)) and isinstance(high, (int, float)) else high
    )


@_backend
def sqrt(x: Any) -> Any:
    """The square root; of negative elements that of 0."""
    return V2["sqrt"](V2["maximum"](x, convert_to_tensor(0.0, x.dtype.base_dtype)))


@_backend
def dot(x: Any, y: Any) -> Any:
    """x @ y; for higher ranks the last axis of x with the last but one of y."""
    x, y = convert_to_tensor(x), convert_to_tensor(y)
    if x.shape.rank == 2 and y.shape.rank == 2:
        return V2["matmul"](x, y)
    return V2["tensordot"](x, y, [[x.shape.rank - 1], [max(y.shape.rank - 2, 0)]])


@_backend
def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """For each example the product of x and y over one axis of each. axes: (of x, of y), or one number for both."""
    x, y = convert_to_tensor(x), convert_to_tensor(y)
    if axes is None:
        axes = (x.shape.rank - 1, y.shape.rank - 2 if y.shape.rank > 2 else y.shape.rank - 1)
    left, right = (axes, axes) if isinstance(axes, int) else tuple(axes)
    left, right = left % x.shape.rank, right % y.shape.rank
    letters = "cdefghij"
    x_letters = ["a", *letters[: x.shape.rank - 1]]
    y_letters = ["a", *"klmnopqr"[: y.shape.rank - 1]]
    x_letters[left] = y_letters[right] = "z"
    result = [letter for letter in (*x_letters, *y_letters[1:]) if letter != "z"]
    product = V2["einsum"](f"{''.join(x_letters)},{''.join(y_letters)}->{''.join(result)}", x, y)
    return V2["expand_dims"](product, 1) if product.shape.rank == 1 else product


@_backend
def concatenate(tensors: Sequence[Any], axis: int = -1) -> Any:
    return V2["concat"](list(tensors), axis if axis >= 0 else axis % tensors[0].shape.rank)


@_backend
def flatten(x: Any) -> Any:
    return V2["reshape"](x, [-1])


@_backend
def batch_flatten(x: Any) -> Any:
    return V2["reshape"](x, V2["stack"]([-1, V2["reduce_prod"](V2["shape"](x)[1:])]))


@_backend
def permute_dimensions(x: Any, pattern: Sequence[int]) -> Any:
    return V2["transpose"](x, list(pattern))


@_backend
def repeat(x: Any, n: int) -> Any:
    """[batch, d] -> [batch, n, d]."""
    return V2["tile"](V2["expand_dims"](x, 1), [1, n, 1])


@_backend
def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    return V2["repeat"](x, rep, axis)


@_backend
def one_hot(indices: Any, num_classes: int) -> Any:
    return V2["one_hot"](indices, num_classes, axis=-1)


@_backend
def l2_normalize(x: Any, axis: Any = None) -> Any:
    return V2["linalg.l2_normalize"](x, axis)


@_backend
def cumsum(x: Any, axis: int = 0) -> Any:
    return V2["cumsum"](x, axis)


@_backend
def cumprod(x: Any, axis: int = 0) -> Any:
    return V2["math.cumprod"](x, axis)


@_backend
def relu(x: Any, alpha: float = 0.0, max_value: Any = None, threshold: float = 0) -> Any:
    return activations.relu(x, alpha, max_value, threshold)


@_backend
def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    return V2["nn.bias_add"](x, bias, None if data_format in (None, "channels_last") else "NCHW")


@_backend
def dropout(x: Any, level: float, noise_shape: Any = None, seed: Any = None) -> Any:
    return V2["nn.dropout"](x, level, noise_shape, seed)


@_backend
def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    return V2["math.in_top_k"](targets, predictions, k)


@_backend
def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """then_expression where the condition holds, else the other: tensors, or functions where the condition is a scalar."""
    condition = convert_to_tensor(condition)
    condition = condition if condition.dtype.is_bool else cast(condition, dtypes.bool_)
    if condition.shape.rank == 0:
        then, other = (e if callable(e) else (lambda e=e: e) for e in (then_expression, else_expression))
        return V2["cond"](condition, then, other)
    then, other = (e() if callable(e) else e for e in (then_expression, else_expression))
    while condition.shape.rank < then.shape.rank:
        condition = V2["expand_dims"](condition, -1)
    return V2["where"](condition, then, other)


@_backend
def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """x while training, else alt: tensors, or functions that give them."""
    then, other = (e if callable(e) else (lambda e=e: e) for e in (x, alt))
    return choose(training_here(training), then, other)


@_backend
def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    return in_train_phase(alt, x, training)


# ---- variables and sessions ------------------------------------------------------------------------------------------


@_backend
def update(x: Any, new_x: Any) -> Any:
    return x.assign(new_x)


@_backend
def update_add(x: Any, increment: Any) -> Any:
    return x.assign_add(increment)


@_backend
def update_sub(x: Any, decrement: Any) -> Any:
    return x.assign_sub(decrement)


@_backend
def moving_average_update(x: Any, value: Any, momentum: Any) -> Any:
    """x becomes x * momentum + value * (1 - momentum)."""
    return x.assign(x * momentum + value * (1.0 - momentum))


@_backend
def gradients(loss: Any, variables: Any) -> Any:
    """d loss / d variables, in a graph."""
    return gradients_v1(loss, variables)


@_backend
def function(inputs: Any, outputs: Any, updates: Any = None, name: str | None = None, **kwargs: Any) -> Any:
    """A function of arrays that gives the values of `outputs` for values of `inputs` (tensors of a model or a graph)."""
    single = not isinstance(outputs, (list, tuple))
    wanted = [outputs] if single else list(outputs)
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if symbolic.is_of_model(given[0]) if given else False:
        model = V2["keras.Model"](given, wanted)

        def call(values: Any) -> Any:
            results = model(
                [convert_to_tensor(value) for value in (values if isinstance(values, (list, tuple)) else [values])]
            )
            arrays = [result.numpy() for result in (results if isinstance(results, (list, tuple)) else [results])]
            return arrays[0] if single else arrays

        return call
    targets = list(updates or ())

    def run(values: Any) -> Any:
        session = sessions.get_session()
        feeds = dict(zip(given, values if isinstance(values, (list, tuple)) else [values], strict=False))
        arrays = session.run([wanted, targets], feeds)[0]
        return arrays[0] if single else arrays

    return run


@_backend
def clear_session() -> None:
    """Starts anew: names are counted from the beginning, and a graph of TensorFlow 1 is replaced by an empty one."""
    naming.reset_uids()
    if not context.eager_by_default():
        graph = context.get_default_graph()
        sessions.forget_session(graph)
        if not any(entry is not None for entry in context.state().stack):
            context.reset_default_graph()


export(clear_session, "keras.utils.clear_session")


@_backend
def image_dim_ordering() -> str:
    """image_data_format in the words of Keras 1: "tf" or "th"."""
    return "tf" if image_data_format() == "channels_last" else "th"


@_backend
def set_image_dim_ordering(dim_ordering: str) -> None:
    set_image_data_format({"tf": "channels_last", "th": "channels_first"}[dim_ordering])


@_backend
def manual_variable_initialization(value: bool) -> None:
    """Accepted: variables are initialised where they have no value."""
