"""What the original server stores, and what people do there: upload, rename, tag, deprocate, delete and upload again.

A record says what the name of its file says: nothing is read from inside. Names have only the characters that the
original stores; people rename files that have others.
"""

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from support.recorded import read_wire

API = "/api/v2/"
REPO, MIRROR, FILE = f"{API}Repo/Repo", f"{API}Repo/Mirror", f"{API}Package/PackageFile"
SUITE = f"{API}Attrib/DistroVersion"

SUITES: dict[str, tuple[str, str | None, str]] = {
    "rhel9": ("rhel", "9", "rpm"),
    "sles15": ("sles", "15", "rpm"),
    "pypi": ("none", None, "python"),
    "docker": ("none", None, "docker"),
    "resource": ("none", None, "resource"),
}
"""Distribution version → (distro, version, file type); any other one is a suite of Debian."""

_PACKAGE_NAME = re.compile(r"[0-9a-zA-Z_-]+")
_FILE_NAME = re.compile(r"[a-zA-Z0-9_. -]+")
_ARCHES = {"amd64": "x86_64", "aarch64": "arm64", "noarch": "all", "i686": "i386"}
_NAMED = (
    ("deb", re.compile(r"(?P<name>[^_]+)_(?P<version>[^_]+)_(?P<arch>[^_.]+)\.u?deb")),
    ("rpm", re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)\.(?P<arch>[^.]+)\.rpm")),
    ("python", re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(?:-[^-]+){3,4}\.whl")),
    ("python", re.compile(r"(?P<name>.+)-(?P<version>[^-]+)\.(?:tar\.gz|zip)")),
    ("docker", re.compile(r"(?P<name>[^_]+)_(?P<version>[^_]+)\.tar")),
    ("resource", re.compile(r"(?P<name>[^_]+)_(?P<version>[^_]+?)(?:\.[a-z]+)?")),
)
"""How a file is called, by its type; the first that fits counts."""


class Refusal(Exception):
    """An answer other than 200: its status and its value."""

    def __init__(self, status: int, value: Any) -> None:
        super().__init__(value)
        self.status, self.value = status, value


@dataclass(slots=True)
class StoredRepo:
    """A repository: what it takes."""

    tag: str
    suites: tuple[str, ...] = ("bookworm",)
    kind: str = "apt"


@dataclass(slots=True)
class StoredPackage:
    """A package file on the server."""

    number: int
    package: str
    version: str
    suite: str
    name: str
    content: bytes
    tags: set[str] = field(default_factory=set)
    failed: bool = False
    deprocated: bool = False
    kind: str = "deb"
    arch: str = "all"
    created: str = "2026-11-22T11:20:20.264145+00:00"


def rename(name: str, by: str = ".") -> str:
    """Rename a file as people do: each run of characters that can't be stored is replaced."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", by, name)


class Store:
    """The records and the files.

    The test changes them while the server's thread reads: a list that is read has each file at every moment.
    """

    def __init__(self) -> None:
        self.mirror = "lab"
        self.repos: dict[str, StoredRepo] = {}
        self.files: dict[int, StoredPackage] = {}
        self._order: list[int] = []
        self._stored: dict[str, bytes] = {}
        self._suffixes = (f"fX{number:05}" for number in itertools.count())
        shapes = {
            exchange.target: exchange.answer
            for exchange in read_wire("02")
            if exchange.verb == "GET" and exchange.status == 200
        }
        self._shape_mirror = shapes[f"{MIRROR}:lab:"]
        self._shape_repo = next(
            exchange.answer
            for exchange in read_wire("02")
            if exchange.target == f"{REPO}:apt-dev:" and exchange.status == 200 and "name" in exchange.answer
        )
        self._shape_file = shapes[f"{FILE}:1:"]

    # What people do on the server.

    def put(
        self,
        package: str,
        version: str,
        name: str,
        content: bytes,
        tags: Sequence[str] = ("dev",),
        *,
        suite: str = "bookworm",
        arch: str = "all",
    ) -> int:
        """Upload a file with a record of one's own and tag it; the tags wake polls, the upload does not."""
        file = StoredPackage(self._next(), package, version, suite, name, content, arch=arch)
        file.kind = _suite(suite)["file_type"]
        return self._add(file, tags)

    def description(self, repo: str) -> str:
        """What a repository's record says of it."""
        return str(self.record(REPO, repo)["description"])

    def upload(self, name: str, content: bytes, suite: str = "bookworm", tags: Sequence[str] = ("dev",)) -> int:
        """Upload a file of any type and tag it; its record is made from its name, as the original does."""
        assert _FILE_NAME.fullmatch(name), f"the original stores no file called {name}"
        kind, match = next((kind, match) for kind, form in _NAMED if (match := form.fullmatch(name)))
        found = {"arch": "all", **match.groupdict()}
        assert _PACKAGE_NAME.fullmatch(found["name"]), f"the original has no package called {found['name']}"
        arch = _ARCHES.get(found["arch"], found["arch"])
        stored = self._free_name(name)
        file = StoredPackage(self._next(), found["name"], found["version"], suite, stored, content)
        file.kind, file.arch = kind, arch
        return self._add(file, tags)

    def put_many(self, count: int, kind: str = "rpm", tag: str = "dev") -> range:
        """Add files that nobody is told of, by default of a type that an apt repository refuses; gives the numbers."""
        first = self._next()
        numbers = range(first, first + count)
        names = {number: f"many{number}" for number in numbers}
        self.files = self.files | {
            number: StoredPackage(number, name, "1", "bookworm", f"{name}_1_all.x", b"", {tag}, kind=kind)
            for number, name in names.items()
        }
        # A listing at the same time finds all of them or none.
        self._order = [*self._order, *numbers]
        return numbers

    def restore(self, newest: int) -> None:
        """Take the database back to when `newest` was the newest file, as a backup does; nobody is told."""
        self.files = {number: file for number, file in self.files.items() if number <= newest}
        self._order = [number for number in self._order if number <= newest]

    def tag(self, number: int, tag: str) -> None:
        """Tag a file: the row moves to the end of lists."""
        self.files[number].tags.add(tag)
        self._touch(number)

    def fail(self, number: int) -> None:
        """Mark a file as failed: repositories don't want it any more."""
        self.files[number].failed = True
        self._touch(number)

    def deprocate(self, number: int) -> None:
        """Mark a file as deprocated: repositories don't want it any more."""
        self.files[number].deprocated = True
        self._touch(number)

    def delete(self, number: int) -> None:
        """Delete a record, without a word to anybody; the file stays, so that its name is not free again."""
        self._order = [other for other in self._order if other != number]
        self.files = {other: file for other, file in self.files.items() if other != number}

    def changed(self, number: int) -> None:
        """Do what follows a change of a file."""

    def _next(self) -> int:
        return max(self.files, default=0) + 1

    def _free_name(self, name: str) -> str:
        """Give a file whose name is taken on disk a suffix before the last dot of its name."""
        if name not in self._stored:
            return name
        stem, dot, ending = name.rpartition(".")
        return f"{stem}_{next(self._suffixes)}{dot}{ending}"

    def _add(self, file: StoredPackage, tags: Sequence[str]) -> int:
        self.files[file.number] = file
        self._order = [*self._order, file.number]
        self._stored[file.name] = file.content
        for tag in tags:
            self.tag(file.number, tag)
        return file.number

    def _touch(self, number: int) -> None:
        self._order = [*(other for other in self._order if other != number), number]
        self.changed(number)

    # What the server says of it.

    def content(self, target: str) -> bytes | None:
        """The bytes below /files/, also those of a deleted record."""
        name = target.removeprefix("/files/")
        current = next((file.content for file in list(self.files.values()) if file.name == name), None)
        return current if current is not None else self._stored.get(name)

    def wanted(self, repo: StoredRepo, packages: Sequence[str] | None) -> list[str]:
        """URIs of what a repository wants, in the order of the last update: an updated row moves to the end."""
        return [
            f"{FILE}:{number}:"
            for number in self._order
            if (file := self.files.get(number)) is not None
            and repo.tag in file.tags
            and file.suite in repo.suites
            and not (file.failed or file.deprocated)
            and (packages is None or file.package in packages)
        ]

    def record(self, model: str, object_id: str) -> dict[str, Any]:
        """The fields of an object, in the shape that was recorded.

        Raises:
            Refusal: There is no such object.
        """
        if model == MIRROR and object_id == self.mirror:
            return {**self._shape_mirror, "name": object_id, "repo_list": [f"{REPO}:{name}:" for name in self.repos]}
        if model == REPO and object_id in self.repos:
            repo = self.repos[object_id]
            own: dict[str, Any] = {"name": object_id, "filesystem_dir": object_id, "manager_type": repo.kind}
            own["distroversion_list"] = [f"{SUITE}:{suite}:" for suite in repo.suites]
            return {**self._shape_repo, **own, "tag": f"{API}Attrib/Tag:{repo.tag}:"}
        if model == SUITE:
            return _suite(object_id)
        if model == FILE and object_id.isdigit() and int(object_id) in self.files:
            file = self.files[int(object_id)]
            own = {"package": f"{API}Package/Package:{file.package}:", "version": file.version, "arch": file.arch}
            own |= {"distroversion": f"{SUITE}:{file.suite}:", "file": f"/files/{file.name}", "type": file.kind}
            own["created"] = file.created
            return {**self._shape_file, **own, "sha256": hashlib.sha256(file.content).hexdigest()}
        raise Refusal(404, {"model_path": model, "object_id": object_id})


def _suite(name: str) -> dict[str, Any]:
    distro, version, file_type = SUITES.get(name, ("debian", name, "deb"))
    releases = name if distro == "debian" else ""
    return {"name": name, "distro": distro, "version": version, "file_type": file_type, "release_names": releases}
