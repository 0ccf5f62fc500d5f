"""Uploads packages to a packrat server and promotes them, through its HTTP API."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any

from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.failures import SettingNames
from packrat_core.cinp.refusals import NotFound, SessionEnded
from packrat_core.errors import PackratError, ServerRefused
from packrat_server.client.carry_out_once import carry_out_once
from packrat_server.client.catalog import Catalog
from packrat_server.client.file_uploads import FileUploads, NewFile, why
from packrat_server.client.find_file import ROOT, without_epoch
from packrat_server.client.refusals import explain

_LOGOUT_S = 5.0
_OPTIONS = SettingNames("--url", "--ca-file")
"""The names that a command has for the settings of the client."""
_MARKS = {
    "fail": ("failed_at", True),
    "unfail": ("failed_at", False),
    "deprocate": ("deprocated_at", True),
    "undeprocate": ("deprocated_at", False),
}
"""Action → the field of the record that it sets (True) or clears."""


class Uploader:
    """Uploads and promotes in one user's session."""

    def __init__(self, client: CinpClient) -> None:
        self._client = client
        self.catalog = Catalog(client)
        self.files = FileUploads(client, self.catalog)

    async def upload(
        self,
        path: Path,
        distro_versions: Sequence[str] = (),
        justification: str = "",
        provenance: str = "",
        name: str = "",
        reason: str = "",
    ) -> dict[str, bool]:
        """Upload a file, where the server doesn't have these bytes under this name already.

        Args:
            path: The file. The epoch that apt puts into the names of downloaded files is taken out of its name.
            distro_versions: The distribution versions that it is for; by default the only one that it can go to.
            justification: Why it is wanted.
            provenance: Where it comes from.
            name: The name that it gets on the server; '' for its own.
            reason: Why, for the record; '' for no reason.

        Returns:
            The URI of a package file for each distribution version → True where the server has got it by this.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: The server refuses it, it can't go to one of distro_versions, or none is given and it may go
                to several.
        """
        described = {"justification": justification, "provenance": provenance, **why(reason)}
        new = NewFile(path, name or without_epoch(path.name), tuple(distro_versions), described)
        return await self.files.make(await self.files.send(new))

    async def tag(self, uri: str, tag: str, change_control_id: str | None = None, reason: str = "") -> bool:
        """Promote a package file to a tag.

        Args:
            uri: The package file.
            tag: The name of the tag.
            change_control_id: What permits the change, where the tag needs that.
            reason: Why, for the record; '' for no reason.

        Returns:
            False where the file has the tag already.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: A rule forbids it.
        """
        arguments: dict[str, Any] = {"tag": f"{ROOT}Attrib/Tag:{tag}:", "change_control_id": change_control_id}
        arguments |= why(reason)
        return await self._change(
            f"{uri}(tag)", arguments, "ALLREADY_TAGGED", lambda record: tag in record.get("tags", ())
        )

    async def untag(self, uri: str, tag: str, reason: str = "") -> bool:
        """Take a tag off a package file.

        Args:
            uri: The package file.
            tag: The name of the tag.
            reason: Why, for the record; '' for no reason.

        Returns:
            False where it does not have the tag.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: A rule forbids it.
        """
        arguments = {"tag": f"{ROOT}Attrib/Tag:{tag}:", **why(reason)}
        return await self._change(
            f"{uri}(untag)", arguments, "NOT_TAGGED", lambda record: tag not in record.get("tags", (tag,))
        )

    async def act(self, uri: str, action: str, reason: str = "") -> None:
        """Mark a package file, or take a mark off; doing it again changes nothing.

        Args:
            uri: The package file.
            action: One of fail, unfail, deprocate, undeprocate.
            reason: Why, for the record; '' for no reason.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: A rule forbids it.
        """
        field, marks = _MARKS[action]
        await self._change(
            f"{uri}({action})", why(reason), None, lambda record: (record.get(field) is not None) == marks
        )

    async def delete(self, uri: str, reason: str = "") -> None:
        """Delete a package file.

        Args:
            uri: The package file.
            reason: Why, for the record; '' for no reason.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: There is none, or the user has no right to delete it.
        """

        async def ask() -> bool:
            await self._client.delete(uri, why(reason) or None)
            return True

        async def look() -> bool | None:
            try:
                await self._client.get(uri)
            except NotFound:
                return True
            return None

        try:
            await carry_out_once(ask, look)
        except SessionEnded:
            raise
        except ServerRefused as error:
            raise ServerRefused(explain(error), error.code) from None

    async def find(self, file_name: str) -> list[str]:
        """Find the URIs of the package files with that file name, in the order they were made."""
        return list(await self.catalog.find(file_name))

    async def _change(
        self,
        action: str,
        arguments: dict[str, Any],
        done_code: str | None,
        is_done: Callable[[Mapping[str, Any]], bool],
    ) -> bool:
        """Call an action of a package file.

        Args:
            action: The URI of the file with the action in parentheses.
            arguments: The arguments of the action.
            done_code: The server's error code for an action that was carried out before; None where it has none.
            is_done: Tells from the file's record whether the action was carried out, for when its answer is lost.

        Returns:
            False where the server answers with done_code.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: The server refused it.
        """

        async def look() -> bool | None:
            return is_done(await self._client.get(action.partition("(")[0])) or None

        async def ask() -> bool:
            await self._client.call(action, arguments)
            return True

        try:
            return await carry_out_once(ask, look)
        except SessionEnded:
            raise
        except ServerRefused as error:
            if error.code is not None and error.code == done_code:
                return False
            raise ServerRefused(explain(error), error.code) from None


@asynccontextmanager
async def signed_in(url: str, user: str, password: str, ca_file: Path | None = None) -> AsyncIterator[Uploader]:
    """Hold a user's session, and end it however the context ends.

    Args:
        url: The server.
        user: The user's name.
        password: The user's password.
        ca_file: The certificates of the authorities to trust; None for those of the system.

    Raises:
        ServerUnavailable: The server can't be reached.
        ServerRefused: Name and password do not belong together.
    """
    async with CinpClient(url, ca_file=ca_file, names=_OPTIONS) as client:
        try:
            await client.login(f"{ROOT}Auth/User(login)", user, password)
        except ServerRefused as error:
            if not error.by_api:
                raise
            raise ServerRefused(
                f"{url} refuses user {user!r} with this password: {error.api_message}",
                hint="check --user, and the password in PACKRAT_PASSWORD or --password-file; on the server's machine, "
                f"`packrat-server user set {quote(user)} --new-password` makes another",
            ) from None
        try:
            yield Uploader(client)
        finally:
            await _log_out(client)


async def _log_out(client: CinpClient) -> None:
    """End the session. Nothing depends on it, so a failure is not reported, and the wait for it is short."""
    with suppress(PackratError, TimeoutError):
        async with asyncio.timeout(_LOGOUT_S):
            await client.logout(f"{ROOT}Auth/User(logout)")
