"""Does what every program does, written for every generation of PyPI `e2b`: one JSON line a step, `{"step", "ok"}` with `error` or `absent`.

The interpreter finds the client by PYTHONPATH, and the client the server by the environment.
"""

import inspect
import json
import sys
import time
import urllib.request

import e2b
from e2b import Sandbox

is_v1 = e2b.__dict__.get("AsyncSandbox") is not None and not hasattr(Sandbox, "create")
has_failed = False


def say(step, **what):
    print(json.dumps({"step": step, **what}), flush=True)


def attempt(step, body):
    global has_failed
    try:
        value = body()
        say(step, ok=True)
        return value
    except Exception as error:
        has_failed = True
        say(step, ok=False, error=f"{type(error).__name__}: {error}"[:300])


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def fetch(url, body=None):
    request = urllib.request.Request(url, data=body, method="POST" if body else "GET")
    if body:
        request.add_header("Content-Type", "multipart/form-data; boundary=b")
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.read().decode()


def multipart(text):
    head = '--b\r\nContent-Disposition: form-data; name="file"; filename="link.txt"\r\nContent-Type: text/plain\r\n\r\n'
    return f"{head}{text}\r\n--b--\r\n".encode()


def takes(function, name):
    return name in inspect.signature(function).parameters


def create():
    return Sandbox(timeout=120) if is_v1 else Sandbox.create(timeout=120)


def run_commands():
    lines = []
    result = sandbox.commands.run('echo "out $((6 * 7))"; echo err >&2', on_stdout=lines.append)
    check(result.stdout == "out 42\n" and result.stderr == "err\n" and result.exit_code == 0, result)
    check("".join(map(str, lines)).strip() == "out 42", lines)
    try:
        sandbox.commands.run("exit 3")
    except e2b.CommandExitException as error:
        check(error.exit_code == 3, error)
    else:
        raise AssertionError("exit 3 raised nothing")
    handle = sandbox.commands.run("cat", background=True, **({"stdin": True} if takes(sandbox.commands.run, "stdin") else {}))
    check(any(process.pid == handle.pid for process in sandbox.commands.list()), "the list does not name the command")
    sandbox.commands.send_stdin(handle.pid, "typed\n")
    check(handle.kill(), "kill found no command")


def use_files():
    sandbox.files.write("/home/user/matrix/a.txt", "written")
    check(sandbox.files.read("/home/user/matrix/a.txt") == "written", "read another text")
    check([entry.name for entry in sandbox.files.list("/home/user/matrix")] == ["a.txt"], "list differs")
    sandbox.files.rename("/home/user/matrix/a.txt", "/home/user/matrix/b.txt")
    check(sandbox.files.exists("/home/user/matrix/b.txt"), "not renamed")
    sandbox.files.make_dir("/home/user/matrix/folder")
    sandbox.files.remove("/home/user/matrix/folder")


def watch_files():
    sandbox.files.make_dir("/home/user/watched")
    watcher = sandbox.files.watch_dir("/home/user/watched")
    sandbox.files.write("/home/user/watched/new.txt", "x")
    deadline = time.monotonic() + 10
    names = set()
    while "new.txt" not in names and time.monotonic() < deadline:
        names |= {event.name for event in watcher.get_new_events()}
    watcher.stop()
    check("new.txt" in names, f"saw {names}")


def use_links():
    def options(function):
        return {"use_signature_expiration": 300} if not is_v1 and takes(function, "use_signature_expiration") else {}

    upload = sandbox.upload_url("/home/user/link.txt", **options(sandbox.upload_url))
    fetch(upload, multipart("by link"))
    download = sandbox.download_url("/home/user/link.txt", **options(sandbox.download_url))
    check(fetch(download) == "by link", "the link gave another text")


def reach_host():
    sandbox.commands.run("cd /home/user && python3 -m http.server 8000", background=True)
    deadline = time.monotonic() + 15
    while True:
        try:
            body = fetch(f"https://{sandbox.get_host(8000)}/link.txt")
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    check(body == "by link", body)


def connect():
    again = Sandbox.connect(sandbox.sandbox_id)
    check(again.sandbox_id == sandbox.sandbox_id, f"{again.sandbox_id} instead of {sandbox.sandbox_id}")
    check(again.commands.run("cat /home/user/link.txt").stdout == "by link", "another sandbox")
    check(again.files.read("/home/user/link.txt") == "by link", "another sandbox")


def find_in_list():
    listed = Sandbox.list()
    ids = set()
    if isinstance(listed, list):
        ids = {entry.sandbox_id for entry in listed}
    else:
        while listed.has_next:
            ids |= {entry.sandbox_id for entry in listed.next_items()}
    check(any(own.split("-")[0] == sandbox.sandbox_id.split("-")[0] for own in ids), f"{sandbox.sandbox_id} is not in {ids}")


def extend():
    sandbox.set_timeout(300)
    check(sandbox.is_running(), "is_running says no")
    if hasattr(sandbox, "get_info"):
        check(sandbox.get_info().sandbox_id.split("-")[0] == sandbox.sandbox_id.split("-")[0], "get_info names another")


def pause_and_resume():
    name = next((name for name in ("pause", "beta_pause") if hasattr(sandbox, name)), None)
    if name is None:
        return None
    getattr(sandbox, name)()
    again = Sandbox.resume(sandbox.sandbox_id) if hasattr(Sandbox, "resume") else Sandbox.connect(sandbox.sandbox_id)
    check(again.files.read("/home/user/link.txt") == "by link", "the file is gone")
    return True


def kill():
    # 1.x returns nothing
    check(sandbox.kill() is not False, "kill says that there was none")
    check(not sandbox.is_running(), "is_running says yes")


sandbox = attempt("create", create)
if sandbox is not None:
    attempt("commands", run_commands)
    attempt("files", use_files)
    attempt("watch", watch_files)
    attempt("links", use_links)
    attempt("host", reach_host)
    attempt("connect", connect)
    attempt("list", find_in_list)
    attempt("timeout", extend)
    if any(hasattr(sandbox, name) for name in ("pause", "beta_pause")):
        attempt("pause", pause_and_resume)
    else:
        say("pause", absent=True)
    attempt("kill", kill)
sys.exit(1 if has_failed else 0)
