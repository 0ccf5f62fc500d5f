"""Who signs what while one key takes over from another."""

from datetime import UTC, datetime, timedelta

import pytest

from packrat_agent.config.rotation_phase import Phase
from packrat_agent.gpg.rotation import Rotation, SilentKey
from packrat_agent.gpg.signers import Signers
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.tree import Signer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_key(name: str, days: int | None = None) -> SigningKey:
    expires = None if days is None else NOW + timedelta(days=days)
    return SigningKey(name, name, name, "RSA", 3072, expires, NOW, None, None)


OLD, NEW = a_key("OLD"), a_key("NEW")


@pytest.mark.parametrize(
    ("signers", "of_files", "of_images"),
    [
        (Signers(OLD), [OLD], (Signer.KEY,)),
        (Signers(OLD, next=NEW), [OLD], (Signer.KEY, Signer.NEXT)),
        (Signers(NEW, former=OLD), [NEW, OLD], (Signer.FORMER, Signer.KEY)),
        (Signers(NEW, former=a_key("OLD", 0)), [NEW], (Signer.KEY,)),
        (Signers(OLD, next=a_key("NEW", -1)), [OLD], (Signer.KEY,)),
        (Signers(NEW, former=a_key("OLD", 1)), [NEW, a_key("OLD", 1)], (Signer.FORMER, Signer.KEY)),
    ],
)
def test_a_phase_says_who_signs(signers: Signers, of_files: list[SigningKey], of_images: tuple[Signer, ...]) -> None:
    at_work = signers.at(NOW)
    assert list(at_work.of(Signer.ALL)) == of_files
    assert at_work.of(Signer.KEY) == (signers.key,)
    assert at_work.of_images == of_images


def test_the_older_key_of_an_image_comes_first_in_both_phases() -> None:
    offered, switched = Signers(OLD, next=NEW), Signers(NEW, former=OLD)
    order = [[key.fingerprint for signer in each.of_images for key in each.of(signer)] for each in (offered, switched)]
    assert order == [["OLD", "NEW"], ["OLD", "NEW"]]


def test_only_who_signs_release_files_has_them_signed_again() -> None:
    assert Signers(OLD).identity == Signers(OLD, next=NEW).identity == "OLD"
    assert Signers(NEW, former=OLD).identity != Signers(NEW).identity


@pytest.mark.parametrize(
    ("rotation", "phase", "accepted"),
    [
        (Rotation(), None, set()),
        (Rotation(next=NEW), Phase.OFFERED, {"NEW"}),
        (Rotation(former=OLD), Phase.SWITCHED, {"OLD"}),
        (Rotation(silent=(SilentKey("o", ("OLD",), b"", "is expired"),)), Phase.SWITCHED, {"OLD"}),
        (Rotation(silent=(SilentKey("o", ("OLD", "SUB"), b""),)), Phase.RETIRED, {"OLD", "SUB"}),
    ],
)
def test_the_keys_of_a_rotation_tell_its_phase(rotation: Rotation, phase: Phase | None, accepted: set[str]) -> None:
    assert rotation.phase is phase
    assert set(rotation.accepted) == accepted
