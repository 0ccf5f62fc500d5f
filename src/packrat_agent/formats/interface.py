"""The interface that every repository type implements, and the values that are passed to it."""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from packrat_agent.model.entries import Entry, Fragment, IndexedPackage
from packrat_agent.model.key_places import MAIN_KEY, KeyPlace
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Rendered, Signer
from packrat_agent.state.scratch import Scratch


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """The operator's settings for the indexes.

    Attributes:
        mirror_description: what clients are shown of the mirror as a whole; '' for nothing.
        signed: the mirror has a signing key, so the format adds the files that wait for it.
        public_url: the address of root_dir as clients know it, without a trailing slash.
        public_key: the armored public key.
        key_place: where clients find it.
        standalone_subkey: the signing subkey as a key of its own, for clients that do not support subkeys; None if the
            primary key signs. During a rotation: all keys that sign images, each in the form that all clients support.
        image_signers: who signs each name of an image.
        apt_origin: Origin in Release.
        apt_label: Label in Release; None for the description of the repository.
        apt_valid_for_s: seconds from Date to Valid-Until; None for no Valid-Until.
        confirmed_repos: the repositories whose published Origin, Label and Codename may change.
        signs_all_packages: each package whose type is SIGNED has a signature of this mirror, if there is a key.
        clock_confirmed: the clock is right, so a date may be earlier than the last one.
        signature_api: docker repositories hand out signatures through the registry, too.
        grace_s: how long withdrawn files stay, in seconds.
    """

    mirror_description: str
    signed: bool
    public_url: str | None = None
    public_key: bytes | None = None
    key_place: KeyPlace = MAIN_KEY
    standalone_subkey: bytes | None = None
    image_signers: tuple[Signer, ...] = (Signer.KEY,)
    apt_origin: str = "Packrat"
    apt_label: str | None = None
    apt_valid_for_s: int | None = None
    confirmed_repos: frozenset[str] = frozenset()
    signs_all_packages: bool = True
    clock_confirmed: bool = False
    signature_api: bool = True
    grace_s: float = 0.0


