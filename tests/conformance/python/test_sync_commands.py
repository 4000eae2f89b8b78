import threading

import pytest
from conftest import E2B_VERSION, eventually
from e2b import (
    AuthenticationException,
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    PtySize,
    TimeoutException,
)


def test_return_exit_code_and_outputs(sandbox):
    result = sandbox.commands.run("echo out; echo err >&2")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out\n", "err\n")


def test_raise_for_other_exit_codes(sandbox):
    with pytest.raises(CommandExitException) as caught:
        sandbox.commands.run("echo out; echo err >&2; exit 3")
    assert (caught.value.exit_code, caught.value.stdout, caught.value.stderr) == (3, "out\n", "err\n")


def test_call_back_with_output(sandbox):
    out, err = [], []
    sandbox.commands.run("echo a; echo b >&2; echo ☃", on_stdout=out.append, on_stderr=err.append)
    assert ("".join(out), "".join(err)) == ("a\n☃\n", "b\n")


def test_have_environment_directory_and_user(sandbox):
    script = 'echo "$GREETING $BOTH $OWN $(id -un) $PWD"'
    result = sandbox.commands.run(script, envs={"BOTH": "command", "OWN": "x y"}, cwd="/var", user="root")
    assert result.stdout == "hallo ☃ command x y root /var\n"


def test_are_refused_for_missing_directories_and_users(sandbox):
    with pytest.raises(InvalidArgumentException, match="/no/such"):
        sandbox.commands.run("true", cwd="/no/such")
    with pytest.raises(AuthenticationException, match="stranger"):
        sandbox.commands.run("true", user="stranger")


def test_are_killed_at_their_timeout(sandbox):
    with pytest.raises(TimeoutException):
        sandbox.commands.run("exec sleep 4713", timeout=1)
    eventually(lambda: not [p for p in sandbox.commands.list() if "sleep 4713" in " ".join(p.args)])


def test_in_the_background_are_iterated_listed_and_killed(sandbox):
    handle = sandbox.commands.run("echo first; sleep 300", background=True)
    stdout, _, _ = next(iter(handle))
    assert stdout == "first\n"
    assert handle.pid in [process.pid for process in sandbox.commands.list()]
    assert sandbox.commands.kill(handle.pid) is True
    eventually(lambda: sandbox.commands.kill(handle.pid) is False)
    handle.disconnect()


def test_read_stdin_until_it_is_closed(sandbox):
    handle = sandbox.commands.run("cat; echo end", background=True, stdin=True)
    sandbox.commands.send_stdin(handle.pid, "one ☃\n")
    handle.send_stdin("two\n")
    sandbox.commands.close_stdin(handle.pid)
    assert handle.wait().stdout == "one ☃\ntwo\nend\n"


@pytest.mark.skipif(E2B_VERSION < (2, 63), reason="this version has no stream_input")
def test_read_a_stream_of_input(sandbox):
    handle = sandbox.commands.run("head -n 3", background=True, stdin=True)
    sandbox.commands.stream_input(handle.pid, ["one\n", b"two\n", "three\n"], timeout=20)
    assert handle.wait().stdout == "one\ntwo\nthree\n"


def test_are_connected_to_after_a_disconnect(sandbox):
    handle = sandbox.commands.run('read a; echo "got $a"; exit 4', background=True, stdin=True)
    handle.disconnect()
    again = sandbox.commands.connect(handle.pid)
    sandbox.commands.send_stdin(handle.pid, "x\n")
    with pytest.raises(CommandExitException) as caught:
        again.wait()
    assert (caught.value.exit_code, caught.value.stdout) == (4, "got x\n")


def test_that_do_not_run_are_not_found(sandbox):
    with pytest.raises(NotFoundException):
        sandbox.commands.connect(999_999)


def test_deliver_ten_megabytes_exactly(sandbox):
    result = sandbox.commands.run("seq 1 1500000")
    assert result.stdout == "".join(f"{i}\n" for i in range(1, 1_500_001))


def test_stop_when_the_sandbox_is_killed(create):
    own = create()
    handle = own.commands.run("echo up; sleep 300", background=True)
    next(iter(handle))
    threading.Timer(0.5, own.kill).start()
    with pytest.raises(TimeoutException):
        handle.wait()


def test_in_a_pty_have_a_terminal_of_the_given_size(sandbox):
    handle = sandbox.pty.create(PtySize(rows=31, cols=97), envs={"OWN": "x"}, cwd="/tmp", timeout=30)
    sandbox.pty.send_stdin(handle.pid, b'echo "<$(stty size) $OWN $PWD>"; exit\n')
    shown = b"".join(data for _, _, data in handle if data is not None)
    assert b"<31 97 x /tmp>" in shown


def test_in_a_pty_are_resized_and_killed(sandbox):
    handle = sandbox.pty.create(PtySize(rows=24, cols=80), timeout=30)
    sandbox.pty.resize(handle.pid, PtySize(rows=40, cols=120))
    sandbox.pty.send_stdin(handle.pid, b'echo "<$(stty size)>"\n')
    shown = b""
    for _, _, data in handle:
        shown += data or b""
        if b"<40 120>" in shown:
            break
    assert b"<40 120>" in shown
    assert sandbox.pty.kill(handle.pid) is True
    eventually(lambda: sandbox.pty.kill(handle.pid) is False)
