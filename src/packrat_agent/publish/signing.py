"""Makes what may go live of what was rendered: the changed publications, signed or declared unsigned."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import structlog

from packrat_agent.gpg.signatures import make_detached, make_signatures
from packrat_agent.gpg.signers import Signers
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import (
    Content,
    PendingFile,
    Publication,
    ReadyPublication,
    Rendered,
    SignatureForm,
    SignedTree,
    Signer,
    Since,
    Touched,
    TreeFile,
    TreeLink,
    UnsignedTree,
    publications_of,
)

log = structlog.get_logger()

_THREADS = 4
"""gpg-agent makes one signature at a time; the other threads start gpg and verify."""

_Key = tuple[SignatureForm, str, Signer]
"""What a signature depends on: its form, the SHA-256 of what it signs, and who signs."""


def publication_identity(repo: Repo, identity: str, signers: Signers | None) -> str:
    """Identify a publication with its place and its signers: if these change, all of it is published again.

    Args:
        repo: Its repository.
        identity: What identifies its content.
        signers: The keys that sign it; None for none.
    """
    return _identify(identity, _place_and_signers(repo, signers))


def _place_and_signers(repo: Repo, signers: Signers | None) -> str:
    return f"{signers.identity if signers else '-'} {repo.directory}"


def _identify(identity: str, where: str) -> str:
    return hashlib.sha256(f"{identity} {where}".encode()).hexdigest()


class SignatureCache(Protocol):
    """Keeps signatures of unchanging data under the signer and the SHA-256 of the data."""

    def get(self, coding: str, digest: str) -> bytes | None:
        """The signature, or None if it has to be made."""

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Remember the signature.

        Args:
            coding: The form of the signature, and who signs.
            digest: The SHA-256 of what is signed.
            chunk: The signature.
        """


def sign_tree(
    repo: Repo,
    rendered: Rendered,
    signers: Signers,
    live: Mapping[str, str],
    made_before: SignatureCache,
) -> SignedTree:
    """Sign each publication that differs from the published one.

    Args:
        repo: the repository.
        rendered: all its publications, or those that a change touches.
        signers: the keys that sign.
        live: publication → identity as published, of those that were rendered.
        made_before: signatures of unchanging data.

    Raises:
        SigningError: a signature could not be made, or is not valid.
    """
    changed = _changed(repo, publications_of(rendered), signers, live)
    pending = [_pending(publication) for publication in changed]
    for publication, files in zip(changed, pending, strict=True):
        if files:
            log.info(f"{repo.kind}: Signing distro {publication.name}")
    # Those of all publications at once: an image has only a few.
    made = _sign_all([file for files in pending for file in files], signers, made_before)
    signed = []
    for publication, files in zip(changed, pending, strict=True):
        completed = {file.path: TreeFile(file.path, _complete(file, made), file.retained) for file in files}
        signed.append(_ready(repo, publication, signers, completed))
    return SignedTree(repo, tuple(signed), _names(rendered), _ended(rendered))


def declare_unsigned(repo: Repo, rendered: Rendered, live: Mapping[str, str]) -> UnsignedTree:
    """Leave the signatures out of each publication that differs from the published one.

    Args:
        repo: the repository.
        rendered: all its publications, or those that a change touches.
        live: publication → identity as published, of those that were rendered.
    """
    differing = _changed(repo, publications_of(rendered), None, live)
    changed = tuple(_ready(repo, publication, None, {}) for publication in differing)
    return UnsignedTree(repo, changed, _names(rendered), _ended(rendered))


def _changed(
    repo: Repo, rendered: Sequence[Publication], signers: Signers | None, live: Mapping[str, str]
) -> list[Publication]:
    """Choose the publications that differ, each with `since` and what differs alone if that publication is live."""
    # A Python repository has a publication for each of its projects, which may be many thousands.
    changed, where = [], _place_and_signers(repo, signers)
    for publication in rendered:
        known, since = live.get(publication.name), publication.since
        if known == _identify(publication.identity, where):
            continue
        is_base_live = since is not None and known == _identify(since.identity, where)
        if since is not None and is_base_live:
            changed.append(replace(publication, content=since.content, pointers=since.pointers))
        else:
            changed.append(replace(publication, since=None))
    return changed


