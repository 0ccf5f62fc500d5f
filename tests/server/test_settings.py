"""What an administrator does not name stays as it is; each field that changes is shown before → after."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from packrat_server import admin
from packrat_server.accounts.rights import Role
from packrat_server.accounts.sessions import InvalidLogin, check_secret, find_caller, open_session
from packrat_server.admin.new_server import init
from packrat_server.cli import main as cli
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.journal import newest
from packrat_server.store.membership import mirror_repo_names, repo_distro_names
from packrat_server.store.tables import mirrors, packages, repos, users
from support.world import World, world

REPO = ("repo", "set", "apt-dev")
NEW_REPO = (*REPO, "--type", "apt", "--tag", "dev", "--distro", "bookworm")
MIRROR = ("mirror", "set", "lab")


def log_in(engine: Engine, name: str, secret: str) -> str:
    return open_session(engine, name, check_secret(engine, name, secret), b"proof")


def run(data: Path, *words: str) -> str:
    result = CliRunner().invoke(cli.main, [*words, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(data: Path, *words: str) -> str:
    result = CliRunner().invoke(cli.main, [*words, "--data", str(data)])
    assert result.exit_code == 2, result.output
    (line,) = result.output.splitlines()
    return line


def stored(data: Path, name: str = "apt-dev") -> dict[str, Any]:
    """A repository as the database has it."""
    engine = open_database(data)
    with reading(engine) as connection:
        row = connection.execute(select(repos).where(repos.c.name == name)).one()
        found = {**row._mapping, "distros": repo_distro_names(connection, name), "position": newest(connection)}
    engine.dispose()
    return found


@pytest.mark.parametrize(
    ("words", "told", "changed"),
    [
        (["--tag", "stage"], "tag dev → stage", {"tag": "stage"}),
        (["--type", "json"], "type apt → json", {"kind": "json"}),
        (["--distro", "trixie"], "distribution versions bookworm → trixie", {"distros": ["trixie"]}),
        (["--directory", "new/place"], "directory debian/dev → new/place", {"directory": "new/place"}),
        (["--directory", ""], "directory debian/dev → apt-dev", {"directory": "apt-dev"}),
        (["--description", "Other"], "description Debian packages → Other", {"description": "Other"}),
        (["--newest-only"], "versions all → newest only", {"show_only_latest": True}),
    ],
)
def test_repo_set_changes_only_the_named_fields(
    data: Path, words: list[str], told: str, changed: dict[str, Any]
) -> None:
    more = ("--directory", "debian/dev", "--description", "Debian packages", "--all-versions")
    made = run(data, *NEW_REPO, *more)
    assert made.startswith("repository apt-dev made: ")
    run(data, *MIRROR, "--repo", "apt-dev")
    before = stored(data)
    assert run(data, *REPO, *words) == f"repository apt-dev: {told}\n"
    after = stored(data)
    assert after["updated"] > before["updated"]
    # Agents hear of it.
    assert after["position"] > before["position"]
    kept = {name: value for name, value in before.items() if name not in ("updated", "position")}
    assert {name: after[name] for name in kept} == kept | changed
    for same in (words, []):
        assert run(data, *REPO, *same) == "repository apt-dev: nothing changed\n"
        assert stored(data) == after


def test_a_new_repository_has_defaults_and_says_what_it_needs(data: Path) -> None:
    assert run(data, *NEW_REPO) == (
        "repository apt-dev made: type apt; tag dev; distribution versions bookworm; directory apt-dev; "
        "description apt-dev; versions newest only\n"
    )
    needs = ("--type", "--tag", "--distro")
    line = refused(data, "repo", "set", "apt-dve", "--newest-only")
    assert "'apt-dve'" in line
    assert "there are apt-dev" in line
    for option in needs:
        assert option in line
        words = itertools.chain.from_iterable(
            pair for pair in zip(NEW_REPO[3::2], NEW_REPO[4::2], strict=True) if pair[0] != option
        )
        told = refused(data, "repo", "set", "other", *words)
        assert [need for need in needs if need in told] == [option]


def test_a_refused_change_changes_nothing(data: Path) -> None:
    run(data, *NEW_REPO)
    before = stored(data)
    for wrong in (
        ("--tag", "nowhere"),
        ("--distro", "nowhere"),
        ("--directory", "../up"),
        ("--description", "x" * 201),
        # Pasted from a page or a table: agents would leave the repository out.
        ("--description", "Debian\u00a0packages"),
        ("--description", "Debian\tpackages"),
        ("--description", "evil \x1b[2J"),
    ):
        refused(data, *REPO, "--all-versions", *wrong)
        assert stored(data) == before


SAID = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["apt", "json"]),
        "tag": st.sampled_from(["dev", "stage", "prod"]),
        "distro_versions": st.lists(st.sampled_from(["bookworm", "trixie", "noble"]), max_size=3, unique=True).map(
            tuple
        ),
        "description": st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=50),
        "directory": st.from_regex(r"[a-z]{1,9}(/[a-z]{1,9}){0,3}", fullmatch=True),
        "show_only_latest": st.booleans(),
    },
)


def test_whatever_is_said_is_all_that_changes(tmp_path: Path) -> None:
    init(tmp_path / "server")
    engine = open_database(tmp_path / "server")
    defaults: dict[str, Any] = {"kind": "apt", "tag": "dev", "distro_versions": ("bookworm",)}
    known: dict[str, Any] = {**defaults, "description": "r", "directory": "r", "show_only_latest": True}
    admin.save_repo(engine, admin.NewRepo("r", **defaults))

    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
    @given(SAID)
    def change(said: dict[str, Any]) -> None:
        saved = admin.save_repo(engine, admin.NewRepo("r", **said))
        different = {name for name, value in said.items() if value != known[name]}
        known.update(said)
        lines = saved.lines("repository r")
        assert all(line.isprintable() for line in lines)
        assert len([line for line in lines if " → " in line]) == len(different)
        with reading(engine) as connection:
            row = connection.execute(select(repos)).one()
            assert {name: getattr(row, name) for name in known if name != "distro_versions"} == {
                name: value for name, value in known.items() if name != "distro_versions"
            }
            assert tuple(repo_distro_names(connection, "r")) == known["distro_versions"]

    change()
    engine.dispose()


def psk_of(output: str) -> str:
    return output.partition("has the psk ")[2].partition(" ")[0]


def test_mirror_set_changes_only_the_named_fields(data: Path) -> None:
    for name in ("a", "b", "c"):
        run(data, "repo", "set", name, *NEW_REPO[3:])
    made = run(data, *MIRROR, "--repo", "a", "--repo", "b", "--description", "The lab")
    assert made.startswith("mirror lab made: repositories a, b; description The lab\n")
    psk = psk_of(made)
    engine = open_database(data)
    token = log_in(engine, "lab", psk)

    def state() -> tuple[list[str], Any]:
        with reading(engine) as connection:
            return mirror_repo_names(connection, "lab"), connection.execute(select(mirrors)).one()

    changes = (
        (["--description", "Other"], "description The lab → Other", ["a", "b"]),
        (["--repo", "c", "--repo", "a"], "repositories a, b → c, a", ["c", "a"]),
        (["--description", ""], "description Other → lab", ["c", "a"]),
    )
    for words, told, names in changes:
        assert run(data, *MIRROR, *words) == f"mirror lab: {told}\n"
        after = state()
        assert after[0] == names
        for same in (words, []):
            assert run(data, *MIRROR, *same) == "mirror lab: nothing changed\n"
            assert state() == after
        # The psk and the session go on.
        assert find_caller(engine, "lab", token).role == Role.MIRROR
        assert log_in(engine, "lab", psk)
    held = CliRunner().invoke(cli.main, [*MIRROR, "--new-psk", "--data", str(data)])
    assert held.exit_code == 10
    assert "the agent of mirror lab is refused until the new psk is in its mirror.conf" in held.stderr
    assert log_in(engine, "lab", psk)
    renewed = run(data, *MIRROR, "--new-psk", "--yes")
    assert renewed.startswith("mirror lab: psk the old one → a new one\n")
    assert state()[0] == ["c", "a"]
    assert log_in(engine, "lab", psk_of(renewed))
    with pytest.raises(InvalidLogin):
        log_in(engine, "lab", psk)
    engine.dispose()


def test_a_new_mirror_needs_repositories(data: Path) -> None:
    run(data, *NEW_REPO)
    run(data, *MIRROR, "--repo", "apt-dev")
    line = refused(data, "mirror", "set", "lba", "--description", "x")
    assert "'lba'" in line
    assert "--repo" in line
    assert "there are lab" in line


def password_of(output: str) -> str:
    return output.partition("has the password ")[2].partition(" ")[0]


def test_user_set_changes_only_the_named_fields(data: Path) -> None:
    made = run(data, "user", "set", "bob", "--role", "admin")
    assert made.startswith("user bob made: role admin; further rights none; state active\n")
    password = password_of(made)
    engine = open_database(data)
    token = log_in(engine, "bob", password)
    for same in ([], ["--role", "admin"]):
        assert run(data, "user", "set", "bob", *same) == "user bob: nothing changed\n"
        assert find_caller(engine, "bob", token).role == Role.ADMIN
    assert run(data, "user", "set", "bob", "--role", "manager") == "user bob: role admin → manager\n"
    assert find_caller(engine, "bob", log_in(engine, "bob", password)).role == Role.MANAGER
    renewed = run(data, "user", "set", "bob", "--new-password")
    assert renewed.startswith("user bob: password the old one → a new one\n")
    assert find_caller(engine, "bob", log_in(engine, "bob", password_of(renewed))).role == Role.MANAGER
    with pytest.raises(InvalidLogin):
        log_in(engine, "bob", password)
    engine.dispose()


def test_a_locked_out_user_comes_back_as_a_new_one(data: Path) -> None:
    password = password_of(run(data, "user", "set", "bob", "--role", "admin"))
    run(data, "user", "remove", "bob")
    back = run(data, "user", "set", "bob")
    assert "user bob: role admin → manager\nuser bob: state locked out → active\n" in back
    engine = open_database(data)
    assert find_caller(engine, "bob", log_in(engine, "bob", password_of(back))).role == Role.MANAGER
    with pytest.raises(InvalidLogin):
        log_in(engine, "bob", password)
    engine.dispose()


def test_the_last_administrator_stays_one(data: Path) -> None:
    assert "last administrator" in refused(data, "user", "set", "admin", "--role", "manager")
    engine = open_database(data)
    with reading(engine) as connection:
        assert connection.execute(select(users.c.role)).scalars().all() == [Role.ADMIN]
    engine.dispose()


def test_a_terminal_of_other_letters_does_not_matter(data: Path) -> None:
    run(data, *NEW_REPO)
    words = [*REPO, "--tag", "stage", "--description", "Päckchen", "--data", str(data)]
    done = subprocess.run(
        [sys.executable, "-m", "packrat_server.cli", *words],
        env={"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="latin-1",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "tag dev \\u2192 stage\n" in done.stdout


def test_an_update_changes_what_it_names(tmp_path: Path) -> None:
    package = "/api/v2/Package/Package:hello:"

    def update(server: World, values: dict[str, Any]) -> dict[str, Any]:
        answer = server.call("UPDATE", package, values, "root")
        assert answer.status == 200, answer.data
        return dict(answer.value)

    with world(tmp_path) as server:
        engine = open_database(server.data)
        with writing(engine) as connection:
            connection.execute(packages.update().values(deprocated_count=7, failed_count=8))
        engine.dispose()
        first = server.call("GET", package).value
        for same in ({}, {"failed_count": 8}):
            assert update(server, same) == first
        second = update(server, {"failed_count": 9})
        assert (second["deprocated_count"], second["failed_count"]) == (7, 9)
        assert second["updated"] > first["updated"]
        assert server.call("UPDATE", "/api/v2/Package/Package:nowhere:", {}, "root").status == 404
        assert server.call("UPDATE", package, {"failed_count": True}, "root").status == 400


def test_a_repository_takes_distribution_versions_of_its_type_only(data: Path) -> None:
    new = ("repo", "set", "yum-dev", "--type", "yum", "--tag", "dev")
    told = refused(data, *new, "--distro", "rhel9", "--distro", "bookworm", "--distro", "pypi")
    assert "--distro: a repository of type yum takes rpm files, not those of bookworm (deb), pypi (python); " in told
    assert "rhel9" in told.partition("distribution versions of rpm are ")[2]
    run(data, *new, "--distro", "rhel9")
    assert "--type: a repository of type apt takes deb files, not those of rhel9 (rpm)" in refused(
        data, "repo", "set", "yum-dev", "--type", "apt"
    )
    run(data, "repo", "set", "yum-dev", "--type", "yast")
    # One of JSON takes the files of all types.
    run(data, "repo", "set", "all", "--type", "json", "--tag", "dev", "--distro", "rhel9", "--distro", "bookworm")


def test_directories_that_contain_each_other_on_one_mirror_are_reported(data: Path) -> None:
    def held(*words: str) -> str:
        result = CliRunner().invoke(cli.main, [*words, "--data", str(data)])
        assert result.exit_code == 10, result.output
        return result.stderr.splitlines()[0]

    for name, directory in (("a", "debian"), ("b", "debian/dev"), ("c", "debian-dev")):
        run(data, "repo", "set", name, *NEW_REPO[3:], "--directory", directory)
    told = "mirror lab leaves repository b out: its directory debian/dev and debian of a contain each other"
    assert held("mirror", "set", "lab", "--repo", "a", "--repo", "c", "--repo", "b") == told
    run(data, "mirror", "set", "lab", "--repo", "a", "--repo", "c")
    told = "mirror lab leaves repository c out: its directory debian and debian of a contain each other"
    assert held("repo", "set", "c", "--directory", "debian") == told
    run(data, "repo", "set", "c", "--directory", "debian", "--yes")
    # What is so already is not told again.
    run(data, "mirror", "set", "lab", "--repo", "a", "--repo", "c", "--description", "Lab")
    run(data, "repo", "set", "c", "--directory", "ubuntu")
