"""Audits the policy by which clients check the signatures of images, and the file that tells them where these are.

Source: containers-policy.json(5), containers-registries.d(5).
"""

import base64
import json
import os
import re
from contextlib import suppress
from typing import Any

from packrat_agent.verify.armor import find_armor_fault
from packrat_agent.verify.docker_files import read_json
from packrat_agent.verify.docker_signatures import SIGNATURE_LIMIT
from packrat_agent.verify.findings import Fault, Finding, Subject, check_bytes, read_index, read_pointer
from packrat_agent.verify.signatures import Keyring, read_keys


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
    files = (path, f"{sigstore}/registries.yaml")
    if subject.keyring is None and not any(os.path.lexists(subject.top / file) for file in files):
        # The mirror has no key any more, and signatures of earlier images are still in their grace period.
        return None
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
    elif (wrong := _find_other_signer(subject.keyring, key, find_signature(subject, sigstore))) is not None:
        found.append(Fault(path, f"has another key than the one that signed: {wrong}"))
    return scope


def _find_other_signer(keyring: Keyring, key: bytes, signature: bytes | None) -> str | None:
    """Return why the policy's key doesn't verify a signature that the mirror's key verifies; None if nothing is wrong.

    If neither verifies it, the signature is wrong, and reported as such.

    Args:
        keyring: The mirror's key.
        key: The policy's key, armored.
        signature: A signature of the repository; None if there is none.
    """
    try:
        policy_keyring = Keyring(read_keys(key))
    except ValueError:
        # Reported as a fault of the armor.
        return None
    if signature is None or keyring.read_message(signature)[1] is not None:
        return None
    return policy_keyring.read_message(signature)[1]


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


def _spell_policy(scope: str, key: bytes) -> bytes:
    """Return all bytes of the policy that images of `scope` must be signed by this (armored) key."""
    required = {"type": "signedBy", "keyType": "GPGKeys", "keyData": base64.b64encode(key).decode()}
    policy = {"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {scope: [required]}}}
    return json.dumps(policy, indent=2).encode() + b"\n"


def _says_where(registries: str, scope: str) -> bool:
    """Return whether registries.yaml maps the scope to the directory of its signatures, under both of its keys."""
    where = rf"(https?://\S+/{re.escape(scope.partition('/')[2])}/sigstore)"
    return (
        re.fullmatch(rf"docker:\n  {re.escape(scope)}:\n    lookaside: {where}\n    sigstore: \1\n", registries)
        is not None
    )


def find_signature(subject: Subject, sigstore: str) -> bytes | None:
    """Return the first signature of an image that can be read."""
    # One directory after the other: a glob needs frames of the interpreter for each level, and anybody can plant more.
    waiting = [sigstore]
    while waiting:
        place = waiting.pop()
        with suppress(OSError):
            with os.scandir(subject.top / place) as entries:
                inside = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            waiting += [f"{place}/{name}" for name in reversed(inside)]
            return read_index(subject.top, f"{place}/signature-1", SIGNATURE_LIMIT)
    return None
