"""Audits how clients find a yum repository: its .repo file, mirrorlist and metalink, and the generation they name.

The audit only reads the repository.
"""

import configparser
import hashlib
import os
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    is_plain,
    read_index,
    read_pointer,
)
from packrat_agent.verify.repodata import Metadata, read_metalink
from packrat_agent.verify.yum_spelling import (
    AS_UPLOADED,
    Checks,
    read_content_tags,
    read_revision,
    spell_metalink,
    spell_repo_file,
)

_REPOMD = "repodata/repomd.xml"


def audit_addresses(
    subject: Subject, place: str, repomd: bytes, files: Iterable[Metadata], directories: Collection[str]
) -> Generator[Finding, None, str | None]:
    """Audit how clients find a distribution version.

    Args:
        subject: The tree under audit.
        place: Directory of the distribution version.
        repomd: Content of its repomd.xml.
        files: The metadata files that repomd.xml lists.
        directories: Directories of the packages, which a generation has links to.

    Returns:
        The directory of the generation that mirrorlist and metalink name; None if there is none.
    """
    found: list[Finding] = []
    base = _audit_repo_files(subject, place, _promised_checks(subject, repomd), found)
    lists = (f"{place}/mirrorlist", f"{place}/metalink")
    # A repository whose .repo file uses baseurl has no generations.
    if base is None and not any(os.path.lexists(subject.top / path) for path in lists):
        yield from found
        return None
    name = _find_generation(subject, lists, repomd, found)
    if name is None:
        yield from found
        return None
    generation = f"{place}/generations/{name}"
    if base is not None:
        found += _check_lists(subject, lists, f"{base}/generations/{name}", repomd)
    digest = hashlib.sha256(repomd).hexdigest()
    found.append(Named(f"{generation}/{_REPOMD}", digest, len(repomd), lists[0]))
    for file in files:
        found.append(Named(f"{generation}/{file.href}", file.sha256, file.size, f"{generation}/{_REPOMD}"))
    for name in sorted(directories):
        link = subject.top / generation / name
        if not link.is_symlink() or link.resolve() != (subject.top / place / name).resolve():
            found.append(Fault(f"{generation}/{name}", "does not lead to the packages"))
    yield from found
    return generation


def _find_generation(subject: Subject, lists: tuple[str, str], repomd: bytes, found: list[Finding]) -> str | None:
    """Find the generation that both lists name, since a client may use either.

    Args:
        subject: The tree under audit.
        lists: Paths of mirrorlist and metalink.
        repomd: Content of repomd.xml.
        found: Findings are appended to it.

    Returns:
        The name of its directory; None if they name none, or two.
    """
    read = (_read_mirrorlist(subject, lists[0], found), _read_metalink(subject, lists[1], repomd, found))
    named = {name for name in read if name is not None}
    if len(named) == 1 and is_plain(name := next(iter(named))) and "/" not in name:
        return name
    if named:
        found.append(Fault(lists[0], f"mirrorlist and metalink name no generation, or two: {sorted(named)}"[:300]))
    return None


def _check_lists(subject: Subject, lists: tuple[str, str], url: str, repomd: bytes) -> Iterator[Finding]:
    """Compare every byte of mirrorlist and metalink with what it should be.

    Args:
        subject: The tree under audit.
        lists: Paths of mirrorlist and metalink.
        url: URL of the generation.
        repomd: Content of repomd.xml.
    """
    wanted = (f"{url}/\n".encode(), spell_metalink(f"{url}/{_REPOMD}", repomd, read_revision(repomd)))
    for path, text in zip(lists, wanted, strict=True):
        # An unreadable file was reported when its address was read.
        with suppress(OSError):
            yield from check_bytes(path, read_index(subject.top, path), text)


def _promised_checks(subject: Subject, repomd: bytes) -> Checks:
    is_signed = subject.keyring is not None
    are_signed = is_signed and AS_UPLOADED not in read_content_tags(repomd)
    return Checks(is_signed, are_signed, subject.key_path)


