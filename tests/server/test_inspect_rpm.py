"""The server looks into an rpm at its upload, and says what no client could install."""

from pathlib import Path

import pytest

from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_server.inspect_file import Inspected, Unrecognized, inspect_file
from support.rpm_payloads import Listed, Package, Packed, gzipped, pack, write_package


def test_an_rpm_with_files_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.rpm"
    path.write_bytes(build_rpm(Rpm("a", "1", "noarch", files=(("/opt/a", b"data"),))))
    assert inspect_file(path, path.name) == Inspected("a", "1-1", "rpm", "all", epoch=0)


def test_a_payload_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    package = Package([Listed("/opt/a", b"data")], gzipped(pack([Packed("./opt/a", b"date")])))
    path = write_package(tmp_path / "x.rpm", package)
    told = "unusable rpm: its payload, by its header in 'gzip', has other bytes of '/opt/a' than its header says"
    with pytest.raises(Unrecognized, match=told):
        inspect_file(path, path.name)
