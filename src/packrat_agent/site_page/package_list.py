"""Writes the list of a repository's packages that the landing page searches: an index, and shards that it names.

    <directory>/_repo_main/packages/index.json
    <directory>/_repo_main/packages/<SHA-256>.json

1. A shard begins at a package whose hash says so. So a change of one package rebuilds one shard, or two, and the same
   packages give the same shards, in whatever order they came.
2. Shards are named by their content, and the index becomes live last: a page that has read it finds all its shards.
3. It says nothing that the repository's own indexes don't say, and stands in the repository's directory, where the web
   server's rules for this directory hold for it, too.

    shards = cut(files)                             # all of them
    shards = change(shards, {"hello"}, read)        # reads only the packages of the shards that this touches
"""

import hashlib
import json
import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, Publication, Since, TreeFile
from packrat_core.packages.version_numbers import number_key

DIRECTORY = "_repo_main/packages"
"""Where it stands in a repository's directory; no package can be called like the first part."""
INDEX = "index.json"
_SHARD_PACKAGES = 256
"""Average number of packages in a shard."""
_NUMBER = re.compile("([0-9]+)")
_SHARDS = "Shards"
_OF = "Of"
"""Names of the facts that hold the shards, and which index they were made from."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A package file as the list has it.

    Attributes:
        package: The name on the server, by which the list is in order.
        name: The name that clients use.
        version: Its version, or its tag.
        release: The distribution version as clients call it; '' if they don't choose one.
        arch: Its architecture; '' if it has none.
    """

    package: str
    name: str
    version: str
    release: str
    arch: str


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the index has it: its first package, the SHA-256 and size of its file, the number of its packages."""

    first: str
    sha256: str
    size: int
    packages: int


@dataclass(frozen=True, slots=True)
class Cut:
    """All shards of a list, and the content of those that were made just now, by their SHA-256."""

    shards: tuple[Shard, ...]
    made: Mapping[str, Content]

    @property
    def packages(self) -> int:
        """The number of packages."""
        return sum(shard.packages for shard in self.shards)


Reader = Callable[[str, str | None], Iterable[ListedFile]]
"""Lists the files whose packages are not before the first name and before the second one (None: there is no end)."""


def cut(files: Iterable[ListedFile]) -> Cut:
    """Cut a list into shards.

    files: in the order of their packages.
    """
    shards: list[Shard] = []
    made: dict[str, Content] = {}
    for first, packages in _runs(files):
        content = Content.of(json.dumps({"packages": packages}, separators=(",", ":")).encode() + b"\n")
        made[content.digest] = content
        shards.append(Shard(first, content.digest, content.size, len(packages)))
    return Cut(tuple(shards), made)


def change(shards: Sequence[Shard], packages: Iterable[str], read: Reader) -> Cut:
    """Rebuild the shards that some packages touch.

    Args:
        shards: The shards as they were.
        packages: The names, on the server, of all packages that changed since.
        read: Lists the files as they are now.
    """
    starts = [shard.first for shard in shards]
    done: list[Shard] = []
    made: dict[str, Content] = {}
    at = 0
    for where in _find_touched(starts, packages):
        low = starts[where.start] if where.start else ""
        high = starts[where.stop] if where.stop < len(starts) else None
        remade = cut(read(low, high))
        done += [*shards[at : where.start], *remade.shards]
        made |= remade.made
        at = where.stop
    return Cut((*done, *shards[at:]), made)


def _find_touched(starts: Sequence[str], packages: Iterable[str]) -> list[slice]:
    """Give the shards that hold some packages, or would, as slices that don't overlap, in order."""
    found: list[slice] = []
    for package in sorted(set(packages)):
        end = bisect_right(starts, package)
        # Where the first package of a shard goes, the rest of it belongs to the shard before.
        start = max(bisect_left(starts, package) - 1, 0)
        where = slice(start, max(end, 1))
        if found and where.start < found[-1].stop:
            where = slice(found.pop().start, where.stop)
        found.append(where)
    return found


