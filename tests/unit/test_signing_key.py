"""The key that signs tokens is secret, long, and the same for all processes of a data folder."""

import os
import stat
import subprocess
import sys

import pytest

from kvasir.accounts.signing import signing_key
from kvasir.core.errors import SettingsError, StorageError

GOOD = "0f4c2b1d9e8a7766554433221100ffee"
OF_DOCUMENT_004 = "6b3d75e968f26f3be3443503efefd761e22d5e173fea95646a3659e673ebb97b"


def test_the_key_of_the_settings_is_used_and_nothing_is_written(tmp_path):
    assert signing_key(f" {GOOD}\n", tmp_path) == GOOD
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", [OF_DOCUMENT_004, OF_DOCUMENT_004.upper(), f" {OF_DOCUMENT_004} "])
def test_the_key_of_document_004_is_refused_by_name(tmp_path, key):
    with pytest.raises(SettingsError, match="SECRET_KEY that document 004 prints") as refused:
        signing_key(key, tmp_path)
    assert key.strip() not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("secret", "fewer than 32"),
        (GOOD[:31], "fewer than 32"),
        ("a" * 64, "easy to guess"),
        ("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "tutorial"),
    ],
)
def test_a_short_simple_or_published_key_is_refused(tmp_path, key, why):
    with pytest.raises(SettingsError, match=f"server.signing_key .*{why}"):
        signing_key(key, tmp_path)


@pytest.mark.parametrize("configured", [None, ""])
def test_a_key_is_made_once_and_kept_for_this_user_alone(tmp_path, configured):
    folder = tmp_path / "kvasir-data"
    key = signing_key(configured, folder)
    assert len(key) == 64
    assert signing_key(configured, folder) == key
    assert signing_key(configured, tmp_path / "other") != key
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes["signing.key"] == 0o600
    assert set(modes) <= {"signing.key", "signing.key.lock"}


def test_processes_that_start_at_once_sign_with_one_key(tmp_path):
    code = (
        "from pathlib import Path; from kvasir.accounts.signing import signing_key; "
        f"print(signing_key(None, Path({str(tmp_path / 'new')!r})))"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    keys = {child.communicate()[0] for child in children}
    assert [child.returncode for child in children] == [0] * 4
    assert len(keys) == 1
    assert len(keys.pop().strip()) == 64


def test_a_key_left_half_written_is_made_again(tmp_path):
    (tmp_path / "signing.key.new").write_text("half")
    assert len(signing_key(None, tmp_path)) == 64


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has these modes")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    signing_key(None, tmp_path)
    (tmp_path / "signing.key").chmod(mode)
    with pytest.raises(SettingsError, match="other users may read the signing key"):
        signing_key(None, tmp_path)


def test_a_damaged_key_is_one_sentence(tmp_path):
    signing_key(None, tmp_path)
    (tmp_path / "signing.key").write_bytes(b"\xff\n")
    with pytest.raises(StorageError, match="is damaged"):
        signing_key(None, tmp_path)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made or read"):
        signing_key(None, tmp_path / "file" / "kvasir-data")
