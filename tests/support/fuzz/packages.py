"""Fuzz targets: what is read of a deb, an rpm and a Python distribution, by the agent and by the server."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from packrat_agent.formats.table import FORMATS
from packrat_agent.gpg.rpm_signature_header import replace_signatures
from packrat_agent.model.entries import Fragment
from packrat_core.errors import PackratError
from packrat_core.packages.deb.dpkg_fields import find_relation_fault
from packrat_core.packages.deb.relations import find_fault
from packrat_core.packages.deb.stanza import read_stanza
from packrat_core.packages.deb.versions import version_key as deb_version
from packrat_core.packages.python.metadata import check_text, read_metadata
from packrat_core.packages.python.requirements import check_requirements
from packrat_core.packages.python.versions import version_key as python_version
from packrat_core.packages.rpm.contents import check_contents
from packrat_core.packages.rpm.file_list import check_files
from packrat_core.packages.rpm.header import walk
from packrat_core.packages.rpm.payload_files import read_files
from packrat_core.packages.rpm.rules import check_header
from packrat_core.packages.rpm.signatures import read_signatures
from packrat_core.packages.rpm.tags import BASE_NAMES
from packrat_core.packages.rpm.versions import version_key as rpm_version
from packrat_demo.build_deb import Deb, build_deb, write_control
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_sdist, build_sdist_zip, build_wheel, write_metadata
from packrat_server.inspect_file import Unrecognized, inspect_file
from support.fuzz.engine import Target
from support.rpm_payloads import GHOST, Listed, Package, Packed, pack, write_package

_RELATIONS = (("Depends", "libc6 (>= 2.36), a:any | b (<< 1:2-3)"), ("Description", "one\n two"))
_REQUIRES = ("requests[socks]>=2 ; python_version < '3.9' and extra == 'x'", "a @ https://e/x.whl", "b (>1,<2)")
_VERSIONS = [b"1:1.2~rc1-3+b1", b"2024.1.post1.dev3+local.7", b"0", b"1!2.0a1", b"1.2^git3-1.el9"]


def _lines(*parts: str) -> st.SearchStrategy[bytes]:
    texts = st.sampled_from(parts) | st.text(max_size=6)
    return st.lists(texts, max_size=25).map(lambda found: "".join(found).encode("utf-8", "surrogatepass"))


_CONTROL = _lines(
    "Package: a\n", "Version: 1\n", "Architecture: all\n", "Depends: ", " x\n", "\n", "X-", ": ", ",", "(>= 1)"
)
_RELATION = _lines("a", " ", "|", ",", "(", ")", ">=", "<<", "=", "1", "[", "]", "!", "<", ">", ":", "any", "${x}")
_METADATA = _lines(
    *("Metadata-Version: 2.1\n", "Name: a\n", "Version: 1\n", "Requires-Python: ", "Requires-Dist: ", "\n", ": ", " "),
    *(">=3", ",", "~=", "a", "[x]", ";", "extra == 'x'", "python_version", "<", "'3'", "(", ")", " and ", " in ", "@"),
)


_LISTED = (
    Listed("/opt/a", b"data", inode=7),
    Listed("/opt/b", b"data", inode=7),
    Listed("/opt/c", b"c" * 99),
    Listed("/opt/d", mode=stat.S_IFDIR | 0o755),
    Listed("/opt/e", target="target", mode=stat.S_IFLNK | 0o777),
    Listed("/opt/f", flags=GHOST),
)


@contextmanager
def package_targets(directory: Path) -> Iterator[list[Target]]:
    """The readers of packages and of what stands in them."""
    debs = [
        build_deb(Deb("one", "1:2-3", "amd64", _RELATIONS, (("/usr/share/one", b"x" * 99),), compression))
        for compression in ("gz", "xz", "none")
    ]
    rpm = Rpm("one", "1.2", "x86_64", epoch=3, files=(("/one", b"1" * 99), ("/d/two", b"2")), summary=b"caf\xe9")
    rpms = [build_rpm(rpm), build_rpm(Rpm("two", "2", "noarch"))]
    python = Python("Some.Project", "1.0", _REQUIRES, files=(("a.py", b"x = 1\n"),))
    pythons = [build_wheel(python), build_sdist(python), build_sdist_zip(python)]
    controls = [write_control(Deb("one", "1:2-3", "amd64", _RELATIONS))]
    metadata = [write_metadata(python)]
    yield [
        Target("packages.deb", debs, PackageReader(directory, "apt", "one_2-3_amd64.deb")),
        Target("packages.rpm", rpms, PackageReader(directory, "yum", "one-1.2-1.x86_64.rpm")),
        Target("packages.rpm_header", rpms, _HeaderReader(directory / "header")),
        Target("packages.rpm_payload", _payloads(), _PayloadReader(directory / "payload")),
        Target("packages.wheel", pythons[:1], PackageReader(directory, "pypi", "some_project-1.0-py3-none-any.whl")),
        Target("packages.sdist", pythons[1:2], PackageReader(directory, "pypi", "some_project-1.0.tar.gz")),
        Target("packages.sdist_zip", pythons[2:], PackageReader(directory, "pypi", "some_project-1.0.zip")),
        Target("packages.control", controls, read_stanza, _CONTROL),
        Target("packages.relation", [b"libc6 (>= 2.36), a:any | b (<< 1:2-3)"], _relation, _RELATION),
        Target("packages.metadata", metadata, _read_metadata, _METADATA),
        Target(
            "packages.version", _VERSIONS, _order, st.text(max_size=30).map(lambda text: text.encode("utf-8", "ignore"))
        ),
    ]


class PackageReader:
    """Reads a package file as the server does at an upload, and as the agent does."""

    def __init__(self, directory: Path, kind: str, name: str) -> None:
        self._format = FORMATS[kind]
        self._file = directory / name
        self._into = directory / f"products of {name}"
        self._into.mkdir()

    def __call__(self, data: bytes) -> None:
        self._file.write_bytes(data)
        try:
            with suppress(Unrecognized):
                inspect_file(self._file, self._file.name)
            self._read(data)
        finally:
            for path in self._into.iterdir():
                path.unlink()

    def _read(self, data: bytes) -> None:
        """Read it by its path, and from memory, as the agent does with few bytes: both find the same."""
        by_path, in_memory = self._outcome(None), self._outcome(data)
        if repr(by_path) != repr(in_memory):
            raise AssertionError(f"by its path {by_path!r:.200}, in memory {in_memory!r:.200}")
        if isinstance(by_path, PackratError):
            raise by_path

    def _outcome(self, content: bytes | None) -> Fragment | PackratError:
        try:
            return self._format.read(self._file, self._into, content)
        except PackratError as error:
            return error


class _HeaderReader:
    """Reads all values of both headers of an rpm, whether the digests are right or not."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, data: bytes) -> None:
        self._file.write_bytes(data)
        with self._file.open("rb") as file:
            rpm = walk(file)
        read_signatures(rpm)
        replace_signatures(rpm.signature, b"signature", b"of both", by_rsa=True)
        for header in (rpm.header, rpm.signature):
            for tag in header.items:
                for read in (header.texts, header.text, header.numbers, header.binary, header.data):
                    read(tag)
        check_header(rpm.header)
        check_files(rpm.header)
        if BASE_NAMES in rpm.header.items:
            read_files(rpm.header)


class _PayloadReader:
    """Reads the archive in an rpm whose digests are right, and whose header lists what the samples hold."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, data: bytes) -> None:
        write_package(self._file, Package(_LISTED, data, "none"))
        with self._file.open("rb") as file:
            check_contents(file)


def _payloads() -> list[bytes]:
    names = [Packed(f".{file.path}", file.target.encode() or file.data) for file in _LISTED]
    numbers = [replace(member, name=number) for number, member in enumerate(names)]
    # Of two links, the last one has the content.
    return [pack([replace(members[0], data=b""), *members[1:-1]]) for members in (names, numbers)]


def _relation(data: bytes) -> None:
    if data.strip():
        find_fault(data.strip())
        find_relation_fault(data.strip(), may_have_alternatives=True)


def _read_metadata(data: bytes) -> None:
    read_metadata(data)
    check_text(data)
    check_requirements(data)


def _order(data: bytes) -> None:
    """Order two versions, as the server does for `show_only_latest`."""
    text = data.decode("utf-8", "replace")
    for key in (deb_version, rpm_version, python_version):
        sorted((text, "1.0", text[::-1]), key=key)
