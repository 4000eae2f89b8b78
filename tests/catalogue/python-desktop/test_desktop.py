"""What the README of `e2b-desktop` shows, against the template `desktop`."""

import struct
import time
from typing import Callable

import pytest
from e2b_desktop import Sandbox

TIMEOUT_SECONDS = 60


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def desktop():
    sandbox = Sandbox.create(resolution=(1200, 700), timeout=600)
    yield sandbox
    sandbox.kill()


def test_screenshot_has_the_size_that_was_asked_for(desktop: Sandbox):
    assert desktop.get_screen_size() == (1200, 700)
    png = bytes(desktop.screenshot())
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (1200, 700)


def test_pointer_goes_where_it_is_sent(desktop: Sandbox):
    desktop.move_mouse(210, 320)
    assert desktop.get_cursor_position() == (210, 320)


def test_terminal_runs_what_is_typed(desktop: Sandbox):
    desktop.launch("xfce4-terminal")

    def is_focused() -> bool:
        return "Terminal" in desktop.get_window_title(desktop.get_current_window_id())

    eventually(is_focused)
    desktop.write("echo from python > typed.txt\n")
    eventually(lambda: desktop.files.exists("/home/user/typed.txt"))
    eventually(lambda: desktop.files.read("/home/user/typed.txt") == "from python\n")


def test_stream_has_a_key_and_a_page(desktop: Sandbox):
    desktop.stream.start(require_auth=True)
    key = desktop.stream.get_auth_key()
    url = desktop.stream.get_url(auth_key=key)
    assert url.startswith(f"https://{desktop.get_host(6080)}/vnc.html?")
    assert f"password={key}" in url
    desktop.stream.stop()
