"""Runs Inspect's own check of a sandbox provider, and evaluations with a scripted model on the default template and on one from a Dockerfile."""

import tempfile
from pathlib import Path

from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import bash
from inspect_ai.util._sandbox import self_check
from inspect_ai.util._sandbox.registry import registry_find_sandboxenv
from steps import attempt_async, check, run

TASK = "sandlot"
# the provider fails these at E2B's own service too: its tests (tests/test_e2b/test_e2b_self_check.py) expect it to
FAIL_EVERYWHERE = {
    "test_read_file_not_allowed",
    "test_write_text_file_without_permissions",
    "test_write_binary_file_without_permissions",
    "test_exec_permission_error",
    "test_exec_timeout_not_raised_on_fast_signal_death",
    "test_exec_as_nonexistent_user",
    "test_exec_large_command",
}
E2BSandboxEnvironment = registry_find_sandboxenv("e2b")
folder = tempfile.TemporaryDirectory()


async def check_provider():
    await E2BSandboxEnvironment.task_init(TASK, None)
    environments = await E2BSandboxEnvironment.sample_init(TASK, None, {})
    try:
        failed = {}
        for name in set(self_check.__all__) - FAIL_EVERYWHERE:
            try:
                await getattr(self_check, name)(environments["default"])
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"
        check(not failed, failed)
    finally:
        await E2BSandboxEnvironment.sample_cleanup(TASK, None, environments, False)
        await E2BSandboxEnvironment.task_cleanup(TASK, None, True)


async def evaluate(sandbox, files=None):
    outputs = [
        ModelOutput.for_tool_call("mockllm/model", "bash", {"command": "cat /etc/sandlot-mark given.txt"}),
        ModelOutput.from_content("mockllm/model", "It is 42."),
    ]
    for output in outputs:
        # otherwise tokens are counted with a table from the internet
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    task = Task(
        dataset=[Sample(input="What is the answer?", target="42", files={"given.txt": "given"})],
        solver=[use_tools(bash(timeout=30)), generate()],
        scorer=includes(),
        sandbox=sandbox,
    )
    logs = await eval_async(task, model=get_model("mockllm/model", custom_outputs=outputs), log_dir=folder.name)
    check(logs[0].status == "success", str(logs[0].error and logs[0].error.message)[:300])
    check(logs[0].results.scores[0].metrics["accuracy"].value == 1, "the answer does not count")
    return next(message.text for message in logs[0].samples[0].messages if message.role == "tool")


async def evaluate_default():
    said = await evaluate("e2b")
    check("given" in said, said)


async def evaluate_dockerfile():
    dockerfile = Path(folder.name, "Dockerfile")
    dockerfile.write_text("FROM e2bdev/base\nRUN echo marked > /etc/sandlot-mark\nWORKDIR /home/user\n")
    said = await evaluate(("e2b", str(dockerfile)))
    check("marked" in said and "given" in said, said)


async def main():
    await attempt_async("Inspect's check of a provider", check_provider)
    await attempt_async("evaluation", evaluate_default)
    await attempt_async("evaluation in a Dockerfile's template", evaluate_dockerfile)


run(main())
