"""Every generator keeps the contract; the two that talk to servers also fail well."""

import itertools
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import chat_servers
import pytest
from free_ports import free_port

from kvasir.answering.prompts import prompt_room
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.components.generators.huggingface import HuggingFaceGenerator
from kvasir.components.generators.ollama import OllamaGenerator
from kvasir.components.generators.openai import OpenAIGenerator
from kvasir.core import registry
from kvasir.core.deadline import deadline
from kvasir.core.errors import (
    ComponentError,
    DeadlineExceededError,
    ModelNotFoundError,
    SettingsError,
    StoppedError,
)
from kvasir.core.pieces import CutReason
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.types import Message, Prompt
from kvasir.testing.fakes import FakeEmbedder, FakeGenerator
from kvasir.testing.generators import QUESTION, GeneratorContract, make_prompt

KINDS = {
    "openai": OpenAIGenerator,
    "ollama": OllamaGenerator,
    "huggingface": HuggingFaceGenerator,
}
PATHS = {
    "openai": "/v1/chat/completions",
    "ollama": "/api/chat",
    "huggingface": "/v1/chat/completions",
}


@pytest.fixture
def script():
    return chat_servers.Script()


@pytest.fixture
def address(script):
    with chat_servers.serving(script) as url:
        yield url


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def make(kind, address):
    made = []

    def make(kind=kind, **options):
        options = {"model": "small", "base_url": address, "backoff": 0.0} | options
        made.append(registry.build("generators", kind, options))
        return made[-1]

    yield make
    for generator in made:
        generator.close()


class TestExtractive(GeneratorContract):
    @pytest.fixture
    def generator(self):
        return ExtractiveGenerator(FakeEmbedder(), Bm25Analyzer())


class TestFake(GeneratorContract):
    @pytest.fixture
    def generator(self):
        return FakeGenerator()


class TestServers(GeneratorContract):
    @pytest.fixture
    def generator(self, make):
        return make()


@pytest.mark.skipif(
    "KVASIR_TEST_OLLAMA_URL" not in os.environ,
    reason="KVASIR_TEST_OLLAMA_URL names no Ollama server",
)
class TestOllamaServer(GeneratorContract):
    """A real server; KVASIR_TEST_OLLAMA_MODEL is a model that it has."""

    @pytest.fixture(scope="class")
    def generator(self):
        model = os.environ.get("KVASIR_TEST_OLLAMA_MODEL", "qwen3:0.6b")
        options = {"model": model, "base_url": os.environ["KVASIR_TEST_OLLAMA_URL"]}
        made = registry.build("generators", "ollama", options)
        yield made
        made.close()


@pytest.fixture(scope="module")
def talker(small_model):
    """A small language model in the process."""
    # It cites nothing unasked.
    cited = r'root ::= [^.[]+ ". [" [1-2] "]"'
    options = {"model": small_model, "max_tokens": 32, "context_window": 1024, "threads": 1}
    generator = registry.build("generators", "llama", options | {"grammar": cited})
    yield generator
    generator.close()


@pytest.mark.xdist_group("llama")
class TestLlama(GeneratorContract):
    @pytest.fixture
    def generator(self, talker):
        return talker


def answer(generator, prompt=None):
    return "".join(generator.generate(prompt or make_prompt()))


def test_the_server_is_given_the_messages_and_the_options(kind, make, script):
    prompt = Prompt(
        "q", (), (Message("system", "Be brief."), Message("user", "Wer war Kvasir? ñ智"))
    )
    answer(make(temperature=0.5, max_tokens=77, api_key="secret-key"), prompt)
    ((body, headers),) = script.asked(PATHS[kind])
    assert body["model"] == "small"
    assert body["stream"] is True
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Wer war Kvasir? ñ智"},
    ]
    options = body.get("options", body)
    assert options["temperature"] == 0.5
    assert options.get("max_tokens", options.get("num_predict")) == 77
    assert headers["Authorization"] == "Bearer secret-key"


