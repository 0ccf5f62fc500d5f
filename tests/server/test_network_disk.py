"""Which directories are on a disk of another machine, where to open a file may take as long as that is away."""

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from packrat_server.accounts.sessions import session_query
from packrat_server.store.direct_reads import DirectQuery, DirectReads
from packrat_server.store.network_disk import is_network, is_on_network
from support.hung_disk import hung_disk


@pytest.mark.parametrize(
    ("filesystem", "network"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("fuse", True), ("fuseblk", False), ("xfs", False)],
)
def test_network_disks_and_programs_may_not_answer(filesystem: str, network: bool) -> None:
    assert is_network(filesystem) is network


def test_a_missing_directory_is_not_on_a_network_disk(tmp_path: Path) -> None:
    assert not is_on_network(tmp_path / "absent")


_ONLY_ROOT = pytest.mark.skipif(os.getuid() != 0 or not Path("/dev/fuse").exists(), reason="only root can mount a disk")


@_ONLY_ROOT
@pytest.mark.parametrize("name", ["files", "with space", "carriage\rreturn", "übrige", "line\u2028separator"])
def test_a_directory_below_a_network_disk_is_on_it_and_one_beside_it_is_not(tmp_path: Path, name: str) -> None:
    disk, beside = tmp_path / name, tmp_path / f"{name}er"
    disk.mkdir()
    beside.mkdir()
    link = tmp_path / "link"
    link.symlink_to(disk)
    with hung_disk(disk):
        assert is_on_network(disk)
        assert is_on_network(disk / "ab")
        assert is_on_network(link)
        assert not is_on_network(beside)
    assert not is_on_network(disk)


@_ONLY_ROOT
def test_the_event_loop_does_not_open_a_database_on_a_network_disk(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'packrat.db'}")
    with hung_disk(tmp_path) as disk:
        disk.hangs = True
        assert DirectReads(engine).rows(DirectQuery(session_query(), engine), {"token_hash": b""}) is None
        assert not disk.asked.is_set()
