"""Seals what the agent is to believe below root_dir after its state database is lost, and checks the seal.

    seals.restore_names()                # at a start: what a lost state database knew of published names
    seals.backups(source)                # which fragment backups may be believed
    seals.seal(sources, is_whole=True)   # at the end of a full sync

1. The list (`state/sealed_text.py`) is made from the state database alone. It stands in `made/sealed`, behind a line
   with its seal, so that one rename replaces both.
2. The seal is a signature by the mirror's main key, also for what other keys signed. A mirror without one has a secret
   beside its state database instead; if that is lost, too, nothing is believed.
3. A signature counts if the key that signs now made it, its primary key or another subkey of that; so does one of a
   former key that mirror.conf names.
4. What was backed up or published since the list was sealed is not in it, and is not believed until it is sealed.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from packrat_agent.gpg.signatures import make_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verify import verifies_by_family
from packrat_agent.model.tree import SignatureForm, sha256_of
from packrat_agent.state.facts import SealedList
from packrat_agent.state.fragment_backup import MADE_DIR
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.sealed_text import (
    FIRST_LINE,
    SealedText,
    read_sealed_text,
    write_in_portions,
)
from packrat_agent.state.store import Store
from packrat_core.failpoints import done
from packrat_core.fs.atomic import replace, write_new
from packrat_core.fs.flush import flush_directories
from packrat_core.fs.links import ensure_directory
from packrat_core.fs.open import open_regular, read_regular
from packrat_core.fs.verified import hash_descriptor

log = structlog.get_logger()

SEALED = "sealed"
"""Name of the list in `made/`."""
_SECRET_BYTES = 32
_SEAL_LIMIT = 1 << 16
_LIST_LIMIT = 1 << 32
"""Bytes of a list that is read; one with ten million names has less than half of that."""
_PART_BYTES = 256 * 1024
_MAC = "mac"
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Sealer:
    """Who seals: the mirror's key, and where the secret stands that takes its place if there is none.

    `trusted` are the fingerprints of other keys whose seals count.
    """

    key: SigningKey | None
    secret_path: Path
    trusted: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The fingerprint of the key, or a name of the secret that does not give it away; makes the secret."""
        return self.key.fingerprint if self.key is not None else f"{_MAC} {hashlib.sha256(self._secret()).hexdigest()}"

    def seal(self, digest: str) -> bytes:
        """Give the line with the seal of a list, of which this is the SHA-256.

        Raises:
            SigningError: The key does not sign.
            DiskError: The secret can't be written.
        """
        statement = _statement(digest)
        if self.key is not None:
            proof = {"signature": base64.b64encode(make_signature(self.key, statement, SignatureForm.BINARY)).decode()}
        else:
            proof = {_MAC: hmac.digest(self._secret(), statement, "sha256").hex()}
        return json.dumps(proof).encode() + b"\n"

    def is_good(self, line: bytes, digest: str) -> bool:
        """Tell whether this sealer, or the same mirror before it had a key, has sealed a list with that SHA-256.

        Raises:
            SigningError: gpg can't be used.
        """
        try:
            proof = json.loads(line)
            if self.key is not None and "signature" in proof:
                signature = base64.b64decode(proof["signature"], validate=True)
                return verifies_by_family(self.key, _statement(digest), signature, self.trusted)
            secret = _read_secret(self.secret_path)
            if secret is None:
                return False
            return hmac.compare_digest(hmac.digest(secret, _statement(digest), "sha256"), bytes.fromhex(proof[_MAC]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return False

    def _secret(self) -> bytes:
        secret = _read_secret(self.secret_path)
        if secret is None:
            secret = secrets.token_bytes(_SECRET_BYTES)
            spare = self.secret_path.with_name(f"{self.secret_path.name}.new")
            write_new(spare, [secret.hex().encode() + b"\n"], mode=0o600)
            replace(spare, self.secret_path)
            flush_directories([self.secret_path.parent])
        return secret


def _read_secret(path: Path) -> bytes | None:
    with suppress(OSError, ValueError):
        secret = bytes.fromhex(read_regular(path, 4 * _SECRET_BYTES).decode())
        return secret if len(secret) == _SECRET_BYTES else None
    return None


def _statement(digest: str) -> bytes:
    """Build the text that is signed: no other text that the mirror's key signs begins like this."""
    return f"{FIRST_LINE}\nsha256 {digest}\n".encode()


class Seals:
    """The sealed list of one mirror; what was read of it is held in memory until the next one is sealed."""

    def __init__(self, root: Path, store: Store, sealer: Sealer, mirror: str) -> None:
        self._root = root
        self._store = store
        self._sealer = sealer
        self._mirror = mirror
        self._path = root / MADE_DIR / SEALED
        self._read: SealedText | None = None
        # What was found sealed, and of how many names, where there are no backups: names only ever come.
        self._found_sealed: tuple[SealedList, int] | None = None

    def backups(self, source: FragmentSource) -> Mapping[str, str]:
        """Map SHA-256 of a package file → that of its backup, for those that may be believed.

        Raises:
            SigningError: gpg can't be used.
        """
        return self._former().backups.get(source.label, _NOTHING)

    def _stands_there(self, known: SealedList | None) -> bool:
        with suppress(OSError), open_regular(self._path) as file:
            size = os.fstat(file.fileno()).st_size
            return known is not None and size <= _LIST_LIMIT and known.file == hash_descriptor(file.fileno(), size)[0]
        return False

    def restore_names(self) -> None:
        """Take back which names were published, if the list is not the one that the state database knows.

        Raises:
            SigningError: gpg can't be used.
            DiskError: The state database can't be written.
        """
        if self._stands_there(self._store.facts.read(SealedList)):
            return
        self._read = self._load()
        count = self._store.published_names.add(self._read.names.items())
        if count:
            log.info("recalled", names=count, text="names that were published before the state database was lost")

    def seal(self, sources: Iterable[FragmentSource], is_whole: bool) -> None:
        """Seal what the state database knows now, unless that is sealed already.

        Args:
            sources: The current sources of fragments.
            is_whole: Every repository was synced. If not, what a former list has stays in it: the state database may
                have been lost, and not know all repositories yet.

        Raises:
            SigningError: The key does not sign.
            DiskError: The list can't be written.
        """
        known_backups = self._store.fragments.backups(sources)
        backups = {source.label: _sealable(found) for source, found in known_backups.items()}
        if not is_whole:
            # A repository that is not known yet may have a key, and so a source, of its own.
            former = self._former().backups
            backups = {label: {**former.get(label, {}), **backups.get(label, {})} for label in {*former, *backups}}
        backups = {label: found for label, found in backups.items() if found}
        self._read = None
        if self._is_sealed(backups):
            return
        # The text alone is held in memory, once: the names as objects would take several times as much.
        text = list(write_in_portions(self._mirror, backups, self._store.published_names.in_order()))
        if not backups and self._store.published_names.is_empty():
            return
        digest = sha256_of(text)
        self._write(self._sealer.seal(digest), text, SealedList(digest, "", self._sealer.name))

    def _is_sealed(self, backups: Mapping[str, Mapping[str, str]]) -> bool:
        """Tell whether the list that stands there has these backups and all names, which may be very many."""
        known = self._store.facts.read(SealedList)
        if known is None or known.by != self._sealer.name:
            return False
        count = self._store.published_names.count()
        if backups or self._found_sealed != (known, count):
            self._found_sealed = None
            names = self._store.published_names.in_order()
            if known.text != sha256_of(write_in_portions(self._mirror, backups, names)):
                return False
            self._found_sealed = None if backups else (known, count)
        return self._stands_there(known)

    def _former(self) -> SealedText:
        # Several repositories are planned at the same time; a list that two of them read is the same list.
        read = self._read or self._load()
        self._read = read
        return read

    def _write(self, line: bytes, text: Sequence[bytes], sealed: SealedList) -> None:
        directory = ensure_directory(self._root, MADE_DIR)
        spare = directory / f"{SEALED}.new"
        write_new(spare, [line, *text])
        done("seal-written")
        replace(spare, directory / SEALED)
        flush_directories([directory])
        done("seal-renamed")
        self._store.facts.write(SealedList(sealed.text, sha256_of([line, *text]), sealed.by))
        log.info("sealed", text="what is believed below root_dir if the state database is lost")

    def _load(self) -> SealedText:
        reason = "its seal does not verify with the key or secret that this mirror has now"
        try:
            text = self._read_text()
            if text is not None:
                read = read_sealed_text(text)
                if read.mirror == self._mirror:
                    return read
                reason = f"it is that of the mirror {read.mirror}"
        except FileNotFoundError:
            return SealedText(self._mirror, {}, {})
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        text_of_log = "not believed; what it names is downloaded again"
        log.warning("sealed", path=str(self._path), reason=reason, text=text_of_log)
        return SealedText(self._mirror, {}, {})

    def _read_text(self) -> bytes | None:
        """Read the list; None if its seal is not good.

        Raises:
            OSError: It can't be read.
            SigningError: gpg can't be used.
        """
        with open_regular(self._path) as file:
            line = file.readline(_SEAL_LIMIT)
            start = file.tell()
            size = os.fstat(file.fileno()).st_size
            # Anybody may have put one there that takes days to hash.
            if size > _LIST_LIMIT:
                return None
            digest = _hash_up_to(file, size)
            # Anybody may have put a file there that doesn't fit into memory, so it is read once its seal is good.
            if not self._sealer.is_good(line, digest):
                return None
            file.seek(start)
            text = file.read(size - start)
        return text if hashlib.sha256(text).hexdigest() == digest else None


def _hash_up_to(file: BinaryIO, end: int) -> str:
    """Hash what is left of a file up to a place; one that goes on growing has no end."""
    digest = hashlib.sha256()
    while part := file.read(min(max(end - file.tell(), 0), _PART_BYTES)):
        digest.update(part)
    return digest.hexdigest()


def _sealable(backups: Mapping[str, str | None]) -> dict[str, str]:
    return {sha256: digest for sha256, digest in backups.items() if digest}
