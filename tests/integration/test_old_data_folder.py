"""A data folder made by an older version opens, is upgraded, and answers the same.

``tests/data/data-folder-261bb58.tar.xz`` was made by the version of commit 261bb58: four uploads,
one of them broken, one replaced, one with metadata changed afterwards. Beside it stands what that
version listed, found and answered. Its files are sparse: unpack it with ``tar``.
"""

import json
import subprocess
from pathlib import Path
from unittest.mock import ANY

import pytest

import kvasir
import kvasir.core.types
from kvasir.core.errors import OutdatedMetadataError
from kvasir.database import open_database
from kvasir.database.migrating import REVISIONS

DATA = Path(__file__).parent.parent / "data"
RECORDED = json.loads((DATA / "data-folder-261bb58.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("old")
    archive = str(DATA / "data-folder-261bb58.tar.xz")
    subprocess.run(["tar", "-xJf", archive, "-C", str(place)], check=True)
    return place / "kvasir-data"


@pytest.fixture(scope="module")
def app(folder):
    with kvasir.open(data_dir=str(folder)) as app:
        yield app


def found(hits):
    # Where no keyword matches, scores are not scaled as they were: by the model's spread, too.
    has_words = any(hit.lexical_score for hit in hits)
    return [
        {
            "id": hit.chunk.id,
            "source": hit.chunk.metadata["source_uri"],
            "text": hit.chunk.text,
            # Processors differ in the last digits of a vector; scaling to 0..1 multiplies that.
            "score": pytest.approx(hit.score, abs=0.03) if has_words else ANY,
            "dense_score": pytest.approx(hit.dense_score, abs=1e-3),
            "lexical_score": hit.lexical_score and pytest.approx(hit.lexical_score, abs=1e-3),
        }
        for hit in hits
    ]


def test_its_documents_are_listed_as_before_and_the_schema_is_current(app, folder):
    documents = [
        {
            "source_uri": each.source_uri,
            "status": each.status.value,
            "title": each.title,
            "language": each.language,
            "chunks": each.chunk_count,
            "metadata": dict(each.metadata),
            "content_hash": each.state.content_hash,
            "error_reason": each.error_reason,
        }
        for each in app.documents()
    ]
    assert documents == RECORDED["documents"]
    assert list(app.record().languages) == RECORDED["languages"]
    engine = open_database(f"sqlite:///{folder}/catalog.db")
    with engine.connect() as connection:
        query = "SELECT version_num FROM alembic_version"
        assert connection.exec_driver_sql(query).scalar() == REVISIONS[-1]
    engine.dispose()


@pytest.mark.parametrize("question", RECORDED["search"])
def test_it_finds_and_answers_the_same(app, question):
    assert found(app.search(question, top_k=5)) == RECORDED["search"][question]
    answer = app.ask(question)
    citations = [[c.source_uri, c.quote, c.start, c.end] for c in answer.citations]
    expected = RECORDED["ask"][question]
    assert (answer.text, answer.refused) == (expected["text"], expected["refused"])
    assert citations == expected["citations"]


def test_its_metadata_still_filters(app):
    first = next(iter(RECORDED["search"]))
    assert found(app.search(first, filters="course=astronomy")) == RECORDED["filtered"]


def test_a_repair_prepares_its_documents_for_filters_and_embeds_nothing(app):
    live = sum(each.status == "live" for each in app.documents())
    for filters in ("type=txt", "term>=2020-01-01", "source=upload:docs/*", "file_type=txt"):
        with pytest.raises(OutdatedMetadataError, match="made by an earlier version"):
            app.search("moon", filters=filters)
    before = app.inspect()
    assert (before.clean, before.pending_metadata_updates) == (False, live)
    repairs = app.repair()
    assert (repairs.rewritten, repairs.removed, repairs.relabelled) == (0, 0, 0)
    assert repairs.found.pending_metadata_updates == live
    assert len(app.search("moon", top_k=50, filters="type=txt,source=upload:*")) > 0
    first = next(iter(RECORDED["search"]))
    assert found(app.search(first, filters="course=astronomy")) == RECORDED["filtered"]


def test_nothing_in_it_needs_repair_then_and_it_can_be_written_to(app):
    assert app.inspect().clean
    source = kvasir.core.types.Source("upload:coffee.txt", "text/plain")
    report = app.ingest((source, b"Coffee is brewed at 93 degrees.\n"))
    assert (report.added, report.recovered) == (["upload:coffee.txt"], 0)
    assert app.inspect().clean
