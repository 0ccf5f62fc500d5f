"""Runs gpg, gpgv and gpgconf, with bounds on time and output; no other module starts them.

    listed = run_gpg(home, "--with-colons", "--list-secret-keys")
    verified = run_gpgv(public_keys, signed, signature)
    read_verdict(verified.status)

What gpg did is on its status lines; its exit code and its messages are for explanations only.

Source: gpg(1); doc/DETAILS of GnuPG, "Format of the --status-fd output".
"""

import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from packrat_core.errors import SigningError

_TIMEOUT_S = 300.0
_OUTPUT_LIMIT = 256 * 1024 * 1024
_MESSAGES_LIMIT = 64 * 1024
_QUIET = ("--batch", "--no-tty", "--no-verbose", "--fixed-list-mode")


@dataclass(frozen=True, slots=True)
class GpgResult:
    """What one run of gpg gave.

    `output` is at most as long as the limit of the run; `is_cut`: there was more. `status` holds the status lines,
    `messages` what gpg wrote for people.
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


def run_gpg(home: Path | None, *arguments: str, data: bytes = b"") -> GpgResult:
    """Run gpg on a keyring.

    Args:
        home: The directory of the keyring; None for this user's own.
        arguments: Options and command.
        data: What gpg reads from stdin.

    Raises:
        SigningError: gpg can't be started, takes too long, or writes too much.
    """
    homedir = () if home is None else ("--homedir", str(home))
    result = _run(["gpg", *_QUIET, *homedir, *arguments], data, _OUTPUT_LIMIT)
    if result.is_cut:
        raise SigningError(f"gpg {arguments[-1]!r} wrote more than {_OUTPUT_LIMIT} bytes; look what is in the keyring")
    return result


def run_gpgv(keys: bytes, signed: bytes, detached: bytes | None, output_limit: int | None = None) -> GpgResult:
    """Verify a signature by public keys alone, without a keyring.

    Args:
        keys: The public keys in binary form.
        signed: What is signed, or a message that holds its signature.
        detached: The signature where it is not in `signed`.
        output_limit: How many bytes of the signed content to give; None for none of it.

    Raises:
        SigningError: gpgv can't be started, or takes too long.
    """
    files = {"signed": signed} if detached is None else {"detached": detached, "signed": signed}
    with tempfile.TemporaryDirectory(prefix="packrat-verify-") as name:
        directory = Path(name)
        for file, content in {**files, "keys": keys}.items():
            (directory / file).write_bytes(content)
        output = "/dev/null" if output_limit is None else "-"
        paths = [str(directory / file) for file in files]
        command = ["gpgv", "--keyring", str(directory / "keys"), "--output", output, "--", *paths]
        return _run(command, b"", output_limit or 0)


def read_home(home: Path | None) -> Path:
    """Name the directory of a keyring, also that of this user's own."""
    if home is not None:
        return home
    return Path(_run_gpgconf("--list-dirs", "homedir"))


def stop_gpg_agent(home: Path) -> None:
    """End the gpg-agent that gpg has started for a keyring."""
    _run_gpgconf("--homedir", str(home), "--kill", "all")


def unlock_options(passphrase_file: Path | None) -> tuple[str, ...]:
    """Give the options that unlock a secret key without asking anybody."""
    if passphrase_file is None:
        return ("--pinentry-mode", "error")
    return ("--pinentry-mode", "loopback", "--passphrase-file", str(passphrase_file))


def _environment() -> dict[str, str]:
    """Give the environment for gpg: its messages are to be in English, since some of them are read."""
    return {**{name: value for name, value in os.environ.items() if name != "LANGUAGE"}, "LC_ALL": "C.UTF-8"}


def _run(command: Sequence[str], data: bytes, limit: int) -> GpgResult:
    timed_out = threading.Event()
    with ExitStack() as opened:
        stdin, messages, status = (opened.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        stdin.write(data)
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                [command[0], "--status-fd", str(status.fileno()), *command[1:]],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=messages,
                pass_fds=(status.fileno(),),
                env=_environment(),
            )
        except OSError as error:
            raise SigningError(
                f"{command[0]} can't be used ({error.strerror}); install it (`apt-get install gnupg gpgv`)"
            ) from None

        def stop() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(_TIMEOUT_S, stop)
        timer.start()
        with process:
            try:
                assert process.stdout is not None
                # A message may be compressed, and expand without end.
                output = process.stdout.read(limit + 1)
                if len(output) > limit:
                    process.kill()
                process.wait()
            finally:
                timer.cancel()
        if timed_out.is_set():
            raise SigningError(
                f"{command[0]} did not end within {_TIMEOUT_S:.0f} seconds; look whether gpg-agent or a smart card "
                "waits for somebody"
            )
        return GpgResult(process.returncode, output[:limit], _text(status), _text(messages), is_cut=len(output) > limit)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_MESSAGES_LIMIT).decode("utf-8", "replace")


def _run_gpgconf(*arguments: str) -> str:
    command = ["gpgconf", *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
    )
    return done.stdout.strip()
