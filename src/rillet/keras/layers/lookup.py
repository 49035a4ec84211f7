"""StringLookup, IntegerLookup and TextVectorization: words and numbers as places in a vocabulary.

The vocabulary is a Python dictionary; in a graph it is asked by a call of Python.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.errors import InvalidArgumentError
from rillet.frontend.python_call import numpy_function
from rillet.keras.layers.options import ConfiguredLayer, choice
from rillet.keras.layers.preprocessing import CategoryEncoding
from rillet.ops.cast import cast


def batches_of(data: Any, steps: int | None = None) -> Iterable[Any]:
    """The batches of a dataset as arrays; an array or list as one of them."""
    if hasattr(data, "shape") or isinstance(data, (list, tuple)):
        yield _array(data)
        return
    for number, batch in enumerate(data):
        if steps is not None and number >= steps:
            return
        yield _array(batch)


def _array(data: Any) -> Any:
    return np.asarray(convert_to_tensor(data)) if not isinstance(data, np.ndarray) else data


def _most_frequent(counts: collections.Counter[Any], most: int | None) -> list[Any]:
    """The tokens from the most frequent on; of equally frequent ones the later in the alphabet first."""
    ordered = sorted(counts, key=lambda token: (counts[token], token), reverse=True)
    return ordered if most is None else ordered[: max(0, most)]


class _Lookup(ConfiguredLayer):
    """vocabulary: the tokens in order, or a file with one a line; or adapt(data) finds it, at most max_tokens.

    Places: the mask token (where there is one) is 0, then come num_oov_indices for unknown tokens, then the vocabulary.
    output_mode: "int", or "one_hot", "multi_hot" and "count" as in CategoryEncoding. invert: places to tokens.
    Raises ValueError for a vocabulary with repeated tokens.
    """

    _config_names: Sequence[str] = (
        "invert", "max_tokens", "num_oov_indices", "oov_token", "mask_token", "output_mode", "sparse",
        "pad_to_max_tokens", "idf_weights", "vocabulary",
    )  # fmt: skip

    def __init__(
        self, max_tokens: int | None, num_oov_indices: int, mask_token: Any, oov_token: Any, vocabulary: Any,
        idf_weights: Any, invert: bool, output_mode: str, sparse: bool, pad_to_max_tokens: bool, **kwargs: Any,
    ) -> None:  # fmt: skip
        kwargs.pop("vocabulary_size", None)
        mode = choice({"binary": "multi_hot"}.get(output_mode, output_mode), "output_mode",
                      ("int", "one_hot", "multi_hot", "count", "tf_idf"))  # fmt: skip
        if sparse or idf_weights is not None or mode == "tf_idf":
            raise NotImplementedError("lookups give dense tensors, without weights: no sparse=True, no tf_idf")
        wanted = kwargs.pop("dtype", None)
        super().__init__(dtype=wanted or ("int64" if mode == "int" and not invert else None), autocast=False, **kwargs)
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.idf_weights = None
        self.invert = invert
        self.output_mode = mode
        self.sparse = False
        self.pad_to_max_tokens = pad_to_max_tokens
        self.vocabulary = self._read(vocabulary) if isinstance(vocabulary, str) else vocabulary
        self._tokens: list[Any] | None = None
        self._places: dict[Any, int] = {}
        if self.vocabulary is not None:
            self.set_vocabulary(self.vocabulary)

    def _read(self, path: str) -> list[Any]:
        with open(path, encoding="utf-8") as file:
            return [self._token(line.rstrip("\n")) for line in file]

    def _token(self, value: Any) -> Any:
        raise NotImplementedError

    # ---- the vocabulary ----------------------------------------------------------------------------------------

    @property
    def _first(self) -> int:
        """The place of the first token of the vocabulary."""
        return self.num_oov_indices + (0 if self.mask_token is None else 1)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """The tokens; special ones may stand before them. ValueError where one is repeated."""
        tokens = [self._token(one) for one in np.asarray(vocabulary).ravel().tolist()]
        special = self._special()
        if tokens[: len(special)] == special:
            tokens = tokens[len(special) :]
        repeated = [token for token, count in collections.Counter(tokens).items() if count > 1]
        if repeated:
            raise ValueError(
                f"The passed vocabulary has at least one repeated term. Please uniquify your dataset. The repeated terms are {repeated}"
            )
        self._tokens = tokens
        self._places = {token: place for place, token in enumerate(tokens, self._first)}
        if self.mask_token is not None:
            self._places[self._token(self.mask_token)] = 0

    def _special(self) -> list[Any]:
        mask = [] if self.mask_token is None else [self.mask_token]
        return [*mask, *[self.oov_token] * self.num_oov_indices]

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens by their places."""
        special = self._special() if include_special_tokens else []
        return [*special, *(self._tokens or ())]

    def vocabulary_size(self) -> int:
        return len(self.get_vocabulary())

    vocab_size = vocabulary_size

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Counts the tokens of an array, or of a dataset's batches; the vocabulary is the most frequent of them."""
        counts: collections.Counter[Any] = collections.Counter()
        for batch in batches_of(data, steps):
            counts.update(self._token(value) for value in batch.ravel().tolist())
        for special in self._special():
            counts.pop(special, None)
        most = None if self.max_tokens is None else self.max_tokens - self._first
        self.set_vocabulary(_most_frequent(counts, most))

    # ---- lookups -----------------------------------------------------------------------------------------------

    def _unknown(self, token: Any) -> int:
        """The place of a token that the vocabulary does not have."""
        raise NotImplementedError

    def _find(self, values: Any) -> Any:
        if self._tokens is None:
            raise ValueError(f"{type(self).__name__} needs a vocabulary: give it one, or call adapt(data)")
        tokens = [self._token(value) for value in values.ravel().tolist()]
        missing = [token for token in tokens if token not in self._places] if not self.num_oov_indices else []
        if missing:
            raise InvalidArgumentError(
                None, None, f"When `num_oov_indices=0` all inputs should be in vocabulary, found OOV values {missing}, "
                "consider setting `num_oov_indices=1`.",
            )  # fmt: skip
        offset = 0 if self.mask_token is None else 1
        known = self._places
        found = [known[token] if token in known else offset + self._unknown(token) for token in tokens]
        return np.array(found, np.int64).reshape(values.shape)

    def _tokens_at(self, places: Any) -> Any:
        names = self.get_vocabulary()
        found = [names[place] if 0 <= place < len(names) else self.oov_token for place in places.ravel().tolist()]
        return self._as_values(found).reshape(places.shape)

    def _as_values(self, tokens: list[Any]) -> Any:
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        inputs = convert_to_tensor(inputs)
        function: Callable[..., Any] = self._tokens_at if self.invert else self._find
        kind = self._value_dtype if self.invert else dtypes.int64
        outputs = numpy_function(function, [inputs], kind, stateful=False)
        outputs.set_shape(inputs.shape)
        if self.invert:
            return outputs
        if self.output_mode == "int":
            return cast(outputs, self.compute_dtype)
        return self._encoding()(outputs)

    _value_dtype = dtypes.string

    def _encoding(self) -> CategoryEncoding:
        size = self.max_tokens if self.pad_to_max_tokens and self.max_tokens else self.vocabulary_size()
        return CategoryEncoding(size, self.output_mode)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        if self.output_mode == "int" or self.invert:
            return TensorShape(input_shape)
        return self._encoding().compute_output_shape(input_shape)

    def _serialized(self, name: str) -> Any:
        return list(self._tokens) if name == "vocabulary" and self._tokens is not None else super()._serialized(name)


