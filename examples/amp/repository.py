# Amp works on a clone, then continues the same thread.
import json
import sys
from pathlib import Path

from e2b import Sandbox

sys.path.append(str(Path(__file__).parent.parent))
from environment import from_environment, repository, task, template

IN_REPOSITORY = {"cwd": "/home/user/repo", "envs": {"TASK": task}, "timeout": 300}

with Sandbox.create(template("amp"), envs=from_environment("AMP_API_KEY", "AMP_URL"), timeout=600) as sandbox:
    sandbox.git.clone(repository, path="/home/user/repo", depth=1)
    work = sandbox.commands.run('amp --dangerously-allow-all --stream-json -x "$TASK"', **IN_REPOSITORY)
    for line in work.stdout.splitlines():
        event = json.loads(line)
        print(event["type"], event.get("message", {}).get("usage", {}).get("output_tokens", ""))

    threads = json.loads(sandbox.commands.run("amp threads list --json").stdout)
    follow_up = sandbox.commands.run(
        f'amp threads continue {threads[0]["id"]} --dangerously-allow-all -x "Now list what you changed"',
        **IN_REPOSITORY,
    )
    print(follow_up.stdout)
    print(sandbox.commands.run("git diff", **IN_REPOSITORY).stdout)
