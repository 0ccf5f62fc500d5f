"""One pass of one repository: ask → remember → decide → fetch → read → render → sign → publish.

Takes: the repository, which of its packages to look at, the server, the state database, the ground to build on.
Gives: a PassResult.
Touches: through its steps: network, staging, state database, gpg, the live tree.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from packrat_agent.formats.interface import Format, RenderRequest, Treatment, tell_ahead
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.paths import is_kept
from packrat_agent.model.values import (
    Entry,
    PackageFile,
    Place,
    Plan,
    Repo,
    SignedTree,
    Wanted,
)
from packrat_agent.publish.gc import sweep
from packrat_agent.publish.signing import sign_tree
from packrat_agent.publish.writer import intend, publish
from packrat_agent.state.fragment_backup import keep
from packrat_agent.state.last_render import Standing
from packrat_agent.state.packages import ShelfItem
from packrat_agent.state.store import Store
from packrat_agent.sync.build import Made, Material, make
from packrat_agent.sync.context import Ground, Order, PassResult
from packrat_agent.sync.download import Fetched, fetch
from packrat_agent.sync.reconcile import weigh, weigh_dry
from packrat_agent.sync.removals import hold_back_removals
from packrat_agent.sync.scope import Scope, narrow
from packrat_agent.upstream.client import Packrat
from packrat_core.errors import Held, ServerBroken
from packrat_core.failpoints import done
from packrat_core.threads import in_thread

log = structlog.get_logger()


async def run_pass(
    repo: Repo,
    order: Order,
    server: Packrat,
    store: Store,
    ground: Ground,
    on_progress: Callable[[int, int], None],
) -> PassResult:
    """Make one repository on disk what the server says.

    on_progress: called with (files done, bytes downloaded) since the last call.
    Raises: any PackratError that stops this repository; what is published stays as it was.
    """
    started = time.monotonic()
    result = PassResult(repo.name)

    def count(files: int, size: int) -> None:
        result.bytes += size
        on_progress(files, size)

    form = FORMATS.get(repo.kind)
    result.held = _what_hinders(repo, ground)
    if form is None or result.held is not None:
        return result
    # 1. Ask.
    wanted = await server.wanted(repo, order.packages, await in_thread(_known, repo, order, store))
    # 2. Remember.
    await in_thread(_note_rejected, repo, wanted, order, store, result)
    try:
        if order.packages is None:
            # Else the server named what changed.
            accepted = order.confirmed.removals
            await in_thread(hold_back_removals, repo, wanted, store, ground.removals, accepted=accepted)
    except Held as held:
        result.held = str(held)
        return result
    if order.dry_run:
        return _tell_plan(await in_thread(weigh_dry, repo, form, wanted, order, store, ground), order, result)
    scope = narrow(repo, order.packages, store.settled.take(repo.name, (repo, ground.source_of(form))))
    await in_thread(store.wanted.remember_wanted, repo.name, wanted, order.packages)
    done("wanted-remembered")
    # 3. Decide.
    shelf, plan = await in_thread(weigh, scope, form, order, store, ground)
    # 4. Fetch.
    fetched = await _fetch(plan, server, ground, count)
    # 5. to 8. Read, render, sign, publish.
    await in_thread(_build, _Build(scope, form, shelf, plan, fetched, store, ground, result))
    result.seconds = time.monotonic() - started
    return result


def _note_rejected(repo: Repo, wanted: Wanted, order: Order, store: Store, result: PassResult) -> None:
    result.rejected = list(wanted.rejected)
    if not order.dry_run:
        store.rejections.note(repo.name, wanted.rejected, None if order.packages is None else wanted.uris)


def _known(repo: Repo, order: Order, store: Store) -> Mapping[str, PackageFile]:
    return {} if order.reread else store.wanted.known(repo.name, order.packages)


def _what_hinders(repo: Repo, ground: Ground) -> str | None:
    if repo.kind not in FORMATS:
        return f"this packrat-agent builds no repositories of type {repo.kind}"
    if is_kept(repo.directory, ground.kept):
        return f"its directory {repo.directory} is kept by keep_file; give it another one on the server"
    return None


async def _fetch(plan: Plan, server: Packrat, ground: Ground, count: Callable[[int, int], None]) -> Fetched:
    missing = (*plan.fetch, *plan.link)
    return await fetch(missing, ground.staging, ground.root, server.open_file, ground.parallel_downloads, count)


def _tell_plan(plan: Plan, order: Order, result: PassResult) -> PassResult:
    new = (*plan.fetch, *plan.link)
    stands = {p.path for p in new if p.path in order.strangers and order.strangers[p.path].sha256 == p.file.sha256}
    parts = (part.path for p in plan.keep for part in p.parts if part.path in order.strangers)
    result.adopted = [*parts, *sorted(stands)]
    unpacked = FORMATS[plan.repo.kind].treatment is Treatment.UNPACKED
    result.added = [f"{p.path} ({p.file.file_name})" if unpacked else p.path for p in new if p.path not in stands]
    result.removed = list(plan.retire)
    result.refused = list(plan.refused)
    return result


@dataclass(frozen=True, slots=True)
class _Build:
    scope: Scope
    form: Format
    shelf: Sequence[ShelfItem]
    plan: Plan
    fetched: Fetched
    store: Store
    ground: Ground
    result: PassResult


def _build(build: _Build) -> None:
    repo, store, result = build.scope.repo, build.store, build.result
    # 5. Read what was fetched; sign or unpack it where its type asks for it.
    made = make(build.plan, build.form, build.ground.key, _material(build))
    _note(build, made)
    done("packages-made")
    # 6. Render.
    now = datetime.now(UTC)
    facts = store.live.facts(repo.name)
    entries = sorted((*build.scope.standing, *made.entries), key=_age)
    request = RenderRequest(repo, entries, build.ground.settings, now, store.pieces, facts, build.scope.memo)
    try:
        tree = build.form.render(request)
    except Held as held:
        result.held = str(held)
        return
    # 7. Sign what changed.
    signed = sign_tree(tree, build.ground.key, store.live.identities(repo.name), store.pieces)
    # 8. Publish, recorded before and after.
    pointers = store.live.pointers(repo.name)
    placed = {place.path for place in made.places}
    retired = [path for path in build.plan.retire if path not in placed]
    if signed.sections or made.places or retired or set(pointers) - {"", *signed.section_names}:
        _publish(build, signed, made.places, pointers, retired)
    facts |= {section.name: section.facts for section in signed.sections}
    result.ahead = tell_ahead((facts[name] for name in signed.section_names), now)
    for path in made.spent:
        path.unlink(missing_ok=True)
    store.live.unretire(repo.name, (part.path for placement in build.plan.keep for part in placement.parts))
    store.wanted.set_live(repo.name, made.entries, build.scope.packages)
    done("live-noted")
    store.pieces.save()
    if result.sections:
        _remove_old_indexes(build)
    if not (made.failed or made.unreadable or made.disagreeing):
        # Every file on disk belongs to an entry now, or is retired.
        refused = frozenset(refusal.file.package for refusal in build.plan.refused)
        store.settled.keep(
            repo.name, (repo, build.ground.source_of(build.form)), Standing(entries, refused, build.scope.memo)
        )


def _remove_old_indexes(build: _Build) -> None:
    """Remove the indexes that no client can still want: a busy repository fills the disk before the next full pass."""
    store, ground = build.store, build.ground
    expired = store.publications.expired_indexes(build.scope.repo.name, time.time(), ground.retention)
    sweep(ground.root, expired, ground.kept)
    store.live.forget(expired)
    done("indexes-swept")


def _age(entry: Entry) -> tuple[int, str]:
    return len(entry.file.uri), entry.file.uri


def _material(build: _Build) -> Material:
    plan = build.plan
    known = {
        item.file.sha256: (item.size, item.fragment)
        for item in build.shelf
        if item.fragment is not None and item.size is not None
    }
    paths = None if build.scope.packages is None else {one.path for one in (*plan.keep, *plan.link, *plan.fetch)}
    names = build.store.live.published_names(build.scope.repo.directory, paths)
    return Material(
        build.ground.root,
        build.ground.staging,
        build.fetched.staged,
        build.fetched.failed,
        known,
        names,
        build.scope.claims() if build.form.treatment is Treatment.UNPACKED else {},
    )


def _note(build: _Build, made: Made) -> None:
    wanted, repo = build.store.wanted, build.scope.repo.name
    source = build.ground.source_of(build.form)
    fresh = [(sha, *read) for sha, read in made.fresh.items()]
    wanted.save_fragments(source, fresh)
    keep(build.ground.root, source, fresh, build.shelf)
    wanted.refuse(repo, made.unreadable, unreadable=True)
    wanted.refuse(repo, made.disagreeing)
    wrong_bytes = [sha for sha, error in build.fetched.failed.items() if isinstance(error, ServerBroken)]
    wanted.note_trouble(repo, made.failed, wrong_bytes)
    build.result.failed = made.failed
    build.result.refused = [*build.plan.refused, *made.unreadable, *made.disagreeing]


def _publish(
    build: _Build, signed: SignedTree, places: Sequence[Place], pointers: dict[str, list[str]], retired: Sequence[str]
) -> None:
    store, result, repo = build.store, build.result, build.scope.repo.name
    intended = intend(signed, places)
    store.live.begin(repo, intended)
    done("publish-noted")
    published = publish(signed, places, build.ground.root, build.ground.staging, intended, pointers)
    store.live.finish(published, intended, retired, time.time())
    done("published-noted")
    result.sections = [section.name for section in signed.sections]
    result.added = [place.path for place in places]
    result.removed = list(retired)
    sections = ",".join(result.sections) or None
    log.info("published", repo=repo, sections=sections, added=len(places), removed=len(retired))
