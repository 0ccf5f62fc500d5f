"""Notes for `status` and `check` in which phase the rotation of a key is, and since when clients see it.

The phase is what mirror.conf says. A phase counts from the end of the first full sync that published all of it, since
clients can't act on it earlier. A lost state database loses these dates, and nothing else: they are noted again.
"""

from dataclasses import replace
from datetime import datetime

from packrat_agent.config.rotation_phase import Phase
from packrat_agent.gpg.signing_keys import PreparedKey
from packrat_agent.state.facts import KeyInUse

_PHASES = list(Phase)


def with_rotation(
    in_use: KeyInUse, prepared: PreparedKey, before: KeyInUse | None, kept_packages: int, published_at: float | None
) -> KeyInUse:
    """Add the rotation to what is noted of a key.

    Args:
        in_use: The key.
        prepared: The key, with the others of its rotation.
        before: What was noted last.
        kept_packages: How many packages stand with the signature of another key.
        published_at: When all that this phase asks for was published; None: that is not known yet.
    """
    rotation = prepared.rotation
    if rotation.phase is None:
        return in_use
    unable = next((key for key in rotation.silent if key.reason), None)
    former = rotation.former.fingerprint if rotation.former is not None else None
    noted = replace(
        in_use,
        phase=rotation.phase.value,
        next=rotation.next.fingerprint if rotation.next is not None else None,
        next_expires=_expiry(rotation.next.expires) if rotation.next is not None else None,
        former=unable.fingerprints[0] if unable is not None else former,
        former_expires=_expiry(rotation.former.expires) if rotation.former is not None else None,
        silent=unable.reason if unable is not None else None,
        retired=" ".join(key.fingerprints[0] for key in rotation.silent if not key.reason) or None,
        kept_packages=kept_packages,
    )
    return _with_dates(noted, before, rotation.phase, published_at)


def _with_dates(noted: KeyInUse, before: KeyInUse | None, phase: Phase, published_at: float | None) -> KeyInUse:
    dates: dict[Phase, float | None] = dict.fromkeys(Phase)
    # For the same new key, the phases up to this one stay as they were.
    if before is not None and before.phase is not None and _new_key(before) == _new_key(noted):
        known = {
            Phase.OFFERED: before.offered_at,
            Phase.SWITCHED: before.switched_at,
            Phase.RETIRED: before.retired_at,
        }
        dates |= {earlier: known[earlier] for earlier in _PHASES[: _PHASES.index(phase) + 1]}
    if dates[phase] is None:
        dates[phase] = published_at
    return replace(
        noted,
        offered_at=dates[Phase.OFFERED],
        switched_at=dates[Phase.SWITCHED],
        retired_at=dates[Phase.RETIRED],
    )


def _new_key(noted: KeyInUse) -> str | None:
    return noted.next or noted.fingerprint


def _expiry(expires: datetime | None) -> float | None:
    return expires.timestamp() if expires is not None else None
