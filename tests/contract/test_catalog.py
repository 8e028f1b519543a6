import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import event

from kvasir.catalog.sql import SqlCatalog
from kvasir.core.errors import (
    CollectionNotFoundError,
    ComponentError,
    ConflictError,
    NameTakenError,
)
from kvasir.core.ledger import Catalog, DocumentVersion, SourceState, VersionDraft, passage_hash
from kvasir.core.types import (
    Block,
    BlockKind,
    Chunk,
    Document,
    PageBox,
    PageStart,
    RecognizedSpan,
    chunk_id,
    document_id,
)
from kvasir.database import reading


def draft(uri, text="one two", given=None, content="0", language="en"):
    name = document_id(uri)
    document = Document(name, uri, f"title of {uri}", text, metadata={"author": "Ada"})
    chunks = tuple(
        Chunk(chunk_id(name, word, i, i + 3), name, word, i, i + 3, None, ("Überschrift",))
        for i, word in enumerate(text.split())
    )
    state = SourceState(uri, "text/plain", content * 64, len(text), 12.5, "recipe")
    return VersionDraft(state, document, language, given or {}, chunks)


@pytest.fixture
def catalog(catalog_url):
    made: Catalog = SqlCatalog(catalog_url)
    made.create_collection("test", embedder="model", dimension=3, fingerprint="abc")
    WRITER[:] = [made.start_writer("test", lease_seconds=60)]
    yield made
    made.close()


WRITER = []
"""The writer of the test in progress."""


def publish(catalog, *drafts):
    catalog.begin("test", drafts, WRITER[0])
    catalog.publish("test", [d.document.id for d in drafts], WRITER[0])


def test_a_collection_remembers_its_embedder_and_calibration(catalog):
    catalog.set_calibration("test", {"bias": -1.5})
    record = catalog.collection("test")
    assert (record.embedder, record.dimension, record.fingerprint) == ("model", 3, "abc")
    assert record.calibration == {"bias": -1.5}
    assert record.created.tzinfo is not None
    assert [r.name for r in catalog.collections()] == ["test"]


def test_a_collections_languages_are_those_of_its_live_documents(catalog):
    def languages():
        return catalog.collection("test").languages

    assert languages() == ()
    catalog.begin("test", [draft("/pending", language="zh")], WRITER[0])
    catalog.discard_pending("test", WRITER[0])
    publish(catalog, draft("/a", language="vi"), draft("/b"), draft("/c", language="und"))
    assert languages() == ("en", "vi")
    publish(catalog, draft("/a", "another", language="es"))
    catalog.purge("test", WRITER[0])
    assert languages() == ("en", "es")
    publish(catalog, draft("/d", language="es"))
    catalog.mark_deleted("test", [document_id("/a"), document_id("/b")], WRITER[0])
    catalog.purge("test", WRITER[0])
    assert languages() == ("es",)


def test_a_collection_is_made_once(catalog):
    with pytest.raises(NameTakenError, match="already"):
        catalog.create_collection("test", embedder="m", dimension=3, fingerprint="x")
    assert catalog.collection("other") is None


def test_a_deleted_collection_takes_everything_with_it(catalog):
    publish(catalog, draft("/a"))
    catalog.delete_collection("test", WRITER[0])
    catalog.create_collection("test", embedder="m", dimension=3, fingerprint="x")
    assert (catalog.chunk_count("test"), list(catalog.documents("test"))) == (0, [])


def test_a_pending_version_is_not_seen_until_it_is_published(catalog):
    catalog.begin("test", [draft("/a")], WRITER[0])
    assert catalog.document("test", document_id("/a")) is None
    assert catalog.text("test", document_id("/a")) is None
    assert catalog.chunk_count("test") == 0
    catalog.publish("test", [document_id("/a")], WRITER[0])
    assert catalog.chunk_count("test") == 2


