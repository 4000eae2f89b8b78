import pytest
from conftest import E2B_VERSION
from e2b import AsyncSandbox, SandboxState, TimeoutException


async def boot_id(sandbox):
    return (await sandbox.commands.run("cat /proc/sys/kernel/random/boot_id")).stdout


async def test_pause_and_connect_keep_memory_files_and_processes(async_create):
    own = await async_create(envs={"GREETING": "hallo ☃"})
    await own.files.write("/tmp/kept", "here")
    before = await boot_id(own)
    handle = await own.commands.run("sleep 1000", background=True)
    assert await own.pause() is True
    assert await own.pause() is False
    assert (await own.get_info()).state == SandboxState.PAUSED
    with pytest.raises(TimeoutException):
        await handle.wait()
    resumed = await AsyncSandbox.connect(own.sandbox_id, timeout=120)
    assert await resumed.files.read("/tmp/kept") == "here"
    assert await boot_id(resumed) == before
    assert (await resumed.commands.run('echo "$GREETING"')).stdout == "hallo ☃\n"
    assert handle.pid in [process.pid for process in await resumed.commands.list()]


async def test_pause_without_memory_boots_again(async_create):
    own = await async_create()
    await own.files.write("/home/user/kept", "here")
    before = await boot_id(own)
    assert await own.pause(keep_memory=False) is True
    await own.connect()
    assert await boot_id(own) != before
    assert await own.files.read("/home/user/kept") == "here"


async def test_traffic_resumes_when_asked_to(async_create):
    own = await async_create(lifecycle={"on_timeout": "pause", "auto_resume": True})
    await own.files.write("/tmp/kept", "here")
    await own.pause()
    assert await own.files.read("/tmp/kept") == "here"


async def test_snapshots_start_sandboxes_and_are_listed_and_deleted(async_create):
    own = await async_create()
    await own.files.write("/home/user/kept", "then")
    snapshot = await own.create_snapshot()
    await own.files.write("/home/user/kept", "now")
    copy = await async_create(template=snapshot.snapshot_id)
    assert await copy.files.read("/home/user/kept") == "then"
    listed = await AsyncSandbox.list_snapshots(sandbox_id=own.sandbox_id).next_items()
    assert [entry.snapshot_id for entry in listed] == [snapshot.snapshot_id]
    await copy.kill()
    assert await AsyncSandbox.delete_snapshot(snapshot.snapshot_id) is True
    assert await AsyncSandbox.delete_snapshot(snapshot.snapshot_id) is False


@pytest.mark.skipif(E2B_VERSION < (2, 63), reason="this version has no fork")
async def test_forks_are_independent(async_create):
    own = await async_create()
    await own.files.write("/home/user/file", "same")
    forks = await own.fork(count=2, timeout=60)
    try:
        assert [await fork.files.read("/home/user/file") for fork in forks] == ["same", "same"]
        await forks[0].files.write("/home/user/file", "other")
        assert await own.files.read("/home/user/file") == "same"
    finally:
        for fork in forks:
            await fork.kill()
