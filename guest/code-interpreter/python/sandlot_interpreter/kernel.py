"""
Starts a Python kernel as `ipykernel_launcher` does, without what IPython imports for its terminal and for completion
(prompt_toolkit, jedi), which nobody asks a kernel for here: 280 modules, half of the time until a kernel answers.
"""

import os
import sys
import types

TERMINAL = "IPython.terminal.embed"
COMPLETION = "jedi"


def embed(**options):
    """Returns the real function of IPython when it is called."""
    from IPython.terminal.embed import embed

    embed(**options)


def _import_kernel():
    terminal = types.ModuleType(TERMINAL)
    terminal.embed = embed
    left_out = {TERMINAL: terminal, COMPLETION: None}
    sys.modules.update(left_out)
    from ipykernel import kernelapp

    # The user's code imports the real modules.
    for name in left_out:
        del sys.modules[name]
    return kernelapp


if __name__ == "__main__":
    # The kernel must not import files of its working directory as modules; ipykernel adds the folder again for the user's code.
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    _import_kernel().launch_new_instance()
