"""The original packrat agent's tree and state database are taken over: only if told, and without a download."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb, build_deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.apt_packages import read_packages
from support.keys import Key, new_key
from support.original_server import StoredRepo
from support.original_tree import sign
from support.stage import daemon, stage
from support.takeover_stage import TakeoverStage, takeover_stage

PACKAGES = (".deb", ".rpm", ".whl", ".json")


@pytest.fixture
def made(tmp_path: Path, key: Key) -> Iterator[TakeoverStage]:
    with takeover_stage(tmp_path, key) as stage:
        yield stage


def packages(made: TakeoverStage) -> dict[str, int]:
    """Path → inode of the package files that are published as they are, or signed."""
    found = (path for path in made.lab.www.rglob("*") if path.name.endswith(PACKAGES) and not path.is_symlink())
    return {
        str(path.relative_to(made.lab.www)): path.stat().st_ino
        for path in found
        if not {".packrat-agent", "_repo_main"} & set(path.parts)
    }


def test_without_adopt_nothing_is_touched(made: TakeoverStage) -> None:
    before = made.snapshot()
    for command in ("sync", "run"):
        said = made.lab.agent(command, expect=9).stderr
        assert "--dry-run" in said
        assert "--adopt" in said
        assert made.snapshot() == before
    assert not made.server.asked
    assert "sync --adopt" in made.lab.agent("status", expect=2).stderr
    assert made.snapshot() == before
    # Neither where the original agent's database is lost.
    made.state_db.unlink()
    before = made.snapshot()
    assert "'apt-dev'" in made.lab.agent("sync", expect=9).stderr
    assert made.snapshot() == before


def test_a_dry_run_says_what_a_takeover_would_do_and_touches_nothing(made: TakeoverStage) -> None:
    (made.lab.www / "stray").write_text("mine")
    deb = Deb("newest", "1", "amd64")
    made.server.put("newest", "1", deb.file_name, build_deb(deb), arch="x86_64")
    before = made.snapshot()
    done = made.lab.agent("sync", "--dry-run")
    said = done.stdout.splitlines()
    assert done.stderr.endswith("sync --adopt` does it\n")
    assert made.snapshot() == before
    assert not made.downloads()
    kept = {line.removeprefix("= ") for line in said if line.startswith("= ")}
    assert kept == packages(made).keys()
    added = [line for line in said if line.startswith("+ ")]
    assert "+ apt-dev/pool/newest/newest_1_amd64.deb (downloaded)" in added
    assert sum("(downloaded)" in line for line in added) == 1
    removed = {line.removeprefix("x ").removesuffix(" (untracked)") for line in said if line.startswith("x ")}
    assert {"stray", "docker-dev/cache/web/web_1.0.tar", "yum-dev/rhel/main/9/repodata/primary.xml"} <= removed
    # Not what is rewritten in its place, or stays as a link.
    assert not any(path.endswith(("Packages", "Release", "repomd.xml", "MANIFEST_all.json")) for path in removed)
    assert not any("packages/" in path for path in removed)
    assert not any(line.startswith(("?", "~", "!")) for line in said)
    after = made.lab.agent("sync", "--adopt").stdout
    assert re.search(rf" {len(removed)} files removed from disk", after)
    assert not any((made.lab.www / path).exists() for path in removed)


def test_nothing_is_downloaded_that_is_there(made: TakeoverStage) -> None:
    before = packages(made)
    original = made.state_db.read_bytes()
    said = made.lab.agent("sync", "--adopt")
    assert " 0 B downloaded" in said.stdout
    assert not made.downloads()
    assert packages(made).items() >= before.items()
    assert made.state_db.with_name("state.db.original").read_bytes() == original
    for suite in ("bookworm", "trixie"):
        for architecture in ("i386", "amd64"):
            assert (made.lab.www / f"apt-dev/dists/{suite}/main/binary-{architecture}/Packages").exists()
    link = made.lab.www / "pypi-dev/packages/my/my-tool-2.0.tar.gz"
    assert link.is_symlink()
    assert link.resolve() == made.lab.www / "pypi-dev/packages/my-too/my-tool-2.0.tar.gz"
    made.lab.agent("verify")
    # It is this agent's from now on.
    tree = made.lab.tree()
    assert "0 added" in made.lab.agent("sync").stdout
    assert made.lab.tree() == tree
    assert not made.downloads()


def test_a_database_that_an_interrupted_takeover_set_aside_is_found(made: TakeoverStage) -> None:
    made.state_db.rename(made.state_db.with_name("state.db.original"))
    made.lab.agent("sync", expect=9)
    assert "adopting" not in made.lab.agent("sync", "--adopt").stderr
    assert not made.downloads()


def test_an_i386_index_stays_when_its_last_package_goes(made: TakeoverStage) -> None:
    made.lab.agent("sync", "--adopt")
    made.server.files[made.numbers["second_2.0_i386.deb"]].failed = True
    made.lab.agent("sync")
    top = made.lab.www / "apt-dev/dists/bookworm"
    assert "Architectures: all amd64 i386\n" in (top / "InRelease").read_text()
    assert "Package: third-doc" in read_packages(top / "main/binary-i386")


def test_a_takeover_by_which_clients_lose_packages_is_held_and_lists_them(made: TakeoverStage) -> None:
    files = made.server.files
    files[made.numbers["fourth_4.0_amd64.deb"]].failed = True
    # The record says another version than the package.
    files[made.numbers["first_1.0_amd64.deb"]].version = "9"
    files[made.numbers["web_1.1.tar"]].failed = True
    del made.server.repos["json-dev"]
    lost = {
        "apt-dev: apt-dev/pool/fourth/fourth_4.0_amd64.deb: the server no longer offers it there",
        "apt-dev: apt-dev/pool/first/first_1.0_amd64.deb: the server has it as version 9, its control file says 1.0; "
        "report this to whoever runs the server: its record of the file is wrong",
        "docker-dev: docker-dev/cache/web/web_1.1.tar: the server no longer offers it there",
        "json-dev: json-dev/settings/settings_7.json: its repository is no longer on the mirror",
    }
    before = made.snapshot()
    for arguments in (("--dry-run",), ("--adopt",)):
        said = made.lab.agent("sync", *arguments, expect=10)
        assert {line[2:] for line in said.stdout.splitlines() if line.startswith("? ")} == lost
        assert "--accept-removals" in said.stderr
        assert made.snapshot() == before
    made.lab.agent("sync", "--adopt", "--accept-removals", expect=12)
    assert not made.downloads()
    assert "Package: first" not in made.lab.packages()
    assert "Package: jq" in made.lab.packages()
    assert not (made.lab.www / "json-dev").exists()


def test_what_clients_lose_is_known_from_the_database_of_an_early_version(made: TakeoverStage) -> None:
    with closing(sqlite3.connect(made.state_db)) as db, db:
        db.execute("ALTER TABLE repos DROP COLUMN filesystem_dir")
        db.execute("ALTER TABLE files DROP COLUMN signed256")
    made.server.files[made.numbers["fourth_4.0_amd64.deb"]].failed = True
    said = made.lab.agent("sync", "--adopt", expect=10)
    lost = "? apt-dev: apt-dev/pool/fourth/fourth_4.0_amd64.deb: the server no longer offers it there"
    assert lost in said.stdout.splitlines()


def test_a_package_that_the_original_never_listed_is_refused_but_not_lost(tmp_path: Path, key: Key) -> None:
    with takeover_stage(tmp_path, key, misdeclared=True) as made:
        assert "wrong" not in made.lab.packages()
        said = made.lab.agent("sync", "--dry-run", expect=12).stdout
        assert re.search(r"^! apt-dev: refused wrong_1.0_amd64.deb: the server has it as x86_64", said, re.M)
        assert not re.search(r"^\?", said, re.M)
        made.lab.agent("sync", "--adopt", expect=12)
        assert not made.downloads()
        assert "wrong" not in made.lab.packages()


def test_a_package_that_left_one_of_two_suites_is_lost_there(made: TakeoverStage) -> None:
    packages = made.lab.repo / "dists/trixie/main/binary-amd64/Packages"
    packages.write_text(f"{packages.read_text()}Package: first\nFilename: pool/first/first_1.0_amd64.deb\n\n")
    with closing(sqlite3.connect(made.state_db)) as db, db:
        db.execute("CREATE TEMP TABLE copied AS SELECT * FROM files WHERE filename LIKE 'first%'")
        db.execute("UPDATE copied SET uri = '/api/v2/Package/PackageFile:99:', distro_version = 'trixie'")
        db.execute("INSERT INTO files SELECT * FROM copied")
    said = made.lab.agent("sync", "--adopt", expect=10).stdout
    assert re.findall(r"^\? (.*)", said, re.M) == [
        "apt-dev: apt-dev/pool/first/first_1.0_amd64.deb: the server no longer offers it there"
    ]


def test_without_the_original_database_the_tree_tells_what_clients_have(made: TakeoverStage) -> None:
    made.state_db.unlink()
    made.server.files[made.numbers["fourth_4.0_amd64.deb"]].failed = True
    said = made.lab.agent("sync", "--adopt", expect=10).stdout
    assert re.findall(r"^\? (.*)", said, re.M) == [
        "apt-dev: apt-dev/pool/fourth/fourth_4.0_amd64.deb: the server no longer offers it there"
    ]
    made.lab.agent("sync", "--adopt", "--accept-removals")
    # Nothing says which package a signed rpm was made from.
    assert {Path(path).suffix for path in made.downloads()} == {".rpm"}


def test_a_changed_name_of_a_suite_is_held_until_it_is_configured(made: TakeoverStage, key: Key) -> None:
    for suite in ("bookworm", "trixie"):
        release = made.lab.www / "apt-dev/dists" / suite / "Release"
        release.write_text(release.read_text().replace("Origin: Packrat", "Origin: Elsewhere"))
        sign(release, release.with_suffix(".gpg"), key)
    before = made.snapshot()
    said = made.lab.agent("sync", "--adopt", "--accept-removals", expect=10).stdout
    assert re.search(
        r"^~ apt-dev: suite bookworm would change Origin from 'Elsewhere' to 'Packrat'.*apt_origin", said, re.M
    )
    assert made.snapshot() == before
    made.lab.config.write_text(made.lab.config.read_text() + "apt_origin: Elsewhere\n")
    made.lab.agent("sync", "--adopt")
    assert "Origin: Elsewhere\n" in (made.lab.www / "apt-dev/dists/bookworm/InRelease").read_text()


def test_a_tree_of_ours_that_was_copied_without_hidden_files_keeps_its_names(tmp_path: Path, key: Key) -> None:
    with stage(tmp_path, key, ["bookworm"]) as lab:
        described = admin.NewRepo("apt-dev", "apt", "dev", ("bookworm",), "Tools of the lab", show_only_latest=False)
        engine = open_database(lab.server.data)
        admin.save_repo(engine, described)
        engine.dispose()
        lab.server.put_deb(Deb("tool", "1", "all"))
        lab.agent("sync")
        package = next(lab.repo.rglob("*.deb")).stat().st_ino
        shutil.rmtree(lab.www / ".packrat-agent")
        lab.lose_state()
        assert "copy its .packrat-agent, too" in lab.agent("sync", expect=9).stderr
        assert "\n~ " not in lab.agent("sync", "--dry-run").stdout
        lab.agent("sync", "--adopt")
        release = (lab.repo / "dists/bookworm/InRelease").read_text()
        assert "\nLabel: apt-dev\n" in release
        assert "\nRepository: apt-dev\n" in release
        assert next(lab.repo.rglob("*.deb")).stat().st_ino == package


def test_rpms_that_another_key_signed_are_downloaded_and_signed_anew(made: TakeoverStage) -> None:
    with new_key("New Mirror <new@example.com>") as other:
        made.lab.key = other
        made.lab.write_config()
        said = made.lab.agent("sync", "--dry-run", expect=10).stdout
        assert len(re.findall(r"^\+ yum-dev/.*\.rpm \(downloaded\)$", said, re.M)) == 4
        lost = re.findall(r"^\? (\S+) (\S+): it was made with the key that clients trust", said, re.M)
        assert [path.rpartition("/")[2] for _, path in lost] == ["Release.gpg", "Release.gpg", "repomd.xml.asc"]
        made.lab.agent("sync", "--adopt", "--accept-removals")
        assert len(made.downloads()) == 4
        (made.lab.www / "repo-key").unlink()
        made.lab.extra.clear()
        made.lab.write_config()
        made.lab.agent("sync")
        made.lab.agent("verify")


def test_a_repository_that_cannot_be_built_keeps_its_files(made: TakeoverStage) -> None:
    made.server.repos["yum-dev"] = StoredRepo("dev", ("rhel9",), "nonsense")
    before = {path: inode for path, inode in packages(made).items() if path.startswith("yum-dev/")}
    repodata = made.lab.www / "yum-dev/rhel/main/9/repodata"
    indexes = sorted(path.name for path in repodata.iterdir())
    for arguments in (("--adopt",), ()):
        said = made.lab.agent("sync", *arguments, expect=12).stdout
        assert "builds no repositories of type nonsense" in said
        assert packages(made).items() >= before.items()
        assert sorted(path.name for path in repodata.iterdir()) == indexes


@pytest.mark.parametrize("step", ["wanted-remembered", "packages-made", "published-noted:3", "garbage-noted"])
def test_a_takeover_that_was_killed_goes_on_without_a_download(
    made: TakeoverStage, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = packages(made)
    monkeypatch.setenv("PACKRAT_AGENT_DIE_AT", step)
    made.lab.agent("sync", "--adopt", expect=-9)
    monkeypatch.delenv("PACKRAT_AGENT_DIE_AT")
    with daemon(made.lab) as agent:
        agent.until_logged("checked")
        assert agent.stop() == 0
    assert not made.downloads()
    assert packages(made).items() >= before.items()
    made.lab.agent("verify")
