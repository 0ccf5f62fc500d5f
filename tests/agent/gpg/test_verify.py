"""A signature is verified by the key alone, whatever state the rest of the keyring is in."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.verify import message_verifies, verifies
from packrat_agent.model.tree import SignatureForm
from support.keys import Key

_WITHIN_S = 60


def test_verifying_waits_for_no_check_of_the_web_of_trust(key: Key) -> None:
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    detached = make_signature(signer, b"data", SignatureForm.BINARY)
    message = make_signature(signer, b"data", SignatureForm.OPAQUE)
    # Other owner trust: from now on the web of trust has to be checked again.
    line = ["gpg", "--homedir", str(key.home), "--batch", "--quiet", "--import-ownertrust"]
    subprocess.run(line, input=f"{key.fingerprint}:5:\n", text=True, check=True)
    # Another process, this one, checks it already and takes its time.
    lock = key.home / "trustdb.gpg.lock"
    lock.write_text(f"{os.getpid():10d}\n{os.uname().nodename}\n")
    with ThreadPoolExecutor(2) as threads:
        try:
            verified = [
                threads.submit(verifies, signer, b"data", detached),
                threads.submit(message_verifies, (signer,), b"data", message, is_text=False),
            ]
            assert all(done.result(_WITHIN_S) for done in verified)
        finally:
            lock.unlink()
