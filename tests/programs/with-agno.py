"""Calls the toolkit's functions as an agent of agno calls them, without a model."""

import tempfile
import urllib.request
from pathlib import Path

from agno.tools.e2b import E2BTools
from steps import attempt, check, end

folder = Path(tempfile.mkdtemp(prefix="agno-"))


def run_python():
    tools.run_python_code("value = 6 * 7")
    said = tools.run_python_code("print('printed')\nvalue")
    check("printed" in said and "Result 1: 42" in said, said)
    check("ZeroDivisionError" in tools.run_python_code("1 / 0"), "no error")


def draw_chart():
    tools.run_python_code("import matplotlib.pyplot as plt\nplt.bar(['a', 'b'], [1, 2])\nplt.title('Bars')\nplt.show()")
    said = tools.download_png_result(None, 0, str(folder / "chart.png"))
    check(len(said.images) == 1 and (folder / "chart.png").read_bytes().startswith(b"\x89PNG"), said.content)
    chart = tools.last_execution.results[0].chart
    check((chart.type.value, chart.title) == ("bar", "Bars"), chart)


def use_files():
    (folder / "up.txt").write_text("uploaded")
    check(tools.upload_file(str(folder / "up.txt")) == "/home/user/up.txt", "another path")
    check(tools.read_file_content("up.txt") == "uploaded", "read another text")
    check(tools.write_file_content("/home/user/data/a.txt", "written") == "/home/user/data/a.txt", "another path")
    check("- a.txt (File, 7 bytes)" in tools.list_files("/home/user/data"), tools.list_files("/home/user/data"))


def run_commands():
    check("hello" in tools.run_command("echo hello"), "another output")
    streamed = tools.stream_command("echo one; echo two >&2")
    check("STDOUT: one" in streamed and "STDERR: two" in streamed, streamed)
    process = tools.run_background_command("sleep 100")
    check("success" in tools.kill_background_command(process), "not killed")


def reach_host():
    url = tools.run_server("python3 -m http.server 8000 --directory /home/user", 8000)
    with urllib.request.urlopen(f"{url}/up.txt", timeout=20) as response:
        check(response.read() == b"uploaded", "another file")


def manage():
    check(tools.set_sandbox_timeout(200) == "200", "the timeout was refused")
    check("success" in tools.shutdown_sandbox(), "not shut down")


tools = attempt("create", lambda: E2BTools(timeout=120))
if tools is not None:
    attempt("Python", run_python)
    attempt("chart", draw_chart)
    attempt("files", use_files)
    attempt("commands", run_commands)
    attempt("URL of a server", reach_host)
    attempt("timeout, shutdown", manage)
end()
