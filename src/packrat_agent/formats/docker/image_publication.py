"""Makes the publication of one image, and tells which of its files differ from those of the last one.

Nothing here goes through all files where the publication of before is live: what is kept of tags and manifests is
joined, hashed and counted.
"""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from packrat_agent.formats.docker.htaccess import Named, write_htaccess
from packrat_agent.formats.docker.image_files import FILES_OF_TAG, File, ManifestFiles
from packrat_agent.formats.docker.image_tags import Tags
from packrat_agent.model.tree import Content, LateFiles, Publication, Since, TreeFile

EARLIER_LIMIT = 200
"""Number of withdrawn manifests whose types Apache still knows: their files stay on disk for a while."""
SIGNED = "signed"
"""Name of the fact that holds by which names the manifests are signed."""


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """All that is published of an image.

    Attributes:
        tags: what leads from tags to manifests.
        manifests: digest → the files of each manifest, by digest.
        referrers: subject → the list of what refers to it, by subject.
        others: the rules for Apache, and the list of the tags.
    """

    tags: Tags
    manifests: Mapping[str, ManifestFiles]
    referrers: Mapping[str, TreeFile]
    others: tuple[TreeFile, TreeFile]

    def single(self) -> Iterator[TreeFile]:
        """Give the pointers that are of no single tag or manifest, in the order of publishing."""
        # First the rules, so that Apache knows the type of a manifest before the manifest appears.
        rules, tags = self.others
        return chain((rules,), self.referrers.values(), (tags,))

    def content(self) -> tuple[File, ...]:
        """List the content."""
        return tuple(chain.from_iterable([made.files for made in self.manifests.values()]))

    def pointers(self) -> tuple[File, ...]:
        """List the pointers, in the order of publishing."""
        rules, *rest = self.single()
        return (rules, *chain.from_iterable([made.files for made in self.tags.files.values()]), *rest)


def list_others(
    image: str, tags: Tags, manifests: Mapping[str, ManifestFiles], earlier: Mapping[str, str]
) -> tuple[TreeFile, TreeFile]:
    """Write the rules for Apache, and the list of the tags.

    Args:
        image: The name of the image in the repository.
        tags: The tags.
        manifests: Digest → the files of each manifest, by digest.
        earlier: Digest → file name ending of manifests that left the image.
    """
    order, of_manifests = list(manifests), [made.htaccess for made in manifests.values()]
    # The last one first, so that each place is still the right one.
    for digest in sorted(earlier, reverse=True):
        of_manifests.insert(bisect_left(order, digest), _write_rule(digest, earlier[digest]))
    rules = b"".join([*[made.htaccess for made in tags.files.values()], *of_manifests])
    listed = json.dumps({"name": image, "tags": sorted(tags.files)}).encode() + b"\n"
    return (
        TreeFile(f"v2/{image}/manifests/.htaccess", Content.of(rules)),
        TreeFile(f"v2/{image}/tags/list", Content.of(listed)),
    )


@lru_cache(EARLIER_LIMIT)
def _write_rule(digest: str, end: str) -> bytes:
    return write_htaccess([Named(digest, end, digest)])


def publish_image(image: str, files: ImageFiles, facts: Mapping[str, str]) -> Publication:
    """Make the publication of an image.

    Args:
        image: The name of the image in the repository.
        files: What is published of it.
        facts: What is remembered of it.
    """
    tags, manifests = files.tags.files.values(), files.manifests.values()
    # The names of a tree by an agent that did not remember them yet are published once more, to be remembered.
    digest = hashlib.sha256(f"2 {SIGNED if SIGNED in facts else ''}".encode())
    digest.update(b"".join([*[made.digest for made in manifests], *[made.digest for made in tags]]))
    for file in files.single():
        digest.update(f"{file.path} {file.content.digest}\0".encode())
    return Publication(image, digest.hexdigest(), LateFiles(files.content), LateFiles(files.pointers), facts)


def compare(files: ImageFiles, last: ImageFiles, identity: str, changed: Set[str], digests: Set[str] | None) -> Since:
    """Tell which files differ from those of the last render.

    Args:
        files: Those of this one.
        last: Those of the last one.
        identity: The identity of its publication.
        changed: The tags that may differ.
        digests: The manifests that may differ; None: any.
    """
    tags, tags_before = files.tags.files, last.tags.files
    others_before = {file.path: file for file in last.single()}
    others = {file.path for file in files.single()}
    gone = _paths(tags_before[tag].files for tag in tags_before if tag in changed and tag not in tags)
    gone += [path for path in others_before if path not in others]
    content: list[File] = []
    gone_content: set[str] = set()
    manifests, manifests_before = files.manifests, last.manifests
    # A manifest whose signatures or references changed has other files; one that did not change is the same object.
    for digest in sorted(manifests_before.keys() | manifests.keys() if digests is None else digests):
        before, now = manifests_before.get(digest), manifests.get(digest)
        if before is not now:
            of_now = now.files if now is not None else ()
            content += of_now
            paths = frozenset(_paths([of_now]))
            gone_content.update(path for path in _paths([before.files] if before else ()) if path not in paths)
    placed = [(place, file) for place, file in _place(files, changed) if others_before.get(file.path) != file]
    return Since(
        identity,
        tuple(sorted(gone_content)),
        tuple(reversed(gone)),
        tuple(content),
        tuple(file for _, file in placed),
        tuple(place for place, _ in placed),
    )


def _place(files: ImageFiles, changed: Set[str]) -> Iterator[tuple[int, File]]:
    """Give the pointers of some tags and those that are of no tag, with their places among all, counted from 1."""
    rules, *rest = files.single()
    yield 1, rules
    tags = files.tags
    for before, tag in sorted((tags.place(tag), tag) for tag in changed if tag in tags.files):
        yield from enumerate(tags.files[tag].files, 2 + before * FILES_OF_TAG)
    yield from enumerate(rest, 2 + len(tags.files) * FILES_OF_TAG)


def _paths(groups: Iterable[Sequence[File]]) -> list[str]:
    return [file.path for files in groups for file in files]
