"""What is said of a signing key is what apt of Debian 13, by its sqv, and rpm make of it."""

import os
import subprocess
from pathlib import Path

import pytest

from packrat_agent.gpg.key_warnings import warn
from packrat_agent.gpg.keyring import export_public
from support.keyring import Keyring, now, unlocked
from support.other_debian import TRIXIE, root_of, write_programs

POLICY = "usr/share/apt/default-sequoia.config"
"""By which apt lets sqv judge."""

SHA224 = ("--cert-digest-algo", "SHA224")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can use the root of another release")


@pytest.mark.parametrize(
    ("kinds", "options"),
    [
        (("ed25519",), ()),
        (("nistp256",), ()),
        (("brainpoolP256r1",), ()),
        (("secp256k1",), ()),
        (("rsa3072",), SHA224),
        (("rsa1024", "ed25519"), ()),
        (("nistp256", "rsa3072"), ()),
        (("ed25519", "rsa1024"), ()),
    ],
)
def test_sqv_and_rpm_refuse_the_keys_that_are_warned_of(
    ring: Keyring, tmp_path: Path, kinds: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """The second of two kinds is that of the subkey that signs."""
    use = "cert" if kinds[1:] else "sign"
    ring.gpg(*options, *unlocked(""), "--quick-generate-key", "of a kind", kinds[0], use, "never")
    [primary] = ring.fingerprints()
    for kind in kinds[1:]:
        ring.add(primary, kind=kind)
    key = ring.find(primary)
    said = " ".join(warn(key, now()))
    public = export_public(key)
    (tmp_path / "key.gpg").write_bytes(public.binary)
    (tmp_path / "key.asc").write_bytes(public.armored)
    (tmp_path / "text").write_bytes(b"text\n")
    sign = ("--digest-algo", "SHA512", "--local-user", f"{key.fingerprint}!", "--detach-sign")
    ring.gpg(*unlocked(""), *sign, "--output", str(tmp_path / "text.sig"), str(tmp_path / "text"))
    programs = write_programs(TRIXIE, tmp_path, ("sqv",))
    environment = {**os.environ, "SEQUOIA_CRYPTO_POLICY": f"/{POLICY}"}
    assert (root_of(TRIXIE) / POLICY).exists()
    command = [str(programs / "sqv"), "--keyring", "key.gpg", "--signature-file", "text.sig", "text"]
    sqv = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (sqv.returncode != 0) == ("Debian 13" in said), (said, sqv.stderr)
    rpm = subprocess.run(
        ["rpmkeys", "--root", tmp_path, "--import", tmp_path / "key.asc"], capture_output=True, text=True, check=False
    )
    assert (rpm.returncode != 0) == ("rpm" in said), (said, rpm.stderr)
