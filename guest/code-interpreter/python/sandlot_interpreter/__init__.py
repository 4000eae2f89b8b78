"""IPython extension of the kernels: adds charts, tables and JSON to results."""


def load_ipython_extension(shell):
    """Called by IPython. Acts only once, because ipykernel loads an extension of its command line twice."""
    from . import pictures, representations
    from .when_imported import when_imported

    if representations.CHART in shell.display_formatter.formatters:
        return
    representations.register(shell.display_formatter)
    when_imported("PIL.Image", pictures.change)
