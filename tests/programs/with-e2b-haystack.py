"""Calls the toolset as an agent of Haystack calls it, without a model."""

from haystack_integrations.tools.e2b import E2BToolset
from steps import attempt, check, end

toolset = E2BToolset(timeout=120, environment_vars={"GREETING": "hello"})
tools = {tool.name: tool for tool in toolset}


def run_commands():
    said = tools["run_bash_command"].invoke(command='echo "$GREETING"; echo err >&2; exit 3')
    check(said == "exit_code: 3\nstdout:\nhello\n\nstderr:\nerr\n", said)


def use_files():
    tools["write_file"].invoke(path="/home/user/data/a.txt", content="written")
    check(tools["read_file"].invoke(path="/home/user/data/a.txt") == "written", "read another text")
    check(tools["list_directory"].invoke(path="/home/user/data") == "a.txt", "list differs")


def restore():
    again = type(toolset).from_dict(toolset.to_dict())
    shell = next(tool for tool in again if tool.name == "run_bash_command")
    try:
        check("hello" in shell.invoke(command="echo $GREETING"), "the restored toolset has no sandbox")
    finally:
        again.close()


attempt("create", toolset.warm_up)
attempt("commands", run_commands)
attempt("files", use_files)
attempt("serialize, restore", restore)
attempt("kill", toolset.close)
end()