def test_pieces_are_given_out_as_they_come(make, script):
    script.pieces = ["克瓦希尔", "\u2028", "né", "\x85", "!"]
    assert list(make().generate(make_prompt())) == script.pieces


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_before_the_first_piece(kind, make, script, status):
    script.statuses = [status, status]
    assert answer(make(retries=2)) == "".join(script.pieces)
    assert len(script.asked(PATHS[kind])) == 3


def test_a_server_that_stays_busy_is_named_with_its_reason(make, script, address):
    script.statuses, script.error = [503] * 9, "model is overloaded"
    with pytest.raises(ComponentError, match="model is overloaded") as caught:
        answer(make(retries=1))
    assert address in str(caught.value)


def test_a_stream_that_breaks_is_an_error_and_never_repeated(kind, make, script):
    script.break_after = 4
    received = []
    with pytest.raises(ComponentError, match="broke off in the middle"):
        received.extend(iter_into(make().generate(make_prompt()), received))
    assert received
    assert len(script.asked(PATHS[kind])) == 1


def iter_into(pieces, received):
    for piece in pieces:
        received.append(piece)
    return []


def test_an_answer_without_its_end_mark_is_an_error(make, script):
    script.end_mark = False
    with pytest.raises(ComponentError, match="without its end mark"):
        answer(make())


def test_a_refused_key_says_what_to_set_and_never_shows_the_key(make, script):
    script.statuses, script.error = [401], "Incorrect key provided: secret-key"
    with pytest.raises(SettingsError, match=r"generator\.api_key") as caught:
        answer(make(api_key="secret-key"))
    assert "secret-key" not in str(caught.value)


def test_a_key_in_a_server_s_message_is_blotted_out(make, script):
    script.statuses, script.error = [400], "bad request by secret-key"
    with pytest.raises(ComponentError, match=r"bad request by \*\*\*"):
        answer(make(api_key="secret-key"))


def test_an_unknown_model_says_so(kind, make, script):
    script.statuses, script.missing = [404], True
    with pytest.raises(ModelNotFoundError, match=r"model"):
        answer(make())


def test_a_server_that_is_not_there_is_named_with_what_to_do(kind):
    url = f"http://127.0.0.1:{free_port()}"
    generator = KINDS[kind](model="small", base_url=url, backoff=0.0, retries=1)
    with pytest.raises(ComponentError, match="nothing answers there; start") as caught:
        answer(generator)
    generator.close()
    assert url in str(caught.value)


def test_a_silent_server_is_given_up(make, script):
    script.delay = 0.5
    with pytest.raises(ComponentError, match="no answer in time"):
        answer(make(timeout=0.1, retries=0))


def test_a_malformed_event_is_an_error(kind, make, script):
    script.raw_lines = ["{broken"] if kind == "ollama" else ["data: {broken"]
    with pytest.raises(ComponentError, match="malformed"):
        answer(make())


ODD = (
    "[]",
    "null",
    '"text"',
    "{}",
    '{"choices": []}',
    '{"choices": {}}',
    '{"choices": [null]}',
    '{"choices": "text"}',
    '{"choices": [{"delta": "text"}]}',
    '{"choices": [{"message": [1]}]}',
    '{"choices": [{"message": {"content": 7}}]}',
    '{"choices": [{"delta": {"refusal": ["no"]}}]}',
    '{"message": "text"}',
    '{"message": [1]}',
)
"""Replies of status 200 that are no answer."""


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reply", ODD)
def test_a_reply_of_another_form_is_an_error(kind, make, script, reply, stream):
    script.raw_lines = [reply if kind == "ollama" or not stream else f"data: {reply}"]
    with pytest.raises(ComponentError, match="answering failed"):
        answer(make(**({"stream": stream} if kind == "huggingface" else {})))


