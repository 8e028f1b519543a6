"""Writes ``presets/*.yaml``, and copies that lie elsewhere, from ``kvasir.settings.presets``.

``make docs`` runs it; a test fails when a file is not what it would write.
"""

from __future__ import annotations

from pathlib import Path

from kvasir.settings.presets import PRESETS, render_preset

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "presets"
DEPLOY = ROOT / "deploy"
COPIES = {
    DEPLOY / "celery" / "kvasir.yaml": "celery-qdrant",
    DEPLOY / "kubernetes" / "base" / "kvasir.yaml": "celery-qdrant",
    DEPLOY / "compose" / "classroom-settings.yaml": "classroom",
}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PRESETS:
        (FOLDER / f"{name}.yaml").write_text(render_preset(name), "utf-8")
    for file, name in COPIES.items():
        file.write_text(render_preset(name), "utf-8")
