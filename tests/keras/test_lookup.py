"""StringLookup, IntegerLookup, TextVectorization: as recorded from tf_keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rillet as tf

layers = tf.keras.layers


def values(tensor: Any) -> Any:
    return np.asarray(tensor).tolist()


def test_strings() -> None:
    layer = layers.StringLookup(vocabulary=["a", "b", "c"])
    assert values(layer([["a", "z"], ["c", "b"]])) == [[1, 0], [3, 2]]
    assert layer.get_vocabulary() == ["[UNK]", "a", "b", "c"] and layer.vocabulary_size() == 4
    masked = layers.StringLookup(vocabulary=["a", "b"], mask_token="", num_oov_indices=2)
    assert values(masked(["a", "z", "", "q"])) == [3, 2, 0, 2]
    assert masked.get_vocabulary() == ["", "[UNK]", "[UNK]", "a", "b"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="consider setting"):
        layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["z"])
    with pytest.raises(ValueError, match="repeated"):
        layers.StringLookup(vocabulary=["a", "a"])


def test_modes_and_inversion() -> None:
    def made(mode: str) -> Any:
        return layers.StringLookup(vocabulary=["a", "b"], output_mode=mode)

    assert values(made("one_hot")(["a", "z"])) == [[0, 1, 0], [1, 0, 0]]
    assert values(made("multi_hot")([["a", "z", "a"]])) == [[1, 1, 0]]
    assert values(made("count")(["a", "z", "a"])) == [1, 2, 0]
    inverse = layers.StringLookup(vocabulary=["a", "b"], invert=True)
    assert values(inverse([[0, 1, 2]])) == [[b"[UNK]", b"a", b"b"]]


def test_adapting() -> None:
    layer = layers.StringLookup()
    layer.adapt([["b", "a", "b", "c"], ["d", "c", "e", "a"]])
    assert layer.get_vocabulary() == ["[UNK]", "c", "b", "a", "e", "d"]
    small = layers.StringLookup(max_tokens=3)
    small.adapt(np.array(["b", "a", "b", "c"]))
    assert small.get_vocabulary() == ["[UNK]", "b", "c"]
    again = type(layer).from_config(layer.get_config())
    assert again.get_vocabulary() == layer.get_vocabulary()


def test_integers() -> None:
    layer = layers.IntegerLookup(vocabulary=[10, 20])
    assert values(layer([[10, 5], [20, 10]])) == [[1, 0], [2, 1]]
    masked = layers.IntegerLookup(vocabulary=[10, 20], mask_token=0, num_oov_indices=2)
    assert values(masked([0, 10, 5, 6, 7])) == [0, 3, 2, 1, 2]
    assert values(layers.IntegerLookup(vocabulary=[10, 20], invert=True)([[0, 1, 2]])) == [[-1, 10, 20]]
    counted = layers.IntegerLookup(output_mode="multi_hot")
    counted.adapt(np.array([[5, 5, 7], [7, 7, 9]]))
    assert counted.get_vocabulary() == [-1, 7, 5, 9] and values(counted([[5, 9, 1]])) == [[1, 0, 1, 1]]


def test_in_models_and_functions() -> None:
    layer = layers.StringLookup(vocabulary=["a", "b"])
    assert values(tf.function(lambda words: layer(words) + 1)(tf.constant(["b", "x"]))) == [3, 1]
    words = tf.keras.Input((2,), dtype="string")
    places = layer(words)
    assert places.dtype == tf.int64 and places.shape.as_list() == [None, 2]
    model = tf.keras.Model(words, layers.Embedding(3, 4)(places))
    assert model(tf.constant([["a", "b"]])).shape == (1, 2, 4)


def test_texts() -> None:
    layer = layers.TextVectorization(output_sequence_length=4)
    layer.adapt(["The cat sat.", "the dog; the end!"])
    assert layer.get_vocabulary()[:3] == ["", "[UNK]", "the"]
    vocabulary = layer.get_vocabulary()
    found = values(layer(["A dog sat", "the the the the the"]))
    assert found == [[1, vocabulary.index("dog"), vocabulary.index("sat"), 0], [2, 2, 2, 2]]
    assert type(layer).from_config(layer.get_config()).get_vocabulary() == vocabulary
    counts = layers.TextVectorization(output_mode="count", vocabulary=["cat", "dog"])
    assert values(counts(["dog cat dog", "bird"])) == [[0, 1, 2], [1, 0, 0]]
    pairs = layers.TextVectorization(ngrams=2, vocabulary=["big cat"])
    assert values(pairs(["big cat"])) == [[1, 1, 2]]
