"""The protocol's server over a ``Library``: by standard input and output, and by HTTP.

Clients of 2026-07-28 and of 2025-11-25 and before are served alike: no session is kept, so that any
server behind a load balancer can answer any request.

Source: https://modelcontextprotocol.io/specification/2026-07-28
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

from kvasir.core.errors import KvasirError, OperatorError
from kvasir.core.run import StopToken
from kvasir.frontends.mcp.library import Library
from kvasir.frontends.mcp.results import (
    Arguments,
    AskArguments,
    DocumentList,
    FetchArguments,
    FetchedDocument,
    GivenAnswer,
    ListArguments,
    SearchArguments,
    SearchResults,
)

Use = Callable[[Callable[[Library], BaseModel]], BaseModel]
"""Does work with a library and returns its result."""

logger = logging.getLogger(__name__)
# It reports the start and the end of every request's transport.
logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.WARNING)

INSTRUCTIONS = """\
Search the user's own documents. `search` finds passages, `fetch` reads one of them with the text \
around it, `ask` answers a question with checked quotations, `list_documents` shows what there is. \
Cite the url of a passage."""

_MOST_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Tool:
    name: str
    title: str
    description: str
    arguments: type[Arguments]
    result: type[BaseModel]
    call: Callable[[Library, Any, StopToken], BaseModel]

    def described(self) -> types.Tool:
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.model_json_schema(),
            output_schema=self.result.model_json_schema(mode="serialization"),
            annotations=types.ToolAnnotations(
                title=self.title, read_only_hint=True, idempotent_hint=True, open_world_hint=False
            ),
        )


TOOLS = {
    tool.name: tool
    for tool in (
        _Tool(
            "search",
            "Search documents",
            "Find the passages of the user's documents that belong to a question or to keywords. "
            "Read them with fetch.",
            SearchArguments,
            SearchResults,
            lambda library, given, _: library.search(
                given.query, given.filters, explain=given.explain
            ),
        ),
        _Tool(
            "fetch",
            "Read a document",
            "Return the text of a document, or of the part of a long one around a passage.",
            FetchArguments,
            FetchedDocument,
            lambda library, given, _: library.fetch(given.id),
        ),
        _Tool(
            "ask",
            "Ask the documents",
            "Answer a question from the user's documents alone, with a quotation for each "
            "statement, or say that they do not hold the answer.",
            AskArguments,
            GivenAnswer,
            lambda library, given, stop: library.ask(
                given.question, given.collection, stop, given.filters, explain=given.explain
            ),
        ),
        _Tool(
            "list_documents",
            "List documents",
            "List the user's documents by collection and source.",
            ListArguments,
            DocumentList,
            lambda library, given, _: library.list_documents(
                given.collection, given.after, given.limit
            ),
        ),
    )
}
"""The tools by name; none of them changes anything."""


def make_server(use: Use, describe: Callable[[KvasirError], str] = str) -> Server[Any]:
    """Return the protocol's server for one caller.

    Args:
        use: Does work with the caller's library; called in a thread for each call of a tool.
        describe: Returns what the caller may know of an error.
    """

    async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool.described() for tool in TOOLS.values()])

    async def call_tool(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = TOOLS.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool '{params.name}'")
        try:
            arguments = tool.arguments.model_validate(params.arguments or {})
            result = await _in_thread(tool.call, use, arguments)
        except ValidationError as error:
            return _failed(_first_fault(error))
        except KvasirError as error:
            if isinstance(error, OperatorError):
                logger.error("%s: %s: %s", params.name, error.code, error)
            return _failed(describe(error))
        except Exception:
            # Its text is for the operator; the library would send it to some clients.
            logger.exception("unforeseen error in the tool '%s'", params.name)
            return _failed("this was not foreseen; the log says more")
        return _succeeded(result)

    return Server(
        "kvasir",
        title="Kvasir",
        version=version("kvasir"),
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve_request(
    library: Library,
    describe: Callable[[KvasirError], str],
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Answer one HTTP request, whose caller the library belongs to."""
    manager = StreamableHTTPSessionManager(
        make_server(lambda work: work(library), describe),
        stateless=True,
        max_request_body_size=_MOST_BODY_BYTES,
    )
    async with manager.run():
        await manager.handle_request(scope, receive, send)


def serve_standard_streams(use: Use) -> None:
    """Serve by standard input and output until the input ends."""

    async def serve() -> None:
        server = make_server(use)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(serve)


async def _in_thread(
    call: Callable[[Library, Any, StopToken], BaseModel], use: Use, arguments: Arguments
) -> BaseModel:
    stop = StopToken()
    try:
        return await anyio.to_thread.run_sync(
            lambda: use(lambda library: call(library, arguments, stop)), abandon_on_cancel=True
        )
    finally:
        # A client that leaves stops the generation.
        stop.set()


def _succeeded(result: BaseModel) -> types.CallToolResult:
    """Return a result as structured content, and as exactly one text with the same JSON."""
    content = result.model_dump(mode="json")
    text = types.TextContent(type="text", text=json.dumps(content, ensure_ascii=False))
    return types.CallToolResult(content=[text], structured_content=content)


def _failed(message: str) -> types.CallToolResult:
    text = types.TextContent(type="text", text=message)
    return types.CallToolResult(content=[text], is_error=True)


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
