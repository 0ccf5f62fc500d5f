"""Audits a whole tree as its clients would, without asking anybody: signatures → pointers → indexes → every file.

Takes: the top of a tree, a public key.
Gives: an Audit: what was checked, what is wrong, what no index names.
Touches: the tree, reading only; gpgv.
"""

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.audit.apt import audit_apt, is_apt
from packrat_agent.audit.findings import Auditor, Fault, Named, Subject, told
from packrat_agent.disk import AGENT_DIR
from packrat_agent.errors import ConfigError

_DEPTH = 5
_CHUNK_BYTES = 1024 * 1024

Recognize = Callable[[Subject, str], bool]

AUDITORS: Mapping[str, tuple[Recognize, Auditor]] = {"apt": (is_apt, audit_apt)}
"""Type → how a directory of it is recognized, and audited."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found; `repositories`: (type, directory) each, `unnamed`: files that no index names."""

    repositories: tuple[tuple[str, str], ...]
    files: int
    bytes: int
    faults: tuple[Fault, ...]
    unnamed: tuple[str, ...]


def verify_tree(top: Path, key: Path | None, on_progress: Callable[[int, int], None]) -> Audit:
    """Audit the tree below `top`.

    key: a binary public key; None: the tree's own, if it has one. on_progress: called with (files, bytes) since the
    last call, from several threads.
    Raises: ConfigError where `top` is no directory, or signatures can't be verified here.
    """
    if not top.is_dir():
        raise ConfigError(f"{top} is no directory; give the top of a mirror with --root")
    own = top / "repo-key.gpg"
    keyring = key or (own if own.is_file() else None)
    if keyring is not None and shutil.which("gpgv") is None:
        raise ConfigError("gpgv is needed to verify signatures: `apt-get install gpgv`")
    subject = Subject(top, None if keyring is None else lambda signed, detached: _gpgv(keyring, signed, detached))
    found = tuple(_repositories(subject, "", 0))
    named: dict[str, Named] = {}
    faults: list[Fault] = []
    for kind, directory in found:
        for finding in AUDITORS[kind][1](subject, directory):
            if isinstance(finding, Fault):
                faults.append(finding)
            elif finding.sha256 != named.setdefault(finding.path, finding).sha256:
                other = named[finding.path]
                faults.append(Fault(finding.path, f"{finding.by} and {other.by} name different bytes for it"))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        checked = list(threads.map(lambda one: _check(top, one, on_progress), named.values()))
    faults += [fault for fault, _ in checked if fault is not None]
    unnamed, odd = _look_around(top, named)
    sizes = sum(size for _, size in checked)
    return Audit(
        found, len(named), sizes, tuple(sorted({*faults, *odd}, key=lambda one: (one.path, one.what))), unnamed
    )


def _repositories(subject: Subject, directory: str, depth: int) -> Iterator[tuple[str, str]]:
    for kind, (recognize, _) in AUDITORS.items():
        if directory and recognize(subject, directory):
            yield kind, directory
            return
    if depth < _DEPTH:
        for entry in sorted(os.scandir(subject.top / directory), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _repositories(subject, f"{directory}/{entry.name}".lstrip("/"), depth + 1)


def _check(top: Path, named: Named, on_progress: Callable[[int, int], None]) -> tuple[Fault | None, int]:
    """Hash one named file; gives what is wrong with it, and its size."""
    path = top / named.path
    try:
        if any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(top) and parent != top):
            return Fault(named.path, f"named by {named.by}, stands behind a symbolic link"), 0
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return Fault(named.path, f"named by {named.by}: {told(error)}"), 0
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return Fault(named.path, f"named by {named.by}, is no regular file"), 0
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if named.size is not None and status.st_size != named.size:
            return Fault(named.path, f"has {status.st_size} bytes, {named.by} says {named.size}"), 0
        digest = hashlib.sha256()
        try:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                on_progress(0, len(chunk))
        except OSError as error:
            return Fault(named.path, f"can't be read: {told(error)}"), 0
    on_progress(1, 0)
    if digest.hexdigest() != named.sha256:
        return Fault(named.path, f"has SHA-256 {digest.hexdigest()}, {named.by} says {named.sha256}"), status.st_size
    if not status.st_mode & stat.S_IROTH:
        return Fault(named.path, "is not readable for a web server; its mode should be 0644"), status.st_size
    return None, status.st_size


def _look_around(top: Path, named: Mapping[str, Named]) -> tuple[tuple[str, ...], list[Fault]]:
    """List the files that no index names, and whatever is neither file nor directory, or leads out of the tree."""
    unnamed: list[str] = []
    odd: list[Fault] = []
    inside = top.resolve()
    for directory, directories, files in os.walk(top):
        relative = Path(directory).relative_to(top)
        directories[:] = sorted(name for name in directories if str(relative / name) != AGENT_DIR)
        for name in (*files, *directories):
            path = str(relative / name)
            mode = (top / path).lstat().st_mode
            if stat.S_ISLNK(mode):
                target = (top / path).resolve()
                if not target.is_relative_to(inside):
                    odd.append(Fault(path, f"is a symbolic link that leads out of the tree, to {target}"))
                elif not target.exists():
                    odd.append(Fault(path, "is a symbolic link that leads nowhere"))
            elif stat.S_ISREG(mode):
                if path not in named:
                    unnamed.append(path)
            elif not stat.S_ISDIR(mode):
                odd.append(Fault(path, "is neither file nor directory"))
    return tuple(sorted(unnamed)), odd


def _gpgv(keyring: Path, signed: Path, detached: Path | None) -> str | None:
    """Verify a signature with gpgv; what is wrong, or None."""
    files = [str(signed)] if detached is None else [str(detached), str(signed)]
    command = ["gpgv", "--keyring", str(keyring.resolve()), "--output", "/dev/null", "--", *files]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return None
    last = [line.removeprefix("gpgv: ") for line in done.stderr.splitlines() if line.strip()]
    return f"its signature does not verify: {last[-1] if last else 'gpgv gave no reason'}"