@pytest.mark.parametrize("kind", ["huggingface"], indirect=True)
@pytest.mark.parametrize("task", ["text-generation", "text2text-generation"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reply", [*ODD, "[{}]", "[7]", '{"token": "text"}'])
def test_a_reply_of_another_form_to_a_text_is_an_error(make, script, reply, stream, task):
    script.raw_lines = [f"data: {reply}" if stream else reply]
    with pytest.raises(ComponentError, match="answering failed"):
        answer(make(task=task, stream=stream))


@pytest.mark.parametrize("kind", ["ollama"], indirect=True)
@pytest.mark.parametrize("reply", [{"model_info": [1]}, {"model_info": "text"}])
def test_properties_of_another_form_are_an_error(make, script, reply):
    script.properties = reply
    with pytest.raises(ComponentError, match="reading the model's properties failed"):
        answer(make())


def test_an_error_inside_the_stream_is_an_error(kind, make, script):
    line = '{"error": {"message": "out of memory"}}'
    script.raw_lines = [line if kind == "ollama" else f"data: {line}"]
    with pytest.raises(ComponentError, match="out of memory"):
        answer(make())


CUT = {"length": CutReason.LENGTH, "content_filter": CutReason.CONTENT_FILTER, "stop": None}


@pytest.mark.parametrize("finish_reason", CUT)
def test_a_text_that_was_cut_says_so_at_its_end(make, script, finish_reason):
    script.finish_reason = finish_reason
    *pieces, last = make().generate(make_prompt())
    assert "".join([*pieces, last]) == "".join(script.pieces)
    assert getattr(last, "reason", None) == CUT[finish_reason]


def test_an_error_of_a_busy_server_in_the_first_event_is_tried_again(kind, make, script):
    line = '{"error": {"message": "overloaded", "code": 502}}'
    script.raw_lines = [line if kind == "ollama" else f"data: {line}"]
    with pytest.raises(ComponentError, match="overloaded") as caught:
        answer(make(retries=2))
    assert caught.value.kind == "busy"
    assert len(script.asked(PATHS[kind])) == 3


def delta(content, **more):
    return "data: " + json.dumps({"choices": [{"delta": {"content": content}}], **more})


WHOLE = {"choices": [{"message": {"role": "assistant", "content": "It is 7."}}]}
PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "It is 7."},
]


