"""What every repository type must do, through the real server and the real `packrat-agent sync`."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_core.errors import Refused
from support.keys import Key, new_key
from support.kinds import DOCKER, KINDS, PYPI, YUM, Kind
from support.misfits import MISFITS
from support.type_clients import CLIENTS
from support.type_stage import TypeStage, add_repo, type_stage
from support.web import web_server

NO_DOWNLOAD = re.compile(r"\b0 B downloaded")


@pytest.fixture(scope="module")
def other_key() -> Iterator[Key]:
    with new_key("Next Mirror <mirror@example.com>") as key:
        yield key


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    assert isinstance(request.param, Kind)
    return request.param


@pytest.fixture
def made(tmp_path: Path, key: Key, kind: Kind) -> Iterator[TypeStage]:
    with type_stage(tmp_path, key, kind) as set_up:
        yield set_up


def test_every_type_of_the_table_is_held_to_this() -> None:
    assert {kind.name for kind in KINDS} == set(FORMATS) == set(CLIENTS) == set(MISFITS)


def test_clients_are_offered_nothing_then_one_package_then_many_then_fewer(made: TypeStage) -> None:
    made.lab.agent("sync")
    assert made.offered() == set()

    gone = made.put("hello", "1.0", inside=b"hello")
    made.lab.agent("sync")
    assert made.offered() == made.expected(("hello", "1.0"))
    whose = set(made.packages())

    many = [(f"many{number:02}", "1.0") for number in range(12)]
    made.put_many(many)
    made.lab.agent("sync")
    assert made.offered() == made.expected(("hello", "1.0"), *many)

    before = made.lab.tree()
    said = made.lab.agent("sync").stdout
    assert made.lab.tree() == before, "nothing changed, and something was written"
    assert NO_DOWNLOAD.search(said)

    made.lab.server.act(gone, "fail")
    made.lab.agent("sync")
    assert made.offered() == made.expected(*many)
    # Who read the index a moment ago still gets what it named.
    assert whose <= set(made.packages())
    made.grace(0)
    made.lab.agent("sync")
    left = {path for path in whose & set(made.packages()) if "hello" in path}
    assert left == set()
    assert made.offered() == made.expected(*many)


def test_versions_and_architectures_for_the_real_client(made: TypeStage, tmp_path: Path) -> None:
    expected = set()
    for version in ("1.0", "2.0"):
        for arch in made.kind.arches:
            made.put("hello", version, arch, f"{version} {arch}".encode())
            expected.add(("hello", version, arch))
    made.lab.agent("sync")
    assert made.offered() == expected
    with web_server(made.lab.www) as url:
        for version in ("1.0", "2.0"):
            place = tmp_path / f"client-{version}"
            place.mkdir()
            CLIENTS[made.kind.name](made.lab, url, place, "hello", version)


def test_other_bytes_under_a_published_name(made: TypeStage) -> None:
    former = made.put("hello", "1.0", inside=b"as it was")
    made.put("staying", "1.0")
    made.lab.agent("sync")
    before = made.packages()

    made.forget_upload(former)
    made.put("hello", "1.0", inside=b"built again")
    made.put("new", "1.0", inside=b"new")
    done = made.lab.agent("sync", expect=0 if made.kind.moves_names else 12)
    others = (("staying", "1.0"), ("new", "1.0"))
    if made.kind.moves_names:
        assert set(before) <= set(made.packages())
        assert made.offered() == made.expected(("hello", "1.0"), *others)
        assert made.troubles() == {}
        return
    assert {path: made.packages()[path] for path in before} == before
    assert made.offered() == made.expected(*others)
    [(file, reason)] = made.troubles().items()
    assert file in done.stdout
    assert file == made.kind.build("hello", "1.0", made.kind.arches[0], b"")[0]
    assert "published before with other bytes" in reason


def test_the_order_of_arrival_leaves_no_trace(tmp_path: Path, key: Key, kind: Kind) -> None:
    names = [(f"name{number}", version) for number in range(4) for version in ("1.0", "1.10", "1.9")]
    indexes = []
    for place, order in (("a", names), ("b", names[::-1])):
        (tmp_path / place).mkdir()
        with type_stage(tmp_path / place, key, kind) as one:
            one.put_many(order[:6])
            if place == "b":
                one.lab.agent("sync")
            one.put_many(order[6:])
            one.lab.agent("sync")
            indexes.append(one.indexes())
    assert sorted(indexes[0]) == sorted(indexes[1])
    assert indexes[0]
    for path, content in indexes[0].items():
        assert content == indexes[1][path], path


def test_misfits_are_refused_by_name_and_stop_nothing_else(tmp_path: Path, key: Key, kind: Kind) -> None:
    misfits = MISFITS[kind.name]()
    with type_stage(tmp_path, key, kind, misfits.suites) as made:
        expected = {}
        for misfit in misfits.files:
            uri = made.put_file(misfit.file_name, misfit.taken, misfit.uploaded_for)
            if misfit.given is not None:
                made.forge(uri, misfit.given)
            expected[misfit.file_name] = misfit.reason
        made.put("hello", "1.0")
        made.lab.agent("sync", expect=12)
        troubles = made.troubles()
        assert set(troubles) == set(expected)
        for file, reason in troubles.items():
            assert re.search(expected[file], reason), f"{file}: {reason}"
        assert made.offered() == made.expected(("hello", "1.0"))
        assert not {path for path in made.packages() if path.rpartition("/")[2] in expected}
        # They stay refused, and stay the reason, without being fetched over and over; no sync can do more about them.
        again = made.lab.agent("sync").stdout
        assert NO_DOWNLOAD.search(again)
        assert f" {len(troubles)} refused" in again
        assert {file for file in expected if file in again} == set(expected)
        assert made.troubles() == troubles
        assert json.loads(made.lab.agent("status", "--json").stdout)["full_pass"]["complete"]
        with web_server(made.lab.www) as url:
            (tmp_path / "client").mkdir()
            CLIENTS[kind.name](made.lab, url, tmp_path / "client", "hello", "1.0")


def test_every_character_that_versions_have_reaches_the_client(made: TypeStage, tmp_path: Path) -> None:
    version = {
        "apt": "2.0~rc1+b.1-3",
        "yum": "1.0^git1~rc+x",
        "pypi": "1!2.0+local.1",
        "docker": "1.0-rc.1_x",
        "json": "1.0~rc1+b!1^2",
    }[made.kind.name]
    made.put("hello", version)
    made.lab.agent("sync")
    assert made.offered() == made.expected(("hello", version))
    with web_server(made.lab.www) as url:
        (tmp_path / "client").mkdir()
        CLIENTS[made.kind.name](made.lab, url, tmp_path / "client", "hello", version)


def test_a_file_for_a_distribution_version_that_the_repository_lacks(kind: Kind) -> None:
    name = kind.build("hello", "1.0", kind.arches[0], b"")[0]
    file_type = {"apt": "deb", "yum": "rpm", "pypi": "python", "docker": "docker", "json": "json"}[kind.name]
    repo = Repo("r", "", "r", kind.name, (DistroVersion("here", "rhel", "9", file_type),))
    file = PackageFile("/f/1", "hello", "here", "1.0", file_type, "all", f"/files/{name}", name, "a" * 64)
    assert FORMATS[kind.name].place(repo, file)
    with pytest.raises(Refused, match="elsewhere"):
        FORMATS[kind.name].place(
            repo, PackageFile("/f/1", "hello", "elsewhere", "1.0", file_type, "all", "/files/x", name, "a" * 64)
        )


def test_a_lost_state_costs_no_download(made: TypeStage) -> None:
    packages = [("hello", "1.0"), ("hello", "2.0"), ("other", "1.0")]
    gone = made.put("gone", "1.0", inside=os.urandom(20))
    made.put_many(packages)
    made.lab.agent("sync")
    made.lab.server.act(gone, "fail")
    made.grace(0)
    made.lab.agent("sync")
    before = made.packages()
    keepsakes = [path.name for path in (made.lab.www / ".packrat-agent/made").rglob("*.json")]
    assert len(keepsakes) == (3 if made.kind in (YUM, DOCKER) else 0)

    beside = list(made.lab.repo.rglob("*.metadata"))
    assert len(beside) == (3 if made.kind is PYPI else 0)
    made.lose_state()
    dry = made.lab.agent("sync", "--dry-run").stdout
    assert " 0 would be added" in dry
    # The indexes stay: a real pass makes the same ones again.
    assert " 0 files would be removed" in dry
    assert "No state database of this agent knows this tree" in dry
    assert NO_DOWNLOAD.search(made.lab.agent("sync").stdout)
    assert made.packages() == before
    assert made.offered() == made.expected(*packages)
    last_renders = made.lab.tree()
    made.lab.agent("sync")
    assert made.lab.tree() == last_renders


@pytest.mark.parametrize("kind", [YUM, DOCKER], ids=lambda kind: kind.name, indirect=True)
def test_products_are_not_believed_where_the_disk_says_otherwise(made: TypeStage) -> None:
    made.put("hello", "1.0", inside=b"hello")
    made.put("other", "1.0", inside=b"other")
    made.lab.agent("sync")
    before = made.packages()
    path = made.lab.repo / next(name for name in before if made.kind is DOCKER or "hello" in name)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    torn = next((made.lab.www / ".packrat-agent/made").rglob("*.json"))
    torn.write_bytes(torn.read_bytes()[:-20])
    made.lose_state()
    made.lab.agent("sync")
    assert made.offered() == made.expected(("hello", "1.0"), ("other", "1.0"))
    assert set(made.packages()) == set(before)


def signed_by(made: TypeStage) -> set[str]:
    """The fingerprints of all that is signed in the repository."""
    found: set[str] = set()
    with tempfile.TemporaryDirectory() as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--status-fd", "1"]
        subprocess.run([*gpg, "--import", made.lab.www / "repo-key.gpg"], check=True, capture_output=True)
        for path in made.lab.repo.rglob("*"):
            if path.suffix in (".gpg", ".asc"):
                command = [*gpg, "--verify", str(path), str(path.with_suffix(""))]
            elif path.name == "InRelease" or path.name.startswith("signature-"):
                command = [*gpg, "--verify", str(path)]
            else:
                continue
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{path}\n{done.stderr}"
            found.update(re.findall(r"VALIDSIG (\S+)", done.stdout))
    return found


def rpms_are_signed(made: TypeStage, place: Path) -> None:
    rpmkeys = ["rpmkeys", "--dbpath", str(place), "--define", "_pkgverify_level all"]
    subprocess.run([*rpmkeys, "--import", made.lab.www / "repo-key"], check=True)
    subprocess.run([*rpmkeys, "-K", *map(str, made.lab.repo.rglob("*.rpm"))], check=True, capture_output=True)


def test_another_key_signs_everything_again(made: TypeStage, tmp_path: Path, other_key: Key) -> None:
    if made.kind is DOCKER:
        made.lab.extra = {"public_url": "http://repo.example.com"}
    made.grace(0)
    packages = [("hello", "1.0"), ("hello", "2.0"), ("other", "1.0")]
    made.put_many(packages)
    assert made.lab.key is not None
    for number, key in enumerate((made.lab.key, other_key)):
        made.lab.key = key
        made.lab.write_config()
        made.lab.agent("sync")
        # What the former key signed goes with the generation after.
        made.put("more", f"1.{number}")
        made.lab.agent("sync")
        made.lab.agent("sync")
        assert made.offered() == made.expected(*packages, *(("more", f"1.{n}") for n in range(number + 1)))
        if made.kind.name != "pypi":
            assert signed_by(made) == {key.fingerprint}
        if made.kind is YUM:
            rpms_are_signed(made, tmp_path / f"rpmdb-{number}")
            # What was made with the former key is kept in mind no longer.
            [kept] = (path for path in (made.lab.www / ".packrat-agent/made").iterdir() if path.is_dir())
            assert kept.name.endswith(key.fingerprint)


def test_promotion_costs_no_download(made: TypeStage) -> None:
    name = f"{made.kind.name}-prod"
    add_repo(made, name, "prod")
    uris = [made.put("hello", version, inside=version.encode()) for version in ("1.0", "2.0")]
    made.lab.agent("sync")
    assert made.offered(name) == set()
    for tag in ("stage", "prod"):
        made.lab.server.tag(uris[0], tag)
    said = made.lab.agent("sync").stdout
    assert NO_DOWNLOAD.search(said)
    assert made.offered(name) == made.expected(("hello", "1.0"))
    assert made.offered() == made.expected(("hello", "1.0"), ("hello", "2.0"))
    promoted = made.packages(name)
    assert promoted
    # One file on disk under both names.
    assert promoted.items() <= made.packages().items()


def test_the_log_and_the_summary_count_what_clients_gain_and_lose(made: TypeStage) -> None:
    """A package counts once, whatever it is unpacked to or signed; `status` counts the same."""
    first, second = made.put("hello", "1.0"), made.put("other", "1.0")
    assert " 2 would be added, 0 would be withdrawn" in made.lab.agent("sync", "--dry-run").stdout
    told = made.lab.agent("sync")
    assert " 2 added, 0 withdrawn" in told.stdout
    assert " added=2 removed=0" in told.stderr
    [repo] = json.loads(made.lab.agent("status", "--json").stdout)["repos"]
    assert repo["live"] == 2
    made.put("hello", "2.0")
    made.lab.server.act(first, "fail")
    assert " 1 would be added, 1 would be withdrawn" in made.lab.agent("sync", "--dry-run").stdout
    told = made.lab.agent("sync")
    assert " 1 added, 1 withdrawn" in told.stdout
    assert " added=1 removed=1" in told.stderr
    made.lab.server.act(second, "fail")
    assert " added=0 removed=1" in made.lab.agent("sync").stderr
    made.lose_state()
    assert " 0 added, 0 withdrawn" in made.lab.agent("sync").stdout
