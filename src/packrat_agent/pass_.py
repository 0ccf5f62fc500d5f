"""One pass of one repository: ask → remember → decide → fetch → read → render → sign → publish.

Takes: the repository, which of its packages to look at, the server, the state database, the ground to build on.
Gives: a PassResult.
Touches: through its steps: network, staging, state database, gpg, the live tree.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from packrat_agent.errors import Held, PackratError, Refused
from packrat_agent.fetch import Fetched, fetch
from packrat_agent.formats.interface import Format, RenderRequest, RenderSettings
from packrat_agent.formats.table import FORMATS
from packrat_agent.keyring import SigningKey
from packrat_agent.model import (
    Entry,
    Fragment,
    PackageFile,
    Placement,
    Plan,
    Refusal,
    Rejection,
    Repo,
    SignedTree,
    StagedFile,
    StoredFile,
    Wanted,
)
from packrat_agent.plan import decide
from packrat_agent.publish import Place, intend, path_in_root, publish
from packrat_agent.server.packrat import Packrat
from packrat_agent.sign import sign_tree
from packrat_agent.state.store import Store
from packrat_agent.state.wanted import ShelfItem

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ground:
    """What the passes of a mirror build on."""

    root: Path
    staging: Path
    key: SigningKey | None
    settings: RenderSettings
    parallel_downloads: int
    confirm_empty_after_s: float


@dataclass(slots=True)
class PassResult:
    """What one pass did, for the log and the summary; `bytes` counts what was downloaded."""

    repo: str
    adopted: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    failed: list[Refusal] = field(default_factory=list)
    held: str | None = None
    sections: list[str] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a pass is asked to do.

    packages: None for all, else the only ones that changed. reread: ask for every record anew. dry_run: stop once it
    is decided. accept_removals: an empty answer is meant. strangers: path → hashed files below `root_dir` that nobody
    remembers; those with wanted bytes are adopted.
    """

    packages: Collection[str] | None = None
    reread: bool = False
    dry_run: bool = False
    accept_removals: bool = False
    strangers: Mapping[str, StoredFile] = field(default_factory=dict)


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
    form = FORMATS.get(repo.kind)
    if form is None:
        result.held = f"this packrat-agent builds no repositories of type {repo.kind}"
        return result
    # 1. Ask.
    known = {} if order.reread else await asyncio.to_thread(store.wanted.known, repo.name, order.packages)
    wanted = await server.wanted(repo, order.packages, known)
    result.rejected = list(wanted.rejected)
    # 2. Remember.
    try:
        await asyncio.to_thread(_hold_back_mass_removal, repo, wanted, order, store, ground)
    except Held as held:
        result.held = str(held)
        return result
    if order.dry_run:
        plan = await asyncio.to_thread(_plan_dry, repo, form, wanted, order, store)
        _tell_plan(plan, order, result)
        return result
    await asyncio.to_thread(store.wanted.remember_wanted, repo.name, wanted, order.packages)
    # 3. Decide.
    shelf, plan = await asyncio.to_thread(_decide, repo, form, order, store)
    # 4. Fetch.
    missing = (*plan.fetch, *plan.link)

    def count(files: int, size: int) -> None:
        result.bytes += size
        on_progress(files, size)

    fetched = await fetch(missing, ground.staging, ground.root, server.open_file, ground.parallel_downloads, count)
    # 5. to 8. Read, render, sign, publish.
    await asyncio.to_thread(_build, _Build(repo, form, shelf, plan, fetched, store, ground, result))
    result.seconds = time.monotonic() - started
    return result


def _hold_back_mass_removal(repo: Repo, wanted: Wanted, order: Order, store: Store, ground: Ground) -> None:
    """Refuse to empty a repository on one empty answer.

    Raises: Held until the operator accepts it, or the server has said the same for a full interval.
    """
    if order.packages is not None:
        return
    live = store.wanted.counts(repo.name).get("live", 0)
    if wanted.uris or not live:
        store.wanted.set_empty_since(repo.name, None)
        return
    now = time.time()
    since = store.wanted.empty_since(repo.name)
    if order.accept_removals or (since is not None and now - since >= ground.confirm_empty_after_s):
        log.info("confirmed", repo=repo.name, removal_of=live)
        store.wanted.set_empty_since(repo.name, None)
        return
    if since is None:
        store.wanted.set_empty_since(repo.name, now)
    raise Held(
        f"the server suddenly offers nothing for {repo.name}, where {live} files are live; they stay until it says so "
        "again in a full sync one interval from now, or until `packrat-agent sync --accept-removals`"
    )


