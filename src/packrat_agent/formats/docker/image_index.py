"""Renders the files that lead to one image's manifests: tags, types and digests, referrers, signatures.

What the last render made of a tag or a manifest is reused while that stays the same. Of a change, the tags that it
touches are looked at, and the manifests to which they lead, or led; the publication tells which of its files differ.

Source: OCI Distribution Specification 1.1, "Pulling manifests" and "Listing Referrers".
"""

import hashlib
import json
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any

from packrat_agent.formats.docker.htaccess import Named, write_htaccess
from packrat_agent.formats.docker.image_files import File, ManifestFiles
from packrat_agent.formats.docker.image_tags import Tags
from packrat_agent.formats.docker.signed_names import SignedNames, next_expiry, read_names, update_names, write_names
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, Publication, Signer, Since, TreeFile
from packrat_core.packages.image.referrers import write_referrers

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
class _Manifest:
    """A manifest that tags lead to: the file name ending of its type, and the references by which clients get it."""

    end: str
    references: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Files:
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


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """The publication of one image, what it was made from, and what the next render takes of it.

    Attributes:
        facts: what was remembered of the publication before.
        made_s: the date of the render, in epoch seconds.
        named: digest → what tags say of it, by digest.
        history: what the facts of `publication` say.
        good_until: the moment, in epoch seconds, from which on a render gives other files; None if the date changes
            nothing.
    """

    naming: Naming
    facts: Mapping[str, str]
    made_s: int
    named: Mapping[str, _Manifest]
    files: _Files
    history: _History
    publication: Publication
    good_until: float | None

    def still_holds(self, naming: Naming, facts: Mapping[str, str], now_s: int) -> bool:
        """Tell whether rendering the same entries would give the same publication again."""
        # By a clock that was set back, what left a manifest since counts as leaving it now.
        if now_s < self.made_s or (self.good_until is not None and now_s >= self.good_until):
            return False
        return self.naming == naming and facts in (self.publication.facts, self.facts)

    def is_base(self, naming: Naming, facts: Mapping[str, str], now_s: int) -> bool:
        """Tell whether the manifests that a change of tags does not touch keep their files."""
        return facts == self.publication.facts and self.still_holds(naming, facts, now_s)


def render_image(
    image: str,
    entries: Mapping[str, Entry],
    naming: Naming,
    facts: Mapping[str, str],
    now_s: int,
    last: ImageIndex | None = None,
    touched: Collection[str] | None = None,
) -> ImageIndex:
    """Render one image.

    Args:
        image: its name in the repository.
        entries: tag → what is published under it; `latest` is added.
        naming: how it is signed.
        facts: what was remembered of its last publication.
        now_s: the date of the publication, in epoch seconds.
        last: the last render of the image, to be quicker.
        touched: the tags whose entries may differ from those of `last`; None: any.
    """
    before = last.files.tags if last is not None else Tags()
    tags, changed = before.change(image, entries, {*before.files, *entries} if touched is None else touched)
    base = last if last is not None and last.is_base(naming, facts, now_s) else None
    digests = _digests_of(before, tags, changed) if base is not None else None
    history = base.history if base is not None else _History.read(facts)
    named = _name_manifests(tags, base.named if base is not None else {}, digests)
    signed: SignedNames = {}
    if naming.scope is not None:
        current = {digest: manifest.references for digest, manifest in named.items()}
        signed = update_names(history.signed, current, now_s, naming.kept_s, digests)
    signers = _with_slots(naming.signers, facts)
    manifests = _manifest_files(image, named, signed, replace(naming, signers=signers), last, digests)
    earlier = _earlier(history, named, history.manifests if digests is None else sorted(digests))
    known = last.files.referrers if last is not None else {}
    referrers = _list_referrers(image, tags, known, _subjects_of(before, tags, changed))
    files = _Files(tags, manifests, referrers, _other_pointers(image, tags, manifests, earlier))
    remembered = _remember(manifests, earlier)
    # An unsigned publication remembers no names.
    if naming.scope is not None:
        remembered[_SIGNED] = write_names(signed)
        if len(signers) > 1:
            remembered[_SLOTS] = str(len(signers))
    since = _compare(files, last, changed, digests) if last is not None else None
    publication = _publish(image, files, remembered, since)
    if last is not None and (publication.identity, remembered) == (last.publication.identity, last.publication.facts):
        publication = last.publication
    history = _History({digest: made.end for digest, made in named.items()}, earlier, signed)
    return ImageIndex(naming, facts, now_s, named, files, history, publication, next_expiry(signed, naming.kept_s))


