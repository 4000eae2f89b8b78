# An agent of the OpenAI Agents SDK looks around in a sandbox, which is paused at the end and can be inspected later.
import asyncio

from agents import ModelSettings, Runner
from agents.extensions.sandbox import E2BSandboxClient, E2BSandboxClientOptions, E2BSandboxType
from agents.run import RunConfig
from agents.sandbox import SandboxAgent, SandboxRunConfig


async def main() -> None:
    options = E2BSandboxClientOptions(sandbox_type=E2BSandboxType.E2B, timeout=900, pause_on_exit=True)
    session = await E2BSandboxClient().create(options=options)
    try:
        agent = SandboxAgent(
            name="Inspector",
            model="gpt-5.4",
            instructions="Look at the files of the workspace and say what the project is.",
            model_settings=ModelSettings(tool_choice="required"),
        )
        result = await Runner.run(
            agent,
            "What is in the workspace?",
            run_config=RunConfig(sandbox=SandboxRunConfig(session=session)),
        )
        print(result.final_output)
    finally:
        await session.shutdown()
    print("sandbox:", session.state.sandbox_id)


asyncio.run(main())
