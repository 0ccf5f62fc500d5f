"""Files below root_dir that a state database remembers, and scans against it."""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from packrat_agent.model.entries import StoredFile
from packrat_agent.publish.scan import scan
from packrat_agent.publish.scan_slices import Slice, whole_tree
from packrat_agent.publish.scan_values import Scan, ScanRequest
from packrat_agent.state.scanned import KnownFile
from packrat_agent.state.store import Store


def put_file(root: Path, path: str, content: bytes) -> StoredFile:
    """Write a file, and give it as it is remembered."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    status = target.stat()
    return StoredFile(path, hashlib.sha256(content).hexdigest(), status.st_size, status.st_mtime_ns, status.st_ino)


def remembered_files(store: Store) -> dict[str, StoredFile]:
    """Map path → file for all that the agent has put, or was about to put, below root_dir."""
    return {known.file.path: known.file for known in known_files(store)}


def known_files(store: Store) -> list[KnownFile]:
    """All of these as a scan knows them."""
    return [known for portion in store.scanned.paths() for known in store.scanned.look_up(portion).values()]


@contextmanager
def remembering(files: Iterable[StoredFile]) -> Iterator[Store]:
    """Hold a state database that remembers these files."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "state.db")
        try:
            store.live.adopt("repo", [(file, file.sha256) for file in files], 1.0)
            yield store
        finally:
            store.close()


def scan_store(
    root: Path,
    store: Store,
    content: Slice | None = None,
    on_progress: Callable[[int, int], None] = lambda files, size: None,
    unlock: Callable[[str], None] | None = None,
) -> Scan:
    """Scan root_dir against a state database, by default with all content."""
    request = ScanRequest(root, store.scanned, content or whole_tree(time.time()), on_progress, unlock=unlock)
    return scan(request)


def scan_all(
    root: Path,
    files: Iterable[StoredFile],
    on_progress: Callable[[int, int], None] = lambda files, size: None,
    unlock: Callable[[str], None] | None = None,
) -> Scan:
    """Scan root_dir against a state database that remembers these files, with all content."""
    with remembering(files) as store:
        return scan_store(root, store, on_progress=on_progress, unlock=unlock)


def damaged_paths(found: Scan) -> list[str]:
    """Give the paths of the files that a scan found damaged, in order."""
    return sorted(file.path for file in found.damaged)
