# OpenCode works on a clone, then serves its API, which this program calls.
import sys
from pathlib import Path

import httpx
from e2b import Sandbox

sys.path.append(str(Path(__file__).parent.parent))
from environment import answers, from_environment, repository, task, template

KEYS = ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "GEMINI_API_KEY"]

with Sandbox.create(template("opencode"), envs=from_environment(*KEYS), timeout=600) as sandbox:
    sandbox.git.clone(repository, path="/home/user/repo", depth=1)
    run = sandbox.commands.run('cd /home/user/repo && opencode run "$TASK"', envs={"TASK": task}, timeout=300)
    print(run.stdout)
    print(sandbox.commands.run("cd /home/user/repo && git diff").stdout)

    sandbox.commands.run("opencode serve --hostname 0.0.0.0 --port 4096", background=True, timeout=0)
    base_url = f"https://{sandbox.get_host(4096)}"
    answers(f"{base_url}/global/health")
    with httpx.Client(base_url=base_url, timeout=300) as client:
        session = client.post("/session", json={"title": "From Python"}).raise_for_status().json()
        parts = [{"type": "text", "text": task}]
        answer = client.post(f"/session/{session['id']}/message", json={"parts": parts}).raise_for_status().json()
    print("".join(part["text"] for part in answer["parts"] if part["type"] == "text"))
