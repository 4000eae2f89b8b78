"""Uses a session of the sandbox client as the tools of a SandboxAgent use it (tests/agents has agents with a model)."""

import io
import urllib.request
from pathlib import Path

from agents.extensions.sandbox import E2BSandboxClient, E2BSandboxClientOptions, E2BSandboxType
from agents.sandbox import Manifest
from agents.sandbox.entries import File
from steps import attempt_async, check, run

PORT = 8000
client = E2BSandboxClient()


def create():
    options = E2BSandboxClientOptions(
        sandbox_type=E2BSandboxType.E2B, timeout=300, pause_on_exit=True, exposed_ports=(PORT,), envs={"GREETING": "hello"}
    )
    return client.create(options=options, manifest=Manifest(entries={"from-manifest.txt": File(content=b"manifest")}))


async def use(session):
    async def execute():
        ran = await session.exec('echo "$GREETING"; echo err >&2; exit 3')
        check((ran.stdout, ran.stderr, ran.exit_code) == (b"hello\n", b"err\n", 3), ran)
        check((await session.exec("cat from-manifest.txt")).stdout == b"manifest", "no file of the manifest")

    async def use_files():
        content = bytes(range(256)) * 1_000
        await session.mkdir(Path("data"), parents=True)
        await session.write(Path("data/all.bin"), io.BytesIO(content))
        check((await session.read(Path("data/all.bin"))).read() == content, "other bytes came back")
        await session.mv("data/all.bin", "data/moved.bin")
        check([Path(entry.path).name for entry in await session.ls("data")] == ["moved.bin"], "list differs")

    async def use_terminal():
        started = await session.pty_exec_start("cat", tty=True, yield_time_s=0.5)
        update = await session.pty_write_stdin(session_id=started.process_id, chars="typed\n", yield_time_s=1)
        check(b"typed" in update.output, update)
        await session.pty_terminate_all()

    async def reach_port():
        await session.pty_exec_start(f"python3 -m http.server {PORT}", yield_time_s=2)
        endpoint = await session.resolve_exposed_port(PORT)
        with urllib.request.urlopen(f"{endpoint.url_for('http')}from-manifest.txt", timeout=20) as response:
            check(response.read() == b"manifest", "another file")

    async def persist():
        archive = await session.persist_workspace()
        await session.rm("data", recursive=True)
        await session.hydrate_workspace(archive)
        check((await session.exec("stat -c %s data/moved.bin")).stdout == b"256000\n", "the archive lacks a file")

    await attempt_async("exec", execute)
    await attempt_async("files", use_files)
    await attempt_async("terminal", use_terminal)
    await attempt_async("URL of a port", reach_port)
    await attempt_async("persist, hydrate the workspace", persist)


async def resume(state):
    session = await client.resume(state)
    check((await session.exec("cat from-manifest.txt")).stdout == b"manifest", "the workspace is gone")
    return session


async def kill(session):
    check(await session._inner._sandbox.kill(), "there was none")


async def main():
    session = await attempt_async("create", create)
    if session is None:
        return
    await session.start()
    await use(session)
    await attempt_async("pause at the end", session.shutdown)
    again = await attempt_async("resume", lambda: resume(session.state))
    await attempt_async("kill", lambda: kill(again))


run(main())
