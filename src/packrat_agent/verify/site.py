"""Audits the files at the top of a mirror: the landing page and its links, and the public key in both forms."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import unescape
from itertools import zip_longest
from pathlib import Path
from urllib.parse import unquote

from packrat_agent.verify.armor import find_armor_fault
from packrat_agent.verify.findings import Fault, Finding, Subject, is_plain, read_index, read_pointer
from packrat_agent.verify.names import KEY_ARMORED, KEY_BINARY, LANDING_PAGE
from packrat_agent.verify.package_lists import audit_script, find_lost_lists
from packrat_agent.verify.signatures import read_keys
from packrat_agent.verify.withdrawn import is_withdrawn_suite, is_withdrawn_version

_PAGE_LIMIT = 16 * 1024 * 1024
_REPOSITORY = re.compile(
    r'<h2><a href="([^"<>\n]{1,4096})/">[^<>\n]{0,4096}</a> <span class="kind">(\w{1,20})</span></h2>'
)
_SUITES = re.compile(r"^case &#x27;([^\n]{0,65536}) &#x27; in$", re.MULTILINE)
_OLD_SUITE = re.compile(r"echo &quot;deb \[[^\]\n]*\] (\S+) ([^\s$]+) main&quot;")
"""Pages of earlier agents have a line for each suite."""
_REPO_FILE = re.compile(r"curl -fsSL \S+?://[^/\s]+/(\S+)\.repo(?:&#x27;)? ")


def read_offered(top: Path) -> frozenset[str] | None:
    """List the directories of the repositories that the landing page leads to; None if it is not a page of ours."""
    try:
        page = read_index(top, LANDING_PAGE)[:_PAGE_LIMIT].decode("utf-8", "replace")
    except OSError:
        return None
    return frozenset(unescape(head[1]) for head in _REPOSITORY.finditer(page)) or None


def audit_site(subject: Subject, repositories: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Audit those files that exist: a copy of single repositories has none of them, and an unsigned mirror no key.

    Args:
        subject: The tree under audit.
        repositories: (type, directory) of each repository found in the tree.
    """
    found: list[Finding] = []
    there = [name for name in (LANDING_PAGE, KEY_ARMORED, KEY_BINARY) if os.path.lexists(subject.top / name)]
    contents = {name: read_pointer(subject, name, found) for name in there}
    yield from found
    yield from _audit_page(subject, contents.get(LANDING_PAGE), repositories)
    # Clients of different kinds use different forms of the key, so either both exist or none.
    keys = [name for name in there if name != LANDING_PAGE]
    if len(keys) == 1:
        other = next(name for name in (KEY_ARMORED, KEY_BINARY) if name not in keys)
        yield Fault(other, f"is missing, though {keys[0]} is there")
    armored, binary = contents.get(KEY_ARMORED), contents.get(KEY_BINARY)
    if armored is None or binary is None:
        return
    try:
        # Behind the keys of the other form there may be those of which only packages have signatures.
        if not read_keys(armored).startswith(binary):
            yield Fault(KEY_ARMORED, f"is another key than {KEY_BINARY}")
        elif (wrong := find_armor_fault(armored)) is not None:
            yield Fault(KEY_ARMORED, wrong)
    except ValueError as error:
        yield Fault(KEY_ARMORED, str(error))


def _audit_page(subject: Subject, content: bytes | None, repositories: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Check that the targets of the landing page exist; a page written by the operator has no links to recognize.

    Args:
        subject: The tree under audit.
        content: Content of the page; None if there is none.
        repositories: (type, directory) of each repository found in the tree.
    """
    page = (content or b"")[:_PAGE_LIMIT].decode("utf-8", "replace")
    yield from audit_script(subject, page)
    yield from find_lost_lists(subject, page)
    heads = list(_REPOSITORY.finditer(page))
    for head, following in zip_longest(heads, heads[1:]):
        directory, kind = unescape(head[1]), head[2]
        if (kind, directory) not in repositories:
            yield Fault(directory, f"is not a repository of type {kind}, though {LANDING_PAGE} leads to one")
            continue
        # The instructions for a repository end where the heading of the next one begins.
        lines = page[head.end() : following.start() if following is not None else len(page)]
        for part in _parts(kind, directory, lines):
            if not is_plain(part) or not _is_offered(subject.top, kind, part):
                yield Fault(part, f"is missing, though {LANDING_PAGE} leads to it")


def _parts(kind: str, directory: str, lines: str) -> list[str]:
    """Return the directories of the suites or distribution versions that the page gives instructions for.

    Args:
        kind: Type of the repository.
        directory: Its directory.
        lines: The part of the page about it.
    """
    if kind == "apt":
        suites = [suite for match in _SUITES.finditer(lines) for suite in match[1].split()]
        suites += [match[2] for match in _OLD_SUITE.finditer(lines)]
        return [f"{directory}/dists/{unescape(suite)}" for suite in dict.fromkeys(suites)]
    if kind == "yum":
        # The mirror's URL may have a path of its own, so count components from the end of the address: those of the
        # repository, then distribution, component, version and file name.
        depth = directory.count("/") + 5
        paths = [unquote(unescape(match[1])).split("/")[-depth:-1] for match in _REPO_FILE.finditer(lines)]
        return ["/".join(path) for path in paths if "/".join(path).startswith(f"{directory}/")]
    return []


def _is_offered(top: Path, kind: str, part: str) -> bool:
    """Return whether a suite or distribution version is there and was not withdrawn.

    Args:
        top: Top of the tree.
        kind: Type of the repository.
        part: Directory of the suite or distribution version.
    """
    with suppress(OSError):
        if stat.S_ISDIR((top / part).lstat().st_mode):
            return not (is_withdrawn_suite if kind == "apt" else is_withdrawn_version)(top, part)
    return False
