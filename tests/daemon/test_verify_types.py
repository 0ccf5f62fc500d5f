"""`packrat-agent verify` finds each planted fault in a mirror of every type, and nothing in a sound one."""

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packrat_agent.verify.tree import verify_tree
from packrat_demo.build_image import Image, build_oci, write_image
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.build_wheel import Python, write_wheel
from support.by_process import audit_by_process
from support.every_type import REPOS, faults_of, fill, mirror_of_all
from support.faults import close_to_others, flip_a_byte, link_outside, make_a_directory, make_a_pipe, remove, truncate
from support.keys import Key, new_key
from support.lies import LIES
from support.stage import Stage
from support.tree_edits import APT, RHEL, SIMPLE, SLES

Plant = Callable[[Path], object]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Stage]:
    """A signed mirror with packages of every type; tests that spoil it work on copies."""
    with mirror_of_all(tmp_path_factory.mktemp("mirror"), key) as lab:
        fill(lab)
        lab.agent("sync")
        yield lab


@pytest.fixture
def tree(mirror: Stage, tmp_path: Path) -> Path:
    """A copy of the mirror's tree, to be spoiled."""
    copy = tmp_path / "copy"
    shutil.copytree(mirror.www, copy, symlinks=True, ignore=shutil.ignore_patterns(".packrat-agent"))
    return copy


@pytest.fixture(scope="module")
def stranger() -> Iterator[Key]:
    """A key that nobody trusts."""
    with new_key("Somebody Else <else@example.com>") as key:
        yield key


def test_a_sound_mirror_of_every_type_has_no_faults(mirror: Stage) -> None:
    found = json.loads(mirror.agent("verify", "--json").stdout)
    assert found["repositories"] == [[kind, f"{kind}-dev"] for kind in REPOS]
    assert found["faults"] == []
    # Nothing stands in a new mirror that no client comes to by itself.
    assert found["unnamed"] == []


def test_an_empty_mirror_is_sound(tmp_path: Path, key: Key) -> None:
    with mirror_of_all(tmp_path, key) as lab:
        lab.agent("sync")
        found = json.loads(lab.agent("verify", "--json").stdout)
        assert found["repositories"] == [[kind, f"{kind}-dev"] for kind in REPOS]


@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])
def test_a_mirror_without_an_address_is_sound_through_changes(mirror: Stage, tmp_path: Path, is_signed: bool) -> None:
    lab = Stage(tmp_path, mirror.server, mirror.psk, mirror.key if is_signed else None)
    lab.write_config()
    lab.agent("sync")
    assert faults_of(lab.www) == {}
    late = Image("late", "1" if is_signed else "2")
    uris = lab.server.put(write_image(late, tmp_path, build_oci(late)), ("docker",))
    rpm = Rpm("late", late.version, "noarch", files=(("/late", b"1"),))
    uris += lab.server.put(write_rpm(rpm, tmp_path), REPOS["yum"])
    uris += lab.server.put(write_wheel(Python("late", late.version), tmp_path), ("pypi",))
    lab.agent("sync")
    assert faults_of(lab.www) == {}
    for uri in uris:
        lab.server.untag(uri, "dev")
    lab.agent("sync")
    assert faults_of(lab.www) == {}
    # Another address or key signs everything again, beside what was.
    lab.extra["public_url"] = "https://other.example.com"
    lab.key = mirror.key
    lab.write_config()
    lab.agent("sync")
    assert faults_of(lab.www) == {}


_PLANTS: tuple[Plant, ...] = (
    flip_a_byte,
    truncate,
    remove,
    make_a_directory,
    link_outside,
    make_a_pipe,
    close_to_others,
)


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        *((f"{kind}-dev", f"is not a repository of type {kind}") for kind in REPOS),
        ("apt-dev/dists", "is not a repository of type apt"),
        (APT, "is missing, though index.html leads to it"),
        (RHEL, "is missing, though index.html leads to it"),
        (SLES, "is missing, though index.html leads to it"),
        (SIMPLE, "is not a repository of type pypi"),
        ("docker-dev/v2", "is not a repository of type docker"),
    ],
)
def test_a_lost_directory_is_a_fault(tree: Path, lost: str, told: str) -> None:
    shutil.rmtree(tree / lost)
    found = faults_of(tree)
    assert any(what.startswith(told) for path in (lost, lost.partition("/")[0]) for what in found.get(path, [])), found
    # A file in its place does not help either.
    (tree / lost).write_text("x")
    assert any(told in what for all_told in faults_of(tree).values() for what in all_told)


