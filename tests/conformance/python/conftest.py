"""Sandboxes for the tests of both APIs; the environment (`<home>/env`) says where the server is."""

import os
import time
from importlib.metadata import version

import pytest
import pytest_asyncio
from e2b import AsyncSandbox, Sandbox

E2B_VERSION = tuple(int(part) for part in version("e2b").split(".")[:2])
RUN_ID = f"python-{os.getpid()}-{int(time.time())}"


@pytest.fixture(scope="module")
def sandbox():
    created = Sandbox.create(timeout=600, metadata={"runId": RUN_ID}, envs={"GREETING": "hallo ☃", "BOTH": "sandbox"})
    yield created
    created.kill()


@pytest.fixture
def create():
    created = []

    def make(**opts):
        own = Sandbox.create(**{"timeout": 120, "metadata": {"runId": RUN_ID}, **opts})
        created.append(own)
        return own

    yield make
    for own in created:
        own.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def async_sandbox():
    created = await AsyncSandbox.create(timeout=600, metadata={"runId": RUN_ID}, envs={"GREETING": "hallo ☃"})
    yield created
    await created.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def async_create():
    created = []

    async def make(**opts):
        own = await AsyncSandbox.create(**{"timeout": 120, "metadata": {"runId": RUN_ID}, **opts})
        created.append(own)
        return own

    yield make
    for own in created:
        await own.kill()


def eventually(look, timeout=15.0, interval=0.2):
    """Returns the first true result of `look`; fails with the last one after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = look()
        if result:
            return result
        assert time.monotonic() < deadline, f"did not happen within {timeout} s; last: {result!r}"
        time.sleep(interval)
