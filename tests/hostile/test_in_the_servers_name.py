"""By plain http, whoever answers in the server's name decides what the mirror's key signs."""

import hashlib
import lzma

from packrat_demo.build_deb import Deb
from support.evil import Victim
from support.keys import Key


def test_answers_in_the_servers_name_are_signed_and_withheld_ones_go_unnoticed(lured: Victim, key: Key) -> None:
    lured.extra = f"gpg_sign_key: {key.fingerprint}\ngnupg_home: {key.home}\n"
    assert lured.sync().code == 0
    lured.evil.add("2", Deb("planted", "1", "all"))
    assert lured.sync().code == 0
    [signed] = (lured.www / "apt-dev/dists").glob("*/InRelease")
    indexes = [lzma.decompress(path.read_bytes()) for path in signed.parent.rglob("Packages.xz")]
    planted = [index for index in indexes if b"Package: planted\n" in index]
    assert planted
    release = signed.read_text()
    assert hashlib.sha256(planted[0]).hexdigest() in release
    assert "-----BEGIN PGP SIGNATURE-----" in release
    # The answers stay as they are, whatever the server has by now.
    assert lured.sync().code == 0
