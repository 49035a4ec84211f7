"""EinsumDense: a product with a kernel, as an equation says."""

from __future__ import annotations

from typing import Any

from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.keras.layers.options import ConfiguredLayer
from rillet.ops.contraction import einsum


@public("keras.layers.EinsumDense")
class EinsumDense(ConfiguredLayer):
    """activation(einsum(equation, inputs, kernel) + bias).

    equation: "ab,bc->ac", or with "..." for leading or trailing axes. output_shape: without the batch, None where the
    input says. bias_axes: the letters of the output that the bias has. Raises ValueError for an equation of another form.
    """

    _config_names = (
        "equation", "activation", "bias_axes", "kernel_initializer", "bias_initializer", "kernel_regularizer",
        "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint",
    )  # fmt: skip

    def __init__(
        self, equation: str, output_shape: Any, activation: Any = None, bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, kernel_constraint: Any = None,
        bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.equation = equation
        self.partial_output_shape = [output_shape] if isinstance(output_shape, int) else list(output_shape)
        self.bias_axes = bias_axes
        self._take(
            activation=activation, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer, kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )  # fmt: skip

    def _letters(self, rank: int) -> tuple[str, str, str]:
        """The letters of inputs, kernel and output, with some for the "..."."""
        left, arrow, output = self.equation.replace(" ", "").partition("->")
        inputs, comma, kernel = left.partition(",")
        if not (arrow and comma) or "..." in kernel or ("..." in inputs) != ("..." in output):
            raise ValueError(f"Invalid einsum equation '{self.equation}'. Equations must be in the form [X],[Y]->[Z].")
        count = rank - len(inputs.replace("...", ""))
        fresh = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in self.equation][:count]
        return inputs.replace("...", "".join(fresh)), kernel, output.replace("...", "".join(fresh))

    def _sizes(self, input_shape: Any) -> tuple[dict[str, Any], str, str]:
        shape = TensorShape(input_shape).as_list()
        inputs, kernel, output = self._letters(len(shape))
        known: dict[str, Any] = dict(zip(inputs, shape, strict=True))
        given = self.partial_output_shape
        for letter, size in zip(output[len(output) - len(given) :], given, strict=True):
            if size is not None and known.get(letter) not in (None, size):
                raise ValueError(
                    f"Input shape and output shape do not match at shared dimension '{letter}'. Input shape is "
                    f"{known[letter]}, and output shape is {size}."
                )
            known[letter] = known.get(letter) if size is None else size
        return known, kernel, output

    def build(self, input_shape: Any) -> None:
        sizes, kernel, output = self._sizes(input_shape)
        self.kernel = self._weight("kernel", [sizes[letter] for letter in kernel])
        self.bias = None
        if self.bias_axes:
            first = min(output.index(letter) for letter in self.bias_axes)
            self.bias = self._weight("bias", [sizes[one] if one in self.bias_axes else 1 for one in output[first:]])
        self.built = True

    def call(self, inputs: Any) -> Any:
        outputs = einsum(self.equation, inputs, self.kernel)
        if self.bias is not None:
            outputs = outputs + self.bias.value()
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        sizes, _, output = self._sizes(input_shape)
        return TensorShape([sizes[letter] for letter in output])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_shape": list(self.partial_output_shape)}
