"""A served directory, for the tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.site import DATA, MTIME_S, Site
from support.web import web_server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "www"
    (root / "apt-dev" / "pool").mkdir(parents=True)
    file = root / "apt-dev" / "pool" / "g++_1~2_amd64.deb"
    file.write_bytes(DATA)
    os.utime(file, (MTIME_S, MTIME_S))
    (root / ".packrat-agent").mkdir()
    (root / ".packrat-agent" / "lock").write_text("secret")
    (tmp_path / "outside").write_text("secret")
    with web_server(root) as url:
        yield Site(root, int(url.rpartition(":")[2]))
