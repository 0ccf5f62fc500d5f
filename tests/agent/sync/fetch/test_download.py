"""fetch: only verified bytes reach staging; a part is gone on with; nothing is fetched twice."""

import hashlib
import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.sync.fetch.partial_file import FLUSH_BYTES
from packrat_core.errors import DiskError, ServerUnavailable
from support.bundle_server import placement
from support.file_server import CONTENT, QUICK, FileServer, run_fetch
from support.small_disk import small_disk


def test_the_same_bytes_are_asked_for_once(tmp_path: Path) -> None:
    server = FileServer({"/files/a": CONTENT, "/files/b": CONTENT})
    fetched = run_fetch(server, tmp_path, placement("a", CONTENT), placement("b", CONTENT))
    (staged,) = fetched.staged.values()
    assert staged.read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_wrong_bytes_are_thrown_away_and_the_others_go_on(tmp_path: Path) -> None:
    server = FileServer({"/files/a": b"evil", "/files/b": b"good"})
    bad, good = placement("a", b"right"), placement("b", b"good")
    fetched = run_fetch(server, tmp_path, bad, good)
    assert list(fetched.staged) == [good.file.sha256]
    assert "its record says" in str(fetched.failed[bad.file.sha256])
    assert sorted(path.name for path in (tmp_path / "staging").iterdir()) == [good.file.sha256]


@pytest.mark.parametrize("honours_range", [True, False])
def test_a_cut_download_goes_on_where_it_stopped(tmp_path: Path, honours_range: bool) -> None:
    wanted = placement("a", CONTENT)
    server = FileServer({"/files/a": CONTENT}, honours_range=honours_range, cuts=[3 * 65536])
    fetched = run_fetch(server, tmp_path, wanted)
    assert fetched.staged[wanted.file.sha256].read_bytes() == CONTENT
    assert server.asked == [("/files/a", 0), ("/files/a", 3 * 65536)]


def test_a_part_of_an_earlier_time_is_gone_on_with(tmp_path: Path) -> None:
    wanted = placement("a", CONTENT)
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / f"{wanted.file.sha256}.part").write_bytes(CONTENT[:1000])
    server = FileServer({"/files/a": CONTENT})
    assert run_fetch(server, tmp_path, wanted).staged[wanted.file.sha256].read_bytes() == CONTENT
    assert server.asked == [("/files/a", 1000)]


@pytest.mark.parametrize(("flushed", "zeros"), [(1, 1000), (1, FLUSH_BYTES), (0, 1000), (2, 1)])
def test_after_a_power_cut_only_what_was_flushed_is_gone_on_with(tmp_path: Path, flushed: int, zeros: int) -> None:
    content = os.urandom(2 * FLUSH_BYTES + 5000)
    wanted = placement("a", content)
    (tmp_path / "staging").mkdir()
    part = tmp_path / "staging" / f"{wanted.file.sha256}.part"
    part.write_bytes(content[: flushed * FLUSH_BYTES] + bytes(zeros))
    # Written before this machine started.
    os.utime(part, (1.0, 1.0))
    server = FileServer({"/files/a": content})
    assert run_fetch(server, tmp_path, wanted).staged[wanted.file.sha256].read_bytes() == content
    assert server.asked == [("/files/a", flushed * FLUSH_BYTES)]


def test_zeros_that_nobody_can_explain_cost_one_more_download(tmp_path: Path) -> None:
    wanted = placement("a", CONTENT)
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / f"{wanted.file.sha256}.part").write_bytes(CONTENT[:1000] + bytes(1000))
    server = FileServer({"/files/a": CONTENT})
    assert run_fetch(server, tmp_path, wanted).staged[wanted.file.sha256].read_bytes() == CONTENT
    assert server.asked == [("/files/a", 2000), ("/files/a", 0)]


def test_a_download_that_brings_nothing_new_ends_after_a_few_tries(tmp_path: Path) -> None:
    wanted = placement("a", CONTENT)
    server = FileServer({"/files/a": CONTENT}, honours_range=False, cuts=[3 * 65536] * 100)
    assert isinstance(run_fetch(server, tmp_path, wanted).failed[wanted.file.sha256], ServerUnavailable)
    # The first brought something, the other three did not.
    assert len(server.asked) == 1 + QUICK.tries
    # What it brought stays for the next pass.
    assert (tmp_path / "staging" / f"{wanted.file.sha256}.part").stat().st_size == 3 * 65536


def test_a_download_that_creeps_ends_too(tmp_path: Path) -> None:
    wanted = placement("a", CONTENT)
    server = FileServer({"/files/a": CONTENT}, cuts=[65536] * 100)
    assert isinstance(run_fetch(server, tmp_path, wanted).failed[wanted.file.sha256], ServerUnavailable)
    assert len(server.asked) == QUICK.total_tries


