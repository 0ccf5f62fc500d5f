"""Audits a yum repository as dnf and zypper do: signature → repomd.xml → metadata → packages and their signatures.

The audit only reads the repository, and runs gpgv to verify signatures.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from packrat_agent.verify.armor import find_armor_fault
from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    check_detached,
    check_name,
    is_plain,
    read_index,
    read_pointer,
)
from packrat_agent.verify.recognize import find_versions
from packrat_agent.verify.repodata import Metadata, Package, read_packages, read_repomd
from packrat_agent.verify.rpm_signatures import find_wrong_signature
from packrat_agent.verify.rpms import find_wrong_rpm
from packrat_agent.verify.signatures import Keyring, read_keys
from packrat_agent.verify.withdrawn import is_withdrawn_version
from packrat_agent.verify.yum_addresses import audit_addresses
from packrat_agent.verify.yum_spelling import (
    AS_UPLOADED,
    read_content_tags,
    read_repository,
    read_revision,
    spell_repomd,
)

_KINDS = ("primary", "filelists", "other")


def audit_yum(subject: Subject, directory: str) -> Iterator[Finding]:
    """Audit each distribution version that was not withdrawn."""
    for place in find_versions(subject, directory):
        if not is_withdrawn_version(subject.top, place):
            yield from _audit_version(subject, place)


def _audit_version(subject: Subject, place: str) -> Iterator[Finding]:
    path = f"{place}/repodata/repomd.xml"
    found: list[Finding] = []
    repomd = read_pointer(subject, path, found)
    if repomd is None:
        yield from found
        return
    found += check_signature(subject, place, repomd)
    listed: Mapping[str, Metadata] = {}
    try:
        listed = read_repomd(repomd)
    except ValueError as error:
        found.append(Fault(path, str(error)))
    if listed:
        found += _check_repomd(subject, path, repomd, listed)
    for kind in _KINDS:
        if listed and kind not in listed:
            found.append(Fault(path, f"does not name {kind}"))
    # Continue with the usable part, so that one audit reports as many faults as possible.
    usable = {kind: file for kind, file in listed.items() if is_plain(file.href) and file.href.startswith("repodata/")}
    for kind in listed.keys() - usable.keys():
        found.append(Fault(path, f"names a file of {kind[:40]} outside repodata: {listed[kind].href[:100]!r}"))
    files = [Named(f"{place}/{file.href}", file.sha256, file.size, path) for file in usable.values()]
    packages = _read_metadata(subject, place, usable, found)
    yield from found
    yield from files
    are_signed = AS_UPLOADED not in read_content_tags(repomd)
    yield from _name_packages(subject, place, packages, subject.package_keyring if are_signed else None)
    directories = {package.href.partition("/")[0] for package in packages if "/" in package.href}
    generation = yield from audit_addresses(subject, place, repomd, usable.values(), directories)
    if generation is not None:
        # The generation has the same repomd.xml, next to a signature and key of its own.
        yield from check_signature(subject, generation, repomd)


def _check_repomd(subject: Subject, path: str, content: bytes, listed: Mapping[str, Metadata]) -> Iterator[Finding]:
    """Compare every byte of repomd.xml with what it should be; only revision and description are free.

    Args:
        subject: The tree under audit.
        path: Path of repomd.xml.
        content: Its content.
        listed: The metadata files by kind, as parsed from it.
    """
    repository = read_repository(content)
    wanted = spell_repomd(listed, read_revision(content), read_content_tags(content), repository)
    yield from check_bytes(path, content, wanted)
    yield from check_name(subject, path, repository)


def check_signature(subject: Subject, directory: str, repomd: bytes) -> Iterator[Finding]:
    """Check the signature next to a repomd.xml, and the key next to that.

    Args:
        subject: The tree under audit.
        directory: Directory of the distribution version.
        repomd: Content of its repomd.xml.
    """
    path = f"{directory}/repodata/repomd.xml"
    yield from check_detached(subject, path, repomd, f"{path}.asc")
    if subject.keyring is None:
        return
    found: list[Finding] = []
    key = read_pointer(subject, f"{path}.key", found)
    yield from found
    try:
        # Some clients verify with the key in this file, so the signature must also verify with that key.
        signature = read_index(subject.top, f"{path}.asc")
        wrong = Keyring(read_keys(key)).verify(repomd, signature) if key is not None else None
        # gpgv ignores the key's own checksums and signatures; clients that import the key check them.
        if wrong is None and key is not None:
            wrong = find_armor_fault(key)
    except OSError:
        # Reported when the signature is checked.
        return
    except ValueError as error:
        wrong = str(error)
    if wrong is not None:
        yield Fault(f"{path}.key", f"does not fit the signature: {wrong}")


def _read_metadata(subject: Subject, place: str, listed: Mapping[str, Metadata], found: list[Finding]) -> list[Package]:
    """Read the metadata files as far as possible, and compare their packages.

    Args:
        subject: The tree under audit.
        place: Directory of the distribution version.
        listed: The metadata files by kind.
        found: Findings are appended to it.

    Returns:
        The packages of primary; none if it can't be read.
    """
    packages: dict[str, list[Package]] = {}
    for kind in _KINDS:
        metadata = listed.get(kind)
        try:
            packed = read_index(subject.top, f"{place}/{metadata.href}") if metadata is not None else b""
        except OSError:
            # Reported when the file's hash is checked, as is a wrong hash below.
            continue
        if metadata is None or hashlib.sha256(packed).hexdigest() != metadata.sha256:
            continue
        try:
            packages[kind] = read_packages(kind, packed, metadata)
        except ValueError as error:
            found.append(Fault(f"{place}/{metadata.href}", str(error)))
    primary = packages.pop("primary", None)
    for kind, others in packages.items():
        if primary is not None and [package.sha256 for package in others] != [package.sha256 for package in primary]:
            found.append(Fault(f"{place}/{listed[kind].href}", "lists other packages than primary"))
    return primary or []


def _name_packages(subject: Subject, place: str, packages: list[Package], keyring: Keyring | None) -> Iterator[Finding]:
    """Name each package.

    Args:
        subject: The tree under audit.
        place: Directory of the distribution version.
        packages: The packages of primary.
        keyring: The keys to verify the packages' signatures with; None if they need not have one.
    """
    path = f"{place}/repodata/repomd.xml"
    for package in packages:
        if not is_plain(package.href):
            yield Fault(path, f"leads to a package outside the repository: {package.href[:200]!r}")
            continue
        file = f"{place}/{package.href}"
        look = partial(_look_at, subject.top / file, package, keyring)
        yield Named(file, package.sha256, package.size, f"primary of {path}", look)


def _look_at(path: Path, package: Package, keyring: Keyring | None) -> str | None:
    wrong = find_wrong_rpm(path, package)
    return find_wrong_signature(keyring, path) if wrong is None and keyring is not None else wrong
