"""`verify` reports each flipped byte of the files that say the same in many spellings."""

import base64
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.verify.armor import find_armor_fault, find_signature_fault
from packrat_agent.verify.docker_signatures import Signing, audit_signatures
from packrat_agent.verify.findings import Fault, Subject
from packrat_agent.verify.pypi_spelling import find_unusual, spell_project
from packrat_agent.verify.signatures import Keyring
from support.keys import Key

DIGEST = "sha256:" + "5a" * 32
HOST = "example.com:5000"


def flips(data: bytes) -> Iterator[bytes]:
    """The data with each byte changed in one bit, and in the bit that makes a blank of another blank."""
    for at in range(len(data)):
        for bit in (1 << random.Random(at).randrange(8), 4):
            yield data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def faults_of_signatures(top: Path, scope: str | None) -> list[str]:
    subject = Subject(top, Keyring(b""))
    references = (":1", ":2")
    findings = audit_signatures(subject, "docker-dev", "web", DIGEST, references, Signing(scope, listed=True))
    return [finding.path for finding in findings if isinstance(finding, Fault)]


@pytest.mark.parametrize("is_signed", [True, False])
def test_each_flipped_byte_of_a_list_of_signatures_is_reported(tmp_path: Path, is_signed: bool) -> None:
    signatures = [b"first of all", b"second"] if is_signed else []
    directory = tmp_path / "docker-dev/sigstore/docker-dev" / f"web@{DIGEST.replace(':', '=')}"
    directory.mkdir(parents=True)
    for number, signature in enumerate(signatures, start=1):
        (directory / f"signature-{number}").write_bytes(signature)
    listed = [
        {
            "schemaVersion": 2,
            "name": f"{DIGEST}@{number:032x}",
            "type": "atomic",
            "content": base64.b64encode(signature).decode(),
        }
        for number, signature in enumerate(signatures, start=1)
    ]
    content = json.dumps({"signatures": listed}, separators=(",", ":")).encode() + b"\n"
    path = tmp_path / f"docker-dev/extensions/v2/web/signatures/{DIGEST}"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    scope = f"{HOST}/docker-dev" if is_signed else None
    assert faults_of_signatures(tmp_path, scope) == []
    for flipped in flips(content):
        path.write_bytes(flipped)
        assert str(path.relative_to(tmp_path)) in faults_of_signatures(tmp_path, scope), flipped


def gpg(key: Key, *arguments: str, data: bytes = b"") -> bytes:
    command = ["gpg", "--homedir", str(key.home), "--batch", *arguments]
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def test_each_flipped_byte_of_an_armor_is_reported(key: Key) -> None:
    armored = (gpg(key, "--armor", "--export"), gpg(key, "--armor", "--detach-sign", data=b"signed"))
    for text in armored:
        assert find_armor_fault(text) is None
        for flipped in flips(text):
            assert find_armor_fault(flipped) is not None, flipped


def test_each_flipped_byte_of_a_signature_is_reported(key: Key) -> None:
    """Those that the signature does not cover itself; gpgv passes over them."""
    keyring = Keyring(gpg(key, "--export"))
    signature = gpg(key, "--detach-sign", data=b"signed")
    assert (keyring.verify(b"signed", signature), find_signature_fault(signature, b"signed")) == (None, None)
    passed = 0
    for at in range(len(signature)):
        flipped = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        if find_signature_fault(flipped, b"signed") is None:
            passed += 1
            assert keyring.verify(b"signed", flipped) is not None, at
    assert 0 < passed < len(signature)


FILE: dict[str, Any] = {
    "filename": "a-1.tar.gz",
    "url": "../../packages/a/a-1.tar.gz",
    "hashes": {"sha256": "0" * 64},
    "size": 1,
    "yanked": False,
}


@pytest.mark.parametrize(
    "change", [{"yanked": "two\nlines"}, {"yankee": False}, {"upload-time": "soon"}, {"upload-time": 1}], ids=str
)
def test_values_that_the_agent_never_writes_are_unusual(change: dict[str, Any]) -> None:
    assert find_unusual(FILE) is None
    assert find_unusual({**FILE, "upload-time": "2026-01-02T03:04:05.678Z"}) is None
    assert find_unusual({**FILE, **change}) is not None


def test_a_page_is_spelled_with_what_html_takes_for_markup() -> None:
    as_json, as_html = spell_project("a", ["1"], [{**FILE, "requires-python": ">=3.11"}])
    assert json.loads(as_json)["files"] == [{**FILE, "requires-python": ">=3.11"}]
    assert b'data-requires-python="&gt;=3.11"' in as_html
