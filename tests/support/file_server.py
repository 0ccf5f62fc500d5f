"""A server of files that lies or is away on demand, and a fetch from it, for tests of downloads."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.model.entries import Parts, Placement, Plan
from packrat_agent.sync.fetch.download import Fetched, Retries, fetch, to_stage
from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_core.errors import ServerUnavailable, WrongRange
from support.bundle_server import REPO, Answer

CONTENT = bytes(range(256)) * 4096
QUICK = Retries(tries=3, total_tries=8, wait_s=(0.0, 0.0), busy=5)


@dataclass
class FileServer:
    """The outside world: files by path, with or without Range, lying or cut off on demand."""

    files: dict[str, bytes]
    honours_range: bool = True
    cuts: list[int | None] = field(default_factory=list)
    validators: list[str | None] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    asked_with: list[str | None] = field(default_factory=list)
    down: bool = False
    wrong_ranges: bool = False
    """Whether it answers with another part than was asked for."""
    busy_s: list[float] = field(default_factory=list)
    """For how long each of the next requests is to wait."""

    @asynccontextmanager
    async def open_file(self, url: str, offset: int, validator: str | None) -> AsyncIterator[Answer]:
        """Answer a request for a file, from an offset on."""
        self.asked.append((url, offset))
        self.asked_with.append(validator)
        if self.down or url not in self.files:
            raise ServerUnavailable("down")
        if self.busy_s:
            raise ServerUnavailable("busy", self.busy_s.pop(0))
        if offset and self.wrong_ranges:
            raise WrongRange("another part")
        start = offset if self.honours_range else 0
        cut = self.cuts.pop(0) if self.cuts else None
        yield Answer(start, self.files[url][start:], cut, self.validators.pop(0) if self.validators else None)


def run_fetch(
    server: FileServer,
    root: Path,
    *placements: Placement,
    missing: Mapping[str, Parts] | None = None,
    sources: Mapping[str, str] | None = None,
    told: list[tuple[int, int]] | None = None,
    parallel: int = 4,
    retries: Retries = QUICK,
) -> Fetched:
    """Fetch all placements into `staging` below a directory.

    Args:
        server: Where the files are.
        root: The directory.
        placements: What is wanted.
        missing: URI → parts that are to be staged in place of the file.
        sources: SHA-256 → a copy below root.
        told: Takes each report of progress.
        parallel: Number of downloads at once.
        retries: How failed requests are repeated.
    """
    staging = root / "staging"
    staging.mkdir(exist_ok=True)
    parts = missing or {}
    link = tuple(placement for placement in placements if placement.file.uri in parts)
    fetched = tuple(placement for placement in placements if placement.file.uri not in parts)
    plan = Plan(REPO, (), fetched, link, (), (), parts, parts, sources or {})

    def on_progress(files: int, size: int) -> None:
        if told is not None:
            told.append((files, size))

    with SharedDownloads(parallel).share(staging, urgent=True) as share:
        share.want(to_stage(plan))
        return asyncio.run(fetch(plan, share, root, server.open_file, on_progress, retries))
