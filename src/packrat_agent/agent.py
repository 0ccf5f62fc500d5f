"""Decides when to do what: a full pass once, or a full pass and then whatever the server says changed.

Takes: the configuration, what the operator asked for, a stop.
Gives: a Summary a full pass.
Touches: through pass_ and the other steps: everything.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from packrat_agent import __version__
from packrat_agent.config import Config
from packrat_agent.errors import DiskError, PackratError, ServerUnavailable
from packrat_agent.fetch import clear_staging
from packrat_agent.formats.table import FORMATS
from packrat_agent.model import MirrorView, Repo
from packrat_agent.pass_ import Order, PassResult, run_pass
from packrat_agent.publish import intend, publish
from packrat_agent.ready import Mirror, Wish
from packrat_agent.scan import Scan, scan
from packrat_agent.server.cinp import CinpClient
from packrat_agent.server.packrat import Packrat
from packrat_agent.sign import sign_tree
from packrat_agent.site import SITE, render_site
from packrat_agent.sweep import is_kept, kept_paths, sweep, sweep_directories

log = structlog.get_logger()

_SETTLE_S = 0.03
_LONGEST_POLL_S = 60
_SHORTEST_POLL_S = 10
_POLLS_AT_ONCE = 2
_BACK_OFF_S = (1.0, 30.0)

Progress = Callable[[str, int, int], None]
"""(what is being done, files done, bytes done) since the last call."""


@dataclass(slots=True)
class Summary:
    """What one full pass did; `swept` names what was removed from disk, `errors` repository → why it stopped."""

    passes: list[PassResult] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Nothing failed, was refused, rejected or held back."""
        spoiled = any(p.refused or p.rejected or p.failed or p.held for p in self.passes)
        return not (self.errors or self.rejected or spoiled)


@asynccontextmanager
async def connected(config: Config) -> AsyncIterator[Packrat]:
    """Hold a session with the server of the configuration."""
    packrat = config.packrat
    async with CinpClient(packrat.url, proxy=packrat.proxy, ca_file=packrat.ca_file) as client:
        server = Packrat(client, packrat.name, packrat.psk)
        await server.open()
        yield server


async def sync(mirror: Mirror, server: Packrat, wish: Wish, on_progress: Progress) -> Summary:
    """Do one full pass: ask for everything, look at every file on disk, mend, publish, sweep.

    Raises: PackratError where the pass could not even begin; what stops one repository stands in the Summary.
    """
    started = time.monotonic()
    summary = Summary()
    view = await server.view()
    _tell_rejected(view, summary)
    found = await asyncio.to_thread(_scan, mirror, on_progress, wish.dry_run)
    strangers = {file.path: file for file in found.strangers}
    if not wish.dry_run:
        await asyncio.to_thread(mirror.store.wanted.save_repos, view.repos)
    order = Order(None, True, wish.dry_run, wish.accept_removals, strangers)
    for repo in view.repos:
        await _run_one(mirror, server, repo, order, summary, on_progress)
    if not wish.dry_run:
        await asyncio.to_thread(_close_pass, mirror, view, found, summary)
        await server.heartbeat()
        mirror.store.notes.set_setting("last_full_pass", str(time.time()))
    else:
        adopted = {path for result in summary.passes for path in result.adopted}
        summary.swept = [path for path in _foreign(mirror, found) if path not in adopted]
    summary.seconds = time.monotonic() - started
    return summary


def _tell_rejected(view: MirrorView, summary: Summary) -> None:
    for rejection in view.rejected:
        log.error("rejected", record=rejection.record, reason=rejection.reason)
        summary.rejected.append(f"{rejection.record}: {rejection.reason}")


async def _run_one(
    mirror: Mirror, server: Packrat, repo: Repo, order: Order, summary: Summary, on_progress: Progress
) -> None:
    def count(files: int, size: int) -> None:
        on_progress(repo.name, files, size)

    try:
        result = await run_pass(repo, order, server, mirror.store, mirror.ground, count)
    except (ServerUnavailable, DiskError):
        raise
    except PackratError as error:
        log.error("failed", repo=repo.name, reason=str(error))
        summary.errors[repo.name] = str(error)
        return
    _tell(result)
    summary.passes.append(result)


