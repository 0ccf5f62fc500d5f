"""listing: a list of URIs, short or long, is a set in the order in which it came, and leaves nothing behind."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.state.listed_uris import Listing
from packrat_core.errors import DiskError

URIS = st.lists(st.text(max_size=3), max_size=30)


def flat(portions: Iterator[list[str]]) -> list[str]:
    return list(chain.from_iterable(portions))


@pytest.mark.parametrize("short_size", [0, 1500, 1_000_000])
@settings(deadline=None)
@given(first=URIS, more=URIS, unread=URIS, size=st.integers(1, 7))
def test_a_listing_is_an_ordered_set(
    tmp_path_factory: pytest.TempPathFactory,
    short_size: int,
    first: list[str],
    more: list[str],
    unread: list[str],
    size: int,
) -> None:
    check_set(Listing(tmp_path_factory.getbasetemp(), short_size), first, more, unread, size)


def check_set(listing: Listing, first: list[str], more: list[str], unread: list[str], size: int) -> None:
    listing.add(["old"])
    listing.mark_unread(["old"])
    listing.clear()
    listing.add(first)
    listing.mark_unread(unread)
    listing.add(more)
    assert listing.unread_count == len({*first} & {*unread}), "moved to disk, it stays marked"
    listing.mark_unread(unread)
    expected = list(dict.fromkeys([*first, *more]))
    assert list(listing) == expected == flat(listing.portions(size))
    assert len(listing) == len(expected)
    assert all(uri in listing for uri in expected)
    assert "not there" not in listing
    assert flat(listing.portions(size, unread=True)) == [uri for uri in expected if uri in unread]
    assert listing.unread_count == len({*expected} & {*unread})
    assert listing.missing([*unread, "not there"]) == [uri for uri in [*unread, "not there"] if uri not in expected]


def test_nothing_of_it_is_left(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    listing.add([f"{number:0200}" for number in range(50_000)])
    assert list(tmp_path.iterdir()) == [], "it has no name while it is open"
    assert len(listing) == 50_000


def test_a_short_list_is_held_in_memory_and_a_long_one_is_not(tmp_path: Path) -> None:
    listing = Listing(tmp_path / "missing")
    listing.add(["/short/"] * 1000)
    assert list(listing) == ["/short/"]
    with pytest.raises(DiskError, match="can't keep a list"):
        listing.add([f"/long/{number}/" for number in range(20_000)])