def test_a_file_that_changed_meanwhile_is_taken_from_its_start(tmp_path: Path) -> None:
    wanted = placement("a", CONTENT)
    server = FileServer({"/files/a": CONTENT}, cuts=[3 * 65536], validators=['"1"', '"2"', '"2"'])
    assert wanted.file.sha256 in run_fetch(server, tmp_path, wanted).staged
    assert server.asked == [("/files/a", 0), ("/files/a", 3 * 65536), ("/files/a", 0)]
    assert server.asked_with == [None, '"1"', None]


def test_a_file_whose_rest_the_server_can_not_send_is_taken_from_its_start(tmp_path: Path) -> None:
    wanted = placement("a", CONTENT)
    server = FileServer({"/files/a": CONTENT}, cuts=[3 * 65536], wrong_ranges=True)
    assert run_fetch(server, tmp_path, wanted).staged[wanted.file.sha256].read_bytes() == CONTENT
    assert server.asked == [("/files/a", 0), ("/files/a", 3 * 65536), ("/files/a", 0)]


def test_a_download_that_never_begins_ends_after_all_its_tries(tmp_path: Path) -> None:
    server = FileServer({}, down=True)
    run_fetch(server, tmp_path, placement("a", b"a"))
    assert len(server.asked) == QUICK.tries


@pytest.mark.parametrize(("busy_s", "asked"), [([0.02, 0.02], 3), ([0.02, 90.1], 2), ([300.0], 1)])
def test_a_server_that_is_busy_is_waited_for_but_not_for_ever(tmp_path: Path, busy_s: list[float], asked: int) -> None:
    wanted = placement("a", CONTENT)
    server = FileServer({"/files/a": CONTENT}, busy_s=busy_s)
    fetched = run_fetch(server, tmp_path, wanted)
    assert len(server.asked) == asked
    assert (wanted.file.sha256 in fetched.staged) == (asked == 3)
    assert (wanted.file.sha256 in fetched.failed) == (asked < 3)


def test_a_busy_server_is_asked_for_no_more_files_after_a_few(tmp_path: Path) -> None:
    files = {f"/files/{number}": str(number).encode() for number in range(20)}
    server = FileServer(files, busy_s=[300.0] * 20)
    wanted = [placement(url.removeprefix("/files/"), content) for url, content in files.items()]
    fetched = run_fetch(server, tmp_path, *wanted, parallel=1)
    assert len(server.asked) == QUICK.busy
    assert len(fetched.failed) == 20


def test_some_files_that_are_to_wait_keep_no_others_from_being_asked_for(tmp_path: Path) -> None:
    files = {f"/files/{number}": str(number).encode() for number in range(8)}
    server = FileServer(files, busy_s=[300.0] * QUICK.given_up)
    wanted = [placement(url.removeprefix("/files/"), content) for url, content in files.items()]
    fetched = run_fetch(server, tmp_path, *wanted, parallel=1)
    assert (len(fetched.failed), len(fetched.staged)) == (QUICK.given_up, 8 - QUICK.given_up)


def test_how_long_a_server_has_been_busy_counts_from_its_first_answer(tmp_path: Path) -> None:
    """Before it, nothing may have been asked for: bundles came, or files of this machine were hashed."""
    server = FileServer({"/files/a": CONTENT}, busy_s=[0.02])
    fetched = run_fetch(server, tmp_path, placement("a", CONTENT), retries=replace(QUICK, patience_s=0.02))
    assert not fetched.failed


def test_a_file_that_arrives_shows_that_the_server_is_there_again(tmp_path: Path) -> None:
    """One file after the other: two that fail, one that arrives, and more that fail."""
    server = FileServer({"/files/2": b"2"})
    run_fetch(server, tmp_path, *(placement(f"{number}", b"%d" % number) for number in range(8)), parallel=1)
    tries = {number: sum(url == f"/files/{number}" for url, _ in server.asked) for number in range(8)}
    assert tries == {0: 3, 1: 3, 2: 1, 3: 3, 4: 3, 5: 3, 6: 1, 7: 1}


def test_a_large_download_is_flushed_as_it_arrives_and_a_small_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    flush = os.fdatasync

    def count(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_size)
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", count)
    content = bytes(2 * FLUSH_BYTES + 5)
    wanted = placement("a", content)
    before = os.umask(0o077)
    try:
        staged = run_fetch(
            FileServer({"/files/a": content, "/files/b": b"b"}), tmp_path, wanted, placement("b", b"b")
        ).staged
    finally:
        os.umask(before)
    assert flushed == [FLUSH_BYTES, 2 * FLUSH_BYTES, len(content)]
    # The file becomes the published one, which everybody may read.
    assert [path.stat().st_mode & 0o7777 for path in staged.values()] == [0o644, 0o644]


def test_files_of_a_server_that_is_away_get_one_try_each_after_some(tmp_path: Path) -> None:
    server = FileServer({}, down=True)
    wanted = [placement(f"f{number}", b"%d" % number) for number in range(50)]
    assert len(run_fetch(server, tmp_path, *wanted).failed) == 50
    # Those four that were under way when three had ended may use up their tries.
    assert len(server.asked) <= (QUICK.given_up + 4) * QUICK.tries + 43


