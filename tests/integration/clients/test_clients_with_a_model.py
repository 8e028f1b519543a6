"""Clients of OpenAI's interface and of MCP, with a language model behind the server."""

import time

import anyio
import httpx2
import pytest
from libraries import library
from live_server import TEA, live_server

from kvasir.accounts import passwords
from kvasir.core.services.accounts import Scope
from kvasir.testing.model_server import model_server

openai = library("openai", extra="ragas")
mcp = library("mcp", extra="mcp")
http_client = library("mcp.client.streamable_http")

pytestmark = pytest.mark.xdist_group("clients")

LIMIT = 10.0
"""Seconds until a model stops for which nobody waits: ten times what a quiet machine is allowed."""
QUESTION = "At how many degrees is green tea brewed?"
ANSWER = ["Green tea is brewed ", "at 80 degrees ", "Celsius [", "1]."]


@pytest.fixture(scope="module")
def model():
    with model_server(lambda messages: ANSWER) as model:
        yield model


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    generator = {
        "type": "openai",
        "model": "a-model",
        "base_url": model.base_url,
        "options": {"retries": 0},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_MEMORY_KIB", 64)
        with live_server(tmp_path_factory.mktemp("models"), generator=generator) as server:
            ana = server.add_user("ana", Scope.READ)
            server.add_document("tea", "tea.md", TEA, ana)
            yield server


@pytest.fixture
def ana(server, model):
    model.requests.clear()
    model.broken_off.clear()
    url, key = f"{server.url}/v1", server.keys["ana"]
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
        yield client
    model.script = lambda messages: ANSWER


def ask(client, *earlier, **options):
    messages = [*earlier, {"role": "user", "content": QUESTION}]
    return client.chat.completions.create(model="tea", messages=messages, **options)


def text_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_the_model_reads_the_history_and_the_system_message_as_in_a_chat(model, ana):
    ask(
        ana,
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is black tea brewed?"},
        {"role": "assistant", "content": "At 95 degrees. [1]"},
    )
    [request] = model.requests
    system, *turns, last = request["messages"]
    assert system["content"].startswith("Be brief.\n\n")
    assert "Use only numbers of sources" in system["content"]
    assert turns == [
        {"role": "user", "content": "How is black tea brewed?"},
        {"role": "assistant", "content": "At 95 degrees. [1]"},
    ]
    assert QUESTION in last["content"]
    assert "brewed at 80 degrees Celsius" in last["content"]


def test_the_models_text_streams_in_pieces_with_its_checked_citation(ana):
    chunks = list(ask(ana, stream=True))
    text = text_of(chunks)
    assert text == "Green tea is brewed at 80 degrees Celsius [1]."
    assert sum(bool(choice.delta.content) for c in chunks for choice in c.choices) > 1
    [cited] = next(c.kvasir for c in chunks if getattr(c, "kvasir", None))["citations"]
    assert text[cited["start_index"] : cited["end_index"]] == "[1]"
    assert cited["checked"]
    assert cited["quote"] in TEA


def test_a_marker_of_no_source_reaches_neither_text_nor_annotations(model, ana):
    model.script = lambda messages: ["Green tea is brewed at 80 degrees [1] [9]."]
    completion = ask(ana)
    assert "[9]" not in completion.choices[0].message.content
    assert len(completion.choices[0].message.annotations) == 1
    assert completion.kvasir["removed_citations"] == 1


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\r\n", "\u2029", "é😀"])
def test_every_character_of_an_answer_survives_the_stream(server, model, ana, character):
    model.script = lambda messages: [f"Green tea{character}is brewed at 80 degrees [1]."]
    chunks = list(ask(ana, stream=True))
    assert text_of(chunks) == f"Green tea{character}is brewed at 80 degrees [1]."
    answer_id = chunks[0].id.removeprefix("chatcmpl-")
    [kept] = [e for e in server.app.services.answer_log.export() if e.id == answer_id]
    assert kept.answer == text_of(chunks)


def test_a_model_that_fails_at_once_is_a_server_error(server, model, ana):
    def broken(messages):
        raise OSError

    model.script = broken
    logged = len(list(server.app.services.answer_log.export()))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(ana)
    assert caught.value.type == "server_error"
    assert len(list(server.app.services.answer_log.export())) == logged


def test_a_model_that_fails_within_an_answer_ends_the_stream_with_an_error(server, model, ana):
    def broken(messages):
        yield "Green tea is brewed "
        raise OSError

    model.script = broken
    received = []
    logged = len(list(server.app.services.answer_log.export()))
    with pytest.raises(openai.APIError, match="the service has a fault"):
        for chunk in ask(ana, stream=True):
            received.append(chunk)
    assert text_of(received).startswith("Green tea")
    assert received[-1].choices[0].finish_reason is None
    assert len(list(server.app.services.answer_log.export())) == logged


def endless(messages):
    while True:
        yield "Green tea is brewed at 80 degrees. "
        time.sleep(0.01)


def test_a_client_that_leaves_stops_the_model_soon(model, ana):
    model.script = endless
    with ask(ana, stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    assert model.broken_off.wait(LIMIT)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_of_mcp_that_leaves_stops_the_model_soon(server, model, ana, mode):
    model.script = endless

    async def ask_and_leave():
        headers = {"x-api-key": server.keys["ana"]}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = http_client.streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with (
                mcp.Client(transport, mode=mode) as client,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(client.call_tool, "ask", {"question": QUESTION})
                while not model.requests:
                    await anyio.sleep(0.01)
                tasks.cancel_scope.cancel()

    anyio.run(ask_and_leave)
    assert model.broken_off.wait(LIMIT)


def test_an_answer_by_mcp_streams_from_the_model_and_is_checked(server, ana):
    async def ask_by_mcp():
        headers = {"x-api-key": server.keys["ana"]}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = http_client.streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with mcp.Client(transport) as client:
                return await client.call_tool("ask", {"question": QUESTION})

    answer = anyio.run(ask_by_mcp).structured_content
    assert answer["answer"] == "".join(ANSWER)
    assert [each["checked"] for each in answer["citations"]] == [True]
