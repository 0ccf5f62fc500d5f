"""A real `packrat-agent sync`: the disk becomes what the server says, and nothing else is touched."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

from packrat_agent.verify.tree import verify_tree
from packrat_demo.build_deb import Deb, build_deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.stage import Stage, daemon, relayed

FIRST = Deb("first", "1", "amd64")
SECOND = Deb("second", "1", "amd64")


def test_nothing_changed_means_nothing_written(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    before = lab.tree()
    said = lab.agent("sync").stdout
    assert lab.tree() == before
    assert "0 added" in said


def test_foreign_files_go_and_keep_files_stay(lab: Stage) -> None:
    lab.extra = {"keep_file_list": f"{lab.www}/keep-1, {lab.www}/sub/keep-2"}
    lab.write_config()
    lab.agent("sync")
    for name in ("keep-1", "sub/keep-2", "sub/stranger", "apt-dev/stranger", "a/b/c/stranger"):
        (lab.www / name).parent.mkdir(parents=True, exist_ok=True)
        (lab.www / name).write_text("mine")
    lab.agent("sync")
    assert json.loads(lab.agent("status", "--json").stdout)["full_pass"]["foreign"] == 3
    assert (lab.www / "keep-1").read_text() == "mine"
    assert (lab.www / "sub/keep-2").read_text() == "mine"
    assert not (lab.www / "sub/stranger").exists()
    assert not (lab.www / "apt-dev/stranger").exists()
    assert not (lab.www / "a").exists()


def test_a_symlink_is_removed_and_what_it_points_to_is_not_touched(lab: Stage) -> None:
    lab.agent("sync")
    outside = lab.directory / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (lab.www / "way-out").symlink_to(outside)
    (lab.www / "apt-dev/way-out").symlink_to(outside / "precious")
    lab.agent("sync")
    assert (outside / "precious").read_text() == "mine"
    assert not (lab.www / "way-out").is_symlink()
    assert not (lab.www / "apt-dev/way-out").is_symlink()


def test_a_directory_of_ours_replaced_by_a_symlink_is_not_followed(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    outside = lab.directory / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    shutil.rmtree(lab.repo / "pool")
    (lab.repo / "pool").symlink_to(outside)
    lab.agent("sync", expect=None)
    lab.agent("sync", expect=None)
    assert [path.name for path in outside.iterdir()] == ["precious"]


def test_a_web_root_of_somebody_else_is_not_cleaned_unless_told(lab: Stage) -> None:
    lab.www.mkdir()
    (lab.www / "index.html").write_text("our site")
    (lab.www / "shop").mkdir()
    (lab.www / "shop/cart.php").write_text("<?php")
    told = lab.agent("sync", expect=9).stderr
    assert "--adopt" in told
    assert "index.html" in told
    assert (lab.www / "shop/cart.php").read_text() == "<?php"
    lab.agent("sync", "--adopt")
    assert not (lab.www / "shop").exists()


def test_a_takeover_asks_for_each_record_once(lab: Stage) -> None:
    for deb in (FIRST, SECOND):
        lab.server.put_deb(deb)
        path = lab.repo / "pool" / deb.name / deb.file_name
        path.parent.mkdir(parents=True)
        path.write_bytes(build_deb(deb))
    with relayed(lab) as relay:
        said = lab.agent("sync", "--adopt")
    assert "adopted repo=apt-dev files=2" in said.stderr
    assert len([line for line in relay.asked if line.startswith("GET /api/v2/Package/PackageFile")]) == 1
    assert {line for line in lab.packages().splitlines() if line.startswith("Package: ")} == {
        f"Package: {deb.name}" for deb in (FIRST, SECOND)
    }


def test_a_damaged_package_is_replaced(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    path = lab.repo / "pool/first/first_1_amd64.deb"
    path.unlink()
    path.write_bytes(b"x" * len(build_deb(FIRST)))
    said = lab.agent("sync")
    assert "damaged" in said.stderr
    assert path.read_bytes() == build_deb(FIRST)


def test_a_damaged_index_is_written_again(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    packages = lab.packages()
    (lab.repo / "dists/bookworm/main/binary-amd64/Packages.xz").write_text("nonsense")
    lab.agent("sync")
    assert lab.packages() == packages


def test_the_plain_index_of_an_earlier_version_goes_after_its_grace_period(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    directory = lab.repo / "dists/bookworm/main/binary-amd64"
    plain, text = directory / "Packages", lab.packages()
    plain.write_text(text)
    with closing(sqlite3.connect(lab.directory / "state" / "state.db")) as db, db:
        db.execute("CREATE TEMP TABLE copied AS SELECT * FROM live_files WHERE path LIKE '%/binary-amd64/Packages.xz'")
        db.execute(
            "UPDATE copied SET path = replace(path, '.xz', ''), sha256 = ?, size = ?, inode = ?",
            (hashlib.sha256(text.encode()).hexdigest(), len(text), plain.stat().st_ino),
        )
        db.execute("INSERT INTO live_files SELECT * FROM copied")
    lab.agent("sync")
    lab.server.put_deb(SECOND)
    lab.agent("sync")
    assert plain.read_text() == text
    assert not verify_tree(lab.www, None, lambda files, size: None).faults
    lab.extra = {"grace_period": "0", "index_grace_period": "0", "keep_generations": "0"}
    lab.write_config()
    lab.agent("sync")
    assert not plain.exists()
    assert "Package: second" in lab.packages()


def test_a_lost_state_database_costs_no_download(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.server.put_deb(SECOND)
    lab.agent("sync")
    pool = {path: path.stat().st_ino for path in lab.repo.glob("pool/*/*")}
    lab.lose_state()
    said = lab.agent("sync")
    assert "adopted" in said.stderr
    assert " 0 B downloaded" in said.stdout
    assert {path: path.stat().st_ino for path in lab.repo.glob("pool/*/*")} == pool


def test_a_lost_state_database_changes_no_label_that_clients_know(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.extra = {"apt_label": "Old words"}
    lab.write_config()
    lab.agent("sync")
    release = lab.repo / "dists/bookworm/Release"
    assert "\nLabel: Old words\n" in release.read_text()
    lab.extra = {}
    lab.write_config()
    told = "would change Label from 'Old words' to 'apt-dev'"
    lab.lose_state()
    assert told in lab.agent("sync", expect=12).stdout
    assert "\nLabel: Old words\n" in release.read_text()
    assert "\nRepository: apt-dev\n" in release.read_text()
    # A Release that the key did not sign says nothing of what clients know.
    for path in lab.repo.glob("dists/*/Release"):
        path.write_text(path.read_text().replace("Old words", "Evil words"))
    lab.lose_state()
    assert "would change" not in lab.agent("sync").stdout
    assert "\nLabel: apt-dev\n" in release.read_text()


def test_publishing_one_package_opens_no_other(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    with daemon(lab) as agent:
        agent.until_logged("checked")
        # A client that asks for it now finds it missing; only a full sync looks, and mends it.
        path = lab.repo / "pool/first/first_1_amd64.deb"
        path.unlink()
        lab.server.put_deb(SECOND)
        agent.until_logged("published repo=apt-dev", 2)
        assert "Package: first" in lab.packages()
        assert "Package: second" in lab.packages()
        assert not path.exists()
        assert agent.stop() == 0
    assert "damaged" in lab.agent("sync").stderr
    assert path.exists()


def test_an_empty_answer_does_not_wipe_a_repository(lab: Stage) -> None:
    uris = [*lab.server.put_deb(FIRST), *lab.server.put_deb(SECOND)]
    lab.agent("sync")
    for uri in uris:
        lab.server.untag(uri, "dev")
    told = lab.agent("sync", expect=12)
    assert "--accept-removals" in told.stderr + told.stdout
    assert "Package: first" in lab.packages()
    lab.agent("sync", "--accept-removals")
    assert "Package: first" not in lab.packages()


def test_another_type_does_not_wipe_a_repository(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    before = lab.tree()
    engine = open_database(lab.server.data)
    for kind, text in (("json", "held: its type on the server was 'apt' and is now 'json'"), ("apt", "1 repository")):
        admin.save_repo(engine, admin.NewRepo("apt-dev", kind, "dev"))
        for arguments in (["sync", "--dry-run"], ["sync"], ["sync"]):
            told = lab.agent(*arguments, expect=12 if kind == "json" else 0)
            assert text in told.stdout
            assert lab.tree() == before
            if arguments == ["sync", "--dry-run"]:
                assert ("taken-back" in told.stderr) is (kind == "apt")
    assert "apt-dev: held" not in lab.agent("status", expect=None).stdout
    admin.save_repo(engine, admin.NewRepo("apt-dev", "json", "dev"))
    engine.dispose()
    # A deb is refused there.
    lab.agent("sync", "--accept-removals", expect=12)
    assert "apt-dev: held" not in lab.agent("status", expect=None).stdout
    assert not (lab.repo / "dists/bookworm/Release").exists()
    assert (lab.repo / "_repo_main/MANIFEST_all.json").exists()


def test_most_of_a_repository_is_not_taken_away_by_one_answer(lab: Stage) -> None:
    uris = [uri for n in range(12) for uri in lab.server.put_deb(Deb(f"package-{n}", "1", "all"))]
    lab.agent("sync")
    for uri in uris[1:]:
        lab.server.untag(uri, "dev")
    lab.server.put_deb(FIRST)
    told = lab.agent("sync", expect=12)
    assert "11 files less" in told.stdout
    assert lab.packages().count("Package: package-") == 12
    lab.extra = {"max_removals": "95"}
    lab.write_config()
    lab.agent("sync")
    assert lab.packages().count("Package: package-") == 1


def test_a_repository_that_left_the_mirror_is_swept_after_the_grace_period(lab: Stage) -> None:
    lab.extra = {"grace_period": "0", "keep_generations": "1"}
    lab.write_config()
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    assert lab.repo.exists()
    engine = open_database(lab.server.data)
    admin.save_repo(engine, admin.NewRepo("other", "apt", "dev", ("trixie",)))
    admin.save_mirror(engine, "lab", ["other"])
    engine.dispose()
    lab.agent("sync")
    lab.agent("sync")
    assert not lab.repo.exists()
    assert (lab.www / "other/dists/trixie/InRelease").exists()


def test_a_mirror_that_suddenly_has_no_repositories_keeps_what_it_had(lab: Stage) -> None:
    lab.extra = {"grace_period": "0", "keep_generations": "1"}
    lab.write_config()
    lab.server.put_deb(FIRST)
    lab.agent("sync")
    before = lab.tree()
    engine = open_database(lab.server.data)
    admin.save_mirror(engine, "lab", [])
    for arguments in (["sync", "--dry-run"], ["sync"], ["sync"]):
        told = lab.agent(*arguments, expect=12)
        assert "! apt-dev: held: the server suddenly names no repositories" in told.stdout
        assert lab.tree() == before
    status = lab.agent("status", expect=None).stdout
    assert "apt-dev: held" in status
    admin.save_mirror(engine, "lab", ["apt-dev"])
    lab.server.put_deb(SECOND)
    assert "taken-back repo=apt-dev" in lab.agent("sync").stderr
    assert "Package: second" in lab.packages()
    admin.save_mirror(engine, "lab", [])
    engine.dispose()
    lab.agent("sync", expect=12)
    lab.agent("sync", "--accept-removals")
    lab.agent("sync")
    assert not lab.repo.exists()


def test_a_withdrawn_package_stays_on_disk_through_the_grace_period(lab: Stage) -> None:
    lab.server.put_deb(SECOND)
    [uri] = lab.server.put_deb(FIRST)
    lab.agent("sync")
    lab.server.act(uri, "fail")
    lab.agent("sync")
    assert "Package: first" not in lab.packages()
    assert (lab.repo / "pool/first/first_1_amd64.deb").exists()
    # An index that is still on disk names it.
    lab.extra = {"grace_period": "0", "keep_generations": "1"}
    lab.write_config()
    lab.agent("sync")
    assert (lab.repo / "pool/first/first_1_amd64.deb").exists()
    lab.extra = {"grace_period": "0", "keep_generations": "0"}
    lab.write_config()
    lab.agent("sync")
    assert not (lab.repo / "pool/first/first_1_amd64.deb").exists()


def test_other_bytes_under_a_published_name_are_refused(lab: Stage) -> None:
    [uri] = lab.server.put_deb(FIRST)
    lab.agent("sync")
    # The server was put back from a backup and the package built again.
    forged = Deb("first", "1", "amd64", (("Publication", "net"),))
    engine = open_database(lab.server.data)
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("DELETE FROM package_file_tags")
        connection.exec_driver_sql("DELETE FROM package_files")
    engine.dispose()
    lab.server.put_deb(forged)
    lab.server.put_deb(SECOND)
    told = lab.agent("sync", expect=12)
    assert "published before with other bytes" in told.stdout
    assert (lab.repo / "pool/first/first_1_amd64.deb").read_bytes() == build_deb(FIRST)
    assert "Package: second" in lab.packages()
    assert uri


def test_wrong_records_are_refused_and_stop_nothing_else(lab: Stage) -> None:
    [uri] = lab.server.put_deb(FIRST)
    lab.server.put_deb(SECOND)
    engine = open_database(lab.server.data)
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(
            f"UPDATE package_files SET arch = 'arm64', sha256 = sha256 WHERE id = {uri.rsplit(':', 2)[1]}"
        )
    engine.dispose()
    told = lab.agent("sync", expect=12)
    assert "the server has it as arm64" in told.stdout
    assert "Package: second" in lab.packages()
    assert "Package: first" not in lab.packages()


def test_bytes_that_are_not_those_of_the_record_are_never_visible(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    lab.server.put_deb(SECOND)
    stored = [path for path in (lab.server.data / "files").glob("*/*") if path.read_bytes() == build_deb(FIRST)]
    stored[0].write_bytes(b"!<arch>\nnot what it was")
    told = lab.agent("sync", expect=12)
    assert "first_1_amd64.deb" in told.stdout
    assert not (lab.repo / "pool/first").exists()
    assert "Package: second" in lab.packages()


@pytest.mark.parametrize("psk", ["wrong", ""])
def test_a_wrong_or_missing_psk_says_what_to_do(lab: Stage, psk: str) -> None:
    lab.psk = psk
    lab.write_config()
    told = lab.agent("sync", expect=4).stderr
    assert "psk" in told
    assert lab.server.password not in told


def test_the_psk_is_never_logged(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    done = lab.agent("--log-level", "debug", "sync")
    shown = lab.agent("config")
    for text in (done.stdout, done.stderr, shown.stdout, shown.stderr):
        assert lab.psk not in text
    with sqlite3.connect(lab.directory / "state/state.db") as db:
        assert lab.psk not in "\n".join(db.iterdump())


def test_files_are_readable_for_a_web_server_whatever_the_umask(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    done = subprocess.run(
        ["sh", "-c", 'umask 077; exec "$@"', "sh", *lab.command("sync")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for path in lab.www.rglob("*"):
        relative = path.relative_to(lab.www)
        if relative.parts[0].startswith("."):
            continue
        mode = path.stat().st_mode & 0o777
        assert mode == (0o755 if path.is_dir() else 0o644), f"{relative} has mode {mode:o}"
