"""What the Python programs of this folder share: one JSON line a step, `{"step", "ok"}` with `error`.

The interpreter finds the package by PYTHONPATH, and the package the server by the environment.
"""

import asyncio
import inspect
import json
import sys

has_failed = False


def say(step, **what):
    print("\n" + json.dumps({"step": step, **what}), flush=True)


def attempt(step, body):
    """Runs the function of a step and prints the outcome. @returns what the function returned"""
    global has_failed
    try:
        value = body()
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        say(step, ok=True)
        return value
    except Exception as error:
        failed(step, error)


async def attempt_async(step, body):
    """Runs a program that is one coroutine."""
    try:
        value = await body()
        say(step, ok=True)
        return value
    except Exception as error:
        failed(step, error)


def failed(step, error):
    global has_failed
    has_failed = True
    say(step, ok=False, error=f"{type(error).__name__}: {error}"[:500])


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def run(program):
    asyncio.run(program)
    end()


def end():
    sys.exit(1 if has_failed else 0)
