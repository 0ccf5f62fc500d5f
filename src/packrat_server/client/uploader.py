"""Uploads packages to a packrat server and promotes them, through its HTTP API."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any

from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.failures import SettingNames
from packrat_core.cinp.refusals import NotFound, SessionEnded
from packrat_core.errors import PackratError, ServerBroken, ServerRefused
from packrat_server.client.carry_out_once import carry_out_once
from packrat_server.client.catalog import Catalog
from packrat_server.client.find_file import PACKAGE_FILE, ROOT, without_epoch
from packrat_server.client.refusals import explain

_LOGOUT_S = 5.0
_ARCHIVE = re.compile(r"\.tar(?:\.[a-zA-Z0-9]+)?$|\.tgz$")
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
        name = name or without_epoch(path.name)
        try:
            there, is_stored = await self._find_same(path, name)
            if is_stored and distro_versions and all(name in there for name in distro_versions):
                return dict.fromkeys((there[version] for version in distro_versions), False)
            handle = await self._send(path, _sendable(name))
            options = await self._client.call(
                f"{PACKAGE_FILE}(distroversionOptions)", {"file": handle}, repeatable=True
            )
            chosen = _choose(distro_versions, options, name)
            described = {"justification": justification, "provenance": provenance, **_why(reason)}
            made = {}
            for version in chosen:
                if version in there:
                    made[there[version]] = not is_stored
                else:
                    made |= await self._make(handle, path, name, version, described)
        except SessionEnded:
            raise
        except ServerRefused as error:
            raise ServerRefused(f"it is not taken{_as_other(name, path)}: {explain(error)}") from None
        return made

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
        arguments |= _why(reason)
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
        arguments = {"tag": f"{ROOT}Attrib/Tag:{tag}:", **_why(reason)}
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
            f"{uri}({action})", _why(reason), None, lambda record: (record.get(field) is not None) == marks
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
            await self._client.delete(uri, _why(reason) or None)
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

    async def _find_same(self, path: Path, name: str) -> tuple[dict[str, str], bool]:
        """Find what the server has with this name and these bytes.

        Returns:
            Distribution version → URI, and whether the server has the content; a lost disk may have taken that.
        """
        records = await self.catalog.find(name)
        if not records:
            return {}, True
        sha256 = await asyncio.to_thread(_hash, path)
        same = {uri: record for uri, record in records.items() if record.get("sha256") == sha256}
        # They have one content.
        is_stored = not same or await self.catalog.has_content(next(iter(same.values())), path.stat().st_size)
        versions = (str(record.get("distroversion")).removesuffix(":").rpartition(":")[2] for record in same.values())
        return dict(zip(versions, same, strict=True)), is_stored

    async def _send(self, path: Path, name: str) -> str:
        """Upload the bytes; gives the handle that `create` takes."""

        async def post() -> Any:
            with path.open("rb") as file:
                return await self._client.post_file("/api/upload", name, file, path.stat().st_size)

        async def look() -> None:
            """Repeating is safe: the server removes an upload that no package file is made of."""

        answer = await carry_out_once(post, look)
        if not isinstance(answer, dict) or not isinstance(answer.get("uri"), str):
            raise ServerBroken(f"the upload of {name} was answered without a handle")
        return str(answer["uri"])

    async def _make(
        self, handle: str, path: Path, name: str, distro_version: str, described: Mapping[str, str]
    ) -> dict[str, bool]:
        """Make a package file of an upload; gives its URI → whether it is new.

        Args:
            handle: The upload.
            path: The file that was uploaded.
            name: Its name on the server.
            distro_version: What it is for.
            described: The other arguments of `create`.

        Raises:
            ServerRefused: The server does not take it.
        """
        try:
            return {await self._create(handle, name, distro_version, described): True}
        except SessionEnded:
            raise
        except ServerRefused:
            # Another uploader may have made it of the same bytes a moment ago.
            there, _ = await self._find_same(path, name)
            if distro_version not in there:
                raise
            return {there[distro_version]: False}

    async def _create(self, handle: str, name: str, distro_version: str, described: Mapping[str, str]) -> str:
        arguments = {"file": handle, "distroversion": distro_version, **described}

        async def create() -> str:
            return str(await self._client.call(f"{PACKAGE_FILE}(create)", arguments))

        async def look() -> str | None:
            records = await self._client.get_many(PACKAGE_FILE, [_id_of(uri) for uri in await self.find(name)])
            wanted = (distro_version, f"{ROOT}Attrib/DistroVersion:{distro_version}:")
            return next((uri for uri, record in records.items() if record.get("distroversion") in wanted), None)

        try:
            return await carry_out_once(create, look)
        except ServerRefused as error:
            missing = re.search(r'NO_PACKAGE\): Unable to find package "([^"]+)"', str(error))
            if missing is None:
                raise
        await self._create_package(missing[1], described.get("reason", ""))
        return await carry_out_once(create, look)

    async def _create_package(self, name: str, reason: str = "") -> None:
        model = f"{ROOT}Package/Package"

        async def look() -> Mapping[str, Any] | None:
            try:
                return await self._client.get(f"{model}:{name}:")
            except NotFound:
                return None

        try:
            await carry_out_once(lambda: self._client.create(model, {"name": name, **_why(reason)}), look)
        except ServerRefused:
            # Another uploader may have made it a moment ago.
            if await look() is None:
                raise

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


def _why(reason: str) -> dict[str, str]:
    """The argument that gives a reason, which the original server doesn't know."""
    return {"reason": reason} if reason else {}


def _as_other(name: str, path: Path) -> str:
    return "" if name == path.name else f" as {name}"


def _sendable(name: str) -> str:
    if not name.isprintable():
        # No request can have it in its head.
        raise ServerRefused("Invalid Content-Disposition")
    return name


def _id_of(uri: str) -> str:
    return uri.rsplit(":", 2)[1]


def _choose(wanted: Sequence[str], options: Any, file_name: str) -> list[str]:
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise ServerBroken("the answer to distroversionOptions is not a list of names")
    if not options:
        raise ServerRefused(
            "the server has no distribution version that it can go to",
            hint="an administrator makes one, `packrat-server distro set NAME --type TYPE`; an rpm that names its "
            "release, such as fc41, needs one that has it among its --release-names",
        )
    if not wanted and len(options) != 1:
        raise ServerRefused(f"it can go to {', '.join(options)}: say which, with --distro")
    for name in wanted:
        if name not in options:
            # A compressed image, or one that `docker export` wrote, is a plain archive to the server.
            image = "; an image must be what `docker save` or `podman save` writes, not compressed"
            hint = f"--distro may be {', '.join(options)}{image if _ARCHIVE.search(file_name) else ''}"
            raise ServerRefused(f"it can't go to {name}", hint=hint)
    return list(dict.fromkeys(wanted)) or options


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
