"""Secrets of a team, which the newest client has in both of its APIs."""

import pytest
from conftest import E2B_VERSION, RUN_ID

pytestmark = pytest.mark.skipif(E2B_VERSION < (2, 45), reason="this version has no secrets")


@pytest.fixture
def name(request):
    from e2b import Secret

    own = f"{RUN_ID}-{request.node.name}".replace("_", "-").lower()
    yield own
    Secret.destroy(own)


def test_a_secret_is_created_described_updated_and_destroyed(name):
    from e2b import Secret

    created = Secret.create(name.upper(), "value", metadata={"owner": "ann"})
    assert created.secret_id.startswith("sec_")
    assert (created.name, created.version, created.metadata) == (name, 1, {"owner": "ann"})
    assert Secret.get_info(created.secret_id) == created == Secret.get_info(name)
    updated = Secret.update(name, "second")
    assert (updated.secret_id, updated.version, updated.metadata) == (created.secret_id, 2, {"owner": "ann"})
    assert Secret.update(created.secret_id, "third", metadata={}).metadata == {}
    assert Secret.exists(name)
    assert Secret.destroy(name) is True
    assert Secret.destroy(name) is False
    assert not Secret.exists(name)


def test_secrets_are_listed_in_pages(name):
    from e2b import Secret

    names = [f"{name}-{i}" for i in range(3)]
    for each in names:
        Secret.create(each, "value")
    found = []
    pages = Secret.list(limit=2)
    while pages.has_next:
        page = pages.next_items()
        assert len(page) <= 2
        found += [secret.name for secret in page]
    for each in names:
        assert found.count(each) == 1
        Secret.destroy(each)


def test_errors_of_secrets_have_classes_of_their_own(name):
    from e2b import Secret, SecretException, SecretNotFoundException

    with pytest.raises(SecretNotFoundException):
        Secret.get_info(name)
    with pytest.raises(SecretNotFoundException):
        Secret.update(name, "value")
    Secret.create(name, "value")
    with pytest.raises(SecretException, match=f"a secret named '{name}' exists already in this team"):
        Secret.create(name, "value")
    with pytest.raises(SecretException, match="value has 65537 bytes, at most 65536"):
        Secret.update(name, "x" * 65537)


@pytest.mark.asyncio
async def test_the_asynchronous_api_does_all_of_it(name):
    from e2b import AsyncSecret

    created = await AsyncSecret.create(name, "value")
    assert await AsyncSecret.get_info(name) == created
    assert (await AsyncSecret.update(name, "second", metadata={"a": "b"})).version == 2
    pages = AsyncSecret.list()
    assert name in [secret.name for secret in await pages.next_items()]
    assert await AsyncSecret.exists(name)
    assert await AsyncSecret.destroy(name)
