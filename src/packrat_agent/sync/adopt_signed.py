"""Finds the signed rpms that the original packrat agent left on disk, so that they are not downloaded again.

A signed rpm tells nothing of the package file that it was made from; the original agent's state database does. The
disk and that database are believed only together. A copy is taken if

1. its SHA-256 is the one that the database has for the package file,
2. it carries a valid signature over its header, of the key that this mirror signs with now or of another subkey of it,
3. its payload is the one that its headers name, and
4. name, version and architecture in its header are those of the server's record; `reconcile` looks at that.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verify import verifies_by_family
from packrat_agent.model.entries import Fragment, Product, StoredFile
from packrat_agent.state.packages import ReadFile, WantedFile
from packrat_agent.sync.context import MirrorContext
from packrat_core.errors import Refused
from packrat_core.fs.verified import OtherBytes, read_verified
from packrat_core.packages.rpm.header import walk
from packrat_core.packages.rpm.payload import check_payload
from packrat_core.packages.rpm.signatures import read_signatures

log = structlog.get_logger()

_THREADS = 2

Recalled = tuple[str, int, Fragment]
"""SHA-256 of a package file, the size of its signed copy in bytes, and its fragment."""


def recall_signed(
    context: MirrorContext, form: Format, wanted_files: Sequence[WantedFile], untracked: Mapping[str, StoredFile]
) -> tuple[list[WantedFile], list[Recalled]]:
    """Fill in the fragments of package files whose signed copies are on disk already.

    Args:
        context: The mirror; without a takeover under way nothing is looked for.
        form: The repository's type.
        wanted_files: The files as the state database knows them.
        untracked: Path → hashed files below `root_dir` that the state database doesn't know.

    Returns:
        The files, and what was read of those that were filled in.
    """
    key, takeover = context.key, context.takeover
    if takeover is None or key is None or form.treatment is not Treatment.SIGNED or not untracked:
        return list(wanted_files), []
    by_hash = {file.sha256: path for path, file in untracked.items()}
    lacking = {item.file.sha256 for item in wanted_files if not isinstance(item, ReadFile) and not item.unreadable}
    at_hand = [
        (sha256, copy)
        for sha256 in sorted(lacking)
        for copy in sorted(takeover.signed.get(sha256, frozenset()) & by_hash.keys())
    ]

    # The other agent's database only says where to look: each copy is verified before it is believed.
    def read(pair: tuple[str, str]) -> tuple[int, Fragment] | None:
        return _read(pair[1], context.root / by_hash[pair[1]], form, key, context.staging)

    with ThreadPoolExecutor(_THREADS) as threads:
        results = zip(at_hand, threads.map(read, at_hand), strict=True)
        found = {sha256: taken for (sha256, _), taken in results if taken is not None}
    if at_hand:
        log.info("recalled", format=form.kind, signed=len(found), others=len(at_hand) - len(found))
    filled = [
        ReadFile.of(item, *found[item.file.sha256]) if item.file.sha256 in found else item for item in wanted_files
    ]
    return filled, [(sha256, size, fragment) for sha256, (size, fragment) in found.items()]


def _read(sha256: str, path: Path, form: Format, key: SigningKey, scratch: Path) -> tuple[int, Fragment] | None:
    """Read a signed copy; None where it is not what the database says, or not signed with this key."""

    def read(path: Path) -> tuple[int, Fragment] | None:
        with path.open("rb") as file:
            front = walk(file)
            found = {s.data for listed in read_signatures(front).values() for s in listed if not s.covers_payload}
            if not any(verifies_by_family(key, front.header.blob, signature) for signature in found):
                return None
            check_payload(file)
            size = os.fstat(file.fileno()).st_size
        # The size of the package file is not known. It is not needed where another file stands in its place.
        return size, replace(form.read(path, scratch), products=(Product("", sha256, size),))

    with suppress(OSError, Refused, OtherBytes):
        return read_verified(path, sha256, read)
    return None
