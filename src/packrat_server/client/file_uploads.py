"""Uploads package files: each is sent, and package files are made of it.

The two steps are apart, so that the next files can be on their way while package files are made in the order of a list:

    async with aclosing(send_ahead(uploader.files, wanted)) as each:
        async for new, sending in each:
            made = await uploader.files.make(await sending)
"""

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.refusals import NotFound, SessionEnded
from packrat_core.errors import ServerBroken, ServerRefused
from packrat_server.client.carry_out_once import carry_out_once
from packrat_server.client.catalog import Catalog
from packrat_server.client.find_file import PACKAGE_FILE, ROOT
from packrat_server.client.refusals import explain

_ARCHIVE = re.compile(r"\.tar(?:\.[a-zA-Z0-9]+)?$|\.tgz$")
_AT_ONCE = 4
"""As many as the server reads at a time."""
_LARGE_BYTES = 16 * 1024 * 1024
"""What is larger gains nothing from being sent beside others: the line and the disk are what takes the time."""
_READ_S = 1800.0
"""How long the server may take to read an upload, once those of others have left it the turn."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that the server is to have.

    Attributes:
        path: The file.
        name: The name that it gets on the server.
        distro_versions: The distribution versions that it is for; empty for the only one that it can go to.
        described: What is said of it: the other arguments of `create`.
    """

    path: Path
    name: str
    distro_versions: tuple[str, ...]
    described: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file whose bytes the server has.

    Attributes:
        new: The file.
        handle: The upload, of which `create` makes package files; '' where all of them are there.
        distro_versions: The distribution versions that it goes to.
        there: Distribution version → URI of the package file that the server had before.
        is_stored: Whether the server had the content of these; a lost disk may have taken it.
    """

    new: NewFile
    handle: str
    distro_versions: Sequence[str]
    there: Mapping[str, str]
    is_stored: bool


class FileUploads:
    """Uploads files in one user's session."""

    def __init__(self, client: CinpClient, catalog: Catalog) -> None:
        self._client = client
        self._catalog = catalog

    async def send(self, new: NewFile) -> SentFile:
        """Send the bytes of a file, where the server doesn't have them already.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: The server refuses it, it can't go to one of its distribution versions, or it names none and
                may go to several.
        """
        with _explained(new):
            there, is_stored = await self._find_same(new.path, new.name)
            if is_stored and new.distro_versions and all(name in there for name in new.distro_versions):
                return SentFile(new, "", new.distro_versions, there, is_stored)
            handle = await self._send_bytes(new.path, _sendable(new.name))
            options = await self._client.call(
                f"{PACKAGE_FILE}(distroversionOptions)", {"file": handle}, _READ_S, repeatable=True
            )
            return SentFile(new, handle, _choose(new.distro_versions, options, new.name), there, is_stored)

    async def make(self, sent: SentFile) -> dict[str, bool]:
        """Make the package files of a file; gives their URIs → whether the server has got each by this.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: The server refuses one.
        """
        made = {}
        with _explained(sent.new):
            for version in sent.distro_versions:
                if version in sent.there:
                    made[sent.there[version]] = not sent.is_stored
                else:
                    made |= await self._make_one(sent, version)
        return made

    async def _find_same(self, path: Path, name: str) -> tuple[dict[str, str], bool]:
        """Find what the server has with this name and these bytes.

        Returns:
            Distribution version → URI, and whether the server has the content; a lost disk may have taken that.
        """
        records = await self._catalog.find(name)
        if not records:
            return {}, True
        sha256 = await asyncio.to_thread(_hash, path)
        same = {uri: record for uri, record in records.items() if record.get("sha256") == sha256}
        # They have one content.
        is_stored = not same or await self._catalog.has_content(next(iter(same.values())), path.stat().st_size)
        versions = (str(record.get("distroversion")).removesuffix(":").rpartition(":")[2] for record in same.values())
        return dict(zip(versions, same, strict=True)), is_stored

    async def _send_bytes(self, path: Path, name: str) -> str:
        """Upload the bytes; gives the handle that `create` takes."""

        async def post() -> Any:
            return await self._client.post_file("/api/upload", name, path)

        async def look() -> None:
            """Repeating is safe: the server removes an upload that no package file is made of."""

        answer = await carry_out_once(post, look)
        if not isinstance(answer, dict) or not isinstance(answer.get("uri"), str):
            raise ServerBroken(f"the upload of {name} was answered without a handle")
        return str(answer["uri"])

    async def _make_one(self, sent: SentFile, distro_version: str) -> dict[str, bool]:
        """Make a package file of an upload; gives its URI → whether it is new.

        Raises:
            ServerRefused: The server does not take it.
        """
        try:
            return {await self._create(sent, distro_version): True}
        except SessionEnded:
            raise
        except ServerRefused:
            # Another uploader may have made it of the same bytes a moment ago.
            there, _ = await self._find_same(sent.new.path, sent.new.name)
            if distro_version not in there:
                raise
            return {there[distro_version]: False}

    async def _create(self, sent: SentFile, distro_version: str) -> str:
        name, described = sent.new.name, sent.new.described
        arguments = {"file": sent.handle, "distroversion": distro_version, **described}

        async def create() -> str:
            return str(await self._client.call(f"{PACKAGE_FILE}(create)", arguments))

        async def look() -> str | None:
            # Of these bytes: another uploader may have made one of others under the same name meanwhile.
            there, _ = await self._find_same(sent.new.path, name)
            return there.get(distro_version)

        try:
            return await carry_out_once(create, look)
        except ServerRefused as error:
            missing = re.search(r'NO_PACKAGE\): Unable to find package "([^"]+)"', str(error))
            if missing is None:
                raise
        await self.create_package(missing[1], described.get("reason", ""))
        return await carry_out_once(create, look)

    async def create_package(self, name: str, reason: str = "") -> None:
        """Make a package, unless there is one of that name.

        Raises:
            ServerRefused: The server does not make it.
        """
        model = f"{ROOT}Package/Package"

        async def look() -> Mapping[str, Any] | None:
            try:
                return await self._client.get(f"{model}:{name}:")
            except NotFound:
                return None

        try:
            await carry_out_once(lambda: self._client.create(model, {"name": name, **why(reason)}), look)
        except ServerRefused:
            # Another uploader may have made it a moment ago.
            if await look() is None:
                raise


