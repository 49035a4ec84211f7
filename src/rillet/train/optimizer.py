"""tf.train's optimizers: gradients, slots (variables kept for each variable), and the updates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rillet.autodiff.gradients import gradients_v1
from rillet.autodiff.tape import GradientTape
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Graph
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.frontend.collections import GraphKeys
from rillet.frontend.control import group
from rillet.frontend.variable import ReferenceVariable, Variable, init_scope
from rillet.frontend.variable_scope import PartitionedVariable, get_variable, variable_scope
from rillet.ops import creation


@public(v1=["train.Optimizer"])
class Optimizer:
    """Base of the optimizers.

    A subclass says what it keeps (`_create_slots`), which scalars it uses (`_prepare`) and how it updates a variable
    (`_apply_dense`, `_apply_sparse`; they serve resource and reference variables alike through `_apply`).
    """

    GATE_NONE = 0
    GATE_OP = 1
    GATE_GRAPH = 2

    def __init__(self, use_locking: bool, name: str) -> None:
        if not name:
            raise ValueError("Must specify the optimizer name")
        self._use_locking = use_locking
        self._name = name
        self._slots: dict[str, dict[int, tuple[Any, Any]]] = {}
        self._non_slots: dict[tuple[str, int | None], Any] = {}

    def get_name(self) -> str:
        return self._name

    # ---- gradients ---------------------------------------------------------------------------------------------

    def minimize(
        self,
        loss: Any,
        global_step: Any = None,
        var_list: Any = None,
        gate_gradients: int = GATE_OP,
        aggregation_method: Any = None,
        colocate_gradients_with_ops: bool = False,
        name: str | None = None,
        grad_loss: Any = None,
    ) -> Any:
        """An operation that changes the variables to make `loss` smaller (eagerly: does it; loss is then a function).

        Raises ValueError when no variable is connected to the loss.
        """
        pairs = self.compute_gradients(
            loss, var_list, gate_gradients, aggregation_method, colocate_gradients_with_ops, grad_loss
        )
        if all(gradient is None for gradient, _ in pairs):
            raise ValueError(
                "No gradients provided for any variable, check your graph for ops that do not support gradients, between "
                f"variables {[str(variable) for _, variable in pairs]} and loss {loss}."
            )
        return self.apply_gradients(pairs, global_step, name)

    def compute_gradients(
        self,
        loss: Any,
        var_list: Any = None,
        gate_gradients: int = GATE_OP,
        aggregation_method: Any = None,
        colocate_gradients_with_ops: bool = False,
        grad_loss: Any = None,
    ) -> list[tuple[Any, Any]]:
        """(gradient, variable) for each variable of var_list (the graph's trainable variables when None)."""
        if callable(loss):
            with GradientTape() as tape:
                if var_list is not None:
                    tape.watch(list(_flat(var_list)))
                value = loss()
            variables = list(tape.watched_variables()) if var_list is None else list(_flat(var_list))
            return list(zip(tape.gradient(value, variables, grad_loss), variables, strict=True))
        if isinstance(loss, EagerTensor):
            raise RuntimeError(
                "`loss` passed to Optimizer.compute_gradients should be a function when eager execution is enabled."
            )
        if gate_gradients not in (Optimizer.GATE_NONE, Optimizer.GATE_OP, Optimizer.GATE_GRAPH):
            raise ValueError(
                f"gate_gradients must be one of: Optimizer.GATE_NONE, Optimizer.GATE_OP, Optimizer.GATE_GRAPH. Not {gate_gradients}"
            )
        with loss.graph.as_default():
            variables = list(_flat(var_list)) if var_list is not None else _trainable(loss.graph)
            if not variables:
                raise ValueError("No variables to optimize.")
            gradients = gradients_v1(
                loss, variables, grad_loss, gate_gradients=gate_gradients == Optimizer.GATE_OP, colocate_gradients_with_ops=False
            )
            if gate_gradients == Optimizer.GATE_GRAPH:
                gradients = _gated(gradients)
        return list(zip(gradients, variables, strict=True))

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]], global_step: Any = None, name: str | None = None) -> Any:
        """Updates the variables (in a graph: returns the operation that does). global_step is then one larger."""
        pairs = [(gradient, variable) for gradient, variable in grads_and_vars]
        if not pairs:
            raise ValueError("No variables provided.")
        for gradient, _ in pairs:
            if gradient is not None and not isinstance(gradient, (Tensor, IndexedSlices)):
                raise TypeError(f"Gradient must be convertible to a Tensor or IndexedSlices, or None: {gradient}")
        used = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        if not used:
            raise ValueError(f"No gradients provided for any variable: {[variable.name for _, variable in pairs]}.")
        graph = _graph_of([gradient for gradient, _ in used])
        with context.use_graph(graph) if graph is not context.state().graph else contextlib.nullcontext():
            with init_scope() if graph is None else contextlib.nullcontext():
                self._create_slots([variable for _, variable in used])
            return self._apply_all(graph, used, global_step, name or self._name)

    def _apply_all(self, graph: Graph | None, used: list[tuple[Any, Any]], global_step: Any, name: str) -> Any:
        with _scope(graph, name) as scope:
            self._prepare()
            updates = []
            for gradient, variable in used:
                with _scope(graph, "update_" + variable.name.partition(":")[0]):
                    updates.append(self._update(gradient, variable))
            if global_step is None:
                operation = self._finish(updates, scope or name)
            elif graph is None:
                self._finish(updates, "update")
                global_step.assign_add(1)
                return None
            else:
                finished = self._finish(updates, "update")
                with graph.control_dependencies([finished]):
                    operation = global_step.assign_add(1, name=scope, read_value=isinstance(global_step, ReferenceVariable))
            if graph is not None and operation is not None:
                operation = getattr(operation, "op", operation)
                if operation not in graph.get_collection_ref(GraphKeys.TRAIN_OP):
                    graph.add_to_collection(GraphKeys.TRAIN_OP, operation)
        return operation

    def _update(self, gradient: Any, variable: Any) -> Any:
        update = self._apply_sparse if isinstance(gradient, IndexedSlices) else self._apply_dense
        operation = update(gradient, variable)
        if variable.constraint is None:
            return operation
        with control_after(operation):
            return variable.assign(variable.constraint(variable))

    def _apply_dense(self, gradient: Any, variable: Any) -> Any:
        raise NotImplementedError

    def _apply_sparse(self, gradient: Any, variable: Any) -> Any:
        raise NotImplementedError

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        """Makes the slots of these variables."""

    def _prepare(self) -> None:
        """Makes tensors of the hyperparameters."""

    def _finish(self, update_ops: list[Any], name_scope: str) -> Any:
        """What an update step consists of besides the updates; returns the operation that stands for all."""
        return group(*[operation for operation in update_ops if operation is not None], name=name_scope)

    # ---- slots -------------------------------------------------------------------------------------------------

    def get_slot(self, var: Any, name: str) -> Any:
        """The variable kept for `var` under `name`; None where there is none."""
        entry = self._slots.get(name, {}).get(id(var))
        return None if entry is None else entry[1]

    def get_slot_names(self) -> list[str]:
        return sorted(self._slots)

    def variables(self) -> list[Any]:
        """Every variable of the optimizer's own: slots, powers, accumulators."""
        found = [*self._non_slots.values(), *[slot for slots in self._slots.values() for _, slot in slots.values()]]
        return sorted(found, key=lambda variable: str(variable.name))

    def _zeros_slot(self, var: Any, slot_name: str, op_name: str) -> Any:
        return self._get_or_make_slot(var, lambda: creation.zeros, slot_name, op_name)

    def _get_or_make_slot_with_value(self, var: Any, value: float, slot_name: str, op_name: str) -> Any:
        def initializer(shape: Any, dtype: Any = None) -> Any:
            return apply_op(REGISTRY["Fill"], (shape, convert_to_tensor(value, dtype)))

        return self._get_or_make_slot(var, lambda: initializer, slot_name, op_name)

    def _get_or_make_slot(self, var: Any, initializer: Callable[[], Any], slot_name: str, op_name: str) -> Any:
        slots = self._slots.setdefault(slot_name, {})
        if id(var) not in slots:
            primary = var.name.partition(":")[0]
            with variable_scope(None, f"{primary}/{op_name}"):
                slot = get_variable(
                    "",
                    var.shape,
                    dtype=var.dtype.base_dtype,
                    initializer=initializer(),
                    trainable=False,
                    use_resource=not isinstance(var, ReferenceVariable),
                )
            slots[id(var)] = (var, slot)
        return slots[id(var)][1]

    def _create_non_slot_variable(self, initial_value: Any, name: str, colocate_with: Any) -> Any:
        key = (name, self._graph_key(colocate_with))
        if key not in self._non_slots:
            use_resource = not isinstance(colocate_with, ReferenceVariable)
            self._non_slots[key] = Variable(initial_value, name=name, trainable=False, use_resource=use_resource)
        return self._non_slots[key]

    def _get_non_slot_variable(self, name: str, graph: Any = None) -> Any:
        current = context.state().graph if graph is None else graph
        return self._non_slots.get((name, None if current is None else id(current)))

    def _graph_key(self, variable: Any) -> int | None:
        return None if variable.graph is None else id(variable.graph)

    # ---- help for subclasses -----------------------------------------------------------------------------------

    def _call_if_callable(self, value: Any) -> Any:
        return value() if callable(value) else value

    def _apply(self, op: str, variable: Any, slots: Sequence[Any], values: Sequence[Any], **attrs: Any) -> Any:
        """Calls update op `op` ("ApplyAdam") in the form that fits the variable's kind.

        values: the op's further inputs in order; floats and tensors are cast to the variable's dtype.
        """
        resource = not isinstance(variable, ReferenceVariable)
        dtype = variable.dtype.base_dtype
        inputs = [variable._source, *[slot._source for slot in slots]]
        inputs.extend(_as_dtype(value, dtype) for value in values)
        definition = REGISTRY[("Resource" if resource else "") + op]
        result = apply_op(definition, inputs, {"use_locking": self._use_locking, "T": dtype, **attrs})
        return getattr(result, "op", result) if isinstance(result, SymbolicTensor) else result


