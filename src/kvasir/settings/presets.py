"""Settings files with every key: the commented template, and presets for a purpose, by name.

``scripts/write_presets.py`` writes each to ``presets/NAME.yaml``; a test compares them.

Source of ``instructlab``: the option tables of the InstructLab proposal "Ingesting and Utilizing
RAG Artifacts", 3.2 and 3.5; of ``classroom``: requirement document 004;
of ``celery-qdrant``: document 002; of ``lambda``: document 003.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from kvasir.core.errors import SettingsError
from kvasir.core.registry import suggestion
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("everything embedded, in one folder; no server, no download", {}),
    "instructlab": (
        "the defaults of InstructLab's RAG proposal, on Milvus Lite",
        {
            "rag.splitter.split_by": "word",
            "rag.splitter.split_length": 200,
            "rag.splitter.split_overlap": 0,
            "rag.splitter.split_threshold": 0,
            "rag.vectordb.type": "milvuslite",
            "rag.vectordb.uri": "./rag-output.db",
            "rag.embedding_model.name": "sentence-transformers/all-minilm-l6-v2",
            "chat.rag.enabled": False,
            "chat.rag.context_refinement.enabled": False,
            "chat.rag.retriever.top_k": 10,
            "chat.rag.retriever.min_score_threshold": 0.5,
        },
    ),
    "classroom": (
        "a course assistant that answers by mail, with the environment of document 004",
        {
            "environment": "classroom",
            "collection": "course",
            "questions.collection": "course",
            "server.folder": "resources/files",
            "generator.type": "ollama",
            "generator.model": "mistral",
            "generator.options": {"pull": True},
            "mail.passwords_file": "passwords.json",
        },
    ),
    "aiirwkv": (
        "ZeroMQ services with Chroma, with the keys of document 000",
        {"llm": {}, "index": {}, "tuning": {}, "rag.splitter.type": "structure"},
    ),
    "celery-qdrant": (
        "worker processes that Celery gives the jobs, a Qdrant server, a Vietnamese model, with "
        "the environment of document 002",
        {
            "environment": "celery",
            "rag.vectordb.type": "qdrant-server",
            "rag.vectordb.uri": "http://localhost:6333",
            "rag.embedding_model.type": "sentence-transformers",
            "rag.embedding_model.name": "VoVanPhuc/sup-SimCSE-VietNamese-phobert-base",
            "generator.type": "ollama",
            "generator.model": "mistral",
            "generator.options": {"pull": True},
            "jobs.backend": "celery",
            "jobs.broker": "redis://localhost:6379/0",
        },
    ),
    "lambda": (
        "a function of AWS Lambda, a Qdrant server, Flan-T5 at a Hugging Face endpoint, with the "
        "environment of document 003",
        {
            "environment": "lambda",
            "data_dir": "/tmp/kvasir",
            "rag.vectordb.type": "qdrant-server",
            "rag.vectordb.uri": "http://localhost:6333",
            "rag.ingest.workers": 1,
            # Flan-T5 reads 512 tokens.
            "chat.rag.retriever.top_k": 3,
            "chat.rag.prompt": "Answer based on context:\n\n{{context}}\n\n{{question}}\n",
            "generator.type": "huggingface",
            "generator.model": "google/flan-t5-xl",
            "generator.options": {"task": "text2text-generation", "max_tokens": 200},
            "server.job_workers": 0,
            "server.share_index": False,
            "questions.workers": 0,
            "mail.send": False,
        },
    ),
}
"""The purpose of each, and the settings that it sets."""


def preset(name: str) -> dict[str, Any]:
    """Return a preset's settings by dotted key.

    Raises:
        SettingsError: There is no such preset; names the known ones.
    """
    if name not in PRESETS:
        near = suggestion(name, list(PRESETS))
        raise SettingsError(f"unknown preset '{name}'{near}; known: {', '.join(PRESETS)}")
    return dict(PRESETS[name][1])


def render_preset(name: str) -> str:
    """Return a preset, as ``preset``, as a settings file with every key."""
    chosen = preset(name)
    # The file has every key, so it must have the splitter that the split options choose.
    chosen["rag.splitter.type"] = load_settings({}, chosen, {}).rag.splitter.chosen
    return _render(load_settings({}, chosen, {}), f"# Settings of Kvasir: {PRESETS[name][0]}.")


def template() -> str:
    """Return a settings file with every key at its default, commented out."""
    title = "# Settings of Kvasir. Take the '#' away from what you change and its sections."
    return _render(Settings(), title, "#")


def _render(settings: Settings, title: str, prefix: str = "") -> str:
    lines = (f"{prefix}{line}" for line in _lines(settings, ""))
    return "\n".join([title, "", *lines]) + "\n"


def _lines(section: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        note = f"  # {field.description}" if field.description else ""
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:{note}"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, str) and value.endswith("\n"):
            yield f"{indent}{name}: |"
            yield from (f"{indent}  {line}".rstrip() for line in value.splitlines())
        else:
            plain = section.model_dump(mode="json", include={name})
            first, *rest = yaml.safe_dump(plain, allow_unicode=True).rstrip().splitlines()
            yield f"{indent}{first}{note if not rest else ''}"
            yield from (f"{indent}{line}" for line in rest)
