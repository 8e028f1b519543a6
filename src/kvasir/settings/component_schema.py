"""Settings of components that a process has, or that it serves to others."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from kvasir.settings.section import Section

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

WINDOW_OPTIONS = ("split_by", "split_length", "split_overlap", "split_threshold")
"""Settings that choose the window splitter if no type is set."""


class SplitterSettings(Section):
    """The splitter of documents."""

    type: str | None = Field(
        None, description="structure, window, or a plug-in; window when a split_* key is set"
    )
    split_by: Literal["page", "passage", "sentence", "word", "line"] = "word"
    split_length: int = Field(200, ge=1, description="most units in a chunk")
    split_overlap: int = Field(0, ge=0, description="units that neighbours share")
    split_threshold: int = Field(0, ge=0, description="fewest units in the last chunk")
    options: dict[str, Any] = Field(default_factory=dict, description="the splitter's own options")

    @property
    def chosen(self) -> str:
        """The splitter's name."""
        asked = self.model_fields_set.intersection(WINDOW_OPTIONS)
        return self.type or ("window" if asked else "structure")

    @property
    def arguments(self) -> dict[str, Any]:
        """The splitter's constructor options."""
        if self.chosen != "window":
            return dict(self.options)
        return {key: getattr(self, key) for key in WINDOW_OPTIONS} | self.options

    @model_validator(mode="after")
    def _overlap_is_shorter_than_a_chunk(self) -> SplitterSettings:
        if self.split_overlap >= self.split_length:
            raise ValueError("split_overlap must be smaller than split_length")
        return self


class VectorDbSettings(Section):
    """The store of chunks and vectors."""

    type: str = Field("qdrant", description="qdrant, or another installed store")
    uri: str | None = Field(None, description="folder, file or address; default: in data_dir")
    token: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="the store's own options")


class EmbeddingModelSettings(Section):
    """The model that turns text into vectors."""

    type: str = Field("openvino", description="openvino, sentence-transformers, rwkv, or a plug-in")
    name: str = Field(DEFAULT_MODEL, description="a folder, or a model's name on the hub")
    token: SecretStr | None = Field(None, description="for private models on the hub")
    options: dict[str, Any] = Field(default_factory=dict, description="the embedder's own options")


class RerankerSettings(Section):
    """An optional model that reorders the best hits."""

    type: str | None = Field(
        None, description="openvino, cross-encoder, rwkv, or a plug-in; none by default"
    )
    name: str = "BAAI/bge-reranker-v2-m3"
    token: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class GeneratorSettings(Section):
    """The generator of answers."""

    type: str = Field(
        "extractive",
        description="extractive, llama, rwkv, openai, ollama, huggingface, or a plug-in",
    )
    model: str | None = Field(
        None, description="the model's name at the server; of llama and rwkv, a file or a hub name"
    )
    base_url: str | None = Field(None, description="the server, such as http://localhost:11434")
    api_key: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="the generator's own options")

    @property
    def arguments(self) -> dict[str, Any]:
        """The generator's constructor options, those that are set."""
        return given_options(self.model, self.base_url, self.api_key) | self.options


class JudgeSettings(Section):
    """A language model that grades answers in evaluations."""

    type: str | None = Field(None, description="ragas, or a plug-in; none by default")
    model: str | None = Field(None, description="the model's name at the server")
    base_url: str | None = Field(None, description="the server; default: the generator's")
    api_key: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="the judge's own options")


def reveal(secret: SecretStr | None) -> str | None:
    """Return a secret's text, for the component that needs it."""
    return secret.get_secret_value() if secret else None


def given_options(
    model: str | None, base_url: str | None, api_key: SecretStr | None
) -> dict[str, Any]:
    """Return the constructor options of what uses a model's server, those that are set."""
    given = {"model": model, "base_url": base_url, "api_key": reveal(api_key)}
    return {key: value for key, value in given.items() if value is not None}
