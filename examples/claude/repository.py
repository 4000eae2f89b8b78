# Claude Code works on a clone; it answers as JSON; a second task continues the same session.
import json
import sys
from pathlib import Path

from e2b import Sandbox

sys.path.append(str(Path(__file__).parent.parent))
from environment import from_environment, repository, task, template

CLAUDE = "cd /home/user/repo && claude --dangerously-skip-permissions"

with Sandbox.create(
    template("claude"),
    envs=from_environment("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    timeout=600,
) as sandbox:
    sandbox.git.clone(repository, path="/home/user/repo", depth=1)
    initial = sandbox.commands.run(
        f'{CLAUDE} --output-format json -p "$TASK"', envs={"TASK": task}, timeout=300
    )
    response = json.loads(initial.stdout)
    print(f"{response['subtype']} in {response['duration_ms']} ms: {response['result']}")

    follow_up = sandbox.commands.run(
        f'{CLAUDE} --resume {response["session_id"]} -p "Now list what you changed"', timeout=300
    )
    print(follow_up.stdout)
    print(sandbox.commands.run("cd /home/user/repo && git diff").stdout)
