"""Runs in an environment of its own with ``mcp`` 1.x: a client of protocol 2025-11-25.

It calls the tools that are named on standard input and prints the answers, as JSON.
"""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client


async def main(given):
    if "url" in given:
        transport = streamablehttp_client(given["url"], headers=given["headers"])
    else:
        command, *arguments = given["command"]
        transport = stdio_client(
            StdioServerParameters(command=command, args=arguments, cwd=given["folder"])
        )
    async with (
        transport as (incoming, outgoing, *_),
        ClientSession(incoming, outgoing) as session,
    ):
        started = await session.initialize()
        listed = await session.list_tools()
        results = [
            (await session.call_tool(name, arguments)).model_dump(mode="json")
            for name, arguments in given["calls"]
        ]
    return {
        "protocol": started.protocolVersion,
        "instructions": started.instructions,
        "tools": [tool.model_dump(mode="json") for tool in listed.tools],
        "results": results,
    }


print(json.dumps(asyncio.run(main(json.load(sys.stdin)))))
