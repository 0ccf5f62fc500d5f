"""What the agent's user says to root: values come as they are, and nothing else does."""

import os
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.config.settings import KeyNames
from packrat_agent.setup.account import need_account
from packrat_core.errors import SigningError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

NOBODY = need_account("nobody")


def test_values_and_errors_come_as_they_are() -> None:
    value = (KeyNames("AA", retired_keys=frozenset({"BB"})), Path("/x"), datetime(2026, 11, 26, tzinfo=UTC), None)
    assert NOBODY.do(lambda: value) == value

    def fail() -> None:
        raise SigningError("no key", hint="make one")

    with pytest.raises(SigningError, match="no key") as caught:
        NOBODY.do(fail)
    assert caught.value.hint == "make one"


class _Order:
    """Tells its reader what to do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_a_user_process_that_was_taken_over_can_not_have_root_do_anything(tmp_path: Path) -> None:
    path = tmp_path / "made by root"
    with pytest.raises(pickle.UnpicklingError, match="mkdir is not a value"):
        NOBODY.do(lambda: _Order(path))
    assert not path.exists()
