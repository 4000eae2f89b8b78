"""
Runs commands in sandboxes that end meanwhile, all at once, and prints as JSON what the handle of each command raises.
"""

import asyncio
import json
import os
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from e2b import AsyncSandbox, Sandbox, TimeoutException

SYNC = ["kill", "kill-loud", "pause"]
ASYNC = ["kill", "timeout"]


def end(sandbox_id, how):
    """Calls the REST API directly: old clients do not have every call."""
    time.sleep(1)
    method, path = ("POST", "/pause") if how == "pause" else ("DELETE", "")
    request = urllib.request.Request(
        f"{os.environ['REST_URL']}/sandboxes/{sandbox_id}{path}",
        method=method,
        headers={"X-API-Key": os.environ["E2B_API_KEY"]},
    )
    urllib.request.urlopen(request, timeout=30).close()


def end_later(sandbox_id, how):
    if how != "timeout":
        threading.Thread(target=end, args=(sandbox_id, how)).start()


def command(how):
    return "yes 0123456789 & sleep 300" if how == "kill-loud" else "sleep 300"


def seconds_to_live(how):
    return 4 if how == "timeout" else 120


def outcome(error):
    is_timeout = isinstance(error, TimeoutException)
    return {"error": type(error).__name__, "isTimeout": is_timeout, "message": str(error)}


def run_sync(how):
    try:
        sandbox = Sandbox.create(timeout=seconds_to_live(how))
        handle = sandbox.commands.run(command(how), background=True, timeout=0)
        end_later(sandbox.sandbox_id, how)
        handle.wait()
    except Exception as error:
        return outcome(error)
    return {"error": None}


async def run_async(how):
    try:
        sandbox = await AsyncSandbox.create(timeout=seconds_to_live(how))
        handle = await sandbox.commands.run(command(how), background=True, timeout=0)
        end_later(sandbox.sandbox_id, how)
        await handle.wait()
    except Exception as error:
        return outcome(error)
    return {"error": None}


async def run_all_async():
    return await asyncio.gather(*(run_async(how) for how in ASYNC))


with ThreadPoolExecutor() as threads:
    sync = {how: threads.submit(run_sync, how) for how in SYNC}
    outcomes = {f"async: {how}": got for how, got in zip(ASYNC, asyncio.run(run_all_async()))}
    outcomes |= {f"sync: {how}": future.result() for how, future in sync.items()}
print(json.dumps(outcomes), flush=True)
# the HTTP library of 2.45 has threads that can crash the interpreter while it ends
os._exit(0)
