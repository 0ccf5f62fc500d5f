"""The signing key: found by every name that gpg gives it, used alone, and told in words where it can't be."""

import os
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from structlog.testing import capture_logs

from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.keyring import export_public, find_key
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.standalone_subkey import export_standalone
from packrat_agent.model.tree import SignatureForm
from packrat_core.errors import SigningError
from support.keyring import Keyring, keyring, now, unlocked
from support.keys import gnupg_home

DETACHED = (SignatureForm.ARMOR, SignatureForm.BINARY)


def signer(ring: Keyring, key: SigningKey) -> str:
    """The fingerprint that gpg itself finds on a signature made with the key."""
    signature = make_signature(key, b"data\n", SignatureForm.CLEAR)
    said = ring.gpg("--status-fd", "1", "--verify", data=signature).decode()
    return next(line.split()[2] for line in said.splitlines() if line.startswith("[GNUPG:] VALIDSIG"))


def test_a_key_goes_by_its_short_id_its_long_id_and_its_fingerprint(ring: Keyring) -> None:
    fingerprint = ring.make()
    spelled = " ".join(fingerprint[at : at + 4] for at in range(0, 40, 4))
    names = [fingerprint[-8:], fingerprint[-16:], fingerprint, fingerprint.lower(), f"0x{fingerprint[-16:]}", spelled]
    for name in names:
        key = ring.find(name)
        assert (key.fingerprint, key.primary) == (fingerprint, fingerprint)
        assert (key.user, key.algorithm) == ("ed25519 0", "EdDSA")
    assert signer(ring, key) == fingerprint


@pytest.mark.parametrize("name", ["", "mirror@example.com", "12345", "F" * 39, "G" * 8, "FFFFFFFF!", "--help--"])
def test_a_malformed_key_id_is_refused_before_gpg_sees_it(ring: Keyring, name: str) -> None:
    assert "is not a key id; give the 8, 16 or 40 hex digits" in ring.refuses(name)


def test_configuring_the_encryption_subkey_logs_which_key_signs(ring: Keyring) -> None:
    primary = ring.make()
    encrypts = ring.add(primary, use="encr")
    with capture_logs() as logged:
        assert find_key(primary, ring.home, None, now()).fingerprint == primary
    assert not any("signs_with" in event for event in logged)
    with capture_logs() as logged:
        assert find_key(encrypts[-8:], ring.home, None, now()).fingerprint == primary
    told = str(logged)
    for part in (encrypts[-8:], primary, "the primary key of the same key"):
        assert part in told
    signs = ring.add(primary)
    with capture_logs() as logged:
        assert find_key(encrypts, ring.home, None, now()).fingerprint == signs
    assert "the signing subkey of the same key" in str(logged)


def test_a_primary_key_signs_with_its_newest_signing_subkey(ring: Keyring) -> None:
    primary = ring.make(use="cert")
    encrypting = ring.add(primary, use="encr")
    signing = ring.add(primary)
    for name in (primary, primary[-8:], encrypting, encrypting[-16:], signing, signing[-8:]):
        key = ring.find(name)
        assert (key.fingerprint, key.primary) == (signing, primary)
        assert signer(ring, key) == signing


def test_a_key_whose_only_subkey_encrypts_signs_by_itself(ring: Keyring) -> None:
    primary = ring.make()
    encrypting = ring.add(primary, use="encr")
    for name in (primary, encrypting, encrypting[-8:]):
        assert signer(ring, ring.find(name)) == primary


def test_a_subkey_that_is_named_signs_though_another_is_newer(ring: Keyring) -> None:
    primary = ring.make()
    older, newer = ring.add(primary), ring.add(primary)
    for named in (older, newer):
        assert ring.find(named).fingerprint == named
        assert signer(ring, ring.find(named)) == named


def test_a_primary_key_that_is_kept_offline_signs_through_its_subkey(ring: Keyring) -> None:
    primary = ring.make(use="cert")
    signing = ring.add(primary)
    secret = ring.gpg(*unlocked(""), "--export-secret-subkeys", primary)
    with keyring() as other:
        other.gpg("--import", data=secret)
        for name in (primary, signing):
            assert signer(other, other.find(name)) == signing


