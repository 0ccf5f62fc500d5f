"""Audits a whole tree offline, as its clients would: signatures → pointers → indexes → every file.

The audit only reads the tree, without leaving it in the page cache, and runs gpgv to verify signatures. It reports what
was checked, what is wrong, and which files no index names.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.verify.check_files import checking
from packrat_agent.verify.early_checks import EarlyChecks
from packrat_agent.verify.findings import Audit, Auditor, Fault, Finding, Named, Subject, Warned, explain_os_error
from packrat_agent.verify.interrupted import find_interrupted, is_followed
from packrat_agent.verify.package_lists import audit_list
from packrat_agent.verify.processes import Processes
from packrat_agent.verify.recognize import is_apt, is_docker, is_files, is_pypi, is_yum
from packrat_agent.verify.repo_keys import GivenKeys, RepoKeys, read_repo_keys
from packrat_agent.verify.settle import settle
from packrat_agent.verify.site import audit_site, read_offered
from packrat_agent.verify.withdrawn import is_withdrawn_type
from packrat_core.errors import ConfigError
from packrat_core.fs.disk_errors import as_disk_error

_DEPTH = 5
_OPEN_DIRECTORY = 0o005

Recognize = Callable[[Subject, str], bool]


def _audit_apt(subject: Subject, directory: str) -> Iterator[Finding]:
    from packrat_agent.verify.apt import audit_apt

    return audit_apt(subject, directory)


def _audit_docker(subject: Subject, directory: str) -> Iterator[Finding]:
    from packrat_agent.verify.docker import audit_docker

    return audit_docker(subject, directory)


def _audit_files(subject: Subject, directory: str) -> Iterator[Finding]:
    from packrat_agent.verify.files import audit_files

    return audit_files(subject, directory)


def _audit_pypi(subject: Subject, directory: str) -> Iterator[Finding]:
    from packrat_agent.verify.pypi import audit_pypi

    return audit_pypi(subject, directory)


def _audit_yum(subject: Subject, directory: str) -> Iterator[Finding]:
    from packrat_agent.verify.yum import audit_yum

    return audit_yum(subject, directory)


AUDITORS: Mapping[str, tuple[Recognize, Auditor]] = {
    "json": (is_files, _audit_files),
    "apt": (is_apt, _audit_apt),
    "docker": (is_docker, _audit_docker),
    "pypi": (is_pypi, _audit_pypi),
    "yum": (is_yum, _audit_yum),
}
"""Type → (how to recognize a directory of it, how to audit it). All types that fit a directory count.

