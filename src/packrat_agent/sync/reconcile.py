"""Reconciles what the server wants with what is on disk: gives each file its place, and plans what has to be done."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import structlog

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.model.entries import Fragment, KnownPlacement, Part, Placement, Plan, Refusal, StoredFile
from packrat_agent.model.paths import is_kept, path_in_root
from packrat_agent.model.records import Repo, Wanted
from packrat_agent.state.file_state import FileState
from packrat_agent.state.fragment_backup import recall
from packrat_agent.state.packages import Unreadable, WantedFile
from packrat_agent.state.store import Store
from packrat_agent.sync.adopt_signed import recall_signed
from packrat_agent.sync.build import parts_of, read_placement
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.plan import decide, missing_parts
from packrat_agent.sync.read_at_hand import read_at_hand
from packrat_agent.sync.scope import Scope, everything
from packrat_core.errors import Refused

log = structlog.get_logger()


def reconcile(
    scope: Scope, form: Format, order: Order, store: Store, context: MirrorContext
) -> tuple[list[WantedFile], dict[str, Fragment], Plan]:
    """Plan a sync; adopt what is found in its place, and remember places and refusals.

    Returns:
        The wanted files, the fragments of those that were read (by SHA-256), and the plan.
    """
    repo, source = scope.repo, context.source_of(form, scope.repo)
    wanted_files = store.wanted.wanted_files(repo.name, scope.files)
    fragments = store.wanted.fragments(repo.name, source, scope.files)
    recalled = _recall(repo, wanted_files, fragments, form, order, context)
    store.fragments.save(source, recalled)
    fragments |= recalled
    placements, refused = _place(repo, form, wanted_files, fragments, context, order)
    _adopt(repo, placements, order.untracked, context, shared=form.treatment is Treatment.UNPACKED)
    plan = _refuse(_plan(scope, form, placements, order, store, {}, context.root), refused)
    placed = (*plan.link, *plan.fetch) if order.packages is not None else (*plan.keep, *plan.link, *plan.fetch)
    store.wanted.set_places(repo.name, [(p.file.uri, p.path) for p in placed])
    store.wanted.refuse(repo.name, plan.refused)
    return wanted_files, fragments, plan


def reconcile_dry(
    repo: Repo, form: Format, wanted: Wanted, order: Order, store: Store, context: MirrorContext
) -> tuple[list[WantedFile], Plan]:
    """Plan the same for what the server just said, and remember nothing."""
    known = {item.file: item for item in store.wanted.wanted_files(repo.name)}
    wanted_files = [known.get(file) or WantedFile(file) for file in wanted.files]
    fragments = store.wanted.fragments(repo.name, context.source_of(form, repo))
    fragments |= _recall(repo, wanted_files, fragments, form, order, context)
    placements, refused = _place(repo, form, wanted_files, fragments, context, order)
    if context.takeover is not None:
        placements, unusable = read_at_hand(placements, form, context, order.untracked)
        refused += unusable
    elif form.treatment is Treatment.ACCOMPANIED:
        # A sync would read them, and find what stands beside them.
        placements = [_read_in_place(placement, form, context, order) for placement in placements]
    shared = form.treatment is Treatment.UNPACKED
    adopted = {
        path: file for placement in placements for path, file in _standing(placement, order.untracked, shared=shared)
    }
    return wanted_files, _refuse(_plan(everything(repo), form, placements, order, store, adopted), refused)


def find_unread(wanted_files: Iterable[WantedFile], fragments: Mapping[str, Fragment]) -> Set[str]:
    """Find the SHA-256s of files that were never read, without those whose bytes are known to be unreadable."""
    return {item.file.sha256 for item in wanted_files if not item.unreadable} - fragments.keys()


def _recall(
    repo: Repo,
    wanted_files: Sequence[WantedFile],
    fragments: Mapping[str, Fragment],
    form: Format,
    order: Order,
    context: MirrorContext,
) -> dict[str, Fragment]:
    """Read the fragments that a lost state database, or one of the original agent's, leaves to be found elsewhere."""
    unread = find_unread(wanted_files, fragments)
    found = recall(context.root, context.source_of(form, repo), unread, context.seals.backups)
    return found | recall_signed(context, repo, form, unread - found.keys(), order.untracked)


def _read_in_place(placement: Placement, form: Format, context: MirrorContext, order: Order) -> Placement:
    if isinstance(placement, KnownPlacement) or not _standing(placement, order.untracked, shared=False):
        return placement
    return read_placement(context.root / placement.path, placement, form)


def _refuse(plan: Plan, refused: Sequence[Refusal]) -> Plan:
    return replace(plan, refused=(*refused, *plan.refused))


