"""Audits the signatures of images, as files and as the registry serves them, and the policy that clients apply.

The audit only reads the repository, and runs gpgv to verify signatures.

Source: containers-signature(5), containers-policy.json(5); OpenShift, registry API extension for signatures.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from packrat_agent.verify.armor import find_armor_fault
from packrat_agent.verify.docker_files import read_json
from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    pointer,
    read_index,
    read_pointer,
)
from packrat_agent.verify.signatures import Keyring, read_keys

_SIGNATURE_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Signing:
    """What is signed in a repository.

    Attributes:
        scope: The prefix of all signed references; None if nothing is signed.
        listed: Whether the registry hands out signatures, so that each manifest has a list of them.
    """

    scope: str | None
    listed: bool


def audit_policy(subject: Subject, directory: str, found: list[Finding]) -> str | None:
    """Audit policy.json and registries.yaml.

    Args:
        subject: The tree under audit.
        directory: Directory of the repository.
        found: Findings are appended to it.

    Returns:
        The prefix of all signed references; None if nothing is signed or the policy can't be used.
    """
    sigstore = f"{directory}/sigstore"
    if not os.path.lexists(subject.top / sigstore):
        return None
    path = f"{sigstore}/policy.json"
    content, policy = read_json(subject, path, found)
    registries = read_pointer(subject, f"{sigstore}/registries.yaml", found)
    scope, key = _read_policy(policy)
    if content is None or scope is None or key is None or not scope.endswith(f"/{directory}"):
        if policy is not None:
            found.append(Fault(path, f"has no key for the images of {directory}"))
        return None
    found += check_bytes(path, content, _spell_policy(scope, key))
    wrong = find_armor_fault(key)
    if wrong is not None:
        found.append(Fault(path, f"has a key that {wrong}"))
    if registries is not None and not _says_where(registries.decode("utf-8", "replace"), scope):
        found.append(Fault(f"{sigstore}/registries.yaml", f"does not say where the signatures of {scope} are"))
    if subject.keyring is None:
        found.append(Fault(path, "asks for signatures, but no key is at hand to verify them; give --key"))
        return scope
    signature = _first_signature(subject, sigstore)
    try:
        keyring = Keyring(read_keys(key))
    except ValueError:
        # Reported as a fault of the armor.
        return scope
    wrong = keyring.read_message(signature)[1] if signature is not None else None
    # If the signature doesn't verify by the mirror's key either, the signature is wrong, and reported as such.
    if signature is not None and wrong is not None and subject.keyring.read_message(signature)[1] is None:
        found.append(Fault(path, f"has another key than the one that signed: {wrong}"))
    return scope


def audit_signatures(
    subject: Subject, directory: str, image: str, digest: str, references: Collection[str], signing: Signing
) -> Iterator[Finding]:
    """Audit the signatures of one manifest: one for each of its references, the same as files and as a list.

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
    for number in range(1, len(references) + 1):
        path = f"{stem}/signature-{number}"
        try:
            signatures.append((path, read_index(subject.top, path, _SIGNATURE_LIMIT)))
        except OSError:
            yield Fault(path, f"can't be read; {image} needs a signature for each name of {digest}")
    if listed is not None and listed != [content for _, content in signatures]:
        yield Fault(listed_path, "lists other signatures than sigstore")
    yield from _look_at(subject.keyring, signatures, {f"{scope}/{image}{name}" for name in references}, digest)


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
        yield Named(named.path, named.sha256, named.size, named.by, check)


def _says_where(registries: str, scope: str) -> bool:
    """Return whether registries.yaml maps the scope to the directory of its signatures, under both of its keys."""
    where = rf"(https?://\S+/{re.escape(scope.partition('/')[2])}/sigstore)"
    return (
        re.fullmatch(rf"docker:\n  {re.escape(scope)}:\n    lookaside: {where}\n    sigstore: \1\n", registries)
        is not None
    )


def _first_signature(subject: Subject, sigstore: str) -> bytes | None:
    for path in sorted((subject.top / sigstore).glob("**/signature-1")):
        try:
            return read_index(subject.top, str(path.relative_to(subject.top)), _SIGNATURE_LIMIT)
        except OSError:
            continue
    return None


def _read_policy(policy: Any) -> tuple[str | None, bytes | None]:
    """Return the scope of a policy and the armored key for it; None for what can't be read."""
    match policy:
        case {"transports": {"docker": dict(scopes)}} if len(scopes) == 1:
            ((scope, required),) = scopes.items()
            match required:
                case [{"type": "signedBy", "keyType": "GPGKeys", "keyData": str(data)}]:
                    try:
                        return scope, base64.b64decode(data, validate=True)
                    except ValueError:
                        return scope, None
    return None, None


def _spell_list(digest: str, signatures: Sequence[bytes]) -> bytes:
    """Return all bytes of the list of these signatures; their names end with a number from 1 on, in 32 hex digits."""
    parts = [
        f'{{"schemaVersion":2,"name":"{digest}@{number:032x}","type":"atomic",'
        f'"content":"{base64.b64encode(signature).decode()}"}}'
        for number, signature in enumerate(signatures, start=1)
    ]
    return f'{{"signatures":[{",".join(parts)}]}}\n'.encode()


def _spell_policy(scope: str, key: bytes) -> bytes:
    """Return all bytes of the policy that images of `scope` must be signed by this (armored) key."""
    required = {"type": "signedBy", "keyType": "GPGKeys", "keyData": base64.b64encode(key).decode()}
    policy = {"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {scope: [required]}}}
    return json.dumps(policy, indent=2).encode() + b"\n"


def _read_listed(value: Any, digest: str) -> list[bytes] | None:
    """Return the decoded signatures of a list of the registry extension; None if it can't be read."""
    listed = value.get("signatures") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return None
    # One entry that can't be used makes the list unusable: clients may reject all of it.
    contents, names = [], set()
    for one in listed:
        match one:
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
