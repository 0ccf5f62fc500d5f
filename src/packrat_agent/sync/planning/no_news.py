"""Notices, before anything is planned, that what the server said of some packages changes nothing."""

from collections.abc import Collection

from packrat_agent.model.records import Repo, Wanted
from packrat_agent.state.file_rows import Uris, about
from packrat_agent.state.store import Store
from packrat_agent.sync.last_renders import LastRender


def is_no_news(repo: Repo, packages: Collection[str], wanted: Wanted, last: LastRender | None, store: Store) -> bool:
    """Tell whether an answer changes nothing: this repository has none of it, or the index has all of it as it is.

    Args:
        repo: The repository.
        packages: The packages.
        wanted: What the server said, whose records are remembered already.
        last: What the last sync left; None where nothing can be built on it.
        store: The state database.
    """
    touched = wanted.touched
    if not wanted.uris and not store.wanted.count(repo.name, about(packages, touched)):
        return True
    # What was refused is tried again, and what is held back may be offered again.
    if touched is None or last is None or last.refused or store.removals.held(repo.name):
        return False
    yanked = wanted.yanked or ()
    return store.wanted.marks(repo.name, Uris(touched)) == {uri: uri in yanked for uri in wanted.uris}
