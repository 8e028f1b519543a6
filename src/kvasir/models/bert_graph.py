"""The computation graph of BERT-family encoders, built straight from their weights.

Covers ``bert``, ``roberta``, ``xlm-roberta``, ``camembert`` and ``distilbert``: post-norm
encoders with absolute positions, as in Devlin et al. 2018 (arXiv 1810.04805). The graph maps
token ids and a mask to one pooled vector a text, not normalised, because bf16 arithmetic would
leave an error of 1e-3 in the length; or, of a cross-encoder, to one score a pair of texts.

Importing ``openvino`` reports the import to its vendor through ``openvino_telemetry`` before any
setting can prevent it; so import it only from here, where that package cannot be imported and
OpenVINO uses a stub that sends nothing. Its converter of models, which no embedding needs, would
take more than half of the time of the import; it is loaded when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir.core.errors import ModelNotFoundError
from kvasir.models.mapped_weights import Weights

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
_CONVERTER = "openvino.tools.ovc"


def _convert_model(*args: Any, **kwargs: Any) -> Any:
    from openvino.tools.ovc import convert_model  # noqa: PLC0415

    return convert_model(*args, **kwargs)


@contextmanager
def _without_converter() -> Iterator[None]:
    if _CONVERTER in sys.modules:
        yield
        return
    stub = sys.modules[_CONVERTER] = ModuleType(_CONVERTER)
    stub.convert_model = _convert_model  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del sys.modules[_CONVERTER]


with _without_converter():
    import openvino as ov
    from openvino import opset13 as op

__all__ = ["build_graph", "layer_weights", "ov", "unsupported", "why"]

ARCHITECTURES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")
POOLINGS = ("mean", "cls")
SCORE = "score"
"""What a cross-encoder's graph computes, beside the poolings."""
_ROBERTA = ("roberta", "xlm-roberta", "camembert")
Read = Callable[[str], NDArray[np.float32]]
_DISTILBERT_NAMES = {
    "encoder.layer": "transformer.layer",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
"""DistilBERT's names for BERT's tensors, below the model's prefix."""
_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "gelu": lambda x: op.gelu(x, "erf"),
    "gelu_new": lambda x: op.gelu(x, "tanh"),
    "gelu_pytorch_tanh": lambda x: op.gelu(x, "tanh"),
    "relu": op.relu,
}


def why(error: RuntimeError) -> str:
    """Return OpenVINO's error message without the positions in its source."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].rstrip(".")


def unsupported(config: Mapping[str, Any]) -> str:
    """Return what this engine cannot run of a model's ``config.json``, or an empty text."""
    kind = config.get("model_type", "unknown")
    if kind not in ARCHITECTURES:
        return f"the architecture '{kind}' (it runs {', '.join(ARCHITECTURES)})"
    if config.get("position_embedding_type", "absolute") != "absolute":
        return f"the position embedding '{config['position_embedding_type']}'"
    if _activation(config) not in _ACTIVATIONS:
        return f"the activation '{_activation(config)}'"
    if missing := [key for key in _size_keys(config) if not isinstance(config.get(key), int)]:
        return f"a config.json without a number for '{missing[0]}'"
    return ""


def build_graph(
    weights: Weights, config: Mapping[str, Any], output: str, *, with_types: bool = False
) -> ov.Model:
    """Build the graph of an encoder from its weights and ``config.json``.

    Its inputs are a mask float32 [n, length] (1 where a token is), ids int32 [n, length] and,
    ``with_types``, the types of the tokens int32 [n, length], which are 0 otherwise. Its output
    is, for a pooling, float32 [n, hidden], not normalised; for ``SCORE`` float32 [n, labels],
    before any activation. The weights must live as long as the graph and what is compiled from it.

    Raises:
        ModelNotFoundError: The weights do not fit the configuration.
    """
    encoder = _Encoder(config, weights)
    try:
        return encoder.model(output, with_types=with_types)
    except RuntimeError as error:
        raise ModelNotFoundError(
            f"the weights in {weights.folder} do not fit its config.json ({why(error)}); "
            "fetch the model again"
        ) from error


def has_types(config: Mapping[str, Any]) -> bool:
    """Return True if the model tells the tokens of a pair's two texts apart by a type."""
    return config["model_type"] != "distilbert" and int(config.get("type_vocab_size", 2)) > 1


def label_count(weights: Weights, config: Mapping[str, Any]) -> int:
    """Return how many scores a cross-encoder gives a pair, 0 if the model is none."""
    name = _classifier(config) + ".weight"
    return int(weights.head(name).shape[0]) if weights.has_head(name) else 0


def _classifier(config: Mapping[str, Any]) -> str:
    """Return the name of the layer that gives the scores."""
    return "classifier.out_proj" if config["model_type"] in _ROBERTA else "classifier"


def layer_weights(config: Mapping[str, Any]) -> int:
    """Return the number of layer weights that every token is multiplied with."""
    layers, _, hidden, inner = _sizes(config)
    return layers * hidden * (4 * hidden + 2 * inner)


