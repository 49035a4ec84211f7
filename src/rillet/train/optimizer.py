"""tf.train's optimizers: gradients, slots (variables kept for each variable), and the updates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rillet.autodiff.backprop import together
from rillet.autodiff.gradients import gradients_v1
from rillet.autodiff.tape import GradientTape
from rillet.autodiff.unconnected import reasons_for
from rillet.core import context, dtypes
from rillet.core.dispatch import convert_to_tensor
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor
from rillet.frontend.collections import GraphKeys
from rillet.frontend.control import group
from rillet.frontend.module import tell_restores
from rillet.frontend.partitioned import PartitionedVariable
from rillet.frontend.scopes import init_scope, run_after
from rillet.frontend.variable import ReferenceVariable, Variable
from rillet.train.slots import at_home, create_slot, create_zeros_slot
from rillet.train.updates import apply_update, without_repetition


@public(v1=["train.Optimizer"])
class Optimizer:
    """Base of the optimizers.

    A subclass says what it keeps (`_create_slots`), which scalars it uses (`_prepare`), how it updates a variable
    (`_apply_dense`, `_apply_sparse`) and what ends a step (`_finish`). `_resource_apply_dense` and
    `_resource_apply_sparse` may differ for resource variables; those of this package serve both kinds through `_apply`.
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
                "No gradients provided for any variable, check your graph for ops that do not support gradients, "
                f"between variables {[str(variable) for _, variable in pairs]} and loss {loss}."
                + reasons_for([variable for _, variable in pairs])
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
                "gate_gradients must be one of: Optimizer.GATE_NONE, Optimizer.GATE_OP, Optimizer.GATE_GRAPH. Not "
                f"{gate_gradients}"
            )
        with loss.graph.as_default():
            variables = list(_flat(var_list)) if var_list is not None else _trainable(loss.graph)
            if not variables:
                raise ValueError("No variables to optimize.")
            gate = gate_gradients == Optimizer.GATE_OP
            gradients = gradients_v1(
                loss, variables, grad_loss, "gradients", colocate_gradients_with_ops, gate, aggregation_method
            )
            if gate_gradients == Optimizer.GATE_GRAPH:
                gradients = together(gradients)
        pairs = list(zip(gradients, variables, strict=True))
        self._assert_valid_dtypes([variable for gradient, variable in pairs if gradient is not None])
        return pairs

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Any, Any]], global_step: Any = None, name: str | None = None
    ) -> Any:
        """Updates the variables (in a graph: returns the operation that does). global_step is then one larger.

        Raises ValueError when no variable has a gradient, TypeError for a gradient that is no tensor.
        """
        pairs = [(_as_gradient(gradient), variable) for gradient, variable in grads_and_vars]
        if not pairs:
            raise ValueError("No variables provided.")
        used = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        if not used:
            names = [str(variable) for _, variable in pairs]
            why = reasons_for([variable for _, variable in pairs])
            raise ValueError(f"No gradients provided for any variable: {names}.{why}")
        graph = _graph_of([gradient for gradient, _ in used])
        with context.use_graph(graph) if graph is not context.state().graph else contextlib.nullcontext():
            with init_scope():
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
            else:
                operation = self._count(graph, self._finish(updates, "update"), global_step, scope)
            if graph is None:
                return None
            operation = getattr(operation, "op", operation)
            if operation not in graph.get_collection_ref(GraphKeys.TRAIN_OP):
                graph.add_to_collection(GraphKeys.TRAIN_OP, operation)
        return operation

    def _count(self, graph: Graph | None, finished: Any, global_step: Any, scope: str | None) -> Any:
        """Adds one to the global step, after the updates."""
        with run_after(finished):
            if graph is None or not isinstance(global_step, ReferenceVariable):
                one = convert_to_tensor(1, global_step.dtype.base_dtype)
                return global_step.assign_add(one, name=scope, read_value=False)
            return global_step.assign_add(1, name=scope)

    # ---- updates: what subclasses write ------------------------------------------------------------------------

    def _update(self, gradient: Any, variable: Any) -> Any:
        is_reference = isinstance(variable, ReferenceVariable)
        if isinstance(gradient, IndexedSlices):
            if variable.constraint is not None:
                raise RuntimeError("Cannot use a constraint function on a sparse variable.")
            if is_reference:
                return self._apply_sparse_duplicate_indices(gradient, variable)
            return self._resource_apply_sparse_duplicate_indices(gradient.values, variable, gradient.indices)
        operation = (self._apply_dense if is_reference else self._resource_apply_dense)(gradient, variable)
        if variable.constraint is None:
            return operation
        with run_after(operation):
            return variable.assign(variable.constraint(variable))

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        """The operation that updates `var` by a dense gradient."""
        raise NotImplementedError

    def _resource_apply_dense(self, grad: Any, handle: Any) -> Any:
        """As _apply_dense, for a resource variable."""
        return self._apply_dense(grad, handle)

    def _apply_sparse(self, grad: Any, var: Any) -> Any:
        """The operation that updates `var` by IndexedSlices that name no row twice."""
        raise NotImplementedError

    def _resource_apply_sparse(self, grad: Any, handle: Any, indices: Any) -> Any:
        """As _apply_sparse, for a resource variable: the rows `indices` have the gradients `grad`."""
        return self._apply_sparse(IndexedSlices(grad, indices), handle)

    def _apply_sparse_duplicate_indices(self, grad: Any, var: Any) -> Any:
        """As _apply_sparse, where rows may be named more than once: their gradients are summed."""
        summed, unique = without_repetition(grad.values, grad.indices)
        return self._apply_sparse(IndexedSlices(summed, unique, grad.dense_shape), var)

    def _resource_apply_sparse_duplicate_indices(self, grad: Any, handle: Any, indices: Any) -> Any:
        summed, unique = without_repetition(grad, indices)
        return self._resource_apply_sparse(summed, handle, unique)

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        """Makes the slots of these variables."""

    def _prepare(self) -> None:
        """Makes tensors of the hyperparameters."""

    def _finish(self, update_ops: list[Any], name_scope: str) -> Any:
        """What an update step consists of besides the updates; returns the operation that stands for all."""
        return group(*[operation for operation in update_ops if operation is not None], name=name_scope)

    def _valid_dtypes(self) -> set[dtypes.DType]:
        return {dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64}

    def _assert_valid_dtypes(self, tensors: Iterable[Any]) -> None:
        valid = self._valid_dtypes()
        for tensor in tensors:
            if tensor.dtype.base_dtype not in valid:
                expected = sorted(dtype.name for dtype in valid)
                raise ValueError(f"Invalid type {tensor.dtype.base_dtype!r} for {tensor.name}, expected: {expected}.")

    # ---- slots -------------------------------------------------------------------------------------------------

    def get_slot(self, var: Any, name: str) -> Any:
        """The variable kept for `var` under `name`; None where there is none."""
        entry = self._slots.get(name, {}).get(id(var))
        return None if entry is None else entry[1]

    def get_slot_names(self) -> list[str]:
        return sorted(self._slots)

    def variables(self) -> list[Any]:
        """Every variable of the optimizer's own in the current graph: slots, powers, accumulators."""
        found = [*self._non_slots.values(), *[slot for slots in self._slots.values() for _, slot in slots.values()]]
        graph = context.get_default_graph()
        here = [variable for variable in found if variable.graph is None or variable.graph is graph]
        return sorted(here, key=lambda variable: str(variable.name))

    def _slot_dict(self, slot_name: str) -> dict[Any, Any]:
        return self._slots.setdefault(slot_name, {})

    def _zeros_slot(self, var: Any, slot_name: str, op_name: str) -> Any:
        return self._make_slot(var, slot_name, lambda: create_zeros_slot(var, op_name))

    def _get_or_make_slot(self, var: Any, val: Any, slot_name: str, op_name: str) -> Any:
        """A slot that starts as the tensor `val`."""
        return self._make_slot(var, slot_name, lambda: create_slot(var, val, op_name))

    def _get_or_make_slot_with_initializer(
        self, var: Any, initializer: Any, shape: Any, dtype: Any, slot_name: str, op_name: str
    ) -> Any:
        return self._make_slot(var, slot_name, lambda: create_slot(var, initializer, op_name, shape, dtype))

    def _make_slot(self, var: Any, slot_name: str, make: Callable[[], Any]) -> Any:
        slots = self._slot_dict(slot_name)
        if id(var) not in slots:
            slots[id(var)] = (var, make())
            tell_restores(self)
        return slots[id(var)][1]

    def _create_non_slot_variable(self, initial_value: Any, name: str, colocate_with: Any) -> Any:
        """A variable kept once a graph, not once a variable; it lives where `colocate_with` does."""
        key = (name, _graph_key(colocate_with.graph))
        if key not in self._non_slots:
            use_resource = not isinstance(colocate_with, ReferenceVariable)
            with at_home(colocate_with.graph):
                self._non_slots[key] = Variable(initial_value, name=name, trainable=False, use_resource=use_resource)
            tell_restores(self)
        return self._non_slots[key]

    def _get_non_slot_variable(self, name: str, graph: Any = None) -> Any:
        """The variable made by _create_non_slot_variable in `graph`, or eagerly; None where there is none."""
        known = self._non_slots.get((name, _graph_key(graph)))
        return self._non_slots.get((name, None)) if known is None else known

    # ---- help for subclasses -----------------------------------------------------------------------------------

    def _call_if_callable(self, param: Any) -> Any:
        return param() if callable(param) else param

    def _apply(self, op: str, variable: Any, slots: Sequence[Any], values: Sequence[Any], **attrs: Any) -> Any:
        """Calls update op `op` ("ApplyAdam") in the form that fits the variable's kind.

        values: the op's further inputs in order; floats and tensors are cast to the variable's dtype.
        """
        return apply_update(op, variable, slots, values, use_locking=self._use_locking, **attrs)


def _as_gradient(gradient: Any) -> Any:
    if gradient is None or isinstance(gradient, (Tensor, IndexedSlices)):
        return gradient
    try:
        return convert_to_tensor(gradient)
    except (TypeError, ValueError):
        raise TypeError(f"Gradient must be convertible to a Tensor or IndexedSlices, or None: {gradient}") from None


def _graph_key(graph: Any) -> int | None:
    while isinstance(graph, FuncGraph):
        graph = graph.outer_graph
    return None if graph is None else id(graph)


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
