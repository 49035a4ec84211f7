"""GradientTape: records what runs, so that it can be differentiated."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from rillet.autodiff.backprop import UnconnectedGradients, backprop, is_differentiable
from rillet.autodiff.jacobian import batch_jacobian, jacobian
from rillet.autodiff.recording import Recording
from rillet.autodiff.repeated import repeated_gradients
from rillet.autodiff.unconnected import remember
from rillet.core import context, dtypes, nest
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import EagerTensor, Tensor

_LOGGER = logging.getLogger("rillet")


@public("GradientTape", v2=["autodiff.GradientTape"])
class GradientTape(Recording):
    """Records operations on watched tensors, for automatic differentiation.

    persistent: gradient() may be called more than once.
    watch_accessed_variables: trainable variables are watched as soon as they are read.

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x * x
        dy_dx = tape.gradient(y, x)
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        super().__init__()
        self._persistent = persistent
        self.higher_order = persistent
        self._watch_accessed_variables = watch_accessed_variables
        self._recording = False
        self._used = False
        self._variables: dict[int, Any] = {}

    # ---- recording (called by dispatch; see Recording) ---------------------------------------------------------

    def variable_accessed(self, variable: Any) -> None:
        if self._watch_accessed_variables and variable.trainable:
            self._watch_variable(variable)

    def _watch_variable(self, variable: Any) -> None:
        graph = context.state().graph
        if id(variable) not in self._variables:
            self._variables[id(variable)] = variable
            self.track(variable._source)
        if graph is not None:
            self.track(graph.capture(variable._source))

    # ---- for the user ------------------------------------------------------------------------------------------

    def __enter__(self) -> GradientTape:
        if self._recording:
            raise ValueError("Tape is still recording, This can happen if you try to re-enter an already-active tape.")
        self._push()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._recording:
            self._pop()

    def _push(self) -> None:
        self._recording = True
        context.add_recorder(self)

    def _pop(self) -> None:
        self._recording = False
        context.remove_recorder(self)

    def watch(self, tensor: Any) -> None:
        """Makes the tape trace `tensor` (a tensor, a variable, or a nest of them). ValueError for anything else."""
        for value in nest.flatten(tensor, expand_composites=True):
            if hasattr(value, "_source"):
                self._watch_variable(value)
            elif isinstance(value, Tensor):
                if not is_differentiable(value.dtype):
                    _LOGGER.warning(
                        "The dtype of the watched tensor must be floating (e.g. tf.float32), got %r", value.dtype
                    )
                self.track(value)
            else:
                raise ValueError(
                    f"Passed in object {value} of type {type(value).__name__!r}, not tf.Tensor or tf.Variable or ExtensionType."
                )

    @contextlib.contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Nothing that runs inside is recorded by this tape. RuntimeError when it does not record."""
        if not self._recording:
            raise RuntimeError("Trying to stop recording a tape which is not recording.")
        self._pop()
        try:
            yield
        finally:
            self._push()

    def reset(self) -> None:
        """Forgets everything recorded and watched."""
        self._used = False
        self._variables = {}
        self.forget()

    def watched_variables(self) -> tuple[Any, ...]:
        """The variables watched, in the order they were first read."""
        return tuple(self._variables.values())

    def recorded_operations(self) -> list[Operation]:
        """What the tape has recorded, in order."""
        return self.operations()

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: Any = UnconnectedGradients.NONE,
    ) -> Any:
        """d target / d source for each source, in the structure of `sources`.

        target: a tensor, or a nest of them whose gradients are summed. sources: a tensor, a variable, or a nest.
        output_gradients: what the targets' gradients are multiplied with (ones when None).
        Returns tensors (or IndexedSlices); None (or zeros) for sources that target does not depend on.
        Raises RuntimeError on a second call when the tape is not persistent.
        """
        if unconnected_gradients not in (UnconnectedGradients.NONE, UnconnectedGradients.ZERO):
            raise ValueError(f"Unknown value for unconnected_gradients: {unconnected_gradients!r}")
        self._stop_and_check()
        if target is None:
            raise TypeError(
                "Argument `target` should be a list or nested structure of Tensors, Variables or CompositeTensors to be "
                "differentiated, but received None."
            )
        flat_sources = nest.flatten(sources)
        gradients = self._repeated(target, flat_sources, output_gradients) if context.state().quick else None
        if gradients is None:
            targets, weights = self._targets(target, output_gradients)
            gradients = backprop(targets, self._sources(flat_sources, targets), weights, self.producer())
        if all(gradient is None for gradient in gradients):
            remember(_differentiated(target), flat_sources, self.producer(), self)
        self._finish()
        if unconnected_gradients == UnconnectedGradients.ZERO:
            gradients = [
                apply_op(REGISTRY["ZerosLike"], (source,)) if gradient is None else gradient
                for gradient, source in zip(gradients, flat_sources, strict=True)
            ]
        return nest.pack_sequence_as(sources, gradients)

    def _sources(self, sources: list[Any], targets: list[Tensor]) -> list[Tensor]:
        """The tensors that stand for the sources. Recorded ops may have taken one that was not traced: nothing flows to
        that, so a copy takes its place, which no op took."""
        traced = {*self.numbers, *map(id, targets)}
        tensors = [_source_tensor(source) for source in sources]
        return [
            tensor
            if id(tensor) in traced or tensor.dtype.base_dtype is dtypes.resource
            else apply_op(REGISTRY["Identity"], (tensor,))
            for tensor in tensors
        ]

    def _stop_and_check(self) -> None:
        if self._used and not self._persistent:
            raise RuntimeError(
                "A non-persistent GradientTape can only be used to compute one set of gradients (or jacobians)"
            )
        if self._recording and not self._persistent:
            self._pop()

    def _finish(self) -> None:
        self._used = True
        if not self._persistent:
            self.forget()

    def _repeated(self, target: Any, sources: list[Any], output_gradients: Any) -> list[Any] | None:
        """The gradients where ops run now and what was recorded has been differentiated before; else None."""
        targets = [target] if type(target) is EagerTensor else nest.flatten(target, expand_composites=True)
        weights = [None] * len(targets) if output_gradients is None else nest.flatten(output_gradients)
        if any(type(tensor) is not EagerTensor for tensor in targets):
            return None
        if any(weight is not None and type(weight) is not EagerTensor for weight in weights):
            return None
        return repeated_gradients(self, targets, weights, [getattr(source, "_source", source) for source in sources])

    def _targets(self, target: Any, output_gradients: Any) -> tuple[list[Tensor], list[Any]]:
        flat_targets = nest.flatten(target, expand_composites=True)
        flat_weights = [None] * len(flat_targets) if output_gradients is None else nest.flatten(output_gradients)
        targets: list[Tensor] = []
        weights: list[Any] = []
        for value, weight in zip(flat_targets, flat_weights, strict=True):
            tensor = _source_tensor(value)
            if not is_differentiable(tensor.dtype):
                continue
            targets.append(tensor)
            if weight is not None:
                weights.append(convert_to_tensor(weight, tensor.dtype.base_dtype))
            else:
                weights.append(apply_op(REGISTRY["OnesLike"], (value,)))
        return targets, weights

    def jacobian(
        self,
        target: Any,
        sources: Any,
        unconnected_gradients: Any = UnconnectedGradients.NONE,
        parallel_iterations: int | None = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """The partial derivatives of every element of `target`: shape target.shape + source.shape for each source.

        None (or zeros) for sources that target does not depend on. RuntimeError as for gradient().
        """
        self._stop_and_check()
        producer = self.producer()
        flat_sources = nest.flatten(sources)
        tensor = _source_tensor(target)
        found = jacobian(
            tensor,
            self._sources(flat_sources, [tensor]),
            producer,
            unconnected_gradients == UnconnectedGradients.ZERO,
        )
        self._finish()
        return nest.pack_sequence_as(sources, found)

    def batch_jacobian(
        self,
        target: Any,
        source: Any,
        unconnected_gradients: Any = UnconnectedGradients.NONE,
        parallel_iterations: int | None = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """One jacobian an example: target [b, ...], source [b, ...] -> [b, target.shape[1:], source.shape[1:]].

        Assumes that target[i] depends on source[i] alone. ValueError when the batch sizes differ.
        """
        first, other = target.shape.dimensions, source.shape.dimensions
        known = first is not None and other is not None
        if known and (not first or not other or (None not in (first[0], other[0]) and first[0] != other[0])):
            raise ValueError(
                f"Need first dimension of target shape ({target.shape}) and source shape ({source.shape}) to match."
            )
        self._stop_and_check()
        producer = self.producer()
        tensor = _source_tensor(target)
        found = batch_jacobian(
            tensor,
            self._sources([source], [tensor])[0],
            producer,
            unconnected_gradients == UnconnectedGradients.ZERO,
        )
        self._finish()
        return found


def _differentiated(target: Any) -> list[Tensor]:
    return [value for value in nest.flatten(target, expand_composites=True) if isinstance(value, Tensor)]


def _source_tensor(source: Any) -> Tensor:
    """The tensor that stands for `source` in the current graph: itself, or a variable's handle."""
    tensor = getattr(source, "_source", source)
    if not isinstance(tensor, Tensor):
        if hasattr(tensor, "__tf_tensor__"):
            tensor = convert_to_tensor(tensor)
        else:
            raise ValueError(
                f"Passed in object {source!r} of type {type(source).__name__!r}, not tf.Tensor or tf.Variable or ExtensionType."
            )
    graph = context.state().graph
    if graph is not None and not (isinstance(tensor, EagerTensor) and tensor.dtype is not dtypes.resource):
        return graph.capture(tensor)
    return tensor  # type: ignore[no-any-return]
