import os
import time

import httpx

# Default repository and task of the programs; REPOSITORY and TASK override them.
repository = os.environ.get("REPOSITORY", "https://github.com/octocat/Hello-World.git")
task = os.environ.get("TASK", "Add a CONTRIBUTING.md that explains how to send a change")

START_TIMEOUT_SECONDS = 300


def from_environment(*names: str) -> dict[str, str]:
    """Returns the variables that are set in this process, to be passed into a sandbox."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def template(name: str) -> str:
    """Returns the template to start from: TEMPLATE, if you built one on top of the ready-made one, else the default."""
    return os.environ.get("TEMPLATE", name)


def answers(url: str) -> None:
    """Waits until a server in a sandbox answers with 2xx; until it listens, its port answers 502."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    last: object = None
    while time.monotonic() < deadline:
        try:
            response = httpx.get(url, timeout=30)
            if response.is_success:
                return
            last = response.status_code
        except httpx.TransportError as error:
            last = error
        time.sleep(0.5)
    raise TimeoutError(f"{url} did not answer within {START_TIMEOUT_SECONDS} s: {last}")
