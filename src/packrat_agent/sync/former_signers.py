"""Takes over, in a rotation of the signing key, what the other keys have signed: packages, backups and seals."""

from packrat_agent.gpg.rpmsign import PackageSigner
from packrat_agent.gpg.signing_keys import SigningKeys
from packrat_agent.state.fragments import Fragments


def take_over_signed(fragments: Fragments, keys: SigningKeys) -> None:
    """Keep the packages that an accepted key has signed as they are, and have those of any other key signed again.

    Raises:
        DiskError: The state database can't be written.
    """
    accepted: dict[str, set[str]] = {}
    for prepared in keys.all():
        accepted.setdefault(prepared.key.fingerprint, set()).update(prepared.rotation.accepted)
    for prepared in keys.all():
        for only_unsigned in (False, True):
            signer = PackageSigner(prepared.key, only_unsigned)
            others = sorted(accepted[prepared.key.fingerprint] - {prepared.key.fingerprint})
            fragments.take_over(signer.identity, [signer.identity_of(other) for other in others])


def trusted_of(keys: SigningKeys) -> frozenset[str]:
    """Name the other keys whose seals count: those of the rotation of the main key."""
    return keys.main.rotation.accepted if keys.main is not None else frozenset()
