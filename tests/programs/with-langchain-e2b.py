"""Calls the backend of Deep Agents as their tools call it, and runs a Deep Agent with a model that calls a tool."""

import uuid

from deepagents import create_deep_agent
from e2b import AsyncSandbox, Sandbox
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_e2b import AsyncE2BSandbox, E2BSandbox
from steps import attempt, check, end


def execute():
    ran = backend.execute("echo hello; echo err >&2; exit 3")
    check("hello" in ran.output and "err" in ran.output and ran.exit_code == 3, ran)
    check(backend.execute("pwd").output.strip() == "/home/user", "another folder")


def transfer():
    content = bytes(range(256)) * 1_000
    uploaded = backend.upload_files([("/home/user/data/all.bin", content)])
    check(uploaded[0].error is None, uploaded)
    downloaded = backend.download_files(["/home/user/data/all.bin", "/home/user/none.bin"])
    check(downloaded[0].content == content, "other bytes came back")
    check(downloaded[1].error == "file_not_found", downloaded[1].error)


def use_file_tools():
    check(backend.write("/home/user/src/main.py", "value = 1\nprint(value)\n").error is None, "write")
    check(backend.write("/home/user/src/main.py", "").error is not None, "a second write says nothing")
    check(backend.edit("/home/user/src/main.py", "value = 1", "value = 2").error is None, "edit")
    check("value = 2" in backend.read("/home/user/src/main.py").file_data["content"], "read")
    names = [entry["path"] for entry in backend.ls("/home/user/src").entries]
    check(any(name.endswith("main.py") for name in names), names)
    found = [match["path"] for match in backend.grep("print(", path="/home/user/src").matches]
    check(len(found) == 1 and found[0].endswith("main.py"), found)
    found = [match["path"] for match in backend.glob("**/*.py", path="/home/user/src").matches]
    check(len(found) == 1 and found[0].endswith("main.py"), found)


class ScriptedModel(GenericFakeChatModel):
    def bind_tools(self, tools, **options):
        return self


def run_agent():
    call = {"name": "execute", "args": {"command": "python3 /home/user/src/main.py"}, "id": str(uuid.uuid4())}
    model = ScriptedModel(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("done")]))
    agent = create_deep_agent(model=model, backend=backend)
    messages = agent.invoke({"messages": [HumanMessage("Run the program")]})["messages"]
    results = [message.content for message in messages if message.type == "tool"]
    check(len(results) == 1 and "2" in results[0], results)


async def run_async():
    own = await AsyncSandbox.create(timeout=120)
    try:
        ran = await AsyncE2BSandbox(sandbox=own).aexecute("echo hello")
        check("hello" in ran.output, ran)
    finally:
        await own.kill()


sandbox = attempt("create", lambda: Sandbox.create(timeout=120))
if sandbox is not None:
    backend = E2BSandbox(sandbox=sandbox)
    attempt("execute", execute)
    attempt("upload, download", transfer)
    attempt("file tools", use_file_tools)
    attempt("agent", run_agent)
    attempt("kill", sandbox.kill)
attempt("async", run_async)
end()
