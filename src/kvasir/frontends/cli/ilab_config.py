"""Settings from the configuration file of InstructLab's ``ilab``.

``ilab`` drops keys that it does not know, so its file is read here. It overrides the preset
``instructlab``; the environment (``KVASIR__...``) and options override it.

Source: instructlab 0.26, ``lab.py`` (the root command's ``--config``), ``configuration.py``
(``Lab.config_file``, the sections), ``defaults.py`` (the file's path).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kvasir.settings.loading import merge, read_settings_file
from kvasir.settings.presets import preset

_ILAB_RAG_KEYS = ("enabled", "document_store", "retriever", "convert")
_ILAB_MODEL_KEYS = ("embedding_model_path",)
_SHARED_CHAT_KEYS = ("context", "vi_mode", "logs_dir", "rag")


def config_file(ctx: click.Context) -> Path | None:
    """Return ilab's configuration file, if it exists."""
    lab = ctx.find_root().obj
    named = getattr(lab, "config_file", None)
    if named is None:
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        named = Path(home) / "instructlab" / "config.yaml"
    path = Path(named)
    return path if path.is_file() else None


def settings_tree(ctx: click.Context, *, rag_enabled: bool = False) -> dict[str, Any]:
    """Return the settings of ilab's configuration, over those of the preset.

    ``rag_enabled`` is the default of ``chat.rag.enabled``.

    Raises:
        SettingsError: The file is not YAML.
    """
    tree: dict[str, Any] = {}
    merge(tree, preset("instructlab") | {"chat.rag.enabled": rag_enabled})
    path = config_file(ctx)
    return _merge_nested(tree, from_ilab(read_settings_file(path))) if path else tree


def from_ilab(config: Mapping[str, Any]) -> dict[str, Any]:
    """Convert ilab's configuration.

    ``rag`` and ``chat.rag`` are ours, without ilab's keys; ilab's language model answers.
    """
    rag = {
        key: value for key, value in _section(config, "rag").items() if key not in _ILAB_RAG_KEYS
    }
    if isinstance(rag.get("embedding_model"), Mapping):
        rag["embedding_model"] = {
            key: value
            for key, value in rag["embedding_model"].items()
            if key not in _ILAB_MODEL_KEYS
        }
    chat = _section(config, "chat")
    tree: dict[str, Any] = {
        "rag": rag,
        "chat": {key: chat[key] for key in _SHARED_CHAT_KEYS if chat.get(key) is not None},
    }
    server = _section(_section(config, "serve"), "server")
    if chat.get("model"):
        address = f"http://{server.get('host', '127.0.0.1')}:{server.get('port', 8000)}/v1"
        tree["generator"] = {"type": "openai", "model": chat["model"], "base_url": address}
    return tree


def _section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, Mapping) else {}


def _merge_nested(tree: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in above.items():
        inner = tree.get(key)
        if isinstance(inner, dict) and isinstance(value, Mapping):
            _merge_nested(inner, value)
        else:
            tree[key] = value
    return tree