def test_a_tree_that_is_not_there_is_a_fault_of_the_command_line(mirror: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("missing", "file"):
        done = mirror.agent("verify", "--root", str(tmp_path / name), expect=2)
        assert f"{tmp_path / name} is not a directory; give the top of a mirror with --root" in done.stderr


def test_directories_that_a_web_server_may_not_enter_are_found(tree: Path) -> None:
    closed = ["apt-dev/pool/first", "docker-dev", f"{RHEL}/repodata", f"{SIMPLE}/other", "json-dev/a"]
    for place in closed:
        (tree / place).chmod(0o750)
    assert faults_of(tree) == {place: ["is closed to a web server; its mode should be 0755"] for place in closed}


NO_PRIVILEGE = "-dac_override,-dac_read_search"


@pytest.mark.parametrize("kind", REPOS)
def test_a_closed_directory_is_a_fault(tree: Path, mirror: Stage, kind: str) -> None:
    limit = ["setpriv", f"--bounding-set={NO_PRIVILEGE}", f"--inh-caps={NO_PRIVILEGE}"] if os.geteuid() == 0 else []
    below = sorted(path for path in (tree / f"{kind}-dev").iterdir() if path.is_dir() and not path.is_symlink())
    for place, mode in ((tree / f"{kind}-dev", 0o000), (tree / f"{kind}-dev", 0o600), (below[0], 0o000)):
        place.chmod(mode)
        command = [*limit, *mirror.command("verify", "--json", "--root", str(tree))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        place.chmod(0o755)
        assert done.returncode == 13, done.stderr
        name = str(place.relative_to(tree))
        assert any(fault["path"].startswith(name) for fault in json.loads(done.stdout)["faults"]), done.stdout
    tree.chmod(0o000)
    done = subprocess.run(
        [*limit, *mirror.command("verify", "--root", str(tree))], capture_output=True, text=True, check=False
    )
    tree.chmod(0o755)
    assert done.returncode in (2, 7)
    assert "Traceback" not in done.stderr


_LEAVES = ("*.deb", "*.rpm", "*.conf", "*.whl", "*.whl.metadata", "*.tar.gz", "v2/*/blobs/sha256:*")
"""What nothing is read out of, so that faults in all of them are found at once."""


def leaves(tree: Path) -> list[str]:
    found = {path for pattern in _LEAVES for path in tree.glob(f"*-dev/**/{pattern}")}
    return sorted(str(path.relative_to(tree)) for path in found if not path.is_symlink())


@pytest.mark.parametrize("plant", _PLANTS, ids=lambda plant: plant.__name__)
def test_spoiled_packages_are_found(tree: Path, plant: Plant) -> None:
    spoiled = [path for path in leaves(tree) if "/generations/" not in path]
    assert len(spoiled) > 20
    # Links from former places have no bytes of their own; a fault of theirs is that of what they lead to.
    links = {str(path.relative_to(tree)) for path in tree.glob("pypi-dev/packages/*/*") if path.is_symlink()}
    for path in spoiled:
        plant(tree / path)
    assert sorted(faults_of(tree).keys() - links) == spoiled
    assert audit_by_process(tree) == verify_tree(tree, None, lambda files, size: None)


def test_spoiled_indexes_are_found(tree: Path, mirror: Stage) -> None:
    """Each file that leads to others is spoiled in one way; at once only those of which none leads to another."""
    groups = indexes_by_group(tree)
    assert len(groups) >= 6
    plants = itertools.cycle(_PLANTS)
    missed = []
    for batch in itertools.zip_longest(*groups.values()):
        spoiled = {name: next(plants) for name in batch if name is not None}
        for name, plant in spoiled.items():
            plant(tree / name)
        found = faults_of(tree)
        # What is wrong with an index may be told of its directory, or of what stands beside it.
        near = {str(Path(path).parent) for path in found} | found.keys()
        missed += [
            (name, plant.__name__) for name, plant in spoiled.items() if not {name, str(Path(name).parent)} & near
        ]
        for name in spoiled:
            restore(mirror, tree, name)
    assert missed == []
    assert faults_of(tree) == {}


@pytest.mark.parametrize("at", [8, -1])
def test_a_flipped_byte_that_readers_pass_over_is_found(tree: Path, mirror: Stage, at: int) -> None:
    """Also of blanks and ends of lines, of what JSON, XML and OpenPGP readers do not look at."""
    missed = []
    for batch in itertools.zip_longest(*indexes_by_group(tree).values()):
        flipped = [name for name in batch if name is not None and "by-hash" not in name]
        for name in flipped:
            data = bytearray((tree / name).read_bytes())
            data[at if len(data) > at else -1] ^= 4
            (tree / name).write_bytes(data)
        found = faults_of(tree)
        near = {str(Path(path).parent) for path in found} | found.keys()
        # A signature of an image stands in the registry's list of its digest, too, and the two differ now.
        of_image = {name: re.sub(r".*@sha256=(\w+)/signature-\d+", r"sha256:\1", name) for name in flipped}
        near |= {digest for path in found for digest in re.findall(r"sha256:\w+$", path)}
        missed += [name for name in flipped if not {name, str(Path(name).parent), of_image[name]} & near]
        for name in flipped:
            restore(mirror, tree, name)
    assert missed == []


def indexes_by_group(tree: Path) -> dict[str, list[str]]:
    """Group of files (see `group_of`) → those of it that `verify` reads; nobody reads the landing page."""
    groups: dict[str, list[str]] = {}
    packages = {*leaves(tree)}
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        is_read = path.is_file() and not path.is_symlink() and path.resolve() == path and name not in packages
        if is_read and name != "index.html":
            groups.setdefault(group_of(name), []).append(name)
    return groups


def group_of(name: str) -> str:
    """The part of the mirror whose audit depends on a file."""
    parts = name.split("/")
    return "/".join(parts[: 2 if parts[0] == "yum-dev" else 1]) if len(parts) > 1 else "."


def restore(mirror: Stage, tree: Path, name: str) -> None:
    path = tree / name
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    shutil.copy2(mirror.www / name, path)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_though_nothing_is_torn(mirror: Stage, tree: Path, stranger: Key, lie: str) -> None:
    plant, where, word = LIES[lie]
    plant(tree, mirror, stranger)
    found = faults_of(tree)
    told = [what for path, all_told in found.items() if path.startswith(where) for what in all_told]
    assert any(word in what for what in told), found
    assert [(fault.path, fault.what) for fault in audit_by_process(tree).faults] == [
        (path, what) for path, all_told in found.items() for what in all_told
    ]


def test_a_tree_of_signatures_without_a_key_is_not_sound(mirror: Stage, tree: Path, tmp_path: Path) -> None:
    for name in ("repo-key", "repo-key.gpg"):
        (tree / name).rename(tmp_path / name)
    found = faults_of(tree)
    assert {path.partition("/")[0] for path, told in found.items() if "no key is at hand" in told[0]} >= {
        "apt-dev",
        "docker-dev",
        "json-dev",
        "yum-dev",
    }
    for name in ("repo-key", "repo-key.gpg"):
        audit = verify_tree(tree, tmp_path / name, lambda _files, _bytes: None)
        assert audit.faults == ()


def test_a_link_to_a_name_that_is_too_long_hides_nothing(tree: Path) -> None:
    planted = set()
    for directory, _, _ in os.walk(tree):
        (Path(directory) / "a-link").symlink_to("x" * 300)
        planted.add(str((Path(directory) / "a-link").relative_to(tree)))
    found = faults_of(tree)
    assert {path for path, faults in found.items() if "can't be followed: File name too long" in faults[0]} == planted
    assert found.keys() == planted


def test_a_hidden_page_of_python_is_found(tree: Path) -> None:
    page = tree / SIMPLE / ".planted"
    page.mkdir()
    (page / "index.v1_json").write_text("{}")
    (told,) = faults_of(tree)[f"{SIMPLE}/.planted"]
    assert told == "has a page, but the index does not name this project"
