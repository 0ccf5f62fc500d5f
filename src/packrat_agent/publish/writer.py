"""Writes a tree and its package files into the live tree, so that no client ever sees half of it.

Nothing else writes there but `pointers`, which has the last step. The caller notes what `intend` gives before
`publish`, and what `publish` returns after it.
"""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby, repeat
from pathlib import Path

from packrat_agent.model.dates import rising
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.paths import is_kept, path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import (
    Content,
    Intent,
    LiveFile,
    ReadyTree,
    Retained,
    TreeFile,
    TreeLink,
    find_ended,
)
from packrat_agent.publish.compared import ComparedFiles
from packrat_agent.publish.directories import OpenDirectories
from packrat_agent.publish.in_the_way import put_in_place
from packrat_agent.publish.pointers import show_pointers, staged_name, staging_pointers
from packrat_agent.publish.write_ahead import WrittenAhead
from packrat_core.failpoints import done
from packrat_core.fs.atomic import write_new
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.file_times import mtime_s
from packrat_core.fs.flush import flush_directories, flush_files
from packrat_core.fs.links import link_digest
from packrat_core.fs.open import open_descriptor

_MANY = 64
"""Number of pointers from which on they are flushed together."""


def intend(
    tree: ReadyTree,
    packages: Sequence[LiveFile],
    withdrawn: Sequence[str] = (),
    pointers: Mapping[str, Sequence[str]] | None = None,
    kept: Collection[str] = (),
) -> Intent:
    """List everything that publishing a tree is about to do.

    Args:
        tree: the changed publications, signed or declared unsigned.
        packages: package files and the paths that they go to.
        withdrawn: package files that no index names any more.
        pointers: publication → the paths of its pointers on disk, last published first; those that the new tree
            no longer names are removed.
        kept: the paths below root_dir that the operator keeps: they are left where they are.
    """
    # In the order of their paths the state database writes them in half the time.
    files = sorted(packages, key=lambda package: package.path)
    for publication in tree.publications:
        content, shown = publication.content, publication.pointers
        places = publication.since.places if publication.since is not None else range(1, len(shown) + 1)
        for group, ranks in ((content, repeat(0, len(content))), (shown, places)):
            for file, rank in zip(group, ranks, strict=True):
                path = path_in_root(tree.repo, file.path)
                if isinstance(file, TreeLink):
                    digest, size = link_digest(file.target), len(file.target)
                    files.append(LiveFile(path, publication.name, digest, size, rank, retained=Retained.AS_PACKAGE))
                    continue
                digest, size = file.content.digest, file.content.size
                files.append(LiveFile(path, publication.name, digest, size, rank, file.retained))
    named = tuple(replace(publication, content=(), pointers=()) for publication in tree.publications)
    leaving = tuple(path for path in _leaving(tree, pointers or {}) if not is_kept(path, kept))
    names, ended = tree.publication_names, tree.ended
    return Intent(tree.repo, named, names, tuple(files), leaving, tuple(withdrawn), ended)


