"""`verify` wants a signature for each name of a manifest, and takes those of names that it had."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from packrat_agent.verify.docker_policy import audit_policy
from packrat_agent.verify.docker_signatures import Signing, audit_signatures
from packrat_agent.verify.findings import Fault, Finding, Named, Subject
from packrat_agent.verify.signatures import Keyring
from support.keys import Key, gnupg_home, make_key

DIGEST, OTHER = "sha256:" + "5a" * 32, "sha256:" + "a5" * 32
SCOPE = "example.com:5000/docker-dev"
NAMES = (":1.0",)

Sign = Callable[..., bytes]


@pytest.fixture(scope="module")
def stranger() -> Iterator[Key]:
    with gnupg_home() as home:
        yield make_key(home, "stranger")


@pytest.fixture(scope="module")
def sign(key: Key, stranger: Key) -> Sign:
    """Signs that a name is a digest, with the mirror's key or a stranger's."""

    def make(name: str, digest: str = DIGEST, *, is_stranger: bool = False) -> bytes:
        critical = {
            "identity": {"docker-reference": f"{SCOPE}/web{name}"},
            "image": {"docker-manifest-digest": digest},
            "type": "atomic container signature",
        }
        command = ["gpg", "--homedir", str((stranger if is_stranger else key).home), "--batch", "--sign"]
        text = json.dumps({"critical": critical}).encode()
        return subprocess.run(command, input=text, check=True, capture_output=True).stdout

    return make


def export(key: Key, *options: str) -> bytes:
    command = ["gpg", "--homedir", str(key.home), "--batch", "--export", *options]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def keyring(key: Key) -> Keyring:
    return Keyring(export(key))


def faults(
    top: Path, keyring: Keyring, signatures: Sequence[bytes], listed: Sequence[bytes] | None = None
) -> list[tuple[str, str]]:
    """The faults of a manifest with these signatures: name of the file → what is wrong."""
    directory = top / "docker-dev/sigstore/docker-dev" / f"web@{DIGEST.replace(':', '=')}"
    directory.mkdir(parents=True)
    for number, signature in enumerate(signatures, start=1):
        (directory / f"signature-{number}").write_bytes(signature)
    if listed is not None:
        parts = [
            {
                "schemaVersion": 2,
                "name": f"{DIGEST}@{number:032x}",
                "type": "atomic",
                "content": base64.b64encode(signature).decode(),
            }
            for number, signature in enumerate(listed, start=1)
        ]
        path = top / f"docker-dev/extensions/v2/web/signatures/{DIGEST}"
        path.parent.mkdir(parents=True)
        path.write_bytes(json.dumps({"signatures": parts}, separators=(",", ":")).encode() + b"\n")
    signing = Signing(SCOPE, listed=listed is not None)
    found = []
    for finding in audit_signatures(Subject(top, keyring), "docker-dev", "web", DIGEST, NAMES, signing):
        told = finding.what if isinstance(finding, Fault) else None
        if isinstance(finding, Named) and finding.look:
            told = finding.look()
        if told is not None:
            found.append((finding.path.rpartition("/")[2], told))
    return found


def test_signatures_that_a_mirror_without_a_key_has_left_are_no_fault(tmp_path: Path, keyring: Keyring) -> None:
    (tmp_path / "docker-dev/sigstore/docker-dev").mkdir(parents=True)
    found: list[Finding] = []
    assert audit_policy(Subject(tmp_path, None), "docker-dev", found) is None
    assert found == []
    # Where there is a key, the policy is missing.
    audit_policy(Subject(tmp_path, keyring), "docker-dev", found)
    names = [finding.path.rpartition("/")[2] for finding in found if isinstance(finding, Fault)]
    assert names == ["policy.json", "registries.yaml"]


def test_signatures_of_earlier_names_are_no_fault(tmp_path: Path, keyring: Keyring, sign: Sign) -> None:
    earlier, current = sign(":latest"), sign(":1.0")
    assert faults(tmp_path / "files", keyring, [earlier, current]) == []
    assert faults(tmp_path / "list", keyring, [earlier, current], [earlier, current]) == []
    # Left over behind the list, or from another key: clients pass over them.
    assert faults(tmp_path / "over", keyring, [current, earlier], [current]) == []
    assert faults(tmp_path / "key", keyring, [current, sign(":1.0", is_stranger=True)]) == []


def test_each_name_must_be_signed(tmp_path: Path, keyring: Keyring, sign: Sign) -> None:
    earlier = sign(":latest")
    [(path, told)] = faults(tmp_path / "earlier", keyring, [earlier, earlier])
    assert (path, f"{SCOPE}/web:1.0" in told) == ("signature-1", True)
    [(path, told)] = faults(tmp_path / "stranger", keyring, [earlier, sign(":1.0", is_stranger=True)])
    assert (path, "one is wrong" in told) == ("signature-1", True)
    [(path, told)] = faults(tmp_path / "digest", keyring, [earlier, sign(":1.0", OTHER)])
    assert (path, DIGEST in told) == ("signature-1", True)
    # What is behind the end of the list is of no use to who reads the list.
    current = sign(":1.0")
    assert [path for path, _ in faults(tmp_path / "list", keyring, [earlier, current], [earlier])] == ["signature-1"]


def test_the_list_and_the_files_say_the_same(tmp_path: Path, keyring: Keyring, sign: Sign) -> None:
    earlier, current = sign(":latest"), sign(":1.0")
    for number, listed in enumerate(([current, earlier], [], [earlier, current, current])):
        assert DIGEST in dict(faults(tmp_path / str(number), keyring, [earlier, current], listed))


def test_a_signature_that_is_wrong_alone_is_a_fault(tmp_path: Path, keyring: Keyring, sign: Sign) -> None:
    for number, wrong in enumerate((sign(":latest"), sign(":1.0", OTHER), sign(":1.0", is_stranger=True), b"no")):
        assert [path for path, _ in faults(tmp_path / str(number), keyring, [wrong])] == ["signature-1"]
    assert [path for path, _ in faults(tmp_path / "none", keyring, [])] == ["signature-1"]


def test_a_policy_with_another_key_than_the_one_that_signed_is_a_fault(
    tmp_path: Path, keyring: Keyring, key: Key, stranger: Key, sign: Sign
) -> None:
    signature = tmp_path / "docker-dev/sigstore/docker-dev/web@sha256=1/signature-1"
    signature.parent.mkdir(parents=True)

    def audited(policy_key: Key, *, is_stranger: bool) -> list[str]:
        signature.write_bytes(sign(":1.0", is_stranger=is_stranger))
        required = [
            {"type": "signedBy", "keyType": "GPGKeys", "keyData": base64.b64encode(export(policy_key, "-a")).decode()}
        ]
        policy = {"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {SCOPE: required}}}
        (tmp_path / "docker-dev/sigstore/policy.json").write_text(json.dumps(policy, indent=2) + "\n")
        found: list[Finding] = []
        assert audit_policy(Subject(tmp_path, keyring), "docker-dev", found) == SCOPE
        return [
            finding.what for finding in found if isinstance(finding, Fault) and "the one that signed" in finding.what
        ]

    assert audited(key, is_stranger=False) == []
    assert audited(stranger, is_stranger=False)
    # The signature is wrong by the mirror's key, too, which is told of the signature.
    assert audited(key, is_stranger=True) == []