def _remember(manifests: Mapping[str, ManifestFiles], earlier: Mapping[str, str]) -> dict[str, str]:
    return {
        _MANIFESTS: " ".join([made.named for made in manifests.values()]),
        _EARLIER: " ".join(f"{digest}.{end}" for digest, end in earlier.items()),
    }


def _digests_of(before: Tags, now: Tags, changed: Iterable[str]) -> set[str]:
    """Name the manifests to which some tags lead, or led."""
    of_tags = [tags.files[tag] for tag in changed for tags in (before, now) if tag in tags.files]
    return {digest for made in of_tags for digest, _ in (*made.body.manifests, *made.body.artifacts)}


def _subjects_of(before: Tags, now: Tags, changed: Iterable[str]) -> set[str]:
    """Name the manifests to which something refers, or referred, that came with some tags."""
    of_tags = [tags.files[tag] for tag in changed for tags in (before, now) if tag in tags.files]
    return {subject for made in of_tags for subject in made.body.referrers}


def _with_slots(signers: tuple[Signer, ...], facts: Mapping[str, str]) -> tuple[Signer, ...]:
    """Have each name keep its number of signatures when a rotation of the key is over.

    With fewer, the signatures behind would get lower numbers, and a client that reads one after the other would miss
    the one that moves past it.
    """
    known = facts.get(_SLOTS, "")
    slots = int(known) if known in _SLOT_COUNTS else 1
    return signers + signers[-1:] * (slots - len(signers))


def _name_manifests(tags: Tags, known: Mapping[str, _Manifest], digests: Set[str] | None) -> Mapping[str, _Manifest]:
    """Map the digest of each manifest, in their order, to what tags say of it.

    Args:
        tags: The tags.
        known: The same of the last render.
        digests: The manifests that may be new or gone, or that other tags lead to; None: any.
    """
    ends: dict[str, str] = {}
    references: dict[str, list[str]] = {}
    for tag, made in tags.files.items():
        if digests is not None and digests.isdisjoint(made.digests):
            continue
        for digest, end in made.body.manifests:
            ends[digest] = end
            references.setdefault(digest, []).append(f":{tag}")
        for digest, end in made.body.artifacts:
            ends[digest] = end
            references.setdefault(digest, [])
    # No tag leads to an artifact, so it is signed by its digest.
    looked_at = {
        digest: _Manifest(end, references[digest] or [f"@{digest}"])
        for digest, end in ends.items()
        if digests is None or digest in digests
    }
    if digests is None:
        return {digest: looked_at[digest] for digest in sorted(looked_at)}
    named = {**known, **looked_at}
    for digest in digests - looked_at.keys():
        named.pop(digest, None)
    if looked_at.keys() <= known.keys():
        return named
    # Nearly in order already, which is sorted fast.
    return {digest: named[digest] for digest in sorted(named)}


def _manifest_files(
    image: str,
    named: Mapping[str, _Manifest],
    signed: SignedNames,
    naming: Naming,
    last: ImageIndex | None,
    digests: Set[str] | None,
) -> dict[str, ManifestFiles]:
    signers = _with_slots(last.naming.signers, last.publication.facts) if last is not None else ()
    known = last.files.manifests if last is not None and replace(last.naming, signers=signers) == naming else {}
    public_name = f"{naming.scope}/{image}" if naming.scope is not None else None
    made = {}
    for digest, manifest in named.items():
        files = known.get(digest)
        if files is not None and digests is not None and digest not in digests:
            made[digest] = files
            continue
        references = tuple(signed.get(digest, ()))
        if files is None or files.references != references:
            files = ManifestFiles.of(
                image,
                (digest, manifest.end),
                references,
                public_name,
                signers=naming.signers,
                listed=naming.signature_api,
            )
        made[digest] = files
    return made