async def send_ahead(
    files: FileUploads, wanted: Iterable[NewFile]
) -> AsyncGenerator[tuple[NewFile, "asyncio.Task[SentFile]"], None]:
    """Send files, some at a time, and give each with its sending, in their order; what is left is ended with this.

    A large file is sent once package files are made of those before it.
    """
    waiting: deque[tuple[NewFile, asyncio.Task[SentFile]]] = deque()
    try:
        for new in wanted:
            at_once = 1 if _is_large(new.path) else _AT_ONCE
            while len(waiting) >= at_once:
                yield waiting.popleft()
            waiting.append((new, asyncio.create_task(files.send(new))))
        while waiting:
            yield waiting.popleft()
    finally:
        for _, sending in waiting:
            sending.cancel()
        await asyncio.gather(*(sending for _, sending in waiting), return_exceptions=True)


def _is_large(path: Path) -> bool:
    try:
        return path.stat().st_size > _LARGE_BYTES
    except OSError:
        # Sending it says why.
        return False


def why(reason: str) -> dict[str, str]:
    """The argument that gives a reason, which the original server doesn't know."""
    return {"reason": reason} if reason else {}


@contextmanager
def _explained(new: NewFile) -> Iterator[None]:
    try:
        yield
    except SessionEnded:
        raise
    except ServerRefused as error:
        raise ServerRefused(f"it is not taken{_as_other(new.name, new.path)}: {explain(error)}") from None


def _as_other(name: str, path: Path) -> str:
    return "" if name == path.name else f" as {name}"


def _sendable(name: str) -> str:
    if not name.isprintable():
        # No request can have it in its head.
        raise ServerRefused("Invalid Content-Disposition")
    return name


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
