"""``kvasir services`` without its extra, and without services."""

import pytest
from click.testing import CliRunner

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


class TurnedOff:
    """A starter whose settings turn index off after the first look, while its worker ends."""

    def __init__(self):
        self.looks = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def restart(self, services):
        pass

    def stop(self, services):
        pass

    def scale(self, service, workers):
        pass

    def status(self):
        self.looks += 1
        ending = {"name": "index worker 1", "state": "ending", "deaths_in_a_row": 0}
        index = {"name": "index", "workers": [ending], "is_on": self.looks == 1, "wanted": 1,
                 "is_replacing": False}  # fmt: skip
        return {"services": [{"groups": [index] if self.looks < 3 else []}]}


@pytest.fixture
def turned_off(monkeypatch, tmp_path):
    client = TurnedOff()
    monkeypatch.setattr(service_control, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(service_control, "_client", lambda settings: client)
    (tmp_path / "ragq.yml").write_text("index: {}\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    return client


def test_a_service_that_the_settings_turn_off_counts_as_stopped(turned_off):
    done = CliRunner().invoke(service_control.stop, ["index"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "index: stopped" in done.output
    assert turned_off.looks == 3


@pytest.mark.parametrize("arguments", [["restart", "index"], ["scale", "index", "2"]])
def test_a_service_that_the_settings_turn_off_is_not_changed(turned_off, arguments):
    command = getattr(service_control, arguments[0])
    done = CliRunner().invoke(command, arguments[1:])
    assert isinstance(done.exception, ComponentError)
    assert str(done.exception) == ("index: changing failed: the service was turned off meanwhile")
