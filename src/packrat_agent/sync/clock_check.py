"""Tells that this host's clock and the packrat server's don't agree, before clients refuse what is dated ahead."""

from packrat_agent.sync.context import MirrorContext
from packrat_agent.upstream.client import Packrat
from packrat_core.text import human_age

_WRONG_S = 60.0
"""By more than this, one of the two clocks is not set."""
_CLOCK = "the clock"


def check_clock(context: MirrorContext, server: Packrat) -> None:
    """Compare this host's clock with the date of the server's last answer."""
    ahead_s = server.clock_ahead_s
    if abs(ahead_s) <= _WRONG_S:
        context.fault_log.beside("server-clock", _CLOCK, None)
        return
    span = human_age(abs(ahead_s)) if abs(ahead_s) >= 2 * _WRONG_S else "more than a minute"
    where, harm = "behind", "if it is wrong, what is published is dated too early"
    if ahead_s > 0:
        where, harm = "ahead of", "if it is wrong, apt refuses what is published meanwhile"
    reason = f"this host's clock is {span} {where} the packrat server's: {harm}; set the one that is wrong, by NTP"
    context.fault_log.beside("server-clock", _CLOCK, reason)
