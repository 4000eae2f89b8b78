import pytest
from conftest import RUN_ID, eventually
from e2b import AuthenticationException, Sandbox, SandboxException, SandboxNotFoundException, SandboxQuery, SandboxState

UNKNOWN = "i0123456789abcdefghij"


def test_tells_what_it_was_created_from(sandbox):
    info = sandbox.get_info()
    assert info.sandbox_id == sandbox.sandbox_id
    assert info.name == "base"
    assert info.state == SandboxState.RUNNING
    assert info.metadata == {"runId": RUN_ID}
    assert 590 < (info.end_at - info.started_at).total_seconds() < 610


def test_is_connected_to_by_its_id(sandbox):
    sandbox.files.write("/tmp/connected", "here")
    assert Sandbox.connect(sandbox.sandbox_id).files.read("/tmp/connected") == "here"
    assert sandbox.connect().files.read("/tmp/connected") == "here"


def test_runs_until_it_is_killed(create):
    own = create()
    assert own.is_running()
    assert own.kill() is True
    assert not own.is_running()
    assert Sandbox.kill(own.sandbox_id) is False
    with pytest.raises(SandboxNotFoundException):
        Sandbox.connect(own.sandbox_id)


def test_is_killed_at_the_end_of_a_with_block():
    with Sandbox.create(timeout=60) as own:
        assert own.commands.run("echo in").stdout == "in\n"
    assert not own.is_running()


def test_is_killed_when_its_timeout_has_passed(create):
    own = create(timeout=2)
    eventually(lambda: not own.is_running())


def test_gets_a_new_deadline(create):
    own = create()
    own.set_timeout(600)
    first = own.get_info().end_at
    Sandbox.set_timeout(own.sandbox_id, 30)
    assert (first - own.get_info().end_at).total_seconds() > 500


def test_is_listed_by_metadata_in_pages(create):
    key = {"list": f"{RUN_ID} & list=1"}
    ids = [create(metadata=key).sandbox_id for _ in range(3)]
    paginator = Sandbox.list(query=SandboxQuery(metadata=key, state=[SandboxState.RUNNING]), limit=2)
    first = paginator.next_items()
    assert [info.sandbox_id for info in first] == [ids[2], ids[1]]
    assert paginator.has_next
    assert [info.sandbox_id for info in paginator.next_items()] == [ids[0]]
    assert not paginator.has_next


def test_reports_metrics(sandbox):
    samples = eventually(sandbox.get_metrics, timeout=30)
    assert samples[-1].cpu_count == sandbox.get_info().cpu_count
    assert 0 < samples[-1].mem_used < samples[-1].mem_total
    assert samples[-1].disk_total > 0


def test_serves_a_port_by_its_host_name(sandbox):
    import ssl
    import urllib.request

    sandbox.commands.run("cd /etc && exec python3 -m http.server 8000", background=True, timeout=0)
    sandbox.commands.run("for i in $(seq 100); do curl -s 127.0.0.1:8000 >/dev/null && exit; sleep 0.1; done; exit 1")
    context = ssl.create_default_context()
    url = f"https://{sandbox.get_host(8000)}/hostname"
    with urllib.request.urlopen(url, timeout=15, context=context) as response:
        assert response.status == 200


def test_signs_urls(sandbox):
    import urllib.error
    import urllib.request

    sandbox.files.write("/tmp/signed.txt", "signed")
    url = sandbox.download_url("/tmp/signed.txt", use_signature_expiration=60)
    with urllib.request.urlopen(url, timeout=15) as response:
        assert response.read() == b"signed"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url.replace("signed.txt", "other.txt"), timeout=15)


def test_a_wrong_key_is_an_authentication_exception():
    with pytest.raises(AuthenticationException):
        Sandbox.create(api_key="e2b_" + "0" * 40)


def test_an_unknown_template_is_refused_with_similar_names():
    with pytest.raises(SandboxException, match="404.*bsae.*base"):
        Sandbox.create("bsae")


def test_an_unknown_sandbox_is_not_found():
    with pytest.raises(SandboxNotFoundException):
        Sandbox.connect(UNKNOWN)
    with pytest.raises(SandboxNotFoundException):
        Sandbox.get_info(UNKNOWN)
    assert Sandbox.kill(UNKNOWN) is False


def test_a_timeout_out_of_range_is_refused():
    with pytest.raises(SandboxException, match="(?i)400.*timeout"):
        Sandbox.create(timeout=10**12)
