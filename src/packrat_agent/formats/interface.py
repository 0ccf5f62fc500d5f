"""What every repository type must be able to do, and the values that reach it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.model.tree import Tree


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """What the operator's configuration says about the indexes.

    `confirmed_repos` names the repositories whose published Origin, Label and Codename may change. `public_url` is the
    address of root_dir as clients know it, without a slash at its end. `public_key` is the armored key,
    `standalone_subkey` what signs as a key of its own, where that is a subkey: for clients that know no subkeys.
    """

    mirror_description: str
    signed: bool
    public_url: str | None = None
    public_key: bytes | None = None
    standalone_subkey: bytes | None = None
    apt_origin: str = "Packrat"
    apt_label: str | None = None
    apt_valid_for_s: int | None = None
    confirmed_repos: frozenset[str] = frozenset()
    clock_confirmed: bool = False


class ChunkCache(Protocol):
    """Keeps the compressed form of an index part under the SHA-256 of its plain bytes and the coding's name."""

    def get(self, coding: str, digest: str) -> bytes | None:
        """The compressed bytes, or None where they have to be made."""

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Remember the compressed bytes."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """Everything that the indexes of one repository are made from.

    `entries` come oldest record first. `facts`: name of a publication → what its last generation remembered. `now`
    is aware, in UTC. `memo` is the format's own: what its last render of the repository left there to be quicker, often
    nothing; the outcome never depends on it.
    """

    repo: Repo
    entries: Sequence[Entry]
    settings: RenderSettings
    now: datetime
    chunks: ChunkCache
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)


MOMENT = "Date"
"""Name of the fact that holds the date, in epoch seconds, that clients see in a publication."""

_TOLERATED_S = 10
"""How far ahead of the client's clock it may be. Source: apt.conf(5), Acquire::Max-FutureTime."""


def tell_ahead(facts: Iterable[Mapping[str, str]], now: datetime) -> str | None:
    """Tell what is wrong and what to do, if clients refuse a publication since it is dated ahead; else None."""
    latest_s = max((int(fact[MOMENT]) for fact in facts if fact.get(MOMENT, "").isdigit()), default=0)
    if latest_s <= now.timestamp() + _TOLERATED_S:
        return None
    day = datetime.fromtimestamp(latest_s, UTC).strftime("%Y-%m-%d")
    return (
        f"it is dated ahead of this host's clock, {day}, and apt refuses it until then; if the clock was wrong when it "
        "was published and is right now, run `packrat-agent sync --trust-clock`"
    )


class Treatment(Enum):
    """What is published of a package file.

    AS_IS: itself. SIGNED: a copy signed by the operator's key, where there is one. UNPACKED: the products that `read`
    takes out of it. ACCOMPANIED: itself, and beside it the products that `read` takes out of it.
    """

    AS_IS = 0
    SIGNED = 1
    UNPACKED = 2
    ACCOMPANIED = 3


class WebServer(Enum):
    """The web servers that `packrat-agent site` writes configuration for."""

    NGINX = "nginx"
    APACHE = "apache"


IMMUTABLE = "public, max-age=31536000, immutable"
"""The Cache-Control of what never changes."""


@dataclass(frozen=True, slots=True)
class WebRules:
    """What a web server must be told beyond serving plain files.

    `outside` stands once before the server block or virtual host, `shared` once in it: both are the same for all
    repositories of a type. `inside` stands in it too, after `shared`.
    """

    outside: str = ""
    shared: str = ""
    inside: str = ""


class Format(Protocol):
    """One repository type. It never calls gpg, the network or the live tree."""

    kind: str
    treatment: Treatment
    fragment_version: int
    """Raised when fragments change their meaning: older ones are read again."""

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Choose the path of the package file, relative to the repository's directory.

        UNPACKED: the directory that the names of its products are relative to; others may share it.

        Raises:
            Refused: the file can't be in a repository of this type.
        """

    def read(self, path: Path, into: Path) -> Fragment:
        """Read what the index needs from a verified file; the only time that it is opened.

        UNPACKED, ACCOMPANIED: each product of the fragment is written to `into`, named by its SHA-256.

        Raises:
            Refused: the file is torn, of another type, or hostile; with the reason.
        """

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Compare the server's record with what the file says; `renamed` has the rules for names that mean the same.

        Raises:
            Refused: they contradict each other.
        """

    def render(self, request: RenderRequest) -> Tree:
        """Make all index files. The same request gives the same bytes: the date is `request.now`.

        Raises:
            Held: a published value would change that clients rely on.
        """

    def client_setup(self, repo: Repo, url: str, signed: bool) -> str:
        """The lines that a person pastes on a client to use the repository; `url` is that of the mirror's top."""

    def signed_part(self, repo: Repo, public_url: str | None) -> str | None:
        """Say what of the repository a signing key signs, to go on `Signed: …`; None where it signs nothing of it."""

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """The configuration that a web server needs to serve the repository; empty where plain files are enough."""
