"""Writes large index files to staging while the publication that names them is signed: both take time and no processor.

    with writing_ahead(staging) as ahead:
        ahead.begin(find_large(rendered, repo, root))
        tree = sign_tree(...)
        publish(tree, ..., ahead)  # which takes what was written, and writes the rest

Others may be able to write to staging. So what stands there is taken only if it is the file that was written here, and
its ctime says that nobody has changed it since; else it is written once more.

Source: inode(7), "Last status change timestamp".
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, LateFiles, Publication, TreeFile
from packrat_core.fs.atomic import write_new

_LARGE_BYTES = 256 * 1024
"""A smaller file is written in less time than it takes to hand it to a thread and look at it again."""


def find_large(rendered: Sequence[Publication], repo: Repo, root: Path) -> Iterator[Content]:
    """Find the large files among the content of publications that stand nowhere yet.

    Args:
        rendered: The publications of a repository.
        repo: The repository.
        root: root_dir.
    """
    # Files that nobody has listed yet are small.
    listed = (publication.content for publication in rendered if not isinstance(publication.content, LateFiles))
    for file in chain.from_iterable(listed):
        if not isinstance(file, TreeFile) or file.content.size < _LARGE_BYTES:
            continue
        # Whatever stands in its place is looked at when it is published.
        if not os.path.lexists(root / path_in_root(repo, file.path)):
            yield file.content


class WrittenAhead:
    """What was written to staging before it is published, or is being written."""

    def __init__(self, staging: Path, thread: ThreadPoolExecutor) -> None:
        self._staging = staging
        self._thread = thread
        self._begun: dict[str, Future[os.stat_result]] = {}

    def begin(self, contents: Iterable[Content]) -> None:
        """Begin to write and flush files, one after the other, while the caller goes on."""
        for content in contents:
            if content.digest not in self._begun:
                self._begun[content.digest] = self._thread.submit(self._write, content)

    def _write(self, content: Content) -> os.stat_result:
        place = self._place(content.digest)
        try:
            return write_new(place, content.parts)
        except BaseException:
            # On a full disk, the state database may need the room before anybody asks for this file.
            with suppress(OSError):
                os.unlink(place)  # pathlib takes longer
            raise

    def take(self, content: Content) -> Path | None:
        """Give the file with this content, which the caller renames at once; None if it was not written, or changed.

        Raises:
            DiskError: It can't be written.
        """
        begun = self._begun.get(content.digest)
        if begun is None:
            return None
        written, place = begun.result(), self._place(content.digest)
        with suppress(OSError):
            if _identity(os.lstat(place)) == _identity(written):
                return place
            # The disk may not have room for it and for the file that is written in its place.
            os.unlink(place)  # pathlib takes longer
        return None

    def end(self) -> None:
        """Wait until nothing is being written any more, and remove what nobody has taken."""
        for begun in self._begun.values():
            begun.cancel()
        wait(self._begun.values())
        for digest in self._begun:
            with suppress(OSError):
                os.unlink(self._place(digest))  # pathlib takes longer

    def _place(self, digest: str) -> Path:
        return self._staging / f"ahead-{digest}"


@contextmanager
def writing_ahead(staging: Path) -> Iterator[WrittenAhead]:
    """Write to a staging directory; at the end, nothing of it is left there but what was there before."""
    with ThreadPoolExecutor(1) as thread:
        ahead = WrittenAhead(staging, thread)
        try:
            yield ahead
        finally:
            ahead.end()


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What changes when another file is put in the place, or anybody writes to this one or gives it another name."""
    # A new file may have the inode of one that was removed, and within one tick of the kernel's clock its ctime.
    whose = status.st_uid, status.st_gid
    return status.st_dev, status.st_ino, status.st_mode, status.st_nlink, *whose, status.st_size, status.st_ctime_ns