class ChunkCache(Protocol):
    """A cache of compressed index parts, by the name of the coding and the SHA-256 of the plain bytes."""

    def get(self, coding: str, digest: str) -> bytes | None:
        """Return the compressed bytes, or None if they are not in the cache."""

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Remember the compressed bytes.

        Args:
            coding: How they are compressed.
            digest: The SHA-256 of the plain bytes.
            chunk: The compressed bytes.
        """


@dataclass(frozen=True, slots=True)
class Change:
    """What a sync changes in an index: the entries that go, and those that come in their place."""

    gone: Sequence[Entry]
    new: Sequence[Entry]


class KeptIndex(Protocol):
    """An index that a format keeps in `memo` from one render to the next, where `keeps_index` says so."""

    def digest(self) -> str:
        """Hash all that it says; the same for the same entries, however it came about."""

    def is_of(self, packages: Iterable[IndexedPackage]) -> bool:
        """Tell whether it equals an index built from these entries, in the order of `package_order`."""


class StandingEntries(Protocol):
    """Entries that are read when they are needed."""

    def by_package(self, distro_versions: Collection[str]) -> Iterator[Entry]:
        """List those for some distribution versions by package, the oldest record of each first."""

    def indexed(self, distro_versions: Collection[str]) -> Iterator[IndexedPackage]:
        """List the same without the server's records."""

    def architectures(self, distro_versions: Collection[str]) -> frozenset[str]:
        """Name the architectures of those for some distribution versions; it may name more."""

    def names(self) -> Iterable[tuple[str, str, int]]:
        """Give the server's package, the name in the file, and how many files have both; it may count more."""

    def of(self, packages: Collection[str]) -> Sequence[Entry]:
        """Give those of some of the server's packages."""

    def renamed(self) -> Iterable[Entry]:
        """Give those whose clients need another file name than that of the record."""

    def places(self, paths: Collection[str]) -> Collection[str]:
        """Give those of some paths that are the place of one; relative to the repository's directory."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """Everything that the indexes of one repository are rendered from.

    Attributes:
        entries: all entries of the repository but those of `standing`, the oldest record first. A format that keeps
            its index in `memo` reads none of either when it gets a `change`, or those that the change touches: that
            alone makes a change cost what it changes.
        change: what `entries` differ in from those that `memo` was filled from; None: in anything.
        now: the date of the publication, aware, in UTC.
        facts: name of a publication → the facts that its last generation remembered.
        memo: a cache that the format fills in one render and uses in the next; often empty. The result never depends
            on it.
        scratch: where `memo` keeps what is too large for memory.
        kept: what changes have left in `memo`, where all is decided again. An index in it that says the same as
            `standing` is used as it is; those are there only where there are no other entries. Anything else is
            compared with what is rendered.
        standing: more entries of the repository, which are not held in memory; only for formats that keep their index.
        is_published: whether a publication of this name is published with this identity, so that most likely nobody
            asks for its files.
    """

    repo: Repo
    entries: Sequence[Entry]
    settings: RenderSettings
    now: datetime
    chunks: ChunkCache
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)
    change: Change | None = None
    scratch: Scratch = field(default_factory=Scratch)
    standing: StandingEntries | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)
    is_published: Callable[[str, str], bool] = lambda name, identity: False

    def by_package(self, distro_versions: Collection[str]) -> Iterable[Entry]:
        """List the entries for some distribution versions by package, the oldest record of each first."""
        found = [entry for entry in self.entries if entry.file.distro_version in distro_versions]
        found.sort(key=package_order)
        if self.standing is None:
            return found
        return heapq.merge(found, self.standing.by_package(distro_versions), key=package_order)

    def is_kept(self, index: KeptIndex, distro_versions: Collection[str]) -> bool:
        """Tell whether one of `kept` says what the index for some distribution versions is to say."""
        return self.standing is not None and index.is_of(self.standing.indexed(distro_versions))

    def architectures(self, distro_versions: Collection[str]) -> frozenset[str]:
        """Name the architectures of the entries for some distribution versions."""
        found = frozenset(entry.fragment.arch for entry in self.entries if entry.file.distro_version in distro_versions)
        return found if self.standing is None else found | self.standing.architectures(distro_versions)


def package_order(entry: Entry) -> tuple[str, str, str, int, str]:
    """Sorts entries by their packages."""
    fragment = entry.fragment
    # Flat: a sort compares tuples in tuples with three times the work.
    return fragment.name, fragment.version, fragment.arch, *entry.file.record_order


MOMENT = "Date"
"""Name of the fact that holds the date that clients see in a publication, in epoch seconds."""

HELD = "Held"
"""Name of the fact that holds which change a publication leaves out until the operator confirms it."""

REPOSITORY = "Repository"
"""Name of the fact that holds the name of the repository, where the publication's signed metadata has it."""


def is_named(facts: Mapping[str, Mapping[str, str]]) -> bool:
    """Tell whether the metadata of a repository is to name it: if it is new, or does so already.

    facts: name of a publication → the facts that its last generation remembered.
    """
    return not any(facts.values()) or any(REPOSITORY in known for known in facts.values())


_TOLERATED_S = 10
"""Seconds that the date may be ahead of the client's clock. Source: apt.conf(5), Acquire::Max-FutureTime."""


def explain_ahead(facts: Iterable[Mapping[str, str]], now: datetime) -> str | None:
    """Explain, for the operator, that clients reject a publication because it is dated in the future; else None."""
    latest_s = max((int(fact[MOMENT]) for fact in facts if fact.get(MOMENT, "").isdigit()), default=0)
    if latest_s <= now.timestamp() + _TOLERATED_S:
        return None
    day = datetime.fromtimestamp(latest_s, UTC).strftime("%Y-%m-%d")
    return (
        f"it is dated ahead of this host's clock, {day}, and apt refuses it until then; if the clock was wrong when it "
        "was published and is right now, run `packrat-agent sync --trust-clock`"
    )


def explain_held(facts: Mapping[str, Mapping[str, str]]) -> str | None:
    """Explain, for the operator, which changes the publications leave out; None where none does.

    facts: name of a publication → its facts.
    """
    names: dict[str, list[str]] = {}
    for name, known in facts.items():
        if HELD in known:
            names.setdefault(known[HELD], []).append(name)
    return "; ".join(f"{', '.join(of)} {text}" for text, of in names.items()) or None


IsWritten = Callable[[str, str], bool]
"""Tells whether a product with this name and SHA-256 is written already, to its place or to staging."""


