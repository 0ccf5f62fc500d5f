"""The hash of an index's files is that of their texts in order, and needs memory for few of them."""

import hashlib
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.formats.index_hash import IndexHash, join_digests

TEXTS = st.tuples(st.binary(max_size=5), st.binary(max_size=5))


@given(st.dictionaries(st.text("abc", max_size=6), st.lists(TEXTS, min_size=1, max_size=3), max_size=250))
def test_the_last_record_of_each_package_counts(records: dict[str, list[tuple[bytes, bytes]]]) -> None:
    found = IndexHash(2)
    for name, texts in sorted(records.items()):
        for text in texts:
            found.add((name, "1", "all"), text)
    files = zip(*(texts[-1] for _, texts in sorted(records.items())), strict=True) if records else ((), ())
    assert found.digest() == join_digests(hashlib.sha256(b"".join(file)).hexdigest() for file in files)


def test_large_texts_are_not_gathered() -> None:
    text = bytes(1024 * 1024)
    tracemalloc.start()
    try:
        found = IndexHash()
        for number in range(40):
            found.add(("kernel-devel", f"{number:02}", "x86_64"), (bytes([number]) + text,))
        found.digest()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(text)
