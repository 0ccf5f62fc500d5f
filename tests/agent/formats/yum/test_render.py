"""What the yum type makes of packages: a tree that a person can read, and what must hold of every tree."""

import gzip
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.formats.yum.format import YumFormat
from packrat_agent.model.entries import Entry
from packrat_agent.model.key_places import MAIN_KEY
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import PendingFile, Publication, TreeFile, TreeLink
from packrat_core.errors import Refused
from packrat_demo.build_rpm import Rpm, build_rpm
from support.rendered import signed_path

EXPECTED = Path(__file__).parent / "expected.txt"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RHEL9 = DistroVersion("rhel9", "rhel", "9", "rpm")
SLES15 = DistroVersion("sles15", "sles", "15", "rpm")
REPO = Repo("yum-dev", "Our packages", "yum-dev", "yum", (RHEL9, SLES15))
SETTINGS = RenderSettings("the lab's mirror", signed=True, public_url="http://repo.example.com", public_key=b"KEY\n")
YUM = YumFormat()
HELLO = Rpm("hello", "1.0", "x86_64", requires=(("greeting", "2.0-1"),), files=(("/opt/a&b", b"hi"),))
OLD_PC = Rpm("old-pc", "1", "i686", epoch=1)
GREETING = Rpm("greeting", "2.0", "noarch")


class NoPieces:
    """Remembers nothing."""

    def get(self, coding: str, digest: str) -> bytes | None:
        """Nothing."""
        return None

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Forget it."""


def record(rpm: Rpm, suite: str = "rhel9", number: int = 1, /, **changes: str) -> PackageFile:
    """The server's record of a package."""
    arch = {"noarch": "all", "i686": "i386", "aarch64": "arm64"}.get(rpm.arch, rpm.arch)
    values: dict[str, Any] = {
        "uri": f"/file/{number}",
        "package": rpm.name,
        "distro_version": suite,
        "version": f"{rpm.version}-{rpm.release}",
        "kind": "rpm",
        "arch": arch,
        "url": "",
        "file_name": rpm.file_name,
        "sha256": f"{number:064x}",
    }
    return PackageFile(**values | changes)


def entry(tmp_path: Path, rpm: Rpm, version: str = "rhel9", number: int = 1) -> Entry:
    """The package as it goes into the index."""
    path = tmp_path / rpm.file_name
    path.write_bytes(build_rpm(rpm))
    file = record(rpm, version, number)
    return Entry(file, YUM.place(REPO, file), replace(YUM.read(path, tmp_path), size=1000))


def render(
    entries: list[Entry],
    settings: RenderSettings = SETTINGS,
    now: datetime = NOW,
    last: Sequence[Publication] = (),
) -> tuple[Publication, ...]:
    """Make the tree, after another one."""
    facts = {publication.name: publication.facts for publication in last}
    return YUM.render(RenderRequest(REPO, entries, settings, now, NoPieces(), facts))


def files(tree: Sequence[Publication]) -> dict[str, TreeFile | TreeLink | PendingFile]:
    """All of a tree by path."""
    found = {file.path: file for publication in tree for file in (*publication.content, *publication.pointers)}
    assert len(found) == sum(len(publication.content) + len(publication.pointers) for publication in tree)
    return found


def readable(tree: Sequence[Publication]) -> str:
    """The tree as text, in the order of publishing; what depends on the compressor is left out."""
    lines = []
    for publication in tree:
        for role, group in (("content", publication.content), ("pointer", publication.pointers)):
            for file in group:
                match file:
                    case TreeLink():
                        said = f" -> {file.target}"
                    case PendingFile():
                        said = f" ({file.form} signature of {signed_path(publication, file)})"
                    case _ if role == "content" and "/generations/" in file.path:
                        said = " (the same)"
                    case _ if file.path.endswith(".gz"):
                        said = "\n" + indented(gzip.decompress(bytes(file.content)))
                    case _:
                        said = "\n" + indented(bytes(file.content))
                lines.append(f"{role} {file.path}{said}")
    text = "\n".join(lines) + "\n"
    text = re.sub(r"[0-9a-f]{64}(-\w+\.xml\.gz)", r"<SHA-256>\1", text)
    text = re.sub(r'(<checksum type="sha256">)[0-9a-f]{64}', r"\1<SHA-256>", text)
    text = re.sub(r"(<hash type=\"sha256\">)[0-9a-f]{64}", r"\1<SHA-256>", text)
    text = re.sub(r"<size>\d+", "<size><SIZE>", text)
    return re.sub(r"(generations/\d+)-[0-9a-f]{12}", r"\1-<digest>", text)


