import asyncio
import os

import pytest
from conftest import E2B_VERSION, RUN_ID
from e2b import (
    AsyncSandbox,
    CommandExitException,
    FileNotFoundException,
    FilesystemEventType,
    PtySize,
    SandboxNotFoundException,
    SandboxQuery,
    TimeoutException,
)


async def within(awaitable, timeout=20):
    return await asyncio.wait_for(awaitable, timeout)


async def test_sandbox_is_connected_to_told_about_and_killed(async_create):
    own = await async_create()
    assert (await own.get_info()).metadata == {"runId": RUN_ID}
    connected = await AsyncSandbox.connect(own.sandbox_id)
    assert await connected.is_running()
    assert await connected.kill() is True
    assert not await own.is_running()
    assert await own.kill() is False
    with pytest.raises(SandboxNotFoundException):
        await AsyncSandbox.connect(own.sandbox_id)


async def test_sandboxes_are_listed(async_create):
    key = {"list": f"async {RUN_ID}"}
    created = await asyncio.gather(*(async_create(metadata=key) for _ in range(3)))
    paginator = AsyncSandbox.list(query=SandboxQuery(metadata=key), limit=2)
    pages = [await paginator.next_items(), await paginator.next_items()]
    assert [len(page) for page in pages] == [2, 1]
    assert {info.sandbox_id for page in pages for info in page} == {own.sandbox_id for own in created}


async def test_sandbox_reports_metrics(async_sandbox):
    for _ in range(60):
        samples = await async_sandbox.get_metrics()
        if samples:
            break
        await asyncio.sleep(0.5)
    assert samples[-1].mem_total > 0


async def test_commands_return_and_raise(async_sandbox):
    result = await async_sandbox.commands.run('echo "$GREETING"; echo err >&2')
    assert (result.stdout, result.stderr) == ("hallo ☃\n", "err\n")
    with pytest.raises(CommandExitException) as caught:
        await async_sandbox.commands.run("exit 9")
    assert caught.value.exit_code == 9


async def test_commands_call_back_read_stdin_and_are_connected_to(async_sandbox):
    first = asyncio.get_running_loop().create_future()
    handle = await async_sandbox.commands.run(
        'echo up; read a; echo "got $a"',
        background=True,
        stdin=True,
        on_stdout=lambda chunk: first.done() or first.set_result(chunk),
    )
    assert await within(first) == "up\n"
    again = await async_sandbox.commands.connect(handle.pid)
    await async_sandbox.commands.send_stdin(handle.pid, "x\n")
    assert (await within(handle.wait())).stdout == "up\ngot x\n"
    assert (await within(again.wait())).stdout == "got x\n"


async def test_commands_end_when_stdin_is_closed(async_sandbox):
    handle = await async_sandbox.commands.run("cat", background=True, stdin=True)
    await handle.send_stdin("all")
    await handle.close_stdin()
    assert (await within(handle.wait())).stdout == "all"


@pytest.mark.skipif(E2B_VERSION < (2, 63), reason="this version has no stream_input")
async def test_commands_read_a_stream_of_input(async_sandbox):
    handle = await async_sandbox.commands.run("head -n 2", background=True, stdin=True)
    stream = async_sandbox.commands.stream_input(handle.pid)
    stream = await stream if asyncio.iscoroutine(stream) else stream
    await stream.send("one\n")
    await stream.send(b"two\n")
    await within(stream.close())
    assert (await within(handle.wait())).stdout == "one\ntwo\n"


async def test_commands_are_killed_by_pid_and_at_their_timeout(async_sandbox):
    handle = await async_sandbox.commands.run("sleep 300", background=True)
    assert await handle.kill() is True

    async def is_gone():
        while await async_sandbox.commands.kill(handle.pid):
            await asyncio.sleep(0.2)

    await within(is_gone())
    with pytest.raises(TimeoutException):
        await async_sandbox.commands.run("sleep 300", timeout=1)


async def test_commands_run_twenty_at_a_time(async_sandbox):
    results = await asyncio.gather(*(async_sandbox.commands.run(f"echo {i}") for i in range(20)))
    assert [result.stdout for result in results] == [f"{i}\n" for i in range(20)]


async def test_commands_stop_when_the_sandbox_is_killed(async_create):
    own = await async_create()
    handle = await own.commands.run("sleep 300", background=True)
    waiting = asyncio.create_task(handle.wait())
    await asyncio.sleep(0.2)
    await own.kill()
    with pytest.raises(TimeoutException):
        await within(waiting)


async def test_pty_shows_takes_input_and_resizes(async_sandbox):
    shown = bytearray()
    seen = asyncio.Event()

    def on_data(data):
        shown.extend(data)
        if b"<40 120>" in shown:
            seen.set()

    handle = await async_sandbox.pty.create(PtySize(rows=24, cols=80), on_data=on_data, timeout=30)
    await async_sandbox.pty.resize(handle.pid, PtySize(rows=40, cols=120))
    await async_sandbox.pty.send_stdin(handle.pid, b'echo "<$(stty size)>"\n')
    await within(seen.wait())
    assert await async_sandbox.pty.kill(handle.pid) is True


async def test_files_are_written_read_listed_and_removed(async_sandbox):
    data = os.urandom(100_000)
    for opts in ({}, {"gzip": True}, {"use_octet_stream": True}):
        await async_sandbox.files.write("/tmp/async/ü file", data, **opts)
        assert bytes(await async_sandbox.files.read("/tmp/async/ü file", format="bytes")) == data
    stream = await async_sandbox.files.read("/tmp/async/ü file", format="stream")
    assert b"".join([chunk async for chunk in stream]) == data
    assert [entry.name for entry in await async_sandbox.files.list("/tmp/async")] == ["ü file"]
    assert (await async_sandbox.files.rename("/tmp/async/ü file", "/tmp/async/b")).path == "/tmp/async/b"
    await async_sandbox.files.remove("/tmp/async/b")
    assert not await async_sandbox.files.exists("/tmp/async/b")
    with pytest.raises(FileNotFoundException):
        await async_sandbox.files.read("/tmp/async/b")


async def test_files_are_watched(async_sandbox):
    await async_sandbox.files.make_dir("/tmp/async-watched")
    seen = asyncio.Event()
    ended = asyncio.Event()
    wanted = {(FilesystemEventType.CREATE, "sub"), (FilesystemEventType.CREATE, "sub/file")}

    def on_event(event):
        wanted.discard((event.type, event.name))
        if not wanted:
            seen.set()

    handle = await async_sandbox.files.watch_dir(
        "/tmp/async-watched", on_event, on_exit=lambda error: ended.set(), recursive=True
    )
    await async_sandbox.files.make_dir("/tmp/async-watched/sub")
    await async_sandbox.files.write("/tmp/async-watched/sub/file", "x")
    await within(seen.wait())
    await handle.stop()


async def test_git_module_commits(async_sandbox):
    await async_sandbox.git.init("/home/user/async-repo", initial_branch="main")
    await async_sandbox.files.write("/home/user/async-repo/file", "x")
    await async_sandbox.git.add("/home/user/async-repo")
    await async_sandbox.git.commit("/home/user/async-repo", "first", author_name="A", author_email="a@example.com")
    assert (await async_sandbox.git.status("/home/user/async-repo")).is_clean
