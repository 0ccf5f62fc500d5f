"""The entries of a header are those that the rules give when each is looked at alone."""

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.rpm import header

TEXTS = (6, 8, 9)
WIDTH = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}

Entry = tuple[int, int, int, int]


def by_the_rules(entries: list[Entry], store: bytes, first: int) -> dict[int, Entry] | None:
    """Tag → type, start, end and count; None where rpm refuses the header."""
    found: dict[int, Entry] = {}
    behind = filled = 0
    for tag, kind, offset, count in entries[first:]:
        if (
            tag < 100
            or tag in found
            or not 1 <= kind <= 9
            or not 1 <= count <= 500_000
            or not behind <= offset < len(store)
        ):
            return None
        end = min([other for _, _, other, _ in entries if other > offset] + [len(store)])
        if kind in TEXTS:
            is_inside = store[offset:end].count(0) >= (1 if kind == 6 else count)
            if not is_inside or (kind == 6 and count != 1):
                return None
            behind = offset + 1
            length = sum(len(text) + 1 for text in store[offset:end].split(b"\0")[:count])
        else:
            length = count * WIDTH[kind]
            behind = offset + length
            if behind > end or offset % WIDTH[kind]:
                return None
        while filled % WIDTH.get(kind, 1):
            filled += 1
        filled += length
        found[tag] = (kind, offset, end, count)
    return found if filled == len(store) - 16 * first else None


@st.composite
def headers(draw: st.DrawFn) -> tuple[list[Entry], bytes]:
    """Mostly sound: each entry begins somewhere behind the one before it."""
    store, entries = b"", list[Entry]()
    for tag in draw(st.lists(st.integers(99, 104), min_size=1, max_size=5, unique=draw(st.booleans()))):
        kind = draw(st.sampled_from([*WIDTH, *TEXTS, *TEXTS, 0, 10]))
        aligned = -len(store) % WIDTH.get(kind, 1)
        store += bytes(draw(st.sampled_from([aligned, aligned, aligned, aligned, aligned + 8, 0, 1])))
        count = draw(st.integers(0, 3))
        told = draw(st.sampled_from([count, count, count, count + 1]))
        entries.append((tag, kind, len(store) + draw(st.sampled_from([0, 0, 0, 0, 1])), told))
        store += b"x\0" * count if kind in TEXTS else bytes(count * WIDTH.get(kind, 1))
    if draw(st.booleans()):
        # That of a region, which stands first and leads to the end.
        entries.insert(0, (63, 7, len(store), 16))
        store += bytes(16)
    return entries, store[: draw(st.sampled_from([len(store), len(store), max(0, len(store) - 1)]))]


@settings(max_examples=1000)
@given(headers())
@example(([(100, 6, 0, 1), (101, 4, 12, 1)], b"a\0" + bytes(14)))
@example(([(100, 6, 0, 1), (101, 7, 9, 1), (102, 5, 16, 1)], b"a\0" + bytes(22)))
@example(([(100, 4, 0, 2), (101, 4, 4, 1)], bytes(8)))
@example(([(100, 8, 0, 2), (101, 4, 3, 1)], b"a\0bc\0\0\0"))
def test_entries_are_read_by_the_rules(made: tuple[list[Entry], bytes]) -> None:
    entries, store = made
    blob = bytes(16) + b"".join(struct.pack(">4I", *entry) for entry in entries) + store
    first = int(entries[0][0] == 63)
    try:
        items = header._items(blob, len(entries), len(store), "header", first=first)
    except Refused:
        assert by_the_rules(entries, store, first) is None
    else:
        assert {tag: tuple(item) for tag, item in items.items()} == by_the_rules(entries, store, first)
