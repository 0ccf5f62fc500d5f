"""Renders the files that lead to one image's manifests: tags, types and digests, referrers, signatures.

Source: OCI Distribution Specification 1.1, "Pulling manifests" and "Listing Referrers".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packrat_agent.formats.docker.body import read_body
from packrat_agent.formats.docker.htaccess import Named, write_htaccess
from packrat_agent.formats.docker.layout import LATEST
from packrat_agent.formats.docker.signatures import sign_manifest
from packrat_agent.formats.docker.signed_names import SignedNames, next_expiry, read_names, update_names, write_names
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, PendingFile, TreeFile, TreeLink
from packrat_core.packages.image.referrers import write_referrers
from packrat_core.packages.image.versions import latest_of, version_order

File = TreeFile | TreeLink | PendingFile
_EARLIER_LIMIT = 200
"""Number of withdrawn manifests whose types Apache still knows: their files stay on disk for a while."""
SIGNED = "signed"
"""Name of the fact that holds by which names the manifests are signed."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How the images of a repository are signed.

    Attributes:
        scope: `<host>/<directory>`, with which the signed references begin; None if nothing is signed.
        signature_api: whether the registry hands out signatures.
        kept_s: how long a manifest stays signed by a name that it lost.
    """

    scope: str | None
    signature_api: bool
    kept_s: float


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """The index files of one image, and what is remembered until its next render.

    `good_until` is the moment, in epoch seconds, from which on a render gives other files; None if the date changes
    nothing.
    """

    content: Sequence[File]
    pointers: Sequence[File]
    facts: Mapping[str, str]
    good_until: float | None


def render_image(
    image: str, entries: Mapping[str, Entry], naming: Naming, facts: Mapping[str, str], now_s: int
) -> ImageIndex:
    """Render one image.

    Args:
        image: its name in the repository.
        entries: tag → what is published under it; `latest` is added.
        naming: how it is signed.
        facts: what was remembered of its last publication.
        now_s: the date of the publication, in epoch seconds.
    """
    tagged = _add_latest(entries)
    ends: dict[str, str] = {}
    named_as: dict[str, list[str]] = {}
    referrers: dict[str, dict[str, Mapping[str, Any]]] = {}
    named: list[Named] = []
    pointers: list[File] = []
    for tag, entry in tagged.items():
        body = read_body(entry.fragment.body)
        ends.update(body.manifests)
        ends.update(body.artifacts)
        for digest, _ in body.manifests:
            named_as.setdefault(digest, []).append(f":{tag}")
        for digest, _ in body.artifacts:
            named_as.setdefault(digest, [])
        for subject, described in body.referrers.items():
            referrers.setdefault(subject, {}).update((one["digest"], one) for one in described)
        top, end = body.manifests[0]
        named.append(Named(tag, end, top))
        pointers.append(TreeLink(f"v2/{image}/_refs/{tag}", top))
        pointers.append(TreeFile(f"v2/{image}/manifests/{tag}", Content.of(body.top)))
    # No tag leads to an artifact, so it is signed by its digest.
    current = {digest: names or [f"@{digest}"] for digest, names in sorted(named_as.items())}
    signed = update_names(read_names(facts.get(SIGNED, "")), current, now_s, naming.kept_s)
    content = _sign(image, {digest: signed[digest] for digest in current}, naming)
    earlier = _earlier(facts, ends)
    named += [Named(digest, end, digest) for digest, end in sorted({**earlier, **ends}.items())]
    # First, so that Apache knows the type of a manifest before the manifest appears.
    pointers.insert(0, TreeFile(f"v2/{image}/manifests/.htaccess", Content.of(write_htaccess(named))))
    for subject, listed in sorted(referrers.items()):
        pointers.append(TreeFile(f"v2/{image}/referrers/{subject}", Content.of(write_referrers(listed.values()))))
    tags = {"name": image, "tags": sorted(tagged)}
    pointers.append(TreeFile(f"v2/{image}/tags/list", Content.of(json.dumps(tags).encode() + b"\n")))
    remembered = {"manifests": _joined(ends), "earlier": _joined(earlier)}
    if naming.scope is not None:
        remembered[SIGNED] = write_names(signed)
    good_until = next_expiry(signed, naming.kept_s) if naming.scope is not None else None
    return ImageIndex(content, pointers, remembered, good_until)


def _add_latest(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    tagged = {tag: entries[tag] for tag in sorted(entries, key=version_order)}
    latest = latest_of(entries)
    if latest is not None:
        # `latest` is derived only if nobody uploaded an image under that version.
        tagged.setdefault(LATEST, entries[latest])
    return tagged


def _sign(image: str, names: SignedNames, naming: Naming) -> list[File]:
    public_name = f"{naming.scope}/{image}" if naming.scope is not None else None
    content: list[File] = []
    for digest, of_one in names.items():
        content += sign_manifest(image, public_name, digest, list(of_one), listed=naming.signature_api)
    return content


def _earlier(facts: Mapping[str, str], ends: Mapping[str, str]) -> dict[str, str]:
    """Return digest → file name ending of the manifests that left the image, the most recent last."""
    known = [*facts.get("earlier", "").split(), *facts.get("manifests", "").split()]
    gone = {digest: end for digest, _, end in (manifest.partition(".") for manifest in known) if digest not in ends}
    return dict(list(gone.items())[-_EARLIER_LIMIT:])


def _joined(ends: Mapping[str, str]) -> str:
    return " ".join(f"{digest}.{end}" for digest, end in ends.items())
