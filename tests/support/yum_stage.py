"""A server whose mirror has a yum repository, for the tests of that type."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_server import admin
from packrat_server.store.database import open_database
from support.stage import Key, Stage, packrat_server

VERSIONS = ("rhel9", "sles15")
RHEL = "rhel/main/9"
SLES = "sles/main/15"


@contextmanager
def yum_stage(directory: Path, key: Key | None, url: str | None) -> Iterator[Stage]:
    """Set up a Stage whose repository yum-dev takes every version tagged dev; url: the mirror's public one."""
    with packrat_server(directory) as server:
        engine = open_database(server.data)
        admin.save_repo(engine, admin.NewRepo("yum-dev", "yum", "dev", VERSIONS, show_only_latest=False))
        psk = admin.save_mirror(engine, "lab", ["yum-dev"], "Lab")
        engine.dispose()
        assert psk is not None
        set_up = Stage(directory, server, psk, key, {"public_url": url} if url else {})
        set_up.write_config()
        set_up.www.mkdir(exist_ok=True)
        yield set_up


def put_rpm(stage: Stage, rpm: Rpm, versions: Sequence[str] = ("rhel9",)) -> list[str]:
    """Build, upload and tag a package."""
    directory = stage.directory / "rpms"
    directory.mkdir(exist_ok=True)
    return stage.server.put(write_rpm(rpm, directory), versions)


def repo_file(stage: Stage, top: str = RHEL) -> str:
    """The text of the .repo file of a distribution version."""
    return (stage.www / "yum-dev" / top / "yum-dev.repo").read_text()
