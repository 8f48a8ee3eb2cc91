"""Reads that would leave a mount."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime import mounted_files
from runtime.mounted_files import LOOK, Revisions


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder with the Secret ``token`` as the kubelet mounts it, and a file beside it."""
    folder = tmp_path / "secrets"
    revision = folder / "token" / "..2026_01"
    revision.mkdir(parents=True)
    (revision / "key").write_bytes(b"value")
    (folder / "token" / "..data").symlink_to("..2026_01")
    (folder / "token" / "key").symlink_to("..data/key")
    (tmp_path / "outside").write_text("not yours")
    (folder / "beside").mkdir()
    (folder / "beside" / "key").write_text("of another Secret")
    return folder


def test_a_key_is_read_through_the_links_of_the_kubelet(secrets: Path) -> None:
    assert mounted_files.list_keys(secrets, "token") == ["key"]
    assert mounted_files.read_key(secrets, "token", "key") == b"value"


def test_a_new_revision_has_its_keys_before_the_kubelet_has_made_and_removed_their_links(secrets: Path) -> None:
    (secrets / "token" / "..2026_02").mkdir()
    (secrets / "token" / "..2026_02" / "added").write_bytes(b"new")
    (secrets / "token" / "..next").symlink_to("..2026_02")
    (secrets / "token" / "..next").rename(secrets / "token" / "..data")

    assert mounted_files.list_keys(secrets, "token") == ["added"]
    assert mounted_files.read_key(secrets, "token", "added") == b"new"
    with pytest.raises(FileNotFoundError):
        mounted_files.read_key(secrets, "token", "key")


def test_a_folder_on_a_laptop_has_files(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    (tmp_path / "token" / "key").write_bytes(b"value")

    assert mounted_files.list_keys(tmp_path, "token") == ["key"]
    assert mounted_files.read_key(tmp_path, "token", "key") == b"value"


def test_a_mount_may_lie_behind_a_link(secrets: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(secrets)

    assert mounted_files.read_key(tmp_path / "link", "token", "key") == b"value"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("token", "../../outside"),
        ("token", "../beside/key"),
        ("token", ".."),
        ("token", "..data"),
        ("token", "."),
        ("token", ""),
        ("token", "/etc/passwd"),
        ("token", "key\0"),
        ("../secrets/token", "key"),
        ("..", "outside"),
        (".", "token"),
        ("", "token"),
        ("/etc", "passwd"),
    ],
)
def test_a_name_that_leaves_the_mount_is_refused(secrets: Path, name: str, key: str) -> None:
    with pytest.raises(OSError, match="not a file name"):
        mounted_files.read_key(secrets, name, key)


@pytest.mark.parametrize("target", ["../../outside", "/etc/passwd", "../beside/key", "..data/../../beside/key"])
def test_a_link_out_of_the_mount_is_refused(secrets: Path, target: str) -> None:
    (secrets / "token" / "escape").symlink_to(target)

    with pytest.raises(PermissionError, match="outside its mount"):
        mounted_files.read_key(secrets, "token", "escape")


def test_a_revision_out_of_the_mount_is_refused(secrets: Path) -> None:
    (secrets / "token" / "..data").unlink()
    (secrets / "token" / "..data").symlink_to("../beside")

    with pytest.raises(PermissionError, match="outside its mount"):
        mounted_files.read_key(secrets, "token", "key")
    with pytest.raises(PermissionError, match="outside its mount"):
        mounted_files.list_keys(secrets, "token")


def test_an_object_that_is_a_link_is_refused(secrets: Path) -> None:
    (secrets / "other").symlink_to(secrets / "token")

    with pytest.raises(PermissionError, match="is a link"):
        mounted_files.list_keys(secrets, "other")


def test_a_pipe_does_not_block(secrets: Path) -> None:
    os.mkfifo(secrets / "token" / "pipe")

    with pytest.raises(PermissionError, match="not a regular file"):
        mounted_files.read_key(secrets, "token", "pipe")


def test_a_file_that_no_secret_holds_is_refused(secrets: Path) -> None:
    (secrets / "token" / "huge").write_bytes(b"x" * (mounted_files.MAX_BYTES + 1))

    with pytest.raises(PermissionError, match="more than"):
        mounted_files.read_key(secrets, "token", "huge")


def test_what_is_missing_is_missing(secrets: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mounted_files.read_key(secrets, "token", "none")
    with pytest.raises(FileNotFoundError):
        mounted_files.list_keys(secrets, "none")


def test_an_object_is_looked_at_once_in_a_while(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    look = mounted_files.revision
    monkeypatch.setattr(mounted_files, "revision", lambda folder, name: (looks.append(name), look(folder, name))[1])
    now = 100.0
    revisions = Revisions(secrets, lambda: now)

    first = revisions.of("token")
    (secrets / "token" / "..2026_02").mkdir()
    (secrets / "token" / "..data").unlink()
    (secrets / "token" / "..data").symlink_to("..2026_02")
    assert revisions.of("token") is first
    now += LOOK
    assert revisions.of("token") != first
    assert looks == ["token", "token"]


def test_what_is_missing_is_looked_for_each_time(secrets: Path) -> None:
    revisions = Revisions(secrets, lambda: 0.0)
    with pytest.raises(FileNotFoundError):
        revisions.of("late")
    (secrets / "late").mkdir()
    (secrets / "late" / "key").write_bytes(b"there")

    assert revisions.of("late")


def test_the_objects_that_are_remembered_have_a_limit(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounted_files, "MAX_OBJECTS", 2)
    revisions = Revisions(secrets, lambda: 0.0)
    for name in ("token", "beside", "token", "third"):
        (secrets / name).mkdir(exist_ok=True)
        revisions.of(name)

    assert list(revisions._known) == ["beside", "third"]
