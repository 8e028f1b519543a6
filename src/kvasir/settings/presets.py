"""Presets: complete settings for a way of working, by name.

``presets/NAME.yaml`` holds each as a file, written by ``scripts/write_presets.py``; a test keeps
the two the same. Source of ``instructlab``: the option tables of the InstructLab proposal
"Ingesting and Utilizing RAG Artifacts", 3.2 and 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from kvasir.core.errors import SettingsError
from kvasir.core.registry import suggestion
from kvasir.settings.schema import load_settings

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
}
"""What each is for, and the settings in which it differs from, or insists on, the defaults."""


def preset(name: str) -> dict[str, Any]:
    """Returns a preset's settings by dotted key.

    Raises:
        SettingsError: There is no such preset; names the known ones.
    """
    if name not in PRESETS:
        known = list(PRESETS)
        raise SettingsError(
            f"unknown preset '{name}'{suggestion(name, known)}; known: {', '.join(known)}"
        )
    return dict(PRESETS[name][1])


def render(name: str) -> str:
    """Returns a preset as a settings file in which every key stands.

    Raises:
        SettingsError: There is no such preset.
    """
    settings = load_settings({}, preset(name), {})
    # The file names every key, so the choice that naming some keys makes must stand in it too.
    settings.rag.splitter.type = settings.rag.splitter.chosen
    lines = [f"# Settings of Kvasir: {PRESETS[name][0]}.", "", *_section(settings, 0)]
    return "\n".join(lines) + "\n"


def _section(section: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        note = f"  # {field.description}" if field.description else ""
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:{note}"
            yield from _section(value, depth + 1)
        elif isinstance(value, str) and "\n" in value:
            yield f"{indent}{name}: |"
            yield from (f"{indent}  {line}".rstrip() for line in value.splitlines())
        else:
            plain = section.model_dump(mode="json", include={name})
            first, *rest = yaml.safe_dump(plain, allow_unicode=True).rstrip().splitlines()
            yield f"{indent}{first}{note if not rest else ''}"
            yield from (f"{indent}{line}" for line in rest)
