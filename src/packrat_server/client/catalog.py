"""Looks at what a packrat server has: package files, tags and repositories, through its HTTP API.

Usage:

    async with signed_in(url, user, password) as uploader:
        records = await uploader.catalog.files("hello_2.10-3_amd64.deb")
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.refusals import NotFound, SessionEnded
from packrat_core.errors import ServerBroken, ServerRefused
from packrat_server.client.find_file import PACKAGE_FILE, ROOT, FileFinder, Records, without_epoch
from packrat_server.client.refusals import explain

_REPO = f"{ROOT}Repo/Repo"
_EVENTS_AT_ONCE = 1000
_NAMES_AHEAD = 100
"""The most records that a request can ask for."""


class Catalog:
    """Reads in one user's session; what was read of tags and repositories is remembered for the command."""

    def __init__(self, client: CinpClient) -> None:
        self._client = client
        self._finder = FileFinder(client)
        self._repos: Mapping[str, Mapping[str, Any]] | None = None
        self._actions: frozenset[str] | None = None
        self._tags: Mapping[str, Mapping[str, Any]] | None = None

    async def files(self, name: str) -> Records:
        """Read the records of the package files of a name, or of the one of a URI; URI → record.

        Raises:
            ServerRefused: There is none.
        """
        if name.startswith("/api/"):
            return {name: await self._client.get(name)}
        records = await self.find(name)
        if not records:
            raise ServerRefused(
                "the server has no package file of this name", hint="check the spelling, or give its URI"
            )
        return records

    async def each_with_files(
        self, names: Sequence[str], known: Mapping[str, Records] | None = None
    ) -> AsyncIterator[tuple[str, Records]]:
        """Go through names, and give with each what `files` would; nothing where that must still be asked.

        Args:
            names: As `files` takes them.
            known: What need not be read.
        """
        known = known or {}
        for start in range(0, len(names), _NAMES_AHEAD):
            portion = names[start : start + _NAMES_AHEAD]
            unread = [name for name in portion if name not in known]
            found = await self._finder.find_each(unread) if len(unread) > 1 else {}
            for name in portion:
                # What is given twice is read again, since the first time may have changed it.
                yield name, known.get(name) or found.pop(name, {})

    async def find(self, file_name: str) -> Records:
        """Read the records of the package files of a name; nothing where there is none."""
        return await self._finder.find(without_epoch(file_name))

    async def has_content(self, record: Mapping[str, Any], size: int) -> bool:
        """Tell whether the server can send a package file up to its last byte; a lost disk may have taken the content.

        Args:
            record: The record of the file.
            size: Its size.

        Returns:
            True also where the server does not say.
        """
        place = record.get("file")
        if not isinstance(place, str) or size < 1:
            return True
        try:
            async with self._client.open_file(place, size - 1) as download:
                # A file that ends before gives nothing.
                return download.response is not None
        except NotFound:
            return False
        except SessionEnded:
            raise
        except ServerRefused:
            return True

    async def tag_map(self) -> Mapping[str, Mapping[str, Any]]:
        """Read the tags: name → `required` tags, and whether it needs a `change_control` id.

        Raises:
            ServerBroken: The answer has another shape.
        """
        if self._tags is None:
            answer = await self._client.call(f"{ROOT}Attrib/Tag(tagMap)", {}, repeatable=True)
            if not isinstance(answer, dict) or not all(_is_tag(tag) for tag in answer.values()):
                raise ServerBroken("the answer to tagMap is not a map of tags")
            self._tags = answer
        return self._tags

    async def repos_with(self, record: Mapping[str, Any], uri: str, tags: Sequence[str]) -> list[str]:
        """List the repositories of some tags that offer a package file.

        Args:
            record: The record of the file.
            uri: Its URI.
            tags: The tags.
        """
        taking = [
            name
            for name, repo in (await self._read_repos()).items()
            if _id_of(repo.get("tag")) in tags and record.get("distroversion") in (repo.get("distroversion_list") or ())
        ]
        if taking and "show" in await self._read_actions():
            # A repository with "newest only" may take a file and not offer it.
            shown = await self.look("show", {"name": uri})
            offering = {name for found in shown["records"] for name in found.get("repositories", ())}
            taking = [name for name in taking if name in offering]
        return sorted(taking)

    async def look(self, action: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call an action that looks at package files; gives its `records`, and whether there are `more`.

        Raises:
            ServerRefused: The server has no such action, or an argument is wrong.
            ServerBroken: The answer has another shape.
        """
        answer = await self._call(action, arguments)
        records = answer.get("records") if isinstance(answer, dict) else None
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise ServerBroken(f"the answer to {action} is not a list of records")
        return dict(answer)

    async def history(self, name: str, limit: int) -> list[dict[str, Any]]:
        """Read the newest events of a package file or, if there is none of that name, of a package.

        Args:
            name: The URI or name of a file, or the name of a package.
            limit: Number of events.

        Raises:
            ServerRefused: The server has no such action.
            ServerBroken: The answer has another shape.
        """
        if name.startswith("/api/"):
            return await self._newest_events({"file": name}, limit)
        return await self._newest_events({"file_name": name}, limit) or await self._newest_events(
            {"package": name}, limit
        )

    async def where(self, file_name: str) -> list[dict[str, Any]]:
        """List the repositories of mirrors that offer a file, and whether each mirror has published it.

        Raises:
            ServerRefused: The server has no such action.
            ServerBroken: The answer has another shape.
        """
        places = await self._call("where", {"file_name": file_name})
        if not isinstance(places, list) or not all(isinstance(place, dict) for place in places):
            raise ServerBroken("the answer to where is not a list of places")
        return [
            {
                "mirror": _id_of(place.get("mirror")),
                "repo": _id_of(place.get("repo")),
                "distro": _id_of(place.get("distroversion")),
                "uri": place.get("file"),
                "published": place.get("published"),
                "reported_at": place.get("reported_at"),
            }
            for place in places
        ]

    async def _newest_events(self, wanted: Mapping[str, str], limit: int) -> list[dict[str, Any]]:
        newest: deque[dict[str, Any]] = deque(maxlen=limit)
        after = 0
        while True:
            asked = {**wanted, "after": after, "count": _EVENTS_AT_ONCE}
            found = await self._call("history", asked)
            if not isinstance(found, list) or not all(
                isinstance(event, dict) and isinstance(event.get("id"), int) for event in found
            ):
                raise ServerBroken("the answer to history is not a list of events")
            newest.extend(found)
            # A server that gave the same events again would be asked for ever.
            if len(found) < _EVENTS_AT_ONCE or found[-1]["id"] <= after:
                return list(newest)
            after = found[-1]["id"]

    async def _call(self, action: str, arguments: Mapping[str, Any]) -> Any:
        try:
            return await self._client.call(f"{PACKAGE_FILE}({action})", arguments, repeatable=True)
        except NotFound:
            raise ServerRefused(
                f"the server can't answer this: it has no action {action}",
                hint="only packrat-server of this version or newer has it; upgrade the server",
            ) from None
        except SessionEnded:
            raise
        except ServerRefused as error:
            raise ServerRefused(explain(error), error.code) from None

    async def _read_repos(self) -> Mapping[str, Mapping[str, Any]]:
        if self._repos is None:
            uris = await self._client.list_uris(_REPO, None, {})
            records = await self._client.get_many(_REPO, [_id_of(uri) for uri in uris])
            self._repos = {_id_of(uri): record for uri, record in records.items()}
        return self._repos

    async def _read_actions(self) -> frozenset[str]:
        if self._actions is None:
            described = (await self._client.describe(PACKAGE_FILE)).get("actions")
            paths = described if isinstance(described, list) else []
            self._actions = frozenset(str(path).rpartition("(")[2].removesuffix(")") for path in paths)
        return self._actions


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, dict) and all(isinstance(name, str) for name in tag.get("required") or ())


def _id_of(uri: Any) -> str:
    return str(uri).removesuffix(":").rpartition(":")[2]
