"""Delays before something is tried again: longer after each failure, and never at the same moment as others.

    _BACK_OFF = BackOff(first_s=1.0, longest_s=30.0)
    await asyncio.sleep(_BACK_OFF.delay_s(failures, error.wait_s))

1. After the first failure the delay is at most `first_s`; each further failure doubles it, up to `longest_s`.
2. Each delay is shortened at random, to no less than half, so that many agents that failed together come back apart.
3. A delay that the server asks for is a minimum, and is lengthened at random by at most a tenth.
"""

import random
from dataclasses import dataclass

_MOST_DOUBLINGS = 64
"""More make no longer delay, but would exceed what a float can hold."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """The limits of the delays between tries, in seconds, before they are shortened at random."""

    first_s: float
    longest_s: float

    def delay_s(self, failures: int, asked_s: float = 0.0) -> float:
        """Choose how long to wait after a number of failures in a row.

        Args:
            failures: Failures since the last success; fewer than one counts as one.
            asked_s: For how long the server asks to be left alone; 0 where it asks for nothing.
        """
        doublings = min(max(failures, 1) - 1, _MOST_DOUBLINGS)
        delay_s = min(self.first_s * 2.0**doublings, self.longest_s)
        return max(between(delay_s / 2, delay_s), lengthen(asked_s))


def lengthen(asked_s: float) -> float:
    """Add up to a tenth to a delay that the server asks for: agents sent away together don't come back together."""
    return asked_s * between(1.0, 1.1)


def between(shortest_s: float, longest_s: float) -> float:
    """Choose a delay at random between two limits."""
    return random.uniform(shortest_s, longest_s)  # noqa: S311 jitter
