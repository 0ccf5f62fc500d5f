"""Weighs what the server wants against what stands on disk: each file's place, and what is to be done about it.

Takes: the packages to look at, the order, the state database, what the pass builds on.
Gives: the wanted files with all that is remembered of them, and a Plan.
Touches: the state database.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.model.entries import Candidate, Part, Plan, Refusal, StoredFile
from packrat_agent.model.paths import is_kept, path_in_root
from packrat_agent.model.records import Repo, Wanted
from packrat_agent.state.fragment_backup import recall
from packrat_agent.state.packages import WantedFile
from packrat_agent.state.store import Store
from packrat_agent.sync.build import parts_of, read_parts
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.plan import decide
from packrat_agent.sync.scope import Scope
from packrat_core.errors import Refused

log = structlog.get_logger()


def reconcile(
    scope: Scope, form: Format, order: Order, store: Store, context: MirrorContext
) -> tuple[list[WantedFile], Plan]:
    """Decide what a pass does; what is found in its place is adopted, and places and refusals are remembered."""
    repo, source = scope.repo, context.source_of(form)
    wanted_files, recalled = recall(context.root, source, store.wanted.wanted_files(repo.name, source, scope.packages))
    store.wanted.save_fragments(source, recalled)
    candidates, refused = _place(repo, form, wanted_files, context, order)
    _adopt(repo, candidates, order.untracked, store)
    plan = _plan(scope, candidates, refused, order, store, {})
    placed = (*plan.link, *plan.fetch) if order.packages is not None else (*plan.keep, *plan.link, *plan.fetch)
    store.wanted.set_places(repo.name, [(p.file.uri, p.path) for p in placed])
    store.wanted.refuse(repo.name, plan.refused)
    return wanted_files, plan


def reconcile_dry(repo: Repo, form: Format, wanted: Wanted, order: Order, store: Store, context: MirrorContext) -> Plan:
    """Decide the same of what the server just said, and remember nothing."""
    known = {item.file: item for item in store.wanted.wanted_files(repo.name, context.source_of(form))}
    wanted_files = [known.get(file) or WantedFile(file, None, "wanted", None, 0, None, None) for file in wanted.files]
    wanted_files, _ = recall(context.root, context.source_of(form), wanted_files)
    candidates, refused = _place(repo, form, wanted_files, context, order)
    if form.treatment is Treatment.ACCOMPANIED:
        # A pass would read them, and find what stands beside them.
        unread = [one for one in candidates if one.parts is None and _standing(one, order.untracked)]
        read = {one.path: read_parts(context.root / one.path, one.path, one.file.sha256, form) for one in unread}
        candidates = [replace(one, parts=read.get(one.path, one.parts)) for one in candidates]
    adopted = {path: found for one in candidates for path, found in _standing(one, order.untracked)}
    return _plan(Scope(repo), candidates, refused, order, store, adopted)


def _place(
    repo: Repo, form: Format, wanted_files: Sequence[WantedFile], context: MirrorContext, order: Order
) -> tuple[list[Candidate], list[Refusal]]:
    # Where only some packages changed, the places of the others stand.
    trust_places, ask_again = order.packages is not None, order.reread
    candidates: list[Candidate] = []
    refused: list[Refusal] = []
    signed = bool(context.source_of(form).signer)
    as_is = form.treatment is Treatment.AS_IS or (form.treatment is Treatment.SIGNED and not signed)
    exclusive = form.treatment is not Treatment.UNPACKED
    for item in wanted_files:
        if item.unreadable == 1 or (item.unreadable == 2 and not ask_again):
            continue
        file, path = item.file, item.path
        if not trust_places or item.state != "live" or path is None:
            try:
                path = path_in_root(repo, form.place(repo, file))
                if is_kept(path, context.kept):
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


def _adopt(repo: Repo, candidates: Sequence[Candidate], untracked: Mapping[str, StoredFile], store: Store) -> None:
    found = [
        (file, one.file.sha256 if path == one.path else file.sha256)
        for one in candidates
        for path, file in _standing(one, untracked)
    ]
    if found:
        store.live.adopt(repo.name, found, time.time())
        log.info("adopted", repo=repo.name, files=len(found))


def _standing(one: Candidate, untracked: Mapping[str, StoredFile]) -> list[tuple[str, StoredFile]]:
    """Find what of a candidate stands in its place already, though nobody remembers it: (path, file) each."""
    if not untracked:
        return []
    parts = one.parts or ((Part(one.path, one.file.sha256),) if one.exclusive else ())
    return [
        (part.path, found)
        for part in parts
        if (found := untracked.get(part.path)) is not None and found.sha256 == part.sha256
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
    elsewhere = {file.sha256: file.path for file in order.untracked.values()} | store.live.copies(lacking)
    plan = decide(repo, candidates, on_disk, elsewhere, store.live.published_names(repo.directory, paths))
    stays = store.live.withdrawn(repo.name) | scope.shared(plan.withdraw)
    withdraw = tuple(path for path in plan.withdraw if path not in stays)
    return replace(plan, withdraw=withdraw, refused=(*refused, *plan.refused))


def _all_there(parts: Sequence[Part], on_disk: Mapping[str, StoredFile]) -> bool:
    return all(part.path in on_disk for part in parts)
