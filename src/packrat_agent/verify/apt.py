"""Audits an apt repository in the order in which apt reads it: signatures → Release → indexes → packages.

The audit only reads the repository, and runs gpgv to verify signatures.
"""

import gzip
import hashlib
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from packrat_agent.verify.debs import find_wrong_deb
from packrat_agent.verify.findings import (
    DATED_AHEAD,
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    check_clear_signed,
    check_detached,
    check_name,
    explain_os_error,
    pointer,
    read_index,
)
from packrat_agent.verify.signatures import suffices_for_apt
from packrat_agent.verify.withdrawn import is_withdrawn_suite
from packrat_core.errors import Refused
from packrat_core.packages.deb.relations import check_fields, check_stanza_size

_FORMS_AT_ONCE = 2
"""Compressed forms of an index that are unpacked, and held, at the same time."""
_FIELD = re.compile(rb"^([A-Z][A-Za-z-]*): *(.*)$", re.MULTILINE)
_PACKAGES = re.compile(r"/binary-([^/]+)/Packages$")
_FIELDS = (
    *("Origin", "Label", "Suite", "Codename", "Date", "Valid-Until", "Architectures", "Components", "Description"),
    *("Acquire-By-Hash", "Repository"),
)
"""The fields of Release that precede SHA256, in order."""

_OPTIONAL = frozenset({"Date", "Valid-Until", "Repository"})

_TOLERATED = timedelta(seconds=10)
"""How far Date may be ahead. Source: apt.conf(5), Acquire::Max-FutureTime."""

_DATES = frozenset({"Date", "Valid-Until"})
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_IDENTITY = (b"Package", b"Version", b"Architecture")
_FACTS = frozenset({b"Filename", b"Size", b"SHA256", *_IDENTITY})
_STANZA_FIELD = re.compile(rb"^(([!-9;-~]+):.*(?:\n[ \t].*)*)", re.MULTILINE)
_SIZE = re.compile(rb"[0-9]{1,15}")
_LISTED = re.compile(rb"^ ([0-9a-f]{64}) +(\d{1,15}) (\S+)$")


def audit_apt(subject: Subject, directory: str) -> Iterator[Finding]:
    """Audit each suite that was not withdrawn."""
    for path in sorted((subject.top / directory / "dists").iterdir()):
        suite = f"{directory}/dists/{path.name}"
        if not path.is_symlink() and path.is_dir() and not is_withdrawn_suite(subject.top, suite):
            yield from _audit_suite(subject, directory, suite)


def _audit_suite(subject: Subject, directory: str, suite: str) -> Iterator[Finding]:
    try:
        release = read_index(subject.top, f"{suite}/Release")
    except OSError as error:
        yield Fault(f"{suite}/Release", f"can't be read: {explain_os_error(error)}")
        return
    yield pointer(f"{suite}/Release", release)
    yield from _audit_signatures(subject, suite, release)
    listed = _listed(release)
    if not listed:
        yield Fault(f"{suite}/Release", "lists no index")
    yield from _audit_architectures(f"{suite}/Release", release, listed)
    yield from _audit_fields(subject, suite, release, listed)
    # Clients fetch an index by its name or by its hash, so both paths must hold it. The plain form of a compressed one
    # need not stand on disk; that of an earlier version of the agent stays for a while.
    for name, (sha256, size) in listed.items():
        if name.endswith("/Packages") and _compressed(name, listed):
            continue
        path = f"{suite}/{name}"
        yield Named(path, sha256, size, f"{suite}/Release")
        yield Named(f"{path.rpartition('/')[0]}/by-hash/SHA256/{sha256}", sha256, size, f"{suite}/Release")
    for name, (sha256, _) in listed.items():
        if name.endswith("/Packages"):
            forms = [f"{suite}/{form}" for form in _compressed(name, listed)]
            yield from _audit_index(subject, directory, f"{suite}/{name}", sha256, forms)


def _compressed(name: str, listed: Iterable[str]) -> list[str]:
    """Give the compressed forms of an index that Release lists."""
    return [f"{name}{end}" for end in (".xz", ".gz") if f"{name}{end}" in listed]


def _audit_signatures(subject: Subject, suite: str, release: bytes) -> Iterator[Finding]:
    path, inside = f"{suite}/Release", f"{suite}/InRelease"
    yield from check_detached(subject, path, release, f"{path}.gpg", suffices_for_apt)
    for finding in check_clear_signed(subject, path, release, inside, suffices_for_apt):
        if isinstance(finding, Named) and finding.size is not None:
            sha256 = finding.sha256
            yield Named(f"{suite}/by-hash/SHA256/{sha256}", sha256, finding.size, inside)
        yield finding


