"""The official ``openai`` client, unmodified, is a client of Kvasir."""

import base64
import json
import struct

import httpx
import pytest
from libraries import library
from live_server import OWNER

openai = library("openai", extra="ragas")

pytestmark = pytest.mark.xdist_group("clients")

QUESTION = "At how many degrees is green tea brewed?"


@pytest.fixture
def client_of(server):
    def make(name):
        key = server.keys.get(name, name)
        return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)

    return make


@pytest.fixture
def ana(client_of):
    with client_of("ana") as client:
        yield client


def ask(client, content=QUESTION, model="tea", **options):
    message = {"role": "user", "content": content}
    return client.chat.completions.create(model=model, messages=[message], **options)


def logged(server, answer_id):
    [found] = [each for each in server.app.services.answer_log.export() if each.id == answer_id]
    return found


def streamed(client, **options):
    """Return the text, the annotations and the chunks of a stream."""
    chunks = list(ask(client, stream=True, **options))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    text = "".join(delta.content or "" for delta in deltas)
    annotations = [each for delta in deltas for each in getattr(delta, "annotations", None) or ()]
    return text, annotations, chunks


# Chat


def test_a_chat_is_answered_with_citations_at_their_markers(server, ana):
    completion = ask(ana)
    [choice] = completion.choices
    text = choice.message.content
    assert "80 degrees" in text
    assert choice.finish_reason == "stop"
    assert completion.object == "chat.completion"
    assert completion.model == "tea"
    for annotation in choice.message.annotations:
        cited = annotation.url_citation
        assert annotation.type == "url_citation"
        assert text[cited.start_index : cited.end_index].strip("[]").isdigit()
        assert cited.title == "Brewing tea"
        assert cited.url.startswith(f"{server.url}/read/tea/")
    assert len(choice.message.annotations) == len(completion.kvasir["citations"]) > 0


def test_the_address_of_a_citation_opens_for_its_reader_alone(server, ana, client_of):
    url = ask(ana).choices[0].message.annotations[0].url_citation.url
    page = httpx.get(url, headers={"x-api-key": server.keys["ana"]}, timeout=60)
    assert "<mark>Green tea is brewed at 80 degrees" in page.text
    assert httpx.get(url, headers={"x-api-key": server.keys["bob"]}, timeout=60).status_code == 404
    # A person is asked to sign in.
    assert httpx.get(url, timeout=60).headers["Location"].startswith("/sign-in?next=")


def test_quote_offsets_and_check_are_in_an_extra_object(server, ana):
    extra = ask(ana).kvasir
    cited = extra["citations"][0]
    with server.app.collection("tea") as collection:
        text = collection.text(cited["document_id"])
    assert text[cited["start"] : cited["end"]] == cited["quote"]
    assert cited["checked"] is True
    assert cited["page"] is None
    assert extra["refused"] is False


def test_usage_counts_the_messages_and_the_answer(ana):
    usage = ask(ana).usage
    assert usage.prompt_tokens > 8
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_stream_is_the_same_answer_and_is_what_the_log_keeps(server, ana):
    whole = ask(ana).choices[0].message
    text, annotations, chunks = streamed(ana)
    assert text == whole.content
    assert annotations == [each.model_dump() for each in whole.annotations]
    assert logged(server, chunks[0].id.removeprefix("chatcmpl-")).answer == text
    assert len({chunk.id for chunk in chunks}) == 1


def test_each_annotation_is_streamed_once_before_the_end(ana):
    _, annotations, chunks = streamed(ana)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons[-1] == "stop"
    assert set(reasons[:-1]) == {None}
    with_annotations = [
        number
        for number, chunk in enumerate(chunks)
        if getattr(chunk.choices[0].delta, "annotations", None)
    ]
    assert with_annotations == [len(chunks) - 2]
    places = [each["url_citation"]["start_index"] for each in annotations]
    assert len(set(places)) == len(places)


def test_a_stream_ends_with_done(server):
    headers = {"Authorization": f"Bearer {server.keys['ana']}"}
    body = {
        "model": "tea",
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
    }
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0].removeprefix("data: "))["choices"][0]["delta"]["role"] == (
        "assistant"
    )
    assert answer.headers["kvasir-answer"] in events[0]


