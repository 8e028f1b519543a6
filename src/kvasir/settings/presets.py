"""Presets: complete settings for a purpose, by name.

``scripts/write_presets.py`` writes each to ``presets/NAME.yaml``; a test compares them.

Source of ``instructlab``: the option tables of the InstructLab proposal "Ingesting and Utilizing
RAG Artifacts", 3.2 and 3.5.
"""

from __future__ import annotations

from typing import Any

from kvasir.core.errors import SettingsError
from kvasir.core.registry import suggestion
from kvasir.settings.loading import load_settings
from kvasir.settings.rendering import render

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
"""The purpose of each, and the settings that it sets."""


def preset(name: str) -> dict[str, Any]:
    """Return a preset's settings by dotted key.

    Raises:
        SettingsError: There is no such preset; names the known ones.
    """
    if name not in PRESETS:
        known = list(PRESETS)
        raise SettingsError(
            f"unknown preset '{name}'{suggestion(name, known)}; known: {', '.join(known)}"
        )
    return dict(PRESETS[name][1])


def render_preset(name: str) -> str:
    """Return a preset as a settings file with every key.

    Raises:
        SettingsError: There is no such preset.
    """
    chosen = preset(name)
    # The file has every key, so it must have the splitter that the split options choose.
    chosen["rag.splitter.type"] = load_settings({}, chosen, {}).rag.splitter.chosen
    return render(load_settings({}, chosen, {}), f"# Settings of Kvasir: {PRESETS[name][0]}.")
