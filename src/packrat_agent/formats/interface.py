"""What every repository type must be able to do, and the settings that reach it.

Takes: nothing.
Gives: the `Format` protocol, the values that go into `render`, and the cache of compressed index parts.
Touches: nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from packrat_agent.model import Entry, Fragment, PackageFile, Repo, Tree


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """What the operator's configuration says about the indexes.

    `confirmed_repos` names the repositories whose published Origin, Label and Codename may change.
    """

    mirror_description: str
    signed: bool
    apt_origin: str = "Packrat"
    apt_label: str | None = None
    apt_valid_for_s: int | None = None
    confirmed_repos: frozenset[str] = frozenset()


class PieceCache(Protocol):
    """Keeps the compressed form of an index part under the SHA-256 of its plain bytes and the coding's name."""

    def get(self, coding: str, digest: str) -> bytes | None:
        """The compressed bytes, or None where they have to be made."""

    def put(self, coding: str, digest: str, piece: bytes) -> None:
        """Remember the compressed bytes."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """Everything that the indexes of one repository are made from.

    `facts` is what earlier publications remembered: section name → its facts. `now` is aware, in UTC.
    """

    repo: Repo
    entries: Sequence[Entry]
    settings: RenderSettings
    now: datetime
    pieces: PieceCache
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Format(Protocol):
    """One repository type. It never calls gpg, the network or the live tree."""

    kind: str
    fragment_version: int
    """Raised when fragments change their meaning: older ones are read again."""

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Say where the package file stands, relative to the repository's directory.

        Raises: Refused where the file can't be in a repository of this type.
        """

    def read(self, path: Path) -> Fragment:
        """Read what the index needs from a verified file; the only time that it is opened.

        Raises: Refused with the reason where the file is torn, of another type, or hostile.
        """

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Hold the server's record against what stands inside the file.

        Raises: Refused where they contradict each other.
        """

    def render(self, request: RenderRequest) -> Tree:
        """Make all index files. The same request gives the same bytes.

        Raises: Held where a published value would change that clients hold us to.
        """

    def client_setup(self, repo: Repo, url: str, signed: bool) -> str:
        """The lines that a person pastes on a client to use the repository; `url` is that of the mirror's top."""
