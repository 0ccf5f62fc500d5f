"""`packrat-agent verify` finds each planted fault in a mirror of every type, and nothing in a sound one."""

import base64
import gzip
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from packrat_agent.verify.tree import verify_tree
from packrat_demo.build_image import Image, build_oci, write_image
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.build_wheel import Python, write_wheel
from support.every_type import REPOS, faults_of, fill, mirror_of_all
from support.faults import close_to_others, flip_a_byte, link_outside, make_a_directory, make_a_pipe, remove, truncate
from support.keys import Key, gnupg_home, make_key, new_key
from support.stage import Stage

RHEL = "yum-dev/rhel/main/9"
APT = "apt-dev/dists/bookworm"
SLES = "yum-dev/sles/main/15"
WEB = "docker-dev/v2/web"
SIMPLE = "pypi-dev/simple"

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
    # Another address or key signs everything anew, beside what was.
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
        *((f"{kind}-dev", f"is no {kind} repository") for kind in REPOS),
        ("apt-dev/dists", "is no apt repository"),
        (APT, "is missing, though index.html leads to it"),
        (RHEL, "is missing, though index.html leads to it"),
        (SLES, "is missing, though index.html leads to it"),
        (SIMPLE, "is no pypi repository"),
        ("docker-dev/v2", "is no docker repository"),
    ],
)
def test_what_is_lost_altogether_is_found(tree: Path, lost: str, told: str) -> None:
    shutil.rmtree(tree / lost)
    found = faults_of(tree)
    assert any(what.startswith(told) for path in (lost, lost.partition("/")[0]) for what in found.get(path, [])), found
    # A file in its place is no better.
    (tree / lost).write_text("x")
    assert any(told in what for all_told in faults_of(tree).values() for what in all_told)


