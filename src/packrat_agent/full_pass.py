"""One full pass of a mirror: look at every file on disk, ask for everything, mend, publish, sweep.

Takes: a Mirror, its server, what the operator asked for.
Gives: a Summary; the pieces of a full pass, for the agent, which does them beside other work.
Touches: through pass_ and the other steps: everything.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from packrat_agent.claim import check_mounted
from packrat_agent.errors import DiskError, PackratError, ServerUnavailable
from packrat_agent.fetch import clear_staging
from packrat_agent.formats.table import FORMATS
from packrat_agent.model import MirrorView, Repo, StoredFile
from packrat_agent.pass_ import Order, PassResult, run_pass, source_of
from packrat_agent.publish import intend, publish
from packrat_agent.ready import Mirror, Wish
from packrat_agent.scan import Scan, scan
from packrat_agent.server.packrat import Packrat
from packrat_agent.sign import sign_tree
from packrat_agent.site import SITE, render_site
from packrat_agent.state.keepsake import drop
from packrat_agent.steps import done
from packrat_agent.sweep import is_kept, kept_paths, open_up, sweep, sweep_directories
from packrat_agent.threads import in_thread

log = structlog.get_logger()

Progress = Callable[[str, int, int], None]
"""(what is being done, files done, bytes done) since the last call."""


@dataclass(slots=True)
class Summary:
    """What one full pass did; `swept` names what was removed from disk, `errors` repository → why it stopped.

    `unremembered`: the state database knew nothing of a tree with files.
    """

    passes: list[PassResult] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    unremembered: bool = False
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Nothing failed, was refused, rejected or held back."""
        spoiled = any(p.refused or p.rejected or p.failed or p.held for p in self.passes)
        return not (self.errors or self.rejected or spoiled)


@dataclass(frozen=True, slots=True)
class Look:
    """What was remembered when a scan began, and what it found."""

    remembered: Mapping[str, StoredFile]
    found: Scan
    began: float


async def sync(mirror: Mirror, server: Packrat, wish: Wish, on_progress: Progress) -> Summary:
    """Do one full pass: ask for everything, look at every file on disk, mend, publish, sweep.

    Raises: PackratError where the pass could not even begin; what stops one repository stands in the Summary.
    """
    started = time.monotonic()
    summary = Summary()
    view = await server.view()
    tell_rejected(mirror, view, summary)
    if wish.dry_run:
        await _dry_run(mirror, server, wish, view, summary, on_progress)
    else:
        note_server(mirror, None)
        seen = await in_thread(look, mirror, lambda files, size: on_progress("checking", files, size))
        await in_thread(note_look, mirror, seen)
        await in_thread(mirror.store.wanted.save_repos, view.repos)
        strangers = {file.path: file for file in seen.found.strangers}
        order = Order(None, True, accept_removals=wish.accept_removals, strangers=strangers)
        for repo in view.repos:
            await run_one(mirror, server, repo, order, summary, on_progress)
        await in_thread(keep_site, mirror, view)
        summary.swept = await in_thread(clean, mirror, seen)
        await server.heartbeat()
    summary.seconds = time.monotonic() - started
    if not wish.dry_run:
        note_full_pass(mirror, seen, summary)
    return summary


async def _dry_run(
    mirror: Mirror, server: Packrat, wish: Wish, view: MirrorView, summary: Summary, on_progress: Progress
) -> None:
    found = Scan()
    if mirror.ground.root.exists():
        remembered = mirror.store.live.everything()
        count = lambda files, size: on_progress("checking", files, size)  # noqa: E731
        found = await in_thread(scan, mirror.ground.root, remembered, count)
        summary.unremembered = bool(found.strangers) and not remembered
    strangers = {file.path: file for file in found.strangers}
    order = Order(None, True, True, wish.accept_removals, strangers)
    for repo in view.repos:
        await run_one(mirror, server, repo, order, summary, on_progress)
    adopted = {path for result in summary.passes for path in result.adopted}
    summary.swept = [path for path in _foreign(mirror, found) if path not in adopted]


def tell_rejected(mirror: Mirror, view: MirrorView, summary: Summary) -> None:
    """Tell which of the mirror's own records can't be used."""
    mirror.told.rejected("", view.rejected)
    summary.rejected += [f"{rejection.record}: {rejection.reason}" for rejection in view.rejected]


async def run_one(
    mirror: Mirror, server: Packrat, repo: Repo, order: Order, summary: Summary, on_progress: Progress
) -> None:
    """Run the pass of one repository, and note how it went.

    Raises: ServerUnavailable, DiskError: they stop all repositories alike.
    """

    def count(files: int, size: int) -> None:
        on_progress(repo.name, files, size)

    fact = f"repo:{repo.name}"
    try:
        if not order.dry_run:
            check_mounted(mirror.ground.root)
        result = await run_pass(repo, order, server, mirror.store, mirror.ground, count)
    except (ServerUnavailable, DiskError) as error:
        if not order.dry_run:
            mirror.store.notes.update_fact(fact, {"error": str(error)})
        raise
    except PackratError as error:
        mirror.told.error(repo.name, str(error))
        summary.errors[repo.name] = str(error)
        if not order.dry_run:
            mirror.store.notes.update_fact(fact, {"error": str(error)})
        return
    mirror.told.result(result, whole=order.packages is None)
    summary.passes.append(result)
    if not order.dry_run:
        now = time.time()
        told = {"checked": now, "held": result.held, "error": None}
        if result.sections or result.added or result.removed:
            told |= {"published": now}
        mirror.store.notes.update_fact(fact, told)