def _tell(result: PassResult) -> None:
    for refusal in result.refused:
        log.error("refused", repo=result.repo, file=refusal.file.file_name, reason=refusal.reason)
    for rejection in result.rejected:
        log.error("rejected", repo=result.repo, record=rejection.record, reason=rejection.reason)
    for failure in result.failed:
        log.error("failed", repo=result.repo, file=failure.file.file_name, reason=failure.reason)
    if result.held:
        log.error("held", repo=result.repo, reason=result.held)


def _scan(mirror: Mirror, on_progress: Progress, dry_run: bool) -> Scan:
    store = mirror.store
    remembered = store.live.everything()
    if dry_run and not mirror.ground.root.exists():
        return Scan()
    found = scan(mirror.ground.root, remembered, lambda files, size: on_progress("checking", files, size))
    for mount in found.mounts:
        log.warning("mount", path=mount, text="another filesystem inside root_dir is left alone")
    if dry_run:
        return found
    for path in found.damaged:
        if remembered[path].inode:
            log.warning("damaged", path=path, text="missing or changed on disk; it is replaced")
    store.live.forget(found.damaged)
    changed = [
        file
        for file in found.good
        if (was := remembered[file.path]).inode != file.inode or was.mtime_ns != file.mtime_ns
    ]
    store.live.seen(changed, time.time())
    return found


def _close_pass(mirror: Mirror, view: MirrorView, found: Scan, summary: Summary) -> None:
    """Publish the site's own files, retire what left the mirror, sweep."""
    store, config = mirror.store, mirror.config
    publish_site(mirror, view.repos)
    present = {repo.name for repo in view.repos} | {SITE.name} | view.unusable
    for name in store.live.section_repos() - present:
        log.info("left", repo=name, text="no longer on the mirror; removed after the grace period")
        store.live.drop_repo(name, time.time())
    expired = store.live.expired(time.time(), config.mirror.grace_period_s, config.mirror.keep_generations)
    kept = kept_paths(mirror.ground.root, config.mirror.keep_files)
    gone = sweep(mirror.ground.root, expired, kept)
    store.live.forget(expired)
    foreign = _foreign(mirror, found)
    for path in foreign:
        log.info("foreign", path=path, text="not of this mirror, not a keep file; removed")
    gone += sweep(mirror.ground.root, foreign, kept)
    sweep_directories(mirror.ground.root, found.empty, kept)
    clear_staging(mirror.ground.staging, ())
    summary.swept = gone


def _foreign(mirror: Mirror, found: Scan) -> list[str]:
    kept = kept_paths(mirror.ground.root, mirror.config.mirror.keep_files)
    ours = mirror.store.live.everything()
    paths = [*(file.path for file in found.strangers), *found.oddities]
    return [path for path in paths if path not in ours and not is_kept(path, kept)]


def publish_site(mirror: Mirror, repos: Iterable[Repo]) -> None:
    """Publish the landing page and the public key, where they changed."""
    store, ground, settings = mirror.store, mirror.ground, mirror.config.mirror
    shown = [repo for repo in sorted(repos, key=lambda repo: repo.name) if repo.kind in FORMATS]
    url = settings.public_url or "http://THIS-HOST"
    setups = {repo.name: FORMATS[repo.kind].client_setup(repo, url, mirror.public_key is not None) for repo in shown}
    kept = kept_paths(ground.root, settings.keep_files)
    tree = render_site(settings.description, shown, setups, mirror.public_key, kept)
    signed = sign_tree(tree, None, store.live.identities(SITE.name), store.pieces)
    if signed.sections:
        intended = intend(signed, ())
        store.live.begin(SITE.name, intended)
        published = publish(signed, (), ground.root, ground.staging, intended, store.live.pointers(SITE.name))
        store.live.finish(published, intended, (), time.time())


