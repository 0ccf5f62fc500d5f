"""Signs rpms with real keys: repeatable, verified, and never with a key that should not."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packrat_agent.formats.yum.read_rpm import read_rpm
from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.rpmsign import PackageSigner, sign_package
from packrat_agent.gpg.signing_key import SigningKey
from packrat_core.errors import Refused, SigningError
from packrat_core.fs.verified import OtherBytes
from packrat_demo.build_rpm import Rpm, write_rpm
from support.keys import Key, end_gpg_agent, make_key
from support.rpm_signatures import sha256_of


@pytest.fixture
def signer(key: Key) -> SigningKey:
    return find_key(key.fingerprint, key.home, None, datetime.now(UTC))


@pytest.fixture(params=[False, True], ids=["new rpm", "rpm before 4.14"])
def hello(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_rpm(
        Rpm("hello", "1.0", "noarch", files=(("/opt/hello", b"hi"),), is_old=request.param is True), tmp_path
    )


def test_the_same_package_gives_the_same_bytes(hello: Path, tmp_path: Path, signer: SigningKey) -> None:
    before = hello.read_bytes()
    results = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        results.append(sign_package(hello, sha256_of(hello), tmp_path / name, PackageSigner(signer)))
    first, second = results
    assert first is not None
    assert second is not None
    assert first.sha256 == second.sha256
    copy = tmp_path / "one" / first.sha256
    assert copy.stat().st_size == first.size
    assert hello.read_bytes() == before
    assert [path.name for path in (tmp_path / "one").iterdir()] == [first.sha256]
    assert read_rpm(copy).name == "hello"


def test_a_package_that_carries_our_signature_is_left_alone(hello: Path, tmp_path: Path, signer: SigningKey) -> None:
    signed = sign_package(hello, sha256_of(hello), tmp_path, PackageSigner(signer))
    assert signed is not None
    copy = tmp_path / signed.sha256
    assert sign_package(copy, sha256_of(copy), tmp_path, PackageSigner(signer)) is None


def test_a_forged_signature_with_our_id_does_not_count(hello: Path, tmp_path: Path, signer: SigningKey) -> None:
    signed = sign_package(hello, sha256_of(hello), tmp_path, PackageSigner(signer))
    assert signed is not None
    forged = tmp_path / "forged.rpm"
    forged.write_bytes((tmp_path / signed.sha256).read_bytes().replace(b"for trying out", b"for crying out"))
    # Not taken for signed; and nothing is signed whose own digests are wrong.
    with pytest.raises(Refused, match="damaged"):
        sign_package(forged, sha256_of(forged), tmp_path, PackageSigner(signer))


def test_other_bytes_than_those_of_the_record_are_not_signed(hello: Path, tmp_path: Path, signer: SigningKey) -> None:
    """Somebody may have put another package there since the download was checked; gpg is not even asked."""
    without = replace(signer, home=tmp_path / "no-keyring")
    with pytest.raises(OtherBytes):
        sign_package(hello, "0" * 64, tmp_path, PackageSigner(without))
    with pytest.raises(SigningError):
        sign_package(hello, sha256_of(hello), tmp_path, PackageSigner(without))


def test_of_a_disk_that_does_not_give_one_package_only_that_one_is_left_out(tmp_path: Path, signer: SigningKey) -> None:
    """A DiskError would fail the repository."""
    with pytest.raises(OtherBytes, match="Input/output error"):
        sign_package(Path(f"/proc/{os.getpid()}/mem"), "0" * 64, tmp_path, PackageSigner(signer))


def test_a_key_that_expired_signs_nothing(hello: Path, tmp_path: Path, signer: SigningKey) -> None:
    expired = replace(signer, expires=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(SigningError, match="expired"):
        sign_package(hello, sha256_of(hello), tmp_path, PackageSigner(expired))


def test_a_locked_key_is_reported_at_once(hello: Path, tmp_path: Path, locked: tuple[SigningKey, Path]) -> None:
    signer, _ = locked
    with pytest.raises(SigningError, match="locked"):
        sign_package(hello, sha256_of(hello), tmp_path, PackageSigner(replace(signer, passphrase_file=None)))
    assert not list(tmp_path.glob("signing-*"))


def test_a_passphrase_file_opens_it(hello: Path, tmp_path: Path, locked: tuple[SigningKey, Path]) -> None:
    assert sign_package(hello, sha256_of(hello), tmp_path, PackageSigner(locked[0])) is not None


def test_an_expiry_that_was_extended_does_not_change_the_bytes(hello: Path, tmp_path: Path) -> None:
    (tmp_path / "k").mkdir(mode=0o700)
    # In the past, since gpg does not stop its clock at the present second.
    made = make_key(tmp_path / "k", "Extended <e@example.com>", faked_time="20240101T000000")
    try:
        now = datetime.now(UTC)
        before = sign_package(
            hello, sha256_of(hello), tmp_path, PackageSigner(find_key(made.fingerprint, made.home, None, now))
        )
        subprocess.run(
            ["gpg", "--homedir", made.home, "--batch", "--quick-set-expire", made.fingerprint, "2y"], check=True
        )
        after = sign_package(
            hello, sha256_of(hello), tmp_path, PackageSigner(find_key(made.fingerprint, made.home, None, now))
        )
        assert before is not None
        assert after is not None
        assert before.sha256 == after.sha256
    finally:
        end_gpg_agent(made.home)


@pytest.mark.parametrize("data", [b"", b"no rpm at all", b"\xed\xab\xee\xdb\x03" + bytes(400)])
def test_a_file_that_is_not_an_rpm_is_blamed_on_the_package(tmp_path: Path, signer: SigningKey, data: bytes) -> None:
    path = tmp_path / "bad.rpm"
    path.write_bytes(data)
    with pytest.raises(Refused):
        sign_package(path, sha256_of(path), tmp_path, PackageSigner(signer))


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[tuple[SigningKey, Path]]:
    """A key with a passphrase; its file has a name that a shell would split."""
    home = tmp_path / "l"
    home.mkdir(mode=0o700)
    phrase = tmp_path / "pass phrase 100%.txt"
    phrase.write_text("correct horse\n")
    phrase.chmod(0o600)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase-file", str(phrase)]
    subprocess.run(
        [*gpg, "--quick-generate-key", "Locked <l@example.com>", "ed25519", "sign", "never"],
        check=True,
        capture_output=True,
    )
    listed = subprocess.run([*gpg, "--list-keys", "--with-colons"], check=True, capture_output=True, text=True).stdout
    name = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    signer = find_key(name, home, phrase, datetime.now(UTC))
    # Forget the passphrase that the agent has just been given.
    end_gpg_agent(home)
    yield signer, home
    end_gpg_agent(home)


def test_a_package_that_somebody_writes_to_is_not_signed(hello: Path, tmp_path: Path, signer: SigningKey) -> None:
    into = tmp_path / "into"
    into.mkdir()
    with hello.open("r+b"), pytest.raises(OtherBytes, match="somebody writes"):
        sign_package(hello, sha256_of(hello), into, PackageSigner(signer))
    assert list(into.iterdir()) == []