def _list_referrers(
    image: str, tags: Tags, known: Mapping[str, TreeFile], subjects: Set[str]
) -> Mapping[str, TreeFile]:
    """Write the lists of what refers to some subjects, beside those that are known."""
    if not subjects:
        return known
    referrers: dict[str, dict[str, Mapping[str, Any]]] = {}
    for made in tags.files.values():
        for subject in made.body.referrers.keys() & subjects:
            described = made.body.referrers[subject]
            referrers.setdefault(subject, {}).update((referrer["digest"], referrer) for referrer in described)
    listed = {subject: file for subject, file in known.items() if subject not in subjects}
    for subject, by_digest in referrers.items():
        content = Content.of(write_referrers(by_digest.values()))
        listed[subject] = TreeFile(f"v2/{image}/referrers/{subject}", content)
    return {subject: listed[subject] for subject in sorted(listed)}


def _other_pointers(
    image: str, tags: Tags, manifests: Mapping[str, ManifestFiles], earlier: Mapping[str, str]
) -> tuple[TreeFile, TreeFile]:
    """Write the rules for Apache, and the list of the tags."""
    of_manifests = {digest: made.htaccess for digest, made in manifests.items()}
    of_manifests.update((digest, _write_rule(digest, end)) for digest, end in earlier.items())
    rules = [
        *[made.htaccess for made in tags.files.values()],
        *[of_manifests[digest] for digest in sorted(of_manifests)],
    ]
    listed = json.dumps({"name": image, "tags": sorted(tags.files)}).encode() + b"\n"
    return (
        TreeFile(f"v2/{image}/manifests/.htaccess", Content.of(b"".join(rules))),
        TreeFile(f"v2/{image}/tags/list", Content.of(listed)),
    )


@lru_cache(_EARLIER_LIMIT)
def _write_rule(digest: str, end: str) -> bytes:
    return write_htaccess([Named(digest, end, digest)])


def _publish(image: str, files: _Files, facts: Mapping[str, str], since: Since | None) -> Publication:
    tags, manifests = files.tags.files.values(), files.manifests.values()
    # The names of a tree by an agent that did not remember them yet are published once more, to be remembered.
    digest = hashlib.sha256(f"2 {_SIGNED if _SIGNED in facts else ''}".encode())
    digest.update(b"".join([*[made.digest for made in manifests], *[made.digest for made in tags]]))
    for file in files.single():
        digest.update(f"{file.path} {file.content.digest}\0".encode())
    rules, *rest = files.single()
    content = tuple(chain.from_iterable([made.files for made in manifests]))
    pointers = (rules, *chain.from_iterable([made.files for made in tags]), *rest)
    return Publication(image, digest.hexdigest(), content, pointers, facts, since=since)


def _compare(files: _Files, last: ImageIndex, changed: Set[str], digests: Set[str] | None) -> Since:
    """Tell which files differ from those of the last render.

    Args:
        files: Those of this one.
        last: The last render.
        changed: The tags that may differ.
        digests: The manifests that may differ; None: any.
    """
    tags, tags_before = files.tags.files, last.files.tags.files
    manifests, manifests_before = files.manifests, last.files.manifests
    others, others_before = ({file.path: file for file in some.single()} for some in (files, last.files))
    paths = {path for path, file in others.items() if others_before.get(path) != file}
    paths.update(_paths(tags[tag].files for tag in changed if tag in tags))
    gone = _paths(made.files for tag, made in tags_before.items() if tag not in tags)
    gone += [path for path in others_before if path not in others]
    gone_content: set[str] = set()
    for digest in manifests_before.keys() | manifests.keys() if digests is None else digests:
        before, now = manifests_before.get(digest), manifests.get(digest)
        if before is not now:
            of_now = frozenset(_paths([now.files] if now else ()))
            paths |= of_now
            gone_content.update(path for path in _paths([before.files] if before else ()) if path not in of_now)
    return Since(last.publication.identity, frozenset(paths), tuple(sorted(gone_content)), tuple(reversed(gone)))


def _paths(groups: Iterable[Sequence[File]]) -> list[str]:
    return [file.path for files in groups for file in files]


def _earlier(before: _History, present: Container[str], looked_at: Iterable[str]) -> dict[str, str]:
    """Return digest → file name ending of the manifests that left the image, the most recent last.

    looked_at: the manifests that may have left since, by digest.
    """
    known = chain(before.earlier.items(), ((digest, before.manifests.get(digest)) for digest in looked_at))
    gone = {digest: end for digest, end in known if end is not None and digest not in present}
    return dict(list(gone.items())[-_EARLIER_LIMIT:])


def _split(text: str) -> dict[str, str]:
    return {digest: end for digest, _, end in (manifest.partition(".") for manifest in text.split())}
