"""Content: the same bytes, size and digest however they are cut into parts."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.model.tree import Content


@given(st.lists(st.binary(max_size=20)))
def test_content_is_what_its_parts_make_together(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    content = Content(tuple(parts))
    assert bytes(content) == whole
    assert content.size == len(whole)
    assert content.digest == hashlib.sha256(whole).hexdigest() == Content.of(whole).digest