@pytest.mark.parametrize(
    "lines",
    [
        [delta("It is 7.", error=None), "data: [DONE]"],
        ["event: message", delta("It is", error=None), "id: 3", delta(" 7."), "data: [DONE]"],
        [delta(PARTS), "data: [DONE]"],
        ["\ufeff" + delta("It is 7."), "data: [DONE]"],
        [json.dumps(WHOLE)],
        json.dumps(WHOLE, indent=1).splitlines(),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_valid_stream_is_read(address, script, lines, line_end):
    script.raw_lines, script.line_end = lines, line_end
    generator = OpenAIGenerator("small", address)
    assert answer(generator) == "It is 7."
    generator.close()


def test_parts_of_a_content_are_read_at_a_hugging_face_endpoint(address, script):
    script.raw_lines = [delta(PARTS), 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}']
    assert answer(HuggingFaceGenerator(base_url=address)) == "It is 7."


def test_a_refusal_of_the_model_is_its_last_piece(address, script):
    parts = [{"delta": {"refusal": text}} for text in ("I cannot ", "help.")]
    lines = ["data: " + json.dumps({"choices": [part]}) for part in parts]
    script.raw_lines = [*lines, "data: [DONE]"]
    generator = OpenAIGenerator("small", address)
    (piece,) = generator.generate(make_prompt())
    assert (piece, piece.reason) == ("I cannot help.", CutReason.REFUSAL)
    generator.close()


@pytest.mark.parametrize(
    ("lines", "media_type", "location", "cause"),
    [
        (["<html>Bad gateway</html>"], "text/html; charset=utf-8", "", "web page"),
        ([], "text/event-stream", "/v2/chat", "redirects to /v2/chat"),
        (["event: error", 'data: {"message": "boom"}'], "text/event-stream", "", "boom"),
        (["no json"], "text/plain", "", "malformed"),
        (["data: [1]"], "text/event-stream", "", "malformed"),
        ([delta(7)], "text/event-stream", "", "malformed"),
    ],
)
def test_a_reply_that_is_no_stream_is_named(address, script, lines, media_type, location, cause):
    script.raw_lines, script.media_type, script.location = lines, media_type, location
    generator = OpenAIGenerator("small", address)
    with pytest.raises(ComponentError, match=cause):
        answer(generator)
    generator.close()


def test_a_hugging_face_endpoint_without_a_stream_is_named(address, script):
    script.raw_lines = [json.dumps(WHOLE)]
    with pytest.raises(ComponentError, match=r"options\.stream"):
        answer(HuggingFaceGenerator(base_url=address))


OLD = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
ONE = "Unsupported value: 'temperature' does not support 0. Only the default (1) is supported."
NEW = "'max_completion_tokens' is not supported."


@pytest.mark.parametrize(
    ("unsupported", "limit", "has_temperature"),
    [
        ({"max_tokens": OLD}, "max_completion_tokens", True),
        ({"temperature": ONE}, "max_tokens", False),
        ({"temperature": ONE, "max_tokens": OLD}, "max_completion_tokens", False),
        ({"max_tokens": OLD, "temperature": OLD}, "max_completion_tokens", False),
        ({"max_tokens": OLD, "max_completion_tokens": NEW}, "", True),
    ],
)
def test_a_parameter_that_the_server_does_not_support_is_left_out(
    address, script, unsupported, limit, has_temperature
):
    script.unsupported = unsupported
    generator = OpenAIGenerator("small", address, max_tokens=9)
    assert answer(generator) == "".join(script.pieces)
    first = len(script.requests)
    assert answer(generator) == "".join(script.pieces)
    assert len(script.requests) == first + 1
    body = script.requests[-1][1]
    limits = {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body}
    assert limits == ({limit: 9} if limit else {})
    assert ("temperature" in body) == has_temperature
    generator.close()


def test_two_first_requests_at_once_leave_out_the_named_parameter_alone(address, script):
    script.unsupported = {"max_tokens": OLD}
    generator = OpenAIGenerator("small", address, max_tokens=9)
    post, both = generator._post, threading.Barrier(2, timeout=20)

    def at_once(path, body, operation):
        if "max_tokens" in body:
            both.wait()
        return post(path, body, operation)

    generator._post = at_once
    with ThreadPoolExecutor(2) as pool:
        said = [pool.submit(answer, generator) for _ in range(2)]
        assert [each.result() for each in said] == ["".join(script.pieces)] * 2
    answer(generator)
    body = script.requests[-1][1]
    assert body["max_completion_tokens"] == 9 and "temperature" in body
    generator.close()


def test_an_error_about_a_parameter_s_value_is_not_hidden(address, script):
    message = "max_tokens is too large: 9. This model supports at most 5 completion tokens."
    script.unsupported = {"max_tokens": message}
    generator = OpenAIGenerator("small", address, max_tokens=9)
    with pytest.raises(ComponentError, match="too large"):
        answer(generator)
    assert len(script.requests) == 1
    generator.close()


def test_settings_leave_parameters_out(address, script):
    options = {"temperature": None, "max_tokens_parameter": "max_completion_tokens"}
    generator = OpenAIGenerator("small", address, **options)
    answer(generator)
    body = script.requests[-1][1]
    assert "temperature" not in body and "max_tokens" not in body
    assert body["max_completion_tokens"] == 1024
    generator.close()


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("openai", {}, "generator.model"),
        ("openai", {"model": "m"}, "generator.base_url"),
        ("openai", {"model": "m", "base_url": "localhost:1"}, "http://"),
        ("ollama", {}, "generator.model"),
        ("ollama", {"model": "m", "timeout": 0}, "timeout"),
        ("ollama", {"model": "m", "context_window": 0}, "context_window"),
        ("ollama", {"model": "m", "max_tokens": -1}, "max_tokens"),
        ("openai", {"model": "m", "base_url": "http://localhost:1", "max_tokens": 0}, "max_tokens"),
        (
            "openai",
            {"model": "m", "base_url": "http://localhost:1", "max_tokens_parameter": "most"},
            "max_tokens_parameter",
        ),
        ("huggingface", {}, "generator.base_url"),
        ("huggingface", {"model": "m", "task": "poetry"}, "text2text-generation"),
        ("huggingface", {"model": "m", "provider": "nobody"}, "nobody"),
    ],
)
def test_missing_and_unusable_settings_are_named(kind, options, named):
    with pytest.raises(SettingsError, match=named):
        registry.build("generators", kind, options)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_openai_s_v1_may_be_left_out(address, script, suffix):
    generator = OpenAIGenerator(model="small", base_url=address + suffix)
    answer(generator)
    generator.close()
    assert script.requests[0][0] == "/v1/chat/completions"


