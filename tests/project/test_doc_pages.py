"""No block of a page is left out: each page of docs/ with blocks is followed by a test, or it says why not."""

import re
from pathlib import Path

import pytest

from support.doc_pages import NOT_FOLLOWED, NOT_RUN, blocks, pages

_TESTS = "".join(path.read_text() for path in sorted(Path(__file__).parents[1].glob("clients/test_docs_*.py")))
_FOLLOWED = re.findall(r'page_walk\(\w+, "([\w-]+\.md)"', _TESTS)
"""Pages that a walk takes block by block: it fails at a block that it does not expect, and where one is left."""


@pytest.mark.parametrize("page", pages())
def test_a_page_with_blocks_is_followed_or_says_why_not(page: str) -> None:
    if blocks(page):
        assert _FOLLOWED.count(page) + (page in NOT_FOLLOWED) == 1
    else:
        assert page not in {*_FOLLOWED, *NOT_FOLLOWED}


@pytest.mark.parametrize("page", pages())
def test_every_fence_is_read_as_a_block(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    assert len(blocks(page)) * 2 == len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE))


@pytest.mark.parametrize(("page", "first"), NOT_RUN)
def test_each_row_of_not_run_is_a_block_of_the_pages(page: str, first: str) -> None:
    assert [block.first for block in blocks(page)].count(first) == 1
