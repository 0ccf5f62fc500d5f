"""A packrat server within the test that gives package files in bundles, and one after the other, and fetches from it.

placements, server = make(50)
server.cuts = [20]
fetched = run(server, tmp_path, placements)
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packrat_agent.model.entries import Placement, Plan
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.sync.fetch.bundles import AT_ONCE
from packrat_agent.sync.fetch.download import Fetched, Retries, fetch, to_stage
from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_core.errors import PackratError, ServerRefused, ServerUnavailable

REPO = Repo("r", "R", "repo", "apt", ())
DEADLINE_S = 60
QUICK = Retries(tries=2, total_tries=4, wait_s=(0.0, 0.0))


@dataclass
class Answer:
    """A server's answer: `start` and then the bytes in small chunks, cut off after `cut` bytes."""

    start: int
    content: bytes
    cut: int | None
    validator: str | None

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.content), 65536):
            if self.cut is not None and at >= self.cut:
                raise ServerUnavailable("cut off")
            yield self.content[at : at + 65536]


@dataclass
class Opened:
    """A bundle that is open: its files, and what becomes of it after some."""

    looked_at: int
    content: Sequence[tuple[str, bytes]]
    fails: PackratError | None
    stays_open: bool = False

    async def files(self) -> AsyncIterator[tuple[str, bytes]]:
        for file in self.content:
            await asyncio.sleep(0)
            yield file
        if self.fails is not None:
            raise self.fails
        if self.stays_open:
            await asyncio.Event().wait()


@dataclass
class BundleServer:
    """Has files by URI, of which some come only alone; bundles that end early, break off, or are refused on demand."""

    files: dict[str, bytes]
    large: set[str] = field(default_factory=set)
    most: int = AT_ONCE
    cuts: list[int] = field(default_factory=list)
    refuses: list[PackratError | None] = field(default_factory=list)
    bundles: list[list[str]] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    may: asyncio.Event | None = None
    stays_open: bool = False

    @asynccontextmanager
    async def open_bundle(self, uris: Sequence[str]) -> AsyncIterator[Opened]:
        self.bundles.append(list(uris))
        assert len(uris) == len(set(uris)) <= AT_ONCE
        if self.may is not None:
            await self.may.wait()
        if self.refuses and (refusal := self.refuses.pop(0)) is not None:
            raise refusal
        asked = uris[: self.most]
        content = [(uri, self.files[uri]) for uri in asked if uri in self.files and uri not in self.large]
        fails = None
        if self.cuts:
            content, fails = content[: self.cuts.pop()], ServerUnavailable("broke off")
        yield Opened(len(asked), content, fails, self.stays_open)

    @asynccontextmanager
    async def open_file(self, url: str, offset: int, _validator: str | None) -> AsyncIterator[Answer]:
        self.alone.append(url.replace("/files/", "/uri/"))
        content = self.files.get(self.alone[-1])
        if content is None:
            raise ServerRefused("not found")
        yield Answer(offset, content[offset:], None, None)


def placement(name: str, content: bytes) -> Placement:
    sha256 = hashlib.sha256(content).hexdigest()
    file = PackageFile(f"/uri/{name}", "p", "bookworm", "1", "deb", "all", f"/files/{name}", name, sha256)
    return Placement(file, f"repo/{name}")


def make(count: int) -> tuple[list[Placement], BundleServer]:
    contents = {f"p{number}": f"content of {number}".encode() * (number % 7) or b"" for number in range(1, count + 1)}
    # Several are empty, and have the same bytes: they are wanted once.
    placements = [placement(name, content) for name, content in contents.items()]
    return placements, BundleServer({f"/uri/{name}": content for name, content in contents.items()})


def run(server: BundleServer, root: Path, placements: Sequence[Placement], **more: Any) -> Fetched:
    return asyncio.run(asyncio.wait_for(fetching(server, root, placements, **more), DEADLINE_S))


async def fetching(
    server: BundleServer,
    root: Path,
    placements: Sequence[Placement],
    downloads: SharedDownloads | None = None,
    told: list[tuple[int, int]] | None = None,
    sources: dict[str, str] | None = None,
    name: str = "staging",
) -> Fetched:
    staging = root / name
    staging.mkdir(exist_ok=True)
    plan = Plan(REPO, (), tuple(placements), (), (), (), {}, {}, sources or {})
    note = told if told is not None else []

    def on_progress(files: int, size: int) -> None:
        note.append((files, size))

    with (downloads or SharedDownloads(4)).share(staging, urgent=False) as share:
        share.want(to_stage(plan))
        fetched = await fetch(plan, share, root, server.open_file, on_progress, QUICK, server.open_bundle)
    for sha256, path in fetched.staged.items():
        assert path == staging / sha256
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        assert path.stat().st_mode & 0o777 == 0o644
    return fetched


def in_staging(root: Path) -> set[str]:
    return {path.name for path in (root / "staging").iterdir()}


def sha256s(placements: Sequence[Placement]) -> set[str]:
    return {place.file.sha256 for place in placements}


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)