def _runs(files: Iterable[ListedFile]) -> Iterator[tuple[str, list[object]]]:
    """Give the first package of each shard, and what the shard says of all of its packages."""
    first, run = "", list[object]()
    for package, of_package in groupby(files, key=lambda file: file.package):
        if run and zlib.crc32(package.encode()) % _SHARD_PACKAGES == 0:
            yield first, run
            run = []
        if not run:
            first = package
        run.append(_describe(list(of_package)))
    if run:
        yield first, run


def _describe(files: Sequence[ListedFile]) -> list[object]:
    """Say `[name, [[version, release, architectures], …]]` of a package; the architectures are one text."""
    # As most packages are.
    if len(files) == 1 and files[0].arch.isalnum():
        file = files[0]
        return [file.name, [[file.version, file.release, file.arch]]]
    versions: dict[tuple[str, str], dict[str, None]] = {}
    for file in files:
        # An image for several architectures has them all in one text, with commas.
        arches = dict.fromkeys(file.arch.replace(",", " ").split())
        versions.setdefault((file.version, file.release), {}).update(arches)
    # In whatever order they arrived; the highest version first, as people read numbers.
    ordered = sorted(versions, key=lambda key: (_as_read(key[0]), key), reverse=True)
    return [min(file.name for file in files), [[*key, " ".join(sorted(versions[key]))] for key in ordered]]


def _as_read(version: str) -> list[tuple[int, str]]:
    """Split a version so that 1.10 comes after 1.9; it is only shown in this order."""
    parts = _NUMBER.split(version)
    return [number_key(part) if number % 2 else (0, part) for number, part in enumerate(parts)]


def list_name(repo: Repo) -> str:
    """Name the publication of a repository's list, by its place: repositories may swap their directories."""
    return f"packages/{repo.directory}"


def is_made_of(index: str, facts: Mapping[str, str]) -> bool:
    """Tell whether a list was made from an index.

    Args:
        index: What identifies the index.
        facts: Those of the list's publication.
    """
    return facts.get(_OF) == index


def read_facts(facts: Mapping[str, str]) -> tuple[Shard, ...] | None:
    """Give the shards that a list was published with, of the facts of its publication; None where it was not."""
    if _SHARDS not in facts:
        return None
    return tuple(Shard(*row) for row in json.loads(facts[_SHARDS]))


def list_identity(repo: Repo, shards: Sequence[Shard]) -> str:
    """Identify a list by its place and its shards."""
    return hashlib.sha256(f"{repo.directory}\n".encode() + _write_index(shards)).hexdigest()


def publish_list(repo: Repo, now: Cut, before: Sequence[Shard] | None, index: str) -> Publication:
    """Make the publication of a list; its paths are relative to `root_dir`.

    Args:
        repo: The repository.
        now: The list.
        before: The shards that are live; None: nothing is known of them, and `now` has the content of all shards.
        index: What identifies the index that it was made from.
    """
    directory = f"{repo.directory}/{DIRECTORY}"
    list_of_shards = Content.of(_write_index(now.shards))
    known = {shard.sha256 for shard in before or ()}
    named = dict.fromkeys(shard.sha256 for shard in now.shards)
    content = tuple(_shard_file(directory, sha256, now) for sha256 in named if sha256 not in known)
    pointer = TreeFile(f"{directory}/{INDEX}", list_of_shards)
    since = None
    if before is not None:
        gone = tuple(f"{directory}/{sha256}.json" for sha256 in sorted(known.difference(named)))
        since = Since(list_identity(repo, before), gone, (), content, (pointer,), (1,))
    rows = [[shard.first, shard.sha256, shard.size, shard.packages] for shard in now.shards]
    facts = {_OF: index, _SHARDS: json.dumps(rows, separators=(",", ":"))}
    return Publication(list_name(repo), list_identity(repo, now.shards), content, (pointer,), facts, since=since)


def _shard_file(directory: str, sha256: str, now: Cut) -> TreeFile:
    return TreeFile(f"{directory}/{sha256}.json", now.made[sha256])


def _write_index(shards: Sequence[Shard]) -> bytes:
    rows = [[shard.first, shard.sha256, shard.size, shard.packages] for shard in shards]
    index = {"packages": sum(shard.packages for shard in shards), "shards": rows}
    return json.dumps(index, separators=(",", ":")).encode() + b"\n"
