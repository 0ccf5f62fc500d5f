"""How full the disks are: of bytes and of inodes, and which of them it is."""

from pathlib import Path

from packrat_agent.config.load import load
from packrat_agent.setup.doctor.state import judge_disk
from packrat_agent.status import nagios
from packrat_agent.status.reading import read_disks
from packrat_agent.status.values import Disk
from support.mirror_conf import write_mirror_conf
from support.small_disk import small_disk


def root_disk(tmp_path: Path) -> Disk:
    """What is read of the disk of root_dir."""
    return next(disk for disk in read_disks(load(write_mirror_conf(tmp_path))) if disk.holds == "root_dir")


def test_a_disk_without_inodes_is_told_from_one_without_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "www", "10m", inodes=20) as top:
        for number in range(19):
            (top / str(number)).touch()
        disk = root_disk(tmp_path)
        assert (disk.free_percent, disk.scarce) == (0.0, "inodes")
        ((level, said),) = nagios.judge_disk(disk, nagios.Limits())
        assert (level, said) == (nagios.Level.CRITICAL, "the disk of root_dir has 0 % of its inodes left")
        (finding,) = judge_disk(disk)
        assert "`df -i`" in finding.hint


def test_a_disk_without_room_is_reported_as_before(tmp_path: Path) -> None:
    with small_disk(tmp_path / "www", "1m") as top:
        (top / "file").write_bytes(b"x" * 1000_000)
        disk = root_disk(tmp_path)
        assert disk.scarce == "bytes"
        ((_, said),) = nagios.judge_disk(disk, nagios.Limits())
        assert said == f"the disk of root_dir has {disk.free_percent:g} % left"
