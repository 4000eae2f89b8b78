import time

import pytest
from conftest import E2B_VERSION, RUN_ID, eventually
from e2b import NotFoundException, Sandbox, SandboxQuery, SandboxState, TimeoutException

UNKNOWN = "i0123456789abcdefghij"


def boot_id(sandbox):
    return sandbox.commands.run("cat /proc/sys/kernel/random/boot_id").stdout


def test_pause_and_connect_keep_memory_files_and_processes(create):
    own = create(envs={"GREETING": "hallo ☃"})
    own.files.write("/tmp/kept", "here")
    before = boot_id(own)
    handle = own.commands.run('while read line; do echo "got $line"; done', background=True, stdin=True)
    assert own.pause() is True
    assert own.pause() is False
    assert own.get_info().state == SandboxState.PAUSED
    with pytest.raises(TimeoutException):
        handle.wait()
    resumed = Sandbox.connect(own.sandbox_id, timeout=120)
    assert resumed.files.read("/tmp/kept") == "here"
    assert boot_id(resumed) == before
    assert resumed.commands.run('echo "$GREETING"').stdout == "hallo ☃\n"
    assert handle.pid in [process.pid for process in resumed.commands.list()]
    again = resumed.commands.connect(handle.pid)
    resumed.commands.send_stdin(handle.pid, "more\n")
    assert next(out for out, _, _ in again if out) == "got more\n"
    assert abs(float(resumed.commands.run("date +%s.%N").stdout) - time.time()) < 1.5


def test_pause_without_memory_boots_again(create):
    own = create()
    own.files.write("/home/user/kept", "here")
    before = boot_id(own)
    assert own.pause(keep_memory=False) is True
    own.connect()
    assert boot_id(own) != before
    assert own.files.read("/home/user/kept") == "here"


@pytest.mark.skipif(E2B_VERSION < (2, 63), reason="this version has no on_resume")
def test_connect_can_discard_the_memory(create):
    own = create()
    before = boot_id(own)
    own.pause()
    resumed = Sandbox.connect(own.sandbox_id, on_resume="reboot")
    assert boot_id(resumed) != before


def test_paused_ones_are_listed_and_killed(create):
    key = {"list": f"paused {RUN_ID}"}
    own = create(metadata=key)
    Sandbox.pause(own.sandbox_id)
    listed = Sandbox.list(query=SandboxQuery(metadata=key, state=[SandboxState.PAUSED])).next_items()
    assert [info.sandbox_id for info in listed] == [own.sandbox_id]
    assert own.kill() is True
    with pytest.raises(NotFoundException):
        own.pause()
    with pytest.raises(NotFoundException):
        Sandbox.pause(UNKNOWN)


def test_timeout_pauses_when_asked_to(create):
    own = create(timeout=2, lifecycle={"on_timeout": "pause"})
    own.files.write("/tmp/kept", "here")
    eventually(lambda: own.get_info().state == SandboxState.PAUSED)
    assert Sandbox.connect(own.sandbox_id, timeout=60).files.read("/tmp/kept") == "here"


def test_traffic_resumes_when_asked_to(create):
    own = create(lifecycle={"on_timeout": "pause", "auto_resume": True})
    own.files.write("/tmp/kept", "here")
    own.pause()
    assert own.files.read("/tmp/kept") == "here"


def test_snapshots_start_sandboxes_and_are_listed_and_deleted(create):
    own = create()
    own.files.write("/home/user/kept", "then")
    snapshot = own.create_snapshot()
    own.files.write("/home/user/kept", "now")
    copy = create(template=snapshot.snapshot_id)
    assert copy.files.read("/home/user/kept") == "then"
    assert own.files.read("/home/user/kept") == "now"
    listed = Sandbox.list_snapshots(sandbox_id=own.sandbox_id).next_items()
    assert [entry.snapshot_id for entry in listed] == [snapshot.snapshot_id]
    copy.kill()
    assert Sandbox.delete_snapshot(snapshot.snapshot_id) is True
    assert Sandbox.delete_snapshot(snapshot.snapshot_id) is False


@pytest.mark.skipif(E2B_VERSION < (2, 63), reason="this version has no fork")
def test_forks_are_independent(create):
    own = create()
    own.files.write("/home/user/file", "same")
    forks = own.fork(count=2, timeout=60)
    try:
        assert [fork.files.read("/home/user/file") for fork in forks] == ["same", "same"]
        forks[0].files.write("/home/user/file", "other")
        assert [sandbox.files.read("/home/user/file") for sandbox in (own, forks[1])] == ["same", "same"]
    finally:
        for fork in forks:
            fork.kill()
