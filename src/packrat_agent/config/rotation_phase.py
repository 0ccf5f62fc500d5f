"""Names the phases of a rotation of the signing key; mirror.conf says in which a mirror is (gpg/rotation.py)."""

from enum import StrEnum


class Phase(StrEnum):
    """A phase of a rotation."""

    OFFERED = "offered"
    SWITCHED = "switched"
    RETIRED = "retired"
