"""What is said of a signing key that clients refuse, or that expires soon."""

from dataclasses import replace
from datetime import timedelta

import pytest

from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.key_warnings import warn
from packrat_agent.gpg.listed_keys import find_weak_digest
from packrat_agent.gpg.signing_key import SigningKey
from support.keyring import Keyring, now, unlocked


@pytest.mark.parametrize(
    ("kind", "warned"),
    [
        ("rsa1024", "RSA-1024 is refused by Debian 13 and later"),
        ("dsa1024", "DSA-1024 is refused by Debian 13 and later"),
        ("rsa2048", "RSA-2048 will be refused by Debian from 2030 on"),
        ("rsa3072", None),
        ("ed25519", "EdDSA is refused by RHEL 8 and Ubuntu 16.04"),
    ],
)
def test_a_key_that_clients_refuse_is_warned_of(ring: Keyring, kind: str, warned: str | None) -> None:
    key = ring.find(ring.make(kind=kind))
    found = warn(key, now())
    assert bool(found) == (warned is not None)
    assert warned is None or any(text.startswith(warned) for text in found)


def test_a_key_that_expires_soon_is_warned_of_thirty_days_ahead(ring: Keyring) -> None:
    primary = ring.make()
    subkey = ring.add(primary)
    key = ring.find(primary)
    assert key.expires is not None
    # The subkey goes before its primary: six months, not a year.
    assert timedelta(days=150) < key.expires - now() < timedelta(days=200)
    assert not any("expires on" in text for text in warn(key, key.expires - timedelta(days=31)))
    [found] = [text for text in warn(key, key.expires - timedelta(days=29)) if "expires on" in text]
    assert f"the key expires on {key.expires:%Y-%m-%d}" in found
    assert f"extend it with {GpgHints(ring.home).extend(primary, {subkey: now()})}, and" in found
    # What it says works; then the primary key is the part that expires first.
    ring.gpg(*unlocked(""), "--quick-set-expire", primary, "2y", subkey)
    extended = ring.find(primary)
    assert extended.expires is not None
    assert extended.expires - key.expires > timedelta(days=150)
    [found] = [text for text in warn(extended, extended.expires) if "expires on" in text]
    assert f"extend it with {GpgHints(ring.home).extend(primary, {primary: now()})}, and" in found


@pytest.mark.parametrize(("expires", "renewed"), [("1y", "2y"), ("never", "0")])
def test_a_key_that_certified_itself_by_sha1_is_warned_of_until_it_is_renewed(
    ring: Keyring, expires: str, renewed: str
) -> None:
    ring.gpg(*unlocked(""), "--cert-digest-algo", "SHA1", "--quick-generate-key", "weak", "rsa3072", "sign", expires)
    [weak] = ring.fingerprints()
    [found] = [text for text in warn(ring.find(weak), now()) if "SHA-1" in text]
    assert GpgHints(ring.home).sign_itself_again(weak, renewed) in found
    ring.gpg(*unlocked(""), "--cert-digest-algo", "SHA512", "--quick-set-expire", weak, renewed)
    key = ring.find(weak)
    assert not any("SHA-1" in text for text in warn(key, now()))
    assert (key.expires is None) == (expires == "never")


LISTING = """\
pub:-:3072:1:42868F51BFA68167:1795892560:::-:::escaESCA::::::23::0:
fpr:::::::::C6A73FE4BC2FC88AADE95B2642868F51BFA68167:
uid:-::::1795892560::648D8A9C1693BDA275B7F97E66D5866CDA78004A:: <a@b>::::::::::0:
sig:::1:42868F51BFA68167:1795892560:::: <a@b>:13x:::::8:
sub:-:3072:1:1111111111111111:1795892561::::::s::::::23:
sig:::1:42868F51BFA68167:1795892561:::: <a@b>:18x:::::8:
sub:-:3072:1:4A5D2F2D82029F62:1795892561::::::s::::::23:
fpr:::::::::9986D78AD15DB44C2F268C4C4A5D2F2D82029F62:
sig:::1:42868F51BFA68167:1795892561:::: <a@b>:18x:::::2:
"""
PRIMARY, SUBKEY = "C6A73FE4BC2FC88AADE95B2642868F51BFA68167", "9986D78AD15DB44C2F268C4C4A5D2F2D82029F62"


def test_a_subkey_that_is_bound_by_sha1_is_warned_of(ring: Keyring) -> None:
    """A key made by GnuPG 1.4, whose subkey sqv calls "not bound"; newer versions make none."""
    assert find_weak_digest(LISTING, PRIMARY, PRIMARY) == ""
    assert find_weak_digest(LISTING, PRIMARY, SUBKEY) == "SHA-1"
    renewed = f"{LISTING}sig:::1:42868F51BFA68167:1795892563:::: <a@b>:18x:::::10:\n"
    assert find_weak_digest(renewed, PRIMARY, SUBKEY) == ""
    key = replace(SigningKey(SUBKEY, PRIMARY, "", "RSA", 3072, None, now(), ring.home, None), weak_binding="SHA-1")
    [found] = warn(key, now())
    assert "signature on its subkey uses SHA-1, which Debian 13 and RHEL 9 refuse; add another with `gpg" in found
    assert warn(replace(key, fingerprint=PRIMARY), now()) == ()
