"""Decides which name and which public key each repository of a tree is held to, and audits the keys' files.

1. A repository has the name that the landing page gives its directory. Without such a page no name is known.
2. Its key is the one that was given for its name; else the one that was given for all.
3. If none was given, its key is the one that the tree has for its name, `repo-keys/<name>.gpg`; else the main key.
4. Where no name is known, any key of the tree may have signed.

    keys = read_repo_keys(top, given)
    keys.subject_of(subject, "apt-prod")
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

from packrat_agent.gpg.public_keys import read_public_keys
from packrat_agent.verify.armor import find_armor_fault
from packrat_agent.verify.findings import Fault, Finding, Subject, read_index, read_pointer
from packrat_agent.verify.key_age import audit_key_age
from packrat_agent.verify.match_paths import match_paths
from packrat_agent.verify.names import KEY_ARMORED, KEY_BINARY, LANDING_PAGE, OWN_KEYS
from packrat_agent.verify.signatures import Keyring, read_keys
from packrat_core.errors import ConfigError, SigningError

_PAGE_LIMIT = 16 * 1024 * 1024
_HEAD = re.compile(r'<h2><a href="([^"<>\n]{1,4096})/">([^<>\n]{1,4096})</a> <span class="kind">\w{1,20}</span></h2>')
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,199}")
_KEY_ID = re.compile(r"\b(?:[0-9A-F]{40}|[0-9A-F]{16})\b")


@dataclass(frozen=True, slots=True)
class GivenKeys:
    """Files with public keys that the operator trusts: for all repositories, and by the name of one."""

    general: Path | None = None
    of_repos: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepoKeys:
    """The keys and names of a tree's repositories.

    Attributes:
        main: The key of repositories without one of their own; None if no key is known.
        main_path: Where it stands, for messages.
        names: Directory of a repository → its name.
        own: Name of a repository → its own key.
        own_paths: Name of a repository → where that stands, for messages.
        main_of_packages: As `main`, for packages: those that a former key has signed stay.
        own_of_packages: As `own`, for packages.
    """

    main: Keyring | None
    main_path: str
    names: Mapping[str, str]
    own: Mapping[str, Keyring]
    own_paths: Mapping[str, str]
    main_of_packages: Keyring | None
    own_of_packages: Mapping[str, Keyring]

    def keyring_of(self, directory: str) -> Keyring | None:
        """Return the key of the repository in a directory; None if no key is known."""
        return self.own.get(self.names.get(directory, ""), self.main)

    def subject_of(self, subject: Subject, directory: str) -> Subject:
        """Return the subject with what the repository in a directory is held to."""
        name = self.names.get(directory)
        shown = name or _name_of_repo_file(subject.top / directory)
        has_file = shown is not None and os.path.lexists(subject.top / OWN_KEYS / f"{shown}.asc")
        return replace(
            subject,
            keyring=self.keyring_of(directory),
            package_keyring=_for_packages(self.own_of_packages.get(name or "", self.main_of_packages), subject.now),
            key_path=f"{OWN_KEYS}/{shown}.asc" if has_file else KEY_ARMORED,
            name=name,
            others=frozenset(self.names.values()) - {name},
        )

    def audit(self, subject: Subject) -> Iterator[Finding]:
        """Audit the age of each key, and the files of those that are a repository's own."""
        if self.main is not None and self.main.keys:
            yield from audit_key_age(self.main.keys, self.main_path, subject.now)
        for name, keyring in self.own.items():
            if keyring.keys:
                yield from audit_key_age(keyring.keys, self.own_paths[name], subject.now)
        for name in sorted(set(self.names.values())):
            yield from _audit_files(subject, name)

    def explain(self, fault: Fault) -> Fault:
        """Add to a fault which repository its key belongs to, if it is another one."""
        ids = _KEY_ID.findall(fault.what)
        if not ids or not self.own:
            return fault
        keys = {f"that of {name}": keyring for name, keyring in self.own.items()}
        if self.main is not None:
            keys["the main key"] = self.main
        owners = [owner for owner, keyring in keys.items() if any(_has(keyring, key_id) for key_id in ids)]
        return replace(fault, what=f"{fault.what}; this key is {' and '.join(owners)}") if owners else fault


