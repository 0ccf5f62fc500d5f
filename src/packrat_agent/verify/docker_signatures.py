"""Audits the signatures of images, as files and as the registry serves them.

The audit only reads the repository, and runs gpgv to verify signatures.

Source: containers-signature(5); OpenShift, registry API extension for signatures.
"""

import base64
import binascii
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from packrat_agent.verify.docker_files import read_json
from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    pointer,
    read_index,
)
from packrat_agent.verify.signatures import Keyring

SIGNATURE_LIMIT = 64 * 1024
"""Maximum size of a signature, in bytes."""
_SIGNATURES_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Signing:
    """The names that are signed in a repository.

    Attributes:
        scope: The prefix of all signed references; None if nothing is signed.
        listed: Whether the registry hands out signatures, so that each manifest has a list of them.
    """

    scope: str | None
    listed: bool


def audit_signatures(
    subject: Subject, directory: str, image: str, digest: str, references: Collection[str], signing: Signing
) -> Iterator[Finding]:
    """Audit the signatures of one manifest: one for each of its references at least, the same as files and as a list.

    Args:
        subject: The tree under audit.
        directory: Directory of the repository.
        image: Name of the image.
        digest: Digest of the manifest.
        references: How clients name it, `:<tag>` or `@<digest>`.
        signing: What is signed in the repository.
    """
    scope = signing.scope
    listed_path = f"{directory}/extensions/v2/{image}/signatures/{digest}"
    found: list[Finding] = []
    listed = _audit_list(subject, listed_path, digest, found) if signing.listed else None
    yield from found
    if scope is None:
        if listed:
            yield Fault(listed_path, "has signatures, but there is no policy to check them by")
        return
    stem = f"{directory}/sigstore/{scope.partition('/')[2]}/{image}@{digest.replace(':', '=')}"
    signatures = []
    for number in range(1, _SIGNATURES_LIMIT):
        path = f"{stem}/signature-{number}"
        # Clients read on until there is none.
        if number > len(references) and not os.path.lexists(subject.top / path):
            break
        try:
            signatures.append((path, read_index(subject.top, path, SIGNATURE_LIMIT)))
        except OSError:
            yield Fault(path, f"can't be read; {image} needs a signature for each name of {digest}")
    if listed is not None:
        if len(listed) < len(references) or listed != [content for _, content in signatures[: len(listed)]]:
            yield Fault(listed_path, "lists other signatures than sigstore")
        # What follows is left over from an earlier publication.
        signatures = signatures[: max(len(listed), len(references))]
    wanted = {f"{scope}/{image}{name}" for name in references}
    if len(signatures) > len(references):
        yield from _look_for_names(subject.keyring, signatures, wanted, digest)
    else:
        yield from _look_at(subject.keyring, signatures, wanted, digest)


def _audit_list(subject: Subject, path: str, digest: str, found: list[Finding]) -> list[bytes] | None:
    """Audit the list of a manifest's signatures that the registry hands out.

    Args:
        subject: The tree under audit.
        path: Path of the list.
        digest: Digest of the manifest.
        found: Findings are appended to it.

    Returns:
        The signatures; None if the list can't be read.
    """
    content, value = read_json(subject, path, found)
    listed = _read_listed(value, digest)
    if content is not None and listed is not None:
        # base64 and JSON can encode the same value in many ways.
        found += check_bytes(path, content, _spell_list(digest, listed))
    if listed is None and not any(isinstance(finding, Fault) for finding in found):
        found.append(Fault(path, f"is not a list of signatures of {digest}"))
    return listed


def _look_at(
    keyring: Keyring | None, signatures: list[tuple[str, bytes]], references: Collection[str], digest: str
) -> Iterator[Finding]:
    """Name each signature, to be verified later; each must be for another one of the references.

    Args:
        keyring: The keys to verify with; None if no key is known.
        signatures: (path, content) of each signature.
        references: The image references that need a signature.
        digest: The digest that must be signed.
    """
    missing = set(references)

    def look(content: bytes) -> str | None:
        assert keyring is not None
        message, wrong = keyring.read_message(content)
        if wrong is not None:
            return wrong
        reference, signed = _read_statement(message)
        if signed != digest:
            return f"signs {signed} in place of {digest}"
        if reference not in missing:
            return f"is for {reference[:200]!r}, which this manifest is not, or has a signature for already"
        missing.discard(reference)
        return None

    for path, content in signatures:
        named = pointer(path, content)
        check = None if keyring is None else lambda content=content: look(content)
        yield Named(named.path, named.sha256, named.size, named.by, check, shares=True)


def _look_for_names(
    keyring: Keyring | None, signatures: Sequence[tuple[str, bytes]], references: Collection[str], digest: str
) -> Iterator[Finding]:
    """Name the signatures of a manifest that has more of them than names; each name must be among those signed.

    The others are of names that the manifest had, which clients that came by them still need. Clients pass over what
    they don't need, so nothing is demanded of these.

    Args:
        keyring: The keys to verify with; None if no key is known.
        signatures: (path, content) of each signature.
        references: The image references that need a signature.
        digest: The digest that must be signed.
    """

    def look() -> str | None:
        assert keyring is not None
        read = [keyring.read_message(content) for _, content in signatures]
        signed = {_read_statement(message) for message, wrong in read if wrong is None}
        missing = sorted(name for name in references if (name, digest) not in signed)
        wrong = next((wrong for _, wrong in read if wrong is not None), None)
        if not missing:
            return None
        return f"no signature beside it is for {missing[0]} and {digest}" + (
            f"; one is wrong: {wrong}" if wrong else ""
        )

    for number, (path, content) in enumerate(signatures):
        named = pointer(path, content)
        yield Named(
            *(named.path, named.sha256, named.size, named.by),
            look if keyring is not None and not number else None,
            shares=True,
        )


def _spell_list(digest: str, signatures: Sequence[bytes]) -> bytes:
    """Return all bytes of the list of these signatures; their names end with a number from 1 on, in 32 hex digits."""
    parts = [
        f'{{"schemaVersion":2,"name":"{digest}@{number:032x}","type":"atomic",'
        f'"content":"{base64.b64encode(signature).decode()}"}}'
        for number, signature in enumerate(signatures, start=1)
    ]
    return f'{{"signatures":[{",".join(parts)}]}}\n'.encode()


def _read_listed(value: Any, digest: str) -> list[bytes] | None:
    """Return the decoded signatures of a list of the registry extension; None if it can't be read."""
    listed = value.get("signatures") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return None
    # One entry that can't be used makes the list unusable: clients may reject all of it.
    contents, names = [], set()
    for signature in listed:
        match signature:
            case {"schemaVersion": 2, "type": "atomic", "name": str(name), "content": str(content)} if (
                name.startswith(f"{digest}@") and name not in names
            ):
                names.add(name)
                try:
                    contents.append(base64.b64decode(content, validate=True))
                except (binascii.Error, ValueError):
                    return None
            case _:
                return None
    return contents


def _read_statement(message: bytes) -> tuple[str, str]:
    """Return the reference and the digest that were signed; '' for each if the statement has none."""
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return "", ""
    match value:
        case {
            "critical": {
                "type": "atomic container signature",
                "identity": {"docker-reference": str(reference)},
                "image": {"docker-manifest-digest": str(digest)},
            }
        }:
            return reference, digest
    return "", ""