def test_a_key_that_is_missing_is_reported_with_where_it_was_looked_for(ring: Keyring) -> None:
    ring.make()
    said = ring.refuses("0123456789ABCDEF")
    assert f"0123456789ABCDEF is not in the keyring in {ring.home}" in said
    assert "gnupg_home" in said


def test_a_key_without_its_secret_part_is_told_so(ring: Keyring) -> None:
    fingerprint = ring.make()
    public = ring.gpg("--export", fingerprint)
    with keyring() as other:
        own = other.make()
        other.gpg("--import", data=public)
        assert "without its secret part; import the secret key" in other.refuses(fingerprint)
        assert other.find(own).fingerprint == own


def test_an_expired_key_is_refused_and_the_other_key_of_the_ring_never_signs_for_it(ring: Keyring) -> None:
    expired = ring.make(past=True)
    other = ring.make()
    for name in (expired, expired[-8:]):
        said = ring.refuses(name)
        assert expired in said
        assert f"is expired; extend it with {GpgHints(ring.home).extend(expired, {expired: now()})}, and" in said
    assert signer(ring, ring.find(other)) == other
    stale = SigningKey(expired, expired, "", "EdDSA", 255, None, now(), ring.home, None)
    with pytest.raises(SigningError, match=expired):
        make_signature(stale, b"data\n", SignatureForm.CLEAR)


@pytest.mark.parametrize("option", ["default-key", "local-user", "default-recipient"])
def test_no_option_in_gpg_conf_makes_another_key_sign(ring: Keyring, tmp_path: Path, option: str) -> None:
    named, other = ring.make(), ring.make()
    (tmp_path / "data").write_bytes(b"data\n")
    (ring.home / "gpg.conf").write_text(f"{option} {other}\n")
    for form in SignatureForm:
        key = SigningKey(named, named, "", "EdDSA", 255, None, now(), ring.home, None)
        try:
            (tmp_path / "signature").write_bytes(make_signature(key, b"data\n", form))
        except SigningError as error:
            assert option == "local-user"
            assert f"not with the configured {named} alone" in str(error)
            assert "gpg.conf" in str(error)
            continue
        signed = [str(tmp_path / "data")] if form in DETACHED else []
        said = ring.gpg("--status-fd", "1", "--verify", str(tmp_path / "signature"), *signed).decode()
        assert [line.split()[2] for line in said.splitlines() if " VALIDSIG " in line] == [named]


def test_an_expired_subkey_is_refused_by_name_and_passed_over_by_its_primary(ring: Keyring) -> None:
    primary = ring.make(past=True)
    expired = ring.add(primary, past=True)
    ring.gpg("--quick-set-expire", primary, "1y")
    refused = ring.refuses(expired)
    command = GpgHints(ring.home).extend(primary, {expired: now()})
    assert f"the signing key {expired} is expired; extend it with {command}" in refused
    assert signer(ring, ring.find(primary)) == primary


@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(minutes=1)])
def test_a_key_from_the_future_names_the_clock(ring: Keyring, ahead: timedelta) -> None:
    primary, clock = ring.make(), now() - ahead
    with pytest.raises(SigningError) as refused:
        find_key(primary, ring.home, None, clock)
    told = re.search(f"the signing key {primary} was made at (.*) UTC, later than this", str(refused.value))
    # The day alone may be the same.
    assert told is not None and datetime.fromisoformat(told[1]).replace(tzinfo=UTC) > clock
    assert "set that clock" in str(refused.value)
    assert find_key(primary, ring.home, None, now()).fingerprint == primary