def _leaving(tree: ReadyTree, pointers: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for publication in tree.publications:
        if publication.since is not None:
            yield from (path_in_root(tree.repo, path) for path in publication.since.gone_pointers)
            continue
        named = {path_in_root(tree.repo, file.path) for file in publication.pointers}
        named.update(path_in_root(tree.repo, path) for path in publication.former)
        # Those of a directory that the repository left stay for the grace period.
        here = [path for path in pointers.get(publication.name, ()) if path.startswith(path_in_root(tree.repo, ""))]
        yield from (path for path in here if path not in named)
    # The pointers of publications that no longer exist.
    yield from (path for name in find_ended(tree, pointers) if name for path in pointers[name])


def publish(
    tree: ReadyTree,
    packages: Sequence[LiveFile],
    intent: Intent,
    root: Path,
    staging: Path,
    ahead: WrittenAhead | None = None,
    compared: ComparedFiles | None = None,
) -> tuple[StoredFile, ...]:
    """Write everything in an order that keeps the live tree whole at every moment.

    Args:
        tree: the changed publications, signed or declared unsigned.
        packages: package files and the paths that they go to.
        intent: what `intend` returned for them.
        root: root_dir.
        staging: a directory on the same filesystem, which has the package files under their SHA-256; files that are
            not complete yet are written there.
        ahead: content that was written there before.
        compared: what earlier publications have read.

    Returns:
        What stands now where it should be written, in the order of `intent.files`.

    Raises:
        DiskError: the disk failed. Before the first pointer is replaced, all publications stay as they were; after it,
            `complete` ends what was begun.
    """
    with OpenDirectories(root) as way:
        has_many = len(intent.pointers) >= _MANY
        work = _Work(root, staging, tree.repo, way, has_many, compared or ComparedFiles(), ahead)
        _make_ready(work, tree, packages)
    done("pointers-ready")
    # 4. Each is renamed into its place; from here on nothing is needed but what is on disk.
    return show_pointers(intent, root)


def _make_ready(work: "_Work", tree: ReadyTree, packages: Sequence[LiveFile]) -> None:
    # 1. Package files, flushed, then linked into the pool.
    _place_packages(work, packages)
    # 2. Content under names that nothing points at yet.
    for publication in tree.publications:
        for file in publication.content:
            _write_content(work, file)
            done("content-written")
    # 3. All new pointers, beside the tree.
    with staging_pointers(work.root, tree.repo) as directory:
        for publication in tree.publications:
            for pointer in publication.pointers:
                _stage_pointer(work, pointer, directory)
        done("pointers-staged")
        flush_files(work.unflushed)
        flush_directories(work.directories)
        done("content-flushed")


def discard_staged(packages: Sequence[LiveFile], staging: Path) -> None:
    """Remove from staging what was placed, once the state database knows that it is live.

    Raises:
        DiskError: a file can't be removed.
    """
    for sha256 in {package.sha256 for package in packages}:
        path = f"{staging}/{sha256}"
        with as_disk_error("remove", path), suppress(FileNotFoundError):
            os.unlink(path)


@dataclass(slots=True)
class _Work:
    root: Path
    staging: Path
    repo: Repo
    way: OpenDirectories
    has_many: bool
    """There are so many pointers that one flush of the filesystem takes less time than one of each."""
    compared: ComparedFiles
    ahead: WrittenAhead | None = None
    """Content that stands in staging already."""
    unflushed: list[Path] = field(default_factory=list)
    known: dict[str, Path] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    noted: set[str] = field(default_factory=set)
    """The directories to flush, relative to root; '' for root itself."""
    made: set[str] = field(default_factory=set)
    """Directories that were made for this publish: no pointer stands there yet."""
    written: dict[str, tuple[Path, os.stat_result]] = field(default_factory=dict)
    """SHA-256 → content in its place, and what it is told by: other files with these bytes become links to it."""

    def target(self, path: str) -> Path:
        """Give the place of `path` (relative to root); makes its directory, and notes that for the flush."""
        parent, _, name = path.rpartition("/")
        directory = self.known.get(parent)
        if directory is None:
            self.enter(parent)
            directory = self.known[parent] = self.root / parent
        return directory / name

    def enter(self, parent: str) -> int:
        """Make a directory, and note it for the flush; gives its descriptor, which is valid until the next call."""
        descriptor = self.way.enter(parent)
        if parent not in self.entered:
            self.entered.add(parent)
            if self.way.is_new:
                self.made.add(parent)
            # With each directory all those above it are noted.
            at = parent
            while at not in self.noted:
                self.noted.add(at)
                at = at.rpartition("/")[0]
        return descriptor

    @property
    def directories(self) -> list[str]:
        """The directories of all targets, and all those above them."""
        return [f"{self.root}/{directory}" for directory in self.noted]

    def link_written(self, content: Content, spare: Path) -> bool:
        """Give content that stands in its place a second name; tells whether that could be done."""
        if content.digest not in self.written:
            return False
        place, status = self.written[content.digest]
        with suppress(OSError):
            spare.unlink(missing_ok=True)
            os.link(place, spare, follow_symlinks=False)
            # A directory on the way may have been replaced by a link that leads to somebody else's files.
            if os.path.samestat(spare.lstat(), status):
                return True
            spare.unlink()
        return False

    def write_pointer(self, spare: Path, content: Content) -> None:
        """Write a new pointer beside the tree; many are flushed together when all are written."""
        write_new(spare, content.parts, flush=not self.has_many)
        if self.has_many:
            self.unflushed.append(spare)


def _place_packages(work: _Work, packages: Sequence[LiveFile]) -> None:
    flush_files([f"{work.staging}/{sha256}" for sha256 in sorted({package.sha256 for package in packages})])
    done("packages-flushed")
    by_path = sorted(packages, key=lambda package: package.path)
    for parent, group in groupby(by_path, key=lambda package: package.path.rpartition("/")[0]):
        # <directory>/pool/<pool6>, and what other types have in its place
        directory = work.enter(parent)
        with as_disk_error("publish", f"{work.root}/{parent}"):
            for package in group:
                _place(work, package, directory)
                done("package-placed")


def _place(work: _Work, package: LiveFile, directory: int) -> None:
    """Link a package file from staging into its place.

    Args:
        work: What is published.
        package: The file.
        directory: The descriptor of the directory that it goes to.
    """
    # As text, since a full build places many thousands of files, and pathlib takes longer than the kernel.
    staged, name = f"{work.staging}/{package.sha256}", package.path.rpartition("/")[2]
    try:
        os.link(staged, name, dst_dir_fd=directory, follow_symlinks=False)
    except OSError:
        # Something stands there, or the filesystem has no hard links.
        spare = work.staging / "placing"
        _link(Path(staged), spare)
        put_in_place(spare, work.target(package.path), work.root)


def _link(source: Path, target: Path) -> None:
    with as_disk_error("link", target):
        with suppress(FileNotFoundError):
            target.unlink()
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            # A filesystem without hard links.
            shutil.copy2(source, target, follow_symlinks=False)
            flush_files([target])


def _write_content(work: _Work, file: TreeFile | TreeLink) -> None:
    target = work.target(path_in_root(work.repo, file.path))
    if isinstance(file, TreeLink):
        if not _is_link(target, file.target):
            put_in_place(_write_link(work.staging / "writing", file.target), target, work.root)
        return
    status = _find_content(work, file)
    if status is None:
        spare = _spare_of(work, file.content)
        with as_disk_error("read", spare):
            status = spare.lstat()
        put_in_place(spare, target, work.root)
    work.written[file.content.digest] = target, status


def _spare_of(work: _Work, content: Content) -> Path:
    """Give a file in staging with these bytes, flushed."""
    ready = work.ahead.take(content) if work.ahead is not None else None
    if ready is not None:
        return ready
    spare = work.staging / "writing"
    if not work.link_written(content, spare):
        write_new(spare, content.parts)
    return spare


def _write_link(spare: Path, target: str) -> Path:
    with as_disk_error("link", spare):
        with suppress(FileNotFoundError):
            spare.unlink()
        spare.symlink_to(target)
    return spare


def _is_link(path: Path, target: str) -> bool:
    try:
        return str(path.readlink()) == target
    except OSError:
        return False


def _find_content(work: _Work, file: TreeFile) -> os.stat_result | None:
    """Look whether a file stands in its place already; gives its status there, None where it does not."""
    parent, _, name = path_in_root(work.repo, file.path).rpartition("/")
    directory, content = work.enter(parent), file.content
    with suppress(OSError):
        descriptor, status = open_descriptor(name, directory)
        with os.fdopen(descriptor, "rb") as opened:
            if status.st_size != content.size:
                return None
            if work.compared.has(status, content):
                return status
            if all(opened.read(len(part)) == part for part in content.parts) and not opened.read(1):
                work.compared.note(status, content)
                return status
    return None


def _stage_pointer(work: _Work, file: TreeFile | TreeLink, directory: Path) -> None:
    """Write a pointer beside the tree, unless the one in its place has these bytes already."""
    path = path_in_root(work.repo, file.path)
    target, spare = work.target(path), directory / staged_name(path)
    is_first = path.rpartition("/")[0] in work.made
    if isinstance(file, TreeLink):
        if is_first or not _is_link(target, file.target):
            _write_link(spare, file.target)
        return
    if not is_first and _find_content(work, file) is not None:
        return
    if not work.link_written(file.content, spare):
        work.write_pointer(spare, file.content)
    if not is_first:
        _advance_mtime(spare, target)


def _advance_mtime(spare: Path, target: Path) -> None:
    """Keep a pointer's Last-Modified rising in whole seconds; else If-Modified-Since keeps clients on the old one."""
    with suppress(FileNotFoundError):
        now_s = mtime_s(spare.stat())
        later_s = rising(now_s, mtime_s(target.lstat()))
        if later_s != now_s:
            os.utime(spare, (later_s, later_s))