def _plan_dry(repo: Repo, form: Format, wanted: Wanted, order: Order, store: Store) -> Plan:
    shelf = [ShelfItem(file, None, "wanted", None, False, None, None) for file in wanted.files]
    candidates, refused = _place(repo, form, shelf, False)
    return _plan(repo, candidates, refused, order, store)


def _decide(repo: Repo, form: Format, order: Order, store: Store) -> tuple[list[ShelfItem], Plan]:
    shelf = store.wanted.shelf(repo.name, form.kind, form.fragment_version)
    # Where only some packages changed, the places of the others stand.
    trust_places = order.packages is not None
    candidates, refused = _place(repo, form, shelf, trust_places)
    _adopt(repo, candidates, order.strangers, store)
    plan = _plan(repo, candidates, refused, order, store)
    placed = (*plan.link, *plan.fetch) if trust_places else (*plan.keep, *plan.link, *plan.fetch)
    store.wanted.set_places(repo.name, [(p.file.uri, p.path) for p in placed])
    store.wanted.refuse(repo.name, plan.refused)
    return shelf, plan


def _place(
    repo: Repo, form: Format, shelf: Sequence[ShelfItem], trust_places: bool
) -> tuple[list[tuple[PackageFile, str]], list[Refusal]]:
    candidates: list[tuple[PackageFile, str]] = []
    refused: list[Refusal] = []
    for item in shelf:
        if item.unreadable:
            continue
        if trust_places and item.state == "live" and item.path is not None:
            candidates.append((item.file, item.path))
            continue
        try:
            path = path_in_root(repo, form.place(repo, item.file))
            if item.fragment is not None:
                form.agree(item.file, item.fragment)
        except Refused as error:
            refused.append(Refusal(item.file, str(error)))
        else:
            candidates.append((item.file, path))
    return candidates, refused


def _adopt(
    repo: Repo, candidates: Sequence[tuple[PackageFile, str]], strangers: Mapping[str, StoredFile], store: Store
) -> None:
    if strangers:
        found = [strangers[path] for file, path in candidates if _holds(strangers.get(path), file)]
        store.live.adopt(repo.name, found, time.time())
        if found:
            log.info("adopted", repo=repo.name, files=len(found))


def _holds(found: StoredFile | None, file: PackageFile) -> bool:
    return found is not None and found.sha256 == file.sha256


def _plan(
    repo: Repo, candidates: Sequence[tuple[PackageFile, str]], refused: Sequence[Refusal], order: Order, store: Store
) -> Plan:
    on_disk = store.live.packages(repo.name)
    lacking = [file.sha256 for file, path in candidates if path not in on_disk]
    elsewhere = {file.sha256: file.path for file in order.strangers.values()} | store.live.copies(lacking)
    plan = decide(repo, candidates, on_disk, elsewhere, store.live.published_names(repo.directory))
    retired = store.live.retired(repo.name)
    retire = tuple(path for path in plan.retire if path not in retired)
    return Plan(repo, plan.keep, plan.fetch, plan.link, retire, (*refused, *plan.refused))


def _tell_plan(plan: Plan, order: Order, result: PassResult) -> None:
    missing = (*plan.fetch, *plan.link)
    result.adopted = [one.path for one in missing if _holds(order.strangers.get(one.path), one.file)]
    result.added = [one.path for one in missing if one.path not in set(result.adopted)]
    result.removed = list(plan.retire)
    result.refused = list(plan.refused)


@dataclass(frozen=True, slots=True)
class _Build:
    repo: Repo
    form: Format
    shelf: Sequence[ShelfItem]
    plan: Plan
    fetched: Fetched
    store: Store
    ground: Ground
    result: PassResult


