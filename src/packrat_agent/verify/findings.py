"""The findings of an audit: which file is named by which index, and what is wrong.

The functions here read files of a tree without following links, and turn what goes wrong into findings.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from packrat_agent.verify.armor import find_armor_fault, find_signature_fault
from packrat_agent.verify.signatures import Judge, Keyring, is_well_signed
from packrat_core.errors import Refused
from packrat_core.fs.open import read_regular

_REFUSED = "would be refused at upload"
DATED_AHEAD = "is dated ahead of this host's clock"
"""How the fault of a Release begins that apt refuses until its date."""
KEY_ENDED = "verifies nothing any more"
_INDEX_LIMIT = 1024 * 1024 * 1024
_JSON_LIMIT = 256 * 1024 * 1024
_CLEAR_SIGNED = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\n(?:Hash: [A-Z0-9, -]+\n)*\n(?P<signed>.+\n|\n)"
    rb"(?P<signature>-----BEGIN PGP SIGNATURE-----\n.+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Named:
    """One file that an index names.

    Attributes:
        path: Path of the file, relative to the tree's top.
        sha256: Its SHA-256, in hex.
        size: Its size in bytes; None if the index does not say.
        by: The index that names it, for messages.
        look: A further check, called from any thread once the bytes are right; returns what is wrong, or None.
        read: The same, for a check that reads the file: it gets it open, at any position.
        shares: Its checks share something with those of other files, so they are called in this process; others are
            pickled.
    """

    path: str
    sha256: str
    size: int | None
    by: str
    look: Callable[[], str | None] | None = None
    read: Callable[[BinaryIO], str | None] | None = None
    shares: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the file or directory `path`, which is relative to the tree's top."""

    path: str
    what: str

    @property
    def is_for_server(self) -> bool:
        """Whether no sync repairs it: the package is as the server gives it out."""
        return self.what.startswith(_REFUSED)

    @property
    def is_for_key(self) -> bool:
        """Whether a sync can't repair it, nor sign anything, until the key is extended or another one signs."""
        return self.what.startswith(KEY_ENDED)

    @property
    def is_for_clock(self) -> bool:
        """Whether a clock is wrong, or was; no ordinary sync steps back in time."""
        return self.what.startswith(DATED_AHEAD)


@dataclass(frozen=True, slots=True)
class Warned:
    """One thing that is right now and soon will not be, or that `verify` knows of without having found it itself."""

    path: str
    what: str


Finding = Named | Fault | Warned
"""One item of what the audit of a repository yields."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit.

    Attributes:
        repositories: (type, directory) of each repository.
        files: Number of files that an index names.
        bytes: Total size of those that could be read.
        faults: What is wrong, in the order of the paths.
        warnings: What is going to be wrong, or is left out, and no fault of the tree.
        unnamed: Paths of the files that no index names.
    """

    repositories: tuple[tuple[str, str], ...]
    files: int
    bytes: int
    faults: tuple[Fault, ...]
    unnamed: tuple[str, ...]
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """A tree under audit.

    Attributes:
        top: Top of the tree.
        keyring: The keys to verify signatures with; None if no key is known.
        now: The time at which its dates have to be valid.
        offered: The repositories that its landing page leads to; None if it has no page of ours.
        key_path: Where the armored key of the repository under audit is published.
        name: The name of the repository under audit; None if it is not known.
        others: The names of the tree's other repositories.
        package_keyring: The keys to verify signatures of packages with, among them those of former keys.
    """

    top: Path
    keyring: Keyring | None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    offered: frozenset[str] | None = None
    key_path: str = "repo-key"
    name: str | None = None
    others: frozenset[str] = frozenset()
    package_keyring: Keyring | None = None


Auditor = Callable[[Subject, str], Iterator[Finding]]
"""Audits the repository, of one type, in a directory that is relative to the tree's top."""


def read_index(top: Path, path: str, limit: int = _INDEX_LIMIT) -> bytes:
    """Read an index file.

    Args:
        top: Top of the tree.
        path: Path of the file, relative to the top.
        limit: Maximum size in bytes.

    Raises:
        OSError: It is missing, a link, not a regular file, or larger than `limit`.
    """
    return read_regular(top / path, limit)


def read_pointer(subject: Subject, path: str, found: list[Finding]) -> bytes | None:
    """Read a file that nothing else names.

    Args:
        subject: The tree under audit.
        path: Path of the file, relative to the top.
        found: The file is appended to it, or the fault that it can't be read.

    Returns:
        Its content; None if it can't be read.
    """
    try:
        content = read_index(subject.top, path)
    except OSError as error:
        found.append(Fault(path, f"can't be read: {explain_os_error(error)}"))
        return None
    found.append(pointer(path, content))
    return content


