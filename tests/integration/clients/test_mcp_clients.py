"""Clients of the Model Context Protocol, of both eras, search and read documents."""

import json
import os
import re
import sys

import anyio
import httpx
import httpx2
import pytest
from libraries import library
from live_server import OWNER, TEA, live_server
from old_mcp import call_by_old_client

from kvasir.app import App
from kvasir.frontends.api.owner import OwnerServer
from kvasir.settings.loading import load_settings

mcp = library("mcp", extra="mcp")
stdio = library("mcp.client.stdio")
http_client = library("mcp.client.streamable_http")

pytestmark = pytest.mark.xdist_group("clients")

QUESTION = "At how many degrees is green tea brewed?"
LEGACY, MODERN = "2025-11-25", "2026-07-28"
TOOLS = ["search", "fetch", "ask", "list_documents"]


def call(server, name, *calls, mode="auto"):
    """Call tools with a user's key; return the protocol's version, the tools and the results."""

    async def run():
        headers = {"Authorization": f"Bearer {server.keys.get(name, name)}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = http_client.streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with mcp.Client(transport, mode=mode) as client:
                listed = await client.list_tools()
                results = [await client.call_tool(*each) for each in calls]
                return client.protocol_version, listed.tools, results

    return anyio.run(run)


def content(result):
    """Return the structured content, which must also be the one text item."""
    assert not result.is_error, result.content
    [item] = result.content
    assert item.type == "text"
    assert json.loads(item.text) == result.structured_content
    return result.structured_content


@pytest.mark.parametrize(("mode", "version"), [("auto", MODERN), ("legacy", LEGACY)])
def test_both_eras_of_the_protocol_are_spoken(server, mode, version):
    spoken, tools, [found] = call(server, "ana", ("search", {"query": QUESTION}), mode=mode)
    assert spoken == version
    assert [tool.name for tool in tools] == TOOLS
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert all(tool.output_schema["type"] == "object" for tool in tools)
    assert content(found)["results"]


def test_search_and_fetch_take_one_text_and_have_the_shapes_that_clients_expect(server):
    _, tools, [found] = call(server, "ana", ("search", {"query": QUESTION}))
    schemas = {tool.name: tool.input_schema for tool in tools}
    for name, argument, *others in (("search", "query", "filters", "explain"), ("fetch", "id")):
        assert schemas[name]["required"] == [argument]
        assert list(schemas[name]["properties"]) == [argument, *others]
        assert schemas[name]["properties"][argument]["type"] == "string"
    results = content(found)["results"]
    assert all(set(each) == {"id", "title", "url", "place", "copies"} for each in results)
    assert results[0]["place"] == {
        "page": None, "headings": ["Brewing tea"], "line": None, "box": None
    }  # fmt: skip
    assert results[0]["title"] == "Brewing tea"
    _, _, [fetched] = call(server, "ana", ("fetch", {"id": results[0]["id"]}))
    document = content(fetched)
    assert set(document) == {"id", "title", "text", "url", "metadata"}
    assert document["id"] == results[0]["id"]
    assert "Green tea is brewed at 80 degrees" in document["text"]
    assert document["metadata"]["passage"] in document["text"]


def test_the_address_of_a_result_opens_the_passage(server):
    _, _, [found] = call(server, "ana", ("search", {"query": QUESTION}))
    url = content(found)["results"][0]["url"]
    assert url.startswith(f"{server.url}/read/tea/")
    page = httpx.get(url, headers={"x-api-key": server.keys["ana"]}, timeout=60)
    (passage,) = re.findall("<mark>(.*?)</mark>", page.text, re.DOTALL)
    assert passage in TEA
    assert httpx.get(url, headers={"x-api-key": server.keys["bob"]}, timeout=60).status_code == 404


def test_two_keys_with_different_rights_see_different_documents(server):
    calls = [
        ("search", {"query": "engine tea degrees pressure"}),
        ("list_documents", {}),
        ("fetch", {"id": f"tea/{server.documents['tea']}"}),
        ("fetch", {"id": f"rockets/{server.documents['rockets']}"}),
        ("ask", {"question": "What is the chamber pressure?", "collection": "rockets"}),
        ("list_documents", {"collection": "rockets"}),
    ]
    seen = {name: call(server, name, *calls)[2] for name in ("ana", "bob", OWNER)}
    for name, own, other in (("ana", "tea", "rockets"), ("bob", "rockets", "tea")):
        search, listed, *_ = seen[name]
        assert {each["id"].split("/")[0] for each in content(search)["results"]} == {own}
        assert [each["collection"] for each in content(listed)["documents"]] == [own]
        assert other not in search.content[0].text + listed.content[0].text
    failed = {name: [each.is_error for each in results] for name, results in seen.items()}
    assert failed["ana"] == [False, False, False, True, True, True]
    assert failed["bob"] == [False, False, True, False, False, False]
    assert failed[OWNER] == [False] * 6
    everything = content(seen[OWNER][0])["results"]
    assert {each["id"].split("/")[0] for each in everything} == {"tea", "rockets"}
    # The message does not tell a document of another user from one that never was.
    _, _, [never] = call(server, "ana", ("fetch", {"id": "nothing/at-all"}))
    secret = seen["ana"][3].content[0].text
    assert secret.replace(calls[3][1]["id"], "") == never.content[0].text.replace(
        "nothing/at-all", ""
    )


def test_an_answer_has_checked_citations_that_can_be_fetched_and_is_logged(server):
    _, _, [result] = call(server, "ana", ("ask", {"question": QUESTION}))
    answer = content(result)
    assert "80 degrees" in answer["answer"]
    assert (answer["refused"], answer["collection"]) == (False, "tea")
    cited = answer["citations"][0]
    assert cited["checked"]
    _, _, [fetched] = call(server, "ana", ("fetch", {"id": cited["id"]}))
    assert content(fetched)["metadata"]["passage"] == cited["quote"]
    logged = list(server.app.services.answer_log.export())[-1]
    assert (logged.question, logged.answer) == (QUESTION, answer["answer"])


def test_a_refusal_names_the_nearest_passages_which_can_be_fetched(server):
    asked = {"question": "Who won the football world cup?", "collection": "tea"}
    _, _, [result] = call(server, "ana", ("ask", asked))
    answer = content(result)
    assert (answer["refused"], answer["certainty"]) == (True, "no")
    assert 1 <= len(answer["nearest"]) <= 3
    _, _, [fetched] = call(server, "ana", ("fetch", {"id": answer["nearest"][0]["id"]}))
    assert not fetched.is_error


def test_a_question_without_a_collection_goes_to_the_best_passages_one(server):
    asked = [("ask", {"question": "What burns the engine of the first stage?"})]
    _, _, [result] = call(server, OWNER, *asked)
    assert content(result)["collection"] == "rockets"
    assert "kerosene" in content(result)["answer"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("search", {"query": ""}, "query"),
        ("search", {}, "query"),
        ("search", {"query": "tea", "more": 1}, "more"),
        ("fetch", {"id": "../etc/passwd"}, "there is no document"),
        ("list_documents", {"limit": 0}, "limit"),
        ("ask", {"question": "?", "collection": "tea"}, "letter or digit"),
    ],
)
def test_a_wrong_call_is_an_error_that_a_model_can_read(server, name, arguments, message):
    _, _, [result] = call(server, "ana", (name, arguments))
    assert result.is_error
    assert message in result.content[0].text


