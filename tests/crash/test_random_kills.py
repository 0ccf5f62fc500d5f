"""The agent is killed at any moment: no client ever finds anything wrong, and in the end all is done."""

import random

from support.kills import kill_again_and_again
from support.stage import Stage


def test_twenty_kills_in_a_row_do_no_harm(lab: Stage) -> None:
    # Each run tries other moments; what fails names its seed.
    ended = kill_again_and_again(lab, 20, random.SystemRandom().randrange(1 << 32))
    assert ended < 20
