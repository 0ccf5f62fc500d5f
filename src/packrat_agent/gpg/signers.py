"""The keys that sign a repository: one, or two while a new key takes over from a former one.

1. `key` signs all that is signed.
2. `next` is offered to clients before it signs: it signs images beside the key, so that their policy may name either.
3. `former` has signed before: it signs Release files and images beside the key, for clients that have no new key yet.
4. A next or former key that has expired signs nothing; the key signs alone.

    signers = Signers(key, former=old).at(now)
    signers.of(Signer.ALL)
"""

from dataclasses import dataclass, replace
from datetime import datetime

from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.tree import Signer


@dataclass(frozen=True, slots=True)
class Signers:
    """The key that signs, and those beside it."""

    key: SigningKey
    next: SigningKey | None = None
    former: SigningKey | None = None

    def at(self, now: datetime) -> "Signers":
        """Leave out those beside the key that have expired."""
        return replace(self, next=_valid(self.next, now), former=_valid(self.former, now))

    def of(self, signer: Signer) -> tuple[SigningKey, ...]:
        """Give the keys that make one signature file."""
        found: dict[Signer, list[SigningKey | None]] = {
            Signer.KEY: [self.key],
            Signer.NEXT: [self.next],
            Signer.FORMER: [self.former],
            Signer.ALL: [self.key, self.former],
        }
        return tuple(key for key in found[signer] if key is not None)

    @property
    def of_images(self) -> tuple[Signer, ...]:
        """The signers of each name of an image, older key first: its signatures keep their numbers when keys change."""
        if self.former is not None:
            return (Signer.FORMER, Signer.KEY)
        return (Signer.KEY, Signer.NEXT) if self.next is not None else (Signer.KEY,)

    @property
    def identity(self) -> str:
        """Name those that sign Release files; if they change, the files are signed again."""
        return " ".join(key.fingerprint for key in self.of(Signer.ALL))


def _valid(key: SigningKey | None, now: datetime) -> SigningKey | None:
    return None if key is not None and key.expires is not None and key.expires <= now else key