def test_a_tree_that_is_not_there_is_a_fault_of_the_command_line(mirror: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("missing", "file"):
        done = mirror.agent("verify", "--root", str(tmp_path / name), expect=2)
        assert f"{tmp_path / name} is no directory; give the top of a mirror with --root" in done.stderr


def test_directories_that_a_web_server_may_not_enter_are_found(tree: Path) -> None:
    closed = ["apt-dev/pool/first", "docker-dev", f"{RHEL}/repodata", f"{SIMPLE}/other", "json-dev/a"]
    for place in closed:
        (tree / place).chmod(0o750)
    assert faults_of(tree) == {place: ["is closed to a web server; its mode should be 0755"] for place in closed}


NO_PRIVILEGE = "-dac_override,-dac_read_search"


@pytest.mark.parametrize("kind", REPOS)
def test_what_the_user_may_not_look_into_is_a_fault(tree: Path, mirror: Stage, kind: str) -> None:
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
    for path in spoiled:
        plant(tree / path)
    assert sorted(faults_of(tree)) == spoiled


def test_spoiled_indexes_are_found(tree: Path, mirror: Stage) -> None:
    """Each file that leads to others is spoiled in one way; at once only those of which none leads to another."""
    groups: dict[str, list[str]] = {}
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if path.is_file() and not path.is_symlink() and path.resolve() == path and name not in leaves(tree):
            groups.setdefault(group_of(name), []).append(name)
    assert len(groups) >= 6
    plants = itertools.cycle(_PLANTS)
    missed = []
    for batch in itertools.zip_longest(*groups.values()):
        spoiled = {name: next(plants) for name in batch if name is not None and name != "index.html"}
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
    groups: dict[str, list[str]] = {}
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        is_read = path.is_file() and not path.is_symlink() and path.resolve() == path and name not in leaves(tree)
        if is_read and name != "index.html" and "by-hash" not in name:
            groups.setdefault(group_of(name), []).append(name)
    missed = []
    for batch in itertools.zip_longest(*groups.values()):
        flipped = [name for name in batch if name is not None]
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


def sign(signer: Key | None, *arguments: str | Path) -> None:
    assert signer is not None
    command = ["gpg", "--homedir", signer.home, "--batch", "--yes", *arguments]
    subprocess.run(command, check=True, capture_output=True)


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def replace_numbers(path: Path, behind: str, number: str) -> None:
    path.write_text(re.sub(rf"(?<={behind})\d+", number, path.read_text()))


def edit_metadata(tree: Path, kind: str, before: str, after: str, place: str = SLES) -> None:
    """Change a metadata file so that its checksums are right all the same; the signature is not."""
    directory = tree / place / "repodata"
    old = next(directory.glob(f"*-{kind}.xml.gz"))
    plain = gzip.decompress(old.read_bytes())
    assert before.encode() in plain
    changed = plain.replace(before.encode(), after.encode())
    packed = gzip.compress(changed)
    name = f"{hashlib.sha256(packed).hexdigest()}-{kind}.xml.gz"
    (directory / name).write_bytes(packed)
    repomd = directory / "repomd.xml"
    for one, other in (
        (old.name, name),
        (old.name.partition("-")[0], name.partition("-")[0]),
        (hashlib.sha256(plain).hexdigest(), hashlib.sha256(changed).hexdigest()),
        (f"<size>{old.stat().st_size}<", f"<size>{len(packed)}<"),
        (f"<open-size>{len(plain)}<", f"<open-size>{len(changed)}<"),
    ):
        edit(repomd, one, other)
    old.unlink()


def unsigned_rpm(mirror: Stage, tree: Path) -> None:
    """A package as it was uploaded, in metadata that fits."""
    rpm = next((tree / SLES / "x86_64").glob("one-*.rpm"))
    whole = rpm.read_bytes()
    shutil.copyfile(mirror.directory / "files" / rpm.name, rpm)
    plain = rpm.read_bytes()
    old, new = hashlib.sha256(whole).hexdigest(), hashlib.sha256(plain).hexdigest()
    for kind in ("primary", "filelists", "other"):
        edit_metadata(tree, kind, old, new)
    edit_metadata(tree, "primary", f'package="{len(whole)}"', f'package="{len(plain)}"')


def swap(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def web_signature(tree: Path, tag: str) -> Path:
    digest = hashlib.sha256((tree / WEB / "manifests" / tag).read_bytes()).hexdigest()
    return tree / f"docker-dev/sigstore/docker-dev/web@sha256={digest}/signature-1"


def unsafe_policy(tree: Path, stranger: Key) -> None:
    path = tree / "docker-dev/sigstore/policy.json"
    exported = subprocess.run(
        ["gpg", "--homedir", stranger.home, "--armor", "--export"], check=True, capture_output=True
    ).stdout
    policy = json.loads(path.read_text())
    (required,) = next(iter(policy["transports"]["docker"].values()))
    required["keyData"] = base64.b64encode(exported).decode()
    path.write_text(json.dumps(policy))


def endless_message(mirror: Stage, tree: Path) -> None:
    zeros = mirror.directory / "zeros"
    zeros.write_bytes(bytes(50_000_000))
    sign(mirror.key, "-z", "9", "-o", web_signature(tree, "1.2"), "--sign", zeros)


def lost_generation(tree: Path) -> None:
    for name in ("mirrorlist", "metalink"):
        edit(tree / SLES / name, "generations/", "generations/0")


Lie = Callable[[Path, Stage, Key], object]

LIES: Mapping[str, tuple[Lie, str, str]] = {
    # What is done → where a fault is told, and a word of it.
    "another key signs Release": (
        lambda tree, _, other: sign(other, "--armor", "-o", tree / APT / "Release.gpg", "-b", tree / APT / "Release"),
        f"{APT}/Release.gpg",
        "signature",
    ),
    "Release forgets an architecture": (
        lambda tree, _, __: edit(tree / APT / "Release", "Architectures: all amd64", "Architectures: amd64"),
        f"{APT}/Release",
        "an index for the architecture all, but does not name it",
    ),
    "Release names an architecture without packages": (
        lambda tree, _, __: edit(tree / APT / "Release", "Architectures: all", "Architectures: all arm64"),
        f"{APT}/Release",
        "names the architecture arm64, but lists no index",
    ),
    "Release has clients pass over packages for all": (
        lambda tree, _, __: edit(
            tree / APT / "Release", "Components: main", "No-Support-for-Architecture-all: Packages\nComponents: main"
        ),
        f"{APT}/Release",
        "pass over the index for the architecture all",
    ),
    "another key signs repomd": (
        lambda tree, _, other: sign(
            other, "--armor", "-o", tree / RHEL / "repodata/repomd.xml.asc", "-b", tree / RHEL / "repodata/repomd.xml"
        ),
        f"{RHEL}/repodata/repomd.xml.asc",
        "signature",
    ),
    "another key is beside repomd": (
        lambda tree, _, other: sign(other, "--armor", "-o", tree / RHEL / "repodata/repomd.xml.key", "--export"),
        f"{RHEL}/repodata/repomd.xml.key",
        "does not fit the signature",
    ),
    "another key signs sums": (
        lambda tree, _, other: sign(other, "-o", tree / "json-dev/SHA256SUMS.gpg", "-b", tree / "json-dev/SHA256SUMS"),
        "json-dev/SHA256SUMS.gpg",
        "signature",
    ),
    "another key signs an image": (
        lambda tree, _, other: sign(other, "-o", web_signature(tree, "1.2"), "--sign", tree / "docker-dev/v2/_catalog"),
        "docker-dev/sigstore/docker-dev/web@sha256=",
        "signature",
    ),
    "our key signs something else for an image": (
        lambda tree, mirror, _: sign(
            mirror.key, "-o", web_signature(tree, "1.2"), "--sign", tree / "docker-dev/v2/_catalog"
        ),
        "docker-dev/sigstore/docker-dev/web@sha256=",
        "in place of sha256:",
    ),
    "a signed message without end": (
        lambda tree, mirror, _: endless_message(mirror, tree),
        "docker-dev/sigstore/docker-dev/web@sha256=",
        "more than",
    ),
    "signatures of two images are exchanged": (
        lambda tree, _, __: swap(web_signature(tree, "1.1"), web_signature(tree, "1.2")),
        "docker-dev/sigstore/docker-dev/web@sha256=",
        "signs sha256:",
    ),
    "the policy has another key": (
        lambda tree, _, other: unsafe_policy(tree, other),
        "docker-dev/sigstore/policy.json",
        "another key",
    ),
    "repo-key is another key": (
        lambda tree, _, other: sign(other, "--armor", "-o", tree / "repo-key", "--export"),
        "repo-key",
        "another key",
    ),
    "repo-key.gpg is another key": (
        lambda tree, _, other: sign(other, "-o", tree / "repo-key.gpg", "--export"),
        f"{SLES}/repodata/",
        "signature",
    ),
    "a package is unsigned": (
        lambda tree, mirror, _: unsigned_rpm(mirror, tree),
        f"{SLES}/x86_64/one-",
        "is not signed",
    ),
    "primary leads out": (
        lambda tree, _, __: edit_metadata(tree, "primary", 'href="noarch/', 'href="../../../../'),
        f"{SLES}/repodata/repomd.xml",
        "outside the repository",
    ),
    "primary has a document type": (
        lambda tree, _, __: edit_metadata(tree, "primary", "<metadata", '<!DOCTYPE x [<!ENTITY a "b">]><metadata'),
        f"{SLES}/repodata/",
        "document type",
    ),
    "primary counts wrongly": (
        lambda tree, _, __: edit_metadata(tree, "primary", 'packages="3"', 'packages="4"'),
        f"{SLES}/repodata/",
        "says 4 packages and has 3",
    ),
    "filelists has other packages": (
        lambda tree, _, __: edit_metadata(tree, "filelists", 'pkgid="', 'pkgid="0'),
        f"{SLES}/repodata/",
        "other packages than primary",
    ),
    "metadata unpacks to more than repomd says": (
        lambda tree, _, __: replace_numbers(tree / SLES / "repodata/repomd.xml", "<open-size>", "1"),
        f"{SLES}/repodata/",
        "unpacks to more than 1 bytes",
    ),
    "repomd says a size twice": (
        lambda tree, _, __: edit(tree / SLES / "repodata/repomd.xml", "<size>", "<size>1</size><size>"),
        f"{SLES}/repodata/repomd.xml",
        "twice",
    ),
    "metalink is of another repomd": (
        lambda tree, _, __: edit(tree / SLES / "metalink", "<size>", "<size>1"),
        f"{SLES}/metalink",
        "another repomd.xml",
    ),
    "mirrorlist names a generation that is not there": (
        lambda tree, _, __: lost_generation(tree),
        f"{SLES}/generations/0",
        "No such file",
    ),
    "a generation leads to other packages": (
        lambda tree, _, __: link(next((tree / SLES).glob("generations/*/x86_64")), "../../noarch"),
        f"{SLES}/generations/",
        "does not lead to the packages",
    ),
    "a generation leads out of the tree": (
        lambda tree, _, __: link(next((tree / SLES).glob("generations/*/x86_64")), "/etc"),
        f"{SLES}/generations/",
        "out of the tree",
    ),
    ".repo does not ask for signatures": (
        lambda tree, _, __: edit(tree / RHEL / "yum-dev.repo", "\ngpgcheck=1", "\ngpgcheck=0"),
        f"{RHEL}/yum-dev.repo",
        "gpgcheck",
    ),
    "JSON lacks a project": (
        lambda tree, _, __: edit(tree / SIMPLE / "index.v1_json", '{"name": "other"},\n', ""),
        f"{SIMPLE}/index.html",
        "other projects",
    ),
    "HTML has another hash": (
        lambda tree, _, __: edit(tree / SIMPLE / "other/index.html", "#sha256=", "#sha256=" + "0" * 64 + '" title="'),
        f"{SIMPLE}/other/index.html",
        "other files",
    ),
    "a project leads out": (
        lambda tree, _, __: edit(tree / SIMPLE / "other/index.v1_json", "../../packages", "../../packages/../../x"),
        f"{SIMPLE}/other/index.v1_json",
        "without a usable address",
    ),
    "a project is not in the index": (
        lambda tree, _, __: shutil.copytree(tree / SIMPLE / "other", tree / SIMPLE / "third"),
        f"{SIMPLE}/third",
        "does not name this project",
    ),
    "JSON without end": (
        lambda tree, _, __: (tree / SIMPLE / "other/index.v1_json").write_text("[" * 200_000),
        f"{SIMPLE}/other/index.v1_json",
        "no JSON",
    ),
    "two lists say another size": (
        lambda tree, _, __: edit(tree / SIMPLE / "other/index.v1_json", '"size": ', '"size": 1'),
        "pypi-dev/packages/other/other-",
        "bytes, pypi-dev/simple/other/index.v1_json says",
    ),
    "a name that no file can have": (
        lambda tree, _, __: edit(tree / "json-dev/_repo_main/MANIFEST_all.json", '"a/a_1.conf"', '"a/\\ud800\\u0000"'),
        "json-dev/_repo_main/MANIFEST_all.json",
        "names no file",
    ),
    "sums lack a file": (
        lambda tree, _, __: (tree / "json-dev/SHA256SUMS").write_text(""),
        "json-dev/SHA256SUMS",
        "does not name a/a_1.conf",
    ),
    "a tag leads to another manifest": (
        lambda tree, _, __: link(tree / WEB / "_refs/1.1", str((tree / WEB / "_refs/1.2").readlink())),
        f"{WEB}/manifests/1.1",
        "_refs/1.1 leads to",
    ),
    "a tag is of another manifest": (
        lambda tree, _, __: shutil.copyfile(tree / WEB / "manifests/1.2", tree / WEB / "manifests/1.1"),
        f"{WEB}/manifests/1.1",
        "_refs/1.1 leads to",
    ),
    "a tag is not listed": (
        lambda tree, _, __: shutil.copyfile(tree / WEB / "manifests/1.2", tree / WEB / "manifests/9"),
        f"{WEB}/manifests/9",
        "not in the list",
    ),
    "an image is not in the catalog": (
        lambda tree, _, __: edit(tree / "docker-dev/v2/_catalog", '"tool", ', ""),
        "docker-dev/v2/tool",
        "does not name this image",
    ),
    "a manifest has another type for Apache": (
        lambda tree, _, __: edit(
            tree / WEB / "manifests/.htaccess", "docker.distribution.manifest.v2", "oci.image.manifest.v1"
        ),
        f"{WEB}/manifests/.htaccess",
        "type and digest",
    ),
    "a manifest has a second type for nginx": (
        lambda tree, _, __: [
            (path / "manifest.ocii").write_text("{}") for path in (tree / WEB / "_refs").glob("sha256:*")
        ],
        f"{WEB}/_refs/sha256:",
        "one manifest",
    ),
    "Apache is told more": (
        lambda tree, _, __: (tree / WEB / "manifests/.htaccess").open("a").write("Redirect / http://example.com/\n"),
        f"{WEB}/manifests/.htaccess",
        "lines that are no type",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_though_nothing_is_torn(mirror: Stage, tree: Path, stranger: Key, lie: str) -> None:
    plant, where, word = LIES[lie]
    plant(tree, mirror, stranger)
    found = faults_of(tree)
    told = [what for path, all_told in found.items() if path.startswith(where) for what in all_told]
    assert any(word in what for what in told), found


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


MADE, CHANGED = "20200101T000000", "20200201T000000"


def gpg(home: Path, *arguments: str, data: str = "") -> bytes:
    """Run gpg on a keyring without a passphrase."""
    command = ["gpg", "--homedir", str(home), "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
    return subprocess.run([*command, *arguments], input=data.encode(), check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def old_key() -> Iterator[Key]:
    """A key that was made long ago, and never expires so far."""
    with gnupg_home() as home:
        yield make_key(home, "Old <old@example.com>", faked_time=MADE)


@pytest.fixture(scope="module")
def old_mirror(tmp_path_factory: pytest.TempPathFactory, old_key: Key) -> Iterator[Stage]:
    """A mirror with packages of every type, signed while the key was good."""
    with mirror_of_all(tmp_path_factory.mktemp("mirror"), old_key) as lab:
        fill(lab)
        lab.agent("sync")
        yield lab


@pytest.fixture(params=["expired", "revoked"])
def public_key(request: pytest.FixtureRequest, old_key: Key, tmp_path: Path) -> Path:
    """The same key as it may be at another time, its home left as it is."""
    with gnupg_home() as home:
        shutil.copytree(
            old_key.home, home, dirs_exist_ok=True, ignore=lambda _, names: [one for one in names if one[:2] == "S."]
        )
        if request.param == "expired":
            gpg(home, "--faked-system-time", CHANGED, "--quick-set-expire", old_key.fingerprint, "1m")
        else:
            certificate = (home / f"openpgp-revocs.d/{old_key.fingerprint}.rev").read_text()
            gpg(home, "--import", data=certificate.replace("\n:-----", "\n-----"))
        path = tmp_path / f"{request.param}.gpg"
        path.write_bytes(gpg(home, "--export"))
    return path


def test_every_signature_of_a_key_that_is_good_no_more_is_a_fault(old_mirror: Stage, public_key: Path) -> None:
    assert faults_of(old_mirror.www) == {}
    found: dict[str, str] = {}
    for fault in verify_tree(old_mirror.www, public_key, lambda _files, _bytes: None).faults:
        found[fault.path] = fault.what
    signed = (
        re.escape(f"{APT}/InRelease"),
        re.escape(f"{APT}/Release.gpg"),
        re.escape(f"{RHEL}/repodata/repomd.xml.asc"),
        re.escape(RHEL) + r"/.*\.rpm",
        r"json-dev/SHA256SUMS\.gpg",
        r"json-dev/.*/MANIFEST_all\.json\.gpg",
        r"docker-dev/sigstore/.*/signature-1",
    )
    for pattern in signed:
        told = [what for path, what in found.items() if re.fullmatch(pattern, path)]
        assert told, f"{pattern}: {found}"
        assert all(public_key.stem in what for what in told), told
    told_by_command = old_mirror.agent("verify", "--key", str(public_key), expect=13)
    assert public_key.stem in told_by_command.stdout
