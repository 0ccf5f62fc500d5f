"""Finds out why files are missing from a listing: those that the server accounts for are withdrawn without delay.

A server that offers `changes` names the packages that changed. What any server says of a file that failed or is
deprecated stands in its record, which is read where more files are missing than may go without a word. Where the server
also lists the deprecated files, for clients that know yanked ones, a file is not left out for being deprecated.
"""

from collections.abc import Collection
from itertools import islice

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import Repo, Wanted
from packrat_agent.state.file_rows import about
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.planning.removals import Missing, is_suspicious
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread
from packrat_core.errors import ServerRefused

_AT_ONCE = 100
_READ_LIMIT = 2000
"""Number of records that are read for this in one sync, the newest ones first: one that is gone costs a request."""


async def account_for(repo: Repo, order: Order, wanted: Wanted, server: Packrat, context: MirrorContext) -> Missing:
    """Compare the server's answer with what is live.

    Args:
        repo: The repository.
        order: Of which packages the answer is, and which ones the server named.
        wanted: The answer.
        server: The server to ask for records.
        context: The mirror.

    Raises:
        PackratError: The server does not answer, or the disk fails.
    """
    store = context.store
    if wanted.names_all_known:
        return Missing((), ())
    missing = await in_thread(store.wanted.lost, repo.name, wanted.uris, about(order.packages, wanted.touched))
    if server.has_changes and order.packages is not None:
        return Missing(missing, missing)
    named = frozenset[str]()
    if server.has_changes and order.named:
        named = frozenset(await in_thread(store.wanted.lost, repo.name, wanted.uris, order.named))
    rest = [uri for uri in missing if uri not in named]
    known = Missing(missing, named)
    if not await in_thread(is_suspicious, repo.name, wanted, known, len(rest), store, context.removals):
        return known
    # What went earlier counts, too, unless it went on purpose.
    earlier = await in_thread(lambda: store.removals.gone_uris(repo.name, store.removals.clock.now()))
    lists_deprecated = server.has_kept and FORMATS[repo.kind].has_yanked
    marked = await _read_marked([*rest, *earlier], server, deprecated_too=not lists_deprecated)
    await in_thread(store.removals.forget, repo.name, marked.intersection(earlier))
    return Missing(missing, named | marked)


async def _read_marked(uris: Collection[str], server: Packrat, *, deprecated_too: bool) -> frozenset[str]:
    newest_first = sorted(uris, key=lambda uri: (len(uri), uri), reverse=True)
    waiting = iter(newest_first[:_READ_LIMIT])
    marked: set[str] = set()
    while portion := list(islice(waiting, _AT_ONCE)):
        try:
            marked |= await server.read_marked(portion, deprecated_too=deprecated_too)
        except ServerRefused:
            # It shows some of them no longer, and accounts for none.
            continue
    return frozenset(marked)
