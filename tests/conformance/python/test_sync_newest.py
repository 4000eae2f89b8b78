"""Features of PyPI e2b 2.63 that 2.31 does not have."""

import os
import time
import uuid

import pytest
from conftest import E2B_VERSION, RUN_ID
from e2b import Sandbox, SandboxException

if E2B_VERSION < (2, 63):
    pytest.skip("of clients from 2.63 on", allow_module_level=True)

from e2b import (
    ConnectionConfig,
    GuestUnresponsiveException,
    SandboxNotRunningException,
    SandboxUnreachableException,
    ServiceBusyException,
)
from e2b.api.client.api.tags import (
    get_templates_template_id_tags_count,
    get_templates_template_id_tags_exists,
    get_templates_template_id_tags_groups,
    get_templates_template_id_tags_tag_assignments,
)
from e2b.api.client.api.templates import (
    get_default_templates,
    get_templates,
    get_templates_template_id,
    get_v2_templates,
)
from e2b.sandbox_sync.paginator import get_api_client


@pytest.fixture
def api():
    return get_api_client(ConnectionConfig())


def boot_id(sandbox):
    return sandbox.commands.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()


def stop_envd(sandbox):
    """Stops every thread of envd, as in a guest that hangs."""
    sandbox.commands.run("(sleep 0.3; sudo kill -STOP 1) >/dev/null 2>&1 &")
    time.sleep(1)


def test_an_idempotency_key_makes_one_sandbox_of_several_creates(create):
    key = f"key-{uuid.uuid4()}"
    first, second = (create(idempotency_key=key) for _ in range(2))
    assert first.sandbox_id == second.sandbox_id
    assert second.commands.run("echo hi").stdout == "hi\n"
    with pytest.raises(SandboxException, match="another request") as mismatch:
        create(idempotency_key=key, timeout=119)
    assert mismatch.value.status_code == 409
    first.kill()
    assert create(idempotency_key=key).sandbox_id == first.sandbox_id


def test_a_strict_pause_is_refused_while_envd_does_not_answer(create):
    sandbox = create()
    stop_envd(sandbox)
    with pytest.raises(ServiceBusyException, match="keeps running"):
        sandbox.pause(strict=True, retries=0)
    with pytest.raises(ServiceBusyException):
        sandbox.pause(mode="filesystem", retries=0)
    assert sandbox.get_info().state.value == "running"


def test_a_sandbox_paused_while_envd_did_not_answer_is_resumed_by_a_reboot(create):
    sandbox = create()
    sandbox.files.write("kept.txt", "kept")
    sandbox.commands.run("sync")
    before = boot_id(sandbox)
    stop_envd(sandbox)
    assert sandbox.get_info().envd_unresponsive_at_pause is None
    assert sandbox.pause() is True
    assert sandbox.get_info().envd_unresponsive_at_pause is True
    listed = Sandbox.list(query=None).next_items()
    assert [s.envd_unresponsive_at_pause for s in listed if s.sandbox_id == sandbox.sandbox_id] == [True]
    with pytest.raises(GuestUnresponsiveException) as refused:
        Sandbox.connect(sandbox.sandbox_id)
    assert refused.value.status_code == 409
    again = Sandbox.connect(sandbox.sandbox_id, on_resume="reboot")
    assert again.files.read("kept.txt") == "kept"
    assert boot_id(again) != before
    assert again.get_info().envd_unresponsive_at_pause is None


def test_a_sandbox_from_a_snapshot_of_the_files_alone_boots(create):
    source = create()
    source.files.write("kept.txt", "kept")
    source.commands.run("sleep 1000", background=True)
    before = boot_id(source)
    snapshot = source.create_snapshot(mode="filesystem")
    try:
        assert boot_id(source) == before
        assert "sleep 1000" in source.commands.run("ps -eo args").stdout
        copy = create(template=snapshot.snapshot_id)
        assert copy.files.read("kept.txt") == "kept"
        assert boot_id(copy) != before
        assert "sleep 1000" not in copy.commands.run("ps -eo args").stdout
        copy.kill()
    finally:
        Sandbox.delete_snapshot(snapshot.snapshot_id)


def test_a_pause_of_the_files_alone_and_its_deadline(create):
    sandbox = create()
    before = boot_id(sandbox)
    assert sandbox.pause(mode="filesystem") is True
    assert boot_id(Sandbox.connect(sandbox.sandbox_id)) != before
    other = create(timeout=1, lifecycle={"on_timeout": {"action": "pause", "mode": "filesystem"}})
    deadline = time.time() + 30
    while other.get_info().state.value != "paused":
        assert time.time() < deadline
        time.sleep(0.2)
    assert other.get_info().lifecycle["on_timeout"] == "pause"


def test_a_sandbox_that_was_killed_is_not_running(create):
    sandbox = create()
    Sandbox.kill(sandbox.sandbox_id)
    for call in (lambda: sandbox.commands.run("true"), lambda: sandbox.files.read("/etc/hostname")):
        with pytest.raises(SandboxNotRunningException, match="was not found"):
            call()
    assert sandbox.is_running() is False


def test_a_port_that_is_not_open_cannot_be_reached(create):
    sandbox = create()
    host = f"9-{sandbox.sandbox_id}.{os.environ['E2B_DOMAIN']}"
    elsewhere = Sandbox.connect(sandbox.sandbox_id, sandbox_url=f"http://{host}")
    with pytest.raises(SandboxUnreachableException, match="port is not open"):
        elsewhere.files.read("/etc/hostname")


def test_templates_that_come_with_the_server(api):
    templates = get_default_templates.sync(client=api)
    base = next(template for template in templates if template.aliases == ["base"])
    assert base.is_default is True and base.description and base.spawn_count == 0
    assert [t.template_id for t in templates] == sorted(t.template_id for t in templates)
    for listed in (get_templates.sync(client=api), get_v2_templates.sync(client=api)):
        assert "base" in [alias for template in listed for alias in template.aliases]
    one = get_templates_template_id.sync(base.template_id, client=api)
    assert (one.build_id, one.cpu_count, one.memory_mb) == (base.build_id, base.cpu_count, base.memory_mb)
    assert one.build_status.value == "ready" and len(one.builds) == 1


def test_tags_of_a_template(api, create):
    name = f"tags-{RUN_ID}".lower()
    sandbox = create()
    snapshot = sandbox.create_snapshot(name=f"{name}:v1")
    try:
        sandbox.create_snapshot(name=f"{name}:v2")
        assert get_templates_template_id_tags_count.sync(name, client=api).total == 2
        asked = get_templates_template_id_tags_exists.sync(name, client=api, tag="V1")
        assert (asked.exists, asked.normalized_tag) == (True, "v1")
        groups = get_templates_template_id_tags_groups.sync(name, client=api)
        assert [group.tag for group in groups.tags] == ["v2", "v1"] and groups.next_cursor is None
        page = get_templates_template_id_tags_tag_assignments.sync(name, "v1", client=api)
        assert len(page.data) == 1 and page.data[0].build_finished_at is not None
        assert page.data == groups.tags[1].assignments
        missing = get_templates_template_id_tags_count.sync_detailed("nothing-of-that-name", client=api)
        assert missing.status_code == 404
    finally:
        Sandbox.delete_snapshot(snapshot.snapshot_id)
