"""Requests that only the newest client sends, over both versions of HTTP, in both of its APIs."""

import asyncio
import os
import time

import pytest
from conftest import E2B_VERSION, RUN_ID
from e2b import (
    AsyncSandbox,
    InvalidArgumentException,
    NotFoundException,
    PtySize,
    Sandbox,
    SandboxException,
    TimeoutException,
)

pytestmark = pytest.mark.skipif(E2B_VERSION < (2, 63), reason="this version has none of it")
HTTP_VERSIONS = ["1.1", "2"]


@pytest.fixture(scope="module", params=HTTP_VERSIONS)
def own(request):
    created = Sandbox.create(timeout=600, metadata={"runId": RUN_ID}, http_version=request.param)
    yield created
    created.kill()


@pytest.fixture(scope="module", params=HTTP_VERSIONS)
def async_own(request, event_loop_of_module):
    created = event_loop_of_module.run_until_complete(
        AsyncSandbox.create(timeout=600, metadata={"runId": RUN_ID}, http_version=request.param)
    )
    yield lambda awaitable: event_loop_of_module.run_until_complete(asyncio.wait_for(awaitable(created), 60))
    event_loop_of_module.run_until_complete(created.kill())


@pytest.fixture(scope="module")
def event_loop_of_module():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_megabyte_of_input_arrives_in_its_order(own):
    handle = own.commands.run("head -c 1000000 | sha256sum", background=True, stdin=True)
    parts = [bytes([i % 251]) * 10_000 for i in range(100)]
    own.commands.stream_input(handle.pid, (part for part in parts))
    expected = own.commands.run(
        "python3 -c \"import hashlib; print(hashlib.sha256(b''.join(bytes([i % 251]) * 10000 for i in range(100))).hexdigest())\""
    )
    assert handle.wait().stdout.split()[0] == expected.stdout.strip()


def test_input_reaches_a_terminal(own):
    handle = own.pty.create(PtySize(rows=24, cols=80), timeout=60)
    own.pty.stream_input(handle.pid, [b'echo "<$((6 * 7))>"\n', "exit\n"])
    shown = b"".join(data for _, _, data in handle if data)
    assert b"<42>" in shown


def test_input_is_answered_when_its_process_ends_first(own):
    handle = own.commands.run("read line; echo got $line", background=True, stdin=True)

    def slowly():
        yield "one\n"
        time.sleep(2)

    own.commands.stream_input(handle.pid, slowly())
    assert handle.wait().stdout == "got one\n"


def test_input_for_a_missing_process_is_refused(own):
    with pytest.raises(NotFoundException, match="999999"):
        own.commands.stream_input(999999, ["x"])
    silent = own.commands.run("sleep 30", background=True)
    with pytest.raises(SandboxException, match="stdin not enabled or closed"):
        own.commands.stream_input(silent.pid, ["x"])
    silent.kill()


def test_input_that_lasts_too_long_ends_at_its_timeout(own):
    handle = own.commands.run("cat", background=True, stdin=True)

    def endless():
        while True:
            yield "x"
            time.sleep(0.1)

    with pytest.raises(TimeoutException):
        own.commands.stream_input(handle.pid, endless(), timeout=1)
    handle.kill()


def test_output_need_not_be_retained(own):
    seen = []
    result = own.commands.run("echo out; printf ''; echo err >&2", retain_output=False, on_stdout=seen.append)
    assert (result.exit_code, result.stdout, result.stderr, seen) == (0, None, None, ["out\n"])


def test_files_are_written_from_iterables(own):
    data = os.urandom(3_000_000)
    pieces = [data[at : at + 70_000] for at in range(0, len(data), 70_000)]
    own.files.write("/tmp/iterable", iter(pieces))
    assert bytes(own.files.read("/tmp/iterable", format="bytes")) == data
    own.files.write("/tmp/iterable", iter(pieces), gzip=True)
    assert bytes(own.files.read("/tmp/iterable", format="bytes")) == data
    with pytest.raises(InvalidArgumentException):
        own.files.write("/tmp/iterable", "x", gzip=True, use_octet_stream=False)


def test_async_input_arrives_and_its_handle_closes(async_own):
    async def run(own):
        handle = await own.commands.run("head -n 3", background=True, stdin=True)
        async with own.commands.stream_input(handle.pid) as stream:
            for line in ("one\n", b"two\n", "three\n"):
                await stream.send(line)
        return (await handle.wait()).stdout

    assert async_own(run) == "one\ntwo\nthree\n"


def test_async_input_reaches_a_terminal(async_own):
    async def run(own):
        shown = bytearray()
        handle = await own.pty.create(PtySize(rows=24, cols=80), on_data=shown.extend, timeout=60)
        async with own.pty.stream_input(handle.pid) as stream:
            await stream.send(b'echo "<$((6 * 7))>"\nexit\n')
        await handle.wait()
        return bytes(shown)

    assert b"<42>" in async_own(run)


def test_async_input_ends_with_its_process(async_own):
    async def run(own):
        handle = await own.commands.run("read line", background=True, stdin=True)
        stream = own.commands.stream_input(handle.pid)
        await stream.send("one\n")
        await handle.wait()
        await asyncio.sleep(1)
        with pytest.raises(SandboxException):
            await stream.send("two\n")
        await stream.close()

    async_own(run)


def test_async_input_for_a_missing_process_is_refused(async_own):
    async def run(own):
        stream = own.commands.stream_input(999999)
        with pytest.raises(NotFoundException):
            await stream.close()

    async_own(run)


def test_async_files_are_written_from_iterables(async_own):
    async def run(own):
        data = os.urandom(1_000_000)

        async def pieces():
            for at in range(0, len(data), 70_000):
                yield data[at : at + 70_000]

        await own.files.write("/tmp/async-iterable", pieces())
        assert bytes(await own.files.read("/tmp/async-iterable", format="bytes")) == data

    async_own(run)
