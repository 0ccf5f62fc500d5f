"""Asks the server which files a repository wants: the first step of its sync.

1. The server lists URIs. Records that are known already are not read again, unless they are distrusted.
   Where clients of the repository know yanked files, deprecated ones are listed, too, and marked.
2. What is read is remembered portion by portion, so that a sync that breaks off goes on where it was.
3. A list that differs from what is known is a change; from that moment on the repository is behind the server.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.repo_work import WorkNotes
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread


async def ask_wanted(repo: Repo, order: Order, server: Packrat, context: MirrorContext, work: WorkNotes) -> Wanted:
    """Ask which files a repository wants.

    Args:
        repo: The repository.
        order: Of which packages.
        server: Whom to ask.
        context: The mirror: what is known, and whose turn it is.
        work: Takes how far it has come.

    Raises:
        PackratError: The server does not answer, or refuses the request; the disk fails.
    """
    if order.packages is not None and not order.packages:
        return Wanted(frozenset(), (), ())
    store, asked_at = context.store, time.time()
    listed, yanked = await _list(repo, order, server)
    known = await in_thread(store.wanted.known, repo.name, order.packages)
    some = None if order.packages is None else known.keys()
    unread = await in_thread(store.record_reads.unread, repo.name, asked_at, some)
    # What can't be used may be usable to a newer agent, so a full sync tries it again.
    unusable = {} if order.reread else await in_thread(store.rejections.known, repo.name)
    if _is_change(listed, known, unusable) or any(file.yanked != (uri in yanked) for uri, file in known.items()):
        await in_thread(store.facts.note_behind, repo.name, order.heard_at or asked_at)
    trusted = {uri: file for uri, file in known.items() if uri not in unread}
    unseen = [uri for uri in listed if uri not in trusted and uri not in unusable]
    new = sum(1 for uri in unseen if uri not in known)
    work.read(len(unseen), new)

    async def remember(files: Sequence[PackageFile], left: int) -> None:
        nonlocal new
        new -= sum(1 for file in files if file.uri not in known)
        # A dry run remembers nothing, not even the repository that the records are of.
        if not context.dry_run and await in_thread(store.record_reads.note, repo.name, files, asked_at):
            # It holds what the index says of the URI's former file.
            store.revisions.advance(repo.name)
        work.read(left, min(new, left))

    turn = partial(context.turns.records.one, urgent=not order.reread)
    return _mark(await server.read_listed(listed, trusted, unusable, remember, turn), yanked)


async def _list(repo: Repo, order: Order, server: Packrat) -> tuple[list[str], frozenset[str]]:
    """Ask for the URIs of all files, and of those that are yanked."""
    if server.has_kept and FORMATS[repo.kind].has_yanked:
        return await server.list_kept(repo, order.packages)
    return await server.list_wanted(repo, order.packages), frozenset()


def _mark(wanted: Wanted, yanked: Collection[str]) -> Wanted:
    files = (f if f.yanked == (f.uri in yanked) else replace(f, yanked=not f.yanked) for f in wanted.files)
    return replace(wanted, files=tuple(files))


def _is_change(listed: Collection[str], known: Mapping[str, PackageFile], unusable: Mapping[str, str]) -> bool:
    return not known.keys() <= set(listed) or any(uri not in known and uri not in unusable for uri in listed)
