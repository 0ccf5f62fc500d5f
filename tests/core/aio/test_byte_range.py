"""Which bytes a client gets that asks for a range."""

import pytest

from packrat_core.aio.byte_range import Part, choose_part


@pytest.mark.parametrize(
    ("asked", "start", "length"),
    [
        *(("bytes=0-0", 0, 1), ("bytes=5-", 5, 5), ("bytes=9-99", 9, 1), ("bytes=-3", 7, 3), ("bytes=-99", 0, 10)),
        (f"bytes=4-{2**64 - 1}", 4, 6),
    ],
)
def test_a_range(asked: str, start: int, length: int) -> None:
    part = choose_part("GET", asked, None, (), 10)
    assert part == Part(start, length, 10, asked=True)
    assert part.content_range == f"bytes {start}-{start + length - 1}/10"


@pytest.mark.parametrize(
    "asked",
    [None, "", "bytes=3-2", "bytes=a-", "lines=0-1", "bytes=0-1,4-5", "bytes=²-", "bytes=-", f"bytes=4-{10**20}"],
)
def test_what_is_no_single_range_gets_the_whole_file(asked: str | None) -> None:
    assert choose_part("GET", asked, None, (), 10) == Part(0, 10, 10, asked=False)


@pytest.mark.parametrize(("asked", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_nothing_is_beyond_the_end(asked: str, size: int) -> None:
    assert choose_part("GET", asked, None, (), size) is None


def test_a_range_of_other_bytes_gets_all_of_these() -> None:
    whole, part = Part(0, 10, 10, asked=False), Part(1, 9, 10, asked=True)
    for if_range, expected in ((None, part), ("a", part), ("b", part), ("c", whole), ("", whole)):
        assert choose_part("GET", "bytes=1-", if_range, ("a", "b"), 10) == expected


@pytest.mark.parametrize("asked", ["bytes=0-0", "bytes=10-"])
def test_only_get_has_ranges(asked: str) -> None:
    assert choose_part("HEAD", asked, None, (), 10) == Part(0, 10, 10, asked=False)
