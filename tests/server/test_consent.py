"""What takes something away from clients asks first; a promotion goes through the chain; a dry run changes nothing."""

import asyncio
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, select

from packrat_core.errors import ConfigError
from packrat_demo.build_deb import Deb, write_deb
from packrat_demo.build_wheel import Python, write_wheel
from packrat_server import admin
from packrat_server.admin.record_change import Approval, RecordChange
from packrat_server.admin.tag_types import TagType, save_tag_type
from packrat_server.cli import main as cli
from packrat_server.cli.consent import Consent, carry_out
from packrat_server.client.plan_promotion import plan_promotion
from packrat_server.client.uploader import signed_in
from packrat_server.store.database import open_database, reading
from packrat_server.store.tables import package_file_tags, package_files
from support.certificates import make_certificates
from support.stage import Server, packrat_server
from support.tls_front import tls_front

TAGS = {
    "dev": {"required": [], "change_control": False},
    "stage": {"required": ["dev"], "change_control": False},
    "prod": {"required": ["stage"], "change_control": True},
}
DRY = "dry run: nothing was changed\nnext: the same command without --dry-run does it\n"
HELD = "nothing was changed: this takes something away from clients; add --yes if that is meant, or --dry-run"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("consent"), new_database()) as made:
        engine = open_database(made.data)
        admin.save_repo(engine, admin.NewRepo("apt-dev", "apt", "dev", ("bookworm", "trixie")))
        admin.save_repo(engine, admin.NewRepo("pypi-dev", "pypi", "dev", ("pypi",)))
        admin.save_repo(engine, admin.NewRepo("empty", "apt", "dev", ("noble",)))
        admin.save_mirror(engine, "lab", ["apt-dev", "pypi-dev", "empty"])
        engine.dispose()
        yield made


@dataclass(frozen=True, slots=True)
class Told:
    """How a command ended, and what it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both."""
        return self.stdout + self.stderr


def called(server: Server, *words: str, answer: str | None = None) -> Told:
    """Run a command, through the API or on the data directory, with or without a terminal."""
    has_data = words[0] in ("repo", "mirror", "user", "tag-type", "distro")
    place = ["--data", str(server.data)] if has_data else ["--url", server.url]
    line = [sys.executable, "-m", "packrat_server.cli", *words, *place]
    environment = {**os.environ, "PACKRAT_PASSWORD": server.password, "TERM": "dumb"}
    if answer is None:
        done = CliRunner().invoke(cli.main, [*words, *place], env={"PACKRAT_PASSWORD": server.password})
        return Told(done.exit_code, done.stdout, done.stderr)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        line, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        out, told = process.communicate(timeout=120)
        os.close(ours)
    return Told(process.returncode, out, told)


def upload(server: Server, directory: Path, name: str, *words: str) -> str:
    deb = write_deb(Deb(name, "1.0", "all"), directory)
    done = called(server, "upload", str(deb), "--distro", "bookworm", *words)
    assert done.exit_code == 0, done.output
    return deb.name


def state(server: Server, file_name: str) -> tuple[list[str], bool, bool]:
    """The tags of a file, and whether it is failed and deprocated."""
    engine = open_database(server.data)
    with reading(engine) as connection:
        row = connection.execute(select(package_files).where(package_files.c.file_name == file_name)).one()
        tags = connection.execute(
            select(package_file_tags.c.tag)
            .where(package_file_tags.c.package_file == row.id)
            .order_by(package_file_tags.c.id)
        )
        found = list(tags.scalars()), row.failed_at is not None, row.deprocated_at is not None
    engine.dispose()
    return found


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (("tag", "--off", "dev"), ([], False, False)),
        (("fail",), (["dev"], True, False)),
        (("deprocate",), (["dev"], False, True)),
    ],
    ids=["untag", "fail", "deprocate"],
)
def test_a_file_that_leaves_a_repository_is_not_taken_away_unasked(
    server: Server, tmp_path: Path, words: tuple[str, ...], after: tuple[list[str], bool, bool]
) -> None:
    name = upload(server, tmp_path, f"away-{words[0]}", "--tag", "dev")
    held = called(server, *words, name)
    assert held.exit_code == 10
    assert held.stderr.splitlines()[0] == f"{name} leaves apt-dev"
    assert HELD in held.stderr
    dry = called(server, *words, name, "--dry-run")
    assert (dry.exit_code, dry.stderr) == (0, "")
    assert "would be " in dry.stdout
    assert f"{name} leaves apt-dev" in dry.stdout
    assert state(server, name) == (["dev"], False, False)
    assert called(server, *words, name, "--yes").exit_code == 0
    assert state(server, name) == after
    # Nothing is left to lose, so nobody is asked again.
    again = called(server, *words, name)
    assert (again.exit_code, again.stderr) == (0, "")


