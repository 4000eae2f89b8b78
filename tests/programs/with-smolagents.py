"""Uses `E2BExecutor` as a CodeAgent does: alone, and by an agent with a scripted model."""

from smolagents import CodeAgent, Model, tool
from smolagents.models import ChatMessage, MessageRole, TokenUsage
from smolagents.monitoring import AgentLogger, LogLevel
from smolagents.remote_executors import E2BExecutor
from smolagents.utils import AgentError
from steps import attempt, check, end


@tool
def double(number: int) -> int:
    """Doubles a number.

    Args:
        number: what is doubled
    """
    return number * 2


class ScriptedModel(Model):
    answers = [
        "I compute it.\n<code>\nvalue = double(number=21)\nprint('the value is', value)\n</code>",
        "Now I know.\n<code>\nfinal_answer(value)\n</code>",
    ]

    def generate(self, messages, **options):
        return ChatMessage(role=MessageRole.ASSISTANT, content=self.answers.pop(0), token_usage=TokenUsage(1, 1))


def create():
    return E2BExecutor([], AgentLogger(LogLevel.OFF))


def keep_state():
    executor("value = 6 * 7")
    said = executor("print('printed')\nvalue")
    check(said.output == "42" and "printed" in said.logs, said)


def send_values():
    executor.send_variables({"given": [1, "two", {"three": 3}]})
    executor.send_tools({"double": double})
    said = executor("double(number=len(given))")
    check(said.output == "6", said)


def show_picture():
    said = executor("import matplotlib.pyplot as plt\nplt.plot([1, 2, 4])\nplt.show()\nfrom PIL import Image\nImage.new('RGB', (30, 20))")
    check(said.output.size == (30, 20), said)


def raise_error():
    try:
        executor("1 / 0")
    except AgentError as error:
        check("ZeroDivisionError" in str(error), error)
    else:
        raise AssertionError("1 / 0 raised nothing")


def install_package():
    check(executor.install_packages(["six"]) is not None, "nothing installed")
    check(executor("import six\nsix.__name__").output == "six", "no package")


def run_agent():
    with CodeAgent(tools=[double], model=ScriptedModel(), executor_type="e2b", max_steps=3, verbosity_level=0) as agent:
        answer = agent.run("What is twice 21?")
    check(answer == 42, answer)


executor = attempt("create", create)
if executor is not None:
    attempt("code, state", keep_state)
    attempt("variables, tools", send_values)
    attempt("picture", show_picture)
    attempt("error", raise_error)
    attempt("install a package", install_package)
    attempt("kill", executor.cleanup)
attempt("agent", run_agent)
end()
