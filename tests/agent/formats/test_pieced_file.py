"""A file in pieces has the bytes and the hash of what its pieces are now, and only what changed is hashed again."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats import pieced_file
from packrat_agent.formats.pieced_file import Frame, PiecedFile, read_contents
from packrat_agent.model.tree import Content
from packrat_agent.state.scratch import Region, Scratch

HEADS = (b"", b"1 package", b"2 packages", b"3 packages")
PIECE_BYTES = 40_000


def put(file: PiecedFile, region: Region, where: slice, pieces: list[bytes]) -> None:
    file.splice(where, [region.add(piece) for piece in pieces], [b""] * len(pieces))


def check(content: Content, expected: bytes) -> None:
    assert bytes(content) == expected
    assert (content.size, content.digest) == (len(expected), hashlib.sha256(expected).hexdigest())


SPLICES = st.tuples(
    st.integers(0, 60), st.integers(0, 6), st.lists(st.binary(max_size=20), max_size=6), st.sampled_from(HEADS)
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=50), st.lists(SPLICES, max_size=8))
def test_a_pieced_file_equals_its_pieces_after_any_changes(
    first: list[bytes], steps: list[tuple[int, int, list[bytes], bytes]]
) -> None:
    region = Scratch().region()
    file, pieces = PiecedFile(region), list(first)
    put(file, region, slice(0, 0), first)
    for at, count, new, head in steps:
        start = min(at, len(pieces))
        where = slice(start, min(start + count, len(pieces)))
        put(file, region, where, new)
        pieces[where] = new
        check(file.content(Frame(head, b"end")), b"".join((head, *pieces, b"end")))


def test_after_a_change_only_what_follows_is_hashed_for_each_head_that_stood_there_last() -> None:
    region = Scratch().region()
    file = PiecedFile(region)
    put(file, region, slice(0, 0), [b"x" * PIECE_BYTES] * 40)
    for head in HEADS[:2]:
        assert file.unhashed_bytes(head) == 40 * PIECE_BYTES
        file.content(Frame(head))
        assert file.unhashed_bytes(head) == 0
    put(file, region, slice(33, 34), [b"y" * PIECE_BYTES])
    assert [file.unhashed_bytes(head) for head in HEADS[:3]] == [8 * PIECE_BYTES, 8 * PIECE_BYTES, 40 * PIECE_BYTES]
    file.content(Frame(HEADS[0]))
    file.content(Frame(HEADS[2]))
    # The head that was not used for longest is forgotten.
    assert [file.unhashed_bytes(head) for head in HEADS[:3]] == [0, 40 * PIECE_BYTES, 0]


def test_files_that_are_hashed_side_by_side_are_given_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieced_file, "_ALONE_BYTES", 40 * PIECE_BYTES)
    region = Scratch().region()
    files = [PiecedFile(region) for _ in range(6)]
    texts = [b"%d" % number * PIECE_BYTES for number in range(6)]
    frames = [Frame(b"head of %d" % number, b"tail") for number in range(6)]
    # All of the files and only a few bytes of each: in threads and without.
    for count in (40, 1):
        for file, text in zip(files, texts, strict=True):
            put(file, region, slice(40 - count, 40), [text] * count)
        contents = read_contents(list(zip(files, frames, strict=True)))
        for content, text, frame in zip(contents, texts, frames, strict=True):
            check(content, frame.head + text * 40 + frame.tail)
