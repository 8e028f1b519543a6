"""Configuration of a sentence-encoder folder: pooling, prompts, lengths, fingerprint.

The files are those of sentence-transformers: ``modules.json``, ``1_Pooling/config.json``,
``sentence_bert_config.json``, ``config_sentence_transformers.json``. Without them the pooling is
the mean of the plain encoder's states, as in sentence-transformers.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvasir.core.errors import MissingExtraError, SettingsError
from kvasir.core.text import replace_surrogates
from kvasir.models.encoder_files import max_tokens_of, pipeline_steps
from kvasir.models.local import ModelFolder, read_json, weight_files
from kvasir.models.phobert import CODES, VOCABULARY, is_phobert

UNDERTHESEA = "underthesea"
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
_SAMPLES = 32
_SAMPLE_BYTES = 16384


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """How to turn texts into sentence vectors with a model folder; prompts are prefixes."""

    folder: ModelFolder
    config: Mapping[str, Any]
    pooling: str
    """``mean``, ``cls``, or another name from the configuration."""
    modules: Mapping[str, str]
    """The pipeline's steps (Transformer, Pooling, Normalize, ...) and their folders."""
    max_tokens: int
    """Longer texts are truncated; special tokens count."""
    lowercase: bool
    """Whether texts are lower-cased before the tokenizer."""
    query_prompt: str
    document_prompt: str
    segmenter: str | None = None
    """What parts texts into words before the tokenizer; None if nothing does."""

    def prepared(self, texts: Sequence[str]) -> list[str]:
        """Return texts as the tokenizer needs them, without a prompt."""
        found = [replace_surrogates(text) for text in texts]
        return found if self.segmenter is None else _segment(found)

    @property
    def fingerprint(self) -> str:
        """Identifies the vectors: the same whenever the same text gets the same vector.

        Covers weights, tokenizer, pooling, prompts and maximum length, but not engine, precision
        or path, so that an index can move to another machine. Weights are hashed by size,
        header (names and shapes of all tensors) and 32 samples of 16 KiB, because hashing 2 GB
        at every start would be slow.
        """
        digest = hashlib.sha256()
        path = self.folder.path
        for folder in dict.fromkeys([path, *(path / step for step in self.modules.values())]):
            for file in weight_files(folder):
                _sample(file, digest.update)
        names = (VOCABULARY, CODES) if is_phobert(path) else ("tokenizer.json",)
        for file in (path / name for name in names):
            if file.is_file():
                digest.update(file.read_bytes())
        identity = {
            "config": {k: v for k, v in self.config.items() if k not in _UNRELATED},
            "modules": sorted(self.modules),
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
            "lowercase": self.lowercase,
            "prompts": [self.query_prompt, self.document_prompt],
        }
        if self.segmenter is not None:
            identity["segmenter"] = self.segmenter
        digest.update(json.dumps(identity, sort_keys=True).encode())
        return digest.hexdigest()[:32]


_UNRELATED = ("transformers_version", "_name_or_path", "torch_dtype", "dtype", "architectures")


def read_sentence_model(
    folder: ModelFolder,
    max_tokens: int | None,
    query_prompt: str | None,
    document_prompt: str | None,
    segmenter: str = "auto",
) -> SentenceModel:
    """Read a folder's configuration files; the other arguments override them.

    The ``segmenter`` is ``underthesea``, ``none``, or ``auto``: underthesea for a model with
    PhoBERT's tokenizer, which was trained on words of several syllables.

    Raises:
        MissingExtraError: The segmenter is not installed.
        SettingsError: ``max_tokens`` is more than the model has positions for.
        ModelNotFoundError: A configuration file is broken.
    """
    path = folder.path
    config = read_json(path / "config.json")
    steps = pipeline_steps(path) or {"Transformer": "", "Pooling": "1_Pooling"}
    sentence = read_json(path / "sentence_bert_config.json")
    queries, documents = _prompts(folder)
    return SentenceModel(
        folder=folder,
        config=config,
        pooling=_pooling(path / steps["Pooling"]) if "Pooling" in steps else "none",
        modules=steps,
        max_tokens=max_tokens_of(folder, config, sentence, max_tokens),
        lowercase=bool(sentence.get("do_lower_case", False)),
        query_prompt=queries if query_prompt is None else query_prompt,
        document_prompt=documents if document_prompt is None else document_prompt,
        segmenter=_chosen_segmenter(path, segmenter),
    )


def _chosen_segmenter(path: Path, wanted: str) -> str | None:
    if wanted not in ("auto", UNDERTHESEA, "none"):
        raise SettingsError(f"segmenter must be auto, {UNDERTHESEA} or none: '{wanted}'")
    if wanted == "none" or (wanted == "auto" and not is_phobert(path)):
        return None
    if importlib.util.find_spec(UNDERTHESEA) is None:
        raise MissingExtraError("words of Vietnamese", "vietnamese")
    return UNDERTHESEA


def _segment(texts: Sequence[str]) -> list[str]:
    # By name: it is of an extra, and takes a second to import.
    module = importlib.import_module("kvasir.language.word_segmentation")
    found: list[str] = module.segment(texts)
    return found


def _pooling(path: Path) -> str:
    config = read_json(path / "config.json")
    if config.get("include_prompt", True) is False:
        return "prompt-excluding"
    mode = config.get("pooling_mode")
    if mode is None:
        active = [
            key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
            for key, value in config.items()
            if key.startswith("pooling_mode_") and value
        ]
        mode = active or ["mean"]
    return "+".join(map(str, mode)) if isinstance(mode, list) else str(mode)


def _prompts(folder: ModelFolder) -> tuple[str, str]:
    """Return the prompts of queries and of documents, as sentence-transformers chooses them."""
    settings: dict[str, Any] = read_json(folder.path / "config_sentence_transformers.json")
    prompts: dict[str, str] = settings.get("prompts") or {}
    if not any(prompts.values()):
        return folder.prompts
    default = prompts.get(settings.get("default_prompt_name") or "", "")
    document = next((prompts[key] for key in DOCUMENT_PROMPTS if key in prompts), default)
    return prompts.get("query", default), document


def _sample(file: Path, update: Any) -> None:
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        header = int.from_bytes(start, "little") if file.suffix == ".safetensors" else 0
        update(size.to_bytes(8, "little") + start + stream.read(min(header, size)))
        for index in range(_SAMPLES):
            stream.seek(max(0, (size - _SAMPLE_BYTES) * index // (_SAMPLES - 1)))
            update(stream.read(_SAMPLE_BYTES))
