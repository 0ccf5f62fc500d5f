"""records: a server's moments become ours, whatever their form."""

import pytest

from packrat_agent.upstream.records import read_file

RECORD = {
    "package": "/api/v2/Package/Package:tool:",
    "distroversion": "/api/v2/Attrib/DistroVersion:pypi:",
    "version": "1.0",
    "type": "python",
    "arch": "all",
    "file": "/files/tool-1.0.tar.gz",
    "sha256": "a" * 64,
}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("2026-11-22T11:20:20.264145+00:00", "2026-11-22T11:20:20.264145Z"),
        ("2026-11-22T13:20:20+02:00", "2026-11-22T11:20:20.000000Z"),
        ("2026-11-22 11:20:20", "2026-11-22T11:20:20.000000Z"),
        ("0001-01-01T00:00:00+23:59", ""),
        ("yesterday", ""),
        (None, ""),
        (17, ""),
    ],
)
def test_when_the_server_took_a_file_in_is_kept_in_utc(told: object, kept: str) -> None:
    assert read_file("/api/v2/Package/PackageFile:1:", {**RECORD, "created": told}).created == kept
