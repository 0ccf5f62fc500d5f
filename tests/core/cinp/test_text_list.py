"""text_list: a list that comes in any pieces is what `json` reads of it, and nothing else is one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.cinp.limits import TooMuch
from packrat_core.cinp.text_list import NotAList, TextList


def read(data: bytes, size: int = 10_000, piece: int = 3) -> list[str]:
    texts = TextList(size)
    found = [text for at in range(0, len(data), piece) for text in texts.feed(data[at : at + piece])]
    texts.end()
    assert texts.count == len(found)
    return found


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]))), st.integers(1, 20), st.booleans())
def test_a_list_of_texts_is_read_as_json_reads_it(texts: list[str], piece: int, ascii_only: bool) -> None:
    data = json.dumps(texts, ensure_ascii=ascii_only, indent=piece % 2 or None).encode()
    assert read(data, 1_000_000, piece) == texts


@given(st.lists(st.text("/:ab,]\x7f\n ", max_size=9)), st.integers(1, 200), st.sampled_from([",", ", ", " ,", ",\n"]))
def test_plain_texts_are_read_as_json_reads_them(texts: list[str], piece: int, comma: str) -> None:
    data = json.dumps(texts, separators=(comma, ":")).encode()
    assert read(data, 1_000_000, piece) == texts


@given(st.binary(max_size=30) | st.text(alphabet='[]",ab\\ ').map(str.encode), st.integers(1, 5))
def test_anything_but_a_json_list_of_texts_is_refused(data: bytes, piece: int) -> None:
    try:
        value = json.loads(data.decode())
    except ValueError:
        value = None
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        assert read(data, piece=piece) == value
    else:
        with pytest.raises(NotAList):
            read(data, piece=piece)


_MALFORMED = [b"", b"[", b'["a"', b'["a",]', b'["a"]x', b"[,]", b'{"a":1}', b"[1]", b'["a" "b"]']
# What stands between two texts, where others follow.
_MALFORMED += [b'["a"%b"b", "c"]' % between for between in (b"", b" ", b",,", b":", b";", b", 1,", b"],[")]


@pytest.mark.parametrize("piece", [1, 3, 100])
@pytest.mark.parametrize("data", _MALFORMED)
def test_malformed_lists_are_refused(data: bytes, piece: int) -> None:
    with pytest.raises(NotAList):
        read(data, piece=piece)


def test_nothing_follows_a_list() -> None:
    texts = TextList(100)
    assert texts.feed(b'["a"]') == ["a"]
    with pytest.raises(NotAList):
        texts.feed(b'"b",')


def test_a_list_has_as_many_bytes_as_it_may_have_and_no_more() -> None:
    data = json.dumps(["x" * 10] * 10).encode()
    assert len(read(data, len(data))) == 10
    with pytest.raises(TooMuch, match=f"more than {len(data) - 1} bytes"):
        read(data, len(data) - 1)


def test_a_text_without_an_end_is_not_collected() -> None:
    texts = TextList(10_000_000)
    with pytest.raises(NotAList):
        for piece in [b'["', *[b"x" * 1000] * 100]:
            texts.feed(piece)
