"""The client and the server of a test, with a wire between them."""

import asyncio
from collections.abc import Iterator

import pytest

from agent.upstream.ways import (
    Line,
)


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with asyncio.Runner() as runner:
        yield Line(runner)