def _listed(release: bytes) -> Mapping[str, tuple[str, int]]:
    """Return path → (SHA-256, size) of each index that Release lists."""
    found: dict[str, tuple[str, int]] = {}
    inside = False
    for line in release.split(b"\n"):
        if not line.startswith(b" "):
            inside = line.startswith(b"SHA256:")
        elif inside and (match := _LISTED.match(line)) and b".." not in match[3]:
            found[match[3].decode("utf-8", "replace")] = (match[1].decode(), int(match[2]))
    return found


def _audit_architectures(path: str, release: bytes, listed: Iterable[str]) -> Iterator[Finding]:
    """Check that Architectures names all indexes, also that for `all`: apt ignores an index that it does not name.

    Args:
        path: Path of Release.
        release: Its content.
        listed: Names of the indexes that it lists.
    """
    fields = dict(_FIELD.findall(release))
    named = set(fields.get(b"Architectures", b"").decode("utf-8", "replace").split())
    indexed = {match[1] for name in listed if (match := _PACKAGES.search(name))}
    for architecture in sorted(named - indexed):
        yield Fault(path, f"names the architecture {architecture}, but lists no index for it")
    for architecture in sorted(indexed - named):
        yield Fault(path, f"lists an index for the architecture {architecture}, but does not name it")
    if "all" in named and b"No-Support-for-Architecture-all" in fields:
        yield Fault(path, "tells clients to pass over the index for the architecture all")


def _audit_fields(
    subject: Subject, suite: str, release: bytes, listed: Mapping[str, tuple[str, int]]
) -> Iterator[Fault]:
    """Compare every byte of Release with what it should be.

    Only Date, Valid-Until and Description are free; if the Release is signed, the signature covers them.

    Args:
        subject: The tree under audit.
        suite: Directory of the suite.
        release: Content of its Release.
        listed: Path → (SHA-256, size) of each index that Release lists.
    """
    path, name = f"{suite}/Release", suite.rpartition("/")[2]
    fields = {key.decode(): value.decode("utf-8", "replace") for key, value in _FIELD.findall(release)}
    yield from _audit_dates(subject, path, fields)
    yield from check_name(subject, path, fields.get("Repository"), fields.get("Label", ""))
    known = {"Suite": name, "Codename": name, "Components": "main", "Acquire-By-Hash": "yes"}
    lines = [
        f"{key}: {known.get(key, fields.get(key, ''))}" for key in _FIELDS if key in fields or key not in _OPTIONAL
    ]
    lines += ["SHA256:", *(f" {listed[name][0]} {listed[name][1]:>16} {name}" for name in sorted(listed))]
    yield from check_bytes(path, release, ("\n".join(lines) + "\n").encode())
    for name in listed:
        if name.endswith("/Release"):
            with suppress(OSError):
                # An unreadable file is reported when its hash is checked.
                beside = dict(_FIELD.findall(read_index(subject.top, f"{suite}/{name}")))
                for key in ("Origin", "Label"):
                    if beside.get(key.encode(), b"").decode("utf-8", "replace") != fields.get(key):
                        yield Fault(path, f"has another {key} than {name}")


def _audit_dates(subject: Subject, path: str, fields: Mapping[str, str]) -> Iterator[Fault]:
    """Check the dates of a Release as apt does.

    Args:
        subject: The tree under audit.
        path: Path of the Release.
        fields: Its fields.
    """
    for key in _DATES & fields.keys():
        try:
            date = datetime.strptime(fields[key], "%a, %d %b %Y %H:%M:%S UTC")
        except ValueError:
            yield Fault(path, f"has a {key} that is not a date: {fields[key][:60]!r}")
            continue
        # strptime accepts any day of the week.
        if fields[key][:3] != _DAYS[date.weekday()]:
            yield Fault(path, f"has a {key} with the wrong day of the week: {fields[key][:60]!r}")
        elif key == "Date" and date.replace(tzinfo=UTC) - subject.now > _TOLERATED:
            yield Fault(path, f"{DATED_AHEAD}, and apt refuses it until {fields[key]}")
        elif key == "Valid-Until" and date.replace(tzinfo=UTC) < subject.now and _is_offered(subject, path):
            yield Fault(
                path, f"was valid until {fields[key]}, and apt refuses it now; its agent renews it while it runs"
            )


