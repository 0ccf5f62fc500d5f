"""gpg that hangs or writes without end, as a broken wrapper in PATH does: it is ended, and the error says why."""

import errno
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.gpg import run
from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.run import read_home, run_gpg, run_gpgv
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.verdict import read_verdict
from packrat_agent.model.tree import SignatureForm
from packrat_agent.verify.signatures import Keyring
from packrat_core.errors import SigningError
from support.keys import Key

_LINE = "[GNUPG:] GOODSIG 0123456789ABCDEF somebody\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which programs are found first."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def _write_program(directory: Path, name: str, script: str) -> None:
    program = directory / name
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)


def _read_now(pipe: int) -> bytes | None:
    """Read what a pipe has; None where somebody may still write to it."""
    try:
        return os.read(pipe, 1)
    except BlockingIOError:
        return None


@contextmanager
def _watching_open_files() -> Iterator[list[int]]:
    """Note again and again how large the largest file is that this process has open and that has no name any more."""
    sizes, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.001):
            for link in Path("/proc/self/fd").iterdir():
                with suppress(OSError):
                    if str(link.readlink()).endswith("(deleted)"):
                        sizes.append(link.stat().st_size)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield sizes
    finally:
        over.set()
        watcher.join()


@pytest.mark.parametrize(
    "hangs",
    ["exec sleep 1000", "sleep 1000", "sleep 1000 & exit 0", "exec >&-; sleep 1000", "while sleep 0.01; do echo; done"],
)
def test_a_gpg_that_hangs_is_ended_with_what_it_started(
    programs: Path, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    monkeypatch.setattr(run, "_TIMEOUT_S", 0.1)
    # A process that writes to the pipe holds its other end open.
    pipe = programs / "is-alive"
    os.mkfifo(pipe)
    alive = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    _write_program(programs, "gpg", f"exec 9>{pipe}; {hangs}")
    with pytest.raises(SigningError, match="gpg did not end within 0 seconds; check whether gpg-agent"):
        run_gpg(None, "--list-keys")
    # Who was killed may take a moment to go.
    until = time.monotonic() + 60
    while (left := _read_now(alive)) is None:
        assert time.monotonic() < until
        threading.Event().wait(0.01)
    assert left == b""
    os.close(alive)


def test_a_gpg_that_writes_without_end_is_ended(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_OUTPUT_LIMIT", 1 << 20)
    _write_program(programs, "gpg", "exec cat /dev/zero")
    with pytest.raises(SigningError, match="gpg '--list-keys' wrote more than 1048576 bytes"):
        run_gpg(None, "--list-keys")
    _write_program(programs, "gpg", "exec cat /dev/zero >&2")
    with pytest.raises(SigningError, match="gpg wrote more than 1048576 bytes of messages"):
        run_gpg(None, "--list-keys")


def test_to_sign_takes_no_room_for_temporary_files(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    for form in SignatureForm:
        assert make_signature(signer, b"data\n" * 100_000, form)


def test_without_files_in_memory_gpg_is_given_files_on_disk(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "memfd_create", refuse)
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    for form in SignatureForm:
        assert make_signature(signer, b"data\n" * 100_000, form)


def test_a_failure_to_hand_gpg_its_input_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        run_gpg(None, "--list-keys")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_output_of_just_the_limit_is_whole(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_OUTPUT_LIMIT", 1000)
    _write_program(programs, "gpg", "exec head -c 1000 /dev/zero")
    assert run_gpg(None, "--list-keys").output == bytes(1000)


def test_a_message_is_read_up_to_its_limit(programs: Path) -> None:
    _write_program(programs, "gpgv", "exec cat /dev/zero")
    verified = run_gpgv(b"", b"", None, 1000)
    assert (verified.output, verified.is_cut) == (bytes(1000), True)
    _write_program(programs, "gpgv", "exec head -c 1000 /dev/zero")
    verified = run_gpgv(b"", b"", None, 1000)
    assert (verified.output, verified.is_cut) == (bytes(1000), False)


def test_status_lines_are_read_to_the_last_or_not_at_all(programs: Path) -> None:
    count = (64 << 10) // len(_LINE)
    lines = programs / "lines"
    # The first two arguments are `--status-fd N`.
    _write_program(programs, "gpg", f'exec cat {lines} >&"$2"')
    lines.write_text(_LINE * (count - 1) + "[GNUPG:] BADSIG 0123456789ABCDEF x\n")
    assert "were changed" in str(read_verdict(run_gpg(None, "--verify").status).wrong)
    lines.write_text(_LINE * (count + 1) + "[GNUPG:] BADSIG 0123456789ABCDEF x\n")
    with pytest.raises(SigningError, match="gpg wrote more than 65536 bytes of status lines; look for a wrapper"):
        run_gpg(None, "--verify")


def test_a_file_with_too_many_signatures_does_not_end_verify(key: Key) -> None:
    signer = find_key(key.fingerprint, key.home, None, datetime.now(UTC))
    signature = make_signature(signer, b"data", SignatureForm.BINARY)
    keyring = Keyring(key.home.joinpath("pubring.kbx").read_bytes())
    assert keyring.verify(b"data", signature) is None
    assert keyring.verify(b"data", signature * 200) == "has more signatures than can be checked"


def test_long_messages_of_gpg_are_cut(programs: Path) -> None:
    _write_program(programs, "gpg", "yes message | head -c 100000 >&2")
    assert len(run_gpg(None, "--list-keys").messages) == 64 << 10


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("gpg", lambda: run_gpg(None, "--list-keys")),
        ("gpgv", lambda: run_gpgv(b"", b"", None)),
        ("gpgconf", lambda: read_home(None)),
    ],
)
def test_a_program_that_is_missing_is_reported(
    programs: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[], object]
) -> None:
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(SigningError, match=rf"{name} can't be used \(No such file or directory\); install it"):
        call()


def test_a_gpgconf_that_hangs_is_reported(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_TIMEOUT_S", 0.1)
    _write_program(programs, "gpgconf", "exec sleep 1000")
    with pytest.raises(SigningError, match="gpgconf did not end within 0 seconds"):
        read_home(None)


@pytest.mark.parametrize(
    ("name", "script", "told"),
    [
        ("gpg", "exec cat /dev/zero >&2", "gpg wrote more than 268435456 bytes of messages"),
        ("gpg", 'exec cat /dev/zero >&"$2"', "gpg wrote more than 268435456 bytes of messages"),
        ("gpgconf", "exec cat /dev/zero >&2", "gpgconf wrote more than 268435456 bytes of messages"),
    ],
)
def test_messages_without_end_take_neither_memory_nor_disk(programs: Path, name: str, script: str, told: str) -> None:
    _write_program(programs, name, script)
    with _watching_open_files() as sizes, pytest.raises(SigningError, match=told):
        run_gpg(None, "--list-keys") if name == "gpg" else read_home(None)
    assert max(sizes) < 1 << 20


def test_a_gpgconf_that_writes_without_end_is_ended(programs: Path) -> None:
    _write_program(programs, "gpgconf", "exec yes")
    with pytest.raises(SigningError, match="gpgconf wrote more than 65536 bytes"):
        read_home(None)


def test_only_a_gpg_that_is_missing_is_to_be_installed(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(SigningError, match="install it"):
        run_gpg(None, "--version")
    (programs / "gpg").write_bytes(b"\x7fELF, but not really")
    (programs / "gpg").chmod(0o755)
    with pytest.raises(SigningError, match=r"gpg can't be started \(Exec format error\)") as refused:
        run_gpg(None, "--version")
    assert "install" not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EAGAIN, "TasksMax="), (errno.ENOMEM, "MemoryMax="), (errno.EMFILE, "LimitNOFILE="), (errno.EACCES, "user")],
)
def test_the_limit_that_keeps_gpg_from_starting_is_named(
    monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def refuse(*_given: object, **_named: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("packrat_core.bounded_run.subprocess.Popen", refuse)
    with pytest.raises(SigningError, match=r"gpg can't be started") as refused:
        run_gpg(None, "--version")
    assert hint in refused.value.hint
