"""One pass of one repository: ask → remember → decide → fetch → read → render → sign → publish.

Takes: the repository, which of its packages to look at, the server, the state database, the ground to build on.
Gives: a PassResult.
Touches: through its steps: network, staging, state database, gpg, the live tree.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from packrat_agent.errors import Held, Refused, ServerBroken
from packrat_agent.fetch import Fetched, fetch
from packrat_agent.formats.interface import Format, RenderRequest, RenderSettings, Treatment, tell_ahead
from packrat_agent.formats.table import FORMATS
from packrat_agent.keyring import SigningKey
from packrat_agent.make import Made, Material, make, parts_of, read_parts
from packrat_agent.model import (
    NOTHING_CONFIRMED,
    Candidate,
    Confirmed,
    Entry,
    PackageFile,
    Part,
    Place,
    Plan,
    Refusal,
    Rejection,
    Repo,
    SignedTree,
    StoredFile,
    Wanted,
)
from packrat_agent.plan import decide
from packrat_agent.publish import intend, path_in_root, publish
from packrat_agent.removals import RemovalLimits, hold_back_removals
from packrat_agent.scope import Scope, narrow
from packrat_agent.server.packrat import Packrat
from packrat_agent.sign import sign_tree
from packrat_agent.state.keepsake import keep, recall
from packrat_agent.state.settled import Standing
from packrat_agent.state.store import Store
from packrat_agent.state.wanted import FragmentSource, ShelfItem
from packrat_agent.steps import done
from packrat_agent.sweep import is_kept
from packrat_agent.threads import in_thread

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ground:
    """What the passes of a mirror build on."""

    root: Path
    staging: Path
    key: SigningKey | None
    settings: RenderSettings
    parallel_downloads: int
    removals: RemovalLimits
    kept: frozenset[str] = frozenset()
    """What the operator keeps, relative to root."""


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
    ahead: str | None = None
    sections: list[str] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a pass is asked to do.

    packages: None for all, else the only ones that changed. reread: ask for every record anew. dry_run: stop once it
    is decided. strangers: path → hashed files below `root_dir` that nobody remembers; those with wanted bytes are
    adopted.
    """

    packages: Collection[str] | None = None
    reread: bool = False
    dry_run: bool = False
    confirmed: Confirmed = NOTHING_CONFIRMED
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

    def count(files: int, size: int) -> None:
        result.bytes += size
        on_progress(files, size)

    form = FORMATS.get(repo.kind)
    result.held = _what_hinders(repo, ground)
    if form is None or result.held is not None:
        return result
    # 1. Ask.
    wanted = await server.wanted(repo, order.packages, await in_thread(_known, repo, order, store))
    result.rejected = list(wanted.rejected)
    # 2. Remember.
    try:
        if order.packages is None:
            # Else the server named what changed.
            accepted = order.confirmed.removals
            await in_thread(hold_back_removals, repo, wanted, store, ground.removals, accepted=accepted)
    except Held as held:
        result.held = str(held)
        return result
    if order.dry_run:
        return _tell_plan(await in_thread(_plan_dry, repo, form, wanted, order, store, ground), order, result)
    scope = narrow(repo, order.packages, store.settled.take(repo.name, (repo, source_of(form, ground))))
    await in_thread(store.wanted.remember_wanted, repo.name, wanted, order.packages)
    done("wanted-remembered")
    # 3. Decide.
    shelf, plan = await in_thread(_decide, scope, form, order, store, ground)
    # 4. Fetch.
    fetched = await _fetch(plan, server, ground, count)
    # 5. to 8. Read, render, sign, publish.
    await in_thread(_build, _Build(scope, form, shelf, plan, fetched, store, ground, result))
    result.seconds = time.monotonic() - started
    return result


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


def _plan_dry(repo: Repo, form: Format, wanted: Wanted, order: Order, store: Store, ground: Ground) -> Plan:
    known = {item.file: item for item in store.wanted.shelf(repo.name, source_of(form, ground))}
    shelf = [known.get(file) or ShelfItem(file, None, "wanted", None, 0, None, None) for file in wanted.files]
    shelf, _ = recall(ground.root, source_of(form, ground), shelf)
    candidates, refused = _place(repo, form, shelf, ground, order)
    if form.treatment is Treatment.ACCOMPANIED:
        # A pass would read them, and find what stands beside them.
        unread = [one for one in candidates if one.parts is None and _standing(one, order.strangers)]
        read = {one.path: read_parts(ground.root / one.path, one.path, one.file.sha256, form) for one in unread}
        candidates = [replace(one, parts=read.get(one.path, one.parts)) for one in candidates]
    adopted = {path: found for one in candidates for path, found in _standing(one, order.strangers)}
    return _plan(Scope(repo), candidates, refused, order, store, adopted)