def test_a_document_is_given_back_as_it_was_recorded(catalog):
    new = draft("/a", "ein Straßenfest 日本 zwei", {"term": 3, "ok": True, "x": 0.5})
    publish(catalog, new)
    record = catalog.document("test", document_id("/a"))
    assert record.state == new.state
    assert (record.title, record.language, record.chunk_count) == ("title of /a", "en", 4)
    assert record.given == {"term": 3, "ok": True, "x": 0.5}
    assert record.metadata == new.metadata
    assert catalog.text("test", record.id) == new.document.text
    version = catalog.live_version("test", record.id)
    assert version == DocumentVersion(new.document.text, new.state.content_hash)
    chunks = catalog.chunks("test", record.id)
    assert [c.id for c in chunks] == [c.id for c in new.chunks]
    assert chunks[1].headings == ("Überschrift",)
    assert chunks[1].passage_hash == passage_hash("Überschrift\nStraßenfest")


def test_the_places_of_recognized_text_are_given_back_by_document(catalog):
    span = RecognizedSpan(0, 3, PageBox(2, 0.1, 0.2, 0.3, 0.4, 0.9))
    new = draft("/scan", "one two")
    publish(catalog, replace(new, document=replace(new.document, recognized=(span,))))
    publish(catalog, draft("/text", "three four"))
    ids = [document_id("/scan"), document_id("/text"), document_id("/unknown")]
    assert catalog.recognized("test", ids) == {ids[0]: (span,)}
    assert catalog.recognized("test", []) == {}
    assert catalog.live_version("test", ids[0]).recognized == (span,)


def test_where_the_pages_of_a_document_begin_is_given_back(catalog):
    new = draft("/a", "one two three")
    pages = ((0, 1), (4, 1), (8, 3))
    blocks = tuple(Block(BlockKind.PARAGRAPH, at, at + 3, page=page) for at, page in pages)
    publish(catalog, replace(new, document=replace(new.document, blocks=blocks)))
    version = catalog.live_version("test", document_id("/a"))
    assert version.pages == (PageStart(0, 1), PageStart(8, 3))


def test_a_new_version_replaces_the_old_in_one_step(catalog):
    publish(catalog, draft("/a", "one two", content="0"))
    publish(catalog, draft("/a", "zero two three", content="1"))
    record = catalog.document("test", document_id("/a"))
    assert (record.state.content_hash[0], record.chunk_count) == ("1", 3)
    assert len(catalog.stale_chunks("test", WRITER[0])) == 1
    assert catalog.unfinished("test") == 1
    catalog.purge("test", WRITER[0])
    assert (catalog.stale_chunks("test", WRITER[0]), catalog.unfinished("test")) == ([], 0)
    assert len(list(catalog.every_chunk("test"))) == 3


def test_documents_are_listed_by_prefix_with_regard_to_case(catalog):
    publish(catalog, *(draft(uri) for uri in ("/Docs/b", "/docs/a", "/docs/c", "/docs_d")))
    assert [r.source_uri for r in catalog.documents("test", prefix="/docs/")] == [
        "/docs/a",
        "/docs/c",
    ]
    assert len(list(catalog.documents("test", prefix="/docs"))) == 3
    assert len(list(catalog.documents("test"))) == 4


def test_only_the_latest_failure_of_a_source_is_kept(catalog):
    state = draft("/a").state
    catalog.fail("test", state, "malformed", "broken")
    catalog.fail("test", state, "encrypted", "it needs a password")
    (record,) = catalog.documents("test")
    assert (record.status, record.error_reason) == ("failed", "encrypted")
    publish(catalog, draft("/a"))
    (record,) = catalog.documents("test")
    assert (record.status, record.error_reason) == ("live", None)


def test_passages_are_reusable_within_a_collection_only(catalog):
    publish(catalog, draft("/a", "one two"))
    wanted = [passage_hash(f"Überschrift\n{word}") for word in ("one", "three")]
    assert list(catalog.reusable("test", wanted)) == wanted[:1]
    catalog.create_collection("other", embedder="model", dimension=3, fingerprint="abc")
    assert catalog.reusable("other", wanted) == {}


def test_retired_documents_are_gone_after_a_sweep(catalog):
    publish(catalog, draft("/a"), draft("/b"))
    catalog.mark_deleted("test", [document_id("/a"), document_id("/unknown")], WRITER[0])
    assert catalog.document("test", document_id("/a")) is None
    assert len(catalog.stale_chunks("test", WRITER[0])) == 2
    catalog.purge("test", WRITER[0])
    assert [r.source_uri for r in catalog.documents("test")] == ["/b"]


