# OpenClaw answers in Telegram. Write to your bot, then run again with SANDBOX and the PAIRING_CODE that it answers with.
import json
import os
import secrets
import sys
from pathlib import Path

from e2b import Sandbox

sys.path.append(str(Path(__file__).parent.parent))
from environment import from_environment, template

if running := os.environ.get("SANDBOX"):
    sandbox = Sandbox.connect(running)
else:
    # the token is for the gateway, and for the commands that call it
    envs = from_environment("OPENAI_API_KEY", "TELEGRAM_BOT_TOKEN") | {"OPENCLAW_GATEWAY_TOKEN": secrets.token_hex(16)}
    sandbox = Sandbox.create(template("openclaw"), envs=envs, timeout=3600)


def openclaw(words: str) -> str:
    return sandbox.commands.run(f"openclaw {words}", timeout=180).stdout


if code := os.environ.get("PAIRING_CODE"):
    openclaw(f"pairing approve --channel telegram {code}")
    print(openclaw("channels status --json --probe"))
else:
    settings = [
        {"path": "agents.defaults.model.primary", "value": "openai/gpt-5.2"},
        {"path": "plugins.entries.telegram.enabled", "value": True},
    ]
    openclaw(f"config set --batch-json '{json.dumps(settings)}'")
    openclaw('channels add --channel telegram --token "$TELEGRAM_BOT_TOKEN"')
    flags = '--allow-unconfigured --bind lan --auth token --token "$OPENCLAW_GATEWAY_TOKEN" --port 18789'
    sandbox.commands.run(f"openclaw gateway {flags}", background=True, timeout=0)
    print(f"Write to the bot, then run this with SANDBOX={sandbox.sandbox_id} and PAIRING_CODE")
