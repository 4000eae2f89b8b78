"""Calls the three E2B tools as an agent of crewAI calls them, without a model."""

from crewai_tools import E2BExecTool, E2BFileTool, E2BPythonTool
from e2b import Sandbox
from steps import attempt, check, end


def run_fresh():
    ran = E2BExecTool(envs={"GREETING": "hello"}).run(command="echo $GREETING; pwd", cwd="/tmp")
    check((ran["exit_code"], ran["stdout"]) == (0, "hello\n/tmp\n"), ran)


def keep_sandbox():
    tool = E2BExecTool(persistent=True)
    tool.run(command="echo kept > kept.txt")
    check(tool.run(command="cat kept.txt")["stdout"] == "kept\n", "another sandbox")
    tool.close()


def use_files():
    sandbox = Sandbox.create(timeout=120)
    try:
        tool = E2BFileTool(sandbox_id=sandbox.sandbox_id)
        tool.run(action="mkdir", path="/home/user/data")
        tool.run(action="write", path="/home/user/data/a.txt", content="written")
        check("written" in str(tool.run(action="read", path="/home/user/data/a.txt")), "read another text")
        check("a.txt" in str(tool.run(action="list", path="/home/user/data")), "list differs")
        tool.run(action="delete", path="/home/user/data/a.txt")
        check("False" in str(tool.run(action="exists", path="/home/user/data/a.txt")), "still there")
    finally:
        sandbox.kill()


def run_python():
    tool = E2BPythonTool(persistent=True)
    tool.run(code="value = 6 * 7")
    ran = tool.run(code="print('printed')\nvalue")
    check(ran["text"] == "42" and ran["stdout"] == ["printed\n"] and ran["error"] is None, ran)
    ran = tool.run(code="import matplotlib.pyplot as plt\nplt.plot([1, 2, 4])\nplt.show()")
    check(ran["results"][0]["png"], "no picture")
    check(tool.run(code="1 / 0")["error"]["name"] == "ZeroDivisionError", "no error")
    tool.close()


attempt("command in a sandbox of its own", run_fresh)
attempt("commands in a sandbox that stays", keep_sandbox)
attempt("files of a sandbox by id", use_files)
attempt("Python", run_python)
end()
