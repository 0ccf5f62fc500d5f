"""Asks a packrat server about one mirror: its repositories, their wanted files, and what changed.

Answers are checked values; a record that can't be used becomes a Rejection.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from packrat_agent.model.changes import Changes
from packrat_agent.model.records import MirrorView, PackageFile, Repo, Wanted
from packrat_agent.upstream.bundles import Bundles
from packrat_agent.upstream.change_feed import BEGIN_S, SILENT_S, ChangeFeed
from packrat_agent.upstream.changed_records import ChangedPackages, ChangedRecords
from packrat_agent.upstream.login import Login, LoginState
from packrat_agent.upstream.package_files import (
    RECORDS_AT_ONCE,
    OnRead,
    ReadRecords,
    Rejected,
    Unread,
    read_records,
    read_unread,
    reject_uri,
)
from packrat_agent.upstream.read_changes import RECORDS, read_changes, read_names
from packrat_agent.upstream.read_repos import read_repos
from packrat_agent.upstream.records import (
    MIRROR,
    PACKAGE_FILE,
    REPO,
    REPOS_LIMIT,
    ROOT,
    Unusable,
    is_marked,
    read_id,
    read_ids,
    read_text,
)
from packrat_agent.upstream.reports import Reports
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.download import Download
from packrat_core.cinp.line_stream import LineStream
from packrat_core.cinp.listing import ENTRIES_LIMIT, Sink, UriQuery
from packrat_core.cinp.refusals import LoginRefused, NotFound, SessionEnded, TooMany
from packrat_core.errors import ServerBroken, ServerRefused

T = TypeVar("T")

_API_MAJOR = "2"
_WAIT_MARGIN_S = 60.0
"""The longest delay of the answer to a poll: on a small server polls queue behind each other."""

_KEPT = "kept"
"""The filter of the files that a repository's tag keeps, deprecated or not."""
_TOO_MANY = "split the repository on the server, or raise max_records if the memory of this machine allows it"


class Which(Enum):
    """Which files of a repository the server lists: KEPT are those that it wants, and deprecated ones that stay."""

    WANTED = "wanted"
    KEPT = "kept"
    DEPRECATED = "deprecated"


