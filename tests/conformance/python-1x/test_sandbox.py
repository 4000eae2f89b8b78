"""Does what programs written for e2b 1.x do: no access token, ids of two parts, everything by host."""

import os
import ssl
import time
import urllib.request

import pytest
from e2b import CommandExitException, Sandbox


@pytest.fixture(scope="module")
def sandbox():
    sandbox = Sandbox(timeout=300, metadata={"run": "python-1x"})
    yield sandbox
    sandbox.kill()


def fetch(url, body=None, headers={}):
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request, context=context, timeout=15) as answer:
        return answer.read().decode()


def test_it_is_found_by_its_two_ids_everywhere(sandbox):
    assert sandbox.sandbox_id.endswith("-sandlot")
    sandbox.set_timeout(200)
    assert sandbox.sandbox_id in [found.sandbox_id for found in Sandbox.list()]
    assert sandbox.is_running()
    again = Sandbox.connect(sandbox.sandbox_id)
    assert again.sandbox_id == sandbox.sandbox_id
    assert again.commands.run("echo again").stdout == "again\n"


def test_its_details_have_the_id_that_the_client_uses(sandbox):
    if not hasattr(sandbox, "get_info"):
        pytest.skip("1.0 has no get_info")
    assert sandbox.get_info().sandbox_id == sandbox.sandbox_id


def test_commands(sandbox):
    assert sandbox.commands.run("whoami").stdout == "user\n"
    assert sandbox.commands.run("whoami", user="root").stdout == "root\n"
    with pytest.raises(CommandExitException) as failed:
        sandbox.commands.run("exit 3")
    assert failed.value.exit_code == 3
    reading = sandbox.commands.run("head -n 1", background=True)
    assert reading.pid in [process.pid for process in sandbox.commands.list()]
    sandbox.commands.send_stdin(reading.pid, "a line\n")
    assert reading.wait().stdout == "a line\n"


def test_files(sandbox):
    files = sandbox.files
    assert files.make_dir("/home/user/dir")
    watch = files.watch_dir("/home/user/dir")
    files.write("/home/user/dir/a", "one")
    deadline = time.monotonic() + 10
    events = []
    while "a" not in events and time.monotonic() < deadline:
        events += [event.name for event in watch.get_new_events()]
    assert "a" in events
    watch.stop()
    assert files.read("/home/user/dir/a") == "one"
    assert files.rename("/home/user/dir/a", "/home/user/dir/b").path == "/home/user/dir/b"
    sandbox.commands.run("ln -s b dir/link && ln -s gone dir/dangling")
    # a dangling link is neither a file nor a directory, and these clients know no other type
    kinds = {entry.name: entry.type and entry.type.value for entry in files.list("/home/user/dir")}
    assert {name: kind for name, kind in kinds.items() if kind} == {"b": "file", "link": "file"}
    assert files.exists("/home/user/dir/b")
    files.remove("/home/user/dir/b")
    assert not files.exists("/home/user/dir/b")


def test_links_and_hosts(sandbox):
    sandbox.files.write("/home/user/served.txt", "served")
    assert fetch(sandbox.download_url("served.txt")) == "served"
    part = 'Content-Disposition: form-data; name="file"; filename="sent.txt"'
    body = f"--edge\r\n{part}\r\n\r\nsent\r\n--edge--\r\n".encode()
    fetch(sandbox.upload_url("sent.txt"), body, {"Content-Type": "multipart/form-data; boundary=edge"})
    assert sandbox.files.read("sent.txt") == "sent"
    server = sandbox.commands.run("exec python3 -m http.server 8000", background=True)
    url = f"https://{sandbox.get_host(8000)}/served.txt"
    deadline = time.monotonic() + 15
    while True:
        try:
            assert fetch(url) == "served"
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    server.kill()


def test_kill():
    doomed = Sandbox(timeout=60, metadata={"run": "python-1x"})
    doomed.kill()
    assert not doomed.is_running()
    assert not Sandbox.kill(doomed.sandbox_id)
