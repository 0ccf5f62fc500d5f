"""A keyring, for the tests of this folder."""

from collections.abc import Iterator

import pytest

from support.keyring import Keyring, keyring


@pytest.fixture
def ring() -> Iterator[Keyring]:
    with keyring() as made:
        yield made