def control_after(operation: Any) -> Any:
    """A context whose operations run after `operation` (None: it ran eagerly)."""
    return contextlib.nullcontext() if operation is None else operation.graph.control_dependencies([operation])


def _as_dtype(value: Any, dtype: dtypes.DType) -> Any:
    if isinstance(value, Tensor):
        known = value.dtype.base_dtype
        if known is dtype or known.is_integer:
            return value
        return apply_op(REGISTRY["Cast"], (value,), {"DstT": dtype})
    return convert_to_tensor(value, dtype)


def _flat(var_list: Any) -> Iterable[Any]:
    for variable in var_list if isinstance(var_list, (list, tuple)) else [var_list]:
        if isinstance(variable, (list, tuple, PartitionedVariable)):
            yield from _flat(list(variable))
        elif isinstance(variable, (Variable, Tensor)):
            yield variable
        else:
            raise TypeError(f"Argument is not a variable: {variable}")


def _trainable(graph: Graph) -> list[Any]:
    """The graph's trainable variables, and eagerly made ones that the graph has taken in."""
    found = list(_flat(graph.get_collection(GraphKeys.TRAINABLE_VARIABLES)))
    for tensor, _ in graph._captured_constants.values():
        reference = tensor.__dict__.get("_variable")
        variable = reference() if reference is not None else None
        if variable is not None and variable.trainable and not any(variable is other for other in found):
            found.append(variable)
    return found


def _gated(gradients: list[Any]) -> list[Any]:
    present = [gradient for gradient in gradients if isinstance(gradient, Tensor)]
    if len(present) < 2:
        return gradients
    passed = iter(apply_op(REGISTRY["IdentityN"], (present,)))
    return [next(passed) if isinstance(gradient, Tensor) else gradient for gradient in gradients]


def _graph_of(gradients: Iterable[Any]) -> Graph | None:
    current = context.state().graph
    if current is not None:
        return current
    for gradient in gradients:
        tensor = gradient.values if isinstance(gradient, IndexedSlices) else gradient
        if isinstance(tensor, SymbolicTensor):
            return tensor.graph
    return None


def _scope(graph: Graph | None, name: str) -> Any:
    return contextlib.nullcontext() if graph is None else graph.name_scope(name)