`json` comes first, and counts alone, because only its repositories have packages at their top, whose names may look
like another type.
"""


def verify_tree(
    top: Path,
    key: Path | None,
    on_progress: Callable[[int, int], None],
    of_repos: Mapping[str, Path] | None = None,
    on_total: Callable[[int], None] = lambda files: None,
) -> Audit:
    """Audit the tree below `top`; what its agent changes during the audit is not a fault.

    Args:
        top: Top of the tree.
        key: File with a public key, binary or armored; None for the tree's own key, if it has one.
        on_progress: Called with (files, bytes) since the last call, from several threads.
        of_repos: Name of a repository → file with its public key; others have `key`.
        on_total: Called once with the number of files, before any progress is reported.

    Raises:
        ConfigError: `top` is not a directory, or signatures can't be verified on this host.
        DiskError: `top` can't be read.
    """
    _check_directory(top)
    was_followed = is_followed(top)
    looks = _Looks(top, GivenKeys(key, of_repos or {}))
    audit = looks.look(on_progress, on_total)
    if not audit.faults or not (was_followed or is_followed(top)):
        return audit
    return settle(top, audit, lambda: looks.look(lambda files, size: None, lambda files: None))


def _check_directory(top: Path) -> None:
    with as_disk_error("read", top):
        try:
            os.scandir(top).close()
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{top} is not a directory", hint="give the top of a mirror with --root") from None


class _Looks:
    """Looks at a tree, once or again; a file that was right is read once."""

    def __init__(self, top: Path, given: GivenKeys) -> None:
        self._top = top
        self._given = given
        self._right: dict[str, str] = {}
        """Path → SHA-256."""

    def look(self, on_progress: Callable[[int, int], None], on_total: Callable[[int], None]) -> Audit:
        """Audit the tree as it is now."""
        top = self._top
        # A tree that changes may have another key, too.
        keys = read_repo_keys(top, self._given)
        subject = Subject(top, keys.main, offered=read_offered(top))
        collected = _Collected(list(find_interrupted(top)))
        with Processes(top) as processes, EarlyChecks(processes) as early:
            repositories = tuple(_repositories(subject, "", 0, collected.faults))
            for finding in _audit(subject, repositories, keys):
                collected.add(finding)
                # A file that was right is not read again, nor one that an index has named before.
                if collected.named.get(finding.path) is finding and self._right.get(finding.path) != finding.sha256:
                    early.expect(finding)
            named = collected.named
            if not (repositories or named or collected.faults):
                collected.add(Fault(".", "holds no mirror: is it the right directory, and its filesystem mounted?"))
            on_total(len(named))
            batches = early.end(named, on_progress)
            done = {file.path for batch in batches for file in batch.files}
            rest = [file for file in named.values() if file.path not in done]
            with checking(top, rest, self._right, on_progress, processes) as wait:
                unnamed, odd = _look_around(top, named)
                checked = wait()
        found = [fault for batch in batches for fault in batch.faults]
        faults = {*map(keys.explain, collected.faults), *found, *checked.faults, *odd}
        ordered = tuple(sorted(faults, key=lambda fault: (fault.path, fault.what)))
        wrong = {fault.path for fault in ordered}
        self._right = {path: file.sha256 for path, file in named.items() if path not in wrong}
        size = checked.size + sum(batch.size for batch in batches)
        return Audit(repositories, len(named), size, ordered, unnamed, tuple(collected.warnings))


@dataclass(slots=True)
class _Collected:
    """The findings of the audits: what is known of each file that is named, and what is wrong."""

    warnings: list[Warned]
    faults: list[Fault] = field(default_factory=list)
    named: dict[str, Named] = field(default_factory=dict)
    """By path."""

    def add(self, finding: Finding) -> None:
        """Add one more finding."""
        if isinstance(finding, Named):
            self.faults += _add_named(self.named, finding)
        elif isinstance(finding, Fault):
            self.faults.append(finding)
        else:
            self.warnings.append(finding)


def _add_named(named: dict[str, Named], finding: Named) -> Iterator[Fault]:
    """Add a file that an index names to those that others name.

    Args:
        named: Path → what is known of the file.
        finding: What one more index says about it.

    Yields:
        A fault if another index says something else.
    """
    other = named.setdefault(finding.path, finding)
    if finding.sha256 != other.sha256 or (None not in (finding.size, other.size) and finding.size != other.size):
        yield Fault(finding.path, f"{finding.by} and {other.by} name different bytes for it")
    elif finding is not other:
        # Two indexes name the same file: keep what either of them knows about it.
        fuller = finding if other.size is None else other
        look, read = other.look or finding.look, other.read or finding.read
        shares = other.shares or finding.shares
        if (look, read, shares) != (other.look, other.read, other.shares) or fuller is not other:
            named[finding.path] = replace(fuller, look=look, read=read, shares=shares)


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
        yield Fault(place, f"can't be audited to its end: {explain_os_error(error)}")


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
        faults.append(Fault(directory, f"can't be looked into: {explain_os_error(error)}"))
        return
    # Repositories are never nested, so don't look for others inside one.
    if kinds:
        for kind in _of_now(subject.top, kinds, directory):
            yield kind, directory
    elif depth < _DEPTH:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _repositories(subject, f"{directory}/{entry.name}".lstrip("/"), depth + 1, faults)


def _of_now(top: Path, kinds: Sequence[str], directory: str) -> Sequence[str]:
    """Leave out the types that a repository is no longer of; until the grace period is over, it keeps their files.

    Args:
        top: Top of the tree.
        kinds: The types that fit its directory.
        directory: The directory, relative to the top.
    """
    if kinds[0] == "json":
        return kinds[:1]
    return [kind for kind in kinds if not is_withdrawn_type(top, kind, directory)] or kinds


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
                listed = list(entries)
        except OSError as error:
            odd.append(Fault(directory or ".", f"can't be looked into: {explain_os_error(error)}"))
            continue
        above = f"{directory}/" if directory else ""
        for entry in listed:
            path = above + entry.name
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
        # Removed since it was listed.
        return False


def _look_at_link(top: Path, path: str) -> Iterator[Fault]:
    try:
        target = (top / path).resolve()
        if not target.is_relative_to(top.resolve()):
            yield Fault(path, f"is a symbolic link that leads out of the tree, to {target}")
        elif not target.exists():
            yield Fault(path, "is a symbolic link that leads nowhere")
    except OSError as error:
        yield Fault(path, f"is a symbolic link that can't be followed: {explain_os_error(error)}")
    except RuntimeError:
        # So pathlib tells a circle.
        yield Fault(path, "is a symbolic link that leads round in a circle")
