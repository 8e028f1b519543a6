"""The contract of every implementation of ``Collection``: subclass it and override one fixture.

    class TestMyCollection(CollectionContract):
        @pytest.fixture
        def open_collection(self, tmp_path):
            return lambda name="contract", filters=None: my_lease(tmp_path, name, filters)

All leases of one fixture are on the same collections. ``filters`` is the operator's filter for
every search; a test closes its leases before it opens one with another filter. Documents are
uploads of plain text, and answers are quotations that are not refused (``answer.refuse: false``).
The web is searched by ``FakeWebSearch``, and pages of this machine are fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import partial
from typing import Any

import pytest

from kvasir.answering.refusal import DEFAULT_CALIBRATION
from kvasir.core.errors import (
    ClosedError,
    CollectionNotFoundError,
    ComponentError,
    DocumentNotFoundError,
    FilterError,
    KvasirError,
    NameTakenError,
    UnknownFieldError,
)
from kvasir.core.filters import Comparison
from kvasir.core.ledger import VersionStatus
from kvasir.core.types import Finished, Hit, Retrieved, Source, StoreAddress, Text, document_id
from kvasir.core.wire import dumps, loads, to_json
from kvasir.evaluation.question_sets import GoldPassage, JudgedQuestion
from kvasir.testing.collections_explaining import QUESTION, ExplainingContract
from kvasir.testing.collections_web import WebContract

OpenCollection = Callable[..., Any]
"""Takes a name and the operator's filter, both with defaults; returns a lease."""

TEXTS = {
    "upload:tea.txt": "Green tea is steeped for two minutes. Black tea takes four minutes.",
    "upload:mead.txt": "Two dwarfs brewed mead of honey and of the blood of Kvasir.",
    "upload:moon.txt": "The Moon orbits the Earth at a distance of 384,400 kilometres.",
}
MEAD = "upload:mead.txt"
TEA = Comparison("topic", "==", "tea")


def upload(uri: str, text: str | bytes) -> tuple[Source, bytes]:
    """Return an upload of plain text."""
    return Source(uri, "text/plain"), text if isinstance(text, bytes) else text.encode()


def uris(found: Iterable[Any]) -> list[str]:
    """Return the source URIs of documents, or of the chunks of hits."""
    return [
        str(each.chunk.metadata["source_uri"]) if isinstance(each, Hit) else each.source_uri
        for each in found
    ]


