"""
Runs a command in a sandbox that ends meanwhile, and prints as JSON what the command's handle raises.

python interrupted.py <sync|async> <kill|kill-loud|timeout|pause>
"""

import asyncio
import json
import os
import sys
import threading
import time
import urllib.request

from e2b import AsyncSandbox, Sandbox, TimeoutException

api, how = sys.argv[1:3]
COMMAND = "yes 0123456789 & sleep 300" if how == "kill-loud" else "sleep 300"
TIMEOUT = 4 if how == "timeout" else 120


def end(sandbox_id):
    """Calls the REST API directly: old clients do not have every call."""
    time.sleep(1)
    method, path = ("POST", "/pause") if how == "pause" else ("DELETE", "")
    request = urllib.request.Request(
        f"{os.environ['REST_URL']}/sandboxes/{sandbox_id}{path}",
        method=method,
        headers={"X-API-Key": os.environ["E2B_API_KEY"]},
    )
    urllib.request.urlopen(request, timeout=30).close()


def end_later(sandbox_id):
    if how != "timeout":
        threading.Thread(target=end, args=(sandbox_id,)).start()


def run_sync():
    sandbox = Sandbox.create(timeout=TIMEOUT)
    handle = sandbox.commands.run(COMMAND, background=True, timeout=0)
    end_later(sandbox.sandbox_id)
    handle.wait()


async def run_async():
    sandbox = await AsyncSandbox.create(timeout=TIMEOUT)
    handle = await sandbox.commands.run(COMMAND, background=True, timeout=0)
    end_later(sandbox.sandbox_id)
    await handle.wait()


try:
    run_sync() if api == "sync" else asyncio.run(run_async())
    print(json.dumps({"error": None}))
except Exception as error:
    is_timeout = isinstance(error, TimeoutException)
    print(json.dumps({"error": type(error).__name__, "isTimeout": is_timeout, "message": str(error)}))
