"""The second half of a sync, from verified files to the live tree: build, render, sign, make live, collect garbage.

Reading, signing packages and rendering go on beside the syncs of other repositories. What is written into the live tree
and the state database goes one after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from packrat_agent.formats.interface import (
    MOMENT,
    Change,
    Format,
    RenderRequest,
    Treatment,
    explain_ahead,
    explain_held,
)
from packrat_agent.model.entries import Entry, Fragment, Placement, Plan
from packrat_agent.model.tree import ReadyTree, Rendered, Touched, find_ended, publications_of
from packrat_agent.publish.signing import declare_unsigned, publication_identity, sign_tree
from packrat_agent.publish.write_ahead import WrittenAhead, find_large, writing_ahead
from packrat_agent.state.file_state import FileState
from packrat_agent.state.fragment_backup import keep
from packrat_agent.state.packages import WantedFile
from packrat_agent.state.published import LiveFiles
from packrat_agent.state.store import Store
from packrat_agent.sync.build import Made, Material, build_packages
from packrat_agent.sync.collect import remove_old_indexes
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.fetch.download import Fetched
from packrat_agent.sync.last_renders import Basis
from packrat_agent.sync.planning.gains import Before, find_gains, new_refusals, of_entries, refused_for_good, standing
from packrat_agent.sync.planning.index_entries import IndexEntries, SettledEntries, StoredEntries
from packrat_agent.sync.planning.scope import Scope
from packrat_agent.sync.roll_forward import roll_forward
from packrat_agent.sync.turns import RepoTurn
from packrat_core.aio.threads import in_thread
from packrat_core.errors import ServerBroken, ServerUnavailable
from packrat_core.failpoints import done
from packrat_core.fs.flush import flush_files
from packrat_core.text import name_some

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Build:
    """All that one build needs; `context.staging` is the sync's own staging directory.

    `fragments` has what was read before, under the SHA-256s of the package files.
    """

    basis: Basis
    scope: Scope
    form: Format
    order: Order
    before: Before
    wanted_files: Sequence[WantedFile]
    fragments: Mapping[str, Fragment]
    plan: Plan
    fetched: Fetched
    context: MirrorContext
    result: SyncResult

    @property
    def store(self) -> Store:
        """The state database."""
        return self.context.store


async def build_repo(build: Build, turn: RepoTurn, *, is_last_try: bool) -> Sequence[Placement]:
    """Take the last steps of a sync.

    Args:
        build: What was planned and fetched.
        turn: The turns of the repository, whose lock the caller holds.
        is_last_try: Go on without the files that others have changed on disk.

    Returns:
        The files that others have changed; if there are any, nothing was published, and they must be fetched again.

    Raises:
        Held: A published value that clients rely on would change.
        SigningError: The key does not sign.
        DiskError: The disk failed; what is published stays as it was.
    """
    publishing = build.context.turns.publishing
    # 5. Build: read what was fetched; sign or unpack it if its type asks for that.
    made = await in_thread(_build_packages, build)
    if made.changed and not is_last_try:
        return made.changed
    async with publishing:
        await in_thread(_note, build, made)
        if _changes_nothing(build, made):
            await in_thread(_settle_unchanged, build, made)
            return ()
    # 6. Render; the date is an input, rendering reads no clock.
    await turn.until_rested()
    rendered, now = await in_thread(_render_beside_flush, build, made)
    async with publishing:
        await in_thread(_publish, build, made, rendered, now)
    if build.result.publications:
        turn.rest()
    return ()


def _build_packages(build: Build) -> Made:
    signer = build.context.signer_of(build.form, build.scope.repo)
    return build_packages(build.plan, build.form, signer, _material(build))


def _changes_nothing(build: Build, made: Made) -> bool:
    """Tell, before anything is rendered, that the index and the package files stay as they are."""
    scope = build.scope
    return (
        scope.packages is not None
        and not (made.packages or build.plan.withdraw or made.failed or made.unreadable or made.disagreeing)
        and _by_uri(made.entries) == _by_uri(scope.before)
    )


def _by_uri(entries: Sequence[Entry]) -> Mapping[str, tuple[Entry, bool]]:
    # Records that differ in their mark alone are equal.
    return {entry.file.uri: (entry, entry.file.yanked) for entry in entries}


def _settle_unchanged(build: Build, made: Made) -> None:
    facts = build.store.publications.facts_with(build.scope.repo.name, MOMENT)
    build.result.ahead = explain_ahead(facts.values(), datetime.now(UTC))
    _reinstate(build)
    _settle(build, made, build.scope.last.held)


def _render_beside_flush(build: Build, made: Made) -> tuple[Rendered, datetime]:
    """Render while the staged package files reach the disk: nobody else should wait for that when it is published."""
    staging = build.context.staging
    staged = [f"{staging}/{sha256}" for sha256 in sorted({package.sha256 for package in made.packages})]
    if not staged:
        return _render(build, made)
    with ThreadPoolExecutor(1) as beside:
        flushed = beside.submit(flush_files, staged)
        rendered = _render(build, made)
        flushed.result()
    return rendered


def _render(build: Build, made: Made) -> tuple[Rendered, datetime]:
    scope, now = build.scope, datetime.now(UTC)
    facts = build.store.publications.late_facts(scope.repo.name)
    change = None if scope.packages is None else Change(scope.before, made.entries)
    entries: Sequence[Entry] = made.entries
    if isinstance(scope.last.entries, IndexEntries) and not build.form.keeps_index:
        entries = scope.last.entries
        entries.replace(scope.before, made.entries)
    settings, chunks = build.context.settings_of(scope.repo), build.store.chunks
    kept = _find_kept(build)
    request = RenderRequest(
        *(scope.repo, entries, settings, now, chunks, facts, scope.memo, change),
        scratch=build.store.scratch,
        standing=_find_standing(build, made),
        kept=kept,
        is_published=_find_published(build),
    )
    tree = build.form.render(request)
    for name in kept.keys() & scope.memo.keys() if build.form.keeps_index else ():
        if kept[name] is not scope.memo[name]:
            log.warning("differs", repo=scope.repo.name, index=name, text="the index was rebuilt")
    return tree, now


def _find_standing(build: Build, made: Made) -> SettledEntries | None:
    """Give the entries that stay as they are, where the state database alone has them."""
    scope = build.scope
    if not build.form.keeps_index:
        return None
    looked_at = scope.looked_at
    if scope.packages is not None:
        looked_at = frozenset(entry.file.uri for entry in (*scope.before, *made.entries))
    if looked_at is None:
        return None
    return SettledEntries(scope.repo, build.store.live_entries(scope.repo, build.basis.source), looked_at)


def _find_published(build: Build) -> Callable[[str, str], bool]:
    """Tell which publications are published as they are."""
    repo, signers = build.scope.repo, build.context.signers_of(build.scope.repo)
    identities = build.store.publications.identities(repo.name) if build.scope.packages is None else {}
    return lambda name, identity: identities.get(name) == publication_identity(repo, identity, signers)


def _find_kept(build: Build) -> Mapping[str, Any]:
    """Give a full sync what earlier changes left in `memo`; where a format keeps its index, only if all is settled."""
    if build.scope.packages is not None:
        return {}
    if build.form.keeps_index and (build.scope.looked_at != frozenset() or build.plan.withdraw):
        return {}
    last = build.context.last_renders.look(build.basis)
    return last.memo if last is not None else {}


def _publish(build: Build, made: Made, rendered: Rendered, now: datetime) -> None:
    """Take the steps from the signature on.

    Args:
        build: What was planned and fetched.
        made: What was made.
        rendered: All publications of the repository, or those that a change touches.
        now: The time that they were rendered for.
    """
    context, repo, store, publications = build.context, build.scope.repo, build.store, publications_of(rendered)
    held = explain_held({publication.name: publication.facts for publication in publications})
    with writing_ahead(context.staging) as ahead:
        # gpg takes as long to sign as the disk takes to write a large index. After a failure they are written once gpg
        # has signed: with a key that stays locked, each try would write them in vain.
        if build.form.keeps_index and not store.facts.has_failed(repo.name):
            ahead.begin(find_large(publications, repo, context.root))
        # 7. Sign what changed.
        ready = _sign(build, rendered)
        # 8. Make live, recorded before and after.
        facts = store.publications.facts_with(repo.name, MOMENT)
        _make_live(build, made, ready, ahead)
        facts |= {publication.name: publication.facts for publication in ready.publications}
        ended = frozenset(find_ended(ready, facts))
        build.result.ahead = explain_ahead((fact for name, fact in facts.items() if name not in ended), now)
        _settle(build, made, held)
        store.chunks.save()
        # 9. Collect garbage.
        if build.result.publications:
            remove_old_indexes(repo.name, context)


def _sign(build: Build, rendered: Rendered) -> ReadyTree:
    """Sign the publications that are not published as they are, or declare them unsigned where no key signs."""
    repo, store, signers = build.scope.repo, build.store, build.context.signers_of(build.scope.repo)
    names = [publication.name for publication in rendered.publications] if isinstance(rendered, Touched) else None
    identities = store.publications.identities(repo.name, names)
    if signers is None:
        return declare_unsigned(repo, rendered, identities)
    return sign_tree(repo, rendered, signers, identities, store.chunks)


def _make_live(build: Build, made: Made, ready: ReadyTree, ahead: WrittenAhead) -> None:
    """Publish what differs from the live tree, and tell what clients gain by it.

    Args:
        build: What was planned and fetched.
        made: What was made.
        ready: The publications, signed or declared unsigned.
        ahead: The large files among their content that are being written already.
    """
    repo, result = build.scope.repo, build.result
    placed = {package.path for package in made.packages}
    withdrawn = [path for path in build.plan.withdraw if path not in placed]
    build.context.last_renders.drop(repo.name)
    # Before the index names them: if this sync dies in between, nothing may collect them as withdrawn.
    _reinstate(build)
    gone = _find_gone(build.store.live, ready)
    if ready.publications or made.packages or withdrawn or gone:
        make_live(ready, made.packages, withdrawn, build.context, ahead)
        result.publications = [publication.name for publication in ready.publications]
    elif not result.placed_ahead and {file.uri for file in build.before.indexed} == {e.file.uri for e in made.entries}:
        return
    # Also where nothing was left to publish: what a crash cut off was completed before this sync began, and nobody was
    # told what clients gained by it; or a change has published what was placed ahead.
    build.context.page.note(repo.name, build.scope.packages)
    _tell_gains(build, made)


def _find_gone(live: LiveFiles, ready: ReadyTree) -> Mapping[str, Sequence[str]]:
    """Give the pointers on disk of publications that end."""
    if ready.publication_names is None:
        return live.pointers_of(ready.repo.name, ready.ended)
    return live.pointers(ready.repo.name, ready.publication_names)


def _reinstate(build: Build) -> None:
    """Count as live what is kept or linked: some of it may have been in place, withdrawn."""
    build.store.live.reinstate(build.scope.repo.name, (path for parts in build.plan.parts.values() for path in parts))


def _settle(build: Build, made: Made, held: str | None) -> None:
    """Note what is live now, and leave the next sync what it may start from.

    Args:
        build: What was built.
        made: What was made.
        held: What the publications leave out until the operator confirms it.
    """
    repo, store = build.scope.repo, build.store
    build.result.held = "; ".join(reason for reason in (build.result.held, held) if reason) or None
    for path in made.unneeded:
        path.unlink(missing_ok=True)
    looked_at = build.scope.looked_at
    if looked_at is None:
        store.wanted.set_live(repo.name, made.entries, build.scope.files)
    else:
        store.wanted.set_live_among(repo.name, looked_at, {entry.file.uri for entry in made.entries})
    build.context.page.note_synced(repo.name)
    done("live-noted")
    if not (made.failed or made.unreadable or made.disagreeing):
        # Each file on disk now belongs to an entry or is withdrawn, so that the next sync may start from here.
        refused = frozenset(refusal.file.package for refusal in build.plan.refused)
        last = replace(build.scope.last, refused=refused, held=held)
        if build.form.keeps_index:
            last = replace(last, entries=StoredEntries(repo, store.live_entries(repo, build.basis.source)))
        build.context.last_renders.keep(build.basis, last)


def _material(build: Build) -> Material:
    plan, known, directory = build.plan, build.store.published_names, build.scope.repo.directory
    accompanied = build.form.treatment is Treatment.ACCOMPANIED
    # Only the files themselves tell under which names clients are to find them: those of a change are looked up late.
    names = known.below(directory)
    if build.scope.packages is None:
        # What is kept and was read before was checked when it was published, or when it was planned.
        read_now = (placement for placement in plan.keep if placement.file.sha256 not in build.fragments)
        paths = {placement.path for placement in (*read_now, *plan.link, *plan.fetch)}
        if build.scope.looked_at is None:
            names = known.find(directory)
        else:
            names = known.below(directory, paths) if accompanied else known.find(directory, paths)
    return Material(
        root=build.context.root,
        staging=build.context.staging,
        staged=build.fetched.staged,
        failed=build.fetched.failed,
        known=build.fragments,
        published_names=names,
        claims=build.scope.claims() if accompanied or build.form.treatment is Treatment.UNPACKED else {},
        products=build.order.rehearsed.products,
    )


def _note(build: Build, made: Made) -> None:
    wanted, repo = build.store.wanted, build.scope.repo.name
    # What a failing disk left half published would mislead what is rendered next.
    roll_forward(repo, build.store, build.context.root, build.context.kept)
    source = build.context.source_of(build.form, build.scope.repo)
    build.store.fragments.save(source, made.fresh)
    # Live files have a backup already.
    waiting = {item.file.sha256 for item in build.wanted_files if item.state is not FileState.LIVE}
    read_before = {sha256: fragment for sha256, fragment in build.fragments.items() if sha256 in waiting}
    keep(build.context.root, source, build.store.fragments, read_before | made.fresh)
    wanted.refuse(repo, made.unreadable, unreadable=True)
    wanted.refuse(repo, made.disagreeing)
    wrong_bytes = [sha for sha, error in build.fetched.failed.items() if isinstance(error, ServerBroken)]
    wanted.note_trouble(repo, made.failed, wrong_bytes)
    build.result.failed = made.failed
    build.result.outstanding = sum(isinstance(error, ServerUnavailable) for error in build.fetched.failed.values())
    known = refused_for_good(build.wanted_files)
    build.result.refused = [*build.plan.refused, *known, *made.unreadable, *made.disagreeing]
    build.result.newly_refused += new_refusals(build.result.refused, build.before.wanted_files)
    done("packages-made")


def _tell_gains(build: Build, made: Made) -> None:
    result, repo = build.result, build.scope.repo
    now = of_entries(repo, made.entries)
    gains = find_gains(build.before.indexed, now, standing(now, build.order.untracked), build.form.treatment)
    result.added, result.removed = sorted([*result.placed_ahead, *gains.added]), gains.removed
    result.yanked, result.unyanked = gains.yanked, gains.unyanked
    publications = name_some(result.publications, ",") or None
    counts = {"yanked": len(gains.yanked), "unyanked": len(gains.unyanked)}
    log.info(
        "published",
        repo=repo.name,
        publications=publications,
        added=len(result.added),
        removed=len(gains.removed),
        **{word: count for word, count in counts.items() if count},
    )
