"""``kvasir doctor`` finds what is wrong, ``--repair`` puts it right, and the exit codes say so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.testing.fakes import FakeAnalyzer

Kvasir = Callable[..., Any]

ON_A_TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm"}


@pytest.fixture
def damaged(kvasir: Kvasir, notes: Path) -> Kvasir:
    """Runs ``kvasir`` where the store is gone and the catalog knows of two chunks."""
    kvasir("ingest", "notes")
    shutil.rmtree(notes.parent / "kvasir-data" / "store")
    shutil.rmtree(notes)
    return kvasir


def test_a_lost_store_is_found_repaired_from_the_catalog_and_sound(damaged: Kvasir) -> None:
    for _ in range(2):
        found = damaged("doctor", code=4)
        assert "2 chunks missing from the store" in found.out
        assert "kvasir doctor --repair" in found.err
    repaired = damaged("doctor", "--repair").out
    assert "repaired: 2 rewritten" in repaired
    assert "collection 'default' is sound: 2 chunks" in repaired
    assert "384,400" in damaged("ask", "How far away is the Moon?").out
    again = damaged("doctor", "--repair").out
    assert again == "collection 'default' is sound: 2 chunks\n"


@pytest.mark.parametrize("command", ["search", "ask"])
def test_nothing_is_answered_from_what_is_left_of_an_index(
    kvasir: Kvasir, notes: Path, command: str
) -> None:
    kvasir("ingest", "notes")
    store = QdrantStore(str(notes.parent / "kvasir-data" / "store"), "default", 384, FakeAnalyzer())
    with closing(store):
        chunk, _ = next(iter(store.scroll()))[0]
        store.delete([chunk.id])
    refused = kvasir(command, "How far away is the Moon?", code=3).err
    assert "has 1 of 2 chunks" in refused
    assert "'kvasir doctor --repair'" in refused
    kvasir("doctor", "--repair")
    kvasir(command, "How far away is the Moon?")


def test_programs_are_told_what_was_found_and_what_was_repaired(damaged: Kvasir) -> None:
    found = damaged("doctor", "--json", code=4).json
    assert not found["clean"]
    assert len(found["findings"]["missing"]) == 2
    assert found["repairs"] is None
    repaired = damaged("doctor", "--json", "--repair").json
    assert repaired["clean"]
    assert repaired["findings"] == found["findings"]
    assert repaired["repairs"]["rewritten"] == 2
    again = damaged("doctor", "--json", "--repair").json
    assert (again["clean"], again["repairs"]) == (True, None)


def test_people_see_how_far_the_doctor_is_and_programs_do_not(damaged: Kvasir) -> None:
    shown = damaged("doctor", code=4, **ON_A_TERMINAL).err
    assert "comparing" in shown
    assert "writing again" not in shown
    assert damaged("doctor", "--repair", "--json", **ON_A_TERMINAL).err == ""


def test_people_see_how_far_a_repair_is(damaged: Kvasir) -> None:
    assert "writing again" in damaged("doctor", "--repair", **ON_A_TERMINAL).err


def test_people_see_how_far_an_ingest_is_with_giving_back_what_the_store_lost(
    damaged: Kvasir, notes: Path
) -> None:
    notes.mkdir()
    assert "writing again" in damaged("ingest", "notes", **ON_A_TERMINAL).err


def test_repairing_with_a_lost_catalog_is_refused(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes")
    for part in (notes.parent / "kvasir-data").glob("catalog.db*"):
        part.unlink()
    empty = notes.parent / "empty"
    empty.mkdir()
    kvasir("ingest", "empty")
    assert "2 chunks in the store that no document has" in kvasir("doctor", code=4).out
    refused = kvasir("doctor", "--repair", code=3).err
    assert "backup" in refused
    assert refused.count("\n") == 1
    assert len(kvasir("doctor", "--json", code=4).json["findings"]["orphans"]) == 2


def test_a_repair_reads_the_store_twice_and_once_where_nothing_is_wrong(
    damaged: Kvasir, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    scroll = QdrantStore.scroll

    def counted(store: QdrantStore, *args: Any, **kwargs: Any) -> Iterator[Any]:
        read.append("whole store")
        return scroll(store, *args, **kwargs)

    monkeypatch.setattr(QdrantStore, "scroll", counted)
    assert "repaired: 2 rewritten" in damaged("doctor", "--repair").out
    assert len(read) == 2
    assert "is sound" in damaged("doctor", "--repair").out
    assert len(read) == 3


def test_an_ingest_counts_the_chunks_that_it_gave_back_to_the_store(
    kvasir: Kvasir, notes: Path
) -> None:
    kvasir("ingest", "notes")
    store = notes.parent / "kvasir-data" / "store"
    shutil.rmtree(store)
    report = kvasir("ingest", "notes", "--json").json
    assert (report["chunks_restored"], report["chunks_embedded"]) == (2, 2)
    assert len(report["unchanged"]) == 2
    assert "is sound" in kvasir("doctor").out
    shutil.rmtree(store)
    assert "the store had lost them: 2 chunks" in kvasir("ingest", "notes").out
    assert kvasir("ingest", "notes", "--json").json["chunks_restored"] == 0