def test_a_part_with_foreign_bytes_is_thrown_away_and_the_file_taken_whole(tmp_path: Path) -> None:
    wanted = placement("a", CONTENT)
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / f"{wanted.file.sha256}.part").write_bytes(b"x" * 100)
    server = FileServer({"/files/a": CONTENT})
    assert run_fetch(server, tmp_path, wanted).staged[wanted.file.sha256].read_bytes() == CONTENT
    assert server.asked == [("/files/a", 100), ("/files/a", 0)]


def test_staged_files_are_checked_and_used(tmp_path: Path) -> None:
    wanted, torn = placement("a", b"whole"), placement("b", b"other")
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / wanted.file.sha256).write_bytes(b"whole")
    (tmp_path / "staging" / torn.file.sha256).write_bytes(b"torn")
    server = FileServer({"/files/b": b"other"})
    fetched = run_fetch(server, tmp_path, wanted, torn)
    assert set(fetched.staged) == {wanted.file.sha256, torn.file.sha256}
    assert server.asked == [("/files/b", 0)]


def test_a_copy_in_the_tree_is_linked_when_its_bytes_are_right(tmp_path: Path) -> None:
    (tmp_path / "right").write_bytes(b"one")
    (tmp_path / "rotten").write_bytes(b"???")
    one, two = placement("a", b"one"), placement("b", b"two")
    sources = {one.file.sha256: "right", two.file.sha256: "rotten"}
    server = FileServer({"/files/b": b"two"})
    fetched = run_fetch(server, tmp_path, one, two, sources=sources)
    assert fetched.staged[one.file.sha256].samefile(tmp_path / "right")
    assert fetched.staged[two.file.sha256].read_bytes() == b"two"
    assert server.asked == [("/files/b", 0)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a filesystem")
def test_a_copy_on_another_filesystem_is_copied(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", "1m"):
        (tmp_path / "disk/right").write_bytes(b"one")
        wanted, server = placement("a", b"one"), FileServer({})
        fetched = run_fetch(server, tmp_path, wanted, sources={wanted.file.sha256: "disk/right"})
        assert fetched.staged[wanted.file.sha256].read_bytes() == b"one"
        assert server.asked == []


def test_progress_adds_up_to_all_files_and_bytes(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    server = FileServer({"/files/a": CONTENT, "/files/b": b"b"}, cuts=[65536])
    run_fetch(server, tmp_path, placement("a", CONTENT), placement("b", b"b"), told=told)
    assert (sum(files for files, _ in told), sum(size for _, size in told)) == (2, len(CONTENT) + 1)


def test_only_the_known_parts_of_a_file_are_staged_unless_one_is_gone(tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(b"signed copy")
    sha256 = hashlib.sha256(b"signed copy").hexdigest()
    wanted = placement("a", b"package")
    file, missing = wanted.file, {wanted.file.uri: {"repo/a": sha256}}
    server = FileServer({"/files/a": b"package"})
    assert run_fetch(server, tmp_path, wanted, missing=missing, sources={sha256: "signed"}).staged.keys() == {sha256}
    assert server.asked == []
    (tmp_path / "staging" / sha256).unlink()
    assert run_fetch(server, tmp_path, wanted, missing=missing, sources={sha256: "gone"}).staged.keys() == {file.sha256}


def test_a_staging_that_cannot_be_written_stops_the_fetch(tmp_path: Path) -> None:
    wanted = placement("a", b"x")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk does; Python ignores the signal that comes with it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(DiskError, match="can't write"):
            run_fetch(FileServer({"/files/a": b"x"}), tmp_path, wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", ["", ".part"])
@pytest.mark.parametrize("kind", ["link", "directory", "name"])
def test_a_planted_file_in_staging_is_not_written_to(tmp_path: Path, kind: str, ending: str) -> None:
    wanted = placement("a", b"package")
    victim = tmp_path / "victim"
    victim.write_text("safe and longer")
    (tmp_path / "staging").mkdir()
    planted = tmp_path / "staging" / f"{wanted.file.sha256}{ending}"
    match kind:
        case "link":
            planted.symlink_to(victim)
        case "directory":
            (planted / "below").mkdir(parents=True)
        case _:
            planted.hardlink_to(victim)
    found = run_fetch(FileServer({"/files/a": b"package"}), tmp_path, wanted)
    assert found.staged[wanted.file.sha256].read_bytes() == b"package"
    assert victim.read_text() == "safe and longer"


def test_a_copy_behind_a_link_is_not_taken_into_the_tree(tmp_path: Path) -> None:
    wanted = placement("a", b"package")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "pool").mkdir(parents=True)
    (elsewhere / "pool" / "a").write_bytes(b"package")
    root = tmp_path / "root"
    root.mkdir()
    (root / "pool").symlink_to(elsewhere / "pool")
    server = FileServer({"/files/a": b"package"})
    found = run_fetch(server, root, wanted, sources={wanted.file.sha256: "pool/a"})
    assert len(server.asked) == 1
    assert not found.staged[wanted.file.sha256].samefile(elsewhere / "pool" / "a")
