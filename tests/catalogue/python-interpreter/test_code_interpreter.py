"""The official Python client of the code interpreter, sync and async."""

import base64
import time

import pytest
from e2b_code_interpreter import AsyncSandbox, Sandbox


@pytest.fixture(scope="module")
def sandbox():
    created = Sandbox.create(timeout=600, envs={"OF_SANDBOX": "yes"})
    yield created
    created.kill()


def test_state_lasts(sandbox):
    sandbox.run_code("x = 1")
    execution = sandbox.run_code("x += 1; x")
    assert execution.text == "2"
    assert execution.error is None


def test_output_is_streamed(sandbox):
    arrived = []
    execution = sandbox.run_code(
        "import time\nprint('one', flush=True)\ntime.sleep(1)\nprint('two')",
        on_stdout=lambda message: arrived.append((message.line, time.monotonic())),
    )
    assert [line for line, _ in arrived] == ["one\n", "two\n"]
    assert arrived[1][1] - arrived[0][1] > 0.7
    assert execution.logs.stdout == ["one\n", "two\n"]


def test_error(sandbox):
    told = []
    execution = sandbox.run_code("1 / 0", on_error=told.append)
    assert (execution.error.name, execution.error.value) == ("ZeroDivisionError", "division by zero")
    assert "1 / 0" in execution.error.traceback
    assert len(told) == 1


def test_contexts(sandbox):
    context = sandbox.create_code_context(cwd="/tmp", language="python")
    assert (context.language, context.cwd) == ("python", "/tmp")
    sandbox.run_code("alone = 1", context=context)
    assert sandbox.run_code("import os; os.getcwd()", context=context).text == "/tmp"
    assert sandbox.run_code("alone").error.name == "NameError"
    if hasattr(sandbox, "list_code_contexts"):
        assert context.id in [listed.id for listed in sandbox.list_code_contexts()]
        sandbox.restart_code_context(context)
        assert sandbox.run_code("alone", context=context).error.name == "NameError"
        sandbox.remove_code_context(context.id)
        assert context.id not in [listed.id for listed in sandbox.list_code_contexts()]


@pytest.mark.parametrize(
    ("language", "code"), [("javascript", "console.log(6 * 7)"), ("typescript", "const n: number = 42; console.log(n)"), ("bash", "echo $((6 * 7))")]
)
def test_languages(sandbox, language, code):
    assert "".join(sandbox.run_code(code, language=language).logs.stdout) == "42\n"


@pytest.mark.parametrize(("language", "code"), [("r", "6 * 7"), ("java", "6 * 7")])
def test_languages_that_show_values(sandbox, language, code):
    assert sandbox.run_code(code, language=language).text.endswith("42")


def test_language_without_kernel(sandbox):
    with pytest.raises(Exception, match="these are known: python"):
        sandbox.run_code("1", language="cobol")


def test_text_that_would_break_a_stream(sandbox):
    execution = sandbox.run_code("print('a\\u2028b\\x85c\\ud800')")
    assert "".join(execution.logs.stdout) == "a\u2028b\x85c\ufffd\n"
    error = sandbox.run_code("raise ValueError('\\ud800 \\x1b[31m')").error
    assert (error.name, error.value) == ("ValueError", "\ufffd \x1b[31m")


def test_json(sandbox):
    assert sandbox.run_code("import numpy as np\n{1: np.int64(2), 'a': [np.nan]}").results[0].json == {"1": 2, "a": [None]}


def test_chart_and_picture(sandbox):
    result = sandbox.run_code("import matplotlib.pyplot as plt\nplt.bar(['a', 'b'], [1, 2], label='s')\nplt.title('T')\nplt.show()").results[0]
    assert base64.b64decode(result.png)[1:4] == b"PNG"
    assert (result.chart.type.value, result.chart.title) == ("bar", "T")
    assert [(bar.label, bar.group, bar.value) for bar in result.chart.elements] == [("a", "s", 1), ("b", "s", 2)]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("plt.plot([1, 2], [3, 4])", "line"),
        ("plt.scatter([1, 2], [3, 4])", "scatter"),
        ("plt.pie([1, 2])", "pie"),
        ("plt.boxplot([1, 2, 3])", "box_and_whisker"),
        ("f, a = plt.subplots(2); a[0].plot([1]); a[1].plot([2])", "superchart"),
    ],
)
def test_charts_are_read_by_the_client(sandbox, code, kind):
    result = sandbox.run_code(f"import matplotlib.pyplot as plt\n{code}\nplt.show()").results[0]
    assert result.chart.type.value == kind


def test_data_frame(sandbox):
    result = sandbox.run_code("import pandas as pd\npd.DataFrame({'a': [1, 2]})").results[0]
    assert result.data == {"a": [1, 2]}
    assert "<table" in result.html


def test_environment(sandbox):
    code = "import os; (os.environ.get('OF_SANDBOX'), os.environ.get('OF_RUN'))"
    assert sandbox.run_code(code, envs={"OF_RUN": "now"}).text == "('yes', 'now')"
    assert sandbox.run_code(code).text == "('yes', None)"


def test_timeout_interrupts(sandbox):
    sandbox.run_code("kept = 7")
    with pytest.raises(Exception, match="(?i)time"):
        sandbox.run_code("while True: pass", timeout=2)
    assert sandbox.run_code("kept").text == "7"


async def test_async():
    sandbox = await AsyncSandbox.create(timeout=120)
    try:
        await sandbox.run_code("x = 1")
        lines = []
        execution = await sandbox.run_code("print('out'); x + 1", on_stdout=lambda message: lines.append(message.line))
        assert (execution.text, lines) == ("2", ["out\n"])
        context = await sandbox.create_code_context()
        assert (await sandbox.run_code("x", context=context)).error.name == "NameError"
    finally:
        await sandbox.kill()
