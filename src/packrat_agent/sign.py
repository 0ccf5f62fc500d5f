"""Signs the sections of a tree that changed.

Takes: a Tree, the key or None, the identities of the published sections.
Gives: a SignedTree of the changed sections.
Touches: gpg.
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from packrat_agent.keyring import SigningKey, make_signature
from packrat_agent.model import Section, SignedSection, SignedTree, Tree, TreeFile, Unsigned

log = structlog.get_logger()


def section_identity(section: Section, key: SigningKey | None) -> str:
    """Identify a section with its signer: another key signs everything anew."""
    return hashlib.sha256(f"{section.identity} {key.fingerprint if key else '-'}".encode()).hexdigest()


def sign_tree(tree: Tree, key: SigningKey | None, live: Mapping[str, str]) -> SignedTree:
    """Sign each section that differs from the published one; without a key, leave its signatures out.

    live: section → identity as published.
    Raises: SigningError
    """
    changed = [section for section in tree.sections if live.get(section.name) != section_identity(section, key)]
    signed = tuple(_sign_section(tree.repo.kind, section, key) for section in changed)
    names = tuple(section.name for section in tree.sections)
    return SignedTree(tree.repo, signed, names, key.fingerprint if key else None)


def _sign_section(kind: str, section: Section, key: SigningKey | None) -> SignedSection:
    unsigned = [file for file in section.pointers if isinstance(file, Unsigned)]
    made: dict[str, TreeFile] = {}
    if key is not None and unsigned:
        log.info(f"{kind}: Signing distro {section.name}")
        sources = {file.path: file.content for file in section.pointers if isinstance(file, TreeFile)}
        with ThreadPoolExecutor(len(unsigned)) as threads:
            signatures = threads.map(lambda file: make_signature(key, sources[file.source], file.form), unsigned)
            made = {
                file.path: TreeFile(file.path, signature) for file, signature in zip(unsigned, signatures, strict=True)
            }
    by_hash = [
        TreeFile(f"{file.by_hash_dir}/{hashlib.sha256(made[file.path].content).hexdigest()}", made[file.path].content)
        for file in unsigned
        if file.by_hash_dir and file.path in made
    ]
    pointers = [made.get(file.path) if isinstance(file, Unsigned) else file for file in section.pointers]
    return SignedSection(
        section.name,
        section_identity(section, key),
        (*section.content, *by_hash),
        tuple(file for file in pointers if file is not None),
        section.facts,
    )
