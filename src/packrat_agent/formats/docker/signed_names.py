"""Remembers by which names the manifests of an image are signed, and in which order.

A client asks for a manifest by a tag, and for the signatures of this manifest a little later. If the tag moved
in between, it still needs the signature of that tag. The rules:

1. A name that left a manifest stays signed for as long as withdrawn files stay.
2. A name keeps its place among the signatures of its manifest, since clients read these one after the other.
3. When a name finally goes, a new one takes its place, or else the last one: a name that stays never moves towards the
   end, and nothing takes a place that it left, so a client that reads on never misses it.
4. Names that left a manifest which is itself withdrawn are remembered, too: the manifest may come back.
"""

import json
from collections.abc import Collection, Container, Iterable, Mapping, Sequence

SignedNames = Mapping[str, Mapping[str, int | None]]
"""Digest → name (`:<tag>` or `@<digest>`) → when it left the manifest, in epoch seconds; None while it is one of its
names. The names are in the order of their signatures."""

_NO_NAMES: Mapping[str, int | None] = {}
_EARLIER_LIMIT = 100
"""Number of earlier names that a manifest keeps."""
_WITHDRAWN_LIMIT = 200
"""Number of withdrawn manifests whose names are remembered."""


def update_names(
    before: SignedNames,
    current: Mapping[str, Sequence[str]],
    now_s: int,
    kept_s: float,
    touched: Container[str] | None = None,
) -> SignedNames:
    """Bring the names up to date.

    Args:
        before: the names at the last publication.
        current: digest → the names that it has now, in the order for those that are new.
        now_s: the date of the publication, in epoch seconds.
        kept_s: how long names stay that left.
        touched: the digests to which names may have come, or which they may have left, where no name of another one
            goes by time; None: any.

    Returns:
        The names of the manifests that have any, first those of `current`.
    """
    # Those that were withdrawn last come first: they stood among the current ones.
    withdrawn = [digest for digest in before if digest not in current][:_WITHDRAWN_LIMIT]
    names = {}
    for digest in (*current, *withdrawn):
        of_one = before.get(digest, _NO_NAMES)
        if touched is None or digest in touched:
            of_one = _update(of_one, current.get(digest, ()), now_s, kept_s)
        if of_one:
            names[digest] = of_one
    return names


def _update(
    before: Mapping[str, int | None], current: Sequence[str], now_s: int, kept_s: float
) -> Mapping[str, int | None]:
    if len(before) == len(current) and all(before.get(name, 0) is None for name in current):
        return before
    # A clock that was ahead must not keep a name for longer.
    left = {name: min(now_s if at is None else at, now_s) for name, at in before.items() if name not in current}
    stay = [name for name, at in left.items() if now_s - at < kept_s]
    stay = sorted(stay, key=lambda name: left[name])[-_EARLIER_LIMIT:]
    order = _arrange(before, frozenset(left) - frozenset(stay), [name for name in current if name not in before])
    return {name: left.get(name) for name in order}


def _arrange(before: Iterable[str], gone: Collection[str], new: Sequence[str]) -> list[str]:
    """Put new names into the places of those that go; then close the gaps that are left, or append the rest."""
    waiting = list(new)
    names: list[str] = []
    gaps: list[int] = []
    for place, name in enumerate(before):
        if name in gone and not waiting:
            gaps.append(place)
        names.append(waiting.pop(0) if name in gone and waiting else name)
    for place in reversed(gaps):
        last = names.pop()
        if place < len(names):
            names[place] = last
    return names + waiting


def next_expiry(names: SignedNames, kept_s: float) -> float | None:
    """Return when the next name goes, in epoch seconds; None if none will."""
    left = [at for of_one in names.values() for at in of_one.values() if at is not None]
    return min(left) + kept_s if left else None


def write_names(names: SignedNames) -> str:
    """Write the names as a text that `read_names` understands."""
    return json.dumps(names, separators=(",", ":"))


def read_names(text: str) -> SignedNames:
    """Read what `write_names` wrote; '' if nothing is remembered."""
    names: SignedNames = json.loads(text or "{}")
    return names
