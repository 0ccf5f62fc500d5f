"""Publications in a state database, without files on disk, for tests of what is kept of them."""

from packrat_agent.model.changes import Retention
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import LiveFile, ReadyPublication, UnsignedTree
from packrat_agent.state.store import Store

REPO = Repo("apt-dev", "", "apt-dev", "apt", ())


def publish(store: Store, now: float, names: list[str], withdrawn: tuple[str, ...] = (), repo: Repo = REPO) -> None:
    """Publish index files of a repository."""
    files = [LiveFile(f"{repo.directory}/{name}", "s", "a" * 64, 1) for name in names]
    publish_files(store, now, files, withdrawn, repo)


def publish_files(
    store: Store, now: float, files: list[LiveFile], withdrawn: tuple[str, ...] = (), repo: Repo = REPO
) -> None:
    """Publish files in the only section of a repository."""
    publish_section(store, "s", now, files, withdrawn, repo)


def publish_section(
    store: Store, name: str, now: float, files: list[LiveFile], withdrawn: tuple[str, ...] = (), repo: Repo = REPO
) -> None:
    """Publish files in one of the sections `quiet` and `s` of a repository."""
    store.live.begin(repo.name, files)
    publication = ReadyPublication(name, f"identity {now}", (), (), {})
    written = tuple(StoredFile(file.path, file.sha256, file.size, 1, 1) for file in files)
    store.live.finish(UnsignedTree(repo, (publication,), ("quiet", "s")), files, written, now, withdrawn=withdrawn)


def collect_garbage(store: Store, now: float, rule: Retention) -> list[str]:
    """Forget what no client can still want, and name it."""
    gone = store.generations.expired(now, rule)
    store.live.forget(gone)
    return gone
