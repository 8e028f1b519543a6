"""The settings of a worker: the components that the others reach as ``remote`` are its own."""

from __future__ import annotations

from pathlib import Path

from kvasir.core.errors import SettingsError
from kvasir.settings.component_schema import (
    EmbeddingModelSettings,
    GeneratorSettings,
    RerankerSettings,
    VectorDbSettings,
)
from kvasir.settings.data_folder import absolute_path
from kvasir.settings.schema import Settings
from kvasir.settings.zeromq_schema import REMOTE, IndexSettings, LlmSettings

LLM, INDEX = "llm", "index"


def worker_settings(settings: Settings, service: str) -> Settings:
    """Return the settings of a worker of ``llm`` or ``index``.

    Raises:
        SettingsError: A model cannot be used, or a component would be that of another process.
    """
    return _of_llm(settings) if service == LLM else _of_index(settings)


def _of_llm(settings: Settings) -> Settings:
    llm = settings.service_of(LlmSettings)
    embedder = llm.embedding_model or _embedder(settings, llm)
    reranker = llm.reranker or _reranker(settings, llm)
    generator = llm.generator or _generator(settings, llm)
    for name, chosen in (
        ("embedding_model", embedder),
        ("reranker", reranker),
        ("generator", generator),
    ):
        if chosen.type == REMOTE:
            raise SettingsError(f"llm.{name} must be a component that the service has itself")
    retriever = settings.chat.rag.retriever.model_copy(update={"reranker": reranker})
    rag = settings.chat.rag.model_copy(update={"retriever": retriever})
    return settings.model_copy(
        update={
            "rag": settings.rag.model_copy(update={"embedding_model": embedder}),
            "chat": settings.chat.model_copy(update={"rag": rag}),
            "generator": generator,
        }
    )


def _of_index(settings: Settings) -> Settings:
    index = settings.service_of(IndexSettings)
    store = index.vectordb or VectorDbSettings(type="chroma", uri=_chroma(settings, index))
    if store.type == REMOTE:
        raise SettingsError("index.vectordb must be a store that the service opens itself")
    update: dict[str, object] = {"vectordb": store}
    if index.llm_front_end_url and settings.rag.embedding_model.type == REMOTE:
        embedder = settings.rag.embedding_model
        keys = settings.reach(LLM)["keys"]
        options = {"address": index.llm_front_end_url, "keys": keys, **embedder.options}
        update["embedding_model"] = embedder.model_copy(update={"options": options})
    return settings.model_copy(update={"rag": settings.rag.model_copy(update=update)})


def chroma_folder(settings: Settings) -> Path:
    """Return the absolute path of the folder of Chroma."""
    folder = settings.service_of(IndexSettings).chroma_db_path
    return absolute_path(folder or settings.data_folder / "chroma", settings.data_folder.parent)


def shares_index(settings: Settings) -> bool:
    """Return True if several workers of ``index`` can have its store open."""
    store = worker_settings(settings, INDEX)
    return "://" in store.store_uri.removeprefix("file://")


def _chroma(settings: Settings, index: IndexSettings) -> str:
    return index.chroma_address or str(chroma_folder(settings))


def _uses_torch(llm: LlmSettings) -> bool:
    return llm.device not in (None, "cpu")


def _embedder(settings: Settings, llm: LlmSettings) -> EmbeddingModelSettings:
    name = settings.model_name(llm.bgem3_path) if llm.bgem3_path else None
    given = {"name": name} if name else {}
    if _uses_torch(llm):
        options = {"device": llm.device}
        return EmbeddingModelSettings(type="sentence-transformers", options=options, **given)
    return EmbeddingModelSettings(type="openvino", **given)


def _reranker(settings: Settings, llm: LlmSettings) -> RerankerSettings:
    if llm.rerank_path is None:
        return RerankerSettings(type=None)
    name = settings.model_name(llm.rerank_path)
    if _uses_torch(llm):
        return RerankerSettings(type="cross-encoder", name=name, options={"device": llm.device})
    return RerankerSettings(type="openvino", name=name)


def _generator(settings: Settings, llm: LlmSettings) -> GeneratorSettings:
    if llm.base_model_file is None:
        return GeneratorSettings(type="extractive")
    model = file_or_name(settings, llm.base_model_file)
    if not llm.base_model_file.lower().endswith((".pth", ".safetensors")):
        return GeneratorSettings(type="llama", model=model)
    state = file_or_name(settings, llm.state_path) if llm.state_path else None
    adapter = file_or_name(settings, llm.adapter_path) if llm.adapter_path else None
    options = {"state": state, "adapter": adapter, "device": llm.device}
    given = {key: value for key, value in options.items() if value is not None}
    return GeneratorSettings(type="rwkv", model=model, options=given)


def file_or_name(settings: Settings, name: str) -> str:
    """Return the path of a file that exists; otherwise it is a name on the hub."""
    file = absolute_path(name, settings.data_folder.parent)
    return str(file) if file.exists() else name
