"""Makes what may go live of a rendered tree: its changed publications, signed or declared unsigned."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import structlog

from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import (
    Content,
    PendingSignature,
    Publication,
    QuotingFile,
    ReadyPublication,
    SignatureForm,
    SignedTree,
    Tree,
    TreeFile,
    TreeLink,
    UnsignedTree,
)

log = structlog.get_logger()

_THREADS = 4
"""gpg-agent signs one after the other; meanwhile the other ones start gpg and verify."""

_Key = tuple[SignatureForm, str]
"""What a signature depends on: its form, and the SHA-256 of what it signs."""


def publication_identity(repo: Repo, identity: str, key: SigningKey | None) -> str:
    """Identify a publication with its place and its signer: another key or directory makes everything anew."""
    signer = key.fingerprint if key else "-"
    return hashlib.sha256(f"{identity} {signer} {repo.directory}".encode()).hexdigest()


class SignatureCache(Protocol):
    """Keeps signatures of unchanging data under the signer and the SHA-256 of the data."""

    def get(self, coding: str, digest: str) -> bytes | None:
        """The signature, or None if it has to be made."""

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Remember the signature."""


def sign_tree(tree: Tree, key: SigningKey, live: Mapping[str, str], made_before: SignatureCache) -> SignedTree:
    """Sign each publication that differs from the published one.

    Args:
        tree: what was rendered.
        key: the key that signs.
        live: publication → identity as published.
        made_before: signatures of unchanging data.

    Raises:
        SigningError: a signature could not be made, or is not valid.
    """
    changed = _changed(tree, key, live)
    pending = [_pending(publication) for publication in changed]
    for publication, files in zip(changed, pending, strict=True):
        if files:
            log.info(f"{tree.repo.kind}: Signing distro {publication.name}")
    # Those of all publications at once: an image has only a few.
    made = _sign_all([(data, file) for files in pending for file, data in files.items()], key, made_before)
    signed = []
    for publication, files in zip(changed, pending, strict=True):
        signatures = {
            file.path: TreeFile(file.path, made[file.form, data.digest], file.retained) for file, data in files.items()
        }
        signed.append(_ready(tree.repo, publication, key, signatures))
    return SignedTree(tree.repo, tuple(signed), _names(tree))


def declare_unsigned(tree: Tree, live: Mapping[str, str]) -> UnsignedTree:
    """Leave the signatures out of each publication that differs from the published one.

    live: publication → identity as published.
    """
    publications = tuple(_ready(tree.repo, publication, None, {}) for publication in _changed(tree, None, live))
    return UnsignedTree(tree.repo, publications, _names(tree))


def _changed(tree: Tree, key: SigningKey | None, live: Mapping[str, str]) -> list[Publication]:
    """Choose the publications that differ, each with `since` only if that publication is live."""
    changed = []
    for publication in tree.publications:
        known, since = live.get(publication.name), publication.since
        if known == publication_identity(tree.repo, publication.identity, key):
            continue
        is_base_live = since is not None and known == publication_identity(tree.repo, since.identity, key)
        changed.append(publication if is_base_live else replace(publication, since=None))
    return changed


def _names(tree: Tree) -> tuple[str, ...]:
    return tuple(publication.name for publication in tree.publications)


def _pending(publication: Publication) -> dict[PendingSignature, Content]:
    """Map the signatures to be made to what they sign."""
    pointers = {file.path: file.content for file in publication.pointers if isinstance(file, TreeFile)}
    return {
        file: pointers[file.source] if file.data is None else Content.of(file.data)
        for file in (*publication.content, *publication.pointers)
        if isinstance(file, PendingSignature) and publication.is_looked_at(file.path)
    }


def _ready(
    repo: Repo, publication: Publication, key: SigningKey | None, made: Mapping[str, TreeFile]
) -> ReadyPublication:
    by_hash = [
        TreeFile(f"{file.by_hash_dir}/{made[file.path].content.digest}", made[file.path].content)
        for file in publication.pointers
        if isinstance(file, PendingSignature) and file.by_hash_dir and file.path in made
    ]
    content = [file for file in publication.content if publication.is_looked_at(file.path)]
    return ReadyPublication(
        publication.name,
        publication_identity(repo, publication.identity, key),
        (*_with_signatures(content, made), *by_hash),
        _with_signatures(publication.pointers, made),
        publication.facts,
        publication.since,
    )


def _with_signatures(
    files: Sequence[TreeFile | TreeLink | QuotingFile | PendingSignature], made: Mapping[str, TreeFile]
) -> tuple[TreeFile | TreeLink, ...]:
    found: list[TreeFile | TreeLink] = []
    for file in files:
        if isinstance(file, TreeFile | TreeLink):
            found.append(file)
        elif isinstance(file, PendingSignature) and file.path in made:
            found.append(made[file.path])
        elif isinstance(file, QuotingFile) and all(path in made for path in file.quoted):
            found.append(_quote(file, made))
    return tuple(found)


def _quote(file: QuotingFile, made: Mapping[str, TreeFile]) -> TreeFile:
    parts = [file.text[0]]
    for path, text in zip(file.quoted, file.text[1:], strict=True):
        parts += [base64.b64encode(bytes(made[path].content)), text]
    return TreeFile(file.path, Content(tuple(parts)), file.retained)


def _sign_all(
    pending: Sequence[tuple[Content, PendingSignature]], key: SigningKey, made_before: SignatureCache
) -> dict[_Key, Content]:
    """Make each signature once: the same form of the same bytes stands at several paths with the same bytes."""
    wanted = {(file.form, data.digest): (data, file) for data, file in pending}
    if not wanted:
        return {}

    def sign(data: Content, file: PendingSignature) -> Content:
        keep = file.data is not None
        coding = f"signature-{file.form}-{key.fingerprint}"
        signature = made_before.get(coding, data.digest) if keep else None
        if signature is None:
            signature = make_signature(key, bytes(data), file.form)
            if keep:
                made_before.put(coding, data.digest, signature)
        return Content.of(signature)

    with ThreadPoolExecutor(min(len(wanted), _THREADS)) as threads:
        return dict(zip(wanted, threads.map(lambda item: sign(*item), wanted.values()), strict=True))
