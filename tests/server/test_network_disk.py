"""Which directories are on a disk of another machine, where to open a file may take as long as that is away."""

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from packrat_server.accounts.sessions import session_query
from packrat_server.store.direct_reads import DirectQuery, DirectReads
from packrat_server.store.network_disk import find_kind, is_network, is_on_network
from support.hung_disk import hung_disk

MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw - proc proc rw
41 22 0:44 / /srv/old rw shared:9 - ext4 /dev/vdb rw
42 41 0:45 / /srv/old rw shared:9 master:1 - nfs4 files:/old rw,vers=4.2
43 22 0:46 / /srv/with\040space rw - fuse.sshfs files: rw
44 22 0:47 / /srv/new rw - btrfs /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/packrat-server/files", "ext4"),
        ("/srv/old", "nfs4"),
        ("/srv/old/files", "nfs4"),
        ("/srv/older/files", "ext4"),
        ("/srv/with space/files", "fuse.sshfs"),
        ("/srv/new/files", "btrfs"),
    ],
)
def test_the_kind_is_that_of_the_mount_that_is_nearest_and_on_top(path: str, kind: str) -> None:
    assert find_kind(MOUNTS, path) == kind


def test_where_nothing_is_known_of_mounts_there_is_no_kind() -> None:
    assert find_kind("", "/srv") == find_kind("22 1 254:0 / / rw\nodd - ext4\n", "/srv") == ""


@pytest.mark.parametrize(
    ("kind", "network"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("fuse", True), ("fuseblk", False), ("xfs", False)],
)
def test_network_disks_and_programs_may_not_answer(kind: str, network: bool) -> None:
    assert is_network(kind) is network


def test_the_system_tells(tmp_path: Path) -> None:
    assert not is_on_network(tmp_path)


@pytest.mark.skipif(os.getuid() != 0 or not Path("/dev/fuse").exists(), reason="only root can mount a disk")
def test_the_event_loop_does_not_open_a_database_on_a_network_disk(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'packrat.db'}")
    with hung_disk(tmp_path) as disk:
        disk.hangs = True
        assert DirectReads(engine).rows(DirectQuery(session_query(), engine), {"token_hash": b""}) is None
        assert not disk.asked.is_set()
