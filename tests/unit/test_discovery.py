import os
from pathlib import Path

import pytest

from kvasir.core.text import has_scheme
from kvasir.core.types import Source
from kvasir.frontends.cli.paths import files
from kvasir.ingesting import sources


def discover(inputs, left_out=()):
    given = [each if isinstance(each, tuple) else sources_of(each) for each in inputs]
    return sources.discover(given, left_out)


def sources_of(each):
    return each if has_scheme(str(each)) else files(each)[0]


def tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def found(root, *inputs):
    return [os.path.relpath(uri, root) for uri in discover(inputs or [root]).items]


def test_a_folder_is_listed_sorted_and_without_hidden_files(tmp_path):
    tree(tmp_path, "b.md", "a/z.md", "a/b.md", ".git/config", ".hidden", "a/.x/y", "CVS/Root")
    tree(tmp_path, "~$report.docx", "a/b.md.expected.md")
    assert found(tmp_path) == ["a/b.md", "a/b.md.expected.md", "a/z.md", "b.md"]


def test_a_hidden_file_that_is_asked_for_by_name_is_listed(tmp_path):
    tree(tmp_path, ".hidden")
    assert found(tmp_path, tmp_path / ".hidden") == [".hidden"]


def test_loops_of_links_end(tmp_path):
    tree(tmp_path, "a/b/file.md")
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(tmp_path / "a/self")
    result = discover([tmp_path])
    assert [Path(uri).name for uri in result.items] == ["file.md"]
    assert [Path(m.source_uri).name for m in result.missing] == ["self"]


def test_a_file_that_is_reached_twice_is_listed_once_by_its_real_path(tmp_path):
    tree(tmp_path, "real/file.md")
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    (tmp_path / "a.md").symlink_to(tmp_path / "real/file.md")
    assert found(tmp_path) == ["real/file.md"]


def test_links_out_of_the_folder_are_followed_under_their_own_path(tmp_path):
    tree(tmp_path, "outside/a.md", "other.md", "docs/b.md")
    (tmp_path / "docs/link").symlink_to(tmp_path / "outside")
    (tmp_path / "docs/other.md").symlink_to(tmp_path / "other.md")
    assert found(tmp_path / "docs") == ["b.md", "link/a.md", "other.md"]


def test_a_linked_file_whose_target_is_hidden_is_listed(tmp_path):
    tree(tmp_path, "..2026/a.md")
    (tmp_path / "a.md").symlink_to("..2026/a.md")
    assert found(tmp_path) == ["a.md"]


def test_what_is_not_a_regular_file_is_left_out(tmp_path):
    tree(tmp_path, "a.md")
    os.mkfifo(tmp_path / "pipe")
    assert found(tmp_path) == ["a.md"]


def test_paths_addresses_and_uploads_are_told_apart_and_counted_once(tmp_path, monkeypatch):
    tree(tmp_path, "a.md")
    monkeypatch.chdir(tmp_path)
    upload = (Source("upload:x", "text/plain"), b"x")
    result = discover(
        ["a.md", tmp_path / "a.md", "./b/../a.md", "https://x.org/y#z", upload, "gone"]
    )
    assert list(result.items) == [str(tmp_path / "a.md"), "https://x.org/y", "upload:x"]
    assert [m.message for m in result.missing] == [
        "there is no such file or folder; check the path"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_what_lies_in_an_unreadable_folder_is_not_taken_for_gone(tmp_path):
    tree(tmp_path, "a.md", "locked/b.md")
    (tmp_path / "locked").chmod(0)
    result = discover([tmp_path])
    (tmp_path / "locked").chmod(0o700)
    assert not result.is_gone(str(tmp_path / "locked/b.md"))
    assert result.is_gone(str(tmp_path / "c.md"))


def test_a_name_that_is_not_utf8_is_reported_and_the_rest_listed(tmp_path):
    tree(tmp_path, "a.md")
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    result = discover([tmp_path])
    assert [Path(uri).name for uri in result.items] == ["a.md"]
    assert [(Path(m.source_uri).name, m.message) for m in result.missing] == [
        ("caf?.md", "its name is not valid UTF-8; rename it")
    ]


def test_what_kvasir_keeps_is_left_out_of_folders(tmp_path):
    tree(tmp_path, "notes.md", "data/models/m/README.md", "rag.db", "rag.db.wal", "rag.md")
    tree(tmp_path, "other/catalog.db", "other/store/x.md", "database/y.md")
    own = [str(tmp_path / "data"), str(tmp_path / "rag.db")]
    listed = [os.path.relpath(uri, tmp_path) for uri in discover([tmp_path], own).items]
    assert listed == ["database/y.md", "notes.md", "rag.md"]


def test_a_document_below_our_own_folder_is_listed_when_asked_for_by_name(tmp_path):
    tree(tmp_path, "data/models/m/README.md")
    asked = tmp_path / "data/models/m"
    assert list(discover([asked], [str(tmp_path / "data")]).items) == [str(asked / "README.md")]
