"""Tells in which phase the rotation of a signing key is; mirror.conf has the keys, and so the phase.

1. OFFERED: clients get the next key, which signs nothing but images, and these beside the key.
2. SWITCHED: the new key signs. The former one signs Release files and images beside it.
3. RETIRED: the former key no longer signs. Packages that it has signed stay as they are, so their clients keep it.

No phase begins or ends by itself, and none is remembered elsewhere: the state database only has the dates.
"""

from dataclasses import dataclass

from packrat_agent.config.rotation_phase import Phase
from packrat_agent.gpg.signing_key import SigningKey


@dataclass(frozen=True, slots=True)
class SilentKey:
    """A key that no longer signs, by its configured name, and the fingerprints under which it has signed.

    `reason` says why a former key, which should sign, does not; '' for a retired one.
    """

    name: str
    fingerprints: tuple[str, ...]
    public: bytes
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The keys of a rotation besides the one that signs."""

    next: SigningKey | None = None
    former: SigningKey | None = None
    silent: tuple[SilentKey, ...] = ()

    @property
    def phase(self) -> Phase | None:
        """The phase; None where no rotation is under way."""
        if self.next is not None:
            return Phase.OFFERED
        if self.former is not None or any(key.reason for key in self.silent):
            return Phase.SWITCHED
        return Phase.RETIRED if self.silent else None

    @property
    def accepted(self) -> frozenset[str]:
        """The fingerprints of the other keys whose signed packages stay as they are."""
        found = frozenset(key.fingerprint for key in (self.next, self.former) if key is not None)
        return found.union(*(key.fingerprints for key in self.silent))


NO_ROTATION = Rotation()
