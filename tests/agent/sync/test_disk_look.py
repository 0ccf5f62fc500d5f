"""A look at the disk that is interrupted loses neither its place nor what it found."""

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.tree import Content
from packrat_agent.publish.compared import ComparedFiles
from packrat_agent.state.facts import ScanRound
from packrat_agent.sync import disk_look
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.disk_look import find_untracked, look_beside, note_look
from packrat_agent.sync.mirror import open_mirror
from support.mirror_conf import write_mirror_conf

COUNT = 1200
"""More than two portions of a scan."""
SIZE = 10


class Stopped(Exception):
    """What ends a look."""


@pytest.fixture
def context(tmp_path: Path) -> Iterator[MirrorContext]:
    """A mirror that has published files, and read none of them since."""
    (tmp_path / "state").mkdir()
    with open_mirror(load(write_mirror_conf(tmp_path))) as made:
        files = [put(made, f"pool/{number:05}") for number in range(COUNT)]
        made.store.live.adopt("repo", [(file, file.sha256) for file in files], time.time())
        newest = (made.root / files[-1].path).stat().st_ctime_ns
        # A later write has another ctime.
        while time.time_ns() - newest < 20_000_000:
            os.sched_yield()
        yield made


def put(context: MirrorContext, path: str) -> StoredFile:
    target = context.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"x" * SIZE)
    status, sha256 = target.stat(), hashlib.sha256(b"x" * SIZE).hexdigest()
    return StoredFile(path, sha256, status.st_size, status.st_mtime_ns, status.st_ino)


def rot(context: MirrorContext, path: str) -> None:
    """Change the bytes of a file as a disk does that forgets: no time of it changes."""
    target = context.root / path
    status = target.stat()
    target.write_bytes(b"y" * SIZE)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    # Its ctime can't be set, so the one is noted that it has now.
    known = context.store.scanned.look_up([path])[path]
    context.store.scanned.note([(known, known._replace(ctime_ns=target.stat().st_ctime_ns))])


def damaged(context: MirrorContext) -> list[str]:
    seen = look_beside(context, lambda files, size: None, reads_everything=False)
    return [file.path for file in seen.found.damaged]


def look_until(context: MirrorContext, files: int) -> int:
    """Look, and be stopped after so many files; gives how many bytes were read."""
    seen = read = 0

    def stop(more: int, size: int) -> None:
        nonlocal seen, read
        seen, read = seen + more, read + size
        if seen > files:
            raise Stopped

    with pytest.raises(Stopped):
        look_beside(context, stop, reads_everything=False)
    return read


def test_a_look_that_is_stopped_goes_on_where_it_was(context: MirrorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    # It notes its place every ten seconds.
    monkeypatch.setattr(disk_look, "_NOTE_POSITION_S", 0.0)
    assert look_until(context, 1100) > 1000 * SIZE
    place = context.store.facts.read(ScanRound)
    assert place is not None
    assert place.position == "pool/00999"
    seen = look_beside(context, lambda files, size: None, reads_everything=False)
    assert (seen.found.files, seen.found.read_bytes) == (COUNT, (COUNT - 1000) * SIZE)


@pytest.mark.parametrize("ends", [True, False], ids=["after the look", "during the look"])
def test_damage_is_found_again_if_the_agent_dies_before_mending_it(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    monkeypatch.setattr(disk_look, "_NOTE_POSITION_S", 0.0)
    assert damaged(context) == []
    rot(context, "pool/00100")
    # As in a large tree: the next look reads none of these files again.
    if ends:
        assert damaged(context) == ["pool/00100"]
        now = time.time()
        context.store.facts.write(ScanRound(now, None, "pool/99999", 0))
    else:
        look_until(context, 1100)
    seen = look_beside(context, lambda files, size: None, reads_everything=False)
    assert [file.path for file in seen.found.damaged] == ["pool/00100"]
    assert seen.found.read_bytes <= (COUNT - 1000 + 1) * SIZE
    note_look(context, seen)
    assert context.store.scanned.look_up(["pool/00100"]) == {}


def test_an_index_that_the_disk_changed_is_not_taken_for_the_one_that_was_read_before(context: MirrorContext) -> None:
    compared = ComparedFiles(lambda: time.time_ns() + 5_000_000_000)
    path, content = context.root / "pool/00100", Content.of(b"x" * 300_000)
    path.write_bytes(b"y" * content.size)
    compared.note(path.stat(), content)
    seen = look_beside(context, lambda files, size: None, reads_everything=True)
    assert [file.path for file in seen.found.damaged] == ["pool/00100"]
    note_look(replace(context, compared=compared), seen)
    assert not compared.has(path.stat(), content)


def test_directories_nested_too_deeply_are_untracked_and_the_rest_is_scanned(context: MirrorContext) -> None:
    (context.root / "/".join("d" * 150)).mkdir(parents=True)
    rot(context, "pool/00100")
    found = look_beside(context, lambda files, size: None, reads_everything=True).found
    assert (found.files, [file.path for file in found.damaged]) == (COUNT - 1, ["pool/00100"])
    assert find_untracked(context, found) == ["/".join("d" * 101)]


def test_a_file_published_while_a_scan_reads_is_not_taken_for_damaged(context: MirrorContext) -> None:
    """The walk gives the files of a directory by 500; with those before them, they are more than a portion."""
    live = context.store.live
    first = [put(context, f"a/{number}") for number in range(3)]
    live.adopt("repo", [(file, file.sha256) for file in first], time.time())
    published = False

    def publish(more: int, size: int) -> None:
        nonlocal published
        if not published:
            published = True
            target = context.root / "pool/00498"
            target.with_name("new").write_bytes(b"the next one")
            target.with_name("new").rename(target)
            status, sha256 = target.stat(), hashlib.sha256(b"the next one").hexdigest()
            file = StoredFile("pool/00498", sha256, status.st_size, status.st_mtime_ns, status.st_ino)
            live.forget([file.path])
            live.adopt("repo", [(file, sha256)], time.time())

    seen = look_beside(context, publish, reads_everything=True)
    assert published
    # What was known of it before it was read is known no more.
    assert note_look(context, seen) == set()
    assert "pool/00498" in context.store.scanned.look_up(["pool/00498"])