def test_the_documents_are_listed_in_pages_that_neither_skip_nor_repeat(server):
    for number in range(4):
        server.add_document(f"more-{number % 2}", f"{number} page.md", TEA)
    seen, after, pages = [], None, 0
    while pages == 0 or after:
        arguments = {"limit": 2} | ({"after": after} if after else {})
        _, _, [result] = call(server, OWNER, ("list_documents", arguments))
        page = content(result)
        seen += [(each["collection"], each["source"]) for each in page["documents"]]
        after, pages = page["next"], pages + 1
    assert pages == 3
    assert seen == sorted(set(seen))
    assert len(seen) == 6
    for collection in ("more-0", "more-1"):
        with server.app.collection(collection) as opened:
            opened.drop()


@pytest.mark.parametrize("credential", ["wrong", ""])
def test_without_a_valid_credential_nothing_is_served(server, credential):
    headers = {"Accept": "application/json, text/event-stream"}
    if credential:
        headers["Authorization"] = f"Bearer {credential}"
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    answer = httpx.post(f"{server.url}/mcp", json=body, headers=headers, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "search" not in answer.text


def test_a_client_of_the_old_library_works_over_http(server):
    found = call_by_old_client(
        {
            "url": f"{server.url}/mcp",
            "headers": {"x-api-key": server.keys["ana"]},
            "calls": [("search", {"query": QUESTION}), ("ask", {"question": QUESTION})],
        }
    )
    assert found["protocol"] == LEGACY
    assert [tool["name"] for tool in found["tools"]] == TOOLS
    assert all(tool["annotations"]["readOnlyHint"] for tool in found["tools"])
    search, answer = found["results"]
    [item] = search["content"]
    assert json.loads(item["text"]) == search["structuredContent"]
    assert search["structuredContent"]["results"][0]["url"].startswith(server.url)
    assert "80 degrees" in answer["structuredContent"]["answer"]


# kvasir mcp


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with a settings file and two collections, which no server holds."""
    folder = tmp_path_factory.mktemp("stdio")
    with live_server(folder) as server:
        server.add_document("tea", "tea.md", TEA)
        server.add_document("other", "other.md", "# Coffee\n\nCoffee is not tea.\n")
    (folder / "kvasir.yaml").write_text(
        "rag:\n  embedding_model:\n    type: kvasir.testing.fakes:FakeEmbedder\n"
    )
    return folder


def command(*before):
    return [sys.executable, "-m", "kvasir", *before, "mcp"]


@pytest.mark.parametrize(("mode", "version"), [("auto", MODERN), ("legacy", LEGACY)])
def test_kvasir_mcp_serves_the_data_folder_by_standard_streams(folder, mode, version):
    async def run():
        program, *arguments = command()
        parameters = stdio.StdioServerParameters(
            command=program, args=arguments, cwd=folder, env=dict(os.environ)
        )
        async with mcp.Client(stdio.stdio_client(parameters), mode=mode) as client:
            search = await client.call_tool("search", {"query": QUESTION})
            listed = await client.call_tool("list_documents", {})
            return client.protocol_version, search, listed

    spoken, search, listed = anyio.run(run)
    assert spoken == version
    found = content(search)["results"][0]
    assert found["title"] == "Brewing tea"
    assert found["url"] == ""  # No server runs, and an upload is no file.
    assert [each["collection"] for each in content(listed)["documents"]] == ["other", "tea"]


def test_a_client_of_the_old_library_starts_kvasir_mcp_for_one_collection(folder):
    given = {
        "command": command("--collection", "other"),
        "folder": str(folder),
        "calls": [("list_documents", {}), ("search", {"query": QUESTION})],
    }
    found = call_by_old_client(given)
    assert found["protocol"] == LEGACY
    for result in found["results"]:
        assert "tea/" not in result["content"][0]["text"]
        assert "other/" in result["content"][0]["text"]


def test_kvasir_mcp_works_at_a_server_with_the_rights_of_the_key(server, tmp_path):
    async def run():
        program, *arguments = command("--server", server.url)
        environment = os.environ | {"KVASIR_API_KEY": server.keys["bob"]}
        parameters = stdio.StdioServerParameters(
            command=program, args=arguments, cwd=tmp_path, env=environment
        )
        async with mcp.Client(stdio.stdio_client(parameters)) as client:
            search = await client.call_tool("search", {"query": "chamber pressure"})
            fetched = await client.call_tool("fetch", {"id": content(search)["results"][0]["id"]})
            answer = await client.call_tool("ask", {"question": "What is the chamber pressure?"})
            hidden = await client.call_tool("list_documents", {"collection": "tea"})
            return search, fetched, answer, hidden

    search, fetched, answer, hidden = anyio.run(run)
    assert content(search)["results"][0]["url"].startswith(f"{server.url}/read/rockets/")
    assert "250 bar" in content(fetched)["text"]
    assert "250 bar" in content(answer)["answer"]
    assert all(each["checked"] for each in content(answer)["citations"])
    assert hidden.is_error


def test_kvasir_mcp_works_through_the_process_that_holds_the_index(folder):
    settings = load_settings(folder / "kvasir.yaml", {"data_dir": folder / "kvasir-data"})
    with App(settings) as app, app.collection("tea") as collection:
        collection.search("tea")
        owner = OwnerServer(app)
        assert owner.start()
        try:
            given = {
                "command": command(),
                "folder": str(folder),
                "calls": [("ask", {"question": QUESTION, "collection": "tea"})],
            }
            [answer] = call_by_old_client(given)["results"]
        finally:
            owner.stop()
    assert "80 degrees" in answer["structuredContent"]["answer"]
