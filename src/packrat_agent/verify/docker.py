"""Audits a docker repository as registry clients use it: catalog → tags → manifests → configurations and layers.

The audit only reads the repository, and runs gpgv to verify signatures.

Source: OCI Distribution Specification 1.1.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from packrat_agent.verify.docker_signatures import audit_policy, audit_signatures
from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    parse_json,
    pointer,
    read_index,
    read_pointer,
    told,
)
from packrat_agent.verify.names import IMAGE, REGISTRY_ANSWER, REGISTRY_ERRORS, TAG
from packrat_core.errors import Refused
from packrat_core.packages.image.manifest import MANIFEST_LIMIT, MANIFEST_TYPES, Manifest, read_manifest

_TYPES = {end: media_type for media_type, end in MANIFEST_TYPES.items()}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BLOCK = re.compile(
    r'<Files "([^"\n]+)">\nForceType ([^\n]+)\nHeader set Docker-Content-Digest "([^"\n]+)"\n</Files>\n'
)
_DEPTH_LIMIT = 4


@dataclass(slots=True)
class _Image:
    """What the audit learns about one image.

    Attributes:
        directory: Directory of the image, relative to the tree's top.
        tags: Tag → digest of its manifest.
        ends: Digest → file name extension that stands for the type of the manifest.
        tags_of: Digest → the tags that lead to it, directly or through an image index.
    """

    directory: str
    tags: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    tags_of: dict[str, set[str]] = field(default_factory=dict)


def is_docker(subject: Subject, directory: str) -> bool:
    """Return whether a directory holds a docker repository."""
    return (subject.top / directory / "v2").is_dir()


def audit_docker(subject: Subject, directory: str) -> Iterator[Finding]:
    """Audit the files that the repository has once, then each image."""
    found: list[Finding] = []
    path = f"{directory}/v2/_catalog"
    content = read_pointer(subject, path, found)
    catalog = parse_json(path, content, found)
    images = _strings(catalog, "repositories", IMAGE)
    if content is not None and images is not None:
        found += check_bytes(path, content, json.dumps({"repositories": sorted(set(images))}).encode() + b"\n")
    elif catalog is not None:
        found.append(Fault(path, "does not list images"))
    answers = {f"_errors/{name}.json": body for name, body in REGISTRY_ERRORS.items()} | {"index.html": REGISTRY_ANSWER}
    for name, body in answers.items():
        path = f"{directory}/v2/{name}"
        if read_pointer(subject, path, found) not in (None, body):
            found.append(Fault(path, "is not the answer that a registry gives"))
    scope = audit_policy(subject, directory, found)
    yield from found
    # Clients can pull an image that the catalog does not name, so look for the directories, too.
    there = sorted(
        entry.name
        for entry in os.scandir(subject.top / directory / "v2")
        if os.path.lexists(f"{entry.path}/tags/list") or os.path.lexists(f"{entry.path}/manifests/.htaccess")
    )
    for name in there:
        if images is not None and name not in images:
            yield Fault(f"{directory}/v2/{name}", "has tags, but the catalog does not name this image")
    for name in images if images is not None else there:
        yield from _audit_image(subject, directory, name, scope)


def _audit_image(subject: Subject, directory: str, name: str, scope: str | None) -> Iterator[Finding]:
    image = _Image(f"{directory}/v2/{name}")
    found: list[Finding] = []
    path = f"{image.directory}/tags/list"
    content = read_pointer(subject, path, found)
    listed = parse_json(path, content, found)
    tags = _strings(listed, "tags", TAG)
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
    yield from _audit_htaccess(subject, image)
    # Only now are all tags of each manifest known, and each needs a signature.
    for digest, of in sorted(image.tags_of.items()):
        yield from audit_signatures(subject, directory, name, digest, of, scope)


def _audit_tag(subject: Subject, image: _Image, tag: str) -> Iterator[Finding]:
    path = f"{image.directory}/manifests/{tag}"
    try:
        content = read_index(subject.top, path, MANIFEST_LIMIT)
    except OSError as error:
        yield Fault(path, f"can't be read: {told(error)}")
        return
    yield pointer(path, content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    link = subject.top / image.directory / "_refs" / tag
    linked = str(link.readlink()) if link.is_symlink() else ""
    if not _DIGEST.fullmatch(linked):
        yield Fault(f"{image.directory}/_refs/{tag}", "is no link to the directory of a manifest")
    elif linked != digest:
        yield Fault(path, f"is {digest}, and _refs/{tag} leads to {linked}")
        # Continue with the target of the link, since that is most likely intact.
        digest = linked
    image.tags[tag] = digest
    yield from _audit_manifest(subject, image, digest, tag, path)


def _audit_manifest(
    subject: Subject, image: _Image, digest: str, tag: str, by: str, size: int | None = None, depth: int = 0
) -> Iterator[Finding]:
    """Audit one manifest in both of its places, and what it names.

    Args:
        subject: The tree under audit.
        image: What is known about the image; the manifest is added to it.
        digest: Digest of the manifest.
        tag: The tag that leads to it.
        by: Path of the file that names it.
        size: Its size in bytes as given there; None if it is not given.
        depth: Number of image indexes above it.
    """
    # Several tags, or several paths in nested indexes, may lead to the same manifest.
    if tag in image.tags_of.setdefault(digest, set()):
        return
    image.tags_of[digest].add(tag)
    path = f"{image.directory}/manifests/{digest}"
    references = f"{image.directory}/_refs/{digest}"
    yield Named(path, digest[7:], size, by)
    try:
        forms = sorted(path.name for path in (subject.top / references).glob("manifest.*"))
        content = read_index(subject.top, path, MANIFEST_LIMIT)
    except OSError as error:
        yield Fault(references, f"{digest} can't be read: {told(error)}")
        return
    end = forms[0].partition(".")[2] if len(forms) == 1 else ""
    if end not in _TYPES:
        yield Fault(references, "does not hold one manifest of a known type")
        return
    image.ends[digest] = end
    yield Named(f"{references}/{forms[0]}", digest[7:], size, by)
    if hashlib.sha256(content).hexdigest() != digest[7:]:
        # Reported when its hash is checked.
        return
    try:
        manifest = read_manifest(content, _TYPES[end])
    except Refused as error:
        yield Fault(path, str(error))
        return
    if depth > _DEPTH_LIMIT:
        yield Fault(path, f"is nested more than {_DEPTH_LIMIT} deep")
        return
    for child in manifest.children:
        yield from _audit_manifest(subject, image, child.digest, tag, path, child.size, depth + 1)
    yield from _name_blobs(subject, image, manifest, path)


def _name_blobs(subject: Subject, image: _Image, manifest: Manifest, by: str) -> Iterator[Finding]:
    for one in (manifest.config, *manifest.layers):
        if one is None:
            continue
        path = f"{image.directory}/blobs/{one.digest}"
        # Layers with URLs of their own need not be in the repository.
        if not one.elsewhere or os.path.lexists(subject.top / path):
            yield Named(path, one.digest[7:], one.size, by)


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
            yield Fault(f"{image.directory}/{place}", f"can't be read: {told(error)}")
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
        yield Fault(path, "has lines that are no type and digest of a manifest")
    blocks = {name: (media_type, digest) for name, media_type, digest in _BLOCK.findall(text)}
    wanted = {digest: (_TYPES[end], digest) for digest, end in image.ends.items()}
    wanted |= {tag: wanted[digest] for tag, digest in image.tags.items() if digest in wanted}
    for name in sorted(wanted):
        if blocks.get(name) != wanted[name]:
            yield Fault(path, f"has not the type and digest of {name}")
    for name, (media_type, digest) in blocks.items():
        # The file also has the types of manifests of earlier publications.
        if name not in wanted and name not in image.tags and (name != digest or media_type not in MANIFEST_TYPES):
            yield Fault(path, f"tells the type of {name[:100]!r}, which is no manifest")


def _strings(value: Any, key: str, pattern: str) -> list[str] | None:
    """Return a list of strings from a JSON value.

    Args:
        value: The value, unchecked.
        key: Key of the list.
        pattern: Regular expression that each string must match as a whole.

    Returns:
        The list; None if there is none, or if an item is something else.
    """
    listed = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(one, str) and re.fullmatch(pattern, one) for one in listed):
        return None
    return listed
