"""Reconciles what the server wants with what is on disk: gives each file its place, and plans what has to be done."""

import os
import time
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.model.entries import Fragment, Parts, Placement, Plan, Refusal, StoredFile, refusal_reason
from packrat_agent.model.records import Repo, Wanted
from packrat_agent.state.file_state import FileState, Unreadable
from packrat_agent.state.fragment_backup import recall
from packrat_agent.state.packages import WantedFile
from packrat_agent.state.store import Store
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.planning.places import place_of
from packrat_agent.sync.planning.plan import decide, missing_parts
from packrat_agent.sync.planning.published_parts import parts_of, read_parts
from packrat_agent.sync.planning.scope import Scope, whole_repo
from packrat_agent.sync.takeover.adopt_signed import recall_signed
from packrat_agent.sync.takeover.read_at_hand import read_at_hand
from packrat_core.errors import Refused
from packrat_core.fs.file_times import mtime_ns
from packrat_core.fs.inodes import inode

log = structlog.get_logger()


@dataclass(slots=True)
class _Placed:
    """The wanted files with their places, URI → what is published of the file (where it is known), and the refusals."""

    placements: list[Placement] = field(default_factory=list)
    parts: dict[str, Parts] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)


def reconcile(
    scope: Scope, form: Format, order: Order, context: MirrorContext, *, has_bodies: bool = True
) -> tuple[list[WantedFile], dict[str, Fragment], Plan]:
    """Plan a sync; adopt what is found in its place, and remember places and refusals.

    Args:
        scope: What is decided again.
        form: The repository's type.
        order: The piece of work.
        context: The mirror.
        has_bodies: Without, the bodies of the fragments are left empty.

    Returns:
        The wanted files, the fragments of those that were read (by SHA-256), and the plan.
    """
    repo, source, store = scope.repo, context.source_of(form, scope.repo), context.store
    wanted_files = store.wanted.wanted_files(repo.name, scope.files)
    fragments = store.wanted.fragments(repo.name, source, scope.files, has_bodies=has_bodies)
    recalled = _recall(repo, wanted_files, fragments, form, order, context)
    store.fragments.save(source, recalled)
    fragments |= recalled
    placed = _place(repo, form, wanted_files, fragments, context, order)
    _adopt(repo, placed, order.untracked, context, shared=form.treatment is Treatment.UNPACKED)
    plan = _plan(scope, form, placed, order, store, {}, context.root)
    # What is kept has no place yet, too, where a file is wanted again before it was removed from disk.
    decided = (*plan.keep, *plan.link, *plan.fetch)
    known = {item.file.uri: item.path for item in wanted_files}
    places = [(p.file.uri, p.path) for p in decided if known.get(p.file.uri, p.path) != p.path]
    store.wanted.set_places(repo.name, places)
    store.wanted.refuse(repo.name, plan.refused)
    return wanted_files, fragments, plan


def reconcile_dry(
    repo: Repo, form: Format, wanted: Wanted, order: Order, context: MirrorContext
) -> tuple[list[WantedFile], Plan]:
    """Plan the same for what the server just said, and remember nothing.

    Args:
        repo: The repository.
        form: Its type.
        wanted: What the server said.
        order: What to do.
        context: The mirror.
    """
    store = context.store
    known = {item.file: item for item in store.wanted.wanted_files(repo.name)}
    wanted_files = [known.get(file) or WantedFile(file) for file in wanted.files]
    fragments = store.wanted.fragments(repo.name, context.source_of(form, repo))
    fragments |= _recall(repo, wanted_files, fragments, form, order, context)
    placed = _place(repo, form, wanted_files, fragments, context, order)
    if context.takeover is not None:
        # What is made from a file is nowhere yet, unless it is held in memory.
        held = order.rehearsed.products
        read = {
            sha256: fragment
            for sha256, fragment in fragments.items()
            if all(not product.sha256 or product.sha256 in held for product in fragment.products)
        }
        placed.placements, parts, unusable = read_at_hand(repo, placed.placements, read, form, context, order)
        placed.parts |= parts
        placed.refused += unusable
    elif form.treatment is Treatment.ACCOMPANIED:
        # A sync would read them, and find what stands beside them.
        _read_in_place(placed, form, context, order)
    shared = form.treatment is Treatment.UNPACKED
    adopted = {file.path: file.sha256 for file, _ in _standing(placed, order.untracked, shared=shared)}
    return wanted_files, _plan(whole_repo(repo), form, placed, order, store, adopted)


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
    source, formers = context.source_of(form, repo), context.former_sources_of(form, repo)
    accepted = {former.signer for former in formers}
    found = order.rehearsed.recall(context.root, source, unread)
    for made_for in (source, *formers):
        lacking = unread - found.keys()
        recalled = recall(context.root, made_for, context.store.fragments, lacking, context.seals.backups)
        for sha256, fragment in recalled.items():
            maker = fragment.made_by or made_for.signer
            # What a key has signed that mirror.conf no longer names, such as a stolen one, must be signed again.
            if maker == source.signer:
                found[sha256] = replace(fragment, made_by="")
            elif maker in accepted:
                found[sha256] = replace(fragment, made_by=maker)
    return found | recall_signed(context, repo, form, unread - found.keys(), order.untracked)


def _read_in_place(placed: _Placed, form: Format, context: MirrorContext, order: Order) -> None:
    for placement in placed.placements:
        file, standing = placement.file, order.untracked.get(placement.path)
        if file.uri in placed.parts or standing is None or standing.sha256 != file.sha256:
            continue
        parts = read_parts(context.root / placement.path, placement, form)
        if parts is not None:
            placed.parts[file.uri] = parts


