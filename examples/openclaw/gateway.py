# Starts the OpenClaw gateway: a web page to chat with agents, open to everybody who has the token.
import json
import os
import secrets
import sys
from pathlib import Path

from e2b import Sandbox

sys.path.append(str(Path(__file__).parent.parent))
from environment import answers, from_environment, template

PORT = 18789
token = os.environ.get("OPENCLAW_APP_TOKEN") or secrets.token_hex(16)

sandbox = Sandbox.create(template("openclaw"), envs=from_environment("OPENAI_API_KEY"), timeout=3600)
settings = [
    {"path": "agents.defaults.model.primary", "value": "openai/gpt-5.2"},
    # without these two the browser must first be paired: `openclaw devices approve`
    {"path": "gateway.controlUi.allowInsecureAuth", "value": True},
    {"path": "gateway.controlUi.dangerouslyDisableDeviceAuth", "value": True},
]
# in one call: each command of openclaw takes some 12 s
sandbox.commands.run(f"openclaw config set --batch-json '{json.dumps(settings)}'", timeout=180)
sandbox.commands.run(
    f"openclaw gateway --allow-unconfigured --bind lan --auth token --token {token} --port {PORT}",
    background=True,
    timeout=0,
)

url = f"https://{sandbox.get_host(PORT)}"
answers(url)
print(f"Open {url}/?token={token}")
print(f"End it with: e2b sandbox kill {sandbox.sandbox_id}")
