"""Renders an apt repository: for each suite, the Packages indexes of its architectures and the Release that lists them.

1. Packages for the architecture `all` are listed in the index of every architecture, and in one of their own for
   clients of other architectures.
2. A suite without packages has an index for amd64, since apt reports an error if it finds none.
3. Release lists the plain indexes too, as Debian does: clients check what they decompress. They don't stand on disk,
   since every client and mirror of our time downloads a compressed one.
4. Clients read indexes by hash, so a new index never replaces one that a client is about to read. Release points at
   them, and becomes live last.
"""

from collections.abc import Sequence

from packrat_agent.formats.apt.layout import ALL, by_hash_directory, index_directory, suite_directory, suite_of
from packrat_agent.formats.apt.release import Listed, write_arch_release, write_release
from packrat_agent.formats.apt.suite import Suite
from packrat_agent.formats.compress import GZIP, XZ
from packrat_agent.formats.interface import RenderRequest
from packrat_agent.formats.sharded_index import IndexFile
from packrat_agent.model.entries import Entry
from packrat_agent.model.records import DistroVersion
from packrat_agent.model.tree import Content, PendingFile, Publication, SignatureForm, Signer, TreeFile

_PLAIN_INDEX = "Packages"
"""Name of the index that is listed and not published."""

_ARCHITECTURES = "Architectures"
"""Name of the fact that holds the architectures that stay though no package is of them."""


def render_repository(request: RenderRequest) -> tuple[Publication, ...]:
    """Render one publication for each suite, including suites without packages.

    Raises:
        Held: a value that apt asks its user about would change.
    """
    publications = []
    for version in sorted(request.repo.distro_versions, key=lambda version: version.name):
        suite, change = request.memo.get(version.name), request.change
        if suite is None or change is None:
            suite = request.memo[version.name] = _make_suite(request, version)
        else:
            gone, new = (_of_version(version, entries) for entries in (change.gone, change.new))
            suite.change(gone, new, request.chunks)
        publications.append(_render_suite(request, suite_of(version), suite))
    return tuple(publications)


def _make_suite(request: RenderRequest, version: DistroVersion) -> Suite:
    names = {version.name}
    kept: Suite | None = request.kept.get(version.name)
    if kept is not None and request.is_kept(kept, names):
        return kept
    suite = Suite(request.scratch)
    suite.build(request.by_package(names), request.architectures(names), request.chunks)
    return suite


def _of_version(version: DistroVersion, entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.file.distro_version == version.name]


def _render_suite(request: RenderRequest, name: str, suite: Suite) -> Publication:
    top = suite_directory(name)
    # The architectures of a mirror that was taken over stay: clients ask for their indexes, also for empty ones.
    kept = request.facts.get(name, {}).get(_ARCHITECTURES, "")
    architectures = [ALL, *(sorted(suite.architectures().union(kept.split())) or ["amd64"])]
    content: list[TreeFile] = []
    pointers: list[TreeFile | PendingFile] = []
    former: list[str] = []
    listed: list[Listed] = []
    for architecture in architectures:
        directory = index_directory(architecture)
        index = suite.index_of(architecture, request.chunks)
        [packages] = index.files()
        listed.append(Listed(f"{directory}/{_PLAIN_INDEX}", packages.plain.size, packages.plain.digest))
        former.append(f"{top}/{directory}/{_PLAIN_INDEX}")
        for file, data in _arch_indexes(request, name, architecture, packages).items():
            listed.append(Listed(f"{directory}/{file}", data.size, data.digest))
            content.append(TreeFile(f"{by_hash_directory(f'{top}/{directory}')}/{data.digest}", data))
            pointers.append(TreeFile(f"{top}/{directory}/{file}", data))
    release = write_release(request, name, architectures, listed)
    signed = Content.of(release.content)
    pointers.append(TreeFile(f"{top}/Release", signed))
    if request.settings.signed:
        # apt takes a file that one of its keys has signed, no matter which other keys have.
        by_all, by_hash = (Signer.ALL,), by_hash_directory(top)
        pointers += [
            PendingFile(f"{top}/Release.gpg", SignatureForm.ARMOR, (signed,), signers=by_all),
            PendingFile(f"{top}/InRelease", SignatureForm.CLEAR, (signed,), by_hash_dir=by_hash, signers=by_all),
        ]
    facts = {**release.facts, _ARCHITECTURES: kept} if kept else release.facts
    return Publication(name, release.identity, tuple(content), tuple(pointers), facts, tuple(former))


def _arch_indexes(request: RenderRequest, suite: str, architecture: str, packages: IndexFile) -> dict[str, Content]:
    return {
        "Packages.gz": packages.packed[GZIP],
        "Packages.xz": packages.packed[XZ],
        "Release": Content.of(write_arch_release(request, suite, architecture)),
    }
