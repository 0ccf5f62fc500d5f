"""`packrat-agent verify` finds nothing wrong in what a withdrawal leaves on disk for the grace period."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.every_type import REPOS, faults_of, fill, mirror_of_all
from support.keys import Key
from support.stage import Stage


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Stage]:
    """A signed mirror with packages of every type; the tests follow one another."""
    with mirror_of_all(tmp_path_factory.mktemp("mirror"), key) as lab:
        change(lab, "apt-dev", ("bookworm", "trixie"))
        fill(lab)
        lab.server.put_deb(Deb("third", "1", "i386"), ("trixie",))
        lab.agent("sync")
        shutil.copytree(lab.www, lab.directory / "before", symlinks=True)
        yield lab


def change(lab: Stage, repo: str, versions: tuple[str, ...], directory: str | None = None) -> None:
    engine = open_database(lab.server.data)
    kind = repo.partition("-")[0]
    admin.save_repo(engine, admin.NewRepo(repo, kind, "dev", versions, directory=directory, show_only_latest=False))
    engine.dispose()


def take_off_versions(lab: Stage) -> None:
    change(lab, "apt-dev", ("trixie",))
    change(lab, "yum-dev", ("rhel9",))


def take_off_all_packages(lab: Stage) -> None:
    """An architecture, Python projects, images and the directories of the rpms go with them."""
    engine = open_database(lab.server.data)
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("DELETE FROM package_file_tags")
    engine.dispose()


def move_a_repository(lab: Stage) -> None:
    change(lab, "apt-dev", ("trixie",), "elsewhere")


def change_types(lab: Stage) -> None:
    """What was a repository of another type until now is still beside the new indexes."""
    engine = open_database(lab.server.data)
    names = [f"{kind}-dev" for kind in REPOS]
    changes = {"apt-dev": ("pypi", "elsewhere"), "pypi-dev": ("apt", None), "docker-dev": ("apt", None)}
    admin.save_mirror(engine, "lab", [name for name in names if name not in changes], "Lab", lab.psk)
    for name, (kind, directory) in changes.items():
        admin.remove_repo(engine, name)
        repo = admin.NewRepo(name, kind, "dev", REPOS[kind], directory=directory, show_only_latest=False)
        admin.save_repo(engine, repo)
    admin.save_mirror(engine, "lab", names, "Lab", lab.psk)
    engine.dispose()


def take_off_repositories(lab: Stage) -> None:
    engine = open_database(lab.server.data)
    admin.save_mirror(engine, "lab", ["json-dev"], "Lab", lab.psk)
    engine.dispose()


WITHDRAWALS = (take_off_versions, take_off_all_packages, move_a_repository, change_types, take_off_repositories)


def test_the_tree_after_a_withdrawal_is_sound(mirror: Stage) -> None:
    names = sorted(path.name for path in (mirror.www / "apt-dev/dists").iterdir())
    assert names == ["bookworm", "trixie"]
    for withdraw in WITHDRAWALS:
        withdraw(mirror)
        mirror.agent("sync", "--accept-removals")
        assert faults_of(mirror.www) == {}, withdraw.__name__
        if withdraw is take_off_versions:
            # No client comes to what has no pointers.
            mirror.agent("verify", "--clients")
    # All of it is still there.
    assert (mirror.www / "docker-dev/v2").is_dir()
    assert {"dists", "simple"} < {path.name for path in (mirror.www / "elsewhere").iterdir()}
    assert {path.name for path in (mirror.www / "apt-dev/dists").iterdir()} == {"bookworm", "trixie"}
    assert (mirror.www / "yum-dev/sles/main/15/repodata").is_dir()
    assert {f"{kind}-dev" for kind in REPOS} < {path.name for path in mirror.www.iterdir()}


def lose_an_apt_suite(tree: Path) -> str:
    for path in list((tree / "apt-dev/dists/bookworm").rglob("*")):
        if path.is_file() and "by-hash" not in path.parts:
            path.unlink()
    return "apt-dev/dists/bookworm"


def lose_a_yum_version(tree: Path) -> str:
    place = tree / "yum-dev/rhel/main/9"
    for path in (*place.glob("*.repo"), *place.glob("m*l*"), *place.glob("repodata/repomd*")):
        path.unlink()
    return "yum-dev/rhel/main/9"


@pytest.mark.parametrize("lose", [lose_an_apt_suite, lose_a_yum_version])
def test_files_that_the_landing_page_leads_to_are_not_withdrawn(
    mirror: Stage, tmp_path: Path, lose: Callable[[Path], str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(mirror.directory / "before", copy, symlinks=True)
    place = lose(copy)
    assert faults_of(copy) == {place: ["is missing, though index.html leads to it"]}
