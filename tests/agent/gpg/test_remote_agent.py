"""The secret key may lie behind the gpg-agent of another host, whose socket ssh forwards."""

import subprocess
from pathlib import Path

import pytest

from packrat_agent.gpg.back_up import export_secret
from packrat_agent.gpg.keyring import export_public, find_key
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.standalone_subkey import export_standalone
from packrat_agent.gpg.verify import verifies
from packrat_agent.model.tree import SignatureForm
from packrat_core.errors import SigningError
from support.keyring import now
from support.keys import gnupg_home, make_key


def redirect(home: Path, socket: str) -> None:
    """Have gpg use a socket that stands elsewhere, as one that ssh forwards."""
    subprocess.run(["gpgconf", "--homedir", str(home), "--create-socketdir"], check=False, capture_output=True)
    Path(socket_of(home, "agent-socket")).write_text(f"%Assuan%\nsocket={socket}\n")


def socket_of(home: Path, name: str) -> str:
    gpgconf = ["gpgconf", "--homedir", str(home), "--list-dirs", name]
    return subprocess.run(gpgconf, check=True, capture_output=True, text=True).stdout.strip()


def test_the_agent_signs_with_a_key_that_lies_on_another_host() -> None:
    with gnupg_home() as there, gnupg_home() as here:
        far = make_key(there, "far")
        subprocess.run(["gpgconf", "--homedir", str(there), "--launch", "gpg-agent"], check=True)
        public = export_public(find_key(far.fingerprint, there, None, now()))
        gpg = ["gpg", "--homedir", str(here), "--batch", "--no-autostart", "--import"]
        subprocess.run(gpg, input=public.binary, check=True, capture_output=True)
        # The restricted socket forbids what gpg needs to be told for a server.
        redirect(here, socket_of(there, "agent-extra-socket"))
        with pytest.raises(SigningError, match="no secret part"):
            find_key(far.fingerprint, here, None, now())
        redirect(here, socket_of(there, "agent-socket"))
        key = find_key(far.fingerprint, here, None, now())
        made = make_signature(key, b"data", SignatureForm.BINARY)
        assert verifies(key, b"data", made)
        assert not list(here.glob("private-keys-v1.d/*"))
        # As the documentation says: the full socket gives the key away, and shows no subkey as a key of its own.
        assert b"PRIVATE KEY" in export_secret({key.fingerprint: key.primary}, key.home, None)
        with pytest.raises(SigningError):
            export_standalone(key)
        # Nothing ends the agent of the other home by this way.
        Path(socket_of(here, "agent-socket")).unlink()