def test_on_a_terminal_the_answer_decides(server: Server, tmp_path: Path) -> None:
    name = upload(server, tmp_path, "asked", "--tag", "dev")
    refused = called(server, "fail", name, answer="n")
    assert (refused.exit_code, state(server, name)) == (10, (["dev"], False, False))
    assert f"{name} leaves apt-dev" in refused.stderr
    assert called(server, "fail", name, answer="y").exit_code == 0
    assert state(server, name) == (["dev"], True, False)
    assert called(server, "repo", "remove", "empty", answer="n").exit_code == 10
    assert called(server, "repo", "remove", "empty", answer="y").exit_code == 0


def test_a_file_is_deleted_for_good_with_consent_alone(server: Server, tmp_path: Path) -> None:
    name = upload(server, tmp_path, "mistake", "--tag", "dev")
    told = called(server, "file", "delete", name)
    assert (told.exit_code, told.stderr.splitlines()[0]) == (10, f"{name} is deleted for good and leaves apt-dev")
    told = called(server, "file", "delete", name, "--dry-run")
    assert f"(would be deleted, {name} is deleted for good and leaves apt-dev)" in told.stdout
    assert state(server, name)[0] == ["dev"]
    told = called(server, "file", "delete", name, "--yes", "--reason", "built from the wrong branch")
    assert (told.exit_code, told.stdout.endswith(f"{name} (deleted)\n")) == (0, True)
    assert "no package file of this name" in called(server, "file", "delete", name, "--yes").stderr
    last = called(server, "history", name).stdout.splitlines()[-1]
    assert " delete " in last and last.endswith("built from the wrong branch")
    name = upload(server, tmp_path, "unused")
    told = called(server, "file", "delete", name)
    assert (told.exit_code, told.stderr.splitlines()[0]) == (10, f"{name} is deleted for good")


def test_files_in_no_repository_need_no_consent(server: Server, tmp_path: Path) -> None:
    untagged, other = upload(server, tmp_path, "untagged"), upload(server, tmp_path, "other", "--tag", "dev")
    # A repository with "newest only" does not offer it any more, so it leaves none.
    newest_only = ("repo", "set", "apt-dev", "--newest-only", "--yes")
    newer = ("upload", str(write_deb(Deb("other", "2.0", "all"), tmp_path)), "--distro", "bookworm", "--tag", "dev")
    for words in (("fail", untagged), newest_only, newer, ("deprocate", other)):
        assert called(server, *words).exit_code == 0


def test_a_python_file_is_told_to_be_yanked(server: Server, tmp_path: Path) -> None:
    wheel = write_wheel(Python("yanked", "1.0"), tmp_path)
    assert called(server, "upload", str(wheel), "--tag", "dev").exit_code == 0
    assert f"{wheel.name} is marked as yanked in pypi-dev" in called(server, "deprocate", wheel.name).stderr
    assert f"{wheel.name} leaves pypi-dev" in called(server, "fail", wheel.name).stderr


