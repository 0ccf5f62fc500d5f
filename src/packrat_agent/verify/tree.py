"""Audits a whole tree offline, as its clients would: signatures → pointers → indexes → every file.

The audit only reads the tree, without leaving it in the page cache, and runs gpgv to verify signatures. It reports what
was checked, what is wrong, and which files no index names.
"""

import hashlib
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.verify.apt import audit_apt, is_apt
from packrat_agent.verify.docker import audit_docker, is_docker
from packrat_agent.verify.files import audit_files, is_files
from packrat_agent.verify.findings import Auditor, Fault, Finding, Named, Subject, Warned, told
from packrat_agent.verify.interrupted import find_interrupted
from packrat_agent.verify.package_lists import audit_list
from packrat_agent.verify.pypi import audit_pypi, is_pypi
from packrat_agent.verify.repo_keys import GivenKeys, RepoKeys, read_repo_keys
from packrat_agent.verify.site import audit_site, read_offered
from packrat_agent.verify.yum import audit_yum, is_yum
from packrat_core.errors import ConfigError
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.open import open_unbuffered
from packrat_core.fs.page_cache import read_sparingly
from packrat_core.text import count_of

_DEPTH = 5
_OPEN_DIRECTORY = 0o005
_SURROGATE = re.compile("[\ud800-\udfff]")

Recognize = Callable[[Subject, str], bool]

AUDITORS: Mapping[str, tuple[Recognize, Auditor]] = {
    "json": (is_files, audit_files),
    "apt": (is_apt, audit_apt),
    "docker": (is_docker, audit_docker),
    "pypi": (is_pypi, audit_pypi),
    "yum": (is_yum, audit_yum),
}
"""Type → (how to recognize a directory of it, how to audit it). The first type that fits a directory counts.

`json` comes first because only its repositories have packages at their top, whose names may look like another type.
"""


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit.

    Attributes:
        repositories: (type, directory) of each repository.
        files: Number of files that an index names.
        bytes: Total size of those that could be read.
        faults: What is wrong, in the order of the paths.
        warnings: What is going to be wrong, or is left out, and no fault of the tree.
        unnamed: Paths of the files that no index names.
    """

    repositories: tuple[tuple[str, str], ...]
    files: int
    bytes: int
    faults: tuple[Fault, ...]
    unnamed: tuple[str, ...]
    warnings: tuple[Warned, ...] = ()


def verify_tree(
    top: Path,
    key: Path | None,
    on_progress: Callable[[int, int], None],
    of_repos: Mapping[str, Path] | None = None,
    on_total: Callable[[int], None] = lambda files: None,
) -> Audit:
    """Audit the tree below `top`.

    Args:
        top: Top of the tree.
        key: File with a public key, binary or armored; None for the tree's own key, if it has one.
        on_progress: Called with (files, bytes) since the last call, from several threads.
        of_repos: Name of a repository → file with its public key; others have `key`.
        on_total: Called once with the number of files, before the first of them is checked.

    Raises:
        ConfigError: `top` is not a directory, or signatures can't be verified on this host.
        DiskError: `top` can't be read.
    """
    _check_directory(top)
    keys = read_repo_keys(top, GivenKeys(key, of_repos or {}))
    subject = Subject(top, keys.main, offered=read_offered(top))
    named: dict[str, Named] = {}
    faults: list[Fault] = []
    warnings: list[Warned] = list(find_interrupted(top))
    found = tuple(_repositories(subject, "", 0, faults))
    for finding in _audit(subject, found, keys):
        if not isinstance(finding, Named):
            (faults if isinstance(finding, Fault) else warnings).append(finding)  # type: ignore[arg-type]
            continue
        other = named.setdefault(finding.path, finding)
        if finding.sha256 != other.sha256 or (None not in (finding.size, other.size) and finding.size != other.size):
            faults.append(Fault(finding.path, f"{finding.by} and {other.by} name different bytes for it"))
        elif finding is not other:
            # Two indexes name the same file: keep what either of them knows about it.
            fuller = finding if other.size is None else other
            named[finding.path] = replace(fuller, look=other.look or finding.look, read=other.read or finding.read)
    if not (found or named or faults):
        faults.append(Fault(".", "holds no mirror: is it the right directory, and its filesystem mounted?"))
    on_total(len(named))
    found_wrong, sizes = _check_all(_Paths(top), named.values(), on_progress)
    unnamed, odd = _look_around(top, named)
    faults = [*map(keys.explain, faults), *found_wrong]
    ordered = tuple(sorted({*faults, *odd}, key=lambda one: (one.path, one.what)))
    return Audit(found, len(named), sizes, ordered, unnamed, tuple(warnings))


def _check_directory(top: Path) -> None:
    with as_disk_error("read", top):
        try:
            os.scandir(top).close()
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{top} is not a directory", hint="give the top of a mirror with --root") from None


def _audit(subject: Subject, repositories: Sequence[tuple[str, str]], keys: RepoKeys) -> Iterator[Finding]:
    yield from _to_its_end(".", audit_site(subject, repositories))
    yield from _to_its_end(".", keys.audit(subject))
    for kind, directory in repositories:
        yield from _to_its_end(directory, _audit_repository(subject, kind, directory, keys))


def _audit_repository(subject: Subject, kind: str, directory: str, keys: RepoKeys) -> Iterator[Finding]:
    """Audit one repository.

    Args:
        subject: The tree under audit.
        kind: Type of the repository.
        directory: Its directory.
        keys: The keys that its signatures are held to.
    """
    yield from AUDITORS[kind][1](keys.subject_of(subject, directory), directory)
    yield from audit_list(subject, directory)


def _to_its_end(place: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Pass on what an audit finds; what it may not look at ends this one, not the whole `verify`."""
    try:
        yield from findings
    except OSError as error:
        yield Fault(place, f"can't be audited to its end: {told(error)}")


