"""Audits one image of a docker repository: its tags, its manifests, what refers to them, and their blobs.

Source: OCI Distribution Specification 1.1.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from packrat_agent.verify.docker_files import read_json, strings_of
from packrat_agent.verify.docker_signatures import Signing, audit_signatures
from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    explain_os_error,
    explain_refusal,
    pointer,
    read_index,
    read_pointer,
)
from packrat_agent.verify.names import TAG
from packrat_core.errors import Refused
from packrat_core.packages.image.layout import pair_layers
from packrat_core.packages.image.manifest import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    MANIFEST_TYPE_OF_END,
    MANIFEST_TYPES,
    OCI_INDEX,
    Descriptor,
    Manifest,
    read_manifest,
)
from packrat_core.packages.image.rules import check_manifest

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BLOCK = re.compile(
    r'<Files "([^"\n]+)">\nForceType ([^\n]+)\nHeader set Docker-Content-Digest "([^"\n]+)"\n</Files>\n'
)
_DEPTH_LIMIT = 4


@dataclass(slots=True)
class _Image:
    """The facts that an audit collects about one image.

    Attributes:
        directory: Directory of the image, relative to the tree's top.
        tags: Tag → digest of its manifest.
        ends: Digest → file name extension that stands for the type of the manifest.
        references: Digest → how clients name the manifest, `:<tag>` for each tag that leads to it, directly or through
            an image index, or `@<digest>` if none does.
    """

    directory: str
    tags: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    references: dict[str, set[str]] = field(default_factory=dict)


def audit_image(subject: Subject, directory: str, name: str, signing: Signing) -> Iterator[Finding]:
    """Audit one image.

    Args:
        subject: The tree under audit.
        directory: Directory of the repository.
        name: Name of the image.
        signing: What is signed in the repository.
    """
    image = _Image(f"{directory}/v2/{name}")
    found: list[Finding] = []
    path = f"{image.directory}/tags/list"
    content, listed = read_json(subject, path, found)
    tags = strings_of(listed, "tags", TAG)
    if listed is not None and (tags is None or listed.get("name") != name):
        found.append(Fault(path, f"does not list the tags of {name}"))
    elif content is not None and tags is not None:
        wanted = json.dumps({"name": name, "tags": sorted(set(tags))}).encode() + b"\n"
        found += check_bytes(path, content, wanted)
    yield from found
    for tag in tags or ():
        yield from _audit_tag(subject, image, tag)
    if tags is not None:
        yield from _find_strays(subject, image, tags)
    yield from _audit_referrers(subject, image)
    yield from _audit_htaccess(subject, image)
    # Only now are all tags of each manifest known, and each needs a signature.
    for digest, references in sorted(image.references.items()):
        yield from audit_signatures(subject, directory, name, digest, references, signing)


def _audit_tag(subject: Subject, image: _Image, tag: str) -> Iterator[Finding]:
    path = f"{image.directory}/manifests/{tag}"
    try:
        content = read_index(subject.top, path, MANIFEST_LIMIT)
    except OSError as error:
        yield Fault(path, f"can't be read: {explain_os_error(error)}")
        return
    yield pointer(path, content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    link = subject.top / image.directory / "_refs" / tag
    linked = str(link.readlink()) if link.is_symlink() else ""
    if not _DIGEST.fullmatch(linked):
        yield Fault(f"{image.directory}/_refs/{tag}", "is not a link to the directory of a manifest")
    elif linked != digest:
        yield Fault(path, f"is {digest}, and _refs/{tag} leads to {linked}")
        # Continue with the target of the link, since that is most likely intact.
        digest = linked
    image.tags[tag] = digest
    yield from _audit_manifest(subject, image, digest, f":{tag}", path)


def _audit_manifest(
    subject: Subject, image: _Image, digest: str, reference: str, by: str, size: int | None = None, depth: int = 0
) -> Iterator[Finding]:
    """Audit one manifest in both of its places, and what it names.

    Args:
        subject: The tree under audit.
        image: What is known about the image; the manifest is added to it.
        digest: Digest of the manifest.
        reference: How clients name it, `:<tag>` or `@<digest>`.
        by: Path of the file that names it.
        size: Its size in bytes as given there; None if it is not given.
        depth: Number of image indexes above it.
    """
    # Several tags, or several paths in nested indexes, may lead to the same manifest.
    if reference in image.references.setdefault(digest, set()):
        return
    image.references[digest].add(reference)
    path = f"{image.directory}/manifests/{digest}"
    references = f"{image.directory}/_refs/{digest}"
    yield Named(path, digest[7:], size, by)
    try:
        forms = sorted(path.name for path in (subject.top / references).glob("manifest.*"))
        content = read_index(subject.top, path, MANIFEST_LIMIT)
    except OSError as error:
        yield Fault(references, f"{digest} can't be read: {explain_os_error(error)}")
        return
    end = forms[0].partition(".")[2] if len(forms) == 1 else ""
    if end not in MANIFEST_TYPE_OF_END:
        yield Fault(references, "does not hold one manifest of a known type")
        return
    image.ends[digest] = end
    yield Named(f"{references}/{forms[0]}", digest[7:], size, by)
    if hashlib.sha256(content).hexdigest() != digest[7:]:
        # Reported when its hash is checked.
        return
    try:
        manifest = read_manifest(content, MANIFEST_TYPE_OF_END[end])
        check_manifest(content)
    except Refused as error:
        yield Fault(path, str(error))
        return
    if depth > _DEPTH_LIMIT:
        yield Fault(path, f"is nested more than {_DEPTH_LIMIT} deep")
        return
    for child in manifest.children:
        below = f"@{child.digest}" if reference.startswith("@") else reference
        yield from _audit_manifest(subject, image, child.digest, below, path, child.size, depth + 1)
    yield from _name_blobs(subject, image, manifest, path)


def _name_blobs(subject: Subject, image: _Image, manifest: Manifest, by: str) -> Iterator[Finding]:
    for blob in (manifest.config, *manifest.layers):
        if blob is None:
            continue
        path = f"{image.directory}/blobs/{blob.digest}"
        # Layers with URLs of their own need not be in the repository.
        if not blob.elsewhere or os.path.lexists(subject.top / path):
            look = partial(_find_wrong_config, subject, path, manifest) if blob is manifest.config else None
            yield Named(path, blob.digest[7:], blob.size, by, look)


def _find_wrong_config(subject: Subject, path: str, manifest: Manifest) -> str | None:
    """Return why the configuration of a manifest would be refused at upload, or None; layers are not unpacked."""
    try:
        pair_layers(manifest, read_index(subject.top, path, CONFIG_LIMIT))
    except OSError as error:
        return explain_os_error(error)
    except Refused as error:
        return explain_refusal(error)
    return None


def _audit_referrers(subject: Subject, image: _Image) -> Iterator[Finding]:
    """Audit the lists of what refers to manifests, and what they name that no tag leads to."""
    directory = f"{image.directory}/referrers"
    try:
        names = sorted(path.name for path in (subject.top / directory).iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        yield Fault(directory, f"can't be read: {explain_os_error(error)}")
        return
    for name in names:
        found: list[Finding] = []
        content, listed = read_json(subject, f"{directory}/{name}", found)
        yield from found
        if content is None or listed is None:
            continue
        yield from check_bytes(f"{directory}/{name}", content, json.dumps(listed).encode() + b"\n")
        try:
            children = read_manifest(content, OCI_INDEX).children
        except Refused as error:
            yield Fault(f"{directory}/{name}", str(error))
            continue
        for child in children:
            yield from _audit_referrer(subject, image, child, name)


def _audit_referrer(subject: Subject, image: _Image, child: Descriptor, of: str) -> Iterator[Finding]:
    """Audit a manifest that a list of referrers names.

    Args:
        subject: The tree under audit.
        image: What is known about the image.
        child: The descriptor of the manifest.
        of: The name of the list, the digest of the manifest that this one refers to.
    """
    by = f"{image.directory}/referrers/{of}"
    if child.digest not in image.references:
        yield from _audit_manifest(subject, image, child.digest, f"@{child.digest}", by, child.size)
    try:
        content = read_index(subject.top, f"{image.directory}/manifests/{child.digest}", MANIFEST_LIMIT)
        if read_manifest(content, child.media_type).subject != of:
            yield Fault(by, f"names {child.digest}, which does not refer to {of[:100]}")
    except (OSError, Refused) as error:
        yield Fault(by, f"names {child.digest}, which can't be read: {error}")


def _find_strays(subject: Subject, image: _Image, tags: list[str]) -> Iterator[Finding]:
    """Find tags that can be pulled although the list of tags does not have them.

    Args:
        subject: The tree under audit.
        image: The image.
        tags: The list of tags.
    """
    for place in ("manifests", "_refs"):
        try:
            names = sorted(path.name for path in (subject.top / image.directory / place).iterdir())
        except OSError as error:
            yield Fault(f"{image.directory}/{place}", f"can't be read: {explain_os_error(error)}")
            continue
        for name in names:
            if name not in tags and not _DIGEST.fullmatch(name) and name != ".htaccess":
                yield Fault(f"{image.directory}/{place}/{name}", "is not in the list of tags")


def _audit_htaccess(subject: Subject, image: _Image) -> Iterator[Finding]:
    path = f"{image.directory}/manifests/.htaccess"
    found: list[Finding] = []
    content = read_pointer(subject, path, found)
    yield from found
    if content is None:
        return
    text = content.decode("utf-8", "replace")
    if _BLOCK.sub("", text):
        yield Fault(path, "has lines that are not the type and digest of a manifest")
    blocks = {name: (media_type, digest) for name, media_type, digest in _BLOCK.findall(text)}
    wanted = {digest: (MANIFEST_TYPE_OF_END[end], digest) for digest, end in image.ends.items()}
    wanted |= {tag: wanted[digest] for tag, digest in image.tags.items() if digest in wanted}
    for name in sorted(wanted):
        if blocks.get(name) != wanted[name]:
            yield Fault(path, f"does not have the type and digest of {name}")
    for name, (media_type, digest) in blocks.items():
        # The file also has the types of manifests of earlier publications.
        if name not in wanted and name not in image.tags and (name != digest or media_type not in MANIFEST_TYPES):
            yield Fault(path, f"tells the type of {name[:100]!r}, which is not a manifest")
