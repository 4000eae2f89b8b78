# Two agents make two versions of one small web app, each in a separate sandbox with a preview in the browser.
import asyncio
import json

from agents import ModelSettings, Runner
from agents.extensions.sandbox import E2BSandboxClient, E2BSandboxClientOptions, E2BSandboxType
from agents.run import RunConfig
from agents.sandbox import Manifest, SandboxAgent, SandboxRunConfig
from agents.sandbox.capabilities import Filesystem, Shell
from agents.sandbox.entries import File

PORT = 4173
STARTER = {
    "package.json": json.dumps(
        {"private": True, "type": "module", "scripts": {"dev": "vite"}, "devDependencies": {"vite": "7.1.12"}}
    ),
    "vite.config.js": "export default { server: { allowedHosts: true } }\n",
    "index.html": '<!doctype html><div id="app"></div><script type="module" src="/src/main.js"></script>\n',
    "src/main.js": "document.querySelector('#app').textContent = 'A starter'\n",
}


def starter() -> Manifest:
    return Manifest(entries={path: File(content=content.encode()) for path, content in STARTER.items()})


async def make(version: str, goal: str) -> tuple[str, str]:
    session = await E2BSandboxClient().create(
        manifest=starter(),
        options=E2BSandboxClientOptions(
            sandbox_type=E2BSandboxType.E2B,
            timeout=1800,
            exposed_ports=(PORT,),
            allow_internet_access=True,
            pause_on_exit=True,
        ),
    )
    await session.start()
    agent = SandboxAgent(
        name=f"Builder of the {version} version",
        model="gpt-5.4-mini",
        instructions=(
            f"Change the Vite app in the workspace, then say shortly what you did. This version's goal: {goal}."
        ),
        default_manifest=starter(),
        capabilities=[Filesystem(), Shell()],
        model_settings=ModelSettings(tool_choice="required"),
    )
    config = RunConfig(sandbox=SandboxRunConfig(session=session))
    result = await Runner.run(agent, f"Make the {version} version.", run_config=config)
    serve = (
        "npm install >/tmp/install.log 2>&1 && "
        f"nohup npm run dev -- --host 0.0.0.0 --port {PORT} >/tmp/vite.log 2>&1 &"
    )
    await session.exec("sh", "-lc", serve, shell=False, timeout=120)
    preview = (await session.resolve_exposed_port(PORT)).url_for("http")
    return str(result.final_output), preview


async def main() -> None:
    made = await asyncio.gather(
        make("plain", "As little as possible"),
        make("polished", "Typography and colour that one likes to look at"),
    )
    for summary, preview in made:
        print(f"{preview}\n{summary}\n")


asyncio.run(main())
