"""An administrator defines tags and distribution versions; what is in use stays, packages go where they belong."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect, select

from packrat_demo.build_deb import Deb, write_deb
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_server.admin.new_server import DISTRO_VERSIONS
from packrat_server.cli import main as cli
from packrat_server.promotion.release_names import options
from packrat_server.promotion.rules import chain_to
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.journal import newest
from packrat_server.store.schema import upgrade
from packrat_server.store.sqlite import connect_sqlite
from packrat_server.store.tables import distro_versions
from support.stage import packrat_server

RPMS = {name: tuple(filter(None, words.split(","))) for name, _, _, kind, words in DISTRO_VERSIONS if kind == "rpm"}


def run(data: Path, *words: str) -> str:
    result = CliRunner().invoke(cli.main, [*words, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(data: Path, *words: str) -> str:
    result = CliRunner().invoke(cli.main, [*words, "--data", str(data)])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr.splitlines()[-1]


def test_tag_type_set_changes_only_the_named_fields(data: Path) -> None:
    made = run(data, "tag-type", "set", "qa", "--requires", "dev", "--change-control")
    assert made == "tag qa made: required tags dev; change control needed\n"
    assert run(data, "tag-type", "set", "qa", "--no-change-control") == "tag qa: change control needed → not needed\n"
    assert run(data, "tag-type", "set", "qa", "--requires", "stage", "--requires", "dev") == (
        "tag qa: required tags dev → dev, stage\n"
    )
    assert run(data, "tag-type", "set", "qa") == "tag qa: nothing changed\n"
    assert run(data, "tag-type", "set", "qa", "--requires", "") == "tag qa: required tags dev, stage → none\n"
    assert json.loads(run(data, "tag-type", "show", "qa", "--json"))["requires"] == []
    assert run(data, "tag-type", "remove", "qa").startswith("tag qa removed: ")
    assert "qa" not in run(data, "tag-type", "list")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "dev", "--requires", "prod"), "--requires: tag dev would require itself: dev → prod → stage → dev"),
        (("set", "dev", "--requires", "dev"), "dev → dev"),
        (("set", "qa", "--requires", "none"), "--requires: there is no tag 'none'; there are dev, prod, stage"),
        (("set", "much-too-long"), "'much-too-long' can't be a name of a tag; give up to 10 letters"),
        (("set", "a b"), "'a b' can't be a name of a tag"),
        (("remove", "dev"), "tag dev is in use: taken by repository r; required by tag stage"),
        (("remove", "nothere"), "there is no tag 'nothere'"),
        (("show", "nothere"), "there is no tag 'nothere'; there are dev, prod, stage"),
    ],
)
def test_a_tag_that_can_not_be_is_refused_by_name(data: Path, words: tuple[str, ...], told: str) -> None:
    run(data, "repo", "set", "r", "--type", "apt", "--tag", "dev", "--distro", "bookworm")
    before = run(data, "tag-type", "list", "--json")
    assert told in refused(data, "tag-type", *words)
    assert run(data, "tag-type", "list", "--json") == before


@pytest.mark.parametrize(
    ("name", "kind", "fields"),
    [
        ("precise", "deb", "type deb; distro debian; version precise; release names precise"),
        ("sid", "deb", "type deb; distro debian; version sid; release names sid"),
        ("debian13", "deb", "type deb; distro debian; version debian13; release names debian13"),
        ("fedora41", "rpm", "type rpm; distro fedora; version 41; release names fc41"),
        ("amzn2023", "rpm", "type rpm; distro amzn; version 2023; release names amzn2023"),
        ("charts", "tar", "type tar; distro none; version none; release names none"),
    ],
)
def test_a_distribution_version_needs_its_type_and_the_rest_follows_from_its_name(
    data: Path, name: str, kind: str, fields: str
) -> None:
    assert f"there is no distribution version '{name}' yet, and a new one needs --type" in refused(
        data, "distro", "set", name
    )
    assert run(data, "distro", "set", name, "--type", kind) == f"distribution version {name} made: {fields}\n"


def test_distro_set_changes_only_the_named_fields(data: Path) -> None:
    run(data, "distro", "set", "opensuse-leap15", "--type", "rpm")
    (line,) = run(data, "distro", "set", "opensuse-leap15", "--version", "15.6").splitlines()
    assert line == "distribution version opensuse-leap15: version 15 → 15.6"
    run(data, "repo", "set", "r", "--type", "yum", "--tag", "dev", "--distro", "opensuse-leap15")
    run(data, "mirror", "set", "lab", "--repo", "r")
    engine = open_database(data)
    with reading(engine) as connection:
        position = newest(connection)
    assert run(data, "distro", "set", "opensuse-leap15", "--release-names", "lp156, sp6") == (
        "distribution version opensuse-leap15: release names lp150, lp151, lp152, lp153, lp154, lp155, lp156, lp157, "
        "lp158, lp159 → lp156, sp6\n"
    )
    with reading(engine) as connection:
        # Mirrors read the repository's record again.
        assert newest(connection) > position
    assert run(data, "distro", "set", "opensuse-leap15", "--type", "rpm").endswith("nothing changed\n")
    for words in (("remove", "opensuse-leap15"), ("set", "opensuse-leap15", "--type", "deb")):
        assert "is in use" in (line := refused(data, "distro", *words))
        assert "taken by repository r" in line
    run(data, "repo", "set", "r", "--distro", "rhel9")
    assert " removed: " in run(data, "distro", "remove", "opensuse-leap15")
    engine.dispose()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--distro", "a b"),
        ("--distro", "x" * 21),
        ("--version", "1" * 11),
        ("--release-names", "a b"),
        ("--type", "dep"),
    ],
)
def test_a_refused_field_is_named_with_what_was_given(data: Path, option: str, value: str) -> None:
    line = refused(data, "distro", "set", "new", "--type", "rpm", option, value)
    assert option in line
    assert value in line


def test_an_rpm_of_fedora_goes_to_fedora_alone(tmp_path: Path) -> None:
    with packrat_server(tmp_path) as server:
        rpm = write_rpm(Rpm("tool", "1.0", "noarch", "2.fc41"), tmp_path)
        words = ["upload", str(rpm), "--url", server.url]
        environment = {"PACKRAT_PASSWORD": server.password}
        told = CliRunner().invoke(cli.main, words, env=environment)
        assert told.exit_code == 4
        assert "distro set" in told.stderr
        assert "--release-names" in told.stderr
        told = CliRunner().invoke(cli.main, [*words, "--distro", "rhel9"], env=environment)
        assert told.exit_code == 4
        run(server.data, "distro", "set", "fedora41", "--type", "rpm")
        assert CliRunner().invoke(cli.main, words, env=environment).exit_code == 0
        run(server.data, "distro", "set", "sid", "--type", "deb")
        deb = write_deb(Deb("tool", "1.0", "all"), tmp_path)
        words = ["upload", str(deb), "--url", server.url, "--distro", "sid"]
        assert CliRunner().invoke(cli.main, words, env=environment).exit_code == 0
        assert "1 file of it" in refused(server.data, "distro", "remove", "sid")
        # The version is part of the addresses that clients have.
        run(server.data, "repo", "set", "r", "--type", "apt", "--tag", "dev", "--distro", "sid")
        words = ["distro", "set", "sid", "--version", "unstable", "--data", str(server.data)]
        told = CliRunner().invoke(cli.main, words)
        assert (told.exit_code, told.stdout) == (10, "")
        assert told.stderr.startswith("clients of repository r lose the address of sid: ")
        assert CliRunner().invoke(cli.main, [*words, "--yes"]).exit_code == 0


@pytest.mark.parametrize(
    ("version", "fitting"),
    [
        ("1.0-3.el9", ["rhel9"]),
        ("1.0-3.el9_2", ["rhel9"]),
        ("1.0-1.module+el8.9.0+12", ["rhel8"]),
        ("1.0-1.centos7", ["rhel7"]),
        ("1.0-3.el90", []),
        ("1.0-3.fc41", []),
        ("1.0-3.fc41.1", []),
        ("1.0-lp155.1.2", []),
        ("1.0-1.amzn2023", []),
        ("1.0-1", [*RPMS]),
        ("1.0-1.rc1", [*RPMS]),
        ("1.fc4-1", [*RPMS]),
        ("1.0-1.20240101git12", [*RPMS]),
    ],
)
def test_an_rpm_goes_where_its_release_says(version: str, fitting: list[str]) -> None:
    assert options(version, "rpm", RPMS) == fitting


NAMES = st.sampled_from(["el8", "el9", "fc41", "fc42", "lp155", "amzn2"])


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.lists(NAMES, max_size=2), max_size=5), NAMES)
def test_an_rpm_of_a_release_goes_to_the_distribution_versions_that_have_it(
    known: dict[str, list[str]], release: str
) -> None:
    having = [name for name, words in known.items() if release in words]
    assert options(f"1.0-1.{release}", "rpm", known) == having
    assert options("1.0-1", "rpm", known) == [*known]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4)))
def test_a_chain_has_each_tag_once_and_requirements_first(required: dict[str, list[str]]) -> None:
    # Requirements point to earlier letters only, as those of a server do not go in circles.
    ordered = {tag: [name for name in names if name < tag] for tag, names in required.items()}
    chain = chain_to("f", ordered)
    assert chain[-1] == "f"
    assert len(set(chain)) == len(chain)
    for number, tag in enumerate(chain):
        assert set(ordered.get(tag, ())) <= set(chain[:number])
    # Circles, which another server may have, end.
    assert chain_to("a", required)[-1] == "a"


def test_an_older_database_gets_room_for_long_names(tmp_path: Path) -> None:
    engine = connect_sqlite(tmp_path / "packrat.db")
    with writing(engine) as connection:
        upgrade(connection, "0003")
        connection.exec_driver_sql(
            "INSERT INTO distro_versions VALUES ('bookworm', 0, 'debian', '12', 'deb', 'bookworm', '2026', '2026')"
        )
        # What refers to it stays.
        connection.exec_driver_sql("INSERT INTO packages VALUES ('hello', 10, 5, '2026', '2026')")
        connection.exec_driver_sql(
            "INSERT INTO package_files (package, distro_version, version, type, arch, justification, provenance, "
            "file_name, sha256, size, created_by, created, updated) VALUES "
            "('hello', 'bookworm', '1', 'deb', 'all', '', '', 'hello', '0', 1, 'admin', '2026', '2026')"
        )
    with writing(engine) as connection:
        upgrade(connection)
        row = connection.execute(select(distro_versions.c.name, distro_versions.c.distro)).one()
        assert tuple(row) == ("bookworm", "debian")
        (column,) = [found for found in inspect(connection).get_columns("distro_versions") if found["name"] == "distro"]
        assert (str(column["type"]), column["nullable"]) == ("VARCHAR(20)", False)
    engine.dispose()