def test_ollama_s_window_is_the_smaller_of_model_and_settings(address, script):
    small = OllamaGenerator(model="small", base_url=address, context_window=2048)
    large = OllamaGenerator(model="small", base_url=address, context_window=100_000)
    assert small.context_tokens() == 2048
    assert large.context_tokens() == script.context_length
    answer(large)
    assert script.asked("/api/chat")[-1][0]["options"]["num_ctx"] == script.context_length
    small.close()
    large.close()


def test_ollama_pulls_a_missing_model_when_asked_to(address, script):
    script.missing = True
    generator = OllamaGenerator(model="small", base_url=address, pull=True)
    assert answer(generator) == "".join(script.pieces)
    generator.close()
    assert script.asked("/api/pull")[0][0]["model"] == "small"


def test_ollama_does_not_pull_unasked_and_says_how(address, script):
    script.missing = True
    generator = OllamaGenerator(model="small", base_url=address)
    with pytest.raises(ModelNotFoundError, match="ollama pull small"):
        answer(generator)
    generator.close()
    assert not script.asked("/api/pull")


def test_pulling_reports_its_progress(address):
    generator = OllamaGenerator(model="small", base_url=address)
    heard = []
    generator.pull(Run(progress=heard.append))
    generator.close()
    assert Progress("download", 50, 100, "bytes", item="downloading") in heard
    assert heard[-1] == Progress("download", 1, 1, "bytes", item="success")


def test_pulling_is_stopped(address):
    generator = OllamaGenerator(model="small", base_url=address)
    stop, heard = StopToken(), []

    def progress(event):
        heard.append(event.item)
        stop.set()

    with pytest.raises(StoppedError):
        generator.pull(Run(stop, progress))
    generator.close()
    assert heard == ["pulling manifest"]


def test_closing_in_the_middle_closes_the_connection(make, script):
    script.pieces = itertools.repeat("word ")
    pieces = make().generate(make_prompt())
    assert [next(pieces), next(pieces)] == ["word ", "word "]
    assert not script.client_left.is_set()
    pieces.close()
    assert script.client_left.wait(60)
    assert list(pieces) == []


@pytest.mark.parametrize("hangs", ["at once", "in the middle", "with a word at a time"])
def test_a_server_is_left_when_time_is_up(make, script, hangs):
    def slowly():
        yield "word "
        for _ in range(200):
            time.sleep(20.0 if hangs == "in the middle" else 0.1)
            yield "word "

    script.pieces = slowly()
    script.delay = 20.0 if hangs == "at once" else 0.0
    generator = make()
    started = time.monotonic()
    with deadline(0.5), pytest.raises(DeadlineExceededError) as caught:
        answer(generator)
    assert time.monotonic() - started < 5.0
    assert caught.value.code == "deadline_exceeded"


def test_a_deadline_does_not_wait_for_another_try(make, script):
    script.statuses = [503] * 3
    started = time.monotonic()
    with deadline(0.5), pytest.raises(DeadlineExceededError):
        answer(make(backoff=20.0))
    assert time.monotonic() - started < 5.0


