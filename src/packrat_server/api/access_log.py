"""Writes a line for each request to a file, in the combined log format of web servers.

    ADDRESS - USER [DATE] "METHOD PATH HTTP/1.1" STATUS BYTES "REFERER" "USER-AGENT"

1. A line is written when the answer has been sent, so that of a long poll comes at its end.
2. If the client hung up before the answer, the status is 499, as nginx writes it. It is also that of a change that a
   stop of the server left without an answer.
3. What clients send can't break a line: quotes, backslashes and everything but printable ASCII is written as `\\xNN`.
4. The file may be moved away at any time, as logrotate does: the next line goes to a new one. While none can be made,
   lines go on into the old one.

Source: Apache HTTP Server, "Log Files"; nginx, ngx_http_log_module.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import structlog
from starlette.types import Message, Scope, Send

from packrat_core.errors import ConfigError
from packrat_core.fs.ownership import explain_denied

log = structlog.get_logger()

_HUNG_UP = 499
_TEXT_LIMIT = 4096
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x22, 0x5C, *range(0x7F, 0x100))}


class AccessLog:
    """The file; call `write` from one event loop only."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ConfigError: It can't be written.
        """
        self._path = path
        self._failed = False
        try:
            self._file = self._open()
        except OSError as error:
            why = explain_denied(path) if isinstance(error, PermissionError) else None
            raise ConfigError(
                f"--access-log {path} can't be written: {why or error.strerror}",
                hint="give a file in a directory that the server's user may write to",
            ) from None

    def write(self, line: str) -> None:
        """Write a line; a disk that takes none stops no answer, and is reported once."""
        reason = self._follow()
        try:
            self._file.write(line)
            self._file.flush()
        except (OSError, ValueError) as error:
            reason = reason or str(error)
        if reason and not self._failed:
            log.error("access-log", path=str(self._path), reason=reason)
        self._failed = bool(reason)

    def _follow(self) -> str:
        """Go on in a new file if this one was moved away; gives why that failed, or ''."""
        try:
            if self._is_current():
                return ""
            # First, since the old file takes the lines for as long as there is no new one.
            opened = self._open()
        except OSError as error:
            return str(error)
        self.close()
        self._file = opened
        return ""

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _open(self) -> TextIO:
        # O_NONBLOCK for the open alone: of a named pipe that nobody reads, it would wait forever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o640)
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "w", encoding="ascii", errors="backslashreplace")

    def _is_current(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._file.fileno()))


@dataclass(slots=True)
class Access:
    """One request, as far as it has come.

    Attributes:
        scope: The request.
        address: Where it comes from.
        user: The name of the caller, as far as it is known.
        status: The status of the answer, once it has begun.
        sent: The number of bytes of its body.
    """

    scope: Scope
    address: str = "-"
    user: str = "-"
    status: int = _HUNG_UP
    sent: int = 0
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def has_begun(self) -> bool:
        """Whether the answer has begun."""
        return self.status != _HUNG_UP

    def counting(self, send: Send) -> Send:
        """Count what is sent."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            await send(message)
            self.sent += len(message.get("body", b""))

        return counted

    def counting_parts(self, write: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
        """Count what is written to the connection directly."""

        def counted(part: bytes) -> bool:
            is_written = write(part)
            self.sent += len(part) if is_written else 0
            return is_written

        return counted

    def line(self) -> str:
        """Write the line."""
        scope = self.scope
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        target = (scope["raw_path"] + query).decode("latin-1")
        headers = dict(reversed(scope["headers"]))
        referer, agent = (_text(headers.get(name, b"-").decode("latin-1")) for name in (b"referer", b"user-agent"))
        request = _text(f"{scope['method']} {target} HTTP/{scope['http_version']}")
        at = self.at.strftime("%d/%b/%Y:%H:%M:%S +0000")
        who = f"{_word(self.address)} - {_word(self.user)}"
        return f'{who} [{at}] "{request}" {self.status} {self.sent} "{referer}" "{agent}"\n'


def _text(text: str) -> str:
    return text[:_TEXT_LIMIT].translate(_ESCAPED)


def _word(text: str) -> str:
    return _text(text).replace(" ", "\\x20") or "-"