def test_changed_metadata_is_pending_until_it_is_applied(catalog):
    publish(catalog, draft("/a", given={"term": 1}))
    catalog.set_metadata("test", {document_id("/a"): {"course": "x"}}, WRITER[0])
    (stamp,) = catalog.pending_metadata_updates("test")
    assert stamp.metadata == {
        "file_type": "txt",
        "modified": "1970-01-01T00:00:12+00:00",
        "author": "Ada",
        "course": "x",
        "source_uri": "/a",
        "title": "title of /a",
        "language": "en",
    }
    assert len(stamp.chunk_ids) == 2
    catalog.mark_metadata_applied("test", [stamp.document_id], WRITER[0])
    assert catalog.pending_metadata_updates("test") == []


def test_lists_among_metadata_come_back_as_they_were(catalog):
    given = {"tags": ("pump", 3, True), "empty": (), "date": "2024-03-15"}
    publish(catalog, draft("/a", given=given))
    record = catalog.document("test", document_id("/a"))
    assert record.given == given
    assert given.items() <= record.metadata.items()
    catalog.set_metadata("test", {record.id: {"tags": ("oil",)}}, WRITER[0])
    (update,) = catalog.pending_metadata_updates("test")
    assert update.metadata["tags"] == ("oil",)


def test_fields_and_sources_of_live_documents_are_known(catalog):
    publish(catalog, draft("/a b", given={"term": 1}), draft("/a_c"), draft("/B"))
    catalog.begin("test", [draft("/pending", given={"draft": 1})], WRITER[0])
    fields = {"author", "file_type", "language", "modified", "source_uri", "term", "title"}
    assert catalog.metadata_fields("test") == fields
    assert catalog.metadata_fields("test", {"term"}) >= {"term"}
    assert catalog.metadata_fields("test", {"absent", "term"}) == fields
    assert catalog.metadata_fields("other") == set()
    assert catalog.live_source_uris("test") == ["/B", "/a b", "/a_c"]
    assert catalog.live_source_uris("test", "/a ") == ["/a b"]
    assert catalog.live_source_uris("test", "/b") == []


def test_many_documents_are_handled_in_slices(catalog):
    drafts = [draft(f"/{number}") for number in range(1200)]
    publish(catalog, *drafts)
    assert catalog.chunk_count("test") == 2400
    catalog.mark_deleted("test", [d.document.id for d in drafts], WRITER[0])
    assert len(catalog.stale_chunks("test", WRITER[0])) == 2400
    catalog.purge("test", WRITER[0])
    assert list(catalog.documents("test")) == []


def test_threads_and_a_second_opening_may_write_at_the_same_time(catalog, catalog_url):
    second = SqlCatalog(catalog_url)

    def work(which, name):
        for number in range(20):
            new = draft(f"/{name}/{number}")
            which.begin("test", [new], WRITER[0])
            which.publish("test", [new.document.id], WRITER[0])

    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(work, c, n) for n, c in enumerate([catalog, catalog, second])]:
            done.result()
    second.close()
    assert catalog.chunk_count("test") == 3 * 20 * 2


def test_writing_to_an_unknown_collection_says_so(catalog):
    with pytest.raises(CollectionNotFoundError, match="no collection 'other'"):
        catalog.begin("other", [draft("/a")], WRITER[0])


def test_publishing_what_another_process_took_back_is_an_error_and_changes_nothing(catalog):
    publish(catalog, draft("/a", "one"))
    catalog.begin("test", [draft("/a", "two"), draft("/b", "three")], WRITER[0])
    catalog.discard_pending("test", WRITER[0])
    with pytest.raises(ConflictError, match="another process"):
        catalog.publish("test", [document_id("/a"), document_id("/b")], WRITER[0])
    assert catalog.text("test", document_id("/a")) == "one"