def _audit_repo_files(subject: Subject, place: str, checks: Checks, found: list[Finding]) -> str | None:
    """Audit the .repo files.

    Args:
        subject: The tree under audit.
        place: Directory of the distribution version.
        checks: What the files should tell clients to verify.
        found: Findings are appended to it.

    Returns:
        The URL of `place` if a .repo file refers to its mirrorlist, else None.
    """
    names = sorted(path.name for path in (subject.top / place).glob("*.repo"))
    if not names:
        found.append(Fault(place, "has no .repo file"))
    base = None
    for name in names:
        path = f"{place}/{name}"
        content = read_pointer(subject, path, found)
        if content is None:
            # Why is among the findings.
            continue
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(content.decode())
        except (configparser.Error, UnicodeDecodeError):
            found.append(Fault(path, "is not a .repo file"))
            continue
        if not parser.sections():
            found.append(Fault(path, "has no repository in it"))
        for section in parser.sections():
            values = parser[section]
            if "mirrorlist" in values:
                base = values["mirrorlist"].removesuffix("/mirrorlist")
            found += _audit_repo_section(path, place, values, checks)
            wanted = spell_repo_file(
                name.removesuffix(".repo"),
                values.get("name", ""),
                *_addresses(values, place),
                checks,
                has_hotfixes="module_hotfixes" in values,
            )
            found += check_bytes(path, content, wanted)
    return base


def _audit_repo_section(path: str, place: str, values: Mapping[str, str], checks: Checks) -> Iterator[Fault]:
    """Check where a section of a .repo file leads, and what it has clients verify.

    Args:
        path: Path of the .repo file.
        place: Directory of the distribution version.
        values: The section.
        checks: What it should tell clients to verify.
    """
    # The host is unknown here, so compare only the ends of the addresses.
    ends = {"mirrorlist": f"{place}/mirrorlist", "baseurl": place}
    if not any(_is_address(values.get(key, ""), end) for key, end in ends.items()):
        yield Fault(path, f"does not lead to {place}")
    wanted_checks = str(int(checks.packages)), str(int(checks.metadata))
    if (values.get("gpgcheck"), values.get("repo_gpgcheck")) != wanted_checks:
        yield Fault(path, f"has other values than {' and '.join(wanted_checks)} for gpgcheck and repo_gpgcheck")


def _addresses(values: Mapping[str, str], place: str) -> tuple[list[str], str]:
    """Return the lines of a .repo file that locate the repository, and the URL of the mirror's top."""
    if "mirrorlist" in values:
        base = values["mirrorlist"].removesuffix("/mirrorlist")
        lines = [f"mirrorlist={base}/mirrorlist", f"#metalink={base}/metalink", f"#baseurl={base}/"]
    else:
        base = values.get("baseurl", "").removesuffix("/")
        lines = [f"baseurl={base}/"]
    return lines, base.removesuffix(f"/{quote(place)}")


def _read_mirrorlist(subject: Subject, path: str, found: list[Finding]) -> str | None:
    content = read_pointer(subject, path, found)
    if content is None:
        return None
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line and not line.startswith("#")]
    place = path.rpartition("/")[0]
    if len(lines) != 1 or (name := _generation(lines[0].removesuffix("/"), place)) is None:
        found.append(Fault(path, f"does not hold the address of one generation of {place}"))
        return None
    return name


def _read_metalink(subject: Subject, path: str, repomd: bytes, found: list[Finding]) -> str | None:
    content = read_pointer(subject, path, found)
    if content is None:
        return None
    try:
        metalink = read_metalink(content)
    except ValueError as error:
        found.append(Fault(path, str(error)))
        return None
    if (metalink.sha256, metalink.size) != (hashlib.sha256(repomd).hexdigest(), len(repomd)):
        found.append(Fault(path, "names another repomd.xml than the one that is published"))
    place = path.rpartition("/")[0]
    names = {
        _generation(url.removesuffix(f"/{_REPOMD}"), place) if url.endswith(f"/{_REPOMD}") else None
        for url in metalink.urls
    }
    # A metalink may have several URLs, but all must lead to one generation.
    name = names.pop()
    if name is None or names:
        found.append(Fault(path, f"does not hold the address of one generation of {place}"))
        return None
    return name


def _generation(url: str, place: str) -> str | None:
    """Return the name of the generation of `place` that a URL points to; None if it points elsewhere."""
    path = _path(url)
    before, _, name = path.rpartition("/")
    return name if f"/{before}".endswith(f"/{place}/generations") else None


def _is_address(url: str, path: str) -> bool:
    return f"/{_path(url)}".rstrip("/").endswith(f"/{path}")


def _path(url: str) -> str:
    try:
        return unquote(urlsplit(url).path)
    except ValueError:
        return ""