def look(mirror: Mirror, on_progress: Callable[[int, int], None]) -> Look:
    """Walk root_dir and hash every file.

    Raises: DiskError where root_dir can't be read, or is not the one that the agent marked (an unmounted filesystem).
    """
    check_mounted(mirror.ground.root)
    began = time.time()
    remembered = mirror.store.live.everything()
    found = scan(mirror.ground.root, remembered, on_progress)
    for mount in found.mounts:
        log.warning("mount", path=mount, text="another filesystem inside root_dir is left alone")
    return Look(remembered, found, began)


def note_look(mirror: Mirror, seen: Look) -> frozenset[str]:
    """Remember what a scan found; gives the repositories that have to be mended.

    What was published since the scan began is left as it was noted then.
    """
    store = mirror.store
    now = store.live.everything()
    same = {path for path, was in seen.remembered.items() if now.get(path) == was}
    damaged = [path for path in seen.found.damaged if path in same]
    for path in damaged:
        if seen.remembered[path].inode:
            log.warning("damaged", path=path, text="missing or changed on disk; it is replaced")
            store.notes.add_event(time.time(), "damaged", None, path)
    for path in seen.found.closed:
        log.warning("damaged", path=path, text="not everybody may read it; its mode is set right")
    open_up(mirror.ground.root, seen.found.closed)
    repos = store.live.repos_of(damaged)
    unreadable = set(seen.found.unreadable)
    store.live.forget(path for path in damaged if path not in unreadable)
    store.live.distrust(path for path in damaged if path in unreadable)
    changed = [
        file
        for file in seen.found.good
        if file.path in same
        and ((was := seen.remembered[file.path]).inode != file.inode or was.mtime_ns != file.mtime_ns)
    ]
    store.live.seen(changed, time.time())
    return repos


def keep_site(mirror: Mirror, view: MirrorView) -> None:
    """Publish the site's own files, and retire what left the mirror."""
    store = mirror.store
    publish_site(mirror, view.repos)
    present = {repo.name for repo in view.repos} | {SITE.name} | view.unusable
    for name in store.live.section_repos() - present:
        log.info("left", repo=name, text="no longer on the mirror; removed after the grace period")
        store.notes.add_event(time.time(), "left", name, "no longer on the mirror")
        store.live.drop_repo(name, time.time())


def clean(mirror: Mirror, seen: Look | None) -> list[str]:
    """Remove what no client can still want, and with a scan at hand what is foreign; gives the removed paths."""
    store, config, root = mirror.store, mirror.config, mirror.ground.root
    check_mounted(root)
    expired = store.live.expired(time.time(), config.mirror.grace_period_s, config.mirror.keep_generations)
    kept = kept_paths(root, config.mirror.keep_files)
    gone = sweep(root, expired, kept)
    store.live.forget(expired)
    done("sweep-noted")
    if seen is None:
        return gone
    foreign = _foreign(mirror, seen.found)
    for path in foreign:
        log.info("foreign", path=path, text="not of this mirror, not a keep file; removed")
    gone += sweep(root, foreign, kept)
    sweep_directories(root, seen.found.empty, kept)
    clear_staging(mirror.ground.staging, store.wanted.awaited())
    drop(root, store.wanted.hashes(), [source_of(form, mirror.ground) for form in FORMATS.values()])
    return gone


def note_server(mirror: Mirror, trouble: str | None) -> None:
    """Remember for `status` whether the server answers, and since when; trouble: why it does not."""
    notes, up = mirror.store.notes, trouble is None
    before = notes.fact("server")
    since = before["since"] if before.get("up") is up else time.time()
    notes.set_fact("server", {"url": mirror.config.packrat.url, "up": up, "since": since, "reason": trouble or ""})


def note_full_pass(mirror: Mirror, seen: Look, summary: Summary) -> None:
    """Remember how a full pass went, for `status`."""
    good = seen.found.good
    mirror.store.notes.set_fact(
        "full_pass",
        {
            "began": seen.began,
            "ended": time.time(),
            "seconds": summary.seconds,
            "files": len(good),
            "bytes": sum(file.size for file in good),
            "damaged": sum(1 for path in seen.found.damaged if path in seen.remembered),
            "foreign": len(_foreign(mirror, seen.found)),
            "complete": summary.complete,
        },
    )


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


def nothing_known(mirror: Mirror) -> bool:
    """True where the state database knows of no file: what is on disk is to be looked at before anything is fetched."""
    return not mirror.store.live.everything()