async def run(mirror: Mirror, on_progress: Progress) -> None:
    """Follow the server until cancelled: a full pass at start and every interval, changes as they come."""
    packrat = mirror.config.packrat
    log.info("started", version=__version__, server=packrat.url, mirror=packrat.name)
    waits_s = 0.0
    complaint = ""
    while True:
        try:
            async with connected(mirror.config) as server:
                if complaint:
                    log.info("recovered", server=packrat.url)
                complaint, waits_s = "", 0.0
                while True:
                    await _one_interval(mirror, server, on_progress)
        except PackratError as error:
            if str(error) != complaint:
                complaint = str(error)
                log.error("waiting", reason=complaint, text="what is published stays served; tried again")
            waits_s = min(max(waits_s * 2, _BACK_OFF_S[0]), _BACK_OFF_S[1])
            await asyncio.sleep(waits_s * random.uniform(0.5, 1.0))  # noqa: S311 jitter


async def _one_interval(mirror: Mirror, server: Packrat, on_progress: Progress) -> None:
    """Do a full pass, then follow changes until the next one is due."""
    due = time.monotonic() + mirror.config.mirror.full_sync_interval_s
    position = (await server.changes(None, 0)).position if server.has_changes else None
    summary = await sync(mirror, server, Wish(), on_progress)
    log.info("checked", seconds=f"{summary.seconds:.1f}", repositories=len(summary.passes), removed=len(summary.swept))
    if server.has_changes:
        await _follow_changes(mirror, server, position, due, on_progress)
    else:
        await _follow_polls(mirror, server, due, on_progress)


async def _follow_changes(
    mirror: Mirror, server: Packrat, position: str | None, due: float, on_progress: Progress
) -> None:
    while (left_s := due - time.monotonic()) > 0:
        changes = await server.changes(position, max(1, int(min(left_s, _LONGEST_POLL_S))))
        if not (changes.repos or changes.mirror):
            position = changes.position
            continue
        # A burst is published together: let what comes at the same moment arrive.
        await asyncio.sleep(_SETTLE_S)
        more = await server.changes(changes.position, 0)
        owed: dict[str, frozenset[str] | None] = dict(changes.repos)
        for name, packages in more.repos.items():
            before = owed.get(name, frozenset())
            owed[name] = None if packages is None or before is None else before | packages
        if changes.mirror or more.mirror:
            return
        await _catch_up(mirror, server, owed, on_progress)
        position = more.position


async def _catch_up(
    mirror: Mirror, server: Packrat, owed: dict[str, frozenset[str] | None], on_progress: Progress
) -> None:
    repos = {repo.name: repo for repo in await asyncio.to_thread(mirror.store.wanted.repos)}
    summary = Summary()
    for name, packages in owed.items():
        if name in repos:
            await _run_one(mirror, server, repos[name], Order(packages), summary, on_progress)


async def _follow_polls(mirror: Mirror, server: Packrat, due: float, on_progress: Progress) -> None:
    """Follow a server that only has `poll`: its answers are hints, so every repository is listed after each round."""
    repos = await asyncio.to_thread(mirror.store.wanted.repos)
    while (left_s := due - time.monotonic()) > 0 and repos:
        waiting = list(repos)
        random.shuffle(waiting)
        while waiting:
            some, waiting = waiting[:_POLLS_AT_ONCE], waiting[_POLLS_AT_ONCE:]
            await _first_answer(server, some, min(left_s, _SHORTEST_POLL_S))
            summary = Summary()
            for repo in repos:
                await _run_one(mirror, server, repo, Order(), summary, on_progress)
    await asyncio.sleep(max(0.0, due - time.monotonic()) if not repos else 0)


async def _first_answer(server: Packrat, repos: Collection[Repo], timeout_s: float) -> None:
    started = time.monotonic()
    polls = [asyncio.ensure_future(server.poll(repo, max(1, int(timeout_s)))) for repo in repos]
    try:
        done, _ = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        names = frozenset().union(*(poll.result() for poll in done))
    finally:
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
    if not names and time.monotonic() - started < 1:
        # An empty answer at once is the sign of a server without its database: never run hot.
        await asyncio.sleep(_SHORTEST_POLL_S * random.uniform(0.5, 1.0))  # noqa: S311 jitter
