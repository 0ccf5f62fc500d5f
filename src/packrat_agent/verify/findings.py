"""What an audit of a tree says: what is named by whom, and what is wrong.

Takes: nothing.
Gives: values; reading files of a tree without following links out of it.
Touches: the files that it is asked to read.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packrat_agent.verify.armor import find_signature_fault
from packrat_agent.verify.signatures import Keyring
from packrat_core.fs.open import read_regular

_INDEX_LIMIT = 1024 * 1024 * 1024
_JSON_LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Named:
    """One file that an index names; paths are relative to the tree's top. `size` None where the index does not say.

    look: what is to be checked once the bytes are right, in some thread; it says what is wrong, or None.
    """

    path: str
    sha256: str
    size: int | None
    by: str
    look: Callable[[], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; `path` is relative to the tree's top."""

    path: str
    what: str


Finding = Named | Fault
"""What an audit of one repository gives, one after the other."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A tree under audit: its top, and the keys that signatures are verified by (None where none is known)."""

    top: Path
    keyring: Keyring | None


Auditor = Callable[[Subject, str], Iterator[Finding]]
"""Audits the repository in a directory (relative to the tree's top) of one type."""


def read_index(top: Path, path: str, limit: int = _INDEX_LIMIT) -> bytes:
    """Read an index file.

    Raises: OSError where it is missing, a link, no regular file, or larger than any index.
    """
    return read_regular(top / path, limit)


def read_pointer(subject: Subject, path: str, found: list[Finding]) -> bytes | None:
    """Read what nothing else names; appends it to `found`, or the fault that it can't be read, which gives None."""
    try:
        content = read_index(subject.top, path)
    except OSError as error:
        found.append(Fault(path, f"can't be read: {told(error)}"))
        return None
    found.append(pointer(path, content))
    return content


def parse_json(path: str, content: bytes | None, found: list[Finding]) -> Any:
    """Parse what was read of the file `path`; appends a fault where it is no JSON, and gives None."""
    if content is None:
        return None
    try:
        if len(content) > _JSON_LIMIT:
            raise ValueError
        return json.loads(content)
    except (ValueError, RecursionError):
        found.append(Fault(path, "is no JSON that can be read"))
        return None


def check_bytes(path: str, content: bytes, wanted: bytes) -> Iterator[Fault]:
    """Compare what was read of the file `path` with all bytes that should stand there.

    Readers give the same for different bytes: of base64, of blanks between the words of JSON, of XML. A client may not.
    """
    if content == wanted:
        return
    at = next((at for at, (byte, other) in enumerate(zip(content, wanted, strict=False)) if byte != other), None)
    at = min(len(content), len(wanted)) if at is None else at
    yield Fault(path, f"is not written as it should be: {content[at : at + 20]!r} in place of {wanted[at : at + 20]!r}")


def pointer(path: str, content: bytes) -> Named:
    """Name a pointer, which nothing else names, by what was just read of it: its place and mode are to be checked."""
    return Named(path, hashlib.sha256(content).hexdigest(), len(content), "itself")


def check_detached(subject: Subject, path: str, signed: bytes, signature: str) -> Iterator[Finding]:
    """Check that the file `path` has a good detached signature in the file `signature`, where there is a key."""
    if subject.keyring is None:
        if os.path.lexists(subject.top / signature):
            yield Fault(signature, "signs, but no key is at hand to verify it; give --key")
        return
    found: list[Finding] = []
    content = read_pointer(subject, signature, found)
    yield from found
    if content is None:
        return
    wrong = subject.keyring.verify(signed, content)
    if wrong is None:
        wrong = find_signature_fault(content, signed)
    if wrong is not None:
        yield Fault(signature, f"{path}: {wrong}")


def is_plain(path: str) -> bool:
    """True for a relative path that stays where it begins."""
    return all(part not in ("", ".", "..") and part.isprintable() for part in path.split("/"))


def told(error: OSError) -> str:
    """Tell why a file can't be read."""
    return error.strerror or str(error)