def test_usage_is_streamed_where_it_is_asked_for(ana):
    chunks = list(ask(ana, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert all(chunk.usage is None for chunk in ask(ana, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_suffix_of_the_model_adds_a_list_of_sources(server, ana, stream):
    if stream:
        text, annotations, chunks = streamed(ana, model="tea:sources")
        answer_id = chunks[0].id.removeprefix("chatcmpl-")
    else:
        completion = ask(ana, model="tea:sources")
        text = completion.choices[0].message.content
        annotations = completion.choices[0].message.model_dump()["annotations"]
        answer_id = completion.kvasir["answer_id"]
    answer, _, listed = text.partition("\n\n- ")
    assert answer == ask(ana).choices[0].message.content
    url = annotations[0]["url_citation"]["url"]
    assert listed == f"[1] [Brewing tea]({url})"
    assert logged(server, answer_id).answer == text


def test_the_conversation_so_far_and_its_system_message_are_accepted(ana):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be polite."}]},
        {"role": "user", "content": "How is black tea brewed?"},
        {"role": "assistant", "content": "At 95 degrees. [1]"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    completion = ana.chat.completions.create(
        model="tea", messages=messages, temperature=0.1, max_tokens=5, user="ana", seed=7
    )
    assert "80 degrees" in completion.choices[0].message.content


def test_without_a_model_thanks_and_follow_ups_are_answered_from_the_conversation(ana):
    messages = [{"role": "user", "content": QUESTION}]
    first = ana.chat.completions.create(model="tea", messages=messages).choices[0].message.content
    messages.append({"role": "assistant", "content": first})
    for said, expected in (("Thanks!", "You are welcome."), ("And black tea?", "95 degrees")):
        asked = [*messages, {"role": "user", "content": said}]
        completion = ana.chat.completions.create(model="tea", messages=asked)
        assert expected in completion.choices[0].message.content


def test_a_question_without_an_answer_is_refused_without_citations(ana):
    completion = ask(ana, "Who won the football world cup?", model="tea:sources")
    assert completion.kvasir["refused"] is True
    assert completion.choices[0].message.annotations == []
    assert "- [1]" not in completion.choices[0].message.content
    assert completion.kvasir["certainty"] == "no"
    for near in completion.kvasir["nearest"]:
        assert near["title"] and near["url"] in completion.choices[0].message.content
    assert 1 <= len(completion.kvasir["nearest"]) <= 3


def test_feedback_on_a_completion_reaches_the_log(server, ana):
    answer_id = ask(ana).kvasir["answer_id"]
    headers = {"x-api-key": server.keys["ana"]}
    rating = {"rating": 1}
    url = f"{server.url}/v1/answers/{answer_id}/feedback"
    assert httpx.post(url, json=rating, headers=headers, timeout=60).status_code == 204
    assert logged(server, answer_id).rating == 1


# Errors


def test_a_wrong_key_is_an_authentication_error(client_of):
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(client_of("wrong"))
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "authentication_error"


@pytest.mark.parametrize("model", ["rockets", "nothing", "rockets:sources", "a:b:c"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_collection_of_another_user_is_an_unknown_model(ana, model, stream):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(ana, model=model, stream=stream)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "tea" not in caught.value.message


@pytest.mark.parametrize("name", [OWNER, "root"])
def test_an_unknown_model_is_unknown_to_administrators_too(client_of, name):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client_of(name), model="nothing")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client_of(name).models.retrieve("nothing")


@pytest.mark.parametrize(
    ("options", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"stop": ["x"]}, "stop", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "unsupported_parameter"),
        ({"modalities": ["audio"]}, "modalities", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"extra_body": {"nonsense": 1}}, "nonsense", "unknown_parameter"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"content": "  "}, "messages[0].content", None),
        ({"content": "?"}, None, None),
        ({"content": "x" * 20_001}, "messages[0].content", "string_above_max_length"),
        (
            {"content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]},
            "messages[0].content[0]",
            "invalid_value",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_by_the_name_of_the_field(ana, options, param, code):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(ana, **options)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert code in (None, caught.value.code)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([{"role": "assistant", "content": "hello"}], "messages[0].role"),
        ([{"role": "king", "content": "hello"}], "messages[0].role"),
    ],
)
def test_a_chat_without_a_last_question_is_refused(ana, messages, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ana.chat.completions.create(model="tea", messages=messages)
    assert caught.value.param == param


def test_a_body_that_is_no_json_is_an_error_of_the_same_form(server):
    headers = {"x-api-key": server.keys["ana"], "content-type": "application/json"}
    answer = httpx.post(
        f"{server.url}/v1/chat/completions", content="{", headers=headers, timeout=60
    )
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_offered_tools_are_not_called(ana):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    completion = ask(ana, tools=[tool], tool_choice="auto")
    assert "80 degrees" in completion.choices[0].message.content


# Embeddings


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_texts_are_embedded_as_documents_are(server, ana, encoding):
    texts = ["green tea", "black tea", "té verde 绿茶"]
    options = {"encoding_format": encoding} if encoding else {}
    found = ana.embeddings.create(model="tea", input=texts, **options)
    expected = server.app.embedder.embed_documents(texts)
    assert [each.index for each in found.data] == [0, 1, 2]
    for each, vector in zip(found.data, expected, strict=True):
        numbers = each.embedding
        if isinstance(numbers, str):
            decoded = base64.b64decode(numbers)
            numbers = struct.unpack(f"<{len(decoded) // 4}f", decoded)
        assert list(numbers) == vector.tolist()
    assert found.model == "fake"
    assert found.usage.total_tokens == found.usage.prompt_tokens > 0


def test_one_text_is_embedded_under_each_name_of_the_embedding_model(server, ana):
    for name in ("fake", server.app.settings.rag.embedding_model.name):
        [only] = ana.embeddings.create(model=name, input="green tea").data
        assert len(only.embedding) == 64
        assert ana.models.retrieve(name).id == name


@pytest.mark.parametrize(
    ("options", "param", "code"),
    [
        ({"dimensions": 8}, "dimensions", "unsupported_parameter"),
        ({"input": ""}, "input[0]", "invalid_value"),
        ({"input": []}, "input", None),
        ({"input": [1, 2, 3]}, "input[0]", "invalid_type"),
        ({"input": ["tea"] * 2049}, "input", None),
        ({"input": "tea " * 300}, "input", "context_length_exceeded"),
        ({"extra_body": {"nonsense": 1}}, "nonsense", "unknown_parameter"),
    ],
)
def test_what_cannot_be_embedded_is_refused(ana, options, param, code):
    with pytest.raises(openai.BadRequestError) as caught:
        ana.embeddings.create(**({"model": "tea", "input": "tea"} | options))
    assert caught.value.param == param
    assert code in (None, caught.value.code)


def test_an_unknown_embedding_model_is_not_found(ana):
    with pytest.raises(openai.NotFoundError):
        ana.embeddings.create(model="text-embedding-3-small", input="tea")


# Models


def test_the_models_are_the_collections_that_the_caller_may_read(server, client_of):
    found = {
        name: [each.id for each in client_of(name).models.list()]
        for name in ("ana", "bob", "nobody", OWNER)
    }
    assert found == {
        "ana": ["tea"],
        "bob": ["rockets"],
        "nobody": [],
        OWNER: ["rockets", "tea"],
    }


def test_a_model_is_shown_by_its_name(ana):
    assert ana.models.retrieve("tea").owned_by == "kvasir"
    assert ana.models.retrieve("tea:sources").id == "tea:sources"
    with pytest.raises(openai.NotFoundError):
        ana.models.retrieve("rockets")


def test_the_address_in_links_is_the_public_one(server, ana, monkeypatch):
    chosen = server.app.settings.server.model_copy(update={"public_url": "https://kb.example.org/"})
    monkeypatch.setattr(
        server.app, "settings", server.app.settings.model_copy(update={"server": chosen})
    )
    url = ask(ana).choices[0].message.annotations[0].url_citation.url
    assert url.startswith("https://kb.example.org/read/tea/")
