"""Decides how long earlier generations of an index stay on disk.

A client reads a pointer (InRelease, repomd.xml) first and the index files that it names a little later. So an index
stays for a while after a newer one has replaced it:

1. The newest `keep_generations` earlier generations stay, whatever their age.
2. All generations that were replaced within the last `index_s` seconds stay: this is the promise to clients and caches.
3. Of those replaced earlier, at most two stay for each doubling of the age (one to two hours, two to four hours, …),
   until `packages_s` seconds are over. Each of them helps the clients that have just this one.
4. All others are dropped.

The buckets of rule 3 are fixed in time, and each lies within one bucket of the next larger size. So a generation that
was dropped is never chosen again, however often the rules are applied.

    kept = choose_generations([Generation(1, 100.0), Generation(2, 160.0)], 3700.0, Retention(3600, 259200, 1))
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

from packrat_agent.model.changes import Retention


@dataclass(frozen=True, slots=True)
class Generation:
    """An earlier generation of a publication, and when the next one replaced it (epoch seconds)."""

    number: int
    replaced_at: float


def choose_generations(generations: Sequence[Generation], now: float, rule: Retention) -> frozenset[int]:
    """Choose which earlier generations of a publication stay on disk.

    Args:
        generations: all known generations, including those that were dropped before, in any order.
        now: epoch seconds.
        rule: for how long and how many.

    Returns:
        The numbers of the generations that stay.
    """
    ordered = sorted(generations, key=lambda generation: generation.number)
    kept = {generation.number for generation in ordered[max(0, len(ordered) - rule.keep_generations) :]}
    kept.update(generation.number for generation in ordered if now - generation.replaced_at <= rule.index_s)
    late: dict[float, list[Generation]] = {}
    for generation in ordered:
        bucket_s = _bucket_s(now - generation.replaced_at, rule)
        if bucket_s is not None:
            late.setdefault(bucket_s, []).append(generation)
    # A busy repository has thousands of them, and each change comes here: only the buckets that decide are made.
    for bucket_s, members in late.items():
        # In the order of their numbers, the first generation that falls into a bucket is the one that the bucket keeps.
        first = {floor(old.replaced_at / bucket_s): old.number for old in reversed(ordered)}
        kept.update(old.number for old in members if first[floor(old.replaced_at / bucket_s)] == old.number)
    return frozenset(kept)


def _bucket_s(age_s: float, rule: Retention) -> float | None:
    """Return the length in seconds of the bucket in which one late generation stays; None for one that is not late."""
    if age_s <= rule.index_s or age_s > rule.packages_s or rule.index_s <= 0:
        return None
    return next(bucket_s for bucket_s in _bucket_sizes(rule) if age_s <= 2 * bucket_s)


def _bucket_sizes(rule: Retention) -> Iterator[float]:
    """Yield the lengths of the buckets in seconds, up to that for the oldest generations that may stay."""
    bucket_s = float(rule.index_s)
    while bucket_s > 0:
        yield bucket_s
        if rule.packages_s <= 2 * bucket_s:
            return
        bucket_s *= 2
