"""A file that cannot be replaced is named in an error of ours, whatever the system's reason."""

import pytest

from kvasir.core.errors import StorageError
from kvasir.core.replaced_files import replace_file


def write(stream):
    stream.write(b"new")


def test_a_file_is_replaced_and_no_part_is_left(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    replace_file(path, write)
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_name_too_long_for_the_file_system_is_refused(tmp_path):
    path = tmp_path / ("x" * 252)
    with pytest.raises(StorageError, match="cannot be written: File name too long"):
        replace_file(path, write)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        replace_file(tmp_path / "taken" / "a.json", write)
    assert (tmp_path / "taken").read_text() == "mine"


def test_an_error_of_the_writer_is_raised_as_it_is_and_the_file_stays(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fail(stream):
        stream.write(b"half")
        raise ValueError("no number")

    with pytest.raises(ValueError, match="no number"):
        replace_file(path, fail)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
