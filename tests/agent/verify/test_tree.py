"""The audit of a whole tree: every named file is read to its end, every other entry is told."""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from packrat_agent.verify.findings import Audit
from packrat_agent.verify.tree import verify_tree

CHUNK = 1024 * 1024
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK)
REPO = "files/tools"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of files of all the sizes that reading could get wrong, without signatures."""
    top = tmp_path / "www"
    listed: dict[str, list[dict[str, object]]] = {}
    sums = ""
    for size in SIZES:
        name = f"tool-{size}/1.0/blob"
        content = bytes(number % 251 for number in range(1000)) * (size // 1000 + 1)
        (top / REPO / name).parent.mkdir(parents=True)
        (top / REPO / name).write_bytes(content[:size])
        digest = hashlib.sha256(content[:size]).hexdigest()
        listed[f"tool-{size}"] = [{"path": name, "sha256": digest, "size": size}]
        sums += f"{digest}  {name}\n"
    (top / REPO / "_repo_main").mkdir()
    manifest = json.dumps(listed, indent=2, sort_keys=True)
    (top / REPO / "_repo_main/MANIFEST_all.json").write_text(manifest + "\n")
    (top / REPO / "SHA256SUMS").write_text(sums)
    return top


def audit(top: Path) -> Audit:
    """What `verify` finds, without its progress."""
    return verify_tree(top, None, lambda files, size: None)


def test_progress_comes_to_what_was_read(tree: Path) -> None:
    one_at_a_time, seen = threading.Lock(), [0, 0]

    def count(files: int, size: int) -> None:
        with one_at_a_time:
            seen[0] += files
            seen[1] += size

    found = verify_tree(tree, None, count)
    assert (found.faults, found.unnamed) == ((), ())
    assert seen == [found.files, found.bytes]
    assert found.files == len(SIZES) + 2


def test_a_repository_is_found_as_deep_as_the_agent_makes_one(tree: Path) -> None:
    (tree / "a/b/c").mkdir(parents=True)
    (tree / REPO).rename(tree / "a/b/c/tools")
    found = audit(tree)
    assert (found.repositories, found.faults, found.files) == ((("json", "a/b/c/tools"),), (), len(SIZES) + 2)


@pytest.mark.parametrize("size", [size for size in SIZES if size])
def test_the_last_byte_of_a_file_counts(tree: Path, size: int) -> None:
    path = f"{REPO}/tool-{size}/1.0/blob"
    content = bytearray((tree / path).read_bytes())
    content[-1] ^= 1
    (tree / path).write_bytes(content)
    (fault,) = audit(tree).faults
    assert (fault.path, fault.what[:12]) == (path, "has SHA-256 ")


def test_a_path_of_very_many_directories_is_a_fault_of_the_index(tree: Path) -> None:
    deep = "/".join(["d"] * 1500)
    with (tree / REPO / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  tool-1/{deep}\n")
    (tree / REPO / "_repo_main/MANIFEST_all.json").unlink()
    assert f"{REPO}/tool-1/{deep}" in {fault.path for fault in audit(tree).faults}


def put_behind_link(tree: Path, moved: Path) -> None:
    """Leave the same bytes where a link leads."""
    moved.rename(tree / "elsewhere")
    moved.symlink_to(tree / "elsewhere")


NAMED = f"named by {REPO}/_repo_main/MANIFEST_all.json"


EDITS: dict[str, tuple[Callable[[Path, Path], None], set[tuple[str, str]]]] = {
    "a directory is a link": (
        lambda tree, place: put_behind_link(tree, place / "tool-1"),
        {(f"{REPO}/tool-1/1.0/blob", f"{NAMED}: stands behind a symbolic link")},
    ),
    "a file is a link": (
        lambda tree, place: put_behind_link(tree, place / "tool-1/1.0/blob"),
        {(f"{REPO}/tool-1/1.0/blob", f"{NAMED}: Too many levels of symbolic links")},
    ),
    "a link leads out": (
        lambda tree, place: (place / "out").symlink_to("/etc"),
        {(f"{REPO}/out", "is a symbolic link that leads out of the tree, to /etc")},
    ),
    "a link leads nowhere": (
        lambda tree, place: (place / "tool-1/1.0/gone").symlink_to("nothing"),
        {(f"{REPO}/tool-1/1.0/gone", "is a symbolic link that leads nowhere")},
    ),
    "a link leads round in a circle": (
        lambda tree, place: (place / "round").symlink_to("round"),
        {(f"{REPO}/round", "is a symbolic link that leads round in a circle")},
    ),
    "a pipe beside a file": (
        lambda tree, place: os.mkfifo(place / "tool-1/pipe"),
        {(f"{REPO}/tool-1/pipe", "is neither file nor directory")},
    ),
    "a directory is closed": (
        lambda tree, place: (place / "tool-1").chmod(0o700),
        {(f"{REPO}/tool-1", "is closed to a web server; its mode should be 0755")},
    ),
    "a directory that holds nothing named is closed": (
        lambda tree, place: (place / "empty").mkdir(0o700),
        set(),
    ),
    "a file is closed": (
        lambda tree, place: (place / "tool-1/1.0/blob").chmod(0o600),
        {(f"{REPO}/tool-1/1.0/blob", "is not readable for a web server; its mode should be 0644")},
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_that_clients_cannot_use_is_a_fault(tree: Path, edit: str) -> None:
    change, faults = EDITS[edit]
    change(tree, tree / REPO)
    assert {(fault.path, fault.what) for fault in audit(tree).faults} == faults


def test_files_that_no_index_names_are_listed_apart_from_the_agents(tree: Path) -> None:
    for name in ("left", f"{REPO}/tool-1/left", ".packrat-agent/lock"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    found = audit(tree)
    assert (found.faults, found.unnamed) == ((), (f"{REPO}/tool-1/left", "left"))


@pytest.mark.parametrize(
    "name", ["tool-1/1.0/bl\0b", "tool-1/1.0/bl\udc80b", "tool-1/1.0/bl\ud800b", "tool-1/1.0/" + 300 * "b"]
)
def test_a_name_that_no_file_can_have_is_a_fault_of_the_tree(tree: Path, name: str) -> None:
    manifest = tree / REPO / "_repo_main/MANIFEST_all.json"
    listed = json.loads(manifest.read_text())
    listed["tool-1"][0]["path"] = name
    manifest.write_text(json.dumps(listed, indent=2, sort_keys=True) + "\n")
    assert any(fault.path in (str(manifest.relative_to(tree)), f"{REPO}/{name}") for fault in audit(tree).faults)


def test_an_error_stops_the_other_threads_at_their_next_file(tmp_path: Path) -> None:
    count, place = 1000, tmp_path / REPO
    place.mkdir(parents=True)
    for number in range(count):
        (place / str(number)).touch()
    empty = hashlib.sha256().hexdigest()
    (place / "SHA256SUMS").write_text("".join(f"{empty}  {number}\n" for number in range(count)))
    called = []

    def fail_first(files: int, size: int) -> None:
        called.append(files)
        if len(called) == 1:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        verify_tree(tmp_path, None, fail_first)
    assert len(called) < count