def indented(content: bytes) -> str:
    return "\n".join(f"    {line}".rstrip() for line in content.decode().splitlines())


def test_the_tree_is_as_expected(tmp_path: Path) -> None:
    tree = render(
        [entry(tmp_path, HELLO), entry(tmp_path, OLD_PC, number=2), entry(tmp_path, GREETING, "sles15", number=3)]
    )
    assert readable(tree) == EXPECTED.read_text(), readable(tree)


def test_the_same_request_gives_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    entries = [entry(tmp_path, HELLO), entry(tmp_path, GREETING, number=2), entry(tmp_path, OLD_PC, number=3)]
    assert render(entries) == render(entries[::-1])


def test_identity_is_that_of_all_but_dates(tmp_path: Path) -> None:
    entries = [entry(tmp_path, HELLO)]
    first = render(entries)
    later = render(entries, now=NOW + timedelta(days=1), last=first)
    assert [publication.identity for publication in later] == [publication.identity for publication in first]
    more = render([*entries, entry(tmp_path, GREETING, number=2)])
    assert [one.identity == two.identity for one, two in zip(first, more, strict=True)] == [
        False,
        True,
    ]
    for settings in (
        RenderSettings("the lab's mirror", signed=False, public_url="http://repo.example.com"),
        RenderSettings("the lab's mirror", signed=True, public_url="http://other.example.com", public_key=b"KEY\n"),
        RenderSettings("the lab's mirror", signed=True, public_url="http://repo.example.com", public_key=b"NEW\n"),
        RenderSettings("another", signed=True, public_url="http://repo.example.com", public_key=b"KEY\n"),
    ):
        assert render(entries, settings)[0].identity != first[0].identity


def test_a_generation_is_never_written_twice(tmp_path: Path) -> None:
    entries = [entry(tmp_path, HELLO)]
    first = render(entries)
    # The clock stood still, and stepped back.
    for now in (NOW, NOW - timedelta(days=1)):
        again = render(entries, now=now, last=first)
        old = {path for path in files(first) if "/generations/" in path}
        assert not old & set(files(again))