def _names(rendered: Rendered) -> tuple[str, ...] | None:
    return None if isinstance(rendered, Touched) else tuple(publication.name for publication in rendered)


def _ended(rendered: Rendered) -> frozenset[str]:
    return rendered.ended if isinstance(rendered, Touched) else frozenset()


def _pending(publication: Publication) -> list[PendingFile]:
    """List the files that wait for the key."""
    return [file for file in (*publication.content, *publication.pointers) if isinstance(file, PendingFile)]


def _ready(
    repo: Repo, publication: Publication, signers: Signers | None, made: Mapping[str, TreeFile]
) -> ReadyPublication:
    by_hash = [
        TreeFile(f"{file.by_hash_dir}/{made[file.path].content.digest}", made[file.path].content)
        for file in publication.pointers
        if isinstance(file, PendingFile) and file.by_hash_dir and file.path in made
    ]
    return ReadyPublication(
        publication.name,
        publication_identity(repo, publication.identity, signers),
        (*_with_signatures(publication.content, made), *by_hash),
        _with_signatures(publication.pointers, made),
        publication.facts,
        publication.former,
        _since(publication, made),
    )


def _since(publication: Publication, made: Mapping[str, TreeFile]) -> Since | None:
    """Reduce `since` to what the files of the publication don't say, and to the places of the files that stay in it."""
    if publication.since is None:
        return None
    placed = zip(publication.pointers, publication.since.places, strict=True)
    places = tuple(place for file, place in placed if not isinstance(file, PendingFile) or file.path in made)
    return replace(publication.since, content=(), pointers=(), places=places)


def _with_signatures(
    files: Sequence[TreeFile | TreeLink | PendingFile], made: Mapping[str, TreeFile]
) -> tuple[TreeFile | TreeLink, ...]:
    # A list, since an image with 2,000 tags has 4,000 pointers, and a generator takes twice as long.
    complete = [
        made[file.path] if isinstance(file, PendingFile) else file
        for file in files
        if not isinstance(file, PendingFile) or file.path in made
    ]
    return tuple(complete)


def _sign_all(pending: Sequence[PendingFile], signers: Signers, made_before: SignatureCache) -> dict[_Key, Content]:
    """Make each signature once: several files may hold the same form of the same bytes."""
    wanted = {
        (file.form, data.digest, signer): (file.form, data, signer, file.lasting)
        for file in pending
        for data, signer in file.wanted
    }
    if not wanted:
        return {}

    # If it is signed in two forms with detached signatures, one signature serves both.
    binary = [key for key, (form, _, _, lasting) in wanted.items() if form is SignatureForm.BINARY and not lasting]
    of_others = {(SignatureForm.ARMOR, digest, signer) for _, digest, signer in binary} & wanted.keys()

    def sign(what: tuple[SignatureForm, Content, Signer, bool]) -> Mapping[_Key, Content]:
        form, data, signer, lasting = what
        keys = signers.of(signer)
        if (SignatureForm.ARMOR, data.digest, signer) in of_others and form is SignatureForm.BINARY:
            made = make_detached(keys, bytes(data))
            return {(made_form, data.digest, signer): Content.of(made[made_form]) for made_form in made}
        coding = f"signature-{form}-{' '.join(key.fingerprint for key in keys)}"
        signature = made_before.get(coding, data.digest) if lasting else None
        if signature is None:
            signature = make_signatures(keys, bytes(data), form)
            if lasting:
                made_before.put(coding, data.digest, signature)
        return {(form, data.digest, signer): Content.of(signature)}

    tasks = [what for key, what in wanted.items() if key not in of_others]
    if len(tasks) == 1:
        return dict(sign(tasks[0]))
    with ThreadPoolExecutor(min(len(tasks), _THREADS)) as threads:
        return {key: made for of_one in threads.map(sign, tasks) for key, made in of_one.items()}


def _complete(file: PendingFile, made: Mapping[_Key, Content]) -> Content:
    """Make a file of its signatures."""
    signatures = [made[file.form, data.digest, signer] for data, signer in file.wanted]
    if not file.quoting:
        return signatures[0]
    parts = [file.quoting[0]]
    for signature, text in zip(signatures, file.quoting[1:], strict=True):
        parts += [base64.b64encode(bytes(signature)), text]
    return Content(tuple(parts))
