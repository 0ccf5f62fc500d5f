"""Audits the landing page's script, and the lists of packages that it searches: index → shards.

A list may lag a little behind the index of its repository, so the two are not compared. It leads nobody to a package:
clients never read it.
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from html import unescape
from itertools import pairwise
from typing import Any, BinaryIO

from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    explain_os_error,
    is_plain,
    parse_json,
    read_pointer,
)
from packrat_agent.verify.names import LANDING_PAGE, LISTING_STYLE, PACKAGE_LIST, PAGE_DIR
from packrat_core.text import count_of

_SCRIPT = re.compile(
    rf'<script src="({PAGE_DIR}/[a-z0-9.-]{{1,100}})" integrity="sha256-([A-Za-z0-9+/]{{43}}=)" defer></script>'
)
_SEARCHED = re.compile(r'<section [^>]*\bdata-packages="\./([^"]{1,1000})"')
_SHARD = re.compile(r"[0-9a-f]{64}")
_INDEX = "index.json"
_SHARD_LIMIT = 256 * 1024 * 1024


def audit_script(subject: Subject, page: str) -> Iterator[Finding]:
    """Check that script and style are those of the page; pages of earlier agents have no script."""
    match = _SCRIPT.search(page)
    if match is not None:
        yield Named(match[1], base64.b64decode(match[2]).hex(), None, LANDING_PAGE)
        found: list[Finding] = []
        content = read_pointer(subject, LISTING_STYLE, found)
        if content is not None:
            # It is the style that stands in the page.
            style = page.partition("<style>")[2].partition("</style>")[0]
            found += check_bytes(LISTING_STYLE, content, style.encode())
        yield from found


def find_lost_lists(subject: Subject, page: str) -> Iterator[Finding]:
    """Find the lists that the page searches and that have no index; pages of earlier agents search none."""
    for match in _SEARCHED.finditer(page):
        path = unescape(match[1])
        try:
            is_there = is_plain(path) and _has_index(subject, path)
        except OSError as error:
            # One of its directories is closed to this user, or its name is longer than any file's.
            yield Fault(path, f"can't be looked at: {explain_os_error(error)}")
            continue
        if not is_there:
            yield Fault(path, f"is missing, though {LANDING_PAGE} searches it")


def audit_list(subject: Subject, directory: str) -> Iterator[Finding]:
    """Audit the list of a repository, if it has an index; trees of earlier agents have none.

    Args:
        subject: The tree under audit.
        directory: The repository's directory.
    """
    here = f"{directory}/{PACKAGE_LIST}"
    path = f"{here}/{_INDEX}"
    # Shards come before their index and stay after it; a page that searches a list without index is found by itself.
    # Where the directory is closed, reading the index says so.
    with suppress(OSError):
        if not _has_index(subject, here):
            return
    found: list[Finding] = []
    content = read_pointer(subject, path, found)
    index = parse_json(path, content, found)
    if content is not None and index is not None:
        rows = _read_shards(index)
        if rows is None:
            found.append(Fault(path, "is not a list of shards"))
        else:
            found += check_bytes(path, content, json.dumps(index, separators=(",", ":")).encode() + b"\n")
            for first, sha256, size, packages in rows:
                shard = f"{here}/{sha256}.json"
                read = partial(_look_at_shard, first, packages)
                found.append(Named(shard, sha256, size, path, read=read))
    yield from found


def _has_index(subject: Subject, path: str) -> bool:
    """Return whether a list has its index; raises OSError if it can't be looked at."""
    try:
        (subject.top / path / _INDEX).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _read_shards(index: Any) -> Sequence[tuple[str, str, int, int]] | None:
    """Read the index; None if it is not one."""
    match index:
        case {"packages": int(packages), "shards": list(rows)} if len(index) == 2:
            shards = []
            for row in rows:
                match row:
                    case [str(first), str(sha256), int(size), int(count)] if _SHARD.fullmatch(sha256):
                        shards.append((first, sha256, size, count))
                    case _:
                        return None
            in_order = all(one[0] < other[0] for one, other in pairwise(shards))
            return shards if in_order and sum(shard[3] for shard in shards) == packages else None
    return None


def _look_at_shard(first: str, packages: int, file: BinaryIO) -> str | None:
    """Check a shard whose bytes are those that the index names; return what is wrong, or None."""
    file.seek(0)
    try:
        shard = json.loads(file.read(_SHARD_LIMIT))
    except (OSError, ValueError, RecursionError):
        return "is not JSON that can be read"
    match shard:
        case {"packages": list(rows)} if len(shard) == 1 and len(rows) == packages and all(map(_is_package, rows)):
            return None if is_plain(first) else f"begins with {first[:100]!r}, which is not a package"
    return f"does not list the {count_of(packages, 'package')} that its index says"


def _is_package(row: Any) -> bool:
    match row:
        case [str(), list(versions)]:
            return all(
                isinstance(version, list) and len(version) == 3 and all(isinstance(text, str) for text in version)
                for version in versions
            )
    return False
