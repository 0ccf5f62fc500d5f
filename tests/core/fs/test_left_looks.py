"""Processes that still wait for a disk are found, and keep others from joining them for a while."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from packrat_core.errors import DiskError
from packrat_core.fs.in_time import Patience, in_time
from packrat_core.fs.left_looks import LeftLook, find_left, is_too_soon, is_waiting, look_name, mount_name
from packrat_core.fs.mounts import list_mounts
from support.hung_disk import hung_disk

DEADLINE_S = 30.0
IMPATIENT = Patience(slow_s=0.1, hung_s=0.2)
ELSEWHERE = Path("/srv/elsewhere.conf")
ANOTHER_LOOK = """
import sys, time
from pathlib import Path
from packrat_core.fs.left_looks import look_name, take_name
take_name(look_name(Path(sys.argv[1])))
print("named", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_while_a_disk_hangs_no_second_process_waits_for_it(tmp_path: Path) -> None:
    place, other = tmp_path / "a disk", tmp_path / "other"
    place.mkdir()
    other.mkdir()
    with hung_disk(place) as disk:
        disk.is_silent = disk.hangs = True
        (mount,) = (mount for mount in list_mounts() if mount.point == str(place))
        names = (look_name(place), mount_name(mount.number))
        for _ in range(2):
            with pytest.raises(DiskError, match=f"a disk does not answer: .*{place} \\(fuse of test\\)"):
                in_time(place.stat, place, IMPATIENT)
            # One that was killed waits again a moment later.
            until(lambda: find_left().keys() >= set(names))
            left = find_left()
            assert [len(left[name]) for name in names] == [1, 1]
        # What has nothing to do with that disk is looked at as ever.
        assert in_time(other.is_dir, other)
    until(lambda: look_name(place) not in find_left())
    assert in_time(place.is_dir, place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("is_unmounted", [True, False], ids=["in its stead", "over it"])
def test_another_disk_in_the_place_of_one_that_hangs_is_looked_at_at_once(tmp_path: Path, is_unmounted: bool) -> None:
    place = tmp_path / "a disk"
    place.mkdir()
    with hung_disk(place) as disk:
        disk.is_silent = disk.hangs = True
        with pytest.raises(DiskError, match=f"a disk does not answer: .*{place} "):
            in_time(place.stat, place, IMPATIENT)
        if is_unmounted:
            subprocess.run(["umount", "--lazy", place], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
        try:
            until(lambda: look_name(place) in find_left())
            assert in_time(place.is_dir, place)
        finally:
            if not is_unmounted:
                subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a container, and work for another user")
@pytest.mark.parametrize(
    ("elsewhere", "is_own"),
    [
        pytest.param((), True, id="here"),
        pytest.param(("unshare", "--mount"), False, id="in a container"),
        pytest.param(("setpriv", "--reuid=65534", "--clear-groups"), False, id="of another user"),
    ],
)
def test_what_waits_elsewhere_keeps_nobody_from_looking(elsewhere: tuple[str, ...], is_own: bool) -> None:
    """The same path leads to something else there."""
    command = [*elsewhere, sys.executable, "-c", ANOTHER_LOOK, str(ELSEWHERE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"named\n"
            until(lambda: is_waiting(process.pid))
            assert (look_name(ELSEWHERE) in find_left()) is is_own
        finally:
            process.kill()


def test_files_of_one_name_in_several_directories_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`packrat-agent --config mirror.conf` looks at the one of this directory."""
    monkeypatch.chdir(tmp_path)
    name = look_name(Path("mirror.conf"))
    assert name == look_name(tmp_path / "mirror.conf")
    monkeypatch.chdir("/")
    assert look_name(Path("mirror.conf")) != name


def test_a_look_whose_caller_was_killed_is_found(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from packrat_core.fs.in_time import in_time;"
        "in_time(lambda: time.sleep(60), Path(sys.argv[1]))"
    )
    caller = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    children = Path(f"/proc/{caller.pid}/task/{caller.pid}/children")
    until(lambda: bool(children.read_text()))
    (child,) = map(int, children.read_text().split())
    try:
        until(lambda: Path(f"/proc/{child}/comm").read_text().strip() == look_name(tmp_path))
        assert look_name(tmp_path) not in find_left()
        caller.kill()
        caller.wait()
        until(lambda: look_name(tmp_path) in find_left())
        (look,) = find_left()[look_name(tmp_path)]
        assert (look.pid, 0 <= look.age_s < 60) == (child, True)
        # It may only be slow, until it has been there for longer than a look usually takes.
        assert in_time(os.getpid, tmp_path, Patience(slow_s=1000.0))
        with pytest.raises(DiskError, match="a disk does not answer: "):
            in_time(os.getpid, tmp_path, Patience(slow_s=0.0))
    finally:
        caller.kill()
        os.kill(child, signal.SIGKILL)
    until(lambda: look_name(tmp_path) not in find_left())
    assert in_time(tmp_path.is_dir, tmp_path)


@pytest.mark.parametrize(
    ("ages_s", "expected"),
    [
        ((), False),
        ((119.0,), True),
        ((121.0,), False),
        ((121.0, 300.0), True),
        ((241.0, 999.0), False),
        ((1919.0,) * 9, True),
        ((1921.0,) * 9, False),
    ],
)
def test_each_pause_is_twice_as_long_up_to_half_an_hour(ages_s: tuple[float, ...], expected: bool) -> None:
    """What they wait for may have been unmounted for good: then another look is right."""
    assert is_too_soon([LeftLook(1, age_s) for age_s in ages_s]) is expected


def until(is_so: Callable[[], bool]) -> None:
    latest = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < latest
        os.sched_yield()
