import hashlib
import io
import os

import pytest
from conftest import E2B_VERSION, eventually
from e2b import FileNotFoundException, FileType, FilesystemEventType, InvalidArgumentException


@pytest.mark.parametrize("opts", [{}, {"use_octet_stream": True}, {"gzip": True}], ids=["multipart", "octets", "gzip"])
def test_are_written_and_read_in_every_form(sandbox, opts):
    data = os.urandom(200_000)
    written = sandbox.files.write("/tmp/py/forms.bin", data, **opts)
    assert (written.name, written.path) == ("forms.bin", "/tmp/py/forms.bin")
    assert bytes(sandbox.files.read("/tmp/py/forms.bin", format="bytes")) == data
    assert bytes(sandbox.files.read("/tmp/py/forms.bin", format="bytes", gzip=True)) == data
    assert b"".join(sandbox.files.read("/tmp/py/forms.bin", format="stream")) == data
    sandbox.files.write("/tmp/py/forms.txt", "Text ☃", **opts)
    assert sandbox.files.read("/tmp/py/forms.txt") == "Text ☃"
    sandbox.files.write("/tmp/py/forms.io", io.BytesIO(data), **opts)
    assert bytes(sandbox.files.read("/tmp/py/forms.io", format="bytes")) == data


def test_may_be_empty(sandbox):
    sandbox.files.write("/tmp/py/empty", "")
    assert sandbox.files.read("/tmp/py/empty") == ""


def test_are_written_many_at_a_time(sandbox):
    written = sandbox.files.write_files(
        [{"path": "/tmp/py/many/a", "data": "A"}, {"path": "many/ü b", "data": b"B"}],
    )
    assert [info.path for info in written] == ["/tmp/py/many/a", "/home/user/many/ü b"]
    assert sandbox.files.read("many/ü b") == "B"


@pytest.mark.parametrize("name", ["with space", "日本 ☃", "a;b&c=d?e#f", "100% %41", 'q"uote', "-rf", "x" * 250])
def test_can_have_odd_names(sandbox, name):
    path = f"/tmp/py/odd/{name}"
    for opts in ({}, {"use_octet_stream": True}):
        assert sandbox.files.write(path, name, **opts).path == path
        assert sandbox.files.read(path) == name
    assert name in [entry.name for entry in sandbox.files.list("/tmp/py/odd")]
    sandbox.files.remove(path)


def test_are_listed_with_depth(sandbox):
    sandbox.files.write("/tmp/py/tree/a/deep/file", "1")
    sandbox.files.write("/tmp/py/tree/b", "22")
    assert [entry.name for entry in sandbox.files.list("/tmp/py/tree")] == ["a", "b"]
    entries = sandbox.files.list("/tmp/py/tree", depth=3)
    assert [entry.path.removeprefix("/tmp/py/tree/") for entry in entries] == ["a", "a/deep", "a/deep/file", "b"]
    assert (entries[0].type, entries[3].type, entries[3].size) == (FileType.DIR, FileType.FILE, 2)


def test_are_told_about_renamed_and_removed(sandbox):
    sandbox.files.write("/tmp/py/info", "four", user="root")
    info = sandbox.files.get_info("/tmp/py/info")
    assert (info.size, info.mode, info.permissions, info.owner) == (4, 0o644, "-rw-r--r--", "root")
    assert sandbox.files.rename("/tmp/py/info", "/tmp/py/new/info", user="root").path == "/tmp/py/new/info"
    assert not sandbox.files.exists("/tmp/py/info")
    assert sandbox.files.make_dir("/tmp/py/dir") is True
    assert sandbox.files.make_dir("/tmp/py/dir") is False
    sandbox.files.remove("/tmp/py/dir")
    assert not sandbox.files.exists("/tmp/py/dir")


def test_keep_metadata(sandbox):
    sandbox.files.write("/tmp/py/meta", "x", metadata={"author": "me"})
    assert sandbox.files.get_info("/tmp/py/meta").metadata == {"author": "me"}


def test_that_are_missing_or_directories_raise(sandbox):
    with pytest.raises(FileNotFoundException, match="/tmp/py/missing"):
        sandbox.files.read("/tmp/py/missing")
    with pytest.raises(FileNotFoundException):
        sandbox.files.list("/tmp/py/missing")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.read("/tmp")


def test_of_64_megabytes_pass_unchanged(sandbox):
    block = os.urandom(1024 * 1024)
    sandbox.files.write("/tmp/py/large", io.BytesIO(block * 64), use_octet_stream=True)
    hashed = hashlib.sha256()
    for chunk in sandbox.files.read("/tmp/py/large", format="stream"):
        hashed.update(chunk)
    assert hashed.digest() == hashlib.sha256(block * 64).digest()


def test_are_watched_by_polling(sandbox):
    sandbox.files.make_dir("/tmp/py/watched")
    handle = sandbox.files.watch_dir("/tmp/py/watched", recursive=True)
    sandbox.files.write("/tmp/py/watched/file", "x")
    sandbox.files.make_dir("/tmp/py/watched/sub")
    seen = []

    def look():
        seen.extend((event.type, event.name) for event in handle.get_new_events())
        return {
            (FilesystemEventType.CREATE, "file"),
            (FilesystemEventType.WRITE, "file"),
            (FilesystemEventType.CREATE, "sub"),
        } <= set(seen)

    eventually(look)
    # clients of the real service rely on this for an upload to a new path
    uploaded = [kind for kind, name in seen if name == "file"]
    assert uploaded == [FilesystemEventType.CREATE, FilesystemEventType.CHMOD, FilesystemEventType.WRITE]
    handle.stop()
    with pytest.raises(Exception):
        handle.get_new_events()


def test_that_are_links_show_it_or_what_they_lead_to(sandbox):
    sandbox.commands.run(
        "mkdir -p /tmp/py/links/to && cd /tmp/py/links && ln -s to directory && ln -s gone dangling && ln -s loop loop"
    )
    by_name = {entry.name: entry for entry in sandbox.files.list("/tmp/py/links")}
    link = FileType.DIR
    if E2B_VERSION >= (2, 63):
        link = FileType.SYMLINK
        # older clients omit entries of a type that they do not know
        for name, target in (("dangling", "gone"), ("loop", "loop")):
            assert (by_name[name].type, by_name[name].symlink_target) == (link, f"/tmp/py/links/{target}")
    assert (by_name["to"].type, by_name["to"].symlink_target) == (FileType.DIR, None)
    assert (by_name["directory"].type, by_name["directory"].symlink_target) == (link, "/tmp/py/links/to")
    info = sandbox.files.get_info("/tmp/py/links/directory")
    assert (info.type, info.symlink_target) == (link, "/tmp/py/links/to")
    moved = sandbox.files.rename("/tmp/py/links/directory", "/tmp/py/links/moved")
    assert (moved.type, moved.symlink_target) == (link, "/tmp/py/links/to")
