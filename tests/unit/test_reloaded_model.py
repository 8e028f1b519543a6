"""Which model a worker of llm starts with, after another one was loaded into running workers."""

import pytest
from libraries import library

from kvasir.core.errors import ComponentError, SettingsError
from kvasir.frontends.cli.service_commands import _Reloading
from kvasir.settings.running_services import FOLDER
from kvasir.settings.schema import Settings
from kvasir.settings.serving import worker_settings
from kvasir.settings.zeromq_schema import LlmSettings

reloading = library("kvasir.remote.zeromq.reloading", needs="zmq", extra="services")


@pytest.fixture
def worker(tmp_path):
    """Starts a worker of llm with some settings."""
    (tmp_path / FOLDER).mkdir()

    def worker(**llm):
        given = Settings(data_dir=str(tmp_path), llm=LlmSettings(**llm))
        return _Reloading(worker_settings(given, "llm"), given)

    return worker


def reload(worker, **files):
    """Write down what was loaded into a running worker."""
    reloading.keeping(worker._folder, worker._of)(reloading.ModelFiles(**files))


def rwkv(**options):
    return {"generator": {"type": "rwkv", "model": "one.pth", "options": options}}


def test_what_was_loaded_is_kept_until_the_settings_name_another_model(worker, tmp_path):
    first = worker(**rwkv())
    reload(first, state="/x.pth")
    assert worker(**rwkv()).settings.generator.options["state"] == "/x.pth"
    other = {"generator": {"type": "rwkv", "model": "two.pth"}}
    assert "state" not in worker(**other).settings.generator.options
    # It does not come back with the settings of before.
    assert "state" not in worker(**rwkv()).settings.generator.options
    assert list((tmp_path / FOLDER).iterdir()) == []


@pytest.mark.parametrize("kind", ["state", "adapter"])
@pytest.mark.parametrize("name", ["/x.pth", ""])
def test_a_state_or_adapter_that_was_loaded_takes_the_place_of_a_folder_of_tuning(
    worker, kind, name
):
    reload(worker(**rwkv(tuned="rounds")), **{kind: name})
    options = worker(**rwkv(tuned="rounds")).settings.generator.options
    assert options == ({kind: name} if name else {})


def test_a_folder_of_tuning_stays_with_another_base(worker):
    reload(worker(**rwkv(tuned="rounds")), base="/two.pth")
    generator = worker(**rwkv(tuned="rounds")).settings.generator
    assert (generator.model, generator.options) == ("/two.pth", {"tuned": "rounds"})


def test_what_the_settings_name_may_be_loaded_again(worker):
    names = {"base_model_file": "/one.pth", "adapter_path": "/own.pth"}
    assert set(worker(**names)._allowed) == {"/one.pth", "/own.pth"}


class _Broker:
    """Three workers, of which the second cannot load the model."""

    def __init__(self, error):
        self._error = error

    def statistics(self):
        services = [f"{reloading.SERVICE}worker {number}" for number in range(3)]
        return {"workers": [{"leaving": False, "services": [each]} for each in services]}

    def call(self, service, operation, arguments, **options):
        if service.endswith("1"):
            raise self._error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ComponentError("rwkv", "loading", "too little memory", kind="timeout"), "timeout"),
        (SettingsError("too little memory"), "failed"),
    ],
)
def test_a_failure_names_the_workers_that_have_the_new_model(error, kind):
    with pytest.raises(ComponentError, match=r"worker 1: .*too little.*; worker 0 have") as failed:
        reloading.reload_workers(_Broker(error), reloading.ModelFiles("new.pth"))
    assert failed.value.kind == kind
