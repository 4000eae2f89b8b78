# Codex works on a clone and prints its events; then it reviews the result and answers as JSON that follows a schema.
import json
import sys
from pathlib import Path

from e2b import Sandbox

sys.path.append(str(Path(__file__).parent.parent))
from environment import from_environment, repository, task, template

CODEX = "codex exec --full-auto --skip-git-repo-check -C /home/user/repo"
REVIEW_SCHEMA = {
    "type": "object",
    "properties": {
        "issues": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "file": {"type": "string"},
                    "severity": {"type": "string", "enum": ["low", "medium", "high"]},
                    "description": {"type": "string"},
                },
                "required": ["file", "severity", "description"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["issues"],
    "additionalProperties": False,
}

with Sandbox.create(template("codex"), envs=from_environment("CODEX_API_KEY"), timeout=600) as sandbox:
    sandbox.git.clone(repository, path="/home/user/repo", depth=1)
    work = sandbox.commands.run(f'{CODEX} --json "$TASK"', envs={"TASK": task}, timeout=300)
    for line in work.stdout.splitlines():
        event = json.loads(line)
        print(event["type"], event.get("item", {}).get("type", ""))
    print(sandbox.commands.run("cd /home/user/repo && git diff").stdout)

    sandbox.files.write("/home/user/schema.json", json.dumps(REVIEW_SCHEMA))
    review = sandbox.commands.run(
        f'{CODEX} --output-schema /home/user/schema.json "Review this code for security issues"', timeout=300
    )
    for issue in json.loads(review.stdout)["issues"]:
        print(issue)
