"""Renders the files that lead to one image's manifests: tags, types and digests, referrers, signatures.

What the last render made of a tag or a manifest is taken again while it stays the same. So a change of one tag costs a
walk through the names of the others, and the publication tells which of its files differ.

Source: OCI Distribution Specification 1.1, "Pulling manifests" and "Listing Referrers".
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from packrat_agent.formats.docker.htaccess import Named, write_htaccess
from packrat_agent.formats.docker.image_files import File, ManifestFiles, TagFiles
from packrat_agent.formats.docker.layout import LATEST
from packrat_agent.formats.docker.signed_names import SignedNames, next_expiry, read_names, update_names, write_names
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, Publication, Signer, Since, TreeFile
from packrat_core.packages.image.referrers import write_referrers
from packrat_core.packages.image.versions import latest_of, version_order

_EARLIER_LIMIT = 200
"""Number of withdrawn manifests whose types Apache still knows: their files stay on disk for a while."""
_SIGNED = "signed"
"""Name of the fact that holds by which names the manifests are signed."""
_SLOTS = "slots"
"""Name of the fact that holds how many signatures each name has, where it is more than one."""
_SLOT_COUNTS = ("1", "2")
_MANIFESTS, _EARLIER = "manifests", "earlier"


@dataclass(frozen=True, slots=True)
class Naming:
    """How the images of a repository are signed.

    Attributes:
        scope: `<host>/<directory>`, with which the signed references begin; None if nothing is signed.
        signature_api: whether the registry hands out signatures.
        kept_s: how long a manifest stays signed by a name that it lost.
        signers: who signs each name.
    """

    scope: str | None
    signature_api: bool
    kept_s: float
    signers: tuple[Signer, ...] = (Signer.KEY,)


@dataclass(frozen=True, slots=True)
class _History:
    """What a publication remembers: digest → file name ending of its manifests and of earlier ones; signed names."""

    manifests: Mapping[str, str]
    earlier: Mapping[str, str]
    signed: SignedNames

    @classmethod
    def read(cls, facts: Mapping[str, str]) -> "_History":
        """Read the facts of a publication."""
        manifests, earlier = (_split(facts.get(name, "")) for name in (_MANIFESTS, _EARLIER))
        return cls(manifests, earlier, read_names(facts.get(_SIGNED, "")))


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """The publication of one image, what it was made from, and what the next render takes of it.

    Attributes:
        facts: what was remembered of the publication before.
        others: the pointers that are of no single tag or manifest, by their paths.
        history: what the facts of `publication` say.
        good_until: the moment, in epoch seconds, from which on a render gives other files; None if the date changes
            nothing.
    """

    naming: Naming
    facts: Mapping[str, str]
    tags: Mapping[str, TagFiles]
    manifests: Mapping[str, ManifestFiles]
    others: Mapping[str, TreeFile]
    history: _History
    publication: Publication
    good_until: float | None

    def still_holds(self, naming: Naming, facts: Mapping[str, str], now_s: int) -> bool:
        """Tell whether rendering the same entries would give the same publication again."""
        if self.good_until is not None and now_s >= self.good_until:
            return False
        return self.naming == naming and facts in (self.publication.facts, self.facts)


def render_image(
    image: str,
    entries: Mapping[str, Entry],
    naming: Naming,
    facts: Mapping[str, str],
    now_s: int,
    last: ImageIndex | None = None,
) -> ImageIndex:
    """Render one image.

    Args:
        image: its name in the repository.
        entries: tag → what is published under it; `latest` is added.
        naming: how it is signed.
        facts: what was remembered of its last publication.
        now_s: the date of the publication, in epoch seconds.
        last: the last render of the image, to be quicker.
    """
    tags = _tag_files(image, _add_latest(entries, last), last)
    ends = {digest: end for made in tags.values() for digest, end in (*made.body.manifests, *made.body.artifacts)}
    before = last.history if last is not None and facts == last.publication.facts else _History.read(facts)
    signed: SignedNames = {}
    if naming.scope is not None:
        signed = update_names(before.signed, _name_manifests(tags), now_s, naming.kept_s)
    signers = _with_slots(naming.signers, facts)
    manifests = _manifest_files(image, ends, signed, replace(naming, signers=signers), last)
    earlier = _earlier(before, ends)
    others = _other_pointers(image, tags, manifests, earlier)
    remembered = {
        _MANIFESTS: " ".join(made.named for made in manifests.values()),
        _EARLIER: " ".join(f"{digest}.{end}" for digest, end in earlier.items()),
    }
    good_until = None
    # An unsigned publication remembers no names.
    if naming.scope is not None:
        remembered[_SIGNED] = write_names(signed)
        good_until = next_expiry(signed, naming.kept_s)
        if len(signers) > 1:
            remembered[_SLOTS] = str(len(signers))
    publication = _publish(image, (tags, manifests, others), remembered, last)
    if last is not None and (publication.identity, remembered) == (last.publication.identity, last.publication.facts):
        publication = last.publication
    # In the order in which the facts have them.
    history = _History({digest: ends[digest] for digest in manifests}, earlier, signed)
    return ImageIndex(naming, facts, tags, manifests, others, history, publication, good_until)


def _with_slots(signers: tuple[Signer, ...], facts: Mapping[str, str]) -> tuple[Signer, ...]:
    """Have each name keep its number of signatures when a rotation of the key is over.

    With fewer, the signatures behind would get lower numbers, and a client that reads one after the other would miss
    the one that moves past it.
    """
    known = facts.get(_SLOTS, "")
    slots = int(known) if known in _SLOT_COUNTS else 1
    return signers + signers[-1:] * (slots - len(signers))


def _add_latest(entries: Mapping[str, Entry], last: ImageIndex | None) -> dict[str, Entry]:
    known = last.tags if last is not None else {}
    # What is nearly in order already is sorted much faster.
    tags = [*(tag for tag in known if tag in entries), *(entries.keys() - known.keys())]
    tagged = {tag: entries[tag] for tag in sorted(tags, key=version_order)}
    latest = latest_of(entries)
    if latest is not None:
        # `latest` is derived only if nobody uploaded an image under that version.
        tagged.setdefault(LATEST, entries[latest])
    return tagged


def _tag_files(image: str, tagged: Mapping[str, Entry], last: ImageIndex | None) -> dict[str, TagFiles]:
    known = last.tags if last is not None else {}
    made = {}
    for tag, entry in tagged.items():
        files = known.get(tag)
        made[tag] = (
            files if files is not None and files.archive == entry.file.sha256 else TagFiles.of(image, tag, entry)
        )
    return made


def _name_manifests(tags: Mapping[str, TagFiles]) -> dict[str, list[str]]:
    """Map the digest of each manifest, in their order, to the references by which clients get it."""
    named: dict[str, list[str]] = {}
    for tag, made in tags.items():
        for digest, _ in made.body.manifests:
            named.setdefault(digest, []).append(f":{tag}")
        for digest, _ in made.body.artifacts:
            named.setdefault(digest, [])
    # No tag leads to an artifact, so it is signed by its digest.
    return {digest: named[digest] or [f"@{digest}"] for digest in sorted(named)}


def _manifest_files(
    image: str, ends: Mapping[str, str], signed: SignedNames, naming: Naming, last: ImageIndex | None
) -> dict[str, ManifestFiles]:
    signers = _with_slots(last.naming.signers, last.publication.facts) if last is not None else ()
    known = last.manifests if last is not None and replace(last.naming, signers=signers) == naming else {}
    public_name = f"{naming.scope}/{image}" if naming.scope is not None else None
    made = {}
    for digest in sorted(ends):
        references, files = tuple(signed.get(digest, ())), known.get(digest)
        if files is None or files.references != references:
            files = ManifestFiles.of(
                image,
                (digest, ends[digest]),
                references,
                public_name,
                signers=naming.signers,
                listed=naming.signature_api,
            )
        made[digest] = files
    return made


def _other_pointers(
    image: str, tags: Mapping[str, TagFiles], manifests: Mapping[str, ManifestFiles], earlier: Mapping[str, str]
) -> dict[str, TreeFile]:
    """Write the rules for Apache, the lists of what refers to a manifest, and the list of the tags."""
    of_manifests = {digest: made.htaccess for digest, made in manifests.items()}
    of_manifests |= {digest: write_htaccess([Named(digest, end, digest)]) for digest, end in earlier.items()}
    rules = [*(made.htaccess for made in tags.values()), *(of_manifests[digest] for digest in sorted(of_manifests))]
    content = {f"v2/{image}/manifests/.htaccess": b"".join(rules)}
    referrers: dict[str, dict[str, Mapping[str, Any]]] = {}
    for made in tags.values():
        for subject, described in made.body.referrers.items():
            referrers.setdefault(subject, {}).update((referrer["digest"], referrer) for referrer in described)
    for subject, listed in sorted(referrers.items()):
        content[f"v2/{image}/referrers/{subject}"] = write_referrers(listed.values())
    content[f"v2/{image}/tags/list"] = json.dumps({"name": image, "tags": sorted(tags)}).encode() + b"\n"
    return {path: TreeFile(path, Content.of(data)) for path, data in content.items()}


def _publish(
    image: str,
    parts: tuple[Mapping[str, TagFiles], Mapping[str, ManifestFiles], Mapping[str, TreeFile]],
    facts: Mapping[str, str],
    last: ImageIndex | None,
) -> Publication:
    tags, manifests, others = parts
    # The names of a tree by an agent that did not remember them yet are published once more, to be remembered.
    digest = hashlib.sha256(f"2 {_SIGNED if _SIGNED in facts else ''}".encode())
    digest.update(b"".join([*(made.digest for made in manifests.values()), *(made.digest for made in tags.values())]))
    for file in others.values():
        digest.update(f"{file.path} {file.content.digest}\0".encode())
    # First the rules, so that Apache knows the type of a manifest before the manifest appears.
    rules, *rest = others.values()
    content = tuple(file for made in manifests.values() for file in made.files)
    pointers = (rules, *(file for made in tags.values() for file in made.files), *rest)
    since = _compare(parts, last) if last is not None else None
    return Publication(image, digest.hexdigest(), content, pointers, facts, since=since)


def _compare(
    parts: tuple[Mapping[str, TagFiles], Mapping[str, ManifestFiles], Mapping[str, TreeFile]], last: ImageIndex
) -> Since:
    """Tell which files differ from those of the last render."""
    tags, manifests, others = parts
    changed = {path for path, file in others.items() if last.others.get(path) != file}
    changed.update(_paths(made.files for tag, made in tags.items() if last.tags.get(tag) is not made))
    gone = [path for path in last.others if path not in others]
    gone[:0] = _paths(made.files for tag, made in last.tags.items() if tag not in tags)
    gone_content: set[str] = set()
    for digest, made in manifests.items():
        before = last.manifests.get(digest)
        if before is not made:
            paths = frozenset(_paths([made.files]))
            changed |= paths
            gone_content.update(path for path in _paths([before.files] if before else ()) if path not in paths)
    gone_content.update(_paths(made.files for digest, made in last.manifests.items() if digest not in manifests))
    return Since(last.publication.identity, frozenset(changed), tuple(sorted(gone_content)), tuple(reversed(gone)))


def _paths(groups: Iterable[Sequence[File]]) -> Iterator[str]:
    return (file.path for files in groups for file in files)


def _earlier(before: _History, ends: Mapping[str, str]) -> dict[str, str]:
    """Return digest → file name ending of the manifests that left the image, the most recent last."""
    known = (*before.earlier.items(), *before.manifests.items())
    gone = {digest: end for digest, end in known if digest not in ends}
    return dict(list(gone.items())[-_EARLIER_LIMIT:])


def _split(text: str) -> dict[str, str]:
    return {digest: end for digest, _, end in (manifest.partition(".") for manifest in text.split())}
