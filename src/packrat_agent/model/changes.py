"""The values that start a sync and limit it: news of the server, the operator's word, retention."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The operator's confirmations: the server means what it takes away; this host's clock is right."""

    removals: bool = False
    clock: bool = False


NOTHING_CONFIRMED = Confirmed()


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes on the server up to `position`: repository name → package names, None for "list everything".

    `mirror` says that the mirror's own record (its list of repositories) or a repository's record changed.
    """

    position: str | None
    repos: Mapping[str, frozenset[str] | None]
    mirror: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """A position of the server, as the agent has heard of it.

    Attributes:
        text: What the server calls it; two of these can't be compared.
        number: Its number among those that were heard of on this connection: the later of two has the higher one.
    """

    text: str
    number: int


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many seconds replaced indexes and withdrawn package files stay, and how many generations at least."""

    index_s: float
    packages_s: float
    keep_generations: int
