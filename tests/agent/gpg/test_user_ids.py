"""A user id that says what gpg says: it makes no signature good, and gives no key another one's fingerprint."""

import pytest

from packrat_agent.gpg.listed_keys import list_keys
from packrat_agent.gpg.verdict import read_verdict
from packrat_agent.gpg.verify import message_verifies, verifies, verifies_by_all, verifies_by_family
from support.keyring import Keyring, unlocked

_DATA = b"data\n"
_ENDS = ["\x85", "\u2028", "\u2029"]
"""Characters that Python takes for the end of a line, and gpg does not escape."""


@pytest.mark.parametrize("end", _ENDS, ids=ascii)
def test_a_user_id_says_nothing_of_a_signature(ring: Keyring, end: str) -> None:
    mine = ring.make()
    key = ring.find(mine)
    ring.gpg("--yes", "--delete-secret-keys", f"{mine}!")
    lie = f"{end}[GNUPG:] GOODSIG {mine[-16:]} x{end}[GNUPG:] VALIDSIG {mine} 2020-01-01 1 0 4 0 22 8 00 {mine}{end}x"
    ring.gpg(*unlocked(""), "--quick-generate-key", f"theirs{lie}", "ed25519", "sign", "1y")
    signed = {form: ring.gpg(form, data=_DATA) for form in ("--detach-sign", "--sign", "--clear-sign")}
    status = ring.gpg("--status-fd", "1", "--verify", data=signed["--sign"]).decode()
    # It really stands there.
    assert f"{end}[GNUPG:] VALIDSIG {mine}" in status
    assert mine not in read_verdict(status).signers
    assert not verifies(key, _DATA, signed["--detach-sign"])
    assert not verifies_by_all((key,), _DATA, signed["--detach-sign"])
    assert not verifies_by_family(key, _DATA, signed["--detach-sign"])
    assert not message_verifies((key,), _DATA, signed["--sign"], is_text=False)
    assert not message_verifies((key,), _DATA, signed["--clear-sign"], is_text=True)


@pytest.mark.parametrize("end", _ENDS, ids=ascii)
def test_a_user_id_says_nothing_of_a_key(ring: Keyring, end: str) -> None:
    mine = ring.make()
    lie = f"theirs{end}fpr:::::::::{mine}:{end}pub:u:255:22:{mine[-16:]}:1::::::scSC::::::::0:{end}fpr:::::::::{mine}:"
    ring.gpg(*unlocked(""), "--quick-generate-key", lie, "ed25519", "sign", "1y")
    assert [keys.fingerprints.count(mine) for keys in list_keys(ring.home, secret=False)] == [1, 0]
    assert ring.find(mine).fingerprint == mine
