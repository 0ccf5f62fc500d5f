"""Renders the files that lead to one image's manifests: tags, types and digests, referrers, signatures.

What the last render made of a tag or a manifest is reused while that stays the same. A change looks at the tags that
it touches, and at the manifests to which they lead, or led; the publication tells which of its files differ.

Source: OCI Distribution Specification 1.1, "Pulling manifests" and "Listing Referrers".
"""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from packrat_agent.formats.docker.image_files import ManifestFiles, TagFiles
from packrat_agent.formats.docker.image_publication import (
    EARLIER_LIMIT,
    SIGNED,
    ImageFiles,
    compare,
    list_others,
    publish_image,
)
from packrat_agent.formats.docker.image_tags import Tags
from packrat_agent.formats.docker.signed_names import SignedNames, next_expiry, read_names, update_names, write_names
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, Publication, Signer, TreeFile
from packrat_core.packages.image.referrers import write_referrers

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
        return cls(manifests, earlier, read_names(facts.get(SIGNED, "")))


@dataclass(frozen=True, slots=True)
class _Manifest:
    """A manifest that tags lead to.

    Attributes:
        end: the file name ending of its type.
        references: those by which clients get it.
        tags: those whose archives have it.
    """

    end: str
    references: Sequence[str]
    tags: Sequence[str]


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
    files: ImageFiles
    history: _History
    publication: Publication
    good_until: float | None

    def still_holds(self, naming: Naming, facts: Mapping[str, str], now_s: int) -> bool:
        """Tell whether rendering the same entries would give the same publication again.

        Args:
            naming: How the images of the repository are signed now.
            facts: What the state database has of its publication.
            now_s: The date, in epoch seconds.
        """
        # If the clock was set back, what left a manifest since counts as leaving it now.
        if now_s < self.made_s or (self.good_until is not None and now_s >= self.good_until):
            return False
        return self.naming == naming and facts in (self.publication.facts, self.facts)

    def is_base(self, naming: Naming, facts: Mapping[str, str], now_s: int) -> bool:
        """Tell whether the manifests that a change of tags does not touch keep their files.

        Args:
            naming: How the images of the repository are signed now.
            facts: What the state database has of its publication.
            now_s: The date, in epoch seconds.
        """
        return facts == self.publication.facts and self.still_holds(naming, facts, now_s)


