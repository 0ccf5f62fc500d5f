"""Runs gpg, gpgv and gpgconf, with bounds on time and output; no other module starts them.

    listed = run_gpg(home, "--with-colons", "--list-secret-keys")
    verified = run_gpgv(public_keys, signed, signature)
    read_verdict(verified.status)

What gpg did is on its status lines; its exit code and its messages are for explanations only.

Source: gpg(1); doc/DETAILS of GnuPG, "Format of the --status-fd output".
"""

import errno
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from packrat_core.bounded_run import BoundedPipe, read_bounded, start
from packrat_core.errors import SigningError
from packrat_core.fs.atomic import write_all
from packrat_core.fs.file_tail import FileTail
from packrat_core.fs.open import open_given
from packrat_core.fs.ownership import first_unusable

_TIMEOUT_S = 300.0
_OUTPUT_LIMIT = 256 * 1024 * 1024
_MESSAGES_LIMIT = 64 * 1024
_WHAT_TO_DO = {
    errno.EAGAIN: "let this process start more others (`TasksMax=` of a unit, `ulimit -u`)",
    errno.ENOMEM: "free memory, or raise what this process may have (`MemoryMax=` of a unit, `ulimit -v`)",
    errno.EMFILE: "let this process open more files at once (`LimitNOFILE=` of a unit, `ulimit -n`)",
}
_QUIET = ("--batch", "--no-tty", "--no-verbose", "--fixed-list-mode")


class GpgKilled(SigningError):
    """gpg took too long or wrote too much, and was killed."""


class StatusTooLong(SigningError):
    """gpg wrote more status lines than are read."""


@dataclass(frozen=True, slots=True)
class GpgResult:
    """What one run of gpg gave.

    `output` is at most as long as the limit of the run; `is_cut`: there was more. `status` holds all status lines,
    `messages` the first of what gpg wrote for people.
    """

    returncode: int
    output: bytes
    status: str
    messages: str
    is_cut: bool = False

    @property
    def reason(self) -> str:
        """The last lines of the messages, to be shown to the operator."""
        return " / ".join([line for line in self.messages.splitlines() if line.strip()][-2:])


def run_gpg(home: Path | None, *arguments: str, data: bytes | FileTail = b"", passed: Sequence[int] = ()) -> GpgResult:
    """Run gpg on a keyring.

    Args:
        home: The directory of the keyring; None for this user's own.
        arguments: Options and command.
        data: What gpg reads from stdin.
        passed: File descriptors that gpg inherits; with `--enable-special-filenames`, an argument names one as `-&N`.

    Raises:
        SigningError: gpg can't be started, takes too long, or writes too much.
    """
    homedir = () if home is None else ("--homedir", str(home))
    result = _run(["gpg", *_QUIET, *homedir, *arguments], data, _OUTPUT_LIMIT, passed)
    if result.is_cut:
        raise SigningError(
            f"gpg {arguments[-1]!r} wrote more than {_OUTPUT_LIMIT} bytes", hint="check what is in the keyring"
        )
    return result


def run_gpgv(
    keys: bytes, signed: bytes | FileTail, detached: bytes | None, output_limit: int | None = None
) -> GpgResult:
    """Verify a signature by public keys alone, without a keyring.

    Args:
        keys: The public keys in binary form.
        signed: What is signed, or a message that holds its signature.
        detached: The signature if it is not in `signed`.
        output_limit: How many bytes of the signed content to give; None for none of it.

    Raises:
        StatusTooLong: There are too many signatures.
        SigningError: gpgv can't be started, or takes too long.
    """
    data = b"" if isinstance(signed, bytes) else signed
    files = {} if detached is None else {"detached": detached}
    if isinstance(signed, bytes):
        files["signed"] = signed
    with tempfile.TemporaryDirectory(prefix="packrat-verify-") as name:
        directory = Path(name)
        for file, content in {**files, "keys": keys}.items():
            (directory / file).write_bytes(content)
        output = "/dev/null" if output_limit is None else "-"
        paths = [str(directory / file) for file in files] + ["-"] * isinstance(signed, FileTail)
        command = ["gpgv", "--keyring", str(directory / "keys"), "--output", output, "--", *paths]
        return _run(command, data, output_limit or 0)


def run_gpgv_on(
    keyring: Path, *files: str, data: bytes | FileTail, passed: Sequence[int] = (), output_limit: int | None = None
) -> GpgResult:
    """Verify signatures by a file of public keys.

    Args:
        keyring: The file.
        files: The signature and what it signs, as gpgv names files; none for a message on stdin.
        data: What gpgv reads from stdin.
        passed: File descriptors that gpgv inherits; `-&N` names one as a file.
        output_limit: How many bytes of what is signed to give; None for none of it.

    Raises:
        SigningError: gpgv can't be started, or takes too long.
    """
    output = () if output_limit is None else ("--output", "-")
    options = ("--enable-special-filenames", "--keyring", str(keyring), *output, "--", *files)
    return _run(["gpgv", *options], data, output_limit or 0, passed)


def file_of(data: bytes) -> IO[bytes]:
    """Give a file in memory with these bytes, for gpg to read; a new file on disk takes longer."""
    file = _new_file()
    try:
        write_all(file.fileno(), data)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _new_file() -> IO[bytes]:
    try:
        return open(os.memfd_create("packrat-gpg"), "w+b", buffering=0)  # noqa: PTH123 a descriptor is not a path
    except OSError:
        # The kernel, or the sandbox around this process, gives none.
        return tempfile.TemporaryFile(buffering=0)