@public("keras.layers.StringLookup", "keras.layers.experimental.preprocessing.StringLookup")
class StringLookup(_Lookup):
    """Strings as places in a vocabulary."""

    _config_names = (*_Lookup._config_names, "encoding")

    def __init__(
        self, max_tokens: int | None = None, num_oov_indices: int = 1, mask_token: str | None = None,
        oov_token: str = "[UNK]", vocabulary: Any = None, idf_weights: Any = None, encoding: str = "utf-8",
        invert: bool = False, output_mode: str = "int", sparse: bool = False, pad_to_max_tokens: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.__dict__["encoding"] = encoding
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert, output_mode, sparse,
            pad_to_max_tokens, **kwargs,
        )  # fmt: skip

    def _token(self, value: Any) -> str:
        return value.decode(self.encoding) if isinstance(value, bytes) else str(value)

    def _unknown(self, token: str) -> int:
        if self.num_oov_indices == 1:
            return 0
        bucket = apply_op(REGISTRY["StringToHashBucketFast"], (token,), {"num_buckets": self.num_oov_indices})
        return int(bucket)

    def _as_values(self, tokens: list[str]) -> Any:
        return np.array([token.encode(self.encoding) for token in tokens], object)


@public("keras.layers.IntegerLookup", "keras.layers.experimental.preprocessing.IntegerLookup")
class IntegerLookup(_Lookup):
    """Whole numbers as places in a vocabulary."""

    _config_names = (*_Lookup._config_names, "vocabulary_dtype")
    _value_dtype = dtypes.int64

    def __init__(
        self, max_tokens: int | None = None, num_oov_indices: int = 1, mask_token: int | None = None, oov_token: int = -1,
        vocabulary: Any = None, vocabulary_dtype: str = "int64", idf_weights: Any = None, invert: bool = False,
        output_mode: str = "int", sparse: bool = False, pad_to_max_tokens: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.__dict__["vocabulary_dtype"] = vocabulary_dtype
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert, output_mode, sparse,
            pad_to_max_tokens, **kwargs,
        )  # fmt: skip

    def _token(self, value: Any) -> int:
        return int(value)

    def _unknown(self, token: int) -> int:
        return token % self.num_oov_indices

    def _as_values(self, tokens: list[int]) -> Any:
        return np.array(tokens, np.int64)


