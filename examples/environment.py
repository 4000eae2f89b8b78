import os

# What the programs work on: REPOSITORY and TASK say something else.
repository = os.environ.get("REPOSITORY", "https://github.com/octocat/Hello-World.git")
task = os.environ.get("TASK", "Add a CONTRIBUTING.md that explains how to send a change")


def from_environment(*names: str) -> dict[str, str]:
    """Those of the variables that are set here, to be passed into a sandbox."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def template(name: str) -> str:
    """TEMPLATE names one that you have built on top of the ready-made one."""
    return os.environ.get("TEMPLATE", name)