def test_a_document_of_five_million_letters_is_kept(catalog):
    text = random.Random(5).randbytes(2_500_000).hex()
    new = replace(draft("/a", "one"), document=Document(document_id("/a"), "/a", "a", text))
    publish(catalog, new)
    assert catalog.text("test", document_id("/a")) == text


def test_the_size_of_a_source_above_two_gigabytes_is_kept(catalog):
    state = replace(draft("/a").state, size=5_000_000_000)
    catalog.fail("test", state, "too_large", "it is larger than 200 MiB")
    assert catalog.document("test", document_id("/a")).state == state


def test_the_time_of_a_source_is_kept_to_the_last_digit(catalog):
    new = draft("/a")
    state = replace(new.state, modified=1795885123.4567893)
    publish(catalog, replace(new, state=state))
    assert catalog.document("test", document_id("/a")).state == state


def test_names_that_differ_in_case_only_are_two_collections(catalog):
    catalog.create_collection("Test", embedder="model", dimension=3, fingerprint="abc")
    publish(catalog, draft("/a"))
    assert [r.name for r in catalog.collections()] == ["Test", "test"]
    assert (catalog.chunk_count("test"), catalog.chunk_count("Test")) == (2, 0)
    catalog.delete_collection("Test")
    assert catalog.chunk_count("test") == 2


def test_prefixes_and_order_are_letter_by_letter(catalog):
    uris = ["/B", "/a", "/a ", "/b", "/ä"]
    publish(catalog, *(draft(uri) for uri in reversed(uris)))
    assert [r.source_uri for r in catalog.documents("test")] == uris
    for prefix, found in [("/A", []), ("/B", ["/B"]), ("/a", ["/a", "/a "]), ("/a ", ["/a "])]:
        assert [r.source_uri for r in catalog.documents("test", prefix=prefix)] == found


def test_a_page_of_documents_reads_the_rows_of_that_page_only(catalog, monkeypatch):
    uris = [f"/{letter}" for letter in "abcdefgh"]
    publish(catalog, *map(draft, uris))
    for uri in ["/b", "/c", "/new"]:
        catalog.fail("test", draft(uri).state, "malformed", "broken")
    uris.append("/new")
    rows_read = []
    read = catalog._read

    def counting(query):
        rows = read(query)
        rows_read.append(len(rows))
        return rows

    monkeypatch.setattr(catalog, "_read", counting)
    for limit in (1, 2, 3):
        seen = []
        while page := list(catalog.documents("test", after=seen[-1] if seen else "", limit=limit)):
            seen += [record.source_uri for record in page]
            assert [record.error_reason is not None for record in page] == [
                record.source_uri in ("/b", "/c", "/new") for record in page
            ]
        assert seen == uris
        assert max(rows_read) <= 2 * limit
    assert list(catalog.documents("test", limit=0)) == []
    assert rows_read[-1] == 0


def test_contents_of_live_documents_are_read_together(catalog, monkeypatch):
    monkeypatch.setattr("kvasir.catalog.search_scope._SLICE", 2)
    publish(
        catalog, *(draft(f"/{each}", given={"n": each}, content=str(each)) for each in range(5))
    )
    catalog.mark_deleted("test", [document_id("/1")], WRITER[0])
    catalog.fail("test", draft("/failed").state, "malformed", "broken")
    asked = [document_id(uri) for uri in ("/0", "/1", "/2", "/3", "/failed", "/unknown")]
    found = catalog.live_contents("test", asked)
    for uri, content in (("/0", "0"), ("/2", "2"), ("/3", "3")):
        record = catalog.document("test", document_id(uri))
        assert found.pop(record.id) == (content * 64, record.metadata)
    assert not found
    assert catalog.live_contents("test", []) == {}


def test_long_uris_titles_and_messages_are_kept_whole(catalog):
    uris = [f"https://example.org/?q={'日' * 70_000}{end}" for end in "ab"]
    for uri in uris:
        state = replace(draft(uri).state, media_type="x" * 400)
        publish(catalog, replace(draft(uri), state=state))
        catalog.fail("test", state, "malformed", "é" * 70_000)
    records = list(catalog.documents("test", prefix=uris[0][:-1]))
    assert [r.source_uri for r in records] == uris
    for record in records:
        assert record.title == f"title of {record.source_uri}"
        assert record.error_message == "é" * 70_000
        assert record.state.media_type == "x" * 400


