"""Files below root_dir with times that 64 bits do not hold: nothing stops."""

import os
import shutil
from pathlib import Path

import pytest

from packrat_core.fs.file_times import LATEST_S, mtime_ns, mtime_s
from packrat_demo.build_deb import Deb
from support.evil import victim

YEAR_2400_S = 13_569_465_600
"""What ext4 and XFS still store."""


def set_times(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (YEAR_2400_S, YEAR_2400_S), follow_symlinks=False)


def test_times_of_another_century_stop_neither_scan_nor_publication_nor_adoption(tmp_path: Path) -> None:
    with victim(tmp_path) as mirror:
        assert mirror.sync().code == 0
        package = mirror.www / "apt-dev/pool/good/good_1_all.deb"
        set_times(mirror.www)
        if package.stat().st_mtime != YEAR_2400_S:
            pytest.skip("this filesystem stores no such time")
        assert mirror.sync().code == 0
        mirror.evil.add("2", Deb("more", "1", "all"))
        set_times(mirror.www)
        assert mirror.sync().code == 0
        # What stands there without being known is adopted, not downloaded.
        set_times(mirror.www)
        shutil.rmtree(tmp_path / "state")
        mirror.evil.asked.clear()
        assert mirror.sync().code == 0
        assert [asked for asked in mirror.evil.asked if "/files/" in asked] == []
        assert mirror.pool() == ["apt-dev/pool/good/good_1_all.deb", "apt-dev/pool/more/more_1_all.deb"]


@pytest.mark.parametrize(
    "moment_s", [0, 1, -1, LATEST_S, LATEST_S + 1, YEAR_2400_S, 2**40, -(2**40), 2**63 - 1, -(2**63)]
)
def test_any_time_fits_into_the_state_database_and_into_a_date(moment_s: int) -> None:
    status = os.stat_result((0o100644, *[0] * 9), {"st_mtime_ns": moment_s * 10**9})
    assert -(2**63) <= mtime_ns(status) < 2**63
    assert 0 <= mtime_s(status) <= LATEST_S
    if 0 <= moment_s <= LATEST_S:
        assert mtime_s(status) == moment_s
    if abs(moment_s) < 2**33:
        assert mtime_ns(status) == moment_s * 10**9
