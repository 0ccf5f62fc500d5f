"""Decides how long earlier generations of an index stay on disk.

Takes: generations that were replaced, the moment, the rules.
Gives: the generations that stay.
Touches: nothing.

A client reads a pointer (InRelease, repomd.xml) at one moment and the index files that it names a little later. So an
index stays for a while after another one has taken its place:

1. The newest `keep_generations` earlier generations stay, whatever their age.
2. What was replaced within the last `index_s` seconds stays whole: this is the promise to clients and caches.
3. What was replaced before that is thinned out: at most two generations for each doubling of the age (one to two
   hours, two to four hours, …), until `packages_s` is over. Each of these helps the clients that have just this one.
4. Everything else goes.

The buckets of rule 3 are fixed in time and each lies within one of the next larger kind, so what is dropped once is
never chosen again, however often or seldom the rules are applied.

    kept = choose_generations([Generation(1, 100.0), Generation(2, 160.0)], 3700.0, Retention(3600, 259200, 1))
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packrat_agent.model.changes import Retention


@dataclass(frozen=True, slots=True)
class Generation:
    """An earlier generation of a publication, and when the next one took its place (epoch seconds)."""

    number: int
    replaced_at: float


def choose_generations(generations: Sequence[Generation], now: float, rule: Retention) -> frozenset[int]:
    """Choose which earlier generations of a publication stay on disk; gives their numbers.

    Args:
        generations: All that are known of, those that were dropped before too, in any order.
        now: The moment, in epoch seconds.
        rule: For how long, and how many.
    """
    ordered = sorted(generations, key=lambda generation: generation.number)
    kept = {generation.number for generation in ordered[max(0, len(ordered) - rule.keep_generations) :]}
    # They come by number, so the first that falls into a bucket is the one that it keeps.
    first: dict[tuple[float, int], int] = {}
    for generation in ordered:
        for bucket in _buckets(generation.replaced_at, rule):
            first.setdefault(bucket, generation.number)
    for generation in ordered:
        bucket_s = _bucket_s(now - generation.replaced_at, rule)
        if bucket_s is None:
            continue
        if bucket_s == 0 or first[_bucket(generation.replaced_at, bucket_s)] == generation.number:
            kept.add(generation.number)
    return frozenset(kept)


def _bucket_s(age_s: float, rule: Retention) -> float | None:
    """Say how many seconds of generations share one that stays; 0: each stays, None: none does."""
    if age_s <= rule.index_s:
        return 0
    if age_s > rule.packages_s or rule.index_s <= 0:
        return None
    return next(bucket_s for bucket_s in _bucket_sizes(rule) if age_s <= 2 * bucket_s)


def _bucket_sizes(rule: Retention) -> Iterator[float]:
    """Give the lengths of the buckets in seconds, up to those of the oldest generations that may stay."""
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
