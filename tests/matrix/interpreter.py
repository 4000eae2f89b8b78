"""Does what every program of a code interpreter does, written for every generation of `e2b-code-interpreter`; see program.py."""

import json
import sys

import e2b_code_interpreter
from e2b_code_interpreter import Sandbox

has_failed = False


def attempt(step, body):
    global has_failed
    try:
        value = body()
        print(json.dumps({"step": step, "ok": True}), flush=True)
        return value
    except Exception as error:
        has_failed = True
        print(json.dumps({"step": step, "ok": False, "error": f"{type(error).__name__}: {error}"[:300]}), flush=True)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def create():
    return Sandbox.create(timeout=120) if "create" in dir(Sandbox) else Sandbox(timeout=120)


def run_code():
    sandbox.run_code("x = 20")
    lines = []
    execution = sandbox.run_code('print("out"); x + 1', on_stdout=lines.append)
    check(execution.text == "21" and execution.logs.stdout == ["out\n"], execution)
    check([line.line for line in lines] == ["out\n"], lines)
    check(sandbox.run_code("1 / 0").error.name == "ZeroDivisionError", "no error")


def draw():
    execution = sandbox.run_code("import matplotlib.pyplot as plt\nplt.plot([1, 2, 4])\nplt.show()")
    check(any(result.png for result in execution.results), execution)


def use_context():
    context = sandbox.create_code_context(cwd="/tmp")
    check(sandbox.run_code("import os; os.getcwd()", context=context).text == "/tmp", "another folder")


def kill():
    check(sandbox.kill() is not False, "kill says that there was none")


sandbox = attempt("create", create)
if sandbox is not None:
    attempt("runCode", run_code)
    attempt("chart", draw)
    if hasattr(sandbox, "create_code_context"):
        attempt("context", use_context)
    else:
        print(json.dumps({"step": "context", "absent": True}), flush=True)
    attempt("kill", kill)
sys.exit(1 if has_failed else 0)