def _build(build: _Build) -> None:
    repo, store, result = build.repo, build.store, build.result
    # 5. Read what was fetched.
    entries, places = _read(build)
    # 6. Render.
    now = datetime.now(UTC)
    facts = store.live.facts(repo.name)
    request = RenderRequest(repo, entries, build.ground.settings, now, store.pieces, facts)
    try:
        tree = build.form.render(request)
    except Held as held:
        result.held = str(held)
        return
    # 7. Sign what changed.
    signed = sign_tree(tree, build.ground.key, store.live.identities(repo.name))
    # 8. Publish, recorded before and after.
    pointers = store.live.pointers(repo.name)
    retired = build.plan.retire
    if signed.sections or places or retired or set(pointers) - {"", *signed.section_names}:
        _publish(build, signed, places, pointers, retired)
    store.live.unretire(placement.path for placement in build.plan.keep)
    store.wanted.set_live(repo.name, entries)
    store.pieces.save()


def _publish(
    build: _Build, signed: SignedTree, places: Sequence[Place], pointers: dict[str, list[str]], retired: Sequence[str]
) -> None:
    store, result = build.store, build.result
    intended = intend(signed, places)
    store.live.begin(build.repo.name, intended)
    published = publish(signed, places, build.ground.root, build.ground.staging, intended, pointers)
    store.live.finish(published, intended, retired, time.time())
    result.sections = [section.name for section in signed.sections]
    result.added = [place.placement.path for place in places]
    result.removed = list(retired)
    sections = ",".join(result.sections) or None
    log.info("published", repo=build.repo.name, sections=sections, added=len(places), removed=len(retired))


def _read(build: _Build) -> tuple[list[Entry], list[Place]]:
    """Read the fragments that are not known yet; files that can't be read or had are left out, with the reason."""
    fragments = {item.file.sha256: (item.size, item.fragment) for item in build.shelf if item.fragment is not None}
    fresh: dict[str, tuple[int, Fragment]] = {}
    unreadable: list[Refusal] = []
    disagreeing: list[Refusal] = []
    entries: list[Entry] = []
    places: list[Place] = []
    below = len(build.repo.directory) + 1
    for placement, staged in _located(build):
        sha256 = placement.file.sha256
        known = fragments.get(sha256) or fresh.get(sha256)
        try:
            if known is None or known[1] is None:
                path = staged.path if staged is not None else build.ground.root / placement.path
                known = fresh[sha256] = (path.lstat().st_size, build.form.read(path))
            size, fragment = known
            assert size is not None and fragment is not None
        except (Refused, OSError) as error:
            unreadable.append(Refusal(placement.file, str(error)))
            continue
        if staged is not None or sha256 in fresh:
            try:
                build.form.agree(placement.file, fragment)
            except Refused as error:
                disagreeing.append(Refusal(placement.file, str(error)))
                continue
        entries.append(Entry(placement.file, placement.path[below:], size, fragment))
        if staged is not None:
            places.append(Place(placement, staged))
    _note(build, fresh, unreadable, disagreeing)
    return entries, places


def _located(build: _Build) -> list[tuple[Placement, StagedFile | None]]:
    located: list[tuple[Placement, StagedFile | None]] = [(placement, None) for placement in build.plan.keep]
    for placement in (*build.plan.link, *build.plan.fetch):
        staged = build.fetched.staged.get(placement.file.sha256)
        if staged is not None:
            located.append((placement, staged))
        else:
            error: PackratError = build.fetched.failed[placement.file.sha256]
            build.result.failed.append(Refusal(placement.file, str(error)))
    return located


def _note(
    build: _Build, fresh: dict[str, tuple[int, Fragment]], unreadable: list[Refusal], disagreeing: list[Refusal]
) -> None:
    wanted, form, repo = build.store.wanted, build.form, build.repo.name
    wanted.save_fragments(form.kind, form.fragment_version, [(sha, *read) for sha, read in fresh.items()])
    wanted.refuse(repo, unreadable, unreadable=True)
    wanted.refuse(repo, disagreeing)
    wanted.note_trouble(repo, build.result.failed)
    build.result.refused = [*build.plan.refused, *unreadable, *disagreeing]
