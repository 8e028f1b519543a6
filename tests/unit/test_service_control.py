"""``kvasir services`` without its extra, and without services."""

import pytest

from kvasir.core.errors import ComponentError, MissingExtraError
from kvasir.frontends.cli import service_control
from kvasir.settings.schema import Settings
from kvasir.settings.zeromq_schema import IndexSettings


@pytest.fixture
def without_zeromq(monkeypatch):
    def refuse(_):
        raise ModuleNotFoundError("No module named 'zmq'", name="zmq")

    monkeypatch.setattr(service_control.importlib, "import_module", refuse)


@pytest.mark.parametrize(("chroma", "extras"), [(None, "services,chroma"), (object(), "services")])
def test_a_start_without_the_extra_names_all_that_are_missing(
    without_zeromq, monkeypatch, chroma, extras
):
    monkeypatch.setattr(service_control, "find_spec", lambda _: chroma)
    with pytest.raises(MissingExtraError) as raised:
        service_control._load("starter", Settings(index=IndexSettings()))
    said = f"'kvasir services start' needs an optional dependency, the extra '{extras}'"
    assert str(raised.value) == said


def test_that_no_services_run_reads_as_no_failure(tmp_path):
    settings = Settings(data_dir=str(tmp_path))
    with pytest.raises(ComponentError) as raised:
        service_control._client(settings)
    assert str(raised.value).startswith(f"no services run for {settings.data_folder}: ")
    assert raised.value.code == "component_unreachable"


class FailingIndex:
    """A starter whose index dies again and again, while llm has what was asked for."""

    def status(self):
        failing = {"name": "index worker 1", "deaths_in_a_row": 5, "last_end": "status 7"}
        groups = [{"name": "llm", "workers": []}, {"name": "index", "workers": [failing]}]
        self.asked = getattr(self, "asked", 0) + 1
        return {"services": [{"groups": groups}]}


def test_a_command_waits_for_the_services_that_it_names_alone(monkeypatch):
    monkeypatch.setattr(service_control, "_LOOK_SECONDS", 0)
    client = FailingIndex()
    service_control._wait(client, lambda _: client.asked > 2, ["llm"])
    for services in (["index"], []):
        with pytest.raises(ComponentError, match="index worker 1 dies at once"):
            service_control._wait(client, lambda _: False, services)