class Packrat:
    """One mirror's view of a packrat server."""

    def __init__(
        self,
        client: CinpClient,
        name: str,
        psk: str | None,
        login: LoginState | None = None,
        *,
        records_limit: int = ENTRIES_LIMIT,
    ) -> None:
        self._client = client
        self._name = name
        self._psk = psk
        self._mirror = f"{MIRROR}:{name}:"
        self.login = Login(client, name, psk, login or LoginState())
        """The session."""
        self._records_limit = records_limit
        self._repos: frozenset[str] = frozenset()
        self.has_changes = False
        """Whether the server offers the lossless `changes`."""
        self.changed_packages = ChangedPackages()
        """What the server said of the files of changed packages."""
        self.feed = ChangeFeed(partial(self._call, f"{self._mirror}(changes)"), self._open_changes)
        self.reports = Reports(self.login)
        self.bundles = Bundles(client, self._asking)
        self.has_kept = False
        """Whether the server lists deprecated files, too, for repositories that mark them."""

    @property
    def clock_ahead_s(self) -> float:
        """By how much this host's clock is ahead of the server's; 0 if they agree."""
        return self._client.clock_ahead_s

    async def open(self) -> None:
        """Check that the server has the supported API version, log in, and find out what it offers.

        If the server refuses the psk but shows the mirror without a login, the mirror is read without one.

        Raises:
            ServerUnavailable: The server can't be reached.
            ServerBroken: It has another API.
            ServerRefused: It refuses the name or the psk.
        """
        try:
            version = (await self._client.describe(ROOT)).get("api-version")
        except NotFound as error:
            raise ServerBroken(
                error.message, hint=f"that is not a packrat server: check {self._client.names.origin}"
            ) from None
        if not isinstance(version, str) or version.partition(".")[0] != _API_MAJOR:
            raise ServerBroken(
                f"the server has packrat's API {str(version)[:20]!r}, this packrat-agent speaks {_API_MAJOR}.x",
                hint="upgrade the older one",
            )
        await self.login.open()
        actions = (await self._client.describe(MIRROR)).get("actions")
        self.has_changes = isinstance(actions, list) and f"{MIRROR}(changes)" in actions
        self.reports.offer(is_offered=isinstance(actions, list) and f"{MIRROR}(report)" in actions)
        self.feed.learn(await self._describe_changes() if self.has_changes else {})
        # Without `changes`, a mark may change and nothing tells: the list of a repository's files stays the same.
        files = await self._client.describe(PACKAGE_FILE) if self.has_changes else {}
        filters = files.get("list-filters")
        self.has_kept = isinstance(filters, dict) and _KEPT in filters
        self.bundles.offer(files.get("actions"))

    async def _describe_changes(self) -> Mapping[str, Any]:
        try:
            return await self._client.describe(f"{MIRROR}(changes)")
        except NotFound:
            return {}

    async def renew_login(self) -> None:
        """Try a refused psk again, at the start of a full sync.

        Raises:
            LoginRefused: The mirror can't be read, with or without a login.
            ServerUnavailable: The server can't be reached.
            ServerBroken: Its answer can't be read.
        """
        await self.login.renew()

    async def view(self) -> MirrorView:
        """Ask for the mirror and its repositories.

        Raises:
            ServerRefused: The server doesn't know the mirror, or won't show it.
            ServerBroken: The mirror's own record can't be used.
        """
        record = await self._get_mirror()
        try:
            names = read_ids(record.get("repo_list"), REPO, "list of repositories")
        except Unusable as error:
            raise ServerBroken(f"the record of mirror {self._name} can't be used: {error}") from None
        if len(names) > REPOS_LIMIT:
            raise ServerBroken(
                f"the record of mirror {self._name} names more than {REPOS_LIMIT} repositories",
                hint="split the mirror on the server",
            )
        self._repos = frozenset(names)
        repos, rejected = await read_repos(self._get_many, names)
        try:
            description = read_text(record.get("description"), "description")
        except Unusable:
            description = ""
        return MirrorView(description, tuple(repos), tuple(rejected), frozenset(names) - {repo.name for repo in repos})

    async def _get_mirror(self) -> Mapping[str, Any]:
        """Ask for the mirror's own record; a refusal comes with a hint at what to correct."""
        try:
            return await self._asking(lambda: self._client.get(self._mirror))
        except NotFound:
            unknown = f"the server has no mirror called {self._name}"
            raise ServerRefused(unknown, hint=f"check {self._client.names.name}") from None
        except LoginRefused:
            raise
        except ServerRefused as error:
            if self.login.is_refused:
                raise self.login.explain(error) from None
            names = self._client.names
            hint = f"set {names.psk}" if self._psk is None else f"check {names.login}"
            raise ServerRefused(str(error), hint=hint) from None

    async def list_wanted(self, repo: Repo, packages: Collection[str] | None = None) -> list[str]:
        """Ask for the URIs of a repository's wanted files, of all packages or of some; the URIs are unchecked."""
        found: dict[str, None] = {}

        async def take(uris: Sequence[str]) -> None:
            found.update(dict.fromkeys(uris))

        await self.list_wanted_into(Sink(found.clear, take), repo, packages)
        return list(found)

    async def list_wanted_into(
        self, sink: Sink, repo: Repo, packages: Collection[str] | None = None, which: Which = Which.WANTED
    ) -> None:
        """Ask for the URIs of a repository's files without holding them in memory; they are unchecked.

        Args:
            sink: Takes the URIs.
            repo: The repository.
            packages: The packages; None for all.
            which: Which of its files; a server without `has_kept` knows the wanted ones alone.

        Raises:
            PackratError: The server does not answer, or refuses the request, or lists too much.
        """
        arguments: dict[str, Any] = {"repo": f"{REPO}:{repo.name}:"}
        arguments["package_list"] = None if packages is None else sorted(packages)
        if which is Which.DEPRECATED:
            arguments["deprocated"] = True
        query = UriQuery(PACKAGE_FILE, "repo" if which is Which.WANTED else _KEPT, arguments, self._records_limit)
        try:
            await self._asking(lambda: self._client.list_into(query, sink))
        except TooMany as error:
            raise TooMany(f"{repo.name} has too many files: {error.message}", error.count, hint=_TOO_MANY) from None

    async def wanted(self, repo: Repo, packages: Collection[str] | None, known: Mapping[str, PackageFile]) -> Wanted:
        """Ask for a repository's wanted files, of all packages or of some, in memory.

        Args:
            repo: The repository.
            packages: The packages; None for all.
            known: URI → record read earlier, which is not read again.

        Raises:
            PackratError: The server does not answer, or refuses the request.
        """
        listed = await self.list_wanted(repo, packages) if packages is None or packages else []
        files, rejected, unread = [known[uri] for uri in listed if uri in known], Rejected(), []
        for uri in listed:
            if uri not in known and (rejection := reject_uri(uri)) is not None:
                rejected.add(rejection)
            elif uri not in known:
                unread.append(uri)

        async def keep(read: Sequence[PackageFile], _left: int) -> None:
            files.extend(read)

        portions = (unread[at : at + RECORDS_AT_ONCE] for at in range(0, len(unread), RECORDS_AT_ONCE))
        await self.read_unread(Unread(len(unread), portions), rejected, keep)
        return Wanted(frozenset(listed), tuple(files), rejected.all())

    async def read_unread(
        self,
        unread: Unread,
        rejected: Rejected,
        on_read: OnRead,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        known: ChangedRecords | None = None,
    ) -> None:
        """Read the records that are not known, as `package_files.read_unread` does.

        Args:
            unread: Their URIs, which must be usable.
            rejected: Takes the records that can't be used.
            on_read: Called with each portion, before the next one is read.
            turn: Makes a context that each portion is read in; other work comes between.
            known: Records that came with an answer to `changes`, to be taken in place of the server's.
        """
        await read_unread(known.get_records if known else self._get_records, unread, rejected, on_read, turn)

    async def read_records(self, uris: Sequence[str]) -> ReadRecords:
        """Read the records of some package files, after whatever is more urgent.

        Raises:
            PackratError: The server does not answer, or refuses the request.
        """
        return await read_records(self._get_records, uris, bulk=True)

    async def read_marked(self, uris: Sequence[str], *, deprecated_too: bool) -> frozenset[str]:
        """Say which of some package files failed or are deprecated, by their records.

        Args:
            uris: The package files.
            deprecated_too: Count the deprecated ones as well as those that failed.

        Raises:
            PackratError: The server does not answer, or refuses the request.
        """
        records = await self._get_records([read_id(uri, PACKAGE_FILE) for uri in uris], bulk=True)
        return frozenset(
            uri for uri in uris if uri in records and is_marked(records[uri], deprecated_too=deprecated_too)
        )

    async def _get_records(self, ids: Sequence[str], *, bulk: bool) -> Mapping[str, Mapping[str, Any]]:
        return await self._get_many(PACKAGE_FILE, ids, bulk=bulk)

    async def _get_many(self, model: str, ids: Sequence[str], *, bulk: bool = False) -> Mapping[str, Mapping[str, Any]]:
        return await self._asking(lambda: self._client.get_many(model, ids, bulk=bulk))

    @property
    def is_busy(self) -> bool:
        """Whether the agent gives the server bulk work, so that everything else has to be cheap for it."""
        return self._client.is_busy

    async def changes(self, position: str | None, timeout_s: int) -> Changes:
        """Wait for changes since a position.

        A repository that the last view did not have counts as a change of the mirror itself.

        Args:
            position: The position of the previous answer; None asks for the current one.
            timeout_s: Seconds to wait at most.

        Raises:
            ServerBroken: The answer can't be used.
            PackratError: The server does not answer, or refuses the request.
        """
        heard = await self.feed.hear(position, timeout_s)
        changes = read_changes(heard.value, self._mirror, self._repos)
        self.reports.hear(changes.position)
        self.changed_packages.hear(
            changes.repos, heard.value.get(RECORDS) if self.feed.has_records else None, heard.asked_at
        )
        if changes.mirror:
            self.changed_packages.clear()
        return changes

    async def _open_changes(self, arguments: Mapping[str, Any]) -> LineStream:
        uri = f"{self._mirror}(changes)"
        return await self._asking(lambda: self._client.open_lines(uri, arguments, begin_s=BEGIN_S, silent_s=SILENT_S))

    async def poll(self, repo: Repo, timeout_s: int) -> frozenset[str]:
        """Wait for a hint that a repository changed; an empty answer does not mean that nothing changed."""
        uri = f"{REPO}:{repo.name}:(poll)"
        return read_names(await self._call(uri, {"timeout": timeout_s}, timeout_s + _WAIT_MARGIN_S), "poll")

    async def heartbeat(self) -> None:
        """Tell the server that this mirror is alive, and what it has published since the last time."""
        if not await self.reports.tell(partial(self._call, f"{self._mirror}(report)")):
            await self._call(f"{self._mirror}(heartbeat)", {})

    async def _call(self, uri: str, arguments: Mapping[str, Any], timeout_s: float | None = None) -> Any:
        """Call an action that may be repeated."""
        return await self._asking(lambda: self._client.call(uri, arguments, timeout_s, repeatable=True))

    @asynccontextmanager
    async def open_file(
        self, url: str, offset: int, validator: str | None = None, *, bulk: bool = False
    ) -> AsyncIterator[Download]:
        """Open a file of the server for download.

        Args:
            url: URL path on the server.
            offset: Byte to start at, if the server supports that and the file is unchanged; otherwise it starts at 0.
            validator: Identifies the file that the bytes before `offset` came from; None if unknown.
            bulk: It is one of many, which take turns at the pace that the server can bear.

        Raises:
            ServerUnavailable: The server can't be reached.
            ServerRefused: It does not provide the file.
            ServerBroken: Its answer can't be read.
        """
        open_file = self._client.open_file_in_turn if bulk else self._client.open_file
        async with AsyncExitStack() as stack:
            opened = await self._asking(lambda: stack.enter_async_context(open_file(url, offset, validator)))
            yield opened

    async def _asking(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Send a request; if the session has ended, log in again, once, and repeat it."""
        # Taken before the request, so that of several requests that fail together only one logs in.
        generation = self.login.generation
        try:
            return await ask()
        except SessionEnded as error:
            await self.login.replace(generation, error)
        try:
            return await ask()
        except SessionEnded as error:
            raise self.login.explain(error) from None
