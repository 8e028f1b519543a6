"""``kvasir services reload llm``: another base or state in running workers, from an allow-list."""

import shutil
from contextlib import ExitStack

import pytest
from libraries import library
from small_rwkv import one_thread, random_model, write_model, write_vocabulary
from started_services import StartedServices

from kvasir.core import registry
from kvasir.core.types import Message, Prompt
from kvasir.remote.zeromq.generating import RemoteGenerator

torch = library("torch", extra="torch")
state_files = library("kvasir.rwkv.state_files", "torch", extra="torch")
weights = library("kvasir.rwkv.weights", "torch", extra="torch")

OFF = {"enabled": False}
QUESTION = Prompt("What is it?", (), (Message("user", "What is it?"),))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reload")
    write_vocabulary(folder)
    with one_thread():
        for seed, name in enumerate(("one.pth", "two.pth", "secret.pth")):
            model = random_model(7, vocabulary=257, layers=2, width=64, head_size=32, seed=seed)
            write_model(model, folder / name)
    tensors = {f"blocks.{layer}.att.time_state": 30 * torch.randn(2, 32, 32) for layer in range(2)}
    own = weights.fingerprint(weights.read_weights(folder / "two.pth").tensors)
    state_files.save_time_state(tensors, folder / "state.pth", own)
    return folder


@pytest.fixture(scope="module")
def services(place):
    model = {"type": "rwkv", "model": str(place / "one.pth"), "options": {"max_tokens": 16}}
    names = ["one.pth", "two.pth", "state.pth"]
    llm = {"generator": model, "reloadable": names, "num_workers": 2}
    with StartedServices(place, llm=llm, index=OFF, tuning=OFF) as started:
        yield started.start()


@pytest.fixture
def opened():
    with ExitStack() as stack:
        yield stack


def answers(services, count=4):
    """Returns the different answers of the workers."""
    made = RemoteGenerator(services.address("llm"), keys=str(services.keys))
    found = {"".join(made.generate(QUESTION)) for _ in range(count)}
    made.close()
    return found


def local(place, **options):
    generator = registry.build("generators", "rwkv", {"max_tokens": 16} | options)
    with one_thread():
        found = "".join(generator.generate(QUESTION))
    generator.close()
    return found


def test_base_and_state_are_replaced_and_nothing_else_can_be_loaded(services, place, opened):
    one, two = (local(place, model=str(place / name)) for name in ("one.pth", "two.pth"))
    tuned = local(place, model=str(place / "two.pth"), state=str(place / "state.pth"))
    assert len({one, two, tuned}) == 3
    assert answers(services) == {one}
    # A proxy that was made before hears of each change.
    proxy = RemoteGenerator(services.address("llm"), keys=str(services.keys))
    opened.callback(proxy.close)
    seen = [proxy.model_fingerprint()]
    pids = {each["pid"] for each in services.group("llm")["workers"]}

    reload = ("services", "reload", "llm")
    assert "2 workers have the model" in services.command(*reload, "--base", "two.pth")
    assert answers(services) == {two}
    seen.append(proxy.model_fingerprint())
    services.command(*reload, "--state", "state.pth")
    assert answers(services) == {tuned}
    seen.append(proxy.model_fingerprint())
    assert len(set(seen)) == 3
    assert proxy.model_fingerprint() == seen[-1]

    for name in ("secret.pth", str(place / "secret.pth"), "../two.pth", "; rm -rf"):
        refused = services.command(*reload, "--base", name, check=False)
        assert refused.returncode == 2
        assert "may not be loaded: llm.reloadable has one.pth, state.pth, two.pth" in refused.stderr
    # A state of another base fails, and everything stays as it was.
    failed = services.command(*reload, "--base", "one.pth", check=False)
    assert failed.returncode == 3
    assert "another model" in failed.stderr
    assert answers(services) == {tuned}
    assert {each["pid"] for each in services.group("llm")["workers"]} == pids

    # A worker that starts later has what was loaded last; 'none' takes the state away.
    services.command("services", "restart", "llm")
    assert answers(services) == {tuned}
    services.command(*reload, "--state", "none")
    assert answers(services) == {two}
    shutil.rmtree(place / "kvasir-data" / "rwkv-states", ignore_errors=True)
