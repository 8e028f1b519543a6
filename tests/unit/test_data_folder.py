"""The data folder is found as git finds its own, and relative paths start beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvasir.core.errors import SettingsError
from kvasir.settings import data_folder
from kvasir.settings.data_folder import find_project
from kvasir.settings.loading import derive_settings, load_settings
from kvasir.settings.schema import Settings
from kvasir.sharing import index_of


def load(values: dict[str, object] | None = None, **variables: str) -> Settings:
    return load_settings(None, values, variables)


def make_data_folder(parent: Path) -> Path:
    folder = parent / "kvasir-data"
    folder.mkdir(parents=True)
    (folder / "catalog.db").touch()
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory two levels below the home folder."""
    folder = tmp_path / "home" / "work" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(folder)
    return folder


def test_without_any_it_is_the_users(here: Path, tmp_path: Path) -> None:
    found = load().found_data_folder
    assert found.path == tmp_path / "xdg" / "kvasir"
    assert found.reason == "the user's, because none is in or above the working directory"
    assert load().store_uri == str(tmp_path / "xdg" / "kvasir" / "store")
    assert not found.path.exists()


def test_one_above_is_found_up_to_the_home_folder(here: Path, tmp_path: Path) -> None:
    beyond = make_data_folder(tmp_path)
    assert load().data_folder == tmp_path / "xdg" / "kvasir"
    at_home = make_data_folder(tmp_path / "home")
    assert load().data_folder == at_home
    nearer = make_data_folder(here.parent)
    assert load().data_folder == nearer
    assert load().found_data_folder.reason == "found above the working directory"
    nearest = make_data_folder(here)
    assert load().data_folder == nearest
    assert load().found_data_folder.reason == "found in the working directory"
    assert beyond.exists()


def test_outside_the_home_folder_it_is_found_up_to_the_root(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    above = make_data_folder(tmp_path)
    assert load().data_folder == above


def test_a_folder_of_that_name_with_nothing_of_ours_is_not_taken(here: Path) -> None:
    above = make_data_folder(here.parent)
    (here / "kvasir-data").mkdir()
    (here / "kvasir-data" / "notes.txt").touch()
    assert load().data_folder == above


def test_a_settings_file_is_found_with_it_and_keeps_a_new_one_beside_it(here: Path) -> None:
    (here.parent / "kvasir.yaml").write_text("rag: {language: es}")
    settings = load()
    assert settings.rag.language == "es"
    assert settings.file == here.parent / "kvasir.yaml"
    assert settings.data_folder == here.parent / "kvasir-data"
    assert settings.found_data_folder.reason == f"beside the settings file {settings.file}"


def test_a_settings_file_above_another_data_folder_is_not_read(here: Path) -> None:
    (here.parents[1] / "kvasir.yaml").write_text("rag: {language: es}")
    make_data_folder(here.parent)
    assert load().rag.language is None
    assert load().file is None


def test_what_another_user_put_above_is_not_taken(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here.parent / "kvasir.yaml").write_text("rag: {language: es}")
    make_data_folder(here.parent)
    assert find_project() == here.parent
    other = os.geteuid() + 1
    monkeypatch.setattr(data_folder.os, "geteuid", lambda: other)
    owner = (here.parent / "kvasir.yaml").stat().st_uid
    assert find_project() == (here.parent if owner == 0 else None)
    monkeypatch.chdir(here.parent)
    assert find_project() == here.parent


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives links to another user"
)
@pytest.mark.parametrize("name", ["kvasir.yaml", "kvasir-data"])
def test_a_link_of_another_user_to_what_is_ours_is_not_taken(here: Path, name: str) -> None:
    elsewhere = here / "elsewhere"
    make_data_folder(elsewhere)
    (elsewhere / "kvasir.yaml").write_text("rag: {language: es}")
    link = here.parent / name
    link.symlink_to(elsewhere / name)
    assert find_project() == here.parent
    os.chown(link, os.geteuid() + 1, -1, follow_symlinks=False)
    assert find_project() is None


def test_an_unreadable_file_above_is_named_by_its_way_from_here(here: Path) -> None:
    (here.parent / "kvasir.yaml").write_text("rga: {}")
    with pytest.raises(SettingsError, match=r"'rga' in '\.\./kvasir\.yaml'"):
        load()


@pytest.mark.parametrize("key", ["rag.vectordb.uri", "chat.logs_dir", "server.folder"])
def test_a_setting_with_a_relative_path_keeps_a_new_one_here(here: Path, key: str) -> None:
    settings = load({key: "place"})
    assert settings.data_folder == here / "kvasir-data"
    assert settings.found_data_folder.reason == (
        f"in the working directory, because {key} is a relative path"
    )


