"""Runs `harbor run` over a task, like terminal-bench: the image is built, the oracle (no model) solves the task, the verifier scores it."""

import subprocess
import sys
import tempfile
from pathlib import Path

from steps import attempt, check, end

RUN_TIMEOUT_S = 400
folder = Path(tempfile.mkdtemp(prefix="harbor-"))
TASK = {
    "task.toml": """schema_version = "1.4"
[metadata]
[verifier]
timeout_sec = 120.0
[agent]
timeout_sec = 120.0
[environment]
build_timeout_sec = 300.0
""",
    "instruction.md": "Write the answer to /app/answer.txt.\n",
    "environment/Dockerfile": "FROM e2bdev/base\nUSER root\nWORKDIR /app\nCOPY question.txt /app/question.txt\nRUN echo built > /app/mark.txt\n",
    "environment/question.txt": "6 * 7\n",
    "solution/solve.sh": '#!/bin/bash\necho $(( $(cat /app/question.txt) )) > /app/answer.txt\n',
    "tests/test.sh": """#!/bin/bash
if [ "$(cat /app/answer.txt /app/mark.txt | tr '\\n' ' ')" = "42 built " ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
""",
}


def run():
    task = folder / "answer"
    for path, text in TASK.items():
        file = task / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    jobs = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "harbor.cli.main", "run", "--path", str(task), "--agent", "oracle", "--env", "e2b"]
    ran = subprocess.run(
        [*command, "--jobs-dir", str(jobs), "--quiet", "--yes"], capture_output=True, text=True, timeout=RUN_TIMEOUT_S, cwd=folder
    )
    errors = [error.read_text()[-300:] for error in jobs.rglob("exception.txt")]
    check(ran.returncode == 0 and not errors, f"{ran.returncode} {errors} {ran.stderr[-300:]}")
    rewards = [float(file.read_text()) for file in jobs.rglob("reward.txt")]
    check(rewards == [1.0], f"rewards {rewards} {ran.stdout[-300:]}")


attempt("a task: template of its Dockerfile, oracle, verifier", run)
attempt("the task again, from the template", run)
end()