def _is_offered(subject: Subject, path: str) -> bool:
    """Return whether the repository of a Release is still offered; what was taken off the mirror is not renewed."""
    return subject.offered is None or path.rpartition("/dists/")[0] in subject.offered


def _audit_index(subject: Subject, directory: str, path: str, sha256: str, forms: Sequence[str]) -> Iterator[Finding]:
    """Audit the packages of an index, and compare its compressed forms with what Release says of the plain one.

    Args:
        subject: The tree under audit.
        directory: Directory of the repository.
        path: Path of the plain index.
        sha256: SHA-256 of the plain index.
        forms: Paths of its compressed forms; without any, the plain one is read.
    """
    places = forms or [path]
    is_audited = False
    # While one form is unpacked, another one is audited.
    with ThreadPoolExecutor(min(len(places), _FORMS_AT_ONCE)) as threads:
        unpacking = {threads.submit(_read_unpacked, subject, place): place for place in places}
        for done in as_completed(unpacking):
            # Drop each reference as soon as possible: an index may be large.
            unpacked, place = done.result(), unpacking.pop(done)
            del done
            # What can't be read has another hash, which is reported when that is checked.
            if unpacked is None:
                continue
            if hashlib.sha256(unpacked).hexdigest() != sha256:
                # Auditing a damaged index would only report consequences of the damage.
                if forms:
                    yield Fault(place, "does not unpack to the plain index")
            elif not is_audited:
                is_audited = True
                yield from _audit_packages(directory, path, unpacked)
            del unpacked


def _audit_packages(directory: str, path: str, text: bytes) -> Iterator[Finding]:
    """Audit the stanzas of an index.

    Args:
        directory: Directory of the repository.
        path: Path of the plain index.
        text: Its content.
    """
    for stanza in text.split(b"\n\n"):
        if not stanza or stanza.isspace():
            continue
        found: list[tuple[bytes, bytes]] = _STANZA_FIELD.findall(stanza)
        fields = read_facts(found)
        wrong = _find_refused(stanza, found)
        if wrong is not None:
            shown = stanza.partition(b"\n")[0][:60].decode("utf-8", "replace")
            yield Fault(path, f"has a stanza that apt can't read, {shown!r}: {wrong}")
        name = fields.get(b"Filename", b"").decode("utf-8", "replace")
        size = fields.get(b"Size", b"")
        if not name or name.startswith("/") or ".." in name.split("/") or not _SIZE.fullmatch(size):
            yield Fault(path, f"names a package without a usable Filename and Size: {name or stanza[:60]!r}")
            continue
        digest = fields.get(b"SHA256", b"").decode("ascii", "replace")
        named = {
            key.decode(): (fields.get(key) or _as_apt_reads(found, key)).decode(errors="replace") for key in _IDENTITY
        }
        yield Named(f"{directory}/{name}", digest, int(size), path, read=partial(find_wrong_deb, named))


def read_facts(found: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the facts that the audit needs of a stanza, by their names, given (lines, name) of each of its fields."""
    facts: dict[bytes, bytes] = {}
    for lines, name in found:
        if name in _FACTS:
            colon, _, value = lines[len(name) :].partition(b"\n")[0].partition(b" ")
            if value and colon == b":":
                facts[name] = value
    return facts


def _as_apt_reads(found: Iterable[tuple[bytes, bytes]], key: bytes) -> bytes:
    """Return the value of a field in other letters or with other spaces: earlier versions published it as packaged."""
    same = (lines for lines, name in found if name.lower() == key.lower())
    return next(same, b"").partition(b"\n")[0].partition(b":")[2].strip(b" \t\r")


def _find_refused(stanza: bytes, found: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return why apt would refuse the whole index because of a stanza, or None.

    Args:
        stanza: The stanza.
        found: (lines, name) of each of its fields.
    """
    fields = {name.lower(): lines for lines, name in found}
    if len(fields) < len(found):
        names = [name.lower() for _, name in found]
        twice = next(name for number, (_, name) in enumerate(found) if name.lower() in names[:number])
        return f"it has the field {twice.decode('ascii', 'replace')} twice"
    try:
        check_fields(fields)
        check_stanza_size(len(stanza) + len(b"\n\n"))
    except Refused as error:
        return str(error)
    return None


def _read_unpacked(subject: Subject, path: str) -> bytes | None:
    try:
        content = read_index(subject.top, path)
        if path.endswith(".xz"):
            return lzma.decompress(content)
        return gzip.decompress(content) if path.endswith(".gz") else content
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return None