def test_two_threads_that_need_the_model_pull_it_once_and_neither_fails(script, address):
    script.missing, script.pull_gate = True, threading.Event()
    generator = OllamaGenerator(model="small", base_url=address, pull=True)
    seen = []
    with ThreadPoolExecutor(3) as pool:
        waiting = [
            pool.submit(generator.prepare, Run(progress=seen.append)),
            pool.submit(generator.prepare, Run()),
        ]
        assert script.pulling.wait(60)
        with pytest.raises(ComponentError, match=r"'small' is being fetched") as caught:
            while True:
                answer(generator)
        assert caught.value.kind == "busy"
        script.pull_gate.set()
        for each in waiting:
            each.result(60)
    assert len(script.asked("/api/pull")) == 1
    assert ("downloading", 50, 100) in [(each.item, each.done, each.total) for each in seen]
    assert answer(generator) == "".join(script.pieces)
    generator.close()


def test_a_model_that_is_there_is_not_pulled(script, address):
    generator = OllamaGenerator(model="small", base_url=address, pull=True)
    generator.prepare(Run())
    assert script.asked("/api/pull") == []
    assert generator.context_tokens() == script.context_length
    generator.close()


class Flan:
    """Replies of an endpoint for text2text-generation or text-generation."""

    @staticmethod
    def whole(script):
        return json.dumps([{"generated_text": "".join(script.pieces)}])

    @staticmethod
    def stream(script):
        last = len(script.pieces) - 1
        for number, piece in enumerate([*script.pieces, "</s>"]):
            token = {"id": number, "text": piece, "logprob": 0.0, "special": number > last}
            text = "".join(script.pieces) if number > last and script.end_mark else None
            event = {"index": number, "token": token, "generated_text": text, "details": None}
            yield "data:" + json.dumps(event)


class TestFlan(GeneratorContract):
    """An encoder-decoder model, which has no chat format and a short window."""

    @pytest.fixture(params=[False, True], ids=["whole", "stream"])
    def generator(self, request, make, script, address):
        script.raw_lines = list(Flan.stream(script)) if request.param else [Flan.whole(script)]
        options = {"task": "text2text-generation", "stream": request.param, "model": ""}
        return make(kind="huggingface", base_url=f"{address}/models/flan-t5", **options)


def test_flan_is_given_one_text_and_its_window_bounds_the_prompt(address, script):
    script.raw_lines = [Flan.whole(script)]
    generator = HuggingFaceGenerator(
        base_url=f"{address}/models/flan-t5",
        api_key="hf_secret",
        task="text2text-generation",
        max_tokens=100,
    )
    assert prompt_room(generator) == 512
    assert answer(generator) == "".join(script.pieces)
    ((path, body, headers),) = script.requests
    assert path == "/models/flan-t5"
    assert QUESTION in body["inputs"]
    assert body["parameters"] == {"max_new_tokens": 100}
    assert headers["Authorization"] == "Bearer hf_secret"


def test_an_endpoint_does_not_get_the_hub_s_token(address, script, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: "hf_of_this_user")
    answer(HuggingFaceGenerator(base_url=address))
    ((_, _, headers),) = script.requests
    assert "hf_of_this_user" not in str(headers)


def test_text_generation_returns_no_prompt_and_may_sample(address, script):
    script.raw_lines = [Flan.whole(script)]
    generator = HuggingFaceGenerator(base_url=address, task="text-generation", temperature=0.5)
    answer(generator)
    parameters = script.requests[0][1]["parameters"]
    assert parameters["return_full_text"] is False
    assert (parameters["do_sample"], parameters["temperature"]) == (True, 0.5)
    assert generator.context_tokens() is None


def test_a_text_stream_that_ends_early_is_an_error(address, script):
    script.end_mark = False
    script.raw_lines = list(Flan.stream(script))
    options = {"task": "text2text-generation", "stream": True}
    with pytest.raises(ComponentError, match="without its end mark"):
        answer(HuggingFaceGenerator(base_url=address, **options))
