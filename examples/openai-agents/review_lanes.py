# Two reviewers work at the same time, each in its own sandbox; a third agent summarises their findings.
import asyncio

from agents import Agent, Runner
from agents.extensions.sandbox import E2BSandboxClient, E2BSandboxClientOptions, E2BSandboxType
from agents.run import RunConfig
from agents.sandbox import Manifest, SandboxAgent, SandboxRunConfig
from agents.sandbox.entries import File

LANES = {
    "frontend": ("index.html", "<form><input name=mail><button>Send</button></form>\n"),
    "backend": ("api.py", "def login(user, password):\n    return password == 'secret'\n"),
}


async def review(lane: str) -> str:
    path, content = LANES[lane]
    session = await E2BSandboxClient().create(
        manifest=Manifest(entries={path: File(content=content.encode())}),
        options=E2BSandboxClientOptions(sandbox_type=E2BSandboxType.E2B, timeout=900),
    )
    await session.start()
    try:
        agent = SandboxAgent(
            name=f"Reviewer of the {lane}",
            model="gpt-5.4",
            instructions=f"Review the {lane} in the workspace. Name each risk with its file and line.",
        )
        config = RunConfig(sandbox=SandboxRunConfig(session=session))
        result = await Runner.run(agent, f"Review the {lane}.", run_config=config)
        return str(result.final_output)
    finally:
        await session.shutdown()


async def main() -> None:
    findings = await asyncio.gather(*(review(lane) for lane in LANES))
    coordinator = Agent(
        name="Coordinator",
        model="gpt-5.4",
        instructions="Compare the findings of the reviewers and make one summary of them.",
    )
    told = "\n\n".join(f"Findings in the {lane}:\n{found}" for lane, found in zip(LANES, findings))
    print((await Runner.run(coordinator, told)).final_output)


asyncio.run(main())
