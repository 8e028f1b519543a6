"""Files that were moved, renamed or deleted since the last ingest."""

from pathlib import Path

import pytest
from ingest_world import moved

from kvasir.core.errors import ComponentError
from kvasir.core.types import document_id


def test_a_moved_file_embeds_nothing(world):
    old = world.write("a.txt", "one\ntwo\n")
    world.ingest()
    world.embedder.embedded = 0
    Path(old).rename(world.folder / "b.txt")
    report = world.ingest(prune=True)
    assert (moved(report), report.added, report.removed) == ([("a.txt", "b.txt")], [], [])
    assert world.embedder.embedded == 0
    assert world.texts() == ["one", "two"]
    assert world.is_clean()


def test_pruning_removes_what_is_gone_from_the_folder_and_nothing_else(world):
    gone = world.write("docs/gone.txt", "gone\n")
    world.write("docs/kept.txt", "kept\n")
    elsewhere = world.write("docs2/other.txt", "other\n")
    world.ingest()
    Path(gone).unlink()
    Path(elsewhere).unlink()
    assert world.ingest(world.folder / "docs").removed == []
    assert world.ingest(world.folder / "docs", prune=True).removed == [gone]
    assert world.texts() == ["kept", "other"]
    assert world.is_clean()


def test_a_folder_that_is_not_there_prunes_nothing(world):
    world.write("a.txt", "one\n")
    world.ingest()
    world.folder.rename(world.folder.with_name("unmounted"))
    report = world.ingest(prune=True)
    assert [f.reason for f in report.failed] == ["missing"]
    assert world.texts() == ["one"]


def test_removed_documents_are_gone_from_store_and_catalog(world):
    path = world.write("a.txt", "one\ntwo\n")
    world.write("b.txt", "three\n")
    world.ingest()
    assert world.publisher.remove([document_id(path), document_id("unknown")]) == 1
    assert world.texts() == ["three"]
    assert [r.title for r in world.catalog.documents("test")] == ["b.txt"]
    assert world.is_clean()


def test_a_failed_document_can_be_removed(world):
    path = world.write("a.txt", "!broken\n")
    world.ingest()
    assert world.publisher.remove([document_id(path)]) == 1
    assert list(world.catalog.documents("test")) == []


def test_removing_says_so_when_the_store_did_not_delete(world, monkeypatch):
    path = world.write("a.txt", "one\n")
    world.ingest()
    monkeypatch.setattr(world.store, "delete", lambda ids: None)
    with pytest.raises(ComponentError, match="still there"):
        world.publisher.remove([document_id(path)])
    monkeypatch.undo()
    world.publisher.recover()
    assert world.store.count() == 0
    assert world.is_clean()


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("one\ntwo\nthree\n", [("a.txt", "z.txt")]),
        ("one\ntwo\nTHREE\n", [("a.txt", "z.txt")]),
        ("one\nfive\nsix\n", []),
    ],
)
def test_a_file_that_shares_half_of_its_text_with_a_gone_one_was_moved(world, new, expected):
    world.write("a.txt", "one\ntwo\nthree\n")
    world.write("b.txt", "seven\neight\n")
    world.ingest(metadata={"term": 1})
    (world.folder / "a.txt").unlink()
    world.write("z.txt", new)
    report = world.ingest()
    assert moved(report) == expected
    given = {Path(each.source_uri).name: each.given for each in world.catalog.documents("test")}
    assert given["z.txt"] == ({"term": 1} if expected else {})
    assert ("a.txt" in given) == (not expected)
    assert world.is_clean()


def test_of_several_gone_documents_each_new_file_takes_the_most_alike(world):
    for name in ("x/a.txt", "y/a.txt", "y/b.txt"):
        world.write(name, "one\ntwo\n")
    world.write("c.txt", "one\ntwo\nthree\nfour\n")
    world.ingest()
    for name in ("x/a.txt", "y/a.txt", "y/b.txt", "c.txt"):
        (world.folder / name).unlink()
    for name in ("n/a.txt", "n/b.txt", "n/d.txt", "n/e.txt"):
        world.write(name, "one\ntwo\n")
    world.write("n/c.txt", "one\ntwo\nthree\n")
    report = world.ingest()
    pairs = moved(report)
    assert {("a.txt", "a.txt"), ("b.txt", "b.txt"), ("c.txt", "c.txt")} < set(pairs)
    assert (len(pairs), len(report.added), len(list(world.catalog.documents("test")))) == (4, 1, 5)


def test_a_file_from_elsewhere_is_the_document_whose_file_is_gone(world, tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    world.ingest(tmp_path / "a.txt")
    (tmp_path / "a.txt").rename(world.folder / "A.txt")
    assert moved(world.ingest()) == [("a.txt", "A.txt")]
    assert world.embedder.embedded == 2


@pytest.mark.parametrize("conflict", ["skip", "error"])
def test_a_moved_file_is_a_new_document_where_changes_are_not_taken(world, conflict):
    path = Path(world.write("a.txt", "one\n"))
    world.ingest()
    path.rename(world.folder / "b.txt")
    report = world.ingest(on_conflict=conflict)
    assert (len(report.added), report.moved) == (1, [])