def _repositories(subject: Subject, directory: str, depth: int, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    """Yield (type, directory) of each repository below a directory.

    Args:
        subject: The tree under audit.
        directory: Where to look, relative to the tree's top; '' for the top.
        depth: Number of its path components.
        faults: Directories that can't be read are appended to it.
    """
    try:
        entries = sorted(os.scandir(subject.top / directory), key=lambda entry: entry.name)
        kinds = [kind for kind, (recognize, _) in AUDITORS.items() if directory and recognize(subject, directory)]
    except OSError as error:
        faults.append(Fault(directory, f"can't be looked into: {told(error)}"))
        return
    # Repositories are never nested, so don't look for others inside one.
    if kinds:
        yield kinds[0], directory
    elif depth < _DEPTH:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _repositories(subject, f"{directory}/{entry.name}".lstrip("/"), depth + 1, faults)


def _check_all(
    tree: "_Paths", named: Iterable[Named], on_progress: Callable[[int, int], None]
) -> tuple[list[Fault], int]:
    """Check all named files, with as many threads as there are cores; give the faults, and the sum of the sizes."""
    waiting = iter(named)

    def check_waiting() -> list[tuple[Fault | None, int]]:
        # The threads share the iterator: a task for each file takes longer than to read a small file.
        try:
            return [_check(tree, item, on_progress) for item in waiting]
        finally:
            # If it was stopped by an error, leave nothing for the other threads to do.
            deque(waiting, maxlen=0)

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as threads:
        try:
            parts = [task.result() for task in [threads.submit(check_waiting) for _ in range(cores)]]
        finally:
            # The same if this thread is interrupted while it waits.
            deque(waiting, maxlen=0)
    return [fault for part in parts for fault, _ in part if fault is not None], sum(
        s for part in parts for _, s in part
    )


def _check(tree: "_Paths", named: Named, on_progress: Callable[[int, int], None]) -> tuple[Fault | None, int]:
    """Check one named file.

    Args:
        tree: Opens the files of the tree.
        named: The file, and what its index says about it.
        on_progress: Called with (files, bytes) since the last call.

    Returns:
        What is wrong with it, or None, and its size in bytes; 0 if it was not read to its end.
    """
    digest = hashlib.sha256()
    try:
        with tree.open(named.path) as file:
            status = os.fstat(file.fileno())
            # If the size is wrong, the hash is wrong, too: don't read the file.
            if named.size is not None and status.st_size != named.size:
                return Fault(named.path, f"has {count_of(status.st_size, 'byte')}, {named.by} says {named.size}"), 0
            chunk, last = b"", 0
            for chunk in read_sparingly(file.fileno(), status.st_size):
                digest.update(chunk)
                if last:
                    on_progress(0, last)
                last = len(chunk)
            on_progress(1, last)
            # A small file that was read in one piece is not read once more.
            content = BytesIO(chunk) if last == status.st_size else BufferedReader(file)
            wrong = _look_into(named, content, status, digest.hexdigest())
    except OSError as error:
        return Fault(named.path, f"named by {named.by}: {told(error)}"), 0
    return (Fault(named.path, wrong) if wrong is not None else None), status.st_size


def _look_into(named: Named, content: BinaryIO, status: os.stat_result, sha256: str) -> str | None:
    """Return what is wrong with a file that was read to its end, or None.

    Args:
        named: The file, and what its index says about it.
        content: What was read, once more.
        status: That of the file.
        sha256: Its SHA-256.
    """
    if sha256 != named.sha256:
        return f"has SHA-256 {sha256}, {named.by} says {named.sha256}"
    if not status.st_mode & stat.S_IROTH:
        return "is not readable for a web server; its mode should be 0644"
    wrong = named.look() if named.look is not None else None
    return named.read(content) if wrong is None and named.read is not None else wrong


class _Paths:
    """Opens files of the tree by their paths in indexes, and looks at each directory above them once."""

    def __init__(self, top: Path) -> None:
        self._top = str(top)
        # '' is the top, which may be a link.
        self._behind_link: dict[str, bool] = {"": False}

    def open(self, path: str) -> FileIO:
        """Open a file.

        Raises:
            OSError: It is not a regular file, or its path leads through a symbolic link.
        """
        # Names come from untrusted indexes; NUL and surrogates would raise other errors below.
        if "\0" in path or _SURROGATE.search(path):
            raise OSError("can't be a file's name")
        if self._is_behind_link(path.rpartition("/")[0]):
            raise OSError("stands behind a symbolic link")
        return open_unbuffered(f"{self._top}/{path}")

    def _is_behind_link(self, directory: str) -> bool:
        """Return whether a directory or one above it is a symbolic link; several threads may look at the same one."""
        # Without recursion: an index may name a path with more directories than Python can call.
        below: list[str] = []
        while directory not in self._behind_link:
            below.append(directory)
            directory = directory.rpartition("/")[0]
        is_behind = self._behind_link[directory]
        for one in reversed(below):
            is_behind = is_behind or os.path.islink(f"{self._top}/{one}")  # noqa: PTH114 there may be thousands
            self._behind_link[one] = is_behind
        return is_behind


def _look_around(top: Path, named: Mapping[str, Named]) -> tuple[tuple[str, ...], list[Fault]]:
    """Walk the tree; return the files that no index names, and a fault for each entry that clients can't use."""
    unnamed: list[str] = []
    odd: list[Fault] = []
    leading = _directories_above(named)
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(f"{top}/{directory}") as entries:
                listed = [(entry, f"{directory}/{entry.name}".lstrip("/")) for entry in entries]
        except OSError as error:
            odd.append(Fault(directory or ".", f"can't be looked into: {told(error)}"))
            continue
        for entry, path in listed:
            if entry.is_file(follow_symlinks=False):
                if path not in named:
                    unnamed.append(path)
            elif entry.is_symlink():
                odd += _look_at_link(top, path)
            elif not entry.is_dir(follow_symlinks=False):
                odd.append(Fault(path, "is neither file nor directory"))
            elif path != AGENT_DIR:
                waiting.append(path)
                if path in leading and _is_closed(entry):
                    odd.append(Fault(path, "is closed to a web server; its mode should be 0755"))
    return tuple(sorted(unnamed)), odd


def _directories_above(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        directory = path.rpartition("/")[0]
        while directory and directory not in found:
            found.add(directory)
            directory = directory.rpartition("/")[0]
    return found


def _is_closed(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mode & _OPEN_DIRECTORY != _OPEN_DIRECTORY
    except OSError:
        # Removed meanwhile.
        return False


def _look_at_link(top: Path, path: str) -> Iterator[Fault]:
    try:
        target = (top / path).resolve()
        if not target.is_relative_to(top.resolve()):
            yield Fault(path, f"is a symbolic link that leads out of the tree, to {target}")
        elif not target.exists():
            yield Fault(path, "is a symbolic link that leads nowhere")
    except OSError as error:
        yield Fault(path, f"is a symbolic link that can't be followed: {told(error)}")
    except RuntimeError:
        # So pathlib tells a circle.
        yield Fault(path, "is a symbolic link that leads round in a circle")
