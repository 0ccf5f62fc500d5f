"""Package files on a disk of their own, which nothing can be renamed to from the rest of the data directory."""

import math
import tempfile
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from packrat_server.serving.running import running
from packrat_server.store.blobs import blob_path, holds_files, list_stored, remove_blob
from support.server_data import new_server_data
from support.stage import Server

_DISK = Path("/dev/shm")  # a filesystem that every Linux has


def test_files_arrive_and_go_where_they_are_on_a_disk_of_their_own(tmp_path: Path) -> None:
    if not _DISK.is_dir() or _DISK.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this needs a second filesystem")
    data = tmp_path / "server"
    server = Server(data, new_server_data(data))
    with tempfile.TemporaryDirectory(dir=_DISK) as name:
        disk = Path(name)
        (data / "files").rmdir()
        (data / "files").symlink_to(disk)
        # Only root may look into it, on a disk; what is in there is not the server's.
        (disk / "lost+found").mkdir()
        (disk / "lost+found" / ("e" * 64)).touch()
        assert not holds_files(data)
        with running(data) as server.url:
            server.put_deb(Deb("hello", "1.0", "all"))
        [sha256] = list_stored(data)
        (disk / "incoming" / "abandoned").touch()
        with running(data):
            pass
        assert list(disk.glob("incoming/*")) == list(data.glob("incoming/*")) == []
        assert remove_blob(data, sha256, math.inf)
        assert not blob_path(data, sha256).exists()
        assert list(disk.glob("incoming/*")) == []
