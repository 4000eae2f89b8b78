"""IPython extension of the kernels: what a result is worth besides text and pictures."""


def load_ipython_extension(shell):
    """Does it once: ipykernel loads an extension of its command line twice."""
    from . import pictures, representations
    from .when_imported import when_imported

    if representations.CHART in shell.display_formatter.formatters:
        return
    representations.register(shell.display_formatter)
    when_imported("PIL.Image", pictures.change)