@pytest.mark.parametrize(
    ("words", "loss"),
    [
        (("repo", "set", "apt-dev", "--tag", "stage"), " leaves? repository apt-dev"),
        (("repo", "set", "apt-dev", "--distro", "trixie"), " leaves? repository apt-dev"),
        (("repo", "set", "apt-dev", "--directory", "elsewhere"), "clients of repository apt-dev lose their address"),
        (("repo", "set", "apt-dev", "--type", "json"), "clients of repository apt-dev lose its format"),
        (("repo", "remove", "apt-dev"), "clients lose repository apt-dev with "),
        (("mirror", "set", "lab", "--repo", "pypi-dev"), "clients of mirror lab lose repository apt-dev with "),
        (("mirror", "remove", "lab"), "clients of mirror lab get no update any more"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_setting_that_takes_something_away_is_held(
    server: Server, tmp_path: Path, words: tuple[str, ...], loss: str
) -> None:
    upload(server, tmp_path, "kept", "--tag", "dev")
    before = [called(server, kind, "list", "--json").stdout for kind in ("repo", "mirror")]
    held = called(server, *words)
    assert held.exit_code == 10
    assert re.search(loss, held.stderr.splitlines()[0])
    assert HELD in held.stderr
    dry = called(server, *words, "--dry-run")
    assert (dry.exit_code, dry.stderr) == (0, DRY)
    assert re.search(loss, dry.stdout)
    assert [called(server, kind, "list", "--json").stdout for kind in ("repo", "mirror")] == before


def test_keeping_fewer_marked_files_is_held_since_the_others_are_deleted(server: Server, tmp_path: Path) -> None:
    package = upload(server, tmp_path, "marked").partition("_")[0]
    place = ("--data", str(server.data))
    cli_runner = CliRunner()

    def set_count(*words: str) -> tuple[int, str]:
        done = cli_runner.invoke(cli.main, ["package", "set", package, *words, *place])
        return done.exit_code, done.output

    code, said = set_count("--failed-count", "0")
    assert (code, said.splitlines()[0]) == (
        10,
        "each file of package marked that is failed from now on will be deleted for good within two hours",
    )
    assert called(server, "fail", "marked_1.0_all.deb", "--yes").exit_code == 0
    code, said = set_count("--failed-count", "0")
    assert (code, said.splitlines()[0]) == (10, "1 file of package marked, failed, will be deleted for good")
    assert set_count("--failed-count", "1", "--deprocated-count", "1")[0] == 0
    assert set_count("--failed-count", "0", "--yes")[0] == 0
    assert set_count("--failed-count", "3")[0] == 0


def test_commands_that_only_add_need_no_consent(server: Server) -> None:
    for words in (
        ("repo", "set", "apt-dev", "--distro", "bookworm", "--distro", "trixie", "--distro", "sid"),
        ("repo", "set", "apt-dev", "--description", "Debian", "--all-versions"),
        ("mirror", "set", "lab", "--description", "The lab"),
    ):
        called(server, "distro", "set", "sid", "--type", "deb")
        done = called(server, *words)
        assert (done.exit_code, done.stderr) == (0, ""), done.output


def test_a_dry_run_of_a_new_thing_makes_none(server: Server) -> None:
    for words in (
        ("tag-type", "set", "new"),
        ("distro", "set", "new", "--type", "deb"),
        ("repo", "set", "new", "--type", "apt", "--tag", "dev", "--distro", "noble"),
        ("mirror", "set", "new", "--repo", "apt-dev"),
        ("user", "set", "new"),
    ):
        done = called(server, *words, "--dry-run")
        assert (done.exit_code, done.stderr) == (0, DRY)
        assert "made: " in done.stdout
        assert "shown this once" not in done.stdout
        assert called(server, words[0], "show", "new").exit_code == 2


def test_a_change_that_somebody_else_made_meanwhile_is_not_undone(server: Server, tmp_path: Path) -> None:
    upload(server, tmp_path, "kept", "--tag", "dev")
    engine = open_database(server.data)
    admin.save_mirror(engine, "race", ["apt-dev", "pypi-dev"])
    others = ["of another writer"]

    def change(engine: Engine, approval: Approval) -> RecordChange:
        try:
            return admin.set_mirror(engine, "race", ["pypi-dev"], approval=approval)
        finally:
            while others:
                admin.set_mirror(engine, "race", description=others.pop())

    class Agreeing(Consent):
        def ask(self, losses: object) -> None:
            assert losses

    with pytest.raises(ConfigError, match="mirror race was changed by somebody else, so nothing was changed"):
        carry_out("mirror race", server.data, change, Agreeing(yes=False, dry_run=False))
    assert admin.set_mirror(engine, "race").after == {
        "repositories": "apt-dev, pypi-dev",
        "description": "of another writer",
    }
    admin.remove_mirror(engine, "race")
    engine.dispose()


def test_one_of_several_writers_makes_a_tag_and_the_others_report_no_change(server: Server) -> None:
    engine = open_database(server.data)
    told: list[RecordChange] = []

    def make() -> None:
        told.append(save_tag_type(engine, TagType("both")))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = sorted(change.lines("tag both")[0] for change in told)
    assert lines == ["tag both made: required tags none; change control not needed", *["tag both: nothing changed"] * 3]
    engine.dispose()


def test_uploads_of_one_new_package_at_the_same_time_all_succeed(server: Server, tmp_path: Path) -> None:
    async def upload_all(name: str) -> None:
        debs = [write_deb(Deb(name, f"1.{number}", "all"), tmp_path) for number in range(8)]
        async with signed_in(server.url, "admin", server.password) as uploader:
            # Each finds that there is no package yet, and makes it.
            made = await asyncio.gather(*(uploader.upload(deb, ["bookworm"]) for deb in debs))
        assert all(list(uris.values()) == [True] for uris in made)

    for name in ("rival", "contender", "opponent"):
        asyncio.run(upload_all(name))


def test_a_promotion_goes_through_the_chain(server: Server, tmp_path: Path) -> None:
    name = upload(server, tmp_path, "chain")
    refused = called(server, "promote", name, "--to", "prod")
    assert (refused.exit_code, refused.stdout) == (4, "")
    assert "prod needs a change control id: give --change-control" in refused.stderr
    assert state(server, name)[0] == []
    words = ("promote", name, "--to", "prod", "--change-control", "CHG-1")
    assert f"{name} (would be tagged dev, stage, prod)" in called(server, *words, "--dry-run").stdout
    assert state(server, name)[0] == []
    done = called(server, *words)
    assert done.stdout.endswith(f" {name} (tagged dev, tagged stage, tagged prod)\n")
    assert state(server, name)[0] == ["dev", "stage", "prod"]
    assert called(server, *words).stdout.endswith(f" {name} (already tagged prod)\n")
    line = called(server, "promote", name, "--to", "nowhere").stderr
    assert "the server has no tag nowhere; there are " in line
    other = upload(server, tmp_path, "failing")
    called(server, "fail", other)
    done = called(server, "promote", other, "nothere", "--to", "dev")
    assert "it is failed, so it takes no tags; `unfail` undoes that" in done.stderr
    assert "2 of 2 files refused" in done.stderr


def test_a_mark_that_is_repeated_is_noted_and_changes_nothing(server: Server, tmp_path: Path) -> None:
    name = upload(server, tmp_path, "marked-again", "--tag", "dev")
    for do, undo, mark in (("fail", "unfail", "failed"), ("deprocate", "undeprocate", "deprocated")):
        assert f"{name} (not {mark})\n" in called(server, undo, name).stdout
        assert f"already {mark}" not in called(server, do, name, "--yes").stdout
        assert f"{name} (already {mark})\n" in called(server, do, name, "--yes").stdout
        assert f"not {mark}" not in called(server, undo, name).stdout
    assert state(server, name) == (["dev"], False, False)


def test_a_dry_run_of_a_tag_knows_the_rules(server: Server, tmp_path: Path) -> None:
    name = upload(server, tmp_path, "ruled", "--tag", "dev")
    for words, told in (
        (("tag", "dev"), "already tagged dev"),
        (("tag", "stage"), "would be tagged stage"),
        (("tag", "prod"), "tag it stage first"),
        (("tag", "nowhere"), "the server has no tag nowhere"),
        (("tag", "--off", "stage"), "already without stage"),
        (("unfail",), "not failed"),
    ):
        assert told in called(server, *words, name, "--dry-run").output
    called(server, "tag", "stage", name)
    assert 'Tag "stage" requires it' in called(server, "tag", "--off", "dev", name, "--dry-run").stderr
    called(server, "fail", name, "--yes")
    assert "it is failed, so it can't be deprocated" in called(server, "deprocate", name, "--dry-run").stderr
    assert "already failed" in called(server, "fail", name, "--dry-run").stdout
    assert state(server, name) == (["dev", "stage"], True, False)


@pytest.mark.parametrize(
    ("record", "tag", "change_control", "tags", "missing"),
    [
        ({}, "prod", "CHG-1", ("dev", "stage", "prod"), 0),
        ({"tags": ["dev"]}, "prod", "CHG-1", ("stage", "prod"), 0),
        ({"tags": ["dev"]}, "stage", None, ("stage",), 0),
        ({"tags": ["dev", "stage", "prod"]}, "prod", None, (), 0),
        ({}, "prod", None, ("dev", "stage", "prod"), 1),
        ({"failed_at": "x"}, "prod", None, ("dev", "stage", "prod"), 2),
        ({"deprocated_at": "x"}, "dev", None, ("dev",), 1),
        ({}, "none", None, (), 1),
    ],
)
def test_a_promotion_plans_the_tags_it_needs(
    record: dict[str, object], tag: str, change_control: str | None, tags: tuple[str, ...], missing: int
) -> None:
    plan = plan_promotion(record, tag, TAGS, change_control)
    assert plan.tags == tags
    assert len(plan.missing) == missing


def test_an_authority_of_ones_own_is_named_by_an_option(server: Server, tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    name = upload(server, tmp_path, "encrypted")
    with tls_front(server.url, made) as url:
        words = ["file", "show", name, "--url", url]
        environment = {"PACKRAT_PASSWORD": server.password, "PACKRAT_USER": "admin"}
        untrusted = CliRunner().invoke(cli.main, words, env=environment)
        assert (untrusted.exit_code, "certificate" in untrusted.stderr) == (3, True)
        trusted = CliRunner().invoke(cli.main, [*words, "--ca-file", str(made.ca)], env=environment)
        assert trusted.exit_code == 0, trusted.output
        assert CliRunner().invoke(cli.main, words, env={**environment, "PACKRAT_CA_FILE": str(made.ca)}).exit_code == 0
        wrong = CliRunner().invoke(cli.main, [*words, "--ca-file", str(tmp_path / "none")], env=environment)
        assert wrong.exit_code == 2