def _place(
    repo: Repo,
    form: Format,
    wanted_files: Sequence[WantedFile],
    fragments: Mapping[str, Fragment],
    context: MirrorContext,
    order: Order,
) -> tuple[list[Placement], list[Refusal]]:
    # Where only some packages changed, the places of the others stand.
    trust_places, ask_again = order.packages is not None, order.reread
    placements: list[Placement] = []
    refused: list[Refusal] = []
    signed = bool(context.source_of(form, repo).signer)
    as_is = form.treatment is Treatment.AS_IS or (form.treatment is Treatment.SIGNED and not signed)
    for item in wanted_files:
        waits = item.unreadable is Unreadable.UNTIL_FULL_SYNC and not ask_again
        if waits or item.unreadable is Unreadable.UNTIL_RECORD_CHANGES:
            continue
        file, path, fragment = item.file, item.path, fragments.get(item.file.sha256)
        if not trust_places or item.state is not FileState.LIVE or not path:
            try:
                path = path_in_root(repo, form.place(repo, file))
                if is_kept(path, context.kept):
                    raise Refused(f"{path} is kept by keep_file in mirror.conf, so it is not written")
                if fragment is not None:
                    form.agree(file, fragment)
            except Refused as error:
                refused.append(Refusal(file, str(error)))
                continue
        if as_is:
            placements.append(KnownPlacement(file, path, (Part(path, file.sha256),)))
        elif fragment is not None:
            placements.append(KnownPlacement(file, path, parts_of(path, file.sha256, fragment)))
        else:
            placements.append(Placement(file, path))
    return placements, refused


def _adopt(
    repo: Repo,
    placements: Sequence[Placement],
    untracked: Mapping[str, StoredFile],
    context: MirrorContext,
    *,
    shared: bool,
) -> None:
    store = context.store
    found = [
        (file, placement.file.sha256 if path == placement.path else file.sha256)
        for placement in placements
        for path, file in _standing(placement, untracked, shared=shared)
    ]
    # A full sync reconciles twice if changes came between; and what was untracked when it began may be removed by now.
    known = store.live.known_of(file.path for file, _ in found)
    found = [(file, origin) for file, origin in found if file.path not in known and _is_as_seen(context.root, file)]
    if found:
        store.live.adopt(repo.name, found, time.time())
        log.info("adopted", repo=repo.name, files=len(found))


def _is_as_seen(root: Path, file: StoredFile) -> bool:
    try:
        status = (root / file.path).lstat()
    except OSError:
        return False
    return (status.st_ino, status.st_size, status.st_mtime_ns) == (file.inode, file.size, file.mtime_ns)


def _standing(
    placement: Placement, untracked: Mapping[str, StoredFile], *, shared: bool
) -> list[tuple[str, StoredFile]]:
    """Find what stands in its place already, though nobody remembers it: (path, file) each.

    shared: files share places, so that nothing can be said of one that was not read.
    """
    if not untracked:
        return []
    parts: tuple[Part, ...] = () if shared else (Part(placement.path, placement.file.sha256),)
    if isinstance(placement, KnownPlacement):
        parts = placement.parts
    return [
        (part.path, file)
        for part in parts
        if (file := untracked.get(part.path)) is not None and file.sha256 == part.sha256
    ]


def _plan(
    scope: Scope,
    form: Format,
    placements: Sequence[Placement],
    order: Order,
    store: Store,
    adopted: Mapping[str, StoredFile],
    root: Path | None = None,
) -> Plan:
    """Plan a sync.

    Args:
        scope: What it is about.
        form: The repository's type.
        placements: The wanted files with their places.
        order: The piece of work.
        store: The state database.
        adopted: Path → file that would be adopted.
        root: Where to look for files that nobody remembers; None to look at none.
    """
    repo, paths = scope.repo, scope.paths(placements)
    on_disk = {**store.live.packages(repo.name, paths), **adopted}
    lacking: dict[str, str] = {}
    for placement in placements:
        missing = missing_parts(placement, on_disk) if isinstance(placement, KnownPlacement) else []
        if missing or not isinstance(placement, KnownPlacement):
            # What is not there yet is made from the package file, also from one that stands in its own place.
            lacking[placement.file.sha256] = placement.path
        lacking.update((part.sha256, part.path) for part in missing)
    copies = {file.sha256: file.path for file in order.untracked.values()} | store.live.copies(lacking)
    if root is not None:
        # What a crash left in its place is no longer in staging, or not known as published. It is hashed before it is
        # used; where it is something else, the package file is downloaded.
        copies = {sha: path for sha, path in lacking.items() if os.path.lexists(root / path)} | copies
    names = store.live.published_names(repo.directory, paths)
    exclusive = form.treatment is not Treatment.UNPACKED
    plan = decide(repo, placements, on_disk, copies, names, exclusive=exclusive)
    stays = store.live.withdrawn(repo.name) | scope.shared(plan.withdraw)
    return replace(plan, withdraw=tuple(path for path in plan.withdraw if path not in stays))
