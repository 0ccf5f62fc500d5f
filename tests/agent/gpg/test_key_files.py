"""Several public keys in one file are what gpg reads."""

import subprocess

from packrat_agent.gpg.key_files import armor, dearmor, join_keys
from packrat_agent.gpg.keyring import export_public, find_key
from packrat_agent.gpg.public_keys import read_public_keys
from support.keyring import now
from support.keys import Key, gnupg_home, make_key


def public(key: Key) -> tuple[bytes, bytes]:
    exported = export_public(find_key(key.fingerprint, key.home, None, now()))
    return exported.armored, exported.binary


def fingerprints(keys: bytes) -> list[str]:
    return [part.fingerprint for part in read_public_keys(keys, now())]


def test_the_armor_is_the_one_that_gpg_writes(key: Key) -> None:
    armored, binary = public(key)
    assert dearmor(armored) == binary
    assert armor(binary) == armored


def test_all_keys_are_read_from_one_file_and_those_of_packages_from_one_form() -> None:
    with gnupg_home() as home:
        first, second, third = (make_key(home, name) for name in ("first", "second", "third"))
        binaries = [public(key)[1] for key in (first, second, third)]
        joined = join_keys([binaries[0], binaries[1], binaries[0]], [binaries[2], binaries[1]])
        known = [key.fingerprint for key in (first, second, third)]
        assert fingerprints(joined.binary) == known[:2]
        assert fingerprints(joined.armored) == known
        with gnupg_home() as other:
            gpg = ["gpg", "--homedir", str(other), "--batch", "--import"]
            done = subprocess.run(gpg, input=joined.armored, capture_output=True, check=True)
            assert b"imported: 3" in done.stderr
