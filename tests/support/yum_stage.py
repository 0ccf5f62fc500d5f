"""A server whose mirror has a yum repository, for the tests of that type."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packrat_demo.build_rpm import Rpm, write_rpm
from support.keys import Key
from support.stage import Stage, stage

VERSIONS = ("rhel9", "sles15")
RHEL = "rhel/main/9"
SLES = "sles/main/15"


@contextmanager
def yum_stage(directory: Path, key: Key | None, url: str | None) -> Iterator[Stage]:
    """Set up a Stage whose repository yum-dev takes every version tagged dev; url: the mirror's public one."""
    with stage(directory, key, VERSIONS, "yum", extra={"public_url": url} if url else {}) as set_up:
        set_up.www.mkdir(exist_ok=True)
        yield set_up


def put_rpm(lab: Stage, rpm: Rpm, versions: Sequence[str] = ("rhel9",)) -> list[str]:
    """Build, upload and tag a package."""
    directory = lab.directory / "rpms"
    directory.mkdir(exist_ok=True)
    return lab.server.put(write_rpm(rpm, directory), versions)


def repo_file(lab: Stage, top: str = RHEL) -> str:
    """The text of the .repo file of a distribution version."""
    return (lab.www / "yum-dev" / top / "yum-dev.repo").read_text()