def render_image(
    image: str,
    entries: Mapping[str, Entry],
    naming: Naming,
    facts: Mapping[str, str],
    now_s: int,
    last: ImageIndex | None,
    touched: Collection[str] | None,
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
    named = _name_manifests(tags, base.named if base is not None else {}, digests, changed)
    signed = _signed_names(naming, history, named, now_s, digests)
    signers = _with_slots(naming.signers, facts)
    manifests = _manifest_files(image, named, signed, replace(naming, signers=signers), last, digests)
    earlier = _earlier(history, named, history.manifests if digests is None else sorted(digests))
    known = last.files.referrers if last is not None else {}
    referrers = _list_referrers(image, tags, known, _subjects_of(before, tags, changed))
    files = ImageFiles(tags, manifests, referrers, list_others(image, tags, manifests, earlier))
    # An unsigned publication remembers no names.
    remembered = _remember_names(signed, len(signers)) if naming.scope is not None else {}
    publication = publish_image(image, files, {**_remember(manifests, earlier), **remembered})
    if last is not None:
        publication = _tell_difference(publication, files, last, changed, digests)
    history = _History(_list_ends(named, history.manifests, digests), earlier, signed)
    return ImageIndex(naming, facts, now_s, named, files, history, publication, next_expiry(signed, naming.kept_s))


def _tell_difference(
    publication: Publication, files: ImageFiles, last: ImageIndex, changed: Set[str], digests: Set[str] | None
) -> Publication:
    """Add to a publication how it differs from the last one, which is taken again where it says the same.

    Args:
        publication: The publication.
        files: What is published.
        last: The last render.
        changed: The tags that may differ.
        digests: The manifests that may differ; None: any.
    """
    before = last.publication
    if (publication.identity, publication.facts) == (before.identity, before.facts):
        return before
    return replace(publication, since=compare(files, last.files, before.identity, changed, digests))


def _list_ends(named: Mapping[str, _Manifest], known: Mapping[str, str], digests: Set[str] | None) -> Mapping[str, str]:
    """Map each manifest to its file name ending; known: the same of the last render, where `digests` may differ."""
    if digests is None:
        return {digest: made.end for digest, made in named.items()}
    ends = {**known, **{digest: named[digest].end for digest in digests if digest in named}}
    for digest in digests:
        if digest not in named:
            del ends[digest]
    return ends


def _remember(manifests: Mapping[str, ManifestFiles], earlier: Mapping[str, str]) -> dict[str, str]:
    return {
        _MANIFESTS: " ".join([made.named for made in manifests.values()]),
        _EARLIER: " ".join(f"{digest}.{end}" for digest, end in earlier.items()),
    }


def _remember_names(signed: SignedNames, slots: int) -> dict[str, str]:
    return {SIGNED: write_names(signed), **({_SLOTS: str(slots)} if slots > 1 else {})}


def _signed_names(
    naming: Naming, history: _History, named: Mapping[str, _Manifest], now_s: int, digests: Set[str] | None
) -> SignedNames:
    """Give the names by which each manifest is signed, also former ones for as long as they are kept.

    Args:
        naming: How the images of the repository are signed.
        history: What is known of former publications.
        named: The manifests that tags lead to now.
        now_s: The date of the publication, in epoch seconds.
        digests: The manifests whose names may differ from before; None: any.
    """
    if naming.scope is None:
        return {}
    current = {digest: manifest.references for digest, manifest in named.items()}
    return update_names(history.signed, current, now_s, naming.kept_s, digests)


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


def _name_manifests(
    tags: Tags, known: Mapping[str, _Manifest], digests: Set[str] | None, changed: Set[str]
) -> Mapping[str, _Manifest]:
    """Map the digest of each manifest, in their order, to what tags say of it.

    Args:
        tags: The tags.
        known: The same of the last render.
        digests: The manifests that may be new or gone, or that other tags lead to; None: any.
        changed: The tags that lead elsewhere than at the last render.
    """
    if digests is None:
        looked_at = _read_manifests(tags.files.items())
        return {digest: looked_at[digest] for digest in sorted(looked_at)}
    leading = {*changed, *chain.from_iterable(known[digest].tags for digest in digests if digest in known)}
    looked_at = _read_manifests((tag, made) for tag, made in tags.files.items() if tag in leading)
    named = dict(known)
    for digest in digests:
        if digest in looked_at:
            named[digest] = looked_at[digest]
        else:
            named.pop(digest, None)
    if looked_at.keys() & digests <= known.keys():
        return named
    # Nearly in order already, which is sorted fast.
    return {digest: named[digest] for digest in sorted(named)}


def _read_manifests(leading: Iterable[tuple[str, TagFiles]]) -> dict[str, _Manifest]:
    """Map the digests of the manifests of some tags, in the order of these, to what the tags say of them."""
    ends: dict[str, str] = {}
    references: dict[str, list[str]] = {}
    tags: dict[str, list[str]] = {}
    for tag, made in leading:
        for digest, end in made.body.manifests:
            ends[digest] = end
            references.setdefault(digest, []).append(f":{tag}")
            tags.setdefault(digest, []).append(tag)
        for digest, end in made.body.artifacts:
            ends[digest] = end
            tags.setdefault(digest, []).append(tag)
    # No tag leads to an artifact, so it is signed by its digest.
    return {
        digest: _Manifest(end, references.get(digest) or [f"@{digest}"], tags[digest]) for digest, end in ends.items()
    }


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
    made = dict(known) if digests is not None else {}
    for digest in named if digests is None else digests:
        if digest not in named:
            made.pop(digest, None)
            continue
        references, files = tuple(signed.get(digest, ())), known.get(digest)
        if files is None or files.references != references:
            files = ManifestFiles.of(
                image,
                (digest, named[digest].end),
                references,
                public_name,
                signers=naming.signers,
                listed=naming.signature_api,
            )
        made[digest] = files
    return made if made.keys() == known.keys() else {digest: made[digest] for digest in named}


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


def _earlier(before: _History, present: Container[str], looked_at: Iterable[str]) -> dict[str, str]:
    """Return digest → file name ending of the manifests that left the image, the most recent last.

    looked_at: the manifests that may have left since, by digest.
    """
    known = chain(before.earlier.items(), ((digest, before.manifests.get(digest)) for digest in looked_at))
    gone = {digest: end for digest, end in known if end is not None and digest not in present}
    return dict(list(gone.items())[-EARLIER_LIMIT:])


def _split(text: str) -> dict[str, str]:
    return {digest: end for digest, _, end in (manifest.partition(".") for manifest in text.split())}