def source_of(form: Format, ground: Ground) -> FragmentSource:
    """Say under what a type's fragments are remembered here: another key makes others."""
    signed = form.treatment is Treatment.SIGNED and ground.key is not None
    return FragmentSource(form.kind, form.fragment_version, ground.key.fingerprint if signed and ground.key else "")


def _decide(scope: Scope, form: Format, order: Order, store: Store, ground: Ground) -> tuple[list[ShelfItem], Plan]:
    repo, source = scope.repo, source_of(form, ground)
    shelf, recalled = recall(ground.root, source, store.wanted.shelf(repo.name, source, scope.packages))
    store.wanted.save_fragments(source, recalled)
    candidates, refused = _place(repo, form, shelf, ground, order)
    _adopt(repo, candidates, order.strangers, store)
    plan = _plan(scope, candidates, refused, order, store, {})
    placed = (*plan.link, *plan.fetch) if order.packages is not None else (*plan.keep, *plan.link, *plan.fetch)
    store.wanted.set_places(repo.name, [(p.file.uri, p.path) for p in placed])
    store.wanted.refuse(repo.name, plan.refused)
    return shelf, plan


def _place(
    repo: Repo, form: Format, shelf: Sequence[ShelfItem], ground: Ground, order: Order
) -> tuple[list[Candidate], list[Refusal]]:
    # Where only some packages changed, the places of the others stand.
    trust_places, ask_again = order.packages is not None, order.reread
    candidates: list[Candidate] = []
    refused: list[Refusal] = []
    signed = bool(source_of(form, ground).signer)
    as_is = form.treatment is Treatment.AS_IS or (form.treatment is Treatment.SIGNED and not signed)
    exclusive = form.treatment is not Treatment.UNPACKED
    for item in shelf:
        if item.unreadable == 1 or (item.unreadable == 2 and not ask_again):
            continue
        file, path = item.file, item.path
        if not trust_places or item.state != "live" or path is None:
            try:
                path = path_in_root(repo, form.place(repo, file))
                if is_kept(path, ground.kept):
                    raise Refused(f"{path} is kept by keep_file in mirror.conf, so it is not written")
                if item.fragment is not None:
                    form.agree(file, item.fragment)
            except Refused as error:
                refused.append(Refusal(file, str(error)))
                continue
        if as_is:
            parts: tuple[Part, ...] | None = (Part(path, file.sha256),)
        else:
            parts = parts_of(path, file.sha256, item.fragment) if item.fragment is not None else None
        candidates.append(Candidate(file, path, parts, exclusive))
    return candidates, refused


def _adopt(repo: Repo, candidates: Sequence[Candidate], strangers: Mapping[str, StoredFile], store: Store) -> None:
    found = [
        (file, one.file.sha256 if path == one.path else file.sha256)
        for one in candidates
        for path, file in _standing(one, strangers)
    ]
    if found:
        store.live.adopt(repo.name, found, time.time())
        log.info("adopted", repo=repo.name, files=len(found))


def _standing(one: Candidate, strangers: Mapping[str, StoredFile]) -> list[tuple[str, StoredFile]]:
    """Find what of a candidate stands in its place already, though nobody remembers it: (path, file) each."""
    if not strangers:
        return []
    parts = one.parts or ((Part(one.path, one.file.sha256),) if one.exclusive else ())
    return [
        (part.path, found)
        for part in parts
        if (found := strangers.get(part.path)) is not None and found.sha256 == part.sha256
    ]


def _plan(
    scope: Scope,
    candidates: Sequence[Candidate],
    refused: Sequence[Refusal],
    order: Order,
    store: Store,
    adopted: Mapping[str, StoredFile],
) -> Plan:
    repo, paths = scope.repo, scope.paths(candidates)
    on_disk = {**store.live.packages(repo.name, paths), **adopted}
    lacking = {part.sha256 for one in candidates for part in one.parts or () if part.path not in on_disk}
    # What is not there yet is made from the package file, also from one that stands in its own place.
    lacking |= {one.file.sha256 for one in candidates if one.parts is None or not _all_there(one.parts, on_disk)}
    elsewhere = {file.sha256: file.path for file in order.strangers.values()} | store.live.copies(lacking)
    plan = decide(repo, candidates, on_disk, elsewhere, store.live.published_names(repo.directory, paths))
    stays = store.live.retired(repo.name) | scope.shared(plan.retire)
    retire = tuple(path for path in plan.retire if path not in stays)
    return replace(plan, retire=retire, refused=(*refused, *plan.refused))


def _all_there(parts: Sequence[Part], on_disk: Mapping[str, StoredFile]) -> bool:
    return all(part.path in on_disk for part in parts)


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
    if not (made.failed or made.unreadable or made.disagreeing):
        # Every file on disk belongs to an entry now, or is retired.
        refused = frozenset(refusal.file.package for refusal in build.plan.refused)
        store.settled.keep(
            repo.name, (repo, source_of(build.form, build.ground)), Standing(entries, refused, build.scope.memo)
        )


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
    source = source_of(build.form, build.ground)
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
