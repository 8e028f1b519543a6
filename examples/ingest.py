"""Ingests documents with the defaults of InstructLab's RAG proposal, or with your own choices.

    python examples/ingest.py docs/
    python examples/ingest.py docs/ --split-by sentence --split-length 8
    python examples/ingest.py docs/ --preset default --set rag.language=en --ask "What is a chunk?"

Without options the chunks of 200 words go to Milvus Lite at ./rag-output.db (needs the extra
``milvus``); ``--preset default`` keeps everything in Qdrant's engine in the data folder and
needs no extra. The defaults shown below are those of the preset ``instructlab``. Passwords and
tokens are better given in the environment, for example KVASIR__RAG__VECTORDB__TOKEN. Documents in
docling JSON are read like any other format.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import kvasir
from kvasir.frontends.cli.remedies import explain
from kvasir.settings.loading import load_settings, parse_assignment

PRESETS = Path(__file__).resolve().parent.parent / "presets"

OPTIONS = {
    "split-by": ("rag.splitter.split_by", "page, passage, sentence, word or line"),
    "split-length": ("rag.splitter.split_length", "most units in a chunk"),
    "split-overlap": ("rag.splitter.split_overlap", "units that neighbouring chunks share"),
    "split-threshold": ("rag.splitter.split_threshold", "fewest units in the last chunk"),
    "vectordb-type": ("rag.vectordb.type", "milvuslite, milvus, qdrant, chroma, ..."),
    "vectordb-uri": ("rag.vectordb.uri", "file, folder or address of the vector database"),
    "vectordb-username": ("rag.vectordb.username", "user of the vector database"),
    "vectordb-password": ("rag.vectordb.password", "its password; better by the environment"),
    "vectordb-token": ("rag.vectordb.token", "its token; better by the environment"),
    "model": ("rag.embedding_model.name", "the embedding model: a name or a folder"),
    "model-token": ("rag.embedding_model.token", "for private models; better by the environment"),
}


def main() -> int:
    """Read the command line, ingests, and print what was done."""
    arguments = _parser().parse_args()
    overrides = dict(parse_assignment(text) for text in arguments.assignments)
    for option, (key, _) in OPTIONS.items():
        value = getattr(arguments, option.replace("-", "_"))
        if value is not None:
            overrides[key] = value
    config = arguments.config or PRESETS / f"{arguments.preset}.yaml"
    settings = load_settings(config, overrides)

    with kvasir.App(settings) as app, app.collection() as kb:
        chosen = settings.rag
        print(
            f"{chosen.splitter.chosen} splitter, {chosen.embedding_model.name}, "
            f"{chosen.vectordb.type} at {chosen.vectordb.uri or settings.store_uri}"
        )
        report = kb.ingest(*kvasir.files(*arguments.sources))
        print(
            f"{len(report.added)} added, {len(report.replaced)} replaced, "
            f"{len(report.unchanged)} unchanged, {len(report.failed)} failed; "
            f"{report.chunks_embedded} chunks embedded in {report.seconds['total']:.1f} s"
        )
        for failure in report.failed:
            print(f"failed: {failure.source_uri}: {failure.message}", file=sys.stderr)
        if arguments.ask:
            answer = kb.ask(arguments.ask)
            print(f"\n{answer.text}")
            for citation in answer.citations:
                print(f'[{citation.marker}] {citation.source_uri}: "{citation.quote}"')
    return 4 if report.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+", metavar="PATH|URL")
    parser.add_argument(
        "--preset",
        default="instructlab",
        choices=sorted(path.stem for path in PRESETS.glob("*.yaml")),
        help="settings to begin with (default: %(default)s)",
    )
    parser.add_argument("--config", metavar="FILE", help="a settings file of your own, instead")
    defaults = load_settings(PRESETS / "instructlab.yaml", environment={}).dump()
    for option, (key, text) in OPTIONS.items():
        value = defaults
        for part in key.split("."):
            value = value[part]
        default = "" if value is None else f"; default: {value}"
        parser.add_argument(f"--{option}", help=f"{text} ({key}{default})")
    parser.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other setting",
    )
    parser.add_argument("--ask", metavar="QUESTION", help="ask something afterwards")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except kvasir.KvasirError as error:
        sys.exit(f"error: {explain(error)}")
