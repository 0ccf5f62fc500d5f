"""Finds the signed rpms that the original packrat agent left on disk, so that they are not downloaded again.

A signed rpm doesn't show which package file it was made from; the original agent's state database does. The
disk and that database are believed only together. A copy is taken if

1. its SHA-256 is the one that the database has for the package file,
2. it carries valid signatures over its header and its payload, of the key that signs its repository now or of another
   subkey of it; that of the header alone is enough where the header names the payload,
3. its payload is the one that its headers name, and
4. name, version and architecture in its header are those of the server's record; `reconcile` looks at that.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verify import verifies_by_family
from packrat_agent.model.entries import Fragment, Product, StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.sync.context import MirrorContext
from packrat_core.errors import Refused
from packrat_core.fs.file_tail import FileTail
from packrat_core.fs.verified import Opened, OtherBytes, read_verified
from packrat_core.packages.rpm.header import RpmFile, walk
from packrat_core.packages.rpm.payload import check_payload
from packrat_core.packages.rpm.signatures import is_header_enough, read_signatures

log = structlog.get_logger()

_THREADS = 2


def recall_signed(
    context: MirrorContext,
    repo: Repo,
    form: Format,
    lacking: Collection[str],
    untracked: Mapping[str, StoredFile],
) -> dict[str, Fragment]:
    """Read the fragments of package files whose signed copies are on disk already.

    Args:
        context: The mirror; without a takeover under way nothing is looked for.
        repo: The repository.
        form: Its type.
        lacking: The SHA-256s of the package files of which nothing is known yet.
        untracked: Path → hashed files below `root_dir` that the state database doesn't know.

    Returns:
        SHA-256 of a package file → its fragment, for those whose signed copies are on disk.
    """
    key, takeover = context.key_of(repo), context.takeover
    if takeover is None or key is None or form.treatment is not Treatment.SIGNED or not untracked:
        return {}
    by_hash = {file.sha256: path for path, file in untracked.items()}
    at_hand = [
        (sha256, copy)
        for sha256 in sorted(lacking)
        for copy in sorted(takeover.signed.get(sha256, frozenset()) & by_hash.keys())
    ]

    # The other agent's database only says where to look: each copy is verified before it is believed.
    def read(pair: tuple[str, str]) -> Fragment | None:
        return _read(pair[1], context.root / by_hash[pair[1]], form, key, context.staging)

    with ThreadPoolExecutor(_THREADS) as threads:
        results = zip(at_hand, threads.map(read, at_hand), strict=True)
        found = {sha256: fragment for (sha256, _), fragment in results if fragment is not None}
    if at_hand:
        log.info("recalled", format=form.kind, signed=len(found), others=len(at_hand) - len(found))
    return found


def _read(sha256: str, path: Path, form: Format, key: SigningKey, scratch: Path) -> Fragment | None:
    """Read a signed copy; None where it is not what the database says, or not signed with this key."""

    def read(opened: Opened) -> Fragment | None:
        with opened.path.open("rb") as file:
            front = walk(file)
            if not _is_signed(opened.path, front, key):
                return None
            check_payload(file)
        fragment = form.read(opened.path, scratch)
        # The size is that of the copy. That of the package file is not needed where another file stands in its place.
        return replace(fragment, products=(Product("", sha256, fragment.size),))

    with suppress(OSError, Refused, OtherBytes):
        return read_verified(path, sha256, read)
    return None


def _is_signed(rpm: Path, front: RpmFile, key: SigningKey) -> bool:
    """Tell whether every version of rpm finds signatures of the key that cover header and payload."""
    wanted = {False} if is_header_enough(front) else {False, True}
    with rpm.open("rb", buffering=0) as file:
        signed: Mapping[bool, bytes | FileTail] = {False: front.header.blob, True: FileTail(file, front.start)}
        found = {signature for signatures in read_signatures(front).values() for signature in signatures}
        ours = {
            s for s in found if s.covers_payload in wanted and verifies_by_family(key, signed[s.covers_payload], s.data)
        }
    return all(
        {signature.covers_payload for signature in signatures if signature in ours} == wanted
        for signatures in read_signatures(front).values()
    )
