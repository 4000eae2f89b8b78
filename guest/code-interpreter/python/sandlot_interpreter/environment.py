"""Environment variables of a running kernel, changed by the service between executions."""

import os
import random
import sys

_before = {}


def change(variables):
    """Sets variables permanently; None removes a variable."""
    is_first_sandbox = "E2B_SANDBOX_ID" in variables and "E2B_SANDBOX_ID" not in os.environ
    _put(variables)
    if is_first_sandbox:
        _reseed()


def add(variables):
    """Sets those variables permanently that are not set."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def enter(variables):
    """Sets variables until leave()."""
    _before.update({name: os.environ.get(name) for name in variables})
    _put(variables)


def leave():
    _put(_before)
    _before.clear()


def _put(variables):
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _reseed():
    """Reseeds random number generators, because all sandboxes of a template start from one memory image and would otherwise draw equal numbers."""
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
