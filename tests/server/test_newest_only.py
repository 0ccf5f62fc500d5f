"""Repositories with the newest versions only: real clients find in them what they find where everything is."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select, update

from packrat_core.cinp.client import CinpClient
from packrat_demo.build_deb import Deb, write_deb
from packrat_demo.build_image import Image, build_oci
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.build_wheel import Python, write_sdist, write_wheel
from packrat_demo.private_rpm import PrivateDnf
from packrat_server import admin
from packrat_server.serving.running import running
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import package_files
from support.stage import Server, packrat_server

REPOS = {"apt": ("bookworm", "trixie"), "yum": ("rhel8", "rhel9"), "pypi": ("pypi",), "docker": ("docker",)}
API = "/api/v2/"

RPMS = [
    *(Rpm("tool", "9.9", "x86_64"), Rpm("tool", "1.0", "x86_64", "9", 1), Rpm("tool", "1.0", "x86_64", "10", 1)),
    *(Rpm("lib", "1.0~rc1", "x86_64"), Rpm("lib", "1.0", "x86_64"), Rpm("both", "1.0", "x86_64")),
    *(Rpm("snap", "1.0", "noarch"), Rpm("snap", "1.0^git1", "noarch"), Rpm("both", "1.0", "noarch")),
    *(Rpm("big", "1", "x86_64", epoch=2), Rpm("big", "3", "x86_64", epoch=1), Rpm("big", "0", "x86_64", epoch=10)),
]
NEWEST_RPMS = [
    *("big-0-1.x86_64.rpm", "both-1.0-1.noarch.rpm", "both-1.0-1.x86_64.rpm", "lib-1.0-1.x86_64.rpm"),
    *("snap-1.0^git1-1.noarch.rpm", "tool-1.0-10.x86_64.rpm"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("newest"), new_database()) as made:
        engine = open_database(made.data)
        for kind, suites in REPOS.items():
            admin.save_repo(engine, admin.NewRepo(kind, kind, "dev", suites, show_only_latest=True))
        engine.dispose()
        yield made


def offered(server: Server, repo: str) -> list[str]:
    """The file names that a repository offers, as its mirrors are told."""

    async def work() -> list[str]:
        async with CinpClient(server.url) as client:
            await client.login(f"{API}Auth/User(login)", "admin", server.password)
            model = f"{API}Package/PackageFile"
            asked = {"repo": f"{API}Repo/Repo:{repo}:", "package_list": None}
            ids = [uri.rsplit(":", 2)[1] for uri in await client.list_uris(model, "repo", asked)]
            records = (await client.get_many(model, ids)).values()
            return sorted(str(record["file"]).removeprefix("/files/").replace("%5E", "^") for record in records)

    return server.ask(lambda _: work())


def directory_of(files: Sequence[Path], names: Sequence[str], into: Path) -> Path:
    into.mkdir()
    for path in files:
        if path.name in names:
            shutil.copy(path, into)
    return into


@pytest.fixture(scope="module")
def rpms(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("rpms")
    made = [write_rpm(rpm, directory) for rpm in RPMS]
    for path in made:
        server.put(path, ("rhel8",))
    return made


def test_dnf_finds_the_newest_rpms_by_epoch_too(server: Server, rpms: list[Path], tmp_path: Path) -> None:
    names = offered(server, "yum")
    assert names == NEWEST_RPMS
    found = []
    for where, which, options in (
        ("all", [path.name for path in rpms], ("--latest-limit=1",)),
        ("newest", names, ()),
    ):
        top = directory_of(rpms, which, tmp_path / where)
        subprocess.run([Path(sys.executable).with_name("createrepo_c"), "-q", top], check=True)
        dnf = PrivateDnf(tmp_path / f"dnf-{where}", f"[mirror]\nname=m\nbaseurl=file://{top}\ngpgcheck=0\n")
        said = dnf.run("--quiet", "repoquery", *options)
        assert said.exit_code == 0, said.output
        found.append(sorted(line for line in said.output.splitlines() if "-" in line and ":" in line))
    assert found[0] == found[1]
    assert len(found[0]) == len(NEWEST_RPMS)


def test_epochs_that_an_older_server_did_not_keep_are_read_from_the_files(
    new_database: Callable[[], str | None], tmp_path: Path
) -> None:
    with packrat_server(tmp_path, new_database()) as server:
        engine = open_database(server.data)
        admin.save_repo(engine, admin.NewRepo("yum", "yum", "dev", REPOS["yum"]))
        for rpm in RPMS:
            server.put(write_rpm(rpm, tmp_path), ("rhel8",))
    with writing(engine) as connection:
        connection.execute(update(package_files).values(epoch=None))
        torn = connection.execute(
            select(package_files.c.id, package_files.c.sha256).where(package_files.c.package == "snap").limit(1)
        ).one()
    blob_path(server.data, torn.sha256).write_bytes(b"\xed\xab\xee\xdb torn")
    with running(server.data) as server.url:
        assert offered(server, "yum") == NEWEST_RPMS
    with reading(engine) as connection:
        epochs = {(row.id == torn.id, row.package, row.epoch) for row in connection.execute(select(package_files))}
    assert (True, "snap", None) in epochs, "what can't be read is tried again at the next start"
    assert {epoch for _, name, epoch in epochs if name == "big"} == {1, 2, 10}
    assert {epoch for _, name, epoch in epochs if name == "lib"} == {0}
    engine.dispose()


def test_the_newest_debs_are_offered_for_each_suite_and_architecture(server: Server, tmp_path: Path) -> None:
    for deb, suites in (
        (Deb("tool", "1:0.9-1", "amd64"), ("bookworm", "trixie")),
        (Deb("tool", "2.0-1", "amd64"), ("bookworm",)),
        (Deb("tool", "1:0.9~rc1-1", "amd64"), ("trixie",)),
        (Deb("tool", "2.0-1", "arm64"), ("bookworm",)),
        (Deb("tool", "2.0-10", "arm64"), ("bookworm",)),
        (Deb("tool", "2.0-9", "arm64"), ("bookworm",)),
    ):
        server.put(write_deb(deb, tmp_path), suites)
    assert offered(server, "apt") == ["tool_0.9-1_amd64.deb", "tool_0.9-1_amd64.deb", "tool_2.0-10_arm64.deb"]


PYTHON = [
    *(Python("plain", "1.9"), Python("plain", "1.10"), Python("plain", "2.0rc1"), Python("plain", "2.0rc2")),
    *(Python("plain", "1.10", tag="cp311-cp311-manylinux_2_17_x86_64"), Python("early", "0.1a1")),
    *(Python("early", "0.1a2"), Python("done", "1.0rc1"), Python("done", "1.0")),
    *(Python("torchlike", "1.0+cpu"), Python("torchlike", "1.0+cu118"), Python("torchlike", "0.9+cu121")),
]
ASKED = [
    *(["plain"], ["--pre", "plain"], ["early"], ["--pre", "early"], ["done"], ["--pre", "done"]),
    *(["torchlike"], ["torchlike==1.0+cpu"], ["torchlike==1.0"], ["plain<2"]),
]


def test_pip_finds_among_the_newest_what_it_finds_among_all(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    files = [write_wheel(python, source) for python in PYTHON] + [write_sdist(Python("plain", "1.10"), source)]
    for path in files:
        server.put(path, ("pypi",))
    names = offered(server, "pypi")
    gone = {path.name for path in files} - set(names)
    assert sorted(gone) == sorted(
        path.name
        for path in files
        if path.name.split("-")[:2]
        in (["plain", "1.9"], ["plain", "2.0rc1"], ["early", "0.1a1"], ["done", "1.0rc1"], ["torchlike", "0.9+cu121"])
    )
    newest = directory_of(files, names, tmp_path / "newest")
    for words in ASKED:
        taken = []
        for where in (source, newest):
            into = tmp_path / f"taken-{where.name}"
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-index", f"--find-links={where}"]
            subprocess.run([*pip, "-d", into, *words], check=True, capture_output=True)
            taken.append(sorted(path.name for path in into.iterdir()))
            shutil.rmtree(into)
        assert taken[0] == taken[1], words


def test_signatures_and_moving_tags_hide_no_image(server: Server, tmp_path: Path) -> None:
    signature = f"sha256-{'0a' * 32}.sig"
    for version in ("1.9", "1.10", "2.0-rc1", signature, "latest"):
        path = tmp_path / f"web_{version}.tar"
        path.write_bytes(build_oci(Image("web", version)))
        server.put(path, ("docker",))
    assert offered(server, "docker") == sorted(
        f"web_{version}.tar" for version in ("1.10", "2.0-rc1", signature, "latest")
    )
