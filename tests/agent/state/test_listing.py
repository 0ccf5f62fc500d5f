"""listing: a list of URIs on disk is a set in the order in which it came, and leaves nothing behind."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.state.listing import Listing
from packrat_core.errors import DiskError

URIS = st.lists(st.text(max_size=3), max_size=30)


def flat(portions: Iterator[list[str]]) -> list[str]:
    return list(chain.from_iterable(portions))


@given(URIS, URIS, URIS, st.integers(1, 7))
def test_it_is_a_set_in_order(
    tmp_path_factory: pytest.TempPathFactory, first: list[str], more: list[str], unread: list[str], size: int
) -> None:
    directory = tmp_path_factory.getbasetemp()
    listing = Listing(directory)
    listing.add(["old"])
    listing.mark_unread(["old"])
    listing.clear()
    listing.add(first)
    listing.add(more)
    listing.mark_unread(unread)
    expected = list(dict.fromkeys([*first, *more]))
    assert list(listing) == expected == flat(listing.portions(size))
    assert len(listing) == len(expected)
    assert all(uri in listing for uri in expected)
    assert "not there" not in listing
    assert flat(listing.portions(size, unread=True)) == [uri for uri in expected if uri in unread]
    assert listing.unread_count == len({*expected} & {*unread})


def test_nothing_of_it_is_left(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    listing.add([f"{number:0200}" for number in range(50_000)])
    assert list(tmp_path.iterdir()) == [], "it has no name while it is open"
    assert len(listing) == 50_000


def test_a_directory_that_takes_no_file_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="can't keep a list"):
        Listing(tmp_path / "missing")