class CollectionContract(ExplainingContract, WebContract):
    """What must hold for every collection; see the module on how to use it."""

    @pytest.fixture
    def open_collection(self) -> OpenCollection:
        raise NotImplementedError("override the fixture 'open_collection'")

    @pytest.fixture
    def copy_address(self, tmp_path: Any) -> StoreAddress:
        """Return the address to which collections are copied; override it for other stores."""
        return StoreAddress("qdrant", str(tmp_path / "copies"))

    @pytest.fixture
    def empty(self, open_collection: OpenCollection) -> Iterator[Any]:
        """Yield a lease on a collection that does not exist."""
        with open_collection() as lease:
            yield lease

    @pytest.fixture
    def collection(self, empty: Any) -> Any:
        """Yield a lease on a collection of three documents, each with its topic."""
        for uri, text in TEXTS.items():
            topic = uri.removeprefix("upload:").removesuffix(".txt")
            report = empty.ingest(upload(uri, text), metadata={"topic": topic})
            assert (report.added, report.failed) == ([uri], [])
        return empty

    def test_the_best_hit_contains_the_answer(self, collection: Any) -> None:
        hits = collection.search(QUESTION)
        assert uris(hits)[0] == MEAD
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            chunk = hit.chunk
            assert 0.0 <= hit.score <= 1.0
            assert chunk.text == collection.text(chunk.document_id)[chunk.start : chunk.end]

    def test_limits_of_a_search(self, collection: Any) -> None:
        assert len(collection.search(QUESTION, top_k=1)) == 1
        assert collection.search(QUESTION, min_score_threshold=1.0) == []
        for hit in collection.search(QUESTION, min_score_threshold=0.6):
            assert hit.dense_score >= 0.6

    @pytest.mark.parametrize("filters", ["topic=tea", TEA], ids=["text", "value"])
    def test_filters_leave_out_the_rest(self, collection: Any, filters: Any) -> None:
        assert uris(collection.search(QUESTION, filters=filters)) == ["upload:tea.txt"]
        assert uris(collection.ask(QUESTION, filters=filters).hits) == ["upload:tea.txt"]
        with collection.stream(QUESTION, filters=filters) as stream:
            assert uris(stream.answer.hits) == ["upload:tea.txt"]

    def test_filters_know_lists_dates_and_sources(self, collection: Any) -> None:
        collection.set_metadata(MEAD, {"tags": ["honey", "water"], "made": date(2024, 3, 15)})
        given = collection.document(MEAD).given
        assert given == {"tags": ("honey", "water"), "made": "2024-03-15"}
        for filters in ("tags=honey", "made>=2024-03", "made<=2024", "source=upload:mead*"):
            assert uris(collection.search(QUESTION, filters=filters)) == [MEAD], filters
        others = sorted({*TEXTS} - {MEAD})
        for filters in ("tags!=water", "made!=2024-03-15", f"source!={MEAD}"):
            assert sorted(uris(collection.search(QUESTION, filters=filters))) == others, filters

    def test_a_field_that_no_document_has_is_named_with_the_known_ones(
        self, collection: Any
    ) -> None:
        expected = r"field 'topik', did you mean 'topic'\? .*language.*topic"
        for call in (collection.search, collection.ask):
            with pytest.raises(UnknownFieldError, match=expected) as raised:
                call(QUESTION, filters="topik=tea")
            assert raised.value.field == "topik"
            assert "topic" in raised.value.fields
        with (
            pytest.raises(UnknownFieldError, match=expected),
            collection.stream(QUESTION, filters="topik=tea") as stream,
        ):
            _ = stream.answer
        assert collection.search(QUESTION, filters="topic=beer") == []

    def test_a_callers_filter_is_anded_with_the_operators(
        self, collection: Any, open_collection: OpenCollection
    ) -> None:
        collection.close()  # A store may have one owner, and these are other settings.
        with open_collection(filters=TEA) as limited:
            assert uris(limited.search(QUESTION)) == ["upload:tea.txt"]
            assert uris(limited.search(QUESTION, filters="topic=tea")) == ["upload:tea.txt"]
            for call in (limited.ask, limited.stream):
                with pytest.raises(FilterError):
                    call(QUESTION, filters="topic")
            assert limited.search(QUESTION, filters="topic=mead") == []
            assert limited.ask(QUESTION, filters="topic=mead").hits == ()

    def test_an_answer_cites_what_stands_in_the_document(self, collection: Any) -> None:
        answer = collection.ask(QUESTION)
        assert "dwarfs" in answer.text
        assert not answer.refused
        assert uris(answer.hits)[0] == MEAD
        assert answer.citations
        for citation in answer.citations:
            assert f"[{citation.marker}]" in answer.text
            record = collection.document(citation.source_uri)
            assert record.id == citation.document_id
            assert record.state.content_hash == citation.content_hash
            text = collection.text(citation.document_id)
            assert text[citation.start : citation.end] == citation.quote

    def test_a_stream_gives_hits_then_text_then_the_answer(self, collection: Any) -> None:
        first, *pieces, last = collection.stream(QUESTION)
        assert isinstance(first, Retrieved)
        assert isinstance(last, Finished)
        assert pieces
        assert all(isinstance(piece, Text) for piece in pieces)
        assert "".join(piece.text for piece in pieces) == last.answer.text
        assert last.answer.hits == first.hits
        asked = collection.ask(QUESTION)
        assert (asked.text, asked.citations) == (last.answer.text, last.answer.citations)

    def test_a_stream_may_be_closed_at_any_event(self, collection: Any) -> None:
        for read in range(3):
            stream = collection.stream(QUESTION)
            for _ in range(read):
                next(stream)
            stream.close()
            stream.close()
            assert list(stream) == []
            with pytest.raises(KvasirError):
                _ = stream.answer
        assert collection.ask(QUESTION).citations

    def test_documents_are_listed_by_source(self, collection: Any) -> None:
        records = collection.documents()
        assert uris(records) == sorted(TEXTS)
        for record in records:
            assert record.status is VersionStatus.LIVE
            assert record.id == document_id(record.source_uri)
            assert record.given == {"topic": record.title.split(".")[0].removeprefix("upload:")}
            assert record.state.size == len(TEXTS[record.source_uri].encode())
        assert collection.chunk_count() == sum(record.chunk_count for record in records) > 0
        assert uris(collection.documents("upload:m")) == ["upload:mead.txt", "upload:moon.txt"]
        assert uris(collection.documents("upload:m", limit=1)) == ["upload:mead.txt"]
        assert uris(collection.documents(after="upload:mead.txt", limit=1)) == ["upload:moon.txt"]
        assert collection.documents("file:") == []
        assert collection.documents(after="upload:tea.txt") == []

    def test_pages_neither_skip_nor_repeat_while_documents_come_and_go(self, empty: Any) -> None:
        names = [f"upload:{number:03}" for number in range(0, 60, 2)]
        empty.ingest(*(upload(name, f"Document {name}.") for name in names))
        seen: list[str] = []
        gone, new = set[str](), set[str]()
        while page := empty.documents("upload:", after=seen[-1] if seen else "", limit=7):
            assert len(page) <= 7
            seen.extend(uris(page))
            behind, ahead = page[0].source_uri, names[-1 - len(gone)]
            before, after = f"{behind}x", f"{ahead}x"
            empty.ingest(*(upload(name, f"Document {name}.") for name in (before, after)))
            new |= {before, after}
            if ahead not in seen:
                assert empty.delete(behind, ahead) == 2
                gone |= {behind, ahead}
        assert seen == sorted(set(seen))
        assert set(names) - gone <= set(seen) <= {*names, *new}

    def test_a_document_is_found_by_id_and_by_source(self, collection: Any) -> None:
        record = collection.document(MEAD)
        assert record.source_uri == MEAD
        assert collection.document(record.id) == record
        assert collection.text(MEAD) == collection.text(record.id) == TEXTS[MEAD]

    def test_a_document_is_found_by_what_is_known_of_its_name(self, collection: Any) -> None:
        record = collection.document(MEAD)
        for typed in (MEAD, record.id, record.id[:12], "mead.txt", "mea", "upload:me"):
            assert uris(collection.match(typed)) == [MEAD]
        assert uris(collection.match("m")) == ["upload:mead.txt", "upload:moon.txt"]
        assert uris(collection.match("/here/mead.txt", MEAD)) == [MEAD]

    def test_what_is_spelled_alike_is_proposed(self, collection: Any) -> None:
        with pytest.raises(
            DocumentNotFoundError, match=r"did you mean 'upload:mead.txt'"
        ) as caught:
            collection.match("maed.txt")
        assert caught.value.near[0] == MEAD
        with pytest.raises(DocumentNotFoundError) as caught:
            collection.match("unrelated")
        assert caught.value.near == ()

    def test_an_ingest_reports_every_source(self, collection: Any) -> None:
        report = collection.ingest(
            upload(MEAD, TEXTS[MEAD]),
            upload("upload:tea.txt", "White tea is steeped for one minute."),
            upload("upload:new.txt", "Coffee is brewed."),
            upload("upload:nothing.txt", ""),
        )
        assert report.unchanged == [MEAD]
        assert report.replaced == ["upload:tea.txt"]
        assert report.added == ["upload:new.txt"]
        failed = [(each.source_uri, each.reason) for each in report.failed]
        assert failed == [("upload:nothing.txt", "empty")]
        assert collection.text("upload:tea.txt") == "White tea is steeped for one minute."
        assert collection.document("upload:tea.txt").given == {"topic": "tea"}
        texts = [hit.chunk.text for hit in collection.search("black tea four minutes")]
        assert not any("four minutes" in text for text in texts)

    def test_on_conflict_decides_about_changed_sources(self, collection: Any) -> None:
        changed = upload(MEAD, "Mead is sold out.")
        assert collection.ingest(changed, on_conflict="skip").skipped == [MEAD]
        (failed,) = collection.ingest(changed, on_conflict="error").failed
        assert failed.reason == "conflict"
        assert collection.text(MEAD) == TEXTS[MEAD]
        assert collection.ingest(changed).replaced == [MEAD]

    def test_deleted_documents_are_not_found(self, collection: Any) -> None:
        record = collection.document(MEAD)
        assert collection.delete(MEAD) == 1
        assert MEAD not in uris(collection.search(QUESTION))
        assert MEAD not in uris(collection.documents())
        for call in (collection.document, collection.text, collection.delete):
            for name in (MEAD, record.id):
                with pytest.raises(DocumentNotFoundError):
                    call(name)
        assert collection.delete("upload:tea.txt", document_id("upload:tea.txt")) == 1
        assert collection.delete() == 0
        assert collection.ingest(upload(MEAD, TEXTS[MEAD])).added == [MEAD]
        assert uris(collection.search(QUESTION))[0] == MEAD

    def test_deleting_an_unknown_document_deletes_none(self, collection: Any) -> None:
        with pytest.raises(DocumentNotFoundError):
            collection.delete(MEAD, "upload:unknown.txt")
        assert collection.document(MEAD).source_uri == MEAD

    def test_metadata_are_replaced(self, collection: Any) -> None:
        collection.set_metadata(MEAD, {"year": 2026, "topic": "drinks"})
        record = collection.document(MEAD)
        assert record.given == {"year": 2026, "topic": "drinks"}
        assert {"year": 2026, "source_uri": MEAD}.items() <= record.metadata.items()
        assert uris(collection.search(QUESTION, filters="topic=drinks")) == [MEAD]
        assert collection.search(QUESTION, filters="topic=mead") == []
        for unusable in ({"source_uri": "x"}, {"": 1}, {"a": float("nan")}):
            with pytest.raises(KvasirError, match="metadata field"):
                collection.set_metadata(MEAD, unusable)
        assert collection.document(MEAD) == record

    def test_dropping_leaves_nothing_and_frees_the_name(
        self, collection: Any, open_collection: OpenCollection
    ) -> None:
        with open_collection("beside") as beside:
            beside.ingest(upload("upload:other.txt", "Other words."))
            collection.drop()
            with pytest.raises(CollectionNotFoundError):
                collection.drop()
            assert uris(beside.documents()) == ["upload:other.txt"]
        assert collection.ingest(upload(MEAD, "Mead is sold out.")).added == [MEAD]
        assert uris(collection.search(QUESTION)) == [MEAD]
        assert collection.chunk_count() == 1

    def test_the_record_describes_the_embedder(self, collection: Any) -> None:
        record = collection.record()
        assert record.name == collection.name
        assert record.dimension > 0
        assert record.fingerprint
        assert record.calibration is None
        assert record.created.tzinfo is not None

    def test_an_intact_collection_needs_no_repair(self, collection: Any) -> None:
        findings = collection.inspect()
        assert findings.clean
        assert findings.counted == findings.expected == collection.chunk_count()
        repairs = collection.repair()
        done = (repairs.recovered, repairs.removed, repairs.rewritten, repairs.relabelled)
        assert done == (0, 0, 0, 0)
        collection.optimize(wait=True)
        assert collection.inspect().clean

    def test_a_calibration_can_be_kept_and_reset(self, collection: Any) -> None:
        collection.keep_calibration(DEFAULT_CALIBRATION)
        assert collection.record().calibration == to_json(DEFAULT_CALIBRATION)
        assert collection.ask(QUESTION).citations
        collection.keep_calibration(None)
        assert collection.record().calibration is None

    def test_calibrating(self, collection: Any) -> None:
        with pytest.raises(KvasirError, match="too few"):
            collection.calibrate(["one?"], ["two?"])
        answered = [f"{QUESTION} {number}" for number in range(40)]
        unanswered = [f"What is the price of gold in year {number}?" for number in range(40)]
        fitted = collection.calibrate(answered, unanswered, apply=False)
        assert not fitted.kept
        assert collection.record().calibration is None
        fitted = collection.calibrate(answered, unanswered, apply=True)
        stored = to_json(fitted.calibration) if fitted.kept else None
        assert collection.record().calibration == stored

    def test_evaluating_by_questions(self, collection: Any) -> None:
        asked = [
            JudgedQuestion("1", QUESTION, "who", passages=((GoldPassage(MEAD, "brewed mead"),),)),
            JudgedQuestion("2", "And of the honey?", "who", after="1", must=(("mead", "beer"),)),
            JudgedQuestion("3", "How far away is the Moon?", must=(("two kilometres",),)),
        ]
        result = collection.evaluate(asked)
        first, second, third = result.cases
        assert (first.satisfying, first.rank, first.sources[0]) == (True, 1, MEAD)
        assert (second.satisfying, third.satisfying) == (True, False)
        assert third.missing == ("two kilometres",)
        assert (result.all.satisfying.count, result.kinds["who"].questions) == (2, 2)
        assert collection.evaluate(asked, half=first.half).half == first.half
        with pytest.raises(KvasirError, match="no question"):
            collection.evaluate([])

    def test_a_copy_under_another_name_is_complete(
        self, collection: Any, copy_address: StoreAddress
    ) -> None:
        report = collection.copy(copy_address, name="copied")
        assert report.verified
        assert report.chunks == report.written == report.counted == collection.chunk_count()
        collection.delete(MEAD)
        with pytest.raises(NameTakenError):
            collection.copy(copy_address, name="copied")

    def test_every_returned_value_survives_json(
        self, collection: Any, copy_address: StoreAddress
    ) -> None:
        collection.keep_calibration(DEFAULT_CALIBRATION)
        texts = [f"{QUESTION} {number}" for number in range(40)]
        report = collection.ingest(upload(MEAD, TEXTS[MEAD]), upload("upload:nothing.txt", ""))
        returned = [*collection.search(QUESTION), *collection.stream(QUESTION)]
        returned += [collection.ask(QUESTION), collection.record(), *collection.documents()]
        returned += [collection.document(MEAD), report, collection.inspect(), collection.repair()]
        returned.append(collection.copy(copy_address, name="copied"))
        returned.append(collection.evaluate([JudgedQuestion("1", QUESTION)]))
        returned.append(collection.calibrate(texts, texts, apply=False))
        for value in returned:
            text = dumps(value)
            again = loads(type(value), text)
            assert type(again) is type(value)
            assert dumps(again) == text

    def test_an_unknown_collection_is_one_error(self, empty: Any) -> None:
        calls = _calls(empty)
        calls += [lambda: empty.set_metadata(MEAD, {}), lambda: empty.keep_calibration(None)]
        for call in calls:
            with pytest.raises(CollectionNotFoundError) as caught:
                call()
            assert caught.value.code == "collection_not_found"
            assert caught.value.name == empty.name

    def test_an_unknown_document_is_one_error(self, collection: Any) -> None:
        relabel = partial(collection.set_metadata, metadata={})
        for call in (collection.document, collection.text, collection.delete, relabel):
            with pytest.raises(DocumentNotFoundError) as caught:
                call("upload:unknown.txt")
            assert caught.value.code == "document_not_found"
            assert caught.value.source == "upload:unknown.txt"

    def test_a_closed_lease_refuses_every_call(
        self, collection: Any, open_collection: OpenCollection
    ) -> None:
        lease = open_collection()
        assert lease.search(QUESTION)
        lease.close()
        lease.close()
        calls = _calls(lease)
        calls += [lease.optimize, lambda: lease.ingest(upload("upload:new.txt", "New."))]
        for call in calls:
            with pytest.raises(ClosedError) as caught:
                call()
            assert caught.value.code == "closed"
        assert uris(collection.documents()) == sorted(TEXTS)

    @pytest.mark.parametrize("query", ["", " \n\t"])
    def test_an_empty_query_is_refused(self, collection: Any, query: str) -> None:
        calls = (collection.search, collection.ask, lambda text: list(collection.stream(text)))
        for call in calls:
            with pytest.raises(KvasirError, match="is empty") as caught:
                call(query)
            assert not isinstance(caught.value, ComponentError)


def _calls(lease: Any) -> list[Callable[[], object]]:
    searches = (lease.search, lease.ask, lambda query: list(lease.stream(query)))
    calls: list[Callable[[], object]] = [partial(call, QUESTION) for call in searches]
    calls += [partial(call, MEAD) for call in (lease.document, lease.text, lease.delete)]
    calls += [lease.documents, lease.record, lease.chunk_count, lease.inspect]
    calls.append(lambda: lease.evaluate([JudgedQuestion("1", QUESTION)]))
    return [*calls, lease.drop, lease.repair]