@pytest.mark.parametrize(
    "uri", ["http://localhost:6333", "localhost:6333", "/srv/store", "~/store", "file:///srv/store"]
)
def test_an_address_or_an_absolute_path_does_not(here: Path, tmp_path: Path, uri: str) -> None:
    assert load({"rag.vectordb.uri": uri}).data_folder == tmp_path / "xdg" / "kvasir"


def test_a_given_one_starts_where_it_is_given(here: Path, tmp_path: Path) -> None:
    (here.parent / "kvasir.yaml").write_text("data_dir: kept")
    assert load().data_folder == here.parent / "kept"
    assert load().found_data_folder.reason == f"named by data_dir in {here.parent}/kvasir.yaml"
    by_variable = load(KVASIR__DATA_DIR="kept")
    assert by_variable.data_folder == here / "kept"
    assert by_variable.found_data_folder.reason == "named by KVASIR__DATA_DIR"
    by_option = load_settings(None, {"data_dir": "../kept"}, {}, origins={"data_dir": "--data-dir"})
    assert by_option.data_folder == here.parent / "kept"
    assert by_option.found_data_folder.reason == "named by --data-dir"
    assert load({"data_dir": "~/kept"}).data_folder == tmp_path / "home" / "kept"


def test_a_named_settings_file_is_taken_with_the_data_folder_beside_it(
    here: Path, tmp_path: Path
) -> None:
    file = tmp_path / "elsewhere" / "some.yaml"
    file.parent.mkdir()
    file.write_text("rag: {language: es}")
    above = make_data_folder(here.parent)
    assert load_settings(file, {}, {}).data_folder == above
    beside = make_data_folder(file.parent)
    assert load_settings(file, {}, {}).data_folder == beside


def test_relative_paths_start_at_the_folder_that_holds_the_data_folder(here: Path) -> None:
    top = make_data_folder(here.parent).parent
    settings = load(
        {
            "rag.vectordb.uri": "./rag-output.db",
            "catalog.url": "sqlite:///ledger.db?timeout=5",
            "database.url": "sqlite:///service/own.db",
            "server.spool": "uploads",
            "server.folder": "../shared",
            "chat.logs_dir": "logs",
            "mail.passwords_file": "passwords.json",
        }
    )
    assert settings.store_uri == str(top / "rag-output.db")
    assert settings.catalog_url == f"sqlite:///{top}/ledger.db?timeout=5"
    assert settings.database_url == f"sqlite:///{top}/service/own.db"
    assert settings.spool_uri == str(top / "uploads")
    assert settings.folder == top / "../shared"
    assert settings.chat_logs_dir == top / "logs"
    assert settings.mail_passwords_file == top / "passwords.json"


def test_a_model_folder_is_found_there_and_a_name_of_the_hub_stays(here: Path) -> None:
    top = make_data_folder(here.parent).parent
    (top / "models" / "mine").mkdir(parents=True)
    (top / "models" / "mine" / "config.json").touch()
    assert load().model_name("models/mine") == str(top / "models" / "mine")
    assert load().model_name("acme/encoder") == "acme/encoder"


def test_the_data_folder_stays_when_the_working_directory_changes(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load({"rag.vectordb.uri": "index"})
    monkeypatch.chdir("/")
    assert settings.data_folder == here / "kvasir-data"
    assert settings.store_uri == str(here / "index")
    derived = derive_settings(settings, {"rag.language": "es"})
    assert (derived.data_folder, derived.store_uri) == (settings.data_folder, settings.store_uri)


def test_one_index_has_one_owner_by_whatever_path_it_is_reached(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_data_folder(here)
    (tmp_path / "link").symlink_to(here)
    linked = load({"data_dir": str(tmp_path / "link" / "kvasir-data")})
    assert index_of(linked) == index_of(load())
    remote = {"catalog.url": "postgresql://kvasir@db/kvasir", "data_dir": str(folder)}
    before = index_of(load(remote))
    monkeypatch.chdir("/")
    assert index_of(load(remote)) == before


def test_without_a_home_folder_it_is_in_the_working_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder.platformdirs, "user_data_path", lambda *_, **__: "~/kvasir")
    assert load().data_folder == here / "kvasir-data"
    assert "no home folder" in load().found_data_folder.reason


def test_a_removed_working_directory_is_no_obstacle_where_it_is_not_needed(
    here: Path, tmp_path: Path
) -> None:
    here.rmdir()
    assert load({"data_dir": str(tmp_path)}).data_folder == tmp_path
    assert load().data_folder == tmp_path / "xdg" / "kvasir"
    with pytest.raises(SettingsError, match="the working directory was removed"):
        load({"data_dir": "kept"})
