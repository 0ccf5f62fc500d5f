"""The layout of the original packrat agent's tree, and what is believed of a suite on disk."""

from pathlib import Path

import pytest

from packrat_agent.model.records import DistroVersion, Repo
from packrat_agent.state.original import OriginalFile
from packrat_agent.sync.takeover.original_places import (
    is_package,
    keeps_path,
    original_place,
    read_filenames,
    read_suite,
    signed_indexes,
)

SUITE = "apt-dev/dists/bookworm"
RELEASE = "Origin: Packrat\nLabel: Old: tools\nCodename: bookworm\nDate: long ago\nSHA256:\n 00 1 Origin: x\n"
REPO = Repo("apt-dev", "Old: tools", "apt-dev", "apt", ())
I386 = f"{SUITE}/main/binary-i386/Packages"


@pytest.mark.parametrize(
    ("kind", "name", "arch", "place"),
    [
        ("apt", "libfoo_1.0_amd64.deb", "x86_64", "pool/libfoo/libfoo_1.0_amd64.deb"),
        ("apt", "libfoo-dev_1.0_amd64.deb", "x86_64", "pool/libfoo/libfoo-dev_1.0_amd64.deb"),
        ("apt", "jq_1_i386.deb", "i386", "pool/jq/jq_1_i386.deb"),
        ("yum", "a-1-1.x86_64.rpm", "x86_64", "rhel/main/9/x86_64/a-1-1.x86_64.rpm"),
        ("yum", "a-1-1.noarch.rpm", "all", "rhel/main/9/noarch/a-1-1.noarch.rpm"),
        ("pypi", "my-tool-1.0.tar.gz", "all", "packages/my/my-tool-1.0.tar.gz"),
        (
            "pypi",
            "requests_toolbelt-1.0-py3-none-any.whl",
            "all",
            "packages/reques/requests_toolbelt-1.0-py3-none-any.whl",
        ),
        ("docker", "postgres_15.tar", "x86_64", "cache/postgr/postgres_15.tar"),
        ("json", "settings_7.json", "all", "settings/settings_7.json"),
        ("json", "disk_2.0.tar.gz", "all", "disk/disk_2.0.tar.gz"),
        ("json", "notes.txt", "all", "notes/notes.txt"),
        ("json", "a_b_c.bin", "all", "a_b_c/a_b_c.bin"),
        ("unknown", "a", "all", None),
    ],
)
def test_each_type_has_its_places(kind: str, name: str, arch: str, place: str | None) -> None:
    assert original_place(kind, OriginalFile("r", "/1", name, "rhel", "9", arch, "a" * 64)) == place
    if place is not None:
        assert is_package(kind, place)
        assert not keeps_path(kind, place)


@pytest.mark.parametrize(
    ("kind", "path", "stays"),
    [
        ("apt", "dists/bookworm/Release.gpg", True),
        ("apt", "dists/bookworm/main/binary-i386/Packages", True),
        ("apt", "dists/bookworm/main/binary-armhf/Packages", False),
        ("yum", "rhel/main/9/repodata/repomd.xml.asc", True),
        ("yum", "rhel/main/9/repodata/primary.xml", False),
        ("docker", "v2/web/manifests/1.0", True),
        ("docker", "v2/web/blobs/sha256:00", False),
        ("json", "_repo_main/MANIFEST_all.json", True),
        ("pypi", "simple/simple_dir/index.html", False),
    ],
)
def test_indexes_that_stay_are_told_from_those_that_go(kind: str, path: str, stays: bool) -> None:
    assert keeps_path(kind, path) is stays
    assert not is_package(kind, path)


def write(root: Path, path: str, content: str | bytes) -> str:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_suite_is_read_as_far_as_its_clients_hold_it_to_it(tmp_path: Path) -> None:
    files = {write(tmp_path, f"{SUITE}/Release", RELEASE), write(tmp_path, I386, "")}
    names = {"Origin": "Packrat", "Label": "Old: tools", "Codename": "bookworm"}
    assert read_suite(tmp_path, REPO, SUITE, files) == {**names, "Architectures": "i386"}
    assert read_suite(tmp_path, REPO, SUITE, files - {I386}) == names
    write(tmp_path, f"{SUITE}/Release", f"{RELEASE}Repository: apt-dev\n")
    assert read_suite(tmp_path, REPO, SUITE, files - {I386}) == {**names, "Repository": "apt-dev"}
    write(tmp_path, f"{SUITE}/Release", f"{RELEASE}Repository: other\n")
    assert read_suite(tmp_path, REPO, SUITE, files - {I386}) == names
    # What the scan has not seen as a regular file is not opened.
    assert read_suite(tmp_path, REPO, SUITE, {I386}) == {}
    assert read_suite(tmp_path, REPO, "apt-dev/dists/trixie", files) == {}


@pytest.mark.parametrize("content", [b"Origin: \xff\n", b"Origin: x\n" * 200_000, b""])
def test_a_release_that_cannot_be_read_says_nothing(tmp_path: Path, content: bytes) -> None:
    assert read_suite(tmp_path, REPO, SUITE, {write(tmp_path, f"{SUITE}/Release", content)}) == {}


def test_a_link_in_the_place_of_a_release_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "outside", RELEASE)
    (tmp_path / SUITE).mkdir(parents=True)
    (tmp_path / SUITE / "Release").symlink_to(tmp_path / "outside")
    assert read_suite(tmp_path, REPO, SUITE, {f"{SUITE}/Release"}) == {}


def test_the_files_that_the_indexes_of_a_suite_name_are_read(tmp_path: Path) -> None:
    amd64 = f"{SUITE}/main/binary-amd64/Packages"
    files = {write(tmp_path, I386, "Filename: pool/a/a.deb\n"), write(tmp_path, amd64, "x\nFilename: pool/b/b.deb\n")}
    assert read_filenames(tmp_path, SUITE, files) == frozenset({"pool/a/a.deb", "pool/b/b.deb"})
    assert read_filenames(tmp_path, SUITE, ()) is None


def test_the_signed_indexes_are_those_of_all_suites() -> None:
    versions = (DistroVersion("rhel9", "rhel", "9", "rpm"), DistroVersion("sles15", "sles", "15", "rpm"))
    top = "yum-dev/{}/repodata/repomd.xml"
    found = signed_indexes(Repo("yum-dev", "", "yum-dev", "yum", versions))
    assert found == [(path, f"{path}.asc") for path in (top.format("rhel/main/9"), top.format("sles/main/15"))]
    assert signed_indexes(Repo("pypi-dev", "", "pypi-dev", "pypi", versions)) == []
