"""Starts the server over standard input and output, as desktop programs do, and calls its tool with an MCP client."""

import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from steps import attempt_async, check, run

# 0.1.1 installs no command, so its entry is called
SERVER = StdioServerParameters(
    command=sys.executable, args=["-c", "import e2b_mcp_server; e2b_mcp_server.main()"], env=dict(os.environ)
)


async def use(session):
    async def list_tools():
        names = [tool.name for tool in (await session.list_tools()).tools]
        check(names == ["run_code"], names)

    async def run_code():
        called = await session.call_tool("run_code", {"code": "print('printed')\n6 * 7"})
        said = called.content[0].text
        check(not called.isError and "printed" in said, said)

    async def raise_error():
        called = await session.call_tool("run_code", {"code": "import sys\nprint('to stderr', file=sys.stderr)\n1 / 0"})
        check("to stderr" in called.content[0].text, called.content)

    await attempt_async("list tools", list_tools)
    await attempt_async("code", run_code)
    await attempt_async("error", raise_error)


async def main():
    async with stdio_client(SERVER) as (reading, writing), ClientSession(reading, writing) as session:
        await attempt_async("initialize", session.initialize)
        await use(session)


run(main())
