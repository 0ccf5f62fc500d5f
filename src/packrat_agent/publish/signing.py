"""Makes what may go live of what was rendered: the changed publications, signed or declared unsigned."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import (
    Content,
    PendingFile,
    Publication,
    ReadyPublication,
    SignatureForm,
    SignedTree,
    TreeFile,
    TreeLink,
    UnsignedTree,
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
        """The signature, or None if it has to be made."""

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Remember the signature."""


def sign_tree(
    repo: Repo,
    rendered: Sequence[Publication],
    key: SigningKey,
    live: Mapping[str, str],
    made_before: SignatureCache,
) -> SignedTree:
    """Sign each publication that differs from the published one.

    Args:
        repo: the repository.
        rendered: all its publications.
        key: the key that signs.
        live: publication → identity as published.
        made_before: signatures of unchanging data.

    Raises:
        SigningError: a signature could not be made, or is not valid.
    """
    signed = []
    for publication in _changed(repo, rendered, key, live):
        pending = [file for file in (*publication.content, *publication.pointers) if isinstance(file, PendingFile)]
        made: dict[str, TreeFile] = {}
        if pending:
            log.info(f"{repo.kind}: Signing distro {publication.name}")
            made = _complete_all(pending, key, made_before)
        signed.append(_ready(repo, publication, key, pending, made))
    return SignedTree(repo, tuple(signed), _names(rendered))


def declare_unsigned(repo: Repo, rendered: Sequence[Publication], live: Mapping[str, str]) -> UnsignedTree:
    """Leave the signatures out of each publication that differs from the published one.

    Args:
        repo: the repository.
        rendered: all its publications.
        live: publication → identity as published.
    """
    changed = tuple(_ready(repo, publication, None, (), {}) for publication in _changed(repo, rendered, None, live))
    return UnsignedTree(repo, changed, _names(rendered))


def _changed(
    repo: Repo, rendered: Sequence[Publication], key: SigningKey | None, live: Mapping[str, str]
) -> list[Publication]:
    return [
        publication
        for publication in rendered
        if live.get(publication.name) != publication_identity(repo, publication, key)
    ]


def _names(publications: Sequence[Publication]) -> tuple[str, ...]:
    return tuple(publication.name for publication in publications)


def _ready(
    repo: Repo,
    publication: Publication,
    key: SigningKey | None,
    pending: Sequence[PendingFile],
    made: Mapping[str, TreeFile],
) -> ReadyPublication:
    by_hash = [
        TreeFile(f"{file.by_hash_dir}/{made[file.path].content.digest}", made[file.path].content)
        for file in pending
        if file.by_hash_dir
    ]
    return ReadyPublication(
        publication.name,
        publication_identity(repo, publication, key),
        (*_with_signatures(publication.content, made), *by_hash),
        _with_signatures(publication.pointers, made),
        publication.facts,
        publication.former,
    )


def _with_signatures(
    files: Sequence[TreeFile | TreeLink | PendingFile], made: Mapping[str, TreeFile]
) -> tuple[TreeFile | TreeLink, ...]:
    found: list[TreeFile | TreeLink] = []
    for file in files:
        if not isinstance(file, PendingFile):
            found.append(file)
        elif file.path in made:
            found.append(made[file.path])
    return tuple(found)


def _complete_all(pending: Sequence[PendingFile], key: SigningKey, made_before: SignatureCache) -> dict[str, TreeFile]:
    """Map path → file with its signatures, each made once: several files may hold the same form of the same bytes."""
    wanted = {(file.form, data.digest): (file.form, data, file.lasting) for file in pending for data in file.signs}

    def sign(what: tuple[SignatureForm, Content, bool]) -> Content:
        form, data, lasting = what
        coding = f"signature-{form}-{key.fingerprint}"
        signature = made_before.get(coding, data.digest) if lasting else None
        if signature is None:
            signature = make_signature(key, bytes(data), form)
            if lasting:
                made_before.put(coding, data.digest, signature)
        return Content.of(signature)

    with ThreadPoolExecutor(min(len(wanted), _THREADS)) as threads:
        made = dict(zip(wanted, threads.map(sign, wanted.values()), strict=True))
    files = {}
    for file in pending:
        content = _complete(file, [made[file.form, data.digest] for data in file.signs])
        files[file.path] = TreeFile(file.path, content, file.retained)
    return files


def _complete(file: PendingFile, signatures: Sequence[Content]) -> Content:
    if not file.quoting:
        return signatures[0]
    parts = [file.quoting[0]]
    for signature, text in zip(signatures, file.quoting[1:], strict=True):
        parts += [base64.b64encode(bytes(signature)), text]
    return Content(tuple(parts))
