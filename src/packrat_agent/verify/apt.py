"""Audits an apt repository as apt does: signatures → Release → indexes → packages.

Takes: a Subject, the repository's directory.
Gives: findings.
Touches: the repository, reading only; gpgv.
"""

import gzip
import hashlib
import lzma
import os
import re
import zlib
from collections.abc import Iterator, Mapping

from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_detached,
    pointer,
    read_index,
    read_pointer,
    told,
)

_LISTED = re.compile(rb"^ ([0-9a-f]{64}) +(\d{1,15}) (\S+)$")


def is_apt(subject: Subject, directory: str) -> bool:
    """Say whether a directory holds an apt repository."""
    return (subject.top / directory / "dists").is_dir()


def audit_apt(subject: Subject, directory: str) -> Iterator[Finding]:
    """Audit each suite."""
    for suite in sorted((subject.top / directory / "dists").iterdir()):
        if suite.is_dir() and not suite.is_symlink():
            yield from _audit_suite(subject, directory, f"{directory}/dists/{suite.name}")


def _audit_suite(subject: Subject, directory: str, suite: str) -> Iterator[Finding]:
    try:
        release = read_index(subject.top, f"{suite}/Release")
    except OSError as error:
        yield Fault(f"{suite}/Release", f"can't be read: {told(error)}")
        return
    yield pointer(f"{suite}/Release", release)
    yield from _audit_signatures(subject, suite, release)
    listed = _listed(release)
    if not listed:
        yield Fault(f"{suite}/Release", "lists no index")
    for name, (sha256, size) in listed.items():
        path = f"{suite}/{name}"
        yield Named(path, sha256, size, f"{suite}/Release")
        yield Named(f"{path.rpartition('/')[0]}/by-hash/SHA256/{sha256}", sha256, size, f"{suite}/Release")
    for name, (sha256, _) in listed.items():
        if name.endswith("/Packages"):
            yield from _audit_packages(subject, directory, f"{suite}/{name}", sha256)
        elif name.endswith((".gz", ".xz")):
            yield from _audit_compressed(subject, suite, name, listed)


def _audit_signatures(subject: Subject, suite: str, release: bytes) -> Iterator[Finding]:
    path, inside = f"{suite}/Release", f"{suite}/InRelease"
    yield from check_detached(subject, path, release, f"{path}.gpg")
    if subject.keyring is None:
        if os.path.lexists(subject.top / inside):
            yield Fault(inside, "is signed, but no key is at hand to verify it; give --key")
        return
    found: list[Finding] = []
    text = read_pointer(subject, inside, found)
    yield from found
    if text is None:
        return
    sha256 = hashlib.sha256(text).hexdigest()
    yield Named(f"{suite}/by-hash/SHA256/{sha256}", sha256, len(text), inside)
    wrong = subject.keyring.verify(text, None)
    if wrong is not None:
        yield Fault(inside, wrong)
    if release.strip() not in text.replace(b"\n- ", b"\n"):
        yield Fault(inside, "says something else than Release")


def _listed(release: bytes) -> Mapping[str, tuple[str, int]]:
    """Map path → (SHA-256, size) for what Release lists."""
    found: dict[str, tuple[str, int]] = {}
    inside = False
    for line in release.split(b"\n"):
        if not line.startswith(b" "):
            inside = line.startswith(b"SHA256:")
        elif inside and (match := _LISTED.match(line)) and b".." not in match[3]:
            found[match[3].decode("utf-8", "replace")] = (match[1].decode(), int(match[2]))
    return found


def _audit_packages(subject: Subject, directory: str, path: str, sha256: str) -> Iterator[Finding]:
    try:
        text = read_index(subject.top, path)
    except OSError:
        # Told where its hash is checked.
        return
    if hashlib.sha256(text).hexdigest() != sha256:
        return
    for stanza in text.split(b"\n\n"):
        fields = dict(re.findall(rb"^(Filename|Size|SHA256): (.+)$", stanza, re.MULTILINE))
        if not stanza.strip():
            continue
        name = fields.get(b"Filename", b"").decode("utf-8", "replace")
        size = fields.get(b"Size", b"")
        if not name or name.startswith("/") or ".." in name.split("/") or not size.isdigit():
            yield Fault(path, f"names a package without a usable Filename and Size: {name or stanza[:60]!r}")
            continue
        digest = fields.get(b"SHA256", b"").decode("ascii", "replace")
        yield Named(f"{directory}/{name}", digest, int(size), path)


def _audit_compressed(
    subject: Subject, suite: str, name: str, listed: Mapping[str, tuple[str, int]]
) -> Iterator[Finding]:
    plain = listed.get(name.rpartition(".")[0])
    try:
        packed = read_index(subject.top, f"{suite}/{name}")
        unpacked = gzip.decompress(packed) if name.endswith(".gz") else lzma.decompress(packed)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        # A torn file has another hash, which is told.
        return
    if plain is not None and hashlib.sha256(unpacked).hexdigest() != plain[0]:
        yield Fault(f"{suite}/{name}", "unpacks to something else than the plain index")