def _place(
    repo: Repo,
    form: Format,
    wanted_files: Sequence[WantedFile],
    fragments: Mapping[str, Fragment],
    context: MirrorContext,
    order: Order,
) -> _Placed:
    # Where only some packages changed, the places of the others stand.
    trust_places, ask_again = order.packages is not None, order.reread
    placed = _Placed()
    signed = bool(context.source_of(form, repo).signer)
    as_is = form.treatment is Treatment.AS_IS or (form.treatment is Treatment.SIGNED and not signed)
    for item in wanted_files:
        # The server had other bytes than its record says: only a full sync asks it again.
        waits = item.unreadable is Unreadable.UNTIL_FULL_SYNC and not ask_again
        if waits or item.unreadable is Unreadable.UNTIL_RECORD_CHANGES:
            continue
        file, path, fragment = item.file, item.path, fragments.get(item.file.sha256)
        if not trust_places or item.state is not FileState.LIVE or not path:
            try:
                path = place_of(repo, form, file, context.kept)
                if fragment is not None:
                    form.agree(file, fragment)
            except Refused as error:
                placed.refused.append(Refusal(file, refusal_reason(error)))
                continue
        placed.placements.append(Placement(file, path))
        if as_is:
            placed.parts[file.uri] = {path: file.sha256}
        elif fragment is not None:
            placed.parts[file.uri] = parts_of(path, file.sha256, fragment)
    return placed


def _adopt(
    repo: Repo, placed: _Placed, untracked: Mapping[str, StoredFile], context: MirrorContext, *, shared: bool
) -> None:
    store = context.store
    found = _standing(placed, untracked, shared=shared)
    # A full sync reconciles twice if changes came between; and what was untracked when it began may be removed by now.
    known = store.live.known_of(file.path for file, _ in found)
    found = [(file, origin) for file, origin in found if file.path not in known and _is_as_seen(context.root, file)]
    if found:
        store.live.adopt(repo.name, found, time.time())
        log.info("adopted", repo=repo.name, files=len(found))


def _is_as_seen(root: Path, file: StoredFile) -> bool:
    try:
        status = os.lstat(f"{root}/{file.path}")
    except OSError:
        return False
    return (inode(status), status.st_size, mtime_ns(status)) == (file.inode, file.size, file.mtime_ns)


def _standing(placed: _Placed, untracked: Mapping[str, StoredFile], *, shared: bool) -> list[tuple[StoredFile, str]]:
    """Find files that are in their places already although the state database does not know them.

    Args:
        placed: The wanted files with their places.
        untracked: Path → hashed files below `root_dir` that the state database doesn't know.
        shared: Files share places, so that nothing can be said of one that was not read.

    Returns:
        Each file, with the SHA-256 of the package file that stands for it under this name.
    """
    if not untracked:
        return []
    standing = []
    for placement in placed.placements:
        own: Parts = {} if shared else {placement.path: placement.file.sha256}
        for path, sha256 in placed.parts.get(placement.file.uri, own).items():
            file = untracked.get(path)
            if file is not None and file.sha256 == sha256:
                standing.append((file, placement.file.sha256 if path == placement.path else sha256))
    return standing


def _left_in_place(lacking: Mapping[str, str], root: Path) -> dict[str, str]:
    """Choose what stands at its path, whatever it is; of a new repository not even the directory is there."""
    if not lacking or not os.path.lexists(root / os.path.commonpath(list(lacking.values()))):
        return {}
    return {sha256: path for sha256, path in lacking.items() if os.path.lexists(f"{root}/{path}")}


def _plan(
    scope: Scope,
    form: Format,
    placed: _Placed,
    order: Order,
    store: Store,
    adopted: Mapping[str, str],
    root: Path | None = None,
) -> Plan:
    """Plan a sync.

    Args:
        scope: What it is about.
        form: The repository's type.
        placed: The wanted files with their places.
        order: The piece of work.
        store: The state database.
        adopted: Path → SHA-256 of what would be adopted.
        root: Where to look for files that nobody remembers; None to look at none.
    """
    repo, paths = scope.repo, scope.paths(placed.placements, placed.parts)
    on_disk = {**store.live.packages(repo.name, paths), **adopted}
    lacking: dict[str, str] = {}
    for placement in placed.placements:
        parts = placed.parts.get(placement.file.uri)
        missing = missing_parts(parts, on_disk) if parts is not None else {}
        if missing or parts is None:
            # What is not there yet is made from the package file, also from one that stands in its own place.
            lacking[placement.file.sha256] = placement.path
        lacking.update((sha256, path) for path, sha256 in missing.items())
    copies = {file.sha256: file.path for file in order.untracked.values()} | store.live.copies(lacking)
    held: Mapping[str, bytes] = {}
    if root is not None:
        # What the rehearsal of a takeover has made needs no copy.
        held = order.rehearsed.products
        # What a crash left in its place is no longer in staging, or not known as published. It is hashed before it is
        # used; where it is something else, the package file is downloaded.
        copies = _left_in_place(lacking, root) | copies
    names = store.published_names.find(repo.directory, paths)
    exclusive = form.treatment is not Treatment.UNPACKED
    at_hand = ChainMap(copies, dict.fromkeys(held, "")) if held else copies
    plan = decide(repo, placed.placements, placed.parts, on_disk, at_hand, names, exclusive=exclusive)
    stays = store.live.withdrawn(repo.name) | scope.shared(plan.withdraw)
    withdraw = tuple(path for path in plan.withdraw if path not in stays)
    return replace(plan, withdraw=withdraw, refused=(*placed.refused, *plan.refused), sources=copies, held=held)