def _size_keys(config: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the keys of layers, heads, hidden size and intermediate size."""
    if config["model_type"] == "distilbert":
        return "n_layers", "n_heads", "dim", "hidden_dim"
    return "num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size"


def _sizes(config: Mapping[str, Any]) -> list[int]:
    return [int(config[key]) for key in _size_keys(config)]


class _Encoder:
    def __init__(self, config: Mapping[str, Any], weights: Weights) -> None:
        self._config = config
        self._weights = weights
        self._names = _DISTILBERT_NAMES if config["model_type"] == "distilbert" else {}
        self._layers, self._heads, self._hidden, _ = _sizes(config)
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        self._activate = _ACTIVATIONS[_activation(config)]
        # RoBERTa's positions begin after the padding token's id.
        roberta = config["model_type"] in _ROBERTA
        self._first_position = int(config.get("pad_token_id", 1)) + 1 if roberta else 0

    def model(self, output: str, *, with_types: bool) -> ov.Model:
        mask = op.parameter([-1, -1], np.float32, name="mask")
        inputs = [op.parameter([-1, -1], np.int32, name="ids")]
        if with_types:
            inputs.append(op.parameter([-1, -1], np.int32, name="types"))
        # Added to attention scores: 0 for tokens, a large negative number for padding.
        bias = op.multiply(
            op.unsqueeze(op.subtract(mask, _scalar(1.0)), op.constant([1, 2], np.int64)),
            _scalar(1e9),
        )
        state = self._embeddings(*inputs)
        for index in range(self._layers):
            state = self._layer(state, bias, f"{self._name('encoder.layer')}.{index}.")
        if output == "mean":
            # The sum has the direction of the mean, and is normalised later.
            summed = op.matmul(op.unsqueeze(mask, _integer(1)), state, False, False)
            result = op.squeeze(summed, _integer(1))
        else:
            result = op.gather(state, _integer(0), _integer(1))
        if output == SCORE:
            result = self._scores(result)
        return ov.Model([op.result(result)], [mask, *inputs], "encoder")

    def _scores(self, first: Any) -> Any:
        """Return the scores of the first tokens' states, as ``ForSequenceClassification``."""
        head = self._weights.head
        kind = self._config["model_type"]
        if kind in _ROBERTA:
            pooled = op.tanh(self._linear(first, "classifier.dense", head))
        elif kind == "distilbert":
            pooled = op.relu(self._linear(first, "pre_classifier", head))
        else:
            pooled = op.tanh(self._linear(first, "pooler.dense"))
        return self._linear(pooled, _classifier(self._config), head)

    def _embeddings(self, ids: Any, types: Any = None) -> Any:
        words = op.gather(self._constant("embeddings.word_embeddings.weight"), ids, _integer(0))
        table = self._weights("embeddings.position_embeddings.weight")[self._first_position :]
        if types is not None:
            kinds = self._constant("embeddings.token_type_embeddings.weight")
            words = op.add(words, op.gather(kinds, types, _integer(0)))
        elif self._config["model_type"] != "distilbert":
            # Every token is of type 0.
            table = table + self._weights("embeddings.token_type_embeddings.weight")[0]
        length = op.gather(op.shape_of(ids), op.constant([1], np.int64), _integer(0))
        one = op.constant([1], np.int64)
        start = op.constant([0], np.int64)
        positions = op.slice(op.constant(table), start, length, one, start)
        return self._norm(op.add(words, positions), "embeddings.LayerNorm")

    def _layer(self, state: Any, bias: Any, prefix: str) -> Any:
        query, key, value = (
            self._split_heads(self._linear(state, prefix + self._name(f"attention.self.{role}")))
            for role in ("query", "key", "value")
        )
        attended = op.scaled_dot_product_attention(query, key, value, bias, causal=False)
        joined = op.reshape(
            op.transpose(attended, op.constant([0, 2, 1, 3], np.int64)),
            op.constant([0, 0, self._hidden], np.int64),
            True,
        )
        attention = self._linear(joined, prefix + self._name("attention.output.dense"))
        norm = prefix + self._name("attention.output.LayerNorm")
        state = self._norm(op.add(state, attention), norm)
        inner = self._activate(self._linear(state, prefix + self._name("intermediate.dense")))
        outer = self._linear(inner, prefix + self._name("output.dense"))
        return self._norm(op.add(state, outer), prefix + self._name("output.LayerNorm"))

    def _name(self, bert_name: str) -> str:
        return self._names.get(bert_name, bert_name)

    def _split_heads(self, x: Any) -> Any:
        shape = op.constant([0, 0, self._heads, self._hidden // self._heads], np.int64)
        return op.transpose(op.reshape(x, shape, True), op.constant([0, 2, 1, 3], np.int64))

    def _linear(self, x: Any, name: str, read: Read | None = None) -> Any:
        """Return a linear layer of ``x``, with weights of the encoder unless ``read`` is given."""
        product = op.matmul(x, self._constant(name + ".weight", read), False, True)
        return op.add(product, self._constant(name + ".bias", read))

    def _norm(self, x: Any, name: str) -> Any:
        scaled = op.mvn(x, op.constant([-1], np.int64), True, self._epsilon, "inside_sqrt")
        weighted = op.multiply(scaled, self._constant(name + ".weight"))
        return op.add(weighted, self._constant(name + ".bias"))

    def _constant(self, name: str, read: Read | None = None) -> Any:
        return op.constant((read or self._weights)(name), shared_memory=True)


def _activation(config: Mapping[str, Any]) -> str:
    return str(config.get("hidden_act", config.get("activation", "gelu")))


def _scalar(value: float) -> Any:
    return op.constant(np.float32(value))


def _integer(value: int) -> Any:
    return op.constant(np.int64(value))
