"""A key that gpg leaves out because its gpg-agent is about to end is there all the same."""

import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.listed_keys import list_keys
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.verify import verifies
from packrat_agent.model.tree import SignatureForm
from packrat_agent.setup.account import account_of
from packrat_agent.setup.signing import find_own_key, make_key
from packrat_core.errors import SigningError
from packrat_core.fs.in_time import in_time
from support.keyring import now
from support.keys import end_gpg_agent, fingerprint_of, gnupg_home
from support.keys import make_key as make_signing_key

from .test_remote_agent import redirect, socket_of


def _end_agent(home: Path) -> None:
    """End the gpg-agent of a keyring, and wait for that: it takes its socket with it."""
    ask = ["gpg-connect-agent", "--homedir", str(home), "--no-autostart", "getinfo pid", "/bye"]
    answer = subprocess.run(ask, check=True, capture_output=True, text=True).stdout
    with os.fdopen(os.pidfd_open(int(answer.split()[1]))) as process:
        end_gpg_agent(home)
        assert select.select([process], [], [], 30)[0]


@contextmanager
def _agents_that_end(home: Path, count: int) -> Iterator[list[str]]:
    """Stand in for `count` gpg-agents, each of which ends as it is asked for a key; gives what each was asked."""
    _end_agent(home)
    asked: list[str] = []
    path = Path(socket_of(home, "agent-socket"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def end_each() -> None:
            # Until nobody listens any more.
            with suppress(OSError):
                while len(asked) < count:
                    end_one(listening.accept()[0])

        def end_one(accepted: socket.socket) -> None:
            with accepted, accepted.makefile("rwb", buffering=0) as lines:
                lines.write(b"OK Pleased to meet you\n")
                for line in lines:
                    if line.startswith(b"HAVEKEY"):
                        asked.append(line.decode())
                        if len(asked) == count:
                            # The next one that gpg asks is the real one, which gpg starts.
                            path.unlink()
                        return
                    lines.write(b"OK\n")

        ending = threading.Thread(target=end_each)
        ending.start()
        yield asked
        path.unlink(missing_ok=True)
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        ending.join()


@pytest.fixture
def home() -> Iterator[Path]:
    with gnupg_home() as made:
        make_signing_key(made, "someone")
        yield made


def test_a_key_is_found_though_the_first_agents_end(home: Path) -> None:
    fingerprint = fingerprint_of(home, "someone")
    with _agents_that_end(home, 2) as asked:
        assert find_key(fingerprint, home, None, now()).fingerprint == fingerprint
    assert len(asked) == 2


def test_a_signature_is_made_though_the_first_agents_end(home: Path) -> None:
    key = find_key(fingerprint_of(home, "someone"), home, None, now())
    with _agents_that_end(home, 2) as asked:
        made = make_signature(key, b"data", SignatureForm.BINARY)
    assert verifies(key, b"data", made)
    assert len(asked) == 2


def test_an_agent_that_never_answers_is_told_and_is_no_empty_keyring(home: Path) -> None:
    fingerprint = fingerprint_of(home, "someone")
    with _agents_that_end(home, 1000):
        told = f"gpg-agent does not answer for the secret key {fingerprint} in {home}"
        with pytest.raises(SigningError, match=told) as unanswered:
            find_own_key(account_of(home.stat().st_uid), home, "", None, may_lack=False)
        with pytest.raises(SigningError, match=told):
            make_key(account_of(home.stat().st_uid), home, "another", None)
    assert f"gpgconf --homedir {home} --kill gpg-agent" in unanswered.value.hint
    assert [key.user for key in list_keys(home, secret=False)] == ["someone"]


def test_what_is_left_of_a_deleted_key_is_no_key(home: Path) -> None:
    left = home / "private-keys-v1.d" / f"{'0' * 40}.key"
    left.write_bytes(b"(private-key)")
    assert [key.user for key in list_keys(home, secret=True)] == ["someone"]


def test_a_key_that_the_agent_does_not_have_keeps_no_other_from_signing(home: Path) -> None:
    """The agent may be that of another host, and what lies here be left from before."""
    left = fingerprint_of(home, "someone")
    with gnupg_home() as there:
        far = make_signing_key(there, "far")
        subprocess.run(["gpgconf", "--homedir", str(there), "--launch", "gpg-agent"], check=True)
        public = subprocess.run(["gpg", "--homedir", str(there), "--export"], check=True, capture_output=True).stdout
        subprocess.run(["gpg", "--homedir", str(home), "--batch", "--import"], input=public, check=True)
        _end_agent(home)
        redirect(home, socket_of(there, "agent-socket"))
        assert find_key(far.fingerprint, home, None, now()).fingerprint == far.fingerprint
        with pytest.raises(SigningError, match="without its secret part"):
            find_key(left, home, None, now())
        # Nothing ends the agent of the other home by this way.
        Path(socket_of(home, "agent-socket")).unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that another user can't read")
def test_a_key_that_its_user_can_not_read_keeps_no_other_from_signing(home: Path) -> None:
    """As root, somebody made or imported another key there."""
    mine = fingerprint_of(home, "someone")
    before = set(home.glob("private-keys-v1.d/*"))
    make_signing_key(home, "of root")
    (other,) = set(home.glob("private-keys-v1.d/*")) - before
    _end_agent(home)
    for path in (home, *home.rglob("*")):
        os.lchown(path, 65534, 65534)
    os.lchown(other, 0, 0)

    def find() -> str:
        os.setresuid(65534, 65534, 0)
        return find_key(mine, home, None, now()).fingerprint

    assert in_time(find, home) == mine
