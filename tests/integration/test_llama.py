"""A language model in the process, and llama.cpp's own server: a real model on every path.

SmolLM2-135M writes fluent nonsense, so the tests hold what is done with its text, not what it says.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from click.testing import CliRunner
from gguf_files import LANGUAGE_MODEL, gguf_bytes

import kvasir
from kvasir.answering.prompts import PromptBuilder, prompt_counter, prompt_room
from kvasir.core import registry
from kvasir.core.deadline import deadline, stopping
from kvasir.core.errors import (
    ComponentError,
    DeadlineExceededError,
    ModelNotFoundError,
    SettingsError,
    StoppedError,
)
from kvasir.core.run import Run, StopToken
from kvasir.core.types import Finished, Message, Prompt, Retrieved, Stage
from kvasir.frontends.cli.main import cli
from kvasir.settings.loading import load_settings

pytest.importorskip("xllamacpp", reason="the extra 'llama' is not installed")

from kvasir.components.generators import llama

pytestmark = pytest.mark.xdist_group("llama")

STOPPED_WITHIN = 10.0
"""Seconds that a loaded machine may take; the figure itself is printed."""
OPTIONS = {"max_tokens": 8, "context_window": 1024, "threads": 1}
NOTES = {
    "tea.md": "# Tea\n\nGreen tea is brewed at 80 degrees for two minutes. Black tea needs four.\n",
    "moon.md": "# Moon\n\nThe Moon orbits the Earth at a distance of 384,400 kilometres.\n",
}


def talk(text):
    return Prompt(text, (), (Message("user", text),))


def make(model, **options):
    options = {"model": model} | OPTIONS | options
    return registry.build("generators", "llama", options)


@pytest.fixture(scope="module")
def talker(small_model):
    """A loaded model that writes up to 800 tokens, for one answer at a time."""
    generator = make(small_model, max_tokens=800, context_window=4096, parallel=1)
    generator.prepare(Run())
    yield generator
    generator.close()


def seconds_to_first_token(generator):
    started = time.monotonic()
    pieces = generator.generate(talk("Hello!"))
    next(pieces)
    pieces.close()
    return time.monotonic() - started


def test_a_closed_answer_ends_the_generation(talker, capsys):
    pieces = talker.generate(talk("Count from one to one thousand."))
    for _ in range(3):
        next(pieces)
    started = time.monotonic()
    pieces.close()
    # The only slot is free for the next answer as soon as this one has ended.
    seconds_to_first_token(talker)
    seconds = time.monotonic() - started
    with capsys.disabled():
        print(f"\n[stopped, and the next first token after {seconds:.2f} s]")
    assert seconds < STOPPED_WITHIN


@pytest.mark.parametrize("ends", ["stopped", "deadline"])
def test_a_prompt_that_is_still_read_can_be_given_up(talker, ends):
    long = talk(" ".join(f"word{number}" for number in range(900)))
    stop = StopToken()
    with ThreadPoolExecutor(1) as pool, stopping(stop):
        if ends == "stopped":
            pool.submit(lambda: (time.sleep(0.2), stop.set()))
        started = time.monotonic()
        with (
            deadline(0.3 if ends == "deadline" else None),
            pytest.raises((StoppedError, DeadlineExceededError)),
        ):
            for _ in talker.generate(long):
                pass
        assert time.monotonic() - started < STOPPED_WITHIN
    started = time.monotonic()
    seconds_to_first_token(talker)
    assert time.monotonic() - started < STOPPED_WITHIN


def test_tokens_are_counted_as_the_model_reads_them(llama_server, talker):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "诸神 né?"}]
    reply = httpx.post(
        f"{llama_server}/v1/chat/completions",
        json={"messages": messages, "max_tokens": 1},
        timeout=60,
    ).json()
    counted = talker.count_prompt_tokens([Message(**message) for message in messages])
    assert counted == reply["usage"]["prompt_tokens"]


def test_a_conversation_is_cut_to_the_window_by_the_model_s_tokenizer(small_model):
    generator = make(small_model, context_window=256)
    history = [
        Message(role, f"{role} {number}: " + "tea and the Moon " * 3)
        for number in range(20)
        for role in ("user", "assistant")
    ]
    room, count = prompt_room(generator), prompt_counter(generator)
    assert room == 256 - 8
    builder = PromptBuilder("{{context}}{{question}}", system="")
    prompt = builder.build("And then?", (), history=history, room=room, count=count)
    kept = len(prompt.messages) - 1
    assert 0 < kept < len(history)
    assert count(prompt.messages) <= room
    assert count([*history[-kept - 2 :], prompt.messages[-1]]) > room
    assert "".join(generator.generate(prompt)).strip()
    generator.close()


def test_the_window_is_the_smaller_of_the_file_s_and_the_settings(tmp_path):
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf_bytes(LANGUAGE_MODEL | {"llama.context_length": 3000}))
    assert make(str(file), context_window=1024).context_tokens() == 1024
    assert make(str(file), context_window=8192).context_tokens() == 3000


def test_the_text_is_the_same_as_the_server_s(small_model, talker, llama_server):
    """The same model, template and temperature: the way to it must not matter."""
    prompt = talk("What is the Moon?")
    options = {"model": "any", "base_url": llama_server, "max_tokens": 16}
    served = registry.build("generators", "openai", options)
    own = make(small_model, max_tokens=16)
    try:
        assert "".join(own.generate(prompt)) == "".join(served.generate(prompt))
    finally:
        own.close()
        served.close()


def test_a_prompt_longer_than_the_window_is_an_error(small_model):
    generator = make(small_model, context_window=256, max_tokens=64)
    with pytest.raises(ComponentError, match="llama: answering failed") as caught:
        list(generator.generate(talk("word " * 400)))
    assert "context" in str(caught.value)
    generator.close()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"model": ""}, r"generator\.model, a GGUF file"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"parallel": 0}, "parallel must be at least 1"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"timeout": 0.0}, "timeout must be above 0"),
    ],
)
def test_unusable_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        make(**{"model": "m"} | options)


def test_a_model_larger_than_the_memory_is_not_loaded(small_model, monkeypatch):
    monkeypatch.setattr(llama, "available_memory", lambda: 200 << 20)
    generator = make(small_model)
    with pytest.raises(ComponentError, match=r"about 3\d\d MB of memory.*200 MB are free") as said:
        generator.prepare(Run())
    assert "context_window" in str(said.value)
    generator.close()


def test_a_file_that_llama_cpp_cannot_load_is_named(tmp_path, capfd):
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf_bytes())
    generator = make(str(file))
    with pytest.raises(ComponentError, match=r"cannot load .*m\.gguf: the file is damaged, or"):
        generator.prepare(Run())
    generator.close()
    assert capfd.readouterr() == ("", "")


def test_a_model_that_is_not_here_says_how_to_fetch_it(tmp_path):
    generator = make("acme/talker", data_dir=tmp_path)
    with pytest.raises(ModelNotFoundError, match="no language model 'acme/talker' is here"):
        generator.prepare(Run())
    assert not list(tmp_path.iterdir())


def test_a_closed_model_leaves_nothing_behind(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(llama.tempfile, "tempdir", str(tmp_path))
    generator = make(small_model)
    generator.prepare(Run())
    ((folder,), mode) = tmp_path.iterdir(), 0o777
    assert folder.stat().st_mode & mode == 0o700
    generator.close()
    assert not list(tmp_path.iterdir())


def test_a_temporary_folder_too_deep_for_a_socket_costs_no_answer(
    small_model, tmp_path, monkeypatch
):
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    monkeypatch.setattr(llama.tempfile, "tempdir", str(deep))
    generator = make(small_model, max_tokens=2)
    *_, end = generator.generate(talk("Hello!"))
    assert end.reason == "length"
    address = generator._loaded.get()._base_url
    assert httpx.get(f"{address}/models", timeout=60).status_code == 401
    generator.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    with kvasir.open(data_dir=folder / "data") as collection:
        collection.ingest(*kvasir.files(folder / "tea.md", folder / "moon.md"))
    return folder


def settings(library, small_model, **more):
    values = {
        "data_dir": library / "data",
        "generator.type": "llama",
        "generator.model": small_model,
        "chat.rag.retriever.top_k": 1,
        "generator.options": json.dumps(OPTIONS),
    } | more
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
def run(share_components):
    return lambda *arguments, **options: CliRunner().invoke(cli, list(arguments), **options)


def test_a_question_is_answered_by_the_model(run, library, small_model):
    asked = run("ask", "--json", *settings(library, small_model), "How long is green tea brewed?")
    answer = json.loads(asked.stdout)
    assert answer["text"].strip()
    assert answer["timings"]["generate"] > 0
    assert "Green tea" in answer["hits"][0]["chunk"]["text"]


def test_a_chat_refines_follow_ups_with_the_model(library, small_model, share_components):
    chosen = {
        "data_dir": library / "data",
        "generator.type": "llama",
        "generator.model": small_model,
        "generator.options": OPTIONS,
        "chat.rag.context_refinement.enabled": True,
        "chat.rag.retriever.top_k": 1,
    }
    with kvasir.App(load_settings({}, chosen)) as app, app.collection() as collection:
        conversation, history = app.conversation(lambda: collection), []
        for question in ("How long is green tea brewed?", "And black tea?"):
            events = list(conversation.stream(question, history, rag=True))
            stages = [event.name for event in events if isinstance(event, Stage)]
            assert stages == ["refining", "searching"]
            assert any(isinstance(event, Retrieved) and event.hits for event in events)
            finished = events[-1]
            assert isinstance(finished, Finished)
            assert finished.answer.text.strip()
            history += [Message("user", question), Message("assistant", finished.answer.text)]
        plain = list(conversation.stream("Thanks!", history, rag=False))
        assert plain[-1].answer.text.strip()


def test_the_openai_generator_works_with_a_real_server(llama_server, library, run):
    chosen = {
        "generator.type": "openai",
        "generator.base_url": llama_server,
        "generator.options": json.dumps({"max_tokens": 8, "context_window": 1024}),
    }
    arguments = settings(library, "smollm2", **chosen)
    asked = run("ask", "--json", *arguments, "How long is green tea brewed?")
    assert json.loads(asked.stdout)["text"].strip()
    chatted = run("chat", *arguments, "--no-rag", input="Hello!\n")
    assert chatted.exit_code == 0
    assert chatted.stdout.strip()
