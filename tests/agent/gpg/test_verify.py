"""A signature is verified by the keys that count alone, whatever else is in the keyring and whatever state it is in."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verify import message_verifies, verifies, verifies_by_all, verifies_by_family
from packrat_agent.model.tree import SignatureForm
from support.keyring import Keyring
from support.keys import Key

_WITHIN_S = 60
_DATA = b"data\n"


def sign(
    ring: Keyring, *fingerprints: str, data: bytes = _DATA, past: bool = False, form: str = "--detach-sign"
) -> bytes:
    """Sign with each of the keys, in one file; `past`: when the keys of long ago were not expired."""
    when = ["--faked-system-time", "20200201T000000!"] if past else []
    users = [word for fingerprint in fingerprints for word in ("--local-user", f"{fingerprint}!")]
    return ring.gpg(*when, *users, form, data=data)


def key_of(ring: Keyring, fingerprint: str, primary: str = "") -> SigningKey:
    """The key as the agent knows it, also where it would not sign with it any more."""
    return SigningKey(
        fingerprint, primary or fingerprint, "", "", 0, None, datetime.now(UTC), home=ring.home, passphrase_file=None
    )


def test_verifying_waits_for_no_check_of_the_web_of_trust(
    key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It knows of no trust.
    _put_in_path(tmp_path / "no-gpgv", monkeypatch, gpgv="exit 2")
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    detached = make_signature(signer, b"data", SignatureForm.BINARY)
    message = make_signature(signer, b"data", SignatureForm.OPAQUE)
    # Other owner trust: from now on the web of trust has to be checked again.
    line = ["gpg", "--homedir", str(key.home), "--batch", "--quiet", "--import-ownertrust"]
    subprocess.run(line, input=f"{key.fingerprint}:5:\n", text=True, check=True)
    # Another process, this one, checks it already and takes its time.
    lock = key.home / "trustdb.gpg.lock"
    lock.write_text(f"{os.getpid():10d}\n{os.uname().nodename}\n")
    with ThreadPoolExecutor(2) as threads:
        try:
            verified = [
                threads.submit(verifies, signer, b"data", detached),
                threads.submit(message_verifies, (signer,), b"data", message, is_text=False),
            ]
            assert all(done.result(_WITHIN_S) for done in verified)
        finally:
            lock.unlink()


def _put_in_path(programs: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    programs.mkdir()
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


def _verdicts(signers: Sequence[SigningKey], made: Mapping[SignatureForm, bytes], data: bytes) -> list[bool]:
    clear = made[SignatureForm.CLEAR].replace(b"data\n", data, 1)
    return [
        verifies_by_all(signers, data, made[SignatureForm.BINARY]),
        verifies_by_all(signers, data, made[SignatureForm.ARMOR]),
        message_verifies(signers, data, clear, is_text=True),
        message_verifies(signers, data, made[SignatureForm.OPAQUE], is_text=False),
    ]


def test_gpgv_and_gpg_alone_give_the_same_verdict(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    other = replace(signer, fingerprint="A" * 40)
    made = {form: make_signature(signer, b"data\n", form) for form in SignatureForm}
    cases = [((signer,), b"data\n"), ((signer,), b"Data\n"), ((other,), b"data\n"), ((signer, other), b"data\n")]
    usual = [_verdicts(signers, made, data) for signers, data in cases]
    with monkeypatch.context() as patched:
        _put_in_path(tmp_path / "no-gpgv", patched, gpgv="exit 2")
        assert [_verdicts(signers, made, data) for signers, data in cases] == usual
    with monkeypatch.context() as patched:
        # Nothing else is asked where gpgv has found the signature good.
        _put_in_path(tmp_path / "no-gpg", patched, gpg="exit 2")
        assert [_verdicts(signers, made, data) for signers, data in cases] == usual
    assert usual == [[True] * 4, [False] * 4, [False] * 4, [False] * 4]


def test_a_message_that_says_more_or_less_is_another_one(key: Key) -> None:
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    message = make_signature(signer, b"data", SignatureForm.OPAQUE)
    assert message_verifies((signer,), b"data", message, is_text=False)
    for said in (b"dat", b"da", b"data\n", b""):
        assert not message_verifies((signer,), said, message, is_text=False)


def test_without_gpgv_gpg_verifies(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    signature = make_signature(signer, b"data", SignatureForm.BINARY)
    gpg = shutil.which("gpg")
    assert gpg is not None
    (tmp_path / "gpg").symlink_to(gpg)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert verifies(signer, b"data", signature)
    assert not verifies(signer, b"Data", signature)


def test_the_word_of_gpgv_counts_for_the_keys_of_gpg_only(
    key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    asked = tmp_path / "asked"
    _put_in_path(tmp_path / "programs", monkeypatch, gpgv=f"touch {asked}")
    assert not verifies(signer, b"data", b"no signature")
    assert asked.exists()
    asked.unlink()
    # GnuPG with keyboxd keeps the keys there.
    (key.home / "public-keys.d").mkdir()
    try:
        assert not verifies(signer, b"data", b"no signature")
        assert not verifies(replace(signer, home=None), b"data", b"no signature")
        assert not asked.exists()
    finally:
        (key.home / "public-keys.d").rmdir()


def test_signatures_of_the_primary_key_and_its_subkeys_count_and_no_others(ring: Keyring) -> None:
    primary, other = ring.make(), ring.make()
    older, newer = ring.add(primary), ring.add(primary)
    key = key_of(ring, older, primary)
    for fingerprint in (primary, older, newer):
        made = sign(ring, fingerprint)
        assert verifies_by_family(key, _DATA, made)
        assert not verifies_by_family(key, b"other\n", made)
        assert not verifies_by_family(key_of(ring, other), _DATA, made)
        assert verifies(key, _DATA, made) is (fingerprint == older)
    made = sign(ring, other)
    assert not verifies_by_family(key, _DATA, made)
    assert not verifies_by_family(key, _DATA, made, frozenset({newer}))
    assert verifies_by_family(key, _DATA, made, frozenset({other}))
    assert not verifies_by_family(key, b"other\n", made, frozenset({other}))
    assert not verifies_by_family(key, _DATA, b"", frozenset({other}))


def test_one_of_several_signatures_is_proof_if_none_is_bad(ring: Keyring) -> None:
    primary, other = ring.make(), ring.make()
    key = key_of(ring, primary)
    assert verifies_by_family(key, _DATA, sign(ring, other, primary))
    good, bad = sign(ring, primary), sign(ring, other, data=b"other\n")
    for made in (good + bad, bad + good):
        assert not verifies_by_family(key, _DATA, made)
        assert not verifies_by_family(key, _DATA, made, frozenset({other}))


def test_an_expired_key_counts_only_among_the_others(ring: Keyring) -> None:
    expired, now = ring.make(past=True), ring.make()
    made = sign(ring, expired, past=True)
    assert not verifies_by_family(key_of(ring, expired), _DATA, made)
    assert not verifies_by_family(key_of(ring, now), _DATA, made)
    assert verifies_by_family(key_of(ring, now), _DATA, made, frozenset({expired}))
    assert not verifies_by_family(key_of(ring, now), b"other\n", made, frozenset({expired}))
    assert not verifies(key_of(ring, expired), _DATA, made)


def test_each_of_the_keys_must_have_signed_and_no_other(ring: Keyring) -> None:
    first, second, third = (ring.make() for _ in range(3))
    keys = [key_of(ring, fingerprint) for fingerprint in (first, second)]
    assert verifies_by_all(keys, _DATA, sign(ring, second, first))
    for fingerprints in ((first,), (second,), (first, third), (first, second, third)):
        assert not verifies_by_all(keys, _DATA, sign(ring, *fingerprints))
        assert not message_verifies(keys, _DATA, sign(ring, *fingerprints, form="--sign"), is_text=False)


def test_a_message_must_say_exactly_the_data(ring: Keyring) -> None:
    keys = [key_of(ring, ring.make())]
    made = sign(ring, keys[0].fingerprint, form="--sign")
    assert message_verifies(keys, _DATA, made, is_text=False)
    for other in (b"data", b"data \n", b"data\n\n", b"", b"other\n"):
        assert not message_verifies(keys, other, made, is_text=False)
    # A text that has to be escaped is compared as gpg reads it, without the blanks that the signature doesn't cover.
    dashed = b"- data \n"
    written = sign(ring, keys[0].fingerprint, data=dashed, form="--clear-sign")
    assert message_verifies(keys, dashed, written, is_text=True)
    for other in (b"data \n", b"- data\nx\n", b"", b"- date \n"):
        assert not message_verifies(keys, other, written, is_text=True)
