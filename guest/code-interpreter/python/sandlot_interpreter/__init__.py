"""IPython extension of the kernels: what a result is worth besides text and pictures."""


def load_ipython_extension(shell):
    from .representations import register

    register(shell.display_formatter)
