"""Check over the syntax trees of ``src`` that names which were replaced are gone.

    python scripts/check_names.py            # the working tree: one line a name
    python scripts/check_names.py --left     # only the names that are still there

The list is section B of the review before the restructuring, with the new name that it gives for
each. Each row has the old name, the new one, and where the old one was. A name that means one
thing only (``_Sealer``) must be gone from the whole package. One that is also an ordinary word
(``place``, ``key``) must be gone from the modules in which it was the bad name.
``old`` is an identifier, or a module when it ends in ``.py``. Exit status 1 if one is left.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "kvasir"
EVERYWHERE = ""


@dataclass(frozen=True, slots=True)
class Rename:
    """One replaced name.

    Attributes:
        row: Row of the review's table B (1 to 25), or 0 for its runners-up.
        old: Identifier, or a module's path below ``src/kvasir``.
        new: The name that replaced it, or in brackets what did.
        was: Where it was, for the reader.
        within: Where it must be gone: how paths below ``src/kvasir`` begin. With ``:def`` at the
            end, only definitions count.
    """

    row: int
    old: str
    new: str
    was: str
    within: tuple[str, ...] = (EVERYWHERE,)


_INGESTING = ("ingesting/",)
_CONVERSATION = ("answering/", "core/")
_EXTRACTIVE = ("components/generators/extractive",)
_STORES = ("components/stores/", "integrations/haystack_store")
_CHAT = ("frontends/cli/chat/",)
_HUB = ("models/hub",)
_SETTINGS = ("settings/",)
_URIS = (
    "app",
    "collection",
    "components/stores/folder_lock",
    "components/stores/qdrant_edge_folder",
    "components/stores/store_uris",
    "frontends/cli/terminal",
    "integrations/",
    "settings/store_uris",
)

RENAMES = (
    Rename(1, "parts.py", "app.py", "parts.py"),
    Rename(1, "Parts", "App", "parts.py"),
    Rename(3, "_must_be_recorded", "_check_target_name", "app.py"),
    Rename(4, "_sound", "replace_surrogates", "app.py, pipelines/reading.py"),
    Rename(4, "_is_sound", "is_unit_vector", "catalog/doctor.py"),
    Rename(
        4, "clean", "replace_control_characters", "document_builder.py", ("components/extractors/",)
    ),
    Rename(4, "_shown", "one_line", "pipelines/discovery.py", _INGESTING),
    Rename(4, "_unicode", "replace_surrogates", "embedders/sentence_transformers.py"),
    Rename(5, "once", "Lazy", "parts.py"),
    Rename(6, "lies_in_a_folder", "is_embedded", "parts.py"),
    Rename(7, "components/stores/places.py", "components/stores/store_uris.py", "stores/places.py"),
    Rename(7, "place", "location, uri", "terminal.py, app.py, stores", _URIS),
    Rename(7, "_place", "location, uri", "app.py, collection_folder.py", _URIS),
    Rename(
        7,
        "_PLACE",
        "(names the list level)",
        "extractors/docx_numbering.py",
        ("components/extractors/docx",),
    ),
    Rename(8, "_HELD_CHUNKS", "_MAX_BUFFERED_CHUNKS", "pipelines/ingest.py"),
    Rename(9, "_Run", "IngestRun", "pipelines/ingest.py"),
    Rename(9, "_held", "(the buffer of EmbeddedBatch)", "pipelines/ingest.py", _INGESTING),
    Rename(9, "_held_since", "(the buffer of EmbeddedBatch)", "pipelines/ingest.py"),
    Rename(9, "_take", "_write_if_due", "pipelines/ingest.py", _INGESTING),
    Rename(9, "settle", "finish_interrupted", "pipelines/ingest.py", ("ingesting/ingest_run",)),
    Rename(10, "Ready", "EmbeddedBatch", "pipelines/publishing.py", _INGESTING),
    Rename(10, "Stamp", "MetadataUpdate", "core/ledger.py"),
    Rename(
        10,
        "_stamp",
        "_apply_metadata",
        "pipelines/publishing.py",
        ("ingesting/", "core/", "catalog/", "maintenance/"),
    ),
    Rename(10, "_sweep", "_purge", "pipelines/publishing.py"),
    Rename(10, "sweep", "purge", "catalog/sql.py"),
    Rename(10, "unstamped", "pending_metadata_updates", "core/ledger.py"),
    Rename(10, "stamped", "mark_metadata_applied", "core/ledger.py"),
    Rename(10, "abandon", "discard_pending", "core/ledger.py"),
    Rename(10, "retire", "mark_deleted", "core/ledger.py", ("core/", "catalog/")),
    Rename(12, "Work", "PreparedItem", "pipelines/reading.py", _INGESTING),
    Rename(12, "Closed", "Stopped", "pipelines/reading.py"),
    Rename(12, "Reader", "Preparer", "pipelines/reading.py", _INGESTING),
    Rename(13, "_Candidate", "(a dataclass)", "pipelines/retrieve.py"),
    Rename(15, "_Sealer", "Fingerprinter", "pipelines/copying.py"),
    Rename(15, "seal", "fingerprint", "pipelines/copying.py"),
    Rename(15, "seals", "fingerprints", "pipelines/copying.py"),
    Rename(15, "sealed", "fingerprints", "pipelines/copying.py"),
    Rename(15, "there", "in_target", "pipelines/copying.py", ("maintenance/",)),
    Rename(16, "catalog/doctor.py", "maintenance/repair.py", "catalog/doctor.py"),
    Rename(16, "table", "(worded in the command line)", "catalog/doctor.py", ("maintenance/",)),
    Rename(17, "promised", "_inherit_heading_scores", "extractive.py", _EXTRACTIVE),
    Rename(18, "_shared_terms", "_term_weights, overlap", "extractive.py"),
    *(
        Rename(18, old, "(split into functions)", "extractive.py", _EXTRACTIVE)
        for old in ("every", "own", "framed", "full", "both")
    ),
    Rename(19, "aside", "is_secondary", "passages.py"),
    Rename(19, "announces", "introduces_next", "passages.py"),
    Rename(19, "is_frame", "is_table_header", "passages.py", _EXTRACTIVE),
    Rename(19, "as_written", "keep_line_breaks", "passages.py"),
    Rename(19, "also", "duplicate_markers", "passages.py", _EXTRACTIVE),
    Rename(
        19, "key", "normalized_text", "passages.py", ("components/generators/extractive_p:def",)
    ),
    Rename(20, "lay_over", "merge", "settings.py"),
    Rename(20, "_laid_over", "merge", "settings.py"),
    Rename(20, "_put", "merge", "settings.py", _SETTINGS),
    Rename(20, "_from", "(loading.py, explain.py)", "settings.py", _SETTINGS),
    Rename(20, "_leaves", "(loading.py, explain.py)", "settings.py", _SETTINGS),
    Rename(20, "_over", "merge", "ilab_config.py", ("frontends/cli/ilab",)),
    Rename(20, "_section", "template", "presets.py", _SETTINGS),
    Rename(21, "_grounded", "generate_answer", "pipelines/chat.py"),
    Rename(21, "_run", "generate_answer", "pipelines/answer.py", ("answering/",)),
    Rename(
        21, "Documents", "(Conversation: history and refiner)", "pipelines/chat.py", _CONVERSATION
    ),
    Rename(21, "_Search", "(Conversation: history and refiner)", "pipelines/chat.py"),
    Rename(22, "PATIENCE", "LOCK_NOTICE_SECONDS", "models/hub.py"),
    Rename(22, "_alone", "_exclusive", "models/hub.py", _HUB),
    Rename(22, "_insist", "_download_with_retries", "models/hub.py", _HUB),
    Rename(22, "_tell", "_report", "models/hub.py", _HUB),
    Rename(22, "_is_there", "_is_complete", "models/hub.py", _HUB),
    Rename(23, "models/folders.py", "models/local.py", "models/folders.py"),
    Rename(23, "models/finding.py", "models/local.py", "models/finding.py"),
    Rename(24, "Beginning", "SessionTemplate", "chat/session.py"),
    Rename(24, "heard", "message_accepted", "chat/chat.py", _CHAT),
    Rename(24, "_flipped", "_multiline_once", "chat/chat.py", _CHAT),
    Rename(24, "_kept", "_template", "chat/chat.py", _CHAT),
    Rename(24, "_first", "_initial_template", "chat/chat.py", _CHAT),
    Rename(24, "what_failed", "error_reason", "chat/session.py"),
    Rename(24, "_Past", "_SafeFileHistory", "chat/screen.py"),
    Rename(24, "_Growing", "_LiveReply", "chat/screen.py"),
    Rename(24, "keys_unseen", "suppress_key_echo", "chat/keys.py"),
    Rename(25, "_PULL", "_PRIOR_STRENGTH", "calibration.py"),
    Rename(25, "chance", "rng", "calibration.py", ("evaluation/",)),
    Rename(25, "slope", "gradient", "calibration.py", ("evaluation/",)),
    Rename(25, "bend", "hessian", "calibration.py", ("evaluation/",)),
    Rename(
        0, "hide_passwords", "core.text.hide_passwords", "core/errors.py", ("core/errors.py:def",)
    ),
    Rename(
        0,
        "how_to_install",
        "core.registry.how_to_install",
        "core/errors.py",
        ("core/errors.py:def",),
    ),
    *(
        Rename(0, old, "(pydantic's TypeAdapter)", "core/registry.py", ("core/", "settings/"))
        for old in ("_whole", "_number", "_yes_or_no")
    ),
    Rename(0, "components/stores/qdrant_layout.py", "components/stores/qdrant_points.py", "stores"),
    Rename(0, "_say", "to_where, to_expression", "chroma_rows.py, milvus_rows.py", _STORES),
    Rename(0, "tongue", "language", "many modules"),
    Rename(0, "tongues", "languages", "many modules"),
    Rename(0, "spoken", "language", "many modules"),
    Rename(
        0,
        "made_by",
        "dimension, fingerprint",
        "parts.py",
        ("app", "collection", "settings/"),
    ),
    Rename(0, "TextStream", "(typed events)", "pipelines/text_stream.py", _CONVERSATION),
    Rename(0, "Whole", "(typed events)", "pipelines/text_stream.py"),
    Rename(0, "_finish", "(typed events)", "pipelines/text_stream.py", ("answering/", "core/")),
    Rename(0, "FilterLike", "(one definition)", "app.py, pipelines/answer.py", ("answering/",)),
    Rename(0, "HitSource", "SearchRequest", "pipelines/answer.py"),
    Rename(0, "recipe", "settings_hash", "core/ledger.py"),
)


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Yield each identifier of a module with its line, and whether it is defined there."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, line, True
        elif isinstance(node, ast.Name):
            yield node.id, line, isinstance(node.ctx, ast.Store)
        elif isinstance(node, ast.Attribute):
            yield node.attr, line, isinstance(node.ctx, ast.Store)
        elif isinstance(node, ast.arg):
            yield node.arg, line, True
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value.lineno, False
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2], line, False
            if node.asname:
                yield node.asname, line, True
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name, line, True


def read(root: Path) -> dict[str, list[tuple[str, int, bool]]]:
    """Return the identifiers of each module, by its path below ``root``."""
    return {
        path.relative_to(root).as_posix(): list(identifiers(ast.parse(path.read_text("utf-8"))))
        for path in sorted(root.rglob("*.py"))
    }


def left(rename: Rename, modules: dict[str, list[tuple[str, int, bool]]]) -> list[str]:
    """Return where the old name still is, as ``path:line``."""
    if rename.old.endswith(".py"):
        return [rename.old] if rename.old in modules else []
    found = []
    for scope in rename.within:
        prefix, _, definitions_only = scope.partition(":")
        for path, names in modules.items():
            if path.startswith(prefix):
                found += [
                    f"{path}:{line}"
                    for name, line, defined in names
                    if name == rename.old and (defined or not definitions_only)
                ]
    return list(dict.fromkeys(found))


def main() -> int:
    """Print each replaced name and where it is still left; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--left", action="store_true", help="print only what is left")
    parser.add_argument("--source", type=Path, default=SOURCE, help="the package to read")
    options = parser.parse_args()
    modules = read(options.source)
    remaining = 0
    for rename in RENAMES:
        where = left(rename, modules)
        remaining += bool(where)
        if where or not options.left:
            row = f"B{rename.row}" if rename.row else "B+"
            state = f"LEFT ({len(where)}): {', '.join(where[:4])}" if where else "gone"
            print(f"{row:4} {rename.old:34} {rename.new:38} {state}")
    print(f"{len(RENAMES)} names, {remaining} left")
    return 1 if remaining else 0


if __name__ == "__main__":
    sys.exit(main())
