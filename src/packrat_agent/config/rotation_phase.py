"""Names the phases in which one signing key follows another; mirror.conf says in which a mirror is (gpg/rotation.py)."""

from enum import StrEnum


class Phase(StrEnum):
    """A phase of a rotation."""

    OFFERED = "offered"
    SWITCHED = "switched"
    RETIRED = "retired"