def read_home(home: Path | None) -> Path:
    """Name the directory of a keyring, also that of this user's own."""
    if home is not None:
        return home
    return Path(_run_gpgconf("--list-dirs", "homedir"))


def read_socket_directory(home: Path | None) -> Path:
    """Name the directory of the sockets by which gpg reaches its gpg-agent."""
    homedir = () if home is None else ("--homedir", str(home))
    return Path(_run_gpgconf(*homedir, "--list-dirs", "socketdir"))


def stop_gpg_agent(home: Path) -> None:
    """End the gpg-agent that gpg has started for a keyring."""
    _run_gpgconf("--homedir", str(home), "--kill", "all")


def unlock_options(passphrase_file: Path | None) -> tuple[str, ...]:
    """Give the options that unlock a secret key without asking anybody.

    Raises:
        SigningError: The file with its passphrase can't be read.
    """
    if passphrase_file is None:
        return ("--pinentry-mode", "error")
    check_passphrase_file(passphrase_file)
    return ("--pinentry-mode", "loopback", "--passphrase-file", str(passphrase_file))


def check_passphrase_file(path: Path) -> None:
    """Make sure that gpg can read a file with a passphrase; of a named pipe or a device, it would read without an end.

    Raises:
        SigningError: It can't.
    """
    try:
        open_given(path).close()
    except OSError as error:
        why = first_unusable(path) if isinstance(error, PermissionError) else None
        hint = "" if why else "name the file with the passphrase"
        raise SigningError(f"passphrase_file {path} can't be read: {why or error.strerror}", hint=hint) from None


def _environment() -> dict[str, str]:
    """Give the environment for gpg: its messages must be in English, since the agent reads some of them."""
    return {**{name: value for name, value in os.environ.items() if name != "LANGUAGE"}, "LC_ALL": "C.UTF-8"}


def _run(command: Sequence[str], data: bytes | FileTail, limit: int, passed: Sequence[int] = ()) -> GpgResult:
    with ExitStack() as opened:
        stdin = data.rewind() if isinstance(data, FileTail) else opened.enter_context(file_of(data))
        status_read, status_write = os.pipe()
        opened.callback(os.close, status_read)
        try:
            process = _start(
                [command[0], "--status-fd", str(status_write), *command[1:]], stdin, (status_write, *passed)
            )
        finally:
            # The pipe has an end only when nobody can write to it any more.
            os.close(status_write)
        status = BoundedPipe(status_read, _MESSAGES_LIMIT, _OUTPUT_LIMIT)
        output, messages = _read(process, limit, status)
    if status.size > _MESSAGES_LIMIT:
        # The verdict on a signature may stand in any line, so some of them are as good as none.
        raise StatusTooLong(
            f"{command[0]} wrote more than {_MESSAGES_LIMIT} bytes of status lines",
            hint="look for a wrapper in its place, or a file with a great many signatures",
        )
    is_cut = output.size > limit
    return GpgResult(process.returncode, output.content(), _text(status), _text(messages), is_cut=is_cut)


def _start(command: Sequence[str], stdin: IO[bytes] | int, passed: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    try:
        return start(command, stdin, _environment(), passed)
    except FileNotFoundError:
        message = f"{command[0]} can't be used (No such file or directory)"
        raise SigningError(message, hint="install it (`apt-get install gnupg gpgv`)") from None
    except OSError as error:
        message = f"{command[0]} can't be started ({error.strerror})"
        raise SigningError(message, hint=_WHAT_TO_DO.get(error.errno or 0, "let this user run it")) from None


def _read(process: subprocess.Popen[bytes], limit: int, *more: BoundedPipe) -> tuple[BoundedPipe, BoundedPipe]:
    """Read what a process writes to stdout until it ends, or until that is more than the limit.

    Args:
        process: It has ended when this returns.
        limit: In bytes.
        more: Further pipes that it writes to.

    Returns:
        Its output and its messages.

    Raises:
        GpgKilled: It took too long, or wrote too much to another pipe.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    # A message may be compressed, and expand without end.
    output = BoundedPipe(process.stdout.fileno(), limit, limit)
    messages = BoundedPipe(process.stderr.fileno(), _MESSAGES_LIMIT, _OUTPUT_LIMIT)
    name = str(process.args[0])  # type: ignore[index] # a list: we started it
    try:
        overrun = read_bounded(process, (output, messages, *more), _TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise GpgKilled(
            f"{name} did not end within {_TIMEOUT_S:.0f} seconds",
            hint="check whether gpg-agent or a smart card is waiting",
        ) from None
    if overrun not in (None, output):
        raise GpgKilled(
            f"{name} wrote more than {_OUTPUT_LIMIT} bytes of messages", hint="look for a wrapper in its place"
        )
    return output, messages


def _text(pipe: BoundedPipe) -> str:
    return pipe.content().decode("utf-8", "replace")


def _run_gpgconf(*arguments: str) -> str:
    output, _ = _read(_start(["gpgconf", *arguments], subprocess.DEVNULL), _MESSAGES_LIMIT)
    if output.size > _MESSAGES_LIMIT:
        raise SigningError(f"gpgconf wrote more than {_MESSAGES_LIMIT} bytes", hint="look for a wrapper in its place")
    return _text(output).strip()