def parse_json(path: str, content: bytes | None, found: list[Finding]) -> Any:
    """Parse the content of a JSON file.

    Args:
        path: Path of the file, for messages.
        content: Its content; None if it could not be read, which is reported already.
        found: A fault is appended to it if the content is not JSON.

    Returns:
        The value; None if there is none.
    """
    if content is None:
        return None
    try:
        if len(content) > _JSON_LIMIT:
            raise ValueError
        return json.loads(content)
    except (ValueError, RecursionError):
        found.append(Fault(path, "is not JSON that can be read"))
        return None


def check_bytes(path: str, content: bytes, wanted: bytes) -> Iterator[Fault]:
    """Compare the content of the file `path` with the bytes that it should have.

    A parser gives the same value for different bytes, such as other whitespace in JSON or XML, or other base64. Another
    client may not.

    Args:
        path: Path of the file, for messages.
        content: Its content.
        wanted: The bytes that it should have.
    """
    if content == wanted:
        return
    at = next((at for at, (byte, other) in enumerate(zip(content, wanted, strict=False)) if byte != other), None)
    at = min(len(content), len(wanted)) if at is None else at
    yield Fault(path, f"is not written as it should be: {content[at : at + 20]!r} in place of {wanted[at : at + 20]!r}")


def check_name(subject: Subject, path: str, stated: str | None, label: str = "") -> Iterator[Fault]:
    """Check that signed metadata is that of its repository, not of another one that is served in its place.

    Args:
        subject: The tree under audit.
        path: Path of the metadata.
        stated: The name of the repository in it; None if it says none, as in trees of older agents.
        label: What it calls the repository besides; a fault if that is the name of another one.
    """
    if subject.name is None or stated == subject.name:
        return
    if stated is not None or label in subject.others:
        other = stated if stated is not None else label
        yield Fault(path, f"is that of the repository {other[:100]!r}, and stands in place of that of {subject.name}")


def pointer(path: str, content: bytes) -> Named:
    """Name a pointer, which nothing else names, by its own content, so that its place and mode are checked."""
    return Named(path, hashlib.sha256(content).hexdigest(), len(content), "itself")


def check_detached(
    subject: Subject, path: str, signed: bytes, signature: str, judge: Judge = is_well_signed
) -> Iterator[Finding]:
    """Check the detached signature of a file, if there is a key.

    Args:
        subject: The tree under audit.
        path: Path of the signed file.
        signed: Its content.
        signature: Path of the file with the signature.
        judge: Whether the clients accept the signatures in it.
    """
    if subject.keyring is None:
        if os.path.lexists(subject.top / signature):
            yield Fault(signature, "signs, but no key is at hand to verify it; give --key")
        return
    found: list[Finding] = []
    content = read_pointer(subject, signature, found)
    yield from found
    if content is None:
        return
    wrong = subject.keyring.verify(signed, content, judge)
    if wrong is None:
        wrong = find_signature_fault(content, signed)
    if wrong is not None:
        yield Fault(signature, f"{path}: {wrong}")


def check_clear_signed(
    subject: Subject, path: str, text: bytes, message: str, judge: Judge = is_well_signed
) -> Iterator[Finding]:
    """Check a clear-signed message that repeats another file, if there is a key.

    Args:
        subject: The tree under audit.
        path: Path of the file that the message repeats.
        text: Its content.
        message: Path of the file with the text and its signature.
        judge: Whether the clients accept the signatures in it.
    """
    if subject.keyring is None:
        if os.path.lexists(subject.top / message):
            yield Fault(message, "is signed, but no key is at hand to verify it; give --key")
        return
    found: list[Finding] = []
    content = read_pointer(subject, message, found)
    yield from found
    if content is None:
        return
    wrong = subject.keyring.verify(content, None, judge)
    if wrong is not None:
        yield Fault(message, wrong)
    # gpgv accepts variations around the signed text, so compare that text and check the form of the signature, too.
    match = _CLEAR_SIGNED.fullmatch(content)
    if match is None or match["signed"].replace(b"\n- ", b"\n") != (text or b"\n"):
        yield Fault(message, f"differs from {path.rpartition('/')[2]}")
    elif (wrong := find_armor_fault(match["signature"])) is not None:
        yield Fault(message, wrong)


def is_plain(path: str) -> bool:
    """Return whether a path is relative, printable and free of `.` and `..` components."""
    return all(part not in ("", ".", "..") and part.isprintable() for part in path.split("/"))


def explain_refusal(error: Refused) -> str:
    """Return what is wrong with a package that today's rules refuse; an earlier version may have published it."""
    return f"{_REFUSED}: {error}"


def explain_os_error(error: OSError) -> str:
    """Return why a file can't be read."""
    return error.strerror or str(error)
