"""What gpg says of signatures: gpgv's exit code is 0 for keys that are expired or revoked, so it is not believed."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verdict import read_verdict
from packrat_agent.gpg.verify import verifies
from packrat_agent.verify.signatures import Keyring
from support.keys import gnupg_home

MADE, SIGNED = "20200101T000000", "20200102T000000"
MESSAGE = b"what is signed\n"


@dataclass(frozen=True, slots=True)
class Gnupg:
    """A GNUPGHOME for one test."""

    home: Path

    def run(self, *arguments: str, data: bytes = b"", at: str = "") -> bytes:
        # The `!` stops the clock: on a busy machine the key would be younger than what it signs next.
        faked = ["--faked-system-time", f"{at}!"] if at else []
        unlocked = ["--pinentry-mode", "loopback", "--passphrase", ""]
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--no-tty", *unlocked, *faked, *arguments]
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def fingerprints(self) -> list[str]:
        listed = self.run("--list-keys", "--with-colons", "--with-subkey-fingerprint").decode()
        return [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]

    def make(self, expires: str = "never", subkey_expires: str = "") -> str:
        """Make a key, with a subkey where that has an expiry; gives the fingerprint of the primary key."""
        self.run("--quick-generate-key", "Test", "ed25519", "sign", expires, at=MADE)
        primary = self.fingerprints()[0]
        if subkey_expires:
            self.run("--quick-add-key", primary, "ed25519", "sign", subkey_expires, at=MADE)
        return primary

    def sign(self, *options: str) -> bytes:
        """Sign with the newest key or subkey, when none was expired yet."""
        return self.run("--local-user", f"{self.fingerprints()[-1]}!", *options, data=MESSAGE, at=SIGNED)

    def revoke(self, primary: str, *, subkey: bool) -> None:
        if subkey:
            commands = b"key 1\nrevkey\ny\n3\n\ny\nsave\n"
            edit = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--pinentry-mode", "loopback"]
            edit += ["--passphrase", "", "--command-fd", "0", "--edit-key", primary]
            subprocess.run(edit, input=commands, capture_output=True, check=True)
        else:
            certificate = (self.home / f"openpgp-revocs.d/{primary}.rev").read_text()
            self.run("--import", data=certificate.replace("\n:-----", "\n-----").encode())


@pytest.fixture
def gnupg() -> Iterator[Gnupg]:
    """Its path is short, as gpg-agent's sockets need."""
    with gnupg_home() as home:
        yield Gnupg(home)


def good(gnupg: Gnupg) -> bytes:
    gnupg.make()
    return gnupg.sign("--detach-sign")


def good_with_another_subkey_expired(gnupg: Gnupg) -> bytes:
    """gpg tells KEYEXPIRED of that one, too."""
    primary = gnupg.make(subkey_expires="6m")
    gnupg.run("--quick-add-key", primary, "ed25519", "sign", "never", at=MADE)
    return gnupg.sign("--detach-sign")


def expired(gnupg: Gnupg) -> bytes:
    gnupg.make("1y")
    return gnupg.sign("--detach-sign")


def expired_subkey(gnupg: Gnupg) -> bytes:
    gnupg.make(subkey_expires="6m")
    return gnupg.sign("--detach-sign")


def subkey_of_an_expired_key(gnupg: Gnupg) -> bytes:
    gnupg.make("1y", "never")
    return gnupg.sign("--detach-sign")


def revoked(gnupg: Gnupg) -> bytes:
    primary = gnupg.make()
    signature = gnupg.sign("--detach-sign")
    gnupg.revoke(primary, subkey=False)
    return signature


def revoked_subkey(gnupg: Gnupg) -> bytes:
    primary = gnupg.make(subkey_expires="never")
    signature = gnupg.sign("--detach-sign")
    gnupg.revoke(primary, subkey=True)
    return signature


def expired_signature(gnupg: Gnupg) -> bytes:
    gnupg.make()
    return gnupg.sign("--default-sig-expire", "10d", "--detach-sign")


def of_other_bytes(gnupg: Gnupg) -> bytes:
    gnupg.make()
    return gnupg.run("--detach-sign", data=b"something else")


def of_a_missing_key(gnupg: Gnupg) -> bytes:
    gnupg.make()
    signature = gnupg.sign("--detach-sign")
    primary = gnupg.fingerprints()[0]
    gnupg.run("--delete-secret-and-public-key", primary)
    gnupg.run("--quick-generate-key", "Another", "ed25519", "sign", "never", at=MADE)
    return signature


def two_one_of_them_expired(gnupg: Gnupg) -> bytes:
    gnupg.make("1y")
    first = gnupg.sign("--detach-sign")
    gnupg.run("--quick-generate-key", "Another", "ed25519", "sign", "never", at=MADE)
    return first + gnupg.sign("--detach-sign")


CASES: dict[Callable[[Gnupg], bytes], str | None] = {
    good: None,
    good_with_another_subkey_expired: None,
    expired: "is expired",
    expired_subkey: "is expired",
    subkey_of_an_expired_key: "is expired",
    revoked: "is revoked",
    revoked_subkey: "is revoked",
    expired_signature: "it is expired itself",
    of_other_bytes: "were changed",
    of_a_missing_key: "can't be checked",
    two_one_of_them_expired: "is expired",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_only_a_good_signature_of_a_good_key_passes(gnupg: Gnupg, case: Callable[[Gnupg], bytes]) -> None:
    signature = case(gnupg)
    told = Keyring(gnupg.run("--export")).verify(MESSAGE, signature)
    expected = CASES[case]
    assert (told is None) if expected is None else (told is not None and expected in told), told
    # What was just signed is judged by the same rules.
    signer = SigningKey(gnupg.fingerprints()[-1], "", "", "", 0, None, datetime.now(UTC), gnupg.home, None)
    assert verifies(signer, MESSAGE, signature) is (expected is None)


@pytest.mark.parametrize("form", ["--clearsign", "--sign"])
def test_signed_messages_are_judged_by_the_same_rules(gnupg: Gnupg, form: str) -> None:
    gnupg.make("1y")
    _, told = Keyring(gnupg.run("--export")).read_message(gnupg.sign(form))
    assert told is not None
    assert "is expired" in told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gpgv: Good signature",
        "[GNUPG:] GOODSIG A x",
        "[GNUPG:] VALIDSIG A",
        "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG A x\n[GNUPG:] NEWSIG\n[GNUPG:] VALIDSIG A",
        "GOODSIG A x\nVALIDSIG A",
        "[GNUPG:] GOODSIG A x\n[GNUPG:] VALIDSIG A\n[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG B 1",
        "[GNUPG:] GOODSIG A x\n[GNUPG:] BADSIG A\n[GNUPG:] VALIDSIG A",
    ],
)
def test_anything_else_is_no_good_signature(text: str) -> None:
    assert read_verdict(text).wrong is not None


def test_the_signers_are_those_of_good_signatures() -> None:
    lines = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG {0} x\n[GNUPG:] VALIDSIG {0} 2020-01-01\n"
    verdict = read_verdict(lines.format("A") + lines.format("B"))
    assert (verdict.signers, verdict.wrong) == (("A", "B"), None)
