"""A bundle is read whole, however it is split; what is none, or not of what was asked for, is refused within bounds."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.upstream.bundle_reader import FILE_LIMIT, BundleReader
from packrat_core.errors import PackratError, ServerBroken, ServerUnavailable

ASKED = tuple(f"/api/v2/Package/PackageFile:{number}:" for number in range(5))
WHAT = "CALL bundle at https://packrat.example.com"


def bundle(files: Sequence[tuple[int, bytes]], looked_at: Any = 5) -> bytes:
    listed = [[ASKED[number], len(content)] for number, content in files]
    return head({"looked_at": looked_at, "files": listed}) + b"".join(content for _, content in files)


def head(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def read(*chunks: bytes, asked: Sequence[str] = ASKED) -> list[tuple[str, bytes]]:
    reader = BundleReader(WHAT, asked)
    found = [file for chunk in chunks for file in reader.feed(chunk)]
    reader.end()
    return found


files_of = st.dictionaries(st.integers(0, len(ASKED) - 1), st.binary(max_size=40)).map(lambda d: sorted(d.items()))


@given(files_of, st.lists(st.integers(0, 400)))
def test_any_split_of_the_bytes_gives_the_same_files(files: Sequence[tuple[int, bytes]], cuts: list[int]) -> None:
    data = bundle(files)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    assert read(*chunks) == [(ASKED[number], content) for number, content in files]
    assert read(*(data[at : at + 1] for at in range(len(data)))) == read(data)


@given(files_of, st.data())
def test_a_cut_or_longer_answer_is_an_error(files: Sequence[tuple[int, bytes]], choice: st.DataObject) -> None:
    data = bundle(files)
    with pytest.raises(PackratError):
        read(data + b"x")
    if files and files[-1][1]:
        with pytest.raises(ServerUnavailable, match="ended before its last file"):
            read(data[: choice.draw(st.integers(0, len(data) - 1))])


@given(files_of, st.data())
def test_an_answer_made_wrong_gives_an_error_or_bytes_of_the_answer(
    files: Sequence[tuple[int, bytes]], choice: st.DataObject
) -> None:
    data = bytearray(bundle(files))
    for _ in range(choice.draw(st.integers(1, 4))):
        at = choice.draw(st.integers(0, len(data) - 1))
        data[at : at + choice.draw(st.integers(0, 3))] = choice.draw(st.binary(max_size=3))
        if not data:
            return
    try:
        found = read(bytes(data))
    except PackratError as error:
        assert "packrat.example.com" in str(error)
        return
    uris = [uri for uri, _ in found]
    assert [uri for uri in ASKED if uri in uris] == uris
    # Nothing is left out, and nothing comes twice.
    assert data.partition(b"\n")[2] == b"".join(content for _, content in found)


@given(st.binary(max_size=200))
def test_any_bytes_at_all_give_an_error_or_files(data: bytes) -> None:
    with suppress(PackratError):
        read(data)


ONE = [ASKED[0], 1]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([], "not a bundle"),
        (None, "not a bundle"),
        ({}, "not a bundle"),
        ({"looked_at": 5, "files": {}}, "not a bundle"),
        ({"files": []}, "'None' in place of how many files"),
        ({"looked_at": 0, "files": []}, "'0' in place of how many files"),
        ({"looked_at": 6, "files": []}, "'6' in place of how many files"),
        ({"looked_at": -1, "files": []}, "'-1' in place of how many files"),
        ({"looked_at": True, "files": []}, "'True' in place of how many files"),
        ({"looked_at": "5", "files": []}, "'5' in place of how many files"),
        ({"looked_at": 5.0, "files": []}, "'5.0' in place of how many files"),
        ({"looked_at": 5, "files": [ONE, ONE]}, "not in this place"),
        ({"looked_at": 5, "files": [[ASKED[1], 1], ONE]}, "not in this place"),
        ({"looked_at": 1, "files": [ONE, [ASKED[1], 1]]}, "not in this place"),
        ({"looked_at": 5, "files": [["/api/v2/Package/PackageFile:9:", 1]]}, "was not asked for"),
        ({"looked_at": 5, "files": [[{}, 1]]}, "was not asked for"),
        ({"looked_at": 5, "files": [ASKED[0]]}, "was not asked for"),
        ({"looked_at": 5, "files": [[ASKED[0], 1, 1]]}, "was not asked for"),
        ({"looked_at": 5, "files": [[ASKED[0]]]}, "was not asked for"),
        ({"looked_at": 5, "files": [[ASKED[0], -1]]}, "a file of -1 bytes"),
        ({"looked_at": 5, "files": [[ASKED[0], True]]}, "a file of True bytes"),
        ({"looked_at": 5, "files": [[ASKED[0], 1.0]]}, "a file of 1.0 bytes"),
        ({"looked_at": 5, "files": [[ASKED[0], "1"]]}, "a file of 1 bytes"),
        ({"looked_at": 5, "files": [[ASKED[0], FILE_LIMIT + 1]]}, f"a file of {FILE_LIMIT + 1} bytes"),
        ({"looked_at": 5, "files": [[ASKED[0], 10**4000]]}, "a file of 1000"),
    ],
)
def test_a_wrong_list_of_files_is_refused_and_the_server_named(listed: Any, said: str) -> None:
    with pytest.raises(ServerBroken) as caught:
        read(head(listed) + b"xx")
    assert said in caught.value.message
    assert WHAT in caught.value.message
    assert len(caught.value.message) < 400


def test_a_web_page_is_no_bundle() -> None:
    with pytest.raises(ServerBroken, match="not a bundle of files"):
        read(b"<html>\n<body>log in first</body>\n</html>")


def test_the_bounds_hold_on_both_sides() -> None:
    most = [f"/api/v2/Package/PackageFile:{number}:" for number in range(20)]
    whole = head({"looked_at": 20, "files": [[uri, FILE_LIMIT] for uri in most[:16]]})
    assert BundleReader(WHAT, most).feed(whole) == []
    with pytest.raises(ServerBroken, match="a bundle of 16777217 bytes"):
        read(head({"looked_at": 20, "files": [*([uri, FILE_LIMIT] for uri in most[:16]), [most[16], 1]]}), asked=most)
    padded = b'{"looked_at": 5, "files": []' + b" " * (64 * 1024 - 29) + b"}"
    assert read(padded, b"\n") == read(padded + b"\n") == []
    for chunks in ([padded + b" \n"], [padded + b" ", b"\n"], [padded, b"  "]):
        with pytest.raises(ServerBroken, match="more than 65536 bytes"):
            read(*chunks)


def test_a_bundle_of_no_files_is_empty() -> None:
    assert read(head({"looked_at": 0, "files": []}), asked=()) == []