@pytest.mark.parametrize("catalog_url", ["mariadb", "mysql"], indirect=True)
def test_no_statement_uses_returning_which_mysql_lacks(catalog):
    statements = []
    event.listen(
        catalog._engine, "before_cursor_execute", lambda *args: statements.append(args[2].upper())
    )
    catalog.create_collection("other", embedder="model", dimension=3, fingerprint="abc")
    publish(catalog, draft("/a"))
    catalog.fail("test", draft("/b").state, "malformed", "broken")
    catalog.copy_collection("test", "copy")
    assert any(statement.startswith("INSERT") for statement in statements)
    assert not [statement for statement in statements if "RETURNING" in statement]


def test_no_connection_is_kept_while_chunks_are_looked_at(catalog, monkeypatch):
    monkeypatch.setattr("kvasir.catalog.sql._PAGE", 2)
    publish(catalog, draft("/a", "one two three"), draft("/b", "four five"), draft("/c", "six"))
    seen = []
    for chunk in catalog.every_chunk("test"):
        assert catalog._engine.pool.checkedout() == 0
        seen.append(chunk.passage_hash)
    words = ["one", "two", "three", "four", "five", "six"]
    assert seen == [passage_hash(f"Überschrift\n{word}") for word in words]


def test_exhausted_connections_are_one_sentence(catalog, monkeypatch):
    catalog._engine.pool._timeout = 0.1
    with ExitStack() as held:
        with pytest.raises(ComponentError, match=r"reading failed: every connection was in use"):
            for _ in range(20):
                held.enter_context(reading(catalog._engine)).connection  # noqa: B018
        with pytest.raises(ComponentError, match=r"writing failed: every connection was in use"):
            catalog.delete_collection("unknown")


def test_vectors_of_unfinished_documents_are_kept_until_they_are_dropped(catalog):
    catalog.create_collection("other", embedder="model", dimension=3, fingerprint="abc")
    one, two = np.float32([1.5, -2, 0.1]), np.float32([0, 1, 2])
    catalog.keep_vectors("test", {"a" * 32: one, "b" * 32: two})
    catalog.keep_vectors("test", {"b" * 32: one, "c" * 32: np.float32([1, 2])})
    found = catalog.kept_vectors("test", ["a" * 32, "b" * 32, "c" * 32, "d" * 32])
    # One of another length, as another model makes it, is not used.
    assert {key: vector.tolist() for key, vector in found.items()} == {
        "a" * 32: one.tolist(),
        "b" * 32: one.tolist(),
    }
    assert catalog.kept_vectors("other", ["a" * 32]) == {}
    catalog.drop_vectors("test", ["a" * 32])
    assert catalog.kept_vectors("test", ["a" * 32, "b" * 32]).keys() == {"b" * 32}
    catalog.drop_vectors("test")
    assert catalog.kept_vectors("test", ["b" * 32]) == {}


def test_documents_that_were_moved_are_replaced_as_the_new_ones_become_live(catalog):
    publish(catalog, draft("/a", "one two three"), draft("/b", "three four"))
    hashes = [passage_hash(c.passage) for c in draft("/c", "three two").chunks]
    ids = {uri: document_id(uri) for uri in ("/a", "/b", "/c")}
    assert catalog.documents_sharing("test", hashes) == {ids["/a"]: 2, ids["/b"]: 1}
    moved = replace(draft("/c", "one two three"), moved_from=ids["/a"])
    catalog.begin("test", [moved], WRITER[0])
    assert [each.source_uri for each in catalog.documents("test")] == ["/a", "/b"]
    catalog.publish("test", [ids["/c"]], WRITER[0], [ids["/a"]])
    assert [each.source_uri for each in catalog.documents("test")] == ["/b", "/c"]
    stale = {chunk.id for chunk in draft("/a", "one two three").chunks}
    assert set(catalog.stale_chunks("test", WRITER[0])) == stale
    catalog.purge("test", WRITER[0])
    assert catalog.unfinished("test") == 0
