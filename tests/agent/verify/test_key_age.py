"""`verify` finds a public key that is expired or revoked, and warns of one that expires soon."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packrat_agent.verify.findings import Fault, Warned
from packrat_agent.verify.key_age import audit_key_age
from support.keys import Key, gnupg_home, make_key

NOW = datetime.now(UTC)


def gpg(key: Key, *arguments: str) -> bytes:
    command = ["gpg", "--homedir", str(key.home), "--batch", "--yes", "--passphrase", "", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def audit(keys: bytes, now: datetime = NOW) -> list[tuple[type, str]]:
    return [(type(found), found.what) for found in audit_key_age(keys, "repo-key.gpg", now)]  # type: ignore[union-attr]


@pytest.mark.parametrize("form", [(), ("--armor",)])
def test_a_key_ages(form: tuple[str, ...]) -> None:
    with gnupg_home() as home:
        key = make_key(home, "Ages <ages@example.com>", expires="60d")
        public = gpg(key, *form, "--export", key.fingerprint)
        assert audit(public) == []
        assert audit(public, NOW + timedelta(days=29)) == []
        [(kind, told)] = audit(public, NOW + timedelta(days=31))
        assert (kind, "its key expires on" in told) == (Warned, True)
        assert "`packrat-agent key show` says how to extend it" in told
        [(kind, told)] = audit(public, NOW + timedelta(days=61))
        assert (kind, f"verifies nothing any more: {key.fingerprint} expired on" in told) == (Fault, True)


def test_one_good_key_beside_a_bad_one_is_enough(tmp_path: Path) -> None:
    with gnupg_home() as home:
        old, new = make_key(home, "Old <old@example.com>"), make_key(home, "New <new@example.com>")
        # gpg writes it with a colon in front, so that nobody imports it by mistake.
        text = (home / f"openpgp-revocs.d/{old.fingerprint}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
        revocation = tmp_path / "revocation"
        revocation.write_text(text)
        gpg(old, "--import", str(revocation))
        assert audit(gpg(old, "--export", old.fingerprint)) == [
            (Fault, f"verifies nothing any more: {old.fingerprint} is revoked")
        ]
        assert audit(gpg(old, "--export", old.fingerprint, new.fingerprint)) == []


def test_keys_that_cannot_sign_are_faults() -> None:
    assert audit(b"no key at all") == [(Fault, "holds no key that can sign")]
