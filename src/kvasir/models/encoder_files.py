"""Steps, tokenizer and maximum length of a model folder, for every component that runs encoders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer

from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.models.local import ModelFolder, read_json
from kvasir.models.phobert import PhobertTokenizer, is_phobert

_UNLIMITED = 1_000_000
_GENERIC_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")


@dataclass(frozen=True, slots=True)
class Component:
    """The component that runs a model, for error messages."""

    name: str
    """Its role and name, as ``embedder 'openvino'``."""
    alternative: str
    """What to do about a model that it cannot run, as a clause in the imperative."""


def pipeline_steps(path: Path) -> dict[str, str]:
    """Return the steps of a model's ``modules.json``, class name to folder; empty without it.

    Raises:
        ModelNotFoundError: The file is broken.
    """
    file = path / "modules.json"
    if not file.is_file():
        return {}
    try:
        steps = json.loads(file.read_text("utf-8"))
        return {str(step["type"]).rpartition(".")[2]: str(step["path"]) for step in steps}
    except (ValueError, TypeError, KeyError) as error:
        raise ModelNotFoundError(
            f"{file} is not a JSON list of steps with type and path; fetch the model again"
        ) from error


def max_tokens_of(
    folder: ModelFolder, config: Mapping[str, Any], sentence: Mapping[str, Any], wanted: int | None
) -> int:
    """Return the most tokens that a model reads, special tokens included.

    ``config`` is its ``config.json``, ``sentence`` its ``sentence_bert_config.json``; ``wanted``
    replaces the model's own maximum.

    Raises:
        SettingsError: ``wanted`` is more than the model has positions for.
        ModelNotFoundError: ``tokenizer_config.json`` is broken.
    """
    tokenizer: dict[str, Any] = read_json(folder.path / "tokenizer_config.json")
    positions = int(config.get("max_position_embeddings", _UNLIMITED))
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= int(config.get("pad_token_id", 1)) + 1
    if wanted is not None:
        if not 2 < wanted <= positions:
            raise SettingsError(
                f"max_tokens must be between 3 and {positions} for {folder.name}, not {wanted}"
            )
        return wanted
    own = sentence.get("max_seq_length") or tokenizer.get("model_max_length") or positions
    return min(int(own), positions)


def gives_types(path: Path) -> bool:
    """Return True if the tokenizer of a folder gives the types of tokens, as transformers reads it.

    Source: ``model_input_names`` of transformers 5, which the generic classes lack types in.

    Raises:
        ModelNotFoundError: ``tokenizer_config.json`` is broken.
    """
    settings: dict[str, Any] = read_json(path / "tokenizer_config.json")
    if names := settings.get("model_input_names"):
        return "token_type_ids" in names
    return settings.get("tokenizer_class") not in _GENERIC_TOKENIZERS


class TextEncoding(Protocol):
    """The tokens of a text."""

    @property
    def ids(self) -> list[int]:
        """Their numbers."""

    def __len__(self) -> int:
        """Return how many there are."""


class TextTokenizer(Protocol):
    """What turns texts into numbers of tokens."""

    def encode_batch_fast(self, texts: list[str]) -> Sequence[TextEncoding]:
        """Return the tokens of each text, special ones included."""


def read_text_tokenizer(
    folder: ModelFolder, component: Component, max_tokens: int | None = None
) -> TextTokenizer:
    """Return the tokenizer of single texts, as ``read_tokenizer``, or PhoBERT's."""
    if is_phobert(folder.path):
        return PhobertTokenizer(folder.path, max_tokens)
    return read_tokenizer(folder, component, max_tokens)


def read_tokenizer(
    folder: ModelFolder, component: Component, max_tokens: int | None = None
) -> Tokenizer:
    """Return the tokenizer of a folder, without padding.

    Of texts with more than ``max_tokens`` tokens the end is cut off.

    Raises:
        ModelNotFoundError: ``tokenizer.json`` is missing or broken.
    """
    file = folder.path / "tokenizer.json"
    if not file.is_file():
        raise ModelNotFoundError(
            f"{folder.path} has no tokenizer.json, which the {component.name} needs; "
            f"{component.alternative}"
        )
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises no narrower one
        raise ModelNotFoundError(f"{file} is broken ({error}); fetch the model again") from error
    # The file may set a fixed length; its padding would be computed for nothing.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_tokens is not None:
        tokenizer.enable_truncation(max_tokens)
    return tokenizer
