"""The trainer of models: compile, and what a step of training, testing or predicting is. (The loops are in fitting.)

A step is one tf.function of a batch: forward, loss, gradients, update, metrics are one native call. All of it is a graph
that can be asked for:

    step = model.concrete_function(x, y)     # or model.make_train_function().get_concrete_function((x_spec, y_spec))
    step.graph.get_operations(); print(step.plan())
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rillet.autodiff.tape import GradientTape
from rillet.core import context
from rillet.core.function import FuncGraph
from rillet.frontend.function import PolymorphicFunction
from rillet.keras import optimizers
from rillet.keras.compiled import CompiledLoss, CompiledMetrics
from rillet.keras.fitting import Fitting
from rillet.keras.inputs import Structure, as_data, pack_x_y_sample_weight, unpack_x_y_sample_weight
from rillet.keras.layer import Layer
from rillet.keras.layer_weights import LayerWeights
from rillet.keras.loss_scaling import with_loss_scale
from rillet.keras.metric import Mean
from rillet.keras.saving_registry import deserialize_keras_object, serialize_keras_object, suggestion
from rillet.keras.stepping import FunctionStep, GraphStep, PlainStep, make_reset, make_step, specifications
from rillet.keras.tracking import each_once

_KEYWORDS = {  # of Keras 2 and 3, besides those of the signature, with their defaults
    "run_eagerly": None, "steps_per_execution": None, "jit_compile": None, "auto_scale_loss": True,
    "pss_evaluation_shards": 0, "experimental_run_tf_function": True, "cloning": None,
    "experimental_steps_per_execution": None,
}  # fmt: skip


class Trainer(Fitting, Layer):  # type: ignore[misc]
    """What Model has of training."""

    def _init_training(self) -> None:
        self.stop_training = False
        self.history: Any = None
        self.optimizer: Any = None
        self.loss: Any = None
        self.compiled_loss: Any = None
        self.compiled_metrics: Any = None
        self._is_compiled = False
        self._target_tensors: Any = None
        self._run_eagerly: bool | None = None
        self.steps_per_execution = 1
        self.jit_compile: Any = None
        self.train_function: Any = None
        self.test_function: Any = None
        self.predict_function: Any = None
        self._made_steps: dict[str, Any] = {}
        self._compile_arguments: Any = None
        self._reset_call: Any = None  # in a graph: (ids of metrics, what resets them, the metrics)

    # ---- compile --------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        sample_weight_mode: Any = None,
        weighted_metrics: Any = None,
        target_tensors: Any = None,
        distribute: Any = None,
        **kwargs: Any,
    ) -> None:
        """Says how the model is trained.

        optimizer: a name, an optimizer of tf.keras or of tf.train.
        loss: a name, a function of (labels, predictions), a Loss; a list or dictionary of them, one for each output.
        metrics: names, functions, Metrics: a list for all outputs, or a list or dictionary of lists, one for each.
        loss_weights: numbers by which the losses of several outputs are multiplied. weighted_metrics: metrics that use
            the sample weights. sample_weight_mode: accepted; weights may have any shape that broadcasts to the loss's.
        target_tensors: in a graph of TensorFlow 1, tensors to compare outputs with, instead of labels that are given.
        distribute: a strategy of one replica, or None.
        kwargs: run_eagerly (each op by itself), steps_per_execution (steps between callbacks), jit_compile (accepted:
            every step is compiled), auto_scale_loss, and what only Keras 2 had.

        Raises TypeError for another keyword, ValueError for a name that stands for nothing.
        """
        options = _options(kwargs)
        self._check_compile(target_tensors, distribute)
        self._compile_arguments = (optimizer, loss, metrics, loss_weights, weighted_metrics, options)
        self.optimizer = optimizers.OPTIMIZERS.get(optimizer)
        if options["auto_scale_loss"] and self.dtype_policy.name == "mixed_float16":
            self.optimizer = with_loss_scale(self.optimizer)
        self.loss, self.loss_weights = loss, loss_weights
        self.sample_weight_mode = sample_weight_mode
        self._target_tensors = target_tensors
        self._run_eagerly = options["run_eagerly"]
        steps = options["steps_per_execution"] or options["experimental_steps_per_execution"] or 1
        self.steps_per_execution = 1 if steps == "auto" else int(steps)
        self.jit_compile = options["jit_compile"]
        self.auto_scale_loss = options["auto_scale_loss"]
        names = self._output_names()
        self.compiled_loss = loss if isinstance(loss, CompiledLoss) else CompiledLoss(loss, loss_weights, names)
        self.compiled_metrics = CompiledMetrics(metrics, weighted_metrics, names)
        self._forget_steps()
        self._is_compiled = True
        self.stop_training = False

    def _check_compile(self, target_tensors: Any, distribute: Any) -> None:
        if target_tensors is not None and self.training_graph() is None:
            raise ValueError(
                "target_tensors argument is not supported when executing eagerly: give the labels to fit, or a loss function "
                "that knows them"
            )
        if getattr(distribute, "num_replicas_in_sync", 1) != 1:
            raise NotImplementedError("distribute: training on several replicas is not supported")

    def _output_names(self) -> Sequence[str] | None:
        network = self.__dict__.get("_layer_network")
        return None if network is None else network.output_names

    def _forget_steps(self) -> None:
        self._made_steps = {}
        self.train_function = self.test_function = self.predict_function = None

    @property
    def compiled(self) -> bool:
        return self._is_compiled

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of compile as plain data."""
        if self._compile_arguments is None:
            return {}
        _, loss, metrics, loss_weights, weighted_metrics, options = self._compile_arguments
        return {
            "optimizer": serialize_keras_object(self.optimizer), "loss": serialize_keras_object(loss),
            "metrics": serialize_keras_object(metrics), "loss_weights": loss_weights,
            "weighted_metrics": serialize_keras_object(weighted_metrics), "run_eagerly": options["run_eagerly"],
            "steps_per_execution": self.steps_per_execution, "jit_compile": options["jit_compile"],
        }  # fmt: skip

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model as get_compile_config said."""
        self.compile(**{name: deserialize_keras_object(value) for name, value in config.items()})
        if self.built and hasattr(self.optimizer, "build"):
            self.optimizer.build(self.trainable_variables)

    @property
    def run_eagerly(self) -> bool:
        """Whether steps run op by op."""
        return bool(self._run_eagerly)

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        self._run_eagerly = value
        self._forget_steps()

    def training_graph(self) -> Any:
        """The graph of TensorFlow 1 that the model is trained in; None where it is trained eagerly."""
        network = self.__dict__.get("_layer_network")
        if network is not None:
            graph = network.flat_inputs[0].graph
            return None if isinstance(graph, FuncGraph) else graph
        for variable in self._flat_variables():
            return variable.graph
        graph = context.state().graph
        return None if isinstance(graph, FuncGraph) else graph

    def _flat_variables(self) -> list[Any]:
        return [variable for layer in self._flat_layers() for variable in layer._own_variables]

    # ---- steps ----------------------------------------------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, Any]:
        """What is done with a batch while training; returns the metrics. May be overridden."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._compute_loss_of(x, y, y_pred, sample_weight)
        if not self.compiled_loss.is_given and not self.losses and type(self).compute_loss is Trainer.compute_loss:
            raise ValueError(
                "No loss found. You may have forgotten to provide a `loss` argument in the `compile()` method."
            )
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """What is done with a batch in evaluate; returns the metrics. May be overridden."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        self._compute_loss_of(x, y, y_pred, sample_weight)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """What is done with a batch in predict; returns the outputs. May be overridden."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)

    def _compute_loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
        return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The whole loss: what compile was given, and the losses of layers. May be overridden."""
        return self.compiled_loss(y, y_pred, sample_weight, regularization_losses=self.losses)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Takes a batch into the metrics, and returns all their values. May be overridden."""
        self.compiled_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """{name: value} of all metrics."""
        found: dict[str, Any] = {}
        for metric in self.metrics:
            result = metric.result()
            found.update(result if isinstance(result, dict) else {metric.name: result})
        return found

    # ---- metrics --------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """The loss and the metrics of compile, then those of layers."""
        found: list[Any] = []
        if self._is_compiled:
            if self.compiled_loss.is_given or self.compiled_loss.is_used:
                found.extend(self.compiled_loss.metrics)
            found.extend(self.compiled_metrics.metrics)
        return each_once([*found, *super().metrics])  # type: ignore[misc]

    @property
    def metrics_names(self) -> list[str]:
        return [metric.name for metric in self.metrics]

    def reset_metrics(self) -> None:
        """Forgets what the metrics have seen."""
        metrics, graph = self.metrics, self.training_graph()
        if graph is None:
            for metric in metrics:
                metric.reset_state()
        elif metrics:
            key = tuple(map(id, metrics))
            if self._reset_call is None or self._reset_call[0] != key:
                self._reset_call = (key, make_reset(metrics, graph), metrics)
            self._reset_call[1]()

    def _mean_metric(self, name: str) -> Any:
        return Mean(name=name)

    # ---- step functions -------------------------------------------------------------------------------------------

    def make_train_function(self, force: bool = False) -> Any:
        """The tf.function of a training step; also under `train_function`."""
        return self._step_of_kind("train", force).function

    def make_test_function(self, force: bool = False) -> Any:
        return self._step_of_kind("test", force).function

    def make_predict_function(self, force: bool = False) -> Any:
        return self._step_of_kind("predict", force).function

    def _step_of_kind(self, kind: str, force: bool = False) -> FunctionStep | GraphStep | PlainStep:
        """The step of a kind, as compile and the settings of the process say it should run."""
        known = self._made_steps.get(kind)
        if known is not None and not force and known.changes == (LayerWeights.changes, self._run_eagerly):
            return known.step
        changes, trained = (LayerWeights.changes, self._run_eagerly), self._is_trainable_now()
        if known is None or force or known.trained != trained or known.changes[1] != changes[1]:
            known = self._made_steps[kind] = _Made(make_step(self, kind), trained, changes)
            setattr(self, f"{kind}_function", known.step.function)
        known.changes = changes
        return known.step

    def _is_trainable_now(self) -> tuple[bool, ...]:
        """Which layers are trained: a step that was traced knows no later change."""
        return tuple(layer._trainable for layer in self._flat_layers())

    def concrete_function(self, x: Any, y: Any = None, sample_weight: Any = None, kind: str = "train") -> Any:
        """The step of a kind ("train", "test" or "predict") for data like these, as a ConcreteFunction: its `graph` has the
        losses, metrics and updates that compile connected, its `plan()` says how they run."""
        step = self._step_of_kind(kind)
        if not isinstance(step.function, PolymorphicFunction):
            raise ValueError("the model runs eagerly, op by op: there is no graph")
        data = pack_x_y_sample_weight(as_data(x), as_data(y), as_data(sample_weight))
        return step.function.get_concrete_function(specifications(Structure.of(data), Structure.leaves(data)))

    def _assert_compiled(self) -> None:
        if not self._is_compiled:
            raise RuntimeError(
                "You must compile your model before training/testing. Use `model.compile(optimizer, loss)`."
            )


@dataclass
class _Made:
    """A step, and what it was made for: which layers are trained, and when that was last looked at."""

    step: Any
    trained: tuple[bool, ...]
    changes: tuple[int, Any]


def _options(given: dict[str, Any]) -> dict[str, Any]:
    unknown = given.keys() - _KEYWORDS.keys()
    if unknown:
        known = [*inspect.signature(Trainer.compile).parameters, *_KEYWORDS]
        hints = "".join(suggestion(name, known) for name in sorted(unknown))
        raise TypeError(
            f"Invalid keyword argument(s) in `compile()`: ({unknown},).{hints} Valid keyword arguments include "
            + ", ".join(f'"{name}"' for name in _KEYWORDS)
        )
    return {**_KEYWORDS, **given}