_PUNCTUATION = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']""")
_STANDARDS: dict[Any, Callable[[str], str]] = {
    None: lambda text: text,
    "lower": str.lower,
    "strip_punctuation": lambda text: _PUNCTUATION.sub("", text),
    "lower_and_strip_punctuation": lambda text: _PUNCTUATION.sub("", text.lower()),
}
_SPLITS: dict[Any, Callable[[str], list[str]]] = {None: lambda text: [text], "whitespace": str.split, "character": list}


@public("keras.layers.TextVectorization", "keras.layers.experimental.preprocessing.TextVectorization")
class TextVectorization(ConfiguredLayer):
    """Texts, [batch] or [batch, 1], as the places of their words in a vocabulary: 0 pads, 1 is an unknown word.

    standardize: None, "lower", "strip_punctuation", "lower_and_strip_punctuation", or a function of a string tensor.
    split: None, "whitespace" or "character". ngrams: up to so many words are one token, or a tuple of numbers of words.
    output_mode: "int" ([batch, longest], or [batch, output_sequence_length]), "multi_hot" or "count".
    Raises ValueError for another.
    """

    _config_names = (
        "max_tokens", "standardize", "split", "ngrams", "output_mode", "output_sequence_length", "pad_to_max_tokens",
        "sparse", "ragged", "vocabulary", "idf_weights", "encoding",
    )  # fmt: skip

    def __init__(
        self, max_tokens: int | None = None, standardize: Any = "lower_and_strip_punctuation", split: Any = "whitespace",
        ngrams: Any = None, output_mode: str = "int", output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False, vocabulary: Any = None, idf_weights: Any = None, sparse: bool = False,
        ragged: bool = False, encoding: str = "utf-8", **kwargs: Any,
    ) -> None:  # fmt: skip
        kwargs.pop("vocabulary_size", None)
        kwargs.pop("dtype", None)
        super().__init__(dtype=None, autocast=False, **kwargs)
        if sparse or ragged or idf_weights is not None or output_mode == "tf_idf" or callable(split):
            raise NotImplementedError("TextVectorization: no sparse, ragged or tf_idf outputs, no `split` of one's own")
        if not callable(standardize) and standardize not in _STANDARDS:
            raise ValueError(f"`standardize` must be one of {list(_STANDARDS)}, or a function. Received: {standardize}")
        if split not in _SPLITS:
            raise ValueError(f"`split` must be one of {list(_SPLITS)}. Received: {split}")
        self.max_tokens = max_tokens
        self.standardize = standardize
        self.split = split
        self.ngrams = ngrams
        mode = {"binary": "multi_hot"}.get(output_mode, output_mode)
        self.output_mode = choice(mode, "output_mode", ("int", "multi_hot", "count"))
        self.output_sequence_length = output_sequence_length
        self.pad_to_max_tokens = pad_to_max_tokens
        self.sparse = self.ragged = False
        self.idf_weights = None
        self.encoding = encoding
        is_int = self.output_mode == "int"
        self._lookup = StringLookup(
            max_tokens, 1, "" if is_int else None, "[UNK]", vocabulary, encoding=encoding, output_mode=self.output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
        )  # fmt: skip

    @property
    def vocabulary(self) -> Any:
        return self._lookup.vocabulary

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        self._lookup.set_vocabulary(vocabulary)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        return self._lookup.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        return self._lookup.vocabulary_size()

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Finds the vocabulary: the most frequent words of texts."""
        words = [
            word for batch in batches_of(data, steps) for text in self._standard(batch) for word in self._words(text)
        ]
        self._lookup.adapt(np.array(words, object) if words else np.array([], object))

    def _standard(self, texts: Any) -> list[str]:
        """The texts as strings of a standard form."""
        if callable(self.standardize):
            texts = np.asarray(self.standardize(convert_to_tensor(texts)))
            change: Callable[[str], str] = str
        else:
            change = _STANDARDS[self.standardize]
        return [change(self._lookup._token(text)) for text in np.asarray(texts).ravel().tolist()]

    def _words(self, text: str) -> list[str]:
        words = _SPLITS[self.split](text)
        if self.ngrams is None:
            return words
        sizes = range(1, self.ngrams + 1) if isinstance(self.ngrams, int) else self.ngrams
        return [" ".join(words[at : at + size]) for size in sizes for at in range(len(words) - size + 1)]

    def _find(self, texts: Any) -> Any:
        rows = [self._words(text) for text in self._standard(texts)]
        length = self.output_sequence_length
        if self.output_mode != "int" or length is None:
            length = max((len(row) for row in rows), default=0)
        places = np.full((len(rows), length), 0 if self.output_mode == "int" else -1, np.int64)
        for number, row in enumerate(rows):
            found = self._lookup._find(np.array(row[:length], object)) if row else []
            places[number, : len(row[:length])] = found
        return places

    def call(self, inputs: Any) -> Any:
        texts = convert_to_tensor(inputs)
        places = numpy_function(self._find, [texts], dtypes.int64, stateful=False)
        is_int = self.output_mode == "int"
        batch = texts.shape[0] if texts.shape.rank else 1
        places.set_shape([batch, self.output_sequence_length if is_int else None])
        outputs = places if is_int else self._lookup._encoding()(places)
        return outputs if texts.shape.rank else outputs[0]

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        batch = TensorShape(input_shape).as_list()[:1]
        if self.output_mode == "int":
            return TensorShape([*batch, self.output_sequence_length])
        return TensorShape([*batch, self._lookup._encoding().num_tokens])

    def _serialized(self, name: str) -> Any:
        return self._lookup._serialized(name) if name == "vocabulary" else super()._serialized(name)
