"""Puts packages into a packrat server and promotes them, through its HTTP API.

Takes: the server's URL, a user's name and password, files.
Gives: URIs of package files.
Touches: network, the files that are uploaded.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from packrat_core.cinp.client import CinpClient
from packrat_core.errors import ServerBroken, ServerRefused

_ROOT = "/api/v2/"
_PACKAGE_FILE = f"{_ROOT}Package/PackageFile"
_EPOCH = re.compile(r"_\d+(?:%3[aA]|:)")
_REASONS = {
    "Invalid Content-Disposition": "its name may have up to 200 letters, digits and _ . + ~ ! ^ -, and begins with a "
    "letter, a digit or _",
    "UNKNOWN_TYPE": "it is no package of a known type, and its name does not tell what it is: "
    "<package>_<version>.<ending>, the package in letters, digits and dashes",
    "ALLREADY_EXISTS": "the server has a file of this package, version, type and architecture for that distribution "
    "version already",
}
"""What the server says → what to do about it."""


class Uploader:
    """A user's session."""

    def __init__(self, client: CinpClient) -> None:
        self._client = client

    async def upload(
        self, path: Path, distro_versions: Sequence[str] = (), justification: str = "", provenance: str = ""
    ) -> list[str]:
        """Upload a file; gives the URI of a package file for each distribution version.

        distro_versions: by default the only one that the file can go to. The epoch that apt puts into the names of
        downloaded files is taken out.
        Raises: ServerRefused where the server does not take it, or it fits several distribution versions.
        """
        name = _EPOCH.sub("_", path.name)
        try:
            handle = await self._send(path, name)
            options = await self._client.call(f"{_PACKAGE_FILE}(distroversionOptions)", {"file": handle})
            chosen = list(distro_versions) or options
            if not distro_versions and len(options) != 1:
                raise ServerRefused(f"it can go to {', '.join(options)}: say which, with --distro")
            return [await self._create(handle, one, justification, provenance) for one in chosen]
        except ServerRefused as error:
            raise ServerRefused(f"{name!r} is not taken: {_explain(str(error))}") from None

    async def _send(self, path: Path, name: str) -> str:
        """Upload the bytes; gives the server's handle."""
        with path.open("rb") as file:
            answer = await self._client.post_file("/api/upload", name, file, path.stat().st_size)
        if not isinstance(answer, dict) or not isinstance(answer.get("uri"), str):
            raise ServerBroken(f"the upload of {name} was answered without a handle")
        return str(answer["uri"])

    async def _create(self, handle: str, distro_version: str, justification: str, provenance: str) -> str:
        arguments = {
            "file": handle,
            "distroversion": distro_version,
            "justification": justification,
            "provenance": provenance,
        }
        try:
            return str(await self._client.call(f"{_PACKAGE_FILE}(create)", arguments))
        except ServerRefused as error:
            missing = re.search(r'NO_PACKAGE\): Unable to find package "([^"]+)"', str(error))
            if missing is None:
                raise
        await self._client.create(f"{_ROOT}Package/Package", {"name": missing[1]})
        return str(await self._client.call(f"{_PACKAGE_FILE}(create)", arguments))

    async def tag(self, uri: str, tag: str, change_control_id: str | None = None) -> None:
        """Promote a package file to a tag."""
        arguments: dict[str, Any] = {"tag": f"{_ROOT}Attrib/Tag:{tag}:", "change_control_id": change_control_id}
        await self._client.call(f"{uri}(tag)", arguments)

    async def untag(self, uri: str, tag: str) -> None:
        """Take a tag off a package file."""
        await self._client.call(f"{uri}(untag)", {"tag": f"{_ROOT}Attrib/Tag:{tag}:"})

    async def act(self, uri: str, action: str) -> None:
        """Do one of fail, unfail, deprocate, undeprocate."""
        await self._client.call(f"{uri}({action})", {})

    async def find(self, file_name: str) -> list[str]:
        """The URIs of the package files with that file name."""
        found = []
        uris = await self._client.list_uris(_PACKAGE_FILE, None, {})
        ids = [uri.rsplit(":", 2)[1] for uri in uris]
        for uri, record in (await self._client.get_many(_PACKAGE_FILE, ids)).items():
            if record.get("file") == f"/files/{file_name}":
                found.append(uri)
        return sorted(found, key=lambda uri: int(uri.rsplit(":", 2)[1]))


def _explain(error: str) -> str:
    return next((plain for words, plain in _REASONS.items() if words in error), error)


@asynccontextmanager
async def signed_in(url: str, user: str, password: str) -> AsyncIterator[Uploader]:
    """Hold a user's session.

    Raises: ServerUnavailable, ServerRefused.
    """
    async with CinpClient(url) as client:
        await client.login(f"{_ROOT}Auth/User(login)", user, password)
        yield Uploader(client)
