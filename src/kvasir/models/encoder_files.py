"""Tokenizer and maximum length of an encoder's folder, for every component that runs encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.models.local import ModelFolder, read_json

_UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True)
class Component:
    """The component that runs a model, for error messages."""

    name: str
    """Its role and name, as ``embedder 'openvino'``."""
    alternative: str
    """What to do about a model that it cannot run, as a clause in the imperative."""


def max_tokens(
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


def read_tokenizer(
    folder: ModelFolder, component: Component, max_tokens: int | None = None
) -> Tokenizer:
    """Return the tokenizer of a folder, without padding.

    Of texts with more than ``max_tokens`` tokens the end is cut off; of pairs, that of the longer
    text.

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
        tokenizer.enable_truncation(max_tokens, strategy="longest_first")
    return tokenizer
