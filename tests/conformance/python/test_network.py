"""Network rules as both APIs send them. The matrix of real traffic is in ../egress-rules.test.ts."""

import json
import os

import pytest
from conftest import E2B_VERSION
from e2b import AsyncSandbox, Sandbox, SandboxException

ALL = "0.0.0.0/0"
# tests are also collected without an internet
WEB = os.environ.get("TEST_INTERNET_WEB", "")
OTHER = os.environ.get("TEST_INTERNET_OTHER", "")
TRANSFORM = {"transform": {"headers": {"x-header": "content"}}}
is_newest = pytest.mark.skipif(E2B_VERSION < (2, 63), reason="this version does not have the field")


def reach(sandbox, url, options=""):
    return sandbox.commands.run(f"curl -s -m 3 {options} {url} || true").stdout


def test_rules_hold_and_are_shown(create):
    network = {
        "allow_out": [WEB, "allowed.test"],
        "deny_out": [ALL],
        "allow_public_traffic": False,
        "mask_request_host": "localhost:${PORT}",
    }
    sandbox = create(network=network)
    assert WEB in reach(sandbox, f"http://{WEB}/")
    assert WEB in reach(sandbox, "http://allowed.test/")
    assert reach(sandbox, f"http://{OTHER}:8080/") == ""
    shown = sandbox.get_info().network
    assert shown["allow_out"] == network["allow_out"]
    assert shown["deny_out"] == [ALL]
    assert sandbox.traffic_access_token


def test_an_update_replaces_all_rules(create):
    sandbox = create(network={"deny_out": [WEB]})
    sandbox.update_network({"deny_out": [OTHER]})
    assert WEB in reach(sandbox, f"http://{WEB}/")
    assert reach(sandbox, f"http://{OTHER}/") == ""
    sandbox.update_network({"allow_internet_access": False})
    assert reach(sandbox, f"http://{WEB}/") == ""
    Sandbox.update_network(sandbox.sandbox_id, {})
    assert WEB in reach(sandbox, f"http://{WEB}/")


def test_internet_access_can_be_off(create):
    sandbox = create(allow_internet_access=False)
    assert reach(sandbox, f"http://{WEB}/") == ""
    assert sandbox.get_info().allow_internet_access is False


@pytest.mark.parametrize(
    "network, message",
    [
        ({"deny_out": ["example.com"]}, "invalid denied CIDR example.com"),
        ({"allow_out": ["0.0.0.0"]}, "invalid allowed address 0.0.0.0"),
        ({"allow_out": ["a.com"]}, "you must include 'ALL_TRAFFIC' in deny out"),
        ({"mask_request_host": "a b"}, "mask request host is not valid"),
    ],
)
def test_bad_rules_are_refused(create, network, message):
    with pytest.raises(SandboxException, match=message):
        create(network=network)


@is_newest
def test_transforms_set_headers(create):
    sandbox = create(
        network={
            "allow_out": lambda context: list(context.rules.keys()),
            "deny_out": lambda context: [context.all_traffic],
            "rules": {"allowed.test": [TRANSFORM], "*.example.com": [TRANSFORM]},
        }
    )
    for url in ("http://allowed.test/", "https://allowed.test/", "https://api.example.com/"):
        assert json.loads(reach(sandbox, url))["headers"]["x-header"] == "content"
    assert sandbox.get_info().network["rules"]["allowed.test"] == [TRANSFORM]


@is_newest
def test_newest_fields_are_kept(create):
    ca_cert = open(os.environ["TEST_INTERNET_CA"]).read()
    sandbox = create(
        network={
            "allow_out": ["allowed.test"],
            "deny_out": [ALL],
            "dns_servers": ["1.1.1.1"],
            "https_ports": [8443],
            "egress_proxy": {
                "address": "proxy.example.com:1080",
                "username": "me",
                "password": "hunter2",
                "tls": {"server_name": "proxy.example.com", "ca_cert": ca_cert},
            },
        }
    )
    shown = sandbox.get_info().network
    assert shown["dns_servers"] == ["1.1.1.1"]
    assert shown["https_ports"] == [8443]
    assert shown["egress_proxy"]["address"] == "proxy.example.com:1080"
    assert "hunter2" not in str(shown)
    sandbox.update_network({"deny_out": [OTHER]})
    assert not sandbox.get_info().network.get("dns_servers")


async def test_async_rules_hold_and_are_replaced(async_create):
    sandbox = await async_create(network={"deny_out": [WEB]})

    async def reaches():
        return WEB in (await sandbox.commands.run(f"curl -s -m 3 http://{WEB}/ || true")).stdout

    assert not await reaches()
    await sandbox.update_network({})
    assert await reaches()
    await AsyncSandbox.update_network(sandbox.sandbox_id, {"deny_out": [ALL]})
    assert not await reaches()