def test_a_revoked_key_is_refused(ring: Keyring) -> None:
    fingerprint = ring.make()
    certificate = (
        (ring.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    )
    ring.gpg("--import", data=certificate.encode())
    assert "is revoked; make a new key" in ring.refuses(fingerprint)


@pytest.mark.parametrize("change", ["expired", "subkey expired", "revoked", "secret gone", "key gone"])
def test_a_key_that_goes_bad_while_the_agent_runs_is_reported_as_at_a_start(ring: Keyring, change: str) -> None:
    primary = ring.make()
    subkey = ring.add(primary)
    key = ring.find(subkey)
    extend = GpgHints(ring.home).extend
    told = f"the signing key {primary} is expired; extend it with {extend(primary, {primary: now()})}"
    if change == "expired":
        ring.gpg(*unlocked(""), "--quick-set-expire", primary, "seconds=1")
    elif change == "subkey expired":
        ring.gpg(*unlocked(""), "--quick-set-expire", primary, "seconds=1", subkey)
        told = f"the signing key {subkey} is expired; extend it with {extend(primary, {subkey: now()})}"
    elif change == "revoked":
        certificate = (ring.home / "openpgp-revocs.d" / f"{primary}.rev").read_text().replace(":-----", "-----")
        ring.gpg("--import", data=certificate.encode())
        told = f"the signing key {primary} is revoked; make a new key"
    elif change == "secret gone":
        for file in (ring.home / "private-keys-v1.d").iterdir():
            file.unlink()
        told = f"{subkey} is no longer in the keyring in {ring.home} with its secret part; import the secret key"
    else:
        ring.gpg("--yes", "--delete-secret-and-public-key", primary)
        told = f"{subkey} is no longer in the keyring in {ring.home} with its secret part; import the secret key"
    with pytest.raises(SigningError) as caught:
        until_it_fails(key)
    assert told in str(caught.value)


def until_it_fails(key: SigningKey) -> None:
    """Sign until that fails: an expiry is a second ahead."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        make_signature(key, b"data\n", SignatureForm.BINARY)


def test_a_key_without_the_signing_capability_is_refused_with_what_to_add(ring: Keyring) -> None:
    primary = ring.make(use="cert")
    encrypting = ring.add(primary, use="encr")
    for name in (primary, encrypting):
        said = ring.refuses(name)
        assert f"key {primary} can't sign: the primary key {primary} may only certify, " in said
        assert f"the subkey {encrypting} may only encrypt; add a subkey that may sign" in said
        assert f"with {GpgHints(ring.home).add_signing_subkey(primary)}, or name another key" in said


def test_a_key_whose_signing_subkey_is_of_no_use_any_more_says_why(ring: Keyring) -> None:
    primary = ring.make(use="cert", past=True)
    expired = ring.add(primary, past=True)
    ring.gpg(*unlocked(""), "--quick-set-expire", primary, "0")
    authenticates = ring.add(primary, use="auth")
    said = ring.refuses(primary)
    assert f"the subkey {expired} may sign, but is expired; extend it" in said
    assert f"the subkey {authenticates} may only authenticate" in said
    with pytest.raises(SigningError, match="is expired"):
        ring.find(expired)
    assert authenticates in ring.refuses(authenticates)


def test_a_locked_key_needs_the_right_passphrase_file(ring: Keyring, tmp_path: Path) -> None:
    fingerprint = ring.make(passphrase="open sesame")
    ring.forget_passphrases()
    said = ring.refuses(fingerprint)
    assert f"the signing key {fingerprint} is locked: it has a passphrase; set passphrase_file" in said
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    wrong.write_text("close sesame\n")
    right.write_text("open sesame\n")
    said = ring.refuses(fingerprint, wrong)
    assert "is locked: the passphrase in passphrase_file is wrong" in said
    assert "sesame" not in said
    assert signer(ring, ring.find(fingerprint, right)) == fingerprint


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (b"\xef\xbb\xbfopen sesame\n", "begins with a byte order mark"),
        (b"open sesame\r\n", "CR LF"),
        (b"open sesame \n", "ends with a space"),
        (b"close sesame\n", "passphrase_file is wrong; set"),
    ],
    ids=["mark", "windows", "space", "another"],
)
def test_what_an_editor_does_not_show_of_a_wrong_passphrase_is_named(
    ring: Keyring, tmp_path: Path, held: bytes, told: str
) -> None:
    fingerprint = ring.make(passphrase="open sesame")
    ring.forget_passphrases()
    (tmp_path / "passphrase").write_bytes(held)
    assert told in ring.refuses(fingerprint, tmp_path / "passphrase")


def test_a_passphrase_file_that_is_missing_is_named(ring: Keyring, tmp_path: Path) -> None:
    fingerprint = ring.make(passphrase="open sesame")
    ring.forget_passphrases()
    said = ring.refuses(fingerprint, tmp_path / "missing")
    told = f"passphrase_file {tmp_path / 'missing'} can't be read: No such file or directory"
    assert said == f"{told}; name the file with the passphrase"


def test_a_passphrase_file_is_no_hindrance_to_a_key_without_a_passphrase(ring: Keyring, tmp_path: Path) -> None:
    fingerprint = ring.make()
    (tmp_path / "any").write_text("any\n")
    assert signer(ring, ring.find(fingerprint, tmp_path / "any")) == fingerprint


def test_a_home_that_is_none_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="correct gnupg_home"):
        find_key("01234567", tmp_path / "missing", None, now())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_home_behind_a_closed_directory_is_reported_with_that_directory() -> None:
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        closed = Path(directory) / "closed"
        (closed / "home").mkdir(parents=True)
        closed.chmod(0o700)
        os.seteuid(65534)
        try:
            with pytest.raises(SigningError, match=f"gnupg_home {closed}/home can't be used: {closed} "):
                find_key("01234567", closed / "home", None, now())
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("form", list(SignatureForm))
def test_each_form_of_signature_holds_for_gpgv_with_the_exported_key(
    ring: Keyring, tmp_path: Path, form: SignatureForm
) -> None:
    data = b"Origin: Packrat\n- dashes\n\xff\n"
    key = ring.find(ring.make())
    public = export_public(key)
    assert public.armored.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert public.binary[0] & 0x80
    (tmp_path / "key.gpg").write_bytes(public.binary)
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "signature").write_bytes(make_signature(key, data, form))
    whole = form not in DETACHED
    verify = ["gpgv", "--keyring", str(tmp_path / "key.gpg")]
    verify += ["--output", str(tmp_path / "out")] if whole else []
    verify += [str(tmp_path / "signature"), *([] if whole else [str(tmp_path / "data")])]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not whole or (tmp_path / "out").read_bytes() == data


def test_the_exported_key_is_without_the_signatures_of_others(ring: Keyring) -> None:
    ours, other = ring.make(), ring.make()
    ring.gpg("--default-key", other, "--quick-sign-key", ours)
    assert ring.gpg("--export", ours).count(bytes.fromhex(other)) == 1
    assert bytes.fromhex(other) not in export_public(ring.find(ours)).binary


@pytest.mark.parametrize("kind", ["ed25519", "rsa2048"])
@pytest.mark.parametrize("passphrase", ["", "secret words"])
def test_a_signing_subkey_is_shown_as_a_key_of_its_own(
    ring: Keyring, tmp_path: Path, kind: str, passphrase: str
) -> None:
    file = tmp_path / "passphrase"
    file.write_text(f"{passphrase}\n")
    primary = ring.make(use="cert", passphrase=passphrase)
    subkey = ring.add(primary, passphrase=passphrase, kind=kind)
    key = ring.find(subkey, file if passphrase else None)
    before = sorted(path.stat().st_mtime_ns for path in (ring.home / "private-keys-v1.d").iterdir())
    lone = export_standalone(key)
    assert export_standalone(key) == lone
    assert sorted(path.stat().st_mtime_ns for path in (ring.home / "private-keys-v1.d").iterdir()) == before
    with gnupg_home() as other:
        gpg = ["gpg", "--homedir", str(other), "--batch", "--status-fd", "1"]
        subprocess.run([*gpg, "--import"], input=lone, check=True, capture_output=True)
        listed = subprocess.run([*gpg, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True)
        signature = make_signature(key, b"data", SignatureForm.OPAQUE)
        verified = subprocess.run([*gpg, "--verify"], input=signature, check=True, capture_output=True)
    assert key.expires is not None
    (listing,) = [line.split(":") for line in listed.stdout.splitlines() if line.startswith("pub:")]
    assert (listing[4], int(listing[6])) == (subkey[-16:], int(key.expires.timestamp()))
    # The last word names the primary key of what signed.
    (valid,) = [line for line in verified.stdout.splitlines() if b"VALIDSIG" in line]
    assert (valid.split()[2], valid.split()[-1]) == (subkey.encode(), subkey.encode())
