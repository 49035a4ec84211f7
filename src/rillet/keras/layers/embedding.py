"""Embedding: numbers of things as vectors."""

from __future__ import annotations

from typing import Any

from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.keras.layers.options import ConfiguredLayer
from rillet.ops.cast import cast
from rillet.ops.compare import not_equal
from rillet.ops.embedding import embedding_lookup


@public("keras.layers.Embedding")
class Embedding(ConfiguredLayer):
    """[batch, ...] numbers in [0, input_dim) -> [batch, ..., output_dim].

    mask_zero: 0 stands for no thing: the output's mask is False there. Weights: embeddings [input_dim, output_dim].
    Raises ValueError for sizes below 1.
    """

    _config_names = (
        "input_dim", "output_dim", "embeddings_initializer", "embeddings_regularizer", "activity_regularizer",
        "embeddings_constraint", "mask_zero", "input_length",
    )  # fmt: skip

    def __init__(
        self, input_dim: int, output_dim: int, embeddings_initializer: Any = "uniform", embeddings_regularizer: Any = None,
        activity_regularizer: Any = None, embeddings_constraint: Any = None, mask_zero: bool = False,
        input_length: Any = None, sparse: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if "input_shape" not in kwargs and "batch_input_shape" not in kwargs:
            lengths = (input_length,) if isinstance(input_length, (int, type(None))) else tuple(input_length)
            kwargs["batch_input_shape"] = (kwargs.pop("batch_size", None), *lengths)
        if input_dim <= 0 or output_dim <= 0:
            raise ValueError(
                "Both `input_dim` and `output_dim` should be positive, Received input_dim = "
                f"{input_dim} and output_dim = {output_dim}"
            )
        super().__init__(activity_regularizer=activity_regularizer, autocast=False, **kwargs)
        self.input_dim = int(input_dim)
        self.output_dim = int(output_dim)
        self._take(
            embeddings_initializer=embeddings_initializer, embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
        )  # fmt: skip
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.input_length = input_length
        self.sparse = sparse

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = self._weight("embeddings", (self.input_dim, self.output_dim))
        self.built = True

    def call(self, inputs: Any) -> Any:
        if inputs.dtype.name not in ("int32", "int64"):
            inputs = cast(inputs, "int32")
        outputs = embedding_lookup(self.embeddings, inputs)
        return outputs if self.compute_dtype == self.variable_dtype else cast(outputs, self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape([*TensorShape(input_shape).as_list(), self.output_dim])
