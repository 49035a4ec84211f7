"""Models in all the forms that Keras has, written against its public names alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MODELS: dict[str, Callable[[Any, Any], Any]] = {}  # name -> function of (tf, keras) that gives a built model


def model(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    MODELS[function.__name__] = function
    return function


@model
def sequential(tf: Any, k: Any) -> Any:
    layers = k.layers
    return k.Sequential([layers.Dense(3, input_shape=(4,)), layers.Flatten(), layers.Dropout(0.2), layers.Dense(2)])


@model
def sequential_with_input(tf: Any, k: Any) -> Any:
    return k.Sequential(
        [k.Input((2, 3), name="pairs"), k.layers.Flatten(), k.layers.Dense(2, name="out", use_bias=False)]
    )


@model
def sequential_called(tf: Any, k: Any) -> Any:
    made = k.Sequential([k.layers.Dense(3, activation="relu"), k.layers.Dense(2)])
    made(tf.ones((5, 4)))
    return made


@model
def sequential_built(tf: Any, k: Any) -> Any:
    made = k.Sequential([k.layers.Dense(3), k.layers.Dense(2)], name="tower")
    made.build((None, 4))
    return made


@model
def functional(tf: Any, k: Any) -> Any:
    left, right = k.Input((4,)), k.Input((3,), name="right")
    hidden = k.layers.Dense(3, activation="relu")(left)
    other = k.layers.Dense(5)(right)
    return k.Model([left, right], [k.layers.Dense(1, name="first")(hidden), k.layers.Dense(2, name="second")(other)])


@model
def functional_chain(tf: Any, k: Any) -> Any:
    x = k.Input((4,))
    return k.Model(x, k.layers.Dense(2)(k.layers.Activation("relu")(k.layers.Dense(3)(x))), name="chain")


@model
def fork(tf: Any, k: Any) -> Any:
    x = k.Input((4,))
    hidden = k.layers.Dense(3)(x)
    return k.Model(x, [k.layers.Dense(1)(hidden), k.layers.Flatten()(hidden)])


@model
def nested(tf: Any, k: Any) -> Any:
    inner = k.Sequential([k.layers.Dense(3, input_shape=(4,)), k.layers.Dense(2)])
    x = k.Input((4,))
    return k.Model(x, k.layers.Dense(1)(inner(x)))


@model
def shared(tf: Any, k: Any) -> Any:
    first, second, layer = k.Input((4,)), k.Input((4,)), k.layers.Dense(2)
    return k.Model([first, second], [layer(first), layer(second)])


@model
def frozen(tf: Any, k: Any) -> Any:
    made = k.Sequential([k.layers.Dense(3, input_shape=(4,)), k.layers.Dense(2)])
    made.layers[0].trainable = False
    return made


@model
def subclassed(tf: Any, k: Any) -> Any:
    class Block(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dense = k.layers.Dense(3)
            self.many = [k.layers.Dense(2), k.layers.Dense(2)]
            self.by_name = {"last": k.layers.Dense(1)}
            self.scale = tf.Variable(1.0, name="scale")
            self.offset = tf.Variable(1.0, trainable=False, name="offset")

        def call(self, x: Any) -> Any:
            for layer in (self.dense, *self.many):
                x = layer(x)
            return self.by_name["last"](x) * self.scale + self.offset

    class MyModel(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()
            self.out = k.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.out(self.block(x))

    made = MyModel()
    made(tf.ones((2, 4)))
    return made


@model
def own_weights(tf: Any, k: Any) -> Any:
    class Scale(k.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.factor = self.add_weight("factor", (input_shape[-1],), initializer="ones")
            self.count = self.add_weight(name="count", shape=(), trainable=False, dtype="int32", initializer="zeros")

        def call(self, x: Any) -> Any:
            return x * self.factor

    return k.Sequential([k.Input((3,)), Scale(), Scale(name="again"), k.layers.Dense(1)])
