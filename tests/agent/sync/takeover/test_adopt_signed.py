"""Signed rpms of the original agent: taken only where database, signature, payload and bytes all agree."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from packrat_agent.formats.yum.format import YumFormat
from packrat_agent.gpg.keyring import find_key
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.sync.context import MirrorContext, Takeover
from packrat_agent.sync.takeover.adopt_signed import recall_signed
from packrat_demo.build_rpm import Rpm, write_rpm
from support.keys import Key, new_key
from support.rpm_signatures import PGP_OF_BOTH, RSA, sha256_of, with_signatures

PATH = "yum-dev/rhel/main/9/x86_64/tool-1.0-1.x86_64.rpm"
REPO = Repo("yum-dev", "", "yum-dev", "yum", ())


@pytest.fixture(scope="module")
def other_key() -> Iterator[Key]:
    with new_key("Another Mirror <other@example.com>") as made:
        yield made


def sign(path: Path, key: Key) -> None:
    values = {"__gpg": str(shutil.which("gpg")), "_gpg_path": str(key.home), "_gpg_name": key.fingerprint}
    defines = [word for name, value in values.items() for word in ("--define", f"{name} {value}")]
    subprocess.run(["rpmsign", *defines, "--addsign", str(path)], check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Case:
    """What stands on disk, and what the database says of it."""

    root: Path
    key: Key
    package: str

    @property
    def rpm(self) -> Path:
        return self.root / PATH

    def recall(self, says: str | None = None, scanned: str | None = None) -> list[tuple[str, int, str]]:
        """(SHA-256, size, that of the signed copy) of what is taken.

        Args:
            says: what the database has as signed256; None for what is on disk.
            scanned: what the scan saw; None for what is on disk.
        """
        on_disk = scanned or hashlib.sha256(self.rpm.read_bytes()).hexdigest()
        status = self.rpm.stat()
        untracked = {PATH: StoredFile(PATH, on_disk, status.st_size, status.st_mtime_ns, status.st_ino)}
        signing = find_key(self.key.fingerprint, self.key.home, None, datetime.now(UTC))
        known = Takeover(None, {self.package: frozenset({says or on_disk})})
        context = cast("Any", Context(self.root, self.root, signing, known))
        found = recall_signed(cast("MirrorContext", context), REPO, YumFormat(), {self.package}, untracked)
        return [(sha256, fragment.size, fragment.products[0].sha256) for sha256, fragment in found.items()]


@dataclass(frozen=True, slots=True)
class Context:
    """The part of a mirror context that is looked at."""

    root: Path
    staging: Path
    key: Any
    takeover: Takeover

    def key_of(self, _repo: Repo) -> Any:
        """Give the one key."""
        return self.key


@pytest.fixture
def case(tmp_path: Path, key: Key) -> Case:
    rpm = tmp_path / PATH
    rpm.parent.mkdir(parents=True)
    write_rpm(Rpm("tool", "1.0", "x86_64", files=(("/opt/tool", b"tool" * 100),)), rpm.parent)
    return Case(tmp_path, key, hashlib.sha256(rpm.read_bytes()).hexdigest())


def test_a_copy_that_this_key_signed_is_taken(case: Case) -> None:
    sign(case.rpm, case.key)
    on_disk = hashlib.sha256(case.rpm.read_bytes()).hexdigest()
    assert case.recall() == [(case.package, case.rpm.stat().st_size, on_disk)]


def test_a_copy_that_the_database_does_not_name_is_not(case: Case) -> None:
    sign(case.rpm, case.key)
    assert not case.recall("c" * 64)


def test_a_copy_that_was_exchanged_since_the_scan_is_not_taken(case: Case) -> None:
    sign(case.rpm, case.key)
    assert not case.recall("c" * 64, scanned="c" * 64)


def test_the_word_of_the_database_alone_is_not_enough(case: Case) -> None:
    # Not signed at all.
    case.rpm.write_bytes(case.rpm.read_bytes() + b"\n")
    assert not case.recall()


def test_a_copy_that_another_subkey_of_the_same_key_signed_is_taken(case: Case) -> None:
    with new_key("Mirror With Subkeys <subkeys@example.com>") as key:
        sign(case.rpm, key)
        gpg = ["gpg", "--homedir", str(key.home), "--batch", "--passphrase", ""]
        subprocess.run([*gpg, "--quick-add-key", key.fingerprint, "ed25519", "sign"], check=True, capture_output=True)
        [subkey] = list_subkeys(key)
        assert len(Case(case.root, Key(key.home, subkey), case.package).recall()) == 1


def list_subkeys(key: Key) -> list[str]:
    gpg = ["gpg", "--homedir", str(key.home), "--batch", "--list-keys", "--with-colons", "--with-subkey-fingerprints"]
    listed = subprocess.run(gpg, check=True, capture_output=True, text=True).stdout
    return [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")][1:]


def test_a_copy_that_another_key_signed_is_not_taken(case: Case, other_key: Key) -> None:
    sign(case.rpm, other_key)
    assert not case.recall()


def test_a_copy_with_another_payload_is_not_taken(case: Case) -> None:
    sign(case.rpm, case.key)
    data = bytearray(case.rpm.read_bytes())
    data[-1] ^= 1
    case.rpm.write_bytes(data)
    assert not case.recall()


def old_copy(case: Case, of_both: Key) -> Case:
    """Put a copy in the place of ours whose header has no digest of the payload; the header is signed with our key."""
    write_rpm(Rpm("tool", "1.0", "x86_64", files=(("/opt/tool", b"tool" * 100),), is_old=True), case.rpm.parent)
    package = sha256_of(case.rpm)
    with_signatures(case.rpm, {RSA: (case.key,), PGP_OF_BOTH: (of_both,)})
    return Case(case.root, case.key, package)


def test_a_copy_of_an_older_rpm_is_taken_only_if_this_key_signed_its_payload(case: Case, other_key: Key) -> None:
    assert len(old_copy(case, case.key).recall()) == 1
    # Its other digests are not signed: whoever changes the payload writes them anew.
    assert not old_copy(case, other_key).recall()


def test_a_copy_with_another_header_is_not_taken(case: Case) -> None:
    sign(case.rpm, case.key)
    data = case.rpm.read_bytes()
    at = data.rindex(b"tool\x001.0\x001")
    case.rpm.write_bytes(data[:at] + b"root" + data[at + 4 :])
    assert not case.recall()


def test_a_link_is_not_followed(case: Case) -> None:
    sign(case.rpm, case.key)
    outside = case.root / "outside.rpm"
    case.rpm.rename(outside)
    case.rpm.symlink_to(outside)
    assert not case.recall()
