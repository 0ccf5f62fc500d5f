"""gpg itself can go wrong, by a bad disk or memory or a wrapper in PATH: no wrong signature leaves `make_signature`."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.rpmsign import PackageSigner, sign_package
from packrat_agent.gpg.signatures import make_detached, make_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.tree import SignatureForm
from packrat_core.errors import SigningError
from packrat_demo.build_rpm import Rpm, write_rpm
from support.keys import Key, new_key
from support.rpm_signatures import sha256_of

_WRAPPER = """#!/usr/bin/env python3
import os, subprocess, sys
if not {{"--sign", "--clear-sign", "--detach-sign", "-sbo", "-sb"}} & set(sys.argv):
    os.execv({gpg!r}, ["gpg", *sys.argv[1:]])
{spoil}
"""
_SIGNS_OTHER_DATA = """
os.close(0)
reading, writing = os.pipe()
os.write(writing, b"other data\\n")
os.close(writing)
os.execv({gpg!r}, ["gpg", *sys.argv[1:]])
"""
_FLIPS_A_BIT = """
descriptors = [int(b) for a, b in zip(sys.argv, sys.argv[1:]) if a == "--status-fd"]
done = subprocess.run([{gpg!r}, *sys.argv[1:]], stdout=subprocess.PIPE, pass_fds=descriptors)
output = bytearray(done.stdout)
output[output.rfind(b"\\n", 0, -120) - 5 if b"-----BEGIN" in output else -5] ^= 1
sys.stdout.buffer.write(output)
sys.exit(done.returncode)
"""


@pytest.fixture
def signer(key: Key) -> SigningKey:
    return find_key(key.fingerprint, key.home, None, datetime.now(UTC))


def _spoil(spoil: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpg = shutil.which("gpg")
    assert gpg is not None
    wrapper = directory / "gpg"
    wrapper.write_text(_WRAPPER.format(gpg=gpg, spoil=spoil.format(gpg=gpg)))
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


@pytest.mark.parametrize("form", list(SignatureForm))
@pytest.mark.parametrize("spoil", [_SIGNS_OTHER_DATA, _FLIPS_A_BIT], ids=["other data", "flipped bit"])
def test_a_wrong_signature_is_refused(
    signer: SigningKey, form: SignatureForm, spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_signature(signer, b"data\n", form)
    _spoil(spoil, tmp_path, monkeypatch)
    with pytest.raises(SigningError, match="does not verify; nothing was published"):
        make_signature(signer, b"data\n", form)


@pytest.mark.parametrize("spoil", [_SIGNS_OTHER_DATA, _FLIPS_A_BIT], ids=["other data", "flipped bit"])
def test_a_wrong_detached_signature_is_refused_in_both_forms(
    signer: SigningKey, spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil(spoil, tmp_path, monkeypatch)
    with pytest.raises(SigningError, match="does not verify; nothing was published"):
        make_detached((signer,), b"data\n")


def test_a_detached_signature_is_binary_also_where_gpg_is_set_to_armor() -> None:
    with new_key("Armored") as key:
        (key.home / "gpg.conf").write_text("armor\n")
        made = make_detached((find_key(key.fingerprint, key.home, None, datetime.now(UTC)),), b"data\n")
    assert made[SignatureForm.BINARY][0] & 0x80
    assert made[SignatureForm.ARMOR].startswith(b"-----BEGIN PGP SIGNATURE-----\n\n")


def test_a_gpg_that_fails_without_a_word_comes_with_a_command_to_try(
    signer: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil("sys.exit(2)", tmp_path, monkeypatch)
    with pytest.raises(SigningError) as failed:
        make_signature(signer, b"data\n", SignatureForm.CLEAR)
    assert failed.value.message.startswith(f"gpg can't sign with {signer.fingerprint}: ")
    assert f"--local-user '{signer.fingerprint}!' --clear-sign < /dev/null" in failed.value.hint


def test_a_clear_signature_covers_lines_without_the_blanks_at_their_ends(signer: SigningKey) -> None:
    assert make_signature(signer, b"Origin: x  \nLabel:\t\n\n- y\n\n", SignatureForm.CLEAR)


def test_an_rpm_with_a_wrong_signature_is_refused(
    signer: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpm = write_rpm(Rpm("hello", "1.0", "noarch", files=(("/opt/hello", b"hi"),)), tmp_path)
    (tmp_path / "bin").mkdir()
    _spoil(_SIGNS_OTHER_DATA, tmp_path / "bin", monkeypatch)
    with pytest.raises(SigningError, match="does not verify"):
        sign_package(rpm, sha256_of(rpm), tmp_path, PackageSigner(signer))