class Treatment(Enum):
    """What is published of a package file.

    AS_IS: the file itself.
    SIGNED: a copy signed with the operator's key; the file itself if there is no key.
    UNPACKED: the products that `read` takes out of it.
    ACCOMPANIED: the file itself, and beside it the products that `read` takes out of it.
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
"""Cache-Control of files that never change."""


@dataclass(frozen=True, slots=True)
class WebRules:
    """The configuration that a web server needs beyond serving plain files.

    Attributes:
        outside: goes before the server block or virtual host, once for all repositories of a type.
        shared: goes into the block, once for all repositories of a type.
        inside: goes into the block after `shared`, once for each repository.
    """

    outside: str = ""
    shared: str = ""
    inside: str = ""


@dataclass(frozen=True, slots=True)
class ClientSetup:
    """One way to use a repository, as the landing page shows it.

    Attributes:
        client: the program that it is for, and how it is used where there are several ways.
        title: what to know about the lines, in sentences; '' for nothing.
        lines: what a user pastes on a client.
        ipv6_title: what to know, too, where the host turns out to be an IPv6 address; '' for nothing.
    """

    client: str
    title: str
    lines: str
    ipv6_title: str = ""


class Format(Protocol):
    """One repository type. It never calls gpg, the network or the live tree.

    Attributes:
        kind: the name that the type has in the API, which is that of the format's folder.
        treatment: what is published of its package files.
        fragment_version: increased when the meaning of fragments changes, so that the package files are read again.
        has_yanked: clients know of yanked files, so that deprecated ones stay, marked in the index.
        keeps_index: `render` keeps in `memo` what it needs of its indexes, so that all entries stay in the state
            database: with a change it reads none but those of the change, or of what that touches.
    """

    kind: str
    treatment: Treatment
    fragment_version: int
    has_yanked: bool
    keeps_index: bool

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Choose the path of the package file, relative to the repository's directory.

        If the treatment is UNPACKED, choose the directory that the names of its products are relative to; several
        package files may share it.

        Raises:
            Refused: the file can't be in a repository of this type.
        """

    def read(
        self,
        path: Path,
        into: Path | dict[str, bytes] | None,
        content: bytes | None = None,
        is_written: IsWritten | None = None,
    ) -> Fragment:
        """Read what the index needs from a verified file; no other method opens it.

        If the treatment is UNPACKED or ACCOMPANIED, write each product of the fragment to `into`, named by its
        SHA-256; if not, write nothing.

        Args:
            path: The file.
            into: The directory where its products go; if the treatment is ACCOMPANIED, it may be a mapping that takes
                them: SHA-256 → bytes. None where only the judgement counts: nothing is written, and the fragment may
                lack its products.
            content: All of its bytes, where they are in memory anyway, so that the file need not be opened.
            is_written: Tells which products are written already; None if none is.

        Raises:
            Refused: the file is damaged, of another type, or hostile; with the reason.
        """

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Check that the server's record agrees with the file; `renamed` says which names mean the same.

        Raises:
            Refused: the record and the file contradict each other.
        """

    def owner(self, path: str) -> str | None:
        """Name the package file that a file belongs to, so that it stays as long as this; None if it belongs to none.

        path: relative to the repository's directory, as is the answer.
        """

    def render(self, request: RenderRequest) -> Rendered:
        """Render the index files. The same request gives the same bytes: the date is `request.now`.

        With a change, those of the publications that it touches are enough.

        A change of a published value that clients rely on is left out until it is confirmed; the fact HELD names it.
        """

    def client_setup(
        self, repo: Repo, url: str, key: KeyPlace | None, example: str | None = None
    ) -> Sequence[ClientSetup]:
        """Give the lines that a user pastes on a client to use the repository, the usual way first.

        Args:
            repo: the repository.
            url: the address of root_dir as the client knows it, without a trailing slash.
            key: where the public key that the client needs is published; None if nothing is signed.
            example: the name of a package of the repository, for lines that need one; None: a word for it.
        """

    def release_name(self, version: DistroVersion) -> str:
        """Name a distribution version as clients call it; '' if they don't choose one."""

    def signed_part(self, repo: Repo, settings: RenderSettings) -> str | None:
        """Say which files of the repository are signed, as the end of `Signed: …`; None if none is."""

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give the configuration that a web server needs for the repository; empty if serving plain files is enough.

        Args:
            server: the web server.
            repo: the repository.
            root: root_dir.
        """