def test_the_address_of_a_generation_is_published_last(tmp_path: Path) -> None:
    for publication in render([entry(tmp_path, HELLO)]):
        names = [file.path.rpartition("/")[2] for file in publication.pointers]
        assert names.index("repomd.xml.asc") < names.index("repomd.xml") < names.index("mirrorlist")
        listed = next(
            bytes(file.content).decode()
            for file in publication.pointers
            if isinstance(file, TreeFile) and "mirrorlist" in file.path
        )
        generation = listed.strip().removeprefix("http://repo.example.com/yum-dev/")
        assert f"{generation}repodata/repomd.xml" in {file.path for file in publication.content}


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (record(HELLO, kind="deb", file_name="hello_1_amd64.deb"), "can't be in a yum repository"),
        (record(HELLO, file_name="hello.deb"), "can't be in a yum repository"),
        (record(HELLO, file_name="hello-1-1.src.rpm"), "source package"),
        (record(HELLO, file_name="hello-1-1.nosrc.rpm"), "source package"),
        (record(HELLO, "bookworm"), "does not have"),
        (record(HELLO, "rhel8"), "does not have"),
        (record(HELLO, file_name="he%2fllo?.rpm"), "plain name"),
    ],
)
def test_records_without_a_place_in_the_repository_are_refused(file: PackageFile, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        YUM.place(REPO, file)


@pytest.mark.parametrize(("change", "value"), [("arch", "arm64"), ("package", "other"), ("version", "1.0-2")])
def test_a_record_that_contradicts_the_header_is_refused(tmp_path: Path, change: str, value: str) -> None:
    fragment = entry(tmp_path, HELLO).fragment
    YUM.agree(record(HELLO), fragment)
    with pytest.raises(Refused, match=value):
        YUM.agree(record(HELLO, **{change: value}), fragment)


def test_a_record_renamed_for_the_server_is_the_package_inside(tmp_path: Path) -> None:
    rpm = Rpm("python3.11", "3.0^git1~rc1", "noarch", "1.el8", 2)
    fragment = entry(tmp_path, rpm).fragment
    for package, version in (("python311", "3.0.git1-rc1-1.el8"), ("python3-11", "2-3.0git1rc1-1.el8")):
        YUM.agree(record(rpm, package=package, version=version), fragment)
    for package, version in (("python312", rpm.version), ("python", rpm.version), ("python311", "3.0.git2.rc1-1.el8")):
        with pytest.raises(Refused, match="the server has it as"):
            YUM.agree(record(rpm, package=package, version=version), fragment)
    with pytest.raises(Refused, match="the server has it as x86_64"):
        YUM.agree(record(rpm, package="python311", arch="x86_64"), fragment)


@pytest.mark.parametrize(
    ("rpm", "directory"),
    [(HELLO, "x86_64"), (OLD_PC, "i386"), (GREETING, "noarch"), (Rpm("_a", "1", "aarch64"), "aarch64")],
)
def test_packages_stand_by_architecture(tmp_path: Path, rpm: Rpm, directory: str) -> None:
    one = entry(tmp_path, rpm)
    YUM.agree(one.file, one.fragment)
    assert one.path == f"rhel/main/9/{directory}/{rpm.file_name}"


def test_two_names_of_one_distribution_version_share_its_directory(tmp_path: Path) -> None:
    repo = Repo("y", "", "y", "yum", (RHEL9, DistroVersion("el9", "rhel", "9", "rpm")))
    entries = [entry(tmp_path, HELLO)]
    tree = YUM.render(RenderRequest(repo, entries, SETTINGS, NOW, NoPieces(), {}))
    assert [publication.name for publication in tree] == ["rhel/9"]


def test_without_an_address_there_are_no_generations(tmp_path: Path) -> None:
    tree = render([entry(tmp_path, HELLO)], RenderSettings("", signed=True, public_key=b"KEY\n"))
    assert not [path for path in files(tree) if "generations" in path or path.endswith(("mirrorlist", "metalink"))]
    setup = YUM.client_setup(REPO, "http://THIS-HOST", MAIN_KEY)[0].lines
    assert "sed 's|@MIRROR@|http://THIS-HOST|'" in setup
    repo_file = files(tree)["rhel/main/9/yum-dev.repo"]
    assert isinstance(repo_file, TreeFile)
    assert b"baseurl=@MIRROR@/yum-dev/rhel/main/9/\n" in bytes(repo_file.content)


@pytest.mark.parametrize(
    ("signed", "signs_all", "checks"), [(True, True, (1, 1)), (True, False, (0, 1)), (False, True, (0, 0))]
)
def test_a_client_checks_what_this_mirror_signs(
    tmp_path: Path, signed: bool, signs_all: bool, checks: tuple[int, int]
) -> None:
    settings = RenderSettings("", signed=signed, signs_all_packages=signs_all, public_key=b"KEY\n" if signed else b"")
    repo_file = files(render([entry(tmp_path, HELLO)], settings))["rhel/main/9/yum-dev.repo"]
    assert isinstance(repo_file, TreeFile)
    assert f"\ngpgcheck={checks[0]}\nrepo_gpgcheck={checks[1]}\n" in bytes(repo_file.content).decode()
