"""Renders a yum repository: for each distribution version, the repodata and the files that lead clients to it.

1. The metadata files are named by their content, so a new one never replaces one that a client is about to read.
2. repomd.xml names them, and becomes live last, after its signature.
3. If `public_url` is set, the same repodata also stands in an immutable generation. The mirror list and the metalink
   lead clients there: they read the metadata of one generation, so an update in between can't take files away.
"""

import hashlib
from collections.abc import Collection, Sequence
from urllib.parse import quote

from packrat_agent.formats.interface import REPOSITORY, RenderRequest, RenderSettings, is_named
from packrat_agent.formats.yum.client_files import write_metalink, write_mirrorlist, write_repo_file
from packrat_agent.formats.yum.layout import generation_directory, version_directory
from packrat_agent.formats.yum.repodata import AS_UPLOADED, Metadata, Tags, VersionIndex, write_repomd
from packrat_agent.model.dates import rising
from packrat_agent.model.entries import Entry
from packrat_agent.model.records import DistroVersion
from packrat_agent.model.tree import Content, PendingFile, Publication, SignatureForm, TreeFile, TreeLink

_Files = list[TreeFile | TreeLink | PendingFile]


def render_repository(request: RenderRequest) -> tuple[Publication, ...]:
    """Render one publication for each distribution version, including those without packages."""
    by_directory: dict[str, list[DistroVersion]] = {}
    for version in request.repo.distro_versions:
        if version.file_type == "rpm":
            by_directory.setdefault(version_directory(version), []).append(version)
    publications = []
    for top, versions in sorted(by_directory.items()):
        names = {version.name for version in versions}
        index, change = request.memo.get(top), request.change
        if index is None or change is None:
            index = request.memo[top] = _make_index(request, top, names)
        else:
            gone, new = (_of_versions(names, entries) for entries in (change.gone, change.new))
            index.change(gone, new, request.chunks)
        publications.append(_render_version(request, top, versions[0], index))
    return tuple(publications)


def _make_index(request: RenderRequest, top: str, names: Collection[str]) -> VersionIndex:
    kept: VersionIndex | None = request.kept.get(top)
    if kept is not None and request.is_kept(kept, names):
        return kept
    index = VersionIndex(f"{top}/", request.scratch)
    index.build(request.by_package(names), request.chunks)
    return index


def _of_versions(names: Collection[str], entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.file.distro_version in names]


def _render_version(request: RenderRequest, top: str, version: DistroVersion, index: VersionIndex) -> Publication:
    settings, repo = request.settings, request.repo
    # Named like its directory, so that no two publications share a pointer.
    name = f"{version.distro}/{version.version or version.name}"
    metadata = index.write()
    revision = _next_revision(request, name)
    tags = Tags(_content_tags(settings), repo.name if is_named(request.facts) else "")
    repomd = write_repomd(metadata, revision, tags)
    title = f"{repo.description or repo.name} ({version.distro} {version.version or version.name})"
    repo_file = write_repo_file(repo, top, title, settings)
    content = _metadata_files(f"{top}/repodata", metadata)
    remembered = {"Revision": str(revision)}
    if tags.repository:
        remembered[REPOSITORY] = tags.repository
    signed = Content.of(repomd)
    pointers = _repomd_files(f"{top}/repodata", signed, request)
    if settings.public_url:
        generation = generation_directory(revision, repomd)
        content += _metadata_files(f"{top}/{generation}/repodata", metadata)
        content += _repomd_files(f"{top}/{generation}/repodata", signed, request)
        arches = _linked_arches(request, name, index.directories())
        remembered["Arches"] = " ".join(arches)
        content += [TreeLink(f"{top}/{generation}/{arch}", f"../../{arch}") for arch in arches]
        address = f"{settings.public_url}/{quote(f'{repo.directory}/{top}/{generation}')}"
        pointers += [
            TreeFile(f"{top}/mirrorlist", Content.of(write_mirrorlist(address))),
            TreeFile(f"{top}/metalink", Content.of(write_metalink(address, repomd, revision))),
        ]
    pointers.append(TreeFile(f"{top}/{repo.name}.repo", Content.of(repo_file)))
    # Revision 0 keeps the date out of the identity.
    identity = hashlib.sha256(write_repomd(metadata, 0, tags) + repo_file + (settings.public_key or b""))
    return Publication(name, identity.hexdigest(), tuple(content), tuple(pointers), remembered)


def _content_tags(settings: RenderSettings) -> list[str]:
    description = " ".join(settings.mirror_description.split())
    as_uploaded = settings.signed and not settings.signs_all_packages
    return [text for text in (description, AS_UPLOADED * as_uploaded) if text]


def _metadata_files(directory: str, metadata: Sequence[Metadata]) -> _Files:
    return [TreeFile(f"{directory}/{file.name}", file.content) for file in metadata]


def _repomd_files(directory: str, repomd: Content, request: RenderRequest) -> _Files:
    """List repomd.xml after its signature.

    Args:
        directory: where the files are published.
        repomd: the content of repomd.xml.
        request: what the repository is rendered from.
    """
    files: _Files = []
    if request.settings.signed:
        if request.settings.public_key:
            files.append(TreeFile(f"{directory}/repomd.xml.key", Content.of(request.settings.public_key)))
        files.append(PendingFile(f"{directory}/repomd.xml.asc", SignatureForm.ARMOR, (repomd,)))
    files.append(TreeFile(f"{directory}/repomd.xml", repomd))
    return files


def _linked_arches(request: RenderRequest, publication: str, present: frozenset[str]) -> list[str]:
    """Give the directories of packages that a generation links to: those of earlier generations stay.

    dnf reads the mirror list again before it asks for a package. So it asks the newest generation for a package that an
    earlier one names, which may have been withdrawn since as the last one in its directory.
    """
    return sorted(present.union(request.facts.get(publication, {}).get("Arches", "").split()))


def _next_revision(request: RenderRequest, publication: str) -> int:
    """Give the revision in epoch seconds: now, or just after the last one if the clock has stepped back."""
    last = request.facts.get(publication, {}).get("Revision", "")
    return rising(int(request.now.timestamp()), int(last) if last.isdigit() else None)