def read_repo_keys(top: Path, given: GivenKeys) -> RepoKeys:
    """Read the names and keys of a tree.

    Raises:
        ConfigError: A key that was given can't be used or is of no repository, or signatures can't be verified on this
            host.
    """
    names = _read_names(top)
    for name in given.of_repos.keys() - names.values():
        raise ConfigError(
            f"the landing page of {top} names no repository {name}, so --key {name}=… would verify nothing",
            hint="correct the name, or give the file without one, for all repositories",
        )
    main = _read_given(given.general) if given.general is not None else _read_in_tree(top, KEY_BINARY)
    own_paths = {name: str(path) for name, path in given.of_repos.items()}
    own = {name: _read_given(path) for name, path in given.of_repos.items()}
    main_of_packages, own_of_packages = main, dict(own)
    if given.general is None:
        for name in sorted(set(names.values()) - own.keys()):
            path = f"{OWN_KEYS}/{name}.gpg"
            keyring = _read_in_tree(top, path)
            if keyring is not None:
                own[name], own_paths[name] = keyring, path
                own_of_packages[name] = _with_former(top, f"{OWN_KEYS}/{name}.asc", keyring)
        if main is not None:
            main_of_packages = _with_former(top, KEY_ARMORED, main)
        if not names:
            main, main_of_packages = _join(main, top), _join(main_of_packages, top)
    if (main is not None or own) and shutil.which("gpgv") is None:
        raise ConfigError("gpgv is needed to verify signatures: `apt-get install gpgv`")
    return RepoKeys(
        main=main,
        main_path=str(given.general or KEY_BINARY),
        names=names,
        own=own,
        own_paths=own_paths,
        main_of_packages=main_of_packages,
        own_of_packages=own_of_packages,
    )


def _read_names(top: Path) -> dict[str, str]:
    try:
        page = read_index(top, LANDING_PAGE)[:_PAGE_LIMIT].decode("utf-8", "replace")
    except OSError:
        return {}
    found = {unescape(head[1]): unescape(head[2]) for head in _HEAD.finditer(page)}
    return {directory: name for directory, name in found.items() if _NAME.fullmatch(name)}


def _read_given(path: Path) -> Keyring:
    try:
        return Keyring(read_keys(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} can't be used as a public key: {error}", hint="export it with `gpg --export`"
        ) from None


def _read_in_tree(top: Path, path: str) -> Keyring | None:
    if not os.path.lexists(top / path):
        return None
    try:
        return Keyring(read_keys(read_index(top, path)))
    except (OSError, ValueError):
        # The fault of the file is reported elsewhere; with an empty keyring no signature verifies.
        return Keyring(b"")


def _with_former(top: Path, path: str, current: Keyring) -> Keyring:
    """Read the armored form of a key, in which former keys may follow; as it is where the two forms differ."""
    armored = _read_in_tree(top, path)
    return armored if armored is not None and armored.keys.startswith(current.keys) else current


def _for_packages(keyring: Keyring | None, now: datetime) -> Keyring | None:
    if keyring is None:
        return None
    try:
        parts = read_public_keys(keyring.keys, now)
    except SigningError:
        return keyring
    return replace(keyring, outlives=any(part.wrong is None for part in parts))


def _join(main: Keyring | None, top: Path) -> Keyring | None:
    """Give one keyring with all keys of a tree with a landing page that does not assign them to repositories."""
    read = [_read_in_tree(top, f"{OWN_KEYS}/{path.name}") for path in sorted((top / OWN_KEYS).glob("*.gpg"))]
    found = [keyring for keyring in (main, *read) if keyring is not None]
    return Keyring(b"".join(keyring.keys for keyring in found)) if found else None


def _name_of_repo_file(repository: Path) -> str | None:
    """Give the name that the .repo files of a yum repository have; None for other types."""
    names = {path.stem for path in match_paths(repository, "*/main/*/*.repo")}
    return names.pop() if len(names) == 1 else None


def _audit_files(subject: Subject, name: str) -> Iterator[Finding]:
    """Audit the two files of a repository's own key, if there are any."""
    paths = [f"{OWN_KEYS}/{name}.asc", f"{OWN_KEYS}/{name}.gpg"]
    there = [path for path in paths if os.path.lexists(subject.top / path)]
    found: list[Finding] = []
    contents = [read_pointer(subject, path, found) for path in there]
    yield from found
    if len(there) == 1:
        (missing,) = set(paths) - set(there)
        yield Fault(missing, f"is missing, though {there[0]} is there")
    if len(there) < len(paths) or None in contents:
        return
    armored, binary = (content or b"" for content in contents)
    try:
        # As of the main key, those of former keys may follow.
        wrong = (
            find_armor_fault(armored) if read_keys(armored).startswith(binary) else f"is another key than {paths[1]}"
        )
    except ValueError as error:
        wrong = str(error)
    if wrong is not None:
        yield Fault(paths[0], wrong)


def _has(keyring: Keyring, key_id: str) -> bool:
    try:
        parts = read_public_keys(keyring.keys, datetime.now(UTC)) if keyring.keys else ()
    except SigningError:
        return False
    return any(part.fingerprint.endswith(key_id) for part in parts)
