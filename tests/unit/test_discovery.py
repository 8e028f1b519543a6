import os
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from kvasir.core.errors import RequestError
from kvasir.core.text import has_scheme
from kvasir.core.types import LocalFile, Source
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


def kinds(folder, **options):
    not_read = sources.discover([LocalFile(str(folder), **options)]).not_read
    return dict(Counter(each.kind for each in not_read))


def chosen(folder, **options):
    listed = sources.discover([LocalFile(str(folder), **options)]).items
    return [os.path.relpath(uri, folder) for uri in listed]


def test_a_folder_is_listed_sorted_and_without_hidden_files(tmp_path):
    tree(tmp_path, "b.md", "a/z.md", "a/b.md", ".git/config", ".hidden", "a/.x/y", "CVS/Root")
    tree(tmp_path, "~$report.docx", "a/b.md.expected.md")
    assert found(tmp_path) == ["a/b.md", "a/b.md.expected.md", "a/z.md", "b.md"]
    assert kinds(tmp_path) == {"hidden": 5}


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


def test_links_out_of_the_folder_are_not_followed_and_counted(tmp_path):
    tree(tmp_path, "outside/a.md", "other.md", "docs/b.md")
    (tmp_path / "docs/link").symlink_to(tmp_path / "outside")
    (tmp_path / "docs/other.md").symlink_to(tmp_path / "other.md")
    (tmp_path / "docs/dangling.md").symlink_to(tmp_path / "nothing.md")
    assert found(tmp_path / "docs") == ["b.md"]
    assert kinds(tmp_path / "docs") == {"link out of the folder": 3}


def test_a_link_that_is_named_is_followed(tmp_path):
    tree(tmp_path, "outside/a.md", "b.md")
    (tmp_path / "docs").symlink_to(tmp_path / "outside")
    (tmp_path / "c.md").symlink_to(tmp_path / "b.md")
    assert found(tmp_path, tmp_path / "docs", tmp_path / "c.md") == ["docs/a.md", "c.md"]


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


RULES = {
    ".gitignore": "*.log\n!keep.log\n/root-only.md\nbuild/\n**/cache/**\ndocs/*.tmp\n"
    "# a comment\n\\#x.md\n\\!important.md\nspaced.md   \n[ab]c.md\n!\nfoo/**/bar\n",
    "docs/.gitignore": "!*.log\nsecret.md\r\n/here.md\n*/deep.md\n",
    "docs/sub/.gitignore": "*\n!*/\n!yes.md\n",
    ".git/info/exclude": "private.md\n",
}
FILES = (
    *("a.log", "keep.log", "root-only.md", "x/root-only.md", "build/a.md", "x/build/a.md"),
    *("x/build.md", "cache/a.md", "x/cache/y/a.md", "docs/a.tmp", "docs/x/a.tmp", "#x.md"),
    *("!important.md", "spaced.md", "ac.md", "bc.md", "cc.md", "docs/b.log", "docs/secret.md"),
    *("docs/x/secret.md", "docs/here.md", "docs/x/here.md", "docs/x/deep.md", "docs/x/y/deep.md"),
    *("docs/sub/no.md", "docs/sub/yes.md", "docs/sub/z/no.md", "docs/sub/z/yes.md"),
    *("private.md", "x/private.md", "foo/bar", "foo/x/y/bar", "foo/x/ybar", "BUILD/a.md"),
)


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", root], check=True)
    tree(root, *FILES)
    for name, rules in RULES.items():
        (root / name).write_text(rules, newline="")
    return root


def test_git_ignores_the_same_files(repository):
    listed = ["git", "-C", repository, "-c", "core.quotePath=false", "ls-files", "-o"]
    excluding = [*listed, "--exclude-standard"]
    shown = subprocess.run(excluding, capture_output=True, text=True, check=True).stdout
    expected = [name for name in shown.splitlines() if ".gitignore" not in name]
    assert found(repository) == sorted(expected)
    assert kinds(repository).keys() == {"hidden", "ignored"}


def test_without_ignore_files_everything_but_the_hidden_is_listed(repository):
    assert chosen(repository, ignore_files=False) == sorted(FILES)


def test_the_rules_above_a_folder_hold_up_to_the_root_of_the_repository(repository):
    (repository.parent / ".gitignore").write_text("cc.md\n")
    (repository.parent / ".kvasirignore").write_text("y/\n")
    tree(repository, "x/cc.md", "x/y/z.md", "x/a.log", "x/b.md")
    assert {"cc.md", "b.md"} == {*found(repository / "x")} & {"cc.md", "b.md", "y/z.md", "a.log"}


def test_an_ignored_folder_that_is_named_is_read(repository):
    assert found(repository / "build") == ["a.md"]


def test_the_rules_outside_of_a_nested_repository_end_at_it(tmp_path):
    tree(tmp_path, "inner/a.md", "inner/.git/HEAD", "a.md")
    (tmp_path / ".gitignore").write_text("a.md\n")
    assert found(tmp_path) == ["inner/a.md"]


def test_own_ignore_files_take_precedence_over_those_of_git(tmp_path):
    tree(tmp_path, "a.md", "b.md", "x/c.md")
    (tmp_path / ".gitignore").write_text("a.md\n")
    (tmp_path / "x/.gitignore").write_text("!c.md\n")
    (tmp_path / ".kvasirignore").write_text("!a.md\nb.md\nc.md\n")
    assert found(tmp_path) == ["a.md"]
    # The files of rules were read, so they are not among what was left out.
    assert kinds(tmp_path) == {"ignored": 2}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": ("*.md",)}, ["a.md", "x/b.md"]),
        ({"include": ("x/",)}, ["x/b.md", "x/c.txt"]),
        ({"include": ("*.md", "*.log")}, [".d.log", "a.log", "a.md", "x/b.md"]),
        ({"exclude": ("x/",)}, ["a.md"]),
        ({"exclude": ("/*.md",)}, ["x/b.md", "x/c.txt"]),
        ({"include": ("*.md",), "exclude": ("b.*",)}, ["a.md"]),
    ],
)
def test_include_and_exclude_choose_files(tmp_path, options, expected):
    tree(tmp_path, "a.md", "x/b.md", "x/c.txt", "a.log", ".d.log", "no/e.md", ".f/g.md")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / ".gitignore").write_text("*.log\nno/\n")
    assert chosen(tmp_path, **options) == expected


@pytest.mark.parametrize("pattern", ["", "# note", "!", "!a.md", "[a"])
def test_a_pattern_that_is_none_is_refused(tmp_path, pattern):
    with pytest.raises(RequestError, match="include pattern"):
        chosen(tmp_path, include=(pattern,))


def test_no_rule_takes_long_to_match(tmp_path):
    name = "a" * 250
    tree(tmp_path, name, f"{'b/' * 200}c.md")
    (tmp_path / ".gitignore").write_text(
        "*a" * 60 + "*b\n" + "**/b/" * 60 + "d\n*" + "[a]*" * 99 + "z"
    )
    started = time.process_time()
    assert len(found(tmp_path)) == 2
    assert time.process_time() - started < 1


def test_a_file_that_only_was_not_asked_for_is_not_gone(tmp_path):
    tree(tmp_path, "a.md", "b.txt", "c.txt")
    (tmp_path / ".gitignore").write_text("c.txt\n")
    all_of_it, some = discover([tmp_path]), LocalFile(str(tmp_path), include=("*.md",))
    assert not sources.discover([some]).is_gone(str(tmp_path / "b.txt"))
    assert sources.discover([some]).is_gone(str(tmp_path / "gone.txt"))
    assert all_of_it.is_gone(str(tmp_path / "c.txt"))
