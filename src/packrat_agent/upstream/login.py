"""Logs a mirror in, or finds out that the server shows the mirror without a login.

The original server has no users for mirrors: it refuses every psk and shows everything to everybody. The rules:

1. The agent sends the psk at the start, at each full sync, and when the server demands a session.
2. Only a refusal by the API itself leads to an attempt without a login. A server that is unreachable, failing or busy
   never does, nor does a proxy that answers in its place.
3. The attempt without a login is one GET of the mirror's own record. If the record can be read, the agent continues
   without a session and reports this. If not, the error names both causes.
4. After a refusal the agent does not send the psk again on the same connection, except by rule 1 at a full sync.
"""

import asyncio
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass

from packrat_agent.upstream.records import MIRROR, ROOT
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.refusals import LoginRefused
from packrat_core.errors import ServerRefused

_LOGIN = f"{ROOT}Auth/User(login)"
_STRANGER_NAMES_BYTES = 4096
"""Size of the package names that are sent without a session: packrat-server takes requests of 8 KiB then."""


def _tell_nobody(_refused: str | None) -> None:
    pass


@dataclass(slots=True)
class LoginState:
    """How the server last answered the psk; the state outlives a connection.

    Attributes:
        tell: Called with `refused` whenever it may have changed.
        refused: Why the server refused the psk, while the mirror is read without a login; else None.
        tried: Whether the psk was sent since the last full sync began.
        reports_refused: Whether the log has that the server takes no reports of the mirror.
    """

    tell: Callable[[str | None], None] = _tell_nobody
    refused: str | None = None
    tried: bool = False
    reports_refused: bool = False

    def become(self, refused: str | None) -> None:
        """Set `refused` and call `tell`."""
        self.refused = refused
        self.tell(refused)


class Login:
    """The session of a mirror on one connection."""

    def __init__(self, client: CinpClient, name: str, psk: str | None, state: LoginState) -> None:
        self._client = client
        self._hint = f"check {client.names.login}, and whether the server has a user for this mirror"
        self._name = name
        self._psk = psk
        self.state = state
        self._lock = asyncio.Lock()
        self._refused: str | None = None
        self.generation = 0
        """Increases when a session is opened, and when the agent continues without one."""

    def can_name(self, packages: Collection[str]) -> bool:
        """Whether the server takes a question that names these packages."""
        is_stranger = self._psk is None or self.is_refused
        return not is_stranger or len(json.dumps(list(packages))) <= _STRANGER_NAMES_BYTES

    @property
    def is_refused(self) -> bool:
        """Whether the mirror is read without a login because its psk was refused."""
        return self.state.refused is not None

    async def open(self) -> None:
        """Log in at the start of a connection, unless the psk was refused and no full sync has begun since.

        Raises:
            LoginRefused: The mirror can't be read, with or without a login.
            ServerUnavailable: The server can't be reached.
            ServerBroken: Its answer can't be read.
        """
        if self._psk is None:
            self.state.become(None)
        elif not self.is_refused:
            async with self._lock:
                await self._log_in(self._psk)

    async def renew(self) -> None:
        """Try a refused psk again, at the start of a full sync.

        Raises:
            LoginRefused: The mirror can't be read, with or without a login.
            ServerUnavailable: The server can't be reached.
            ServerBroken: Its answer can't be read.
        """
        # A connection that was opened since the last full sync may have tried the psk already.
        tried, self.state.tried = self.state.tried, False
        if self._psk is not None and self.is_refused and not tried:
            async with self._lock:
                await self._log_in(self._psk)
            self.state.tried = False

    async def replace(self, generation: int, ended: ServerRefused) -> None:
        """Log in again after the server demanded a new session.

        Args:
            generation: The generation when the request was sent; if another task has logged in since, nothing is done.
            ended: The server's answer to the request.

        Raises:
            LoginRefused: The psk was refused.
            ServerRefused: There is no psk.
        """
        if self._psk is None:
            raise ended
        async with self._lock:
            if self.generation != generation:
                return
            if self._refused is not None:
                raise self.explain(ended)
            await self._log_in(self._psk)

    def explain(self, error: ServerRefused) -> ServerRefused:
        """Return an error that names both causes if the server had refused the psk before it refused a request."""
        if self._refused is None and not self.is_refused:
            return error
        why = self._refused or self.state.refused
        return LoginRefused(f"{why}; without a login it refuses too ({error}): {self._hint}")

    async def _log_in(self, psk: str) -> None:
        self.state.tried = True
        try:
            await self._client.login(_LOGIN, self._name, psk)
        except ServerRefused as error:
            await self._go_on_without(error)
            return
        self.generation += 1
        self._refused = None
        self.state.become(None)

    async def _go_on_without(self, refusal: ServerRefused) -> None:
        self._refused = why = f"the server refuses to log in mirror {self._name} ({refusal})"
        # Rule 2: a proxy or web server in front of the API knows nothing about the psk.
        if not refusal.by_api:
            self.state.become(None)
            raise LoginRefused(
                f"{why}: {self._hint}; it was not the packrat API that said so, so look at what stands in front of it, "
                "too"
            ) from None
        # Rule 3.
        try:
            await self._client.get(f"{MIRROR}:{self._name}:")
        except ServerRefused as error:
            self.state.become(None)
            raise self.explain(error) from None
        self.generation += 1
        self.state.become(why)
