"""Signs the publications of a tree that changed.

Takes: a Tree, the key or None, the identities of the published publications, signatures made before.
Gives: a SignedTree of the changed publications.
Touches: gpg.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.values import (
    PendingSignature,
    Publication,
    QuotingFile,
    Repo,
    SignatureForm,
    SignedPublication,
    SignedTree,
    Tree,
    TreeFile,
    TreeLink,
)

log = structlog.get_logger()

_THREADS = 3


def publication_identity(repo: Repo, publication: Publication, key: SigningKey | None) -> str:
    """Identify a publication with its place and its signer: another key or directory makes everything anew."""
    signer = key.fingerprint if key else "-"
    return hashlib.sha256(f"{publication.identity} {signer} {repo.directory}".encode()).hexdigest()


class SignatureCache(Protocol):
    """Keeps signatures of unchanging data under the signer and the SHA-256 of the data."""

    def get(self, coding: str, digest: str) -> bytes | None:
        """The signature, or None where it has to be made."""

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Remember the signature."""


def sign_tree(tree: Tree, key: SigningKey | None, live: Mapping[str, str], made_before: SignatureCache) -> SignedTree:
    """Sign each publication that differs from the published one; without a key, leave its signatures out.

    live: publication → identity as published.
    Raises: SigningError
    """
    changed = [
        publication
        for publication in tree.publications
        if live.get(publication.name) != publication_identity(tree.repo, publication, key)
    ]
    signed = tuple(_sign_publication(tree.repo, publication, key, made_before) for publication in changed)
    names = tuple(publication.name for publication in tree.publications)
    return SignedTree(tree.repo, signed, names, key.fingerprint if key else None)


def _sign_publication(
    repo: Repo, publication: Publication, key: SigningKey | None, made_before: SignatureCache
) -> SignedPublication:
    unsigned = [file for file in (*publication.content, *publication.pointers) if isinstance(file, PendingSignature)]
    made: dict[str, TreeFile] = {}
    if key is not None and unsigned:
        log.info(f"{repo.kind}: Signing distro {publication.name}")
        made = _sign_all(publication, unsigned, key, made_before)
    by_hash = [
        TreeFile(f"{file.by_hash_dir}/{hashlib.sha256(made[file.path].content).hexdigest()}", made[file.path].content)
        for file in unsigned
        if file.by_hash_dir and file.path in made
    ]
    return SignedPublication(
        publication.name,
        publication_identity(repo, publication, key),
        (*_with_signatures(publication.content, made), *by_hash),
        _with_signatures(publication.pointers, made),
        publication.facts,
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
    content = file.text[0]
    for path, text in zip(file.quoted, file.text[1:], strict=True):
        content += base64.b64encode(made[path].content) + text
    return TreeFile(file.path, content, file.retained)


def _sign_all(
    publication: Publication, unsigned: Sequence[PendingSignature], key: SigningKey, made_before: SignatureCache
) -> dict[str, TreeFile]:
    """Make each signature once: the same form of the same bytes stands at several paths with the same bytes."""
    sources = {file.path: file.content for file in publication.pointers if isinstance(file, TreeFile)}
    wanted: dict[tuple[SignatureForm, bytes], bool] = {}
    for file in unsigned:
        wanted[file.form, sources[file.source] if file.data is None else file.data] = file.data is not None

    def sign(form: SignatureForm, data: bytes, keep: bool) -> bytes:
        coding, digest = f"signature-{form}-{key.fingerprint}", hashlib.sha256(data).hexdigest()
        signature = made_before.get(coding, digest) if keep else None
        if signature is None:
            signature = make_signature(key, data, form)
            if keep:
                made_before.put(coding, digest, signature)
        return signature

    with ThreadPoolExecutor(min(len(wanted), _THREADS)) as threads:
        tasks = {one: threads.submit(sign, *one, keep) for one, keep in wanted.items()}
        made = {one: task.result() for one, task in tasks.items()}
    return {
        file.path: TreeFile(
            file.path, made[file.form, sources[file.source] if file.data is None else file.data], file.retained
        )
        for file in unsigned
    }
