"""Lets an agent of Google's ADK with a scripted model call the plugin's tools."""

from e2b_adk import E2BPlugin
from google.adk.agents import Agent
from google.adk.apps import App
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types
from steps import attempt_async, check, run

CALLS = [
    ("run_code", {"code": "value = 6 * 7\nprint('printed')"}),
    ("run_code", {"code": "value"}),
    ("run_code", {"code": "1 / 0"}),
    ("run_command", {"command": "echo $GREETING; exit 3"}),
    ("write_file", {"path": "/home/user/data/index.html", "content": "written"}),
    ("read_file", {"path": "/home/user/data/index.html"}),
    ("list_files", {"path": "/home/user/data"}),
    ("start_background_command", {"command": "python3 -m http.server 8000 --directory /home/user/data", "port": 8000}),
]


class ScriptedModel(BaseLlm):
    async def generate_content_async(self, request, stream=False):
        done = sum(1 for content in request.contents for part in content.parts if part.function_response)
        part = types.Part(text="done")
        if done < len(CALLS):
            name, arguments = CALLS[done]
            part = types.Part(function_call=types.FunctionCall(name=name, args=arguments))
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


async def run_agent():
    plugin = E2BPlugin(timeout=120, envs={"GREETING": "hello"})
    agent = Agent(model=ScriptedModel(model="scripted"), name="coder", tools=plugin.get_tools())
    async with InMemoryRunner(app=App(name="demo", root_agent=agent, plugins=[plugin])) as runner:
        events = await runner.run_debug("Try every tool.", quiet=True)
    responses = [part.function_response.response for event in events for part in event.content.parts if part.function_response]
    check(len(responses) == len(CALLS), f"{len(responses)} of {len(CALLS)} calls")
    return responses


async def main():
    responses = await attempt_async("agent", run_agent)
    if responses is None:
        return
    printed, value, error, command, written, read, listed, server = responses

    async def check_code():
        check(printed["stdout"] == "printed\n" and value["text"] == "42", (printed, value))
        check("ZeroDivisionError" in str(error["error"]), error)

    async def check_command():
        check((command["stdout"], command["exit_code"]) == ("hello\n", 3), command)

    async def check_files():
        check(written["success"] and read["content"] == "written", (written, read))
        check([entry["name"] for entry in listed["entries"]] == ["index.html"], listed)

    async def check_server():
        check(server["success"] and server["pid"] and "8000-" in server["preview_url"], server)

    await attempt_async("code", check_code)
    await attempt_async("command", check_command)
    await attempt_async("files", check_files)
    await attempt_async("server, URL of its port", check_server)


run(main())
