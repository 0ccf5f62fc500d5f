"""The agent is killed at any moment: no client ever finds anything wrong, and in the end all is done."""

from pathlib import Path

import pytest

from support.counted_kills import kill_at_counted_calls
from support.keys import Key
from support.kills import kill_again_and_again
from support.kinds import KINDS, Kind
from support.stage import Stage

_SEED = 20_261
"""The same choices each time, so that a failure tells of a change; `make kill` makes others."""


def test_twenty_kills_in_a_row_do_no_harm(lab: Stage) -> None:
    ended = kill_again_and_again(lab, 20, _SEED)
    assert ended < 20


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kills_at_counted_calls_do_no_harm(tmp_path: Path, key: Key, kind: Kind) -> None:
    tally = kill_at_counted_calls(tmp_path, key, kind, 2, _SEED)
    assert not tally.failures, "\n".join(tally.failures)
    assert tally.is_enough(2), str(tally)
    assert tally.client_runs > 0
