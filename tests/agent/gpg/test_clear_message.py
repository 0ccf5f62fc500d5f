"""A clear-signed message is compared with its text here where that is simple; where it is not, gpg gives the text."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verify import holds_as_it_is, message_verifies
from packrat_agent.model.tree import SignatureForm
from support.keys import Key

_HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
_ARMOR = b"-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\n"
_TEXT = b"Origin: x\n"
_MESSAGE = _HEAD + _TEXT + _ARMOR


@pytest.fixture
def signer(key: Key) -> SigningKey:
    return find_key(key.fingerprint, key.home, None, datetime.now(UTC))


def _read_by_gpg(signer: SigningKey, message: bytes) -> bytes:
    command = ["gpg", "--homedir", str(signer.home), "--batch", "--quiet", "--output", "-", "--decrypt"]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("text", "is_simple"),
    [
        (_TEXT, True),
        (b"\n\n", True),
        (b"\nOrigin: x\n\n\n", True),
        (b"Origin: x  \t\nLabel: \r\n", True),
        (b"caf\xc3\xa9 \xff\x00 \r x\n", True),
        (b"From\nx From y\nx - y\n", True),
        (b"x\n" * 100_000, True),
        (b"Origin: x", False),
        (b"- x\n", False),
        (b"x\n-----BEGIN PGP SIGNATURE-----\n", False),
        (b"x\nFrom y\n", False),
        (b"From y\n", False),
    ],
)
def test_the_clear_text_is_read_as_gpg_reads_it(signer: SigningKey, text: bytes, *, is_simple: bool) -> None:
    made = make_signature(signer, text, SignatureForm.CLEAR)
    assert holds_as_it_is(made, text) is is_simple
    lines = _read_by_gpg(signer, made).rstrip(b"\n").split(b"\n")
    assert [line.rstrip() for line in lines] == [line.rstrip() for line in text.rstrip(b"\n").split(b"\n")]
    assert message_verifies((signer,), text, made, is_text=True)
    assert not message_verifies((signer,), b"y" + text, made, is_text=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda message: b"x\n" + message,
        lambda message: message + b"x\n",
        lambda message: message + message,
        lambda message: message.replace(b"SHA512", b"SHA384"),
        lambda message: message.replace(b"SHA512", b"SHA1"),
        lambda message: message.replace(b"Hash: SHA512\n", b"Hash: SHA512\nNotDashEscaped: x\n"),
        lambda message: message.replace(b"Hash: SHA512\n", b""),
        lambda message: message.replace(_TEXT, b""),
        lambda message: message.replace(_TEXT, _TEXT + b"y\n"),
        lambda message: message.replace(_TEXT, b"Origin: y\n"),
        lambda message: message.replace(_ARMOR, b"\n" + _ARMOR),
        lambda message: message.replace(_ARMOR, _ARMOR + _ARMOR),
        lambda message: message.replace(_ARMOR, b""),
        lambda message: message.replace(b"=abcd\n", b"=abcd\n-----BEGIN PGP MESSAGE-----\n"),
        lambda message: message.replace(b"-----END PGP SIGNATURE-----\n", b""),
    ],
)
def test_any_other_message_is_left_to_gpg(spoil: Callable[[bytes], bytes]) -> None:
    assert holds_as_it_is(_MESSAGE, _TEXT)
    assert not holds_as_it_is(spoil(_MESSAGE), _TEXT)


@pytest.mark.parametrize("text", [b"- x\n", b"-\n", b"x\n- y\n", b"x\n" + _ARMOR, b"x"])
def test_a_message_that_did_not_escape_or_end_its_text_is_left_to_gpg(text: bytes) -> None:
    assert not holds_as_it_is(_HEAD + text + _ARMOR, text)


@given(text=st.binary(max_size=40), at=st.integers(0, len(_MESSAGE) + 40), put=st.binary(min_size=1, max_size=3))
def test_a_text_with_something_put_in_is_not_taken_for_the_text(text: bytes, at: int, put: bytes) -> None:
    text = text.replace(b"-", b"").replace(b"F", b"") + b"\n"
    message = _HEAD + text + _ARMOR
    assert holds_as_it_is(message, text)
    end = len(_HEAD) + len(text)
    where = min(at, end)
    spoiled = message[:where] + put + message[where:]
    assert spoiled == message or not holds_as_it_is(spoiled, text)


def test_a_valid_message_with_another_text_is_refused(signer: SigningKey) -> None:
    made = make_signature(signer, b"x\ny\n", SignatureForm.CLEAR)
    assert not message_verifies((signer,), b"x\n", made, is_text=True)
    assert not message_verifies((signer,), _TEXT, made, is_text=True)
    assert not message_verifies((signer,), b"x\ny\n", made.replace(b"y\n", b"z\n", 1), is_text=True)
    assert not message_verifies((signer,), b"x\nz\n", made.replace(b"y\n", b"z\n", 1), is_text=True)
