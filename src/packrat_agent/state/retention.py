"""Decides how long earlier publications of an index stay on disk.

Takes: publications that were replaced, the moment, the rules.
Gives: the generations that stay.
Touches: nothing.

A client reads a pointer (InRelease, repomd.xml) at one moment and the index files that it names a little later. So an
index stays for a while after another one has taken its place:

1. The newest `keep_generations` earlier publications stay, whatever their age.
2. What was replaced within the last `index_s` seconds stays whole: this is the promise to clients and caches.
3. What was replaced before that is thinned out: at most two publications for each doubling of the age (one to two
   hours, two to four hours, …), until `packages_s` is over. Each of these helps the clients that have just this one.
4. Everything else goes.

The buckets of rule 3 are fixed in time and each lies within one of the next larger kind, so what is dropped once is
never chosen again, however often or seldom the rules are applied.

    kept = keep_publications([OldPublication(1, 100.0), OldPublication(2, 160.0)], 3700.0, Retention(3600, 259200, 1))
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packrat_agent.model.values import Retention


@dataclass(frozen=True, slots=True)
class OldPublication:
    """An earlier publication of a section: its generation, and when the next one took its place (epoch seconds)."""

    generation: int
    replaced_at: float


def keep_publications(publications: Sequence[OldPublication], now: float, rule: Retention) -> frozenset[int]:
    """Choose which earlier publications of one section stay on disk; gives their generations.

    Args:
        publications: all that are known of, those that were dropped before too, in any order.
        now: the moment, in epoch seconds.
        rule: for how long, and how many.
    """
    ordered = sorted(publications, key=lambda publication: publication.generation)
    kept = {publication.generation for publication in ordered[max(0, len(ordered) - rule.keep_generations) :]}
    # Publications come by generation, so the first that falls into a bucket is the one that it keeps.
    first: dict[tuple[float, int], int] = {}
    for publication in ordered:
        for bucket in _buckets(publication.replaced_at, rule):
            first.setdefault(bucket, publication.generation)
    for publication in ordered:
        bucket_s = _bucket_s(now - publication.replaced_at, rule)
        if bucket_s is None:
            continue
        if bucket_s == 0 or first[_bucket(publication.replaced_at, bucket_s)] == publication.generation:
            kept.add(publication.generation)
    return frozenset(kept)


def _bucket_s(age_s: float, rule: Retention) -> float | None:
    """Say how many seconds of publications share one that stays; 0: each stays, None: none does."""
    if age_s <= rule.index_s:
        return 0
    if age_s > rule.packages_s or rule.index_s <= 0:
        return None
    return next(bucket_s for bucket_s in _bucket_sizes(rule) if age_s <= 2 * bucket_s)


def _bucket_sizes(rule: Retention) -> Iterator[float]:
    """Give the lengths of the buckets in seconds, up to those of the oldest publications that may stay."""
    bucket_s = float(rule.index_s)
    while bucket_s > 0:
        yield bucket_s
        if rule.packages_s <= 2 * bucket_s:
            return
        bucket_s *= 2


def _bucket(replaced_at: float, bucket_s: float) -> tuple[float, int]:
    return bucket_s, math.floor(replaced_at / bucket_s)


def _buckets(replaced_at: float, rule: Retention) -> Iterator[tuple[float, int]]:
    return (_bucket(replaced_at, bucket_s) for bucket_s in _bucket_sizes(rule))
