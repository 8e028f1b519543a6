"""The record of the process that serves an index."""

import pytest

from kvasir.core.errors import StoreLockedError
from kvasir.frontends.api import owner
from kvasir.frontends.api.owner import check_no_owner, owned
from kvasir.settings.schema import Settings
from kvasir.sharing import owner_of


def test_an_embedded_index_is_served_by_one_process(tmp_path, monkeypatch):
    settings = Settings(data_dir=tmp_path / "kvasir-data")
    with owned(settings) as (record, listeners):
        assert owner_of(settings) == record and record.token
        assert len(listeners) == 1
        monkeypatch.setattr(owner.os, "getpid", lambda: record.pid + 1)
        with pytest.raises(StoreLockedError, match=f"process {record.pid}"):
            check_no_owner(settings)
    assert owner_of(settings) is None


def test_an_index_in_a_database_server_is_served_by_several(tmp_path, monkeypatch):
    vectordb = {"type": "qdrant-server", "uri": "http://127.0.0.1:6333"}
    settings = Settings(data_dir=tmp_path / "kvasir-data", rag={"vectordb": vectordb})
    with owned(settings) as (first, _):
        monkeypatch.setattr(owner.os, "getpid", lambda: first.pid + 1)
        check_no_owner(settings)
        with owned(settings) as (second, listeners):
            assert not second.token and not listeners
        assert owner_of(settings) == first
    assert owner_of(settings) is None
