"""server_data: a packrat-server's data directory is recognised, never cleaned up, and never taken for a root_dir."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from packrat_agent.publish.claim import refuse_server_data, refuse_unmanaged
from packrat_agent.publish.server_data import is_server_data
from packrat_core.errors import NotOurs
from packrat_server.admin.new_server import init
from support.remembered import put_file, scan_all

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def make_server_data(directory: Path, records: str = "packrat.db") -> Path:
    """Make what a server keeps, with a package in it."""
    put_file(directory, "files/aa/package", b"exists nowhere else")
    (directory / "incoming").mkdir()
    (directory / records).touch()
    return directory


def test_the_data_of_a_new_server_is_recognised(tmp_path: Path) -> None:
    init(tmp_path / "data")
    assert is_server_data(str(tmp_path / "data"))


@pytest.mark.parametrize("records", ["packrat.db", "database"])
def test_a_scan_leaves_it_alone(tmp_path: Path, records: str) -> None:
    make_server_data(tmp_path / "inner/data", records)
    found = scan_all(tmp_path, ())
    assert found.directories.server_data == ["inner/data"]
    assert (found.untracked, found.directories.empty, found.directories.closed) == ([], [], [])


@pytest.mark.parametrize("missing", ["packrat.db", "incoming", "files"])
def test_a_directory_that_only_resembles_server_data_is_cleaned_up(tmp_path: Path, missing: str) -> None:
    make_server_data(tmp_path / "data")
    (tmp_path / "data" / missing).rename(tmp_path / "data" / "else")
    found = scan_all(tmp_path, ())
    assert found.directories.server_data == []
    assert found.untracked


def test_links_to_a_server_elsewhere_protect_nothing(tmp_path: Path) -> None:
    make_server_data(tmp_path / "elsewhere")
    (tmp_path / "root/data").mkdir(parents=True)
    for name in ("files", "incoming", "packrat.db"):
        (tmp_path / "root/data" / name).symlink_to(tmp_path / "elsewhere" / name)
    assert scan_all(tmp_path / "root", ()).directories.server_data == []


@only_root
@pytest.mark.parametrize(("uid", "is_believed"), [(0, True), (12345, True), (12346, False)])
def test_root_believes_it_of_everybody_and_others_of_themselves(uid: int, *, is_believed: bool) -> None:
    # Other users can't go through pytest's own directories.
    with TemporaryDirectory() as top:
        data = make_server_data(Path(top) / "data")
        for path in (data, data / "files", data / "incoming", data / "packrat.db"):
            os.chown(path, 12345, 12345)
        Path(top).chmod(0o755)
        os.seteuid(uid)
        try:
            assert is_server_data(str(data)) is is_believed
        finally:
            os.seteuid(0)


def test_the_data_of_a_packrat_server_is_refused_as_root_dir_marked_or_not(tmp_path: Path) -> None:
    data = make_server_data(tmp_path / "data")
    with pytest.raises(NotOurs, match=r"root_dir \S+data is the data directory of a packrat-server"):
        refuse_unmanaged(data, tmp_path / "state.db", ())
    put_file(data, ".packrat-agent/mark", b"{}")
    with pytest.raises(NotOurs, match="is the data directory"):
        refuse_server_data(data)


def test_a_new_root_dir_inside_it_is_refused_and_one_in_use_goes_on(tmp_path: Path) -> None:
    data = make_server_data(tmp_path / "data")
    (tmp_path / "link").symlink_to(data)
    for root in (data / "www/repo", tmp_path / "link/repo"):
        with pytest.raises(NotOurs, match=r"lies in \S+/data, the data directory of a packrat-server"):
            refuse_server_data(root)
    put_file(data, "www/repo/.packrat-agent/mark", b"{}")
    refuse_server_data(data / "www/repo")
    refuse_server_data(tmp_path / "www")
