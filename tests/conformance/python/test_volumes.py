"""Volumes of a team and their files, which the newest client has in both of its APIs."""

import pytest
from conftest import E2B_VERSION, RUN_ID

pytestmark = pytest.mark.skipif(E2B_VERSION < (2, 45), reason="this version has no volumes")


@pytest.fixture
def volume(request):
    from e2b import Volume

    made = Volume.create(f"{RUN_ID}-{request.node.name}".replace("_", "-").lower())
    yield made
    Volume.destroy(made.volume_id)


def test_a_volume_is_created_described_listed_and_destroyed(volume):
    from e2b import Volume

    assert Volume.get_info(volume.volume_id).name == volume.name
    assert volume.volume_id in [each.volume_id for each in Volume.list()]
    assert Volume.connect(volume.volume_id).name == volume.name
    with pytest.raises(Exception, match="already exists"):
        Volume.create(volume.name)
    with pytest.raises(Exception, match="Invalid volume name"):
        Volume.create("a/b")
    assert Volume.destroy(volume.volume_id) is True
    assert Volume.destroy(volume.volume_id) is False


def test_a_volume_has_files_and_directories(volume):
    assert volume.write_file("/notes.txt", "h\u00e4l").size == 4
    assert volume.read_file("/notes.txt") == "h\u00e4l"
    assert bytes(volume.read_file("/notes.txt", format="bytes")) == "h\u00e4l".encode()
    with pytest.raises(Exception, match="exists already"):
        volume.write_file("/notes.txt", "x")
    volume.write_file("/notes.txt", b"new", force=True)
    volume.make_dir("/a/b c", force=True, mode=0o700)
    assert sorted(entry.path for entry in volume.list("/", depth=2)) == ["/a", "/a/b c", "/notes.txt"]
    changed = volume.update_metadata("/a", uid=1000, gid=1000, mode=0o750)
    assert (changed.uid, changed.gid, changed.mode) == (1000, 1000, 0o750)
    volume.remove("/a")
    assert not volume.exists("/a")
    assert volume.get_info("/notes.txt").size == 3


def test_a_volume_is_mounted_into_a_sandbox(volume):
    from e2b import Sandbox

    volume.write_file("/from-api", "api")
    sandbox = Sandbox.create(timeout=120, volume_mounts={"/mnt/data": volume})
    try:
        assert sandbox.files.read("/mnt/data/from-api") == "api"
        sandbox.files.write("/mnt/data/from-sandbox", "sandbox")
        assert volume.read_file("/from-sandbox") == "sandbox"
    finally:
        sandbox.kill()
